//! The verbs on objects: get, list, create, patch, replace, delete.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{Query, Request};
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use super::kind::{self, Kind, Target};
use super::select::Select;
use super::status::Refusal;
use super::{Server, apply, bytes, evict, json as answer_json, patch, watch};
use crate::clock::stamp;
use crate::kubelet;
use crate::pod;
use crate::world::{Shared, World, lock};

/// The largest body that an apiserver takes.
const BODY: usize = 3 * 1024 * 1024;

/// How long an apiserver takes to serve what a CustomResourceDefinition adds.
const ESTABLISHES: Duration = Duration::from_secs(2);

/// The parameters of a query that matter here.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Params {
    pub(super) label_selector: String,
    pub(super) field_selector: String,
    limit: usize,
    #[serde(rename = "continue")]
    token: String,
    watch: String,
    pub(super) resource_version: String,
    pub(super) timeout_seconds: Option<u64>,
    pub(super) send_initial_events: bool,
    dry_run: String,
    field_manager: String,
    force: bool,
    /// Whether the fields are given to their owners already.
    #[serde(skip)]
    applies: bool,
}

/// Answers a request on objects.
pub(super) async fn answer(server: &Server, request: Request) -> Result<Response, Refusal> {
    let path = request.uri().path();
    // Only who asks for a kind that is not built in makes the definitions be read.
    let target = Target::parse(path)
        .or_else(|_| Target::among(path, kind::custom(&lock(&server.world)).into_iter()))?;
    let Query(params) = Query::<Params>::try_from_uri(request.uri())
        .map_err(|e| Refusal::bad_request(format!("invalid query: {e}")))?;
    let method = request.method().clone();
    let request_path = request.uri().path().to_string();
    let header = request.headers().get(header::CONTENT_TYPE);
    let content_type = header.and_then(|v| v.to_str().ok()).unwrap_or("").to_string();
    let body = to_bytes(request.into_body(), BODY)
        .await
        .map_err(|_| Refusal::new(413, "RequestEntityTooLarge", "request body too large"))?;

    let mut guard = lock(&server.world);
    let world = &mut *guard;
    let (kind, dry) = (target.kind, params.dry_run == "All");
    let defines = kind.resource == "customresourcedefinitions" && !dry && method != Method::GET;
    let answered = match (method, target.name.is_empty(), target.sub.as_str()) {
        (Method::GET, true, "") if matches!(params.watch.as_str(), "1" | "true") => {
            watch::watch(server, world, &target, &params)
        }
        (Method::GET, true, "") => list(world, &target, &params),
        (Method::GET, false, "" | "status" | "scale") => {
            let object = find(world, &target)?;
            Ok(answer_json(StatusCode::OK, &present(world, kind, &object)))
        }
        (Method::GET, false, "proxy") if kind.resource == "pods" => {
            let path = request_path.split_once("/proxy/").map_or("", |(_, path)| path);
            proxy(world, &target, path)
        }
        (Method::POST, true, "") => create(world, &target, parse(&body)?, dry),
        (Method::POST, false, "eviction") if kind.resource == "pods" => {
            let status = evict::evict(world, &target, &parse(&body)?, dry)?;
            Ok(answer_json(StatusCode::CREATED, &status))
        }
        (Method::PATCH, false, "") if content_type.starts_with("application/apply-patch") => {
            apply_wanted(world, &target, &body, &params, dry)
        }
        (Method::PATCH, false, "" | "status") => {
            change(world, &target, &params, dry, |object| patch::apply(object, &content_type, &body))
        }
        (Method::PUT, false, "" | "status") => {
            let wanted = parse(&body)?;
            change(world, &target, &params, dry, |object| {
                *object = wanted;
                Ok(())
            })
        }
        (Method::DELETE, false, "") => {
            let options = if body.is_empty() { Value::Null } else { parse(&body)? };
            delete(world, &target, &options, dry)
        }
        _ => Err(Refusal::no_such_method()),
    };
    drop(guard);
    if defines && answered.is_ok() {
        establish(server.world.clone());
    }
    answered
}

/// Lets the definitions that are new be served after a while.
fn establish(world: Shared) {
    tokio::spawn(async move {
        tokio::time::sleep(ESTABLISHES).await;
        let mut world = lock(&world);
        let now = world.clock.stamp();
        let names: Vec<String> =
            world.store.list("customresourcedefinitions").map(|crd| pod::name(crd).to_string()).collect();
        for name in names {
            world.store.update("customresourcedefinitions", "", &name, |crd| {
                let accepted = "no conflicts found";
                pod::set_condition(crd, "NamesAccepted", "True", "NoConflicts", accepted, &now);
                let message = "the initial names have been accepted";
                pod::set_condition(crd, "Established", "True", "InitialNamesAccepted", message, &now);
                crd["status"]["acceptedNames"] = crd["spec"]["names"].clone();
            });
        }
    });
}

