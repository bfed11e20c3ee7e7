//! Clusters whose etcd runs on hosts of its own, with apt here and dnf there: the main job over them, and a
//! playbook of one's own that takes etcd through first, as somebody writes it who has the reference and
//! `kup doc`.

use serde_json::Value;

use crate::support::{Kup, Ran, snapshot};

/// Three hosts of etcd with dnf, control planes with apt, workers of both kinds.
fn shape(planes: u32, hosts: u32) -> String {
    format!(
        "version = \"v1.33.4\"\ncontrol_plane = {planes}\netcd = {{ hosts = {hosts}, packages = \"dnf\" }}\n\
         [[pool]]\nname = \"a\"\ncount = 2\n[[pool]]\nname = \"d\"\ncount = 2\npackages = \"dnf\"\n"
    )
}

/// Returns what was done, as `action` or `action on node`, in its order.
fn done(ran: &Ran) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let all = ran.json();
    let done = all.iter().filter(|e| e["type"] == "step_done" && e["changed"] == true);
    done.map(|e| match e["node"].as_str() {
        None | Some("") => text(&e["action"]),
        Some(node) => format!("{} on {node}", text(&e["action"])),
    })
    .collect()
}

fn position(all: &[String], wanted: &str) -> usize {
    all.iter().position(|one| one == wanted).unwrap_or_else(|| panic!("{wanted} is not in {all:#?}"))
}

#[test]
fn the_main_job_saves_an_external_etcd_on_its_host_and_leaves_it_as_it_is() {
    for (planes, hosts) in [(1, 1), (3, 3), (5, 5)] {
        let kup = Kup::new().with("s.toml", shape(planes, hosts));
        let run = "run std/kubeadm-minor --sim s.toml --yes --json --set target=v1.34.2";
        let ran = kup.run(run).exits(0);
        let all = done(&ran);
        let save = position(&all, "etcd snapshot on e1");
        assert!(save < position(&all, "kubeadm upgrade apply on cp1"), "{all:?}");
        let elsewhere = |one: &&String| one.contains(" on e") && *one != "etcd snapshot on e1";
        assert_eq!(all.iter().filter(elsewhere).collect::<Vec<_>>(), Vec::<&String>::new());
        assert!(position(&all, "restart kubelet on d2") > position(&all, "restart kubelet on cp1"));
        assert!(ran.stdout.contains("well, external"), "{}", ran.stdout);
        assert!(!ran.stdout.contains("etcd goes from"), "kubeadm does not take an external etcd along");
    }
    let shape = shape(3, 3).replace("v1.33.4", "v1.34.2");
    let kup = Kup::new().with("s.toml", shape);
    let ran = kup.run("run std/kubeadm-minor --sim s.toml --yes --json --set target=v1.34.2").exits(0);
    assert_eq!(done(&ran), Vec::<String>::new(), "a second run changes nothing");
}

#[test]
fn a_member_that_is_out_holds_the_control_plane() {
    let wait = "    wait healthy control_plane { timeout 10m }  # also after";
    let stop = "    if node == first(control_plane) { run command \"systemctl stop etcd\" on=first(etcd) }\n";
    let kup = Kup::new().with("s.toml", shape(3, 3));
    let book = kup.run("doc std/kubeadm-minor").stdout.replacen(wait, &format!("{stop}{wait}"), 1);
    let kup = kup.with("up.kup", book);
    let ran = kup.run("run up.kup --sim s.toml --json --yes --set target=v1.34.2").exits(3);
    assert!(ran.stdout.contains("the etcd of e1 does not answer well"), "{}", ran.stdout);
    assert!(!done(&ran).iter().any(|one| one.starts_with("kubeadm upgrade")), "no apiserver was touched");
}

/// As a user wrote it: members first and one at a time, each by its own package manager.
const OURS: &str = r#"use std/preflight, std/etcd, std/kubeadm, std/validate

playbook "Our cluster with its etcd beside it"

param target: version
param etcd_version: string = "3.5.24"

stage preflight {
  check upgrade to=target
}

stage save { etcd snapshot into="./snapshots" }

stage members {
  each node in etcd {
    wait healthy etcd
    if node.package_manager == "dnf" {
      run command "dnf -y upgrade etcd-${etcd_version}" unless="rpm -q etcd-${etcd_version}" {
        undo { run command "dnf -y downgrade etcd" }
      }
    } else {
      run command "apt-get -y install etcd-server=${etcd_version}-1" unless="dpkg -s etcd-server" {
        undo { run command "apt-get -y install --allow-downgrades etcd-server" }
      }
    }
    run command "systemctl restart etcd" { allow undo-or-say-so "a member is started again" }
    wait healthy etcd
  }
}

stage control_plane { upgrade control planes to=target }

stage workers { upgrade workers to=target batch=[1, 50%] }

stage validate { validate cluster to=target }

on failure { pause "look at the failed step, then: kup resume" }
"#;

