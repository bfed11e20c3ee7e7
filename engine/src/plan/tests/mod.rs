//! Plans of programs made by hand, over inventories made by hand.

mod build;
mod forecast;
mod longer;
mod playbook;
mod show;
mod when;
mod window;

use std::collections::HashMap;

use dsl::program::*;
use dsl::span::{FileId, Span};
use dsl::value::{Type, Value, Version};

use super::{Plan, Probe, StepId};
use crate::action::Check;
use crate::inventory::{Inventory, Node};

pub(super) fn span(at: u32) -> Span {
    Span { file: FileId(0), start: at, end: at + 1 }
}

fn expr(kind: ExprKind, ty: Type) -> Expr {
    Expr { kind, ty, span: span(0) }
}

pub(super) fn lit(value: Value) -> Expr {
    let ty = match &value {
        Value::Node(_) => Type::Node,
        Value::Number(_) | Value::Batch(_) => Type::Batch,
        Value::None => Type::Optional(Box::new(Type::Node)),
        Value::Word(word) => Type::Word(vec![word.clone()]),
        _ => Type::Text,
    };
    expr(ExprKind::Literal(value), ty)
}

pub(super) fn word(text: &str) -> Expr {
    lit(Value::Word(text.into()))
}

pub(super) fn text(text: &str) -> Expr {
    lit(Value::Text(text.into()))
}

pub(super) fn local(slot: u32) -> Expr {
    expr(ExprKind::Local(slot), Type::Node)
}

pub(super) fn here() -> Expr {
    expr(ExprKind::Here, Type::Node)
}

pub(super) fn set(set: Set) -> Expr {
    expr(ExprKind::Set(set), Type::Nodes)
}

pub(super) fn first(of: Expr) -> Expr {
    expr(ExprKind::Call(Func::First, vec![of]), Type::Node)
}

pub(super) fn binary(op: Op, a: Expr, b: Expr) -> Expr {
    expr(ExprKind::Binary(op, Box::new(a), Box::new(b)), Type::Bool)
}

/// The first parameter of the playbook: the version to reach.
pub(super) fn target() -> Expr {
    expr(ExprKind::Param(0), Type::Version)
}

fn claim(fact: &str, of: Expr) -> Claim {
    Claim { fact: fact.into(), of: vec![of], when: None }
}

/// A verb with its parameters; those with a default come last.
fn native(name: &str, params: &[(&str, Option<Expr>)], header: Header) -> Task {
    let params = params.iter().map(|(name, default)| TaskParam {
        name: name.to_string(),
        ty: Type::Text,
        positional: matches!(*name, "line" | "scope" | "node"),
        default: default.clone(),
    });
    Task {
        name: name.into(),
        module: "std".into(),
        doc: String::new(),
        params: params.collect(),
        header,
        body: TaskBody::Native,
        span: span(0),
    }
}

pub(super) const READY: u32 = 0;
pub(super) const SNAPSHOT: u32 = 1;
pub(super) const KUBEADM: u32 = 2;
pub(super) const APPLY: u32 = 3;
pub(super) const UPGRADE_NODE: u32 = 4;
pub(super) const DRAIN: u32 = 5;
pub(super) const KUBELET: u32 = 6;
pub(super) const RESTART: u32 = 7;
pub(super) const UNCORDON: u32 = 8;
pub(super) const HEALTHY: u32 = 9;
pub(super) const COMMAND: u32 = 10;
pub(super) const WORKER: u32 = 11;
pub(super) const UPDATES: u32 = 12;

