//! A text as tokens, sound or not: an editor asks most where a text is not finished yet. The grammar
//! knows better what a text means; this only knows where words, texts and comments stand.

/// A token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Letters, digits, `_` and `-`.
    Word,
    /// Digits with or without a unit, and versions.
    Number,
    /// A text with its quotes; `closed` if the last one is there.
    Text { closed: bool },
    /// From `#` to the end of the line.
    Comment,
    /// The end of a line.
    Newline,
    /// `..`, `==`, `!=`, `<=` and `>=`, and any other character.
    Sign,
}

/// Cuts a part of a text into tokens; places count from the beginning of the text.
pub(crate) fn tokens(text: &str, part: std::ops::Range<usize>) -> Vec<Token> {
    let mut found = Vec::new();
    let mut at = part.start;
    while at < part.end {
        let rest = &text[at..part.end];
        let (kind, len) = token(rest);
        if let Some(kind) = kind {
            found.push(Token { kind, start: at, end: at + len });
        }
        at += len;
    }
    found
}

/// Returns what a text begins with, and how long it is; `None`: space.
fn token(rest: &str) -> (Option<Kind>, usize) {
    let while_it = |is: fn(char) -> bool| rest.find(|c| !is(c)).unwrap_or(rest.len());
    match rest.as_bytes()[0] {
        b'\n' => (Some(Kind::Newline), 1),
        b' ' | b'\t' | b'\r' => (None, while_it(|c| matches!(c, ' ' | '\t' | '\r'))),
        b'#' => (Some(Kind::Comment), while_it(|c| c != '\n')),
        b'"' => {
            let (closed, len) = quoted(rest);
            (Some(Kind::Text { closed }), len)
        }
        b'v' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => (Some(Kind::Number), number(rest)),
        b'0'..=b'9' => (Some(Kind::Number), number(rest)),
        byte if byte.is_ascii_alphabetic() => {
            (Some(Kind::Word), while_it(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')))
        }
        _ => {
            let double = ["..", "==", "!=", "<=", ">="].iter().any(|sign| rest.starts_with(sign));
            let len = if double { 2 } else { rest.chars().next().map_or(1, char::len_utf8) };
            (Some(Kind::Sign), len)
        }
    }
}

/// A unit, a `%`, or a point with digits behind it belong to a number; `5s..1m` is two of them.
fn number(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        let point =
            matches!(byte, b'.' | b'-' | b'+') && bytes.get(at + 1).is_some_and(u8::is_ascii_alphanumeric);
        let dash = matches!(byte, b'-' | b'+') && bytes[0] != b'v';
        if !(byte.is_ascii_alphanumeric() || *byte == b'%' || (point && !dash)) {
            break;
        }
        at += 1;
    }
    at
}

/// A text ends with its line unless it begins with three quotes.
fn quoted(rest: &str) -> (bool, usize) {
    if let Some(body) = rest.strip_prefix("\"\"\"") {
        return match body.find("\"\"\"") {
            Some(end) => (true, end + 6),
            None => (false, rest.len()),
        };
    }
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (true, at + 1),
            '\n' => return (false, at),
            '\\' if !rest[at + 1..].starts_with('\n') => {
                chars.next();
            }
            _ => {}
        }
    }
    (false, rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let of = |t: &Token| format!("{:?}`{}`", t.kind, &text[t.start..t.end]);
        tokens(text, 0..text.len()).iter().map(of).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_kind_is_told_apart() {
        expect_test::expect![[r#"Word`run` Word`x-y` Sign`=` Number`10%` Sign`,` Number`v1.34.2` Number`5s` Sign`..` Number`1m` Text { closed: true }`"a \" #"` Comment`# ü` Newline`
` Text { closed: false }`"open` Newline`
` Text { closed: true }`"""a
b"""` Sign`😀` Sign`==` Text { closed: false }`"""`"#]]
        .assert_eq(&shown("run x-y = 10%, v1.34.2 5s..1m \"a \\\" #\" # ü\n\"open\n\"\"\"a\nb\"\"\" 😀 == \"\"\""));
    }
}
