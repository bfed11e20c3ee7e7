//! What one may type at a place: verbs, arguments, values, facts and the words of the language, those
//! first that fit best.

use super::context::{Block, For, Place, Wanted, context};
use super::hover::{WORDS, constant, function, option, set};
use super::{Page, spell};
use crate::check::{CONSTANTS, FACTS, FUNCTIONS, LAWS, Meaning, SETS, TYPES};
use crate::literal;
use crate::parse::CLAUSES;
use crate::program::{Effect, Task, TaskBody};
use crate::span::Span;
use crate::value::Type;

/// Something that one may type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// What is shown, and what is typed.
    pub label: String,
    /// What it is.
    pub sort: Sort,
    /// A few words beside it.
    pub detail: String,
    /// Markdown.
    pub doc: String,
    /// The byte where the text begins that it takes the place of.
    pub start: usize,
}

/// What a proposal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// A verb.
    Verb,
    /// The name of an argument.
    Argument,
    /// A parameter or a name of a block.
    Variable,
    /// A word of an enumeration.
    Member,
    /// A fact of a node.
    Fact,
    /// A set, or a word that stands for one thing.
    Constant,
    /// A function.
    Function,
    /// A module.
    Module,
    /// A stage.
    Stage,
    /// A type.
    Type,
    /// A word of the language.
    Word,
    /// What a value of the wanted type looks like.
    Example,
}

const ITEMS: [&str; 8] = ["use", "playbook", "param", "stage", "task", "native task", "on failure", "test"];
const TEST: [&str; 5] = ["expect", "on", "fault", "set", "playbook"];
const EXPECTED: [&str; 8] = ["done", "paused", "undone", "failed", "refused", "failure", "plan", "no"];
const STEPS: [&str; 5] = ["each", "if", "when", "let", "parallel"];
const POLICY: [&str; 11] =
    ["timeout", "retry", "undo", "name", "long", "allow", "approve", "window", "hosts", "before", "after"];

impl Page {
    /// Proposes what may stand at a byte of the file.
    pub fn complete(&self, byte: usize) -> Vec<Proposal> {
        let text = self.text();
        let (place, start) = context(text, byte);
        let mut list = List { start, all: Vec::new() };
        match place {
            Place::Nothing => {}
            Place::Item => list.words(&ITEMS),
            Place::Clause => {
                list.words(&CLAUSES);
                list.words(&["retry"]);
            }
            Place::Event => list.words(&["failure", "run", "stage", "node", "step", "attempt"]),
            Place::Words(words) => list.words(words),
            Place::Law => list.words(&LAWS),
            Place::EachOption => list.words(&["where", "order by", "batch=", "canary=", "soak="]),
            Place::Module => self.modules(&mut list),
            Place::Type => {
                for name in TYPES {
                    let example = spell::named(name).map(|ty| literal::example(&ty)).unwrap_or_default();
                    list.add(name, Sort::Type, &example, "");
                }
            }
            Place::Stage => {
                let name = |stage: &Span| self.study.sources.slice(*stage);
                let all = self.study.stages.iter().map(name);
                list.all = all.map(|name| list.proposal(name, Sort::Stage, "stage", "")).collect();
            }
            Place::Fact(of) => {
                let variables = self.variables(byte);
                let of = variables.into_iter().find(|(name, ..)| Some(*name) == of);
                match of.map(|(_, ty, _)| ty) {
                    Some(Type::Record(fields)) => {
                        for (name, ty) in fields {
                            list.add(name, Sort::Fact, &spell::ty(ty), "");
                        }
                    }
                    Some(_) | None => list.facts(),
                }
            }
            Place::Statement(block) => match block {
                Block::Scope => {
                    list.words(&STEPS);
                    self.verbs(&mut list, "", |task| task.header.effect != Effect::Decides);
                    list.words(&POLICY);
                }
                Block::Steps => {
                    list.words(&STEPS);
                    self.verbs(&mut list, "", |task| task.header.effect != Effect::Decides);
                }
                Block::Test => {
                    list.words(&TEST);
                    list.words(&STEPS);
                    self.verbs(&mut list, "", |task| task.header.effect != Effect::Decides);
                }
                Block::Result => self.verbs(&mut list, "", |task| task.header.gives.is_some()),
                Block::Policy => list.words(&POLICY),
                Block::Hook => self.verbs(&mut list, "", |task| {
                    task.header.effect == Effect::Reads && !matches!(task.body, TaskBody::Steps { .. })
                }),
                Block::Handler => self.verbs(&mut list, "", |task| task.header.effect == Effect::Decides),
            },
            Place::Expected => {
                list.words(&EXPECTED);
                self.verbs(&mut list, "", |task| task.header.effect != Effect::Decides);
            }
            Place::Set => {
                for (at, param) in self.study.params.iter().enumerate() {
                    let doc = self.said_of(Meaning::Param(at as u32), &param.name).unwrap_or_default();
                    list.add(&format!("{}=", param.name), Sort::Argument, &spell::ty(&param.ty), &doc);
                }
            }
            Place::Step { begin, front, words } => {
                let spoken = front[..words].join(" ");
                if words == front.len() {
                    list.start = begin;
                    self.verbs(&mut list, &format!("{spoken} "), |_| true);
                    list.start = start;
                }
                if let Some((id, task, used)) = self.verb(&front[..words]) {
                    if let Some(param) = next_positional(task, &front, used) {
                        self.values(&mut list, byte, Some(&param), false);
                    }
                    self.arguments(&mut list, id, task, &front);
                }
            }
            Place::Value(Wanted { of, it }) => {
                let wanted = self.wanted(of, byte);
                self.values(&mut list, byte, wanted.as_ref(), it);
            }
        }
        list.all
    }

