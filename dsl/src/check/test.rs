//! Tests: what is tested, and that what they name is there. Another playbook is checked on its own; its
//! own tests are not looked at, so that two may test each other.

use std::collections::HashMap;
use std::sync::Arc;

use crate::ast::{self, Arg, Expect, TestKind};
use crate::literal::{describe, example, quantity};
use crate::nearest::{nearest, surely};
use crate::problem::{Problem, ticks};
use crate::program::{Expr, ExprKind, OnFailure, Param, Policy, Program, Stage, Task};
use crate::source::Loader;
use crate::span::Span;
use crate::test::{End, Expected, SHAPE, Said, Steps, Test, Went, What};
use crate::value::{Type, Value};

use super::expr::Frame;
use super::load::{Loaded, target};
use super::step::one_line;
use super::{Checked, Checker, Meaning, examine};

/// Playbooks that tests of a file name, by their paths.
pub(super) type Played = HashMap<String, Checked>;

/// What a test tests.
enum Subject {
    /// The playbook of its file.
    File,
    /// Its own steps.
    Steps(Box<Stage>),
    /// Another playbook.
    Played(Arc<Program>),
}

/// A test whose program is not finished yet.
pub(super) struct Half {
    subject: Subject,
    test: Test,
}

/// Checks the playbooks that tests of the root name.
pub(super) fn played(loaded: &Loaded, loader: &dyn Loader, prelude: &[&str]) -> Played {
    let mut played = Played::new();
    let root = &loaded.modules[0];
    for item in &root.ast.items {
        let ast::Item::Test(test) = item else { continue };
        for line in &test.lines {
            let TestKind::Playbook(span) = line.kind else { continue };
            let path = path(&root.path, loaded.sources.slice(span));
            played.entry(path.clone()).or_insert_with(|| examine(&path, loader, prelude, false));
        }
    }
    played
}

/// Returns where a playbook is: beside the file, or in the binary, where its ending tells it from a module.
fn path(root: &str, written: &str) -> String {
    let path = target(root, written, false);
    if path.ends_with(".kup") { path } else { format!("{path}.kup") }
}

/// The lines of a test, each kind on its own.
#[derive(Default)]
struct Lines<'a> {
    playbook: Option<Span>,
    on: Option<(Span, Option<Span>)>,
    faults: Vec<Span>,
    set: Vec<&'a (Span, Vec<ast::Expr>)>,
    expected: Vec<(&'a Expect, Span)>,
}

impl<'a> Checker<'a> {
    /// Checks the tests of the root.
    pub(super) fn tests(&mut self, is_playbook: bool) {
        if self.played.is_none() {
            return;
        }
        let loaded = self.loaded;
        let mut names: Vec<String> = Vec::new();
        for item in &loaded.modules[0].ast.items {
            let ast::Item::Test(test) = item else { continue };
            let name = self.plain(&test.name, "the name of a test").unwrap_or_default();
            if names.contains(&name) {
                self.now
                    .found
                    .push(Problem::Twice { what: "the test", name: name.clone() }.at(test.name.span));
            }
            names.push(name.clone());
            let half = self.test(test, name, is_playbook);
            self.halves.extend(half);
        }
    }

