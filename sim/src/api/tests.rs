//! Stories through the real client.

use std::time::Duration;

use futures::TryStreamExt;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::{Client, Error};
use serde_json::{Value, json};

use crate::world::lock;
use crate::{Cluster, Shape, runtime};

fn story<F: Future<Output = ()>>(shape: &str, tell: impl FnOnce(Cluster, Client) -> F) {
    runtime().block_on(async {
        let cluster = Cluster::start(Shape::parse(shape).unwrap(), 7, Vec::new());
        let client = cluster.client();
        tell(cluster, client).await;
    });
}

async fn evict(client: &Client, namespace: &str, name: &str, options: Value) -> Result<Value, Error> {
    let body = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace}, "deleteOptions": options,
    });
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction");
    client.request(http::Request::post(path).body(serde_json::to_vec(&body).unwrap()).unwrap()).await
}

fn refusal(error: Error) -> Box<kube::core::Status> {
    match error {
        Error::Api(status) => status,
        other => panic!("{other}"),
    }
}

async fn wait(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[test]
fn a_fresh_cluster_is_healthy() {
    story("3+5@v1.33.4", |_, client| async move {
        let version = client.apiserver_version().await.unwrap();
        assert_eq!(version.git_version, "v1.33.4");
        let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await.unwrap();
        assert_eq!(nodes.items.len(), 8);
        let pods = Api::<Pod>::all(client.clone()).list(&ListParams::default()).await.unwrap();
        for pod in &pods {
            let status = pod.status.as_ref().unwrap();
            assert_eq!(status.phase.as_deref(), Some("Running"), "{:?}", pod.metadata.name);
        }
        let control = ListParams::default().labels("tier=control-plane,component in (etcd)");
        let etcd = Api::<Pod>::namespaced(client.clone(), "kube-system").list(&control).await.unwrap();
        assert_eq!(etcd.items.len(), 3);
        let daemons = Api::<DaemonSet>::all(client.clone()).list(&ListParams::default()).await.unwrap();
        for daemon in daemons {
            assert_eq!(daemon.status.unwrap().number_ready, 8);
        }
        let dns = Api::<Deployment>::namespaced(client.clone(), "kube-system").get("coredns").await.unwrap();
        assert_eq!(dns.status.unwrap().available_replicas, Some(2));
        let web = Api::<PodDisruptionBudget>::namespaced(client.clone(), "shop").get("web").await.unwrap();
        let status = web.status.unwrap();
        assert_eq!(
            (status.current_healthy, status.desired_healthy, status.disruptions_allowed),
            (Some(5), Some(4), Some(1))
        );
        let config = Api::<ConfigMap>::namespaced(client, "kube-system").get("kubeadm-config").await.unwrap();
        assert!(config.data.unwrap()["ClusterConfiguration"].contains("kubernetesVersion: v1.33.4\n"));
    });
}

#[test]
fn a_budget_refuses_until_the_replacement_is_ready() {
    story("1+4@v1.33.4", |_, client| async move {
        let pods = Api::<Pod>::namespaced(client.clone(), "shop");
        let web = pods.list(&ListParams::default().labels("app=web")).await.unwrap();
        let names: Vec<String> = web.items.iter().filter_map(|p| p.metadata.name.clone()).collect();
        let done = evict(&client, "shop", &names[0], Value::Null).await.unwrap();
        assert_eq!(done["status"], "Success");
        let status = refusal(evict(&client, "shop", &names[1], Value::Null).await.unwrap_err());
        assert_eq!(status.code, 429);
        assert_eq!(status.message, "Cannot evict pod as it would violate the pod's disruption budget.");
        let cause = &status.details.unwrap().causes[0];
        assert_eq!(cause.reason, "DisruptionBudget");
        assert_eq!(cause.message, "The disruption budget web needs 3 healthy pods and has 4 currently");
        wait(1).await;
        let status = refusal(evict(&client, "shop", &names[1], Value::Null).await.unwrap_err());
        let cause = &status.details.unwrap().causes[0];
        assert_eq!(cause.message, "The disruption budget web needs 3 healthy pods and has 3 currently");
        wait(10).await;
        evict(&client, "shop", &names[1], Value::Null).await.unwrap();
        wait(10).await;
        assert!(pods.get_opt(&names[0]).await.unwrap().is_none());
        assert_eq!(pods.list(&ListParams::default().labels("app=web")).await.unwrap().items.len(), 4);
    });
}

#[test]
fn two_budgets_on_a_pod_are_500_and_a_dry_run_changes_nothing() {
    story("1+4@v1.33.4", |_, client| async move {
        let pods = Api::<Pod>::namespaced(client.clone(), "shop");
        evict(&client, "shop", "db-0", json!({"dryRun": ["All"]})).await.unwrap();
        assert!(pods.get("db-0").await.unwrap().metadata.deletion_timestamp.is_none());
        let other = refusal(
            evict(&client, "shop", "db-0", json!({"preconditions": {"uid": "other"}})).await.unwrap_err(),
        );
        assert_eq!((other.code, other.reason.as_str()), (409, "Conflict"));
        let budgets = Api::<PodDisruptionBudget>::namespaced(client.clone(), "shop");
        let mut second = budgets.get("db").await.unwrap();
        second.metadata = kube::core::ObjectMeta { name: Some("db-too".to_string()), ..Default::default() };
        budgets.create(&PostParams::default(), &second).await.unwrap();
        let status = refusal(evict(&client, "shop", "db-0", Value::Null).await.unwrap_err());
        assert_eq!(status.code, 500);
        assert!(
            status.message.starts_with("This pod has more than one PodDisruptionBudget"),
            "{}",
            status.message
        );
    });
}

#[test]
fn a_cordoned_node_gets_no_pods_and_a_stateful_pod_keeps_its_name() {
    story("1+3@v1.33.4", |_, client| async move {
        let nodes = Api::<Node>::all(client.clone());
        let cordon = Patch::Strategic(json!({"spec": {"unschedulable": true}}));
        let pods = Api::<Pod>::namespaced(client.clone(), "shop");
        let old = pods.get("db-1").await.unwrap();
        let node = old.spec.unwrap().node_name.unwrap();
        nodes.patch(&node, &PatchParams::default(), &cordon).await.unwrap();
        let on_node = ListParams::default().fields(&format!("spec.nodeName={node}"));
        for pod in pods.list(&on_node).await.unwrap() {
            let name = pod.metadata.name.unwrap();
            while evict(&client, "shop", &name, Value::Null).await.is_err() {
                wait(5).await;
            }
        }
        wait(15).await;
        assert!(pods.list(&on_node).await.unwrap().items.is_empty());
        let new = pods.get("db-1").await.unwrap();
        assert_ne!(new.metadata.uid, old.metadata.uid);
        assert_eq!(new.status.unwrap().phase.as_deref(), Some("Running"));
    });
}

#[test]
fn a_watch_tells_what_happens_after_a_list() {
    story("1+2@v1.33.4", |_, client| async move {
        let pods = Api::<Pod>::namespaced(client.clone(), "shop");
        let version = pods.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
        pods.delete("db-0", &DeleteParams::default()).await.unwrap();
        let params = WatchParams::default().labels("app=db").timeout(60);
        let events: Vec<WatchEvent<Pod>> =
            pods.watch(&params, &version).await.unwrap().try_collect().await.unwrap();
        let told: Vec<&str> = events
            .iter()
            .map(|e| match e {
                WatchEvent::Added(_) => "added",
                WatchEvent::Modified(_) => "modified",
                WatchEvent::Deleted(_) => "deleted",
                WatchEvent::Bookmark(_) => "bookmark",
                WatchEvent::Error(_) => "error",
            })
            .collect();
        assert_eq!(told.first(), Some(&"modified"));
        assert!(told.contains(&"deleted") && told.contains(&"added"), "{told:?}");
        let mut late = Box::pin(pods.watch(&params, "1").await.unwrap());
        let first = late.try_next().await.unwrap();
        assert!(matches!(first, Some(WatchEvent::Added(_) | WatchEvent::Error(_))), "{first:?}");
    });
}

#[test]
fn refusals_have_the_words_of_the_real_server() {
    story("1+1@v1.33.4", |_, client| async move {
        let nodes = Api::<Node>::all(client.clone());
        let status = refusal(nodes.get("x").await.unwrap_err());
        assert_eq!((status.code, status.message.as_str()), (404, "nodes \"x\" not found"));
        let budgets = Api::<PodDisruptionBudget>::namespaced(client.clone(), "shop");
        let status = refusal(budgets.get("x").await.unwrap_err());
        assert_eq!(status.message, "poddisruptionbudgets.policy \"x\" not found");
        let leases = Api::<Lease>::namespaced(client.clone(), "kube-system");
        let lease: Lease = serde_json::from_value(json!({"metadata": {"name": "kup"}, "spec": {}})).unwrap();
        leases.create(&PostParams::default(), &lease).await.unwrap();
        let status = refusal(leases.create(&PostParams::default(), &lease).await.unwrap_err());
        assert_eq!(status.message, "leases.coordination.k8s.io \"kup\" already exists");
        let old =
            Patch::Merge(json!({"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": "a"}}));
        let status = refusal(leases.patch("kup", &PatchParams::default(), &old).await.unwrap_err());
        assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
        let page = nodes.list(&ListParams::default().limit(1)).await.unwrap();
        let next = ListParams::default().limit(1).continue_token(&page.metadata.continue_.unwrap());
        let last = nodes.list(&next).await.unwrap();
        assert_eq!(last.items[0].metadata.name.as_deref(), Some("w1"));
        assert!(last.metadata.continue_.is_none_or(|t| t.is_empty()));
    });
}