    /// Finds the longest verb that some words begin with, and how many words it has.
    fn verb(&self, words: &[&str]) -> Option<(u32, &Task, usize)> {
        let scope = self.study.scopes.first()?;
        (1..=words.len()).rev().find_map(|n| {
            let id = *scope.get(&words[..n].join(" "))?.first()?;
            Some((id, self.study.tasks.get(id as usize)?, n))
        })
    }

    fn verbs(&self, list: &mut List, begin: &str, fits: impl Fn(&Task) -> bool) {
        let Some(scope) = self.study.scopes.first() else { return };
        let mut names: Vec<(&String, u32)> = scope
            .iter()
            .filter(|(name, _)| name.starts_with(begin))
            .filter_map(|(n, ids)| Some((n, *ids.first()?)))
            .collect();
        names.sort_unstable();
        for (name, id) in names {
            let Some(task) = self.study.tasks.get(id as usize).filter(|task| fits(task)) else { continue };
            let doc = self.said_of(Meaning::Verb(id), name).unwrap_or_default();
            list.add(name, Sort::Verb, &task.module, &doc);
        }
    }

    fn arguments(&self, list: &mut List, id: u32, task: &Task, front: &[&str]) {
        let given = |name: &str| front.windows(2).any(|pair| pair == [name, "="]);
        for (at, param) in task.params.iter().enumerate().filter(|(_, p)| !given(&p.name)) {
            let doc = self.said_of(Meaning::Argument(id, at as u32), &param.name).unwrap_or_default();
            let detail = spell::ty(&param.ty);
            // What must be given stands first.
            let sort =
                list.all.iter().position(|p| p.sort == Sort::Argument).filter(|_| param.default.is_none());
            let proposal = list.proposal(&format!("{}=", param.name), Sort::Argument, &detail, &doc);
            list.all.insert(sort.unwrap_or(list.all.len()), proposal);
        }
    }

    /// Finds the type that is wanted; `None`: any.
    fn wanted(&self, of: For<'_>, byte: usize) -> Option<Type> {
        match of {
            For::Any => None,
            For::Type(words) => match words.as_slice() {
                [one] => spell::named(one),
                words => Some(Type::Word(words.iter().map(|w| (*w).to_string()).collect())),
            },
            For::Like(name) => {
                let variables = self.variables(byte);
                let fact = || FACTS.iter().find(|(fact, _)| *fact == name).map(|(_, ty)| ty.clone());
                variables.into_iter().find(|(v, ..)| *v == name).map(|(_, ty, _)| ty.clone()).or_else(fact)
            }
            For::Argument { front, words, name } => {
                let (_, task, used) = self.verb(&front[..words])?;
                match name {
                    Some(name) => task.params.iter().find(|p| p.name == name).map(|p| p.ty.clone()),
                    None => {
                        // Behind a comma it is still the argument of before.
                        let front = &front[..front.len() - 1];
                        let before = front.iter().rposition(|w| *w == ",").unwrap_or(used);
                        next_positional(task, &front[..before.max(used)], used)
                    }
                }
            }
        }
    }

