//! `std/rollback-worker` and `std/rollback-control-plane`: what goes back, in which order, and where it stops.

use serde_json::Value;

use crate::support::{Kup, Ran};

/// A cluster that kubeadm has brought from v1.33.4 to v1.34.2, and one that was made so.
fn shape(planes: u32, manager: &str, workers: u32, upgraded: bool) -> String {
    let from = if upgraded { "upgraded_from = \"v1.33.4\"\n" } else { "" };
    format!(
        "version = \"v1.34.2\"\n{from}control_plane = {planes}\npackages = \"{manager}\"\n\
         [[pool]]\nname = \"w\"\ncount = {workers}\npackages = \"{manager}\"\n"
    )
}

fn kup() -> Kup {
    Kup::new()
        .with("one.toml", shape(1, "apt", 2, true))
        .with("three.toml", shape(3, "dnf", 2, true))
        .with("five.toml", shape(5, "apt", 1, true))
        .with("new.toml", shape(3, "apt", 1, false))
}

/// Returns what was done, as `action on node`, in its order.
fn done(ran: &Ran) -> Vec<String> {
    let all = ran.json();
    let done = all.iter().filter(|e| e["type"] == "step_done" && e["changed"] == true);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    done.map(|e| format!("{} on {}", text(&e["action"]), text(&e["node"]))).collect()
}

fn count(all: &[String], verb: &str) -> usize {
    all.iter().filter(|one| one.starts_with(&format!("{verb} on "))).count()
}

#[track_caller]
fn at(all: &[String], wanted: &str) -> usize {
    all.iter().position(|one| one == wanted).unwrap_or_else(|| panic!("{wanted} is not in {all:#?}"))
}

#[test]
fn workers_go_back_drained_with_the_configuration_they_had_and_the_control_plane_stays() {
    for (file, workers) in [("one.toml", 2), ("three.toml", 2), ("five.toml", 1)] {
        let ran = kup()
            .run(&format!("run std/rollback-worker --sim {file} --yes --json --set to=v1.33.4"))
            .exits(0);
        let all = done(&ran);
        assert!(all.iter().all(|one| one.contains(" on w")), "{file}: {all:?}");
        for verb in ["drain", "install", "restore kubelet configuration", "restart kubelet", "uncordon"] {
            assert_eq!(count(&all, verb), workers, "{file}: {verb}");
        }
        assert!(
            at(&all, "restore kubelet configuration on w1") < at(&all, "restart kubelet on w1"),
            "{file}"
        );
    }
    let ran = kup().run("run std/rollback-worker --sim three.toml --yes --json --set to=v1.34.2").exits(0);
    assert_eq!(done(&ran), [""; 0], "a kubelet that is no newer is left");
}