#[test]
fn leases_are_renewed_while_their_kubelet_runs_and_a_silent_node_is_not_ready() {
    story("1+2@v1.33.4", |cluster, client| async move {
        let leases = Api::<Lease>::namespaced(client.clone(), "kube-node-lease");
        let nodes = Api::<Node>::all(client.clone());
        wait(100).await;
        let renewed = |l: Lease| l.spec.unwrap().renew_time.unwrap().0.to_string();
        assert_eq!(renewed(leases.get("w1").await.unwrap()), "2026-01-01T00:01:40Z");
        {
            let mut world = lock(&cluster.world);
            world.nodes["w1"].kubelet_active = false;
            world.machines_changed();
        }
        wait(100).await;
        assert_eq!(renewed(leases.get("w1").await.unwrap()), "2026-01-01T00:01:40Z");
        let ready = |n: Node| {
            let conditions = n.status.unwrap().conditions.unwrap();
            conditions.into_iter().find(|c| c.type_ == "Ready").unwrap().status
        };
        assert_eq!(ready(nodes.get("w1").await.unwrap()), "Unknown");
        {
            let mut world = lock(&cluster.world);
            world.nodes["w1"].kubelet_active = true;
            world.nodes["w1"].kubelet_running = "v1.34.4".to_string();
            world.machines_changed();
        }
        wait(5).await;
        let node = nodes.get("w1").await.unwrap();
        assert_eq!(node.status.as_ref().unwrap().node_info.as_ref().unwrap().kubelet_version, "v1.34.4");
        assert!(node.spec.as_ref().unwrap().taints.is_none());
        assert_eq!(ready(node), "True");
    });
}

