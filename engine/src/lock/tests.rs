use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::FutureExt;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;
use crate::port::{Clock, Shell, Shells};

/// Tokio's paused clock, shifted by what a wrong clock is wrong by.
struct Leaping(tokio::time::Instant, u64);

#[async_trait]
impl Clock for Leaping {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
    fn wall(&self) -> Duration {
        Duration::from_secs(1_800_000_000 + self.1) + self.0.elapsed()
    }
    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

struct NoShells;
impl Shells for NoShells {
    fn on(&self, _: &str) -> Arc<dyn Shell> {
        Arc::new(crate::live::Local)
    }
    fn here(&self) -> Arc<dyn Shell> {
        Arc::new(crate::live::Local)
    }
}

/// An API that has one lease at most.
#[derive(Clone, Default)]
struct Cluster(Arc<Mutex<Store>>);

#[derive(Default)]
struct Store {
    lease: Option<Value>,
    version: u64,
    down: bool,
    start: Option<tokio::time::Instant>,
}

impl Store {
    fn answer(&mut self, method: &Method, body: Value) -> (u16, Value) {
        let status =
            |code: u16| (code, json!({"kind": "Status", "status": "Failure", "code": code, "message": "no"}));
        let lease = match (method, body) {
            _ if self.down => return status(503),
            (&Method::GET, _) => return self.lease.clone().map_or(status(404), |l| (200, l)),
            (&Method::POST, _) if self.lease.is_some() => return status(409),
            (&Method::POST, body) => body,
            (&Method::PATCH, body) => {
                let Some(mut lease) = self.lease.clone() else { return status(404) };
                for op in body.as_array().unwrap() {
                    let (path, value) = (op["path"].as_str().unwrap(), &op["value"]);
                    match op["op"].as_str().unwrap() {
                        "test" if lease.pointer(path) != Some(value) => return status(422),
                        "test" => {}
                        _ => *lease.pointer_mut(path).unwrap() = value.clone(),
                    }
                }
                lease
            }
            _ => return status(405),
        };
        self.version += 1;
        let lease = self.lease.insert(lease);
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        (200, lease.clone())
    }
}

impl Cluster {
    fn ports(&self, ahead: u64) -> Ports {
        let store = self.0.clone();
        let start = *store.lock().unwrap().start.get_or_insert_with(tokio::time::Instant::now);
        let api = tower::service_fn(move |request: Request<Body>| {
            let store = store.clone();
            async move {
                let method = request.method().clone();
                let bytes = request.into_body().collect().await.unwrap().to_bytes();
                let body = serde_json::from_slice(&bytes).unwrap_or_default();
                let (code, answer) = store.lock().unwrap().answer(&method, body);
                let answer =
                    Response::builder().status(code).body(Body::from(answer.to_string().into_bytes()));
                Ok::<_, std::convert::Infallible>(answer.unwrap())
            }
        });
        let kube = Some(kube::Client::new(api, "default"));
        Ports { kube, shells: Arc::new(NoShells), clock: Arc::new(Leaping(start, ahead)), web: None }
    }

    fn spec(&self) -> Value {
        self.0.lock().unwrap().lease.as_ref().unwrap()["spec"].clone()
    }