    /// Proposes values of a type, in the order of how likely they are.
    fn values(&self, list: &mut List, byte: usize, wanted: Option<&Type>, it: bool) {
        let fits = |ty: &Type| wanted.is_none_or(|wanted| goes(ty, wanted));
        let element = wanted.map(bare);
        if let Some(Type::Word(members)) = element {
            for member in members {
                list.add(member, Sort::Member, "", "");
            }
        }
        if it {
            list.facts();
        }
        for (name, ty, doc) in self.variables(byte) {
            if fits(ty) {
                list.add(name, Sort::Variable, &spell::ty(ty), doc);
            }
        }
        if fits(&Type::Nodes) {
            for name in SETS {
                list.add(name, Sort::Constant, "nodes", set(name));
            }
        }
        for name in CONSTANTS {
            let ty = match name {
                "true" | "false" => Type::Bool,
                "none" => continue,
                _ => Type::Node,
            };
            if fits(&ty) && (wanted.is_some() || ty == Type::Node) {
                list.add(name, Sort::Constant, &spell::ty(&ty), constant(name).unwrap_or_default());
            }
        }
        for name in FUNCTIONS {
            let ty = match name {
                "first" => Type::Node,
                "rest" => Type::Nodes,
                "count" => Type::Number,
                "minor" => Type::Minor,
                "pools" | "hops" => Type::List(Box::new(Type::Record(Vec::new()))),
                "env" | "file" | "command" => Type::Secret,
                _ => Type::Text,
            };
            let is_place = ty != Type::Secret || wanted.is_some();
            if fits(&ty) && is_place && (name != "label" || it) {
                list.add(name, Sort::Function, &spell::ty(&ty), function(name).unwrap_or_default());
            }
        }
        let written =
            [Type::Text, Type::Path, Type::Duration, Type::Share, Type::Number, Type::Size, Type::Batch];
        match element {
            Some(ty @ (Type::Version | Type::Minor)) => {
                list.add(&literal::example(ty), Sort::Example, "", "")
            }
            Some(ty) if written.contains(ty) => list.add(&literal::example(ty), Sort::Example, "", ""),
            _ => {}
        }
    }

    /// Returns the variables that are known at a byte, the nearest first.
    fn variables(&self, byte: usize) -> Vec<(&str, &Type, &str)> {
        let known = |span: Span| {
            span.file == super::FILE && (span.start as usize) < byte && byte <= span.end as usize
        };
        let locals = self.study.locals.iter().rev().filter(|l| known(l.within));
        let locals = locals.map(|l| (l.name.as_str(), &l.ty, ""));
        let params = self.study.params.iter().map(|p| (p.name.as_str(), &p.ty, p.doc.as_str()));
        locals.chain(params).collect()
    }

    fn modules(&self, list: &mut List) {
        let text = self.text();
        for path in self.study.shipped.iter().filter(|path| !self.prelude.contains(path)) {
            let used = self.study.uses.first().into_iter().flatten();
            let mut used = used.filter(|(span, _)| &text[span.start as usize..span.end as usize] == *path);
            if used.next().is_none() {
                list.add(path, Sort::Module, "", "");
            }
        }
    }
}

/// What is being proposed.
struct List {
    start: usize,
    all: Vec<Proposal>,
}

impl List {
    fn proposal(&self, label: &str, sort: Sort, detail: &str, doc: &str) -> Proposal {
        let (label, detail, doc) = (label.to_string(), detail.to_string(), doc.to_string());
        Proposal { label, sort, detail, doc, start: self.start }
    }

    fn add(&mut self, label: &str, sort: Sort, detail: &str, doc: &str) {
        if !self.all.iter().any(|p| p.label == label) {
            self.all.push(self.proposal(label, sort, detail, doc));
        }
    }

    fn words(&mut self, words: &[&str]) {
        for word in words {
            let first = word.split([' ', '=']).next().unwrap_or_default();
            let said = WORDS.iter().find(|(known, _)| *known == first).map(|(_, said)| *said);
            self.add(word, Sort::Word, "", said.or_else(|| option(first)).unwrap_or_default());
        }
    }

    fn facts(&mut self) {
        for (name, ty) in FACTS.iter() {
            self.add(name, Sort::Fact, &spell::ty(ty), "");
        }
    }
}

/// Returns the type of the next argument that may stand without its name.
fn next_positional(task: &Task, front: &[&str], used: usize) -> Option<Type> {
    let given = front.get(used..).unwrap_or_default();
    if given.contains(&"=") {
        return None;
    }
    // `a, b` and `a.b` are one argument.
    let joined = given.iter().filter(|w| matches!(**w, "," | ".")).count();
    let plain = given.len().saturating_sub(2 * joined);
    task.params.iter().filter(|p| p.positional).nth(plain).map(|p| p.ty.clone())
}

fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Optional(of) | Type::List(of) => bare(of),
        ty => ty,
    }
}

/// Whether a value may stand where another type is wanted; the conversions of the language included.
fn goes(ty: &Type, wanted: &Type) -> bool {
    if ty == wanted {
        return true;
    }
    match (bare(ty), wanted) {
        (_, Type::Optional(of) | Type::List(of)) => goes(ty, of),
        (Type::Version, Type::Minor)
        | (Type::Number | Type::Share, Type::Batch)
        | (Type::Path | Type::Node | Type::Word(_), Type::Text)
        | (Type::Text, Type::Path)
        | (Type::Node, Type::Nodes) => true,
        (Type::Word(own), Type::Word(members)) => own.iter().all(|o| members.contains(o)),
        (ty, wanted) => ty == wanted,
    }
}
