//! What a word is, in a few lines of Markdown.

use super::{FILE, Page, lex, spell};
use crate::check::{Meaning, TYPES};
use crate::literal;
use crate::span::Span;

/// What is said about a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hover {
    /// The word.
    pub span: Span,
    /// Markdown.
    pub text: String,
}

/// The words of the language, and what they do.
pub(super) const WORDS: &[(&str, &str)] = &[
    ("use", "brings in the verbs of modules: `use std/etcd, ./announce`"),
    ("playbook", "what the file does; policy in its block counts everywhere"),
    ("param", "an input: `param target: version = v1.34.2`"),
    ("stage", "a part of the run; stages follow each other unless `after` says otherwise"),
    (
        "after",
        "what a stage waits for, instead of the stage above it; in a block, steps behind those of the scope: `after { ... }`",
    ),
    ("before", "steps that come before those of the scope, or before the step"),
    ("task", "a verb made of verbs"),
    ("native", "a verb that is done in Rust"),
    (
        "on",
        "what to do when something happens: `on failure { pause \"...\" }`, `on stage workers done { ... }`",
    ),
    ("test", "what must hold, tried on a simulated cluster by `kup test`"),
    ("sim", "the cluster of a test: `on sim(3+5@v1.33.4)`"),
    ("seed", "what the chances of the test's cluster are drawn from"),
    ("fault", "what goes wrong in a test: `fault F40@w2`"),
    ("set", "parameters of the tested playbook: `set target=v1.34.2`"),
    ("expect", "what a test demands: `expect done`, `expect drain on w1 ran`"),
    ("done", "the run ends well"),
    ("paused", "the run holds"),
    ("undone", "the run failed, and what was done is taken back; or a step is"),
    ("refused", "the run does not begin"),
    ("failure", "an attempt failed with this text; behind `on`, a step has failed for good"),
    ("plan", "the plan reads like this; `kup test --update` writes it"),
    ("skipped", "the step was not performed: its work was done, or not needed"),
    ("each", "a lane of each element of a set or list; at most `batch=` lanes are out of service at once"),
    ("in", "which set an `each` goes over; between two values, whether one is in the other"),
    ("order", "which nodes come first: `order by gpu last`"),
    ("by", "which facts `order` goes by"),
    ("last", "nodes that have the fact come behind the others"),
    ("if", "decided when the plan is made"),
    ("else", "what is planned instead"),
    ("let", "names what a step gives back: `let todo = os updates`"),
    ("when", "decided during the run: its steps are done, or skipped"),
    ("parallel", "steps whose order is free"),
    ("timeout", "how long one attempt may take"),
    ("retry", "further attempts, and the delays between them: `retry 3 backoff 5s..1m`"),
    ("backoff", "the first and the last bound of the delays"),
    ("undo", "steps that take the change back, instead of what the verb says of itself"),
    ("name", "what reports call the step or the scope"),
    ("long", "the step runs detached on its node and is polled"),
    ("allow", "lifts a law here, with the reason"),
    (
        "approve",
        "somebody must say yes before it begins; in an `each` with `canary=`, before the lanes behind the canaries",
    ),
    (
        "window",
        "when nodes, and what stands outside of them, may begin: `window \"Sat 02:00-05:00 Europe/Berlin\"`",
    ),
    ("hosts", "whom scripts may talk to over HTTP: `hosts \"hooks.slack.com\", \"prometheus:9090\"`"),
    ("where", "the nodes of a set for which a condition holds"),
    ("and", "both"),
    ("or", "one of both"),
    ("not", "the contrary"),
    ("reads", "the verb only looks"),
    ("changes", "what the verb changes: `node`, `cluster` or `here`"),
    ("disrupts", "the verb takes its node out of service"),
    ("decides", "the verb decides how a run goes on; only in handlers"),
    ("needs", "what must hold before"),
    ("ensures", "what holds afterwards"),
    ("follows", "the verb has work only where an earlier step that ensures this has work"),
    ("prepares", "the verb has work only where a later step that needs what it ensures has work"),
    ("preflight", "its verdict counts already when the plan is made"),
    ("itself", "the verb takes its own change back"),
    ("ends", "what no longer holds afterwards: what comes behind it is no reason to prepare before"),
    (
        "gives",
        "what a step gives back: a type in the header of a native verb, and the last line of any other task: `gives todo.count`",
    ),
];

impl Page {
    /// Says what stands at a byte of the file.
    pub fn hover(&self, byte: usize) -> Option<Hover> {
        let Some(mention) = self.mention(byte) else { return self.word_of_the_language(byte) };
        let text = self.said_of(mention.of, self.study.sources.slice(mention.span))?;
        Some(Hover { span: mention.span, text })
    }

