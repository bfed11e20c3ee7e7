//! Stories of verbs on a simulated cluster: what they do to its nodes, and what they make of its faults.
//! The driver here is a small one; the machine's own stories are told elsewhere.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dsl::program::TaskBody;
use dsl::source::{LoadError, Loader};
use dsl::value::Value;
use engine::action::{Actions, Check, Context, Progress};
use engine::event::{Class, Failure};
use engine::inventory::Inventory;
use engine::port::Ports;
use kup_stdlib as stdlib;
use sim::{Cluster, Fault, Shape};

struct Shipped;

impl Loader for Shipped {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        let text =
            stdlib::modules().iter().find(|(known, _)| *known == path).map(|(_, text)| text.to_string());
        text.ok_or(LoadError::NotFound)
    }
}

/// A cluster under upgrade to v1.34.4.
struct Story {
    ports: Ports,
    inventory: Arc<Inventory>,
    actions: Actions,
    /// Which verbs run detached, by their headers.
    long: HashMap<String, bool>,
    /// The attempts that failed and were followed by another.
    retried: Vec<Failure>,
}

fn tell<F: Future<Output = ()>>(shape: &str, faults: &[&str], act: impl FnOnce(Story) -> F) {
    sim::runtime().block_on(async {
        let faults = faults.iter().map(|fault| Fault::parse(fault).unwrap()).collect();
        let cluster = Cluster::start(Shape::parse(shape).unwrap(), 7, faults);
        let ports = cluster.ports();
        let inventory = stdlib::inventory::read(&ports, None, &[]).await.unwrap();
        let mut long = HashMap::new();
        for (path, _) in stdlib::modules() {
            let (_, tasks, _) = dsl::module(path, &Shipped, stdlib::PRELUDE);
            let native = tasks.into_iter().filter(|task| matches!(task.body, TaskBody::Native));
            long.extend(native.map(|task| (task.name, task.header.long)));
        }
        let actions = stdlib::actions();
        act(Story { ports, inventory: Arc::new(inventory), actions, long, retried: Vec::new() }).await;
    });
}

impl Story {
    fn context(&self, verb: &str, node: &str, args: &[(&str, Value)], attempt: u32) -> Context {
        let given = args.iter().map(|(name, value)| (name.to_string(), value.clone()));
        Context {
            ports: self.ports.clone().into(),
            inventory: self.inventory.clone(),
            run: "story".into(),
            key: format!("{node}/{verb}/{args:?}"),
            attempt,
            node: self.inventory.nodes.get(node).cloned().map(Arc::new),
            args: given.chain([("node".to_string(), Value::Node(node.to_string()))]).collect(),
            long: self.long[verb],
            gives: false,
            folder: std::path::Path::new("/story").into(),
            secrets: Arc::new(engine::secret::Secrets::closed()),
        }
    }

    /// Performs a step as a run does, with three attempts; returns what it changed from and to.
    async fn does(
        &mut self,
        verb: &str,
        node: &str,
        args: &[(&str, Value)],
    ) -> Result<Option<Value>, Failure> {
        for attempt in 1.. {
            let cx = self.context(verb, node, args, attempt);
            match self.attempt(verb, &cx).await {
                Err(failure) if failure.class != Class::Final && attempt < 4 => {
                    self.ports.clock.sleep(Duration::from_secs(20)).await;
                    self.retried.push(failure);
                }
                ended => return ended,
            }
        }
        unreachable!("the fourth attempt returns")
    }

    async fn attempt(&self, verb: &str, cx: &Context) -> Result<Option<Value>, Failure> {
        let action = self.actions.get(verb).unwrap();
        let Check::Needs { before, .. } = action.check(cx).await? else { return Ok(None) };
        let mut progress = action.start(cx, &before).await?;
        let deadline = self.ports.clock.now() + Duration::from_secs(1800);
        loop {
            match progress {
                Progress::Done(_) => return Ok(Some(before)),
                Progress::Pending { reason, .. } if self.ports.clock.now() > deadline => {
                    return Err(Failure::transient(format!("out of time: {reason}")));
                }
                Progress::Pending { handle, again, .. } => {
                    self.ports.clock.sleep(again).await;
                    progress = action.poll(cx, &handle).await?;
                }
            }
        }
    }

