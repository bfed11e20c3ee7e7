//! `std/node-replace`: a node goes and a fresh one of its name comes, worker or control plane, with its machine or without.

use serde_json::Value;

use crate::support::{Kup, Ran};

const POOL: &str = "version = \"v1.33.4\"\ncontrol_plane = 3\npackages = \"dnf\"\n[[pool]]\nname = \"gpu\"\ncount = 2\ngpu = 4\npackages = \"dnf\"\n\
    labels = { team = \"ml\" }\ntaints = [\"nvidia.com/gpu=present:NoSchedule\"]\n[[pool]]\nname = \"w\"\ncount = 2\n";

/// Returns what was done, as `action on node`, in its order.
fn done(ran: &Ran) -> Vec<String> {
    let all = ran.json();
    let done = all.iter().filter(|e| e["type"] == "step_done" && e["changed"] == true);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    done.map(|e| format!("{} on {}", text(&e["action"]), text(&e["node"]))).collect()
}

fn the_run(kup: &Kup) -> String {
    let run = std::fs::read_dir(kup.state().join("runs")).unwrap().next().unwrap().unwrap();
    run.file_name().into_string().unwrap()
}

/// Replaces a node; somebody says that the machine is ready. Returns both halves of the run.
#[track_caller]
fn replaced(shape: &str, more: &str) -> (Vec<String>, Ran) {
    let kup = Kup::new().with("pool.toml", POOL);
    let first = kup.run(&format!("run std/node-replace --sim {shape} --yes --json {more}")).exits(3);
    let ran = kup.run(&format!("approve {} --json", the_run(&kup)));
    (done(&first), ran)
}

#[test]
fn a_worker_is_drained_reset_deleted_and_joins_again() {
    for shape in ["1+2@v1.33.4", "3+2@v1.34.2", "pool.toml"] {
        let (before, ran) = replaced(shape, "--set old=w2 --set emptydir=delete");
        assert_eq!(before, ["drain on w2", "reset node on w2", "delete node on w2"], "{shape}");
        let ran = ran.exits(0);
        assert_eq!(done(&ran), ["join node on w2"], "{shape}");
        assert!(ran.stdout.contains("cluster healthy"), "{shape}");
        assert!(!ran.stdout.contains("--token"), "{shape}: the token is nobody's business");
    }
}

#[test]
fn a_control_plane_leaves_etcd_before_it_goes_and_joins_by_a_key_of_its_own() {
    for (shape, old) in [("3+1@v1.33.4", "cp2"), ("5+1@v1.34.2", "cp1"), ("pool.toml", "cp3")] {
        let (before, ran) = replaced(shape, &format!("--set old={old}"));
        let wanted =
            ["etcd remove member", "reset node", "delete node"].map(|verb| format!("{verb} on {old}"));
        let tail = &before[before.len() - 3..];
        assert_eq!(tail, wanted, "{shape}: {before:?}");
        assert_eq!(before.iter().any(|one| one.starts_with("etcd move leader")), old == "cp1", "{shape}");
        assert_eq!(done(&ran.exits(0)), [format!("join node on {old}")], "{shape}");
    }
}

#[test]
fn a_node_of_a_pool_has_its_labels_taints_and_gpus_again() {
    let (_, ran) = replaced("pool.toml", "--set old=gpu1");
    let ran = ran.exits(0);
    assert!(ran.stdout.contains("4 GPUs"), "{}", ran.stdout);
}

#[test]
fn a_machine_that_is_gone_is_not_touched_and_a_lost_connection_is_lived_through() {
    let (before, ran) = replaced("3+1@v1.33.4", "--set old=cp2 --set gone=true --fault F40@cp2");
    assert_eq!(before, ["etcd remove member on cp2", "delete node on cp2"]);
    // Here the machine is there all the same, with all that kubeadm put on it.
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(ran.code == 3 && said.contains("was set up by kubeadm before"), "{said}");
    let (before, ran) = replaced("3+2@v1.33.4", "--set old=w1 --fault F40@w1");
    assert_eq!(before.len(), 3, "{before:?}");
    ran.exits(0);
}

#[test]
fn the_only_control_plane_cannot_be_replaced() {
    let external =
        "version = \"v1.33.4\"\ncontrol_plane = 1\netcd = { hosts = 3 }\n[[pool]]\nname = \"w\"\ncount = 1\n";
    let kup = Kup::new().with("external.toml", external);
    for (shape, why) in
        [("1+1@v1.33.4", "the only member cannot go"), ("external.toml", "cp1 is the only control plane")]
    {
        for gone in ["false", "true"] {
            let line =
                format!("run std/node-replace --sim {shape} --yes --json --set old=cp1 --set gone={gone}");
            let ran = kup.run(&line);
            let said = format!("{}{}", ran.stdout, ran.stderr);
            assert!(ran.code != 0 && said.contains(why), "{shape} {gone}: {said}");
            let taken = |one: &String| one.starts_with("reset") || one.starts_with("delete");
            assert!(!done(&ran).iter().any(taken), "{shape} {gone}: {said}");
        }
    }
}