fn parse(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body)
        .map_err(|e| Refusal::bad_request(format!("the object provided is unrecognized: {e}")))
}

/// Passes a question on to an apiserver, the one kind of pod here that answers any: `https:NAME:PORT`.
fn proxy(world: &World, target: &Target, path: &str) -> Result<Response, Refusal> {
    let name = match target.name.split(':').collect::<Vec<_>>().as_slice() {
        [name] | [name, _] | [_, name, _] => name.to_string(),
        _ => String::new(),
    };
    let pod = world.store.get("pods", &target.namespace, &name);
    let pod = pod.ok_or_else(|| Refusal::not_found(target.kind, &name))?;
    let node = pod["spec"]["nodeName"].as_str().unwrap_or("");
    let apiserver = pod["metadata"]["labels"]["component"] == "kube-apiserver";
    if !(apiserver && world.component_up(node, "kube-apiserver")) {
        let dial = "error trying to reach service: dial tcp: connect: connection refused";
        return Err(Refusal::new(503, "ServiceUnavailable", dial));
    }
    match path {
        // An apiserver asks the member beside it.
        "readyz" if world.etcd.answers(node) => Ok(bytes(StatusCode::OK, b"ok".to_vec())),
        "readyz" => Err(Refusal::new(500, "InternalError", "[-]etcd failed: reason withheld")),
        _ => Err(Refusal::no_such_path()),
    }
}

/// Finds the object that a request names.
pub(super) fn find(world: &World, target: &Target) -> Result<Arc<Value>, Refusal> {
    let object = world.store.get(target.kind.resource, &target.namespace, &target.name);
    object.cloned().ok_or_else(|| Refusal::not_found(target.kind, &target.name))
}

/// Returns an object as the API shows it: heartbeats are derived from now, and not written every ten seconds.
pub(super) fn present<'a>(world: &World, kind: &Kind, object: &'a Value) -> Cow<'a, Value> {
    match kind.resource {
        "nodes" => Cow::Owned(kubelet::with_heartbeat(world, object)),
        "leases" => kubelet::with_renewal(world, object).map_or(Cow::Borrowed(object), Cow::Owned),
        _ => Cow::Borrowed(object),
    }
}

/// An item of a list: the real server leaves `kind` and `apiVersion` to the list.
struct Item<'a>(Cow<'a, Value>);

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.0.as_object().into_iter().flatten() {
            if key != "kind" && key != "apiVersion" {
                map.serialize_entry(key, value)?;
            }
        }
        map.end()
    }
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    kind: String,
    api_version: String,
    metadata: Value,
    items: Vec<Item<'a>>,
}

fn list(world: &World, target: &Target, params: &Params) -> Result<Response, Refusal> {
    let kind = target.kind;
    let select = Select::parse(&params.label_selector, &params.field_selector)?;
    let wanted = |o: &&Arc<Value>| {
        (target.namespace.is_empty() || pod::namespace(o) == target.namespace) && select.wants(o)
    };
    let all: Vec<&Arc<Value>> = match select.node() {
        Some(node) if kind.resource == "pods" => world.store.pods_on(node).filter(wanted).collect(),
        _ if target.namespace.is_empty() => world.store.list(kind.resource).filter(wanted).collect(),
        _ => world.store.list_in(kind.resource, &target.namespace).filter(wanted).collect(),
    };
    // The token is the last key of the page before; objects that come or go in between are seen or not.
    let after = params.token.split_once('/');
    let rest: Vec<&Arc<Value>> =
        all.into_iter().filter(|o| after.is_none_or(|a| (pod::namespace(o), pod::name(o)) > a)).collect();
    let page = if params.limit == 0 { rest.len() } else { params.limit.min(rest.len()) };
    let mut metadata = json!({"resourceVersion": world.store.revision().to_string()});
    if let Some(last) = rest[..page].last().filter(|_| page < rest.len()) {
        metadata["continue"] = json!(format!("{}/{}", pod::namespace(last), pod::name(last)));
        metadata["remainingItemCount"] = json!(rest.len() - page);
    }
    let list = List {
        kind: format!("{}List", kind.name),
        api_version: kind.api_version(),
        metadata,
        items: rest[..page].iter().map(|o| Item(present(world, kind, o))).collect(),
    };
    let body = serde_json::to_vec(&list).map_err(|e| Refusal::new(500, "InternalError", e.to_string()))?;
    Ok(bytes(StatusCode::OK, body))
}

