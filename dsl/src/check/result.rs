//! What is known only during the run: results, where they reach, and whether somebody needs them
//! earlier. Whether an argument may be a result is a matter of what a task does with its parameter, so it
//! is judged when all bodies have been read.

use std::collections::HashSet;

use crate::ast::{self, Item, Stmt, TaskBody};
use crate::diagnostic::Diagnostic;
use crate::problem::Problem;
use crate::program::{self, Binding, Expr, ExprKind, Step, UndoClass};
use crate::span::Span;
use crate::value::Type;

use super::Checker;
use super::expr::Frame;

impl<'a> Checker<'a> {
    /// Checks `let name = STEP`; the name is known from here to the end of the block.
    pub(super) fn binding(
        &mut self,
        frame: &mut Frame<'a>,
        name: Span,
        written: &'a ast::Step,
        block: Span,
    ) -> Option<program::Stmt> {
        let text = self.text(name);
        let Some((step, around)) = self.whole_step(frame, written) else {
            self.lost.insert(text);
            return None;
        };
        if !self.body(step.task.0 as usize) {
            // It calls itself, which is told.
            self.lost.insert(text);
            return Some(around.beside(step));
        }
        let task = &self.tasks[step.task.0 as usize];
        let Some(ty) = task.header.gives.clone() else {
            self.now.found.push(Problem::GivesNothing(task.name.clone()).at(written.span));
            self.lost.insert(text);
            return Some(around.beside(step));
        };
        if super::SETS.contains(&text) || super::CONSTANTS.contains(&text) {
            let problem = Problem::Taken { name: text.to_string(), what: "a word of the language" };
            self.now.found.push(problem.at(name));
        }
        let is_result = |slot: &u32| frame.results.contains(slot);
        if frame.locals.iter().any(|(known, _, slot)| *known == text && is_result(slot)) {
            let problem = Problem::Twice { what: "the result", name: text.to_string() };
            self.now.found.push(problem.at(name));
        }
        let slot = frame.slots;
        frame.slots += 1;
        frame.results.push(slot);
        self.now.trace.declare(slot, text, &ty, name, Span { start: written.span.end, ..block });
        frame.locals.push((text, ty, slot));
        let result = Some(Binding { name: text.to_string(), slot, span: name });
        Some(around.beside(Step { result, ..step }))
    }

    /// Checks `gives EXPR`, which is the last thing of a task.
    pub(super) fn gives_back(
        &mut self,
        frame: &mut Frame<'a>,
        value: &ast::Expr,
        block: &ast::Block,
        is_last: bool,
    ) {
        if frame.body != Some(block.span) || !is_last {
            self.now.found.push(Problem::GivesElsewhere.at(value.span));
        }
        if frame.body.is_some() {
            let value = self.expr(frame, value, None);
            frame.given = self.keep(value);
        }
    }

    /// Refuses a result where something must be known when the plan is made.
    pub(super) fn in_time(&mut self, frame: &Frame<'a>, expr: &Expr, what: &str) -> Result<(), Diagnostic> {
        let mut slots = Vec::new();
        locals(expr, &mut slots);
        for (slot, span) in slots {
            if frame.results.contains(&slot) {
                let name = self.text(span).to_string();
                return Err(Problem::OnlyDuringTheRun { name, what: what.to_string() }.at(span));
            }
            if let Some(task) = frame.task {
                self.now.early.push((task, slot));
            }
        }
        Ok(())
    }

    /// The same for a whole expression, if there is one.
    pub(super) fn must_be_in_time(&mut self, frame: &Frame<'a>, expr: Option<&Expr>, what: &str) {
        if let Some(expr) = expr {
            let told = self.in_time(frame, expr, what);
            self.keep(told);
        }
    }

    /// Notes which arguments of a call are known only during the run, or may be.
    pub(super) fn pass_on(&mut self, frame: &Frame<'a>, called: u32, args: &[Expr]) {
        let mut slots = Vec::new();
        for (at, arg) in args.iter().enumerate() {
            slots.clear();
            locals(arg, &mut slots);
            for (slot, span) in &slots {
                let to = (called, at as u32);
                match frame.task {
                    _ if frame.results.contains(slot) => {
                        self.now.late.push((self.text(*span).to_string(), *span, to));
                    }
                    Some(task) => self.now.passed.push(((task, *slot), to)),
                    None => {}
                }
            }
        }
    }

