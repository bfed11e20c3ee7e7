//! Makes a plan of a program, an inventory and the values of the parameters: a list of passes, each
//! of which adds one kind of knowledge. Pure: the same inputs give the same plan.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};

use dsl::diagnostic::{Diagnostic, Severity};
use dsl::eval::{Env, Facts, eval};
use dsl::later::known;
use dsl::program::{Expr, ExprKind, Policy, Program, Set, Task};
use dsl::span::Span;
use dsl::value::{Value, Version};
use indexmap::IndexMap;
use petgraph::stable_graph::StableDiGraph;

use super::{Gate, Plan, ScopeId, StepId, claims, expand, hook, order, policy, stale, undo, validate};
use crate::inventory::Inventory;

/// Unrolls a program over an inventory. What is wrong comes out all at once.
pub fn build(program: &Program, inventory: &Inventory, params: &[Value]) -> Result<Plan, Vec<Diagnostic>> {
    let mut draft = Draft::new(program, inventory, params);
    expand::pass(&mut draft); // loops, choices and tasks become scopes and steps
    order::pass(&mut draft); // the order of the text becomes edges
    claims::pass(&mut draft); // what each verb needs, ensures and follows, about real nodes
    stale::pass(&mut draft); // no choice by what an earlier step changes
    policy::pass(&mut draft); // timeouts and retries, the nearest first
    undo::pass(&mut draft); // how each change is taken back
    hook::pass(&mut draft); // what is said and asked beside the steps
    validate::pass(&mut draft); // what no plan may be
    draft.end()
}

/// A plan in the making.
pub(super) struct Draft<'p> {
    pub(super) program: &'p Program,
    pub(super) params: &'p [Value],
    pub(super) cluster: Cluster<'p>,
    pub(super) plan: Plan,
    /// What stands in each scope, in the order of the text.
    pub(super) children: Vec<Vec<Child>>,
    /// The scope of each stage of the program.
    pub(super) stages: Vec<ScopeId>,
    /// Where each step of the plan comes from.
    pub(super) calls: Vec<Call<'p>>,
    pub(super) frames: Vec<Frame>,
    pub(super) policies: Vec<Link<'p>>,
    /// What the conditions and the sets of the plan have asked, in the order of the plan.
    pub(super) asked: Vec<Asked>,
    keys: HashMap<String, u32>,
    findings: Vec<Diagnostic>,
}

/// An element of a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Child {
    Step(StepId),
    Scope(ScopeId),
}

/// A native verb with its values, where it is called.
pub(super) struct Call<'p> {
    pub(super) task: &'p Task,
    pub(super) step: &'p dsl::program::Step,
    /// Its values; those that wait for results are none.
    pub(super) args: Vec<Value>,
    /// The parameters that wait for results.
    pub(super) later: Vec<(u32, Expr)>,
    pub(super) frame: usize,
    pub(super) policy: usize,
}

/// What the expressions of a stage, a lane or a task see.
#[derive(Clone, Debug, Default)]
pub(super) struct Frame {
    pub(super) locals: Vec<Value>,
    /// Slots that wait for results, instead of values.
    pub(super) later: Vec<(u32, Expr)>,
    pub(super) here: Option<String>,
}

impl Frame {
    /// Makes the frame of a call: its arguments, in so many slots.
    pub(super) fn of(args: Vec<Expr>, slots: u32, here: Option<String>) -> Frame {
        let (mut locals, later) = apart(args);
        locals.resize((slots as usize).max(locals.len()), Value::None);
        Frame { locals, later, here }
    }
}

/// Takes values and what waits for results apart; none stands for what is not known.
pub(super) fn apart(args: Vec<Expr>) -> (Vec<Value>, Vec<(u32, Expr)>) {
    let (mut values, mut later) = (Vec::with_capacity(args.len()), Vec::new());
    for (slot, arg) in (0..).zip(args) {
        match arg.kind {
            ExprKind::Literal(value) => values.push(value),
            _ => {
                values.push(Value::None);
                later.push((slot, arg));
            }
        }
    }
    (values, later)
}

