//! `kubeadm init phase control-plane COMPONENT --config FILE` and `kubeadm init phase etcd local`: manifests anew, from
//! a file. The kubelet does the rest.

use std::time::Duration;

use serde_json::Value;

use super::{Run, Stop, fail, version_of};
use crate::node::{image, kubelet, manifest, manifest_path};
use crate::world::World;

/// Runs a phase.
pub(super) async fn phase(run: &mut Run<'_>, args: &[&str]) -> Result<(), Stop> {
    let (component, path) = match args {
        ["etcd", "local", "--config", path] => ("etcd", path),
        ["control-plane", "apiserver", "--config", path] => ("kube-apiserver", path),
        ["control-plane", "controller-manager", "--config", path] => ("kube-controller-manager", path),
        ["control-plane", "scheduler", "--config", path] => ("kube-scheduler", path),
        _ => {
            return Err(Stop::Failed(
                64,
                format!("kubeadm: the simulation does not know `init phase {}`\n", args.join(" ")),
            ));
        }
    };
    run.busy(300, 900).await?;
    let Some(text) = run.process.on(|n| n.files.text(path)) else {
        return Err(fail(&format!(
            "unable to read config from \"{path}\": open {path}: no such file or directory"
        )));
    };
    let configuration = document(&text, "ClusterConfiguration");
    let Some(to) = version_of(&text) else {
        return Err(fail("no ClusterConfiguration, and the internet is not asked here for a version"));
    };
    // Without it kubeadm guesses by the default route, which is another address on many hosts.
    let own = document(&text, "InitConfiguration");
    if own["localAPIEndpoint"]["advertiseAddress"].as_str().is_none() {
        return Err(fail("the simulation does not guess an advertise address"));
    }
    if component != "etcd" {
        run.say("[control-plane] Using manifest folder \"/etc/kubernetes/manifests\"");
    }
    run.say(&format!("[control-plane] Creating static Pod manifest for \"{component}\""));
    let node = run.process.node.clone();
    let new = manifest(&node, component, &image(component, to), &lines(&configuration, component));
    let changed = run.process.on(|n| {
        let old = n.files.text(&manifest_path(component));
        n.files.write(&manifest_path(component), new.clone(), 0o600);
        old.as_deref() != Some(&new)
    });
    if changed {
        let back = match component {
            "etcd" => 11,
            "kube-apiserver" => 22,
            _ => 6,
        };
        let (stop, back) = (Duration::from_secs(2), Duration::from_secs(back));
        kubelet::restart_static_pod(run.process, component, stop, back);
    }
    Ok(())
}

/// Returns the lines of a manifest for the flags that the cluster's configuration adds to a component's own.
pub(super) fn flags(world: &World, component: &str) -> String {
    lines(&document(&super::configuration(world).unwrap_or_default(), "ClusterConfiguration"), component)
}

pub(super) fn document(text: &str, kind: &str) -> Value {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap_or_default();
    documents.into_iter().find(|d| d["kind"] == kind).unwrap_or_default()
}

fn lines(configuration: &Value, component: &str) -> String {
    let part = match component {
        "etcd" => &configuration["etcd"]["local"],
        "kube-apiserver" => &configuration["apiServer"],
        "kube-controller-manager" => &configuration["controllerManager"],
        _ => &configuration["scheduler"],
    };
    // A list of names and values since v1beta4, a map before.
    let mut flags: Vec<(String, String)> = match &part["extraArgs"] {
        Value::Array(list) => list.iter().map(|one| (word(&one["name"]), word(&one["value"]))).collect(),
        Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), word(value))).collect(),
        _ => Vec::new(),
    };
    flags.sort();
    flags.iter().map(|(name, value)| format!("    - --{name}={value}\n")).collect()
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

#[cfg(test)]
mod tests {
    use crate::node::stories::tell;

    const FILE: &str = "kind: InitConfiguration\nlocalAPIEndpoint:\n  advertiseAddress: 10.77.0.12\n---\nkind: ClusterConfiguration\n\
        kubernetesVersion: v1.33.13\nscheduler:\n  extraArgs:\n  - name: v\n    value: \"4\"\n";

    #[test]
    fn a_phase_writes_one_manifest_and_the_kubelet_follows_where_it_differs() {
        tell(&[], |s| async move {
            s.on("cp2").write("/etc/kubernetes/c.yaml", FILE.as_bytes(), 0o600).await.unwrap();
            let of = |component: &str| ("cp2".to_string(), component.to_string());
            let (before, key) = (s.world(|w| w.static_pods.clone()), of("kube-scheduler"));
            s.does("cp2", "kubeadm init phase control-plane apiserver --config /etc/kubernetes/c.yaml").await;
            s.does("cp2", "kubeadm init phase control-plane scheduler --config /etc/kubernetes/c.yaml").await;
            tokio::time::sleep(std::time::Duration::from_secs(30)).await;
            let text = s.does("cp2", "cat /etc/kubernetes/manifests/kube-scheduler.yaml").await;
            assert!(text.contains("    - kube-scheduler\n    - --v=4\n"), "{text}");
            s.world(|w| {
                assert_eq!(w.static_pods[&of("kube-apiserver")], before[&of("kube-apiserver")]);
                assert_ne!(w.static_pods[&key].hash, before[&key].hash);
            });
            s.fails("cp2", "kubeadm init phase etcd local --config /no", 1, "no such file").await;
        });
    }
}
