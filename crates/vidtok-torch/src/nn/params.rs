//! Parameters by name. Layers request them from a [`ParamPath`] while a network is built.
//!
//! tch's `VarStore` renames a parameter that is registered twice, rejects dots, loses the order, and adopts the dtype
//! of a loaded file. Here a name is the published state_dict key and may be requested once. A network is built against
//! a whole file, so that one error reports every missing, unexpected or wrongly shaped key.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::rc::Rc;

use tch::{Device, Kind, Tensor};

use crate::nn::init::Init;

/// A position in the tree of parameter names, from which a network under construction gets its parameters.
///
/// Clones are cheap. All positions of a tree share one collection of parameters.
#[derive(Clone, Debug)]
pub struct ParamPath {
    builder: Rc<RefCell<Builder>>,
    prefix: String,
}

#[derive(Debug)]
struct Builder {
    source: Source,
    device: Device,
    kind: Kind,
    taken: BTreeMap<String, Tensor>,
    buffers: BTreeSet<String>,
    problems: ParameterError,
}

#[derive(Debug)]
enum Source {
    Fresh,
    Shapes,
    Loaded(BTreeMap<String, Tensor>),
}

impl ParamPath {
    /// The root of a network with initial values in float32, from libtorch's global generator (`tch::manual_seed`).
    #[must_use]
    pub fn fresh(device: Device) -> Self {
        Self::root(Source::Fresh, device, Kind::Float)
    }

    /// The root of a network whose parameters have shapes but no memory or meaningful values.
    #[must_use]
    pub fn shapes() -> Self {
        Self::root(Source::Shapes, Device::Cpu, Kind::Float)
    }

    /// The root of a network with the values of `tensors`, moved to `device` and converted to `kind`.
    #[must_use]
    pub fn loaded(tensors: BTreeMap<String, Tensor>, device: Device, kind: Kind) -> Self {
        Self::root(Source::Loaded(tensors), device, kind)
    }

    fn root(source: Source, device: Device, kind: Kind) -> Self {
        let builder = Builder {
            source,
            device,
            kind,
            taken: BTreeMap::new(),
            buffers: BTreeSet::new(),
            problems: ParameterError::default(),
        };
        Self { builder: Rc::new(RefCell::new(builder)), prefix: String::new() }
    }

    /// The position `name` below this one.
    #[must_use]
    pub fn sub(&self, name: impl Display) -> Self {
        let prefix = match self.prefix.as_str() {
            "" => name.to_string(),
            prefix => format!("{prefix}.{name}"),
        };
        Self { builder: Rc::clone(&self.builder), prefix }
    }

    /// Requests the parameter `name` at this position. [`finish`](Self::finish) reports problems; until then a
    /// problematic parameter is a placeholder of the right shape.
    pub fn get(&self, name: &str, shape: &[i64], init: Init) -> Tensor {
        let key = self.sub(name).prefix;
        self.builder.borrow_mut().take(key, shape, init)
    }

    /// Requests a buffer: like [`get`](Self::get), for tensors of a network's state that are never trained.
    pub fn buffer(&self, name: &str, shape: &[i64], init: Init) -> Tensor {
        let tensor = self.get(name, shape, init);
        self.builder.borrow_mut().buffers.insert(self.sub(name).prefix);
        tensor
    }

    /// Finishes the network and returns all requested parameters.
    ///
    /// # Errors
    /// If a key is missing, unexpected, wrongly shaped, or was requested twice.
    pub fn finish(self) -> Result<Parameters, ParameterError> {
        let mut builder = self.builder.borrow_mut();
        let mut problems = std::mem::take(&mut builder.problems);
        if let Source::Loaded(rest) = std::mem::replace(&mut builder.source, Source::Shapes) {
            problems.unexpected = rest.into_keys().collect();
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Parameters { tensors: std::mem::take(&mut builder.taken), buffers: std::mem::take(&mut builder.buffers) })
    }
}

impl Builder {
    fn take(&mut self, key: String, shape: &[i64], init: Init) -> Tensor {
        let tensor = match &mut self.source {
            Source::Fresh => init.tensor(shape),
            Source::Shapes => placeholder(shape),
            Source::Loaded(tensors) => match tensors.remove(&key) {
                Some(tensor) if tensor.size() == shape => tensor.contiguous(),
                Some(tensor) => {
                    self.problems.shapes.push((key.clone(), shape.to_vec(), tensor.size()));
                    placeholder(shape)
                }
                None => {
                    self.problems.missing.push(key.clone());
                    placeholder(shape)
                }
            },
        };
        let tensor = tensor.to_device(self.device).to_kind(self.kind);
        if self.taken.insert(key.clone(), tensor.shallow_clone()).is_some() {
            self.problems.repeated.push(key);
        }
        tensor
    }
}

/// A tensor of any shape in the memory of a single element.
fn placeholder(shape: &[i64]) -> Tensor {
    Tensor::zeros([1], (Kind::Float, Device::Cpu)).expand(shape, false)
}

