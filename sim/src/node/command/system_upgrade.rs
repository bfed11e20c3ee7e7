//! The packages of the operating system itself: which could be updated, and what updating them does. A new
//! kernel lies in /boot and asks for a reboot.

use std::time::Duration;

use crate::faults::reboot;
use crate::node::process::{Killed, Process};
use crate::node::{Node, power};

/// How long half of it takes.
const HALF: Duration = Duration::from_secs(20);

const OLD: &str = "1.0-1";
const NEW: &str = "1.0-2";

/// Returns what `apt-get -s upgrade` says.
pub(super) fn apt_would(node: &Node) -> String {
    let (free, held) = node.packages.newer(&node.files);
    let updates = node.packages.updates.iter();
    let mut moves: Vec<(String, String, String)> =
        updates.map(|name| (name.clone(), OLD.to_string(), NEW.to_string())).collect();
    moves.extend(free.iter().map(|(name, to)| {
        let there = node.packages.version(name).map(|release| release.deb()).unwrap_or_default();
        (name.clone(), there, to.deb())
    }));
    let mut text =
        "Reading package lists...\nBuilding dependency tree...\nCalculating upgrade...\n".to_string();
    if !held.is_empty() {
        text.push_str(&format!("The following packages have been kept back:\n  {}\n", held.join(" ")));
    }
    if !moves.is_empty() {
        let names: Vec<&str> = moves.iter().map(|(name, ..)| name.as_str()).collect();
        text.push_str(&format!("The following packages will be upgraded:\n  {}\n", names.join(" ")));
    }
    text.push_str(&format!(
        "{} upgraded, 0 newly installed, 0 to remove and {} not upgraded.\n",
        moves.len(),
        held.len()
    ));
    for (name, from, to) in &moves {
        text.push_str(&format!("Inst {name} [{from}] ({to} stable [amd64])\n"));
    }
    for (name, _, to) in &moves {
        text.push_str(&format!("Conf {name} ({to} stable [amd64])\n"));
    }
    text
}

/// Updates what apt would, and returns what it says.
pub(super) fn apt(node: &mut Node) -> String {
    let (free, _) = node.packages.newer(&node.files);
    let mut text = apt_would(node);
    text.truncate(text.find("Inst ").unwrap_or(text.len()));
    for (name, to) in free {
        text.push_str(&format!("Setting up {name} ({}) ...\n", to.deb()));
        node.packages.installed.insert(name, to);
    }
    for name in updated(node) {
        text.push_str(&format!("Setting up {name} ({NEW}) ...\n"));
    }
    text
}

/// Returns the names that `dnf repoquery --upgrades` finds. The repository file of Kubernetes excludes its
/// own packages.
pub(super) fn dnf_would(node: &Node) -> String {
    node.packages.updates.iter().map(|name| format!("{name}\n\n")).collect()
}

/// Updates what dnf would, and returns what it says.
pub(super) fn dnf(node: &mut Node) -> String {
    let names = updated(node);
    if names.is_empty() {
        return "Dependencies resolved.\nNothing to do.\nComplete!\n".to_string();
    }
    let lines: String = names.iter().map(|name| format!("  {name}-{NEW}.x86_64\n")).collect();
    format!("Dependencies resolved.\nRunning transaction\nUpgraded:\n{lines}\nComplete!\n")
}

/// Holds the lock as long as an upgrade takes. Fault F41: the machine goes away in the middle of it.
pub(super) async fn take_time(process: &Process) -> Result<(), Killed> {
    let half = process.world(|w| {
        let now = w.now();
        let Some(node) = w.nodes.get_mut(&process.node) else { return Duration::ZERO };
        let half = if node.packages.updates.is_empty() { Duration::from_millis(500) } else { HALF };
        node.packages.locked_until = now + half * 2;
        half
    });
    process.sleep(half).await?;
    if half == HALF && process.on(reboot::strikes) {
        power::reboot(process.shared(), &process.node);
        return Err(Killed);
    }
    process.sleep(half).await
}

/// Takes the updates. Where a kernel is among them, it lies in /boot from now on.
fn updated(node: &mut Node) -> Vec<String> {
    let names = std::mem::take(&mut node.packages.updates);
    if names.iter().any(|name| name.starts_with("linux-image") || name.starts_with("kernel")) {
        node.install_kernel();
        node.want_reboot();
    }
    names
}