    fn down(&self, down: bool) {
        self.0.lock().unwrap().down = down;
    }
}

fn who(host: &str) -> Who {
    Who { host: host.into(), user: "ann".into() }
}

/// Another machine each, so that only the lease stands between them.
async fn ask(cluster: &Cluster, run: &str, ahead: u64) -> Result<Lock, LockError> {
    let root = tempfile::tempdir().unwrap();
    Lock::acquire(&cluster.ports(ahead), root.path(), "u-1", run, &who(run)).await
}

async fn wait(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_second_run_is_told_who_holds_the_lock() {
    let cluster = Cluster::default();
    let lock = ask(&cluster, "one", 0).await.unwrap();
    assert_eq!(lock.fencing(), 1);
    wait(40).await;
    let error = ask(&cluster, "two", 0).await.err().unwrap();
    assert_eq!(
        error.to_string(),
        "`one@one (ann)` holds the lock of this cluster since 2027-01-15T08:00:00Z; if it has died, its lease \
         expires in 50 s\nhint: look at it with `kup status` there, wait for its end, then run again\nhint: if its \
         machine is lost, `kup takeover RUN` goes on with it here once the lease has expired"
    );
    lock.release().await;
    assert_eq!(cluster.spec()["holderIdentity"], "");
    assert_eq!(ask(&cluster, "two", 0).await.unwrap().fencing(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_lease_is_watched_for_its_duration_and_then_taken() {
    let cluster = Cluster::default();
    drop(ask(&cluster, "one", 0).await.unwrap());
    assert!(matches!(ask(&cluster, "two", 0).await, Err(LockError::Held { .. })));
    wait(61).await;
    let (ports, root, begun) = (cluster.ports(0), tempfile::tempdir().unwrap(), tokio::time::Instant::now());
    let mut told = Vec::new();
    let mut tell = |text: &str| told.push(text.to_string());
    let lock = Lock::acquire_telling(&ports, root.path(), "u-1", "two", &who("b"), &mut tell).await.unwrap();
    assert_eq!((lock.fencing(), begun.elapsed().as_secs()), (2, 60));
    assert!(told[0].contains("watching it for 60 s"), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_clock_cannot_steal_a_lease_that_is_renewed() {
    let cluster = Cluster::default();
    let lock = ask(&cluster, "one", 0).await.unwrap();
    for ahead in [3600, 86_400] {
        assert!(matches!(ask(&cluster, "two", ahead).await, Err(LockError::Held { .. })));
    }
    assert_eq!(lock.fencing(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_resumed_takes_its_own_lease_at_once() {
    let cluster = Cluster::default();
    drop(ask(&cluster, "one", 0).await.unwrap());
    let begun = tokio::time::Instant::now();
    assert_eq!(ask(&cluster, "one", 0).await.unwrap().fencing(), 2);
    assert_eq!(begun.elapsed().as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_run_on_another_machine_keeps_its_lease_until_it_is_taken_over() {
    let (cluster, root) = (Cluster::default(), tempfile::tempdir().unwrap());
    let first = ask(&cluster, "one", 0).await.unwrap();
    let (ports, me) = (cluster.ports(0), who("elsewhere"));
    // A copy of its folder is no right to its lock.
    let copied = Lock::acquire(&ports, root.path(), "u-1", "one", &me).await;
    assert!(matches!(copied, Err(LockError::Held { .. })));
    let mut tell = |_: &str| {};
    let renewed = Lock::take_over(&ports, root.path(), "u-1", "one", &me, false, &mut tell).await;
    assert!(matches!(renewed, Err(LockError::Held { .. })), "its holder is alive");
    let forced = Lock::take_over(&ports, root.path(), "u-1", "one", &me, true, &mut tell).await.unwrap();
    assert_eq!((forced.taken_from(), forced.fencing()), (Some("one@one (ann)"), 2));
    assert_eq!(first.taken().await, "one@elsewhere (ann)");
    drop((first, forced));
    let begun = tokio::time::Instant::now();
    let third = who("third");
    let last = Lock::take_over(&ports, root.path(), "u-1", "one", &third, false, &mut tell).await.unwrap();
    assert_eq!(last.taken_from(), Some("one@elsewhere (ann)"));
    assert!((60..=121).contains(&begun.elapsed().as_secs()), "watched for as long as it lasts");
}

#[tokio::test(start_paused = true)]
async fn an_api_that_goes_away_does_not_lose_the_lease() {
    let cluster = Cluster::default();
    let lock = ask(&cluster, "one", 0).await.unwrap();
    wait(20).await;
    cluster.down(true);
    wait(600).await;
    cluster.down(false);
    wait(20).await;
    assert!(matches!(ask(&cluster, "two", 0).await, Err(LockError::Held { .. })));
    // Somebody cleaned up: it comes back.
    cluster.0.lock().unwrap().lease = None;
    wait(20).await;
    assert_eq!(cluster.spec()["holderIdentity"], "one@one (ann)");
    assert_eq!(lock.fencing(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_lost_the_lease_is_told_who_took_it() {
    let cluster = Cluster::default();
    let lock = ask(&cluster, "one", 0).await.unwrap();
    cluster.down(true);
    wait(60).await;
    let spec = json!({"holderIdentity": "two@b (bob)", "leaseTransitions": 2, "leaseDurationSeconds": 60});
    cluster.0.lock().unwrap().lease.as_mut().unwrap()["spec"] = spec;
    cluster.down(false);
    assert_eq!(lock.taken().await, "two@b (bob)");
    lock.release().await;
    assert_eq!(cluster.spec()["holderIdentity"], "two@b (bob)");
}

#[tokio::test(start_paused = true)]
async fn the_run_that_broke_the_only_api_may_mend_it() {
    let (cluster, root) = (Cluster::default(), tempfile::tempdir().unwrap());
    let ask = async |run: &str| Lock::acquire(&cluster.ports(0), root.path(), "u-1", run, &who("a")).await;
    drop(ask("one").await.unwrap());
    cluster.down(true);
    let lock = ask("one").await.unwrap();
    cluster.down(false);
    wait(20).await;
    assert_eq!((lock.fencing(), cluster.spec()["leaseTransitions"].clone()), (2, json!(2)));
    drop(lock);
    cluster.down(true);
    assert!(matches!(ask("two").await, Err(LockError::Api(_))));
}

/// An etcd restored from what the run `old` saved: its lease is there again, of a minute ago.
async fn restored(resumed: bool) -> (Cluster, tempfile::TempDir, Lock) {
    let (cluster, root) = (Cluster::default(), tempfile::tempdir().unwrap());
    let ask = async |run: &str| Lock::acquire(&cluster.ports(0), root.path(), "u-1", run, &who("a")).await;
    let old = ask("old").await.unwrap();
    let saved = cluster.0.lock().unwrap().lease.clone();
    old.release().await;
    let mut lock = ask("one").await.unwrap();
    cluster.down(true);
    if resumed {
        drop(lock);
        lock = ask("one").await.unwrap();
    }
    wait(90).await;
    cluster.0.lock().unwrap().lease = saved;
    cluster.down(false);
    wait(20).await;
    assert_eq!(cluster.spec()["holderIdentity"], "old@a (ann)", "it is watched first");
    (cluster, root, lock)
}

#[tokio::test(start_paused = true)]
async fn the_run_that_restored_etcd_takes_the_lease_back_from_the_one_that_saved_it() {
    for resumed in [false, true] {
        let (cluster, _root, lock) = restored(resumed).await;
        wait(80).await;
        assert_eq!(cluster.spec()["holderIdentity"], "one@a (ann)");
        assert!(lock.taken().now_or_never().is_none());
        assert_eq!(cluster.spec()["leaseTransitions"], json!(lock.fencing()));
        assert!(resumed || lock.fencing() > 2, "the number only grows");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_came_with_a_restored_etcd_is_theirs_where_somebody_renews_it() {
    let (cluster, _root, lock) = restored(true).await;
    {
        let mut store = cluster.0.lock().unwrap();
        store.lease.as_mut().unwrap()["metadata"]["resourceVersion"] = json!("1000");
    }
    assert_eq!(lock.taken().await, "old@a (ann)");
    assert_eq!(cluster.spec()["holderIdentity"], "old@a (ann)");
}

#[tokio::test(start_paused = true)]
async fn on_one_machine_the_file_is_enough() {
    let root = tempfile::tempdir().unwrap();
    let ports = Ports { kube: None, ..Cluster::default().ports(0) };
    let lock = Lock::acquire(&ports, root.path(), "", "one", &who("a")).await.unwrap();
    let error = Lock::acquire(&ports, root.path(), "", "two", &who("a")).await.err().unwrap().to_string();
    assert!(error.starts_with("`one@a (ann), process "), "{error}");
    assert!(Lock::acquire(&ports, root.path(), "../x", "two", &who("a")).await.is_ok());
    lock.release().await;
    assert!(Lock::acquire(&ports, root.path(), "", "two", &who("a")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_somebody_only_looks_at_or_is_just_giving_back_is_free() {
    let root = tempfile::tempdir().unwrap();
    let ports = Ports { kube: None, ..Cluster::default().ports(0) };
    let lock = Lock::acquire(&ports, root.path(), "", "one", &who("a")).await.unwrap();
    lock.release().await;
    let file = std::fs::File::open(root.path().join("locks/hosts.lock")).unwrap();
    file.lock_shared().unwrap();
    let look = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        drop(file);
    });
    assert!(Lock::acquire(&ports, root.path(), "", "two", &who("a")).await.is_ok());
    look.join().unwrap();
}
