//! Two runs at once against one real kube-apiserver, as from two machines: each with a state folder of its own.

use std::fs;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::Lab;

/// It takes minutes, and so it is only run where somebody says how many pairs:
/// `KUP_PAIRS=100 cargo test --test lab -- two_runs --nocapture`.
fn pairs() -> Option<u32> {
    std::env::var("KUP_PAIRS").ok()?.parse().ok()
}

/// It only reads, and notes when it was at work.
const LOOK: &str = r#"playbook "Look"

stage look {
  check nodes ready
  read command "echo begin >> HERE/log; sleep 0.2; echo end >> HERE/log" on=local
}
"#;

fn begin(lab: &Lab, machine: &str, playbook: &str) -> Child {
    let at = |name: &str| lab.folder.path().join(name);
    lab.op(&Lab::binary())
        .args(["run", "--yes", "--json"])
        .arg(at(playbook))
        .arg("--state-dir")
        .arg(at(machine))
        .arg("--ssh-config")
        .arg(lab.ssh_config())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kup starts")
}

fn ended(child: Child) -> Output {
    child.wait_with_output().expect("kup ends")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn of_two_runs_at_once_exactly_one_is_at_work() {
    let Some(pairs) = pairs() else { return eprintln!("skipped: KUP_PAIRS says how many") };
    let lab = Lab::up("cp1", "w1");
    let here = lab.folder.path().display().to_string();
    let log = lab.folder.path().join("log");
    let with = |name: &str, text: &str| fs::write(lab.folder.path().join(name), text).expect("a playbook");
    with("look.kup", &format!("use std/preflight\n\n{}", LOOK.replace("HERE", &here)));
    with("stay.kup", &LOOK.replace("HERE", &here).replace("  check nodes ready\n", "").replace("0.2", "300"));

    let (mut alone, mut turned_away) = (0, 0);
    for pair in 0..pairs {
        let both = ["a", "b"].map(|machine| begin(&lab, machine, "look.kup"));
        let both = both.map(ended);
        let mut codes = both.each_ref().map(|output| output.status.code().unwrap_or(-1));
        codes.sort_unstable();
        let told = both.each_ref().map(said);
        match codes {
            // One was ready before the other came.
            [0, 0] => alone += 1,
            [0, 7] => turned_away += 1,
            other => panic!("pair {pair} ended with {other:?}: {told:?}"),
        }
        let work = fs::read_to_string(&log).expect("somebody was at work");
        for (at, line) in work.lines().enumerate() {
            let expected = if at % 2 == 0 { "begin" } else { "end" };
            assert_eq!(line, expected, "two were at work at once, in pair {pair}:\n{work}");
        }
    }
    eprintln!("one of two was turned away in {turned_away} pairs; in {alone} they came one after the other");
    assert!(turned_away > 0, "no two runs ever met");

    let mut holder = begin(&lab, "a", "stay.kup");
    let since = Instant::now();
    while fs::read_to_string(&log).unwrap_or_default().lines().last() != Some("begin") {
        assert!(since.elapsed() < Duration::from_secs(60), "the holder does not get to work");
        std::thread::sleep(Duration::from_millis(100));
    }
    holder.kill().expect("kill -9");
    let _ = ended(holder);
    let refused = ended(begin(&lab, "b", "look.kup"));
    assert_eq!(refused.status.code(), Some(7), "{}", said(&refused));
    assert!(said(&refused).contains("its lease expires in"), "{}", said(&refused));
    assert!(said(&refused).contains("kup takeover"), "{}", said(&refused));
    std::thread::sleep(Duration::from_secs(60));
    let waited = ended(begin(&lab, "b", "look.kup"));
    assert_eq!(
        waited.status.code(),
        Some(0),
        "a lease that nobody renews is watched, then taken: {}",
        said(&waited)
    );
    assert!(said(&waited).contains("looks abandoned"), "{}", said(&waited));
}
