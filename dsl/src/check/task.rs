//! Tasks: their names and parameters first, so that any may call any, then headers and bodies.

use std::collections::HashMap;

use crate::ast;
use crate::diagnostic::Diagnostic;
use crate::problem::Problem;
use crate::program::{Claim, Effect, Expr, ExprKind, Header, Task, TaskBody, TaskParam, UndoClass};
use crate::span::Span;
use crate::value::{Type, Value};

use super::expr::{Frame, Here, none};
use super::{Checker, KEYWORDS, Meaning};

/// How far the check of a task's body is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    Not,
    Now,
    Done,
}

impl<'a> Checker<'a> {
    /// Declares the tasks of all modules with their parameters, and fills the scopes.
    pub(super) fn declare(&mut self, root_is_module: bool) {
        let mut own: Vec<Vec<u32>> = Vec::with_capacity(self.loaded.modules.len());
        for (m, module) in self.loaded.modules.iter().enumerate() {
            let mut ids = Vec::new();
            for item in &module.ast.items {
                let (what, span) = match item {
                    ast::Item::Task(task) => {
                        ids.push(self.declare_task(m, task));
                        continue;
                    }
                    ast::Item::Use(_) | ast::Item::Test(_) => continue,
                    _ if m == 0 && !root_is_module => continue,
                    ast::Item::Playbook { span, .. } => ("playbook", Span { end: span.start + 8, ..*span }),
                    ast::Item::Param(param) => ("param", param.name),
                    ast::Item::Stage { name, .. } => ("stage", *name),
                    ast::Item::On { event, .. } => ("on", *event),
                };
                self.now.found.push(Problem::NotInAModule(what).at(span));
            }
            own.push(ids);
        }
        self.used_tasks = vec![false; self.tasks.len()];
        self.read = vec![Read::Not; self.tasks.len()];
        self.calls = vec![Vec::new(); self.tasks.len()];
        self.notes.resize_with(self.tasks.len(), || None);
        for m in 0..self.loaded.modules.len() {
            let uses = self.loaded.modules[m].uses.iter().filter_map(|(_, used)| *used);
            let mut visible: Vec<usize> =
                std::iter::once(m).chain(self.loaded.prelude.iter().copied()).chain(uses).collect();
            visible.sort_unstable();
            visible.dedup();
            let mut scope: HashMap<String, Vec<u32>> = HashMap::new();
            for id in visible.into_iter().flat_map(|v| own[v].iter()) {
                let same = scope.entry(self.tasks[*id as usize].name.clone()).or_default();
                let module = |t: u32| self.written[t as usize].0;
                if module(*id) == m && same.iter().any(|t| module(*t) == m) {
                    let words = &self.written[*id as usize].1.words;
                    let name = self.tasks[*id as usize].name.clone();
                    let span = words[0].to(words[words.len() - 1]);
                    self.now.found.push(Problem::Twice { what: "the task", name }.at(span));
                } else {
                    same.push(*id);
                }
            }
            self.scopes.push(scope);
        }
    }

