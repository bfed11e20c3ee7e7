//! EKS as its service answers: rest-json, as botocore's model `eks/2017-11-01` has it, and as `aws` prints it. A test holds every answer
//! to that model.
//! <https://docs.aws.amazon.com/eks/latest/APIReference/API_Operations.html>

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::Response;
use engine::port::Output;
use serde_json::{Value, json};

use super::{CLUSTER, Operation, Part, PartKind, State, begin, flags, settle};
use crate::node::Release;
use crate::world::{Shared, World, lock};

/// The add-ons of a cluster that was made with the usual ones.
pub(crate) const ADDONS: [&str; 3] = ["vpc-cni", "coredns", "kube-proxy"];

/// What the service answers: its code, the error's type if it is one, and the body.
type Answer = Result<Value, (u16, &'static str, String)>;

/// Returns the release of an add-on that is the default of a minor. The numbers are made up, their form is not.
pub(crate) fn addon_version(name: &str, minor: u32) -> String {
    match name {
        "kube-proxy" => format!("v1.{minor}.0-eksbuild.2"),
        "coredns" => format!("v1.{}.4-eksbuild.1", minor - 22),
        _ => format!("v1.{}.2-eksbuild.1", minor - 14),
    }
}

/// Answers a request as the service would, without HTTP between.
pub fn ask(
    world: &Shared,
    method: &str,
    path: &str,
    query: &str,
    body: &Value,
) -> Result<Value, (u16, String, String)> {
    let answer = answer(&mut lock(world), method, path, query, body);
    answer.map_err(|(code, kind, message)| (code, kind.to_string(), message))
}

/// Serves the cluster as the real service would, for the real `aws`, until the listener breaks.
pub async fn serve(world: Shared, listener: tokio::net::TcpListener) {
    let served = axum::serve(listener, router(&world)).await;
    drop(served);
}

fn router(world: &Shared) -> Router {
    let world = world.clone();
    Router::new().fallback(move |request: Request| {
        let world = Arc::clone(&world);
        async move {
            let (parts, body) = request.into_parts();
            let body = to_bytes(body, 1 << 20).await.unwrap_or_default();
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let path = parts.uri.path().to_string();
            let answer = answer(
                &mut lock(&world),
                parts.method.as_str(),
                &path,
                parts.uri.query().unwrap_or(""),
                &body,
            );
            respond(answer)
        }
    })
}

fn respond(answer: Answer) -> Response {
    let (code, kind, body) = match answer {
        Ok(body) => (200, "", body),
        Err((code, kind, message)) => (code, kind, json!({ "message": message })),
    };
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    if let Ok(kind) = header::HeaderValue::from_str(kind)
        && !kind.is_empty()
    {
        headers.insert("x-amzn-errortype", kind);
    }
    response
}

/// Answers one request.
pub(crate) fn answer(world: &mut World, method: &str, path: &str, query: &str, body: &Value) -> Answer {
    settle(world);
    let query: Vec<(&str, &str)> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let asked = |name: &str| query.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| *value);
    let path: Vec<&str> = path.trim_matches('/').split('/').collect();
    if let ["clusters", name, ..] = path.as_slice()
        && *name != CLUSTER
    {
        return Err(not_found(format!("No cluster found for name: {name}.")));
    }
    let part = |world: &World, name: &str, kind: PartKind| {
        let part = world
            .managed
            .as_ref()
            .and_then(|managed| managed.parts.get(name))
            .filter(|part| part.kind == kind);
        let what = if kind == PartKind::Addon { "addon" } else { "node group" };
        part.cloned().ok_or_else(|| not_found(format!("No {what} found for name: {name}.")))
    };
    match (method, path.as_slice()) {
        ("GET", ["clusters", _]) => Ok(json!({ "cluster": cluster(world) })),
        ("POST", ["clusters", _, "updates"]) => {
            let to = body["version"].as_str().unwrap_or("");
            let now = minor_of(&part(world, "", PartKind::ControlPlane)?.version);
            if minor_of(to) != now + 1 && minor_of(to) != now || minor_of(to) == now {
                return Err((
                    400,
                    "InvalidParameterException",
                    format!("Unsupported Kubernetes minor version update from 1.{now} to {to}"),
                ));
            }
            update(world, "", &newest(minor_of(to)), body)
        }
        ("GET", ["clusters", _, "updates"]) => {
            let part = asked("nodegroupName").to_string() + asked("addonName");
            let managed = world.managed.as_ref();
            let of = managed.into_iter().flat_map(|managed| &managed.operations).filter(|op| op.part == part);
            Ok(json!({ "updateIds": of.map(|op| op.id.as_str()).collect::<Vec<_>>() }))
        }
        ("GET", ["clusters", _, "updates", id]) => {
            let managed = world.managed.as_ref();
            let found = managed.into_iter().flat_map(|managed| &managed.operations).find(|op| op.id == *id);
            let found = found.ok_or_else(|| not_found(format!("No update found for ID: {id}")))?;
            Ok(json!({ "update": show(world, found) }))
        }
        ("GET", ["clusters", _, "node-groups"]) => {
            let pools: Vec<&String> = world.shape.pools.iter().map(|pool| &pool.name).collect();
            Ok(json!({ "nodegroups": pools }))
        }
        ("GET", ["clusters", _, "node-groups", name]) => {
            let part = part(world, name, PartKind::Pool)?;
            Ok(json!({ "nodegroup": group(world, name, &part) }))
        }
        ("POST", ["clusters", _, "node-groups", name, "update-version"]) => {
            part(world, name, PartKind::Pool)?;
            let control_plane = minor_of(&part(world, "", PartKind::ControlPlane)?.version);
            let to = body["version"].as_str().map_or(control_plane, minor_of);
            if to > control_plane {
                let text = "Nodegroup Kubernetes version should be equal to or minor version(s) behind cluster Kubernetes version";
                return Err((400, "InvalidParameterException", text.to_string()));
            }
            update(world, name, &newest(to), body)
        }
        ("GET", ["clusters", _, "addons"]) => {
            let parts = world.managed.as_ref().map(|managed| &managed.parts);
            let addons = parts.into_iter().flatten().filter(|(_, part)| part.kind == PartKind::Addon);
            Ok(json!({ "addons": addons.map(|(name, _)| name.as_str()).collect::<Vec<_>>() }))
        }
        ("GET", ["clusters", _, "addons", name]) => {
            let part = part(world, name, PartKind::Addon)?;
            let status = if is_running(world, name) { "UPDATING" } else { "ACTIVE" };
            Ok(json!({ "addon": {
                "addonName": name, "clusterName": CLUSTER, "status": status, "addonVersion": part.version,
                "addonArn": format!("arn:aws:eks:eu-central-1:111122223333:addon/{CLUSTER}/{name}/1"),
                "createdAt": 1_700_000_000, "modifiedAt": 1_700_000_000, "health": { "issues": [] }, "tags": {},
            } }))
        }
        ("POST", ["clusters", _, "addons", name, "update"]) => {
            part(world, name, PartKind::Addon)?;
            let to = body["addonVersion"].as_str().unwrap_or("").to_string();
            update(world, name, &to, body)
        }
        ("GET", ["addons", "supported-versions"]) => {
            let (name, minor) = (asked("addonName"), minor_of(asked("kubernetesVersion")));
            let version = |minor: u32, default: bool| {
                json!({
                    "addonVersion": addon_version(name, minor), "architecture": ["amd64", "arm64"],
                    "compatibilities": [{ "clusterVersion": asked("kubernetesVersion"), "platformVersions": ["*"], "defaultVersion": default }],
                })
            };
            let versions = json!([version(minor + 1, false), version(minor, true)]);
            Ok(
                json!({ "addons": [{ "addonName": name, "type": "networking", "owner": "aws", "publisher": "eks", "addonVersions": versions }] }),
            )
        }
        ("POST", ["clusters", _, "insights"]) => Ok(json!({ "insights": insights(world) })),
        _ => Err((404, "ResourceNotFoundException", format!("{method} {path:?}"))),
    }
}