fn create(world: &mut World, target: &Target, mut object: Value, dry: bool) -> Result<Response, Refusal> {
    let kind = target.kind;
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    if object["metadata"]["name"].is_null() {
        let Some(prefix) = object["metadata"]["generateName"].as_str() else {
            let message = format!(
                "{} \"\" is invalid: metadata.name: Required value: name or generateName is required",
                kind.name
            );
            return Err(Refusal::unprocessable(message));
        };
        let name = format!("{prefix}{}", world.random.suffix(5));
        object["metadata"]["name"] = json!(name);
    }
    if kind.namespaced {
        if world.store.get("namespaces", "", &target.namespace).is_none() {
            let namespaces = Kind::of("namespaces").unwrap_or(kind);
            return Err(Refusal::not_found(namespaces, &target.namespace));
        }
        object["metadata"]["namespace"] = json!(target.namespace);
    }
    object["kind"] = json!(kind.name);
    object["apiVersion"] = json!(kind.api_version());
    let name = pod::name(&object).to_string();
    if world.store.get(kind.resource, &target.namespace, &name).is_some() {
        return Err(Refusal::already_exists(kind, &name));
    }
    if dry {
        return Ok(answer_json(StatusCode::CREATED, &object));
    }
    let stored =
        world.store.insert(kind.resource, object).ok_or_else(|| Refusal::already_exists(kind, &name))?;
    Ok(answer_json(StatusCode::CREATED, &stored))
}

