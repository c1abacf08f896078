//! Mutations of files that know their formats.

use rand::{Rng, RngExt};
use serde_json::{Map, Number, Value};

use crate::Format;

/// Numbers that expose errors in readers: limits of number types, and factors whose products overflow.
const NUMBERS: [i128; 18] = [
    -1,
    0,
    1,
    2,
    7,
    255,
    65_536,
    -(1 << 31),
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    1 << 53,
    1 << 62,
    i64::MIN as i128,
    i64::MAX as i128,
    u64::MAX as i128,
    1 << 64,
];

/// Strings that expose errors in readers.
const TEXTS: [&str; 12] =
    ["", "a", "\n", "\0", "\u{1b}[31m", "../a", "1/0", "nan", "inf", "-1", "1e999", "\u{202e}\u{e9}\u{1f600}"];

/// A nesting depth that overflows the stack of a recursive reader.
const DEEP: usize = 20_000;

/// Returns the file with one to four mutations, most of them within its parts.
#[must_use]
pub fn mutate(rng: &mut impl Rng, format: Format, file: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    for _ in 0..rng.random_range(1..=4) {
        file = change(rng, format, &file);
    }
    file
}

fn change<R: Rng>(rng: &mut R, format: Format, file: &[u8]) -> Vec<u8> {
    let as_bytes = rng.random_ratio(1, 4);
    if !as_bytes && let Some(mut parts) = format.split(file).filter(|parts| !parts.is_empty()) {
        let index = rng.random_range(0..parts.len());
        match rng.random_range(0..16) {
            0 => drop(parts.remove(index)),
            1 => parts.insert(index, parts[index].clone()),
            _ => parts[index].bytes = change(rng, parts[index].format, &parts[index].bytes),
        }
        return format.join(&parts);
    }
    match format {
        Format::Json if !as_bytes && let Ok(mut value) = serde_json::from_slice(file) => {
            change_value(rng, &mut value);
            value.to_string().into_bytes()
        }
        Format::Json | Format::JsonLines | Format::Text if rng.random() => change_text(rng, file),
        _ => {
            let mut file = file.to_vec();
            change_bytes(rng, &mut file);
            format.repair(&mut file);
            file
        }
    }
}

fn change_bytes<R: Rng>(rng: &mut R, file: &mut Vec<u8>) {
    let length = file.len();
    if length == 0 {
        return file.push(rng.random());
    }
    let start = rng.random_range(0..length);
    let span = start..rng.random_range(start..=length.min(start + 32));
    match rng.random_range(0..9) {
        0 => file[start] ^= 1 << rng.random_range(0..8),
        1 => file[start] = rng.random(),
        2 => file.insert(start, rng.random()),
        3 => drop(file.remove(start)),
        4 => drop(file.drain(span)),
        5 => file.truncate(start),
        6 => {
            let copy = file[span].to_vec();
            let position = rng.random_range(0..=length);
            drop(file.splice(position..position, copy));
        }
        7 => {
            let copy = file[span].to_vec();
            let position = rng.random_range(0..=length - copy.len());
            file[position..][..copy.len()].copy_from_slice(&copy);
        }
        _ => {
            let mut number = pick(rng, &NUMBERS).to_le_bytes();
            let bytes = &mut number[..pick(rng, &[1, 2, 4, 8])];
            if rng.random() {
                bytes.reverse();
            }
            let bytes = &bytes[..bytes.len().min(length - start)];
            file[start..][..bytes.len()].copy_from_slice(bytes);
        }
    }
}

/// Changes a number, moves or repeats a line, or inserts brackets.
fn change_text<R: Rng>(rng: &mut R, text: &[u8]) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = text.split_inclusive(|&byte| byte == b'\n').collect();
    if lines.is_empty() {
        return pick(rng, &TEXTS).as_bytes().to_vec();
    }
    let index = rng.random_range(0..lines.len());
    match rng.random_range(0..8) {
        0 => drop(lines.remove(index)),
        1 => lines.insert(index, lines[index]),
        2 => lines.swap(0, index),
        3 => {
            let at = rng.random_range(0..=text.len());
            let brackets = pick(rng, &["[", "{", "{\"a\":", "a.", "a = ["]).repeat(pick(rng, &[2, 90, 200, DEEP]));
            return [&text[..at], brackets.as_bytes(), &text[at..]].concat();
        }
        _ => return change_number(rng, text),
    }
    lines.concat()
}

