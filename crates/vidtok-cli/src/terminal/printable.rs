//! Text that is safe to print on a terminal.

/// The longest word, such as a file name, in characters.
const MAX_WORD: usize = 300;
/// The longest line, in characters.
const MAX_LINE: usize = 2000;

/// The text as one safe line.
///
/// Characters that control the terminal or reorder the text are escaped. Words and lines that are too long to read lose
/// their middle.
pub(crate) fn printable(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match is_control(character) {
            true => line.extend(character.escape_default()),
            false => line.push(character),
        }
    }
    let words: Vec<String> = line.split(' ').map(|word| shortened(word, MAX_WORD)).collect();
    shortened(&words.join(" "), MAX_LINE)
}

/// Whether it is a control character (C0, DEL, C1), a bidirectional mark, embedding or override, or a line separator.
fn is_control(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text if it has at most `max` characters, otherwise its start and its end with an ellipsis between.
fn shortened(text: &str, max: usize) -> String {
    let length = text.chars().count();
    if length <= max {
        return text.to_owned();
    }
    let half = (max - 1) / 2;
    let (start, end) = (text.chars().take(half), text.chars().skip(length - half));
    start.chain(['\u{2026}']).chain(end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_of_any_script_is_unchanged() {
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
    fn terminal_control_characters_are_escaped() {
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
        assert!(many.starts_with("key, key") && many.chars().count() <= MAX_LINE);
        assert_eq!(printable(&"a".repeat(MAX_WORD)), "a".repeat(MAX_WORD));
    }
}