#[test]
fn workers_go_back_no_further_than_the_skew_policy_allows_and_never_up() {
    let kup = kup();
    kup.run("plan std/rollback-worker --sim one.toml --set to=v1.30.4")
        .exits(4)
        .says("too old for the apiservers");
    kup.run("plan std/rollback-worker --sim one.toml --set to=v1.34.3")
        .exits(4)
        .says("newer than the oldest apiserver");
    // An installation goes down only where it is said.
    let down = "use std/kubeadm\nplaybook \"p\"\nstage s { each node in workers { drain\n install kubelet version=v1.33.4 } }\n";
    let ran = kup.with("down.kup", down).run("run down.kup --sim one.toml --yes");
    assert_ne!(ran.code, 0);
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains("down=allow"), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn a_worker_that_went_back_goes_forward_again_with_kup_rollback_and_a_lost_connection_does_no_harm() {
    let ran = kup()
        .run("run std/rollback-worker --sim three.toml --fault F40@w2 --yes --json --set to=v1.33.4")
        .exits(0);
    assert_eq!(count(&done(&ran), "restart kubelet"), 2);
    let text = kup().run("doc std/rollback-worker").stdout;
    let text = text.replace(
        "stage validate { wait healthy cluster }",
        "stage validate { read command \"false\" on=local { retry 0 } }",
    );
    let kup = kup().with("mine.kup", text);
    kup.run("run mine.kup --sim three.toml --yes --json --set to=v1.33.4").exits(3);
    let ran = kup.run("rollback --yes --json").exits(0);
    let undone = |action: &str| {
        ran.json().iter().filter(|e| e["type"] == "undo_done" && e["action"] == action).count()
    };
    assert_eq!((undone("install"), undone("restore kubelet configuration")), (2, 2));
}

fn the_run(kup: &Kup) -> String {
    let run = std::fs::read_dir(kup.state().join("runs")).unwrap().next().unwrap().unwrap();
    run.file_name().into_string().unwrap()
}

const BACK: &str = "run std/rollback-control-plane --yes --json --set to=v1.33.4";

#[test]
fn a_control_plane_goes_back_by_one_minor_behind_its_kubelets_once_somebody_says_yes() {
    for (file, planes, workers) in [("one.toml", 1, 2), ("three.toml", 3, 2), ("five.toml", 5, 1)] {
        let kup = kup();
        let first = kup.run(&format!("{BACK} --sim {file}")).exits(3);
        assert_eq!(done(&first), [""; 0], "{file}: nothing before somebody says yes");
        let ran = kup.run(&format!("approve {} --json", the_run(&kup))).exits(0);
        let all = done(&ran);
        assert_eq!(count(&all, "restart kubelet"), planes + workers, "{file}");
        assert_eq!(count(&all, "restore static pods"), planes, "{file}");
        assert_eq!(count(&all, "etcd snapshot"), 1, "{file}");
        let last = all.iter().rposition(|one| one.starts_with("restart kubelet on ")).unwrap();
        assert!(last < at(&all, "set kube-proxy version on "), "{file}: kubelets first");
        assert!(at(&all, "set kube-proxy version on ") < at(&all, "restore static pods on cp1"), "{file}");
        assert!(
            at(&all, "set cluster version on ") > at(&all, &format!("restore static pods on cp{planes}")),
            "{file}"
        );
        // kubelet and kubectl, and then kubeadm, so that a newer patch of the older minor can be brought.
        assert_eq!(count(&all, "install"), 2 * (planes + workers), "{file}");
        assert!(ran.stdout.contains("etcd of cp1 stays as it is"), "{file}");
    }
}

#[test]
fn where_nothing_leads_back_it_stops_before_anything_is_done() {
    let kup = kup();
    kup.run("plan std/rollback-control-plane --sim new.toml --set to=v1.33.4")
        .exits(4)
        .says("has no manifests of v1.33.4")
        .says("no way back for this node");
    kup.run("plan std/rollback-control-plane --sim three.toml --set to=v1.32.4")
        .exits(4)
        .says("more than one minor above");
    kup.run("plan std/rollback-control-plane --sim three.toml --set to=v1.35.0")
        .exits(4)
        .says("no way back: `kup run std/kubeadm-minor`");
}

#[test]
fn half_way_back_can_be_taken_forward_again() {
    let kup = kup();
    kup.run(&format!("{BACK} --sim three.toml --fault F40@cp2")).exits(3);
    kup.run(&format!("approve {} --json", the_run(&kup))).exits(0);
    let text = kup.run("doc std/rollback-control-plane").stdout;
    let text = text.replace(
        "stage validate { validate cluster to=to }",
        "stage validate { read command \"false\" on=local { retry 0 } }",
    );
    let kup = self::kup().with("mine.kup", text);
    kup.run("run mine.kup --yes --json --set to=v1.33.4 --sim three.toml").exits(3);
    kup.run(&format!("approve {} --json", the_run(&kup))).exits(3);
    let ran = kup.run("rollback --yes --json").exits(0);
    let undone = |action: &str| {
        ran.json().iter().filter(|e| e["type"] == "undo_done" && e["action"] == action).count()
    };
    assert_eq!(
        (undone("restore static pods"), undone("set cluster version"), undone("set kube-proxy version")),
        (3, 1, 1)
    );
}
