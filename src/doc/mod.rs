//! What kup knows to do: the verbs of its modules, its playbooks and the words of the language. One
//! collection, read from the signatures that the checker reads; text, JSON and pages are made of it.

pub(crate) mod json;
mod paint;
pub(crate) mod site;

use std::path::Path;

use dsl::program::{self, Effect, TaskBody};
use dsl::source::{LoadError, Loader, Sources};
use dsl::value::{Type, Value};

use crate::shipped;
use crate::text;

/// All of it.
pub(crate) struct Reference {
    /// The shipped modules with their verbs.
    pub(crate) modules: Vec<Module>,
    /// The shipped playbooks.
    pub(crate) playbooks: Vec<Playbook>,
}

/// A shipped module.
pub(crate) struct Module {
    /// Its name: `std/node`.
    pub(crate) name: &'static str,
    /// The comment at its head.
    pub(crate) about: String,
    /// Its text.
    pub(crate) text: &'static str,
    /// Its verbs, in the order of the text.
    pub(crate) verbs: Vec<Verb>,
}

/// A verb.
pub(crate) struct Verb {
    /// Its words.
    pub(crate) name: String,
    /// The module that has it.
    pub(crate) module: &'static str,
    /// Whether it is done in Rust.
    pub(crate) native: bool,
    /// What it touches, as its header says; empty for a verb made of verbs.
    pub(crate) effect: &'static str,
    /// The doc comment, a line a line.
    pub(crate) doc: Vec<String>,
    /// Its parameters, those without a name first.
    pub(crate) params: Vec<Param>,
    /// The header as written, and of a verb made of verbs the body too.
    pub(crate) header: Vec<String>,
}

/// A parameter of a verb or a playbook.
pub(crate) struct Param {
    /// Its name.
    pub(crate) name: String,
    /// Its type, as written.
    pub(crate) ty: String,
    /// Whether it must be given by its name.
    pub(crate) named: bool,
    /// Its default, as written; `None`: it must be given.
    pub(crate) default: Option<String>,
    /// What it is for; parameters of verbs have no comment of their own.
    pub(crate) doc: String,
}

/// A shipped playbook.
pub(crate) struct Playbook {
    /// Its name: `std/kubeadm-minor`.
    pub(crate) name: String,
    /// The text behind `playbook`.
    pub(crate) title: String,
    /// The comment at its head.
    pub(crate) about: String,
    /// Its parameters.
    pub(crate) params: Vec<Param>,
    /// Its text.
    pub(crate) text: &'static str,
}

impl Reference {
    /// Reads all that is shipped. What is shipped checks: a test says so.
    pub(crate) fn shipped() -> Reference {
        let modules = stdlib::modules().iter().map(|(name, text)| Module::read(name, text)).collect();
        Reference { modules, playbooks: shipped::all().map(Playbook::read).collect() }
    }

    /// Returns all verbs, module by module.
    pub(crate) fn verbs(&self) -> impl Iterator<Item = &Verb> {
        self.modules.iter().flat_map(|module| &module.verbs)
    }
}

struct Shipped;

impl Loader for Shipped {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        let found = stdlib::modules().iter().find(|(name, _)| *name == path);
        found.map(|(_, text)| (*text).to_string()).ok_or(LoadError::NotFound)
    }
}

impl Module {
    fn read(name: &'static str, text: &'static str) -> Module {
        let (sources, tasks, _) = dsl::module(name, &Shipped, stdlib::PRELUDE);
        let verbs = tasks.iter().map(|task| Verb::of(task, name, text, &sources)).collect();
        Module { name, about: head(text), text, verbs }
    }
}

