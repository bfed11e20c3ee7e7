//! A line of shell that holds what came from outside, such as what a command printed: each such value
//! becomes one word, quoted for the place where it stands. What the playbook itself says is left alone.

/// A line that is being put together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    text: String,
    /// What the end of the text stands in, from outside to inside.
    within: Vec<Within>,
}

/// What surrounds a place of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    /// `'...'`
    Single,
    /// `"..."`
    Double,
    /// `$(...)` or `(...)`
    Parens,
    /// A comment, or `` `...` ``, `${...}`, a here-document: places with rules of their own, and what ends them.
    Odd(&'static str, Option<char>),
}

impl Line {
    /// Returns the whole line.
    pub(crate) fn text(self) -> String {
        self.text
    }

    /// Adds what the playbook says.
    pub(crate) fn written(&mut self, text: &str) {
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let next = chars.peek().copied();
            let inside = self.within.last().copied();
            let mut skip = 0;
            match (inside, c) {
                (Some(Within::Odd(_, end)), c) if end == Some(c) => {
                    self.within.pop();
                }
                (Some(Within::Odd(..)), _) => {}
                // Whose parenthesis it is, only a parser of the shell knows.
                (Some(Within::Parens), ')') if self.text.contains("case ") => {
                    self.within.push(Within::Odd("a `case`", None));
                }
                (Some(Within::Single), '\'') | (Some(Within::Double), '"') | (Some(Within::Parens), ')') => {
                    self.within.pop();
                }
                (Some(Within::Single), _) => {}
                (_, '\\') => skip = 1,
                (_, '`') => self.within.push(Within::Odd("backquotes", Some('`'))),
                (_, '$') if next == Some('(') => {
                    self.within.push(Within::Parens);
                    skip = 1;
                }
                (_, '$') if next == Some('{') => {
                    self.within.push(Within::Odd("braces of the shell", Some('}')))
                }
                (Some(Within::Double), _) => {}
                (_, '\'') => self.within.push(Within::Single),
                (_, '"') => self.within.push(Within::Double),
                (_, '(') => self.within.push(Within::Parens),
                (_, '<') if next == Some('<') => self.within.push(Within::Odd("a here-document", None)),
                (_, '#') if !self.in_word() => self.within.push(Within::Odd("a comment", Some('\n'))),
                _ => {}
            }
            self.text.push(c);
            for _ in 0..skip {
                self.text.extend(chars.next());
            }
        }
    }

    /// Adds what came from outside. An error says what it stands in that has no way to quote it.
    pub(crate) fn outside(&mut self, value: &str) -> Result<(), String> {
        if value.chars().all(is_plain) {
            self.text.push_str(value);
            return Ok(());
        }
        if value.contains('\0') {
            return Err("it holds a NUL byte".to_string());
        }
        match self.within.last() {
            None | Some(Within::Parens) => {
                self.text.push('\'');
                self.text.push_str(&value.replace('\'', r"'\''"));
                self.text.push('\'');
            }
            Some(Within::Single) => self.text.push_str(&value.replace('\'', r"'\''")),
            Some(Within::Double) => {
                for c in value.chars() {
                    if matches!(c, '\\' | '"' | '$' | '`') {
                        self.text.push('\\');
                    }
                    self.text.push(c);
                }
            }
            Some(Within::Odd(what, _)) => {
                return Err(format!("it stands in {what}, where it cannot be quoted"));
            }
        }
        Ok(())
    }

    /// Whether a character that follows belongs to the word before it.
    fn in_word(&self) -> bool {
        self.text.chars().next_back().is_some_and(|c| !c.is_whitespace() && !";&|(".contains(c))
    }
}

/// Whether a shell takes a character for itself wherever it stands.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._-/@%+=:,".contains(c)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn put(parts: &[&str], value: &str) -> Result<String, String> {
        let mut line = Line::default();
        for (i, part) in parts.iter().enumerate() {
            if i > 0 {
                line.outside(value)?;
            }
            line.written(part);
        }
        Ok(line.text())
    }

    #[test]
    fn what_came_from_outside_is_one_word_wherever_it_stands() {
        let hostile = [
            "a b",
            "'; echo oops; '",
            "\"; echo oops; \"",
            "$(echo oops)",
            "`echo oops`",
            "\\",
            "a\nb",
            "*",
            "~",
            "#x",
            "!x",
            "it's",
        ];
        let places: [&[&str]; 8] = [
            &["printf %s ", ""],
            &["printf %s '", "'"],
            &["printf %s \"", "\""],
            &["printf %s \"$(printf %s ", ")\""],
            &["printf %s \"$(printf %s '", "')\""],
            &["printf %s \"$(printf %s \"", "\")\""],
            &["(printf %s ", ")"],
            &["printf %s a\\'b'\"' \"'\" > /dev/null; printf %s ", ""],
        ];
        for value in hostile {
            for place in places {
                let line = put(place, value).unwrap();
                let ran = Command::new("sh").args(["-c", &line]).output().unwrap();
                assert_eq!(String::from_utf8_lossy(&ran.stdout), value, "{line}");
            }
        }
    }

    #[test]
    fn two_thousand_hostile_strings_are_one_word_each() {
        let all = crate::hostile::strings(2000, 5);
        for place in
            [&["printf '%s\\0' ", "\n"][..], &["printf '%s\\0' '", "'\n"], &["printf '%s\\0' \"", "\"\n"]]
        {
            for some in all.chunks(100) {
                let line: String = some.iter().map(|value| put(place, value).unwrap()).collect();
                let ran = Command::new("sh").args(["-c", &line]).output().unwrap();
                let said = String::from_utf8(ran.stdout).unwrap();
                assert_eq!(said.split_terminator('\0').collect::<Vec<_>>(), some, "{place:?}");
            }
        }
        assert!(!std::path::Path::new(crate::hostile::CANARY).exists(), "something was executed");
    }

    #[test]
    fn what_is_plain_is_left_as_it_is_and_what_cannot_be_quoted_is_refused() {
        assert_eq!(put(&["install `x ", "`"], "v1.34.2").unwrap(), "install `x v1.34.2`");
        let odd: [&[&str]; 5] = [
            &["x `echo ", "`"],
            &["x ${y:-", "}"],
            &["cat <<E\n", "\nE"],
            &["x # ", ""],
            &["x \"$(case a in a) echo ", ";; esac)\""],
        ];
        for place in odd {
            assert!(put(place, "a b").unwrap_err().contains("cannot be quoted"), "{place:?}");
        }
        for well in ["x a#b ", "`date` ", "${HOME} ", "x # y\n"] {
            assert!(put(&[well, ""], "a b").unwrap().ends_with(" 'a b'") || well.ends_with('\n'), "{well}");
        }
        assert!(put(&["x ", ""], "a\0b").is_err());
    }
}