/// Returns arguments by parameter.
pub(super) fn named(task: &Task, args: Vec<Value>) -> IndexMap<String, Value> {
    task.params.iter().map(|p| p.name.clone()).zip(args).collect()
}

/// Returns the arguments that wait for results, by parameter.
pub(super) fn named_later(task: &Task, later: Vec<(u32, Expr)>) -> IndexMap<String, Expr> {
    later.into_iter().map(|(slot, expr)| (task.params[slot as usize].name.clone(), expr)).collect()
}

/// What a condition or a set has asked about the nodes.
pub(super) struct Asked {
    /// The steps before it, in the order of the plan.
    pub(super) steps: usize,
    /// The stage it stands in.
    pub(super) stage: ScopeId,
    /// Nodes and their facts.
    pub(super) facts: Vec<(String, String)>,
    /// Where it was written.
    pub(super) span: Span,
}

/// A policy and the ones around it.
pub(super) struct Link<'p> {
    pub(super) policy: &'p Policy,
    pub(super) around: Option<usize>,
}

impl<'p> Draft<'p> {
    fn new(program: &'p Program, inventory: &'p Inventory, params: &'p [Value]) -> Draft<'p> {
        let named = program.params.iter().map(|p| p.name.clone()).zip(params.iter().cloned());
        // At least about so many scopes and steps: a long vector that grows is copied, and its memory cleared, again and again.
        let stages = program.stages.len();
        Draft {
            program,
            params,
            cluster: Cluster::new(program, inventory),
            plan: Plan {
                title: program.title.clone(),
                params: named.collect::<IndexMap<_, _>>(),
                origins: IndexMap::new(),
                steps: Vec::with_capacity(stages),
                scopes: Vec::with_capacity(stages + 1),
                graph: StableDiGraph::with_capacity(3 * stages + 2, 4 * stages),
                on_failure: program.on_failure.clone(),
                windows: BTreeMap::new(),
                approvals: BTreeMap::new(),
                scripts: IndexMap::new(),
                hosts: program.policy.hosts.clone(),
                hooks: Vec::new(),
            },
            children: Vec::with_capacity(stages + 1),
            stages: Vec::with_capacity(stages),
            calls: Vec::with_capacity(stages),
            frames: Vec::with_capacity(stages + 1),
            policies: Vec::new(),
            asked: Vec::new(),
            keys: HashMap::with_capacity(2 * stages),
            findings: Vec::new(),
        }
    }

    fn end(mut self) -> Result<Plan, Vec<Diagnostic>> {
        if !self.findings.is_empty() {
            return Err(self.findings);
        }
        for (step, call) in self.plan.steps.iter_mut().zip(self.calls) {
            step.args = named(call.task, call.args);
            step.later = named_later(call.task, call.later);
        }
        Ok(self.plan)
    }

    /// Evaluates an expression in a frame; what is wrong is kept.
    pub(super) fn eval(&mut self, expr: &Expr, frame: usize) -> Option<Value> {
        let result = self.eval_in(expr, &self.frames[frame]);
        self.keep(result)
    }

    /// Evaluates an expression in a frame.
    pub(super) fn eval_in(&self, expr: &Expr, frame: &Frame) -> Result<Value, Diagnostic> {
        eval(expr, &self.env(frame))
    }

    /// Computes what is known of an expression in a frame.
    pub(super) fn known(&self, expr: &Expr, frame: &Frame) -> Result<Expr, Diagnostic> {
        known(expr, &self.env(frame))
    }

    fn env<'e>(&'e self, frame: &'e Frame) -> Env<'e> {
        let (locals, later, here) = (&frame.locals, &frame.later, frame.here.as_deref());
        Env { params: self.params, locals, later, here, it: None, facts: &self.cluster }
    }

    /// Evaluates what decides about the shape of the plan, and notes what it asks about nodes.
    pub(super) fn decide(&mut self, expr: &Expr, frame: usize, stage: ScopeId) -> Option<Value> {
        self.cluster.asked.borrow_mut().clear();
        let value = self.eval(expr, frame);
        let facts: Vec<(String, String)> = self.cluster.asked.borrow_mut().drain().collect();
        if !facts.is_empty() {
            let steps = self.plan.steps.len();
            self.asked.push(Asked { steps, stage, facts, span: expr.span });
        }
        value
    }

    /// Evaluates an expression over values.
    pub(super) fn eval_with(
        &self,
        expr: &Expr,
        locals: &[Value],
        here: Option<&str>,
    ) -> Result<Value, Diagnostic> {
        eval(expr, &Env { params: self.params, locals, later: &[], here, it: None, facts: &self.cluster })
    }

    /// Keeps what is wrong.
    pub(super) fn keep<T>(&mut self, result: Result<T, Diagnostic>) -> Option<T> {
        result.map_err(|finding| self.find(finding)).ok()
    }

    /// Puts the question of a policy before a step or a scope.
    pub(super) fn ask(&mut self, policy: &Policy, frame: usize, gate: Gate) {
        let question = policy.approve.as_deref().and_then(|question| self.eval(question, frame));
        if let Some(question) = question {
            let asked = self.plan.approvals.entry(gate).or_default();
            // A task may ask for itself, and who calls it too.
            if !asked.is_empty() {
                asked.push_str("; ");
            }
            asked.push_str(&question.to_string());
        }
    }

    /// Adds a finding, once for all the lanes that have it.
    pub(super) fn find(&mut self, finding: Diagnostic) {
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// Makes a key unique.
    pub(super) fn key(&mut self, wanted: String) -> String {
        let Some(seen) = self.keys.get_mut(&wanted) else {
            self.keys.insert(wanted.clone(), 1);
            return wanted;
        };
        *seen += 1;
        let numbered = format!("{wanted}#{seen}");
        self.key(numbered)
    }
}

/// Makes a finding of the plan.
pub(super) fn finding(
    code: &'static str,
    span: Option<Span>,
    message: impl Into<String>,
    label: &str,
    hints: &[&str],
) -> Diagnostic {
    Diagnostic {
        code,
        severity: Severity::Error,
        message: message.into(),
        span,
        label: label.to_string(),
        hints: hints.iter().map(|h| h.to_string()).collect(),
        patch: None,
    }
}

/// The inventory with its sets looked up once: lanes ask for them over and over.
pub(super) struct Cluster<'p> {
    pub(super) inventory: &'p Inventory,
    nodes: Vec<String>,
    control_plane: Vec<String>,
    workers: Vec<String>,
    etcd: Vec<String>,
    /// Facts that some verb of the program changes.
    changing: HashSet<&'p str>,
    /// Which of those were asked since somebody looked.
    asked: RefCell<HashSet<(String, String)>>,
}

impl<'p> Cluster<'p> {
    fn new(program: &'p Program, inventory: &'p Inventory) -> Cluster<'p> {
        let ensured = program.tasks.iter().flat_map(|task| &task.header.ensures);
        Cluster {
            changing: ensured.map(|claim| claim.fact.as_str()).collect(),
            asked: RefCell::default(),
            inventory,
            nodes: inventory.set(Set::Nodes),
            control_plane: inventory.set(Set::ControlPlane),
            workers: inventory.set(Set::Workers),
            etcd: inventory.set(Set::Etcd),
        }
    }
}

impl Facts for Cluster<'_> {
    fn set(&self, set: Set) -> Vec<String> {
        match set {
            Set::Nodes => self.nodes.clone(),
            Set::ControlPlane => self.control_plane.clone(),
            Set::Workers => self.workers.clone(),
            Set::Etcd => self.etcd.clone(),
        }
    }

    fn fact(&self, node: &str, fact: &str) -> Option<Value> {
        if self.changing.contains(fact) {
            self.asked.borrow_mut().insert((node.to_string(), fact.to_string()));
        }
        self.inventory.fact(node, fact)
    }

    fn label(&self, node: &str, key: &str) -> Option<String> {
        self.inventory.label(node, key)
    }

    fn hops(&self, to: &Version) -> Result<Vec<Value>, String> {
        self.inventory.hops(to)
    }
}
