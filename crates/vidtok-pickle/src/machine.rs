//! The stack machine that evaluates a pickle to plain data.
//!
//! A pickle (PEP 307, PEP 3154, PEP 574; `pickletools` documents the opcodes) is a small program for a stack machine.
//! This machine knows the opcodes of protocols 2 to 5 that `torch.save` writes. It calls nothing, and refuses all
//! functions that [`globals`](crate::globals) does not list.
//!
//! Values live in one arena and refer to each other by [`Id`], since a pickle may share values and contain cycles.
//! Nothing here is recursive, and each opcode creates at most a constant number of values, so the limit on opcodes
//! bounds time and memory.

use std::collections::HashMap;

use crate::error::{MAX_OPCODES, PickleError, PickleProblem};
use crate::globals::{Constructor, Global};
use crate::value::{Id, Storage, TensorRef, Value};

/// The most dimensions of a tensor.
const MAX_DIMENSIONS: usize = 16;

/// The result of an opcode.
pub(crate) type Step<T = ()> = Result<T, PickleProblem>;

/// The stack machine.
pub(crate) struct Machine<'a> {
    bytes: &'a [u8],
    position: usize,
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// The heights of the stack at each mark.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() }
    }

    pub(crate) fn run(mut self) -> Result<(Vec<Value<'a>>, Id), PickleError> {
        let at_start = |problem| PickleError { offset: 0, problem };
        if self.bytes.first() != Some(&0x80) {
            return Err(at_start(PickleProblem::Protocol));
        }
        for _ in 0..MAX_OPCODES {
            let offset = self.position;
            let done = self.step().map_err(|problem| PickleError { offset, problem })?;
            if let Some(root) = done {
                return Ok((self.values, root));
            }
        }
        Err(PickleError { offset: self.position, problem: PickleProblem::TooLong })
    }

    /// Executes one opcode; returns the result at the last one.
    fn step(&mut self) -> Step<Option<Id>> {
        match self.byte()? {
            0x80 => match self.byte()? {
                2..=5 => {}
                _ => return Err(PickleProblem::Protocol),
            },
            // The length of a frame matters only to readers of streams.
            0x95 => drop(self.array::<8>()?),
            b'.' => return self.pop().map(Some),

            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_to_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }

            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'K' => {
                let int = self.byte()?;
                self.push(Value::Int(int.into()));
            }
            b'M' => {
                let int = u16::from_le_bytes(self.array()?);
                self.push(Value::Int(int.into()));
            }
            b'J' => {
                let int = i32::from_le_bytes(self.array()?);
                self.push(Value::Int(int.into()));
            }
            0x8a => self.long(Width::One)?,
            0x8b => self.long(Width::Four)?,
            b'G' => {
                let float = f64::from_be_bytes(self.array()?);
                self.push(Value::Float(float));
            }
            0x8c => self.text(Width::One)?,
            b'X' => self.text(Width::Four)?,
            0x8d => self.text(Width::Eight)?,
            b'C' => self.binary(Width::One)?,
            b'B' => self.binary(Width::Four)?,
            0x8e | 0x96 => self.binary(Width::Eight)?,
            // A Python 2 str is text or bytes.
            b'U' => self.text_or_binary(Width::One)?,
            b'T' => self.text_or_binary(Width::Four)?,

            b')' => self.push(Value::Tuple(Vec::new())),
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b't' | 0x91 => {
                let items = self.pop_to_mark()?;
                self.push(Value::Tuple(items));
            }
            b']' | 0x8f => self.push(Value::List(Vec::new())),
            b'l' => {
                let items = self.pop_to_mark()?;
                self.push(Value::List(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.extend(&[item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_to_mark()?;
                self.extend(&items)?;
            }
            b'}' => self.push(Value::Dict(Vec::new())),
            b'd' => {
                let items = self.pop_to_mark()?;
                self.push(Value::Dict(Vec::new()));
                self.insert(&items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.insert(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.insert(&items)?;
            }

            b'q' => {
                let slot = self.byte()?;
                self.store(slot.into())?;
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.store(slot)?;
            }
            0x94 => self.store(self.memo.len() as u32)?,
            b'h' => {
                let slot = self.byte()?;
                self.recall(slot.into())?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.recall(slot)?;
            }

            b'c' => {
                let module = self.line()?;
                let name = self.line()?;
                self.push(Value::Global(Global { module, name }));
            }
            0x93 => {
                let name = self.pop_str()?;
                let module = self.pop_str()?;
                self.push(Value::Global(Global { module, name }));
            }
            b'R' | 0x81 => {
                let arguments = self.pop()?;
                let callee = self.pop()?;
                self.call(callee, arguments)?;
            }
            0x92 => {
                let _keywords = self.pop()?;
                let arguments = self.pop()?;
                let callee = self.pop()?;
                self.call(callee, arguments)?;
            }
            b'b' => {
                let state = self.pop()?;
                self.set_state(state)?;
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id).ok_or(PickleProblem::PersistentId)?;
                self.push(Value::Storage(storage));
            }
            other => return Err(PickleProblem::Opcode(other)),
        }
        Ok(None)
    }

    // Opcodes.

    fn long(&mut self, width: Width) -> Step {
        let digits = self.sized(width)?;
        let mut bytes = match digits.last() {
            Some(0x80..) => [0xff; 8],
            _ => [0; 8],
        };
        let value = match bytes.get_mut(..digits.len()) {
            Some(low) => {
                low.copy_from_slice(digits);
                Value::Int(i64::from_le_bytes(bytes))
            }
            // Larger integers occur in random states, which no caller needs.
            None => Value::Object(Global { module: "builtins", name: "int" }),
        };
        self.push(value);
        Ok(())
    }

    fn text(&mut self, width: Width) -> Step {
        let text = std::str::from_utf8(self.sized(width)?).map_err(|_| PickleProblem::Utf8)?;
        self.push(Value::Str(text));
        Ok(())
    }

    fn binary(&mut self, width: Width) -> Step {
        let bytes = self.sized(width)?;
        self.push(Value::Bytes(bytes));
        Ok(())
    }

    fn text_or_binary(&mut self, width: Width) -> Step {
        let bytes = self.sized(width)?;
        self.push(std::str::from_utf8(bytes).map_or(Value::Bytes(bytes), Value::Str));
        Ok(())
    }

    fn tuple(&mut self, len: usize) -> Step {
        let from = self.stack.len().checked_sub(len).filter(|&from| from >= self.floor());
        // `split_off` would leave spare capacity in every tuple.
        let items = self.stack.drain(from.ok_or(PickleProblem::StackUnderflow)?..).collect();
        self.push(Value::Tuple(items));
        Ok(())
    }

    /// Appends to the list on top of the stack.
    fn extend(&mut self, items: &[Id]) -> Step {
        match self.top_mut()? {
            Value::List(list) => list.extend_from_slice(items),
            Value::Object(_) => {}
            other => return Err(PickleProblem::Type { expected: "a list", found: other.describe() }),
        }
        Ok(())
    }

    /// Inserts alternating keys and values into the dictionary on top of the stack.
    fn insert(&mut self, items: &[Id]) -> Step {
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(PickleProblem::StackUnderflow);
        }
        match self.top_mut()? {
            Value::Dict(dict) => dict.extend(pairs.iter().map(|&[key, value]| (key, value))),
            Value::Object(_) => {}
            other => return Err(PickleProblem::Type { expected: "a dictionary", found: other.describe() }),
        }
        Ok(())
    }

    fn store(&mut self, slot: u32) -> Step {
        let top = self.top()?;
        self.memo.insert(slot, top);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Step {
        let id = *self.memo.get(&slot).ok_or(PickleProblem::Memo(slot))?;
        self.stack.push(id);
        Ok(())
    }

    /// Pushes the value of a call, if it is one that constructs plain data.
    fn call(&mut self, callee: Id, arguments: Id) -> Step {
        let callee = match *self.get(callee) {
            Value::Global(global) => global,
            ref other => return Err(PickleProblem::NotCallable(other.describe())),
        };
        let constructor = callee.constructor().ok_or_else(|| PickleProblem::RefusedGlobal(callee.to_string()))?;
        let unknown = || PickleProblem::Arguments(callee.to_string());
        let Value::Tuple(arguments) = self.get(arguments) else { return Err(unknown()) };
        let first = arguments.first().copied();
        let value = match constructor {
            // The only argument is a default dictionary's factory; contents follow as items.
            Constructor::Dict if arguments.len() <= usize::from(callee.name == "defaultdict") => {
                Value::Dict(Vec::new())
            }
            Constructor::Dict => return Err(unknown()),
            Constructor::Tensor => Value::Tensor(Box::new(self.tensor(arguments).ok_or_else(unknown)?)),
            Constructor::Array => self.empty_array(arguments),
            Constructor::Buffer => self.array_of_buffer(arguments)?,
            Constructor::Dtype => self.dtype(arguments),
            Constructor::Object => Value::Object(callee),
            Constructor::Parameter | Constructor::Size => {
                let first = first.ok_or_else(unknown)?;
                match (constructor, self.get(first)) {
                    (Constructor::Parameter, Value::Tensor(_)) | (Constructor::Size, Value::Tuple(_)) => {}
                    _ => return Err(unknown()),
                }
                self.stack.push(first);
                return Ok(());
            }
        };
        self.push(value);
        Ok(())
    }

    /// Applies the state of a NumPy array or element type. Other states are ignored, such as a dictionary's, which is
    /// what `torch` calls `_metadata`.
    fn set_state(&mut self, state: Id) -> Step {
        let top = self.top()?;
        let changed = match *self.get(top) {
            Value::Object(Global::NDARRAY) => self.array_of_state(state)?,
            Value::Dtype(dtype) => self.dtype_of_state(dtype, state),
            Value::Dict(_) | Value::Object(_) => None,
            Value::Global(global) => return Err(PickleProblem::RefusedGlobal(global.to_string())),
            ref other => return Err(PickleProblem::Type { expected: "an object", found: other.describe() }),
        };
        if let Some(changed) = changed {
            *self.top_mut()? = changed;
        }
        Ok(())
    }

    /// The storage that the persistent id `("storage", class, key, device, elements)` names.
    fn storage(&self, id: Id) -> Option<Storage<'a>> {
        let Value::Tuple(parts) = self.get(id) else { return None };
        let &[tag, class, key, _device, elements] = parts.as_slice() else { return None };
        match (self.get(tag), self.get(class), self.get(key), self.get(elements)) {
            (Value::Str("storage"), Value::Global(class), Value::Str(key), &Value::Int(elements)) => {
                Some(Storage { class: *class, key, elements: elements.try_into().ok()? })
            }
            _ => None,
        }
    }

    /// The tensor of the arguments `(storage, offset, shape, strides, ...)`. The rest concerns gradients.
    fn tensor(&self, arguments: &[Id]) -> Option<TensorRef<'a>> {
        let &[storage, offset, shape, strides, ..] = arguments else { return None };
        let (Value::Storage(storage), &Value::Int(offset)) = (self.get(storage), self.get(offset)) else {
            return None;
        };
        let (shape, strides) = (self.extents(shape)?, self.extents(strides)?);
        (shape.len() == strides.len()).then_some(TensorRef {
            storage: *storage,
            offset: offset.try_into().ok()?,
            shape,
            strides,
        })
    }

    /// The non-negative integers of a tuple.
    pub(crate) fn extents(&self, id: Id) -> Option<Vec<u64>> {
        let Value::Tuple(items) = self.get(id) else { return None };
        if items.len() > MAX_DIMENSIONS {
            return None;
        }
        let extent = |&item: &Id| match *self.get(item) {
            Value::Int(extent) => u64::try_from(extent).ok(),
            _ => None,
        };
        items.iter().map(extent).collect()
    }

    // The stack and the arena.

    pub(crate) fn get(&self, id: Id) -> &Value<'a> {
        &self.values[id.0 as usize]
    }

    fn push(&mut self, value: Value<'a>) {
        // This fits, since there are fewer than MAX_OPCODES values.
        let id = Id(self.values.len() as u32);
        self.values.push(value);
        self.stack.push(id);
    }

    /// The height of the stack at the last mark. Values below it are out of reach.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Step<Id> {
        match self.stack.last() {
            Some(&id) if self.stack.len() > self.floor() => Ok(id),
            _ => Err(PickleProblem::StackUnderflow),
        }
    }

    fn top_mut(&mut self) -> Step<&mut Value<'a>> {
        let top = self.top()?;
        Ok(&mut self.values[top.0 as usize])
    }

    fn pop(&mut self) -> Step<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_str(&mut self) -> Step<&'a str> {
        let top = self.pop()?;
        match *self.get(top) {
            Value::Str(text) => Ok(text),
            ref other => Err(PickleProblem::Type { expected: "a string", found: other.describe() }),
        }
    }

    fn pop_to_mark(&mut self) -> Step<Vec<Id>> {
        let mark = self.marks.pop().ok_or(PickleProblem::StackUnderflow)?;
        Ok(self.stack.drain(mark..).collect())
    }

    // The bytes.

    fn take(&mut self, len: usize) -> Step<&'a [u8]> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let taken = rest.get(..len).ok_or(PickleProblem::Truncated)?;
        self.position += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| PickleProblem::Truncated)
    }

    fn byte(&mut self) -> Step<u8> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// The bytes whose number precedes them.
    fn sized(&mut self, width: Width) -> Step<&'a [u8]> {
        let len = match width {
            Width::One => self.byte()?.into(),
            Width::Four => u32::from_le_bytes(self.array()?).into(),
            Width::Eight => u64::from_le_bytes(self.array()?),
        };
        self.take(usize::try_from(len).map_err(|_| PickleProblem::Truncated)?)
    }

    /// The text up to the next line feed.
    fn line(&mut self) -> Step<&'a str> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let len = rest.iter().position(|&byte| byte == b'\n').ok_or(PickleProblem::Truncated)?;
        let line = std::str::from_utf8(self.take(len)?).map_err(|_| PickleProblem::Utf8)?;
        self.position += 1;
        Ok(line)
    }
}

/// The size in bytes of the number that precedes a string.
#[derive(Clone, Copy)]
enum Width {
    One,
    Four,
    Eight,
}
