//! One run a cluster: a file lock against a second kup here, and a Lease `kube-system/kup` against
//! one elsewhere.
//!
//! The lease is not leader election. A run that upgrades the only control plane takes the API away
//! from itself, so failed renewals are ridden over; and nobody takes a lease of another run on the
//! word of two clocks: it must have been seen unchanged for as long as it lasts.

mod file;
mod lease;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use thiserror::Error;

use crate::port::Ports;

pub use self::file::{Holder, holder};

use self::file::FileLock;
use self::lease::{How, Keeper, Lease};

/// Who asks for the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The machine.
    pub host: String,
    /// The user.
    pub user: String,
}

/// The lock of a cluster, held. Dropping it frees the file; only [`Lock::release`] frees the lease
/// before it expires.
pub struct Lock {
    lease: Option<Keeper>,
    from: Option<String>,
    _file: FileLock,
}

/// Why there is no lock.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another run has it.
    #[error(
        "`{holder}` holds the lock of this cluster since {since}{}\nhint: look at it with `kup status` there, wait \
         for its end, then run again{}", expiry(*expires_in), instead(*expires_in)
    )]
    Held {
        /// The run, its host and its user.
        holder: String,
        /// Since when.
        since: String,
        /// When it ends by itself if its holder has died. A file lock ends with its process.
        expires_in: Option<Duration>,
    },
    /// The lock's file cannot be used.
    #[error("cannot lock `{path}`: {source}; kup needs a folder of its own that it can write")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The API does not let us.
    #[error(
        "may not use the lease `kube-system/kup`: {0}; grant get, create and patch of leases in `kube-system`"
    )]
    Forbidden(String),
    /// The API does not answer, or not well.
    #[error("cannot take the lease `kube-system/kup`: {0}; try again when the API answers")]
    Api(String),
}

fn expiry(expires_in: Option<Duration>) -> String {
    match expires_in {
        Some(time) => format!("; if it has died, its lease expires in {} s", time.as_secs().max(1)),
        None => String::new(),
    }
}

/// A lease may be taken over; what locks a file here is at work here.
fn instead(expires_in: Option<Duration>) -> &'static str {
    match expires_in {
        Some(_) => {
            "\nhint: if its machine is lost, `kup takeover RUN` goes on with it here once the lease has expired"
        }
        None => "",
    }
}

impl Lock {
    /// Takes the lock of a cluster for a run; `cluster` is empty for plain hosts. Waiting for an
    /// expired lease is told by `tracing` only.
    pub async fn acquire(
        ports: &Ports,
        state_root: &Path,
        cluster: &str,
        run: &str,
        who: &Who,
    ) -> Result<Lock, LockError> {
        Lock::acquire_telling(ports, state_root, cluster, run, who, &mut |text| tracing::warn!("{text}"))
            .await
    }

    /// Takes the lock like [`Lock::acquire`], and tells why it takes its time.
    pub async fn acquire_telling(
        ports: &Ports,
        state_root: &Path,
        cluster: &str,
        run: &str,
        who: &Who,
        tell: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Lock, LockError> {
        Lock::take(ports, state_root, cluster, run, who, How::IfFree, tell).await
    }

    /// Takes the lock over from a machine that is lost: when its lease expires, or at once by `force`.
    pub async fn take_over(
        ports: &Ports,
        state_root: &Path,
        cluster: &str,
        run: &str,
        who: &Who,
        force: bool,
        tell: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Lock, LockError> {
        let how = if force { How::AtOnce } else { How::WhenExpired };
        Lock::take(ports, state_root, cluster, run, who, how, tell).await
    }

    async fn take(
        ports: &Ports,
        state_root: &Path,
        cluster: &str,
        run: &str,
        who: &Who,
        how: How,
        tell: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Lock, LockError> {
        let (file, last) = FileLock::acquire(state_root, cluster, run, who, ports.clock.wall())?;
        let Some(client) = &ports.kube else {
            return Ok(Lock { lease: None, from: None, _file: file });
        };
        let lease = Lease::new(client.clone(), ports.clock.clone(), run, who);
        let mut from = None;
        let held = match lease.acquire(how, tell).await {
            Ok(taken) => {
                from = taken.from;
                Some(taken.transitions)
            }
            // The run that broke the only API server must be able to mend it: this machine knows that
            // the lock was this run's, and the lease is taken as soon as somebody answers.
            Err(LockError::Api(reason)) if last.as_deref() == Some(run) => {
                tell(&format!("the API does not answer ({reason}); going on with the lock of this machine"));
                None
            }
            Err(e) => return Err(e),
        };
        Ok(Lock { lease: Some(Keeper::start(lease, held)), from, _file: file })
    }

    /// Returns who had the lease and had not given it back, if it was somebody else.
    pub fn taken_from(&self) -> Option<&str> {
        self.from.as_deref()
    }

    /// Returns the fencing number: higher with each run that had the lease; 0 for plain hosts.
    pub fn fencing(&self) -> i32 {
        self.lease.as_ref().map_or(0, Keeper::fencing)
    }

    /// Returns when somebody else has taken the lease, with who it was; as a rule never.
    pub async fn taken(&self) -> String {
        match &self.lease {
            Some(keeper) => keeper.taken().await,
            None => std::future::pending().await,
        }
    }

    /// Gives the lock back. If the API is away, the lease expires by itself.
    pub async fn release(self) {
        if let Some(keeper) = self.lease {
            keeper.release().await;
        }
    }
}
