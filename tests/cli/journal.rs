//! Journals that are damaged, belong to another run or cannot be written, and locks that are held.

use std::fs;
use std::path::PathBuf;

use crate::support::Kup;

/// Makes an environment with one finished run, and returns the run's folder.
fn finished() -> (Kup, PathBuf, String) {
    let kup = Kup::new().with_main_job();
    kup.run("run up.kup --yes --sim 1+1@v1.33.4 --set target=v1.34.2").exits(0);
    let folder = fs::read_dir(kup.state().join("runs")).unwrap().next().unwrap().unwrap();
    let run = folder.file_name().into_string().unwrap();
    (kup, folder.path(), run)
}

#[test]
fn a_journal_that_was_changed_in_the_middle_is_refused_with_the_place() {
    let (kup, folder, run) = finished();
    let path = folder.join("journal.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("\"attempt\":1", "\"attempt\":2", 1)).unwrap();
    for verb in ["status", "show", "resume", "rollback"] {
        kup.run(&format!("{verb} {run}")).exits(8).says("damaged at byte").says(&run);
    }
    // The list still names it.
    kup.run("runs").exits(0).prints(&run).prints("unreadable");
}

#[test]
fn a_journal_of_another_run_is_refused() {
    let (kup, folder, run) = finished();
    let (_other, foreign, _) = {
        let kup = Kup::new().with_main_job();
        kup.run("run up.kup --yes --sim 1+2@v1.33.4 --set target=v1.34.2").exits(0);
        let folder = fs::read_dir(kup.state().join("runs")).unwrap().next().unwrap().unwrap().path();
        (kup, folder, ())
    };
    fs::copy(foreign.join("journal.jsonl"), folder.join("journal.jsonl")).unwrap();
    for verb in ["status", "show", "resume"] {
        kup.run(&format!("{verb} {run}")).exits(8).says("a journal of another run");
    }
}

#[test]
fn a_torn_tail_does_not_count_and_is_told() {
    let (kup, folder, run) = finished();
    let path = folder.join("journal.jsonl");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 20]).unwrap();
    kup.run(&format!("show {run}")).exits(0).says("do not count");
    kup.run(&format!("status {run}")).exits(0).prints("interrupted");
}

#[test]
fn an_unknown_run_is_a_mistake_of_the_command_line() {
    let kup = Kup::new();
    kup.run("status").exits(2).says("no runs yet");
    kup.run("show nope").exits(2).says("no run `nope`");
    kup.run("resume").exits(2);
}

#[test]
fn a_state_folder_that_cannot_be_written_stops_the_run_before_it_begins() {
    let kup = Kup::new().with_main_job().with("file", "not a folder");
    let ran = kup.run("run up.kup --yes --sim --set target=v1.34.2 --state-dir file");
    ran.exits(8).says("`");
    assert!(!kup.path("snapshots").exists(), "nothing was begun");
}

#[test]
fn a_run_that_another_kup_works_on_is_left_alone() {
    let (kup, folder, run) = finished();
    let journal = fs::File::open(folder.join("journal.jsonl")).unwrap();
    journal.lock().unwrap();
    kup.run(&format!("resume {run} --yes")).exits(7).says("another kup works on run").says("kup status");
    kup.run(&format!("rollback {run} --yes")).exits(7).says(&run);
    // Looking is always allowed.
    kup.run(&format!("status {run}")).exits(0).prints("state: done");
}

#[test]
fn an_empty_journal_or_plan_is_told_and_the_list_goes_on() {
    for file in ["journal.jsonl", "plan.json"] {
        let (kup, folder, run) = finished();
        fs::write(folder.join(file), "").unwrap();
        for verb in ["status", "show", "resume", "rollback"] {
            kup.run(&format!("{verb} {run}")).exits(8).says(&run);
        }
        kup.run("runs").exits(0).prints(&run).prints("unreadable");
    }
}
