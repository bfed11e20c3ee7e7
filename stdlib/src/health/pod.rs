//! Why a pod does not do its work, from the pod down to its image, its last exit or its place.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::Finding;
use crate::api;

/// How much is told of what a kubelet says.
const CHARS: usize = 200;

/// What a kubelet says while it makes a container: nothing is wrong then.
const BEGINS: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// Tells that a pod does not do its work, and why.
pub(crate) fn not_ready(pod: &Pod) -> Finding {
    unfit(pod, pod.metadata.name.as_deref().unwrap_or_default(), "")
}

/// Tells the same of a pod of any namespace on any node, and since when.
pub(crate) fn not_ready_anywhere(pod: &Pod) -> Finding {
    let name = api::full_name(&pod.metadata);
    let name = match pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) {
        Some(node) => format!("pod {name} on {node}"),
        None => format!("pod {name}"),
    };
    unfit(pod, &name, &since(pod))
}

fn unfit(pod: &Pod, name: &str, since: &str) -> Finding {
    if api::is_ready(pod) {
        return None;
    }
    if pod.metadata.deletion_timestamp.is_some() {
        return Some(format!("{name} is being replaced"));
    }
    let reason = waiting(pod).map(|reason| format!(" ({reason})")).unwrap_or_default();
    Some(api::chain([format!("{name} is not Ready{since}{reason}")].into_iter().chain(causes(pod))))
}

/// Returns why a container of the pod does not run, e.g. `CrashLoopBackOff`. The pod's phase does
/// not say it: a pod in a crash loop is `Running`.
pub(crate) fn waiting(pod: &Pod) -> Option<&str> {
    containers(pod).find_map(|container| container.state.as_ref()?.waiting.as_ref()?.reason.as_deref())
}

/// Returns what stands behind a pod that is not Ready, the nearest first.
pub(crate) fn causes(pod: &Pod) -> Vec<String> {
    if let Some(why) = homeless(pod) {
        return vec![why];
    }
    let told = containers(pod).find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref()?;
        let message = waiting.message.as_deref().map(short).filter(|message| !message.is_empty());
        Some(match reason {
            _ if BEGINS.contains(&reason) => Vec::new(),
            "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull" => {
                let image = format!("image {} cannot be pulled", container.image);
                [Some(image), message].into_iter().flatten().collect()
            }
            "CrashLoopBackOff" => crashed(container).into_iter().collect(),
            _ => message.into_iter().collect(),
        })
    });
    told.unwrap_or_default()
}

/// Tells why no node takes a pod.
fn homeless(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    let placed = conditions.iter().find(|c| c.type_ == "PodScheduled" && c.status == "False")?;
    let why = placed.message.as_deref().map(short).unwrap_or_default();
    Some(if why.is_empty() { "no node takes it".to_string() } else { format!("no node takes it: {why}") })
}

/// Tells how a container last ended.
fn crashed(container: &ContainerStatus) -> Option<String> {
    let ended = container.last_state.as_ref()?.terminated.as_ref()?;
    let reason = ended.reason.as_deref().filter(|reason| *reason != "Error");
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    Some(format!("container {} ended with exit code {}{reason}", container.name, ended.exit_code))
}

/// Writes since when a pod is not Ready; empty if nobody says.
fn since(pod: &Pod) -> String {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
    let time = ready.and_then(|ready| ready.last_transition_time.as_ref());
    time.map(|time| format!(" since {}", time.0.strftime("%Y-%m-%d %H:%M UTC"))).unwrap_or_default()
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.iter();
    status
        .flat_map(|status| status.init_container_statuses.iter().chain(&status.container_statuses))
        .flatten()
}

/// Returns the first line of a message, as much of it as a line has room for.
fn short(message: &str) -> String {
    message.lines().next().unwrap_or_default().chars().take(CHARS).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn pod(status: Json) -> Pod {
        let pod = json!({
            "metadata": { "name": "db-0", "namespace": "shop" },
            "spec": { "nodeName": "w2", "containers": [] },
            "status": status,
        });
        serde_json::from_value(pod).unwrap()
    }

    fn container(state: Json) -> Json {
        json!([{ "name": "db", "image": "shop/db:13", "imageID": "", "ready": false, "restartCount": 7, "state": state,
            "lastState": { "terminated": { "exitCode": 137, "reason": "OOMKilled" } } }])
    }

    fn waits(reason: &str, message: &str) -> String {
        let state = json!({ "waiting": { "reason": reason, "message": message } });
        not_ready(&pod(json!({ "containerStatuses": container(state) }))).unwrap()
    }

    #[test]
    fn a_pod_is_followed_down_to_its_image_its_exit_and_its_place() {
        assert_eq!(
            waits("ImagePullBackOff", "Back-off pulling image \"shop/db:13\": 403 Forbidden\nmore"),
            "db-0 is not Ready (ImagePullBackOff) <- image shop/db:13 cannot be pulled <- Back-off pulling image \"shop/db:13\": 403 Forbidden"
        );
        assert_eq!(
            waits("CrashLoopBackOff", "back-off 5m0s"),
            "db-0 is not Ready (CrashLoopBackOff) <- container db ended with exit code 137 (OOMKilled)"
        );
        assert_eq!(
            waits("CreateContainerConfigError", "secret \"db\" not found"),
            "db-0 is not Ready (CreateContainerConfigError) <- secret \"db\" not found"
        );
        assert_eq!(waits("ContainerCreating", ""), "db-0 is not Ready (ContainerCreating)");
        let condition =
            json!([{ "type": "PodScheduled", "status": "False", "message": "0/3 nodes are available" }]);
        let pending = pod(json!({ "conditions": condition }));
        assert_eq!(
            not_ready(&pending).unwrap(),
            "db-0 is not Ready <- no node takes it: 0/3 nodes are available"
        );
    }

    #[test]
    fn elsewhere_it_is_told_where_and_since_when() {
        let since =
            json!([{ "type": "Ready", "status": "False", "lastTransitionTime": "2026-11-21T09:12:31Z" }]);
        assert_eq!(
            not_ready_anywhere(&pod(json!({ "conditions": since }))).unwrap(),
            "pod shop/db-0 on w2 is not Ready since 2026-11-21 09:12 UTC"
        );
    }
}
