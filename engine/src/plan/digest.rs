//! Names a plan by what it will do: two plans with one digest do the same things to the same nodes
//! in the same order.

use std::fmt::Write;

use dsl::later::{results, shown};
use dsl::program::Expr;
use dsl::value::Value;
use indexmap::IndexMap;
use petgraph::visit::{EdgeRef, IntoEdgeReferences};
use sha2::{Digest, Sha256};

use super::{Gate, Plan, ScopeKind, Step, Undo, UndoStep, Vertex};

/// Returns the SHA-256, in hex, of a canonical text of the plan. Spans, names given by people and
/// the words of probes do not count; whether a step is wanted does.
pub fn digest(plan: &Plan) -> String {
    let mut hash = Sha256::new();
    let mut line = String::new();
    let mut tell = |line: &mut String| {
        line.push('\n');
        hash.update(line.as_bytes());
        line.clear();
    };
    put(&mut line, format_args!("plan 1 {:?}", plan.on_failure));
    arguments(&mut line, &plan.params);
    tell(&mut line);
    for (name, script) in &plan.scripts {
        put(&mut line, format_args!("script {name:?} {script:?}"));
        tell(&mut line);
    }
    if !plan.hosts.is_empty() {
        put(&mut line, format_args!("hosts {:?}", plan.hosts));
        tell(&mut line);
    }
    for hook in &plan.hooks {
        let (on, when, scope) = (hook.on, hook.when, hook.scope.map(|s| s.0));
        put(&mut line, format_args!("hook {on:?} {when:?} {scope:?}"));
        hook.steps.iter().for_each(|step| beside(&mut line, "does", step));
        tell(&mut line);
    }
    for scope in &plan.scopes {
        put(&mut line, format_args!("scope {:?} {:?} ", scope.key, scope.parent.map(|p| p.0)));
        match &scope.kind {
            ScopeKind::Playbook => line.push_str("playbook"),
            ScopeKind::Stage(_) => line.push_str("stage"),
            ScopeKind::Each(lanes) => {
                let ids: Vec<u32> = lanes.lanes.iter().map(|l| l.0).collect();
                let (windows, canary, soak) = (&lanes.windows, lanes.canary, lanes.soak);
                put(&mut line, format_args!("each {ids:?} {windows:?} {canary} {soak}"));
            }
            ScopeKind::Lane { of, is_node } => put(&mut line, format_args!("lane {of:?} {is_node}")),
            ScopeKind::Task(_) => line.push_str("task"),
            ScopeKind::When(when) => {
                put(&mut line, format_args!("when {}", when.is));
                expression(&mut line, &when.cond);
            }
            ScopeKind::Parallel => line.push_str("parallel"),
        }
        tell(&mut line);
    }
    for step in &plan.steps {
        describe(&mut line, step);
        tell(&mut line);
    }
    for (what, gates) in [("approve", &plan.approvals), ("window", &plan.windows)] {
        for (gate, text) in gates {
            let (kind, id) = match gate {
                Gate::Step(id) => ("step", id.0),
                Gate::Scope(id) => ("scope", id.0),
            };
            put(&mut line, format_args!("{what} {kind} {id} {text:?}"));
            tell(&mut line);
        }
    }
    let name = |vertex| match plan.graph[vertex] {
        Vertex::Step(id) => (0, id.0),
        Vertex::Open(id) => (1, id.0),
        Vertex::Close(id) => (2, id.0),
    };
    let mut edges: Vec<_> =
        plan.graph.edge_references().map(|e| (name(e.source()), name(e.target()))).collect();
    edges.sort_unstable();
    for edge in edges {
        put(&mut line, format_args!("{edge:?}"));
        tell(&mut line);
    }
    hash.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
        put(&mut hex, format_args!("{byte:02x}"));
        hex
    })
}

fn describe(line: &mut String, step: &Step) {
    put(line, format_args!("step {:?} {:?} {:?} ", step.key, step.action, step.node));
    put(line, format_args!("{:?} long={} wanted={} ", step.effect, step.long, step.work.is_wanted()));
    put(line, format_args!("timeout={} {:?} ", step.timeout, step.retry));
    put(line, format_args!("needs={:?} ensures={:?} follows={:?} ", step.needs, step.ensures, step.follows));
    put(line, format_args!("prepares={} preflight={} scope={}", step.prepares, step.preflight, step.scope.0));
    arguments(line, &step.args);
    waiting(line, &step.later);
    match &step.undo {
        Undo::Nothing => line.push_str(" undo nothing"),
        Undo::Itself => line.push_str(" undo itself"),
        Undo::OneWay(why) => put(line, format_args!(" one-way {why:?}")),
        Undo::Steps(steps) => {
            steps.iter().for_each(|step| beside(line, "undo", step));
        }
    }
}

/// Writes a verb that stands outside of the DAG.
fn beside(line: &mut String, word: &str, step: &UndoStep) {
    put(line, format_args!(" {word} {:?} {:?} long={} ", step.action, step.node, step.long));
    put(line, format_args!("timeout={} {:?}", step.timeout, step.retry));
    arguments(line, &step.args);
    waiting(line, &step.later);
}

/// Writes arguments sorted by name.
fn arguments(line: &mut String, args: &IndexMap<String, Value>) {
    let mut names: Vec<&String> = args.keys().collect();
    names.sort_unstable();
    for name in names {
        put(line, format_args!(" {name}="));
        value(line, &args[name]);
    }
}

/// Writes the arguments that wait for results, sorted by name.
fn waiting(line: &mut String, later: &IndexMap<String, Expr>) {
    let mut names: Vec<&String> = later.keys().collect();
    names.sort_unstable();
    for name in names {
        put(line, format_args!(" {name} waits:"));
        expression(line, &later[name]);
    }
}

/// Writes an expression with the steps whose results it waits for: names alone may be those of several.
fn expression(line: &mut String, expr: &Expr) {
    let mut steps = Vec::new();
    results(expr, &mut steps);
    put(line, format_args!(" {:?} {steps:?}", shown(expr)));
}

/// Writes a value so that no two different ones are written alike.
fn value(line: &mut String, of: &Value) {
    let list = |line: &mut String, items: &[Value]| {
        line.push('[');
        for item in items {
            value(line, item);
            line.push(',');
        }
        line.push(']');
    };
    match of {
        Value::None => line.push_str("none"),
        Value::Bool(b) => put(line, format_args!("{b}")),
        Value::Number(n) => put(line, format_args!("{n}")),
        Value::Text(s) => put(line, format_args!("text{s:?}")),
        Value::Path(s) => put(line, format_args!("path{s:?}")),
        Value::Word(s) => put(line, format_args!("word{s:?}")),
        Value::Node(s) => put(line, format_args!("node{s:?}")),
        Value::Duration(ms) => put(line, format_args!("{ms}ms")),
        Value::Share(share) => put(line, format_args!("{share}bp")),
        Value::Size(bytes) => put(line, format_args!("{bytes}B")),
        Value::Version(version) => put(line, format_args!("{version}")),
        Value::Minor(minor) => put(line, format_args!("{minor}")),
        Value::Secret(secret) => put(line, format_args!("secret{secret:?}")),
        Value::Batch(batch) => put(line, format_args!("{batch:?}")),
        Value::Nodes(names) => put(line, format_args!("nodes{names:?}")),
        Value::List(items) => list(line, items),
        Value::Record(fields) => {
            line.push('{');
            arguments(line, fields);
            line.push('}');
        }
    }
}

fn put(line: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = line.write_fmt(text);
}
