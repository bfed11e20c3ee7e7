//! Several looks at a machine by one command, for over ssh each command costs a round trip; many machines are asked at once.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::action::Context;
use engine::event::Failure;
use engine::inventory::Node;
use engine::port::Command;

use super::host::{Host, together};

/// What stands before the name of a look in the answer.
const MARK: &str = "== ";

/// A look: its name, and a plain command line without shell syntax, or one into `| grep`.
pub(super) type Look = (&'static str, &'static str);

/// What a machine has answered.
pub(super) struct Facts {
    /// The machine.
    pub(super) node: Node,
    /// How far its clock is ahead of kup's, if it was asked for the time; with half the time that the answer took.
    pub(super) ahead: Option<(f64, f64)>,
    answers: BTreeMap<String, String>,
}

impl Facts {
    /// Returns what a look has shown: nothing where its file is not there.
    pub(super) fn of(&self, look: &str) -> &str {
        self.answers.get(look).map_or("", String::as_str)
    }
}

/// The look that asks for the time.
pub(super) const TIME: Look = ("time", "date +%s.%N");

/// Returns the nodes of the control plane.
pub(super) fn control_planes(cx: &Context) -> impl Iterator<Item = &Node> {
    cx.inventory.nodes.values().filter(|node| node.control_plane && !node.beside)
}

/// Asks each of the nodes as root, once, but those that run Windows. A file that is not there is no failure.
pub(super) async fn gather(
    cx: &Context,
    nodes: impl Iterator<Item = &Node>,
    looks: &[Look],
) -> Result<Vec<Facts>, Failure> {
    let script = script(looks);
    let asks = nodes.filter(|node| !node.windows).map(|node| ask(cx, node, &script));
    together(asks.collect()).await.into_iter().collect()
}

fn script(looks: &[Look]) -> String {
    let look = |(name, line): &Look| format!("echo '{MARK}{name}'; {line}");
    looks.iter().map(look).collect::<Vec<_>>().join("; ") + "; true"
}

async fn ask(cx: &Context, node: &Node, script: &str) -> Result<Facts, Failure> {
    let host = Host::named(cx, node);
    let sent = cx.ports.clock.wall();
    let said = host.ask(Command::read(["sh", "-c", script]).as_root()).await.map_err(|failure| {
        let message = format!("{}: {}", node.name, failure.message);
        Failure { message, ..failure }
    })?;
    let answers = read(&said);
    let ahead =
        answers.get(TIME.0).and_then(|time| ahead(time.trim().parse().ok()?, sent, cx.ports.clock.wall()));
    Ok(Facts { node: node.clone(), ahead, answers })
}

/// The answer is as old as half its way, give or take that.
fn ahead(there: f64, sent: Duration, came: Duration) -> Option<(f64, f64)> {
    let half = came.checked_sub(sent)?.as_secs_f64() / 2.0;
    Some((there - sent.as_secs_f64() - half, half))
}

fn read(said: &str) -> BTreeMap<String, String> {
    let mut answers: BTreeMap<String, String> = BTreeMap::new();
    let mut name = String::new();
    for line in said.lines() {
        match line.strip_prefix(MARK) {
            Some(next) => name = next.to_string(),
            None => {
                let answer = answers.entry(name.clone()).or_default();
                answer.push_str(line);
                answer.push('\n');
            }
        }
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_holds_many() {
        let script = script(&[TIME, ("swaps", "cat /proc/swaps")]);
        assert_eq!(script, "echo '== time'; date +%s.%N; echo '== swaps'; cat /proc/swaps; true");
        let answers = read("== time\n17.5\n== empty\n== swaps\na\nb\n");
        assert_eq!((answers["time"].as_str(), answers["swaps"].as_str()), ("17.5\n", "a\nb\n"));
        assert!(!answers.contains_key("empty"));
    }

    #[test]
    fn a_clock_is_judged_by_the_middle_of_the_way() {
        let (sent, came) = (Duration::from_secs(100), Duration::from_secs(102));
        assert_eq!(ahead(161.0, sent, came), Some((60.0, 1.0)));
    }
}
