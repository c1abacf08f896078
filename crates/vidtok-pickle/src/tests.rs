//! Tests of the pickle reader.

use crate::error::MAX_OPCODES;
use crate::{Array, Dtype, Global, Order, Pickle, PickleProblem, Value};

fn problem(pickle: &[u8]) -> PickleProblem {
    Pickle::parse(pickle).expect_err("refused").problem
}

fn root(pickle: &[u8]) -> Value<'_> {
    Pickle::parse(pickle).unwrap().root().clone()
}

fn items<'p, 'a>(pickle: &'p Pickle<'a>) -> Vec<&'p Value<'a>> {
    let (Value::List(ids) | Value::Tuple(ids)) = pickle.root() else { panic!("not a sequence") };
    ids.iter().map(|&id| pickle.get(id)).collect()
}

/// The bytes come from Python's `pickle.dumps`.
#[test]
fn scalars_have_the_values_that_python_wrote() {
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
fn integers_beyond_64_bits_are_read_as_objects() {
    let Value::Object(class) = root(b"\x80\x02\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01.") else {
        panic!("not an object")
    };
    assert_eq!(class.to_string(), "builtins.int");
}

/// `[1, (2, 3), {4}]` in protocol 4.
#[test]
fn nested_containers_are_read() {
    let pickle = b"\x80\x04\x95\x14\x00\x00\x00\x00\x00\x00\x00]\x94(K\x01K\x02K\x03\x86\x94\x8f\x94(K\x04\x90e.";
    let pickle = Pickle::parse(pickle).unwrap();
    let [Value::Int(1), Value::Tuple(pair), Value::List(set)] = items(&pickle)[..] else { panic!("{pickle:?}") };
    assert_eq!((pair.len(), pickle.get(set[0])), (2, &Value::Int(4)));
}

/// `a = []; a.append(a)`.
#[test]
fn cycles_are_read() {
    let pickle = Pickle::parse(b"\x80\x02]q\x00h\x00a.").unwrap();
    assert_eq!(items(&pickle), [pickle.root()]);
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    let mut pickle = vec![0x80, 2, b')'];
    pickle.extend(std::iter::repeat_n(0x85, 1_000_000));
    pickle.push(b'.');
    assert!(Pickle::parse(&pickle).is_ok());
}

#[test]
fn the_number_of_opcodes_is_limited() {
    let mut pickle = vec![0x80, 2];
    pickle.resize(MAX_OPCODES + 2, b'(');
    assert_eq!(problem(&pickle), PickleProblem::TooLong);
}

#[test]
fn calls_of_unknown_functions_are_refused_by_name_and_offset() {
    let call = b"\x80\x02K\x01cos\nsystem\nX\x04\x00\x00\x00true\x85R\x86.";
    let error = Pickle::parse(call).unwrap_err();
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
fn a_function_that_is_named_but_not_called_is_accepted() {
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

/// `{"c": [[0, 1, 2], [3, 4, 5]], "f": the same in Fortran order}` of float32, in protocol 3 (NumPy 2.4) and in
/// protocol 5.
const ARRAYS: &[u8] = b"\x80\x03}q\x00(X\x01\x00\x00\x00cq\x01cnumpy._core.multiarray\n_reconstruct\nq\x02cnumpy\n\
    ndarray\nq\x03K\x00\x85q\x04C\x01bq\x05\x87q\x06Rq\x07(K\x01K\x02K\x03\x86q\x08cnumpy\ndtype\nq\tX\x02\x00\
    \x00\x00f4q\n\x89\x88\x87q\x0bRq\x0c(K\x03X\x01\x00\x00\x00<q\rNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00\
    tq\x0eb\x89C\x18\x00\x00\x00\x00\x00\x00\x80?\x00\x00\x00@\x00\x00@@\x00\x00\x80@\x00\x00\xa0@q\x0ftq\x10b\
    X\x01\x00\x00\x00fq\x11h\x02h\x03K\x00\x85q\x12h\x05\x87q\x13Rq\x14(K\x01K\x02K\x03\x86q\x15h\x0c\x88C\x18\
    \x00\x00\x00\x00\x00\x00@@\x00\x00\x80?\x00\x00\x80@\x00\x00\x00@\x00\x00\xa0@q\x16tq\x17bu.";
const ARRAYS_PROTOCOL_5: &[u8] = b"\x80\x05\x95\xcf\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01c\x94\x8c\x13numpy._core.\
    numeric\x94\x8c\x0b_frombuffer\x94\x93\x94(\x96\x18\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80?\
    \x00\x00\x00@\x00\x00@@\x00\x00\x80@\x00\x00\xa0@\x94\x8c\x05numpy\x94\x8c\x05dtype\x94\x93\x94\x8c\x02f4\x94\
    \x89\x88\x87\x94R\x94(K\x03\x8c\x01<\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94bK\x02K\x03\x86\x94\
    \x8c\x01C\x94t\x94R\x94\x8c\x01f\x94h\x04(\x96\x18\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00@@\
    \x00\x00\x80?\x00\x00\x80@\x00\x00\x00@\x00\x00\xa0@\x94h\x0bK\x02K\x03\x86\x94\x8c\x01F\x94t\x94R\x94u.";

fn array<'p, 'a>(pickle: &'p Pickle<'a>, key: &str) -> &'p Array<'a> {
    match pickle.entry(&[key]) {
        Some(Value::Array(array)) => array,
        other => panic!("{other:?}"),
    }
}

#[test]
fn arrays_keep_type_shape_order_and_bytes() {
    for bytes in [ARRAYS, ARRAYS_PROTOCOL_5] {
        let pickle = Pickle::parse(bytes).unwrap();
        for (key, order, strides) in [("c", Order::C, [3, 1]), ("f", Order::Fortran, [1, 2])] {
            let array = array(&pickle, key);
            assert_eq!((array.dtype, array.shape.as_slice(), array.order), (Dtype::F32, &[2, 3][..], order));
            assert_eq!(array.strides(), strides);
            let element = |row: usize, column: usize| {
                let at = 4 * (row * strides[0] + column * strides[1]);
                f32::from_le_bytes(array.bytes[at..at + 4].try_into().unwrap())
            };
            assert_eq!([element(0, 0), element(0, 2), element(1, 0), element(1, 2)], [0.0, 2.0, 3.0, 5.0], "{key}");
        }
    }
}

/// `bytes` with the first occurrence of `from` replaced by `to`.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[test]
fn arrays_whose_size_does_not_match_their_shape_are_refused() {
    for (from, to, shape) in [
        (b"K\x02K\x03\x86q\x08", b"K\x02K\x04\x86q\x08", [2, 4]),
        (b"K\x02K\x03\x86q\x08", b"K\x00K\x03\x86q\x08", [0, 3]),
    ] {
        let expected = PickleProblem::ArraySize { dtype: "<f4".to_owned(), shape: shape.into(), bytes: 24 };
        assert_eq!(problem(&replaced(ARRAYS, from, to)), expected);
    }
    let huge = replaced(ARRAYS, b"K\x02K\x03\x86q\x08", b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fK\x03\x86q\x08");
    assert!(matches!(problem(&huge), PickleProblem::ArraySize { bytes: 24, .. }));
}

#[test]
fn arrays_keep_other_element_types_or_are_read_as_objects() {
    let big_endian = replaced(ARRAYS, b"<q\r", b">q\r");
    let pickle = Pickle::parse(&big_endian).unwrap();
    assert_eq!(array(&pickle, "c").dtype.to_string(), ">f4");
    let half = replaced(ARRAYS, b"f4q", b"f2q");
    assert!(matches!(problem(&half), PickleProblem::ArraySize { .. }));
    // Dates, strings and Python objects are not numbers.
    for code in [b"M8q", b"U1q", b"O8q"] {
        let other = replaced(ARRAYS, b"f4q", code);
        let pickle = Pickle::parse(&other).unwrap();
        assert_eq!(pickle.entry(&["c"]).unwrap().describe(), "an object of numpy.ndarray");
    }
}

#[test]
fn entry_follows_keys_through_nested_dictionaries() {
    // {"a": {"b": 1, "b": 2}}
    let nested = b"\x80\x02}X\x01\x00\x00\x00a}(X\x01\x00\x00\x00bK\x01X\x01\x00\x00\x00bK\x02us.";
    let pickle = Pickle::parse(nested).unwrap();
    assert_eq!(pickle.entry(&["a", "b"]), Some(&Value::Int(2)));
    assert_eq!(pickle.entry(&[]), Some(pickle.root()));
    for missing in [&["b"][..], &["a", "c"], &["a", "b", "c"]] {
        assert_eq!(pickle.entry(missing), None);
    }
}

#[test]
fn damaged_arrays_never_panic() {
    let mut accepted = 0;
    for at in 0..ARRAYS.len() {
        for byte in [0, 1, 0x7f, 0x80, 0xff, b'K', b'('] {
            let mut damaged = ARRAYS.to_vec();
            damaged[at] = byte;
            let Ok(pickle) = Pickle::parse(&damaged) else { continue };
            accepted += 1;
            if let Some(Value::Array(array)) = pickle.entry(&["c"]) {
                assert_eq!(array.strides().len(), array.shape.len());
            }
        }
    }
    assert!((100..1500).contains(&accepted), "{accepted} accepted");
}
