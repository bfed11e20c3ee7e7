//! F12: somebody has kept a copy of a manifest beside it, and the kubelet runs that, too.

use super::{Entry, Kind};
use crate::node::{Node, manifest_path};

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::StaticPodFile,
    code: "F12",
    meaning: "a copy of the apiserver's manifest lies beside it",
    symptom: "",
};

/// Puts the copy there.
pub(super) fn strike(node: &mut Node) {
    let path = manifest_path("kube-apiserver");
    if let Some(text) = node.files.text(&path) {
        node.files.write(&format!("{path}.bak"), text, 0o600);
    }
}

#[cfg(test)]
mod tests {
    use crate::node::stories::tell;

    #[test]
    fn the_folder_has_a_file_too_many() {
        tell(&["F12@cp1"], |s| async move {
            let listed = "ls -A /etc/kubernetes/manifests";
            assert!(s.does("cp1", listed).await.contains("kube-apiserver.yaml.bak\n"));
            assert!(!s.does("cp2", listed).await.contains("bak"));
        });
    }
}
