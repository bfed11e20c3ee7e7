//! The main job on the real cluster, with three troubles: a disruption budget that blocks a drain
//! for a while, an ssh connection that drops in the middle of a command, and ten `kill -9` of kup, at points
//! drawn by a seed: `KUP_SEED=2 cargo test --test lab upgrade:: -- --nocapture` draws others.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::Lab;

const NODES: [&str; 5] = ["cp1", "cp2", "cp3", "w1", "w2"];

#[test]
fn the_main_job_survives_a_blocked_drain_a_lost_connection_and_ten_kills() {
    let lab = Lab::up("cp1 cp2 cp3", "w1 w2");
    let holds_before = holds(&lab);
    let probe = lab.probe();
    let start = Instant::now();
    let mut troubles = Troubles::new(&lab, seed());
    let mut kup = run(&lab, &["run", "playbooks/kubeadm-minor.kup", "--set", "target=v1.34.4"]);
    while follow(&mut kup, |event| troubles.meet(event)) {
        drop(kup);
        // What it wrote down last may have been read by nobody.
        journal(&lab).iter().for_each(|event| troubles.budgets(event));
        kup = run(&lab, &["resume"]);
    }
    assert!(kup.ends_well(), "the run that was resumed last exits 0");
    assert!(troubles.dropped, "the connection to cp2 was dropped");
    assert!(told_of_the_budget(&lab), "the drain of w1 told which budget it waited for");
    assert!(troubles.kills.is_empty(), "it ended before it was killed there: {:?}", troubles.kills);

    let (requests, failed, report) = probe.end();
    eprintln!("upgraded in {} s; {requests} requests, {failed} failed", start.elapsed().as_secs());
    assert!(requests > 1000 && failed == 0, "no request of the Service failed: {report}");
    upgraded(&lab, &holds_before);

    // a second run finds nothing to do, and does nothing
    let again = Instant::now();
    let mut third = run(&lab, &["run", "playbooks/kubeadm-minor.kup", "--set", "target=v1.34.4"]);
    let mut changed = Vec::new();
    follow(&mut third, |event| {
        if event["changed"] == true {
            changed.push(event["step"].to_string());
        }
        false
    });
    assert!(third.ends_well(), "a second run exits 0");
    assert!(changed.is_empty(), "a second run changes nothing: {changed:?}");
    let took = again.elapsed().as_secs();
    eprintln!("a second run changed nothing in {took} s");
    assert!(took < 30, "a second run takes seconds, not {took}");
}

/// How many times kup is killed.
const KILLS: usize = 10;
/// So many steps of the main job, or more, have work that takes a while.
const BEGIN: u64 = 28;

/// Where kup is killed is drawn by `KUP_SEED`.
fn seed() -> u64 {
    std::env::var("KUP_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

/// What happens to the run beside its own work.
struct Troubles<'a> {
    lab: &'a Lab,
    /// Where kup is still to be killed: so many steps have begun their work, and so much time has passed since.
    kills: BTreeMap<u64, Duration>,
    /// The steps that have begun their work.
    begun: BTreeSet<String>,
    dropped: bool,
    blocked: bool,
    freed: bool,
}

impl Troubles<'_> {
    fn new(lab: &Lab, seed: u64) -> Troubles<'_> {
        let mut dice = fastrand::Rng::with_seed(seed);
        let at = dice.choose_multiple(1..=BEGIN, KILLS);
        let kills = at.into_iter().map(|at| (at, Duration::from_millis(dice.u64(0..5000)))).collect();
        eprintln!("seed {seed}: killed at {kills:?}");
        Troubles { lab, kills, begun: BTreeSet::new(), dropped: false, blocked: false, freed: false }
    }

    /// Meets an event with trouble; returns whether kup is to be killed now.
    fn meet(&mut self, event: &Value) -> bool {
        self.budgets(event);
        let step = event["step"].as_str().unwrap_or("");
        if event["type"] == "work_began" && self.begun.insert(step.to_string()) {
            if step.ends_with("cp2/kubeadm-upgrade-node") {
                refused(self.lab);
                // Every ssh connection to cp2 dies while kubeadm works there.
                std::thread::sleep(Duration::from_secs(5));
                self.lab.inside("cp2", "pkill -KILL -f 'sshd: root'");
                self.dropped = true;
            }
            if let Some(later) = self.kills.remove(&(self.begun.len() as u64)) {
                std::thread::sleep(later);
                return true;
            }
        }
        false
    }

    /// While w1 is drained the budget allows nothing for 30 s, whoever is killed meanwhile.
    fn budgets(&mut self, event: &Value) {
        let step = event["step"].as_str().unwrap_or("");
        let begins = event["type"] == "work_began";
        if begins && step.contains("/cp3/") && !std::mem::replace(&mut self.blocked, true) {
            budget(self.lab, "", 4);
        }
        if begins && step.ends_with("w1/drain") && !std::mem::replace(&mut self.freed, true) {
            budget(self.lab, "sleep 30;", 3);
        }
    }
}

/// Lets a budget want so many healthy pods; waits for nothing.
fn budget(lab: &Lab, before: &str, healthy: u32) {
    let patch =
        format!("kubectl patch pdb web --type=merge -p '{{\"spec\":{{\"minAvailable\":{healthy}}}}}'");
    let behind = format!("({before} {patch}) > /dev/null 2>&1 &");
    assert!(lab.op("sh").args(["-c", &behind]).status().is_ok_and(|status| status.success()));
}

/// Returns the events of all runs so far.
fn journal(lab: &Lab) -> Vec<Value> {
    let runs = std::fs::read_dir(lab.folder.path().join("state/runs")).expect("the runs");
    let journals = runs.map(|run| run.expect("a run").path().join("journal.jsonl"));
    let text: String = journals.map(|path| std::fs::read_to_string(path).expect("a journal")).collect();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.map(|line| line["event"].clone()).collect()
}