    fn declare_task(&mut self, module: usize, task: &'a ast::Task) -> u32 {
        let head = task.words[0].to(task.words[task.words.len() - 1]);
        let name = task.words.iter().map(|w| self.text(*w)).collect::<Vec<_>>().join(" ");
        let first = self.text(task.words[0]);
        if KEYWORDS.contains(&first) {
            self.now.found.push(Problem::Reserved { word: first.to_string() }.at(task.words[0]));
        }
        let mut params: Vec<TaskParam> = Vec::new();
        let written = task.positional.iter().map(|p| (p, true)).chain(task.named.iter().map(|p| (p, false)));
        for (param, positional) in written {
            let name = self.text(param.name).to_string();
            if params.iter().any(|p| p.name == name) {
                self.now.found.push(Problem::Twice { what: "the parameter", name }.at(param.name));
                continue;
            }
            let Some(ty) = self.ty(&param.ty) else {
                self.lost.insert(self.text(param.name));
                self.torn.insert(self.tasks.len() as u32);
                continue;
            };
            let default = match &param.default {
                Some(default) => {
                    // Only a default that is `here` itself waits for the place of the call.
                    let here =
                        matches!(default.kind, ast::ExprKind::Word) && self.text(default.span) == "here";
                    let here = if here { Here::Task } else { Here::Nowhere };
                    let frame = Frame { module, here, task: Some(u32::MAX), ..Frame::playbook() };
                    let expr = self.expr(&frame, default, Some(&ty));
                    if expr.is_err() {
                        self.torn.insert(self.tasks.len() as u32);
                    }
                    self.keep(expr)
                }
                None if matches!(ty, Type::Optional(_)) => Some(none(&ty, param.span)),
                None => None,
            };
            params.push(TaskParam { name, ty, positional, default });
        }
        self.longest = self.longest.max(task.words.len());
        self.now.trace.note(head, Meaning::Verb(self.tasks.len() as u32));
        self.written.push((module, task));
        self.tasks.push(Task {
            name,
            module: self.loaded.modules[module].path.clone(),
            doc: doc_above(self.loaded.text(module), task.start as usize),
            params,
            header: Header::default(),
            body: TaskBody::Native,
            span: head,
        });
        self.tasks.len() as u32 - 1
    }

    /// Checks headers and bodies of all tasks.
    pub(super) fn bodies(&mut self, as_module: bool) {
        // Headers first: whether a verb decides, and what it gives, counts where it is called.
        for id in 0..self.tasks.len() {
            match &self.written[id].1.body {
                ast::TaskBody::Native(clauses) => {
                    self.tasks[id].header.effect = self.effect(id, clauses);
                    self.tasks[id].header.gives = self.gives(clauses);
                }
                // The value of its last line, as text.
                ast::TaskBody::Script(_) => self.tasks[id].header.gives = Some(Type::Text),
                ast::TaskBody::Block(_) => {}
            }
        }
        self.all_bodies(as_module);
    }

    /// Checks the body of a task, unless that is done: what it gives counts where it is called. Returns
    /// false while it is being checked, for then it calls itself.
    pub(super) fn body(&mut self, id: usize) -> bool {
        match std::mem::replace(&mut self.read[id], Read::Now) {
            Read::Not => {}
            Read::Now => return false,
            Read::Done => {
                self.read[id] = Read::Done;
                return true;
            }
        }
        let outside = self.set_aside();
        self.trace_params(id);
        match &self.written[id].1.body {
            ast::TaskBody::Native(clauses) => {
                let (effect, gives) = (self.tasks[id].header.effect, self.tasks[id].header.gives.take());
                self.tasks[id].header = Header { effect, gives, ..self.header(id, clauses) };
                self.early_params(id);
            }
            ast::TaskBody::Script(span) => {
                self.tasks[id].body = TaskBody::Script(self.text(*span).to_string());
            }
            ast::TaskBody::Block(block) => {
                let mut frame = Frame { body: Some(block.span), ..self.frame(id) };
                let (policy, body) = self.scope(&mut frame, block);
                let gives = frame.given;
                self.tasks[id].header.gives = gives.as_ref().map(|gives| gives.ty.clone());
                self.tasks[id].body = TaskBody::Steps { policy, body, gives, slots: frame.slots };
            }
        }
        self.keep_notes(id, outside);
        self.read[id] = Read::Done;
        true
    }

    /// Notes the parameters of a task, which are known in its body.
    fn trace_params(&mut self, id: usize) {
        let written = self.written[id].1;
        let within = match &written.body {
            ast::TaskBody::Block(block) => block.span,
            ast::TaskBody::Native(_) | ast::TaskBody::Script(_) => self.tasks[id].span,
        };
        for (slot, param) in self.tasks[id].params.iter().enumerate() {
            let mut names = written.positional.iter().chain(&written.named).map(|p| p.name);
            if let Some(name) = names.find(|name| self.loaded.sources.slice(*name) == param.name) {
                self.now.trace.declare(slot as u32, &param.name, &param.ty, name, within);
            }
        }
    }

