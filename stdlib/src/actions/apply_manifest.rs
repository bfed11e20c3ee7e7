//! `apply manifest`: server-side apply of a file, with its own dry run as the probe. What must be known to take it back is
//! small: which objects were not there, and for each other one the merge patch that leads back to what it was.
//!
//! ```text
//! look   each object: get, apply with dryRun -> not there | as the file says | differs
//! do     definitions -> wait until established -> all the rest
//! undo   merge patches back, then what was made is deleted, the last one first
//! ```
//! <https://kubernetes.io/docs/reference/using-api/server-side-apply/>

use std::time::Duration;

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use indexmap::IndexMap;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use serde_json::{Map, Value as Json, json};

use super::manifest::{DEFINITION, Doors, Name, Object, of_file, unknown};
use crate::api;

/// Who kup is among the managers of fields.
const MANAGER: &str = "kup";

/// How often to look whether definitions are established.
const AGAIN: Duration = Duration::from_secs(1);

/// With these would go what others have put there since: they stay.
const STAY: [&str; 4] = [DEFINITION, "Namespace", "PersistentVolumeClaim", "PersistentVolume"];

/// The verb.
pub(super) struct ApplyManifest;

/// What a look at an object has shown.
enum Seen {
    Missing,
    Same,
    /// It differs; the merge patch that would lead back from what it will be.
    Differs(Json),
}

#[async_trait]
impl Action for ApplyManifest {
    fn name(&self) -> &'static str {
        "apply manifest"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let mut objects = of_file(cx).await?;
        let mut doors = Doors::new(api::client(&cx.ports)?);
        let all = objects.clone();
        let (mut made, mut changed, mut secrets, mut titles) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for object in &mut objects {
            let seen = look(cx, &mut doors, object, &all).await?;
            let key = Value::Text(object.name.key());
            match seen {
                Seen::Same => continue,
                Seen::Missing => made.push(key),
                // What a secret held does not go into the journal.
                Seen::Differs(_) if object.name.kind == "Secret" => secrets.push(key),
                Seen::Differs(patch) => {
                    let fields =
                        [("object".to_string(), key), ("patch".to_string(), Value::Text(patch.to_string()))];
                    changed.push(Value::Record(fields.into_iter().collect()));
                }
            }
            titles.push(object.name.title());
        }
        if titles.is_empty() {
            return Ok(Check::Done(match all.len() {
                1 => format!("{} is as the file says", all[0].name.title()),
                many => format!("{many} objects are as the file says"),
            }));
        }
        let more = titles.len().saturating_sub(3);
        titles.truncate(3);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let before = IndexMap::from([
            ("made".to_string(), Value::List(made)),
            ("changed".to_string(), Value::List(changed)),
            ("secrets".to_string(), Value::List(secrets)),
        ]);
        let then = format!("{}{more}", titles.join(", "));
        Ok(Check::Needs { now: String::new(), then, before: Value::Record(before) })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let objects = of_file(cx).await?;
        let mut doors = Doors::new(api::client(&cx.ports)?);
        let (definitions, rest): (Vec<Object>, Vec<Object>) =
            objects.into_iter().partition(Object::is_definition);
        send(cx, &mut doors, &definitions, &definitions).await?;
        if definitions.is_empty() {
            return send(cx, &mut doors, &rest, &definitions).await.map(|()| Progress::Done(Value::None));
        }
        let reason = "a first look at the definitions".to_string();
        Ok(Progress::Pending { handle: Value::None, reason, again: Duration::ZERO })
    }

    async fn poll(&self, cx: &Context, handle: &Value) -> Result<Progress, Failure> {
        let objects = of_file(cx).await?;
        let mut doors = Doors::new(api::client(&cx.ports)?);
        let (definitions, rest): (Vec<Object>, Vec<Object>) =
            objects.into_iter().partition(Object::is_definition);
        for definition in &definitions {
            if let Some(reason) = unestablished(&mut doors, definition).await? {
                return Ok(Progress::Pending { handle: handle.clone(), reason, again: AGAIN });
            }
        }
        send(cx, &mut doors, &rest, &definitions).await.map(|()| Progress::Done(Value::None))
    }

    async fn undo(&self, cx: &Context, before: &Value) -> Result<(), Failure> {
        let list = |field: &str| match before.get(field) {
            Some(Value::List(items)) => items.clone(),
            _ => Vec::new(),
        };
        let mut doors = Doors::new(api::client(&cx.ports)?);
        for one in list("changed").iter().rev() {
            let name = one.get("object").and_then(Value::as_text).and_then(Name::read);
            let patch = one
                .get("patch")
                .and_then(Value::as_text)
                .and_then(|text| serde_json::from_str::<Json>(text).ok());
            let (Some(mut name), Some(patch)) = (name, patch) else { continue };
            let Some(door) = doors.to(&mut name).await? else { continue };
            let params = PatchParams { field_manager: Some(MANAGER.to_string()), ..PatchParams::default() };
            let what = format!("put {} back", name.title());
            api::find(&what, door.patch(&name.name, &params, &Patch::Merge(&patch))).await?;
        }
        for one in list("made").iter().rev() {
            let Some(mut name) = one.as_text().and_then(Name::read) else { continue };
            if STAY.contains(&name.kind.as_str()) {
                continue;
            }
            let Some(door) = doors.to(&mut name).await? else { continue };
            remove(&door, &name).await?;
        }
        let kept: Vec<String> =
            list("secrets").iter().filter_map(|s| Some(Name::read(s.as_text()?)?.title())).collect();
        if kept.is_empty() {
            return Ok(());
        }
        Err(Failure::last(format!("{} stays as the file has it", kept.join(", ")))
            .with_hint("what a Secret held before is not in the journal: put it back by hand"))
    }
}

