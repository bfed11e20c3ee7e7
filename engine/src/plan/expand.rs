//! Unrolls stages, loops, choices and tasks into scopes and steps, in the order of the text and the
//! lanes.

use std::cmp::Ordering;
use std::rc::Rc;

use dsl::eval::Facts;
use dsl::later::shown;
use dsl::program::{
    Binding, Block, Choice, Each, Effect, Expr, ExprKind, OrderKey, Policy, Retry, Step as Said, Stmt, Task,
    TaskBody,
};
use dsl::span::Span;
use dsl::value::{Batch, LOCAL, Value, Window};
use indexmap::IndexMap;

use super::build::{Call, Child, Draft, Frame, Link, apart, finding};
use super::{Branch, Gate, Lanes, Scope, ScopeId, ScopeKind, Step, StepId, Undo, Vertex, Work};

/// The law whose `allow` lets an `each` over control plane nodes run more than one at a time.
const ONE_AT_A_TIME: &str = "one-control-plane-at-a-time";

/// Deeper than any task that a person would write; `check` refuses recursion before.
const DEEPEST: usize = 64;

/// Where in the plan a block is unrolled.
#[derive(Clone)]
struct At {
    scope: ScopeId,
    /// What the keys below begin with.
    prefix: Rc<str>,
    frame: usize,
    policy: usize,
    depth: usize,
}

pub(super) fn pass(draft: &mut Draft<'_>) {
    let program = draft.program;
    let root = draft.scope(ScopeKind::Playbook, String::new(), None);
    draft.policies.push(Link { policy: &program.policy, around: None });
    let frame = draft.frame(Frame::default());
    draft.ask(&program.policy, frame, Gate::Scope(root));
    for stage in &program.stages {
        let key = draft.key(stage.name.clone());
        let scope = draft.scope(ScopeKind::Stage(stage.name.clone()), key.clone(), Some(root));
        draft.stages.push(scope);
        let frame = draft.frame(Frame::of(Vec::new(), stage.slots, None));
        let policy = draft.link(&stage.policy, 0);
        draft.ask(&stage.policy, frame, Gate::Scope(scope));
        draft.hold(Gate::Scope(scope), policy);
        draft.block(&stage.body, &At { scope, prefix: key.into(), frame, policy, depth: 0 });
    }
}

impl<'p> Draft<'p> {
    fn scope(&mut self, kind: ScopeKind, key: String, parent: Option<ScopeId>) -> ScopeId {
        let id = ScopeId(self.plan.scopes.len() as u32);
        let open = self.plan.graph.add_node(Vertex::Open(id));
        let close = self.plan.graph.add_node(Vertex::Close(id));
        self.plan.scopes.push(Scope { kind, key, parent, open, close });
        self.children.push(Vec::new());
        if let Some(parent) = parent {
            self.children[parent.0 as usize].push(Child::Scope(id));
        }
        id
    }

    /// Returns the stage around a scope.
    pub(super) fn stage(&self, scope: ScopeId) -> ScopeId {
        let mut at = scope;
        while let (false, Some(parent)) =
            (matches!(self.plan.scope(at).kind, ScopeKind::Stage(_)), self.plan.scope(at).parent)
        {
            at = parent;
        }
        at
    }

    fn frame(&mut self, frame: Frame) -> usize {
        self.frames.push(frame);
        self.frames.len() - 1
    }

    /// Puts a policy in front of the ones around it, if it says anything.
    fn link(&mut self, policy: &'p Policy, around: usize) -> usize {
        let is_silent = policy.timeout.is_none()
            && policy.retry.is_none()
            && policy.allow.is_empty()
            && policy.window.is_none();
        if is_silent {
            return around;
        }
        self.policies.push(Link { policy, around: Some(around) });
        self.policies.len() - 1
    }

    /// Lets a stage, a lane or a step begin in the nearest window only, if there is one.
    fn hold(&mut self, gate: Gate, policy: usize) {
        let around = std::iter::successors(Some(policy), |i| self.policies[*i].around);
        if let Some(window) = around.into_iter().find_map(|i| self.policies[i].policy.window.as_ref()) {
            self.plan.windows.insert(gate, window.clone());
        }
    }

    /// Lets what has a window of its own begin in it; within a node that was begun it would hold nothing.
    fn hold_own(&mut self, gate: Gate, own: &Policy, policy: usize, around: ScopeId, span: Span) {
        match own.window {
            None => {}
            Some(_) if self.has_begun(around) => {
                let text = "a node that was begun is brought to its end: this window holds nothing";
                let hints =
                    ["put the `window` first into the block of the `each`, of its stage or of the playbook"];
                self.find(finding("K0607", Some(span), text, "within the lane of a node", &hints));
            }
            Some(_) => self.hold(gate, policy),
        }
    }

