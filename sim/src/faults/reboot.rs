//! F41: the node reboots in the middle of its kubeadm step: its unit is gone, its boot id is another.

use super::{Entry, Kind, strike};
use crate::node::Node;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::Reboot,
    code: "F41",
    meaning: "the node reboots in the middle of its kubeadm step; once",
    symptom: "",
};

/// Returns whether the node reboots now.
pub(crate) fn strikes(node: &mut Node) -> bool {
    strike(node, Kind::Reboot, 1)
}
