//! What the operating system of a node could be brought to: its own packages, never those of
//! Kubernetes, which `install` brings to a version on purpose.

use dsl::value::Value;
use engine::event::Failure;
use engine::inventory::PackageManager;
use engine::port::Command;
use indexmap::IndexMap;

use super::host::Host;
use super::packages::{KUBERNETES, Packages};

/// The packages that are a kernel to boot, on the distributions that use dnf.
const RPM_KERNELS: [&str; 6] =
    ["kernel", "kernel-core", "kernel-rt", "kernel-rt-core", "kernel-uek", "kernel-uek-core"];

/// Packages that could be updated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Updates {
    /// Those of the operating system.
    pub(super) own: Vec<String>,
    /// Those of Kubernetes that nothing holds back.
    pub(super) kubernetes: Vec<String>,
}

impl Updates {
    /// Asks what there is, as far as the node's package index knows.
    pub(super) async fn of(host: &Host, packages: &Packages<'_>) -> Result<Updates, Failure> {
        let said = match packages.manager {
            // As `os upgrade` would: new packages may come, as a kernel does, and nothing is removed.
            PackageManager::Apt => {
                let argv = ["apt-get", "-s", "-q", "--with-new-pkgs", "upgrade", "-o", "APT::Color=0"];
                host.ask(Command::read(argv).as_root()).await?
            }
            // `check-update` breaks long lines and says more than names.
            PackageManager::Dnf => {
                let argv = ["dnf", "-q", "repoquery", "--upgrades", "--qf", "%{name}\\n"];
                host.ask(Command::read(argv).as_root()).await?
            }
        };
        let mut names: Vec<String> = match packages.manager {
            PackageManager::Apt => said.lines().filter_map(to_install).collect(),
            PackageManager::Dnf => said.split_whitespace().map(str::to_string).collect(),
        };
        if packages.manager == PackageManager::Dnf && !names.is_empty() {
            // Versionlock counts for an upgrade, and not for a query (dnf-versionlock(8)).
            let locks = packages.locks().await?;
            names.retain(|name| locks.iter().all(|lock| lock.name != *name));
        }
        names.sort();
        names.dedup();
        let (kubernetes, own) = names.into_iter().partition(|name| KUBERNETES.contains(&name.as_str()));
        Ok(Updates { own, kubernetes })
    }

    /// Returns whether a kernel is among them.
    pub(super) fn has_kernel(&self) -> bool {
        let is_kernel =
            |name: &String| name.starts_with("linux-image-") || RPM_KERNELS.contains(&name.as_str());
        self.own.iter().any(is_kernel)
    }

    /// Returns what a verb gives back of them.
    pub(super) fn record(&self) -> IndexMap<String, Value> {
        let number = i64::try_from(self.own.len()).unwrap_or(i64::MAX);
        IndexMap::from([
            ("packages".to_string(), Value::Number(number)),
            ("kernel".to_string(), Value::Bool(self.has_kernel())),
        ])
    }
}

/// Reads `Inst openssl [3.0.15-1] (3.0.17-1 Debian-Security:12/stable-security [amd64])`; another
/// architecture's is called `libc6:i386`.
fn to_install(line: &str) -> Option<String> {
    line.strip_prefix("Inst ")?.split([' ', ':']).next().map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Bench};
    use super::*;

    #[tokio::test]
    async fn apt_is_asked_for_what_it_would_install_and_kubernetes_is_told_apart() {
        let said = "Calculating upgrade...\nThe following packages have been kept back:\n  kubeadm\n\
                    The following packages will be upgraded:\n  kubelet openssl\n\
                    2 upgraded, 1 newly installed, 0 to remove and 1 not upgraded.\n\
                    Inst openssl [3.0.15-1] (3.0.17-1 Debian-Security:12/stable-security [amd64])\n\
                    Inst openssl:i386 [3.0.15-1] (3.0.17-1 Debian-Security:12/stable-security [i386]) []\n\
                    Inst linux-image-6.1.0-40-amd64 (6.1.153-1 Debian-Security:12/stable-security [amd64])\n\
                    Inst kubelet [1.34.1-1.1] (1.34.4-1.1 kubernetes [amd64])\n\
                    Conf openssl (3.0.17-1 Debian-Security:12/stable-security [amd64])\n";
        let bench = Bench::default().says("apt-get -s -q --with-new-pkgs upgrade -o APT::Color=0", said);
        let host = Host::of(&bench.step(&[])).unwrap();
        let updates = Updates::of(&host, &Packages::of(&host).await.unwrap()).await.unwrap();
        assert_eq!(updates.own, ["linux-image-6.1.0-40-amd64", "openssl"]);
        assert_eq!(updates.kubernetes, ["kubelet"]);
        assert!(updates.has_kernel());
    }

    #[tokio::test]
    async fn dnf_is_asked_for_names_alone() {
        for (said, own, kernel) in [
            ("openssl-libs\n\nkernel-core\nkernel-core\n", vec!["kernel-core", "openssl-libs"], true),
            ("kernel-headers\nkernel\n", vec!["kernel-headers"], false),
            ("", vec![], false),
        ] {
            let bench = Bench::default()
                .says("dnf -q repoquery --upgrades --qf %{name}\\n", said)
                .says("dnf -q versionlock list --disablerepo=*", "kernel-0:5.14.0-503.el9.*\n");
            let mut cx = bench.step(&[]);
            testing::node(&mut cx).packages = Some(PackageManager::Dnf);
            let host = Host::of(&cx).unwrap();
            let updates = Updates::of(&host, &Packages::of(&host).await.unwrap()).await.unwrap();
            assert_eq!(
                (updates.own.clone(), updates.has_kernel()),
                (own.iter().map(|n| n.to_string()).collect(), kernel)
            );
        }
    }
}
