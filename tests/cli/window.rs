//! Maintenance windows: what waits for one, and that a node that was begun is brought to its end. A simulated
//! cluster begins on Thursday, 2026-01-01, at 00:00 UTC.

use crate::support::Kup;

const PLAYBOOK: &str = r#"
playbook "Reboot the workers at night"

stage look { each node in workers { run command "uptime" unless="true" } }

stage reboot {
  each node in workers {
    window "daily 02:00-02:01 Europe/Berlin"
    drain
    reboot always=true
    wait healthy
    uncordon
  }
}
"#;

const LINE: &str = "app.kup --sim 1+5@v1.33.4";
const MINUTE: u64 = 60_000;

/// Returns when an event happened first, in milliseconds of the run.
fn at(events: &[serde_json::Value], kind: &str, of: &str) -> u64 {
    let is = |e: &&serde_json::Value| e["type"] == kind && (e["scope"] == of || e["gate"] == of);
    events.iter().find(is).unwrap_or_else(|| panic!("no {kind} of {of}"))["at"].as_u64().unwrap()
}

/// Returns the node that is at work when the window closes for the first time, and the one behind it.
fn straddles(events: &[serde_json::Value]) -> (String, String) {
    let closes = at(events, "scope_opened", "reboot/w1") + MINUTE;
    let lane = |n: u32| format!("reboot/w{n}");
    let is = |n: &u32| {
        at(events, "scope_opened", &lane(*n)) < closes && at(events, "scope_closed", &lane(*n)) > closes
    };
    let n = (1..5).find(is).expect("one that is at work");
    (lane(n), lane(n + 1))
}

#[test]
fn nodes_wait_for_their_window_and_one_that_was_begun_is_brought_to_its_end() {
    let kup = Kup::new().with("app.kup", PLAYBOOK);
    let told = "the window daily 02:00-02:01 Europe/Berlin opens Thu 2026-01-01 02:00 CET: what changes something waits";
    let plan = kup.run(&format!("plan {LINE}")).exits(0);
    plan.prints("each only in the window daily 02:00-02:01 Europe/Berlin").says(told);
    let plan = kup.run(&format!("plan {LINE} --json")).exits(0).json();
    assert_eq!(plan[0]["windows"][2]["gate"], "reboot/w3");
    let ran = kup.run(&format!("run {LINE} --yes --json")).exits(0).says(told);
    let events = ran.json();
    let waited = events.iter().find(|e| e["type"] == "window_awaited").unwrap();
    assert_eq!(
        (&waited["gate"], &waited["opens"]),
        (&"reboot/w1".into(), &"Thu 2026-01-01 02:00 CET".into())
    );
    // What has no work waits for nothing. 02:00 in Berlin is an hour after the beginning.
    assert!(at(&events, "scope_closed", "look") < MINUTE);
    let first = at(&events, "scope_opened", "reboot/w1");
    assert!((59 * MINUTE..=60 * MINUTE).contains(&first), "{first}");
    // One is at work when it closes, and is brought to its end; the next one waits for the next day.
    let (_, next) = straddles(&events);
    let day = 24 * 60 * MINUTE;
    assert!((first + day..first + day + 1000).contains(&at(&events, "scope_opened", &next)));
    let of_next = |e: &&serde_json::Value| e["type"] == "window_awaited" && e["gate"] == next.as_str();
    assert_eq!(events.iter().filter(of_next).count(), 1, "it is told once");
    let name = kup.run("runs").exits(0).stdout.split_whitespace().next().unwrap().to_string();
    let told = "for the window daily 02:00-02:01 Europe/Berlin, which opens Fri 2026-01-02 02:00 CET";
    kup.run(&format!("show {name} --plain")).exits(0).prints(&format!("waits {next}: {told}"));
}

#[test]
fn a_run_that_was_killed_in_its_window_brings_the_node_to_its_end_and_waits_with_the_next() {
    let kup = Kup::new().with("app.kup", PLAYBOOK);
    let whole = kup.run(&format!("run {LINE} --yes --json")).exits(0).json();
    let (lane, next) = straddles(&whole);
    let folder = std::fs::read_dir(kup.state().join("runs")).unwrap().next().unwrap().unwrap().path();
    let journal = std::fs::read_to_string(folder.join("journal.jsonl")).unwrap();
    let lines: Vec<&str> = journal.split_inclusive('\n').collect();
    // It is killed while one node is at work.
    let opened = format!("\"scope_opened\",\"scope\":\"{lane}\"");
    let until = lines.iter().position(|line| line.contains(&opened)).expect(&opened);
    std::fs::write(folder.join("journal.jsonl"), lines[..=until].concat()).unwrap();
    let resumed = kup.run("resume --yes --json").exits(0).json();
    // The moment in which kup was gone does not count.
    let (again, once) = (at(&resumed, "scope_opened", &next), at(&whole, "scope_opened", &next));
    assert!(again.abs_diff(once) < 1000, "{again} instead of {once}");
}

#[test]
fn a_second_run_that_finds_nothing_to_do_waits_for_no_window() {
    // Without `always`, no node asks for a reboot.
    let text = PLAYBOOK.replace(" always=true", "");
    let kup = Kup::new().with("app.kup", text);
    let ran = kup.run(&format!("run {LINE} --yes --json")).exits(0);
    assert!(ran.json().iter().all(|e| e["type"] != "window_awaited"));
    assert!(!ran.stderr.contains("the window"), "{}", ran.stderr);
}

#[test]
fn a_window_that_cannot_be_read_is_told_before_anything_runs_and_mended() {
    let kup = Kup::new().with("app.kup", PLAYBOOK.replace("Europe/Berlin", "Europe/Berln"));
    kup.run("check app.kup").exits(2).says("K0422").says("did you mean `Europe/Berlin`?");
    kup.run("check app.kup --fix").exits(0);
    assert_eq!(std::fs::read_to_string(kup.path("app.kup")).unwrap(), PLAYBOOK);
}
