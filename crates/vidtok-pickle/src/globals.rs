//! The classes and functions that a pickle may call.
//!
//! Nothing is ever called: a pickle is read as data. But a call of anything that is not known to make plain data is
//! the mark of a hostile or a foreign file, so it is refused by name.

use std::fmt;

/// A class or function that a pickle names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Global<'a> {
    /// Python's module.
    pub module: &'a str,
    /// The name in the module.
    pub name: &'a str,
}

/// What calling a [`Global`] gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A dictionary that keeps its order.
    Dict,
    /// A tensor: a view of a storage.
    Tensor,
    /// The tensor that is the first argument.
    Parameter,
    /// The tuple that is the first argument.
    Size,
    /// A NumPy array that gets its contents as its state.
    Array,
    /// A NumPy array of the bytes that are the first argument.
    Buffer,
    /// NumPy's description of an element type.
    Dtype,
    /// A plain object without interest here.
    Object,
}

impl Global<'_> {
    /// The class of NumPy's arrays.
    pub(crate) const NDARRAY: Global<'static> = Global { module: "numpy", name: "ndarray" };

    /// What calling it gives, or `None` if it is not known to make plain data.
    pub(crate) fn meaning(&self) -> Option<Meaning> {
        match (self.module, self.name) {
            ("collections", "OrderedDict" | "defaultdict") => Some(Meaning::Dict),
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Some(Meaning::Tensor),
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Some(Meaning::Parameter),
            ("torch", "Size") => Some(Meaning::Size),
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Some(Meaning::Array),
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Some(Meaning::Buffer),
            ("numpy", "dtype") => Some(Meaning::Dtype),
            _ => self.is_plain_object().then_some(Meaning::Object),
        }
    }

    /// Whether it is one of the data classes that training frameworks keep beside the weights.
    fn is_plain_object(&self) -> bool {
        match self.module {
            // Pickles of protocol 2 use Python 2's names.
            "builtins" | "__builtin__" => {
                matches!(
                    self.name,
                    "bytearray" | "complex" | "dict" | "frozenset" | "list" | "range" | "set" | "slice" | "xrange"
                )
            }
            "_codecs" => self.name == "encode", // how protocol 2 writes bytes
            "collections" => matches!(self.name, "Counter" | "deque"),
            "argparse" => self.name == "Namespace",
            "types" => self.name == "SimpleNamespace",
            "datetime" => matches!(self.name, "date" | "datetime" | "time" | "timedelta" | "timezone"),
            "decimal" => self.name == "Decimal",
            "fractions" => self.name == "Fraction",
            "uuid" => self.name == "UUID",
            "pathlib" | "pathlib._local" => {
                matches!(
                    self.name,
                    "Path" | "PosixPath" | "PurePath" | "PurePosixPath" | "PureWindowsPath" | "WindowsPath"
                )
            }
            "numpy" => self.name == "ndarray",
            "numpy.core.multiarray" | "numpy._core.multiarray" => self.name == "scalar",
            "torch" => self.name == "device",
            "torch.serialization" => self.name == "_get_layout",
            "torch.torch_version" => self.name == "TorchVersion",
            _ => {
                let package = self.module.split('.').next().unwrap_or_default();
                matches!(
                    package,
                    "lightning" | "lightning_fabric" | "lightning_utilities" | "omegaconf" | "pytorch_lightning"
                )
            }
        }
    }
}

impl fmt::Display for Global<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.module, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(module: &str, name: &str) -> Option<Meaning> {
        Global { module, name }.meaning()
    }

    #[test]
    fn packages_cover_their_submodules_only() {
        assert_eq!(meaning("omegaconf.dictconfig", "DictConfig"), Some(Meaning::Object));
        assert_eq!(meaning("omegaconf", "DictConfig"), Some(Meaning::Object));
        assert_eq!(meaning("omegaconf_evil", "DictConfig"), None);
        assert_eq!(meaning("os", "system"), None);
    }

    #[test]
    fn code_that_looks_things_up_is_no_data() {
        for name in ["getattr", "eval", "exec", "__import__", "open", "type"] {
            assert_eq!(meaning("builtins", name), None, "{name}");
        }
    }
}
