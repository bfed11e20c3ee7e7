//! Verbs against the simulated cluster: pods that end in their time, budgets that are counted, and
//! replacements that start elsewhere.

use std::sync::Arc;
use std::time::Duration;

use dsl::value::Value;
use engine::action::{Check, Context, Progress};
use engine::event::Failure;
use engine::inventory::PackageManager;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;
use sim::{Cluster, Fault, Shape};

use crate::inventory;

/// A simulated cluster and what its runs say.
struct Story {
    cluster: Cluster,
    reasons: Vec<String>,
}

/// Tells a story on `3+5@v1.33.4`.
fn tell<F: Future<Output = ()>>(faults: &[&str], story: impl FnOnce(Story) -> F) {
    sim::runtime().block_on(async {
        let faults = faults.iter().map(|fault| Fault::parse(fault).unwrap()).collect();
        let cluster = Cluster::start(Shape::parse("3+5@v1.33.4").unwrap(), 7, faults);
        story(Story { cluster, reasons: Vec::new() }).await;
    });
}

impl Story {
    async fn context(&self, node: &str, args: &[(&str, Value)]) -> Context {
        let ports = self.cluster.ports();
        let inventory = inventory::read(&ports, None, &[]).await.unwrap();
        Context {
            node: inventory.nodes.get(node).cloned().map(Arc::new),
            ports: ports.into(),
            inventory: Arc::new(inventory),
            run: "run-1".into(),
            key: "key".into(),
            attempt: 1,
            args: args.iter().map(|(name, value)| (name.to_string(), value.clone())).collect(),
            long: false,
            gives: false,
            folder: std::path::Path::new(".").into(),
            secrets: Arc::new(engine::secret::Secrets::closed()),
        }
    }

    /// Performs a verb as the driver does, for as long as ten minutes.
    async fn run(&mut self, verb: &str, node: &str, args: &[(&str, Value)]) -> Result<Value, Failure> {
        let actions = crate::actions();
        let action = actions.get(verb).unwrap();
        let cx = self.context(node, args).await;
        let before = match action.check(&cx).await? {
            Check::Done(text) => return Ok(Value::Text(text)),
            Check::Needs { before, .. } => before,
        };
        let mut progress = action.start(&cx, &before).await?;
        let end = cx.ports.clock.now() + Duration::from_secs(600);
        while cx.ports.clock.now() < end {
            match progress {
                Progress::Done(value) => return Ok(value),
                Progress::Pending { handle, reason, again } => {
                    if self.reasons.last() != Some(&reason) {
                        self.reasons.push(reason);
                    }
                    cx.ports.clock.sleep(again).await;
                    progress = action.poll(&cx, &handle).await?;
                }
            }
        }
        action.undo(&cx, &before).await?;
        Err(Failure::last("it took too long"))
    }

    async fn node(&self, name: &str) -> Node {
        Api::<Node>::all(self.cluster.client()).get(name).await.unwrap()
    }

    async fn cordoned(&self, name: &str) -> bool {
        self.node(name).await.spec.unwrap().unschedulable.unwrap_or_default()
    }

    /// Returns the pods of the shop on a node.
    async fn shop(&self, node: &str) -> usize {
        let api = Api::<Pod>::namespaced(self.cluster.client(), "shop");
        let params = ListParams::default().fields(&format!("spec.nodeName={node}"));
        api.list(&params).await.unwrap().items.len()
    }
}

#[test]
fn the_inventory_of_a_simulated_cluster_is_complete() {
    tell(&[], |s| async move {
        let inventory = inventory::read(&s.cluster.ports(), None, &[]).await.unwrap();
        let names: Vec<&str> = inventory.nodes.keys().map(String::as_str).collect();
        assert_eq!(names, ["cp1", "cp2", "cp3", "w1", "w2", "w3", "w4", "w5"]);
        assert!(!inventory.cluster.is_empty());
        assert_eq!(inventory.version, Some("v1.33.4".parse().unwrap()));
        for node in inventory.nodes.values() {
            let control_plane = node.name.starts_with("cp");
            assert_eq!((node.control_plane, node.etcd), (control_plane, control_plane), "{}", node.name);
            assert!(node.ready && node.packages == Some(PackageManager::Apt), "{}", node.name);
        }
    });
}

