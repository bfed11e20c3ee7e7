//! Server-side apply: each manager owns the fields that it names, what two of them want differently is a conflict, and
//! what its last owner no longer names goes. As <https://kubernetes.io/docs/reference/using-api/server-side-apply/>
//! has it, and kubernetes-sigs/structured-merge-diff does it.
//!
//! ```text
//!   wanted + live -> owned by others, and other? -> 409, unless forced
//!                 -> merged, less what only this manager had named before -> live, managedFields
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::kind::Kind;
use super::status::Refusal;

/// A field: each part as `FieldsV1` writes it, `f:spec`, `k:{"name":"main"}`.
type Path = Vec<String>;

/// The fields of a manager.
type Fields = BTreeSet<Path>;

/// Stands for an item of a list itself, beside its fields.
const ITSELF: &str = ".";

/// Who owns what was there before anybody was asked who it is.
const BEFORE: &str = "before-first-apply";

/// What identifies or counts an object is nobody's field.
const NOBODYS: [&str; 8] = [
    "name",
    "namespace",
    "creationTimestamp",
    "resourceVersion",
    "uid",
    "generation",
    "managedFields",
    "selfLink",
];

/// Somebody who owns fields.
#[derive(Clone, Debug, PartialEq)]
struct Manager {
    name: String,
    operation: &'static str,
    version: String,
    time: String,
    fields: Fields,
}

/// How the server knows the parts of an object: those of a kind that a CustomResourceDefinition added have no keys here.
#[derive(Clone, Copy)]
struct Schema {
    known: bool,
}

/// Returns what an object becomes when a manager applies what it wants.
pub(super) fn apply(
    kind: &Kind,
    live: Option<&Value>,
    wanted: &Value,
    manager: &str,
    force: bool,
    now: &str,
) -> Result<Value, Refusal> {
    let schema = Schema { known: !kind.is_custom() };
    let mut others = live.map(|live| managers(live, schema)).unwrap_or_default();
    let own = |m: &Manager| m.name == manager && m.operation == "Apply";
    let before = others.iter().position(own).map(|at| others.remove(at));
    let named = schema.fields(wanted);
    let mut object = live.cloned().unwrap_or_else(|| json!({}));
    let contested: BTreeMap<usize, Vec<&Path>> = others
        .iter()
        .enumerate()
        .map(|(at, other)| {
            let differs = |path: &&Path| get(&object, path) != get(wanted, path);
            (at, other.fields.intersection(&named).filter(differs).collect::<Vec<_>>())
        })
        .filter(|(_, paths)| !paths.is_empty())
        .collect();
    if !contested.is_empty() && !force {
        return Err(conflict(&others, &contested));
    }
    let lost: Vec<(usize, Vec<Path>)> =
        contested.into_iter().map(|(at, paths)| (at, paths.into_iter().cloned().collect())).collect();
    for (at, paths) in lost {
        others[at].fields.retain(|path| !paths.contains(path));
    }
    schema.merge(&mut object, wanted, "");
    let was = before.as_ref().map(|m| m.fields.clone()).unwrap_or_default();
    // An item stands before its fields: it is found by these, and goes with them.
    for path in was.difference(&named) {
        if !others.iter().any(|other| other.fields.contains(path)) {
            remove(&mut object, path);
        }
    }
    others.retain(|other| !other.fields.is_empty());
    let same = before.as_ref().is_some_and(|m| m.fields == named);
    let time = match before.filter(|_| same && live.is_some_and(|live| without(live) == without(&object))) {
        // Nothing is written then, not even the time.
        Some(before) => before.time,
        None => now.to_string(),
    };
    others.push(Manager {
        name: manager.to_string(),
        operation: "Apply",
        version: kind.api_version(),
        time,
        fields: named,
    });
    write(&mut object, &others);
    Ok(object)
}

