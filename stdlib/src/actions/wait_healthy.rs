//! `wait healthy`: waits until a node, the control plane, etcd or the cluster has been healthy for some
//! looks in a row. An API that does not answer meanwhile is something to wait for, not a failure.

use std::time::Duration;

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use indexmap::IndexMap;

use super::{cordon, etcd};
use crate::api;
use crate::health::cluster::Rollouts;
use crate::health::{self, Starts};

/// After so long the rollouts of a cluster that do not go on never will. How long they take as a whole,
/// only the number of nodes knows.
const STANDSTILL: Duration = Duration::from_secs(15 * 60);

/// The verb.
pub(super) struct WaitHealthy;

/// What is to be healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Node,
    ControlPlane,
    Etcd,
    Cluster,
}

impl Scope {
    fn of(cx: &Context) -> Result<Scope, Failure> {
        match cx.args.get("scope").and_then(Value::as_text) {
            None | Some("node") => Ok(Scope::Node),
            Some("control_plane") => Ok(Scope::ControlPlane),
            Some("etcd") => Ok(Scope::Etcd),
            Some("cluster") => Ok(Scope::Cluster),
            Some(other) => Err(Failure::last(format!("`{other}` is nothing to wait for"))),
        }
    }

    /// How many looks in a row must be good, and how far apart they are.
    fn window(self) -> (i64, Duration) {
        match self {
            Scope::Node => (2, Duration::from_secs(1)),
            Scope::ControlPlane => (3, Duration::from_secs(1)),
            Scope::Etcd => (2, Duration::from_secs(2)),
            Scope::Cluster => (3, Duration::from_secs(2)),
        }
    }

    fn name(self, cx: &Context) -> Result<String, Failure> {
        Ok(match self {
            Scope::Node => format!("node {}", cordon::node_of(cx)?),
            Scope::ControlPlane => "control plane".to_string(),
            Scope::Etcd => "etcd".to_string(),
            Scope::Cluster => "cluster".to_string(),
        })
    }
}

#[async_trait]
impl Action for WaitHealthy {
    fn name(&self) -> &'static str {
        "wait healthy"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let scope = Scope::of(cx)?;
        if scope != Scope::Etcd {
            api::client(&cx.ports)?;
        }
        let name = scope.name(cx)?;
        Ok(Check::Needs { now: String::new(), then: format!("{name} healthy"), before: Value::None })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let reason = format!("a first look at the {}", Scope::of(cx)?.name(cx)?);
        Ok(Progress::Pending {
            handle: handle(0, &Starts::new(), &Rollouts::default()),
            reason,
            again: Duration::ZERO,
        })
    }

    async fn poll(&self, cx: &Context, last: &Value) -> Result<Progress, Failure> {
        let scope = Scope::of(cx)?;
        let name = scope.name(cx)?;
        let (passes, mut starts, mut rollouts) = read(last);
        let look = match scope {
            Scope::Node => {
                health::node::look(cx, &api::client(&cx.ports)?, cordon::node_of(cx)?, &mut starts).await
            }
            Scope::ControlPlane => {
                health::control_plane::look(cx, &api::client(&cx.ports)?, &mut starts).await
            }
            Scope::Etcd => etcd::look(cx).await,
            Scope::Cluster => {
                health::cluster::look(cx, &api::client(&cx.ports)?, &mut starts, &mut rollouts).await
            }
        };
        let (wanted, again) = scope.window();
        let (passes, reason) = match look {
            Ok(None) if passes + 1 >= wanted => {
                return Ok(Progress::Done(Value::Text(format!("{name} healthy"))));
            }
            Ok(None) => (passes + 1, format!("{name} looks healthy; is it stable?")),
            Ok(Some(finding)) => (0, finding),
            // Right after its start an apiserver may even refuse what it allows a second later.
            Err(failure) => (0, failure.message),
        };
        if scope == Scope::Cluster && rollouts.idle >= STANDSTILL {
            let waited = Value::Duration(millis(STANDSTILL).unsigned_abs());
            return Err(Failure::last(format!("no progress for {waited}, waiting for {reason}")));
        }
        Ok(Progress::Pending { handle: handle(passes, &starts, &rollouts), reason, again })
    }
}

