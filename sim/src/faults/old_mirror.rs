//! F03: the repository host is a mirror that has not got the new minor yet: 404 for every minor above
//! the one that the node runs.

use super::{Entry, Kind, armed};
use crate::node::{Node, Release};

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::OldMirror,
    code: "F03",
    meaning: "the node's package mirror has not got any newer minor: 404",
    symptom: "404  Not Found",
};

/// Returns whether the node's repository host has a minor.
pub(crate) fn has(node: &mut Node, minor: u16) -> bool {
    let running = Release::parse(&node.kubelet_running).map_or(0, |r| r.minor);
    let old = armed(node, Kind::OldMirror).is_some() && minor > running;
    !old && !Release::all_of(minor).is_empty()
}
