//! The classes and functions that a pickle may call.
//!
//! Nothing is ever called, since a pickle is read as data. But a call of any other function is the mark of a hostile or
//! unrelated file, so it is refused by name.

use std::fmt;

/// A class or function that a pickle names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Global<'a> {
    /// Python's module.
    pub module: &'a str,
    /// The name within the module.
    pub name: &'a str,
}

/// The kind of value that a call of a [`Global`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Constructor {
    /// An empty dictionary.
    Dict,
    /// A tensor: a view of a storage.
    Tensor,
    /// The tensor that is the first argument.
    Parameter,
    /// The tuple that is the first argument.
    Size,
    /// A NumPy array whose contents follow as its state.
    Array,
    /// A NumPy array of the bytes in the first argument.
    Buffer,
    /// A NumPy element type.
    Dtype,
    /// An object whose contents are ignored.
    Object,
}

impl Global<'_> {
    /// The class of NumPy's arrays.
    pub(crate) const NDARRAY: Global<'static> = Global { module: "numpy", name: "ndarray" };

    /// The kind of value that a call returns; `None` if the call is not allowed.
    pub(crate) fn constructor(&self) -> Option<Constructor> {
        match (self.module, self.name) {
            ("collections", "OrderedDict" | "defaultdict") => Some(Constructor::Dict),
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Some(Constructor::Tensor),
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Some(Constructor::Parameter),
            ("torch", "Size") => Some(Constructor::Size),
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Some(Constructor::Array),
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Some(Constructor::Buffer),
            ("numpy", "dtype") => Some(Constructor::Dtype),
            _ => self.is_plain_object().then_some(Constructor::Object),
        }
    }

    /// Whether it is a data class that training frameworks store next to the weights.
    fn is_plain_object(&self) -> bool {
        match self.module {
            // Protocol 2 uses Python 2's names.
            "builtins" | "__builtin__" => {
                matches!(
                    self.name,
                    "bytearray" | "complex" | "dict" | "frozenset" | "list" | "range" | "set" | "slice" | "xrange"
                )
            }
            "_codecs" => self.name == "encode", // protocol 2 writes bytes this way
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

    fn constructor(module: &str, name: &str) -> Option<Constructor> {
        Global { module, name }.constructor()
    }

    #[test]
    fn a_package_covers_only_its_submodules() {
        assert_eq!(constructor("omegaconf.dictconfig", "DictConfig"), Some(Constructor::Object));
        assert_eq!(constructor("omegaconf", "DictConfig"), Some(Constructor::Object));
        assert_eq!(constructor("omegaconf_evil", "DictConfig"), None);
        assert_eq!(constructor("os", "system"), None);
    }

    #[test]
    fn builtins_that_execute_code_are_refused() {
        for name in ["getattr", "eval", "exec", "__import__", "open", "type"] {
            assert_eq!(constructor("builtins", name), None, "{name}");
        }
    }
}
