//! The plan as people read it before they say yes: what happens to which node, what is left out and
//! why, and from where on there is no way back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use dsl::program::Thing;
use dsl::value::{Value, Version};

use super::{Gate, Plan, ScopeId, ScopeKind, Step, StepId, Undo, Work};
use crate::inventory::{Inventory, Node};

/// Returns the plan as text.
pub fn show(plan: &Plan, inventory: &Inventory) -> String {
    let mut out = String::new();
    line(&mut out, 0, &plan.title);
    if !plan.params.is_empty() {
        line(&mut out, 1, &params(plan));
    }
    nodes(&mut out, plan, inventory);
    let shown = Shown::new(plan);
    shown.question(&mut out, Gate::Scope(ScopeId(0)), 0);
    for child in &shown.children[0] {
        if let Child::Scope(stage) = child {
            out.push('\n');
            line(&mut out, 0, &plan.scope(*stage).key);
            shown.question(&mut out, Gate::Scope(*stage), 1);
            shown.scope(&mut out, *stage, 1);
        }
    }
    hooks(&mut out, plan);
    out.push('\n');
    summary(&mut out, plan);
    out
}

/// Returns the parameters on one line, each with its value and where that comes from.
pub fn params(plan: &Plan) -> String {
    let of = |(name, value): (&String, &Value)| match plan.origins.get(name) {
        Some(origin) => format!("{name}={value} ({origin})"),
        None => format!("{name}={value}"),
    };
    plan.params.iter().map(of).collect::<Vec<_>>().join("  ")
}

/// Writes the hooks; those of lanes that do the same share a line.
fn hooks(out: &mut String, plan: &Plan) {
    let mut shown: Vec<(&str, String, usize)> = Vec::new();
    for hook in &plan.hooks {
        let verbs: Vec<String> = hook.steps.iter().map(|step| step.text.clone()).collect();
        let verbs = verbs.join("; ");
        match shown.last_mut() {
            Some((event, _, lanes)) if *event == hook.text && hook.on == Thing::Node => *lanes += 1,
            Some(_) | None => shown.push((&hook.text, verbs, 1)),
        }
    }
    if !shown.is_empty() {
        out.push('\n');
    }
    let rows: Vec<[String; 2]> = shown
        .into_iter()
        .map(|(event, verbs, lanes)| {
            let lanes = if lanes > 1 { format!("  ({lanes} nodes)") } else { String::new() };
            [format!("on {event}"), format!("{verbs}{lanes}")]
        })
        .collect();
    columns(out, 0, &rows);
}

fn line(out: &mut String, depth: usize, text: &str) {
    let text = format!("{:indent$}{text}", "", indent = depth * 2);
    out.push_str(text.trim_end());
    out.push('\n');
}

// The table of nodes.

#[derive(PartialEq)]
struct Row {
    role: String,
    now: String,
    target: String,
    steps: String,
}