    /// Returns the frame of a task: its parameters.
    fn frame(&self, id: usize) -> Frame<'a> {
        let (module, written) = self.written[id];
        let task = &self.tasks[id];
        let names = written.positional.iter().chain(&written.named).map(|p| self.text(p.name));
        let mut locals: Vec<(&'a str, Type, u32)> = Vec::with_capacity(task.params.len());
        for name in names {
            if let Some(slot) = task.params.iter().position(|p| p.name == name)
                && !locals.iter().any(|(n, _, _)| *n == name)
            {
                locals.push((name, task.params[slot].ty.clone(), slot as u32));
            }
        }
        let is_here = |d: &Option<Expr>| d.as_ref().is_some_and(|d| matches!(d.kind, ExprKind::Here));
        let here = task
            .params
            .iter()
            .position(|p| p.ty == Type::Node && is_here(&p.default))
            .map_or(Here::Task, |slot| Here::Local(slot as u32));
        let slots = task.params.len() as u32;
        let task = Some(id as u32);
        Frame { module, task, locals, slots, here, ..Frame::playbook() }
    }

    fn effect(&mut self, id: usize, clauses: &[ast::Clause]) -> Effect {
        let mut effect = None;
        for clause in clauses {
            let ast::Clause::Effect(word, of) = clause else { continue };
            let read = match (self.text(*word), of.map(|of| self.text(of))) {
                ("reads", None) => Some(Effect::Reads),
                ("decides", None) => Some(Effect::Decides),
                ("changes", Some("node")) => Some(Effect::ChangesNode),
                ("changes", Some("cluster")) => Some(Effect::ChangesCluster),
                ("changes", Some("here")) => Some(Effect::ChangesHere),
                ("disrupts", Some("node")) => Some(Effect::DisruptsNode),
                _ => None,
            };
            let span = of.map_or(*word, |of| word.to(of));
            match read {
                None => self.now.found.push(Problem::BadEffect.at(span)),
                Some(_) if effect.is_some() => {
                    let name = self.text(span).to_string();
                    self.now.found.push(Problem::Twice { what: "the effect", name }.at(span));
                }
                Some(_) => {}
            }
            // A broken effect has been told; it is not missing besides.
            effect = effect.or(read).or(Some(Effect::Reads));
        }
        effect.unwrap_or_else(|| {
            let problem = Problem::NoEffect(self.tasks[id].name.clone());
            self.now.found.push(problem.at(self.tasks[id].span));
            Effect::Reads
        })
    }

    fn gives(&mut self, clauses: &[ast::Clause]) -> Option<Type> {
        let mut gives = None;
        for clause in clauses {
            let ast::Clause::Gives(word, ty) = clause else { continue };
            if gives.is_some() {
                let name = self.text(*word).to_string();
                self.now.found.push(Problem::Twice { what: "the clause", name }.at(*word));
            }
            gives = self.ty(ty).or(gives);
        }
        gives
    }

    fn header(&mut self, id: usize, clauses: &'a [ast::Clause]) -> Header {
        let mut header = Header::default();
        let frame = Frame { task: Some(u32::MAX), ..self.frame(id) };
        let mut policies = Vec::new();
        for clause in clauses {
            match clause {
                ast::Clause::Effect(..) | ast::Clause::Gives(..) => {}
                ast::Clause::Flag(span) => match self.text(*span) {
                    "prepares" => header.prepares = true,
                    "preflight" => header.preflight = true,
                    _ => header.long = true,
                },
                ast::Clause::Claims(word, claims) => {
                    let claims: Vec<Claim> = claims.iter().map(|c| self.claim(&frame, c)).collect();
                    match self.text(*word) {
                        "needs" => header.needs.extend(claims),
                        "ensures" => header.ensures.extend(claims),
                        "ends" => header.ends.extend(claims),
                        _ => header.follows.extend(claims),
                    }
                }
                ast::Clause::Undo(undo, when) => {
                    let class = match undo {
                        ast::Undo::Itself => Some(UndoClass::Itself),
                        ast::Undo::None(why) => self.plain(why, "the reason").map(UndoClass::OneWay),
                        ast::Undo::Step(step) => {
                            let step = self.step(&frame, step);
                            self.keep(step).map(|s| UndoClass::By(Box::new(s)))
                        }
                    };
                    let when = when.as_ref().and_then(|w| self.condition(&frame, w));
                    header.undo.extend(class.map(|c| (c, when)));
                }
                ast::Clause::Policy(policy) => policies.push(policy),
            }
        }
        let mut frame = frame;
        (header.policy, _) = self.policies(&mut frame, &policies);
        header
    }

