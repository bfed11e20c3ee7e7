//! An API server of plain JSON under the real client: it lists in pages, selects by label and
//! field, patches, and answers what it was told to answer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value as Json, json};

/// The API server. Clones share its objects.
#[derive(Clone, Default)]
pub(crate) struct Cluster(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Json>,
    answers: BTreeMap<String, VecDeque<(u16, Json)>>,
    requests: Vec<(String, Json)>,
    down: bool,
}

/// How many objects a page holds; few, so that every test turns pages.
const PAGE: usize = 2;

/// Makes the metadata of an object.
pub(crate) fn named(namespace: &str, name: &str) -> Json {
    json!({ "namespace": namespace, "name": name, "uid": format!("uid-{name}"), "resourceVersion": "1" })
}

impl Cluster {
    /// Makes a cluster that has nothing but the namespace `kube-system`.
    pub(crate) fn new() -> Cluster {
        let cluster = Cluster::default();
        cluster.version("v1.33.4");
        cluster.put(
            "/api/v1/namespaces/kube-system",
            json!({ "metadata": { "name": "kube-system", "uid": "cluster-1" } }),
        );
        cluster
    }

    /// Sets what the API says of its own version.
    pub(crate) fn version(&self, version: &str) {
        let info = json!({ "major": "1", "minor": "33", "gitVersion": version, "gitCommit": "", "gitTreeState": "",
            "buildDate": "", "goVersion": "", "compiler": "", "platform": "" });
        self.put("/version", info);
    }

    /// Puts an object at its path.
    pub(crate) fn put(&self, path: &str, object: Json) {
        self.0.lock().unwrap().objects.insert(path.to_string(), object);
    }

    /// Takes an object away.
    pub(crate) fn remove(&self, path: &str) {
        self.0.lock().unwrap().objects.remove(path);
    }

    /// Returns an object.
    pub(crate) fn get(&self, path: &str) -> Json {
        self.0.lock().unwrap().objects.get(path).cloned().unwrap_or(Json::Null)
    }

    /// Answers the next request `METHOD path` with a code and a body.
    pub(crate) fn answer(&self, request: &str, code: u16, body: Json) {
        self.0.lock().unwrap().answers.entry(request.to_string()).or_default().push_back((code, body));
    }

    /// Lets every request fail as when no apiserver runs, or ends that.
    pub(crate) fn down(&self, down: bool) {
        self.0.lock().unwrap().down = down;
    }

    /// Returns the bodies of all requests `METHOD path` so far.
    pub(crate) fn sent(&self, request: &str) -> Vec<Json> {
        let state = self.0.lock().unwrap();
        state.requests.iter().filter(|(known, _)| known == request).map(|(_, body)| body.clone()).collect()
    }

