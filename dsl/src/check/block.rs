//! Blocks: loops, choices, policy and the handler of failures.

use crate::ast::{self, PolicyKind, Stmt as Written};
use crate::literal::{describe, quantity};
use crate::nearest::{nearest, surely};
use crate::problem::Problem;
use crate::program::{
    Block, Choice, Each, Effect, ExprKind, If, OnFailure, OrderKey, Policy, Retry, Step, Stmt,
};
use crate::span::Span;
use crate::value::{Type, Value};
use crate::window::{Window, Wrong};

use super::expr::{Frame, Here, fact};
use super::step::one_line;
use super::{Checker, FACTS, LAWS, Meaning};

/// The delays of a `retry` without `backoff`, in milliseconds.
const BACKOFF: (u64, u64) = (1000, 30_000);

/// The steps that a scope or a step has before and after it.
#[derive(Default)]
pub(super) struct Around {
    pub(super) before: Option<Block>,
    pub(super) after: Option<Block>,
}

impl Around {
    fn is_empty(&self) -> bool {
        self.before.is_none() && self.after.is_none()
    }

    /// Puts them around a step, if there are any.
    pub(super) fn beside(self, step: Step) -> Stmt {
        match self.is_empty() {
            true => Stmt::Step(step),
            false => Stmt::Sequence(self.with(vec![Stmt::Step(step)])),
        }
    }

    /// Puts them around what they belong to.
    fn with(self, stmts: Vec<Stmt>) -> Block {
        if self.is_empty() {
            return Block(stmts);
        }
        let of = |block: Option<Block>| block.map(|block| block.0).unwrap_or_default();
        let mut all = of(self.before);
        all.extend(stmts);
        all.extend(of(self.after));
        Block(all)
    }
}

impl<'a> Checker<'a> {
    /// Checks the block of a scope: policy first, then steps. What stands before and after them are the
    /// first and the last of them.
    pub(super) fn scope(&mut self, frame: &mut Frame<'a>, block: &'a ast::Block) -> (Policy, Block) {
        self.scope_of(frame, block, frame.begun)
    }

    /// The same of a block in which a node has begun, or has not.
    fn scope_of(&mut self, frame: &mut Frame<'a>, block: &'a ast::Block, begun: bool) -> (Policy, Block) {
        let (mut policies, mut after) = (Vec::new(), Vec::new());
        let mut seen = false;
        for stmt in &block.stmts {
            match stmt {
                Written::Policy(policy) if seen => {
                    self.now.found.push(Problem::PolicyNotFirst.at(policy.span))
                }
                Written::Policy(policy) if matches!(policy.kind, PolicyKind::After(_)) => after.push(policy),
                Written::Policy(policy) => policies.push(policy),
                _ => seen = true,
            }
        }
        let (policy, mut around) = self.policies(frame, &policies);
        let outside = std::mem::replace(&mut frame.begun, begun);
        let known = frame.locals.len();
        let body = self.statements(frame, block, true);
        // What is done after all of it knows its results.
        (_, Around { after: around.after, .. }) = self.policies(frame, &after);
        frame.locals.truncate(known);
        frame.begun = outside;
        (policy, around.with(body.0))
    }

    /// Checks a block that may hold policy only.
    pub(super) fn only_policy(&mut self, frame: &mut Frame<'a>, block: &'a ast::Block) -> (Policy, Around) {
        let mut policies = Vec::new();
        for stmt in &block.stmts {
            let span = match stmt {
                Written::Policy(policy) => {
                    policies.push(policy);
                    continue;
                }
                Written::Step(step) => step.span,
                Written::Let(name, _) => *name,
                Written::Gives(value) => value.span,
                Written::Each(each) => each.span,
                Written::If(choice) | Written::When(choice) => choice.arms[0].0.span,
                Written::Parallel(block) => block.span,
            };
            self.now.found.push(Problem::StepInStepBlock.at(span));
        }
        self.policies(frame, &policies)
    }

