//! `systemctl` and `journalctl`, for the kubelet and for the units that kup makes.

use std::time::Duration;

use engine::port::Output;

use crate::node::power;
use crate::node::process::{Ended, Killed, Process, failed, said};
use crate::node::service;
use crate::node::unit::UnitState;
use crate::node::{COMPONENTS, Node, Unit, kubelet, release::Release};
use crate::node::{binary, rancher};
use crate::world::World;

/// A unit that ends at once is started again after this time (`RestartSec` of the kubelet's unit).
const RESTART: Duration = Duration::from_secs(10);

/// Runs `systemctl`.
pub(super) async fn systemctl(process: &Process, args: &[&str]) -> Ended {
    let name = |unit: &str| unit.strip_suffix(".service").unwrap_or(unit).to_string();
    Ok(match args {
        ["daemon-reload"] => {
            process.busy(200, 500).await?;
            said("")
        }
        ["restart" | "start", "kubelet" | "kubelet.service"] => {
            process.busy(100, 300).await?;
            restart_kubelet(process);
            said("")
        }
        ["restart", "--no-block", unit] if process.on(|n| rancher::unit(n) == Some(name(unit).as_str())) => {
            process.busy(20, 60).await?;
            rancher::restart(process);
            said("")
        }
        [verb @ ("start" | "stop" | "restart"), "etcd" | "etcd.service"]
            if process.on(|n| n.serves_etcd()) =>
        {
            process.busy(500, 1500).await?;
            if *verb != "start" {
                process.world(|w| service::set(w, &process.node, false));
            }
            if *verb != "stop" {
                process.busy(1000, 2500).await?;
                process.world(|w| service::set(w, &process.node, true));
            }
            said("")
        }
        ["restart", "--no-block", unit] | ["restart", unit] if binary::restart(process, &name(unit)) => {
            process.busy(100, 300).await?;
            said("")
        }
        ["reboot"] => {
            process.busy(50, 200).await?;
            power::reboot(process.shared(), &process.node);
            // It takes the connection with it.
            return Err(Killed);
        }
        ["stop", "kubelet" | "kubelet.service"] => {
            process.busy(100, 300).await?;
            stop_kubelet(process);
            said("")
        }
        ["is-active", flags @ .., unit] => {
            let state = process.world(|w| properties(w, &process.node, &name(unit)));
            let state =
                state.into_iter().find(|(key, _)| *key == "ActiveState").map_or_else(String::new, |(_, v)| v);
            let quiet = flags.contains(&"-q") || flags.contains(&"--quiet");
            let stdout = if quiet { String::new() } else { format!("{state}\n") };
            Output { code: if state == "active" { 0 } else { 3 }, stdout, stderr: String::new() }
        }
        ["show", rest @ ..] => show(process, rest),
        ["stop", unit] => match process.on(|n| stop(n, &name(unit))) {
            true => said(""),
            false => {
                failed(5, format!("Failed to stop {0}.service: Unit {0}.service not loaded.\n", name(unit)))
            }
        },
        ["reset-failed", unit] => match process.on(|n| reset(n, &name(unit))) {
            true => said(""),
            false => failed(
                1,
                format!(
                    "Failed to reset failed state of unit {0}.service: Unit {0}.service not loaded.\n",
                    name(unit)
                ),
            ),
        },
        _ => super::not_known("systemctl", args),
    })
}

fn show(process: &Process, args: &[&str]) -> Output {
    let (mut unit, mut wanted) = (String::new(), Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match *arg {
            "-p" | "--property" => wanted.extend(args.next().into_iter().flat_map(|p| p.split(','))),
            flag if flag.starts_with('-') => wanted.extend(flag.trim_start_matches("--property=").split(',')),
            name => unit = name.strip_suffix(".service").unwrap_or(name).to_string(),
        }
    }
    let all = process.world(|w| properties(w, &process.node, &unit));
    let lines = all.into_iter().filter(|(key, _)| wanted.is_empty() || wanted.contains(key));
    said(lines.map(|(key, value)| format!("{key}={value}\n")).collect::<String>())
}

fn properties(world: &World, node: &str, unit: &str) -> Vec<(&'static str, String)> {
    let now = world.now();
    if unit == "etcd" {
        return service::properties(world, node);
    }
    if let Some(properties) = binary::properties(world, node, unit) {
        return properties;
    }
    let Some(node) = world.nodes.get(node) else { return Vec::new() };
    let own = rancher::unit(node);
    if unit != own.unwrap_or("kubelet") {
        return Unit::properties(node.units.get(unit)).to_vec();
    }
    let since = node.kubelet_since;
    let failing = node.kubelet_failure.is_some();
    // A unit that ends at once is started every ten seconds for ever.
    let restarts = match failing {
        true => u64::from(node.kubelet_restarts) + now.saturating_sub(since).as_secs() / RESTART.as_secs(),
        false => u64::from(node.kubelet_restarts),
    };
    let (active, sub) = match (node.kubelet_active, failing) {
        (true, _) => ("active", "running"),
        (false, true) => ("activating", "auto-restart"),
        (false, false) => ("inactive", "dead"),
    };
    let stamp = if node.kubelet_active { systemd_time(since) } else { String::new() };
    vec![
        ("Restart", "always".to_string()),
        ("NRestarts", restarts.to_string()),
        ("Result", if failing { "exit-code" } else { "success" }.to_string()),
        ("ExecMainCode", i32::from(failing).to_string()),
        ("ExecMainStatus", i32::from(failing).to_string()),
        ("LoadState", "loaded".to_string()),
        ("ActiveState", active.to_string()),
        ("SubState", sub.to_string()),
        ("ActiveEnterTimestamp", stamp),
        ("MainPID", if node.kubelet_active { 804 } else { 0 }.to_string()),
        ("ExecStart", if node.by_units { binary::exec_start(unit) } else { exec_start(own) }),
    ]
}

