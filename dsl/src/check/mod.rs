//! Gives a text its meaning: names become ids, arguments take the order of their parameters, types
//! are proved. All findings come in one go.

mod again;
mod block;
mod expr;
mod hook;
mod load;
mod record;
mod result;
mod shift;
mod step;
mod study;
mod task;
mod test;
mod trace;

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use crate::ast;
use crate::diagnostic::{Diagnostic, Severity};
use crate::lint::{Subject, cut, lint};
use crate::nearest::{nearest, surely};
use crate::parse::parse;
use crate::problem::{Problem, ticks};
use crate::program::{Block, Hook, OnFailure, Param, Policy, Program, Stage, StageId, Task};
use crate::source::{Loader, Sources};
use crate::span::Span;
use crate::test::Test;
use crate::value::Type;
pub(crate) use again::Bodies;
use again::Notes;
use block::Around;
use expr::{Frame, Here};
use load::{Loaded, Module, load};
use task::Read;
use test::{Half, Played, played, whole};

pub(crate) use expr::{CONSTANTS, SETS};
pub(crate) use study::{Memory, Study};
use trace::Trace;
pub(crate) use trace::{Meaning, Mention};

/// Names of the types.
pub(crate) const TYPES: [&str; 13] = [
    "version", "minor", "duration", "share", "number", "batch", "size", "path", "string", "bool", "node",
    "nodes", "secret",
];

/// Names of the functions.
pub(crate) const FUNCTIONS: [&str; 10] =
    ["first", "rest", "count", "minor", "label", "pools", "hops", "env", "file", "command"];

/// Names of the laws.
pub(crate) const LAWS: [&str; 8] = [
    "control-plane-first",
    "one-control-plane-at-a-time",
    "no-skew",
    "one-minor-at-a-time",
    "snapshot-first",
    "drain-first",
    "budget",
    "undo-or-say-so",
];

/// Facts of a node and their types.
pub(crate) static FACTS: LazyLock<[(&str, Type); 21]> = LazyLock::new(|| {
    let one_of = |words: &[&str]| Type::Word(words.iter().map(|word| (*word).to_string()).collect());
    [
        ("name", Type::Text),
        ("role", one_of(&["control_plane", "etcd", "worker"])),
        ("control_plane", Type::Bool),
        ("etcd", Type::Bool),
        ("stacked", Type::Bool),
        ("worker", Type::Bool),
        ("taints", Type::List(Box::new(Type::Text))),
        ("gpu", Type::Number),
        ("zone", Type::Text),
        ("pool", Type::Text),
        ("os", Type::Text),
        ("arch", Type::Text),
        ("kernel", Type::Text),
        ("cgroup", one_of(&["v1", "v2"])),
        ("runtime", Type::Text),
        ("runtime_version", Type::Version),
        ("ready", Type::Bool),
        ("kubelet", Type::Version),
        ("apiserver", Type::Version),
        ("package_manager", Type::Text),
        ("windows", Type::Bool),
    ]
});

/// Words that no verb begins with.
pub(crate) const KEYWORDS: [&str; 26] = [
    "use", "playbook", "param", "stage", "task", "native", "on", "test", "each", "if", "else", "parallel",
    "timeout", "retry", "undo", "name", "long", "allow", "hosts", "when", "let", "gives", "window",
    "approve", "before", "after",
];

