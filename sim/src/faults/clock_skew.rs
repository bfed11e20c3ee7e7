//! F39: the clock of this machine is five minutes late.

use std::time::Duration;

use super::{Entry, Kind, armed};
use crate::node::Node;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::ClockSkew,
    code: "F39",
    meaning: "the clock of the machine is five minutes late",
    symptom: "",
};

/// Returns the time as the machine has it.
pub(crate) fn shifted(node: &mut Node, now: Duration) -> Duration {
    let Some(armed) = armed(node, Kind::ClockSkew) else { return now };
    armed.struck += 1;
    now.saturating_sub(Duration::from_secs(300))
}

#[cfg(test)]
mod tests {
    use crate::node::stories::tell;

    #[test]
    fn its_date_is_another_one() {
        tell(&["F39@w1"], |s| async move {
            let time = |said: String| said.trim().parse::<f64>().unwrap();
            let (late, right) =
                (time(s.does("w1", "date +%s.%N").await), time(s.does("cp1", "date +%s.%N").await));
            assert!((299.0..301.0).contains(&(right - late)), "{late} {right}");
        });
    }
}