/// A small vocabulary in the manner of the shipped one.
fn verbs() -> Vec<Task> {
    let node = || ("node", Some(here()));
    let changes = Header { effect: Effect::ChangesNode, ..Header::default() };
    let disrupts = Header { effect: Effect::DisruptsNode, ..Header::default() };
    let itself = || vec![(UndoClass::Itself, None)];
    let one_way = || UndoClass::OneWay("kubeadm cannot downgrade a control plane".into());
    let is_control_plane = |slot| binary(Op::In, local(slot), set(Set::ControlPlane));
    let minutes = |m: u64| Policy { timeout: Some(m * 60_000), ..Policy::default() };
    let steps = vec![
        call(KUBEADM, vec![local(1), local(0)]),
        call(UPGRADE_NODE, vec![local(0)]),
        call(DRAIN, vec![local(0)]),
        call(KUBELET, vec![local(1), local(0)]),
        call(RESTART, vec![local(0)]),
        call(HEALTHY, vec![word("node"), local(0)]),
        call(UNCORDON, vec![local(0)]),
    ];
    let mut worker = native("upgrade worker", &[node(), ("to", None)], Header::default());
    worker.body = TaskBody::Steps { policy: Policy::default(), body: Block(steps), gives: None, slots: 2 };
    vec![
        native("check nodes ready", &[], Header { preflight: true, ..Header::default() }),
        native(
            "etcd snapshot",
            &[("node", Some(first(set(Set::Etcd))))],
            Header {
                effect: Effect::ChangesHere,
                ensures: vec![claim("snapshot", word("cluster"))],
                prepares: true,
                ..Header::default()
            },
        ),
        native(
            "install kubeadm",
            &[("version", None), node()],
            Header { ensures: vec![claim("kubeadm_installed", local(1))], undo: itself(), ..changes.clone() },
        ),
        native(
            "kubeadm upgrade apply",
            &[("to", None), node()],
            Header {
                needs: vec![claim("snapshot", word("cluster"))],
                ensures: vec![claim("applied", word("cluster"))],
                undo: vec![(one_way(), None)],
                long: true,
                policy: minutes(30),
                ..disrupts.clone()
            },
        ),
        native(
            "kubeadm upgrade node",
            &[node()],
            Header {
                needs: vec![Claim { when: Some(is_control_plane(0)), ..claim("snapshot", word("cluster")) }],
                follows: vec![claim("applied", word("cluster")), claim("kubeadm_installed", local(0))],
                undo: vec![(one_way(), Some(is_control_plane(0))), (UndoClass::Itself, None)],
                ..disrupts.clone()
            },
        ),
        native(
            "drain",
            &[node()],
            Header {
                ensures: vec![claim("drained", local(0))],
                prepares: true,
                undo: vec![(UndoClass::By(Box::new(said(UNCORDON, vec![local(0)]))), None)],
                policy: minutes(15),
                ..disrupts.clone()
            },
        ),
        native(
            "install kubelet",
            &[("version", None), node()],
            Header {
                needs: vec![claim("drained", local(1))],
                ensures: vec![claim("kubelet_installed", local(1))],
                undo: itself(),
                ..changes.clone()
            },
        ),
        native(
            "restart kubelet",
            &[node()],
            Header {
                needs: vec![claim("drained", local(0))],
                follows: vec![claim("kubelet_installed", local(0))],
                ..disrupts.clone()
            },
        ),
        native(
            "uncordon",
            &[node()],
            Header {
                follows: vec![claim("drained", local(0))],
                ends: vec![claim("drained", local(0))],
                ..changes.clone()
            },
        ),
        native(
            "wait healthy",
            &[("scope", Some(word("node"))), node()],
            Header { follows: vec![claim("changed", local(1))], ..Header::default() },
        ),
        native(
            "run command",
            &[("line", None), ("on", Some(here()))],
            Header {
                undo: vec![(UndoClass::OneWay("nobody knows what it changes".into()), None)],
                gives: Some(Type::Text),
                ..changes.clone()
            },
        ),
        worker,
        native(
            "os updates",
            &[node()],
            Header {
                gives: Some(Type::Record(vec![
                    ("wanted".into(), Type::Bool),
                    ("count".into(), Type::Number),
                ])),
                ..Header::default()
            },
        ),
    ]
}

pub(super) fn said(task: u32, args: Vec<Expr>) -> Step {
    let policy = Policy::default();
    Step { result: None, task: TaskId(task), args, policy, text: String::new(), span: span(task) }
}

pub(super) fn call(task: u32, args: Vec<Expr>) -> Stmt {
    Stmt::Step(said(task, args))
}

/// `let todo = os updates`, in slot 1.
pub(super) fn todo() -> Stmt {
    let result = Some(Binding { name: "todo".into(), slot: 1, span: span(0) });
    Stmt::Step(Step { result, ..said(UPDATES, vec![here()]) })
}

/// A field of what slot 1 waits for.
pub(super) fn of_todo(field: &str, ty: Type) -> Expr {
    expr(ExprKind::Field(Box::new(expr(ExprKind::Local(1), Type::Text)), field.into()), ty)
}

pub(super) fn when(cond: Expr, then: Vec<Stmt>, other: Vec<Stmt>) -> Stmt {
    let (text, span) = ("todo.wanted".into(), span(0));
    Stmt::When(Box::new(Choice { cond, text, then: Block(then), other: Block(other), span }))
}

pub(super) fn each(over: Expr, body: Vec<Stmt>) -> Each {
    Each {
        name: "node".into(),
        slot: 0,
        over,
        order: vec![],
        batch: None,
        canary: None,
        soak: None,
        policy: Policy::default(),
        body: Block(body),
        span: span(0),
    }
}