/// Changes an object under the rules that every update has.
fn change(
    world: &mut World,
    target: &Target,
    params: &Params,
    dry: bool,
    change: impl FnOnce(&mut Value) -> Result<(), Refusal>,
) -> Result<Response, Refusal> {
    let (kind, before) = (target.kind, find(world, target)?);
    let mut object = (*before).clone();
    change(&mut object)?;
    if !object["metadata"].is_object() {
        return Err(Refusal::unprocessable(format!(
            "{} \"{}\" is invalid: metadata: Required value",
            kind.name, target.name
        )));
    }
    let version = &object["metadata"]["resourceVersion"];
    if !version.is_null() && *version != before["metadata"]["resourceVersion"] {
        return Err(Refusal::modified(kind, &target.name));
    }
    let uid = object["metadata"]["uid"].as_str();
    if uid.is_some_and(|uid| uid != pod::uid(&before)) {
        let why = format!(
            "Precondition failed: UID in precondition: {}, UID in object meta: {}",
            uid.unwrap_or(""),
            pod::uid(&before)
        );
        return Err(Refusal::conflict(kind, &target.name, &why));
    }
    for field in ["name", "namespace", "uid", "creationTimestamp", "generation", "deletionTimestamp"] {
        match before["metadata"].get(field) {
            Some(value) => object["metadata"][field] = value.clone(),
            None => {
                object["metadata"].as_object_mut().map(|m| m.shift_remove(field));
            }
        }
    }
    object["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
    object["kind"] = before["kind"].clone();
    object["apiVersion"] = before["apiVersion"].clone();
    // The object and its status are two endpoints; each leaves the other's part alone.
    let kept = if target.sub == "status" { "spec" } else { "status" };
    if has_status(kind) {
        match before.get(kept) {
            Some(value) => object[kept] = value.clone(),
            None => {
                object.as_object_mut().map(|o| o.shift_remove(kept));
            }
        }
    }
    if has_template(kind) && object["spec"]["selector"] != before["spec"]["selector"] {
        let selector = &object["spec"]["selector"];
        return Err(Refusal::unprocessable(format!(
            "{}.{} \"{}\" is invalid: spec.selector: Invalid value: {selector}: field is immutable",
            kind.name, kind.group, target.name
        )));
    }
    if target.sub.is_empty() && !params.applies {
        let by = if params.field_manager.is_empty() { "unknown" } else { &params.field_manager };
        apply::updated(kind, &before, &mut object, by, &world.clock.stamp());
    }
    if dry {
        return Ok(answer_json(StatusCode::OK, &present(world, kind, &object)));
    }
    let (resource, namespace, name) = (kind.resource, &target.namespace, &target.name);
    let stored = world.store.update(resource, namespace, name, |o| *o = object);
    let stored = stored.ok_or_else(|| Refusal::not_found(kind, name))?;
    remove_if_free(world, kind, &stored);
    Ok(answer_json(StatusCode::OK, &present(world, kind, &stored)))
}

fn has_status(kind: &Kind) -> bool {
    matches!(
        kind.resource,
        "nodes"
            | "pods"
            | "namespaces"
            | "daemonsets"
            | "deployments"
            | "replicasets"
            | "statefulsets"
            | "jobs"
            | "poddisruptionbudgets"
            | "apiservices"
            | "customresourcedefinitions"
            | "volumeattachments"
            | "persistentvolumes"
            | "persistentvolumeclaims"
    )
}

/// The template of a workload and its selector belong together for ever.
fn has_template(kind: &Kind) -> bool {
    matches!(kind.resource, "daemonsets" | "deployments" | "statefulsets")
}

/// Applies what a manager wants, which makes the object where there is none.
fn apply_wanted(
    world: &mut World,
    target: &Target,
    body: &[u8],
    params: &Params,
    dry: bool,
) -> Result<Response, Refusal> {
    let (kind, mut wanted) = (target.kind, parse(body)?);
    if params.field_manager.is_empty() {
        return Err(Refusal::unprocessable(
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
        ));
    }
    if !wanted["metadata"]["managedFields"].is_null() {
        return Err(Refusal::bad_request("metadata.managedFields must be nil"));
    }
    wanted["metadata"]["name"] = json!(target.name);
    let live = world.store.get(kind.resource, &target.namespace, &target.name).cloned();
    let now = world.clock.stamp();
    let object = apply::apply(kind, live.as_deref(), &wanted, &params.field_manager, params.force, &now)?;
    if live.is_none() {
        return create(world, target, object, dry);
    }
    let params = Params { applies: true, ..Params::default() };
    change(world, target, &params, dry, |live| {
        *live = object;
        Ok(())
    })
}

fn delete(world: &mut World, target: &Target, options: &Value, dry: bool) -> Result<Response, Refusal> {
    let (kind, object) = (target.kind, find(world, target)?);
    preconditions(kind, &object, options)?;
    if dry {
        return Ok(answer_json(StatusCode::OK, &object));
    }
    let last = end(world, kind, &object, options);
    if kind.resource == "pods" {
        return Ok(answer_json(StatusCode::OK, &last));
    }
    let details =
        json!({"name": target.name, "group": kind.group, "kind": kind.resource, "uid": pod::uid(&object)});
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
    Ok(answer_json(StatusCode::OK, &status))
}

/// Holds an object against the preconditions of delete options.
pub(super) fn preconditions(kind: &Kind, object: &Value, options: &Value) -> Result<(), Refusal> {
    let (name, wanted) = (pod::name(object), &options["preconditions"]);
    match wanted["uid"].as_str() {
        Some(uid) if uid != pod::uid(object) => {
            return Err(Refusal::other_uid(kind, name, uid, pod::uid(object)));
        }
        _ => (),
    }
    let version = &wanted["resourceVersion"];
    if !version.is_null() && *version != object["metadata"]["resourceVersion"] {
        return Err(Refusal::modified(kind, name));
    }
    Ok(())
}

/// Ends an object: pods that run get a deadline, objects with finalizers a mark, all others are gone.
pub(super) fn end(world: &mut World, kind: &Kind, object: &Value, options: &Value) -> Arc<Value> {
    let (namespace, name) = (pod::namespace(object).to_string(), pod::name(object).to_string());
    let runs = kind.resource == "pods" && !pod::node(object).is_empty();
    let asked = options["gracePeriodSeconds"].as_u64();
    let grace = if runs {
        asked.or(object["spec"]["terminationGracePeriodSeconds"].as_u64()).unwrap_or(30)
    } else {
        0
    };
    let grace = if pod::finished(object) { 0 } else { grace };
    let deadline = stamp(world.now() + Duration::from_secs(grace));
    let marked = world.store.update(kind.resource, &namespace, &name, |o| {
        let sooner = o["metadata"]["deletionGracePeriodSeconds"].as_u64().is_none_or(|old| grace < old);
        if sooner {
            o["metadata"]["deletionTimestamp"] = json!(deadline);
            o["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        }
    });
    let marked = marked.unwrap_or_else(|| Arc::new(object.clone()));
    remove_if_free(world, kind, &marked);
    marked
}

/// Removes an object whose end was asked for, whose grace is over, and that no finalizer holds.
pub(crate) fn remove_if_free(world: &mut World, kind: &Kind, object: &Value) {
    let meta = &object["metadata"];
    let held = meta["finalizers"].as_array().is_some_and(|f| !f.is_empty());
    if pod::terminating(object) && !held && meta["deletionGracePeriodSeconds"] == 0 {
        world.store.remove(kind.resource, pod::namespace(object), pod::name(object));
    }
}