    /// Notes what a native verb must know when the plan is made: its node, and what its claims and its
    /// undo depend on.
    pub(super) fn early_params(&mut self, id: usize) {
        let task = &self.tasks[id];
        let mut slots = Vec::new();
        let header = &task.header;
        for claim in header.needs.iter().chain(&header.ensures).chain(&header.follows).chain(&header.ends) {
            claim.of.iter().chain(&claim.when).for_each(|expr| locals(expr, &mut slots));
        }
        for (class, when) in &header.undo {
            when.iter().for_each(|expr| locals(expr, &mut slots));
            if let UndoClass::By(step) = class {
                step.args.iter().for_each(|expr| locals(expr, &mut slots));
            }
        }
        let nodes = task.params.iter().enumerate().filter(|(_, param)| {
            let ty = if let Type::Optional(of) = &param.ty { of } else { &param.ty };
            matches!(ty, Type::Node | Type::Nodes)
        });
        let nodes = nodes.map(|(slot, _)| slot as u32);
        let early = slots.iter().map(|(slot, _)| *slot).chain(nodes);
        self.now.early.extend(early.map(|slot| (id as u32, slot)));
    }

    /// Tells of results that are given where something must be known when the plan is made.
    pub(super) fn too_late(&mut self) {
        let mut early: HashSet<(u32, u32)> = std::mem::take(&mut self.now.early).into_iter().collect();
        // A parameter must be known early where it is passed on to one that must be.
        loop {
            let known = early.len();
            for (from, to) in &self.now.passed {
                if early.contains(to) {
                    early.insert(*from);
                }
            }
            if early.len() == known {
                break;
            }
        }
        for (name, span, to) in std::mem::take(&mut self.now.late) {
            if early.contains(&to) {
                let task = &self.tasks[to.0 as usize];
                let what = format!("`{}` of `{}`", task.params[to.1 as usize].name, task.name);
                self.now.found.push(Problem::OnlyDuringTheRun { name, what }.at(span));
            }
        }
    }

    /// Says why a name is not known that a `let` elsewhere in the file gives.
    pub(super) fn result_elsewhere(&self, module: usize, name: &str, at: Span) -> Option<&'static str> {
        let mut lets = Vec::new();
        for item in &self.loaded.modules[module].ast.items {
            match item {
                Item::Stage { block, .. } => bindings(block, &mut lets),
                Item::Task(ast::Task { body: TaskBody::Block(block), .. }) => bindings(block, &mut lets),
                _ => {}
            }
        }
        let mut lets = lets.into_iter().filter(|span| span.file == at.file && self.text(*span) == name);
        let first = lets.next()?;
        Some(match first.start < at.start {
            true => "its `let` stands in another block, lane or stage, or in a `when` that may be skipped",
            false => "its `let` comes later",
        })
    }

    /// Refuses results and `when` in an undo: what takes a change back is decided before.
    pub(super) fn only_steps(&mut self, block: &ast::Block) {
        for stmt in &block.stmts {
            match stmt {
                Stmt::Let(name, _) => self.now.found.push(Problem::NotInAnUndo("`let`").at(*name)),
                Stmt::When(choice) => {
                    self.now.found.push(Problem::NotInAnUndo("`when`").at(choice.arms[0].0.span));
                }
                Stmt::If(choice) => {
                    let blocks = choice.arms.iter().map(|(_, block)| block).chain(&choice.other);
                    blocks.for_each(|block| self.only_steps(block));
                }
                Stmt::Each(each) => self.only_steps(&each.block),
                Stmt::Parallel(block) => self.only_steps(block),
                Stmt::Gives(value) => self.now.found.push(Problem::GivesElsewhere.at(value.span)),
                Stmt::Step(_) | Stmt::Policy(_) => {}
            }
        }
    }
}

/// Collects the places of all names that a `let` gives in a block.
fn bindings(block: &ast::Block, into: &mut Vec<Span>) {
    for stmt in &block.stmts {
        match stmt {
            Stmt::Let(name, _) => into.push(*name),
            Stmt::Each(each) => bindings(&each.block, into),
            Stmt::If(choice) | Stmt::When(choice) => {
                choice.arms.iter().for_each(|(_, block)| bindings(block, into));
                choice.other.iter().for_each(|block| bindings(block, into));
            }
            Stmt::Parallel(block) => bindings(block, into),
            Stmt::Step(_) | Stmt::Gives(_) | Stmt::Policy(_) => {}
        }
    }
}

/// Collects the slots that an expression looks at, each with the place where it does.
fn locals(expr: &Expr, into: &mut Vec<(u32, Span)>) {
    expr.any(&mut |part| {
        if let ExprKind::Local(slot) = &part.kind {
            into.push((*slot, part.span));
        }
        false
    });
}