    fn claim(&mut self, frame: &Frame<'a>, claim: &ast::Claim) -> Claim {
        let mut of = Vec::with_capacity(claim.of.len());
        for span in &claim.of {
            let name = self.text(*span);
            if let Some((_, _, slot)) = frame.locals.iter().find(|(local, _, _)| *local == name) {
                self.now.trace.local(*span, *slot);
            }
            // What is no parameter stands for itself: `snapshot(cluster)`.
            of.push(match frame.locals.iter().find(|(local, _, _)| *local == name) {
                Some((_, ty, slot)) => Expr { kind: ExprKind::Local(*slot), ty: ty.clone(), span: *span },
                None => Expr {
                    kind: ExprKind::Literal(Value::Word(name.to_string())),
                    ty: Type::Word(vec![name.to_string()]),
                    span: *span,
                },
            });
        }
        let when = claim.when.as_ref().and_then(|w| self.condition(frame, w));
        Claim { fact: self.text(claim.fact).to_string(), of, when }
    }

    /// Finds tasks that call themselves, once a circle.
    pub(super) fn recursion(&self) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        let mut state = vec![0u8; self.tasks.len()];
        for start in 0..self.tasks.len() {
            let mut way: Vec<(usize, usize)> = Vec::new();
            if state[start] == 0 {
                state[start] = 1;
                way.push((start, 0));
            }
            while let Some((task, edge)) = way.last_mut() {
                let task = *task;
                let Some((called, span)) = self.calls[task].get(*edge).copied() else {
                    state[task] = 2;
                    way.pop();
                    continue;
                };
                *edge += 1;
                let called = called as usize;
                if state[called] == 1 {
                    let from = way.iter().position(|(t, _)| *t == called).unwrap_or(0);
                    let mut names: Vec<String> =
                        way[from..].iter().map(|(t, _)| format!("`{}`", self.tasks[*t].name)).collect();
                    names.push(format!("`{}`", self.tasks[called].name));
                    found.push(Problem::Recursion(names.join(" -> ")).at(span));
                } else if state[called] == 0 {
                    state[called] = 1;
                    way.push((called, 0));
                }
            }
        }
        found
    }
}

/// Returns the `##` lines that end right above a place.
fn doc_above(text: &str, start: usize) -> String {
    let mut lines = comments_above(text, start, "##");
    lines.reverse();
    lines.join("\n")
}

/// Returns the comment at the end of a parameter's line, or the ones above it.
pub(super) fn param_doc(text: &str, span: Span) -> String {
    let line = text[span.end as usize..].lines().next().unwrap_or_default();
    if let Some((_, comment)) = line.split_once('#') {
        return comment.trim_start_matches('#').trim().to_string();
    }
    let mut lines = comments_above(text, span.start as usize, "#");
    lines.reverse();
    lines.join("\n")
}

fn comments_above<'t>(text: &'t str, start: usize, mark: &str) -> Vec<&'t str> {
    let line = text[..start].rfind('\n').map_or(0, |i| i + 1);
    let mut above = text[..line].lines().rev().map(str::trim);
    let mut lines = Vec::new();
    while let Some(comment) = above.next().and_then(|l| l.strip_prefix(mark)) {
        lines.push(comment.trim_start_matches('#').trim());
    }
    lines
}
