//! The playbooks for managed clusters over several shapes and with faults: the order of groups, what holds one, what a second run finds,
//! and what the plan says of the way back.

use serde_json::Value;

use crate::support::{Kup, Ran};

/// A provider, what its playbook is given, and the verb for a group of nodes.
const PROVIDERS: [(&str, &str, &str); 3] = [
    ("eks", "--set cluster=sim --set target=v1.34", "eks upgrade node group"),
    (
        "gke",
        "--set cluster=sim --set location=europe-west3 --set target=v1.34.2-gke.1036000",
        "gke upgrade node pool",
    ),
    ("aks", "--set group=rg --set cluster=sim --set target=v1.34.2", "aks upgrade node pool"),
];

fn shape(provider: &str, pools: &[(&str, u32, u32)]) -> String {
    let pool = |(name, count, gpu): &(&str, u32, u32)| {
        format!("[[pool]]\nname = \"{name}\"\ncount = {count}\ngpu = {gpu}\nversion = \"v1.32.4\"\n")
    };
    let head = format!("version = \"v1.33.4\"\ncontrol_plane = 0\nmanaged = \"{provider}\"\n");
    head + &pools.iter().map(pool).collect::<String>()
}

fn done(ran: &Ran, verb: &str) -> Vec<String> {
    let events = ran.json();
    let of = events.iter().filter(|e| e["type"] == "step_done" && e["action"] == verb);
    of.map(|e| e["step"].as_str().unwrap_or_default().to_string()).collect()
}

#[test]
fn groups_go_one_after_the_other_behind_the_control_plane_and_gpus_last() {
    let shapes: [&[(&str, u32, u32)]; 3] =
        [&[("web", 2, 0)], &[("ai", 1, 4), ("web", 2, 0)], &[("ai", 1, 4), ("db", 1, 0), ("web", 3, 0)]];
    for (provider, given, verb) in PROVIDERS {
        for pools in shapes {
            let kup = Kup::new().with("shape.toml", shape(provider, pools));
            let line = format!("run std/{provider} --sim shape.toml --yes --json {given}");
            let ran = kup.run(&line).exits(0);
            let groups = done(&ran, verb);
            assert_eq!(groups.len(), pools.len(), "{provider}: {groups:?}");
            if pools.len() > 1 {
                assert!(groups.last().is_some_and(|last| last.contains("ai")), "{provider}: {groups:?}");
            }
            let events = ran.json();
            let at = |wanted: &dyn Fn(&Value) -> bool| events.iter().position(wanted).expect("it happens");
            let plane = at(&|e| {
                e["type"] == "step_done" && e["action"] == format!("{provider} upgrade control plane")
            });
            let first = at(&|e| e["type"] == "attempt_started" && e["action"] == verb);
            assert!(plane < first, "{provider}: a group began before the control plane was done");
        }
    }
}

/// Without the look at budgets, which would have told before.
fn blind() -> Kup {
    let text = std::fs::read_to_string(crate::support::repository().join("playbooks/eks.kup")).unwrap();
    Kup::new().with("up.kup", text.replace("  check disruption budgets\n", ""))
}

#[test]
fn a_pod_that_no_budget_lets_go_holds_its_group_unless_it_is_ended() {
    let line =
        "run up.kup --sim 0+2@v1.33.4-eks --fault F26@w2 --yes --json --set cluster=sim --set target=v1.34";
    let ran = blind().run(line).exits(3);
    let failed = ran.json().into_iter().find(|e| e["type"] == "step_failed").expect("a step fails");
    assert_eq!(failed["action"], "eks upgrade node group");
    let text = failed["failure"].to_string();
    assert!(text.contains("PodEvictionFailure") && text.contains("force=allow"), "{text}");
    blind().run(&format!("{line} --set force=allow")).exits(0);
}

#[test]
fn the_plan_says_that_there_is_no_way_back() {
    for (provider, given, _) in PROVIDERS {
        let line = format!("plan std/{provider} --sim 0+2@v1.33.4-{provider} {given}");
        let ran = Kup::new().run(&line).exits(0);
        ran.prints("no way back after control_plane/").prints("back");
    }
}

#[test]
fn a_provider_without_its_command_is_told_before_anything_is_done() {
    // The simulated machine has the command of the cluster's own provider only.
    let line =
        "run std/aks --sim 0+2@v1.33.4-eks --yes --set group=rg --set cluster=sim --set target=v1.34.2";
    Kup::new().run(line).exits(4).says("there is no `az` on this machine");
}
