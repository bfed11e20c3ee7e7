//! F10: the registry denies the images twice when kubeadm pulls them on a control plane, then serves them.

use super::{Entry, Kind, strike};
use crate::node::Node;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::ImagePull,
    code: "F10",
    meaning: "the registry denies kubeadm's image pull twice",
    symptom: "[ERROR ImagePull]",
};

/// Returns what kubeadm's preflight says of an image that it cannot pull.
pub(crate) fn strikes(node: &mut Node, image: &str) -> Option<String> {
    strike(node, Kind::ImagePull, 2).then(|| {
        format!(
            "failed to pull image {image}: failed to pull image {image}: rpc error: code = Unknown desc = failed to pull and \
             unpack image \"{image}\": failed to resolve image: unexpected status from HEAD request: 429 Too Many Requests"
        )
    })
}

#[cfg(test)]
mod tests {
    use crate::node::stories::tell;

    #[test]
    fn two_tries_fail_in_preflight_and_the_third_works() {
        tell(&["F10@cp1"], |s| async move {
            s.configure();
            s.new_kubeadm("cp1").await;
            for _ in 0..2 {
                s.fails("cp1", "kubeadm upgrade apply v1.34.4 --yes", 2, super::ENTRY.symptom).await;
                assert!(s.world(|w| w.etcd.members["cp1"].version == "3.5.24"));
            }
            s.does("cp1", "kubeadm upgrade apply v1.34.4 --yes").await;
        });
    }
}
