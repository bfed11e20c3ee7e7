//! Virtual time: tokio's paused clock, counted from the start of the cluster. It leaps to the next
//! deadline when all tasks are idle, so an hour of waiting costs nothing.

use std::time::Duration;

use async_trait::async_trait;
use engine::port;
use jiff::Timestamp;
use tokio::time::Instant;

/// Seconds from the Unix epoch to 2026-01-01T00:00:00Z, when every simulated cluster begins.
const EPOCH: u64 = 1_767_225_600;

/// The time of one cluster.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Begins to count. Needs a runtime.
    pub fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    /// Returns the time since the cluster was started.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Waits until a time since the start; without one for ever.
    pub(crate) fn until(&self, time: Option<Duration>) -> impl Future<Output = ()> + use<> {
        let until = time.map(|time| self.start + time);
        async move {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Returns the time since the Unix epoch.
    pub fn wall(&self) -> Duration {
        wall(self.now())
    }

    /// Returns now as the API writes it in `creationTimestamp`.
    pub fn stamp(&self) -> String {
        stamp(self.now())
    }

    /// Returns now as HTTP writes it in `Date`.
    pub fn date(&self) -> String {
        timestamp(self.now()).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }
}

/// Returns the wall time at a time since the start.
fn wall(since: Duration) -> Duration {
    Duration::from_secs(EPOCH) + since
}

fn timestamp(since: Duration) -> Timestamp {
    // A simulation never runs as far as jiff's last year.
    Timestamp::from_duration(jiff::SignedDuration::try_from(wall(since)).unwrap_or_default())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Returns the seconds of the Unix epoch at a time since the start.
pub(crate) fn epoch(since: Duration) -> u64 {
    wall(since).as_secs()
}

/// Writes a time since the start as the API writes a `Time`: whole seconds.
pub fn stamp(since: Duration) -> String {
    timestamp(since).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Writes a time since the start as the API writes a `MicroTime`, in leases.
pub fn micro_stamp(since: Duration) -> String {
    timestamp(since).strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

#[async_trait]
impl port::Clock for Clock {
    fn now(&self) -> Duration {
        Clock::now(self)
    }

    fn wall(&self) -> Duration {
        Clock::wall(self)
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_begins_with_2026_and_leaps() {
        crate::runtime().block_on(async {
            let clock = Clock::start();
            assert_eq!(clock.stamp(), "2026-01-01T00:00:00Z");
            tokio::time::sleep(Duration::from_secs(3600)).await;
            assert_eq!(clock.stamp(), "2026-01-01T01:00:00Z");
            assert_eq!(clock.date(), "Thu, 01 Jan 2026 01:00:00 GMT");
            assert_eq!(micro_stamp(Duration::from_micros(1_000_002)), "2026-01-01T00:00:01.000002Z");
        });
    }
}