    fn test(&mut self, test: &'a ast::Test, name: String, is_playbook: bool) -> Option<Half> {
        let lines = self.lines(test);
        let own = !test.block.stmts.is_empty();
        let mut frame = Frame::playbook();
        let (policy, body) = self.scope(&mut frame, &test.block);
        let root = loaded_path(self.loaded);
        let (subject, path) = match lines.playbook {
            Some(span) if own => {
                self.now.found.push(Problem::TwoSubjects.at(span));
                return None;
            }
            Some(span) => {
                let written = self.text(span);
                let path = path(root, written);
                let checked = self.played.as_ref().and_then(|played| played.get(&path))?;
                let Some(program) = checked.program.clone() else {
                    let why = match checked.diagnostics.first() {
                        Some(first) => first.message.clone(),
                        None => Problem::NoPlaybook.to_string(),
                    };
                    let written = written.to_string();
                    self.now.found.push(Problem::BrokenPlaybook { path: written, why }.at(span));
                    return None;
                };
                (Subject::Played(Arc::new(program)), path)
            }
            None if own => {
                let (name, slots, span) = ("test".to_string(), frame.slots, test.name.span);
                let stage = Stage { name, after: Vec::new(), policy, body, slots, span };
                (Subject::Steps(Box::new(stage)), root.to_string())
            }
            None if is_playbook => (Subject::File, root.to_string()),
            None => {
                self.now.found.push(Problem::NothingToTest.at(test.name.span));
                return None;
            }
        };
        if lines.expected.is_empty() {
            self.now.found.push(Problem::NothingExpected.at(test.name.span));
        }
        let set = self.set(&lines.set, &subject, test.name.span);
        let expected =
            lines.expected.iter().filter_map(|(e, span)| self.expected(e, *span, &subject)).collect();
        let text = |span: Span| (self.text(span).to_string(), span);
        let shape = lines.on.map_or_else(|| (SHAPE.to_string(), test.name.span), |(shape, _)| text(shape));
        let faults = lines.faults.iter().map(|span| text(*span)).collect();
        let seed = lines.on.and_then(|(_, seed)| seed).map_or(0, |seed| self.number(seed));
        // Until the whole is known, nothing is tested.
        let program = Arc::new(Program {
            title: name.clone(),
            params: Vec::new(),
            tasks: Vec::new(),
            stages: Vec::new(),
            on_failure: OnFailure::Pause(String::new()),
            hooks: Vec::new(),
            policy: Policy::default(),
        });
        let span = test.name.span;
        Some(Half { subject, test: Test { name, span, program, path, shape, seed, faults, set, expected } })
    }