fn nodes(out: &mut String, plan: &Plan, inventory: &Inventory) {
    let mut steps = vec![(0usize, 0usize, 0usize, None::<&Version>); inventory.nodes.len()];
    for step in &plan.steps {
        let place = step.node.as_ref().and_then(|name| inventory.nodes.get_index_of(name));
        let Some((all, work, maybe, target)) = place.map(|i| &mut steps[i]) else { continue };
        *all += 1;
        if step.changes() {
            *(if step.maybe { &mut *maybe } else { &mut *work }) += 1;
            for value in step.args.values() {
                if let Value::Version(version) = value {
                    *target = (*target).max(Some(version));
                }
            }
        }
    }
    let touched = inventory.nodes.values().zip(&steps).filter(|(_, (all, ..))| *all > 0);
    let mut rows: Vec<(String, Row)> = Vec::new();
    let mut folded: Vec<&str> = Vec::new();
    for (node, (all, work, maybe, target)) in touched {
        let steps = match maybe {
            0 => format!("{work} of {all}"),
            maybe => format!("{work} to {} of {all}", work + maybe),
        };
        let row = row(node, steps, *target);
        match rows.last_mut() {
            Some((names, last)) if *last == row => {
                folded.push(&node.name);
                *names = match folded.as_slice() {
                    few if few.len() < 4 => few.join(", "),
                    many => format!("{} .. {} ({})", many[0], node.name, many.len()),
                };
            }
            Some(_) | None => {
                folded = vec![&node.name];
                rows.push((node.name.clone(), row));
            }
        }
    }
    if !inventory.left_out.is_empty() {
        let _ = writeln!(out, "\nleft out: {}", inventory.left_out.join(", "));
    }
    if rows.is_empty() {
        return;
    }
    out.push('\n');
    let mut table = vec![["node".into(), "role".into(), "now -> target".into(), "steps".into()]];
    for (names, row) in rows {
        let way = if row.target.is_empty() { row.now } else { format!("{} -> {}", row.now, row.target) };
        table.push([names, row.role, way, row.steps]);
    }
    columns(out, 0, &table);
}

fn row(node: &Node, steps: String, target: Option<&Version>) -> Row {
    let now = node.kubelet.as_ref().map_or("?".to_string(), Version::to_string);
    let target = target.map_or(String::new(), Version::to_string);
    let role = node.role().replace('_', " ");
    Row { role, now, target, steps }
}

/// Writes rows with their columns under each other.
fn columns<const N: usize>(out: &mut String, depth: usize, rows: &[[String; N]]) {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    for row in rows {
        let mut text = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a string cannot fail.
            let _ = write!(text, "{cell:width$}  ");
        }
        line(out, depth, &text);
    }
}

// The stages.

enum Child {
    Step(StepId),
    Scope(ScopeId),
}

struct Shown<'p> {
    plan: &'p Plan,
    /// What stands in each scope, in the order of the text.
    children: Vec<Vec<Child>>,
    /// What is asked, and before what.
    questions: BTreeMap<Gate, String>,
    /// Those of them that only results can bring up.
    late: BTreeSet<Gate>,
    /// What waits for which window.
    windows: BTreeMap<Gate, String>,
}