/// Looks at one object; `all` are those of the file.
async fn look(cx: &Context, doors: &mut Doors, object: &mut Object, all: &[Object]) -> Result<Seen, Failure> {
    let Some(door) = doors.to(&mut object.name).await? else {
        // Its definition may be new in the same file.
        let defined = all.iter().any(|other| other.defines(&object.name));
        return if defined { Ok(Seen::Missing) } else { Err(unknown(&object.name)) };
    };
    let what = format!("read {}", object.name.title());
    let live = api::find(&what, door.get(&object.name.name)).await?;
    let in_new_namespace =
        all.iter().any(|o| o.name.kind == "Namespace" && o.name.name == object.name.namespace);
    if live.is_none() && in_new_namespace {
        return Ok(Seen::Missing);
    }
    let would = apply(cx, &door, object, true).await?;
    let Some(live) = live else { return Ok(Seen::Missing) };
    let (live, would) = (plain(&live), plain(&would));
    Ok(match back(&would, &live) {
        None => Seen::Same,
        Some(patch) => Seen::Differs(patch),
    })
}

/// Applies objects one by one.
async fn send(
    cx: &Context,
    doors: &mut Doors,
    objects: &[Object],
    definitions: &[Object],
) -> Result<(), Failure> {
    for mut object in objects.iter().cloned() {
        let Some(door) = doors.to(&mut object.name).await? else {
            let name = &object.name;
            return Err(match definitions.iter().any(|definition| definition.defines(name)) {
                // Established is said a moment before it is served by every apiserver.
                true => Failure::transient(format!("the API does not serve {} yet", name.kind)),
                false => unknown(name),
            });
        };
        apply(cx, &door, &object, false).await?;
    }
    Ok(())
}

async fn apply(
    cx: &Context,
    door: &Api<DynamicObject>,
    object: &Object,
    dry_run: bool,
) -> Result<DynamicObject, Failure> {
    let force = cx.args.get("conflicts").and_then(Value::as_text) == Some("take");
    let params =
        PatchParams { dry_run, force, field_manager: Some(MANAGER.to_string()), ..PatchParams::default() };
    let what = format!("apply {}", object.name.title());
    match api::raw(door.patch(&object.name.name, &params, &Patch::Apply(&object.json))).await {
        Some(Ok(applied)) => Ok(applied),
        Some(Err(error)) => {
            Err(conflict(&object.name, &error).unwrap_or_else(|| api::failure(&what, &error)))
        }
        None => Err(api::silent(&what)),
    }
}

/// Names the fields that others own, and who they are.
fn conflict(name: &Name, error: &kube::Error) -> Option<Failure> {
    let kube::Error::Api(status) = error else { return None };
    let causes = &status.details.as_ref()?.causes;
    let fields: Vec<String> = causes
        .iter()
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(|cause| format!("{} ({})", cause.field, cause.message.trim_start_matches("conflict with ")))
        .collect();
    if fields.is_empty() {
        return None;
    }
    let message =
        format!("others own fields of {}, and want them otherwise: {}", name.title(), fields.join(", "));
    Some(Failure::last(message).with_hint(
        "take these fields out of the file where they are somebody else's to set, or give the step `conflicts=take`: then they are the file's",
    ))
}

