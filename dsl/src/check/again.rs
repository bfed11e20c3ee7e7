//! Checks a text that is nearly the one of a moment ago. Where only one block changed, the bodies of the other tasks mean what
//! they meant: what a body means depends on its own text and on what stands outside of all blocks. The findings are those of
//! a check of the whole; where that is not certain, the whole is checked.

use std::cell::Cell;

use crate::ast;
use crate::diagnostic::Diagnostic;
use crate::lint::Subject;
use crate::problem::Problem;
use crate::program::{Task, TaskBody};
use crate::shift::{Shift, Way};
use crate::source::Sources;
use crate::span::{FileId, Span};
use crate::value::Type;

use super::task::Read;
use super::{Checker, Trace};

/// What the check of one body notes, beside the body itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    pub(super) found: Vec<Diagnostic>,
    /// Whom each word means, if anybody will ask.
    pub(super) trace: Trace,
    /// Parameters that must be known when the plan is made: the task, and the slot.
    pub(super) early: Vec<(u32, u32)>,
    /// A parameter that is an argument of another task: caller and slot, called and slot.
    pub(super) passed: Vec<((u32, u32), (u32, u32))>,
    /// A result that is an argument: its name and place, called and slot.
    pub(super) late: Vec<(String, Span, (u32, u32))>,
    /// The playbook's parameters that are looked at.
    pub(super) used: Vec<u32>,
    /// Which tasks the body calls, and where.
    calls: Vec<(u32, Span)>,
    /// Whether something was passed over, for another mistake explains it.
    pub(super) hazy: Cell<bool>,
}

/// What the last check has found out about bodies.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    sources: Sources,
    /// Whether the file was checked as a module.
    pub(super) as_module: bool,
    /// The blocks of its tasks, stages and handlers.
    blocks: Vec<Span>,
    /// Every task.
    tasks: Vec<Task>,
    /// What the body of each has noted, if it may be kept.
    notes: Vec<Option<Notes>>,
}

impl Bodies {
    /// Keeps what a check has found out.
    pub(crate) fn new(
        sources: Sources,
        tree: &ast::File,
        as_module: bool,
        tasks: Vec<Task>,
        notes: Vec<Option<Notes>>,
    ) -> Bodies {
        Bodies { sources, as_module, blocks: blocks(tree), tasks, notes }
    }

    /// Returns where the text behind the change has gone, and the block that changed, if all that changed is one block.
    fn way(&self, sources: &Sources, tree: &ast::File, as_module: bool) -> Option<(Way, Span)> {
        let same = |file: FileId| {
            self.sources.path(file) == sources.path(file)
                && (file == Subject::ROOT || self.sources.text(file) == sources.text(file))
        };
        let is_known = self.as_module == as_module && self.sources.files().eq(sources.files());
        if sources.is_empty() || !is_known || !sources.files().all(same) {
            return None;
        }
        let (was, is) = (self.sources.text(Subject::ROOT).as_bytes(), sources.text(Subject::ROOT).as_bytes());
        let most = was.len().min(is.len());
        let first = was.iter().zip(is).take_while(|(a, b)| a == b).count();
        let last =
            was.iter().rev().zip(is.iter().rev()).take(most - first).take_while(|(a, b)| a == b).count();
        let (from, by) = ((was.len() - last) as u32, is.len() as i64 - was.len() as i64);
        let way = Way::Behind { file: Subject::ROOT, from, by };
        let now = blocks(tree);
        let mut changed = None;
        for (block, is) in self.blocks.iter().zip(&now) {
            let mut moved = *block;
            if block.start < first as u32 && block.end > from {
                moved.end = (i64::from(block.end) + by) as u32;
                changed = Some(*block);
            } else if block.end <= first as u32 || block.start >= from {
                moved.shift(way);
            } else {
                return None;
            }
            if moved != *is {
                return None;
            }
        }
        changed.filter(|_| now.len() == self.blocks.len()).map(|changed| (way, changed))
    }

    /// Returns whether the same tasks are declared.
    fn declares(&self, tasks: &[Task]) -> bool {
        let params = |task: &Task| -> Vec<(String, Type, bool, bool)> {
            let of = task.params.iter();
            of.map(|p| (p.name.clone(), p.ty.clone(), p.positional, p.default.is_some())).collect()
        };
        self.tasks.len() == tasks.len()
            && self
                .tasks
                .iter()
                .zip(tasks)
                .all(|(was, is)| was.name == is.name && was.module == is.module && params(was) == params(is))
    }
}

/// Returns the blocks of a file's tasks, stages and handlers.
fn blocks(tree: &ast::File) -> Vec<Span> {
    let block = |item: &ast::Item| match item {
        ast::Item::Stage { block, .. } | ast::Item::On { block, .. } => Some(block.span),
        ast::Item::Task(ast::Task { body: ast::TaskBody::Block(block), .. }) => Some(block.span),
        _ => None,
    };
    tree.items.iter().filter_map(block).collect()
}

