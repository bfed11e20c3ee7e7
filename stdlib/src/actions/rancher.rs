//! k3s and RKE2: what their nodes have in common. One binary is the whole node; a unit of systemd runs it.

use dsl::value::Version;
use engine::action::Context;
use engine::event::Failure;
use engine::port::Command;

use super::host::Host;
use super::{argument, binary};

/// One of the two.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Maker {
    /// Its name, which is that of its binary.
    pub(super) name: &'static str,
    /// What its versions end with, before a number.
    mark: &'static str,
    /// The unit of a server.
    server: &'static str,
    /// The unit of an agent.
    agent: &'static str,
    /// Reaches a server's own apiserver from there; empty: the binary does.
    kubectl: &'static [&'static str],
}

/// <https://docs.k3s.io/upgrades/manual>
pub(super) const K3S: Maker =
    Maker { name: "k3s", mark: "+k3s", server: "k3s", agent: "k3s-agent", kubectl: &[] };

/// <https://docs.rke2.io/upgrades/manual_upgrade>
pub(super) const RKE2: Maker = Maker {
    name: "rke2",
    mark: "+rke2r",
    server: "rke2-server",
    agent: "rke2-agent",
    kubectl: &["/var/lib/rancher/rke2/bin/kubectl", "--kubeconfig", "/etc/rancher/rke2/rke2.yaml"],
};

/// The files of a release for one kind of processor.
pub(super) struct Release {
    /// The address of the binary.
    pub(super) binary: String,
    /// The address of the list of hashes.
    pub(super) hashes: String,
    /// The binary's name in that list.
    pub(super) asset: String,
}

impl Maker {
    /// Returns the version of a step, which must be one of this maker's: `v1.34.2+k3s1`.
    pub(super) fn version(&self, cx: &Context, name: &str) -> Result<Version, Failure> {
        let version = argument::version(cx, name)?;
        let number = version.vendor.strip_prefix(self.mark);
        if number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())) {
            return Ok(version);
        }
        let like = format!("{}{}1", version.release(), self.mark);
        Err(Failure::last(format!("{version} is no release of {}", self.name))
            .with_hint(format!("its versions look like {like}; see its releases for the number")))
    }

    /// Returns the unit that runs a node.
    pub(super) fn unit(&self, host: &Host) -> &'static str {
        match &host.node {
            Some(node) if node.control_plane => self.server,
            _ => self.agent,
        }
    }

    /// Returns where the binary of a node's unit lies: installers put it into /usr/local/bin, packages into /usr/bin.
    pub(super) async fn binary(&self, host: &Host) -> Result<String, Failure> {
        binary::of_unit(host, self.unit(host), self.name).await
    }

    /// Returns the files of a release for a node, below an address that its versions lie at.
    pub(super) fn release(&self, from: &str, version: &Version, host: &Host) -> Release {
        let arch = binary::arch(host);
        let asset = match (self.name, arch) {
            ("k3s", "amd64") => "k3s".to_string(),
            ("k3s", "arm") => "k3s-armhf".to_string(),
            ("k3s", arch) => format!("k3s-{arch}"),
            (name, arch) => format!("{name}.linux-{arch}"),
        };
        let base = format!("{}/{}", from.trim_end_matches('/'), version.to_string().replace('+', "%2B"));
        Release { binary: format!("{base}/{asset}"), hashes: format!("{base}/sha256sum-{arch}.txt"), asset }
    }

    /// Asks a server's own apiserver whether it is ready, from the server; `None` where it is.
    pub(super) async fn unready(&self, host: &Host, binary: &str) -> Option<String> {
        let kubectl = if self.kubectl.is_empty() { &[binary, "kubectl"] } else { self.kubectl };
        let argv = kubectl.iter().copied().chain(["get", "--raw", "/readyz"]);
        let answer = host.shell.run(&Command::read(argv).as_root()).await;
        match answer {
            Ok(output) if output.ok() => None,
            Ok(_) => Some(format!("the apiserver of {} is not ready", host.name)),
            Err(_) => Some(format!("waiting for {} to answer", host.name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;
    use dsl::value::Value;

    fn version(maker: &Maker, text: &str) -> Result<Version, String> {
        let cx = Bench::default().step(&[("version", Value::Version(text.parse().unwrap()))]);
        maker.version(&cx, "version").map_err(|failure| format!("{}; {}", failure.message, failure.hint))
    }

    #[tokio::test]
    async fn a_version_must_be_one_of_the_makers() {
        assert!(version(&K3S, "v1.34.2+k3s1").is_ok() && version(&RKE2, "v1.34.2+rke2r10").is_ok());
        assert_eq!(
            version(&K3S, "v1.34.2").unwrap_err(),
            "v1.34.2 is no release of k3s; its versions look like v1.34.2+k3s1; see its releases for the number"
        );
        assert!(version(&RKE2, "v1.34.2+k3s1").unwrap_err().contains("v1.34.2+rke2r1"));
    }

    #[tokio::test]
    async fn each_kind_of_processor_has_files_of_its_own() {
        let bench = Bench::default();
        let mut arm = Host::of(&bench.step(&[])).unwrap();
        let amd = arm.clone();
        arm.node.as_mut().unwrap().arch = "arm64".into();
        let version = "v1.34.2+k3s1".parse().unwrap();
        let release = K3S.release("https://x/d/", &version, &arm);
        assert_eq!(release.binary, "https://x/d/v1.34.2%2Bk3s1/k3s-arm64");
        assert_eq!(release.hashes, "https://x/d/v1.34.2%2Bk3s1/sha256sum-arm64.txt");
        assert_eq!(K3S.release("https://x", &version, &amd).asset, "k3s");
        assert_eq!(RKE2.release("https://x", &version, &arm).asset, "rke2.linux-arm64");
    }
}
