//! One eviction: the request by hand, and what each answer means. `Api::evict` of kube 5 writes
//! `delete_options` where the API reads `deleteOptions`, so that a server would ignore both the
//! grace period and the precondition.

use std::time::Duration;

use engine::event::{Class, Failure};
use kube::core::Status;
use serde_json::{Value as Json, json};

use crate::api;

/// How long to wait after an answer that names no time, as kubectl does.
const AGAIN: Duration = Duration::from_secs(5);

/// A pod as it was when the drain began. A pod of the same name with another uid is another pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
    /// Its uid.
    pub(crate) uid: String,
}

/// What the API said to an eviction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The pod will go.
    Accepted,
    /// The pod is gone, or there is another one of its name.
    Gone,
    /// Not now; why, and when to ask again.
    Later(String, Duration),
    /// Not now, says a disruption budget; its name, what it wants, and when to ask again.
    Held(String, String, Duration),
    /// Never.
    Refused(Failure),
}

/// Asks for the eviction of a pod.
pub(crate) async fn evict(kube: &kube::Client, target: &Target, grace: Option<u64>) -> Answer {
    let path = format!("/api/v1/namespaces/{}/pods/{}/eviction", target.namespace, target.name);
    let request = http::Request::post(path)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(body(target, grace).to_string().into_bytes());
    let request = match request {
        Ok(request) => request,
        Err(error) => return Answer::Refused(Failure::last(format!("cannot evict {target}: {error}"))),
    };
    match api::raw(kube.request::<Json>(request)).await {
        Some(Ok(_)) => Answer::Accepted,
        Some(Err(kube::Error::Api(status))) => judge(target, &status),
        Some(Err(error)) => by_class(api::failure(&format!("evict pod {target}"), &error)),
        None => by_class(api::silent(&format!("evict pod {target}"))),
    }
}

fn body(target: &Target, grace: Option<u64>) -> Json {
    let mut options = json!({ "preconditions": { "uid": target.uid } });
    if let Some(seconds) = grace {
        options["gracePeriodSeconds"] = json!(seconds);
    }
    json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": { "name": target.name, "namespace": target.namespace },
        "deleteOptions": options,
    })
}

fn judge(target: &Target, status: &Status) -> Answer {
    let details = status.details.as_ref();
    let causes = details.map(|details| details.causes.as_slice()).unwrap_or_default();
    let cause = |reason: &str| causes.iter().find(|cause| cause.reason == reason);
    let wait = details.map(|details| details.retry_after_seconds).filter(|seconds| *seconds > 0);
    let wait = wait.map_or(AGAIN, |seconds| Duration::from_secs(u64::from(seconds)));
    match status.code {
        404 => Answer::Gone,
        409 if status.message.contains("UID in precondition") => Answer::Gone,
        // Both a budget and the API's own throttling answer 429; only a budget names itself.
        429 => match cause("DisruptionBudget") {
            Some(cause) => budget(target, &cause.message, wait),
            None if status.message.contains("disruption budget") => {
                Answer::Later(status.message.clone(), wait)
            }
            None => Answer::Later("the API is busy".to_string(), wait),
        },
        403 if cause("NamespaceTerminating").is_some() => {
            Answer::Later("its namespace is being deleted".to_string(), AGAIN)
        }
        // Waiting never resolves this one: the API evicts no pod that two budgets claim.
        500 if status.message.contains("more than one PodDisruptionBudget") => {
            let text =
                format!("pod {target} is held by more than one disruption budget; no eviction can pass");
            let hint =
                format!("`kubectl get pdb -n {}` shows them: let one select the pod", target.namespace);
            Answer::Refused(Failure::last(text).with_hint(hint))
        }
        _ => {
            let error = kube::Error::Api(Box::new(status.clone()));
            by_class(api::failure(&format!("evict pod {target}"), &error))
        }
    }
}

/// An apiserver that restarts is no reason to give a drain up; a verdict is.
fn by_class(failure: Failure) -> Answer {
    match failure.class {
        Class::Transient | Class::Unknown => Answer::Later(failure.message, AGAIN),
        Class::Final => Answer::Refused(failure),
    }
}

/// Shortens `The disruption budget db needs 2 healthy pods and has 1 currently`.
fn budget(target: &Target, cause: &str, wait: Duration) -> Answer {
    let read = || {
        let (name, rest) = cause.split_once("disruption budget ")?.1.split_once(" needs ")?;
        let (needs, rest) = rest.split_once(" healthy pods and has ")?;
        let has = rest.split_whitespace().next()?;
        Some((name, format!("PDB {}/{name} needs {needs} healthy, has {has}", target.namespace)))
    };
    match read() {
        Some((name, wants)) => Answer::Held(name.to_string(), wants, wait),
        None => Answer::Later(cause.to_string(), wait),
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target { namespace: "shop".into(), name: "db-1".into(), uid: "u-1".into() }
    }

    fn answer(status: Json) -> Answer {
        judge(&target(), &serde_json::from_value(status).unwrap())
    }

    #[test]
    fn the_body_has_the_bytes_that_the_api_reads() {
        let text = body(&target(), Some(7)).to_string();
        let wanted = concat!(
            r#"{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"db-1","namespace":"shop"},"#,
            r#""deleteOptions":{"preconditions":{"uid":"u-1"},"gracePeriodSeconds":7}}"#,
        );
        assert_eq!(text, wanted);
    }

    #[test]
    fn a_budget_is_waited_for_by_name() {
        let why = "The disruption budget db needs 2 healthy pods and has 1 currently";
        let status = json!({
            "code": 429, "message": "Cannot evict pod as it would violate the pod's disruption budget.",
            "details": { "causes": [{ "reason": "DisruptionBudget", "message": why }] },
        });
        let text = "PDB shop/db needs 2 healthy, has 1".to_string();
        assert_eq!(answer(status), Answer::Held("db".to_string(), text, AGAIN));
    }

    #[test]
    fn the_server_says_when_to_ask_again() {
        let why = "The disruption budget db is still being processed by the server.";
        let status = json!({
            "code": 429, "message": "Cannot evict",
            "details": { "retryAfterSeconds": 10, "causes": [{ "reason": "DisruptionBudget", "message": why }] },
        });
        assert_eq!(answer(status), Answer::Later(why.to_string(), Duration::from_secs(10)));
        let throttled = json!({ "code": 429, "message": "Too many requests" });
        assert_eq!(answer(throttled), Answer::Later("the API is busy".into(), AGAIN));
    }

    #[test]
    fn what_waiting_never_resolves_is_refused() {
        let two = json!({ "code": 500, "message": "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support." });
        let denied = json!({ "code": 500, "message": "admission webhook \"x\" denied the request: no" });
        let negative = json!({ "code": 403, "message": "pdb disruptions allowed is negative" });
        for status in [two, denied, negative] {
            assert!(
                matches!(answer(status.clone()), Answer::Refused(f) if f.class == Class::Final),
                "{status}"
            );
        }
    }

    #[test]
    fn what_goes_by_itself_is_gone_or_waited_for() {
        assert_eq!(answer(json!({ "code": 404 })), Answer::Gone);
        let other = "Precondition failed: UID in precondition: u-1, UID in object meta: u-2";
        assert_eq!(answer(json!({ "code": 409, "message": other })), Answer::Gone);
        let ending = json!({ "code": 403, "message": "x", "details": { "causes": [{ "reason": "NamespaceTerminating" }] } });
        assert!(matches!(answer(ending), Answer::Later(..)));
        let restart = json!({ "code": 503, "message": "apiserver is shutting down" });
        assert!(matches!(answer(restart), Answer::Later(..)));
    }
}