/// The parameters of a network, sorted by name. They share memory with the network's layers.
#[derive(Debug)]
pub struct Parameters {
    tensors: BTreeMap<String, Tensor>,
    buffers: BTreeSet<String>,
}

impl Parameters {
    /// The names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Names and tensors in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The parameter with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// The parameters that require gradients, in the order of the names.
    pub fn trained(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.iter().filter(|(_, tensor)| tensor.requires_grad())
    }

    /// The number of elements of all parameters whose names start with `prefix`.
    #[must_use]
    pub fn count(&self, prefix: &str) -> i64 {
        let below = self.tensors.iter().filter(|(name, _)| name.starts_with(prefix));
        below.map(|(_, tensor)| tensor.numel() as i64).sum()
    }

    /// Enables or disables gradients for the parameters whose names start with `prefix`. [Buffers](ParamPath::buffer)
    /// never have gradients.
    pub fn set_requires_grad(&self, prefix: &str, requires_grad: bool) {
        for (name, tensor) in &self.tensors {
            if name.starts_with(prefix) && !self.buffers.contains(name) {
                let _ = tensor.set_requires_grad(requires_grad);
            }
        }
    }
}

/// The keys of a file do not match those of the network.
#[derive(Debug, Default, thiserror::Error)]
pub struct ParameterError {
    /// Keys of the network that are missing from the file.
    pub missing: Vec<String>,
    /// Keys of the file that the network does not have.
    pub unexpected: Vec<String>,
    /// Keys with wrong shapes: key, expected shape, found shape.
    pub shapes: Vec<(String, Vec<i64>, Vec<i64>)>,
    /// Keys that the network requested twice, which is a bug of the network.
    pub repeated: Vec<String>,
}

impl ParameterError {
    fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.shapes.is_empty() && self.repeated.is_empty()
    }
}

/// The most keys of each kind that a message lists.
const MAX_LISTED: usize = 8;

impl Display for ParameterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the parameters do not fit the model:")?;
        let shapes: Vec<String> = self
            .shapes
            .iter()
            .take(MAX_LISTED)
            .map(|(key, expected, found)| format!("{key} (expected {expected:?}, found {found:?})"))
            .collect();
        let kinds = [
            ("missing", &self.missing, self.missing.len()),
            ("unexpected", &self.unexpected, self.unexpected.len()),
            ("wrongly shaped", &shapes, self.shapes.len()),
            ("repeated", &self.repeated, self.repeated.len()),
        ];
        let mut separator = "";
        for (kind, keys, count) in kinds.into_iter().filter(|(_, _, count)| *count > 0) {
            let listed = keys.iter().take(MAX_LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if count > MAX_LISTED { ", ..." } else { "" };
            write!(f, "{separator} {count} {kind}: {listed}{more}")?;
            separator = ";";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors(shapes: &[(&str, &[i64])]) -> BTreeMap<String, Tensor> {
        shapes
            .iter()
            .map(|(name, shape)| ((*name).to_owned(), Tensor::ones(*shape, (Kind::Float, Device::Cpu))))
            .collect()
    }

    #[test]
    fn the_error_lists_every_key_that_does_not_match() {
        let root = ParamPath::loaded(
            tensors(&[("a.weight", &[2]), ("a.bias", &[3]), ("old", &[1])]),
            Device::Cpu,
            Kind::Float,
        );
        let a = root.sub("a");
        for name in ["weight", "bias", "gain"] {
            let _ = a.get(name, &[2], Init::Constant(0.0));
        }
        let error = root.finish().unwrap_err();
        assert_eq!(error.missing, ["a.gain"]);
        assert_eq!(error.unexpected, ["old"]);
        assert_eq!(error.shapes, [("a.bias".to_owned(), vec![2], vec![3])]);
        assert!(error.to_string().contains("1 missing: a.gain"), "{error}");
    }

    #[test]
    fn requesting_a_name_twice_is_an_error() {
        let root = ParamPath::fresh(Device::Cpu);
        let _ = root.get("a", &[1], Init::Constant(0.0));
        let _ = root.get("a", &[1], Init::Constant(0.0));
        assert_eq!(root.finish().unwrap_err().repeated, ["a"]);
    }

    #[test]
    fn loaded_parameters_are_converted_to_the_requested_kind() {
        let half = tensors(&[("a", &[2])]).into_iter().map(|(k, v)| (k, v.to_kind(Kind::Half))).collect();
        let root = ParamPath::loaded(half, Device::Cpu, Kind::Float);
        assert_eq!(root.get("a", &[2], Init::Constant(0.0)).kind(), Kind::Float);
    }

    #[test]
    fn parameters_share_memory_with_the_layers() {
        let root = ParamPath::fresh(Device::Cpu);
        let mut layer = root.get("a", &[1], Init::Constant(0.0));
        let parameters = root.finish().unwrap();
        let _ = layer.fill_(7.0);
        assert_eq!(parameters.get("a").unwrap().double_value(&[0]), 7.0);
    }
}
