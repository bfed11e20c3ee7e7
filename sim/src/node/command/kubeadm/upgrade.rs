//! `kubeadm upgrade apply VERSION --yes` and `kubeadm upgrade node`, phase by phase.

use serde_json::json;

use super::policy::Versions;
use super::{Run, Stop, configure, control_plane, control_planes, fail, fail_in, preflight, running};
use crate::faults::{image_pull, kubelet_config, reboot};
use crate::node::process::Killed;
use crate::node::release::Release;
use crate::node::{image, kubelet, manifest_path, power};

pub(super) async fn apply(run: &mut Run<'_>, args: &[&str]) -> Result<(), Stop> {
    let Some(text) = args.iter().find(|a| !a.starts_with('-')) else {
        return Err(fail("missing one or more required arguments. Required arguments: [version]"));
    };
    let Some(to) = Release::parse(text) else {
        return Err(fail(&format!(
            "couldn't parse Kubernetes version \"{text}\": version string could not be parsed"
        )));
    };
    if !run.process.on(|n| n.files.exists("/etc/kubernetes/admin.conf")) {
        return Err(fail(
            "couldn't create a Kubernetes client from file \"/etc/kubernetes/admin.conf\": failed to load admin kubeconfig: open /etc/kubernetes/admin.conf: no such file or directory",
        ));
    }
    run.configured().await?;
    run.say("[upgrade/preflight] Running preflight checks");
    run.say("[upgrade] Running cluster health checks");
    cluster_health(run)?;
    run.busy(2000, 4000).await?;
    let force = args.iter().any(|a| matches!(*a, "-f" | "--force"));
    if !force && !args.iter().any(|a| matches!(*a, "-y" | "--yes")) {
        run.say("[upgrade] Are you sure you want to proceed? [y/N]: ");
        return Err(fail(
            "error execution phase preflight: won't proceed; the user didn't answer (Y|y) in order to continue",
        ));
    }
    run.say(&format!("[upgrade/preflight] You have chosen to upgrade the cluster version to \"v{to}\""));
    let versions = run.process.world(|w| Versions {
        cluster: w.first_up("kube-apiserver").and_then(|n| running(w, n, "kube-apiserver")).unwrap_or(to),
        kubeadm: run.own,
        kubelets: w
            .nodes
            .values()
            .filter(|n| !n.beside)
            .filter_map(|n| Release::parse(&n.kubelet_running))
            .collect(),
    });
    run.say(&format!("[upgrade/versions] Cluster version: {}", versions.cluster));
    run.say(&format!("[upgrade/versions] kubeadm version: v{}", run.own));
    versions.judge(to, force)?;
    pull_images(run, to).await?;
    run.say(&format!(
        "[upgrade/control-plane] Upgrading your static Pod-hosted control plane to version \"v{to}\" (timeout: 5m0s)..."
    ));
    control_plane::upgrade(run, to).await?;
    run.say("[upgrade/control-plane] The control plane instance for this node was successfully upgraded!");
    run.api("error execution phase upload-config").await?;
    run.say("[upload-config] Storing the configuration used in ConfigMap \"kubeadm-config\" in the \"kube-system\" Namespace");
    run.busy(500, 1500).await?;
    run.process.world(|w| configure(w, to));
    run.say("[kubelet] Creating a ConfigMap \"kubelet-config\" in namespace kube-system with the configuration for the kubelets in the cluster");
    write_kubelet_config(run, to).await?;
    run.say("[bootstrap-token] Configured RBAC rules to allow Node Bootstrap tokens to get nodes");
    addons(run, to).await?;
    run.say("");
    run.say(&format!("[upgrade] SUCCESS! A control plane node of your cluster was upgraded to \"v{to}\"."));
    run.say("");
    run.say(
        "[upgrade] Now please proceed with upgrading the rest of the nodes by following the right order.",
    );
    Ok(())
}