    /// Brings kubeadm of the new minor to a node.
    async fn prepares(&mut self, node: &str) -> Result<(), Failure> {
        self.does("package repository", node, &[("minor", Value::Minor("v1.34".parse().unwrap()))]).await?;
        self.does("install", node, &packages(&["kubeadm"])).await?;
        Ok(())
    }

    /// Upgrades a node in the official order, without the drain.
    async fn upgrades(&mut self, node: &str) -> Result<(), Failure> {
        self.prepares(node).await?;
        if node == "cp1" {
            self.does("kubeadm upgrade plan", node, &[to()]).await?;
            self.does("kubeadm upgrade apply", node, &[to()]).await?;
        } else {
            self.does("kubeadm upgrade node", node, &[]).await?;
        }
        self.does("install", node, &packages(&["kubelet", "kubectl"])).await?;
        self.does("restart kubelet", node, &[]).await?;
        Ok(())
    }

    async fn versions(&self) -> Vec<String> {
        let inventory = stdlib::inventory::read(&self.ports, None, &[]).await.unwrap();
        let of = |node: &engine::inventory::Node| {
            let apiserver = node.apiserver.as_ref().map_or(String::new(), |v| format!(" {v}"));
            format!("{} {}{apiserver}", node.name, node.kubelet.as_ref().unwrap())
        };
        inventory.nodes.values().map(of).collect()
    }
}

fn to() -> (&'static str, Value) {
    ("to", Value::Version("v1.34.4".parse().unwrap()))
}

