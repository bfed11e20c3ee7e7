//! What is kept of runs: pruned, packed for another machine, unpacked there.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::Kup;

const APP: &str = r#"
use std/validate
playbook "Touch and fail"
stage one { each node in workers { cordon } }
stage two { check versions are=v1.99.0 }
"#;

const GOOD: &str = "playbook \"Look\"\nstage one { each node in workers { cordon } }\n";

fn mode(path: impl AsRef<std::path::Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_run_is_one_file_that_another_machine_can_take_over() {
    let kup = Kup::new().with("app.kup", APP);
    kup.run("run app.kup --yes --sim 1+2@v1.33.4").exits(3);
    let name = kup.run("runs").exits(0).stdout.split_whitespace().next().unwrap().to_string();
    kup.run(&format!("runs pack {name} run.kuprun")).exits(0).says("go on with it on one machine only");
    kup.run(&format!("runs pack {name} run.kuprun")).exits(8).says("run.kuprun");
    assert_eq!(mode(kup.path("run.kuprun")), 0o600);
    kup.run("runs unpack run.kuprun").exits(2).says("is here already");

    let packed = fs::read(kup.path("run.kuprun")).unwrap();
    let other = Kup::new().with("run.kuprun", &packed);
    other.run("runs unpack run.kuprun").exits(0).says(&format!("next: kup takeover {name}"));
    let folder = other.state().join("runs").join(&name);
    assert_eq!(mode(&folder), 0o700);
    for file in ["plan.json", "journal.jsonl", "simulation.jsonl"] {
        assert_eq!(mode(folder.join(file)), 0o600, "{file}");
    }
    other.run("status").exits(0).prints("state: paused");
    other.run_args(&["skip", "check-versions", "--why", "seen"]).exits(0);
    other.run(&format!("takeover {name} --yes")).exits(0);
}

#[test]
fn what_is_no_packed_run_is_refused_and_leaves_nothing() {
    let kup = Kup::new().with("app.kup", APP);
    kup.run("run app.kup --yes --sim 1+1@v1.33.4").exits(3);
    let name = kup.run("runs").exits(0).stdout.split_whitespace().next().unwrap().to_string();
    kup.run(&format!("runs pack {name} good")).exits(0);
    let good = fs::read(kup.path("good")).unwrap();
    let text = String::from_utf8(good.clone()).unwrap();
    let other = Kup::new()
        .with("short", &good[..good.len() - 1])
        .with("changed", text.replacen("Touch and fail", "Touch and file", 1))
        .with("outside", text.replacen(&name, "../../etc", 1))
        .with("stranger", text.replacen("\"plan.json\"", "\"../x.json\"", 1))
        .with("later", text.replacen("\"v\":1", "\"v\":2", 1))
        .with("text", "hello\nworld\n");
    for (file, why) in [
        ("short", "its end is missing"),
        ("changed", "does not match its checksum"),
        ("outside", "the name of its run is none"),
        ("stranger", "it holds `../x.json`"),
        ("later", "it has version 2"),
        ("text", "its first line cannot be read"),
    ] {
        other.run(&format!("runs unpack {file}")).exits(2).says(why);
    }
    other.run("runs").exits(0).says("no runs yet");
}

#[test]
fn prune_removes_the_oldest_runs_that_are_over_and_no_others() {
    let kup = Kup::new().with("app.kup", APP).with("good.kup", GOOD);
    kup.run("run app.kup --yes --sim 1+1@v1.33.4").exits(3);
    for _ in 0..3 {
        kup.run("run good.kup --yes --sim 1+1@v1.33.4").exits(0);
    }
    let runs = |kup: &Kup| kup.run("runs").exits(0).stdout.lines().count();
    assert_eq!(runs(&kup), 4);
    kup.run("runs prune").exits(0).says("0 runs removed");
    let ran = kup.run("runs prune --keep 1").exits(0).says("2 runs removed");
    assert_eq!(ran.stdout.matches("removed 20").count(), 2);
    assert_eq!(runs(&kup), 2);
    kup.run("runs prune --keep 0").exits(0).says("1 run removed");
    kup.run("runs").exits(0).prints("paused");
    let left = fs::read_dir(kup.state().join("runs")).unwrap().count();
    assert_eq!(left, 1, "nothing is left of what was removed");
}
