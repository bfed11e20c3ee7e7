//! A check for those who will ask: beside the findings it keeps the trees, who is in scope where, and
//! whom each word means. What did not change since the last time is not parsed again.

use std::collections::HashMap;

use super::load::{Loaded, load};
use super::test::{Played, played};
use super::trace::{Local, Meaning, Mention};
use super::{Bodies, Checker, Notes, Trace, finish_module, finish_playbook, sort};
use crate::ast;
use crate::diagnostic::Diagnostic;
use crate::parse::Kept;
use crate::problem::Problem;
use crate::program::{Param, Task};
use crate::source::{Loader, Sources};
use crate::span::{FileId, Span};

/// What is kept from one study of a file for the next one.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    trees: HashMap<String, Kept>,
    bodies: Bodies,
}

/// All that is known of a file and of what it uses.
#[derive(Debug, Default)]
pub(crate) struct Study {
    /// Every text; the file itself is file 0.
    pub(crate) sources: Sources,
    /// What was found, in the order of the text.
    pub(crate) found: Vec<Diagnostic>,
    /// The tree of each file.
    pub(crate) trees: Vec<ast::File>,
    /// What each file uses: the place of the path, and the file if it could be read.
    pub(crate) uses: Vec<Vec<(Span, Option<u32>)>>,
    /// Whether the file is a playbook and no module.
    pub(crate) is_playbook: bool,
    /// Every task.
    pub(crate) tasks: Vec<Task>,
    /// Where each of them is written.
    pub(crate) heads: Vec<Head>,
    /// Verbs in scope of each file, by their words.
    pub(crate) scopes: Vec<HashMap<String, Vec<u32>>>,
    /// The playbook's parameters.
    pub(crate) params: Vec<Param>,
    /// The names of the stages, in the order of the text.
    pub(crate) stages: Vec<Span>,
    /// Words and whom they mean, in the order of the text.
    pub(crate) mentions: Vec<Mention>,
    /// Names of blocks.
    pub(crate) locals: Vec<Local>,
    /// The modules that kup ships.
    pub(crate) shipped: Vec<&'static str>,
    /// What the body of each task has noted, where it may be kept.
    notes: Vec<Option<Notes>>,
}

/// Where a task is written.
#[derive(Debug)]
pub(crate) struct Head {
    /// The words.
    pub(crate) words: Span,
    /// From `task` or `native` to the end of the head.
    pub(crate) whole: Span,
    /// Each parameter: its name, and all of it.
    pub(crate) params: Vec<(Span, Span)>,
}

impl Study {
    /// Checks a playbook, or a module where there is no playbook in the file.
    pub(crate) fn of(root: &str, loader: &dyn Loader, prelude: &[&str], memory: &mut Memory) -> Study {
        let kept = &mut memory.trees;
        let parse = &mut |path: &str, file: FileId, text: &str| match kept.get_mut(path) {
            Some(kept) => kept.parse(file, text),
            None => kept.entry(path.to_string()).or_default().parse(file, text),
        };
        let mut loaded = load(root, loader, prelude, parse);
        let mut found = std::mem::take(&mut loaded.found);
        if loaded.modules[0].ast.items.is_empty() && found.is_empty() {
            found.push(Problem::Empty.of_the_whole());
        }
        let mut study = match found.iter().any(|d| d.span.is_none()) {
            true => Study { found, ..Study::default() },
            false => {
                let bodies = std::mem::take(&mut memory.bodies);
                Study::understood(&loaded, found, bodies, &|| played(&loaded, loader, prelude))
            }
        };
        sort(&mut study.found);
        let uses =
            |used: &[(Span, Option<usize>)]| used.iter().map(|(s, m)| (*s, m.map(|m| m as u32))).collect();
        study.uses = loaded.modules.iter().map(|m| uses(&m.uses)).collect();
        study.trees = loaded.modules.into_iter().map(|m| m.ast).collect();
        study.sources = loaded.sources;
        study.shipped = loaded.shipped;
        study
    }

    fn understood(
        loaded: &Loaded,
        early: Vec<Diagnostic>,
        before: Bodies,
        played: &dyn Fn() -> Played,
    ) -> Study {
        let traced = |found, before| {
            let mut checker = Checker { before, played: Some(played()), ..Checker::new(loaded, found) };
            checker.now.trace = Trace::noting();
            checker
        };
        let (of_module, of_playbook) = match before.as_module {
            true => (before, Bodies::default()),
            false => (Bodies::default(), before),
        };
        let mut checker = traced(early.clone(), of_playbook);
        let mut tasks = match finish_playbook(&mut checker) {
            Some(program) => program.tasks,
            None => std::mem::take(&mut checker.tasks),
        };
        // A file without a playbook is a module, and is judged as one.
        let is_playbook = !checker.now.found.iter().any(|d| d.code == Problem::NoPlaybook.code());
        if !is_playbook {
            checker = traced(early, of_module);
            tasks = finish_module(&mut checker);
        }
        for (span, used) in loaded.modules.iter().flat_map(|module| &module.uses) {
            if let Some(used) = used {
                checker.now.trace.note(*span, Meaning::Module(*used as u32));
            }
        }
        checker.now.trace.sort();
        let stages = loaded.modules[0].ast.items.iter().filter_map(|item| match item {
            ast::Item::Stage { name, .. } => Some(*name),
            _ => None,
        });
        let heads = checker.written.iter().map(|(_, task)| head(task)).collect();
        Study {
            found: checker.now.found,
            notes: checker.notes,
            is_playbook,
            heads,
            stages: stages.collect(),
            scopes: checker.scopes,
            params: checker.params,
            mentions: checker.now.trace.mentions,
            locals: checker.now.trace.locals,
            tasks,
            ..Study::default()
        }
    }

    /// Gives the trees back to be used again.
    pub(crate) fn give_back(self, memory: &mut Memory) {
        let kept = &mut memory.trees;
        if let Some(tree) = self.trees.first() {
            let (sources, tasks) = (self.sources.clone(), self.tasks);
            memory.bodies = Bodies::new(sources, tree, !self.is_playbook, tasks, self.notes);
        }
        let mut left: HashMap<String, Kept> = HashMap::with_capacity(self.trees.len());
        for (file, tree) in self.sources.files().zip(self.trees) {
            let path = self.sources.path(file);
            if let Some(mut of) = kept.remove(path) {
                of.give_back(tree);
                left.insert(path.to_string(), of);
            }
        }
        // What is used no more is forgotten.
        *kept = left;
    }
}

fn head(task: &ast::Task) -> Head {
    let words = task.words[0].to(task.words[task.words.len() - 1]);
    let params: Vec<(Span, Span)> =
        task.positional.iter().chain(&task.named).map(|p| (p.name, p.span)).collect();
    let end = params.iter().map(|(_, whole)| whole.end).max().unwrap_or(words.end);
    Head { words, whole: Span { start: task.start, end: end.max(words.end), ..words }, params }
}
