//! The smallest pieces of a text, with what stood between them. What the lexer does not know it cuts
//! finely, and what touched in the text touches in the end, so that no meaning hangs on this list.

/// A piece of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'t> {
    /// What it is.
    pub(super) kind: Kind,
    /// As it was written.
    pub(super) text: &'t str,
    /// How many lines end before it: none, one, or two for any number beyond.
    pub(super) breaks: u8,
    /// Whether anything stands between it and the piece before it.
    pub(super) space: bool,
    /// Whether it is the first of its line, without any indent.
    pub(super) flush: bool,
}

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word or a version.
    Word,
    /// Digits with whatever stands behind them.
    Quantity,
    /// Text in quotes, of one line or of many.
    Text,
    /// From `#` to the end of the line.
    Comment,
    /// An operator with spaces around it.
    Infix,
    /// Brackets, commas and all the rest.
    Mark,
}

impl Token<'_> {
    /// Returns whether it is this mark or this word.
    pub(super) fn is(&self, text: &str) -> bool {
        self.kind != Kind::Text && self.text == text
    }
}

/// Cuts a text into its pieces.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found: Vec<Token<'_>> = Vec::with_capacity(text.len() / 5);
    let bytes = text.as_bytes();
    let (mut at, mut breaks, mut space, mut flush) = (0, 0u8, true, true);
    while at < bytes.len() {
        match bytes[at] {
            b'\n' => {
                (breaks, space, flush) = ((breaks + 1).min(2), true, true);
                at += 1;
            }
            b' ' | b'\t' | b'\r' => {
                (space, flush) = (true, false);
                at += 1;
            }
            _ => {
                let before = found.last().copied();
                let (kind, length) = next(&text[at..], before);
                let piece = &text[at..at + length];
                let piece =
                    if kind == Kind::Comment { piece.trim_end_matches([' ', '\t', '\r']) } else { piece };
                found.push(Token {
                    kind,
                    text: piece,
                    breaks,
                    space,
                    flush: flush && (breaks > 0 || at == 0),
                });
                (breaks, space, flush) = (0, false, false);
                at += length;
            }
        }
    }
    found
}

/// Returns what a text begins with, and how long that is; `before` is what stands before it.
fn next(text: &str, before: Option<Token<'_>>) -> (Kind, usize) {
    let bytes = text.as_bytes();
    let blank = |i: usize| bytes.get(i).is_none_or(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'));
    match bytes[0] {
        b'#' => (Kind::Comment, text.find('\n').unwrap_or(text.len())),
        b'"' if text.starts_with("\"\"\"") => {
            (Kind::Text, text[3..].find("\"\"\"").map_or(text.len(), |end| end + 6))
        }
        b'"' => (Kind::Text, quoted(bytes)),
        b'v' if bytes.get(1).is_some_and(u8::is_ascii_digit) => {
            let joins = |i: usize| matches!(bytes[i], b'.' | b'+') && alphanumeric(bytes, i + 1);
            (Kind::Word, run(bytes, |i| joins(i) || word(bytes[i])))
        }
        b if b.is_ascii_alphabetic() => (Kind::Word, run(bytes, |i| word(bytes[i]))),
        b if b.is_ascii_digit() => {
            if let Some(length) = shape(bytes) {
                return (Kind::Quantity, length);
            }
            let joins = |i: usize| bytes[i] == b'%' || bytes[i] == b'.' && alphanumeric(bytes, i + 1);
            (Kind::Quantity, run(bytes, |i| joins(i) || bytes[i].is_ascii_alphanumeric()))
        }
        b'=' | b'!' | b'<' | b'>' if bytes.get(1) == Some(&b'=') => (Kind::Infix, 2),
        b'<' | b'>' | b'|' | b'+' => (Kind::Infix, 1),
        b'-' if blank(1) && before.is_some_and(|b| b.kind != Kind::Mark || matches!(b.text, ")" | "]")) => {
            (Kind::Infix, 1)
        }
        b'.' if text.starts_with("..") => (Kind::Mark, 2),
        _ => (Kind::Mark, text.chars().next().map_or(1, char::len_utf8)),
    }
}

/// Returns how long the shape of a simulated cluster is, such as `3+5@v1.33.4`.
fn shape(bytes: &[u8]) -> Option<usize> {
    let digits = |from: usize| (from..bytes.len()).find(|i| !bytes[*i].is_ascii_digit());
    let plus = digits(0).filter(|i| bytes[*i] == b'+')?;
    let at = digits(plus + 1).filter(|i| bytes[*i] == b'@')?;
    let joins = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+');
    Some((at + 1..bytes.len()).find(|i| !joins(bytes[*i])).unwrap_or(bytes.len()))
}

fn word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')
}

fn alphanumeric(bytes: &[u8], i: usize) -> bool {
    bytes.get(i).is_some_and(u8::is_ascii_alphanumeric)
}

/// Returns how many bytes belong together.
fn run(bytes: &[u8], joins: impl Fn(usize) -> bool) -> usize {
    (1..bytes.len()).find(|i| !joins(*i)).unwrap_or(bytes.len())
}

/// Returns how long a text in quotes is; without its second quote it ends with the line.
fn quoted(bytes: &[u8]) -> usize {
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return at + 1,
            b'\n' => return at,
            b'\\' if bytes.get(at + 1).is_some_and(|b| *b != b'\n') => at += 2,
            _ => at += 1,
        }
    }
    at.min(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<&str> {
        tokens(text).iter().map(|t| t.text).collect()
    }

    #[test]
    fn pieces_are_those_of_the_grammar() {
        assert_eq!(cut("a-b==v1.34.2+k3s - c"), ["a-b", "==", "v1.34.2+k3s", "-", "c"]);
        assert_eq!(cut("retry 3 backoff 2.5s..1m"), ["retry", "3", "backoff", "2.5s", "..", "1m"]);
        assert_eq!(cut("use std/etcd,./x-y"), ["use", "std", "/", "etcd", ",", ".", "/", "x-y"]);
        assert_eq!(cut("sim(3+5@v1.33.4) 3+5"), ["sim", "(", "3+5@v1.33.4", ")", "3", "+", "5"]);
        assert_eq!(cut(r#"say "a \" # b" # why  "#), ["say", r#""a \" # b""#, "# why"]);
        assert_eq!(cut("x \"\"\"a\n\"b\" # c\"\"\" y"), ["x", "\"\"\"a\n\"b\" # c\"\"\"", "y"]);
        assert_eq!(cut("\u{feff}üb"), ["ü", "b"]);
    }

    #[test]
    fn lines_between_pieces_are_counted_up_to_two() {
        let breaks: Vec<u8> = tokens("a b\nc\n\n \n\nd").iter().map(|t| t.breaks).collect();
        assert_eq!(breaks, [0, 0, 1, 2]);
    }
}