    /// Checks the statements of a block; its policy has been looked at.
    fn block(&mut self, frame: &mut Frame<'a>, block: &'a ast::Block) -> Block {
        let known = frame.locals.len();
        let block = self.statements(frame, block, true);
        frame.locals.truncate(known);
        block
    }

    /// Checks statements, whose results stay known. Where their order is free, none of them knows the result
    /// of another.
    fn statements(&mut self, frame: &mut Frame<'a>, block: &'a ast::Block, in_order: bool) -> Block {
        let mut stmts = Vec::with_capacity(block.stmts.len());
        let known = frame.locals.len();
        for (at, stmt) in block.stmts.iter().enumerate() {
            if !in_order {
                frame.locals.truncate(known);
            }
            match stmt {
                Written::Policy(_) => {}
                Written::Step(step) => {
                    stmts.extend(self.whole_step(frame, step).map(|(step, around)| around.beside(step)));
                }
                Written::Let(name, step) => stmts.extend(self.binding(frame, *name, step, block.span)),
                Written::Each(each) => {
                    stmts.extend(self.each(frame, each).map(|e| Stmt::Each(Box::new(e))));
                }
                Written::If(choice) => stmts.extend(self.choice(frame, choice, false)),
                Written::When(choice) => stmts.extend(self.choice(frame, choice, true)),
                Written::Parallel(block) => {
                    self.no_policy(block);
                    let known = frame.locals.len();
                    stmts.push(Stmt::Parallel(self.statements(frame, block, false)));
                    frame.locals.truncate(known);
                }
                Written::Gives(value) => self.gives_back(frame, value, block, at + 1 == block.stmts.len()),
            }
        }
        Block(stmts)
    }

    /// Checks a block that is no scope and so has no policy.
    pub(super) fn inner(&mut self, frame: &mut Frame<'a>, block: &'a ast::Block) -> Block {
        self.no_policy(block);
        self.block(frame, block)
    }

    fn no_policy(&mut self, block: &ast::Block) {
        for stmt in &block.stmts {
            if let Written::Policy(policy) = stmt {
                self.now.found.push(Problem::NoPolicyHere.at(policy.span));
            }
        }
    }

    pub(super) fn whole_step(
        &mut self,
        frame: &mut Frame<'a>,
        written: &'a ast::Step,
    ) -> Option<(Step, Around)> {
        let step = self.step(frame, written);
        let step = self.keep(step);
        // Behind a verb that is none, nobody knows what the block was meant to be.
        let block = written.block.as_ref().filter(|b| step.is_some() || holds_policy(b));
        let (policy, around) = block.map(|b| self.only_policy(frame, b)).unwrap_or_default();
        step.map(|step| (Step { policy, ..step }, around))
    }

