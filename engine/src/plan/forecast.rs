//! Says which steps have work, from what probes have shown: what follows a change, what prepares
//! one, and what can be left out.
//!
//! "Earlier" and "later" are meant by the graph, and are read off the nesting of scopes: two steps
//! are ordered if the scope where their ways part is a sequence, or if one's stage waits for the
//! other's. So a fact is noted once for each scope around a step, and a question about it costs one
//! look for each scope around the step that asks; no search of the graph for each pair.

mod again;

use std::collections::{HashMap, HashSet};

use dsl::program::Effect;

use super::expand::changes_node;
use super::{Plan, ScopeId, ScopeKind, Step, StepId, Vertex, Work, claims};
use crate::action::Check;
use crate::event::Failure;

/// What probing has shown about one step.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    /// It answered.
    Check(Check),
    /// It could not be asked, or it judged and said no.
    Failed(Failure),
}

/// Writes into each step whether it has work. Steps that were not probed run.
pub fn forecast(plan: &mut Plan, probes: &HashMap<StepId, Probe>) {
    let sides: Vec<Side> = plan.ids().map(|id| Side::of(plan, plan.step(id).scope)).collect();
    // What is done now may not be so when it is decided: it is asked again in its turn.
    let is_open = |id: StepId| matches!(sides[id.0 as usize], Side::Open);
    let counts =
        |(id, probe): &(&StepId, &Probe)| !is_open(**id) || !matches!(probe, Probe::Check(Check::Done(_)));
    let mut known: Vec<Option<&Probe>> = vec![None; plan.steps.len()];
    for (id, probe) in probes.iter().filter(counts) {
        known[id.0 as usize] = Some(probe);
    }
    let places = Places::new(plan);
    let (wanted, certain, before, later) = {
        let facts = Facts::new(plan);
        let before = again::before(plan, &places);
        let wanted = |sides: &[bool]| wanted(plan, &places, &facts, &known, &before, sides);
        let all = wanted(&sides.iter().map(|side| !matches!(side, Side::Out(_))).collect::<Vec<_>>());
        let is_open = sides.iter().any(|side| matches!(side, Side::Open));
        // What is wanted also if every `when` that is open yet leaves its steps out.
        let certain =
            is_open.then(|| wanted(&sides.iter().map(|side| matches!(side, Side::In)).collect::<Vec<_>>()));
        let later = again::behind_changes(plan, &places, &all);
        (all, certain, before, later)
    };
    for id in places.order.iter().copied() {
        let i = id.0 as usize;
        let mut work = match &sides[i] {
            Side::Out(why) => Work::NotNeeded(why.clone()),
            Side::In | Side::Open => verdict(plan.step(id), known[i], wanted[i]),
        };
        // What is now, when the step's turn comes, is what the one before it leaves.
        if let (Work::Change { now, .. }, Some(before)) = (&mut work, before[i])
            && let Work::Change { then, .. } = &plan.step(before).work
            && !then.is_empty()
        {
            now.clone_from(then);
        }
        let step = &mut plan.steps[i];
        step.maybe = work.is_wanted() && certain.as_ref().is_some_and(|certain| !certain[i]);
        step.work = work;
        // What is judged behind a change is judged in its turn.
        step.preflight &= !later[i];
    }
}

/// On which side of the `when`s around it a step stands.
enum Side {
    /// It is done, as far as they are concerned.
    In,
    /// That is known only during the run.
    Open,
    /// It is left out; why.
    Out(String),
}

impl Side {
    fn of(plan: &Plan, scope: ScopeId) -> Side {
        let mut side = Side::In;
        for (_, when) in plan.whens(scope) {
            match when.known() {
                Some(true) => {}
                Some(false) => return Side::Out(when.reason(false)),
                None => side = Side::Open,
            }
        }
        side
    }
}

/// Finds what has work, of the steps that count.
fn wanted(
    plan: &Plan,
    places: &Places,
    facts: &Facts<'_>,
    probes: &[Option<&Probe>],
    before: &[Option<StepId>],
    counts: &[bool],
) -> Vec<bool> {
    let alone = |id: StepId| counts[id.0 as usize] && stands_alone(plan.step(id)) && !is_done(probes, id);
    let mut wanted: Vec<bool> = plan.ids().map(alone).collect();
    // What follows may need a preparation, and what prepares may be followed: each round can
    // only add work, and two or three rounds add all of it.
    loop {
        let more = again::undone(plan, places, before, counts, &mut wanted);
        let more = follow(plan, places, facts, counts, &mut wanted) || more;
        let still_more = prepare(plan, places, facts, probes, counts, &mut wanted);
        if !more && !still_more {
            return wanted;
        }
    }
}

