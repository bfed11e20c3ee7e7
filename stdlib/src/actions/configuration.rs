//! What kubeadm keeps in the cluster of its configuration, and which nodes reflect it: a ConfigMap is
//! changed at once, and the nodes follow one by one.
//!
//! ```text
//! ConfigMap   data: the configuration now      annotation: what the nodes reflected before kup changed it
//! node        /var/lib/kup/reflects-MAP: what it reflects since kup has changed it
//! ```
//! A node without such a file reflects what the annotation says; without an annotation nobody has changed
//! anything since kubeadm itself brought the nodes to it.

use std::fmt;

use engine::event::Failure;
use engine::port::Command;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};

use super::failure;
use super::host::{FOLDER, Host};
use crate::api;

/// Says what the nodes reflected before kup changed the configuration.
pub(super) const REFLECTED: &str = "kup.dev/reflected";

/// A configuration that kubeadm keeps.
#[derive(Debug)]
pub(super) struct Kind {
    /// Its kind.
    pub(super) name: &'static str,
    /// The ConfigMap it is in.
    pub(super) map: &'static str,
    /// The key there.
    key: &'static str,
}

/// That of the control plane.
pub(super) const CLUSTER: Kind =
    Kind { name: "ClusterConfiguration", map: "kubeadm-config", key: "ClusterConfiguration" };

/// That of the kubelets.
pub(super) const KUBELET: Kind = Kind { name: "KubeletConfiguration", map: "kubelet-config", key: "kubelet" };

/// A configuration as the cluster has it.
pub(super) struct Kept {
    /// Its text, as kubeadm or a person wrote it.
    pub(super) text: String,
    /// What it says.
    pub(super) value: Json,
    /// What the nodes reflected before kup changed it.
    pub(super) annotation: Option<String>,
}

/// Which configuration is meant, by the hashes of two parts: etcd's static pod is another matter than the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reflection {
    /// All but the rest.
    pub(super) most: String,
    /// `etcd.local` of a ClusterConfiguration.
    pub(super) etcd: String,
}

impl Kind {
    /// Reads what the cluster has.
    pub(super) async fn read(&self, kube: &kube::Client) -> Result<Kept, Failure> {
        let what = format!("read ConfigMap {}", self.map);
        let found = api::find(&what, self.maps(kube).get(self.map)).await?;
        let Some(map) = found else {
            return Err(Failure::last(format!("kube-system has no ConfigMap {}", self.map))
                .with_hint("this cluster was not made by kubeadm, or somebody removed it"));
        };
        let annotation = api::annotation(&map.metadata, REFLECTED).map(str::to_string);
        let text = map.data.unwrap_or_default().remove(self.key).unwrap_or_default();
        let value = documents(&text).ok().and_then(|all| all.into_iter().find(|d| d["kind"] == self.name));
        let Some(value) = value else {
            return Err(Failure::last(format!("ConfigMap kube-system/{} holds no {}", self.map, self.name))
                .with_hint(format!(
                    "look at it: kubectl -n kube-system get configmap {} -o yaml",
                    self.map
                )));
        };
        Ok(Kept { text, value, annotation })
    }

    /// Replaces it; nothing else of the ConfigMap is touched.
    pub(super) async fn write(
        &self,
        kube: &kube::Client,
        text: &str,
        annotation: Option<&str>,
    ) -> Result<(), Failure> {
        let patch = json!({
            "metadata": { "annotations": { REFLECTED: annotation } }, "data": { self.key: text },
        });
        let params = PatchParams { field_manager: Some("kup".to_string()), ..PatchParams::default() };
        let maps = self.maps(kube);
        let what = format!("change ConfigMap {}", self.map);
        api::call(&what, maps.patch(self.map, &params, &Patch::Merge(&patch))).await.map(drop)
    }

    fn maps(&self, kube: &kube::Client) -> Api<ConfigMap> {
        Api::namespaced(kube.clone(), api::SYSTEM)
    }

    fn mark(&self) -> String {
        format!("{FOLDER}/reflects-{}", self.map)
    }

    /// Returns what a node says that it reflects.
    pub(super) async fn marked(&self, host: &Host) -> Result<Option<String>, Failure> {
        host.read(&self.mark()).await
    }

