//! How kup grows: parse, check and plan of playbooks of 1,000 to 100,000 steps, and planning over
//! 5,000 nodes. Each case runs in a process of its own, so that its peak memory is its own.

use std::process::Command;
use std::time::{Duration, Instant};

use dsl::source::{LoadError, Loader};
use engine::inventory::{Inventory, Node};

/// A playbook in memory, over the standard library.
struct Text(String);

impl Loader for Text {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        if path == "scale.kup" {
            return Ok(self.0.clone());
        }
        let module = stdlib::modules().iter().find(|(name, _)| *name == path);
        module.map(|(_, text)| text.to_string()).ok_or(LoadError::NotFound)
    }
}

/// Writes a graph of `steps` stages in layers of 100, each after three of the layer before.
fn layers(steps: usize) -> String {
    const WIDTH: usize = 100;
    let mut text = String::from("playbook \"scale\"\n");
    for i in 0..steps {
        let after = match i / WIDTH {
            0 if i == 0 => String::new(),
            0 => " after s0".into(),
            layer => {
                let base = (layer - 1) * WIDTH;
                let mut of = [0, 1, 7].map(|k| base + (i + k) % WIDTH);
                of.sort_unstable();
                format!(" after s{}, s{}, s{}", of[0], of[1], of[2])
            }
        };
        text.push_str(&format!("stage s{i}{after} {{ run command \"printf x > n{i}\" on=local }}\n"));
    }
    text
}

/// Makes a cluster of three control planes and `workers` workers.
fn cluster(workers: usize) -> Inventory {
    let node = |name: String, control_plane: bool| Node {
        ssh: name.clone(),
        name,
        control_plane,
        etcd: control_plane,
        kubelet: "v1.33.13".parse().ok(),
        apiserver: if control_plane { "v1.33.13".parse().ok() } else { None },
        ready: true,
        ..Node::default()
    };
    let nodes = (1..=3)
        .map(|i| node(format!("cp{i}"), true))
        .chain((1..=workers).map(|i| node(format!("w{i}"), false)));
    Inventory {
        cluster: "bench".into(),
        version: "v1.33.13".parse().ok(),
        nodes: nodes.map(|n| (n.name.clone(), n)).collect(),
        ..Inventory::default()
    }
}

/// Parses, checks and plans; returns the times and the number of steps.
fn plan(text: String, inventory: &Inventory, given: &[(&str, &str)]) -> (Duration, Duration, usize) {
    let start = Instant::now();
    let checked = dsl::check("scale.kup", &Text(text), stdlib::PRELUDE);
    let Some(program) = checked.program else {
        panic!("the playbook of this bench does not check: {:?}", checked.diagnostics.first())
    };
    let checked = start.elapsed();
    let given = given.iter().map(|(k, v)| (k.to_string(), engine::inputs::Given::set(*v))).collect();
    let params = engine::inputs::resolve(&program, &given, inventory).unwrap_or_else(|e| panic!("{e:?}"));
    let mut plan = engine::plan::build(&program, inventory, &params).unwrap_or_else(|e| panic!("{e:?}"));
    engine::plan::forecast(&mut plan, &Default::default());
    let digest = engine::plan::digest(&plan);
    assert_eq!(digest.len(), 64);
    (checked, start.elapsed(), plan.steps.len())
}

/// Returns the highest memory this process has held, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap_or("VmHWM: 0 kB");
    line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn one(case: &str) {
    let minor = include_str!("../playbooks/kubeadm-minor.kup");
    let (text, inventory, given): (String, Inventory, &[(&str, &str)]) = match case.split_once(' ') {
        Some(("steps", n)) => (layers(n.parse().unwrap_or(1000)), Inventory::default(), &[]),
        Some(("nodes", n)) => (minor.into(), cluster(n.parse().unwrap_or(100)), &[("target", "v1.34.2")]),
        _ => panic!("unknown case `{case}`"),
    };
    // These machines are shared: the best of five is what kup takes, the rest is its neighbours.
    let rounds = 5;
    let best = (0..rounds).map(|_| plan(text.clone(), &inventory, given)).min_by_key(|(_, all, _)| *all);
    let Some((check, all, steps)) = best else { return };
    println!("{case:<14} {steps:>8} {:>10.1} {:>14.1} {:>9}", ms(check), ms(all), peak());
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn main() {
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    if let Some(case) = args.next() {
        return one(&case);
    }
    println!("{:<14} {:>8} {:>10} {:>14} {:>9}", "case", "steps", "check ms", "check+plan ms", "peak MiB");
    let this = std::env::current_exe().unwrap_or_else(|e| panic!("{e}"));
    for case in ["steps 1000", "steps 10000", "steps 100000", "nodes 500", "nodes 5000"] {
        let done = Command::new(&this).arg(case).status();
        assert!(done.is_ok_and(|s| s.success()), "{case} failed");
    }
}