/// Writes the command of a unit as `systemctl show` does.
fn exec_start(unit: Option<&str>) -> String {
    let (path, verb) = match unit {
        None => ("/usr/bin/kubelet".to_string(), ""),
        Some(unit) => {
            let program = unit.split('-').next().unwrap_or(unit);
            (format!("/usr/local/bin/{program}"), if unit.ends_with("agent") { " agent" } else { " server" })
        }
    };
    format!("{{ path={path} ; argv[]={path}{verb} ; ignore_errors=no ; pid=0 ; code=(null) ; status=0/0 }}")
}

/// Writes a time as systemd does: `Thu 2026-01-01 00:00:01 UTC`.
fn systemd_time(since: Duration) -> String {
    let stamp = crate::clock::stamp(since);
    match stamp.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%a %Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => stamp,
    }
}

fn stop(node: &mut Node, unit: &str) -> bool {
    match node.units.get(unit).map(|u| u.state) {
        None => false,
        Some(UnitState::Failed(_)) => true,
        Some(UnitState::Running | UnitState::Exited) => {
            if let Some(unit) = node.units.shift_remove(unit) {
                unit.kill();
            }
            true
        }
    }
}

fn reset(node: &mut Node, unit: &str) -> bool {
    match node.units.get(unit).map(|u| u.state) {
        None => unit == "kubelet",
        Some(UnitState::Failed(_)) => node.units.shift_remove(unit).is_some(),
        Some(UnitState::Running | UnitState::Exited) => true,
    }
}

/// Takes the kubelet's process away.
pub(super) fn stop_kubelet(process: &Process) {
    process.world(|w| {
        if let Some(node) = w.nodes.get_mut(&process.node) {
            (node.kubelet_active, node.kubelet_failure) = (false, None);
        }
        w.machines_changed();
    });
}

/// The process starts within a second and reports itself. With a new minor all static pods of a control
/// plane restart once, some seconds after the node said Ready (seen on real clusters, 1.33 to 1.34).
pub(super) fn restart_kubelet(process: &Process) {
    let name = process.node.clone();
    process.on(|n| n.kubelet_restarts = 0);
    process.world(|w| {
        let now = w.now();
        if let Some(node) = w.nodes.get_mut(&name) {
            (node.kubelet_active, node.kubelet_since) = (true, now);
        }
        w.machines_changed();
    });
    let started = process.clone();
    process.later(Duration::from_secs(1), move |w| {
        let minor =
            |w: &World| w.nodes.get(&name).and_then(|n| Release::parse(&n.kubelet_running)).map(|r| r.minor);
        let before = minor(w);
        let runs = kubelet::start(w, &name);
        let control_plane = w.nodes.get(&name).is_some_and(|n| n.control_plane && !n.by_units);
        if !runs || !control_plane || minor(w) == before {
            return;
        }
        // etcd is back first; the apiserver needs it.
        let own: Vec<&str> = w.nodes.get(&name).into_iter().flat_map(|n| n.components()).collect();
        for (component, back) in COMPONENTS.into_iter().zip([9, 19, 22, 22]).filter(|(c, _)| own.contains(c))
        {
            kubelet::restart_static_pod(
                &started,
                component,
                Duration::from_secs(3),
                Duration::from_secs(back),
            );
        }
    });
}

/// Runs `journalctl -u UNIT -n COUNT --no-pager -o cat`.
pub(super) fn journalctl(node: &Node, args: &[&str]) -> Output {
    let after = |flag: &str| args.iter().position(|a| *a == flag).and_then(|at| args.get(at + 1));
    let count: usize = after("-n").and_then(|n| n.parse().ok()).unwrap_or(10);
    let own = rancher::unit(node).unwrap_or("kubelet");
    if let Some(words) = after("-u").and_then(|unit| binary::journal(node, unit.trim_end_matches(".service")))
    {
        return said(words);
    }
    if after("-u").is_none_or(|u| u.trim_end_matches(".service") != own) {
        return said("-- No entries --\n");
    }
    let lines: Vec<String> = match &node.kubelet_failure {
        Some(failure) => vec![
            format!("E0101 00:00:00.000000    4711 run.go:72] {failure}"),
            "kubelet.service: Main process exited, code=exited, status=1/FAILURE".to_string(),
            "kubelet.service: Failed with result 'exit-code'.".to_string(),
            "kubelet.service: Scheduled restart job, restart counter is at 1.".to_string(),
        ],
        None => vec![
            "Started kubelet.service - kubelet: The Kubernetes Node Agent.".to_string(),
            format!(
                "I0101 00:00:00.000000    4711 server.go:530] \"Kubelet version\" kubeletVersion=\"{}\"",
                node.kubelet_running
            ),
        ],
    };
    let from = lines.len().saturating_sub(count);
    said(lines[from..].iter().map(|l| format!("{l}\n")).collect::<String>())
}
