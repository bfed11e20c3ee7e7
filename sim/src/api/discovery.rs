//! What the API says about itself, as far as clients ask.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::kind::KINDS;
use super::status::Refusal;
use super::{json as answer, refuse};

/// `/api`
pub(super) async fn root() -> Response {
    answer(
        StatusCode::OK,
        &json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}),
    )
}

/// `/apis`
pub(super) async fn groups() -> Response {
    let mut groups: Vec<Value> = Vec::new();
    for kind in KINDS.iter().filter(|k| !k.group.is_empty()) {
        let version = json!({"groupVersion": kind.api_version(), "version": kind.version});
        let group = json!({"name": kind.group, "versions": [version], "preferredVersion": version});
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    answer(StatusCode::OK, &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
}

/// `/api/v1`
pub(super) async fn core() -> Response {
    resources("", "v1")
}

/// `/apis/GROUP/VERSION`
pub(super) async fn group(Path((group, version)): Path<(String, String)>) -> Response {
    resources(&group, &version)
}

fn resources(group: &str, version: &str) -> Response {
    let kinds: Vec<_> = KINDS.iter().filter(|k| k.group == group && k.version == version).collect();
    let Some(first) = kinds.first() else { return refuse(&Refusal::no_such_path()) };
    let verbs = ["create", "delete", "get", "list", "patch", "update", "watch"];
    let mut resources: Vec<Value> = kinds
        .iter()
        .map(|k| {
            json!({
                "name": k.resource, "singularName": k.name.to_lowercase(), "namespaced": k.namespaced,
                "kind": k.name, "verbs": verbs,
            })
        })
        .collect();
    if group.is_empty() {
        resources.push(json!({
            "name": "pods/eviction", "singularName": "", "namespaced": true, "group": "policy", "version": "v1",
            "kind": "Eviction", "verbs": ["create"],
        }));
    }
    let list = json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": first.api_version(), "resources": resources,
    });
    answer(StatusCode::OK, &list)
}