    /// Returns whether a scope is or stands in the lane of a node.
    fn has_begun(&self, scope: ScopeId) -> bool {
        let mut around = std::iter::successors(Some(scope), |id| self.plan.scope(*id).parent);
        around.any(|id| matches!(self.plan.scope(id).kind, ScopeKind::Lane { is_node: true, .. }))
    }

    fn is_allowed(&self, law: &str, policy: usize) -> bool {
        let mut at = Some(policy);
        while let Some(i) = at {
            if self.policies[i].policy.allow.iter().any(|(name, _)| name == law) {
                return true;
            }
            at = self.policies[i].around;
        }
        false
    }

    fn block(&mut self, block: &'p Block, at: &At) {
        for stmt in &block.0 {
            self.stmt(stmt, at);
        }
    }

    fn stmt(&mut self, stmt: &'p Stmt, at: &At) {
        match stmt {
            Stmt::Step(step) => self.call(step, at),
            Stmt::Each(each) => self.each(each, at),
            Stmt::If(choice) => {
                let stage = self.stage(at.scope);
                let Some(holds) = self.decide(&choice.cond, at.frame, stage) else { return };
                let block = if holds == Value::Bool(true) { &choice.then } else { &choice.other };
                self.in_order(block, "if", at);
            }
            Stmt::Sequence(block) => self.in_order(block, "in order", at),
            Stmt::When(choice) => self.when(choice, at),
            Stmt::Parallel(block) => {
                let key = self.key(format!("{}/parallel", at.prefix));
                let scope = self.scope(ScopeKind::Parallel, key, Some(at.scope));
                self.block(block, &At { scope, ..at.clone() });
            }
        }
    }

    /// Unrolls a block that keeps its order also where that around it is free.
    fn in_order(&mut self, block: &'p Block, what: &str, at: &At) {
        let is_free = matches!(self.plan.scope(at.scope).kind, ScopeKind::Parallel);
        if !is_free || block.0.len() < 2 {
            return self.block(block, at);
        }
        let key = self.key(format!("{}/{}", at.prefix, dashed(what)));
        let scope = self.scope(ScopeKind::Task(what.to_string()), key, Some(at.scope));
        self.block(block, &At { scope, ..at.clone() });
    }

    /// Makes a scope of each side: which one is done is decided during the run.
    fn when(&mut self, choice: &'p Choice, at: &At) {
        let cond = self.known(&choice.cond, &self.frames[at.frame]);
        let Some(cond) = self.keep(cond) else { return };
        let mut at = at.clone();
        if matches!(self.plan.scope(at.scope).kind, ScopeKind::Parallel) {
            // The order is free between the choice and its neighbors; the sides follow each other.
            let key = self.key(format!("{}/when", at.prefix));
            at.scope = self.scope(ScopeKind::Task("when".to_string()), key, Some(at.scope));
        }
        for (block, is) in [(&choice.then, true), (&choice.other, false)] {
            if block.0.is_empty() {
                continue;
            }
            let key = self.key(format!("{}/{}", at.prefix, if is { "when" } else { "else" }));
            let when = Branch { cond: cond.clone(), text: choice.text.clone(), is };
            let scope = self.scope(ScopeKind::When(Box::new(when)), key, Some(at.scope));
            self.block(block, &At { scope, ..at.clone() });
        }
    }

