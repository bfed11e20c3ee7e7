//! Wrong targets and inputs on a simulated cluster of v1.33.4: each is refused before anything is
//! begun, with the reason and what to do.

use crate::support::Kup;

fn refused(target: &str, code: i32, piece: &str) {
    let kup = Kup::new().with_main_job();
    for verb in ["plan", "run --yes"] {
        let ran = kup.run(&format!("{verb} up.kup --sim --set target={target}"));
        ran.exits(code).says(piece);
        assert!(!kup.state().join("runs").exists(), "a refused run leaves no folder");
    }
}

#[test]
fn two_minors_up_is_refused() {
    refused("v1.35.0", 4, "v1.33.4 to v1.35.0 skips v1.34");
}

#[test]
fn down_is_refused() {
    refused("v1.32.9", 4, "v1.32.9");
}

#[test]
fn a_patch_that_does_not_exist_is_refused() {
    refused("v1.34.99", 4, "v1.34.99");
}

#[test]
fn what_is_not_a_version_is_refused() {
    refused("newest", 2, "expected a version, found `newest`");
    refused("1.34", 2, "`1.34`");
}

#[test]
fn a_release_candidate_is_refused_unless_it_is_allowed() {
    refused("v1.34.0-rc.1", 4, "candidate");
    // The community repositories have no packages of candidates, so kubeadm's road ends there.
    let candidate = "--set target=v1.34.0-rc.1 --set candidates=allow";
    let ran = Kup::new().with_main_job().run(&format!("run up.kup --sim --yes {candidate}")).exits(4);
    assert!(!ran.says("no packages of v1.34.0-rc.1").stderr.contains("pre-release"));
}

#[test]
fn inputs_must_be_known_and_complete() {
    let kup = Kup::new().with_main_job();
    kup.run("plan up.kup --sim").exits(2).says("`target`");
    kup.run("plan up.kup --sim --set target=v1.34.2 --set tarket=v1.34.2").exits(2).says("did you mean");
    kup.run("plan up.kup --sim --set target=v1.34.2 --set batch=lots").exits(2).says("`lots`");
    kup.run("plan up.kup --sim --set target").exits(2).says("write `--set target=VALUE`");
    kup.run("plan up.kup --sim --set target=v1.34.2 --set target=v1.34.3").exits(2).says("set twice");
}

#[test]
fn shapes_and_faults_must_be_ones() {
    let kup = Kup::new().with_main_job().with("bad.toml", "control_plane = \"many\"\n");
    kup.run("plan up.kup --sim many --set target=v1.34.2").exits(2).says("3+5@v1.33.4");
    kup.run("plan up.kup --sim bad.toml --set target=v1.34.2").exits(2).says("`bad.toml`");
    kup.run("plan up.kup --sim 3+5@v1.33.4 --fault F99@w1 --set target=v1.34.2").exits(2).says("F99");
    let ran = kup.run("plan up.kup --sim --fault F26@w9 --set target=v1.34.2").exits(2);
    ran.says("the cluster has no node `w9`").says("`cp1` to `cp3`, `w1` to `w5`");
    kup.run("plan up.kup --sim 3+99999@v1.33.4 --set target=v1.34.2").exits(2).says("at most 5000");
    kup.run("plan up.kup --sim --seed dice --set target=v1.34.2").exits(2).says("--seed");
}

#[test]
fn a_hosts_file_that_is_none_says_where_and_how_one_looks() {
    for (text, piece) in [
        ("", "is empty"),
        ("name = ", "line 1"),
        ("[host]\nname = \"a\"\n", "line 1"),
        ("[[host]]\nname = \"a\"\n[[host]]\nname = \"a\"\n", "host `a` stands twice"),
        ("[[host]]\nname = \"a\"\nroles = [\"master\"]\n", "`control-plane`, `etcd`, `worker`"),
        ("[[host]]\nname = \"a\\u001b[31m\"\n", "cannot be the name"),
    ] {
        let kup = Kup::new().with_main_job().with("hosts.toml", text);
        let ran = kup.run("run up.kup --yes --set target=v1.34.2 --hosts hosts.toml").exits(2);
        assert!(!ran.stderr.contains('\x1b'));
        ran.says("`hosts.toml`").says(piece);
        assert!(!kup.state().exists(), "nothing was begun");
    }
    let kup = Kup::new().with_main_job();
    kup.run("plan up.kup --set target=v1.34.2 --hosts none.toml")
        .exits(2)
        .says("there is no file `none.toml`");
}

#[test]
fn a_playbook_may_lie_anywhere() {
    let text = std::fs::read(crate::support::repository().join("playbooks/kubeadm-minor.kup")).unwrap();
    let kup = Kup::new().with("a folder/my up.kup", text);
    let ran = kup.run_args(&["plan", "a folder/my up.kup", "--sim", "--set", "target=v1.34.2"]).exits(0);
    ran.says("kup run 'a folder/my up.kup' --set target=v1.34.2 --sim");
    let absolute = kup.path("a folder/my up.kup").display().to_string();
    let set = ["--set", "target=v1.34.2", "--set", "snapshots=./mine"];
    let plan = kup.run_args(&[&["plan", &absolute, "--sim"], &set[..]].concat()).exits(0);
    let mine = kup.path("mine").display().to_string();
    plan.prints(&format!("into={mine}"));
}

#[test]
fn a_short_piece_of_a_hash_names_no_plan() {
    let kup = Kup::new().with_main_job();
    let plan = kup.run("plan up.kup --sim --json --set target=v1.34.2").exits(0).json();
    let piece = &plan[0]["hash"].as_str().unwrap()[..4];
    let ran = kup.run(&format!("run up.kup --yes --sim --set target=v1.34.2 --plan {piece}")).exits(4);
    ran.says("is too short to mean one plan");
}
