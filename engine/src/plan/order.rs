//! Draws the edges: the order that the text says, and nothing else. Lanes have no edges among them;
//! how many go at once is the machine's business.

use petgraph::stable_graph::NodeIndex;

use super::build::{Child, Draft};
use super::{ScopeId, ScopeKind};

pub(super) fn pass(draft: &mut Draft<'_>) {
    for i in 0..draft.plan.scopes.len() {
        let scope = ScopeId(i as u32);
        match draft.plan.scope(scope).kind {
            ScopeKind::Playbook => stages(draft, scope),
            ScopeKind::Each(_) | ScopeKind::Parallel => free(draft, scope),
            ScopeKind::Stage(_) | ScopeKind::Lane { .. } | ScopeKind::Task(_) | ScopeKind::When(_) => {
                sequence(draft, scope);
            }
        }
    }
}

fn stages(draft: &mut Draft<'_>, root: ScopeId) {
    let (open, close) = ends(draft, Child::Scope(root));
    let program = draft.program;
    let mut is_last = vec![true; program.stages.len()];
    for (i, stage) in program.stages.iter().enumerate() {
        let (first, _) = ends(draft, Child::Scope(draft.stages[i]));
        if stage.after.is_empty() {
            draft.plan.graph.add_edge(open, first, ());
        }
        for before in &stage.after {
            is_last[before.0 as usize] = false;
            let (_, last) = ends(draft, Child::Scope(draft.stages[before.0 as usize]));
            draft.plan.graph.add_edge(last, first, ());
        }
    }
    for (i, is_last) in is_last.iter().enumerate() {
        if *is_last {
            let (_, last) = ends(draft, Child::Scope(draft.stages[i]));
            draft.plan.graph.add_edge(last, close, ());
        }
    }
    if program.stages.is_empty() {
        draft.plan.graph.add_edge(open, close, ());
    }
}

fn sequence(draft: &mut Draft<'_>, scope: ScopeId) {
    let (mut at, close) = ends(draft, Child::Scope(scope));
    for i in 0..draft.children[scope.0 as usize].len() {
        let (first, last) = ends(draft, draft.children[scope.0 as usize][i]);
        draft.plan.graph.add_edge(at, first, ());
        at = last;
    }
    draft.plan.graph.add_edge(at, close, ());
}

fn free(draft: &mut Draft<'_>, scope: ScopeId) {
    let (open, close) = ends(draft, Child::Scope(scope));
    let children = draft.children[scope.0 as usize].len();
    for i in 0..children {
        let (first, last) = ends(draft, draft.children[scope.0 as usize][i]);
        draft.plan.graph.add_edge(open, first, ());
        draft.plan.graph.add_edge(last, close, ());
    }
    if children == 0 {
        draft.plan.graph.add_edge(open, close, ());
    }
}

/// Returns the first and the last vertex of an element.
fn ends(draft: &Draft<'_>, child: Child) -> (NodeIndex, NodeIndex) {
    match child {
        Child::Step(id) => (draft.plan.step(id).vertex, draft.plan.step(id).vertex),
        Child::Scope(id) => (draft.plan.scope(id).open, draft.plan.scope(id).close),
    }
}
