//! What the API says about itself, as far as clients ask.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::kind::{KINDS, Kind, custom};
use super::status::Refusal;
use super::{Server, json as answer, refuse};
use crate::world::lock;

/// `/api`
pub(super) async fn root() -> Response {
    answer(
        StatusCode::OK,
        &json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}),
    )
}

/// `/apis`
pub(super) async fn groups(State(server): State<Server>) -> Response {
    let mut groups: Vec<Value> = Vec::new();
    for kind in all(&server).into_iter().filter(|k| !k.group.is_empty()) {
        let version = json!({"groupVersion": kind.api_version(), "version": kind.version});
        let group = json!({"name": kind.group, "versions": [version], "preferredVersion": version});
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    answer(StatusCode::OK, &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
}

/// `/api/v1`
pub(super) async fn core(State(server): State<Server>) -> Response {
    resources(&server, "", "v1")
}

/// `/apis/GROUP/VERSION`
pub(super) async fn group(
    State(server): State<Server>,
    Path((group, version)): Path<(String, String)>,
) -> Response {
    resources(&server, &group, &version)
}

/// Returns the kinds that are built in, and those that somebody defined.
fn all(server: &Server) -> Vec<&'static Kind> {
    KINDS.iter().chain(custom(&lock(&server.world))).collect()
}

fn resources(server: &Server, group: &str, version: &str) -> Response {
    let mut kinds = all(server);
    kinds.retain(|k| k.group == group && k.version == version);
    let Some(first) = kinds.first() else { return refuse(&Refusal::no_such_path()) };
    let verbs = ["create", "delete", "get", "list", "patch", "update", "watch"];
    let mut resources: Vec<Value> = kinds
        .iter()
        .map(|k| {
            json!({
                "name": k.plural(), "singularName": k.name.to_lowercase(), "namespaced": k.namespaced,
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
