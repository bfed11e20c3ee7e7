//! Hooks: what an event is, and that its steps change nothing.

use crate::ast;
use crate::nearest::nearest;
use crate::problem::Problem;
use crate::program::{Block, Effect, Hook, Stage, StageId, Step, Stmt, TaskBody, Thing, When};
use crate::span::Span;
use crate::value::Type;

use super::expr::{Frame, Here};
use super::{Checker, Meaning};

impl<'a> Checker<'a> {
    /// Reads `on EVENT { }`; the stage that the event names is looked for when all are known.
    pub(super) fn hook(&mut self, event: Span, block: &'a ast::Block) -> Option<(Hook, Option<Span>)> {
        let words: Vec<(&'a str, Span)> = self.words_of(event);
        let said: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let thing = |word: &str| Thing::ALL.iter().find(|(w, _)| *w == word).map(|(_, thing)| *thing);
        let when = |word: &str| When::ALL.iter().find(|(w, _)| *w == word).map(|(_, when)| *when);
        let read = match said.as_slice() {
            [on, happens] => thing(on).zip(when(happens)).map(|(on, when)| (on, when, None)),
            ["stage", _, happens] => when(happens).map(|when| (Thing::Stage, when, Some(words[1].1))),
            _ => None,
        };
        let text = said.join(" ");
        let Some((on, when, stage)) = read else {
            let near = meant(&said);
            self.now.found.push(Problem::UnknownEvent { event: text, near }.at(event));
            return None;
        };
        let mut frame = Frame::playbook();
        frame.slots = Hook::NAMES.len() as u32;
        for (slot, name) in Hook::NAMES.into_iter().enumerate() {
            let known = match name {
                "node" => matches!(on, Thing::Node | Thing::Step | Thing::Attempt),
                "stage" => on != Thing::Run,
                "step" => {
                    matches!(on, Thing::Step | Thing::Attempt) || when == When::Failed && on != Thing::Run
                }
                _ => matches!(when, When::Failed | When::Waiting),
            };
            if known {
                let ty = if name == "node" && on == Thing::Node { Type::Node } else { Type::Text };
                self.now.trace.declare(slot as u32, name, &ty, event, block.span);
                frame.locals.push((name, ty, slot as u32));
            }
        }
        if on == Thing::Node {
            frame.here = Here::Local(0);
        }
        self.no_question(block);
        let body = self.inner(&mut frame, block);
        self.only_looks(&body);
        Some((Hook { on, stage: None, when, body, slots: frame.slots, text, span: event }, stage))
    }

    /// Returns the words of an event with their places.
    fn words_of(&self, event: Span) -> Vec<(&'a str, Span)> {
        let text = self.text(event);
        let mut words = Vec::new();
        for word in text.split_whitespace() {
            let start = event.start + (word.as_ptr() as usize - text.as_ptr() as usize) as u32;
            words.push((word, Span { start, end: start + word.len() as u32, ..event }));
        }
        words
    }

    /// Finds the stages that hooks are about.
    pub(super) fn of_stages(&mut self, hooks: Vec<(Hook, Option<Span>)>, stages: &[Stage]) -> Vec<Hook> {
        let mut found = Vec::with_capacity(hooks.len());
        for (mut hook, stage) in hooks {
            if let Some(span) = stage {
                let name = self.text(span);
                match stages.iter().position(|stage| stage.name == name) {
                    Some(at) => {
                        self.now.trace.note(span, Meaning::Stage(at as u32));
                        hook.stage = Some(StageId(at as u32));
                    }
                    None if self.lost.contains(name) => {}
                    None => {
                        let known: Vec<&str> = stages.iter().map(|stage| stage.name.as_str()).collect();
                        self.no_stage(span, &known);
                    }
                }
            }
            found.push(hook);
        }
        found
    }

    /// Refuses steps that change something, also within tasks.
    fn only_looks(&mut self, block: &Block) {
        let mut steps = Vec::new();
        all_steps(block, &mut steps);
        for step in steps {
            if let Some(verb) = self.changes(step, 0) {
                self.now.found.push(Problem::ChangesInHook(verb).at(step.span));
            }
        }
    }

    /// Returns the verb by which a step changes something.
    fn changes(&self, step: &Step, depth: usize) -> Option<String> {
        let task = &self.tasks[step.task.0 as usize];
        match &task.body {
            TaskBody::Native => match task.header.effect {
                Effect::Reads => None,
                Effect::ChangesNode
                | Effect::DisruptsNode
                | Effect::ChangesCluster
                | Effect::ChangesHere
                | Effect::Decides => Some(task.name.clone()),
            },
            TaskBody::Script(_) => None,
            // A task that calls itself has been told.
            TaskBody::Steps { .. } if depth > 64 => None,
            TaskBody::Steps { body, .. } => {
                let mut steps = Vec::new();
                all_steps(body, &mut steps);
                steps.into_iter().find_map(|step| self.changes(step, depth + 1))
            }
        }
    }
}

fn all_steps<'b>(block: &'b Block, into: &mut Vec<&'b Step>) {
    for stmt in &block.0 {
        match stmt {
            Stmt::Step(step) => into.push(step),
            Stmt::Each(each) => all_steps(&each.body, into),
            Stmt::If(choice) => {
                all_steps(&choice.then, into);
                all_steps(&choice.other, into);
            }
            Stmt::When(choice) => {
                all_steps(&choice.then, into);
                all_steps(&choice.other, into);
            }
            Stmt::Parallel(block) | Stmt::Sequence(block) => all_steps(block, into),
        }
    }
}

/// Returns the event that was meant, if each word is near to one.
fn meant(said: &[&str]) -> Option<String> {
    let things = || Thing::ALL.iter().map(|(word, _)| *word);
    let whens = || When::ALL.iter().map(|(word, _)| *word);
    match said {
        [one] => nearest(one, ["failure"]).map(str::to_string),
        [on, when] => Some(format!("{} {}", nearest(on, things())?, nearest(when, whens())?)),
        [on, name, when] => Some(format!("{} {name} {}", nearest(on, ["stage"])?, nearest(when, whens())?)),
        _ => None,
    }
}
