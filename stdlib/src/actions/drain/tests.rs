//! Drains against an API server of plain JSON; stories with many actors are told in `sim`.

use std::sync::Arc;

use super::*;
use crate::testing::{self, Cluster, Scripted, Still, context, named};
use serde_json::{Value as Json, json};

const EVICT_DB: &str = "POST /api/v1/namespaces/shop/pods/db-1/eviction";

fn cluster() -> Cluster {
    let cluster = Cluster::new();
    cluster.node("w1", "v1.33.4", false);
    cluster.put(
        "/apis/apps/v1/namespaces/kube-system/daemonsets/proxy",
        json!({ "metadata": named("kube-system", "proxy") }),
    );
    cluster.pod("kube-system", "proxy-1", "w1", |pod| {
        pod["metadata"]["ownerReferences"][0]["kind"] = json!("DaemonSet");
        pod["metadata"]["ownerReferences"][0]["name"] = json!("proxy");
    });
    for name in ["db-1", "web-1", "web-2"] {
        cluster.pod("shop", name, "w1", |_| {});
    }
    cluster.pod("shop", "elsewhere", "w2", |_| {});
    cluster
}

fn held() -> Json {
    let cause = "The disruption budget db needs 2 healthy pods and has 2 currently";
    json!({ "kind": "Status", "code": 429, "message": "Cannot evict pod as it would violate the pod's disruption budget.",
        "details": { "causes": [{ "reason": "DisruptionBudget", "message": cause }] } })
}

/// Begins a drain and returns its handle.
async fn begin(cx: &Context) -> Value {
    let Progress::Pending { handle, reason, .. } = Drain.start(cx, &Value::None).await.unwrap() else {
        panic!("there was work")
    };
    assert_eq!(reason, "3 pods to evict");
    handle
}

/// Polls once and returns the new handle with the reason, or nothing when it is done.
async fn poll(cx: &Context, handle: &Value) -> Option<(Value, String)> {
    match Drain.poll(cx, handle).await.unwrap() {
        Progress::Pending { handle, reason, .. } => Some((handle, reason)),
        Progress::Done(_) => None,
    }
}

#[tokio::test]
async fn a_drain_cordons_evicts_and_leaves_daemon_sets() {
    let cluster = cluster();
    let cx = context(&cluster, "w1", &[("grace", Value::Duration(7000))]).await;
    assert!(matches!(Drain.check(&cx).await, Ok(Check::Needs { now, .. }) if now == "3 pods to evict"));
    let handle = begin(&cx).await;
    assert_eq!(cluster.get("/api/v1/nodes/w1")["spec"]["unschedulable"], true);
    let (handle, _) = poll(&cx, &handle).await.unwrap();
    assert_eq!(cluster.sent(EVICT_DB)[0]["deleteOptions"]["gracePeriodSeconds"], 7);
    assert_eq!(poll(&cx, &handle).await, None);
    assert_ne!(cluster.get("/api/v1/namespaces/kube-system/pods/proxy-1"), Json::Null);
    assert_ne!(cluster.get("/api/v1/namespaces/shop/pods/elsewhere"), Json::Null);
    assert_eq!(Drain.check(&cx).await, Ok(Check::Done("cordoned, nothing left to evict".into())));
}

#[tokio::test]
async fn a_pod_under_a_budget_does_not_hold_up_the_others() {
    let cluster = cluster();
    let clock = Arc::new(Still::default());
    let mut cx = context(&cluster, "w1", &[]).await;
    cx.ports = testing::ports(Some(&cluster), &Scripted::default(), &clock).into();
    cluster.answer(EVICT_DB, 429, held());
    let handle = begin(&cx).await;
    let (handle, reason) = poll(&cx, &handle).await.unwrap();
    assert_eq!(reason, "pod shop/db-1 <- PDB shop/db needs 2 healthy, has 2");
    assert_eq!(cluster.get("/api/v1/namespaces/shop/pods/web-2"), Json::Null);
    // Four seconds later it is not asked again, five seconds later it is.
    clock.advance(Duration::from_secs(4));
    let (handle, _) = poll(&cx, &handle).await.unwrap();
    assert_eq!(cluster.sent(EVICT_DB).len(), 1);
    clock.advance(Duration::from_secs(1));
    let (handle, _) = poll(&cx, &handle).await.unwrap();
    assert_eq!(cluster.sent(EVICT_DB).len(), 2);
    assert_eq!(poll(&cx, &handle).await, None);
}