    fn each(&mut self, frame: &mut Frame<'a>, each: &'a ast::Each) -> Option<Each> {
        let over = self.expr(frame, &each.over, None);
        let over = self.keep(over);
        self.must_be_in_time(frame, over.as_ref(), "the set of an `each`");
        let element = match over.as_ref().map(|o| &o.ty) {
            Some(Type::Nodes) => Some(Type::Node),
            Some(Type::List(of)) => Some((**of).clone()),
            Some(other) => {
                self.now.found.push(Problem::NotIterable(describe(other)).at(each.over.span));
                None
            }
            None => None,
        };
        let mut order = Vec::with_capacity(each.order.len());
        for (span, last) in &each.order {
            let name = self.text(*span);
            if fact(name).is_some() {
                self.now.trace.note(*span, Meaning::Fact);
            }
            if fact(name).is_none() {
                let near = nearest(name, FACTS.iter().map(|(name, _)| *name));
                let problem = Problem::UnknownFact { name: name.to_string(), near }.at(*span);
                self.now.found.push(problem.rather(surely(name, FACTS.iter().map(|(name, _)| *name))));
            } else if element.as_ref().is_some_and(|e| *e != Type::Node) {
                self.now.found.push(Problem::NotASet("a list".to_string()).at(each.over.span));
            }
            order.push(OrderKey { fact: name.to_string(), last: *last });
        }
        let (mut batch, mut canary, mut soak) = (None, None, None);
        for (name, values) in &each.options {
            let text = self.text(*name);
            let (ty, place) = match text {
                "batch" => (Type::Batch, &mut batch),
                "canary" => (Type::Number, &mut canary),
                "soak" => (Type::Duration, &mut soak),
                _ => {
                    let near = nearest(text, ["batch", "canary", "soak"]).map(str::to_string);
                    let problem = Problem::UnknownArgument {
                        name: text.to_string(),
                        task: "each".to_string(),
                        near,
                        known: "`batch`, `canary` and `soak`".to_string(),
                    };
                    self.now.found.push(problem.at(*name).rather(surely(text, ["batch", "canary", "soak"])));
                    continue;
                }
            };
            self.now.trace.note(*name, Meaning::Option);
            if place.is_some() {
                let problem = Problem::Twice { what: "the argument", name: text.to_string() };
                self.now.found.push(problem.at(*name));
            }
            let value = self.joined(frame, values, &ty);
            *place = self.keep(value);
            self.must_be_in_time(frame, place.as_ref(), &format!("`{text}`"));
        }
        let name = self.text(each.name);
        let slot = frame.slots;
        frame.slots += 1;
        let is_node = element.as_ref().is_none_or(|e| *e == Type::Node);
        match &element {
            Some(element) => {
                frame.locals.push((name, element.clone(), slot));
                self.now.trace.declare(slot, name, element, each.name, each.block.span);
            }
            None => {
                self.lost.insert(name);
            }
        }
        let outer = frame.here;
        if is_node {
            frame.here = Here::Local(slot);
        }
        let begun = frame.begun || element == Some(Type::Node);
        let (policy, body) = self.scope_of(frame, &each.block, begun);
        frame.here = outer;
        element.as_ref()?;
        frame.locals.pop();
        let name = name.to_string();
        Some(Each { name, slot, over: over?, order, batch, canary, soak, policy, body, span: each.span })
    }

    /// Checks an `if`, or a `when`, which is decided during the run.
    fn choice(&mut self, frame: &mut Frame<'a>, choice: &'a ast::If, is_when: bool) -> Option<Stmt> {
        if choice.arms.len() > 64 {
            self.now.found.push(Problem::TooLong.at(choice.arms[64].0.span));
            return None;
        }
        let mut arms = Vec::with_capacity(choice.arms.len());
        for (cond, block) in &choice.arms {
            let cond = self.condition(frame, cond);
            if !is_when {
                self.must_be_in_time(frame, cond.as_ref(), "the condition of an `if`");
            }
            arms.push((cond, self.inner(frame, block)));
        }
        let mut other = choice.other.as_ref().map_or_else(Block::default, |b| self.inner(frame, b));
        // `else if` is an `if` within `else`.
        for (cond, then) in arms.into_iter().rev() {
            let cond = cond?;
            let span = cond.span;
            other = Block(vec![match is_when {
                true => {
                    let text = one_line(self.text(span));
                    Stmt::When(Box::new(Choice { cond, text, then, other, span }))
                }
                false => Stmt::If(Box::new(If { cond, then, other, span })),
            }]);
        }
        other.0.pop()
    }

