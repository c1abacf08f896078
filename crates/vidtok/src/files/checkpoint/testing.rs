//! Writes small checkpoints, well-formed or not, for the tests.

use std::io::{Cursor, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::files::checkpoint::Checkpoint;
use crate::files::checkpoint::error::CheckpointError;

/// What a test pickles.
#[derive(Clone)]
pub(super) enum Py {
    None,
    Int(i64),
    Str(&'static str),
    Tuple(Vec<Py>),
    List(Vec<Py>),
    Dict(Vec<(Py, Py)>),
    Global(&'static str, &'static str),
    /// `REDUCE`: a global and its arguments.
    Call(&'static str, &'static str, Vec<Py>),
    /// `BINPERSID`.
    Persistent(Box<Py>),
    /// Opcodes as they are.
    Raw(Vec<u8>),
}

impl Py {
    /// A pickle of protocol 2.
    pub(super) fn pickle(&self) -> Vec<u8> {
        let mut out = vec![0x80, 2];
        self.write(&mut out);
        out.push(b'.');
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        let write_all = |items: &[Self], out: &mut Vec<u8>| items.iter().for_each(|item| item.write(out));
        match self {
            Self::None => out.push(b'N'),
            Self::Int(int) => {
                out.extend([0x8a, 8]);
                out.extend(int.to_le_bytes());
            }
            Self::Str(text) => {
                out.push(b'X');
                out.extend((text.len() as u32).to_le_bytes());
                out.extend(text.bytes());
            }
            Self::Tuple(items) => {
                out.push(b'(');
                write_all(items, out);
                out.push(b't');
            }
            Self::List(items) => {
                out.extend(b"](");
                write_all(items, out);
                out.push(b'e');
            }
            Self::Dict(pairs) => {
                out.extend(b"}(");
                for (key, value) in pairs {
                    key.write(out);
                    value.write(out);
                }
                out.push(b'u');
            }
            Self::Global(module, name) => out.extend(format!("c{module}\n{name}\n").bytes()),
            Self::Call(module, name, arguments) => {
                Self::Global(module, name).write(out);
                Self::Tuple(arguments.clone()).write(out);
                out.push(b'R');
            }
            Self::Persistent(id) => {
                id.write(out);
                out.push(b'Q');
            }
            Self::Raw(opcodes) => out.extend(opcodes),
        }
    }
}

/// A dictionary with text keys.
pub(super) fn dict<const N: usize>(pairs: [(&'static str, Py); N]) -> Py {
    Py::Dict(pairs.map(|(key, value)| (Py::Str(key), value)).into())
}

/// A storage of `elements`, such as `("FloatStorage", "0", 4)`.
pub(super) fn storage(class: &'static str, key: &'static str, elements: i64) -> Py {
    let class = Py::Global("torch", class);
    let id = vec![Py::Str("storage"), class, Py::Str(key), Py::Str("cpu"), Py::Int(elements)];
    Py::Persistent(Box::new(Py::Tuple(id)))
}

/// A view of `storage`.
pub(super) fn tensor(storage: Py, offset: i64, shape: &[i64], strides: &[i64]) -> Py {
    let ints = |values: &[i64]| Py::Tuple(values.iter().map(|&value| Py::Int(value)).collect());
    let hooks = Py::Call("collections", "OrderedDict", vec![]);
    let arguments = vec![storage, Py::Int(offset), ints(shape), ints(strides), Py::None, hooks];
    Py::Call("torch._utils", "_rebuild_tensor_v2", arguments)
}

/// An archive of these records, in the folder `t`.
pub(super) fn archive(method: CompressionMethod, records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in records {
        zip.start_file(format!("t/{name}"), SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A checkpoint of `root`, whose storages are given by key.
pub(super) fn checkpoint(root: &Py, storages: &[(&str, &[u8])]) -> Vec<u8> {
    let pickle = root.pickle();
    let names: Vec<String> = storages.iter().map(|(key, _)| format!("data/{key}")).collect();
    let mut records: Vec<(&str, &[u8])> = vec![("data.pkl", &pickle), ("byteorder", b"little")];
    records.extend(names.iter().map(String::as_str).zip(storages.iter().map(|(_, bytes)| *bytes)));
    archive(CompressionMethod::Stored, &records)
}

/// Reads `file` as if it lay at `test.ckpt`.
pub(super) fn read(file: &[u8]) -> Result<Checkpoint, CheckpointError> {
    crate::files::checkpoint::read(Cursor::new(file), Path::new("test.ckpt"))
}

/// The message of the error that reading `file` must give.
pub(super) fn refusal(file: &[u8]) -> String {
    read(file).expect_err("refused").to_string()
}
