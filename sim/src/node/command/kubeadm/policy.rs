//! Which versions kubeadm lets a cluster go to (kubeadm's policy.go).

use super::{Stop, fail_in};
use crate::node::release::Release;

/// What the policy looks at.
pub(super) struct Versions {
    pub(super) cluster: Release,
    pub(super) kubeadm: Release,
    pub(super) kubelets: Vec<Release>,
}

impl Versions {
    /// Judges a target. `force` skips what is not mandatory.
    pub(super) fn judge(&self, to: Release, force: bool) -> Result<(), Stop> {
        let (mandatory, skippable) = self.errors(to);
        let list = |errors: &[String]| errors.iter().map(|e| format!("\t- {e}\n")).collect::<String>();
        if !mandatory.is_empty() {
            return Err(fail_in(
                "preflight",
                &format!(
                    "the version argument is invalid due to these fatal errors:\n\n{}\nPlease fix the misalignments highlighted above and try upgrading again",
                    list(&mandatory)
                ),
            ));
        }
        if skippable.is_empty() || force {
            return Ok(());
        }
        Err(fail_in(
            "preflight",
            &format!(
                "the version argument is invalid due to these errors:\n\n{}\nCan be bypassed if you pass the --force flag",
                list(&skippable)
            ),
        ))
    }

    fn errors(&self, to: Release) -> (Vec<String>, Vec<String>) {
        let (mut mandatory, mut skippable) = (Vec::new(), Vec::new());
        if to.minor > self.cluster.minor + 1 {
            mandatory.push(format!(
                "Specified version to upgrade to \"v{to}\" is too high; kubeadm can upgrade only 1 minor version at a time"
            ));
        }
        if to.minor + 1 < self.cluster.minor {
            mandatory.push(format!(
                "Specified version to downgrade to \"v{to}\" is too low; kubeadm can downgrade only 1 minor version at a time"
            ));
        }
        if to.minor > self.kubeadm.minor {
            mandatory.push(format!(
                "Specified version to upgrade to \"v{to}\" is at least one minor release higher than the kubeadm minor release ({} > {}). Such an upgrade is not supported",
                to.minor, self.kubeadm.minor
            ));
        } else if to > self.kubeadm {
            skippable.push(format!(
                "Specified version to upgrade to \"v{to}\" is higher than the kubeadm version \"v{}\". Upgrade kubeadm first using the tool you used to install kubeadm",
                self.kubeadm
            ));
        }
        if self.kubeadm.minor > to.minor {
            skippable.push(format!(
                "Kubeadm version v{} can only be used to upgrade to Kubernetes version 1.{}",
                self.kubeadm, self.kubeadm.minor
            ));
        }
        let old: Vec<String> =
            self.kubelets.iter().filter(|k| k.minor + 3 < to.minor).map(|k| format!("v{k}")).collect();
        if !old.is_empty() {
            skippable.push(format!(
                "There are kubelets in this cluster that are too old that have these versions [{}]",
                old.join(" ")
            ));
        }
        (mandatory, skippable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cluster: &str, kubeadm: &str, kubelet: &str, to: &str, wanted: &str) {
        let read = |text| Release::parse(text).unwrap();
        let versions =
            Versions { cluster: read(cluster), kubeadm: read(kubeadm), kubelets: vec![read(kubelet)] };
        let said = match versions.judge(read(to), false) {
            Ok(()) => "fine".to_string(),
            Err(Stop::Failed(code, text)) => format!("{code} {text}"),
            Err(Stop::Killed) => "killed".to_string(),
        };
        assert!(said.contains(wanted), "{said}");
    }

    #[test]
    fn one_minor_at_a_time_and_never_above_kubeadm() {
        check("1.33.13", "1.34.4", "1.33.13", "1.34.4", "fine");
        check("1.34.4", "1.34.4", "1.33.13", "1.34.4", "fine");
        check(
            "1.33.13",
            "1.35.0",
            "1.33.13",
            "1.35.0",
            "is too high; kubeadm can upgrade only 1 minor version at a time",
        );
        check(
            "1.33.13",
            "1.33.13",
            "1.33.13",
            "1.34.4",
            "at least one minor release higher than the kubeadm minor release (34 > 33)",
        );
        check("1.33.13", "1.34.3", "1.33.13", "1.34.4", "Upgrade kubeadm first");
        check("1.33.13", "1.34.4", "1.30.1", "1.34.4", "these versions [v1.30.1]");
        check(
            "1.33.13",
            "1.34.4",
            "1.33.13",
            "1.33.13",
            "can only be used to upgrade to Kubernetes version 1.34",
        );
    }
}