    fn call(&mut self, step: &'p Said, at: &At) {
        let task = &self.program.tasks[step.task.0 as usize];
        let frame = &self.frames[at.frame];
        let args: Vec<_> = step.args.iter().map(|arg| self.known(arg, frame)).collect();
        let args: Vec<Option<Expr>> = args.into_iter().map(|arg| self.keep(arg)).collect();
        let Some(args) = args.into_iter().collect::<Option<Vec<Expr>>>() else { return };
        let policy = self.link(&step.policy, at.policy);
        match &task.body {
            TaskBody::Native | TaskBody::Script(_) => self.step(task, step, args, policy, at),
            TaskBody::Steps { policy: inner, body, gives, slots } => {
                if at.depth >= DEEPEST {
                    let text = format!("`{}` calls itself, or is nested too deeply", task.name);
                    self.find(finding("K0601", Some(step.span), text, "called once more", &[]));
                    return;
                }
                if step.policy.undo.is_some() {
                    let text = format!("`{}` is made of steps, each with its own undo", task.name);
                    let hints = ["put the `undo` block behind the step that it takes back"];
                    self.find(finding("K0602", Some(step.span), text, "made of steps", &hints));
                }
                let name = self.name(&step.policy, at.frame).unwrap_or_else(|| task.name.clone());
                let key = self.key(format!("{}/{}", at.prefix, dashed(&task.name)));
                let scope = self.scope(ScopeKind::Task(name), key, Some(at.scope));
                let here = self.frames[at.frame].here.clone();
                self.ask(&step.policy, at.frame, Gate::Scope(scope));
                let frame = self.frame(Frame::of(args, *slots, here));
                let outer = policy;
                let policy = self.link(inner, policy);
                self.ask(inner, frame, Gate::Scope(scope));
                self.hold_own(Gate::Scope(scope), &step.policy, outer, at.scope, step.span);
                self.hold_own(Gate::Scope(scope), inner, policy, at.scope, step.span);
                let below = At { scope, frame, policy, depth: at.depth + 1, prefix: at.prefix.clone() };
                self.block(body, &below);
                if let (Some(result), Some(gives)) = (&step.result, gives) {
                    let given = self.known(gives, &self.frames[frame]);
                    if let Some(given) = self.keep(given) {
                        self.bind(at.frame, result, given);
                    }
                }
            }
        }
    }

    /// Lets a name stand for what is given back.
    fn bind(&mut self, frame: usize, result: &Binding, given: Expr) {
        let later = &mut self.frames[frame].later;
        later.retain(|(slot, _)| *slot != result.slot);
        later.push((result.slot, given));
    }

    /// Returns the name that a policy gives.
    fn name(&mut self, policy: &'p Policy, frame: usize) -> Option<String> {
        let name = self.known(policy.name.as_deref()?, &self.frames[frame]);
        Some(shown(&self.keep(name)?))
    }

    fn step(&mut self, task: &'p Task, said: &'p Said, args: Vec<Expr>, policy: usize, at: &At) {
        let here = self.frames[at.frame].here.clone();
        let (args, later) = apart(args);
        let action = self.action(task);
        let mut node = node_of(task, &args);
        if matches!(task.body, TaskBody::Script(_)) {
            // A script sees the node around it, also if its task does not ask for one.
            node = node.or_else(|| here.clone());
        }
        if let Some(name) = &node
            && !self.cluster.inventory.nodes.contains_key(name)
        {
            let text = format!("there is no node `{name}`");
            self.find(finding(
                "K0603",
                Some(said.span),
                text,
                "not in the inventory",
                &["`kup plan` lists the nodes it knows"],
            ));
        }
        let text = match self.name(&said.policy, at.frame) {
            Some(name) => name,
            None => self.text(task, &args, &later, here.as_deref()),
        };
        let id = StepId(self.plan.steps.len() as u32);
        let key = self.key(format!("{}/{}", at.prefix, dashed(&task.name)));
        let vertex = self.plan.graph.add_node(Vertex::Step(id));
        self.plan.steps.push(Step {
            key,
            action,
            text,
            node,
            args: IndexMap::new(), // both are named when the plan is done
            later: IndexMap::new(),
            gives: task.header.gives.clone().filter(|_| said.result.is_some()),
            effect: task.header.effect,
            long: task.header.long || said.policy.long,
            timeout: 0,
            retry: Retry { times: 0, min: 0, max: 0 },
            undo: Undo::Nothing,
            needs: Vec::new(),
            ensures: Vec::new(),
            follows: Vec::new(),
            ends: Vec::new(),
            prepares: task.header.prepares,
            preflight: task.header.preflight,
            work: Work::Runs,
            maybe: false,
            scope: at.scope,
            vertex,
            span: said.span,
        });
        self.ask(&said.policy, at.frame, Gate::Step(id));
        self.hold_own(Gate::Step(id), &said.policy, policy, at.scope, said.span);
        self.children[at.scope.0 as usize].push(Child::Step(id));
        self.calls.push(Call { task, step: said, args, later, frame: at.frame, policy });
        if let (Some(result), Some(ty)) = (&said.result, &task.header.gives) {
            let kind = ExprKind::Result(id.0, result.name.clone());
            self.bind(at.frame, result, Expr { kind, ty: ty.clone(), span: said.span });
        }
    }