/// Returns whether the step's own probe alone can make it wanted.
fn stands_alone(step: &Step) -> bool {
    !step.prepares && !only_follows(step)
}

/// Returns whether the step has work only where something before it has.
fn only_follows(step: &Step) -> bool {
    step.effect == Effect::Reads && !step.follows.is_empty()
}

fn is_done(probes: &[Option<&Probe>], id: StepId) -> bool {
    matches!(probes[id.0 as usize], Some(Probe::Check(Check::Done(_))))
}

fn verdict(step: &Step, probe: Option<&Probe>, wanted: bool) -> Work {
    let found = match probe {
        Some(Probe::Check(Check::Needs { now, then, before: _ })) if step.effect != Effect::Reads => {
            Work::Change { now: now.clone(), then: then.clone() }
        }
        Some(Probe::Check(Check::Done(note))) => Work::Done(note.clone()),
        Some(Probe::Check(Check::Needs { .. }) | Probe::Failed(_)) | None => Work::Runs,
    };
    match (wanted, found) {
        (true, Work::Done(_)) if only_follows(step) => Work::Runs,
        // Its probe sees no work yet: what it follows will make some.
        (true, Work::Done(_)) => Work::Change { now: String::new(), then: String::new() },
        (true, found) => found,
        (false, Work::Done(note)) if stands_alone(step) => Work::Done(note),
        (false, _) if step.prepares => {
            Work::NotNeeded(format!("nothing after it needs {}", list(&step.ensures)))
        }
        (false, _) => Work::NotNeeded(format!("nothing before it {}", changes(&step.follows))),
    }
}

/// Says what a follower would have followed: `changes w1`, or `ensures applied(cluster)`.
fn changes(follows: &[String]) -> String {
    let node = |fact: &str| Some(fact.strip_prefix("changed(")?.strip_suffix(')')?.to_string());
    match follows {
        [one] => match node(one).as_deref() {
            Some(claims::ANY) => "changes anything".to_string(),
            Some(node) => format!("changes {node}"),
            None => format!("ensures {one}"),
        },
        several => format!("ensures {}", several.join(" or ")),
    }
}

fn list(facts: &[String]) -> String {
    let own: Vec<&str> = facts.iter().map(String::as_str).filter(|f| !f.starts_with("changed(")).collect();
    own.join(" or ")
}

/// One sweep forward: wants what follows wanted work.
fn follow(plan: &Plan, places: &Places, facts: &Facts<'_>, counts: &[bool], wanted: &mut [bool]) -> bool {
    let mut index = Index::new(plan, places, false);
    let mut more = false;
    for id in places.order.iter().copied() {
        let i = id.0 as usize;
        if !wanted[i] && counts[i] && !plan.step(id).prepares {
            let follows = plan.step(id).follows.iter();
            wanted[i] = follows.filter_map(|f| facts.followed.get(f.as_str())).any(|f| index.holds(id, *f));
            more |= wanted[i];
        }
        if wanted[i] {
            for fact in &plan.step(id).ensures {
                for known in facts.that_follow(fact) {
                    index.note(id, known);
                }
            }
        }
    }
    more
}

/// One sweep backward: wants what prepares wanted work: a step that needs what it ensures, or that
/// changes the node it prepares, as far as nothing between them ends what it ensures.
fn prepare(
    plan: &Plan,
    places: &Places,
    facts: &Facts<'_>,
    probes: &[Option<&Probe>],
    counts: &[bool],
    wanted: &mut [bool],
) -> bool {
    let mut index = Index::new(plan, places, true);
    let mut more = false;
    for id in places.order.iter().rev().copied() {
        let i = id.0 as usize;
        if !wanted[i] && counts[i] && plan.step(id).prepares && !is_done(probes, id) {
            let ensures = plan.step(id).ensures.iter();
            wanted[i] = ensures.filter_map(|f| facts.prepared.get(f.as_str())).any(|f| index.holds(id, *f));
            more |= wanted[i];
        }
        let step = plan.step(id);
        let ends: Vec<u32> =
            step.ends.iter().filter_map(|f| facts.prepared.get(f.as_str()).copied()).collect();
        for fact in &ends {
            index.end(id, *fact);
        }
        if wanted[i] {
            let needs = step.needs.iter().filter_map(|f| facts.prepared.get(f.as_str()));
            let of_node = step.node.as_deref().filter(|_| changes_node(step.effect) && !step.prepares);
            let touched = of_node.and_then(|node| facts.of_node.get(node)).into_iter().flatten();
            for known in needs.chain(touched).filter(|known| !ends.contains(known)) {
                index.note(id, *known);
            }
        }
    }
    more
}

