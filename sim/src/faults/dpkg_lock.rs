//! F02: unattended-upgrades holds dpkg's lock for 40 s, from the first install on. An install that
//! waits (`DPkg::Lock::Timeout`) gets through, one that does not fails at once.

use std::time::Duration;

use super::{Entry, Kind, armed};
use crate::node::Node;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::DpkgLock,
    code: "F02",
    meaning: "unattended-upgrades holds the dpkg lock for 40 s when the first package is installed",
    symptom: "Could not get lock /var/lib/dpkg/lock-frontend",
};

const HELD: Duration = Duration::from_secs(40);

/// Returns how long the lock will still be held.
pub(crate) fn held(node: &mut Node, now: Duration) -> Duration {
    match armed(node, Kind::DpkgLock) {
        Some(armed) => (*armed.since.get_or_insert(now) + HELD).saturating_sub(now),
        None => Duration::ZERO,
    }
}
