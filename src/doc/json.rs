//! The same as JSON, one object a line: `docs/json.md` documents it.

use serde::{Deserialize, Serialize};

use super::{Param, Playbook, Verb};
use crate::report::VERSION;

/// A verb.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct VerbLine {
    v: u32,
    #[serde(rename = "type")]
    kind: String,
    name: String,
    module: String,
    native: bool,
    effect: Option<String>,
    doc: String,
    params: Vec<ParamOf>,
    header: String,
}

/// A shipped playbook.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PlaybookLine {
    v: u32,
    #[serde(rename = "type")]
    kind: String,
    name: String,
    title: String,
    doc: String,
    params: Vec<ParamOf>,
}

/// A word of the language.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WordLine {
    v: u32,
    #[serde(rename = "type")]
    kind: String,
    name: String,
    is: String,
    doc: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct ParamOf {
    name: String,
    #[serde(rename = "type")]
    ty: String,
    named: bool,
    default: Option<String>,
    doc: String,
}

impl From<&Param> for ParamOf {
    fn from(p: &Param) -> ParamOf {
        ParamOf {
            name: p.name.clone(),
            ty: p.ty.clone(),
            named: p.named,
            default: p.default.clone(),
            doc: p.doc.clone(),
        }
    }
}

impl From<&Verb> for VerbLine {
    fn from(verb: &Verb) -> VerbLine {
        VerbLine {
            v: VERSION,
            kind: "verb".to_string(),
            name: verb.name.clone(),
            module: verb.module.to_string(),
            native: verb.native,
            effect: verb.native.then(|| verb.effect.to_string()),
            doc: verb.doc.join("\n"),
            params: verb.params.iter().map(ParamOf::from).collect(),
            header: verb.header.join("\n"),
        }
    }
}

impl From<&Playbook> for PlaybookLine {
    fn from(playbook: &Playbook) -> PlaybookLine {
        PlaybookLine {
            v: VERSION,
            kind: "playbook".to_string(),
            name: playbook.name.clone(),
            title: playbook.title.clone(),
            doc: playbook.about.clone(),
            params: playbook.params.iter().map(ParamOf::from).collect(),
        }
    }
}

impl From<&dsl::ask::Word> for WordLine {
    fn from(word: &dsl::ask::Word) -> WordLine {
        WordLine {
            v: VERSION,
            kind: "word".to_string(),
            name: word.name.to_string(),
            is: word.is.to_string(),
            doc: word.doc.clone(),
        }
    }
}