#[tokio::test]
async fn what_a_budget_waits_for_is_told_down_to_the_image() {
    let cluster = cluster();
    let budget = json!({ "metadata": named("shop", "db"), "spec": { "selector": { "matchLabels": { "app": "db" } } },
        "status": { "expectedPods": 2, "desiredHealthy": 2, "currentHealthy": 1, "disruptionsAllowed": 0 } });
    cluster.put("/apis/policy/v1/namespaces/shop/poddisruptionbudgets/db", budget);
    cluster.pod("shop", "db-1", "w1", |pod| pod["metadata"]["labels"] = json!({ "app": "db" }));
    cluster.pod("shop", "db-0", "w2", |pod| {
        pod["metadata"]["labels"] = json!({ "app": "db" });
        let waiting = json!({ "reason": "ImagePullBackOff" });
        pod["status"]["conditions"] = json!([{ "type": "Ready", "status": "False", "lastTransitionTime": "2026-11-21T09:12:00Z" }]);
        pod["status"]["containerStatuses"] = json!([{ "name": "db", "image": "shop/db:13", "imageID": "", "ready": false,
            "restartCount": 0, "state": { "waiting": waiting } }]);
    });
    let reason = async |cluster: &Cluster| {
        cluster.answer(EVICT_DB, 429, held());
        let cx = context(cluster, "w1", &[]).await;
        let handle = begin(&cx).await;
        poll(&cx, &handle).await.unwrap().1
    };
    let held = "pod shop/db-1 <- PDB shop/db needs 2 healthy, has 2";
    let pod = "pod shop/db-0 on w2 is not Ready since 2026-11-21 09:12 UTC (ImagePullBackOff)";
    assert_eq!(reason(&cluster).await, format!("{held} <- {pod} <- image shop/db:13 cannot be pulled"));
    for name in ["web-1", "web-2"] {
        cluster.pod("shop", name, "w1", |_| {});
    }
    cluster.remove("/api/v1/namespaces/shop/pods/db-0");
    assert_eq!(reason(&cluster).await, format!("{held} <- 1 of its 2 pods exist"));
}

#[tokio::test]
async fn one_pod_that_must_not_go_saves_them_all_and_the_cordon_is_taken_back() {
    let cluster = cluster();
    cluster.pod("shop", "cache", "w1", |pod| {
        pod["spec"]["volumes"] = json!([{ "name": "tmp", "emptyDir": {} }])
    });
    let cx = context(&cluster, "w1", &[]).await;
    let refused = Drain.check(&cx).await.unwrap_err();
    assert_eq!(
        refused.message,
        "cannot delete Pods with local storage (use --delete-emptydir-data to override): shop/cache"
    );
    assert_eq!(Drain.start(&cx, &Value::None).await.unwrap_err(), refused);
    assert_eq!(cluster.get("/api/v1/nodes/w1")["spec"], json!({}));
    assert_eq!(cluster.sent(EVICT_DB), Vec::<Json>::new());
    let cx = context(&cluster, "w1", &[("emptydir", Value::Word("delete".into()))]).await;
    assert!(matches!(Drain.check(&cx).await, Ok(Check::Needs { now, .. }) if now == "4 pods to evict"));
}

