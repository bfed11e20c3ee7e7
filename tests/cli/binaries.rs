//! The playbook for self-built clusters over several shapes and with faults: what it does in which order, that a second run
//! finds nothing to do, and what taking it back leaves.

use crate::support::{Kup, Ran, repository};

/// A self-built cluster; etcd on the control planes, unless it has hosts.
fn shape(version: &str, workers: &str, servers: u32, manager: &str, etcd: &str) -> String {
    format!(
        "version = \"{version}\"\ncontrol_plane = {servers}\ncomponents = \"systemd\"\npackages = \"{manager}\"\n{etcd}\n\
         [[pool]]\nname = \"w\"\ncount = 2\npackages = \"{manager}\"\nversion = \"{workers}\"\n"
    )
}

const LINE: &str = "run std/binaries --sim shape.toml --yes --json --set target=v1.34.2";

fn kup(shape: &str) -> Kup {
    Kup::new().with("shape.toml", shape)
}

/// The components that were restarted, with their nodes, in this order.
fn restarts(ran: &Ran) -> Vec<String> {
    ran.json()
        .iter()
        .filter(|e| {
            e["type"] == "step_done"
                && matches!(e["action"].as_str(), Some("restart component" | "restart kubelet"))
        })
        .filter(|e| e["changed"] == true)
        .map(|e| {
            let key = e["step"].as_str().unwrap_or_default();
            let what = key.rsplit('/').next().unwrap_or_default();
            format!("{} {}", e["node"].as_str().unwrap_or_default(), what)
        })
        .collect()
}

#[test]
fn apiservers_go_first_then_controllers_then_kubelets_in_every_shape() {
    for (servers, manager, etcd) in [
        (1, "apt", "etcd = { hosts = 1 }"),
        (3, "dnf", ""),
        (5, "apt", "etcd = { hosts = 3, packages = \"dnf\" }"),
    ] {
        let kup = kup(&shape("v1.33.4", "v1.32.4", servers, manager, etcd));
        let ran = kup.run(LINE).exits(0);
        let events = ran.json();
        let place = |action: &str, node: &str, nth: usize| {
            let mut found = events
                .iter()
                .enumerate()
                .filter(|(_, e)| e["type"] == "step_done" && e["action"] == action && e["node"] == node);
            found.nth(nth).map(|(at, _)| at).unwrap_or_else(|| panic!("{servers} {action} {node} {nth}"))
        };
        let last = format!("cp{servers}");
        // Of a control plane: the apiserver, then its controllers, then kube-proxy.
        assert!(place("restart component", &last, 0) < place("restart component", "cp1", 1), "{servers}");
        assert!(place("restart component", &last, 2) < place("restart kubelet", "cp1", 0), "{servers}");
        assert!(place("restart kubelet", &last, 0) < place("drain", "w1", 0), "{servers}");
        assert!(place("drain", "w1", 0) < place("install binaries", "w1", 0), "{servers}");
        assert!(place("restart component", "w1", 0) < place("uncordon", "w1", 0), "{servers}");
        assert_eq!(restarts(&ran).len() as u32, servers * 5 + 2 * 2);
    }
}

#[test]
fn a_second_run_changes_nothing() {
    kup(&shape("v1.34.2", "v1.34.2", 3, "apt", ""))
        .run(&LINE.replace(" --json", ""))
        .exits(0)
        .says("nothing had to be changed");
}

#[test]
fn an_apiserver_that_does_not_know_a_flag_holds_the_run_before_the_next_one() {
    let kup = kup(&shape("v1.33.4", "v1.33.4", 3, "apt", ""));
    let ran = kup.run(&format!("{LINE} --fault F13@cp2")).exits(3);
    assert!(
        ran.stdout.contains("unknown flag")
            && ran.stdout.contains("a component does not know one of its flags")
    );
    assert_eq!(restarts(&ran).len(), 1, "{:?}", restarts(&ran));
}

#[test]
fn what_failed_is_taken_back_to_the_binaries_that_were_kept() {
    // `kup doc std/binaries` shows the module of that name.
    let text = std::fs::read_to_string(repository().join("playbooks/binaries.kup")).unwrap();
    let text = text.replace("{ pause ", "{ rollback } # ");
    let kup = kup(&shape("v1.33.4", "v1.33.4", 3, "dnf", "")).with("back.kup", text);
    let back = |fault: &str| {
        let ran = kup.run(&format!("{} --fault {fault}", LINE.replace("std/binaries", "back.kup"))).exits(5);
        ran.json().iter().filter(|e| e["type"] == "undo_done" && e["action"] == "install binaries").count()
    };
    assert_eq!(back("F13@cp2"), 2, "of two apiservers");
    // All apiservers, all controllers, the kubelets of the control planes, and the one that failed.
    assert_eq!(back("F23@w1"), 3 + 3 + 3 + 1);
}

#[test]
fn a_download_that_breaks_off_is_followed_and_a_release_that_is_not_there_is_told_first() {
    let kup = kup(&shape("v1.33.4", "v1.33.4", 1, "apt", "etcd = { hosts = 3 }"));
    kup.run(&format!("{LINE} --set hash=sha512 --fault F40@w1")).exits(0);
    kup.run(&format!("{} --fault F03@w2", LINE.replace(" --json", ""))).exits(4).says("w2 does not find");
}

#[test]
fn nodes_of_kubeadm_are_not_upgraded_so() {
    kup("version = \"v1.33.4\"\ncontrol_plane = 1\n")
        .run(&LINE.replace(" --json", ""))
        .exits(4)
        .says("has no unit kube-apiserver that runs kube-apiserver");
}
