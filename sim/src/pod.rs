//! What a pod's JSON says, and how a controller or kubelet writes it.

use std::time::Duration;

use serde_json::{Value, json};

/// Returns whether the pod is Ready.
pub(crate) fn ready(pod: &Value) -> bool {
    condition(pod, "Ready")
}

/// Returns whether a condition of an object is `True`.
pub(crate) fn condition(object: &Value, name: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|c| c["type"] == name && c["status"] == "True")
}

/// Sets a condition; its time of transition moves only when its status does.
pub(crate) fn set_condition(
    object: &mut Value,
    name: &str,
    status: &str,
    reason: &str,
    message: &str,
    now: &str,
) {
    let mut condition = json!({"type": name, "status": status, "lastTransitionTime": now});
    if !reason.is_empty() {
        condition["reason"] = json!(reason);
    }
    if !message.is_empty() {
        condition["message"] = json!(message);
    }
    let list = &mut object["status"]["conditions"];
    if !list.is_array() {
        *list = json!([]);
    }
    let Some(list) = list.as_array_mut() else { return };
    match list.iter_mut().find(|c| c["type"] == name) {
        Some(old) => {
            if old["status"] == status {
                condition["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
            *old = condition;
        }
        None => list.push(condition),
    }
}

/// Returns whether somebody has asked for the pod's end.
pub(crate) fn terminating(pod: &Value) -> bool {
    !pod["metadata"]["deletionTimestamp"].is_null()
}

/// Returns the phase.
pub(crate) fn phase(pod: &Value) -> &str {
    pod["status"]["phase"].as_str().unwrap_or("Pending")
}

/// Returns whether the pod has run to its end.
pub(crate) fn finished(pod: &Value) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Returns the owner that controls the object.
pub(crate) fn controller(object: &Value) -> Option<&Value> {
    object["metadata"]["ownerReferences"].as_array()?.iter().find(|o| o["controller"] == true)
}

/// Returns `metadata.name`.
pub(crate) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or("")
}

/// Returns `metadata.namespace`.
pub(crate) fn namespace(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or("")
}

/// Returns `metadata.uid`.
pub(crate) fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or("")
}

/// Returns `spec.nodeName`, or nothing.
pub(crate) fn node(pod: &Value) -> &str {
    pod["spec"]["nodeName"].as_str().unwrap_or("")
}

/// Returns how long its containers run before their startup probes ask at all, as one that loads a model may wish.
pub(crate) fn startup(pod: &Value) -> Duration {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let delay = containers.filter_map(|c| c["startupProbe"]["initialDelaySeconds"].as_u64()).max();
    Duration::from_secs(delay.unwrap_or_default())
}

/// Makes a pod of a workload's template.
pub(crate) fn of_template(owner: &Value, template: &Value, name: &str) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": template["metadata"],
        "spec": template["spec"],
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    });
    if !pod["metadata"].is_object() {
        pod["metadata"] = json!({});
    }
    pod["metadata"]["name"] = json!(name);
    pod["metadata"]["namespace"] = owner["metadata"]["namespace"].clone();
    pod["metadata"]["ownerReferences"] = json!([owned_by(owner)]);
    if pod["spec"]["terminationGracePeriodSeconds"].is_null() {
        pod["spec"]["terminationGracePeriodSeconds"] = json!(30);
    }
    pod
}

/// Makes the reference of an object that another controls.
pub(crate) fn owned_by(owner: &Value) -> Value {
    json!({
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
    })
}

/// Writes the status of a pod whose containers all run and are ready.
pub(crate) fn run(pod: &mut Value, now: &str, restarts: u32) {
    let containers = pod["spec"]["containers"].as_array().cloned().unwrap_or_default();
    let statuses: Vec<Value> = containers
        .iter()
        .map(|c| {
            json!({
                "name": c["name"], "image": c["image"], "imageID": c["image"], "ready": true, "started": true,
                "restartCount": restarts, "state": {"running": {"startedAt": now}}, "lastState": {},
            })
        })
        .collect();
    pod["status"]["phase"] = json!("Running");
    pod["status"]["startTime"] = json!(now);
    pod["status"]["containerStatuses"] = json!(statuses);
    for name in ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"] {
        set_condition(pod, name, "True", "", "", now);
    }
}

/// Writes the status of a pod whose containers run, and were not asked yet how they are.
pub(crate) fn start(pod: &mut Value, now: &str, restarts: u32) {
    run(pod, now, restarts);
    for status in pod["status"]["containerStatuses"].as_array_mut().into_iter().flatten() {
        status["ready"] = json!(false);
        status["started"] = json!(false);
    }
    for name in ["Ready", "ContainersReady"] {
        set_condition(pod, name, "False", "ContainersNotReady", "", now);
    }
}

/// Writes the status of a pod none of whose images its kubelet could pull. The words are those of
/// kubernetes:pkg/kubelet/images/image_manager.go, 1.33.
pub(crate) fn lack_image(pod: &mut Value, now: &str) {
    start(pod, now, 0);
    pod["status"]["phase"] = json!("Pending");
    for status in pod["status"]["containerStatuses"].as_array_mut().into_iter().flatten() {
        let image = status["image"].as_str().unwrap_or_default();
        let message = format!(
            "Back-off pulling image \"{image}\": ErrImagePull: failed to pull and unpack image \"{image}\": unexpected \
             status from HEAD request: 403 Forbidden"
        );
        status["imageID"] = json!("");
        status["state"] = json!({"waiting": {"reason": "ImagePullBackOff", "message": message}});
    }
}

/// Writes the status of a pod whose containers have ended.
pub(crate) fn stop(pod: &mut Value, now: &str) {
    for status in pod["status"]["containerStatuses"].as_array_mut().into_iter().flatten() {
        status["ready"] = json!(false);
        status["started"] = json!(false);
        status["state"] = json!({"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": now}});
    }
    for name in ["Ready", "ContainersReady"] {
        set_condition(pod, name, "False", "ContainersNotReady", "", now);
    }
}