fn not_found(text: String) -> (u16, &'static str, String) {
    (404, "ResourceNotFoundException", text)
}

/// Reads `33` of `1.33` and of `1.33.4`.
fn minor_of(version: &str) -> u32 {
    version.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or(0)
}

/// EKS chooses the patch.
fn newest(minor: u32) -> String {
    let release = Release::all_of(u16::try_from(minor).unwrap_or(0)).into_iter().next();
    release.map_or_else(|| format!("1.{minor}.0"), |release| release.to_string())
}

fn short(version: &str) -> String {
    format!("1.{}", minor_of(version))
}

fn is_running(world: &World, part: &str) -> bool {
    world.managed.as_ref().is_some_and(|managed| managed.running(part).is_some())
}

fn update(world: &mut World, part: &str, to: &str, body: &Value) -> Answer {
    let token = body["clientRequestToken"].as_str().unwrap_or("");
    let same = |op: &&Operation| !token.is_empty() && op.token == token;
    let known = world.managed.as_ref().and_then(|managed| managed.operations.iter().find(same)).cloned();
    if known.is_none() && is_running(world, part) {
        let what = if part.is_empty() { "cluster" } else { part };
        return Err((
            409,
            "ResourceInUseException",
            format!("Cannot update {what} because an update is already in progress"),
        ));
    }
    let begun = known.or_else(|| begin(world, part, to, token, body["force"] == true));
    let begun = begun.ok_or_else(|| not_found("no managed cluster".to_string()))?;
    Ok(json!({ "update": show(world, &begun) }))
}