/// What a check has found.
#[derive(Debug)]
pub struct Checked {
    /// Every text that was read; the playbook is file 0.
    pub sources: Sources,
    /// The program, if there is no error.
    pub program: Option<Program>,
    /// The tests of the file, if there is no error.
    pub tests: Vec<Test>,
    /// Errors and warnings, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// Checks the playbook `root`. The modules of `prelude` are always in scope.
pub fn check(root: &str, loader: &dyn Loader, prelude: &[&str]) -> Checked {
    examine(root, loader, prelude, true)
}

/// Checks a playbook, with its tests or without.
fn examine(root: &str, loader: &dyn Loader, prelude: &[&str], with_tests: bool) -> Checked {
    let mut loaded = load(root, loader, prelude, &mut |_, file, text| parse(file, text));
    let mut found = std::mem::take(&mut loaded.found);
    if !found.iter().any(|d| d.span.is_none()) && loaded.modules[0].ast.items.is_empty() && found.is_empty() {
        found.push(Problem::Empty.of_the_whole());
    }
    let broken = found.iter().any(|d| d.span.is_none());
    let (mut program, mut tests) = (None, Vec::new());
    if !broken {
        let mut checker = Checker::new(&loaded, found);
        if with_tests {
            checker.played = Some(played(&loaded, loader, prelude));
        }
        program = finish_playbook(&mut checker);
        tests = finish_tests(&mut checker, program.as_ref());
        found = checker.now.found;
    }
    sort(&mut found);
    Checked { sources: loaded.sources, program, tests, diagnostics: found }
}

/// Checks a playbook, or a module where there is no playbook in the file.
pub fn check_any(root: &str, loader: &dyn Loader, prelude: &[&str]) -> Checked {
    let checked = check(root, loader, prelude);
    if !checked.diagnostics.iter().any(|d| d.code == Problem::NoPlaybook.code()) {
        return checked;
    }
    let mut loaded = load(root, loader, prelude, &mut |_, file, text| parse(file, text));
    let found = std::mem::take(&mut loaded.found);
    let mut checker = Checker::new(&loaded, found);
    checker.played = Some(played(&loaded, loader, prelude));
    checker.tasks = finish_module(&mut checker);
    let tests = finish_tests(&mut checker, None);
    let mut found = checker.now.found;
    sort(&mut found);
    Checked { sources: loaded.sources, program: None, tests, diagnostics: found }
}

/// Gives the tests their programs, if nothing is wrong.
fn finish_tests(checker: &mut Checker<'_>, file: Option<&Program>) -> Vec<Test> {
    if checker.now.found.iter().any(|d| d.severity == Severity::Error) {
        return Vec::new();
    }
    let halves = std::mem::take(&mut checker.halves);
    let tasks = file.map_or(checker.tasks.as_slice(), |file| file.tasks.as_slice());
    whole(halves, file, &checker.params, tasks)
}

/// Checks the module `root` and returns the tasks that it declares itself.
pub fn module(root: &str, loader: &dyn Loader, prelude: &[&str]) -> (Sources, Vec<Task>, Vec<Diagnostic>) {
    let mut loaded = load(root, loader, prelude, &mut |_, file, text| parse(file, text));
    let found = std::mem::take(&mut loaded.found);
    let mut checker = Checker::new(&loaded, found);
    checker.played = Some(played(&loaded, loader, prelude));
    let tasks = finish_module(&mut checker);
    let mut found = checker.now.found;
    let tasks = tasks.into_iter().filter(|t| t.module == root).collect();
    sort(&mut found);
    (loaded.sources, tasks, found)
}

/// Checks the root as a playbook; there is a program if there is no error.
fn finish_playbook(checker: &mut Checker<'_>) -> Option<Program> {
    let checked = checker.playbook();
    checker.tests(true);
    checker.too_late();
    if checker.now.found.iter().any(|d| d.severity == Severity::Error) {
        return None;
    }
    checker.unused();
    let whole = Program { tasks: std::mem::take(&mut checker.tasks), ..checked };
    checker.lint(&whole.params, &whole.policy, &whole.stages, &whole.tasks);
    Some(whole)
}

/// Checks the root as a module and returns every task in sight.
fn finish_module(checker: &mut Checker<'_>) -> Vec<Task> {
    checker.declare(true);
    checker.bodies(true);
    checker.tests(false);
    checker.too_late();
    let tasks = std::mem::take(&mut checker.tasks);
    if !checker.now.found.iter().any(|d| d.severity == Severity::Error) {
        checker.lint(&[], &Policy::default(), &[], &tasks);
    }
    tasks
}

fn sort(found: &mut [Diagnostic]) {
    found.sort_by_key(|d| d.span.map(|s| (s.file, s.start)));
}

/// All that is known while checking. Methods live beside what they check.
struct Checker<'a> {
    loaded: &'a Loaded,
    /// What is noted: by the body that is being checked, or by all the others together.
    now: Notes,
    tasks: Vec<Task>,
    /// Module and tree of each task.
    written: Vec<(usize, &'a ast::Task)>,
    /// Verbs in scope of each module, by their words.
    scopes: Vec<HashMap<String, Vec<u32>>>,
    /// The most words of a verb.
    longest: usize,
    /// Names of what could not be read or typed: what names them is no second mistake.
    lost: HashSet<&'a str>,
    /// Tasks whose parameters are not all known.
    torn: HashSet<u32>,
    params: Vec<Param>,
    param_ids: HashMap<&'a str, u32>,
    used_tasks: Vec<bool>,
    /// Whether the body of each task is checked, or is being checked.
    read: Vec<Read>,
    /// Which tasks each task calls, and where.
    calls: Vec<Vec<(u32, Span)>>,
    /// Playbooks that tests name; `None`: tests are not looked at.
    played: Option<Played>,
    /// The tests, without their programs.
    halves: Vec<Half>,
    /// Whether the policy that is read is that of the playbook.
    outermost: bool,
    /// What is known of bodies that were checked a moment ago.
    before: Bodies,
    /// What each body has noted.
    notes: Vec<Option<Notes>>,
}

impl<'a> Checker<'a> {
    fn new(loaded: &'a Loaded, found: Vec<Diagnostic>) -> Checker<'a> {
        Checker {
            loaded,
            now: Notes::of(found),
            tasks: Vec::new(),
            written: Vec::new(),
            scopes: Vec::new(),
            longest: 0,
            lost: loaded.modules.iter().flat_map(|m| &m.ast.lost).map(|s| loaded.sources.slice(*s)).collect(),
            torn: HashSet::new(),
            params: Vec::new(),
            param_ids: HashMap::new(),
            used_tasks: Vec::new(),
            read: Vec::new(),
            calls: Vec::new(),
            played: None,
            halves: Vec::new(),
            outermost: false,
            before: Bodies::default(),
            notes: Vec::new(),
        }
    }

    fn text(&self, span: Span) -> &'a str {
        self.loaded.sources.slice(span)
    }

