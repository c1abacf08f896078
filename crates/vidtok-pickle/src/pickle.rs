//! A pickle as the values that it holds.

use crate::error::PickleError;
use crate::machine::Machine;
use crate::value::{Id, Value};

/// The values of a pickle.
#[derive(Debug)]
pub struct Pickle<'a> {
    values: Vec<Value<'a>>,
    root: Id,
}

impl<'a> Pickle<'a> {
    /// Reads the pickle at the start of `bytes`.
    ///
    /// # Errors
    /// If it is damaged, or calls a function that is not allowed.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PickleError> {
        let (values, root) = Machine::new(bytes).run()?;
        Ok(Self { values, root })
    }

    /// The value that was pickled.
    #[must_use]
    pub fn root(&self) -> &Value<'a> {
        self.get(self.root)
    }

    /// The value with this `id`, which must come from this pickle.
    #[must_use]
    pub fn get(&self, id: Id) -> &Value<'a> {
        &self.values[id.0 as usize]
    }

    /// Follows `keys` through nested dictionaries, from the root. As in Python, the last of equal keys counts.
    #[must_use]
    pub fn entry(&self, keys: &[&str]) -> Option<&Value<'a>> {
        keys.iter().try_fold(self.root(), |value, key| {
            let Value::Dict(pairs) = value else { return None };
            let (_, found) = pairs.iter().rfind(|(name, _)| *self.get(*name) == Value::Str(key))?;
            Some(self.get(*found))
        })
    }
}
