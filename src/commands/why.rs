//! `kup why [RUN] [NODE]`: the tree of causes of whatever waits or failed.

use engine::plan::Plan;

use super::status::{next, word};
use crate::args::Global;
use crate::console::{BOLD, CYAN, Console, RESET, Style};
use crate::error::Error;
use crate::exit::Exit;
use crate::printable::{one_line, printable};
use crate::record::Record;
use crate::report::{CauseLine, WhyLine, line};
use crate::why::{Cause, Kind, Why};

/// Says why. One word is a node of the latest run if it has one of that name, else a run.
pub(crate) fn why(global: &Global, console: Console, words: &[String]) -> Result<Exit, Error> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (record, node) = match words[..] {
        [] => (Record::open(global, None)?, None),
        [run, node, ..] => (Record::open(global, Some(run))?, Some(node)),
        [one] => match Record::open(global, None) {
            Ok(latest) if knows(&latest.stored.plan, one) => (latest, Some(one)),
            latest => match Record::open(global, Some(one)) {
                Ok(record) => (record, None),
                // Neither: whoever has runs has most likely misspelled a node.
                Err(error) => (latest.map_err(|_| error)?, Some(one)),
            },
        },
    };
    let why = Why::new(&record);
    let roots = match node {
        None => vec![why.run()],
        Some(node) => why.node(node).ok_or_else(|| stranger(&record, node))?,
    };
    let commands = next(&record, why.machine(), why.is_alive());
    if console.style == Style::Json {
        let plan = &record.stored.plan;
        let told = match node {
            None => roots.into_iter().flat_map(|root| root.causes).collect(),
            Some(_) => roots,
        };
        console.result(&line(&WhyLine {
            v: crate::report::VERSION,
            kind: "why".to_string(),
            run: record.recorded.header.run.clone(),
            state: word(why.machine().state().mode()).to_string(),
            alive: why.is_alive(),
            node: node.map(str::to_string),
            causes: told.iter().map(|cause| wire(plan, cause)).collect(),
            next: commands,
        }));
        return Ok(Exit::Done);
    }
    let mut hints = Vec::new();
    for root in &roots {
        console.result(&format!("{BOLD}{}{RESET}", one_line(&root.text)));
        collect(root, &mut hints);
        for cause in &root.causes {
            tell(console, cause, 1, root.kind == Kind::Run);
        }
    }
    for hint in hints {
        console.result(&format!("{CYAN}hint{RESET}: {}", one_line(hint)));
    }
    for command in commands {
        console.result(&format!("next: {command}{}", printable(&global.again())));
    }
    Ok(Exit::Done)
}

fn tell(console: Console, cause: &Cause, depth: usize, side_by_side: bool) {
    let mark = if side_by_side { "" } else { "<- " };
    console.result(&format!("{:indent$}{mark}{}", "", one_line(&cause.text), indent = 2 * depth));
    for inner in &cause.causes {
        tell(console, inner, depth + 1, cause.kind == Kind::Run);
    }
}

/// Finds all hints, each once.
fn collect<'c>(cause: &'c Cause, hints: &mut Vec<&'c str>) {
    if !cause.hint.is_empty() && !hints.contains(&cause.hint.as_str()) {
        hints.push(&cause.hint);
    }
    for inner in &cause.causes {
        collect(inner, hints);
    }
}

fn wire(plan: &Plan, cause: &Cause) -> CauseLine {
    let step = cause.step.map(|id| plan.step(id));
    CauseLine {
        kind: cause.kind.word().to_string(),
        text: cause.text.clone(),
        step: step.map(|step| step.key.clone()),
        node: step.and_then(|step| step.node.clone()),
        hint: cause.hint.clone(),
        causes: cause.causes.iter().map(|inner| wire(plan, inner)).collect(),
    }
}

fn knows(plan: &Plan, node: &str) -> bool {
    plan.steps.iter().any(|step| step.node.as_deref() == Some(node))
}

fn stranger(record: &Record, node: &str) -> Error {
    const NAMED: usize = 8;
    let mut nodes: Vec<&str> =
        record.stored.plan.steps.iter().filter_map(|step| step.node.as_deref()).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let more = if nodes.len() > NAMED { ", ..." } else { "" };
    let named = nodes.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    Error::usage(format!("run {} does nothing on a node `{node}`", record.recorded.header.run))
        .hint(format!("it has steps on {named}{more}"))
}