    /// Lets a node say that it reflects something, or nothing of its own.
    pub(super) async fn set_mark(&self, host: &Host, mark: Option<&str>) -> Result<(), Failure> {
        let Some(mark) = mark else {
            return host.ask(Command::change(["rm", "-f", &self.mark()])).await.map(drop);
        };
        host.ask(Command::change(["mkdir", "-p", "-m", "0700", FOLDER])).await?;
        host.write(&self.mark(), mark, 0o600).await
    }
}

impl Kept {
    /// Returns which configuration this is.
    pub(super) fn reflection(&self) -> Reflection {
        let mut most = self.value.clone();
        let etcd = most.get_mut("etcd").and_then(Json::as_object_mut).and_then(|etcd| etcd.remove("local"));
        let etcd = etcd.unwrap_or(Json::Null);
        if let Some(most) = most.as_object_mut() {
            // That is an upgrade's matter, which writes the manifests itself.
            most.remove("kubernetesVersion");
        }
        Reflection { most: hash(&most), etcd: hash(&etcd) }
    }

    /// Returns what a node reflects, by its mark.
    pub(super) fn reflected_by(&self, mark: Option<&str>) -> Reflection {
        let read = |text: &str| {
            let (most, etcd) = text.trim().split_once(' ')?;
            Some(Reflection { most: most.to_string(), etcd: etcd.to_string() })
        };
        let known = mark.and_then(read).or_else(|| self.annotation.as_deref().and_then(read));
        known.unwrap_or_else(|| self.reflection())
    }
}

impl fmt::Display for Reflection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.most, self.etcd)
    }
}

/// Hashes what a document says, whatever the order of its keys.
fn hash(value: &Json) -> String {
    let mut hasher = Sha256::new();
    feed(&mut hasher, value);
    hasher.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn feed(hasher: &mut Sha256, value: &Json) {
    match value {
        Json::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            hasher.update(b"{");
            for key in keys {
                hasher.update(Json::String(key.clone()).to_string().as_bytes());
                feed(hasher, &map[key]);
            }
            hasher.update(b"}");
        }
        Json::Array(items) => {
            hasher.update(b"[");
            items.iter().for_each(|item| feed(hasher, item));
            hasher.update(b"]");
        }
        plain => hasher.update(plain.to_string().as_bytes()),
    }
}

/// Reads all documents of a text.
pub(super) fn documents(text: &str) -> Result<Vec<Json>, Failure> {
    // As kubectl and kubeadm read it: `0644` is what chmod means by it.
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    serde_saphyr::from_multiple_with_options::<Json>(text, options).map_err(|error| {
        Failure::last("it is no YAML").with_output(failure::tail(&failure::printable(&error.to_string())))
    })
}

/// Merges a patch into a document as RFC 7396 has it: `null` takes away, a list is replaced as a whole.
pub(super) fn merge(into: &mut Json, patch: &Json) {
    let Json::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = Json::Object(Map::new());
    }
    let Json::Object(map) = into else { return };
    for (key, value) in patch {
        if value.is_null() {
            map.remove(key);
        } else {
            merge(map.entry(key.clone()).or_insert(Json::Null), value);
        }
    }
}

/// Returns the paths at which two documents differ, a list as a whole.
pub(super) fn differences(one: &Json, other: &Json) -> Vec<String> {
    let mut found = Vec::new();
    differ("", one, other, &mut found);
    found
}

fn differ(path: &str, one: &Json, other: &Json, found: &mut Vec<String>) {
    let (Json::Object(a), Json::Object(b)) = (one, other) else {
        if one != other {
            found.push(path.to_string());
        }
        return;
    };
    let mut keys: Vec<&String> = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))).collect();
    keys.sort();
    for key in keys {
        let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        // Without a value and with an empty one is the same to kubeadm.
        let of = |map: &Map<String, Json>| match map.get(key) {
            Some(value) => value.clone(),
            None if a.get(key).or(b.get(key)).is_some_and(Json::is_object) => Json::Object(Map::new()),
            None => Json::Null,
        };
        differ(&inner, &of(a), &of(b), found);
    }
}

