//! Rules for Rust sources, applied to the code without its comments and strings.

use super::Violation;

const MAX_LINES: usize = 600;

/// The one place for `unsafe`.
const UNSAFE_CRATE: &str = "crates/vidtok-torch/";

/// Macros of unfinished work.
const LEFTOVERS: [&str; 3] = ["todo", "unimplemented", "dbg"];

pub(super) fn check(path: &str, text: &str) -> Vec<Violation> {
    let lines = split(text);
    let mut violations = Vec::new();
    let count = text.lines().count();
    if count > MAX_LINES {
        violations.push(Violation::new(path, count, format!("has more than {MAX_LINES} lines, split it")));
    }
    for (index, line) in lines.iter().enumerate() {
        let mut violation = |message: String| violations.push(Violation::new(path, index + 1, message));
        for name in LEFTOVERS {
            if words(&line.code, name).any(|rest| rest.starts_with("!")) {
                violation(format!("{name}! is left"));
            }
        }
        for rest in words(&line.code, "unsafe") {
            if !path.starts_with(UNSAFE_CRATE) {
                violation(format!("unsafe outside {UNSAFE_CRATE}"));
            } else if opens_block(rest) && !is_justified(&lines, index) {
                violation("unsafe without a SAFETY comment above".into());
            }
        }
    }
    violations
}

/// What follows each occurrence of `word` as a word of its own.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    let in_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).filter_map(move |(start, _)| {
        let rest = &code[start + word.len()..];
        let whole = !code[..start].ends_with(in_name) && !rest.starts_with(in_name);
        whole.then_some(rest)
    })
}

/// Whether this `unsafe` vouches for something, unlike that of a function or foreign module, which demands it.
fn opens_block(rest: &str) -> bool {
    let rest = rest.trim_start();
    rest.is_empty() || rest.starts_with('{') || rest.starts_with("impl")
}

/// Whether a SAFETY comment stands on the line, or above it before an earlier statement ends.
fn is_justified(lines: &[Line], index: usize) -> bool {
    let above = lines[..index].iter().rev().take_while(|line| {
        let code = line.code.trim();
        let blank = code.is_empty() && line.comment.is_empty();
        !blank && (code.starts_with("#[") || !code.ends_with([';', '{', '}', ',']))
    });
    std::iter::once(&lines[index]).chain(above).any(|line| line.comment.contains("SAFETY"))
}

/// A line of source: its code with the contents of strings left out, and its comments.
#[derive(Default)]
struct Line {
    code: String,
    comment: String,
}

enum State {
    Code,
    LineComment,
    /// With the depth, as these nest.
    BlockComment(usize),
    String,
    /// With the number of hashes that end it.
    RawString(usize),
}

/// Separates code, comments and strings; no more of a lexer than that needs.
fn split(text: &str) -> Vec<Line> {
    let mut lines = vec![Line::default()];
    let mut state = State::Code;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        let last = lines.len() - 1;
        let Line { code, comment } = &mut lines[last];
        if c == '\n' {
            lines.push(Line::default());
            if matches!(state, State::LineComment) {
                state = State::Code;
            }
        } else {
            match state {
                State::Code if rest.starts_with("//") => state = State::LineComment,
                State::Code if rest.starts_with("/*") => {
                    state = State::BlockComment(1);
                    length = 2;
                }
                State::Code if c == '"' => {
                    state = raw_hashes(code).map_or(State::String, State::RawString);
                    code.push(c);
                }
                State::Code if c == '\'' => {
                    length = char_literal(rest).unwrap_or(1);
                    code.push(c);
                }
                State::Code => code.push(c),
                State::LineComment => comment.push(c),
                State::BlockComment(depth) if rest.starts_with("*/") => {
                    state = if depth == 1 { State::Code } else { State::BlockComment(depth - 1) };
                    length = 2;
                }
                State::BlockComment(depth) if rest.starts_with("/*") => {
                    state = State::BlockComment(depth + 1);
                    length = 2;
                }
                State::BlockComment(_) => comment.push(c),
                // An escaped line end still ends the line.
                State::String if c == '\\' && !rest.starts_with("\\\n") => {
                    length = rest.chars().take(2).map(char::len_utf8).sum()
                }
                State::String if c == '"' => {
                    code.push(c);
                    state = State::Code;
                }
                State::RawString(hashes) if c == '"' && rest[1..].starts_with(&"#".repeat(hashes)) => {
                    code.push(c);
                    length = 1 + hashes;
                    state = State::Code;
                }
                State::String | State::RawString(_) => {}
            }
        }
        rest = &rest[length..];
    }
    lines
}

