//! F16: while this control plane's etcd restarts, another control plane loses its power and stays away. Of
//! three members none but one is left for a while, and afterwards etcd has no member to spare.

use super::{Entry, Kind, strike};
use crate::node::power_off;
use crate::world::World;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::SecondControlPlane,
    code: "F16",
    meaning: "another control plane goes down for good while this one is upgraded",
    symptom: "context deadline exceeded",
};

/// Takes the last other control plane away, if the fault waits at this one.
pub(crate) fn strikes(world: &mut World, name: &str) {
    let Some(node) = world.nodes.get_mut(name) else { return };
    if !strike(node, Kind::SecondControlPlane, 1) {
        return;
    }
    let other = world.nodes.values().rfind(|n| n.control_plane && n.up && n.name != name);
    if let Some(other) = other.map(|n| n.name.clone()) {
        power_off(world, &other);
    }
}
