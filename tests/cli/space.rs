//! A disk without room for the run: what is not recorded is not begun.

use std::fs;
use std::process::Command;

use crate::support::{Kup, Ran};

const RUN: &str = "run up.kup --yes --sim 1+1@v1.33.4 --set target=v1.34.2";

/// Runs kup where no file may grow beyond so many KiB.
fn with_limit(kup: &Kup, kib: u64) -> Ran {
    // Ignored, the signal becomes an error of the write, as a full disk would give.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" {RUN}", kib * 2);
    kup.output(Command::new("sh").args(["-c", &script, env!("CARGO_BIN_EXE_kup")]))
}

#[test]
fn a_plan_that_cannot_be_saved_stops_the_run_before_it_begins() {
    let kup = Kup::new().with_main_job();
    with_limit(&kup, 1).exits(8).says("cannot write `").says("plan.json");
    assert!(!kup.path("snapshots").exists(), "nothing was begun");
}

#[test]
fn a_disk_that_fills_up_ends_the_run_with_what_is_recorded() {
    let kup = Kup::new().with_main_job();
    kup.run(RUN).exits(0);
    let run = fs::read_dir(kup.state().join("runs")).unwrap().next().unwrap().unwrap().path();
    let size = |name: &str| fs::metadata(run.join(name)).unwrap().len();
    let (plan, journal) = (size("plan.json"), size("journal.jsonl"));

    // The journal is filled up by hand to where the plan still fits.
    let kup = Kup::new().with_main_job();
    let limit = plan / 1024 + 4;
    let ran = with_limit(&kup, limit);
    if journal > (limit + 1) * 1024 {
        let ran = ran.exits(6).says("cannot write `").says("kup resume");
        // All that is on disk can be read, and nothing was told that is not there.
        let run = fs::read_dir(kup.state().join("runs")).unwrap().next().unwrap().unwrap();
        let run = run.file_name().into_string().unwrap();
        assert_eq!(kup.run(&format!("show {run}")).exits(0).stdout, ran.stdout);
    }
}