#[tokio::test]
async fn two_budgets_on_a_pod_end_the_drain_but_not_before_the_others_were_evicted() {
    let cluster = cluster();
    let two = json!({ "kind": "Status", "code": 500,
        "message": "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support." });
    cluster.answer(EVICT_DB, 500, two);
    let cx = context(&cluster, "w1", &[]).await;
    let handle = begin(&cx).await;
    let failure = Drain.poll(&cx, &handle).await.unwrap_err();
    assert_eq!(failure.class, Class::Final);
    assert_eq!(cluster.get("/api/v1/namespaces/shop/pods/web-2"), Json::Null);
    Drain.undo(&cx, &Value::None).await.unwrap();
    assert_eq!(cluster.get("/api/v1/nodes/w1")["spec"], json!({}));
}

#[tokio::test]
async fn a_pod_of_the_same_name_with_another_uid_is_another_pod() {
    let cluster = cluster();
    let cx = context(&cluster, "w1", &[]).await;
    let handle = begin(&cx).await;
    cluster.pod("shop", "db-1", "w1", |pod| pod["metadata"]["uid"] = json!("uid-2"));
    let (handle, _) = poll(&cx, &handle).await.unwrap();
    assert_eq!(cluster.sent(EVICT_DB), Vec::<Json>::new());
    assert_eq!(poll(&cx, &handle).await, None);
}

#[tokio::test]
async fn an_api_that_goes_away_meanwhile_is_waited_for() {
    let cluster = cluster();
    let cx = context(&cluster, "w1", &[]).await;
    let handle = begin(&cx).await;
    cluster.down(true);
    let (handle, reason) = poll(&cx, &handle).await.unwrap();
    assert!(reason.contains("the API cannot be reached"), "{reason}");
    cluster.down(false);
    let (handle, _) = poll(&cx, &handle).await.unwrap();
    assert_eq!(poll(&cx, &handle).await, None);
}

#[tokio::test]
async fn a_drain_waits_until_the_volumes_of_its_pods_are_detached() {
    let cluster = cluster();
    let claim = json!({ "metadata": named("shop", "data"), "spec": { "volumeName": "pv-7" } });
    cluster.put("/api/v1/namespaces/shop/persistentvolumeclaims/data", claim);
    let attachment = json!({ "metadata": named("", "a"), "spec": { "attacher": "csi", "nodeName": "w1", "source": { "persistentVolumeName": "pv-7" } } });
    cluster.put("/apis/storage.k8s.io/v1/volumeattachments/a", attachment);
    cluster.pod("shop", "db-1", "w1", |pod| {
        pod["spec"]["volumes"] =
            json!([{ "name": "data", "persistentVolumeClaim": { "claimName": "data" } }]);
    });
    let cx = context(&cluster, "w1", &[]).await;
    let handle = begin(&cx).await;
    let (handle, _) = poll(&cx, &handle).await.unwrap();
    let (handle, reason) = poll(&cx, &handle).await.unwrap();
    assert_eq!(reason, "volume pv-7 is still attached");
    cluster.remove("/apis/storage.k8s.io/v1/volumeattachments/a");
    assert_eq!(poll(&cx, &handle).await, None);
}

#[tokio::test]
async fn a_pod_that_does_not_end_names_its_finalizers() {
    let cluster = cluster();
    cluster.pod("shop", "db-1", "w1", |pod| {
        pod["metadata"]["deletionTimestamp"] = json!("2026-11-21T11:58:00Z");
        pod["metadata"]["finalizers"] = json!(["example.com/hold"]);
    });
    let cx = context(&cluster, "w1", &[]).await;
    let handle = begin(&cx).await;
    let (handle, _) = poll(&cx, &handle).await.unwrap();
    let (_, reason) = poll(&cx, &handle).await.unwrap();
    assert_eq!(reason, "pod shop/db-1 does not end <- it waits for its finalizers example.com/hold");
    assert_eq!(cluster.sent(EVICT_DB), Vec::<Json>::new());
}

#[tokio::test]
async fn an_old_handle_does_no_harm_after_a_crash() {
    let cluster = cluster();
    let cx = context(&cluster, "w1", &[]).await;
    let handle = begin(&cx).await;
    poll(&cx, &handle).await.unwrap();
    assert_eq!(poll(&cx, &handle).await, None);
    assert!(matches!(Drain.start(&cx, &Value::None).await, Ok(Progress::Done(_))));
}
