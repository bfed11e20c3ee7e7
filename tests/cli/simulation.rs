//! Simulated runs outlive the kup that is killed: the cluster is there again for `kup resume`.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::support::terminal::Terminal;
use crate::support::{Kup, binary};

const RUN: &str = "run up.kup --yes --json --sim 1+1@v1.33.4 --set target=v1.34.2";

fn run_folder(kup: &Kup) -> PathBuf {
    fs::read_dir(kup.state().join("runs")).unwrap().next().unwrap().unwrap().path()
}

fn journal(folder: &Path) -> String {
    fs::read_to_string(folder.join("journal.jsonl")).unwrap()
}

/// Leaves the journal as a kup leaves it that is killed after so many records.
fn killed_after(folder: &Path, records: usize) {
    let kept: String = journal(folder).split_inclusive('\n').take(records + 1).collect();
    fs::write(folder.join("journal.jsonl"), kept).unwrap();
}

/// Begins a run, and kills it once it has said something that contains `mark`.
fn signalled(kup: &Kup, line: &str, mark: &str, signal: &str) -> String {
    stopped(kup.begin(line), mark, &[signal])
}

fn stopped(mut child: Child, mark: &str, signals: &[&str]) -> String {
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains(mark) {
        text.clear();
        assert_ne!(said.read_line(&mut text).unwrap(), 0, "kup ended before `{mark}`");
    }
    // It cannot have ended: it has more to say than a pipe holds.
    for signal in signals {
        assert!(Command::new("kill").args([*signal, &child.id().to_string()]).status().unwrap().success());
    }
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    child.wait().unwrap();
    rest
}

#[test]
fn a_simulated_run_goes_on_from_wherever_it_was_killed() {
    let kup = Kup::new().with_main_job();
    kup.run(RUN).exits(0);
    let folder = run_folder(&kup);
    let (whole, kept) = (journal(&folder), fs::read_to_string(folder.join("simulation.jsonl")).unwrap());
    let records = whole.lines().count() - 1;
    let killed_at_first = |killed: usize| {
        fs::write(folder.join("journal.jsonl"), &whole).unwrap();
        fs::write(folder.join("simulation.jsonl"), &kept).unwrap();
        killed_after(&folder, killed);
    };
    for killed in [1, records / 3, records / 2] {
        killed_at_first(killed);
        kup.run("status").exits(0).prints("interrupted").prints("next: kup resume");
        // And once more, while it is being resumed.
        kup.run("resume --yes").exits(0);
        killed_after(&folder, (killed + journal(&folder).lines().count() - 1) / 2);
        let ran = kup.run("resume --yes --json").exits(0);
        assert_eq!(ran.json().last().unwrap()["outcome"], "done", "killed after {killed}");
    }
    // What it had done before is not done again.
    killed_at_first(records - 1);
    let again = kup.run("resume --yes --json").exits(0);
    assert!(!again.stdout.contains("work_began"), "{}", again.stdout);
}

#[test]
fn a_simulated_run_survives_kill_9() {
    let kup = Kup::new().with_main_job();
    signalled(&kup, &RUN.replace("1+1", "3+9"), "kubeadm upgrade apply", "-9");
    kup.run("status").exits(0).prints("interrupted");
    let ran = kup.run("resume --yes --json").exits(0);
    assert_eq!(ran.json()[0]["type"], "run_resumed");
    assert_eq!(ran.json().last().unwrap()["outcome"], "done");
}

#[test]
fn a_simulated_run_goes_on_after_ctrl_c() {
    let kup = Kup::new().with_main_job();
    let rest = signalled(&kup, &RUN.replace("1+1", "3+9"), "kubeadm upgrade apply", "-INT");
    assert!(rest.contains("run_paused"), "{rest}");
    kup.run("status").exits(0).prints("state: paused");
    kup.run("resume --yes").exits(0);
}

#[test]
fn a_run_whose_terminal_hangs_up_begins_nothing_new_and_goes_on_when_it_is_resumed() {
    let kup = Kup::new().with_main_job();
    // Whoever began the tests may be deaf to it.
    let mut hearing = Command::new("env");
    hearing.args(["--default-signal=HUP", &binary()]).args(RUN.replace("1+1", "3+9").split(' '));
    let rest = stopped(kup.speak(&mut hearing), "kubeadm upgrade apply", &["-HUP"]);
    assert!(rest.contains("\"type\":\"stopping\",\"by\":\"the terminal's hang-up\""), "{rest}");
    let status = kup.run("status").exits(0).prints("state: paused");
    status.prints("paused: interrupted by the terminal's hang-up").prints("next: kup resume");
    let ran = kup.run("resume --yes --json").exits(0);
    assert_eq!(ran.json().last().unwrap()["outcome"], "done");
}

#[test]
fn a_run_that_was_told_to_outlive_its_terminal_does() {
    let kup = Kup::new().with_main_job();
    // As `nohup` begins it.
    let script = format!("trap '' HUP; exec \"$0\" {}", RUN.replace("1+1", "3+9"));
    let child = kup.speak(Command::new("sh").args(["-c", &script, &binary()]));
    let rest = stopped(child, "kubeadm upgrade apply", &["-HUP", "-HUP"]);
    assert!(rest.contains("\"outcome\":\"done\"") && !rest.contains("stopping"), "{rest}");
}