/// Gives the fields that an update has changed to who sent it. Where nobody owns anything, nothing is kept: the first
/// one who applies something finds it so.
pub(super) fn updated(kind: &Kind, before: &Value, after: &mut Value, manager: &str, now: &str) {
    if before["metadata"]["managedFields"].is_null() {
        return;
    }
    after["metadata"]["managedFields"] = before["metadata"]["managedFields"].clone();
    let schema = Schema { known: !kind.is_custom() };
    let (was, is) = (schema.fields(before), schema.fields(after));
    let changed: Fields = is.iter().filter(|path| get(before, path) != get(after, path)).cloned().collect();
    if changed.is_empty() && was == is {
        return;
    }
    let mut all = managers(before, schema);
    for other in &mut all {
        other.fields.retain(|path| is.contains(path) && !changed.contains(path));
    }
    let own = |m: &&mut Manager| m.name == manager && m.operation == "Update";
    match all.iter_mut().find(own) {
        Some(own) => {
            own.fields.extend(changed);
            own.time = now.to_string();
        }
        None => all.push(Manager {
            name: manager.to_string(),
            operation: "Update",
            version: kind.api_version(),
            time: now.to_string(),
            fields: changed,
        }),
    }
    all.retain(|m| !m.fields.is_empty());
    write(after, &all);
}

/// Lets somebody own all of an object that is there from the start.
pub(crate) fn owned_by(object: &mut Value, manager: &str, now: &str) {
    let version = object["apiVersion"].as_str().unwrap_or("v1").to_string();
    let fields = Schema { known: true }.fields(object);
    let owner =
        Manager { name: manager.to_string(), operation: "Update", version, time: now.to_string(), fields };
    write(object, &[owner]);
}

/// The refusal, in the words of apimachinery: pkg/util/managedfields/internal/conflict.go.
fn conflict(others: &[Manager], contested: &BTreeMap<usize, Vec<&Path>>) -> Refusal {
    let mut texts = Vec::new();
    let mut causes = Vec::new();
    for (at, paths) in contested {
        let by = format!("\"{}\" using {}", others[*at].name, others[*at].version);
        let fields: Vec<String> = paths.iter().map(|path| written(path)).collect();
        texts.push(match fields.as_slice() {
            [one] => format!("conflict with {by}: {one}"),
            many => format!("conflicts with {by}:\n- {}", many.join("\n- ")),
        });
        causes.extend(fields.iter().map(|field| {
            json!({"reason": "FieldManagerConflict", "message": format!("conflict with {by}"), "field": field})
        }));
    }
    let count = causes.len();
    let s = if count == 1 { "" } else { "s" };
    let message = format!("Apply failed with {count} conflict{s}: {}", texts.join("\n"));
    Refusal::new(409, "Conflict", message).with(json!({"causes": causes}))
}

/// Writes a field as messages do: `.spec.template.spec.containers[name="main"].image`.
fn written(path: &[String]) -> String {
    path.iter()
        .map(|part| match part.split_once(':') {
            Some(("f", field)) => format!(".{field}"),
            Some(("k", keys)) => {
                let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
                format!("[{}]", keys.join(","))
            }
            _ => String::new(),
        })
        .collect()
}

impl Schema {
    /// Returns the fields that an object names.
    fn fields(self, object: &Value) -> Fields {
        let mut all = Fields::new();
        for (name, value) in object.as_object().into_iter().flatten() {
            match name.as_str() {
                // The status is another endpoint's.
                "apiVersion" | "kind" | "status" => {}
                "metadata" => {
                    for (name, value) in value.as_object().into_iter().flatten() {
                        if !NOBODYS.contains(&name.as_str()) {
                            self.leaves(
                                name,
                                value,
                                vec!["f:metadata".into(), format!("f:{name}")],
                                &mut all,
                            );
                        }
                    }
                }
                name => self.leaves(name, value, vec![format!("f:{name}")], &mut all),
            }
        }
        all
    }

