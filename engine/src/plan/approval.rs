//! Which questions of a plan are asked, and which windows hold: those with work behind them. A second run,
//! which finds all done, asks nobody and waits for nothing. Where only a `when` knows whether there is work, the
//! question waits for that `when`.

use std::collections::{BTreeMap, BTreeSet};

use dsl::program::Effect;

use super::{Gate, Plan, ScopeId, ScopeKind};

/// What stands behind a gate.
#[derive(Clone, Copy, Debug, Default)]
struct Behind {
    /// A step that changes something, whether or not it is wanted.
    changes: bool,
    /// A wanted one that changes something.
    works: bool,
    /// Any wanted one.
    runs: bool,
}

impl Behind {
    fn and(self, other: Behind) -> Behind {
        Behind {
            changes: self.changes || other.changes,
            works: self.works || other.works,
            runs: self.runs || other.runs,
        }
    }

    /// Checks alone are asked for too; what stands beside changes that are all done is not.
    fn is_asked(self) -> bool {
        if self.changes { self.works } else { self.runs }
    }
}

impl Plan {
    /// Returns the questions that are asked on the way, and before what.
    pub fn questions(&self) -> BTreeMap<Gate, String> {
        let behind = self.behind(&self.approvals);
        let is_asked = |gate: &Gate| match *gate {
            Gate::Step(id) => self.step(id).work.is_wanted(),
            Gate::Scope(_) => behind.get(gate).is_some_and(|behind| behind.is_asked()),
        };
        self.approvals.iter().filter(|(gate, _)| is_asked(gate)).map(|(g, q)| (*g, q.clone())).collect()
    }

    /// Returns what waits for a maintenance window: what changes something.
    pub fn held(&self) -> BTreeMap<Gate, String> {
        let behind = self.behind(&self.windows);
        let works = |gate: &Gate| behind.get(gate).is_some_and(|behind| behind.works);
        self.windows.iter().filter(|(gate, _)| works(gate)).map(|(g, w)| (*g, w.clone())).collect()
    }

    /// Returns what stands behind each of these gates.
    fn behind(&self, gates: &BTreeMap<Gate, String>) -> BTreeMap<Gate, Behind> {
        if gates.is_empty() {
            return BTreeMap::new();
        }
        let mut scopes = vec![Behind::default(); self.scopes.len()];
        let of_step = |step: &super::Step| Behind {
            changes: !matches!(step.effect, Effect::Reads | Effect::Decides),
            works: step.changes(),
            runs: step.work.is_wanted(),
        };
        for step in &self.steps {
            let behind = of_step(step);
            let mut at = Some(step.scope);
            while let Some(ScopeId(id)) = at {
                scopes[id as usize] = scopes[id as usize].and(behind);
                at = self.scopes[id as usize].parent;
            }
        }
        let of_scope = |id: ScopeId| match &self.scope(id).kind {
            ScopeKind::Each(lanes) => {
                let rest = lanes.lanes.iter().skip(lanes.canary);
                rest.fold(Behind::default(), |all, lane| all.and(scopes[lane.0 as usize]))
            }
            ScopeKind::Playbook
            | ScopeKind::Stage(_)
            | ScopeKind::Lane { .. }
            | ScopeKind::Task(_)
            | ScopeKind::When(_)
            | ScopeKind::Parallel => scopes[id.0 as usize],
        };
        let of = |gate: &Gate| match *gate {
            Gate::Step(id) => of_step(self.step(id)),
            Gate::Scope(id) => of_scope(id),
        };
        gates.keys().map(|gate| (*gate, of(gate))).collect()
    }

    /// Returns the questions whose work all depends on what is known only during the run, by the `when`s
    /// that let such work begin: there they are asked, and not where their scope begins.
    pub fn late_questions(&self) -> BTreeMap<ScopeId, Vec<Gate>> {
        let mut late: BTreeMap<ScopeId, Vec<Gate>> = BTreeMap::new();
        let questions = self.questions();
        if questions.is_empty() {
            return late;
        }
        let mut certain = BTreeSet::new();
        for step in self.steps.iter().filter(|step| step.changes()) {
            // The innermost `when` that is not decided yet, and where the way outwards came from.
            let (mut when, mut inner, mut at) = (None, None, Some(step.scope));
            while let Some(id) = at {
                let scope = self.scope(id);
                let is_canary = match (&scope.kind, inner) {
                    (ScopeKind::Each(lanes), Some(lane)) => {
                        lanes.lanes.iter().take(lanes.canary).any(|canary| *canary == lane)
                    }
                    (_, _) => false,
                };
                let gate = Gate::Scope(id);
                match when {
                    _ if is_canary || !questions.contains_key(&gate) => {}
                    None => drop(certain.insert(gate)),
                    Some(when) => late.entry(when).or_default().push(gate),
                }
                if when.is_none()
                    && let ScopeKind::When(branch) = &scope.kind
                    && branch.known().is_none()
                {
                    when = Some(id);
                }
                (inner, at) = (Some(id), scope.parent);
            }
        }
        for gates in late.values_mut() {
            gates.retain(|gate| !certain.contains(gate));
            gates.sort_unstable();
            gates.dedup();
        }
        late.retain(|_, gates| !gates.is_empty());
        late
    }

    /// Says how often somebody is asked on the way: `asks 2 times, maybe once more`.
    pub fn asks(&self) -> Option<String> {
        let times = |n: usize| if n == 1 { "once".to_string() } else { format!("{n} times") };
        let late: BTreeSet<Gate> = self.late_questions().into_values().flatten().collect();
        let certain = self.questions().len() - late.len();
        match (certain, late.len()) {
            (0, 0) => None,
            (0, late) => Some(format!("may ask {}", times(late))),
            (certain, 0) => Some(format!("asks {}", times(certain))),
            (certain, late) => Some(format!("asks {}, maybe {} more", times(certain), times(late))),
        }
    }

    /// Returns the durable name of what an approval or a window stands before.
    pub fn gate_key(&self, gate: Gate) -> &str {
        match gate {
            Gate::Step(id) => &self.step(id).key,
            Gate::Scope(id) => &self.scope(id).key,
        }
    }
}