pub(super) fn stage(name: &str, after: &[u32], body: Vec<Stmt>) -> Stage {
    Stage {
        name: name.into(),
        after: after.iter().map(|id| StageId(*id)).collect(),
        policy: Policy::default(),
        body: Block(body),
        slots: 2,
        span: span(0),
    }
}

pub(super) fn program(stages: Vec<Stage>) -> Program {
    let param = Param {
        name: "target".into(),
        ty: Type::Version,
        default: None,
        doc: "the version to reach".into(),
        span: span(0),
    };
    Program {
        title: "Upgrade".into(),
        params: vec![param],
        tasks: verbs(),
        stages,
        on_failure: OnFailure::Pause(String::new()),
        hooks: Vec::new(),
        policy: Policy::default(),
    }
}

/// The usual upgrade, in small.
pub(super) fn upgrade() -> Program {
    let is_first = binary(Op::Eq, local(0), first(set(Set::ControlPlane)));
    let choice = If {
        cond: is_first,
        then: Block(vec![call(APPLY, vec![target(), here()])]),
        other: Block(vec![call(UPGRADE_NODE, vec![here()])]),
        span: span(0),
    };
    let control_plane = vec![
        call(KUBEADM, vec![target(), here()]),
        Stmt::If(Box::new(choice)),
        call(DRAIN, vec![here()]),
        call(KUBELET, vec![target(), here()]),
        call(RESTART, vec![here()]),
        call(HEALTHY, vec![word("node"), here()]),
        call(UNCORDON, vec![here()]),
    ];
    let workers = vec![call(WORKER, vec![here(), target()])];
    let mut lanes = each(set(Set::Workers), workers);
    lanes.order = vec![OrderKey { fact: "gpu".into(), last: true }];
    lanes.batch = Some(lit(Value::Number(2)));
    lanes.canary = Some(expr(ExprKind::Literal(Value::Number(1)), Type::Number));
    program(vec![
        stage("preflight", &[], vec![call(READY, vec![])]),
        stage("backup", &[0], vec![call(SNAPSHOT, vec![first(set(Set::Etcd))])]),
        stage("control_plane", &[1], vec![Stmt::Each(Box::new(each(set(Set::ControlPlane), control_plane)))]),
        stage("workers", &[2], vec![Stmt::Each(Box::new(lanes))]),
        stage("validate", &[3], vec![call(HEALTHY, vec![word("cluster"), lit(Value::None)])]),
    ])
}

pub(super) fn version(text: &str) -> Value {
    Value::Version(text.parse().expect("a version"))
}

/// Makes an inventory of so many control planes and workers; the second worker has a GPU.
pub(super) fn inventory(control_planes: usize, workers: usize) -> Inventory {
    let mut inventory = Inventory::default();
    let node = |name: String, control_plane: bool, gpu: u64| Node {
        ssh: name.clone(),
        name,
        control_plane,
        etcd: control_plane,
        gpu,
        kubelet: Some(Version { major: 1, minor: 33, patch: 4, pre: String::new(), vendor: String::new() }),
        ready: true,
        ..Node::default()
    };
    for i in 1..=control_planes {
        inventory.nodes.insert(format!("cp{i}"), node(format!("cp{i}"), true, 0));
    }
    for i in 1..=workers {
        inventory.nodes.insert(format!("w{i}"), node(format!("w{i}"), false, u64::from(i == 2)));
    }
    inventory
}

pub(super) fn plan(program: &Program, inventory: &Inventory) -> Plan {
    super::build(program, inventory, &[version("v1.34.2")]).expect("a plan")
}

pub(super) fn id(plan: &Plan, key: &str) -> StepId {
    let keys = || plan.steps.iter().map(|s| s.key.as_str()).collect::<Vec<_>>();
    plan.ids().find(|id| plan.step(*id).key == key).unwrap_or_else(|| panic!("no `{key}` in {:?}", keys()))
}

/// Answers of probes: all steps about a node that is not among `done` have work.
pub(super) fn probes(plan: &Plan, done: impl Fn(&super::Step) -> bool) -> HashMap<StepId, Probe> {
    let answer = |step: &super::Step| match (step.effect, done(step)) {
        (Effect::Reads, _) if step.preflight => Check::Done("5 nodes ready".into()),
        (_, true) => Check::Done("is v1.34.2".into()),
        (_, false) => Check::Needs { now: "v1.33.4".into(), then: "v1.34.2".into(), before: Value::None },
    };
    plan.ids().map(|id| (id, Probe::Check(answer(plan.step(id))))).collect()
}
