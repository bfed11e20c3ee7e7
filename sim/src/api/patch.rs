//! The patches that the API takes: JSON, merge and strategic merge.

use serde_json::{Map, Value};

use super::status::Refusal;

/// Applies a patch by its content type.
pub(super) fn apply(object: &mut Value, content_type: &str, body: &[u8]) -> Result<(), Refusal> {
    let parse = |body: &[u8]| {
        serde_json::from_slice::<Value>(body)
            .map_err(|e| Refusal::bad_request(format!("error decoding patch: {e}")))
    };
    match content_type.split(';').next().unwrap_or("").trim() {
        "application/json-patch+json" => {
            let patch: json_patch::Patch = serde_json::from_slice(body)
                .map_err(|e| Refusal::bad_request(format!("error decoding patch: {e}")))?;
            json_patch::patch(object, &patch).map_err(|_| {
                Refusal::unprocessable("the server rejected our request due to an error in our request")
            })
        }
        "application/merge-patch+json" => {
            json_patch::merge(object, &parse(body)?);
            Ok(())
        }
        "application/strategic-merge-patch+json" => {
            strategic(object, parse(body)?);
            Ok(())
        }
        other => Err(Refusal::new(
            415,
            "UnsupportedMediaType",
            format!(
                "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json; got {other}"
            ),
        )),
    }
}

/// Merges maps, and lists of objects that have a merge key; replaces everything else.
fn strategic(object: &mut Value, patch: Value) {
    let Value::Object(mut patch) = patch else {
        *object = patch;
        return;
    };
    if patch.remove("$patch").is_some_and(|p| p == "replace") || !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let Some(object) = object.as_object_mut() else { return };
    for (key, value) in patch {
        if key.starts_with('$') {
            continue;
        }
        match (merge_key(&key), value) {
            (_, Value::Null) => {
                object.shift_remove(&key);
            }
            (Some(by), Value::Array(items)) => {
                let list = object.entry(key).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(list) = list {
                    merge_list(list, by, items);
                }
            }
            (_, value) => strategic(object.entry(key).or_insert(Value::Null), value),
        }
    }
}

fn merge_list(list: &mut Vec<Value>, by: &str, items: Vec<Value>) {
    for item in items {
        let place = list.iter().position(|old| old[by] == item[by]);
        match (place, item["$patch"] == "delete") {
            (Some(place), true) => {
                list.remove(place);
            }
            (Some(place), false) => strategic(&mut list[place], item),
            (None, true) => (),
            (None, false) => {
                let mut new = Value::Null;
                strategic(&mut new, item);
                list.push(new);
            }
        }
    }
}

/// The `patchMergeKey` of the lists of the core types; a node's taints have none and are replaced.
fn merge_key(field: &str) -> Option<&'static str> {
    match field {
        "conditions" | "addresses" => Some("type"),
        "containers" | "initContainers" | "volumes" | "env" | "imagePullSecrets" => Some("name"),
        "volumeMounts" => Some("mountPath"),
        "ownerReferences" => Some("uid"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_strategic_patch_merges_maps_and_keyed_lists_and_replaces_taints() {
        let mut node = json!({
            "spec": {"taints": [{"key": "a"}], "unschedulable": true},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        });
        let patch = json!({
            "spec": {"taints": [{"key": "b"}], "unschedulable": null},
            "status": {"conditions": [{"type": "Ready", "status": "False"}, {"type": "New"}]},
        });
        strategic(&mut node, patch);
        let wanted = json!({
            "spec": {"taints": [{"key": "b"}]},
            "status": {"conditions": [{"type": "Ready", "status": "False"}, {"type": "New"}]},
        });
        assert_eq!(node, wanted);
    }

    #[test]
    fn a_failed_test_in_a_json_patch_is_422() {
        let mut object = json!({"a": 1});
        let body = br#"[{"op": "test", "path": "/a", "value": 2}, {"op": "remove", "path": "/a"}]"#;
        let refusal = apply(&mut object, "application/json-patch+json", body).unwrap_err();
        assert_eq!(refusal.code, 422);
        assert_eq!(object, json!({"a": 1}));
    }
}
