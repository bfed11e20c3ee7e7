//! The objects of a manifest, and the way to each: what a kind is called in paths, and whether it has a namespace, the API
//! itself says.

use std::collections::HashMap;

use engine::action::Context;
use engine::event::Failure;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResource;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use serde_json::Value as Json;

use super::argument;
use super::configuration::documents;
use super::host::Host;
use crate::api;

/// The kind that defines kinds.
pub(super) const DEFINITION: &str = "CustomResourceDefinition";

/// The workloads that are rolled out.
pub(super) const WORKLOADS: [&str; 3] = ["Deployment", "DaemonSet", "StatefulSet"];

/// One object of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Object {
    /// Which one it is.
    pub(super) name: Name,
    /// What it shall be.
    pub(super) json: Json,
}

/// Names an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name {
    /// Its group and version, such as `apps/v1`.
    pub(super) version: String,
    /// Its kind.
    pub(super) kind: String,
    /// Its namespace, if it has one.
    pub(super) namespace: String,
    /// Its name.
    pub(super) name: String,
}

impl Name {
    /// Writes it for the journal.
    pub(super) fn key(&self) -> String {
        format!("{} {} {} {}", self.version, self.kind, self.namespace, self.name)
    }

    /// Reads it from the journal.
    pub(super) fn read(key: &str) -> Option<Name> {
        let words: Vec<&str> = key.split(' ').collect();
        let [version, kind, namespace, name] = words.as_slice() else { return None };
        let own = |text: &&str| text.to_string();
        Some(Name { version: own(version), kind: own(kind), namespace: own(namespace), name: own(name) })
    }

    /// Writes it for people.
    pub(super) fn title(&self) -> String {
        match self.namespace.as_str() {
            "" => format!("{} {}", self.kind, self.name),
            namespace => format!("{} {namespace}/{}", self.kind, self.name),
        }
    }

    fn group(&self) -> &str {
        self.version.split_once('/').map_or("", |(group, _)| group)
    }
}

impl Object {
    /// Returns whether it defines a kind.
    pub(super) fn is_definition(&self) -> bool {
        self.name.kind == DEFINITION
    }

    /// Returns whether it defines the kind of another object.
    pub(super) fn defines(&self, other: &Name) -> bool {
        self.is_definition()
            && self.json["spec"]["group"] == other.group()
            && self.json["spec"]["names"]["kind"] == other.kind.as_str()
    }
}

/// Reads the objects of the file that a step names: definitions first, then namespaces, then the rest in its order.
pub(super) async fn of_file(cx: &Context) -> Result<Vec<Object>, Failure> {
    let path = argument::path(cx, "file")?.display().to_string();
    let Some(text) = Host::here(cx).read(&path).await? else {
        return Err(Failure::last(format!("there is no file {path}")).with_hint(
            "name a YAML file beside the playbook; an address is not fetched: download it, and look at it",
        ));
    };
    let mut objects = objects(&text, argument::text(cx, "namespace")?)
        .map_err(|failure| Failure { message: format!("{path}: {}", failure.message), ..failure })?;
    if objects.is_empty() {
        return Err(Failure::last(format!("{path} has no object")));
    }
    let place = |object: &Object| match object.name.kind.as_str() {
        DEFINITION => 0,
        "Namespace" => 1,
        _ => 2,
    };
    objects.sort_by_key(place);
    Ok(objects)
}

/// Reads the objects of a text; `namespace` is for those that name none.
pub(super) fn objects(text: &str, namespace: &str) -> Result<Vec<Object>, Failure> {
    let mut found = Vec::new();
    for document in documents(text)? {
        match document {
            Json::Null => {}
            Json::Object(map) if map.is_empty() => {}
            list if list["kind"].as_str().is_some_and(|kind| kind.ends_with("List"))
                && list["items"].is_array() =>
            {
                for item in list["items"].as_array().into_iter().flatten() {
                    found.push(object(item.clone(), namespace)?);
                }
            }
            one => found.push(object(one, namespace)?),
        }
    }
    Ok(found)
}