#[test]
fn the_api_is_there_while_one_apiserver_runs_and_mirror_pods_follow_it() {
    story("2+1@v1.33.4", |cluster, client| async move {
        let set = |node: &str, up: bool, image: &str| {
            let mut world = lock(&cluster.world);
            let key = (node.to_string(), "kube-apiserver".to_string());
            let process = world.static_pods.get_mut(&key).unwrap();
            process.up = up;
            process.image = image.to_string();
            process.hash = image.len().to_string();
            world.machines_changed();
        };
        set("cp1", false, "registry.k8s.io/kube-apiserver:v1.34.4");
        client.apiserver_version().await.unwrap();
        set("cp2", false, "registry.k8s.io/kube-apiserver:v1.33.4");
        assert!(matches!(client.apiserver_version().await, Err(Error::Service(_))));
        set("cp1", true, "registry.k8s.io/kube-apiserver:v1.34.4");
        assert_eq!(client.apiserver_version().await.unwrap().git_version, "v1.34.4");
        wait(5).await;
        let pods = Api::<Pod>::namespaced(client.clone(), "kube-system");
        let pod = pods.get("kube-apiserver-cp1").await.unwrap();
        assert_eq!(
            pod.spec.unwrap().containers[0].image.as_deref(),
            Some("registry.k8s.io/kube-apiserver:v1.34.4")
        );
        lock(&cluster.world).etcd.members["cp1"].up = false;
        let ready = http::Request::get("/readyz?verbose").body(kube::client::Body::empty()).unwrap();
        let answer = client.send(ready).await.unwrap();
        assert_eq!(answer.status(), 500);
        assert!(answer.headers()["date"].to_str().unwrap().starts_with("Thu, 01 Jan 2026 00:00:"));
        let said = answer.into_body().collect_bytes().await.unwrap();
        assert!(String::from_utf8_lossy(&said).contains("[-]etcd failed: reason withheld\n"));
        let status = refusal(pods.get("kube-apiserver-cp1").await.unwrap_err());
        assert_eq!((status.code, status.message.as_str()), (500, "etcdserver: request timed out"));
    });
}

