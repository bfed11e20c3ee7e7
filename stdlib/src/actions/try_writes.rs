//! `try writes`: a ConfigMap is made, read and deleted again. What only reads may be told from a cache; this goes through admission and
//! into etcd and back. It is called after its run, so whoever comes again after a crash finds it and takes it away.

use std::collections::BTreeMap;

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, PostParams};

use super::{argument, detached};
use crate::api;

/// The verb.
pub(super) struct TryWrites;

/// Where it says whose it is.
const RUN: &str = "kup.dev/run";

#[async_trait]
impl Action for TryWrites {
    fn name(&self) -> &'static str {
        "try writes"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let then = format!("a ConfigMap in {} can be written", argument::text(cx, "namespace")?);
        Ok(Check::Needs { now: String::new(), then, before: Value::None })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let (maps, name) = place(cx)?;
        let written = write(&maps, &name, &cx.run).await;
        // Whatever came of it, nothing is left; why it failed is worth more than what comes behind.
        let removed = remove(&maps, &name).await;
        written?;
        removed?;
        let namespace = argument::text(cx, "namespace")?;
        Ok(Progress::Done(Value::Text(format!("a ConfigMap in {namespace} was written, read and deleted"))))
    }

    async fn undo(&self, cx: &Context, _: &Value) -> Result<(), Failure> {
        let (maps, name) = place(cx)?;
        remove(&maps, &name).await
    }
}

fn place(cx: &Context) -> Result<(Api<ConfigMap>, String), Failure> {
    let kube = api::client(&cx.ports)?;
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let run: String = cx.run.chars().map(plain).collect();
    let name = format!("kup-{run}-{}", detached::step_hash(cx));
    Ok((Api::namespaced(kube, argument::text(cx, "namespace")?), name))
}

async fn write(maps: &Api<ConfigMap>, name: &str, run: &str) -> Result<(), Failure> {
    let data = BTreeMap::from([("run".to_string(), run.to_string())]);
    let metadata = ObjectMeta {
        name: Some(name.to_string()),
        labels: Some(BTreeMap::from([("app.kubernetes.io/managed-by".to_string(), "kup".to_string())])),
        annotations: Some(BTreeMap::from([(RUN.to_string(), run.to_string())])),
        ..ObjectMeta::default()
    };
    let map = ConfigMap { metadata, data: Some(data.clone()), ..ConfigMap::default() };
    let params = PostParams { field_manager: Some("kup".to_string()), ..PostParams::default() };
    match api::raw(maps.create(&params, &map)).await {
        None => return Err(api::silent(&format!("create the ConfigMap {name}"))),
        // An attempt before this one was not told how it went.
        Some(Err(kube::Error::Api(status))) if status.reason == "AlreadyExists" => {}
        Some(Err(error)) => return Err(api::failure(&format!("create the ConfigMap {name}"), &error)),
        Some(Ok(_)) => {}
    }
    let read = api::call(&format!("read the ConfigMap {name}"), maps.get(name)).await?;
    if read.data == Some(data) {
        return Ok(());
    }
    Err(Failure::last(format!("the ConfigMap {name} does not hold what was written into it"))
        .with_hint("look for an admission webhook that changes ConfigMaps"))
}

/// Deletes it, if it is there.
async fn remove(maps: &Api<ConfigMap>, name: &str) -> Result<(), Failure> {
    let what = format!("delete the ConfigMap {name}");
    api::find(&what, maps.delete(name, &DeleteParams::default())).await?;
    match api::find(&what, maps.get(name)).await? {
        None => Ok(()),
        Some(_) => Err(Failure::transient(format!("the ConfigMap {name} was deleted and is still there"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, perform};
    use super::*;
    use engine::event::Class;
    use serde_json::json;

    const MAPS: &str = "/api/v1/namespaces/default/configmaps";

    fn step(bench: &Bench) -> (Context, String) {
        let cx = bench.step(&[("namespace", Value::Text("default".into()))]);
        let path = format!("{MAPS}/{}", place(&cx).unwrap().1);
        (cx, path)
    }

    #[tokio::test]
    async fn a_config_map_is_written_read_and_deleted() {
        let bench = Bench::default();
        let (cx, path) = step(&bench);
        let said = perform(&TryWrites, &cx).await.unwrap();
        assert_eq!(said.as_text(), Some("a ConfigMap in default was written, read and deleted"));
        assert_eq!(bench.cluster.sent(&format!("POST {MAPS}")).len(), 1);
        assert!(bench.cluster.get(&path).is_null());
    }

    #[tokio::test]
    async fn what_a_killed_attempt_has_left_is_taken_away() {
        let bench = Bench::default();
        let (cx, path) = step(&bench);
        let left = json!({ "metadata": { "name": path.rsplit('/').next(), "namespace": "default" }, "data": { "run": "r1" } });
        bench.cluster.put(&path, left.clone());
        perform(&TryWrites, &cx).await.unwrap();
        assert!(bench.cluster.get(&path).is_null());
        bench.cluster.put(&path, left);
        TryWrites.undo(&cx, &Value::None).await.unwrap();
        assert!(bench.cluster.get(&path).is_null());
    }

    #[tokio::test]
    async fn who_refuses_is_told_and_nothing_is_left() {
        let bench = Bench::default();
        let (cx, path) = step(&bench);
        let denied = json!({ "kind": "Status", "code": 403, "message": "admission webhook \"policy.shop.io\" denied the request: no owner" });
        bench.cluster.answer(&format!("POST {MAPS}"), 403, denied);
        let failure = perform(&TryWrites, &cx).await.unwrap_err();
        assert!(failure.message.contains("policy.shop.io") && failure.class == Class::Final, "{failure:?}");
        // Something between here and etcd writes other things.
        bench.cluster.put(&path, json!({ "metadata": { "name": path.rsplit('/').next(), "namespace": "default" }, "data": { "run": "other" } }));
        let failure = perform(&TryWrites, &cx).await.unwrap_err();
        assert!(failure.message.ends_with("does not hold what was written into it"), "{failure:?}");
        assert!(bench.cluster.get(&path).is_null());
    }
}