fn change_number<R: Rng>(rng: &mut R, text: &[u8]) -> Vec<u8> {
    let is_digit = |position: usize| text.get(position).is_some_and(u8::is_ascii_digit);
    let starts: Vec<usize> = (0..text.len()).filter(|&at| is_digit(at) && (at == 0 || !is_digit(at - 1))).collect();
    if starts.is_empty() {
        return text.to_vec();
    }
    let start = pick(rng, &starts);
    let end = start + (start..).take_while(|&position| is_digit(position)).count();
    let number = match rng.random_range(0..4) {
        0 => pick(rng, &["nan", "1e999", "0.5", "-0.0", "true", "\"a\"", "[]"]).to_owned(),
        1 => rng.random_range(0..20).to_string(),
        _ => pick(rng, &NUMBERS).to_string(),
    };
    [&text[..start], number.as_bytes(), &text[end..]].concat()
}

/// Descends to a random depth, and changes the value there.
fn change_value<R: Rng>(rng: &mut R, value: &mut Value) {
    let descend = rng.random_ratio(7, 8);
    match value {
        Value::Array(items) if descend && !items.is_empty() => {
            let index = rng.random_range(0..items.len());
            change_value(rng, &mut items[index]);
        }
        Value::Object(entries) if descend && !entries.is_empty() => {
            let index = rng.random_range(0..entries.len());
            if let Some((_, value)) = entries.iter_mut().nth(index) {
                change_value(rng, value);
            }
        }
        Value::String(text) => match serde_json::from_str(text) {
            Ok(mut inner) if descend => {
                change_value(rng, &mut inner);
                *text = inner.to_string();
            }
            _ if rng.random() => *text = String::from_utf8_lossy(&change_number(rng, text.as_bytes())).into_owned(),
            _ => *text = pick(rng, &TEXTS).to_owned(),
        },
        Value::Array(items) => change_items(rng, items),
        Value::Object(entries) => change_entries(rng, entries),
        Value::Number(_) if descend => *value = any_number(rng),
        _ => *value = any_value(rng),
    }
}

fn change_items<R: Rng>(rng: &mut R, items: &mut Vec<Value>) {
    let index = rng.random_range(0..=items.len());
    match items.get(index).cloned() {
        Some(item) if rng.random() => items.insert(index, item),
        Some(_) => drop(items.remove(index)),
        None => items.push(any_value(rng)),
    }
}

fn change_entries<R: Rng>(rng: &mut R, entries: &mut Map<String, Value>) {
    let keys: Vec<String> = entries.keys().cloned().collect();
    if keys.is_empty() || rng.random_ratio(1, 3) {
        entries.insert(pick(rng, &TEXTS).to_owned(), any_value(rng));
        return;
    }
    let [from, to] = [0, 1].map(|_| keys[rng.random_range(0..keys.len())].clone());
    if let Some(value) = entries.remove(&from)
        && rng.random()
    {
        entries.insert(to, value);
    }
}

fn any_number<R: Rng>(rng: &mut R) -> Value {
    match rng.random_range(0..4) {
        0 => Value::from(pick(rng, &[0.5, -0.0, 1e308, -1e-308])),
        1 => Value::from(rng.random_range(0..20)),
        _ => Number::from_i128(pick(rng, &NUMBERS)).map_or(Value::from(1e20), Value::Number),
    }
}

fn any_value<R: Rng>(rng: &mut R) -> Value {
    match rng.random_range(0..6) {
        0 => Value::Null,
        1 => Value::Bool(rng.random()),
        2 => Value::from(pick(rng, &TEXTS)),
        3 => Value::Array(vec![any_number(rng)]),
        4 => Value::Object(Map::new()),
        _ => any_number(rng),
    }
}

/// A random element.
fn pick<R: Rng, T: Copy>(rng: &mut R, from: &[T]) -> T {
    from[rng.random_range(0..from.len())]
}
