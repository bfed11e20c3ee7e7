//! How long a run takes beside the longest way through its plan: nothing waits that could go on.

use std::collections::HashMap;

use engine::event::Event;
use engine::journal::Store;
use engine::plan::{Plan, ScopeId, ScopeKind, StepId, Vertex};

use crate::support::Kup;

/// When each vertex of a plan can be done at the earliest, by how long its steps took.
struct Earliest<'a> {
    plan: &'a Plan,
    took: HashMap<StepId, u64>,
    before: HashMap<Vertex, Vec<Vertex>>,
    known: HashMap<Vertex, u64>,
}

impl Earliest<'_> {
    fn of(&mut self, vertex: Vertex) -> u64 {
        if let Some(known) = self.known.get(&vertex) {
            return *known;
        }
        let mut at = 0;
        for before in self.before.get(&vertex).cloned().unwrap_or_default() {
            at = at.max(self.of(before));
        }
        match vertex {
            Vertex::Step(id) => at += self.took.get(&id).copied().unwrap_or_default(),
            Vertex::Open(id) => at = at.max(self.admitted(id)),
            Vertex::Close(_) => {}
        }
        self.known.insert(vertex, at);
        at
    }

    /// A lane begins once its `each` has a place for it, and behind the canaries.
    fn admitted(&mut self, lane: ScopeId) -> u64 {
        let Some(each) = self.plan.scope(lane).parent else { return 0 };
        let ScopeKind::Each(lanes) = &self.plan.scope(each).kind else { return 0 };
        let place = lanes.lanes.iter().position(|id| *id == lane).unwrap();
        let mut ends: Vec<u64> = lanes.lanes[..place].iter().map(|id| self.of(Vertex::Close(*id))).collect();
        let canaries = match place >= lanes.canary && lanes.canary > 0 {
            true => ends[..lanes.canary].iter().max().unwrap() + lanes.soak,
            false => 0,
        };
        assert_eq!(lanes.windows.len(), 1, "a batch that grows is not thought of here");
        ends.sort_unstable();
        let place_is_free = ends.len().checked_sub(lanes.windows[0]).map_or(0, |nth| ends[nth]);
        canaries.max(place_is_free)
    }
}

#[test]
fn a_run_takes_no_longer_than_the_longest_way_through_its_plan() {
    for (shape, batch) in [("3+3@v1.33.4", "batch=1"), ("3+12@v1.33.4", "batch=4")] {
        let kup = Kup::new().with_main_job();
        kup.run(&format!("run up.kup --yes --sim {shape} --set target=v1.34.2 --set {batch}")).exits(0);
        let folder = Store::new(kup.state()).open(None).unwrap();
        let stored = folder.load().unwrap();
        let events = folder.read(&stored).unwrap().events;
        let plan = &stored.plan;
        let (mut began, mut took) = (HashMap::new(), HashMap::new());
        for (at, event) in &events {
            match event {
                Event::AttemptStarted(step, _) => drop(began.entry(*step).or_insert(*at)),
                Event::StepDone { step, .. } => drop(took.insert(*step, at - began[step])),
                _ => {}
            }
        }
        let mut before: HashMap<Vertex, Vec<Vertex>> = HashMap::new();
        for edge in plan.graph.edge_indices() {
            let (from, to) = plan.graph.edge_endpoints(edge).unwrap();
            before.entry(plan.graph[to]).or_default().push(plan.graph[from]);
        }
        let mut earliest = Earliest { plan, took, before, known: HashMap::new() };
        let longest = earliest.of(Vertex::Close(ScopeId(0)));
        let makespan = events.last().unwrap().0 - events[0].0;
        assert!(longest > 300_000, "{shape}: an upgrade takes longer than {longest} ms");
        assert!(makespan * 100 <= longest * 102, "{shape}: {makespan} ms, and {longest} ms would do");
    }
}
