//! Tests of the restricted unpickler.

use super::*;
use crate::checkpoint::testing::Py;

fn problem(pickle: &[u8]) -> PickleProblem {
    Pickle::parse(pickle).expect_err("refused").problem
}

fn root(pickle: &[u8]) -> Value<'_> {
    Pickle::parse(pickle).unwrap().root().clone()
}

fn items<'p, 'a>(pickle: &'p Pickle<'a>) -> Vec<&'p Value<'a>> {
    let (Value::List(ids) | Value::Tuple(ids)) = pickle.root() else { panic!("no sequence") };
    ids.iter().map(|&id| pickle.get(id)).collect()
}

/// The bytes are what Python's `pickle.dumps` writes.
#[test]
fn scalars_are_what_python_wrote() {
    assert_eq!(root(b"\x80\x02N."), Value::None);
    assert_eq!(root(b"\x80\x02\x88."), Value::Bool(true));
    assert_eq!(root(b"\x80\x02M\x00\xff."), Value::Int(65_280));
    assert_eq!(root(b"\x80\x02J\xff\xff\xff\xff."), Value::Int(-1));
    assert_eq!(root(b"\x80\x02\x8a\x06\x00\x00\x00\x00\x00\xff."), Value::Int(-(1 << 40)));
    assert_eq!(root(b"\x80\x02\x8a\x05\x00\x00\x00\x80\x00."), Value::Int(1 << 31));
    assert_eq!(root(b"\x80\x02\x8a\x00."), Value::Int(0));
    assert_eq!(root(b"\x80\x02G?\xf8\x00\x00\x00\x00\x00\x00."), Value::Float(1.5));
    assert_eq!(root(b"\x80\x02X\x03\x00\x00\x00\xc3\xa9aq\x00."), Value::Str("\u{e9}a"));
    assert_eq!(root(b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x01a\x94."), Value::Str("a"));
    assert_eq!(root(b"\x80\x03C\x02\x00\xffq\x00."), Value::Bytes(&[0, 255]));
}

#[test]
fn numbers_beyond_64_bits_are_kept_as_objects() {
    let Value::Object(class) = root(b"\x80\x02\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01.") else {
        panic!("no object")
    };
    assert_eq!(class.to_string(), "builtins.int");
}

/// `[1, (2, 3), {4}]` in protocol 4.
#[test]
fn containers_nest() {
    let pickle = b"\x80\x04\x95\x14\x00\x00\x00\x00\x00\x00\x00]\x94(K\x01K\x02K\x03\x86\x94\x8f\x94(K\x04\x90e.";
    let pickle = Pickle::parse(pickle).unwrap();
    let [Value::Int(1), Value::Tuple(pair), Value::List(set)] = items(&pickle)[..] else { panic!("{pickle:?}") };
    assert_eq!((pair.len(), pickle.get(set[0])), (2, &Value::Int(4)));
}

/// `a = []; a.append(a)`.
#[test]
fn rings_are_read_without_end() {
    let pickle = Pickle::parse(b"\x80\x02]q\x00h\x00a.").unwrap();
    assert_eq!(items(&pickle), [pickle.root()]);
}

#[test]
fn deep_nesting_takes_no_stack() {
    let mut pickle = vec![0x80, 2, b')'];
    pickle.extend(std::iter::repeat_n(0x85, 1_000_000));
    pickle.push(b'.');
    assert!(Pickle::parse(&pickle).is_ok());
}

#[test]
fn opcodes_are_limited() {
    let mut pickle = vec![0x80, 2];
    pickle.resize(MAX_OPCODES + 2, b'(');
    assert_eq!(problem(&pickle), PickleProblem::TooLong);
}

#[test]
fn calls_of_unknown_globals_are_refused_by_name_and_place() {
    let call = Py::Tuple(vec![Py::Int(1), Py::Call("os", "system", vec![Py::Str("true")])]).pickle();
    let error = Pickle::parse(&call).unwrap_err();
    assert_eq!(error.problem, PickleProblem::RefusedGlobal("os.system".to_owned()));
    assert_eq!(call[error.offset], b'R');
    // NEWOBJ, NEWOBJ_EX, BUILD, and a name from the stack.
    for call in [
        &b"\x80\x02cos\nsystem\n)\x81."[..],
        b"\x80\x04cos\nsystem\n)}\x92.",
        b"\x80\x02cos\nsystem\n}b.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93)R.",
    ] {
        assert_eq!(problem(call), PickleProblem::RefusedGlobal("os.system".to_owned()));
    }
}

#[test]
fn results_of_calls_cannot_be_called() {
    let path = b"\x80\x02cpathlib\nPosixPath\n)R)R.";
    assert_eq!(problem(path), PickleProblem::NotCallable("an object of pathlib.PosixPath".to_owned()));
}

#[test]
fn a_global_that_is_only_named_is_harmless() {
    assert_eq!(root(b"\x80\x02cos\nsystem\n."), Value::Global(Global { module: "os", name: "system" }));
}

#[test]
fn damaged_pickles_are_refused() {
    for (pickle, expected) in [
        (&b""[..], PickleProblem::Protocol),
        (b"N.", PickleProblem::Protocol),
        (b"\x80\x06N.", PickleProblem::Protocol),
        (b"\x80\x02", PickleProblem::Truncated),
        (b"\x80\x02N", PickleProblem::Truncated),
        (b"\x80\x02X\xff\xff\xff\xffab.", PickleProblem::Truncated),
        (b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xffab.", PickleProblem::Truncated),
        (b"\x80\x02cos\nsystem", PickleProblem::Truncated),
        (b"\x80\x02.", PickleProblem::StackUnderflow),
        (b"\x80\x02t.", PickleProblem::StackUnderflow),
        (b"\x80\x02N(0.", PickleProblem::StackUnderflow),
        (b"\x80\x02N(\x85.", PickleProblem::StackUnderflow),
        (b"\x80\x02}(Nu.", PickleProblem::StackUnderflow),
        (b"\x80\x02h\x07.", PickleProblem::Memo(7)),
        (b"\x80\x02X\x01\x00\x00\x00\xff.", PickleProblem::Utf8),
        (b"\x80\x02I1\n.", PickleProblem::Opcode(b'I')),
        (b"\x80\x02NNa.", PickleProblem::Type { expected: "a list", found: "None".to_owned() }),
        (b"\x80\x02NQ.", PickleProblem::PersistentId),
    ] {
        assert_eq!(problem(pickle), expected, "{pickle:?}");
    }
}
