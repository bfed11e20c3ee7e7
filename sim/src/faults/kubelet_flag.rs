//! F23: the kubelet of another minor does not know a flag of this node and ends at once, until the
//! package of the old one is back.

use super::{Entry, Kind, armed};
use crate::node::{Node, Release};

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::KubeletFlag,
    code: "F23",
    meaning: "the kubelet of a new minor ends with an unknown flag",
    symptom: "unknown flag",
};

/// Returns why the installed kubelet cannot start.
pub(crate) fn strikes(node: &mut Node) -> Option<String> {
    armed(node, Kind::KubeletFlag)?;
    let old = Release::parse(&node.kubelet_running)?;
    let new = node.packages.version("kubelet")?;
    (new.minor != old.minor).then(|| {
        "\"command failed\" err=\"failed to parse kubelet flag: unknown flag: --pod-infra-container-image\"".to_string()
    })
}
