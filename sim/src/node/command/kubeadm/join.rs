//! How a node comes and goes: `kubeadm token create`, `kubeadm init phase upload-certs`, `kubeadm reset` and
//! `kubeadm join --config FILE`.

use std::time::Duration;

use super::init::{document, flags};
use super::{Run, Stop, configuration, fail, fail_in, preflight, version_of};
use crate::etcd::Data;
use crate::node::{DATA, image, kubelet, manifest, manifest_path, member_address};
use crate::world::World;

/// What a node has of kubeadm.
const OWN: [&str; 7] = [
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/kubelet.conf",
    "/etc/kubernetes/manifests",
    "/etc/kubernetes/pki",
    "/var/lib/etcd",
    "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/pki",
];

/// `kubeadm token create --ttl TTL --print-join-command`
pub(super) async fn token(run: &mut Run<'_>) -> Result<(), Stop> {
    run.busy(300, 900).await?;
    run.api("failed to create a token").await?;
    let token = run.process.world(|w| {
        let token = format!("{}.{}", w.random.hex(6), w.random.hex(16));
        w.tokens.push(token.clone());
        token
    });
    run.say(&format!(
        "kubeadm join api.sim:6443 --token {token} --discovery-token-ca-cert-hash sha256:{} ",
        "0f".repeat(32)
    ));
    Ok(())
}

/// `kubeadm init phase upload-certs --upload-certs`
pub(super) async fn upload_certs(run: &mut Run<'_>) -> Result<(), Stop> {
    run.busy(300, 900).await?;
    run.api("error execution phase upload-certs").await?;
    let key = run.process.world(|w| {
        let key = w.random.hex(64);
        w.certificate_key = Some(key.clone());
        key
    });
    run.say("[upload-certs] Storing the certificates in Secret \"kubeadm-certs\" in the \"kube-system\" Namespace");
    run.say("[upload-certs] Using certificate key:");
    run.say(&key);
    Ok(())
}

/// `kubeadm reset --force`
pub(super) async fn reset(run: &mut Run<'_>, args: &[&str]) -> Result<(), Stop> {
    if !args.iter().any(|a| matches!(*a, "-f" | "--force")) {
        run.say("[reset] Are you sure you want to proceed? [y/N]: ");
        return Err(fail("aborted reset operation"));
    }
    run.say("[preflight] Running pre-flight checks");
    run.busy(2000, 5000).await?;
    run.say("[reset] Stopping the kubelet service");
    let name = run.process.node.clone();
    run.process.world(|w| {
        if w.nodes.get(&name).is_some_and(|n| n.etcd) && w.etcd.quorum() {
            w.etcd.leave(&name);
        }
        let Some(node) = w.nodes.get_mut(&name) else { return };
        (node.kubelet_active, node.etcd) = (false, false);
        for path in OWN {
            node.files.remove(path);
        }
        w.etcd.set_up(&name, false);
        w.static_pods.retain(|(node, _), _| *node != name);
        w.machines_changed();
    });
    run.say("[reset] Deleting contents of directories: [/etc/kubernetes/manifests /var/lib/kubelet /etc/kubernetes/pki]");
    run.say("The reset process does not perform cleanup of CNI plugin configuration,");
    Ok(())
}

/// `kubeadm join --config FILE`
pub(super) async fn join(run: &mut Run<'_>, args: &[&str]) -> Result<(), Stop> {
    let ["--config", path] = args else {
        return Err(Stop::Failed(64, "kubeadm: the simulation joins by a file alone\n".to_string()));
    };
    let Some(text) = run.process.on(|n| n.files.text(path)) else {
        return Err(fail(&format!("unable to read config from \"{path}\": no such file or directory")));
    };
    let given = document(&text, "JoinConfiguration");
    run.say("[preflight] Running pre-flight checks");
    run.busy(1000, 3000).await?;
    let name = run.process.node.clone();
    if run.process.on(|n| n.files.exists("/etc/kubernetes/kubelet.conf")) {
        let text = "/etc/kubernetes/kubelet.conf already exists".to_string();
        return Err(preflight(&[("FileAvailable--etc-kubernetes-kubelet.conf", text)]));
    }
    run.api("error execution phase preflight: couldn't validate the identity of the API Server").await?;
    let token = given["discovery"]["bootstrapToken"]["token"].as_str().unwrap_or_default().to_string();
    if !run.process.world(|w| w.tokens.contains(&token)) {
        return Err(fail_in("preflight", "couldn't validate the identity of the API Server: invalid token"));
    }
    let to = run.process.world(|w| configuration(w).and_then(|text| version_of(&text)));
    let Some(to) = to else { return Err(fail("configmaps \"kubeadm-config\" not found")) };
    if run.own.minor != to.minor {
        return Err(fail(&format!(
            "this version of kubeadm only supports deploying clusters with the control plane version >= 1.{}.0. Current version: v{to}",
            run.own.minor
        )));
    }
    let plane = &given["controlPlane"];
    let stacked = run.process.world(|w| w.shape.external_etcd().is_none());
    if plane.is_object() {
        let key = plane["certificateKey"].as_str().map(str::to_string);
        if key.is_none() || run.process.world(|w| w.certificate_key != key) {
            return Err(fail_in(
                "control-plane-prepare/download-certs",
                "error downloading certs: error decoding certificate key: invalid key",
            ));
        }
        run.say("[control-plane] Using manifest folder \"/etc/kubernetes/manifests\"");
        run.busy(4000, 9000).await?;
        if stacked && !run.process.world(|w| w.etcd.quorum()) {
            return Err(fail_in(
                "control-plane-join/etcd",
                "error creating local etcd static pod manifest file: etcdserver: re-configuration failed due to not enough started members",
            ));
        }
    }
    let is_plane = plane.is_object();
    run.process.world(|w| begin(w, &name, to, is_plane, stacked));
    run.say("[kubelet-start] Starting the kubelet");
    let started = run.process.clone();
    run.process.later(Duration::from_secs(2), move |w| {
        if kubelet::start(w, &started.node) {
            crate::content::join(w, &started.node);
            kubelet::run_static_pods(w, &started.node);
        }
    });
    run.busy(6000, 12_000).await?;
    run.say("This node has joined the cluster:");
    Ok(())
}