/// Writes how many looks in a row were good, how often each static pod had started, and how far the
/// rollouts are.
fn handle(passes: i64, starts: &Starts, rollouts: &Rollouts) -> Value {
    let starts = starts.iter().map(|(pod, mark)| (pod.clone(), Value::Text(mark.clone())));
    let mut handle = IndexMap::from([
        ("passes".to_string(), Value::Number(passes)),
        ("starts".to_string(), Value::Record(starts.collect())),
    ]);
    if *rollouts != Rollouts::default() {
        let Rollouts { changes, updated, idle, at } = *rollouts;
        let fields = [("changes", changes), ("updated", updated), ("idle", millis(idle)), ("at", millis(at))];
        let fields = fields.map(|(name, number)| (name.to_string(), Value::Number(number)));
        handle.insert("rollouts".to_string(), Value::Record(fields.into()));
    }
    Value::Record(handle)
}

/// Reads it; what cannot be read begins anew.
fn read(handle: &Value) -> (i64, Starts, Rollouts) {
    let number = |of: Option<&Value>, field: &str| match of.and_then(|of| of.get(field)) {
        Some(Value::Number(number)) => *number,
        _ => 0,
    };
    let rollouts = handle.get("rollouts");
    let [changes, updated, idle, at] =
        ["changes", "updated", "idle", "at"].map(|field| number(rollouts, field));
    let [idle, at] = [idle, at].map(|ms| Duration::from_millis(ms.unsigned_abs()));
    let starts = match handle.get("starts") {
        Some(Value::Record(starts)) => {
            starts.iter().filter_map(|(pod, mark)| Some((pod.clone(), mark.as_text()?.to_string()))).collect()
        }
        _ => Starts::new(),
    };
    (number(Some(handle), "passes"), starts, Rollouts { changes, updated, idle, at })
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::crictl;
    use crate::testing::{self, Cluster, Scripted, Still, context, named};
    use engine::event::Class;
    use serde_json::{Value as Json, json};

    const POD: &str = "/api/v1/namespaces/kube-system/pods";

    fn cluster() -> Cluster {
        let cluster = Cluster::new();
        for (name, control_plane) in [("cp1", true), ("cp2", true), ("w1", false)] {
            cluster.node(name, "v1.34.4", control_plane);
            if control_plane {
                cluster.control_plane(name, "v1.34.4");
            }
            cluster.pod("kube-system", &format!("kube-proxy-{name}"), name, |pod| {
                pod["metadata"]["ownerReferences"][0]["kind"] = json!("DaemonSet");
            });
        }
        daemon_set(&cluster, 3, 3);
        cluster
    }

    fn daemon_set(cluster: &Cluster, updated: i32, available: i32) {
        let status = json!({ "currentNumberScheduled": 3, "desiredNumberScheduled": 3, "numberMisscheduled": 0,
            "numberReady": available, "updatedNumberScheduled": updated, "numberAvailable": available });
        let object = json!({ "metadata": named("kube-system", "kube-proxy"),
            "spec": { "selector": {}, "template": {} }, "status": status });
        cluster.put("/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy", object);
    }

    fn change(cluster: &Cluster, path: &str, change: impl FnOnce(&mut Json)) {
        let mut object = cluster.get(path);
        assert!(!object.is_null(), "{path}");
        change(&mut object);
        cluster.put(path, object);
    }

    async fn waiting(cluster: &Cluster, scope: &str) -> (Context, Value) {
        let cx = context(cluster, "cp1", &[("scope", Value::Word(scope.into()))]).await;
        let Ok(Progress::Pending { handle, .. }) = WaitHealthy.start(&cx, &Value::None).await else {
            panic!("a wait begins")
        };
        (cx, handle)
    }

    async fn poll(cx: &Context, handle: &mut Value) -> String {
        match WaitHealthy.poll(cx, handle).await.unwrap() {
            Progress::Pending { handle: next, reason, .. } => {
                *handle = next;
                reason
            }
            Progress::Done(value) => format!("done: {value}"),
        }
    }

    /// Returns the reason why a changed cluster is not healthy.
    async fn finding(scope: &str, change: impl FnOnce(&Cluster)) -> String {
        let cluster = cluster();
        let (cx, mut handle) = waiting(&cluster, scope).await;
        change(&cluster);
        poll(&cx, &mut handle).await
    }

    #[tokio::test]
    async fn healthy_is_what_was_healthy_some_looks_in_a_row() {
        for (scope, looks, name) in
            [("node", 2, "node cp1"), ("control_plane", 3, "control plane"), ("cluster", 3, "cluster")]
        {
            let cluster = cluster();
            let (cx, mut handle) = waiting(&cluster, scope).await;
            for _ in 1..looks {
                assert_eq!(poll(&cx, &mut handle).await, format!("{name} looks healthy; is it stable?"));
            }
            assert_eq!(poll(&cx, &mut handle).await, format!("done: {name} healthy"));
        }
    }

    #[tokio::test]
    async fn a_static_pod_that_restarts_between_looks_begins_the_window_anew() {
        let cluster = cluster();
        let (cx, mut handle) = waiting(&cluster, "control_plane").await;
        poll(&cx, &mut handle).await;
        poll(&cx, &mut handle).await;
        change(&cluster, &format!("{POD}/etcd-cp2"), |pod| {
            pod["status"]["containerStatuses"][0]["restartCount"] = json!(1);
        });
        assert_eq!(poll(&cx, &mut handle).await, "etcd-cp2 has just restarted");
        for _ in 0..2 {
            assert!(poll(&cx, &mut handle).await.contains("looks healthy"));
        }
        assert_eq!(poll(&cx, &mut handle).await, "done: control plane healthy");
    }

    #[tokio::test]
    async fn an_api_that_does_not_answer_is_waited_for() {
        let cluster = cluster();
        let (cx, mut handle) = waiting(&cluster, "node").await;
        poll(&cx, &mut handle).await;
        cluster.down(true);
        let reason = poll(&cx, &mut handle).await;
        assert!(reason.contains("the API cannot be reached"), "{reason}");
        cluster.down(false);
        poll(&cx, &mut handle).await;
        assert_eq!(poll(&cx, &mut handle).await, "done: node cp1 healthy");
    }

    #[tokio::test]
    async fn the_api_says_which_of_its_checks_fails() {
        let text = finding("node", |c| c.answer("GET /readyz", 500, json!("x"))).await;
        assert_eq!(text, "the API is not ready: it answered 500");
    }

    #[tokio::test]
    async fn a_node_is_judged_by_what_runs_on_it_and_not_by_ready_alone() {
        let text =
            finding("node", |c| c.lease("kube-node-lease", "cp1", "2026-11-21T11:59:00.000000Z")).await;
        assert_eq!(text, "the kubelet of cp1 has not been heard of for 40s");
        let unready = |pod: &mut Json| pod["status"]["conditions"][0]["status"] = json!("False");
        let text = finding("node", |c| change(c, &format!("{POD}/kube-proxy-cp1"), unready)).await;
        assert_eq!(text, "kube-proxy-cp1 is not Ready");
        let text = finding("node", |c| change(c, &format!("{POD}/etcd-cp1"), unready)).await;
        assert_eq!(text, "etcd-cp1 is not Ready");
        let text = finding("node", |c| c.remove(&format!("{POD}/kube-scheduler-cp1"))).await;
        assert_eq!(text, "kube-scheduler-cp1 is missing");
        // Another node's pods are not this node's concern.
        let text = finding("node", |c| change(c, &format!("{POD}/etcd-cp2"), unready)).await;
        assert_eq!(text, "node cp1 looks healthy; is it stable?");
    }

    #[tokio::test]
    async fn who_stands_by_may_just_have_started_but_no_member_of_etcd() {
        let starting = |pod: &mut Json| {
            pod["status"]["conditions"][0]["status"] = json!("False");
            pod["status"]["containerStatuses"][0]["started"] = json!(false);
            pod["status"]["containerStatuses"][0]["state"] =
                json!({ "running": { "startedAt": "2026-11-21T12:00:00Z" } });
        };
        let of = |pod: &str| {
            let path = format!("{POD}/{pod}");
            move |c: &Cluster| change(c, &path, starting)
        };
        let well = "control plane looks healthy; is it stable?";
        assert_eq!(finding("control_plane", of("kube-scheduler-cp1")).await, well);
        assert_eq!(finding("control_plane", of("kube-controller-manager-cp2")).await, well);
        assert_eq!(finding("control_plane", of("etcd-cp1")).await, "etcd-cp1 is not Ready");
        assert_eq!(
            finding("control_plane", of("kube-apiserver-cp1")).await,
            "kube-apiserver-cp1 is not Ready"
        );
        for scope in ["node", "cluster"] {
            let text = finding(scope, of("kube-scheduler-cp1")).await;
            assert_eq!(text, "kube-scheduler-cp1 is not Ready", "{scope}");
        }
    }

    #[tokio::test]
    async fn etcd_and_the_apiserver_may_answer_for_themselves_before_their_kubelet_does() {
        const READYZ: &str =
            "GET /api/v1/namespaces/kube-system/pods/https:kube-apiserver-cp1:6443/proxy/readyz";
        const HEALTH: &str = "crictl exec abc1 etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/server.crt --key=/etc/kubernetes/pki/etcd/server.key endpoint health -w json";
        let well = "control plane looks healthy; is it stable?";
        let look = async |pod: &str, state: Json, readyz: u16, shells: Scripted| {
            let cluster = cluster();
            let (mut cx, mut handle) = waiting(&cluster, "control_plane").await;
            change(&cluster, &format!("{POD}/{pod}"), |pod| {
                pod["status"]["conditions"][0]["status"] = json!("False");
                pod["status"]["containerStatuses"][0]["state"] = state;
            });
            cluster.answer(READYZ, readyz, json!("ok"));
            cx.ports = testing::ports(Some(&cluster), &shells, &Arc::new(Still::default())).into();
            poll(&cx, &mut handle).await
        };
        let running = || json!({ "running": { "startedAt": "2026-11-21T12:00:00Z" } });
        let member = || Scripted::default().says("cp1", &crictl::ps("etcd").join(" "), "abc1\n");
        assert_eq!(look("kube-apiserver-cp1", running(), 200, Scripted::default()).await, well);
        let starting = "kube-apiserver-cp1 is not Ready";
        assert_eq!(look("kube-apiserver-cp1", running(), 500, Scripted::default()).await, starting);
        assert_eq!(
            look("etcd-cp1", running(), 200, member().says("cp1", HEALTH, "is healthy\n")).await,
            well
        );
        assert_eq!(look("etcd-cp1", running(), 200, member()).await, "etcd-cp1 is not Ready");
        assert_eq!(look("etcd-cp1", running(), 200, Scripted::default()).await, "etcd-cp1 is not Ready");
        // What its kubelet knows to have ended is not asked.
        let ended = json!({ "waiting": { "reason": "CrashLoopBackOff" } });
        let finding = look("kube-apiserver-cp1", ended, 200, Scripted::default()).await;
        assert_eq!(finding, "kube-apiserver-cp1 is not Ready (CrashLoopBackOff)");
    }

    #[tokio::test]
    async fn the_leaders_must_be_at_work() {
        let late = "2026-11-21T11:59:30.000000Z";
        for scope in ["control_plane", "cluster"] {
            let text = finding(scope, |c| c.lease("kube-system", "kube-scheduler", late)).await;
            assert_eq!(text, "no kube-scheduler has renewed its lease for 15s");
        }
    }

    #[tokio::test]
    async fn the_cluster_is_judged_by_what_carries_it() {
        let text = finding("cluster", |c| daemon_set(c, 2, 3)).await;
        assert_eq!(text, "DaemonSet kube-system/kube-proxy: 2 of 3 pods are updated");
        let text = finding("cluster", |c| daemon_set(c, 3, 2)).await;
        assert_eq!(text, "DaemonSet kube-system/kube-proxy: 2 of 3 pods are available");
        let dns = json!({ "metadata": named("kube-system", "coredns"), "spec": { "replicas": 2, "selector": {}, "template": {} },
            "status": { "updatedReplicas": 2, "availableReplicas": 1 } });
        let path = "/apis/apps/v1/namespaces/kube-system/deployments/coredns";
        assert_eq!(finding("cluster", |c| c.put(path, dns)).await, "CoreDNS: 1 of 2 pods are available");
        let condition = json!({ "type": "Available", "status": "False", "reason": "MissingEndpoints" });
        let service = json!({ "metadata": { "name": "v1beta1.metrics.k8s.io" }, "status": { "conditions": [condition] } });
        let path = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io";
        let text = finding("cluster", |c| c.put(path, service)).await;
        assert_eq!(text, "API v1beta1.metrics.k8s.io is not available (MissingEndpoints)");
        let text =
            finding("cluster", |c| c.lease("kube-node-lease", "w1", "2026-11-21T11:00:00.000000Z")).await;
        assert_eq!(text, "the kubelet of w1 has not been heard of for 40s");
    }

    #[tokio::test]
    async fn what_crashed_before_the_upgrade_is_not_held_against_it() {
        let crash = |restarts: i32| {
            move |c: &Cluster| {
                for node in ["cp1", "cp2"] {
                    change(c, &format!("{POD}/kube-apiserver-{node}"), |pod| {
                        pod["status"]["containerStatuses"][0]["state"] =
                            json!({ "running": { "startedAt": "2026-11-21T11:50:00Z" } });
                    });
                }
                c.pod("kube-system", "metrics-1", "w1", |pod| {
                    pod["status"]["containerStatuses"] = json!([{ "name": "main", "restartCount": restarts, "ready": false,
                        "image": "", "imageID": "", "state": { "waiting": { "reason": "CrashLoopBackOff" } } }]);
                });
            }
        };
        assert_eq!(finding("cluster", crash(4)).await, "metrics-1 is in CrashLoopBackOff");
        assert_eq!(finding("cluster", crash(40)).await, "cluster looks healthy; is it stable?");
    }

    /// A cluster whose leases hold for a day, and a clock.
    async fn long_wait() -> (Cluster, Arc<Still>, Context, Value) {
        let (cluster, clock) = (cluster(), Arc::new(Still::default()));
        for (namespace, name) in [
            ("kube-system", "kube-controller-manager"),
            ("kube-system", "kube-scheduler"),
            ("kube-node-lease", "cp1"),
            ("kube-node-lease", "cp2"),
            ("kube-node-lease", "w1"),
        ] {
            cluster.lease(namespace, name, "2026-11-22T12:00:00.000000Z");
        }
        let (mut cx, handle) = waiting(&cluster, "cluster").await;
        cx.ports = testing::ports(Some(&cluster), &Scripted::default(), &clock).into();
        (cluster, clock, cx, handle)
    }

    #[tokio::test]
    async fn a_rollout_costs_no_list_of_nodes_until_it_stands_still() {
        let (cluster, clock, cx, mut handle) = long_wait().await;
        cluster.lease("kube-node-lease", "w1", "2026-11-21T11:00:00.000000Z");
        for updated in [1, 2] {
            daemon_set(&cluster, updated, 3);
            for _ in 0..10 {
                let rollout = format!("DaemonSet kube-system/kube-proxy: {updated} of 3 pods are updated");
                assert_eq!(poll(&cx, &mut handle).await, rollout);
                clock.advance(Duration::from_secs(3));
            }
        }
        for _ in 0..3 {
            let why = "the kubelet of w1 has not been heard of for 40s";
            assert_eq!(poll(&cx, &mut handle).await, why);
            clock.advance(Duration::from_secs(3));
        }
    }

    #[tokio::test]
    async fn a_rollout_is_waited_for_as_long_as_it_goes_on() {
        let (cluster, clock, cx, mut handle) = long_wait().await;
        for updated in [1, 2] {
            daemon_set(&cluster, updated, 3);
            for _ in 0..15 {
                poll(&cx, &mut handle).await;
                clock.advance(Duration::from_secs(60));
            }
        }
        let failure = WaitHealthy.poll(&cx, &handle).await.unwrap_err();
        let text =
            "no progress for 15m, waiting for DaemonSet kube-system/kube-proxy: 2 of 3 pods are updated";
        assert_eq!((failure.class, failure.message.as_str()), (Class::Final, text));
    }

    #[tokio::test]
    async fn a_look_at_the_cluster_costs_no_request_a_node() {
        let cluster = cluster();
        let (cx, mut handle) = waiting(&cluster, "cluster").await;
        for i in 0..40 {
            cluster.node(&format!("x{i}"), "v1.34.4", false);
        }
        let before = cluster.count();
        poll(&cx, &mut handle).await;
        // A page holds two objects here; each kind is listed once.
        let pages = 43_usize.div_ceil(2) * 2 + 11_usize.div_ceil(2) + 1;
        assert!(cluster.count() - before <= pages + 6, "{} requests", cluster.count() - before);
    }
}
