//! F32: an admission webhook that must be asked has a Service without endpoints, as when its pods ran on this node.

use serde_json::json;

use super::{Entry, Kind};
use crate::world::World;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::Webhook,
    code: "F32",
    meaning: "an admission webhook that must be asked has nobody who answers",
    symptom: "",
};

/// Puts the webhook into the world. The apiserver of the box asks no webhook: this is for those who look before.
pub(super) fn strike(world: &mut World, node: &str) {
    let name = format!("policy-{node}");
    let webhook = json!({
        "name": format!("{name}.shop.io"), "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail",
        "clientConfig": {"service": {"namespace": "shop", "name": name}},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
    });
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name}, "webhooks": [webhook],
    });
    world.store.insert("validatingwebhookconfigurations", configuration);
}

#[cfg(test)]
mod tests {
    use crate::node::stories::tell;

    #[test]
    fn the_webhook_has_no_endpoints() {
        tell(&["F32@w1"], |s| async move {
            s.world(|w| {
                let hook = w.store.get("validatingwebhookconfigurations", "", "policy-w1").unwrap();
                assert_eq!(hook["webhooks"][0]["failurePolicy"], "Fail");
                assert_eq!(w.store.list("endpointslices").count(), 0);
            });
        });
    }
}