#[test]
fn ones_own_playbook_takes_members_one_at_a_time_before_the_control_plane() {
    let kup = Kup::new().with("ours.kup", OURS).with("s.toml", shape(3, 3));
    kup.run("check ours.kup").exits(0);
    let ran = kup.run("run ours.kup --sim s.toml --yes --json --set target=v1.34.2").exits(0);
    let all = done(&ran);
    let members: Vec<&str> = all.iter().filter_map(|one| one.strip_prefix("run command on ")).collect();
    assert_eq!(members, ["e1", "e1", "e2", "e2", "e3", "e3"]);
    assert!(position(&all, "etcd snapshot on e1") < position(&all, "run command on e1"));
    assert!(position(&all, "run command on e3") < position(&all, "kubeadm upgrade apply on cp1"));
    let with_apt = all.iter().filter(|one| one.starts_with("package repository on a")).count();
    let with_dnf = all.iter().filter(|one| one.starts_with("package repository on d")).count();
    assert_eq!((with_apt, with_dnf), (2, 2));
    // The plan shows the host that the snapshot is saved on, and no work of Kubernetes there.
    let plan = kup.run("plan ours.kup --sim s.toml --set target=v1.34.2").exits(0);
    plan.prints("e1            etcd").prints("+ run command \"dnf -y upgrade etcd-3.5.24\"");
}

#[test]
fn sets_and_facts_know_hosts_of_etcd_from_nodes() {
    let book = r#"playbook "Sets"
stage s {
  run command "echo nodes ${count(nodes)} workers ${count(workers)} etcd ${count(etcd)} ${first(etcd)}" on=local
  each node in etcd { run command "echo ${node.role} ${node.package_manager} ${node.stacked} ${node.worker}" }
}
"#;
    let kup = Kup::new().with("sets.kup", book).with("s.toml", shape(3, 1));
    let plan = kup.run("plan sets.kup --sim s.toml").exits(0);
    plan.prints("echo nodes 7 workers 4 etcd 1 e1").prints("echo etcd dnf false false");
    kup.run("plan sets.kup --sim s.toml --fault F41@e2").exits(2).says("`e1`");
}

const RESTORE: &str = "run std/etcd-restore --json --yes --set from=s.db";

/// Says yes to what a run asks, again and again, as often as it asks.
fn approved(kup: &Kup, first: Ran) -> Vec<Ran> {
    let mut all = vec![first];
    while all.last().is_some_and(|ran| ran.code == 3) && all.len() < 8 {
        all.push(kup.run(&format!("approve {} --json", the_run(kup))));
    }
    all
}

fn the_run(kup: &Kup) -> String {
    let run = std::fs::read_dir(kup.state().join("runs")).unwrap().next().unwrap().unwrap();
    run.file_name().into_string().unwrap()
}

#[test]
fn a_stacked_etcd_is_restored_on_every_member_with_a_yes_before_each_step_that_takes_away() {
    for shape in ["1+1@v1.33.4", "3+2@v1.33.4", "5+1@v1.34.2"] {
        let kup = Kup::new().with("s.db", snapshot());
        let first = kup.run(&format!("{RESTORE} --sim {shape}")).exits(3);
        assert_eq!(done(&first), Vec::<String>::new(), "{shape}: nothing is done before somebody says yes");
        let rans = approved(&kup, first);
        assert_eq!(rans.len(), 4, "{shape}: three questions");
        let last = rans.last().unwrap();
        assert_eq!(last.code, 0, "{shape}: {}{}", last.stdout, last.stderr);
        let all: Vec<String> = rans.iter().flat_map(done).collect();
        let planes = shape[..1].parse::<usize>().unwrap();
        let of = |verb: &str| all.iter().filter(|one| one.starts_with(verb)).count();
        assert_eq!(
            (of("stop static pods"), of("etcd restore"), of("start static pods")),
            (planes, planes, 3 * planes)
        );
        let last_stop = all.iter().rposition(|one| one.starts_with("stop static pods")).unwrap();
        assert!(last_stop < position(&all, "etcd restore on cp1"), "{all:?}");
        assert!(last.stdout.contains("cluster healthy"), "{}", last.stdout);
    }
}

#[test]
fn a_restore_goes_on_after_a_lost_connection_and_can_be_taken_back() {
    let kup = Kup::new().with("s.db", snapshot());
    let first = kup.run(&format!("{RESTORE} --sim 3+1@v1.33.4 --fault F40@cp2")).exits(3);
    let rans = approved(&kup, first);
    assert_eq!(
        rans.last().unwrap().code,
        0,
        "{}{}",
        rans.last().unwrap().stdout,
        rans.last().unwrap().stderr
    );
    // Before the last yes the old data can still be had back.
    let kup = Kup::new().with("s.db", snapshot());
    kup.run(&format!("{RESTORE} --sim 3+1@v1.33.4")).exits(3);
    let approve = format!("approve {} --json", the_run(&kup));
    kup.run(&approve).exits(3);
    let second = kup.run(&approve).exits(3);
    assert!(done(&second).iter().any(|one| one == "etcd restore on cp3"), "{:?}", done(&second));
    kup.run("rollback --yes").exits(0).says(" taken back in ");
    kup.run("status").exits(0).prints("state: compensated");
}

#[test]
fn a_damaged_snapshot_takes_nothing_away() {
    let kup = Kup::new().with("s.db", snapshot()).with("s.db.sha256", format!("{}  s.db\n", "0".repeat(64)));
    let plan = kup.run("plan std/etcd-restore --sim --set from=s.db");
    assert!(format!("{}{}", plan.stdout, plan.stderr).contains("is not what was saved"), "{plan:?}");
    kup.run("plan std/etcd-restore --sim --set from=nowhere.db").says("there is no snapshot");
}
