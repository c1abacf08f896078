//! Setting single values of a configuration: `model.ch=32`.

use toml::{Table, Value};

use crate::Error;

/// Sets each override of the form `key.key=value` in `table`. A value that is no TOML is taken as a string.
///
/// Whether the key exists is for the reader of the table to say.
pub(crate) fn apply(table: &mut Table, overrides: &[String]) -> Result<(), Error> {
    for text in overrides {
        let wrong = |problem| Error::Override { text: text.clone(), problem };
        let (path, value) = text.split_once('=').ok_or_else(|| wrong("expected key=value"))?;
        let mut keys: Vec<&str> = path.split('.').map(str::trim).collect();
        let last = keys.pop().filter(|last| !last.is_empty()).ok_or_else(|| wrong("expected key=value"))?;
        let mut place = &mut *table;
        for key in keys {
            place = match place.entry(key).or_insert_with(|| Value::Table(Table::new())) {
                Value::Table(table) => table,
                _ => return Err(wrong("a key in the middle holds a value, not a table")),
            };
        }
        place.insert(last.to_owned(), parse(value.trim()));
    }
    Ok(())
}

fn parse(text: &str) -> Value {
    let parsed: Option<Table> = toml::from_str(&format!("value = {text}")).ok();
    parsed.and_then(|mut table| table.remove("value")).unwrap_or_else(|| Value::String(text.to_owned()))
}
