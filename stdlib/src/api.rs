//! Small reads of the Kubernetes API that verbs share. Every call has a deadline, and the one place
//! that tells which of the API's errors may go away stands here.

use std::future::Future;
use std::time::Duration;

use engine::action::BECAUSE;
use engine::event::{Class, Failure};
use engine::port::Ports;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, ListParams, ObjectMeta, Patch, PatchParams};
use kube::client::Body;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::answer;

/// How long one call may take. The client has no read timeout of its own: an API server that
/// hangs would hang the step for ever.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many objects one answer may bring.
const PAGE: u32 = 500;

/// The namespace of what makes a cluster a cluster.
pub(crate) const SYSTEM: &str = "kube-system";

/// The labels that kubeadm gives to the static pods of a control plane.
pub(crate) const STATIC: &str = "tier=control-plane";

/// All other pods.
pub(crate) const NOT_STATIC: &str = "tier!=control-plane";

/// Returns the client of the cluster, or says that there is none.
pub(crate) fn client(ports: &Ports) -> Result<kube::Client, Failure> {
    ports.kube.clone().ok_or_else(|| {
        Failure::last("needs a cluster; kup was given hosts only")
            .with_hint("give kup a kubeconfig, or take this step out of the playbook")
    })
}

/// Awaits a call; `what` says what it was for, as in "cannot ...".
pub(crate) async fn call<T>(
    what: &str,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(failure(what, &error)),
        Err(_) => Err(silent(what)),
    }
}

/// Awaits a call whose object may be missing.
pub(crate) async fn find<T>(
    what: &str,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<Option<T>, Failure> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(Ok(answer)) => Ok(Some(answer)),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(None),
        Ok(Err(error)) => Err(failure(what, &error)),
        Err(_) => Err(silent(what)),
    }
}

/// Awaits a call whose errors the caller judges by itself; `None` after the deadline.
pub(crate) async fn raw<T>(
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Option<Result<T, kube::Error>> {
    tokio::time::timeout(PATIENCE, call).await.ok()
}

/// Makes the failure of a call that was not answered in time.
pub(crate) fn silent(what: &str) -> Failure {
    Failure::transient(format!("cannot {what}: the API did not answer within {}s", PATIENCE.as_secs()))
}

/// Tells what may be done about an error of the API.
pub(crate) fn failure(what: &str, error: &kube::Error) -> Failure {
    let (class, text, hint) = match error {
        kube::Error::Api(status) => {
            let text = match status.message.trim() {
                "" => format!("the API answered {}", status.code),
                message => message.to_string(),
            };
            match answer::known(status.code, &text) {
                Some(known) => (known.class(), text, known.hint.as_str()),
                None => (Class::Final, text, ""),
            }
        }
        kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => {
            let text = with_sources(error);
            if text.contains("certificate") {
                (Class::Final, text, "check the certificate authority and the dates of your kubeconfig")
            } else {
                (Class::Transient, format!("the API cannot be reached: {text}"), "")
            }
        }
        kube::Error::Auth(_) => {
            (Class::Final, with_sources(error), "run the login of your kubeconfig by hand")
        }
        // The rest is about requests that cannot be built and answers that cannot be read.
        _ => (Class::Final, with_sources(error), ""),
    };
    let failure = Failure { class, ..Failure::transient(format!("cannot {what}: {text}")) };
    failure.with_hint(hint)
}

/// Writes what is waited for with its causes, the nearest first.
pub(crate) fn chain(causes: impl IntoIterator<Item = String>) -> String {
    causes.into_iter().collect::<Vec<_>>().join(BECAUSE)
}

/// Writes an error with its causes, each once.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
        next = error.source();
    }
    texts.join(": ")
}

/// Calls `each` with every object of a list, page by page, so that no more than a page is held.
pub(crate) async fn pages<K>(
    what: &str,
    api: &Api<K>,
    params: ListParams,
    mut each: impl FnMut(K),
) -> Result<(), Failure>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut params = params.limit(PAGE);
    loop {
        let page = call(what, api.list(&params)).await?;
        let next = page.metadata.continue_.clone().filter(|token| !token.is_empty());
        page.items.into_iter().for_each(&mut each);
        match next {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(()),
        }
    }
}

/// Lists everything that the parameters select.
pub(crate) async fn list<K>(what: &str, api: &Api<K>, params: ListParams) -> Result<Vec<K>, Failure>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut items = Vec::new();
    pages(what, api, params, |item| items.push(item)).await?;
    Ok(items)
}

/// Lists all pods that are bound to a node.
pub(crate) async fn pods_of(kube: &kube::Client, node: &str) -> Result<Vec<Pod>, Failure> {
    let params = ListParams::default().fields(&format!("spec.nodeName={node}"));
    list(&format!("list the pods of {node}"), &Api::<Pod>::all(kube.clone()), params).await
}

/// Lists the static pods of all control planes.
pub(crate) async fn static_pods(kube: &kube::Client) -> Result<Vec<Pod>, Failure> {
    let api = Api::<Pod>::namespaced(kube.clone(), SYSTEM);
    list("list the control plane's pods", &api, ListParams::default().labels(STATIC)).await
}

/// Reads a node.
pub(crate) async fn node(kube: &kube::Client, name: &str) -> Result<Node, Failure> {
    call(&format!("read node {name}"), Api::<Node>::all(kube.clone()).get(name)).await
}