#[test]
fn a_terminal_that_hangs_up_is_no_answer_to_what_it_was_asked() {
    let kup = Kup::new().with(
        "app.kup",
        "playbook \"Ask\"\nstage one {\n  approve \"is it well?\"\n  run command \"true\" on=local {\n\
         \x20   allow undo-or-say-so \"it does nothing\"\n  }\n}\n",
    );
    let Some(terminal) = Terminal::open(&kup, (80, 24), "kup run app.kup --yes --sim 1+1@v1.33.4") else {
        return;
    };
    terminal.shows("is it well? [y/N]");
    // The window is closed.
    drop(terminal);
    let since = Instant::now();
    while !kup.run("status").exits(0).stdout.contains("state: paused") {
        assert!(since.elapsed() < Duration::from_secs(60), "{}", kup.run("status").stdout);
        std::thread::sleep(Duration::from_millis(50));
    }
    let journal = journal(&run_folder(&kup));
    assert!(!journal.contains("approval_refused"), "nobody said no:\n{journal}");
    let name = run_folder(&kup).file_name().unwrap().to_str().unwrap().to_string();
    let ran = kup.run_args(&["approve", &name, "--why", "it looks well", "--json"]).exits(0);
    let given = ran.json().into_iter().find(|e| e["type"] == "approval_given").unwrap();
    assert_eq!(given["why"], "it looks well");
}

#[test]
fn a_simulated_run_that_paused_can_be_taken_back() {
    let kup = Kup::new().with(
        "up.kup",
        "use std/validate\nplaybook \"Touch and fail\"\nstage one { each node in workers { cordon } }\n\
         stage two { check versions are=v1.99.0 }\n",
    );
    let ran = kup.run("run up.kup --yes --sim 1+2@v1.33.4");
    assert_eq!(ran.code, 3, "{ran:?}");
    kup.run("status").exits(0).prints("next: kup rollback");
    kup.run("rollback --yes").exits(0).says("taken back");
    kup.run("status").exits(0).prints("state: compensated");
}

#[test]
fn a_simulated_run_is_told_through_its_socket_and_is_brought_back_with_what_it_was_told() {
    let kup = Kup::new().with_main_job();
    let mut child = kup.begin("run up.kup --yes --json --sim 3+9@v1.33.4 --set target=v1.34.2");
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains("\"node\":\"w2\"") {
        text.clear();
        assert_ne!(said.read_line(&mut text).unwrap(), 0, "kup ended too early");
    }
    // It stands still as long as nobody reads: it has more to say than a pipe holds.
    let skip = kup.begin("skip w9/uncordon --why later");
    let rest = std::thread::spawn(move || {
        let mut rest = String::new();
        said.read_to_string(&mut rest).map(|_| rest)
    });
    let skipped = kup.ended(skip);
    let rest = rest.join().unwrap().unwrap();
    child.wait().unwrap();
    assert_eq!(skipped.code, 0, "{skipped:?}");
    assert!(rest.contains("step_waived") && rest.contains("skipped by tester@"), "{rest}");
    // The same cluster, with the same order at the same time.
    let folder = run_folder(&kup);
    let whole = journal(&folder);
    killed_after(&folder, whole.lines().count() - 20);
    kup.run("resume --yes").exits(0);
    kup.run("why w9").exits(0).prints("w9 is done");
}

#[test]
fn a_worker_that_is_taken_back_is_drained_before_its_kubelet_changes() {
    let shape = "version = \"v1.34.2\"\ncontrol_plane = 1\n[[pool]]\nname = \"w\"\ncount = 3\nversion = \"v1.33.4\"\n";
    let kup = Kup::new().with("shape.toml", shape);
    kup.run("run std/workers-only --yes --sim shape.toml").exits(0);
    let ran = kup.run("rollback --yes --json").exits(0);
    let events = ran.json();
    let of_w1 = |kind: &str, action: &str| {
        let is = |e: &serde_json::Value| e["type"] == kind && e["node"] == "w1" && e["action"] == action;
        events.iter().position(is).unwrap_or_else(|| panic!("no {kind} of {action}"))
    };
    // The uncordon is taken back by a drain, and the drain by an uncordon.
    let drained = of_w1("undo_done", "uncordon");
    assert!(
        events[drained]["at"].as_u64() > events[of_w1("undo_started", "uncordon")]["at"].as_u64(),
        "pods take time"
    );
    assert!(drained < of_w1("undo_started", "install"), "the kubelet is swapped on an empty node");
    assert!(of_w1("undo_done", "install") < of_w1("undo_started", "drain"));
    assert_eq!(events.last().unwrap()["outcome"], "compensated");
    kup.run("rollback --yes").exits(2);
}

#[test]
fn a_cluster_that_comes_back_otherwise_is_refused() {
    let kup = Kup::new().with_main_job();
    kup.run(RUN).exits(0);
    let folder = run_folder(&kup);
    killed_after(&folder, 60);
    let path = folder.join("simulation.jsonl");
    let kept = fs::read_to_string(&path).unwrap();
    fs::write(&path, kept.replacen("\"seed\":0", "\"seed\":1", 1)).unwrap();
    let before = journal(&folder);
    kup.run("resume --yes").exits(8).says("cannot be brought back").says("or run the playbook again");
    assert_eq!(journal(&folder), before, "nothing was changed");
    fs::write(&path, "{}\n").unwrap();
    kup.run("resume --yes").exits(8).says("simulation.jsonl");
    fs::remove_file(&path).unwrap();
    kup.run("resume --yes").exits(8).says("nothing is kept of its simulated cluster");
}