fn packages(names: &[&str]) -> [(&'static str, Value); 2] {
    let words = names.iter().map(|name| Value::Word(name.to_string())).collect();
    [("packages", Value::List(words)), ("version", to().1)]
}

#[test]
fn a_cluster_is_saved_and_upgraded_node_by_node_and_a_second_time_there_is_no_work() {
    tell("3+1@v1.33.13", &[], |mut story| async move {
        let into = [("into", Value::Path("snapshots".into()))];
        story.does("etcd snapshot", "cp1", &into).await.unwrap();
        assert_eq!(story.does("etcd snapshot", "cp1", &into).await, Ok(None));
        for node in ["cp1", "cp2", "cp3", "w1"] {
            story.upgrades(node).await.unwrap();
        }
        assert_eq!(
            story.versions().await,
            ["cp1 v1.34.4 v1.34.4", "cp2 v1.34.4 v1.34.4", "cp3 v1.34.4 v1.34.4", "w1 v1.34.4"]
        );
        assert_eq!(story.retried, []);
        story.does("wait healthy", "cp1", &[("scope", Value::Word("cluster".into()))]).await.unwrap();
        for (verb, node, args) in [
            ("package repository", "w1", vec![("minor", Value::Minor("v1.34".parse().unwrap()))]),
            ("install", "cp2", packages(&["kubelet", "kubectl"]).to_vec()),
            ("kubeadm upgrade apply", "cp1", vec![to()]),
            ("kubeadm upgrade node", "cp3", vec![]),
            ("kubeadm upgrade node", "w1", vec![]),
            ("restart kubelet", "w1", vec![]),
        ] {
            assert_eq!(story.does(verb, node, &args).await, Ok(None), "{verb} {node}");
        }
    });
}

#[test]
fn a_worker_goes_back_to_where_it_was() {
    tell("1+1@v1.33.13", &[], |mut story| async move {
        story.upgrades("cp1").await.unwrap();
        let minor = [("minor", Value::Minor("v1.34".parse().unwrap()))];
        let steps: [(&str, Vec<(&str, Value)>); 5] = [
            ("package repository", minor.to_vec()),
            ("install", packages(&["kubeadm"]).to_vec()),
            ("kubeadm upgrade node", vec![]),
            ("install", packages(&["kubelet", "kubectl"]).to_vec()),
            ("restart kubelet", vec![]),
        ];
        let mut done = Vec::new();
        for (verb, args) in &steps {
            done.push((verb, args, story.does(verb, "w1", args).await.unwrap().unwrap()));
        }
        assert_eq!(story.versions().await[1], "w1 v1.34.4");
        for (verb, args, before) in done.into_iter().rev().filter(|(verb, ..)| **verb != "restart kubelet") {
            let cx = story.context(verb, "w1", args, 1);
            story.actions.get(verb).unwrap().undo(&cx, &before).await.unwrap();
        }
        story.ports.clock.sleep(Duration::from_secs(30)).await;
        assert_eq!(story.versions().await[1], "w1 v1.33.13");
        let file = story.ports.shells.on("w1").read("/etc/apt/sources.list.d/kubernetes.list").await.unwrap();
        assert!(String::from_utf8(file.unwrap()).unwrap().contains("/v1.33/"));
    });
}

#[test]
fn a_command_and_a_script_of_ones_own_run_once_each() {
    tell("1+1@v1.33.13", &[], |mut story| async move {
        let here = story.ports.shells.here();
        here.write("/story/mark.sh", b"#!/bin/sh\nmkdir -p /var/lib/mark\n", 0o644).await.unwrap();
        let file = [("file", Value::Path("mark.sh".into()))];
        story.does("run script", "w1", &file).await.unwrap().unwrap();
        let line = [("line", Value::Text("exit 3".into()))];
        let failure = story.does("run command", "w1", &line).await.unwrap_err();
        assert_eq!((failure.class, failure.message.as_str()), (Class::Transient, "exit code 3"));
    });
}

/// Upgrades a control plane and a worker with a fault; returns how it ended and what was retried.
fn with_fault(fault: &str, then: impl FnOnce(Result<(), Failure>, Vec<Failure>, Vec<String>)) {
    tell("1+1@v1.33.13", &[fault], |mut story| async move {
        let mut ended = story.upgrades("cp1").await;
        if ended.is_ok() {
            ended = story.upgrades("w1").await;
        }
        let versions = story.versions().await;
        then(ended, story.retried, versions);
    });
}

const NEW: [&str; 2] = ["cp1 v1.34.4 v1.34.4", "w1 v1.34.4"];

#[test]
fn a_lost_connection_neither_loses_nor_doubles_a_step() {
    for fault in ["F40@cp1", "F40@w1"] {
        with_fault(fault, |ended, _, versions| {
            assert_eq!(ended, Ok(()), "{fault}");
            assert_eq!(versions, NEW, "{fault}");
        });
    }
}

#[test]
fn a_node_that_reboots_during_a_step_is_looked_at_again() {
    for fault in ["F41@cp1", "F41@w1"] {
        with_fault(fault, |ended, _, versions| {
            assert_eq!(ended, Ok(()), "{fault}");
            assert_eq!(versions, NEW, "{fault}");
        });
    }
}

#[test]
fn a_package_manager_at_work_is_waited_for_and_not_failed_over() {
    with_fault("F02@w1", |ended, retried, versions| {
        assert_eq!(ended, Ok(()));
        assert_eq!(versions, NEW);
        assert_eq!(retried, []);
    });
}

#[test]
fn what_passes_by_itself_is_tried_again() {
    for (fault, message) in [
        ("F10@cp1", "an image"),
        ("F11@cp1", "kubeadm restored the old manifests"),
        ("F37@w1", "may not read"),
    ] {
        with_fault(fault, |ended, retried, versions| {
            assert_eq!(ended, Ok(()), "{fault}");
            assert_eq!(versions, NEW, "{fault}");
            assert!(retried.iter().any(|failure| failure.message.contains(message)), "{fault}: {retried:?}");
        });
    }
}

#[test]
fn what_a_person_must_mend_is_final_and_says_what() {
    for (fault, message) in
        [("F03@w1", "no package repository"), ("F23@w1", "the kubelet does not know one of its flags")]
    {
        with_fault(fault, |ended, _, _| {
            let failure = ended.unwrap_err();
            assert_eq!(failure.class, Class::Final, "{fault}: {failure:?}");
            assert!(failure.message.contains(message), "{fault}: {failure:?}");
            assert!(!failure.hint.is_empty(), "{fault}");
        });
    }
}
