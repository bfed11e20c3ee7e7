//! Whether a node is fit: Ready, under no pressure, heard of lately, and its own pods Ready.

use k8s_openapi::api::core::v1::{Node, NodeCondition};

/// What a kubelet says when something runs short.
const PRESSURES: [&str; 3] = ["MemoryPressure", "DiskPressure", "PIDPressure"];

/// Tells why a node is not fit by its conditions, if it is not.
pub(crate) fn unfit(node: &Node) -> Option<String> {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let find = |kind: &str| conditions.iter().find(|condition| condition.type_ == kind);
    let why = |condition: &NodeCondition| match condition.reason.as_deref() {
        None | Some("" | "KubeletNotReady") => condition.message.clone(),
        Some(reason) => Some(reason.to_string()),
    };
    match find("Ready") {
        Some(ready) if ready.status == "True" => {}
        Some(ready) => {
            let why = why(ready).filter(|why| !why.is_empty());
            let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
            return Some(format!("node {name} is not Ready{why}"));
        }
        None => return Some(format!("node {name} has never been Ready")),
    }
    let pressure = PRESSURES.into_iter().find(|kind| find(kind).is_some_and(|c| c.status == "True"));
    pressure.map(|kind| format!("node {name} has {kind}"))
}