impl Verb {
    fn of(task: &program::Task, module: &'static str, text: &'static str, sources: &Sources) -> Verb {
        let native = matches!(task.body, TaskBody::Native);
        let start = text[..task.span.start as usize].rfind('\n').map_or(0, |at| at + 1);
        let mut lines = text[start..].lines();
        let mut header: Vec<String> = lines.next().map(str::to_string).into_iter().collect();
        header.extend(lines.take_while(|l| l.starts_with([' ', ')']) || *l == "}").map(str::to_string));
        let param = |p: &program::TaskParam| Param {
            name: p.name.clone(),
            ty: p.ty.to_string(),
            named: !p.positional,
            default: p.default.as_ref().map(|d| default(d, sources)),
            doc: String::new(),
        };
        Verb {
            name: task.name.clone(),
            module,
            native,
            effect: if native { effect(task.header.effect) } else { "" },
            doc: task.doc.lines().map(str::to_string).collect(),
            params: task.params.iter().map(param).collect(),
            header,
        }
    }

    /// Returns the first sentence of its doc comment.
    pub(crate) fn first_sentence(&self) -> String {
        let doc = self.doc.join(" ");
        doc.split_once(". ").map_or(doc.trim_end_matches('.'), |(first, _)| first).to_string()
    }
}

impl Playbook {
    fn read(playbook: shipped::Shipped) -> Playbook {
        let name = playbook.path().trim_end_matches(".kup").to_string();
        let checked = text::judge(Path::new(&playbook.path()), playbook.text.to_string(), &[]);
        let program = checked.program.as_ref();
        let param = |p: &program::Param| Param {
            name: p.name.clone(),
            ty: p.ty.to_string(),
            named: true,
            default: p.default.as_ref().map(|d| default(d, &checked.sources)),
            doc: p.doc.clone(),
        };
        Playbook {
            name,
            title: program.map_or(String::new(), |p| p.title.clone()),
            about: head(playbook.text),
            params: program.map_or(Vec::new(), |p| p.params.iter().map(param).collect()),
            text: playbook.text,
        }
    }
}

/// Returns the comment at the head of a text.
fn head(text: &str) -> String {
    let lines = text.lines().take_while(|line| line.starts_with('#'));
    lines.map(|line| line.trim_start_matches('#').trim_end()).collect::<Vec<_>>().join("\n")
}

/// Writes a default as it is written; what is optional has `none` without a word.
fn default(expr: &program::Expr, sources: &Sources) -> String {
    match (&expr.kind, &expr.ty) {
        (program::ExprKind::Literal(Value::None), Type::Optional(_)) => "none".to_string(),
        _ => sources.slice(expr.span).to_string(),
    }
}

fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Reads => "reads",
        Effect::ChangesNode => "changes node",
        Effect::DisruptsNode => "disrupts node",
        Effect::ChangesCluster => "changes cluster",
        Effect::ChangesHere => "changes here",
        Effect::Decides => "decides",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_verb_has_a_doc_a_header_and_what_it_takes() {
        let reference = Reference::shipped();
        assert!(reference.verbs().count() > 25);
        for verb in reference.verbs() {
            assert!(verb.first_sentence().len() > 10, "{}", verb.name);
            assert!(verb.header[0].contains(&format!("task {} (", verb.name)), "{:?}", verb.header);
            assert!(verb.native != verb.effect.is_empty(), "{}", verb.name);
        }
        let drain = reference.verbs().find(|v| v.name == "drain").unwrap();
        assert_eq!(drain.effect, "disrupts node");
        let params: Vec<_> = drain.params.iter().map(|p| (p.name.as_str(), p.default.as_deref())).collect();
        assert_eq!(
            params,
            [
                ("node", Some("here")),
                ("grace", Some("none")),
                ("emptydir", Some("refuse")),
                ("unmanaged", Some("refuse"))
            ]
        );
        assert!(drain.header.len() > 5 && drain.header.iter().any(|l| l.trim() == "undo     itself"));
    }

    #[test]
    fn every_shipped_playbook_has_a_title_and_parameters_with_their_comments() {
        let reference = Reference::shipped();
        for playbook in &reference.playbooks {
            assert!(!playbook.title.is_empty() && !playbook.about.is_empty(), "{}", playbook.name);
            assert!(playbook.params.iter().all(|p| !p.doc.is_empty()), "{}", playbook.name);
        }
    }
}
