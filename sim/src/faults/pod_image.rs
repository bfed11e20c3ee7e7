//! F52: the registry denies the node every image of a pod that is begun there from now on; what runs goes on.

use super::{Entry, Kind, armed};
use crate::node::Node;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::PodImage,
    code: "F52",
    meaning: "the registry denies the node the image of every pod that begins there",
    symptom: "ImagePullBackOff",
};

/// Returns whether the node's kubelet is denied the images of a pod that it begins.
pub(crate) fn strikes(node: &mut Node) -> bool {
    let Some(armed) = armed(node, Kind::PodImage) else { return false };
    armed.struck += 1;
    true
}
