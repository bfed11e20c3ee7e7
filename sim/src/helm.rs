//! `helm` on this machine, as far as kup asks it: releases with their history, each chart one DaemonSet and one
//! operator, as a CNI is. Which charts there are, the box does not know: it takes every name and version.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::port::Output;
use serde_json::{Map, Value, json};

use crate::api;
use crate::controllers::digest;
use crate::shape::Release as Shipped;
use crate::world::{Shared, World, lock};

/// The releases by namespace and name, each with its revisions from the first one on.
pub(crate) type Releases = BTreeMap<(String, String), Vec<Revision>>;

/// How long helm takes to render a chart and to send what came out.
const RENDERS: Duration = Duration::from_secs(2);

/// One revision of a release.
#[derive(Clone, Debug)]
pub(crate) struct Revision {
    status: &'static str,
    updated: String,
    /// The chart's name.
    chart: String,
    version: String,
    values: Value,
    description: String,
}

/// Installs what a shape says is there from the start.
pub(crate) fn install(world: &mut World, release: &Shipped) {
    let (chart, version) = release.chart.rsplit_once('-').unwrap_or((&release.chart, "0.0.0"));
    let revision = Revision {
        status: "deployed",
        updated: world.clock.stamp(),
        chart: chart.to_string(),
        version: version.to_string(),
        values: Value::Null,
        description: "Install complete".to_string(),
    };
    let key = (release.namespace.clone(), release.name.clone());
    if world.store.get("namespaces", "", &release.namespace).is_none() {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": release.namespace}});
        world.store.insert("namespaces", namespace);
    }
    send(world, &key, &revision);
    world.releases.insert(key, vec![revision]);
}

/// Runs `helm`. What was begun goes on when nobody listens any more; `read` finds a file of values.
pub(crate) async fn helm(world: Shared, argv: Vec<String>, read: impl Fn(&str) -> Option<String>) -> Output {
    let args: Vec<&str> = argv.iter().map(String::as_str).collect();
    let (mut words, mut namespace, mut version, mut files) = (Vec::new(), "default", "", Vec::new());
    let mut rest = args.iter().copied();
    while let Some(arg) = rest.next() {
        match arg {
            "--namespace" => namespace = rest.next().unwrap_or_default(),
            "--version" => version = rest.next().unwrap_or_default(),
            "--values" => files.extend(rest.next()),
            "--max" | "--output" => drop(rest.next()),
            flag if flag.starts_with('-') => {}
            word => words.push(word),
        }
    }
    if !lock(&world).api_up() {
        return refuse(
            "Kubernetes cluster unreachable: Get \"https://api.sim:6443/version\": dial tcp 10.77.0.10:6443: connect: connection refused",
        );
    }
    let key = |name: &str| (namespace.to_string(), name.to_string());
    match words.as_slice() {
        ["history", name] => match lock(&world).releases.get(&key(name)) {
            Some(revisions) => {
                said(&json!(revisions.iter().zip(1..).map(|(r, n)| r.show(n)).collect::<Vec<_>>()))
            }
            None => refuse("release: not found"),
        },
        ["get", what @ ("values" | "manifest"), name] => {
            let guard = lock(&world);
            let deployed =
                guard.releases.get(&key(name)).and_then(|all| all.iter().rfind(|r| r.status == "deployed"));
            match (deployed, *what) {
                (Some(revision), "values") => said(&revision.values),
                (Some(revision), _) => {
                    let objects = render(&key(name), revision);
                    let texts = objects.iter().map(|object| format!("---\n{object}\n"));
                    Output { stdout: texts.collect(), ..Output::default() }
                }
                (None, _) => refuse("release: not found"),
            }
        }
        ["upgrade", name, chart] => {
            let mut values = Value::Null;
            for file in &files {
                let Some(text) = read(file) else {
                    return refuse(&format!("open {file}: no such file or directory"));
                };
                match serde_saphyr::from_str::<Value>(&text) {
                    Ok(more) => merge(&mut values, more),
                    Err(error) => return refuse(&format!("failed to parse {file}: {error}")),
                }
            }
            let chart = chart.rsplit('/').next().unwrap_or(chart);
            upgrade(&world, &key(name), chart, version, values).await
        }
        ["rollback", name, revision] => rollback(&world, &key(name), revision).await,
        ["uninstall", name] => {
            tokio::time::sleep(RENDERS).await;
            let mut world = lock(&world);
            let Some(revisions) = world.releases.remove(&key(name)) else {
                return refuse("release: not found");
            };
            for object in revisions.last().map(|last| render(&key(name), last)).unwrap_or_default() {
                let resource = resource(&object);
                world.store.remove(resource, namespace, object["metadata"]["name"].as_str().unwrap_or(""));
            }
            Output { stdout: format!("release \"{name}\" uninstalled\n"), ..Output::default() }
        }
        _ => Output {
            code: 64,
            stderr: format!("helm: the simulation does not know `{}`\n", args.join(" ")),
            ..Output::default()
        },
    }
}