    fn leaves(self, field: &str, value: &Value, path: Path, all: &mut Fields) {
        match value {
            Value::Object(map) if !map.is_empty() && !is_atomic(field) => {
                for (name, value) in map {
                    let mut path = path.clone();
                    path.push(format!("f:{name}"));
                    self.leaves(name, value, path, all);
                }
            }
            Value::Array(items) if !items.is_empty() && self.is_keyed(field, items) => {
                for item in items {
                    let mut path = path.clone();
                    path.push(key_of(field, item));
                    let mut itself = path.clone();
                    itself.push(ITSELF.to_string());
                    all.insert(itself);
                    for (name, value) in item.as_object().into_iter().flatten() {
                        let mut path = path.clone();
                        path.push(format!("f:{name}"));
                        self.leaves(name, value, path, all);
                    }
                }
            }
            _ => drop(all.insert(path)),
        }
    }

    /// Returns whether the items of a list are told apart by keys; else the list is one value.
    fn is_keyed(self, field: &str, items: &[Value]) -> bool {
        self.known && items.iter().all(|item| keys(field, item).is_some())
    }

    fn merge(self, into: &mut Value, wanted: &Value, field: &str) {
        match wanted {
            Value::Object(map) if !is_atomic(field) => {
                if !into.is_object() {
                    *into = json!({});
                }
                for (name, value) in map {
                    match (name.as_str(), field) {
                        ("status", "") => {}
                        _ => self.merge(&mut into[name.as_str()], value, name),
                    }
                }
            }
            Value::Array(items) if self.is_keyed(field, items) => {
                if !into.is_array() {
                    *into = json!([]);
                }
                let Value::Array(list) = into else { return };
                for item in items {
                    let key = key_of(field, item);
                    match list.iter_mut().find(|old| key_of(field, old) == key) {
                        Some(old) => self.merge(old, item, "item"),
                        None => list.push(item.clone()),
                    }
                }
            }
            plain => *into = plain.clone(),
        }
    }
}

/// Maps that are one value: selectors (`x-kubernetes-map-type: atomic`).
fn is_atomic(field: &str) -> bool {
    field == "nodeSelector" || field.eq_ignore_ascii_case("selector") || field.ends_with("Selector")
}

/// What tells the items of a list apart (`x-kubernetes-list-map-keys`), with what stands for a key that is left out.
fn keys(field: &str, item: &Value) -> Option<Vec<(&'static str, Value)>> {
    let names: &[(&str, Option<&str>)] = match field {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "volumes"
        | "env"
        | "imagePullSecrets"
        | "webhooks"
        | "secrets" => &[("name", None)],
        "volumeMounts" => &[("mountPath", None)],
        "volumeDevices" => &[("devicePath", None)],
        "conditions" => &[("type", None)],
        "ownerReferences" => &[("uid", None)],
        "hostAliases" => &[("ip", None)],
        "topologySpreadConstraints" => &[("topologyKey", None), ("whenUnsatisfiable", None)],
        "ports" if !item["containerPort"].is_null() => &[("containerPort", None), ("protocol", Some("TCP"))],
        "ports" => &[("port", None), ("protocol", Some("TCP"))],
        _ => return None,
    };
    names
        .iter()
        .map(|(name, default)| match (&item[*name], default) {
            (Value::Null, Some(default)) => Some((*name, json!(default))),
            (Value::Null, None) => None,
            (value, _) => Some((*name, value.clone())),
        })
        .collect()
}

fn key_of(field: &str, item: &Value) -> String {
    let keys: Map<String, Value> =
        keys(field, item).unwrap_or_default().into_iter().map(|(name, value)| (name.into(), value)).collect();
    format!("k:{}", Value::Object(keys))
}