/// Writes what the node has from now on.
fn begin(world: &mut World, name: &str, to: crate::node::Release, plane: bool, stacked: bool) {
    let extra: Vec<(&str, String)> =
        crate::node::COMPONENTS.into_iter().map(|component| (component, flags(world, component))).collect();
    let now = world.now();
    let Some(node) = world.nodes.get_mut(name) else { return };
    node.etcd = plane && stacked;
    node.files.write("/var/lib/kubelet/config.yaml", kubelet::config(to), 0o644);
    node.files.write("/etc/kubernetes/kubelet.conf", "kind: Config\n", 0o600);
    (node.kubelet_since, node.kubelet_failure) = (now, None);
    if !plane {
        return;
    }
    node.certificates = now + kubelet::CERTIFICATES;
    node.files.write("/etc/kubernetes/admin.conf", "kind: Config\n", 0o600);
    for (component, extra) in extra.iter().filter(|(component, _)| stacked || *component != "etcd") {
        let text = manifest(name, component, &image(component, to), extra);
        node.files.write(&manifest_path(component), text, 0o600);
    }
    if stacked {
        world.etcd.join(name, to.etcd().trim_end_matches("-0"), member_address(name));
        world.etcd.set_up(name, false);
        let data = world.etcd.data();
        if let Some(node) = world.nodes.get_mut(name) {
            node.files.write(&Data::path(DATA), data.to_string(), 0o600);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::node::stories::tell;

    fn joining(token: &str, key: &str) -> String {
        format!(
            "kind: JoinConfiguration\ndiscovery:\n  bootstrapToken:\n    token: \"{token}\"\ncontrolPlane:\n  certificateKey: \"{key}\"\n"
        )
    }

    #[test]
    fn a_control_plane_that_is_reset_leaves_etcd_and_joins_again_by_a_fresh_token_and_key() {
        tell(&[], |s| async move {
            s.configure();
            s.fails("cp2", "kubeadm reset", 1, "aborted reset").await;
            s.does("cp2", "kubeadm reset --force").await;
            s.world(|w| {
                assert!(!w.etcd.members.contains_key("cp2") && w.etcd.quorum() && w.api_up());
                assert!(!w.component_up("cp2", "kube-apiserver"));
                w.store.remove("nodes", "", "cp2");
            });
            let line = s.does("cp1", "kubeadm token create --ttl 30m --print-join-command").await;
            let token = line.split_whitespace().skip_while(|w| *w != "--token").nth(1).unwrap().to_string();
            let said = s.does("cp1", "kubeadm init phase upload-certs --upload-certs").await;
            let key = said.lines().last().unwrap().to_string();
            for (text, why) in [
                (joining("abcdef.0123456789abcdef", &key), "invalid token"),
                (joining(&token, "00"), "error downloading certs"),
            ] {
                s.on("cp2").write("/etc/kubernetes/j.yaml", text.as_bytes(), 0o600).await.unwrap();
                s.fails("cp2", "kubeadm join --config /etc/kubernetes/j.yaml", 1, why).await;
            }
            s.on("cp2")
                .write("/etc/kubernetes/j.yaml", joining(&token, &key).as_bytes(), 0o600)
                .await
                .unwrap();
            s.does("cp2", "kubeadm join --config /etc/kubernetes/j.yaml").await;
            tokio::time::sleep(std::time::Duration::from_secs(60)).await;
            s.world(|w| {
                assert!(w.etcd.is_up("cp2") && w.component_up("cp2", "kube-apiserver"));
                assert_eq!(w.etcd.members.len(), 3);
                let node = w.store.get("nodes", "", "cp2").unwrap();
                assert_eq!(node["metadata"]["labels"]["node-role.kubernetes.io/control-plane"], "");
            });
            s.fails("cp2", "kubeadm join --config /etc/kubernetes/j.yaml", 2, "already exists").await;
        });
    }
}
