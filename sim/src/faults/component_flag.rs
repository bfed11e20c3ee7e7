//! F13: the apiserver of this node does not know a flag that is not among kubeadm's own, and ends at once until its
//! manifest names it no more. Where it is a unit that somebody wrote, that of another minor does not.

use super::{Entry, Kind, armed};
use crate::node::Node;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::ComponentFlag,
    code: "F13",
    meaning: "the apiserver does not know a flag that was added, and ends at once",
    symptom: "",
};

/// Returns whether the unit of a component has a flag that its new binary does not know.
pub(crate) fn strikes_unit(node: &mut Node, component: &str) -> bool {
    if component != "kube-apiserver" {
        return false;
    }
    let Some(armed) = armed(node, Kind::ComponentFlag) else { return false };
    armed.struck += 1;
    true
}

/// Returns whether a component cannot run from its manifest.
pub(crate) fn strikes(node: &mut Node, component: &str, manifest: &str) -> bool {
    const OWN: [&str; 2] = ["--advertise-address=", "--secure-port="];
    let flags =
        || manifest.lines().filter_map(|line| line.trim().strip_prefix("- ")).filter(|f| f.starts_with("--"));
    if component != "kube-apiserver" || flags().all(|flag| OWN.iter().any(|own| flag.starts_with(own))) {
        return false;
    }
    let Some(armed) = armed(node, Kind::ComponentFlag) else { return false };
    armed.struck += 1;
    true
}
