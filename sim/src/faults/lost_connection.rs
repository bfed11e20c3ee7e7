//! F40: the ssh connection breaks in the middle of the node's first package installation, or of whatever
//! changes it first for longer than a second. The node carries on: nobody knows how it ends.

use super::{Entry, Kind, armed, strike};
use crate::node::Node;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::LostConnection,
    code: "F40",
    meaning: "the ssh connection breaks in the middle of a command, which goes on; once",
    symptom: "",
};

/// Returns whether the next connection that changes something for long will break.
pub(crate) fn waits(node: &mut Node) -> bool {
    armed(node, Kind::LostConnection).is_some_and(|a| a.struck == 0)
}

/// Notes that a connection broke.
pub(crate) fn struck(node: &mut Node) {
    strike(node, Kind::LostConnection, 1);
}
