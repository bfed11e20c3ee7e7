//! `kubeadm upgrade plan`: what kubeadm would do. It runs kubeadm's own health checks, which make a
//! job in the cluster, so it never runs while a plan is made.

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use engine::port::Command;
use serde::Deserialize;

use super::host::Host;
use super::{argument, failure};

/// Asks kubeadm.
pub(super) struct KubeadmPlan;

#[async_trait]
impl Action for KubeadmPlan {
    fn name(&self) -> &'static str {
        "kubeadm upgrade plan"
    }

    async fn check(&self, _: &Context) -> Result<Check, Failure> {
        Ok(Check::Needs { now: String::new(), then: String::new(), before: Value::None })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let to = argument::version(cx, "to")?.to_string();
        let host = Host::of(cx)?;
        let command = Command::change(["kubeadm", "upgrade", "plan", &to, "-o", "json"]);
        let said = host.ask(command).await?;
        Ok(Progress::Done(Value::Text(judge(&said)?)))
    }
}

/// Reads kubeadm's answer: a text for people, or a failure where a person must upgrade something.
fn judge(said: &str) -> Result<String, Failure> {
    // Warnings may stand before the object.
    let json = said.find('{').map_or("", |start| &said[start..]);
    let mut objects = serde_json::Deserializer::from_str(json).into_iter::<UpgradePlan>();
    let plan = match objects.next() {
        Some(Ok(plan)) => plan,
        // With nothing to upgrade kubeadm may print nothing.
        None => UpgradePlan::default(),
        Some(Err(error)) => {
            return Err(Failure::last(format!("cannot read what `kubeadm upgrade plan` says: {error}"))
                .with_output(failure::tail(said)));
        }
    };
    let by_hand: Vec<String> = plan
        .config_versions
        .iter()
        .filter(|config| config.manual_upgrade_required)
        .map(|config| {
            format!("{} from {} to {}", config.group, config.current_version, config.preferred_version)
        })
        .collect();
    if !by_hand.is_empty() {
        return Err(Failure::last(format!(
            "a configuration must be upgraded by hand: {}",
            by_hand.join(", ")
        ))
        .with_hint(
            "see `kubeadm upgrade plan` on the node, then change the component's ConfigMap in kube-system",
        ));
    }
    let components = plan.available_upgrades.iter().flat_map(|upgrade| &upgrade.components);
    let mut lines: Vec<String> = components
        .filter(|c| c.current_version != c.new_version)
        .map(|c| format!("{} {} -> {}", c.name, c.current_version, c.new_version))
        .collect();
    let mut seen = Vec::new();
    lines.retain(|line| {
        let new = !seen.contains(line);
        seen.push(line.clone());
        new
    });
    Ok(if lines.is_empty() {
        "nothing to upgrade".to_string()
    } else {
        failure::printable(&lines.join(", "))
    })
}

/// `output.kubeadm.k8s.io/v1alpha3`, as far as it is read.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct UpgradePlan {
    available_upgrades: Vec<AvailableUpgrade>,
    config_versions: Vec<ConfigVersion>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AvailableUpgrade {
    components: Vec<ComponentUpgrade>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ComponentUpgrade {
    name: String,
    current_version: String,
    new_version: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ConfigVersion {
    group: String,
    current_version: String,
    preferred_version: String,
    manual_upgrade_required: bool,
}

#[cfg(test)]
mod tests {
    use engine::event::Class;

    use super::super::testing::{Bench, perform};
    use super::*;

    const PLAN: &str = "kubeadm upgrade plan v1.34.4 -o json";

    fn to() -> (&'static str, Value) {
        ("to", Value::Version("v1.34.4".parse().unwrap()))
    }

    #[tokio::test]
    async fn what_kubeadm_would_upgrade_is_told_once() {
        let said = r#"{"kind":"UpgradePlan","apiVersion":"output.kubeadm.k8s.io/v1alpha3","availableUpgrades":[{"description":"version in the v1.34 series",
            "components":[{"name":"kube-apiserver","currentVersion":"v1.33.13","newVersion":"v1.34.4","nodeName":"n1"},
            {"name":"kube-apiserver","currentVersion":"v1.33.13","newVersion":"v1.34.4","nodeName":"n2"},
            {"name":"etcd","currentVersion":"3.5.24-0","newVersion":"3.6.5-0","nodeName":"n1"}]}],
            "configVersions":[{"group":"kubelet.config.k8s.io","currentVersion":"v1beta1","preferredVersion":"v1beta1","manualUpgradeRequired":false}]}"#;
        let value = perform(&KubeadmPlan, &Bench::default().says(PLAN, said).step(&[to()])).await.unwrap();
        assert_eq!(value.to_string(), "kube-apiserver v1.33.13 -> v1.34.4, etcd 3.5.24-0 -> 3.6.5-0");
    }

    #[tokio::test]
    async fn a_configuration_to_upgrade_by_hand_stops_the_run() {
        let said = r#"{"configVersions":[{"group":"kubeproxy.config.k8s.io","currentVersion":"v1alpha1","preferredVersion":"v1","manualUpgradeRequired":true}]}"#;
        let failure =
            perform(&KubeadmPlan, &Bench::default().says(PLAN, said).step(&[to()])).await.unwrap_err();
        assert_eq!(failure.class, Class::Final);
        assert_eq!(
            failure.message,
            "a configuration must be upgraded by hand: kubeproxy.config.k8s.io from v1alpha1 to v1"
        );
    }

    #[tokio::test]
    async fn a_skipped_minor_is_final() {
        let err = "couldn't upgrade: specified version to upgrade to \"v1.34.4\" is too high; kubeadm can upgrade only 1 minor version at a time";
        let bench = Bench::default().ends(PLAN, 1, "", err);
        assert_eq!(perform(&KubeadmPlan, &bench.step(&[to()])).await.unwrap_err().class, Class::Final);
    }
}