/// Tells what a definition still waits for. A name that another definition has is a failure.
async fn unestablished(doors: &mut Doors, definition: &Object) -> Result<Option<String>, Failure> {
    let mut name = definition.name.clone();
    let Some(door) = doors.to(&mut name).await? else { return Err(unknown(&name)) };
    let title = name.title();
    let live = match api::find(&format!("read {title}"), door.get(&name.name)).await {
        Ok(live) => live,
        // An API that does not answer for a moment is no verdict.
        Err(failure) => return Ok(Some(failure.message)),
    };
    let Some(live) = live else { return Err(Failure::transient(format!("{title} is gone"))) };
    let conditions = live.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let is =
        |kind: &str, status: &str| conditions.iter().find(|c| c["type"] == kind && c["status"] == status);
    if let Some(refused) = is("NamesAccepted", "False") {
        let why = refused["message"].as_str().unwrap_or_default();
        return Err(Failure::last(format!("{title} cannot have its names: {why}")));
    }
    Ok(is("Established", "True").is_none().then(|| format!("{title} is not established yet")))
}

/// Deletes an object that kup has made.
async fn remove(door: &Api<DynamicObject>, name: &Name) -> Result<(), Failure> {
    let title = name.title();
    let Some(live) = api::find(&format!("read {title}"), door.get(&name.name)).await? else { return Ok(()) };
    let managers = live.metadata.managed_fields.as_deref().unwrap_or_default();
    if !managers.iter().any(|m| m.manager.as_deref() == Some(MANAGER)) {
        return Err(Failure::last(format!("{title} was made by somebody else meanwhile: left")));
    }
    let preconditions = Preconditions { uid: live.metadata.uid.clone(), resource_version: None };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
    api::find(&format!("delete {title}"), door.delete(&name.name, &params)).await.map(drop)
}

/// Returns an object without what changes by itself.
fn plain(object: &DynamicObject) -> Json {
    let mut json = json!(object);
    if let Some(metadata) = json["metadata"].as_object_mut() {
        for field in ["managedFields", "resourceVersion", "generation", "creationTimestamp", "uid"] {
            metadata.remove(field);
        }
    }
    if let Some(object) = json.as_object_mut() {
        object.remove("status");
    }
    json
}

/// Returns the merge patch (RFC 7386) that leads from one document to another one; `None` where they are alike.
fn back(from: &Json, to: &Json) -> Option<Json> {
    let (Json::Object(one), Json::Object(other)) = (from, to) else {
        return (from != to).then(|| to.clone());
    };
    let mut patch = Map::new();
    for (key, value) in other {
        match one.get(key) {
            Some(old) => {
                if let Some(inner) = back(old, value) {
                    patch.insert(key.clone(), inner);
                }
            }
            None => drop(patch.insert(key.clone(), value.clone())),
        }
    }
    for key in one.keys().filter(|key| !other.contains_key(*key)) {
        patch.insert(key.clone(), Json::Null);
    }
    (!patch.is_empty()).then_some(Json::Object(patch))
}

#[cfg(test)]
mod tests {
    use engine::event::Class;

    use super::super::configuration::merge;
    use super::super::testing::{Bench, perform};
    use super::*;