impl<'a> Checker<'a> {
    /// Checks the bodies of all tasks; what is known of the last time is not checked again.
    pub(super) fn all_bodies(&mut self, as_module: bool) {
        let before = std::mem::take(&mut self.before);
        let gives: Vec<Option<Type>> = before.tasks.iter().map(|task| task.header.gives.clone()).collect();
        let known = self.recall(before, as_module);
        for id in 0..self.tasks.len() {
            self.body(id);
        }
        let mut circles = self.recursion();
        let others = |(task, gave): (&Task, &Option<Type>)| task.header.gives != *gave;
        if known && (!circles.is_empty() || self.tasks.iter().zip(&gives).any(others)) {
            // What a task gives, and who calls himself, may matter to any other.
            self.forget();
            for id in 0..self.tasks.len() {
                self.body(id);
            }
            circles = self.recursion();
        }
        let is_sound = circles.is_empty();
        for id in 0..self.tasks.len() {
            let Some(notes) = self.notes[id].take() else { continue };
            let stands_here =
                self.written[id].0 == 0 && matches!(self.tasks[id].body, TaskBody::Steps { .. });
            if self.now.trace.on && is_sound && stands_here && notes.found.is_empty() && !notes.hazy.get() {
                self.notes[id] = Some(notes.clone());
            }
            self.now.extend(notes);
        }
        self.now.found.extend(circles);
    }

    /// Takes over what is known of bodies that did not change; returns whether anything is.
    fn recall(&mut self, before: Bodies, as_module: bool) -> bool {
        let (sources, tree) = (&self.loaded.sources, &self.loaded.modules[0].ast);
        let Some((way, changed)) = before.way(sources, tree, as_module) else { return false };
        if !before.declares(&self.tasks) {
            return false;
        }
        for (id, (was, notes)) in before.tasks.into_iter().zip(before.notes).enumerate() {
            let (Some(mut notes), ast::TaskBody::Block(block)) = (notes, &self.written[id].1.body) else {
                continue;
            };
            if block.span.start == changed.start {
                continue;
            }
            let mut body = was.body;
            body.shift(way);
            notes.shift(way);
            self.tasks[id].header.gives = was.header.gives;
            self.tasks[id].body = body;
            self.calls[id].clone_from(&notes.calls);
            self.notes[id] = Some(notes);
            self.read[id] = Read::Done;
        }
        true
    }

    /// Forgets what is known of all bodies.
    fn forget(&mut self) {
        for id in 0..self.tasks.len() {
            self.notes[id] = None;
            self.calls[id].clear();
            self.read[id] = Read::Not;
            if let ast::TaskBody::Block(_) = self.written[id].1.body {
                self.tasks[id].header.gives = None;
            }
        }
    }

    /// Says nothing of what only follows from another mistake.
    pub(super) fn follows(&self, span: Span) -> Diagnostic {
        self.now.hazy.set(true);
        Problem::Follows.at(span)
    }

    /// Takes what was noted so far out of the way of what a body notes.
    pub(super) fn set_aside(&mut self) -> Notes {
        let own = Notes { trace: self.now.trace.apart(), ..Notes::default() };
        std::mem::replace(&mut self.now, own)
    }

    /// Puts it back, and keeps what the body has noted: in the order of the text, and once.
    pub(super) fn keep_notes(&mut self, id: usize, outside: Notes) {
        let mut own = std::mem::replace(&mut self.now, outside);
        own.calls.clone_from(&self.calls[id]);
        own.trace.sort();
        own.early.sort_unstable();
        own.early.dedup();
        own.passed.sort_unstable();
        own.passed.dedup();
        own.used.sort_unstable();
        own.used.dedup();
        self.notes[id] = Some(own);
    }
}

impl Notes {
    /// Begins with what was found while reading.
    pub(super) fn of(found: Vec<Diagnostic>) -> Notes {
        Notes { found, ..Notes::default() }
    }

    /// Adds what others have noted.
    fn extend(&mut self, of: Notes) {
        let Notes { found, trace, early, passed, late, used, calls: _, hazy: _ } = of;
        self.found.extend(found);
        self.trace.extend(trace);
        self.early.extend(early);
        self.passed.extend(passed);
        self.late.extend(late);
        self.used.extend(used);
    }
}