    /// Returns the name of the action that a task is; a script is kept under it.
    pub(super) fn action(&mut self, task: &Task) -> String {
        let TaskBody::Script(text) = &task.body else { return task.name.clone() };
        let native = |name: &str| {
            let mut tasks = self.program.tasks.iter();
            tasks.any(|t| t.name == name && matches!(t.body, TaskBody::Native))
        };
        // Two modules may have a verb of one name.
        let mut name = task.name.clone();
        let mut n = 1;
        while native(&name) || self.plan.scripts.get(&name).is_some_and(|other| other != text) {
            n += 1;
            name = format!("{}#{n}", task.name);
        }
        self.plan.scripts.insert(name.clone(), text.clone());
        name
    }

    /// Writes a step as one would in kup, without what goes without saying.
    pub(super) fn text(
        &self,
        task: &Task,
        args: &[Value],
        later: &[(u32, Expr)],
        here: Option<&str>,
    ) -> String {
        let mut text = task.name.clone();
        for (slot, (param, value)) in (0..).zip(task.params.iter().zip(args)) {
            let waits = later.iter().find(|(at, _)| *at == slot);
            let is_here = matches!(value, Value::Node(name) if Some(name.as_str()) == here);
            let is_default = || {
                let default = param.default.as_ref()?;
                let given = self.eval_with(default, args, here).ok()?;
                Some(given == *value)
            };
            if waits.is_none() && (*value == Value::None || is_here || is_default() == Some(true)) {
                continue;
            }
            text.push(' ');
            if !param.positional {
                text.push_str(&param.name);
                text.push('=');
            }
            match waits {
                Some((_, expr)) => text.push_str(&shown_argument(expr)),
                None => text.push_str(&value.argument()),
            }
        }
        text
    }

    fn each(&mut self, each: &'p Each, at: &At) {
        let stage = self.stage(at.scope);
        let Some(over) = self.decide(&each.over, at.frame, stage) else { return };
        let mut elements = match over {
            Value::Nodes(names) => names.into_iter().map(Value::Node).collect(),
            Value::List(values) => values,
            other => vec![other],
        };
        self.sort(&mut elements, &each.order);
        let policy = self.link(&each.policy, at.policy);
        let Some(lanes) = self.lanes(each, &elements, policy, at.frame) else { return };
        let has_begun = self.has_begun(at.scope);
        let canaries = each.canary.as_ref().map(|_| lanes.canary);
        let key = self.key(format!("{}/each", at.prefix));
        let scope = self.scope(ScopeKind::Each(lanes), key, Some(at.scope));
        let mut ids = Vec::with_capacity(elements.len());
        for element in elements {
            let is_node = matches!(element, Value::Node(_));
            let of = lane(&element);
            let key = self.key(format!("{}/{}", at.prefix, plain(&of)));
            let lane = self.scope(ScopeKind::Lane { of: of.clone(), is_node }, key.clone(), Some(scope));
            ids.push(lane);
            if has_begun {
                self.hold_own(Gate::Scope(lane), &each.policy, policy, at.scope, each.span);
            } else {
                self.hold(Gate::Scope(lane), policy);
            }
            let around = &self.frames[at.frame];
            let here = if is_node { Some(of) } else { around.here.clone() };
            let mut locals = around.locals.clone();
            let slot = each.slot as usize;
            if locals.len() <= slot {
                locals.resize(slot + 1, Value::None);
            }
            locals[slot] = element;
            let later = around.later.clone();
            let frame = self.frame(Frame { locals, later, here });
            match canaries {
                None => self.ask(&each.policy, frame, Gate::Scope(lane)),
                // Once, in the words of the first lane behind the canaries.
                Some(n) if n + 1 == ids.len() => self.ask(&each.policy, frame, Gate::Scope(scope)),
                Some(_) => {}
            }
            let below = At { scope: lane, prefix: key.into(), frame, policy, depth: at.depth };
            self.block(&each.body, &below);
        }
        if let ScopeKind::Each(lanes) = &mut self.plan.scopes[scope.0 as usize].kind {
            lanes.lanes = ids;
        }
    }