#[test]
fn the_checks_of_the_preflight_pass_on_a_fresh_cluster() {
    tell(&[], |mut s| async move {
        let to = |version: &str| Value::Version(version.parse().unwrap());
        let text = s.run("check nodes ready", "", &[]).await.unwrap();
        assert_eq!(text, Value::Text("8 nodes ready".into()));
        let text = s.run("check disruption budgets", "", &[]).await.unwrap();
        assert_eq!(text, Value::Text("2 budgets can be met".into()));
        let text = s.run("check version skew", "", &[("to", to("v1.34.4"))]).await.unwrap().to_string();
        assert!(text.starts_with("v1.33.4 to v1.34.4, one minor up"), "{text}");
        let text = s.run("check versions", "", &[("are", to("v1.33.4"))]).await.unwrap();
        assert_eq!(text, Value::Text("8 nodes and the control plane are v1.33.4".into()));
        let text = s.run("check packages", "", &[("version", to("v1.34.4"))]).await.unwrap();
        assert_eq!(text, Value::Text("v1.34.4 is in the repositories of 8 nodes".into()));
        let failure = s.run("check packages", "", &[("version", to("v1.34.99"))]).await.unwrap_err();
        assert!(failure.message.contains("no packages of v1.34.99; the newest are of v1.34."), "{failure:?}");
    });
}

#[test]
fn a_fresh_cluster_is_healthy_in_every_scope() {
    tell(&[], |mut s| async move {
        for scope in ["node", "control_plane", "cluster"] {
            for node in ["cp2", "w1"] {
                let value = s.run("wait healthy", node, &[("scope", Value::Word(scope.into()))]).await;
                assert!(value.is_ok_and(|value| value.to_string().ends_with("healthy")), "{:?}", s.reasons);
            }
        }
        assert!(
            s.reasons.iter().all(|r| r.contains("first look") || r.contains("stable")),
            "{:?}",
            s.reasons
        );
    });
}

#[test]
fn a_drain_under_budgets_goes_in_rounds_and_ends() {
    tell(&[], |mut s| async move {
        for node in ["w1", "w2", "w3"] {
            assert!(s.shop(node).await > 0, "{node}");
            let value = s.run("drain", node, &[]).await.unwrap();
            assert!(value.to_string().contains("evicted"), "{value}");
            assert_eq!(s.shop(node).await, 0, "{node}");
            assert!(s.cordoned(node).await, "{node}");
        }
        s.run("uncordon", "w1", &[]).await.unwrap();
        assert!(!s.cordoned("w1").await);
        assert!(s.cordoned("w2").await);
    });
}

#[test]
fn a_budget_that_allows_nothing_is_told_and_the_node_is_given_back() {
    tell(&["F26@w1"], |mut s| async move {
        let failure = s.run("check disruption budgets", "", &[]).await.unwrap_err();
        assert_eq!(failure.message, "budget default/stubborn-w1 allows 0 pods to be unavailable");
        let failure = s.run("drain", "w1", &[]).await.unwrap_err();
        assert_eq!(failure.message, "it took too long");
        let last = s.reasons.last().unwrap();
        let why = "PDB default/stubborn-w1 needs 1 healthy, has 1 <- it lets its only pod never go";
        assert_eq!(last, &format!("pod default/stubborn-w1-0 <- {why}"));
        assert_eq!(s.shop("w1").await, 0);
        assert!(!s.cordoned("w1").await);
    });
}

#[test]
fn a_node_that_a_person_cordoned_is_drained_and_stays_cordoned() {
    tell(&[], |mut s| async move {
        let api = Api::<Node>::all(s.cluster.client());
        let patch = json!({ "spec": { "unschedulable": true } });
        api.patch("w1", &PatchParams::default(), &Patch::Strategic(&patch)).await.unwrap();
        s.run("drain", "w1", &[]).await.unwrap();
        assert_eq!(s.shop("w1").await, 0);
        let text = s.run("uncordon", "w1", &[]).await.unwrap();
        assert_eq!(text, Value::Text("cordoned by somebody else: left".into()));
        assert!(s.cordoned("w1").await);
    });
}