/// Sends a strategic merge patch of a node. Typed objects are never written back as a whole: the
/// client would drop the fields it does not know, and add empty ones.
pub(crate) async fn patch_node(kube: &kube::Client, name: &str, patch: &Json) -> Result<Node, kube::Error> {
    let params = PatchParams { field_manager: Some("kup".to_string()), ..PatchParams::default() };
    Api::<Node>::all(kube.clone()).patch(name, &params, &Patch::Strategic(patch)).await
}

/// What `/readyz` said.
pub(crate) struct Readiness {
    /// Whether it answered 200, or that this user may not ask.
    pub(crate) ok: bool,
    /// The checks that failed, or what was said instead.
    pub(crate) text: String,
    /// The server's time. Leases are held against it and not against this machine's clock.
    pub(crate) date: Option<Timestamp>,
}

/// Asks whichever apiserver answers whether it is ready.
pub(crate) async fn readyz(kube: &kube::Client) -> Result<Readiness, Failure> {
    const WHAT: &str = "ask whether the API is ready";
    let request = http::Request::get("/readyz?verbose")
        .body(Body::empty())
        .map_err(|error| Failure::last(format!("cannot {WHAT}: {error}")))?;
    call(WHAT, async {
        let answer = kube.send(request).await?;
        let date = answer.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| rfc2822::DateTimeParser::new().parse_timestamp(date).ok());
        let code = answer.status().as_u16();
        // A user who may not ask is refused by an API that is up; the other calls tell the rest.
        let ok = answer.status().is_success() || matches!(code, 401 | 403);
        let body = answer.into_body().collect_bytes().await?;
        let body = String::from_utf8_lossy(&body);
        let failed: Vec<&str> =
            body.lines().filter_map(|line| line.strip_prefix("[-]")?.split_whitespace().next()).collect();
        let text = if failed.is_empty() { format!("it answered {code}") } else { failed.join(", ") };
        Ok(Readiness { ok, text, date })
    })
    .await
}

/// Returns the reference to the controller that owns an object, if any.
pub(crate) fn controller(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.as_deref()?.iter().find(|owner| owner.controller == Some(true))
}

/// Returns the value of an annotation.
pub(crate) fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str)
}

/// Returns the value of a label.
pub(crate) fn label<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(key).map(String::as_str)
}

/// Returns `namespace/name`.
pub(crate) fn full_name(meta: &ObjectMeta) -> String {
    let name = meta.name.as_deref().unwrap_or_default();
    match meta.namespace.as_deref() {
        Some(namespace) if !namespace.is_empty() => format!("{namespace}/{name}"),
        Some(_) | None => name.to_string(),
    }
}

/// Returns whether the kubelet made the pod from a file on its node.
pub(crate) fn is_static(pod: &Pod) -> bool {
    annotation(&pod.metadata, "kubernetes.io/config.mirror").is_some()
}

/// Returns whether the pod ran to its end.
pub(crate) fn is_finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Returns whether the pod is Ready and not on its way out.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    pod.metadata.deletion_timestamp.is_none()
        && conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Returns the tag of the image that a container of the pod is made of, as a version.
pub(crate) fn image_version(pod: &Pod, container: &str) -> Option<dsl::value::Version> {
    let containers = &pod.spec.as_ref()?.containers;
    let image = containers.iter().find(|c| c.name == container)?.image.as_deref()?;
    tag(image)?.parse().ok()
}

/// Returns the tag of an image, without a digest.
pub(crate) fn tag(image: &str) -> Option<&str> {
    let image = image.split('@').next().unwrap_or(image);
    let name = image.rsplit('/').next().unwrap_or(image);
    name.split_once(':').map(|(_, tag)| tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, message: &str) -> Failure {
        let status = kube::core::Status::failure(message, "").with_code(code);
        failure("read node w1", &kube::Error::Api(status.boxed()))
    }

    #[test]
    fn what_may_go_away_is_transient_and_what_nobody_mends_by_waiting_is_final() {
        for code in [408, 409, 410, 429, 500, 503, 504] {
            assert_eq!(answer(code, "").class, Class::Transient, "{code}");
        }
        for code in [400, 401, 403, 404, 405, 422] {
            assert_eq!(answer(code, "").class, Class::Final, "{code}");
        }
        let denied = answer(500, "admission webhook \"x\" denied the request: no");
        assert_eq!(denied.class, Class::Final);
        let refused = answer(500, "failed calling webhook \"x\": connection refused");
        assert_eq!(refused.class, Class::Transient);
    }

    #[test]
    fn a_forbidden_call_says_what_to_do() {
        let failure = answer(403, "nodes is forbidden");
        assert_eq!(failure.message, "cannot read node w1: nodes is forbidden");
        assert!(!failure.hint.is_empty());
    }

    #[test]
    fn the_tag_of_an_image_is_found_behind_ports_and_before_digests() {
        assert_eq!(tag("registry.k8s.io/kube-apiserver:v1.34.2"), Some("v1.34.2"));
        assert_eq!(tag("10.0.0.1:5000/kube-proxy:v1.34.2@sha256:abc"), Some("v1.34.2"));
        assert_eq!(tag("10.0.0.1:5000/kube-proxy"), None);
    }
}
