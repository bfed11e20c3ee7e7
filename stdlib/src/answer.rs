//! What an answer of the API means that is no success, as `data/answers.toml` says: whether it may go away by
//! itself, and what a person could do. What nobody has written down there is final.

use std::sync::LazyLock;

use engine::event::Class;
use serde::Deserialize;

/// An answer that the API is known to give.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    #[cfg_attr(not(test), expect(dead_code, reason = "it names the entry for whoever reads the table"))]
    name: String,
    #[serde(default)]
    codes: Vec<u16>,
    #[serde(default)]
    tokens: Vec<String>,
    class: Known,
    /// What a person could do next; may be empty.
    #[serde(default)]
    pub(crate) hint: String,
    #[cfg_attr(not(test), expect(dead_code, reason = "it says why the entry is right"))]
    source: String,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Known {
    Transient,
    Final,
}

impl Answer {
    /// Returns what may be done about it.
    pub(crate) fn class(&self) -> Class {
        match self.class {
            Known::Transient => Class::Transient,
            Known::Final => Class::Final,
        }
    }
}

#[derive(Deserialize)]
struct Table {
    answer: Vec<Answer>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    toml::from_str(include_str!("../data/answers.toml"))
        // The file is compiled in, and a test reads it.
        .expect("data/answers.toml is well formed")
});

/// Returns what is known of an answer.
pub(crate) fn known(code: u16, message: &str) -> Option<&'static Answer> {
    TABLE.answer.iter().find(|answer| {
        (answer.codes.is_empty() || answer.codes.contains(&code))
            && answer.tokens.iter().all(|token| message.contains(token))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_is_told_apart_has_a_source_and_can_be_reached() {
        for answer in &TABLE.answer {
            assert!(!answer.source.is_empty(), "{}", answer.name);
            assert!(!answer.codes.is_empty() || !answer.tokens.is_empty(), "{} fits everything", answer.name);
            let code = answer.codes.first().copied().unwrap_or(500);
            let found = known(code, &answer.tokens.join(" ")).unwrap();
            assert_eq!(found.name, answer.name, "another entry stands before it");
        }
    }

    #[test]
    fn what_the_api_says_has_its_class() {
        let class = |code: u16, message: &str| known(code, message).map_or(Class::Final, Answer::class);
        for (code, message) in [
            (
                409,
                "the object has been modified; please apply your changes to the latest version and try again",
            ),
            (410, "The provided continue parameter is too old"),
            (429, "too many requests, please try again later"),
            (500, "etcdserver: request timed out"),
            (500, "Internal error occurred: failed calling webhook \"x\": connect: connection refused"),
            (503, "apiserver is shutting down"),
            (504, "Timeout: request did not complete within requested timeout"),
        ] {
            assert_eq!(class(code, message), Class::Transient, "{code} {message}");
        }
        for (code, message) in [
            (400, "admission webhook \"x\" denied the request: no"),
            (500, "admission webhook \"x\" denied the request: no"),
            (401, "Unauthorized"),
            (403, "nodes \"w1\" is forbidden: User \"ann\" cannot patch resource \"nodes\""),
            (404, "the server could not find the requested resource"),
            (422, "Node \"w1\" is invalid"),
            (500, "etcdserver: mvcc: database space exceeded"),
            (418, "what nobody has written down"),
        ] {
            assert_eq!(class(code, message), Class::Final, "{code} {message}");
        }
    }
}