    /// Returns a word, and notes whom it means.
    fn noted(&mut self, span: Span, of: Meaning) -> &'a str {
        self.now.trace.note(span, of);
        self.text(span)
    }

    fn root(&self) -> &'a Module {
        &self.loaded.modules[0]
    }

    /// Keeps a value, or notes why there is none.
    fn keep<T>(&mut self, result: Result<T, Diagnostic>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(d) => {
                // What only follows from another mistake has no code.
                if !d.code.is_empty() {
                    self.now.found.push(d);
                }
                None
            }
        }
    }

    /// Checks the root as a playbook. The tasks stay with the checker.
    fn playbook(&mut self) -> Program {
        self.declare(false);
        self.params();
        self.bodies(false);
        let mut title: Option<String> = None;
        let mut policy = Policy::default();
        let mut stages: Vec<(Stage, Option<&'a [Span]>)> = Vec::with_capacity(self.root().ast.items.len());
        let mut on_failure = None;
        let mut hooks = Vec::new();
        let (mut around, mut outer_slots) = (Around::default(), 0);
        for item in &self.root().ast.items {
            match item {
                ast::Item::Playbook { title: text, block, span } => {
                    if title.is_some() {
                        self.now.found.push(Problem::TwoPlaybooks.at(Span { end: span.start + 8, ..*span }));
                        continue;
                    }
                    title = Some(self.plain(text, "the title").unwrap_or_default());
                    if let Some(block) = block {
                        self.outermost = true;
                        let mut frame = Frame::playbook();
                        (policy, around) = self.only_policy(&mut frame, block);
                        outer_slots = frame.slots;
                        self.outermost = false;
                    }
                }
                ast::Item::Stage { name, after, block } => {
                    let mut frame = Frame::playbook();
                    let (policy, body) = self.scope(&mut frame, block);
                    let slots = frame.slots;
                    let stage = Stage {
                        name: self.text(*name).to_string(),
                        after: Vec::new(),
                        policy,
                        body,
                        slots,
                        span: *name,
                    };
                    stages.push((stage, after.as_deref()));
                }
                ast::Item::On { event, block } if self.text(*event) != "failure" => {
                    hooks.extend(self.hook(*event, block));
                }
                ast::Item::On { event, block } => {
                    let handler = self.handler(*event, block);
                    if on_failure.is_some() {
                        let name = self.text(*event).to_string();
                        self.now.found.push(Problem::Twice { what: "the handler of", name }.at(*event));
                    }
                    on_failure = on_failure.or(handler);
                }
                ast::Item::Use(_) | ast::Item::Param(_) | ast::Item::Task(_) | ast::Item::Test(_) => {}
            }
        }
        // Where something could not be read, the title or the stage may stand in it.
        let whole =
            self.now.found.iter().all(|d| d.span.is_none_or(|s| s.file.0 != 0 || !d.code.starts_with("K01")));
        match title {
            _ if !whole => {}
            None => self.now.found.push(Problem::NoPlaybook.of_the_whole()),
            Some(_) if stages.is_empty() => self.now.found.push(Problem::NoStages.of_the_whole()),
            Some(_) => {}
        }
        let stages = self.order(stages);
        let mut hooks = self.of_stages(hooks, &stages);
        let stages = stages_around(stages, &mut hooks, around, outer_slots);
        Program {
            title: title.unwrap_or_default(),
            params: self.params.clone(),
            tasks: Vec::new(),
            hooks,
            stages,
            on_failure: on_failure.unwrap_or(OnFailure::Pause(String::new())),
            policy,
        }
    }

    fn params(&mut self) {
        for item in &self.root().ast.items {
            let ast::Item::Param(param) = item else { continue };
            let name = self.text(param.name);
            let Some(ty) = self.ty(&param.ty) else {
                self.lost.insert(name);
                continue;
            };
            if self.param_ids.contains_key(name) {
                self.now
                    .found
                    .push(Problem::Twice { what: "the parameter", name: name.to_string() }.at(param.name));
                continue;
            }
            if matches!(
                name,
                "nodes" | "workers" | "control_plane" | "etcd" | "local" | "here" | "true" | "false"
            ) {
                let problem = Problem::Taken { name: name.to_string(), what: "a word of the language" };
                self.now.found.push(problem.at(param.name));
                continue;
            }
            let default = match &param.default {
                Some(default) => {
                    let expr = self.expr(&Frame::playbook(), default, Some(&ty));
                    self.keep(expr)
                }
                None if matches!(ty, Type::Optional(_)) => Some(expr::none(&ty, param.span)),
                None => None,
            };
            let doc = task::param_doc(self.loaded.text(0), param.span);
            self.param_ids.insert(name, self.params.len() as u32);
            self.now.trace.note(param.name, Meaning::Param(self.params.len() as u32));
            self.params.push(Param { name: name.to_string(), ty, default, doc, span: param.name });
        }
    }

    /// Finds what each stage waits for, and circles among them.
    fn order(&mut self, stages: Vec<(Stage, Option<&'a [Span]>)>) -> Vec<Stage> {
        let mut ids: HashMap<String, StageId> = HashMap::with_capacity(stages.len());
        for (i, (stage, _)) in stages.iter().enumerate() {
            self.now.trace.note(stage.span, Meaning::Stage(i as u32));
            if ids.contains_key(&stage.name) {
                let problem = Problem::Twice { what: "the stage", name: stage.name.clone() };
                self.now.found.push(problem.at(stage.span));
            } else {
                ids.insert(stage.name.clone(), StageId(i as u32));
            }
        }
        let mut ordered: Vec<Stage> = Vec::with_capacity(stages.len());
        for (i, (mut stage, after)) in stages.into_iter().enumerate() {
            match after {
                None if i == 0 => {}
                None => stage.after.push(StageId(i as u32 - 1)),
                Some(names) => {
                    for span in names {
                        let name = self.text(*span);
                        if let Some(id) = ids.get(name) {
                            self.now.trace.note(*span, Meaning::Stage(id.0));
                        }
                        match ids.get(name) {
                            Some(id) if stage.after.contains(id) => {}
                            Some(id) => stage.after.push(*id),
                            None if self.lost.contains(name) => {}
                            None => {
                                let mut known: Vec<(&StageId, &str)> =
                                    ids.iter().map(|(name, id)| (id, name.as_str())).collect();
                                known.sort_unstable();
                                let known: Vec<&str> = known.iter().map(|(_, name)| *name).collect();
                                self.no_stage(*span, &known);
                            }
                        }
                    }
                }
            }
            ordered.push(stage);
        }
        self.stage_cycle(&ordered);
        ordered
    }

    /// Says that there is no stage of a name.
    fn no_stage(&mut self, span: Span, known: &[&str]) {
        let name = self.text(span);
        let near = nearest(name, known.iter().copied()).map(str::to_string);
        let sure = surely(name, known.iter().copied());
        let known = ticks(known.iter().copied()).replace(" or ", " and ");
        let problem = Problem::UnknownStage { name: name.to_string(), near, known };
        self.now.found.push(problem.at(span).rather(sure));
    }

    fn stage_cycle(&mut self, stages: &[Stage]) {
        let mut waits: Vec<usize> = stages.iter().map(|s| s.after.len()).collect();
        let mut behind: Vec<Vec<usize>> = vec![Vec::new(); stages.len()];
        for (i, stage) in stages.iter().enumerate() {
            for after in &stage.after {
                behind[after.0 as usize].push(i);
            }
        }
        let mut free: Vec<usize> = (0..stages.len()).filter(|i| waits[*i] == 0).collect();
        while let Some(i) = free.pop() {
            for next in &behind[i] {
                waits[*next] -= 1;
                if waits[*next] == 0 {
                    free.push(*next);
                }
            }
        }
        // Walking back from any stage that never came free ends in a circle.
        let Some(mut at) = waits.iter().position(|w| *w > 0) else { return };
        let mut way = Vec::new();
        while !way.contains(&at) {
            way.push(at);
            let before = stages[at].after.iter().map(|s| s.0 as usize).find(|s| waits[*s] > 0);
            at = before.expect("a stage that never came free waits for another such stage");
        }
        way.drain(..way.iter().position(|s| *s == at).unwrap_or(0));
        let mut names: Vec<&str> = way.iter().rev().map(|s| stages[*s].name.as_str()).collect();
        names.insert(0, &stages[at].name);
        self.now.found.push(Problem::StageCycle(names.join(" -> ")).at(stages[at].span));
    }

    /// Warns of what is declared and never used. Only in a sound playbook: elsewhere the use may
    /// stand in what could not be read.
    fn unused(&mut self) {
        let used: HashSet<u32> = self.now.used.iter().copied().collect();
        for (id, param) in self.params.iter().enumerate() {
            if !used.contains(&(id as u32)) {
                self.now.found.push(Problem::UnusedParam(param.name.clone()).at(param.span));
            }
        }
        let mut way: Vec<usize> = (0..self.tasks.len()).filter(|t| self.used_tasks[*t]).collect();
        while let Some(task) = way.pop() {
            for (called, _) in &self.calls[task] {
                if !std::mem::replace(&mut self.used_tasks[*called as usize], true) {
                    way.push(*called as usize);
                }
            }
        }
        let mut used_modules = vec![false; self.loaded.modules.len()];
        for (i, (module, written)) in self.written.iter().enumerate() {
            if self.used_tasks[i] {
                used_modules[*module] = true;
            } else if *module == 0 {
                let words = written.words.first().zip(written.words.last());
                if let Some((first, last)) = words {
                    self.now.found.push(Problem::UnusedTask(self.tasks[i].name.clone()).at(first.to(*last)));
                }
            }
        }
        for (span, module) in &self.root().uses {
            let Some(module) = module else { continue };
            if !used_modules[*module] && *module != 0 {
                let told = Problem::UnusedUse(self.text(*span).to_string()).at(*span);
                self.now.found.push(match cut::module(&self.loaded.sources, &self.root().ast, *span) {
                    Some(gone) => told.mended(gone, ""),
                    None => told,
                });
            }
        }
    }

    /// Warns of what is hardly meant as it stands, in a sound text.
    fn lint(&mut self, params: &[Param], policy: &Policy, stages: &[Stage], tasks: &[Task]) {
        let tree = &self.root().ast;
        let sources = &self.loaded.sources;
        let modules = &self.loaded.modules;
        let always: Vec<&str> = self.loaded.prelude.iter().map(|m| modules[*m].path.as_str()).collect();
        let subject = Subject { sources, tree, always: &always, params, policy, stages, tasks };
        self.now.found.extend(lint(&subject));
    }

    /// Reads a text that depends on nothing.
    fn plain(&mut self, text: &ast::Expr, what: &'static str) -> Option<String> {
        match &text.kind {
            ast::ExprKind::Text(text) => Some(text.clone()),
            _ => {
                self.now.found.push(Problem::NotLiteral(what).at(text.span));
                None
            }
        }
    }

    /// Resolves a written type.
    fn ty(&mut self, written: &ast::Type) -> Option<Type> {
        let ty = match &written.kind {
            ast::TypeKind::List(of) => Type::List(Box::new(self.ty(of)?)),
            ast::TypeKind::Record(written) => {
                let mut fields: Vec<(String, Type)> = Vec::with_capacity(written.len());
                for (name, ty) in written {
                    let name = (self.text(*name).to_string(), *name);
                    let ty = self.ty(ty)?;
                    if fields.iter().any(|(known, _)| *known == name.0) {
                        self.now.found.push(Problem::Twice { what: "the field", name: name.0 }.at(name.1));
                    } else {
                        fields.push((name.0, ty));
                    }
                }
                Type::Record(fields)
            }
            ast::TypeKind::Words(words) => match words.as_slice() {
                [one] => match self.noted(*one, Meaning::Type) {
                    "version" => Type::Version,
                    "minor" => Type::Minor,
                    "duration" => Type::Duration,
                    "share" => Type::Share,
                    "number" => Type::Number,
                    "batch" => Type::Batch,
                    "size" => Type::Size,
                    "path" => Type::Path,
                    "string" => Type::Text,
                    "bool" => Type::Bool,
                    "node" => Type::Node,
                    "nodes" => Type::Nodes,
                    "secret" => Type::Secret,
                    name => {
                        let near = match name {
                            "text" | "str" => Some("string"),
                            "int" | "integer" | "int64" => Some("number"),
                            "boolean" => Some("bool"),
                            "time" | "timeout" => Some("duration"),
                            "file" => Some("path"),
                            "percent" => Some("share"),
                            name => nearest(name, TYPES),
                        };
                        // Another language's name has one meaning here; a mistyped one may have two.
                        let sure = near.filter(|n| nearest(name, TYPES) != Some(*n)).or(surely(name, TYPES));
                        let problem = Problem::UnknownType { name: name.to_string(), near };
                        self.now.found.push(problem.at(*one).rather(sure));
                        return None;
                    }
                },
                words => {
                    let mut members: Vec<String> = Vec::with_capacity(words.len());
                    for word in words {
                        let name = self.text(*word).to_string();
                        if members.contains(&name) {
                            self.now.found.push(Problem::Twice { what: "the word", name }.at(*word));
                        } else {
                            members.push(name);
                        }
                    }
                    Type::Word(members)
                }
            },
        };
        Some(if written.optional { Type::Optional(Box::new(ty)) } else { ty })
    }
}

impl Frame<'_> {
    /// The frame of a stage, before any loop.
    fn playbook() -> Self {
        Frame {
            module: 0,
            task: None,
            locals: Vec::new(),
            slots: 0,
            results: Vec::new(),
            here: Here::Nowhere,
            it: false,
            handler: false,
            begun: false,
            body: None,
            given: None,
        }
    }
}

/// Puts what stands before and after all stages in stages of their own.
fn stages_around(mut stages: Vec<Stage>, hooks: &mut [Hook], around: Around, slots: u32) -> Vec<Stage> {
    let stage = |name: &str, body: Block, after: Vec<StageId>, span: Span| Stage {
        name: name.to_string(),
        after,
        policy: Policy::default(),
        body,
        slots,
        span,
    };
    let Some(span) = stages.first().map(|stage| stage.span) else { return stages };
    if let Some(before) = around.before {
        for one in &mut stages {
            one.after.iter_mut().for_each(|id| id.0 += 1);
            if one.after.is_empty() {
                one.after.push(StageId(0));
            }
        }
        hooks.iter_mut().filter_map(|hook| hook.stage.as_mut()).for_each(|id| id.0 += 1);
        stages.insert(0, stage("before", before, Vec::new(), span));
    }
    if let Some(after) = around.after {
        let is_last = |id: &StageId| stages.iter().all(|stage| !stage.after.contains(id));
        let last: Vec<StageId> = (0..stages.len() as u32).map(StageId).filter(is_last).collect();
        stages.push(stage("after", after, last, span));
    }
    stages
}
