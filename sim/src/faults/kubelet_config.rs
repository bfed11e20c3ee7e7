//! F37: for the first two tries kubeadm may not read the ConfigMap of the kubelets' configuration: the
//! role that the first control plane has just written has not reached every apiserver.

use super::{Entry, Kind, strike};
use crate::node::Node;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::KubeletConfig,
    code: "F37",
    meaning: "`kubeadm upgrade node` may not read kubelet-config twice",
    symptom: "configmaps \"kubelet-config\" is forbidden",
};

/// Returns what kubeadm says of the ConfigMap.
pub(crate) fn strikes(node: &mut Node) -> Option<String> {
    let user = format!("system:node:{}", node.name);
    strike(node, Kind::KubeletConfig, 2).then(|| {
        format!(
            "configmaps \"kubelet-config\" is forbidden: User \"{user}\" cannot get resource \"configmaps\" in API group \"\" \
             in the namespace \"kube-system\": no relationship found between node '{}' and this object",
            user.trim_start_matches("system:node:")
        )
    })
}

#[cfg(test)]
mod tests {
    use crate::node::stories::tell;

    #[test]
    fn two_tries_are_forbidden_and_the_third_works() {
        tell(&["F37@w1"], |s| async move {
            s.configure();
            for _ in 0..2 {
                s.fails("w1", "kubeadm upgrade node", 1, super::ENTRY.symptom).await;
            }
            s.does("w1", "kubeadm upgrade node").await;
        });
    }
}