/// Returns the place of an item in a list, by its keys.
fn place(list: &[Value], keys: &str) -> Option<usize> {
    let keys: Map<String, Value> = serde_json::from_str(keys).ok()?;
    list.iter().position(|item| {
        keys.iter().all(|(name, value)| {
            item[name.as_str()] == *value
                || (item[name.as_str()].is_null() && name == "protocol" && value == "TCP")
        })
    })
}

fn get<'a>(object: &'a Value, path: &[String]) -> Option<&'a Value> {
    static THERE: Value = Value::Bool(true);
    let mut at = object;
    for part in path {
        at = match part.split_once(':') {
            Some(("f", field)) => at.get(field)?,
            Some(("k", keys)) => {
                let list = at.as_array()?;
                &list[place(list, keys)?]
            }
            // An item is there or not; what it holds are its fields.
            _ => &THERE,
        };
    }
    Some(at)
}

/// Takes a field away, and the maps that are empty without it.
fn remove(object: &mut Value, path: &[String]) {
    let Some((part, rest)) = path.split_first() else { return };
    match part.split_once(':') {
        Some(("f", field)) => {
            let Some(map) = object.as_object_mut() else { return };
            let Some(inner) = map.get_mut(field) else { return };
            if !rest.is_empty() {
                remove(inner, rest);
            }
            if rest.is_empty() || is_empty(inner) {
                map.shift_remove(field);
            }
        }
        Some(("k", keys)) => {
            let Some(list) = object.as_array_mut() else { return };
            let Some(at) = place(list, keys) else { return };
            if rest == [ITSELF] {
                list.remove(at);
            } else {
                remove(&mut list[at], rest);
            }
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// Returns who owns what of an object; an object that nobody ever was asked about has one owner.
fn managers(object: &Value, schema: Schema) -> Vec<Manager> {
    let Some(entries) = object["metadata"]["managedFields"].as_array() else {
        let version = object["apiVersion"].as_str().unwrap_or("v1").to_string();
        let (fields, time) = (schema.fields(object), text(&object["metadata"]["creationTimestamp"]));
        return vec![Manager { name: BEFORE.to_string(), operation: "Update", version, time, fields }];
    };
    let read = |entry: &Value| {
        let mut fields = Fields::new();
        flatten(&entry["fieldsV1"], &mut Vec::new(), &mut fields);
        Manager {
            name: text(&entry["manager"]),
            operation: if entry["operation"] == "Apply" { "Apply" } else { "Update" },
            version: text(&entry["apiVersion"]),
            time: text(&entry["time"]),
            fields,
        }
    };
    entries.iter().map(read).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

fn flatten(fields: &Value, path: &mut Path, all: &mut Fields) {
    match fields.as_object() {
        Some(map) if !map.is_empty() => {
            for (part, inner) in map {
                path.push(part.clone());
                flatten(inner, path, all);
                path.pop();
            }
        }
        _ => drop(all.insert(path.clone())),
    }
}

fn write(object: &mut Value, managers: &[Manager]) {
    let entry = |m: &Manager| {
        let mut fields = json!({});
        for path in &m.fields {
            path.iter().fold(&mut fields, |at, part| {
                if at[part.as_str()].is_null() {
                    at[part.as_str()] = json!({});
                }
                &mut at[part.as_str()]
            });
        }
        json!({
            "manager": m.name, "operation": m.operation, "apiVersion": m.version, "time": m.time,
            "fieldsType": "FieldsV1", "fieldsV1": fields,
        })
    };
    object["metadata"]["managedFields"] = managers.iter().map(entry).collect();
}

fn without(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.shift_remove("managedFields");
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPLOYMENTS: Kind =
        Kind { group: "apps", version: "v1", resource: "deployments", name: "Deployment", namespaced: true };

    fn deployment(image: &str) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"replicas": 2, "template": {"spec": {"containers": [
                {"name": "main", "image": image, "ports": [{"containerPort": 80}]},
                {"name": "side", "image": "side:1"},
            ]}}},
        })
    }

    fn applied(live: Option<&Value>, wanted: &Value, by: &str, force: bool) -> Result<Value, Refusal> {
        apply(&DEPLOYMENTS, live, wanted, by, force, "2026-01-01T00:00:00Z")
    }

    fn owners(object: &Value) -> Vec<(String, usize)> {
        let fields = managers(object, Schema { known: true });
        fields.into_iter().map(|m| (m.name, m.fields.len())).collect()
    }

    #[test]
    fn what_another_one_owns_is_a_conflict_by_field_and_manager_and_force_takes_it() {
        let live = applied(None, &deployment("web:1"), "helm", false).unwrap();
        let wanted = json!({"metadata": {"name": "web"}, "spec": {"template": {"spec": {"containers": [
            {"name": "main", "image": "web:2"}]}}}});
        let refusal = applied(Some(&live), &wanted, "kup", false).unwrap_err();
        assert_eq!(
            refusal.message,
            "Apply failed with 1 conflict: conflict with \"helm\" using apps/v1: .spec.template.spec.containers[name=\"main\"].image"
        );
        assert_eq!(refusal.details["causes"][0]["message"], "conflict with \"helm\" using apps/v1");
        let forced = applied(Some(&live), &wanted, "kup", true).unwrap();
        let containers = &forced["spec"]["template"]["spec"]["containers"];
        assert_eq!((&containers[0]["image"], &containers[1]["image"]), (&json!("web:2"), &json!("side:1")));
        assert_eq!(containers[0]["ports"][0]["containerPort"], 80);
        // helm has lost one field.
        assert_eq!(owners(&live)[0].1 - 1, owners(&forced)[0].1);
        // Now it is helm that must ask.
        assert_eq!(applied(Some(&forced), &deployment("web:1"), "helm", false).unwrap_err().code, 409);
    }

    #[test]
    fn what_an_owner_no_longer_names_goes_unless_another_one_owns_it_too() {
        let live = applied(None, &deployment("web:1"), "kup", false).unwrap();
        let mut less = deployment("web:1");
        less["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap().pop();
        less["spec"].as_object_mut().unwrap().shift_remove("replicas");
        let shared = applied(
            Some(&live),
            &json!({"metadata": {"name": "web"}, "spec": {"replicas": 2}}),
            "autoscaler",
            false,
        )
        .unwrap();
        let object = applied(Some(&shared), &less, "kup", false).unwrap();
        assert_eq!(object["spec"]["replicas"], 2);
        assert_eq!(object["spec"]["template"]["spec"]["containers"].as_array().unwrap().len(), 1);
        let alone = applied(Some(&live), &less, "kup", false).unwrap();
        assert!(alone["spec"].get("replicas").is_none());
    }

    #[test]
    fn the_same_again_writes_nothing_and_an_update_takes_what_it_changes() {
        let live = applied(None, &deployment("web:1"), "kup", false).unwrap();
        let again =
            apply(&DEPLOYMENTS, Some(&live), &deployment("web:1"), "kup", false, "2027-01-01T00:00:00Z");
        assert_eq!(again.unwrap(), live);
        let mut scaled = live.clone();
        scaled["spec"]["replicas"] = json!(5);
        updated(&DEPLOYMENTS, &live, &mut scaled, "kubectl-scale", "2026-02-01T00:00:00Z");
        let refusal = applied(Some(&scaled), &deployment("web:1"), "kup", false).unwrap_err();
        assert!(refusal.message.ends_with("conflict with \"kubectl-scale\" using apps/v1: .spec.replicas"));
    }

    #[test]
    fn an_object_without_managers_was_somebodys() {
        let live = deployment("web:1");
        let refusal = applied(Some(&live), &deployment("web:2"), "kup", false).unwrap_err();
        assert!(refusal.message.contains("\"before-first-apply\""), "{}", refusal.message);
        assert_eq!(owners(&applied(Some(&live), &deployment("web:1"), "kup", false).unwrap()).len(), 2);
    }
}
