//! Whom each word means. A check notes it only where somebody is going to ask.

use crate::shift::{Shift, Way};
use crate::span::Span;
use crate::value::Type;

/// What a check has noted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    /// Whether anybody is going to ask.
    pub(crate) on: bool,
    /// Words and whom they mean.
    pub(crate) mentions: Vec<Mention>,
    /// Parameters of tasks, loop variables and other names of a block.
    pub(crate) locals: Vec<Local>,
    /// Which local is in each slot of the frame that is being checked.
    slots: Vec<Option<u32>>,
}

/// A word, or the words of a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mention {
    /// Its place.
    pub(crate) span: Span,
    /// Whom it means.
    pub(crate) of: Meaning,
}

/// Whom a word means; numbers are places in the lists of a study.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A task.
    Verb(u32),
    /// A parameter of a task, named at a call.
    Argument(u32, u32),
    /// A parameter of the playbook.
    Param(u32),
    /// A name of a block.
    Local(u32),
    /// A stage.
    Stage(u32),
    /// A module.
    Module(u32),
    /// A word of an enumeration.
    Member,
    /// A fact of a node.
    Fact,
    /// A field of a record.
    Field,
    /// `workers` and the like.
    Set,
    /// `true`, `here`, `local` and the like.
    Constant,
    /// A function of the language.
    Function,
    /// `batch`, `canary`, `soak`
    Option,
    /// A law behind `allow`.
    Law,
    /// A type.
    Type,
}

/// A name that is known within a block.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    /// The name.
    pub(crate) name: String,
    /// Its type.
    pub(crate) ty: Type,
    /// Where it is declared.
    pub(crate) span: Span,
    /// Where it is known.
    pub(crate) within: Span,
}

impl Trace {
    /// Makes a trace for somebody who is going to ask.
    pub(crate) fn noting() -> Trace {
        Trace { on: true, ..Trace::default() }
    }

    /// Makes an empty one for the same asker.
    pub(crate) fn apart(&self) -> Trace {
        Trace { on: self.on, ..Trace::default() }
    }

    /// Notes whom a word means.
    pub(crate) fn note(&mut self, span: Span, of: Meaning) {
        if self.on {
            self.mentions.push(Mention { span, of });
        }
    }

    /// Notes that a word means what is in a slot.
    pub(crate) fn local(&mut self, span: Span, slot: u32) {
        if let Some(Some(local)) = self.slots.get(slot as usize).copied() {
            self.note(span, Meaning::Local(local));
        }
    }

    /// Notes a declaration: from here on, the name is in a slot.
    pub(crate) fn declare(&mut self, slot: u32, name: &str, ty: &Type, span: Span, within: Span) {
        if !self.on {
            return;
        }
        let slot = slot as usize;
        if self.slots.len() <= slot {
            self.slots.resize(slot + 1, None);
        }
        self.slots[slot] = Some(self.locals.len() as u32);
        self.note(span, Meaning::Local(self.locals.len() as u32));
        self.locals.push(Local { name: name.to_string(), ty: ty.clone(), span, within });
    }

    /// Adds what was noted apart; its numbers of locals begin where the ones here end.
    pub(crate) fn extend(&mut self, of: Trace) {
        let before = self.locals.len() as u32;
        let of_all = |mention: Mention| match mention.of {
            Meaning::Local(local) => Mention { of: Meaning::Local(local + before), ..mention },
            _ => mention,
        };
        self.mentions.extend(of.mentions.into_iter().map(of_all));
        self.locals.extend(of.locals);
    }

    /// Puts the words into the order of the text.
    pub(crate) fn sort(&mut self) {
        self.mentions.sort_by_key(|m| (m.span.file, m.span.start, m.span.end));
        self.mentions.dedup();
    }

    /// Returns how much is noted.
    pub(crate) fn mark(&self) -> usize {
        self.mentions.len()
    }

    /// Forgets what was noted between two marks: it was read another way.
    pub(crate) fn forget(&mut self, noted: std::ops::Range<usize>) {
        self.mentions.drain(noted);
    }
}

impl Shift for Trace {
    fn shift(&mut self, way: Way) {
        self.mentions.iter_mut().for_each(|mention| mention.span.shift(way));
        for local in &mut self.locals {
            local.span.shift(way);
            local.within.shift(way);
        }
    }
}
