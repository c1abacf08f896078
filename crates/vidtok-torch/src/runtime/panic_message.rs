//! Readable messages from panics that libtorch may have caused.

use std::any::Any;

/// Turns a panic's payload into one line. tch panics with libtorch's message, which a trace of libtorch's functions
/// follows; the trace is left out.
#[must_use]
pub fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("unknown cause");
    let thrown = text.split_once("Torch(\"").map(|(_, thrown)| thrown);
    match thrown.or_else(|| text.strip_prefix("Internal torch error: ")) {
        Some(thrown) => {
            let end = ["\\n", "\n", "\")"].into_iter().filter_map(|end| thrown.find(end)).min().unwrap_or(thrown.len());
            format!("libtorch failed: {}", &thrown[..end])
        }
        None => format!("internal error: {}", text.lines().next().unwrap_or(text)),
    }
}

#[cfg(test)]
mod tests {
    use tch::TchError;

    use super::*;

    #[test]
    fn a_libtorch_error_becomes_one_line_without_its_trace() {
        let thrown = "not enough memory\nException raised from x\nframe #0".to_owned();
        let unwrapped = format!("called `Result::unwrap()` on an `Err` value: {:?}", TchError::Torch(thrown.clone()));
        for text in [unwrapped, TchError::Torch(thrown).to_string()] {
            assert_eq!(panic_message(&text), "libtorch failed: not enough memory");
        }
        assert_eq!(panic_message(&"index out of bounds"), "internal error: index out of bounds");
    }
}
