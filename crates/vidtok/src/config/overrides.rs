//! Overrides of single values of a configuration: `model.ch=32`.

use toml::{Table, Value};

use crate::error::Error;

/// Applies overrides of the form `key.key=value` to `table`. A value that is not TOML is taken as a string. In a list of
/// tables, a key is the `name` of one of them: `train.stages.decoder.steps=100`.
///
/// Unknown keys are added here and refused when the table is deserialized.
pub(crate) fn apply(table: &mut Table, overrides: &[String]) -> Result<(), Error> {
    for text in overrides {
        let wrong = |problem| Error::Override { text: text.clone(), problem };
        let (path, value) = text.split_once('=').ok_or_else(|| wrong("expected key=value"))?;
        let mut keys: Vec<&str> = path.split('.').map(str::trim).collect();
        let last = keys.pop().filter(|last| !last.is_empty()).ok_or_else(|| wrong("expected key=value"))?;
        let mut target = &mut *table;
        let mut keys = keys.into_iter();
        while let Some(key) = keys.next() {
            target = match target.entry(key).or_insert_with(|| Value::Table(Table::new())) {
                Value::Table(table) => table,
                Value::Array(list) => {
                    let found = keys.next().and_then(|name| named(list, name));
                    found.ok_or_else(|| wrong("the list has no table with this name"))?
                }
                _ => return Err(wrong("a key before the last one is a value, not a table")),
            };
        }
        target.insert(last.to_owned(), parse(value.trim()));
    }
    Ok(())
}

fn named<'a>(list: &'a mut [Value], name: &str) -> Option<&'a mut Table> {
    let tables = list.iter_mut().filter_map(Value::as_table_mut);
    tables.into_iter().find(|table| table.get("name").and_then(Value::as_str) == Some(name))
}

fn parse(text: &str) -> Value {
    let parsed: Option<Table> = toml::from_str(&format!("value = {text}")).ok();
    parsed.and_then(|mut table| table.remove("value")).unwrap_or_else(|| Value::String(text.to_owned()))
}