pub(super) async fn node(run: &mut Run<'_>) -> Result<(), Stop> {
    let to = run.configured().await?;
    run.say("[upgrade/preflight] Running pre-flight checks");
    if to.minor > run.own.minor {
        return Err(fail_in(
            "preflight",
            &format!(
                "Specified version to upgrade to \"v{to}\" is at least one minor release higher than the kubeadm minor release ({} > {}). Such an upgrade is not supported",
                to.minor, run.own.minor
            ),
        ));
    }
    let control_plane_node = run.process.on(|n| n.files.exists(&manifest_path("kube-apiserver")));
    if control_plane_node {
        pull_images(run, to).await?;
        run.say(&format!(
            "[upgrade/control-plane] Upgrading your Static Pod-hosted control plane instance to version \"v{to}\"..."
        ));
        control_plane::upgrade(run, to).await?;
        run.say(
            "[upgrade/control-plane] The control plane instance for this node was successfully upgraded!",
        );
    } else {
        run.say("[upgrade/preflight] Skipping prepull. Not a control plane node.");
        run.say("[upgrade/control-plane] Skipping phase. Not a control plane node.");
    }
    run.api("error execution phase kubelet-config").await?;
    if let Some(forbidden) = run.process.on(kubelet_config::strikes) {
        run.busy(300, 700).await?;
        return Err(fail_in(
            "kubelet-config",
            &format!(
                "could not retrieve the kubelet configuration from ConfigMap \"kubelet-config\": {forbidden}"
            ),
        ));
    }
    write_kubelet_config(run, to).await?;
    if control_plane_node {
        addons(run, to).await?;
    } else {
        run.say("[upgrade/addon] Skipping the addon/coredns phase. Not a control plane node.");
        run.say("[upgrade/addon] Skipping the addon/kube-proxy phase. Not a control plane node.");
    }
    run.say("[upgrade] The configuration for this node was successfully upgraded!");
    run.say("[upgrade] Now you should go ahead and upgrade the kubelet package using your package manager.");
    Ok(())
}

/// Fault F41: the machine goes away under kubeadm.
pub(super) fn maybe_reboot(run: &Run<'_>) -> Result<(), Stop> {
    if !run.process.on(reboot::strikes) {
        return Ok(());
    }
    power::reboot(run.process.shared(), &run.process.node);
    Err(Stop::from(Killed))
}

/// The checks of the whole cluster that plan and apply make.
pub(super) fn cluster_health(run: &mut Run<'_>) -> Result<(), Stop> {
    let (away, cordoned, missing) = run.process.world(|w| {
        let of = |name: &str| w.store.get("nodes", "", name);
        let not_ready = |name: &String| {
            let up = w.nodes.get(name).is_some_and(|n| n.up);
            let conditions = of(name).and_then(|n| n["status"]["conditions"].as_array().cloned());
            let condition = conditions.into_iter().flatten().find(|c| c["type"] == "Ready");
            !condition.map_or(up, |c| c["status"] == "True")
        };
        let away: Vec<String> = control_planes(w).into_iter().filter(not_ready).collect();
        let mut nodes = w.nodes.values().filter(|n| !n.beside).map(|n| &n.name);
        let cordoned = nodes.all(|n| of(n).is_some_and(|n| n["spec"]["unschedulable"] == true));
        let node = w.nodes.get(&run.process.node);
        let missing: Vec<&str> = node
            .into_iter()
            .flat_map(|n| n.components().filter(|c| !n.files.exists(&manifest_path(c))))
            .collect();
        (away, cordoned, missing)
    });
    let mut errors = Vec::new();
    // Up to 1.34 the job runs on any node that may be scheduled; none is left when all are cordoned.
    if cordoned && run.own.minor < 35 {
        errors.push((
            "CreateJob",
            "Job \"upgrade-health-check-7k2vd\" in the namespace \"kube-system\" did not complete in 15s: client rate limiter Wait returned an error: context deadline exceeded".to_string(),
        ));
    }
    if !away.is_empty() {
        errors.push((
            "ControlPlaneNodesReady",
            format!("there are NotReady control-planes in the cluster: [{}]", away.join(" ")),
        ));
    }
    if !missing.is_empty() {
        let paths: Vec<String> = missing.iter().map(|c| manifest_path(c)).collect();
        errors.push(("StaticPodManifest", format!("manifest files not found: [{}]", paths.join(" "))));
    }
    if errors.is_empty() { Ok(()) } else { Err(preflight(&errors)) }
}