/// How many hashes end the raw string that starts with a quote after `code`, if it is a raw one.
fn raw_hashes(code: &str) -> Option<usize> {
    let prefix = code.trim_end_matches('#');
    let raw = ["r", "br", "cr"].iter().any(|raw| words(prefix, raw).any(str::is_empty));
    raw.then_some(code.len() - prefix.len())
}

/// Length of the character literal that `rest` starts with, if it is one and not a lifetime.
fn char_literal(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first == '\\' {
        let (escaped, _) = chars.next()?;
        let start = escaped + rest[escaped..].chars().next()?.len_utf8();
        return rest[start..].find('\'').map(|end| start + end + 1);
    }
    let (end, quote) = chars.next()?;
    (quote == '\'').then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TORCH: &str = "crates/vidtok-torch/src/a.rs";

    fn messages(path: &str, text: &str) -> Vec<String> {
        check(path, text).iter().map(|violation| format!("{}: {}", violation.line, violation.message)).collect()
    }

    #[test]
    fn unsafe_is_refused_outside_its_crate() {
        let code = "fn a() {\n    unsafe { b() }\n}\n";
        assert_eq!(messages("crates/vidtok/src/a.rs", code), ["2: unsafe outside crates/vidtok-torch/"]);
        assert_eq!(messages("a.rs", "unsafe fn a() {}\n").len(), 1);
    }

    #[test]
    fn unsafe_in_comments_strings_and_lints_is_no_code() {
        let code = r##"#![forbid(unsafe_code)]
// unsafe { }
/* unsafe /* nested */ unsafe */
/// An unsafe thing.
const A: &str = "unsafe \" unsafe";
const B: &str = r#"unsafe " unsafe"#;
const C: char = '"'; const D: char = '\''; fn f<'a>(x: &'a str) {}
const E: &str = "
unsafe
";
"##;
        assert!(messages("a.rs", code).is_empty(), "{:?}", messages("a.rs", code));
        assert_eq!(messages("a.rs", "const C: char = '\"'; unsafe {}\n").len(), 1, "code goes on after a quote");
    }

    #[test]
    fn unsafe_blocks_need_a_safety_comment() {
        let missing = ["2: unsafe without a SAFETY comment above"];
        assert_eq!(messages(TORCH, "let a = 1;\nlet b = unsafe { c() };\n"), missing);
        assert_eq!(messages(TORCH, "// SAFETY: c is fine.\n\nunsafe { c() }\n").len(), 1, "a gap parts them");
        assert_eq!(messages(TORCH, "unsafe { a() }; // SAFETY: fine.\nunsafe { c() }\n"), missing);
        assert!(messages(TORCH, "// SAFETY: the pointer\n// is valid.\nlet b =\n    unsafe { c() };\n").is_empty());
        assert!(messages(TORCH, "// SAFETY: plain data.\n#[allow(x)]\nunsafe impl Send for A {}\n").is_empty());
        assert!(messages(TORCH, "unsafe extern \"C\" {\n    fn a();\n}\nunsafe fn b() {}\n").is_empty());
    }

    #[test]
    fn leftovers_are_found() {
        for name in LEFTOVERS {
            assert_eq!(messages("a.rs", &format!("    {name}!(x);\n")), [format!("1: {name}! is left")]);
            assert!(messages("a.rs", &format!("// {name}!()\nlet a = my_{name}!();\nlet {name} = !b;\n")).is_empty());
        }
    }

    #[test]
    fn long_files_are_found() {
        assert!(messages("a.rs", &"\n".repeat(MAX_LINES)).is_empty());
        assert_eq!(messages("a.rs", &"\n".repeat(MAX_LINES + 1)), ["601: has more than 600 lines, split it"]);
    }
}
