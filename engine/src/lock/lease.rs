//! The lock in the cluster: a Lease that is created if there is none, and replaced only as it was
//! last seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease as Object;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{LockError, Who};
use crate::port::Clock;

const NAMESPACE: &str = "kube-system";
const NAME: &str = "kup";
/// How long a lease lasts without being renewed.
const LASTS: Duration = Duration::from_secs(60);
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(15);

/// The lease as one run sees it.
#[derive(Clone)]
pub(super) struct Lease {
    api: Api<Object>,
    clock: Arc<dyn Clock>,
    holder: String,
}

/// How a lease of somebody else is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// It is theirs, unless nobody renews it.
    IfFree,
    /// Its end is waited for.
    WhenExpired,
    /// It is taken, whoever has it.
    AtOnce,
}

/// A lease that was taken.
pub(super) struct Taken {
    /// Its number.
    pub(super) transitions: i32,
    /// Who had it and had not given it back.
    pub(super) from: Option<String>,
}

/// What the API has.
struct Seen {
    version: String,
    holder: String,
    acquired: Option<Timestamp>,
    renewed: Option<Timestamp>,
    lasts: Duration,
    transitions: i32,
}

/// Writes a time since the epoch as the API has it.
pub(super) fn stamp(wall: Duration) -> String {
    timestamp(wall).strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

fn timestamp(wall: Duration) -> Timestamp {
    let seconds = i64::try_from(wall.as_secs()).unwrap_or(i64::MAX);
    Timestamp::new(seconds, wall.subsec_nanos() as i32).unwrap_or(Timestamp::UNIX_EPOCH)
}

impl Lease {
    pub(super) fn new(client: kube::Client, clock: Arc<dyn Clock>, run: &str, who: &Who) -> Lease {
        let holder = format!("{run}@{} ({})", who.host, who.user);
        Lease { api: Api::namespaced(client, NAMESPACE), clock, holder }
    }

    /// Takes the lease.
    pub(super) async fn acquire(
        &self,
        how: How,
        tell: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Taken, LockError> {
        let mut from = None;
        // Each round lost means that another client was faster; that cannot go on for long.
        for _ in 0..8 {
            let taken = match self.look().await? {
                None => self.create(1).await?,
                Some(seen) if self.may_take(&seen) => self.take(&seen).await?,
                Some(seen) if how == How::AtOnce => {
                    tell(&format!("taking the lock of `{}`", seen.holder));
                    from = Some(seen.holder.clone());
                    self.take(&seen).await?
                }
                Some(seen) => {
                    match self.rest(&seen) {
                        Some(rest) if how == How::WhenExpired => {
                            let seconds = rest.as_secs().max(1);
                            tell(&format!("the lock of `{}` expires in {seconds} s", seen.holder));
                            self.clock.sleep(rest).await;
                        }
                        Some(rest) => return Err(held(&seen, rest)),
                        None => {}
                    }
                    from = Some(seen.holder.clone());
                    let seconds = seen.lasts.as_secs();
                    tell(&format!(
                        "the lock of `{}` looks abandoned; watching it for {seconds} s",
                        seen.holder
                    ));
                    self.clock.sleep(seen.lasts).await;
                    match self.look().await? {
                        Some(now) if now.version == seen.version => {
                            tell(&format!("taking the lock of `{}`, which nobody renews", seen.holder));
                            self.take(&now).await?
                        }
                        // Renewed, whatever its clock says.
                        Some(now) if now.holder == seen.holder => return Err(held(&now, now.lasts)),
                        Some(_) | None => None,
                    }
                }
            };
            if let Some(transitions) = taken {
                return Ok(Taken { transitions, from });
            }
        }
        Err(LockError::Api("it keeps changing".to_string()))
    }

    /// The lease of this run on this machine is ours: the lock's file says that no other kup is at work.
    fn may_take(&self, seen: &Seen) -> bool {
        let of = |holder: &str| holder.split(" (").next().map(str::to_string);
        seen.holder.is_empty() || of(&seen.holder) == of(&self.holder)
    }

    /// Returns how long the lease still lasts by both clocks; `None` if that is over, or if the clocks
    /// disagree so much that only watching helps.
    fn rest(&self, seen: &Seen) -> Option<Duration> {
        let now = timestamp(self.clock.wall());
        let age = now.duration_since(seen.renewed?);
        let age = Duration::try_from(age).ok()?;
        seen.lasts.checked_sub(age).filter(|rest| !rest.is_zero())
    }

    async fn look(&self) -> Result<Option<Seen>, LockError> {
        let object = match self.api.get(NAME).await {
            Ok(object) => object,
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
            Err(e) => return Err(told(e)),
        };
        let spec = object.spec.unwrap_or_default();
        let lasts = spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok()).filter(|s| *s > 0);
        Ok(Some(Seen {
            version: object.metadata.resource_version.unwrap_or_default(),
            holder: spec.holder_identity.unwrap_or_default(),
            acquired: spec.acquire_time.map(|t| t.0),
            renewed: spec.renew_time.map(|t| t.0),
            lasts: lasts.map_or(LASTS, Duration::from_secs),
            transitions: spec.lease_transitions.unwrap_or_default(),
        }))
    }

    fn spec(&self, transitions: i32) -> Value {
        let now = stamp(self.clock.wall());
        json!({
            "holderIdentity": self.holder,
            "leaseDurationSeconds": LASTS.as_secs(),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": transitions,
        })
    }

    async fn create(&self, transitions: i32) -> Result<Option<i32>, LockError> {
        let object = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": { "name": NAME, "namespace": NAMESPACE },
            "spec": self.spec(transitions),
        });
        let object: Object = serde_json::from_value(object).map_err(|e| LockError::Api(e.to_string()))?;
        match self.api.create(&PostParams::default(), &object).await {
            // No lease yet is not what this says: there is no such namespace, or no such kind.
            Err(kube::Error::Api(status)) if status.code == 404 => Err(told(kube::Error::Api(status))),
            created => settle(created, transitions),
        }
    }

    /// Replaces the lease as it was seen; `None` if it has changed since.
    async fn take(&self, seen: &Seen) -> Result<Option<i32>, LockError> {
        let transitions = seen.transitions.saturating_add(1);
        let patch = json!([
            { "op": "test", "path": "/metadata/resourceVersion", "value": seen.version },
            { "op": "add", "path": "/spec", "value": self.spec(transitions) },
        ]);
        self.patch(patch, transitions).await
    }

    /// Changes single fields of our own lease; `None` if it is not ours any more.
    async fn update(&self, transitions: i32, field: &str, value: &str) -> Result<Option<i32>, LockError> {
        let patch = json!([
            { "op": "test", "path": "/spec/holderIdentity", "value": self.holder },
            { "op": "test", "path": "/spec/leaseTransitions", "value": transitions },
            { "op": "replace", "path": format!("/spec/{field}"), "value": value },
        ]);
        self.patch(patch, transitions).await
    }

    async fn patch(&self, patch: Value, transitions: i32) -> Result<Option<i32>, LockError> {
        let patch = serde_json::from_value(patch).map_err(|e| LockError::Api(e.to_string()))?;
        let patched = self.api.patch(NAME, &PatchParams::default(), &Patch::Json::<()>(patch)).await;
        settle(patched, transitions)
    }

    /// Finds out why a renewal was refused, and mends what can be mended.
    async fn recover(
        &self,
        transitions: Option<i32>,
        watched: &mut Option<Watched>,
    ) -> Result<Recovered, LockError> {
        let seen = match self.look().await? {
            None => return Ok(Recovered::Ours(self.create(transitions.unwrap_or(1)).await?)),
            Some(seen) => seen,
        };
        if transitions == Some(seen.transitions) && seen.holder == self.holder {
            return Ok(Recovered::Ours(transitions));
        }
        let ours = self.may_take(&seen) && transitions.is_none_or(|t| seen.transitions <= t);
        if ours || seen.holder.is_empty() {
            return Ok(Recovered::Ours(self.take(&seen).await?));
        }
        // Who takes a lease counts on. A lower number is of another time: a restored etcd has the lease of the
        // run that saved it, which has ended.
        let older = transitions.is_none_or(|held| seen.transitions < held);
        let now = self.clock.now();
        match watched {
            Some(last) if last.version != seen.version => Ok(Recovered::Taken(seen.holder)),
            Some(last) if now - last.since < seen.lasts => Ok(Recovered::Ours(None)),
            Some(_) => {
                tracing::warn!("taking the lock of `{}`, which nobody renews", seen.holder);
                let transitions = seen.transitions.max(transitions.unwrap_or_default());
                Ok(Recovered::Ours(self.take(&Seen { transitions, ..seen }).await?))
            }
            None if older && self.rest(&seen).is_none() => {
                *watched = Some(Watched { version: seen.version, since: now });
                Ok(Recovered::Ours(None))
            }
            None => Ok(Recovered::Taken(seen.holder)),
        }
    }
}