    /// Says what a meaning is, in Markdown.
    pub(super) fn said_of(&self, of: Meaning, word: &str) -> Option<String> {
        let study = &self.study;
        Some(match of {
            Meaning::Verb(id) => {
                let task = study.tasks.get(id as usize)?;
                let mut text = code(&spell::header(study, id as usize));
                if !task.doc.is_empty() {
                    text.push_str(&format!("\n{}\n", task.doc));
                }
                text.push_str(&format!("\n*{}*", task.module));
                text
            }
            Meaning::Argument(id, at) => {
                let task = study.tasks.get(id as usize)?;
                let param = task.params.get(at as usize)?;
                let written = study.heads.get(id as usize).and_then(|head| {
                    let mut params = head.params.iter();
                    params.find(|(name, _)| study.sources.slice(*name) == param.name)
                });
                let written = written.map_or(param.name.as_str(), |(_, whole)| study.sources.slice(*whole));
                format!("{}\nof `{}`", code(written), task.name)
            }
            Meaning::Param(id) => {
                let param = study.params.get(id as usize)?;
                let line = self.text()[param.span.end as usize..].lines().next().unwrap_or_default();
                let rest = line.split('#').next().unwrap_or_default().trim_end();
                let mut text = code(&format!("param {}{rest}", param.name));
                if !param.doc.is_empty() {
                    text.push_str(&format!("\n{}", param.doc));
                }
                text
            }
            Meaning::Local(id) => {
                let local = study.locals.get(id as usize)?;
                code(&format!("{}: {}", local.name, spell::ty(&local.ty)))
            }
            Meaning::Stage(_) => code(&format!("stage {word}")),
            Meaning::Module(file) => {
                let of = |path: &str| format!("verbs of `{path}`:\n\n");
                let path = study.sources.path(crate::span::FileId(file));
                let own = study.tasks.iter().filter(|task| task.module == path);
                let lines: Vec<String> =
                    own.map(|t| format!("- `{}`: {}\n", t.name, spell::first_sentence(&t.doc))).collect();
                of(path) + &lines.concat()
            }
            Meaning::Fact => {
                let (name, ty) = crate::check::FACTS.iter().find(|(name, _)| *name == word)?;
                format!(
                    "{}\na fact of a node, read when the plan is made",
                    code(&format!("{name}: {}", spell::ty(ty)))
                )
            }
            Meaning::Set => format!("{}\n{}", code(&format!("{word}: nodes")), set(word)),
            Meaning::Constant => constant(word)?.to_string(),
            Meaning::Function => function(word)?.to_string(),
            Meaning::Option => option(word)?.to_string(),
            Meaning::Type => self.said_of_type(word)?,
            Meaning::Law => "a law that is lifted here".to_string(),
            Meaning::Member | Meaning::Field => return None,
        })
    }

    fn said_of_type(&self, word: &str) -> Option<String> {
        let known = TYPES.iter().find(|name| **name == word)?;
        let example = spell::named(known).map(|ty| literal::example(&ty))?;
        Some(format!("a type; a value of it is `{example}`"))
    }

    fn word_of_the_language(&self, byte: usize) -> Option<Hover> {
        let text = self.text();
        let byte = text.floor_char_boundary(byte.min(text.len()));
        let start = super::context::piece(text, byte);
        let end = text[byte..].find('\n').map_or(text.len(), |at| byte + at);
        let tokens = lex::tokens(text, start..end);
        let token = tokens.iter().find(|t| t.start <= byte && byte < t.end.max(t.start + 1))?;
        let word = &text[token.start..token.end];
        if token.kind != lex::Kind::Word {
            return None;
        }
        let (_, said) = WORDS.iter().find(|(known, _)| *known == word)?;
        let span = Span { file: FILE, start: token.start as u32, end: token.end as u32 };
        Some(Hover { span, text: format!("`{word}`: {said}") })
    }
}

/// Fences some lines of kup.
fn code(lines: &str) -> String {
    format!("```kup\n{lines}\n```\n")
}

/// Says what a set holds.
pub(super) fn set(word: &str) -> &'static str {
    match word {
        "nodes" => "all nodes",
        "control_plane" => "nodes with an API server",
        "workers" => "nodes without an API server",
        _ => "nodes with an etcd member",
    }
}

/// Says what a word stands for.
pub(super) fn constant(word: &str) -> Option<&'static str> {
    match word {
        "here" => Some("`here`: the node of the innermost `each`, or the task's own"),
        "local" => Some("`local`: this machine, where kup runs"),
        "none" => Some("`none`: no value"),
        _ => None,
    }
}

/// Says what a function gives.
pub(super) fn function(word: &str) -> Option<&'static str> {
    match word {
        "first" => Some("`first(nodes)`: the first node of a set"),
        "rest" => Some("`rest(nodes)`: a set without its first node"),
        "count" => Some("`count(set)`: how many there are, of a set or a list"),
        "minor" => Some("`minor(version)`: the minor release of a version"),
        "label" => Some("`label(\"key\")`: a label of the node that `where` looks at, or else of the loop's"),
        "pools" => Some("`pools(nodes)`: the pools of a set, each with its `name` and its `nodes`"),
        "hops" => Some(
            "`hops(to=version)`: the stops on the way up, each with its `version`, whether it is the `first` or the `last`, \
             and whether the `kubelets` come along",
        ),
        "env" => Some("`env(\"NAME\")`: a secret in a variable of kup's environment"),
        "file" => Some("`file(\"PATH\")`: a secret in a file of this machine"),
        "command" => Some("`command(\"LINE\")`: a secret that a command prints on this machine"),
        _ => None,
    }
}

/// Says what an option of `each` does.
pub(super) fn option(word: &str) -> Option<&'static str> {
    match word {
        "batch" => Some("`batch=10%`: how many lanes may be out of service at once; one, if it is not given"),
        "canary" => Some("`canary=1`: how many lanes go first and must end well"),
        "soak" => Some("`soak=5m`: how long to wait behind the canaries"),
        _ => None,
    }
}
