//! What verbs ask of the cluster and of the nodes: rights of the API, and programs that run as root. A table,
//! held to what the shipped playbooks really ask for.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::LazyLock;

use serde::Deserialize;

/// The verb of the table that stands for every run: inventory and lock.
const ALWAYS: &str = "*";

static TABLE: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let table: Table = toml::from_str(include_str!("../data/access.toml")).expect("the table is TOML");
    table.verb
});

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    verb: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    names: Vec<String>,
    #[serde(default)]
    api: Vec<String>,
    #[serde(default)]
    root: Vec<String>,
    #[serde(default)]
    note: String,
}

/// What somebody who runs a playbook must be allowed to do.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Rights in the cluster.
    pub api: BTreeSet<Right>,
    /// Programs that run as root on the nodes.
    pub root: BTreeSet<String>,
    /// What else is needed, and only the user's own files can tell, by verb.
    pub notes: BTreeSet<String>,
}

/// A right in the cluster, as RBAC has it: one verb on one resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// The namespace; `None`: all of them, or none.
    pub namespace: Option<String>,
    /// The API group; empty for the core.
    pub group: String,
    /// The resource with its subresource: `pods/eviction`.
    pub resource: String,
    /// `get`, `list`, `create`, ..
    pub verb: String,
}

impl Right {
    /// Reads the right that a request needs; `None` where everybody may ask. Source:
    /// <https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb>
    pub fn of_request(method: &str, uri: &str) -> Option<Right> {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let path = path
            .find("://")
            .and_then(|at| path[at + 3..].find('/').map(|i| &path[at + 3 + i..]))
            .unwrap_or(path);
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (group, rest) = match parts.as_slice() {
            ["api", _, rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(namespace.to_string()), rest),
            rest => (None, rest),
        };
        let (resource, name) = match rest {
            [] => return None,
            [resource] => (resource.to_string(), None),
            [resource, name] => (resource.to_string(), Some(name)),
            [resource, name, sub, ..] => (format!("{resource}/{sub}"), Some(name)),
        };
        // Everybody may ask who he is and what he may do.
        if resource.starts_with("self") {
            return None;
        }
        let verb = match (method, name) {
            ("GET" | "HEAD", _) if query.split('&').any(|p| p == "watch=true" || p == "watch=1") => "watch",
            ("GET" | "HEAD", Some(_)) => "get",
            ("GET" | "HEAD", None) => "list",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", Some(_)) => "delete",
            _ => "deletecollection",
        };
        Some(Right { namespace, group: group.to_string(), resource, verb: verb.to_string() })
    }

    /// Returns whether who has this right has the other one.
    pub fn covers(&self, other: &Right) -> bool {
        (self.namespace.is_none() || self.namespace == other.namespace)
            && (&self.group, &self.resource, &self.verb) == (&other.group, &other.resource, &other.verb)
    }

    /// Reads a line of the table: `get patch leases.coordination.k8s.io in kube-system`.
    fn read(line: &str) -> Vec<Right> {
        let (what, namespace) = match line.split_once(" in ") {
            Some((what, namespace)) => (what, Some(namespace.to_string())),
            None => (line, None),
        };
        let mut words: Vec<&str> = what.split(' ').collect();
        let last = words.pop().unwrap_or_default();
        // The group stands behind the resource, and the subresource behind the group's bar.
        let (resource, group) = match last.split_once('.') {
            Some((resource, group)) => (resource, group),
            None => (last, ""),
        };
        let right = |verb: &&str| Right {
            namespace: namespace.clone(),
            group: group.to_string(),
            resource: resource.to_string(),
            verb: verb.to_string(),
        };
        words.iter().map(right).collect()
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in {namespace}"),
            None => Ok(()),
        }
    }
}

/// Returns what the verbs of a playbook need, with what every run needs.
pub fn access<'v>(verbs: impl IntoIterator<Item = &'v str>) -> Access {
    let mut all = Access::default();
    for verb in verbs.into_iter().chain([ALWAYS]) {
        for entry in TABLE.iter().filter(|entry| entry.names.iter().any(|name| name == verb)) {
            all.api.extend(entry.api.iter().flat_map(|line| Right::read(line)));
            all.root.extend(entry.root.iter().cloned());
            if !entry.note.is_empty() {
                all.notes.insert(format!("`{verb}` needs {}", entry.note));
            }
        }
    }
    // What is granted everywhere needs no second grant in one namespace.
    let everywhere: Vec<Right> = all.api.iter().filter(|right| right.namespace.is_none()).cloned().collect();
    all.api.retain(|right| right.namespace.is_none() || !everywhere.iter().any(|wide| wide.covers(right)));
    all
}

/// Returns whether the table has a verb.
pub fn is_known(verb: &str) -> bool {
    TABLE.iter().any(|entry| entry.names.iter().any(|name| name == verb))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(method: &str, uri: &str) -> String {
        Right::of_request(method, uri).map_or("nothing".to_string(), |right| right.to_string())
    }

    #[test]
    fn a_request_needs_one_right() {
        assert_eq!(right("GET", "/api/v1/nodes?limit=500"), "list nodes");
        assert_eq!(right("GET", "https://a:6443/api/v1/namespaces/kube-system"), "get namespaces");
        assert_eq!(right("POST", "/api/v1/namespaces/web/pods/a/eviction"), "create pods/eviction in web");
        let lease = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kup";
        assert_eq!(right("PATCH", lease), "patch leases.coordination.k8s.io in kube-system");
        assert_eq!(right("GET", "/version"), "nothing");
        assert_eq!(right("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews"), "nothing");
    }

    #[test]
    fn a_line_of_the_table_is_read_as_it_is_written() {
        for line in ["get leases.coordination.k8s.io in kube-system", "create pods/eviction", "list nodes"] {
            let rights = Right::read(line);
            assert_eq!(rights.iter().map(ToString::to_string).collect::<Vec<_>>(), [line]);
        }
    }
}