/// The facts that anybody asks about, by number.
struct Facts<'p> {
    followed: HashMap<&'p str, u32>,
    /// `changed` of `changed(*)`: the numbers of facts about any node.
    of_any: HashMap<&'p str, u32>,
    prepared: HashMap<&'p str, u32>,
    /// The facts about a node that prepare it for a change of any kind.
    of_node: HashMap<&'p str, Vec<u32>>,
}

impl<'p> Facts<'p> {
    fn new(plan: &'p Plan) -> Facts<'p> {
        let (mut followed, mut of_any, mut prepared) = (HashMap::new(), HashMap::new(), HashMap::new());
        let mut of_node: HashMap<&str, Vec<u32>> = HashMap::new();
        for step in &plan.steps {
            for fact in &step.follows {
                let next = followed.len() as u32;
                let number = *followed.entry(fact.as_str()).or_insert(next);
                if let Some((name, "*)")) = fact.split_once('(') {
                    of_any.insert(name, number);
                }
            }
            for fact in step.ensures.iter().filter(|_| step.prepares) {
                let next = prepared.len() as u32;
                let number = *prepared.entry(fact.as_str()).or_insert(next);
                // That it changes the node itself is no preparation.
                let about = step.node.as_deref().filter(|_| changes_node(step.effect));
                if let Some(node) = about.filter(|_| !fact.starts_with("changed(")) {
                    let known = of_node.entry(node).or_default();
                    if !known.contains(&number) {
                        known.push(number);
                    }
                }
            }
        }
        Facts { followed, of_any, prepared, of_node }
    }

    /// Returns the followed facts that a fact which is ensured stands for.
    fn that_follow(&self, fact: &str) -> impl Iterator<Item = u32> + use<> {
        let name = fact.split_once('(').map_or(fact, |(name, _)| name);
        let (exact, any) = (self.followed.get(fact).copied(), self.of_any.get(name).copied());
        exact.into_iter().chain(any.filter(|any| exact != Some(*any)))
    }
}

/// Where everything stands.
struct Places {
    /// The steps, earlier ones first.
    order: Vec<StepId>,
    /// The first and the last step within each scope.
    ends: Vec<(u32, u32)>,
    /// The stages that each scope waits for, and those that wait for it; only filled for stages.
    before: Vec<Vec<ScopeId>>,
    after: Vec<Vec<ScopeId>>,
}

impl Places {
    fn new(plan: &Plan) -> Places {
        let mut ends = vec![(u32::MAX, 0); plan.scopes.len()];
        for id in plan.ids() {
            let mut at = Some(plan.step(id).scope);
            while let Some(scope) = at {
                let (first, last) = &mut ends[scope.0 as usize];
                // Steps come in order: around one that is known already, all is known already.
                (*first, *last) = ((*first).min(id.0), (*last).max(id.0));
                at = plan.scope(scope).parent;
            }
        }
        let (mut before, mut after) = (vec![vec![]; plan.scopes.len()], vec![vec![]; plan.scopes.len()]);
        let stages: Vec<ScopeId> = (0..plan.scopes.len() as u32)
            .map(ScopeId)
            .filter(|id| matches!(plan.scope(*id).kind, ScopeKind::Stage(_)))
            .collect();
        for stage in &stages {
            for next in plan.graph.neighbors(plan.scope(*stage).close) {
                if let Vertex::Open(next) = plan.graph[next] {
                    after[stage.0 as usize].push(next);
                    before[next.0 as usize].push(*stage);
                }
            }
        }
        // Stages in an order in which each stands behind those that it waits for.
        let mut waits: Vec<usize> = before.iter().map(Vec::len).collect();
        let mut sorted: Vec<ScopeId> =
            stages.iter().copied().filter(|stage| waits[stage.0 as usize] == 0).collect();
        let mut next = 0;
        while let Some(stage) = sorted.get(next).copied() {
            next += 1;
            for later in &after[stage.0 as usize] {
                waits[later.0 as usize] -= 1;
                if waits[later.0 as usize] == 0 {
                    sorted.push(*later);
                }
            }
        }
        let within = |stage: &ScopeId| {
            let (first, last) = ends[stage.0 as usize];
            if first == u32::MAX { 0..0 } else { first..last + 1 }
        };
        let order = sorted.iter().flat_map(within).map(StepId).collect();
        Places { order, ends, before, after }
    }
}

/// Facts noted so far in a sweep, for each scope around the steps that noted them.
struct Index<'a> {
    plan: &'a Plan,
    places: &'a Places,
    backward: bool,
    /// The place of the first note of a fact within a scope, in the direction of the sweep.
    noted: HashMap<(u32, ScopeId), u32>,
    /// Where a step has ended a fact, so that notes from beyond it do not count.
    ended: HashSet<(u32, ScopeId)>,
    /// Whether a fact holds when a stage is reached, as far as somebody asked.
    reached: HashMap<(u32, ScopeId), bool>,
}