    fn lines(&mut self, test: &'a ast::Test) -> Lines<'a> {
        let mut lines = Lines::default();
        for line in &test.lines {
            let twice = match &line.kind {
                TestKind::Playbook(path) => lines.playbook.replace(*path).is_some(),
                TestKind::On(shape, seed) => lines.on.replace((*shape, *seed)).is_some(),
                TestKind::Faults(faults) => {
                    lines.faults.extend(faults);
                    false
                }
                TestKind::Set(values) => {
                    lines.set.extend(values);
                    false
                }
                TestKind::Expect(expect) => {
                    lines.expected.push((expect, line.span));
                    false
                }
            };
            if twice {
                let name = self.text(line.span).split_whitespace().next().unwrap_or_default().to_string();
                self.now.found.push(Problem::Twice { what: "the line", name }.at(line.span));
            }
        }
        lines
    }

    /// Checks the values of parameters, and that none is missing.
    fn set(
        &mut self,
        values: &[&'a (Span, Vec<ast::Expr>)],
        subject: &Subject,
        test: Span,
    ) -> Vec<(String, String)> {
        let (own, params): (bool, Vec<Param>) = match subject {
            Subject::File | Subject::Steps(_) => (true, self.params.clone()),
            Subject::Played(program) => (false, program.params.clone()),
        };
        let names = || params.iter().map(|p| p.name.as_str());
        let mut set: Vec<(String, String)> = Vec::with_capacity(values.len());
        for (name, written) in values {
            let text = self.text(*name);
            let Some(at) = names().position(|known| known == text) else {
                let near = nearest(text, names()).map(str::to_string);
                let known = ticks(names()).replace(" or ", " and ");
                let task = "the playbook".to_string();
                let problem = Problem::UnknownArgument { name: text.to_string(), task, near, known };
                self.now.found.push(problem.at(*name).rather(surely(text, names())));
                continue;
            };
            if own {
                self.now.trace.note(*name, Meaning::Param(at as u32));
            }
            if set.iter().any(|(known, _)| known == text) {
                let problem = Problem::Twice { what: "the parameter", name: text.to_string() };
                self.now.found.push(problem.at(*name));
            }
            // A variable has no value yet, so only what is written out can be set.
            let whole = written[0].span.to(written[written.len() - 1].span);
            if !is_of_nodes(&params[at].ty) {
                let value = self.joined(&Frame::playbook(), written, &params[at].ty);
                let Some(value) = self.keep(value) else { continue };
                if !is_constant(&value) {
                    self.now.found.push(Problem::NotLiteral("what a test sets").at(whole));
                }
            }
            let given = match (&written[0].kind, &params[at].ty) {
                (ast::ExprKind::Text(text), _) => text.clone(),
                _ => self.text(whole).to_string(),
            };
            set.push((text.to_string(), given));
        }
        // A test of its own steps needs what they name; a plan would say so, and too late.
        let needed = matches!(subject, Subject::File | Subject::Played(_));
        for param in params.iter().filter(|p| needed && p.default.is_none()) {
            let given = values.iter().any(|(name, _)| self.text(*name) == param.name);
            if !given && !matches!(param.ty, Type::Optional(_)) {
                let (name, ty) = (param.name.clone(), describe(&param.ty));
                let problem = Problem::NotSet { name, ty, example: example(&param.ty) };
                self.now.found.push(problem.at(test));
            }
        }
        set
    }

    fn expected(&mut self, expect: &'a Expect, span: Span, subject: &Subject) -> Option<Expected> {
        let what = match expect {
            Expect::Plan(text) => What::Plan(self.plain(text, "a plan")?, text.span),
            Expect::Changes(number) => What::Changes(self.number(*number)),
            Expect::Failure(text) => What::Failure(self.plain(text, "what a failure says")?),
            Expect::End(word, said) => {
                let end = match self.text(*word) {
                    "done" => End::Done,
                    "paused" => End::Paused,
                    "undone" => End::Undone,
                    "failed" => End::Failed,
                    _ => End::Refused,
                };
                let said = match said {
                    None => Said::Anything,
                    Some(code) if matches!(code.kind, ast::ExprKind::Word) => {
                        Said::Code(self.text(code.span).to_string())
                    }
                    Some(text) => Said::Text(self.plain(text, "what is said at the end")?),
                };
                What::End(end, said)
            }
            Expect::Planned(these) => What::Planned(self.steps(these, subject)?),
            Expect::None(these) => What::None(self.steps(these, subject)?),
            Expect::Went(these, word) => {
                let went = match self.text(*word) {
                    "ran" => Went::Ran,
                    "skipped" => Went::Skipped,
                    "failed" => Went::Failed,
                    _ => Went::Undone,
                };
                What::Went(self.steps(these, subject)?, went)
            }
            Expect::Before(first, second) => {
                let first = self.steps(first, subject);
                What::Before(first?, self.steps(second, subject)?)
            }
        };
        Some(Expected { what, span, text: one_line(self.text(span)) })
    }

    /// Finds the verb that the words begin with; the rest are arguments as a plan shows them.
    fn steps(&mut self, these: &'a ast::These, subject: &Subject) -> Option<Steps> {
        let args = &these.step.args;
        let words: Vec<&str> = args
            .iter()
            .map_while(|arg| match arg {
                Arg::Plain(values) => match values.as_slice() {
                    [one] if matches!(one.kind, ast::ExprKind::Word) => Some(self.text(one.span)),
                    _ => None,
                },
                Arg::Named(..) => None,
            })
            .collect();
        let verb = |tasks: &[Task]| {
            (1..=words.len()).rev().find_map(|n| {
                let name = words[..n].join(" ");
                tasks.iter().position(|t| t.name == name).map(|id| (id, n))
            })
        };
        let known = match subject {
            Subject::File | Subject::Steps(_) => verb(&self.tasks),
            Subject::Played(program) => verb(&program.tasks),
        };
        let Some((id, count)) = known else {
            let tasks = match subject {
                Subject::File | Subject::Steps(_) => &self.tasks,
                Subject::Played(program) => &program.tasks,
            };
            let names = || tasks.iter().map(|t| t.name.as_str());
            let said = words.join(" ");
            let near = nearest(&said, names()).map(str::to_string);
            let sure = surely(&said, names()).map(str::to_string);
            let problem = Problem::UnknownVerb { words: said, near, module: None };
            self.now.found.push(problem.at(these.step.span).rather(sure.as_deref()));
            return None;
        };
        if let (Subject::File | Subject::Steps(_), Some(first), Some(last)) =
            (subject, args.first().map(place), args.get(count - 1).map(place))
        {
            self.now.trace.note(first.to(last), Meaning::Verb(id as u32));
        }
        let task = match subject {
            Subject::File | Subject::Steps(_) => self.tasks[id].clone(),
            Subject::Played(program) => program.tasks[id].clone(),
        };
        self.shown(&task, &args[count..])?;
        let args = args[count..].iter().map(|arg| self.as_shown(arg)).collect();
        let node = these.node.map(|node| self.text(node).to_string());
        Some(Steps { verb: words[..count].join(" "), args, node })
    }

    /// Writes an argument as a plan shows it.
    fn as_shown(&self, arg: &Arg) -> String {
        let value = |value: &ast::Expr| match &value.kind {
            ast::ExprKind::Text(text) => text.clone(),
            _ => one_line(self.text(value.span)),
        };
        let joined = |values: &[ast::Expr]| match values {
            [ast::Expr { kind: ast::ExprKind::Text(text), .. }] => Value::Text(text.clone()).argument(),
            _ => values.iter().map(value).collect::<Vec<_>>().join(", "),
        };
        match arg {
            Arg::Plain(values) => joined(values),
            Arg::Named(name, values) => format!("{}={}", self.text(*name), joined(values)),
        }
    }

    /// Checks that a plan could show these arguments of a verb: a node stands behind `on`.
    fn shown(&mut self, task: &Task, args: &[Arg]) -> Option<()> {
        let mut positional = task.params.iter().filter(|p| p.positional);
        for arg in args {
            let problem = match arg {
                Arg::Plain(values) => match positional.next() {
                    Some(param) if !is_of_nodes(&param.ty) => continue,
                    Some(_) | None => Problem::Expected {
                        expected: "`on NODE`, `ran`, `skipped`, `failed`, `undone` or `before`".to_string(),
                        found: format!("`{}`", self.text(values[0].span)),
                    },
                },
                Arg::Named(name, _) => {
                    let text = self.text(*name);
                    let names = || task.params.iter().map(|p| p.name.as_str());
                    if names().any(|known| known == text) {
                        continue;
                    }
                    Problem::UnknownArgument {
                        name: text.to_string(),
                        task: task.name.clone(),
                        near: nearest(text, names()).map(str::to_string),
                        known: ticks(names()).replace(" or ", " and "),
                    }
                }
            };
            self.now.found.push(problem.at(place(arg)));
            return None;
        }
        Some(())
    }

    /// Reads a count that is written out.
    fn number(&mut self, span: Span) -> u64 {
        let text = self.text(span);
        match quantity(text) {
            Ok(Value::Number(n)) if n >= 0 => n as u64,
            _ => {
                let why = "is no count; write for example `3`".to_string();
                self.now.found.push(Problem::NotAQuantity { text: text.to_string(), why }.at(span));
                0
            }
        }
    }
}

/// Gives each test its program: that of its file, its own steps among the same tasks, or another one.
pub(super) fn whole(
    halves: Vec<Half>,
    file: Option<&Program>,
    params: &[Param],
    tasks: &[Task],
) -> Vec<Test> {
    // A program may be large, and most files have no test of it.
    let is_tested = halves.iter().any(|half| matches!(half.subject, Subject::File));
    let file = file.filter(|_| is_tested).map(|program| Arc::new(program.clone()));
    let own = |title: &str, stage: Stage| Program {
        title: title.to_string(),
        params: params.to_vec(),
        tasks: tasks.to_vec(),
        stages: vec![stage],
        on_failure: OnFailure::Pause(String::new()),
        hooks: Vec::new(),
        policy: Policy::default(),
    };
    let whole = |Half { subject, test }: Half| {
        let program = match subject {
            Subject::File => file.clone()?,
            Subject::Steps(stage) => Arc::new(own(&test.name, *stage)),
            Subject::Played(program) => program,
        };
        Some(Test { program, ..test })
    };
    halves.into_iter().filter_map(whole).collect()
}

/// Whether a value is written out.
fn is_constant(value: &Expr) -> bool {
    match &value.kind {
        ExprKind::Literal(_) => true,
        ExprKind::List(of) => of.iter().all(is_constant),
        ExprKind::Record(of) => of.iter().all(|(_, of)| is_constant(of)),
        _ => false,
    }
}

/// Whether the values are nodes: which there are, the cluster of the test says.
fn is_of_nodes(ty: &Type) -> bool {
    match ty {
        Type::Node | Type::Nodes => true,
        Type::Optional(of) | Type::List(of) => is_of_nodes(of),
        Type::Record(fields) => fields.iter().any(|(_, ty)| is_of_nodes(ty)),
        _ => false,
    }
}

fn loaded_path(loaded: &Loaded) -> &str {
    &loaded.modules[0].path
}

fn place(arg: &Arg) -> Span {
    match arg {
        Arg::Plain(values) => values[0].span.to(values[values.len() - 1].span),
        Arg::Named(name, values) => values.last().map_or(*name, |last| name.to(last.span)),
    }
}
