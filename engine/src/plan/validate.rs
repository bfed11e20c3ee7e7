//! What no plan may be. `check` refuses most of it earlier, with better words; this is the last
//! gate before anything runs.

use petgraph::algo::toposort;

use super::Vertex;
use super::build::{Draft, finding};

pub(super) fn pass(draft: &mut Draft<'_>) {
    // An iterative search: a plan may be 100,000 steps deep.
    if let Err(cycle) = toposort(&draft.plan.graph, None) {
        let name = match draft.plan.graph[cycle.node_id()] {
            Vertex::Step(id) => &draft.plan.step(id).key,
            Vertex::Open(id) | Vertex::Close(id) => &draft.plan.scope(id).key,
        };
        let text = format!("`{name}` waits for itself");
        draft.find(finding("K0604", None, text, "", &["look at the `after` of the stages"]));
    }
}
