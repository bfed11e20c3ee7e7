//! F44: the GPU's driver does not load again behind a kubelet that has started, so the node offers no GPU.

use super::{Entry, Kind, armed};
use crate::node::Node;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::GpuDriver,
    code: "F44",
    meaning: "the GPU driver does not load behind a restart of the kubelet, and the node offers no GPU",
    symptom: "",
};

/// Returns whether the node's GPUs stay away.
pub(crate) fn strikes(node: &mut Node) -> bool {
    let Some(armed) = armed(node, Kind::GpuDriver) else { return false };
    armed.struck += 1;
    true
}
