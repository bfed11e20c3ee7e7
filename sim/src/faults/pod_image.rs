//! F52: the registry denies the node every image of a pod that is begun there from now on; what runs goes on.

use super::{Entry, Kind, armed};
use crate::node::Node;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::PodImage,
    code: "F52",
    meaning: "the registry denies the node the image of every pod that begins there",
    symptom: "ImagePullBackOff",
};

/// Returns whether the node's kubelet is denied the images of a pod that it begins.
pub(crate) fn strikes(node: &mut Node) -> bool {
    let Some(armed) = armed(node, Kind::PodImage) else { return false };
    armed.struck += 1;
    true
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::node::stories::tell;
    use crate::pod;

    #[test]
    fn a_pod_that_begins_there_is_never_ready_and_says_which_image_is_denied() {
        tell(&["F52@w1"], |s| async move {
            let on = |pod: &serde_json::Value| pod::node(pod) == "w1";
            let name = s.world(|w| {
                let mut old = w
                    .store
                    .list_in("pods", "kube-system")
                    .filter(|p| on(p) && pod::controller(p).is_some_and(|o| o["kind"] == "DaemonSet"));
                old.next().map(|p| pod::name(p).to_string()).unwrap()
            });
            s.world(|w| crate::api::end_pod(w, "kube-system", &name));
            tokio::time::sleep(Duration::from_secs(60)).await;
            s.world(|w| {
                let sick: Vec<String> = w
                    .store
                    .list_in("pods", "kube-system")
                    .filter(|p| on(p) && !pod::ready(p))
                    .map(|p| p["status"]["containerStatuses"][0]["state"]["waiting"].to_string())
                    .collect();
                assert_eq!(sick.len(), 1, "{sick:?}");
                assert!(sick[0].contains(super::ENTRY.symptom), "{sick:?}");
            });
        });
    }
}
