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

#[cfg(test)]
mod tests {
    use crate::node::stories::{INSTALL, tell};

    #[test]
    fn an_install_that_waits_gets_through_and_one_that_does_not_fails() {
        tell(&["F02@w1"], |s| async move {
            s.switch("w1", 34).await;
            let install = "apt-get install -y --allow-change-held-packages kubeadm=1.34.4-1.1";
            let said = "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 4242 (unattended-upgr)\n";
            s.fails("w1", install, 100, said).await;
            s.fails("w1", install, 100, super::ENTRY.symptom).await;
            let began = s.now();
            let said =
                s.does("w1", &format!("{INSTALL} --allow-change-held-packages kubeadm=1.34.4-1.1")).await;
            assert!(said.starts_with("Waiting for cache lock: Could not get lock"), "{said}");
            assert!((39..50).contains(&(s.now() - began).as_secs()));
        });
    }

    #[test]
    fn dnf_waits_by_itself() {
        tell(&["F02@d1"], |s| async move {
            s.switch("d1", 34).await;
            let said = s.does("d1", "dnf -y install 'kubeadm-1.34.4-*' --disableexcludes=kubernetes").await;
            assert!(said.starts_with("Waiting for process with pid 4242 to finish.\n"), "{said}");
        });
    }
}
