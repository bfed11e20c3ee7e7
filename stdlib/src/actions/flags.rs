//! The flags of what runs on a node: those of static pods from their manifests, those of a kubelet from the files that its unit reads.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::configuration;
use super::facts::Look;

/// Flags by name without dashes; one that is given twice has its last value, as in the components.
pub(super) type Flags = BTreeMap<String, String>;

/// A component of the control plane and the look that shows its manifest.
pub(super) const MANIFESTS: [Look; 4] = [
    ("etcd", "cat /etc/kubernetes/manifests/etcd.yaml"),
    ("kube-apiserver", "cat /etc/kubernetes/manifests/kube-apiserver.yaml"),
    ("kube-controller-manager", "cat /etc/kubernetes/manifests/kube-controller-manager.yaml"),
    ("kube-scheduler", "cat /etc/kubernetes/manifests/kube-scheduler.yaml"),
];

/// Returns the flags of the containers of a manifest; none where it is no YAML.
pub(super) fn of_manifest(text: &str) -> Flags {
    let documents = configuration::documents(text).unwrap_or_default();
    let containers =
        documents.iter().flat_map(|pod| pod["spec"]["containers"].as_array().into_iter().flatten());
    let words = |container: &Json| -> Vec<String> {
        let of = |key: &str| container[key].as_array().cloned().unwrap_or_default();
        of("command")
            .into_iter()
            .chain(of("args"))
            .filter_map(|word| Some(word.as_str()?.to_string()))
            .collect()
    };
    of_words(containers.flat_map(words))
}

/// Returns the flags in files of environment variables: `KUBELET_KUBEADM_ARGS="--a=b --c=d"`.
pub(super) fn of_environment(text: &str) -> Flags {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let values = lines
        .filter_map(|line| line.split_once('='))
        .map(|(_, value)| value.trim().trim_matches(['"', '\'']));
    of_words(values.flat_map(str::split_whitespace).map(str::to_string))
}

/// Returns the flags in a script of PowerShell that starts a component.
pub(super) fn of_script(text: &str) -> Flags {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let words = lines.flat_map(|line| line.split(|c: char| c.is_whitespace() || "\"'`,()".contains(c)));
    of_words(words.map(str::to_string))
}

fn of_words(words: impl Iterator<Item = String>) -> Flags {
    let flag = |word: String| {
        let word = word.strip_prefix("--")?;
        let (name, value) = word.split_once('=').unwrap_or((word, "true"));
        Some((name.to_string(), value.to_string()))
    };
    words.filter_map(flag).collect()
}

/// Returns the words of a list between commas.
pub(super) fn listed(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_from_commands_arguments_and_environments() {
        let manifest = "spec:\n  containers:\n  - command: [kube-apiserver, --v=2, --profiling]\n    args: [\"--v=4\"]\n";
        let flags = of_manifest(manifest);
        assert_eq!(
            flags.into_iter().collect::<Vec<_>>(),
            [("profiling".into(), "true".into()), ("v".into(), "4".into())]
        );
        let flags = of_environment(
            "# --no=1\nKUBELET_KUBEADM_ARGS=\"--node-ip=10.0.0.1 --v=2\"\nKUBELET_EXTRA_ARGS=\n",
        );
        assert_eq!(flags.keys().collect::<Vec<_>>(), ["node-ip", "v"]);
        assert!(of_manifest("no: [yaml").is_empty());
        let script =
            "# --no=1\n$cmd = \"C:\\k\\kubelet.exe $global:KubeletArgs --config=/x --image=`\"y`\" --v=2\"\n";
        let flags = of_script(script);
        assert_eq!(flags.keys().collect::<Vec<_>>(), ["config", "image", "v"]);
    }
}
