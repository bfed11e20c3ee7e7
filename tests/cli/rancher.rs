//! The playbooks for k3s and RKE2 over several shapes of clusters and with faults: what they do, that a second run
//! finds nothing to do, and what taking the agents back leaves.

use crate::support::Kup;

/// One server with apt, three and five with dnf; agents a minor behind.
fn shape(version: &str, agents: &str, servers: u32, manager: &str) -> String {
    format!(
        "version = \"{version}\"\ncontrol_plane = {servers}\npackages = \"{manager}\"\n\
         [[pool]]\nname = \"w\"\ncount = 3\npackages = \"{manager}\"\nversion = \"{agents}\"\n"
    )
}

#[test]
fn servers_go_one_at_a_time_and_agents_follow_in_every_shape() {
    for (name, vendor) in [("k3s", "+k3s1"), ("rke2", "+rke2r1")] {
        for (servers, manager) in [(1, "apt"), (3, "dnf"), (5, "dnf")] {
            let shape = shape(&format!("v1.33.4{vendor}"), &format!("v1.32.4{vendor}"), servers, manager);
            let kup = Kup::new().with("shape.toml", &shape);
            let line = format!("run std/{name} --sim shape.toml --yes --json --set target=v1.34.2{vendor}");
            let ran = kup.run(&line).exits(0);
            let restarts: Vec<String> = ran
                .json()
                .iter()
                .filter(|e| e["type"] == "step_done" && e["action"] == format!("{name} restart"))
                .map(|e| e["node"].as_str().unwrap_or_default().to_string())
                .collect();
            let wanted: Vec<String> =
                (1..=servers).map(|i| format!("cp{i}")).chain((1..=3).map(|i| format!("w{i}"))).collect();
            assert_eq!(restarts, wanted, "{name}, {servers} servers");
        }
    }
}

#[test]
fn agents_are_taken_back_to_the_binary_that_was_kept() {
    let shape = shape("v1.34.2+k3s1", "v1.33.4+k3s1", 1, "dnf");
    // `kup doc std/k3s` shows the module of that name.
    let text = std::fs::read_to_string(crate::support::repository().join("playbooks/k3s.kup")).unwrap();
    let text = text.replace("{ pause ", "{ rollback } # ");
    let kup = Kup::new().with("shape.toml", &shape).with("back.kup", text);
    let line = "run back.kup --sim shape.toml --fault F23@w2 --yes --json --set target=v1.34.2+k3s1";
    let ran = kup.run(line).exits(5);
    let undone =
        ran.json().iter().filter(|e| e["type"] == "undo_done" && e["action"] == "k3s install").count();
    assert_eq!(undone, 2, "the one that failed and the canary before it");
}

#[test]
fn a_datastore_that_kup_cannot_save_needs_a_word() {
    let shape = format!(
        "{}\n",
        shape("v1.33.4+k3s1", "v1.33.4+k3s1", 3, "apt").replacen(
            "packages",
            "etcd = { hosts = 3 }\npackages",
            1
        )
    );
    let kup = Kup::new().with("shape.toml", &shape);
    let line = "run std/k3s --sim shape.toml --yes --set target=v1.34.2+k3s1";
    kup.run(line).exits(4).says("kup cannot save its datastore").says("unsaved=allow");
    kup.run(&format!("{line} --set unsaved=allow")).exits(0);
}
