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
}