    /// Reads the lines of policy of one scope or step.
    pub(super) fn policies(&mut self, frame: &mut Frame<'a>, lines: &[&'a ast::Policy]) -> (Policy, Around) {
        let (mut policy, mut around) = (Policy::default(), Around::default());
        for line in lines {
            let twice = match &line.kind {
                PolicyKind::Timeout(span) => policy.timeout.replace(self.duration(*span)).is_some(),
                PolicyKind::Retry(times, backoff) => {
                    let retry = self.retry(*times, *backoff);
                    policy.retry.replace(retry).is_some()
                }
                PolicyKind::Undo(block) => {
                    let block = self.undo(frame, block);
                    policy.undo.replace(block).is_some()
                }
                PolicyKind::Before(block) => {
                    let block = self.inner(frame, block);
                    around.before.replace(block).is_some()
                }
                PolicyKind::After(block) => {
                    let block = self.inner(frame, block);
                    around.after.replace(block).is_some()
                }
                PolicyKind::Name(text) => {
                    let text = self.expr(frame, text, Some(&Type::Text));
                    let text = self.keep(text);
                    std::mem::replace(&mut policy.name, text.map(Box::new)).is_some()
                }
                PolicyKind::Approve(question) => {
                    let question = self.expr(frame, question, Some(&Type::Text));
                    let question = self.keep(question);
                    self.must_be_in_time(frame, question.as_ref(), "the question of an `approve`");
                    std::mem::replace(&mut policy.approve, question.map(Box::new)).is_some()
                }
                PolicyKind::Window(text) => {
                    if frame.begun {
                        self.now.found.push(Problem::WindowInNode.at(line.span));
                    }
                    let window = self.window(text);
                    std::mem::replace(&mut policy.window, window).is_some()
                }
                PolicyKind::Long => std::mem::replace(&mut policy.long, true),
                PolicyKind::Hosts(hosts) => {
                    if !self.outermost {
                        self.now.found.push(Problem::HostsElsewhere.at(line.span));
                    }
                    for host in hosts {
                        let Some(name) = self.plain(host, "a host") else { continue };
                        match is_host(&name) {
                            true => policy.hosts.push(name),
                            false => self.now.found.push(Problem::BadHost(name).at(host.span)),
                        }
                    }
                    false
                }
                PolicyKind::Allow(law, reason) => {
                    let name = self.noted(*law, Meaning::Law);
                    if !LAWS.contains(&name) {
                        let problem =
                            Problem::UnknownLaw { name: name.to_string(), near: nearest(name, LAWS) };
                        self.now.found.push(problem.at(*law).rather(surely(name, LAWS)));
                    }
                    let reason = self.plain(reason, "the reason").unwrap_or_default();
                    let twice = policy.allow.iter().any(|(law, _)| law == name);
                    policy.allow.push((name.to_string(), reason));
                    twice
                }
            };
            if twice {
                let name = self.text(line.span).split_whitespace().next().unwrap_or_default().to_string();
                self.now.found.push(Problem::Twice { what: "the policy", name }.at(line.span));
            }
        }
        (policy, around)
    }

    /// Reads a window that is written out.
    fn window(&mut self, text: &ast::Expr) -> Option<String> {
        let window = self.plain(text, "a window")?;
        match Window::parse(&window) {
            Ok(_) => Some(window),
            Err(Wrong { at, why, hint, rather }) => {
                let whole = text.span;
                // Between its quotes it stands as it is read, unless something in it is escaped.
                let part = match self.text(whole).get(1..=window.len()) == Some(&window) {
                    true => Span {
                        start: whole.start + 1 + at.start as u32,
                        end: whole.start + 1 + at.end as u32,
                        ..whole
                    },
                    false => whole,
                };
                let rather = rather.filter(|_| part != whole);
                self.now.found.push(Problem::BadWindow { why, hint }.at(part).rather(rather.as_deref()));
                None
            }
        }
    }

    fn undo(&mut self, frame: &mut Frame<'a>, block: &'a ast::Block) -> Block {
        if block.stmts.is_empty() {
            self.now.found.push(Problem::UndoOfNothing.at(block.span));
        }
        self.no_question(block);
        self.only_steps(block);
        // A window in it has been told.
        let begun = std::mem::replace(&mut frame.begun, false);
        let block = self.inner(frame, block);
        frame.begun = begun;
        block
    }

    /// Nobody is asked, and nothing waits for a window, where something is taken back, decided or told.
    pub(super) fn no_question(&mut self, block: &'a ast::Block) {
        for stmt in &block.stmts {
            let inner: Vec<&ast::Block> = match stmt {
                Written::Policy(policy) => {
                    match policy.kind {
                        PolicyKind::Approve(_) => {
                            self.now.found.push(Problem::NobodyIsAsked.at(policy.span));
                        }
                        PolicyKind::Window(_) => {
                            self.now.found.push(Problem::NoWindowHere.at(policy.span));
                        }
                        _ => {}
                    }
                    continue;
                }
                Written::Step(step) => step.block.iter().collect(),
                Written::Let(_, step) => step.block.iter().collect(),
                Written::Each(each) => vec![&each.block],
                Written::If(choice) | Written::When(choice) => {
                    choice.arms.iter().map(|(_, b)| b).chain(&choice.other).collect()
                }
                Written::Parallel(block) => vec![block],
                Written::Gives(_) => continue,
            };
            for block in inner {
                self.no_question(block);
            }
        }
    }

    /// Reads a duration that is written out. After a mistake any will do.
    fn duration(&mut self, span: Span) -> u64 {
        let text = self.text(span);
        let problem = match quantity(text) {
            Ok(Value::Duration(0)) => Problem::OutOfRange("a duration of nothing".to_string()),
            Ok(Value::Duration(ms)) => return ms,
            Ok(Value::Number(n)) => {
                let why = format!("has no unit; write `{n}s` or `{n}m`");
                Problem::NotAQuantity { text: text.to_string(), why }
            }
            Ok(_) => Problem::NotAQuantity { text: text.to_string(), why: "is no duration".to_string() },
            Err(why) => Problem::NotAQuantity { text: text.to_string(), why },
        };
        self.now.found.push(problem.at(span));
        1
    }

    fn retry(&mut self, times: Span, backoff: Option<(Span, Span)>) -> Retry {
        let text = self.text(times);
        let count = match quantity(text) {
            Ok(Value::Number(n)) if n <= 1000 => n as u32,
            Ok(Value::Number(_)) => {
                let why =
                    "a step is tried again at most 1000 times; `timeout` bounds one attempt".to_string();
                self.now.found.push(Problem::OutOfRange(why).at(times));
                0
            }
            _ => {
                let why = "is no count; write `retry 3`".to_string();
                self.now.found.push(Problem::NotAQuantity { text: text.to_string(), why }.at(times));
                0
            }
        };
        let (min, max) = match backoff {
            Some((min, max)) => {
                let (from, to) = (self.duration(min), self.duration(max));
                if from > to {
                    let why = "the first delay is longer than the last one".to_string();
                    self.now.found.push(Problem::OutOfRange(why).at(min.to(max)));
                }
                (from, to.max(from))
            }
            None => BACKOFF,
        };
        Retry { times: count, min, max }
    }

    /// Reads `on failure { }`: one step that decides.
    pub(super) fn handler(&mut self, event: Span, block: &'a ast::Block) -> Option<OnFailure> {
        let mut frame = Frame { handler: true, ..Frame::playbook() };
        let [Written::Step(written)] = block.stmts.as_slice() else {
            self.now.found.push(Problem::HandlerNeedsDecision.at(event));
            return None;
        };
        self.no_question(block);
        let (step, _) = self.whole_step(&mut frame, written)?;
        let task = &self.tasks[step.task.0 as usize];
        if task.header.effect != Effect::Decides {
            self.now.found.push(Problem::HandlerNeedsDecision.at(written.span));
            return None;
        }
        let argument = step.args.first().map(|a| (&a.kind, a.span));
        match (task.name.as_str(), argument) {
            ("pause", Some((ExprKind::Literal(value), _))) => Some(OnFailure::Pause(value.to_string())),
            ("continue", Some((ExprKind::Literal(Value::Number(n)), _))) => {
                Some(OnFailure::Continue(u32::try_from(*n).unwrap_or(u32::MAX)))
            }
            ("rollback", _) => Some(OnFailure::Rollback),
            ("abort", _) => Some(OnFailure::Abort),
            (_, argument) => {
                let span = argument.map_or(written.span, |(_, span)| span);
                self.now.found.push(Problem::NotLiteral("what a handler decides").at(span));
                None
            }
        }
    }
}

fn holds_policy(block: &ast::Block) -> bool {
    block.stmts.iter().all(|stmt| matches!(stmt, Written::Policy(_)))
}

/// Whether a text is the name or the address of a machine, with or without a port.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    let port = port.is_none_or(|p| p.parse::<u16>().is_ok_and(|p| p > 0));
    !name.is_empty() && name.chars().all(fits) && port
}