    /// Returns how many requests there were so far.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().requests.len()
    }

    /// Puts a Ready node with its lease.
    pub(crate) fn node(&self, name: &str, version: &str, control_plane: bool) {
        let labels =
            if control_plane { json!({ "node-role.kubernetes.io/control-plane": "" }) } else { json!({}) };
        let mut metadata = named("", name);
        metadata["labels"] = labels;
        let object = json!({
            "metadata": metadata,
            "spec": {},
            "status": {
                "nodeInfo": {
                    "kubeletVersion": version, "machineID": format!("id-{name}"), "architecture": "amd64",
                    "osImage": "Debian", "kernelVersion": "6.12", "containerRuntimeVersion": "containerd://2.1",
                    "bootID": "", "kubeProxyVersion": "", "operatingSystem": "linux", "systemUUID": "",
                },
                "allocatable": { "nvidia.com/gpu": "0", "cpu": "4" },
                "conditions": [
                    { "type": "MemoryPressure", "status": "False" },
                    { "type": "Ready", "status": "True", "lastHeartbeatTime": "2026-11-21T11:56:00Z" },
                ],
            },
        });
        self.put(&format!("/api/v1/nodes/{name}"), object);
        self.lease("kube-node-lease", name, "2026-11-21T11:59:55.000000Z");
    }

    /// Puts a lease.
    pub(crate) fn lease(&self, namespace: &str, name: &str, renewed: &str) {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}");
        let spec = json!({ "holderIdentity": name, "renewTime": renewed });
        self.put(&path, json!({ "metadata": named(namespace, name), "spec": spec }));
    }

    /// Puts a running and ready pod of a ReplicaSet; `with` changes it.
    pub(crate) fn pod(&self, namespace: &str, name: &str, node: &str, with: impl FnOnce(&mut Json)) {
        let mut metadata = named(namespace, name);
        metadata["labels"] = json!({ "app": "web" });
        metadata["ownerReferences"] = json!([{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": true }]);
        let mut pod = json!({
            "metadata": metadata,
            "spec": { "nodeName": node, "containers": [{ "name": "main", "image": "web:1" }] },
            "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] },
        });
        with(&mut pod);
        self.put(&format!("/api/v1/namespaces/{namespace}/pods/{name}"), pod);
    }

    /// Puts the static pods of a control plane and the leases of its leaders.
    pub(crate) fn control_plane(&self, node: &str, version: &str) {
        for component in ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"] {
            let tag = if component == "etcd" { "3.6.5-0" } else { version };
            self.pod("kube-system", &format!("{component}-{node}"), node, |pod| {
                pod["metadata"]["labels"] = json!({ "tier": "control-plane", "component": component });
                pod["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "hash" });
                pod["metadata"]["ownerReferences"] =
                    json!([{ "apiVersion": "v1", "kind": "Node", "name": node, "uid": "u", "controller": true }]);
                pod["spec"]["containers"] =
                    json!([{ "name": component, "image": format!("registry.k8s.io/{component}:{tag}") }]);
                pod["status"]["containerStatuses"] =
                    json!([{ "name": component, "restartCount": 0, "ready": true, "image": "", "imageID": "" }]);
            });
        }
        for leader in ["kube-controller-manager", "kube-scheduler"] {
            self.lease("kube-system", leader, "2026-11-21T11:59:58.000000Z");
        }
    }

    /// Returns a real client of this server.
    pub(crate) fn client(&self) -> kube::Client {
        let cluster = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let cluster = cluster.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                let body: Json = serde_json::from_slice(&body).unwrap_or(Json::Null);
                let mut state = cluster.0.lock().unwrap();
                if state.down {
                    return Err(std::io::Error::other("connection refused"));
                }
                let (code, answer) = state.handle(parts.method.as_str(), &parts.uri, body);
                let answer =
                    Response::builder().status(code).body(Body::from(answer.to_string().into_bytes()));
                Ok(answer.unwrap())
            }
        });
        kube::Client::new(service, "default")
    }
}

impl State {
    fn handle(&mut self, method: &str, uri: &http::Uri, body: Json) -> (u16, Json) {
        let path = uri.path();
        let request = format!("{method} {path}");
        self.requests.push((request.clone(), body.clone()));
        if let Some(answer) = self.answers.get_mut(&request).and_then(VecDeque::pop_front) {
            return answer;
        }
        let missing =
            || (404, json!({ "kind": "Status", "code": 404, "message": format!("{path} not found") }));
        match method {
            "GET" if path == "/readyz" => (200, json!("ok")),
            "GET" => match self.objects.get(path) {
                Some(object) => (200, object.clone()),
                None if self.is_kind(path) => (200, self.list(path, uri.query().unwrap_or_default())),
                None => missing(),
            },
            "PATCH" => match self.objects.get_mut(path) {
                Some(object) if !same_version(object, &body) => {
                    (409, json!({ "kind": "Status", "code": 409, "message": "the object has been modified" }))
                }
                Some(object) => {
                    merge(object, &body);
                    let version: u64 =
                        object["metadata"]["resourceVersion"].as_str().unwrap_or("0").parse().unwrap();
                    object["metadata"]["resourceVersion"] = json!((version + 1).to_string());
                    (200, object.clone())
                }
                None => missing(),
            },
            "POST" => match path.strip_suffix("/eviction") {
                Some(pod) if self.objects.remove(pod).is_some() => {
                    (201, json!({ "kind": "Status", "status": "Success" }))
                }
                Some(_) => missing(),
                None => self.create(path, body),
            },
            "DELETE" => match self.objects.remove(path) {
                Some(object) => (200, object),
                None => missing(),
            },
            _ => (405, json!({ "kind": "Status", "code": 405, "message": "a test sent what it should not" })),
        }
    }

