//! Errors on one line.

/// The error and its causes on one line, without causes that the line already contains.
pub(crate) fn error_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn causes_follow_on_the_same_line_unless_they_repeat_it() {
        let error = anyhow!("no such file\n  (os error 2)").context("a.toml");
        assert_eq!(error_line(&error), "a.toml: no such file (os error 2)");
        let repeated = anyhow!("no such file").context("a.toml: no such file");
        assert_eq!(error_line(&repeated), "a.toml: no such file");
    }
}
