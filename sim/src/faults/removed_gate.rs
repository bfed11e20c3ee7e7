//! F54: the apiserver of this node is started with a feature gate that goes with the next minor that takes one away.

use std::sync::LazyLock;

use serde::Deserialize;

use super::{Entry, Kind};
use crate::node::{Node, Release, manifest_path};

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::RemovedGate,
    code: "F54",
    meaning: "the apiserver has a feature gate that a later minor does not know",
    symptom: "",
};

#[derive(Deserialize)]
struct Table {
    gates: Vec<Gates>,
}

#[derive(Deserialize)]
struct Gates {
    removed: String,
    names: Vec<String>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    // The file is compiled in, and a test of stdlib reads it.
    toml::from_str(include_str!("../../../stdlib/data/removed_flags.toml"))
        .expect("removed_flags.toml is well formed")
});

/// Writes the gate into the manifest; what runs has it already.
pub(super) fn strike(node: &mut Node) {
    let minor = Release::parse(&node.kubelet_running).map_or(0, |release| release.minor);
    let later = |gates: &&Gates| {
        gates.removed.strip_prefix("v1.").and_then(|m| m.parse().ok()).is_some_and(|m: u16| m > minor)
    };
    let gate = TABLE.gates.iter().find(later).and_then(|gates| gates.names.first());
    let path = manifest_path("kube-apiserver");
    if let (Some(gate), Some(text)) = (gate, node.files.text(&path)) {
        let text = text.replacen("    image:", &format!("    - --feature-gates={gate}=true\n    image:"), 1);
        node.files.write(&path, text, 0o600);
    }
}

#[cfg(test)]
mod tests {
    use crate::node::stories::tell;

    #[test]
    fn the_manifest_has_the_gate() {
        tell(&["F54@cp1"], |s| async move {
            let shown = "cat /etc/kubernetes/manifests/kube-apiserver.yaml";
            assert!(s.does("cp1", shown).await.contains("- --feature-gates=DevicePluginCDIDevices=true\n"));
            assert!(!s.does("cp2", shown).await.contains("feature-gates"));
        });
    }
}