fn object(json: Json, namespace: &str) -> Result<Object, Failure> {
    let text = |value: &Json, what: &str| match value
        .as_str()
        .filter(|text| !text.is_empty() && !text.contains(' '))
    {
        Some(text) => Ok(text.to_string()),
        None => Err(Failure::last(format!("an object has no {what}")).with_hint(
            "each document has `apiVersion`, `kind` and `metadata.name`; `generateName` cannot be applied",
        )),
    };
    let kind = text(&json["kind"], "`kind`")?;
    let about = |failure: Failure| Failure { message: format!("{} ({kind})", failure.message), ..failure };
    let name = Name {
        version: text(&json["apiVersion"], "`apiVersion`").map_err(about)?,
        name: text(&json["metadata"]["name"], "`metadata.name`").map_err(about)?,
        namespace: json["metadata"]["namespace"].as_str().unwrap_or(namespace).to_string(),
        kind: kind.clone(),
    };
    Ok(Object { name, json })
}

/// Finds the way to objects; what the API says of a group is asked once.
pub(super) struct Doors {
    kube: kube::Client,
    known: HashMap<String, Option<Vec<APIResource>>>,
}

impl Doors {
    /// Knows nothing yet.
    pub(super) fn new(kube: kube::Client) -> Doors {
        Doors { kube, known: HashMap::new() }
    }

    /// Returns the way to an object, whose name loses the namespace if its kind has none; `None` where the API knows no such kind.
    pub(super) async fn to(&mut self, name: &mut Name) -> Result<Option<Api<DynamicObject>>, Failure> {
        if !self.known.contains_key(&name.version) {
            let what = format!("ask what there is in {}", name.version);
            let list = match name.group() {
                "" => api::find(&what, self.kube.list_core_api_resources(&name.version)).await?,
                _ => api::find(&what, self.kube.list_api_group_resources(&name.version)).await?,
            };
            self.known.insert(name.version.clone(), list.map(|list| list.resources));
        }
        let kinds = self.known.get(&name.version).and_then(Option::as_ref);
        let found =
            kinds.and_then(|kinds| kinds.iter().find(|k| k.kind == name.kind && !k.name.contains('/')));
        let Some(found) = found else { return Ok(None) };
        let (group, version) = name.version.split_once('/').unwrap_or(("", &name.version));
        let gvk = GroupVersionKind::gvk(group, version, &name.kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, &found.name);
        Ok(Some(if found.namespaced {
            Api::namespaced_with(self.kube.clone(), &name.namespace, &resource)
        } else {
            name.namespace.clear();
            Api::all_with(self.kube.clone(), &resource)
        }))
    }
}

/// Says that the API knows no such kind.
pub(super) fn unknown(name: &Name) -> Failure {
    Failure::last(format!("the API has no kind {} in {}", name.kind, name.version))
        .with_hint("is its CustomResourceDefinition in another file, which goes first? `kubectl api-resources` lists what there is")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# a comment alone\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: { name: a }\ndata: { mode: \"0644\" }\n---\n\
        apiVersion: v1\nkind: List\nitems:\n- { apiVersion: apps/v1, kind: DaemonSet, metadata: { name: b, namespace: net }, spec: { mode: 0644 } }\n---\n";

    #[test]
    fn documents_lists_and_what_is_empty_are_read_and_names_are_kept() {
        let found = objects(TEXT, "default").unwrap();
        let titles: Vec<String> = found.iter().map(|object| object.name.title()).collect();
        assert_eq!(titles, ["ConfigMap default/a", "DaemonSet net/b"]);
        assert_eq!(
            (&found[0].json["data"]["mode"], &found[1].json["spec"]["mode"]),
            (&"0644".into(), &420.into())
        );
        assert_eq!(Name::read(&found[1].name.key()), Some(found[1].name.clone()));
    }

    #[test]
    fn an_object_without_a_name_is_told() {
        let failure =
            objects("apiVersion: v1\nkind: Pod\nmetadata: { generateName: a- }\n", "default").unwrap_err();
        assert_eq!(failure.message, "an object has no `metadata.name` (Pod)");
    }
}
