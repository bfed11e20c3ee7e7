//! What kubeadm says of the certificates of a control plane node, and how long they last.

use std::time::Duration;

use engine::event::Failure;
use engine::port::Command;
use serde::Deserialize;

use super::failure;
use super::host::Host;

/// A day, in which certificates are counted.
const DAY: i64 = 24 * 60 * 60;

/// A certificate of `kubeadm certs check-expiration`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Certificate {
    /// Its name, e.g. `apiserver` or `admin.conf`.
    pub(super) name: String,
    /// How long it lasts, in seconds; negative when it has expired.
    #[serde(default)]
    residual_time: i64,
    /// Somebody else renews it: its authority's key is not on the node.
    #[serde(default)]
    pub(super) externally_managed: bool,
    /// It is not there.
    #[serde(default)]
    pub(super) missing: bool,
}

/// The certificates of a node.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Certificates {
    /// Those that kubeadm renews.
    pub(super) certificates: Vec<Certificate>,
    /// Those that sign them, and that kubeadm never renews.
    pub(super) certificate_authorities: Vec<Certificate>,
}

impl Certificate {
    /// Returns whether it lasts longer than a time.
    pub(super) fn lasts(&self, time: Duration) -> bool {
        u64::try_from(self.residual_time).is_ok_and(|left| left > time.as_secs())
    }

    /// Returns whether it ends before another one.
    pub(super) fn ends_before(&self, other: &Certificate) -> bool {
        self.residual_time < other.residual_time
    }

    /// Tells how long it lasts: `apiserver 12 days`, `etcd-server expired`.
    pub(super) fn told(&self) -> String {
        match self.residual_time {
            left if left <= 0 => format!("{} expired", self.name),
            left if left < 2 * DAY => format!("{} {} hours", self.name, left / 3600),
            left => format!("{} {} days", self.name, left / DAY),
        }
    }
}

impl Certificates {
    /// Asks a node.
    pub(super) async fn of(host: &Host) -> Result<Certificates, Failure> {
        let command = Command::read(["kubeadm", "certs", "check-expiration", "-o", "json"]).as_root();
        let said = host.ask(command).await?;
        // kubeadm before 1.29 talks before the document.
        let json = said.find('{').map_or("", |start| &said[start..]);
        serde_json::from_str(json.trim()).map_err(|error| {
            Failure::last(format!("cannot read what `kubeadm certs check-expiration` says: {error}"))
                .with_output(failure::tail(&said))
        })
    }

    /// Returns those that kubeadm can renew here.
    pub(super) fn renewable(&self) -> impl Iterator<Item = &Certificate> {
        self.certificates.iter().filter(|c| !c.missing && !c.externally_managed)
    }

    /// Returns the one of these that ends first.
    pub(super) fn first<'a>(all: impl Iterator<Item = &'a Certificate>) -> Option<&'a Certificate> {
        all.filter(|c| !c.missing).min_by_key(|c| c.residual_time)
    }
}