async fn pull_images(run: &mut Run<'_>, to: Release) -> Result<(), Stop> {
    run.say("[upgrade/preflight] Pulling images required for setting up a Kubernetes cluster");
    run.say("[upgrade/preflight] This might take a minute or two, depending on the speed of your internet connection");
    run.say(
        "[upgrade/preflight] You can also perform this action beforehand using 'kubeadm config images pull'",
    );
    run.busy(6000, 12_000).await?;
    if !to.exists() {
        let image = image("kube-apiserver", to);
        let why = format!(
            "failed to pull image {image}: failed to pull image {image}: rpc error: code = NotFound desc = failed to pull and unpack image \"{image}\": failed to resolve reference \"{image}\": {image}: not found"
        );
        return Err(preflight(&[("ImagePull", why)]));
    }
    match run.process.on(|n| image_pull::strikes(n, &image("kube-apiserver", to))) {
        Some(why) => Err(preflight(&[("ImagePull", why)])),
        None => Ok(()),
    }
}

/// `kubeadm upgrade node phase kubelet-config`
pub(super) async fn kubelet_config(run: &mut Run<'_>) -> Result<(), Stop> {
    let to = run.configured().await?;
    if let Some(forbidden) = run.process.on(kubelet_config::strikes) {
        return Err(fail_in("kubelet-config", &forbidden));
    }
    write_kubelet_config(run, to).await
}

async fn write_kubelet_config(run: &mut Run<'_>, to: Release) -> Result<(), Stop> {
    run.busy(300, 600).await?;
    maybe_reboot(run)?;
    let kept = run.process.world(|w| {
        let map = w.store.get("configmaps", "kube-system", "kubelet-config")?;
        map["data"]["kubelet"].as_str().map(|text| format!("{text}# kubeadm v1.{}\n", to.minor))
    });
    let new = kept.unwrap_or_else(|| kubelet::config(to));
    let backup = run.process.on(|node| {
        let folder = format!("/etc/kubernetes/tmp/kubeadm-kubelet-config{}", node.random.below(1 << 31));
        let path = "/var/lib/kubelet/config.yaml";
        let old = node.files.text(path).unwrap_or_default();
        node.files.write(&format!("{folder}/config.yaml"), old, 0o600);
        node.files.write(path, new, 0o644);
        folder
    });
    run.say(&format!("[upgrade] Backing up kubelet config file to {backup}/config.yaml"));
    run.say("[kubelet-start] Writing kubelet configuration to file \"/var/lib/kubelet/config.yaml\"");
    run.say("[upgrade/kubelet-config] The kubelet configuration for this node was successfully upgraded!");
    run.busy(200, 400).await
}

/// CoreDNS and kube-proxy change with the last control plane, not before.
async fn addons(run: &mut Run<'_>, to: Release) -> Result<(), Stop> {
    let behind: Vec<String> = run.process.world(|w| {
        control_planes(w).into_iter().filter(|n| running(w, n, "kube-apiserver") != Some(to)).collect()
    });
    if !behind.is_empty() {
        run.say(&format!(
            "[upgrade/addon] Skipping upgrade of addons because control plane instances [{}] have not been upgraded",
            behind.join(" ")
        ));
        return Ok(());
    }
    run.busy(1000, 2500).await?;
    run.process.world(|w| {
        for (resource, name) in [("deployments", "coredns"), ("daemonsets", "kube-proxy")] {
            let image = image(name, to);
            w.store.update(resource, "kube-system", name, |object| {
                let container = &mut object["spec"]["template"]["spec"]["containers"][0];
                if container.is_object() {
                    container["image"] = json!(image);
                }
            });
        }
    });
    run.say("[addons] Applied essential addon: CoreDNS");
    run.say("[addons] Applied essential addon: kube-proxy");
    Ok(())
}
