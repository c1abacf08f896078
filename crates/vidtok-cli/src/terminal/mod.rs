//! What is printed for people: lines in which nothing that a file says can act on the terminal.
//!
//! Names, keys, and what ffmpeg says of a file may hold anything. The macros of this module stand in the place of the
//! standard library's everywhere in this program, so what is printed passes here.

/// As the standard library's, one line: what would act on the terminal is escaped, line breaks too.
macro_rules! println {
    ($($text:tt)*) => { std::println!("{}", $crate::terminal::printable(&format!($($text)*))) };
}

/// As the standard library's, one line: what would act on the terminal is escaped, line breaks too.
macro_rules! eprintln {
    ($($text:tt)*) => { std::eprintln!("{}", $crate::terminal::printable(&format!($($text)*))) };
}

pub(crate) mod notices;
pub(crate) mod progress;

/// The most characters of a word, which a name of a file is, and of a line.
const WORD: usize = 300;
const LINE: usize = 2000;

/// One line that shows a text as it is but for characters that act on a terminal or change the order of others, which
/// are escaped, and for what is too long to be read, of which the middle is left out.
pub(crate) fn printable(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match acts(character) {
            true => line.extend(character.escape_default()),
            false => line.push(character),
        }
    }
    let words: Vec<String> = line.split(' ').map(|word| shortened(word, WORD)).collect();
    shortened(&words.join(" "), LINE)
}

/// Control characters (C0, DEL, C1), those that embed, override or mark a direction of writing, and what breaks lines.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text, or its beginning and its end with at most `most` characters together.
fn shortened(text: &str, most: usize) -> String {
    let length = text.chars().count();
    if length <= most {
        return text.to_owned();
    }
    let half = (most - 1) / 2;
    let (begin, end) = (text.chars().take(half), text.chars().skip(length - half));
    begin.chain(['\u{2026}']).chain(end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_of_any_script_is_printed_as_it_is() {
        for text in [
            "",
            "a  b.mp4: 3 %",
            "\u{dc}bung \u{e9}",
            "\u{65e5}\u{672c}",
            "\u{5d0}\u{5d1}",
            "\u{1f469}\u{200d}\u{1f52c}",
        ] {
            assert_eq!(printable(text), text);
        }
    }

    #[test]
    fn what_acts_on_a_terminal_is_escaped() {
        for (text, printed) in [
            ("\u{1b}[2J\u{7}", "\\u{1b}[2J\\u{7}"),
            ("a\u{9b}31m\u{7f}", "a\\u{9b}31m\\u{7f}"),
            ("a.mp4\nerror: no\r\t", "a.mp4\\nerror: no\\r\\t"),
            ("x\u{202e}4pm.\u{2066}y\u{200f}\u{2028}", "x\\u{202e}4pm.\\u{2066}y\\u{200f}\\u{2028}"),
        ] {
            assert_eq!(printable(text), printed);
        }
    }

    #[test]
    fn long_names_and_lines_lose_their_middle() {
        let name = format!("begin{}end.mp4", "\u{e9}".repeat(5000));
        let printed = printable(&format!("skipped: {name}: no video"));
        assert!(
            printed.starts_with("skipped: begin\u{e9}") && printed.ends_with("\u{e9}end.mp4: no video"),
            "{printed}"
        );
        assert!(printed.contains('\u{2026}') && printed.chars().count() < 330, "{printed}");
        let many = printable(&"key, ".repeat(5000));
        assert!(many.starts_with("key, key") && many.chars().count() <= LINE);
        assert_eq!(printable(&"a".repeat(WORD)), "a".repeat(WORD));
    }
}
