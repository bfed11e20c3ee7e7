//! `kup plan FILE`: what a run would do, and what forbids it. Only reads.

use crate::args::{self, Global};
use crate::console::{CYAN, Console, RESET, Style};
use crate::error::Error;
use crate::exit::Exit;
use crate::prepare::{Prepared, prepare, read};
use crate::printable::{printable, shell_word};
use crate::report::PlanLine;
use crate::target::Target;
use crate::world;

/// Shows the plan.
pub(crate) fn plan(global: &Global, console: Console, target: args::Target) -> Result<Exit, Error> {
    let next = next(global, &target);
    let target = Target::parse(target)?;
    let text = read(console, &target)?;
    let prepared = world::within(target.is_simulated(), prepare(global, console, &target, &text))?;
    match console.style {
        Style::Json => {
            let Prepared { plan, hash, blockers, inventory, .. } = &prepared;
            let line = PlanLine::new(plan, hash, blockers, &inventory.left_out);
            console.result(&line.line());
        }
        Style::Human | Style::Plain => {
            let shown = engine::plan::show(&prepared.plan, &prepared.inventory);
            console.result(printable(&shown).trim_end());
        }
    }
    prepared.tell_risks(console);
    if prepared.tell_blockers(console) {
        return Ok(Exit::Blocked);
    }
    prepared.tell_windows(console);
    say_next(console, &prepared, &next);
    // To take large ones apart takes a while, and their memory goes with the process.
    std::mem::forget((text, prepared.plan));
    Ok(Exit::Done)
}

fn say_next(console: Console, prepared: &Prepared, next: &str) {
    if !prepared.plan.has_work() {
        console.say("nothing to change: every step's work is already done");
    } else {
        let hash: String = prepared.hash.chars().take(12).collect();
        console.say(&format!("{CYAN}next{RESET}: {} --plan {hash}", printable(next)));
    }
}

/// Returns the command that runs this very plan.
fn next(global: &Global, target: &args::Target) -> String {
    let target = target.clone().mended();
    let quoted = shell_word;
    let mut words = vec!["kup run".to_string()];
    words.extend(target.file.iter().map(|f| quoted(&f.to_string_lossy())));
    for pair in &target.set {
        words.push(format!("--set {}", quoted(pair)));
    }
    words.extend(target.set_file.iter().map(|pair| format!("--set-file {}", quoted(pair))));
    words.extend(target.values.iter().map(|f| format!("--values {}", quoted(&f.to_string_lossy()))));
    words.extend(target.path.iter().map(|dir| format!("--path {}", quoted(&dir.to_string_lossy()))));
    words.extend(target.hosts.iter().map(|f| format!("--hosts {}", quoted(&f.to_string_lossy()))));
    words.extend(target.no_cluster.then(|| "--no-cluster".to_string()));
    words.extend(target.without.iter().map(|node| format!("--without {}", quoted(node))));
    words.extend(target.sim.iter().map(|s| format!("--sim {}", quoted(s))));
    for fault in &target.fault {
        words.push(format!("--fault {}", quoted(fault)));
    }
    if target.seed != 0 {
        words.push(format!("--seed {}", target.seed));
    }
    words.join(" ") + &global.again()
}