fn cluster(world: &World) -> Value {
    let version = world.managed.as_ref().map_or("", |managed| managed.version());
    let status = if is_running(world, "") { "UPDATING" } else { "ACTIVE" };
    json!({
        "name": CLUSTER, "arn": format!("arn:aws:eks:eu-central-1:111122223333:cluster/{CLUSTER}"), "createdAt": 1_700_000_000,
        "version": short(version), "endpoint": "https://EXAMPLE.gr7.eu-central-1.eks.amazonaws.com",
        "roleArn": "arn:aws:iam::111122223333:role/eks", "status": status, "platformVersion": "eks.12",
        "health": { "issues": [] }, "upgradePolicy": { "supportType": "STANDARD" }, "tags": {},
    })
}

fn group(world: &World, name: &str, part: &Part) -> Value {
    let pool = world.shape.pools.iter().find(|pool| pool.name == name);
    let gpu = pool.is_some_and(|pool| pool.gpu > 0);
    let status = if is_running(world, name) { "UPDATING" } else { "ACTIVE" };
    let count = pool.map_or(0, |pool| pool.count);
    json!({
        "nodegroupName": name, "clusterName": CLUSTER, "version": short(&part.version), "status": status,
        "nodegroupArn": format!("arn:aws:eks:eu-central-1:111122223333:nodegroup/{CLUSTER}/{name}/1"),
        "releaseVersion": format!("{}-20260101", part.version), "createdAt": 1_700_000_000, "modifiedAt": 1_700_000_000,
        "capacityType": "ON_DEMAND", "amiType": if gpu { "AL2023_x86_64_NVIDIA" } else { "AL2023_x86_64_STANDARD" },
        "scalingConfig": { "minSize": count, "maxSize": count + 1, "desiredSize": count },
        "updateConfig": { "maxUnavailable": 1 }, "health": { "issues": [] }, "labels": {}, "tags": {},
    })
}

fn show(world: &World, operation: &Operation) -> Value {
    let kind =
        world.managed.as_ref().and_then(|managed| managed.parts.get(&operation.part)).map(|part| part.kind);
    let addon = kind == Some(PartKind::Addon);
    let (status, errors) = match &operation.state {
        State::Running => ("InProgress", json!([])),
        State::Done => ("Successful", json!([])),
        State::Failed(code, text, about) => {
            ("Failed", json!([{ "errorCode": code, "errorMessage": text, "resourceIds": about }]))
        }
    };
    let params = match addon {
        true => json!([{ "type": "AddonVersion", "value": operation.to }]),
        false => json!([{ "type": "Version", "value": short(&operation.to) }]),
    };
    json!({
        "id": operation.id, "status": status, "type": if addon { "AddonUpdate" } else { "VersionUpdate" },
        "params": params, "createdAt": crate::clock::epoch(operation.began), "errors": errors,
    })
}

