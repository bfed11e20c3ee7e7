//! The etcd members of the cluster and whether they have a quorum.

use indexmap::IndexMap;

/// The etcd cluster.
#[derive(Clone, Debug, Default)]
pub struct Etcd {
    /// The members by node.
    pub members: IndexMap<String, Member>,
}

/// A member.
#[derive(Clone, Debug)]
pub struct Member {
    /// Whether it answers.
    pub up: bool,
}

impl Etcd {
    /// Returns whether more than half of the members answer.
    pub fn quorum(&self) -> bool {
        2 * self.members.values().filter(|m| m.up).count() > self.members.len()
    }
}
