//! `kubeadm upgrade plan VERSION -o json`.

use serde_json::{Value, json};

use super::upgrade::cluster_health;
use super::{Run, Stop, control_planes, fail, running};
use crate::node::release::Release;
use crate::world::World;

pub(super) async fn plan(run: &mut Run<'_>, args: &[&str]) -> Result<(), Stop> {
    let wanted = args.iter().find(|a| a.starts_with('v') || a.starts_with(|c: char| c.is_ascii_digit()));
    let json_wanted = args.windows(2).any(|w| w == ["-o", "json"]) || args.contains(&"-o=json");
    let to = match wanted {
        Some(text) => Release::parse(text).ok_or_else(|| {
            fail(&format!("couldn't parse Kubernetes version \"{text}\": version string could not be parsed"))
        })?,
        None => run.own,
    };
    // With `-o json` the talk goes to stderr in the real one; here it is left out.
    let mut talk = Run { process: run.process, own: run.own, kept: String::new() };
    talk.configured().await?;
    cluster_health(&mut talk)?;
    talk.busy(2000, 4000).await?;
    let answer = run.process.world(|w| upgrades(w, run.own, to));
    if json_wanted {
        run.kept = format!("{:#}\n", answer);
        return Ok(());
    }
    run.kept = format!("{}\nCOMPONENT                 NODE      CURRENT    TARGET\n", talk.kept);
    let components = answer["availableUpgrades"][0]["components"].as_array().cloned().unwrap_or_default();
    for c in components {
        let of = |key: &str| c[key].as_str().unwrap_or("").to_string();
        run.kept.push_str(&format!(
            "{:<25} {:<9} {:<10} {}\n",
            of("name"),
            of("nodeName"),
            of("currentVersion"),
            of("newVersion")
        ));
    }
    Ok(())
}

fn upgrades(world: &World, own: Release, to: Release) -> Value {
    let mut components = Vec::new();
    let (target, mut all_new) = (format!("v{to}"), true);
    let mut row = |name: &str, node: Option<&str>, current: String, new: String| {
        all_new &= current == new;
        let mut row = json!({"name": name, "currentVersion": current, "newVersion": new});
        if let Some(node) = node {
            row["nodeName"] = json!(node);
        }
        components.push(row);
    };
    for node in world.nodes.values().filter(|n| !n.beside) {
        row("kubelet", Some(&node.name), node.kubelet_running.clone(), target.clone());
    }
    for component in ["kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
        for node in control_planes(world) {
            if let Some(current) = running(world, &node, component) {
                row(component, Some(&node), format!("v{current}"), target.clone());
            }
        }
    }
    let image = |resource: &str, name: &str| {
        let object = world.store.get(resource, "kube-system", name)?;
        let image = object["spec"]["template"]["spec"]["containers"][0]["image"].as_str()?;
        image.rsplit(':').next().map(ToString::to_string)
    };
    if let Some(current) = image("daemonsets", "kube-proxy") {
        row("kube-proxy", None, current, target.clone());
    }
    if let Some(current) = image("deployments", "coredns") {
        row("CoreDNS", None, current, to.coredns().to_string());
    }
    if own < to {
        row("kubeadm", None, format!("v{own}"), target.clone());
    }
    // An external etcd is not kubeadm's to upgrade, and is no row of the plan.
    let stacked = |node: &String| world.nodes.get(node).is_some_and(|n| !n.beside);
    for (node, member) in world.etcd.members.iter().filter(|(node, _)| stacked(node)) {
        row("etcd", Some(node), format!("{}-0", member.version), to.etcd().to_string());
    }
    let series =
        world.nodes.values().next().and_then(|n| running(world, &n.name, "kube-apiserver")).unwrap_or(to);
    let description = match series.minor == to.minor {
        true => format!("version in the v1.{} series", to.minor),
        false => "stable version".to_string(),
    };
    let available = match all_new {
        true => json!([]),
        false => json!([{"description": description, "components": components}]),
    };
    json!({
        "kind": "UpgradePlan",
        "apiVersion": "output.kubeadm.k8s.io/v1alpha3",
        "availableUpgrades": available,
        "configVersions": [
            {"group": "kubeproxy.config.k8s.io", "currentVersion": "v1alpha1", "preferredVersion": "v1alpha1", "manualUpgradeRequired": false},
            {"group": "kubelet.config.k8s.io", "currentVersion": "v1beta1", "preferredVersion": "v1beta1", "manualUpgradeRequired": false},
        ],
    })
}