/// The service looks into its audit logs for old users; here it sees the fault that the apiserver's metric shows, too.
fn insights(world: &mut World) -> Value {
    let minor = world.shape.minor();
    let used = world.nodes.values_mut().find_map(|node| crate::faults::removed_api::used(node, minor));
    let (status, reason) = match used {
        Some((group, version, resource, _)) => {
            ("ERROR", format!("Deprecated API usage detected: {group}/{version} {resource}"))
        }
        None => ("PASSING", "No deprecated API usage detected within the last 30 days.".to_string()),
    };
    json!([{
        "id": "9cd91472-f99c-45a9-b7d7-54d4900dee85", "name": "Deprecated APIs removed in the next Kubernetes version",
        "category": "UPGRADE_READINESS", "kubernetesVersion": format!("1.{}", minor + 1), "lastRefreshTime": 1_700_000_000,
        "lastTransitionTime": 1_700_000_000, "description": "Checks for usage of deprecated APIs.",
        "insightStatus": { "status": status, "reason": reason },
    }])
}

/// Runs `aws eks VERB --flags`, as the AWS CLI sends it: awscli/customizations/eks names versions `--kubernetes-version`.
pub(crate) fn aws(world: &mut World, args: &[&str]) -> Output {
    let ["eks", verb, rest @ ..] = args else { return unknown(args) };
    let flags = flags(rest);
    let of = |name: &str| flags.get(name).map_or("", String::as_str);
    let name = if of("name").is_empty() { of("cluster-name") } else { of("name") };
    let base = format!("/clusters/{name}");
    let group = of("nodegroup-name");
    let token = json!(of("client-request-token"));
    let (method, path, query, body) = match *verb {
        "describe-cluster" => ("GET", base, String::new(), Value::Null),
        "update-cluster-version" => {
            let body = json!({ "version": of("kubernetes-version"), "clientRequestToken": token, "force": flags.contains_key("force") });
            ("POST", format!("{base}/updates"), String::new(), body)
        }
        "list-updates" => {
            let query = format!("nodegroupName={group}&addonName={}", of("addon-name"));
            ("GET", format!("{base}/updates"), query, Value::Null)
        }
        "describe-update" => {
            ("GET", format!("{base}/updates/{}", of("update-id")), String::new(), Value::Null)
        }
        "list-nodegroups" => ("GET", format!("{base}/node-groups"), String::new(), Value::Null),
        "describe-nodegroup" => ("GET", format!("{base}/node-groups/{group}"), String::new(), Value::Null),
        "update-nodegroup-version" => {
            let body = json!({ "version": of("kubernetes-version"), "clientRequestToken": token, "force": flags.contains_key("force") });
            ("POST", format!("{base}/node-groups/{group}/update-version"), String::new(), body)
        }
        "list-addons" => ("GET", format!("{base}/addons"), String::new(), Value::Null),
        "describe-addon" => {
            ("GET", format!("{base}/addons/{}", of("addon-name")), String::new(), Value::Null)
        }
        "update-addon" => {
            let body = json!({ "addonVersion": of("addon-version"), "clientRequestToken": token });
            ("POST", format!("{base}/addons/{}/update", of("addon-name")), String::new(), body)
        }
        "describe-addon-versions" => {
            let query =
                format!("addonName={}&kubernetesVersion={}", of("addon-name"), of("kubernetes-version"));
            ("GET", "/addons/supported-versions".to_string(), query, Value::Null)
        }
        "list-insights" => ("POST", format!("{base}/insights"), String::new(), json!({})),
        _ => return unknown(args),
    };
    match answer(world, method, &path, &query, &body) {
        // Version 1 of the command prints times as the service sends them, version 2 as text: nobody here reads them.
        Ok(body) => {
            let text = serde_json::to_string_pretty(&body).unwrap_or_default();
            Output { code: 0, stdout: format!("{text}\n"), stderr: String::new() }
        }
        Err((_, kind, message)) => {
            let operation: String = verb.split('-').map(capital).collect();
            let stderr =
                format!("\nAn error occurred ({kind}) when calling the {operation} operation: {message}\n");
            // Version 2 ends with 254: https://docs.aws.amazon.com/cli/latest/userguide/cli-usage-returncodes.html
            Output { code: 255, stdout: String::new(), stderr }
        }
    }
}

fn capital(word: &str) -> String {
    let (head, tail) = word.split_at(1);
    head.to_uppercase() + tail
}

fn unknown(args: &[&str]) -> Output {
    let stderr = format!("aws: the simulation does not know `{}`\n", args.join(" "));
    Output { code: 64, stdout: String::new(), stderr }
}