/// Whoever waited may have been killed before anybody read what it said; its journal has it.
fn told_of_the_budget(lab: &Lab) -> bool {
    let is = |event: &Value, field: &str, word: &str| event[field].as_str().is_some_and(|s| s.contains(word));
    let waited = |event: &Value| event["type"] == "step_waiting" && is(event, "step", "w1/drain");
    journal(lab).iter().any(|event| waited(event) && is(event, "reason", "default/web"))
}

/// Returns in how many attempts a node was to be upgraded by kubeadm; the kills are none of them.
fn attempts(lab: &Lab, node: &str) -> usize {
    let is_its = |step: &str| {
        ["apply", "node"].iter().any(|verb| step.ends_with(&format!("/{node}/kubeadm-upgrade-{verb}")))
    };
    let all = journal(lab);
    let began = all.iter().filter(|event| event["type"] == "attempt_started");
    let of = began.filter(|event| event["step"].as_str().is_some_and(is_its));
    of.map(|event| event["attempt"].to_string()).collect::<BTreeSet<_>>().len()
}

/// Starts kup with JSON on its standard output.
fn run(lab: &Lab, args: &[&str]) -> Running {
    let snapshots = format!("snapshots={}", lab.folder.path().join("snapshots").display());
    let mut command = lab.kup(args);
    if args[0] == "run" {
        command.args(["--set", &snapshots]);
    }
    Running(command.args(["--yes", "--json"]).stdout(Stdio::piped()).spawn().expect("kup starts"))
}

/// A kup at work; it is killed (`kill -9`) when the value is dropped, so that a test that fails leaves none.
struct Running(Child);

impl Running {
    fn ends_well(&mut self) -> bool {
        self.0.wait().expect("an exit code").success()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads events until `done` says so, or to the end; returns whether `done` did.
fn follow(kup: &mut Running, mut done: impl FnMut(&Value) -> bool) -> bool {
    let out = kup.0.stdout.take().expect("a pipe");
    for line in BufReader::new(out).lines() {
        let Ok(line) = line else { return false };
        let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
        let kind = event["type"].as_str().unwrap_or("");
        if matches!(kind, "work_began" | "step_done" | "step_failed" | "attempt_failed" | "run_paused") {
            eprintln!("{:>8} {kind} {}", event["at"], event["step"].as_str().unwrap_or(""));
        }
        if done(&event) {
            return true;
        }
    }
    false
}

/// A second kup, from another folder as from another machine, is told who holds the cluster.
fn refused(lab: &Lab) {
    let playbook = lab.folder.path().join("look.kup");
    let text = "playbook \"look\"\nstage look { run command \"true\" on=local }\n";
    std::fs::write(&playbook, text).expect("a playbook");
    let other = lab.folder.path().join("other");
    let since = Instant::now();
    loop {
        let mut second = lab.op(&Lab::binary());
        second.args(["run", "--yes"]).arg(&playbook).arg("--ssh-config").arg(lab.ssh_config());
        let ran = second.arg("--state-dir").arg(&other).output().expect("kup starts");
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        // An apiserver may be going down just now: then it says to try again.
        if ran.status.code() == Some(8) && since.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_secs(1));
            continue;
        }
        assert_eq!(ran.status.code(), Some(7), "{said}");
        return assert!(said.contains("holds"), "it says who holds the lock: {said}");
    }
}

fn holds(lab: &Lab) -> Vec<String> {
    NODES.iter().map(|n| lab.on(n, "apt-mark showhold")).collect()
}

/// Everything is on the target, nothing is cordoned, and all holds are as they were.
fn upgraded(lab: &Lab, holds_before: &[String]) {
    let versions =
        lab.kubectl(&["get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.kubeletVersion}"]);
    assert_eq!(versions, ["v1.34.4"; 5].join(" "));
    let cordoned = lab.kubectl(&["get", "nodes", "-o", "jsonpath={.items[*].spec.unschedulable}"]);
    assert_eq!(cordoned, "");
    let images = lab.kubectl(&[
        "get",
        "pods",
        "-n",
        "kube-system",
        "-l",
        "tier=control-plane",
        "-o",
        "jsonpath={.items[*].spec.containers[*].image}",
    ]);
    let mut tags: Vec<&str> = images.split(' ').map(|i| i.rsplit(':').next().unwrap_or("")).collect();
    tags.sort_unstable();
    tags.dedup();
    assert_eq!(tags, ["3.6.5-0", "v1.34.4"]);
    let proxy = lab.kubectl(&[
        "get",
        "ds",
        "-n",
        "kube-system",
        "kube-proxy",
        "-o",
        "jsonpath={.spec.template.spec.containers[0].image}",
    ]);
    assert!(proxy.ends_with(":v1.34.4"), "{proxy}");
    assert_eq!(holds(lab), holds_before);
    for node in NODES {
        let started = lab.on(node, "journalctl -q -o cat | grep -c '^Started .*kubeadm upgrade ' || true");
        let (started, attempts) = (started.trim().parse::<usize>().unwrap_or(0), attempts(lab, node));
        assert!((1..=attempts).contains(&started), "{started} kubeadm in {attempts} attempts on {node}");
        assert_eq!(
            lab.on(node, "ls /run/kup 2>/dev/null; systemctl list-units --all --plain --no-legend 'kup-*'"),
            "",
            "nothing is left behind on {node}"
        );
    }
    let leases = lab.kubectl(&[
        "get",
        "lease",
        "-n",
        "kube-system",
        "kup",
        "--ignore-not-found",
        "-o",
        "jsonpath={.spec.holderIdentity}",
    ]);
    assert_eq!(leases, "", "the lock is free");
}
