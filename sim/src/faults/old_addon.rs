//! F55: the cluster has a cert-manager that its maker supports no more.

use serde_json::json;

use super::{Entry, Kind};
use crate::world::World;

pub(super) const ENTRY: Entry =
    Entry { kind: Kind::OldAddon, code: "F55", meaning: "an add-on is older than the cluster", symptom: "" };

/// Puts the add-on into the world, without pods.
pub(super) fn strike(world: &mut World) {
    let labels = json!({"app": "cert-manager"});
    let container =
        json!({"name": "cert-manager", "image": "quay.io/jetstack/cert-manager-controller:v1.12.3"});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "cert-manager", "namespace": "default", "labels": labels},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
        "status": {},
    });
    world.store.insert("deployments", deployment);
}

#[cfg(test)]
mod tests {
    use crate::node::stories::tell;

    #[test]
    fn its_image_tells_its_release() {
        tell(&["F55@w1"], |s| async move {
            s.world(|w| assert!(w.store.get("deployments", "default", "cert-manager").is_some()));
        });
    }
}