    /// Says how the lanes go: one at a time for control plane nodes, whatever `batch` says.
    fn lanes(&mut self, each: &'p Each, elements: &[Value], policy: usize, frame: usize) -> Option<Lanes> {
        let total = elements.len();
        let batch = match &each.batch {
            Some(batch) => self.eval(batch, frame)?,
            None => Value::None,
        };
        let mut windows: Vec<usize> = match batch {
            Value::Batch(Batch(windows)) => windows.iter().map(|w| w.of(total)).collect(),
            Value::Number(n) => vec![usize::try_from(n).unwrap_or(1).max(1)],
            Value::Share(share) => vec![Window::Share(share).of(total)],
            _ => vec![1],
        };
        let inventory = self.cluster.inventory;
        let is_control_plane = |value: &Value| matches!(value, Value::Node(name) if inventory.nodes.get(name).is_some_and(|n| n.control_plane));
        let held = elements.iter().any(is_control_plane) && !self.is_allowed(ONE_AT_A_TIME, policy);
        if held || windows.is_empty() {
            windows = vec![1];
        }
        let canary = match &each.canary {
            Some(canary) => match self.eval(canary, frame)? {
                Value::Number(n) => usize::try_from(n).unwrap_or(0),
                Value::Share(share) => Window::Share(share).of(total),
                _ => 0,
            },
            None => 0,
        };
        let soak = match &each.soak {
            Some(soak) => match self.eval(soak, frame)? {
                Value::Duration(ms) => ms,
                _ => 0,
            },
            None => 0,
        };
        Some(Lanes { lanes: Vec::new(), windows, canary: canary.min(total), soak })
    }

    /// Sorts nodes by facts; equal ones stay in the order of the set.
    fn sort(&self, elements: &mut Vec<Value>, keys: &[OrderKey]) {
        if keys.is_empty() {
            return;
        }
        let facts = |element: &Value| -> Vec<Option<Value>> {
            let fact = |key: &OrderKey| match element {
                Value::Node(name) => self.cluster.fact(name, &key.fact),
                other => other.get(&key.fact).cloned(),
            };
            keys.iter().map(fact).collect()
        };
        let mut keyed: Vec<(Vec<Option<Value>>, Value)> =
            std::mem::take(elements).into_iter().map(|element| (facts(&element), element)).collect();
        keyed.sort_by(|(a, _), (b, _)| {
            let by = keys
                .iter()
                .zip(a.iter().zip(b))
                .map(|(key, (a, b))| if key.last { has(a).cmp(&has(b)) } else { compare(a, b) });
            by.fold(Ordering::Equal, Ordering::then)
        });
        elements.extend(keyed.into_iter().map(|(_, element)| element));
    }
}

/// Names the lane of an element: a record by its name or its version.
fn lane(element: &Value) -> String {
    let name = ["name", "version"].into_iter().find_map(|field| element.get(field));
    match name.map(Value::to_string).as_deref() {
        Some("") => "none".to_string(),
        Some(name) => name.to_string(),
        None => element.to_string(),
    }
}

/// Returns whether a node has a fact at all: a GPU, a zone, a pool.
fn has(fact: &Option<Value>) -> bool {
    match fact {
        None | Some(Value::None) => false,
        Some(Value::Bool(b)) => *b,
        Some(Value::Number(n)) => *n != 0,
        Some(Value::Text(text)) => !text.is_empty(),
        Some(Value::List(items)) => !items.is_empty(),
        Some(_) => true,
    }
}

/// Compares facts of one name; what is not known comes last.
fn compare(a: &Option<Value>, b: &Option<Value>) -> Ordering {
    match (a, b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(Value::Number(a)), Some(Value::Number(b))) => a.cmp(b),
        (Some(Value::Bool(a)), Some(Value::Bool(b))) => a.cmp(b),
        (Some(Value::Version(a)), Some(Value::Version(b))) => a.cmp(b),
        (Some(a), Some(b)) => a.to_string().cmp(&b.to_string()),
    }
}

/// Returns the node that a step is about: its parameter `node` or `on`. This machine is none.
pub(super) fn node_of(task: &Task, args: &[Value]) -> Option<String> {
    let named = task.params.iter().zip(args).filter(|(p, _)| p.name == "node" || p.name == "on");
    named.into_iter().find_map(|(_, value)| match value {
        Value::Node(name) if name != LOCAL => Some(name.clone()),
        _ => None,
    })
}

/// Returns whether a verb with this effect may change its node.
pub(super) fn changes_node(effect: Effect) -> bool {
    match effect {
        Effect::ChangesNode | Effect::DisruptsNode => true,
        Effect::Reads | Effect::ChangesCluster | Effect::ChangesHere | Effect::Decides => false,
    }
}

fn dashed(words: &str) -> String {
    words.replace(' ', "-")
}

/// Makes an element fit to stand in a key.
fn plain(of: &str) -> String {
    let keep = |c: char| if c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':') { c } else { '-' };
    of.chars().map(keep).collect()
}

/// Writes what waits for results as an argument; a text of which a part is known stands in quotes.
fn shown_argument(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Text(_) => format!("\"{}\"", shown(expr).replace('"', "\\\"")),
        _ => shown(expr),
    }
}