/// A lease of somebody else that looks abandoned.
struct Watched {
    version: String,
    since: Duration,
}

enum Recovered {
    /// Still ours, or again, if there is a number; else nobody's as far as can be seen yet.
    Ours(Option<i32>),
    Taken(String),
}

fn held(seen: &Seen, rest: Duration) -> LockError {
    let since =
        seen.acquired.map_or("an unknown time".to_string(), |t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    LockError::Held { holder: seen.holder.clone(), since, expires_in: Some(rest) }
}

/// Tells a lost race from a failure: the API says 409 to a second create, 422 to a test that does not
/// hold, and 404 when the lease has just gone.
fn settle(result: Result<Object, kube::Error>, transitions: i32) -> Result<Option<i32>, LockError> {
    match result {
        Ok(_) => Ok(Some(transitions)),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => Ok(None),
        Err(e) => Err(told(e)),
    }
}

fn told(error: kube::Error) -> LockError {
    match error {
        kube::Error::Api(status) if matches!(status.code, 401 | 403) => LockError::Forbidden(status.message),
        kube::Error::Api(status) => LockError::Api(format!("{} {}", status.code, status.message)),
        other => LockError::Api(other.to_string()),
    }
}

/// Renews a lease until it is dropped.
pub(super) struct Keeper {
    lease: Lease,
    number: Arc<AtomicI32>,
    taken: watch::Receiver<Option<String>>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Begins to renew; without a number the lease is first to be taken, when the API is back.
    pub(super) fn start(lease: Lease, held: Option<i32>) -> Keeper {
        let number = Arc::new(AtomicI32::new(held.unwrap_or_default()));
        let (tell, taken) = watch::channel(None);
        let task = tokio::spawn(keep(lease.clone(), held, number.clone(), tell));
        Keeper { lease, number, taken, task }
    }

    pub(super) fn fencing(&self) -> i32 {
        self.number.load(Ordering::Relaxed)
    }

    pub(super) async fn taken(&self) -> String {
        let mut taken = self.taken.clone();
        let found = taken.wait_for(Option::is_some).await.ok().and_then(|who| who.clone());
        match found {
            Some(who) => who,
            // The keeper is gone, and with it whoever could tell.
            None => std::future::pending().await,
        }
    }

    pub(super) async fn release(self) {
        self.task.abort();
        let number = self.fencing();
        let free = self.lease.update(number, "holderIdentity", "");
        let freed = tokio::select! {
            freed = free => freed.map(drop).map_err(|e| e.to_string()),
            () = self.lease.clock.sleep(Duration::from_secs(10)) => Err("no answer".to_string()),
        };
        if let Err(e) = freed {
            tracing::warn!("the lease was not given back: {e}; it expires by itself");
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep(
    lease: Lease,
    mut held: Option<i32>,
    number: Arc<AtomicI32>,
    tell: watch::Sender<Option<String>>,
) {
    let mut watched = None;
    loop {
        lease.clock.sleep(RENEW).await;
        let renewed = match held {
            Some(n) => lease.update(n, "renewTime", &stamp(lease.clock.wall())).await,
            None => Ok(None),
        };
        let recovered = match renewed {
            Ok(Some(_)) => continue,
            Ok(None) => lease.recover(held, &mut watched).await,
            Err(e) => Err(e),
        };
        match recovered {
            Ok(Recovered::Ours(Some(n))) => {
                (held, watched) = (Some(n), None);
                number.store(n, Ordering::Relaxed);
            }
            Ok(Recovered::Ours(None)) => {}
            Ok(Recovered::Taken(who)) => {
                let _ = tell.send(Some(who));
                return;
            }
            // The API goes away when its only server is upgraded: next time.
            Err(e) => tracing::debug!("the lease was not renewed: {e}"),
        }
    }
}
