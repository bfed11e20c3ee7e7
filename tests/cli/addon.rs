//! Add-ons: manifests and charts between the control plane and the workers, over simulated clusters. What they do, that a
//! second run finds nothing to do, what a rollback leaves, and what is said where they cannot.

use crate::support::{Kup, Ran};

const CNI: &str = include_str!("../trials/cni.kup");
const FLANNEL: &str = include_str!("../trials/kube-flannel.yaml");

fn kup() -> Kup {
    Kup::new().with("cni.kup", CNI).with("kube-flannel.yaml", FLANNEL)
}

/// A playbook with one stage.
fn playbook(stage: &str) -> String {
    format!("use std/addon\nplaybook \"p\"\nstage s {{ {stage} }}\non failure {{ rollback }}\n")
}

fn order(ran: &Ran, actions: &[&str]) -> Vec<String> {
    ran.json()
        .iter()
        .filter(|e| e["type"] == "step_done" && actions.iter().any(|a| e["action"] == *a))
        .map(|e| {
            let action = e["action"].as_str().unwrap_or_default();
            e["node"].as_str().map_or(action.to_string(), |node| format!("{action} {node}"))
        })
        .collect()
}

#[test]
fn a_variant_of_ones_own_has_the_cni_between_the_control_plane_and_the_workers() {
    let code = CNI.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).count();
    assert!(code < 20, "{code} lines");
    let kup = kup();
    let ran = kup.run("run cni.kup --sim 3+2@v1.33.4 --yes --json --set target=v1.34.2").exits(0);
    assert_eq!(
        order(&ran, &["restart kubelet", "apply manifest", "wait manifest"]),
        [
            "restart kubelet cp1",
            "restart kubelet cp2",
            "restart kubelet cp3",
            "apply manifest",
            "wait manifest",
            "restart kubelet w1",
            "restart kubelet w2"
        ]
    );
}

#[test]
fn the_main_job_takes_manifests_and_charts() {
    let shape = "version = \"v1.33.4\"\ncontrol_plane = 1\n[[pool]]\nname = \"w\"\ncount = 2\n\
        [[release]]\nname = \"cilium\"\nnamespace = \"kube-system\"\nchart = \"cilium-1.17.4\"\n";
    let given = "addons = [\"./kube-flannel.yaml\"]\nconflicts = \"take\"\ntarget = \"v1.34.2\"\n\
        [[charts]]\nrelease = \"cilium\"\nchart = \"cilium/cilium\"\nversion = \"1.18.2\"\nnamespace = \"kube-system\"\n";
    let kup = kup().with("shape.toml", shape).with("given.toml", given);
    let ran = kup.run("run std/kubeadm-minor --sim shape.toml --yes --json --values given.toml").exits(0);
    let wanted = [
        "restart kubelet cp1",
        "apply manifest",
        "helm upgrade",
        "wait release",
        "restart kubelet w1",
        "restart kubelet w2",
    ];
    assert_eq!(order(&ran, &["restart kubelet", "apply manifest", "helm upgrade", "wait release"]), wanted);
}

#[test]
fn a_manifest_is_applied_once_with_its_definitions_first() {
    let net = "apiVersion: example.com/v1\nkind: Net\nmetadata: { name: blue, namespace: nets }\nspec: { mtu: 1400 }\n---\n\
        apiVersion: v1\nkind: Namespace\nmetadata: { name: nets }\n---\n\
        apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: { name: nets.example.com }\nspec:\n  group: example.com\n  \
        scope: Namespaced\n  names: { kind: Net, plural: nets, singular: net, listKind: NetList }\n  versions:\n  - { name: v1, served: true, storage: true }\n";
    let twice = "apply manifest \"net.yaml\"\n apply manifest \"net.yaml\"";
    let kup = Kup::new().with("net.yaml", net).with("p.kup", playbook(twice));
    let ran = kup.run("run p.kup --sim 1+1@v1.33.4 --yes --json").exits(0);
    let changed: Vec<bool> = ran
        .json()
        .iter()
        .filter(|e| e["type"] == "step_done" && e["action"] == "apply manifest")
        .map(|e| e["changed"] == true)
        .collect();
    assert_eq!(changed, [true, false]);
}

