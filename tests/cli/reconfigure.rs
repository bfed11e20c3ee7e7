//! `std/kubeadm-config`: another configuration without an upgrade, over several shapes and through faults.

use serde_json::Value;

use crate::support::{Kup, Ran};

const BOTH: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\napiServer:\n  extraArgs:\n  - name: audit-log-maxage\n    value: \"30\"\n\
    ---\napiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nmaxPods: 150\n";

const RUN: &str = "run std/kubeadm-config --yes --json --set from=c.yaml";

fn kup() -> Kup {
    let dnf = "version = \"v1.33.4\"\ncontrol_plane = 3\npackages = \"dnf\"\n[[pool]]\nname = \"w\"\ncount = 2\npackages = \"dnf\"\n";
    let external =
        "version = \"v1.33.4\"\ncontrol_plane = 3\netcd = { hosts = 3 }\n[[pool]]\nname = \"w\"\ncount = 1\n";
    Kup::new().with("c.yaml", BOTH).with("dnf.toml", dnf).with("external.toml", external)
}

/// Returns what was done, as `action on node`, in its order.
fn done(ran: &Ran) -> Vec<String> {
    let all = ran.json();
    let done = all.iter().filter(|e| e["type"] == "step_done" && e["changed"] == true);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    done.map(|e| format!("{} on {}", text(&e["action"]), text(&e["node"]))).collect()
}

fn of<'a>(all: &'a [String], verb: &str) -> Vec<&'a str> {
    all.iter().filter_map(|one| one.strip_prefix(verb)?.strip_prefix(" on ")).collect()
}

#[test]
fn the_control_plane_follows_node_by_node_and_then_the_kubelets_drained() {
    for (shape, planes, workers) in
        [("1+2@v1.33.4", 1, 2), ("dnf.toml", 3, 2), ("5+1@v1.34.2", 5, 1), ("external.toml", 3, 1)]
    {
        let ran = kup().run(&format!("{RUN} --sim {shape}")).exits(0);
        let all = done(&ran);
        let pods = of(&all, "write static pods");
        assert_eq!(pods, ["cp1", "cp2", "cp3", "cp4", "cp5"][..planes], "{shape}");
        let kubelets = of(&all, "write kubelet configuration");
        assert_eq!(kubelets.len(), planes + workers, "{shape}");
        assert_eq!(of(&all, "uncordon").len(), planes + workers, "{shape}");
        let at = |wanted: &str| {
            all.iter().position(|one| one == wanted).unwrap_or_else(|| panic!("{wanted}: {all:?}"))
        };
        assert!(at("upload cluster configuration on ") < at("write static pods on cp1"), "{shape}");
        assert!(at("upload kubelet configuration on ") < at("write kubelet configuration on cp1"), "{shape}");
        assert!(at("drain on w1") < at("write kubelet configuration on w1"), "{shape}");
    }
}

#[test]
fn what_is_so_already_is_left_and_half_a_file_is_half_the_work() {
    let same = "kind: ClusterConfiguration\nimageRepository: registry.k8s.io\n---\nkind: KubeletConfiguration\ncgroupDriver: systemd\n";
    let ran = Kup::new().with("c.yaml", same).run(&format!("{RUN} --sim 3+1@v1.33.4")).exits(0);
    assert_eq!(done(&ran), [""; 0]);
    let half = BOTH.split("---\n").nth(1).unwrap();
    let ran = Kup::new().with("c.yaml", half).run(&format!("{RUN} --sim 3+1@v1.33.4")).exits(0);
    let all = done(&ran);
    assert!(of(&all, "write static pods").is_empty() && of(&all, "etcd snapshot").is_empty(), "{all:?}");
    assert_eq!(of(&all, "write kubelet configuration").len(), 4);
    let plan = Kup::new().with("c.yaml", "kind: ClusterConfiguration\nkubernetesVersion: v1.34.2\n");
    plan.run("plan std/kubeadm-config --sim 1+1@v1.33.4 --set from=c.yaml").says("std/kubeadm-minor");
}

/// Three times the same, the last one behind an upgrade.
const AGAIN: &str = r#"use std/etcd, std/kubeadm, std/reconfigure
playbook "Again"
stage a {
  etcd snapshot into="./s"
  upload cluster configuration from="c.yaml"
  each node in control_plane { write static pods }
  wait healthy control_plane
}
stage b { each node in control_plane { write static pods } }
stage c { upgrade control planes to=v1.34.2 }
stage d {
  upload cluster configuration from="c.yaml"
  each node in control_plane { write static pods }
}
"#;

#[test]
fn a_node_that_has_followed_has_nothing_to_do_also_behind_an_upgrade() {
    let kup = kup().with("t.kup", AGAIN);
    let ran = kup.run("run t.kup --sim 3+1@v1.33.4 --yes --json").exits(0);
    let all = done(&ran);
    assert_eq!(of(&all, "write static pods"), ["cp1", "cp2", "cp3"], "each once");
    assert_eq!(of(&all, "upload cluster configuration").len(), 1);
    assert_eq!(of(&all, "kubeadm upgrade node"), ["cp2", "cp3"]);
}

#[test]
fn f13_a_static_pod_that_does_not_come_up_gets_its_old_manifest_and_the_run_holds() {
    let kup = kup();
    let ran = kup.run(&format!("{RUN} --sim 3+1@v1.33.4 --fault F13@cp2")).exits(3);
    let events = ran.json();
    let failed = events.iter().find(|e| e["type"] == "step_failed").expect("a step fails");
    assert_eq!(
        (failed["action"].as_str(), failed["node"].as_str()),
        (Some("write static pods"), Some("cp2"))
    );
    assert!(failed["failure"]["message"].to_string().contains("kube-apiserver of cp2 does not come up"));
    let undone = |e: &Value| e["type"] == "undo_done" && e["node"] == "cp2";
    assert!(events.iter().any(undone), "its old manifest is back");
    assert!(!events.iter().any(|e| e["node"] == "cp3" && e["type"] == "attempt_started"));
    kup.run("rollback --yes").exits(0);
    kup.run("status").exits(0).prints("state: compensated");
}

#[test]
fn lost_connections_late_rights_and_a_reboot_are_lived_through() {
    for fault in ["F40@cp2", "F40@w1", "F37@w1", "F41@w1"] {
        let ran = kup().run(&format!("{RUN} --sim 3+2@v1.33.4 --fault {fault}"));
        assert_eq!(ran.code, 0, "{fault}: {}{}", ran.stdout, ran.stderr);
        assert_eq!(of(&done(&ran), "write kubelet configuration").len(), 5, "{fault}");
    }
}

#[test]
fn all_of_it_is_taken_back_and_a_run_that_was_stopped_goes_on() {
    let kup = kup();
    // The last step of all fails, so everything before it is done.
    let text = kup.run("doc std/kubeadm-config").stdout;
    let text = text.replace(
        "stage validate { wait healthy cluster }",
        "stage validate { read command \"false\" on=local { retry 0 } }",
    );
    let kup = kup.with("mine.kup", text);
    let ran = kup.run("run mine.kup --yes --json --set from=c.yaml --sim 3+1@v1.33.4").exits(3);
    assert_eq!(of(&done(&ran), "write kubelet configuration").len(), 4);
    let ran = kup.run("rollback --yes --json").exits(0);
    let undone = |action: &str| {
        ran.json().iter().filter(|e| e["type"] == "undo_done" && e["action"] == action).count()
    };
    assert_eq!(
        (
            undone("write static pods"),
            undone("write kubelet configuration"),
            undone("upload cluster configuration")
        ),
        (3, 4, 1)
    );
}