    const MAP: &str = "/api/v1/namespaces/net/configmaps/cni";
    const FILE: &str =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: cni, namespace: net }\ndata: { mtu: \"1400\" }\n";

    fn bench(file: &str) -> Bench {
        let bench = Bench::default().file("/playbooks/cni.yaml", file);
        let kind = |name: &str, kind: &str, namespaced: bool| json!({ "name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get"] });
        let list = |version: &str, kinds: Json| json!({ "groupVersion": version, "resources": kinds });
        bench.cluster.put(
            "/api/v1",
            list("v1", json!([kind("configmaps", "ConfigMap", true), kind("secrets", "Secret", true)])),
        );
        bench
    }

    fn step(bench: &Bench) -> Context {
        bench.step(&[
            ("file", Value::Path("cni.yaml".into())),
            ("namespace", Value::Text("default".into())),
            ("conflicts", Value::Word("refuse".into())),
        ])
    }

    fn map(mtu: &str) -> Json {
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "cni", "namespace": "net", "uid": "u" },
            "data": { "mtu": mtu, "other": "x" } })
    }

    #[tokio::test]
    async fn what_differs_is_applied_once_and_put_back_by_a_patch_that_the_journal_holds() {
        let bench = bench(FILE);
        bench.cluster.put(MAP, map("1500"));
        bench.cluster.answer(&format!("PATCH {MAP}"), 200, map("1400")); // the dry run
        let Ok(Check::Needs { then, before, .. }) = ApplyManifest.check(&step(&bench)).await else {
            panic!()
        };
        assert_eq!(then, "ConfigMap net/cni");
        let Some(Value::List(changed)) = before.get("changed") else { panic!("{before}") };
        let patch = changed[0].get("patch").and_then(Value::as_text);
        assert_eq!(patch, Some("{\"data\":{\"mtu\":\"1500\"}}"));
        bench.cluster.put(MAP, map("1400"));
        ApplyManifest.undo(&step(&bench), &before).await.unwrap();
        assert_eq!(bench.cluster.get(MAP)["data"]["mtu"], "1500");
        bench.cluster.put(MAP, map("1400"));
        bench.cluster.answer(&format!("PATCH {MAP}"), 200, map("1400"));
        let done = ApplyManifest.check(&step(&bench)).await.unwrap();
        assert_eq!(done, Check::Done("ConfigMap net/cni is as the file says".into()));
    }

    #[tokio::test]
    async fn a_conflict_names_the_field_and_its_manager_and_is_not_tried_again() {
        let bench = bench(FILE);
        bench.cluster.put(MAP, map("1500"));
        let status = json!({ "kind": "Status", "status": "Failure", "code": 409, "reason": "Conflict",
            "message": "Apply failed with 1 conflict: conflict with \"helm\" using v1: .data.mtu",
            "details": { "causes": [{ "reason": "FieldManagerConflict", "message": "conflict with \"helm\" using v1", "field": ".data.mtu" }] } });
        bench.cluster.answer(&format!("PATCH {MAP}"), 409, status);
        let failure = ApplyManifest.check(&step(&bench)).await.unwrap_err();
        assert_eq!(failure.class, Class::Final);
        assert_eq!(
            failure.message,
            "others own fields of ConfigMap net/cni, and want them otherwise: .data.mtu (\"helm\" using v1)"
        );
        assert!(failure.hint.contains("conflicts=take"));
    }

    #[tokio::test]
    async fn what_a_secret_held_is_not_kept_and_that_is_said() {
        let path = "/api/v1/namespaces/default/secrets/key";
        let secret = |data: &str| json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "key", "namespace": "default" }, "data": { "a": data } });
        let bench = bench("apiVersion: v1\nkind: Secret\nmetadata: { name: key }\ndata: { a: bmV3 }\n");
        bench.cluster.put(path, secret("b2xk"));
        bench.cluster.answer(&format!("PATCH {path}"), 200, secret("bmV3"));
        let Ok(Check::Needs { before, .. }) = ApplyManifest.check(&step(&bench)).await else { panic!() };
        assert!(!before.to_string().contains("b2xk"), "{before}");
        let failure = ApplyManifest.undo(&step(&bench), &before).await.unwrap_err();
        assert_eq!(failure.message, "Secret default/key stays as the file has it");
    }

    #[tokio::test]
    async fn a_kind_that_nobody_defined_and_a_file_that_is_not_there_are_told() {
        let kind = bench("apiVersion: example.com/v1\nkind: Net\nmetadata: { name: a }\n");
        let failure = ApplyManifest.check(&step(&kind)).await.unwrap_err();
        assert_eq!(failure.message, "the API has no kind Net in example.com/v1");
        let failure = perform(&ApplyManifest, &step(&Bench::default())).await.unwrap_err();
        assert_eq!(failure.message, "there is no file /playbooks/cni.yaml");
    }

    #[test]
    fn a_patch_leads_back_from_what_it_was_made_of() {
        let from = json!({ "a": { "b": 1, "c": [1] }, "d": 1, "e": { "f": 1 } });
        let to = json!({ "a": { "b": 2, "c": [1] }, "e": { "f": 1 }, "g": { "h": 1 } });
        let patch = back(&from, &to).unwrap();
        assert_eq!(patch, json!({ "a": { "b": 2 }, "d": null, "g": { "h": 1 } }));
        let mut there = from;
        merge(&mut there, &patch);
        assert_eq!(there, to);
        assert_eq!(back(&to, &to), None);
    }
}