impl Shift for Notes {
    fn shift(&mut self, way: Way) {
        // Who has found something is not kept.
        let Notes { found: _, trace, early: _, passed: _, late, used: _, calls, hazy: _ } = self;
        trace.shift(way);
        late.iter_mut().for_each(|(_, span, _)| span.shift(way));
        calls.iter_mut().for_each(|(_, span)| span.shift(way));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Study;
    use super::super::study::Memory;
    use crate::program::TaskBody;
    use crate::tests::{Files, PRELUDE};

    const PLAYBOOK: &str = "use ./lib\nplaybook \"p\" { retry 2 }\nparam target: version\nparam loud: bool = false\n\
        task one (node: node = here; note: string = \"x\") {\n  drain node\n  shout note\n  if loud { two what=[node] }\n}\n\
        task two (what: nodes) {\n  each box in what batch=2 {\n    shout \"${target}\"\n    let a = three\n    when a == \"x\" { drain box { undo { uncordon box } } }\n  }\n}\n\
        task three (node: node = here) {\n  let said = read command \"a\" on=node\n  gives said\n}\n\
        task four (deep: nodes) { parallel { each n in deep { three n\n one n } } }\n\
        native task mine (node: node = here)\n  changes node\n  timeout 5m\n\
        stage s after t { each n in workers { one\n mine } }\nstage t { two what=workers\n four deep=etcd }\n\
        on node done { shout \"y\" }\ntask last (x: number) { each n in workers { drain n } }\n";

    const LIB: &str = "task shout (what: string) { run command \"echo ${what}\" on=local }\n";

    const PIECES: [&str; 30] = [
        "drain node\n",
        "one\n",
        "two what=workers\n",
        "let a = three\n",
        "let b = read command \"b\" on=local\n",
        "gives said\n",
        "gives target\n",
        "let a = four deep=etcd\n",
        "shout a\n",
        "each x in lost {\n",
        "each box in workers { ",
        "}\n",
        "{",
        "}",
        "x",
        " ",
        "\n",
        "\"",
        "# ",
        "=",
        "node",
        "loud",
        "param new: bool\n",
        "task two ",
        "use ./lib\n",
        "(",
        "three",
        "lost x\n",
        "if loud { ",
        "5",
    ];

    /// Reads again and for the first time, and demands the same.
    fn agree(memory: &mut Memory, text: &str) {
        let files = Files(&[("test.kup", text), ("lib.kup", LIB)]);
        let again = Study::of("test.kup", &files, &PRELUDE, memory);
        let whole = Study::of("test.kup", &files, &PRELUDE, &mut Memory::default());
        let known = |study: &Study| {
            format!(
                "{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}",
                study.found,
                study.tasks,
                study.mentions,
                study.locals,
                study.scopes.len()
            )
        };
        let (again_known, whole_known) = (known(&again), known(&whole));
        let differs = again_known.lines().zip(whole_known.lines()).position(|(a, b)| a != b);
        assert!(again_known == whole_known, "line {differs:?} is another one for:\n{text}");
        again.give_back(memory);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn edits_lead_to_what_a_check_of_the_whole_finds(
            is_module in any::<bool>(),
            edits in prop::collection::vec((0.0..1.0f64, 0usize..12, prop::sample::select(&PIECES[..]), any::<bool>()), 1..12),
        ) {
            let mut text = PLAYBOOK.to_string();
            if is_module {
                text = text[text.find("task one").unwrap()..text.find("stage s").unwrap()].to_string();
            }
            let mut memory = Memory::default();
            agree(&mut memory, &text);
            for (place, len, piece, back) in edits {
                let at = text.floor_char_boundary((place * text.len() as f64) as usize);
                let end = text.ceil_char_boundary((at + len).min(text.len()));
                let before = text.clone();
                text.replace_range(at..end, piece);
                agree(&mut memory, &text);
                if back {
                    text = before;
                    agree(&mut memory, &text);
                }
            }
        }
    }

    #[test]
    fn only_the_body_that_changed_is_read_again() {
        let mut memory = Memory::default();
        let study = |text: &str, memory: &mut Memory| {
            Study::of("test.kup", &Files(&[("test.kup", text), ("lib.kup", LIB)]), &PRELUDE, memory)
        };
        let mut first = study(PLAYBOOK, &mut memory);
        let id = |name: &str, study: &Study| study.tasks.iter().position(|t| t.name == name).unwrap();
        // What is kept is kept, be it right or wrong: so one sees that it was not read again.
        let one = id("one", &first);
        first.tasks[one].body = TaskBody::Native;
        first.give_back(&mut memory);
        let second = study(&PLAYBOOK.replace("let said = read", "let  said = read"), &mut memory);
        assert!(matches!(second.tasks[one].body, TaskBody::Native));
        assert!(matches!(second.tasks[id("three", &second)].body, TaskBody::Steps { .. }));
        second.give_back(&mut memory);
        // What stands outside of all blocks may matter to any of them.
        let third = study(&PLAYBOOK.replace("param loud", "param  loud"), &mut memory);
        assert!(matches!(third.tasks[one].body, TaskBody::Steps { .. }));
    }
}
