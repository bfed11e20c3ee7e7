//! When to try again. Delays are drawn with full jitter from a seed, the step and the attempt, so a
//! replayed run needs no state of a generator.

use dsl::program::Retry;

use crate::plan::StepId;

/// Returns the delay before the attempt that follows `attempt`, in milliseconds: uniform between 1
/// and a bound that doubles with each failure of this `round`, from `min` up to `max`.
pub fn delay(retry: &Retry, seed: u64, step: StepId, attempt: u32, round: u32) -> u64 {
    let doubled = retry.min.saturating_mul(1u64.checked_shl(round.saturating_sub(1)).unwrap_or(u64::MAX));
    let bound = doubled.min(retry.max).max(1);
    let key = (u64::from(step.0) << 32) | u64::from(attempt);
    1 + splitmix(seed ^ splitmix(key)) % bound
}

/// So many attempts of other steps may always fail in a row.
const LEAST: usize = 20;

/// Returns how many attempts of other steps may fail in a row before a step is not tried again, where so many
/// steps are under way: each may meet the same short trouble twice. What fails on so many nodes, and ends well
/// on none, is one failure and not many: tried again for each of them it only gets worse.
pub fn budget(side_by_side: usize) -> usize {
    LEAST.max(2 * side_by_side)
}

/// Says that the budget is spent.
pub fn spent(others: usize) -> String {
    format!(
        "not tried again: {others} attempts of other steps have failed in a row, and no step was done between them"
    )
}

/// One step of splitmix64: each input has its own, evenly spread output.
fn splitmix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Retry = Retry { times: 9, min: 1_000, max: 8_000 };

    #[test]
    fn a_delay_stays_within_its_bound_and_the_bound_doubles_up_to_max() {
        for (round, bound) in [(1, 1_000), (2, 2_000), (3, 4_000), (4, 8_000), (5, 8_000), (99, 8_000)] {
            let longest = (0..2_000)
                .map(|seed| delay(&RETRY, seed, StepId(7), round, round))
                .max()
                .expect("2000 of them");
            assert!((bound * 9 / 10..=bound).contains(&longest), "round {round}: {longest}");
        }
    }

    #[test]
    fn the_same_seed_step_and_attempt_give_the_same_delay() {
        let one = delay(&RETRY, 1, StepId(1), 1, 1);
        assert_eq!(one, delay(&RETRY, 1, StepId(1), 1, 1));
        assert!((2..50).any(|step| delay(&RETRY, 1, StepId(step), 1, 1) != one));
    }

    #[test]
    fn a_delay_is_never_nothing() {
        let none = Retry { times: 1, min: 0, max: 0 };
        assert_eq!(delay(&none, 3, StepId(0), 1, 1), 1);
    }
}