#[test]
fn a_changed_template_is_rolled_out() {
    story("1+3@v1.33.4", |_, client| async move {
        let daemons = Api::<DaemonSet>::namespaced(client.clone(), "kube-system");
        let image = |name: &str| {
            Patch::Strategic(
                json!({"spec": {"template": {"spec": {"containers": [{"name": name, "image": "new"}]}}}}),
            )
        };
        daemons.patch("kube-proxy", &PatchParams::default(), &image("kube-proxy")).await.unwrap();
        let deployments = Api::<Deployment>::namespaced(client.clone(), "kube-system");
        deployments.patch("coredns", &PatchParams::default(), &image("coredns")).await.unwrap();
        wait(1).await;
        let status = daemons.get("kube-proxy").await.unwrap().status.unwrap();
        assert!(status.updated_number_scheduled.unwrap() < 4);
        wait(60).await;
        let status = daemons.get("kube-proxy").await.unwrap().status.unwrap();
        assert_eq!((status.updated_number_scheduled, status.number_ready), (Some(4), 4));
        let status = deployments.get("coredns").await.unwrap().status.unwrap();
        assert_eq!(
            (status.updated_replicas, status.available_replicas, status.replicas),
            (Some(2), Some(2), Some(2))
        );
    });
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let tell = || {
        let mut told = String::new();
        story("1+4@v1.33.4", |cluster, client| {
            let told = &mut told;
            async move {
                for name in ["db-0", "db-1"] {
                    while evict(&client, "shop", name, Value::Null).await.is_err() {
                        wait(1).await;
                    }
                }
                wait(30).await;
                let world = lock(&cluster.world);
                for pod in world.store.list("pods") {
                    told.push_str(&pod.to_string());
                }
            }
        });
        told
    };
    assert_eq!(tell(), tell());
}

#[test]
fn half_a_thousand_nodes_start_and_drain_in_a_moment() {
    story("3+500@v1.33.4", |cluster, client| async move {
        let nodes = Api::<Node>::all(client.clone());
        let pods = Api::<Pod>::all(client.clone());
        let cordon = Patch::Strategic(json!({"spec": {"unschedulable": true}}));
        let started = lock(&cluster.world).store.list("pods").count();
        for node in (1..=40).map(|n| format!("w{n}")) {
            nodes.patch(&node, &PatchParams::default(), &cordon).await.unwrap();
            let on_node = ListParams::default().fields(&format!("spec.nodeName={node}"));
            let shop = |p: &Pod| p.metadata.namespace.as_deref() == Some("shop");
            for pod in pods.list(&on_node).await.unwrap().into_iter().filter(shop) {
                let name = pod.metadata.name.unwrap();
                while evict(&client, "shop", &name, Value::Null).await.is_err() {
                    wait(5).await;
                }
            }
        }
        wait(30).await;
        let world = lock(&cluster.world);
        assert_eq!(world.store.list("pods").count(), started, "every pod has its replacement");
        assert!(world.store.list("pods").all(|p| crate::pod::ready(p)));
        assert_eq!(world.store.count_on("w1"), 2, "only the pods of DaemonSets stay");
    });
}

#[test]
fn a_control_plane_upgraded_through_its_shell_is_seen_in_the_api() {
    story("1+1@v1.33.4", |cluster, client| async move {
        let ports = cluster.ports();
        let shell = ports.shells.on("cp1");
        let does = async |line: &str| {
            let argv = line.split(' ').map(str::to_string);
            let output = shell.run(&engine::port::Command::change(argv)).await.unwrap();
            assert!(output.ok(), "{line}: {output:?}");
        };
        let list = b"deb [signed-by=/etc/apt/keyrings/kubernetes-apt-keyring.gpg] https://pkgs.k8s.io/core:/stable:/v1.34/deb/ /\n";
        shell.write("/etc/apt/sources.list.d/kubernetes.list", list, 0o644).await.unwrap();
        does("apt-get update -q").await;
        does("apt-mark unhold kubeadm kubelet kubectl").await;
        does("apt-get install -y -q kubeadm=1.34.4-1.1 kubelet=1.34.4-1.1 kubectl=1.34.4-1.1").await;
        does("kubeadm upgrade apply v1.34.4 --yes").await;
        does("systemctl daemon-reload").await;
        does("systemctl restart kubelet").await;
        wait(120).await;
        let version = client.apiserver_version().await.unwrap();
        assert_eq!(version.git_version, "v1.34.4");
        let node = Api::<Node>::all(client.clone()).get("cp1").await.unwrap();
        assert_eq!(node.status.unwrap().node_info.unwrap().kubelet_version, "v1.34.4");
        let pods = Api::<Pod>::namespaced(client.clone(), "kube-system");
        for pod in pods.list(&ListParams::default().labels("tier=control-plane")).await.unwrap() {
            let image = pod.spec.as_ref().unwrap().containers[0].image.clone().unwrap();
            assert!(image.ends_with(":v1.34.4") || image.ends_with("etcd:3.6.5-0"), "{image}");
            let conditions = pod.status.unwrap().conditions.unwrap();
            assert!(conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True"), "{image}");
        }
        let proxy = Api::<DaemonSet>::namespaced(client, "kube-system").get("kube-proxy").await.unwrap();
        assert_eq!(proxy.status.unwrap().updated_number_scheduled, Some(2));
    });
}