#[test]
fn fields_of_somebody_else_are_named_before_anything_is_done() {
    let given = "addons = [\"./kube-flannel.yaml\"]\ntarget = \"v1.34.2\"\n";
    kup()
        .with("given.toml", given)
        .run("run std/kubeadm-minor --sim 1+1@v1.33.4 --yes --values given.toml")
        .exits(4)
        .says(".spec.template.spec.containers[name=\"kube-flannel-ds\"].image (\"kubectl-client-side-apply\" using apps/v1)")
        .says("conflicts=take");
}

#[test]
fn what_was_applied_is_taken_back_with_what_it_replaced() {
    // Behind the manifest a step fails; a run behind that finds the same work.
    let stage = "upgrade addon \"kube-flannel.yaml\" conflicts=take\n read command \"false\" on=local";
    let kup = kup().with("p.kup", playbook(stage));
    let ran = kup.run("run p.kup --sim 1+2@v1.33.4 --yes --json").exits(5);
    let undone =
        ran.json().iter().filter(|e| e["type"] == "undo_done" && e["action"] == "apply manifest").count();
    assert_eq!(undone, 1);
}

#[test]
fn a_release_is_rolled_back_to_the_revision_before() {
    let shape = "version = \"v1.33.4\"\ncontrol_plane = 1\n[[release]]\nname = \"net\"\nnamespace = \"nets\"\nchart = \"net-1.0.0\"\n";
    let stage = "upgrade release \"net\" \"./net\" version=\"1.1.0\" namespace=\"nets\" values=[\"v.yaml\"]\n \
        read command \"false\" on=local";
    let kup =
        Kup::new().with("shape.toml", shape).with("v.yaml", "mtu: 1400\n").with("p.kup", playbook(stage));
    let ran = kup.run("run p.kup --sim shape.toml --yes --json").exits(5);
    let undone =
        ran.json().iter().filter(|e| e["type"] == "undo_done" && e["action"] == "helm upgrade").count();
    assert_eq!(undone, 1);
    let kup = kup.with(
        "once.kup",
        playbook(
            "helm upgrade \"net\" \"./net\" version=\"1.1.0\" namespace=\"nets\"\n \
        helm upgrade \"net\" \"./net\" version=\"1.1.0\" namespace=\"nets\"",
        ),
    );
    let ran = kup.run("run once.kup --sim shape.toml --yes --json").exits(0);
    let changed = ran.json().iter().filter(|e| e["type"] == "step_done" && e["changed"] == true).count();
    assert_eq!(changed, 1);
}

#[test]
fn an_image_that_cannot_be_pulled_is_told_with_the_workload_that_waits_for_it() {
    let stage = "upgrade addon \"kube-flannel.yaml\" conflicts=take { timeout 5m }";
    let kup = kup().with("p.kup", playbook(stage));
    kup.run("run p.kup --sim 1+2@v1.33.4 --fault F52@w1 --yes --json")
        .exits(5)
        .prints("DaemonSet kube-flannel/kube-flannel-ds: ")
        .prints("image ghcr.io/flannel-io/flannel:v0.27.4 cannot be pulled");
}

#[test]
fn a_deployment_that_gives_up_fails_with_its_reason() {
    let web = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web, namespace: shop }\nspec:\n  progressDeadlineSeconds: 60\n  template:\n    \
        spec: { containers: [{ name: web, image: \"shop/web:2\" }] }\n";
    let stage =
        "apply manifest \"web.yaml\" conflicts=take\n wait rollout deployment \"web\" namespace=\"shop\"";
    let kup = Kup::new().with("web.yaml", web).with("p.kup", playbook(stage));
    kup.run("run p.kup --sim 1+1@v1.33.4 --fault F52@w1 --yes --json")
        .exits(5)
        .prints("did not go on for 60s (ProgressDeadlineExceeded)")
        .prints("image shop/web:2 cannot be pulled");
}
