//! Secrets as scripts have them: marks without any meaning, which only the request to a listed host takes for
//! the secret. What a script makes of a mark, it makes of the mark.
//!
//! ```text
//! script   token                            "Bearer " + token, to_json(#{ a: token })
//! mark     KUPSECRET0123456789abcdefX0XZ    ...X0XjZ: as JSON has it within its quotes
//! request  hunter2
//! told     ***
//! ```

use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;

use dsl::value::{Secret, Value};

/// What stands where a secret stood.
const MASK: &str = "***";

const OPEN: &str = "KUPSECRET";

/// How a mark was written into something else: within the quotes of JSON, or within an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Url,
}

impl Form {
    fn letter(self) -> char {
        match self {
            Form::Json => 'j',
            Form::Url => 'u',
        }
    }
}

/// The secrets that one script is given. Nobody can guess its marks: an answer cannot ask for a secret.
#[derive(Clone, Debug)]
pub struct Marks {
    nonce: String,
    secrets: Vec<Secret>,
}

impl Default for Marks {
    fn default() -> Marks {
        let nonce = format!("{:016x}", RandomState::new().build_hasher().finish());
        Marks { nonce, secrets: Vec::new() }
    }
}

/// A mark in a text.
struct Mark<'t> {
    at: Range<usize>,
    nonce: &'t str,
    number: usize,
    forms: &'t str,
}

impl Marks {
    /// Puts marks in place of the secrets of a value.
    pub fn put(&mut self, value: Value) -> Value {
        match value {
            Value::Secret(secret) => {
                let known = self.secrets.iter().position(|known| *known == secret);
                let number = known.unwrap_or(self.secrets.len());
                if known.is_none() {
                    self.secrets.push(secret);
                }
                Value::Text(format!("{OPEN}{}X{number}XZ", self.nonce))
            }
            Value::List(items) => Value::List(items.into_iter().map(|item| self.put(item)).collect()),
            Value::Record(fields) => {
                Value::Record(fields.into_iter().map(|(name, value)| (name, self.put(value))).collect())
            }
            value => value,
        }
    }

    /// Returns the secrets whose marks stand in a text.
    pub fn of<'m>(&'m self, text: &str) -> Vec<&'m Secret> {
        marks(text)
            .filter(|mark| mark.nonce == self.nonce)
            .filter_map(|m| self.secrets.get(m.number))
            .collect()
    }

    /// Puts the contents of secrets in place of their marks.
    pub fn fill(&self, text: &str, content: impl Fn(&Secret) -> String) -> String {
        replaced(text, |mark| {
            let secret = self.secrets.get(mark.number).filter(|_| mark.nonce == self.nonce)?;
            Some(mark.forms.chars().fold(content(secret), |content, form| match form {
                'j' => {
                    let quoted = serde_json::Value::String(content).to_string();
                    quoted[1..quoted.len() - 1].to_string()
                }
                _ => super::function::encoded(&content),
            }))
        })
    }
}

/// Returns a text in which no mark stands.
pub fn masked(text: &str) -> String {
    replaced(text, |_| Some(MASK.to_string()))
}

/// Notes that all marks of a text were written in a form.
pub(super) fn written(text: &str, form: Form) -> String {
    replaced(text, |mark| {
        Some(format!("{OPEN}{}X{}X{}{}Z", mark.nonce, mark.number, mark.forms, form.letter()))
    })
}

fn replaced(text: &str, with: impl Fn(&Mark<'_>) -> Option<String>) -> String {
    let (mut out, mut from) = (String::with_capacity(text.len()), 0);
    for mark in marks(text) {
        if let Some(with) = with(&mark) {
            out.push_str(&text[from..mark.at.start]);
            out.push_str(&with);
            from = mark.at.end;
        }
    }
    out.push_str(&text[from..]);
    out
}

/// Returns the marks of a text, from left to right.
fn marks(text: &str) -> impl Iterator<Item = Mark<'_>> {
    text.match_indices(OPEN).filter_map(|(start, _)| {
        let behind = &text[start + OPEN.len()..];
        let (nonce, rest) = behind.split_at_checked(16)?;
        let (number, rest) = rest.strip_prefix('X')?.split_once('X')?;
        let (forms, _) = rest.split_once('Z')?;
        let is_mark = forms.bytes().all(|b| matches!(b, b'j' | b'u'));
        let number = number.parse().ok().filter(|_| is_mark)?;
        let length = behind.len() - rest.len() + forms.len() + 1;
        Some(Mark { at: start..start + OPEN.len() + length, nonce, number, forms })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked() -> (Marks, String) {
        let mut marks = Marks::default();
        let Value::Text(mark) = marks.put(Value::Secret(Secret::Env("T".into()))) else { unreachable!() };
        (marks, mark)
    }

    #[test]
    fn a_mark_is_a_secret_in_a_request_and_nothing_anywhere_else() {
        let (marks, mark) = marked();
        let text = format!("Bearer {mark}, {mark}!");
        assert_eq!(marks.fill(&text, |_| "a\"b".into()), "Bearer a\"b, a\"b!");
        assert_eq!(masked(&text), "Bearer ***, ***!");
        assert_eq!(marks.of(&text).len(), 2);
        assert!(marks.of("Bearer").is_empty());
    }

    #[test]
    fn what_is_written_into_json_or_an_address_keeps_its_form() {
        let (marks, mark) = marked();
        let json = written(&format!("{{\"a\":\"{mark}\"}}"), Form::Json);
        assert_eq!(marks.fill(&json, |_| "a\"b".into()), r#"{"a":"a\"b"}"#);
        let url = written(&json, Form::Url);
        assert_eq!(marks.fill(&url, |_| "\"".into()), r#"{"a":"%5C%22"}"#);
        assert_eq!(masked(&url), r#"{"a":"***"}"#);
    }

    #[test]
    fn the_mark_of_somebody_else_is_no_secret() {
        let (marks, mark) = marked();
        let (_, other) = marked();
        assert_ne!(mark, other);
        assert_eq!(marks.fill(&other, |_| "hunter2".into()), other);
        assert_eq!(masked(&other), "***");
        for torn in [&mark[..mark.len() - 1], &mark[1..], "KUPSECRET", "KUPSECRETü23456789abcdefX0XZ"] {
            assert_eq!(marks.fill(torn, |_| "hunter2".into()), torn);
        }
    }

    #[test]
    fn one_secret_has_one_mark_wherever_it_stands() {
        let mut marks = Marks::default();
        let secret = || Value::Secret(Secret::Env("T".into()));
        let fields = [("a".to_string(), secret()), ("b".to_string(), Value::List(vec![secret()]))];
        let Value::Record(put) = marks.put(Value::Record(fields.into_iter().collect())) else {
            unreachable!()
        };
        assert_eq!(put["b"], Value::List(vec![put["a"].clone()]));
    }
}