async fn upgrade(
    world: &Shared,
    key: &(String, String),
    chart: &str,
    version: &str,
    values: Value,
) -> Output {
    let number = {
        let mut world = lock(world);
        if world.store.get("namespaces", "", &key.0).is_none() {
            return refuse(&format!(
                "INSTALLATION FAILED: create: failed to create: namespaces \"{}\" not found",
                key.0
            ));
        }
        let stamp = world.clock.stamp();
        let revisions = world.releases.entry(key.clone()).or_default();
        if let Some(last) = revisions.last()
            && last.status.starts_with("pending-")
        {
            return refuse("UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress");
        }
        // Without values those of the last revision stay.
        let kept = revisions.last().map(|last| last.values.clone()).unwrap_or_default();
        let first = revisions.is_empty();
        revisions.push(Revision {
            status: if first { "pending-install" } else { "pending-upgrade" },
            updated: stamp,
            chart: chart.to_string(),
            version: version.to_string(),
            values: if values.is_null() { kept } else { values },
            description: if first { "Initial install underway" } else { "Preparing upgrade" }.to_string(),
        });
        revisions.len()
    };
    finish(world, key, number, if number == 1 { "Install complete" } else { "Upgrade complete" }).await;
    let done =
        if number == 1 { "does not exist. Installing it now." } else { "has been upgraded. Happy Helming!" };
    Output { stdout: format!("Release \"{}\" {done}\n", key.1), ..Output::default() }
}

async fn rollback(world: &Shared, key: &(String, String), to: &str) -> Output {
    let number = {
        let mut world = lock(world);
        let stamp = world.clock.stamp();
        let Some(revisions) = world.releases.get_mut(key) else { return refuse("release: not found") };
        let place = to.parse::<usize>().ok().and_then(|to| to.checked_sub(1));
        let Some(old) = place.and_then(|place| revisions.get(place)).cloned() else {
            return refuse(&format!("release has no {to} version"));
        };
        revisions.push(Revision { status: "pending-rollback", updated: stamp, ..old });
        revisions.len()
    };
    finish(world, key, number, &format!("Rollback to {to}")).await;
    Output { stdout: "Rollback was a success! Happy Helming!\n".to_string(), ..Output::default() }
}

/// Sends what a pending revision renders to, and calls it deployed.
async fn finish(world: &Shared, key: &(String, String), number: usize, description: &str) {
    tokio::time::sleep(RENDERS).await;
    let mut world = lock(world);
    let Some(revision) = world.releases.get(key).and_then(|all| all.get(number - 1)).cloned() else { return };
    send(&mut world, key, &revision);
    let Some(revisions) = world.releases.get_mut(key) else { return };
    for revision in &mut revisions[..number - 1] {
        if revision.status == "deployed" {
            revision.status = "superseded";
        }
    }
    let last = &mut revisions[number - 1];
    (last.status, last.description) = ("deployed", description.to_string());
}

/// Puts what a revision renders to into the cluster.
fn send(world: &mut World, key: &(String, String), revision: &Revision) {
    let now = world.clock.stamp();
    for mut object in render(key, revision) {
        let (resource, name) =
            (resource(&object), object["metadata"]["name"].as_str().unwrap_or("").to_string());
        api::owned_by(&mut object, "helm", &now);
        let changed = object.clone();
        let there = world.store.update(resource, &key.0, &name, |old| {
            old["spec"] = changed["spec"].clone();
            old["metadata"]["managedFields"] = changed["metadata"]["managedFields"].clone();
        });
        if there.is_none() {
            world.store.insert(resource, object);
        }
    }
}

fn resource(object: &Value) -> &'static str {
    if object["kind"] == "DaemonSet" { "daemonsets" } else { "deployments" }
}

/// Returns the objects of a revision.
fn render((namespace, release): &(String, String), revision: &Revision) -> Vec<Value> {
    let Revision { chart, version, values, .. } = revision;
    let everywhere = json!([{"operator": "Exists"}]);
    let object = |kind: &str, name: &str| {
        let labels = json!({"app.kubernetes.io/instance": release, "app.kubernetes.io/name": name});
        json!({
            "apiVersion": "apps/v1", "kind": kind,
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels, "annotations": {"checksum/config": digest(values)}},
                    "spec": {
                        "containers": [{"name": name, "image": format!("charts/{chart}:v{version}")}],
                        "tolerations": everywhere,
                    },
                },
            },
            "status": {},
        })
    };
    let mut operator = object("Deployment", &format!("{release}-operator"));
    operator["spec"]["replicas"] = json!(1);
    vec![object("DaemonSet", release), operator]
}

impl Revision {
    fn show(&self, number: usize) -> Value {
        json!({
            "revision": number, "updated": self.updated, "status": self.status,
            "chart": format!("{}-{}", self.chart, self.version), "app_version": self.version,
            "description": self.description,
        })
    }
}

/// Merges values as helm does: maps by their keys, everything else as a whole.
fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into @ Value::Null, Value::Object(more)) => {
            *into = Value::Object(more.into_iter().collect::<Map<_, _>>())
        }
        (into, more) => *into = more,
    }
}

fn said(value: &Value) -> Output {
    Output { stdout: format!("{value}\n"), ..Output::default() }
}

fn refuse(message: &str) -> Output {
    Output { code: 1, stderr: format!("Error: {message}\n"), ..Output::default() }
}