    fn create(&mut self, path: &str, object: Json) -> (u16, Json) {
        let path = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap_or_default());
        if self.objects.contains_key(&path) {
            let message = format!("{path} already exists");
            return (
                409,
                json!({ "kind": "Status", "code": 409, "reason": "AlreadyExists", "message": message }),
            );
        }
        self.objects.insert(path, object.clone());
        (201, object)
    }

    /// Tells a list from an object by its last word.
    fn is_kind(&self, path: &str) -> bool {
        const KINDS: [&str; 19] = [
            "nodes",
            "pods",
            "leases",
            "daemonsets",
            "deployments",
            "statefulsets",
            "secrets",
            "services",
            "endpointslices",
            "poddisruptionbudgets",
            "volumeattachments",
            "apiservices",
            "persistentvolumeclaims",
            "certificatesigningrequests",
            "customresourcedefinitions",
            "mutatingwebhookconfigurations",
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
            "validatingwebhookconfigurations",
        ];
        path.rsplit('/').next().is_some_and(|word| KINDS.contains(&word))
    }

    fn list(&self, path: &str, query: &str) -> Json {
        let (root, kind) = path.rsplit_once('/').unwrap();
        let inside = |key: &str| {
            let Some((folder, _)) = key.rsplit_once('/') else { return false };
            folder == path
                || (folder.starts_with(&format!("{root}/namespaces/"))
                    && folder.ends_with(&format!("/{kind}")))
        };
        let query: BTreeMap<String, String> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| {
                let value =
                    value.replace("%3D", "=").replace("%2F", "/").replace("%21", "!").replace("%2C", ",");
                (key.to_string(), value)
            })
            .collect();
        let chosen: Vec<&Json> = self
            .objects
            .iter()
            .filter(|(key, _)| inside(key))
            .map(|(_, object)| object)
            .filter(|object| match query.get("fieldSelector").and_then(|field| field.split_once('=')) {
                Some(("spec.nodeName", node)) => object["spec"]["nodeName"] == *node,
                Some((field, _)) => panic!("a test selects by {field}"),
                None => true,
            })
            .filter(|object| {
                let mut wanted = query.get("labelSelector").into_iter().flat_map(|labels| labels.split(','));
                wanted.all(|label| match label.split_once('=') {
                    Some((label, value)) => match label.strip_suffix('!') {
                        Some(label) => object["metadata"]["labels"][label] != *value,
                        None => object["metadata"]["labels"][label] == *value,
                    },
                    None => true,
                })
            })
            .collect();
        let from: usize = query.get("continue").map_or(0, |token| token.parse().unwrap());
        let items: Vec<&&Json> = chosen.iter().skip(from).take(PAGE).collect();
        let next = if from + PAGE < chosen.len() { (from + PAGE).to_string() } else { String::new() };
        json!({ "metadata": { "continue": next }, "items": items })
    }
}

fn same_version(object: &Json, patch: &Json) -> bool {
    let wanted = &patch["metadata"]["resourceVersion"];
    wanted.is_null() || *wanted == object["metadata"]["resourceVersion"]
}

fn merge(object: &mut Json, patch: &Json) {
    let Json::Object(fields) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (key, value) in fields {
        if value.is_null() {
            object.as_object_mut().unwrap().shift_remove(key);
        } else {
            merge(&mut object[key.as_str()], value);
        }
    }
}