/// Writes a document as YAML in blocks, as people read it in a ConfigMap.
pub(super) fn yaml(value: &Json) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

fn block(value: &Json, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Json::Object(map) => {
            for (key, value) in map {
                text.push_str(&format!("{indent}{}:", scalar(&Json::String(key.clone()))));
                after(value, depth + 1, text);
            }
        }
        Json::Array(items) => {
            for item in items {
                let mut inner = String::new();
                match item {
                    Json::Object(map) if !map.is_empty() => block(item, depth + 1, &mut inner),
                    item => inner.push_str(&format!("{indent}  {}\n", scalar(item))),
                }
                // The first line of an item stands behind its dash.
                text.push_str(&format!("{indent}- {}", &inner[indent.len() + 2..]));
            }
        }
        plain => text.push_str(&format!("{indent}{}\n", scalar(plain))),
    }
}

fn after(value: &Json, depth: usize, text: &mut String) {
    match value {
        Json::Object(map) if !map.is_empty() => {
            text.push('\n');
            block(value, depth, text);
        }
        Json::Array(items) if !items.is_empty() && items.iter().all(|item| !item.is_array()) => {
            text.push('\n');
            block(value, depth - 1, text);
        }
        plain => text.push_str(&format!(" {}\n", scalar(plain))),
    }
}

/// Writes a value in one line. A text is quoted unless nobody could read it as something else.
fn scalar(value: &Json) -> String {
    match value {
        Json::String(word) if is_plain(word) => word.clone(),
        // JSON is YAML.
        other => other.to_string(),
    }
}

fn is_plain(word: &str) -> bool {
    const OTHERS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
        && !OTHERS.contains(&word.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "apiServer:\n  extraArgs:\n  - name: audit-log-path\n    value: /var/log/audit.log\n  - name: v\n    value: \"2\"\n\
        etcd:\n  local:\n    dataDir: /var/lib/etcd\nkind: ClusterConfiguration\nkubernetesVersion: v1.33.4\nscheduler: {}\n";

    fn kept(text: &str) -> Kept {
        let value = documents(text).unwrap().remove(0);
        Kept { text: text.to_string(), value, annotation: None }
    }

    #[test]
    fn a_document_is_written_as_it_is_read() {
        assert_eq!(yaml(&kept(TEXT).value), TEXT);
        let odd = json!({ "a": ["1", 2, true, null, "true", "x: y", ""], "b": [], "c d": { "e": {} }, "f": [["g"]] });
        assert_eq!(documents(&yaml(&odd)).unwrap(), [odd]);
    }

    #[test]
    fn what_is_not_named_stays_and_null_takes_away() {
        let mut value = json!({ "a": { "b": 1, "c": 2 }, "d": [1, 2] });
        let before = value.clone();
        merge(&mut value, &json!({ "a": { "b": null, "e": 3 }, "d": [4] }));
        assert_eq!(value, json!({ "a": { "c": 2, "e": 3 }, "d": [4] }));
        assert_eq!(differences(&before, &value), ["a.b", "a.e", "d"]);
        assert_eq!(differences(&json!({ "a": {} }), &json!({})), [""; 0]);
    }

    #[test]
    fn a_version_is_no_other_configuration_and_etcd_is_one_of_its_own() {
        let now = kept(TEXT).reflection();
        assert_eq!(kept(&TEXT.replace("v1.33.4", "v1.34.2")).reflection(), now);
        let etcd = kept(&TEXT.replace("/var/lib/etcd", "/data/etcd")).reflection();
        assert!(etcd.most == now.most && etcd.etcd != now.etcd);
        let flag = kept(&TEXT.replace("audit.log", "other.log")).reflection();
        assert!(flag.most != now.most && flag.etcd == now.etcd);
    }

    #[test]
    fn a_node_reflects_what_its_mark_says_then_the_annotation_then_what_is() {
        let mut kept = kept(TEXT);
        assert_eq!(kept.reflected_by(None), kept.reflection());
        kept.annotation = Some("a b".to_string());
        assert_eq!(kept.reflected_by(None).to_string(), "a b");
        assert_eq!(kept.reflected_by(Some("c d\n")).to_string(), "c d");
    }
}