impl<'a> Index<'a> {
    fn new(plan: &'a Plan, places: &'a Places, backward: bool) -> Index<'a> {
        let (noted, reached) = (HashMap::new(), HashMap::new());
        Index { plan, places, backward, noted, ended: HashSet::new(), reached }
    }

    fn place(&self, id: u32) -> u32 {
        if self.backward { u32::MAX - id } else { id }
    }

    fn note(&mut self, id: StepId, fact: u32) {
        let place = self.place(id.0);
        let mut at = Some(self.plan.step(id).scope);
        while let Some(scope) = at {
            let first = self.noted.entry((fact, scope)).or_insert(place);
            *first = (*first).min(place);
            at = self.plan.scope(scope).parent;
        }
    }

    fn end(&mut self, id: StepId, fact: u32) {
        let mut at = Some(self.plan.step(id).scope);
        while let Some(scope) = at {
            self.noted.remove(&(fact, scope));
            self.ended.insert((fact, scope));
            // Around a `when` that is open, nobody knows whether it will be ended.
            let is_open = match &self.plan.scope(scope).kind {
                ScopeKind::When(when) => when.known().is_none(),
                ScopeKind::Playbook
                | ScopeKind::Stage(_)
                | ScopeKind::Each(_)
                | ScopeKind::Lane { .. }
                | ScopeKind::Task(_)
                | ScopeKind::Parallel => false,
            };
            at = self.plan.scope(scope).parent.filter(|_| !is_open);
        }
    }

    /// Returns whether a step that this one comes after (in the direction of the sweep) noted the
    /// fact.
    fn holds(&mut self, id: StepId, fact: u32) -> bool {
        let mut mine = self.place(id.0);
        let mut at = self.plan.step(id).scope;
        loop {
            let in_order = match &self.plan.scope(at).kind {
                ScopeKind::Stage(_) | ScopeKind::Lane { .. } | ScopeKind::Task(_) | ScopeKind::When(_) => {
                    true
                }
                // One lane at a time is one after the other, in the order of the plan.
                ScopeKind::Each(lanes) => lanes.windows == [1],
                ScopeKind::Parallel | ScopeKind::Playbook => false,
            };
            if in_order && self.noted.get(&(fact, at)).is_some_and(|first| *first < mine) {
                return true;
            }
            if in_order && self.ended.contains(&(fact, at)) {
                return false;
            }
            if matches!(self.plan.scope(at).kind, ScopeKind::Stage(_)) {
                return self.holds_at_stage(at, fact);
            }
            let (first, last) = self.places.ends[at.0 as usize];
            mine = self.place(if self.backward { last } else { first });
            match self.plan.scope(at).parent {
                Some(parent) => at = parent,
                None => return false,
            }
        }
    }

    /// Returns whether a stage that this one comes after noted the fact. All of those are swept.
    fn holds_at_stage(&mut self, stage: ScopeId, fact: u32) -> bool {
        let mut stack = vec![(stage, 0)];
        let mut found = false;
        while let Some((stage, next)) = stack.pop() {
            let nearer = if self.backward { &self.places.after } else { &self.places.before };
            if found {
                self.reached.insert((fact, stage), true);
                continue;
            }
            let Some(other) = nearer[stage.0 as usize].get(next).copied() else {
                self.reached.insert((fact, stage), false);
                continue;
            };
            stack.push((stage, next + 1));
            if self.noted.contains_key(&(fact, other)) {
                found = true;
                continue;
            }
            if self.ended.contains(&(fact, other)) {
                continue;
            }
            match self.reached.get(&(fact, other)) {
                Some(true) => found = true,
                Some(false) => {}
                None => stack.push((other, 0)),
            }
        }
        found
    }
}