impl<'p> Shown<'p> {
    fn new(plan: &'p Plan) -> Shown<'p> {
        let mut children: Vec<Vec<Child>> = plan.scopes.iter().map(|_| Vec::new()).collect();
        let mut listed = vec![false; plan.scopes.len()];
        // A scope stands where its first step stands; what holds no step comes last.
        let list = |children: &mut Vec<Vec<Child>>, listed: &mut Vec<bool>, mut id: ScopeId| {
            while let Some(parent) = plan.scope(id).parent {
                if std::mem::replace(&mut listed[id.0 as usize], true) {
                    return;
                }
                children[parent.0 as usize].push(Child::Scope(id));
                id = parent;
            }
        };
        for id in plan.ids() {
            let scope = plan.step(id).scope;
            list(&mut children, &mut listed, scope);
            children[scope.0 as usize].push(Child::Step(id));
        }
        let with_steps = children[0].len();
        for id in 0..plan.scopes.len() {
            list(&mut children, &mut listed, ScopeId(id as u32));
        }
        // A stage without a step stands where it was written.
        for empty in children[0].split_off(with_steps) {
            let Child::Scope(id) = empty else { continue };
            let behind = |child: &Child| matches!(child, Child::Scope(other) if *other > id);
            let place = children[0].iter().position(behind).unwrap_or(children[0].len());
            children[0].insert(place, empty);
        }
        let late = plan.late_questions().into_values().flatten().collect();
        Shown { plan, children, questions: plan.questions(), late, windows: plan.held() }
    }

    fn scope(&self, out: &mut String, id: ScopeId, depth: usize) {
        let children = &self.children[id.0 as usize];
        if children.is_empty() {
            line(out, depth, "nothing");
        }
        // Steps that stand together share their columns.
        let mut rows: Vec<[String; 2]> = Vec::new();
        for child in children {
            match child {
                Child::Step(step) => {
                    let gate = Gate::Step(*step);
                    if self.questions.contains_key(&gate) || self.windows.contains_key(&gate) {
                        columns(out, depth, &std::mem::take(&mut rows));
                        self.question(out, gate, depth);
                    }
                    rows.push(self.step(*step));
                }
                Child::Scope(scope) => {
                    columns(out, depth, &std::mem::take(&mut rows));
                    self.inner(out, *scope, depth);
                }
            }
        }
        columns(out, depth, &rows);
    }

    /// Writes what is asked before a step or a scope, and which window it waits for. That of lanes stands
    /// above them.
    fn question(&self, out: &mut String, gate: Gate, depth: usize) {
        let is_lane = |id: ScopeId| matches!(self.plan.scope(id).kind, ScopeKind::Lane { .. });
        let is_lane = matches!(gate, Gate::Scope(id) if is_lane(id));
        if let Some(window) = self.windows.get(&gate).filter(|_| !is_lane) {
            line(out, depth, &format!("only in the window {window}"));
        }
        if let Some(question) = self.questions.get(&gate) {
            let words = question.split_whitespace().collect::<Vec<_>>().join(" ");
            let when = if self.late.contains(&gate) { "asks before the first work" } else { "asks first" };
            line(out, depth, &format!("{when}: {words}"));
        }
    }

    fn inner(&self, out: &mut String, id: ScopeId, depth: usize) {
        match &self.plan.scope(id).kind {
            ScopeKind::Each(lanes) => {
                let mut how = match lanes.windows.as_slice() {
                    [1] => "one at a time".to_string(),
                    [n] => format!("{n} at a time"),
                    ramp => {
                        let ramp: Vec<String> = ramp.iter().map(usize::to_string).collect();
                        format!("{} at a time", ramp.join(", then "))
                    }
                };
                match lanes.canary {
                    0 => {}
                    1 => how.push_str(", one canary first"),
                    n => how.push_str(&format!(", {n} canaries first")),
                }
                if lanes.canary > 0 && lanes.soak > 0 {
                    how.push_str(&format!(" and {} of watching", Value::Duration(lanes.soak)));
                }
                let number = lanes.lanes.len();
                let lane = if number == 1 { "lane" } else { "lanes" };
                line(out, depth, &format!("{number} {lane}, {how}"));
                let of = |id: ScopeId| self.windows.get(&Gate::Scope(id));
                if let Some(window) = lanes.lanes.iter().find_map(|lane| of(*lane)) {
                    line(out, depth, &format!("each only in the window {window}"));
                }
                if let Some(question) = self.questions.get(&Gate::Scope(id)) {
                    let words = question.split_whitespace().collect::<Vec<_>>().join(" ");
                    let when = match (lanes.canary > 0, self.late.contains(&Gate::Scope(id))) {
                        (false, false) => "asks first",
                        (false, true) => "asks before the first work",
                        (true, false) => "asks behind the canaries",
                        (true, true) => "asks before the first work behind the canaries",
                    };
                    line(out, depth, &format!("{when}: {words}"));
                }
                self.lanes(out, &lanes.lanes, depth);
            }
            ScopeKind::Parallel => {
                line(out, depth, "in any order");
                self.scope(out, id, depth + 1);
            }
            ScopeKind::Task(name) => {
                line(out, depth, name);
                self.question(out, Gate::Scope(id), depth + 1);
                self.scope(out, id, depth + 1);
            }
            ScopeKind::When(when) => {
                let not = if when.is { "" } else { " is false" };
                line(out, depth, &format!("when {}{not}", when.text));
                self.scope(out, id, depth + 1);
            }
            ScopeKind::Playbook | ScopeKind::Stage(_) | ScopeKind::Lane { .. } => self.scope(out, id, depth),
        }
    }

    /// Writes lanes; those that do the same as the one before them share a line.
    fn lanes(&self, out: &mut String, lanes: &[ScopeId], depth: usize) {
        let mut shown: Option<(&str, String)> = None;
        let mut same: Vec<&str> = Vec::new();
        for lane in lanes {
            let ScopeKind::Lane { of, .. } = &self.plan.scope(*lane).kind else { continue };
            let mut text = String::new();
            self.question(&mut text, Gate::Scope(*lane), depth + 1);
            self.scope(&mut text, *lane, depth + 1);
            let nameless = without(&text, of);
            match &shown {
                Some((_, last)) if *last == nameless => same.push(of),
                Some(_) | None => {
                    fold(out, depth, shown.as_ref().map(|(name, _)| *name), &std::mem::take(&mut same));
                    line(out, depth, of);
                    out.push_str(&text);
                    shown = Some((of, nameless));
                }
            }
        }
        fold(out, depth, shown.map(|(name, _)| name), &same);
    }

    fn step(&self, id: StepId) -> [String; 2] {
        let step = self.plan.step(id);
        let (mark, note) = match &step.work {
            Work::Runs => (if step.maybe { "~" } else { "?" }, String::new()),
            Work::Change { now, then } => (if step.maybe { "~" } else { "+" }, change(now, then)),
            Work::Done(note) => ("=", note.clone()),
            Work::NotNeeded(why) => ("-", why.clone()),
        };
        [format!("{mark} {}", step.text), note]
    }
}

fn change(now: &str, then: &str) -> String {
    match (now.is_empty(), then.is_empty()) {
        (true, true) => String::new(),
        (false, true) => now.to_string(),
        (true, false) => format!("-> {then}"),
        (false, false) => format!("{now} -> {then}"),
    }
}

fn fold(out: &mut String, depth: usize, as_: Option<&str>, same: &[&str]) {
    let Some(as_) = as_ else { return };
    match same {
        [] => {}
        [_] | [_, _] | [_, _, _] => line(out, depth, &format!("{}: as {as_}", same.join(", "))),
        [first, .., last] => line(out, depth, &format!("{first} .. {last} ({}): as {as_}", same.len())),
    }
}

/// Takes a lane's own name out of its text, so that it can be held against another's.
fn without(text: &str, name: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
    let words = text.split_inclusive(|c| !is_word(c));
    words.map(|w| if w.trim_end_matches(|c| !is_word(c)) == name { &w[name.len()..] } else { w }).collect()
}

// The end.

fn summary(out: &mut String, plan: &Plan) {
    let one_way = plan.steps.iter().find_map(|step| match &step.undo {
        Undo::OneWay(why) if step.changes() => Some((step, why)),
        Undo::OneWay(_) | Undo::Nothing | Undo::Itself | Undo::Steps(_) => None,
    });
    if let Some((step, why)) = one_way {
        line(out, 0, &format!("no way back after {}: {why}", step.key));
    }
    let count = |is: fn(&Step) -> bool| plan.steps.iter().filter(|step| is(step)).count();
    let looks = count(|s| s.work.is_wanted() && !s.changes() && !s.maybe);
    let maybe = match count(|s| s.maybe) {
        0 => String::new(),
        maybe => format!("{maybe} maybe, "),
    };
    let done = count(|s| matches!(s.work, Work::Done(_)));
    let left_out = count(|s| matches!(s.work, Work::NotNeeded(_)));
    let changes = plan.changes();
    let plural = if changes == 1 { "change" } else { "changes" };
    if let Some(asks) = plan.asks() {
        line(out, 0, &format!("{asks} on the way"));
    }
    line(
        out,
        0,
        &format!("{changes} {plural}, {maybe}{looks} to look, {done} done already, {left_out} not needed"),
    );
}
