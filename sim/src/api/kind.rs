//! The kinds that the API serves, and how a path names them.

use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::status::Refusal;
use crate::pod;
use crate::world::World;

/// A kind of object.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// The API group; empty for core.
    pub group: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The plural in paths; of a kind that somebody defined, with its group, since another group may have the same.
    pub resource: &'static str,
    /// The name in `kind`.
    pub name: &'static str,
    /// Whether its objects live in a namespace.
    pub namespaced: bool,
}

const fn kind(
    group: &'static str,
    version: &'static str,
    resource: &'static str,
    name: &'static str,
    namespaced: bool,
) -> Kind {
    Kind { group, version, resource, name, namespaced }
}

/// All kinds.
pub const KINDS: &[Kind] = &[
    kind("", "v1", "configmaps", "ConfigMap", true),
    kind("", "v1", "endpoints", "Endpoints", true),
    kind("", "v1", "events", "Event", true),
    kind("", "v1", "namespaces", "Namespace", false),
    kind("", "v1", "nodes", "Node", false),
    kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", true),
    kind("", "v1", "persistentvolumes", "PersistentVolume", false),
    kind("", "v1", "pods", "Pod", true),
    kind("", "v1", "secrets", "Secret", true),
    kind("", "v1", "serviceaccounts", "ServiceAccount", true),
    kind("", "v1", "services", "Service", true),
    kind(
        "admissionregistration.k8s.io",
        "v1",
        "mutatingwebhookconfigurations",
        "MutatingWebhookConfiguration",
        false,
    ),
    kind(
        "admissionregistration.k8s.io",
        "v1",
        "validatingwebhookconfigurations",
        "ValidatingWebhookConfiguration",
        false,
    ),
    kind("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", false),
    kind("apiregistration.k8s.io", "v1", "apiservices", "APIService", false),
    kind("apps", "v1", "daemonsets", "DaemonSet", true),
    kind("apps", "v1", "deployments", "Deployment", true),
    kind("apps", "v1", "replicasets", "ReplicaSet", true),
    kind("apps", "v1", "statefulsets", "StatefulSet", true),
    kind("batch", "v1", "jobs", "Job", true),
    kind("certificates.k8s.io", "v1", "certificatesigningrequests", "CertificateSigningRequest", false),
    kind("coordination.k8s.io", "v1", "leases", "Lease", true),
    kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", true),
    kind("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", true),
    kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", true),
    kind("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", false),
    kind("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", false),
    kind("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", true),
    kind("rbac.authorization.k8s.io", "v1", "roles", "Role", true),
    kind("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", false),
    kind("storage.k8s.io", "v1", "csidrivers", "CSIDriver", false),
    kind("storage.k8s.io", "v1", "storageclasses", "StorageClass", false),
    kind("storage.k8s.io", "v1", "volumeattachments", "VolumeAttachment", false),
];

impl Kind {
    /// Finds a kind by its plural, which is unique among those served here.
    pub fn of(resource: &str) -> Option<&'static Kind> {
        KINDS.iter().find(|k| k.resource == resource)
    }

    /// Returns `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Returns the plural in paths.
    pub fn plural(&self) -> &'static str {
        self.resource.split('.').next().unwrap_or(self.resource)
    }

    /// Returns whether a CustomResourceDefinition added it.
    pub fn is_custom(&self) -> bool {
        self.resource.contains('.')
    }

    /// Returns the name that messages use: `pods`, `poddisruptionbudgets.policy`.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() || self.is_custom() {
            self.resource.to_string()
        } else {
            format!("{}.{}", self.resource, self.group)
        }
    }
}

/// Returns the kinds that established CustomResourceDefinitions have added, one for each version that is served.
pub(crate) fn custom(world: &World) -> Vec<&'static Kind> {
    let established = |crd: &Value| {
        let conditions = crd["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|c| c["type"] == "Established" && c["status"] == "True")
    };
    let mut kinds = Vec::new();
    for crd in world.store.list("customresourcedefinitions").filter(|crd| established(crd)) {
        let spec = &crd["spec"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        for version in spec["versions"].as_array().into_iter().flatten().filter(|v| v["served"] == true) {
            kinds.push(interned(
                text(&spec["group"]),
                text(&version["name"]),
                pod::name(crd).to_string(),
                text(&spec["names"]["kind"]),
                spec["scope"] == "Namespaced",
            ));
        }
    }
    kinds
}

/// Kinds live as long as the process, since those that are built in do: there are few, and each is kept once.
fn interned(
    group: String,
    version: String,
    resource: String,
    name: String,
    namespaced: bool,
) -> &'static Kind {
    static KEPT: Mutex<Vec<&'static Kind>> = Mutex::new(Vec::new());
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let same = |k: &&&'static Kind| {
        (k.group, k.version, k.resource, k.name, k.namespaced)
            == (group.as_str(), version.as_str(), resource.as_str(), name.as_str(), namespaced)
    };
    if let Some(kind) = kept.iter().find(same) {
        return kind;
    }
    let kind: &'static Kind = Box::leak(Box::new(Kind {
        group: group.leak(),
        version: version.leak(),
        resource: resource.leak(),
        name: name.leak(),
        namespaced,
    }));
    kept.push(kind);
    kind
}

/// What a path below `/api` or `/apis` names.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// The kind.
    pub kind: &'static Kind,
    /// The namespace; empty for cluster-wide kinds and for lists over all namespaces.
    pub namespace: String,
    /// The name; empty for collections.
    pub name: String,
    /// `status`, `eviction`, `proxy`, ...; empty for the object itself.
    pub sub: String,
}

impl Target {
    /// Reads a path such as `/api/v1/namespaces/shop/pods/web-1/eviction`.
    pub fn parse(path: &str) -> Result<Target, Refusal> {
        Target::among(path, KINDS.iter())
    }

    /// Reads a path that may name one of these kinds.
    pub fn among(path: &str, mut kinds: impl Iterator<Item = &'static Kind>) -> Result<Target, Refusal> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Err(Refusal::no_such_path()),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !matches!(rest, [] | ["status" | "finalize"]) => {
                (*namespace, rest)
            }
            _ => ("", rest),
        };
        let (resource, name, sub) = match rest {
            [resource] => (*resource, "", ""),
            [resource, name] => (*resource, *name, ""),
            [resource, name, sub] | [resource, name, sub @ "proxy", ..] => (*resource, *name, *sub),
            _ => return Err(Refusal::no_such_path()),
        };
        let kind = kinds.find(|k| k.group == group && k.version == version && k.plural() == resource);
        let kind = kind.ok_or_else(Refusal::no_such_path)?;
        Ok(Target { kind, namespace: namespace.into(), name: name.into(), sub: sub.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_collections_objects_and_subresources() {
        let read = |path| {
            Target::parse(path).map(|t| format!("{} {} {} {}", t.kind.resource, t.namespace, t.name, t.sub))
        };
        assert_eq!(read("/api/v1/nodes").unwrap(), "nodes   ");
        assert_eq!(read("/api/v1/namespaces/shop").unwrap(), "namespaces  shop ");
        assert_eq!(read("/api/v1/namespaces/shop/pods/a/eviction").unwrap(), "pods shop a eviction");
        assert_eq!(read("/api/v1/namespaces/shop/pods/a:80/proxy/x/y").unwrap(), "pods shop a:80 proxy");
        assert_eq!(read("/apis/apps/v1/deployments").unwrap(), "deployments   ");
        assert!(read("/apis/apps/v2/deployments").is_err());
    }
}
