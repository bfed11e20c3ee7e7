//! The shape of a cluster: how many nodes of which kind, on which version. Written `3+5@v1.33.4`, or
//! as a TOML file with pools.

use std::fmt;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// What cluster to simulate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// The version that all components begin with, such as `v1.33.4`.
    pub version: String,
    /// The version that kubeadm upgraded it from, if it did: what it put aside then is on the nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgraded_from: Option<String>,
    /// Whose control plane it is, if a provider's: then it has no nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<Provider>,
    /// The number of control plane nodes, named `cp1`, `cp2`, ...
    pub control_plane: usize,
    /// Where etcd runs.
    #[serde(default)]
    pub etcd: EtcdPlace,
    /// What runs the control plane and the kubelets of a cluster that is neither k3s nor RKE2.
    #[serde(default, skip_serializing_if = "Components::is_kubeadm")]
    pub components: Components,
    /// The operating system that the API shows, such as `Debian GNU/Linux 12 (bookworm)`.
    #[serde(default = "default_os")]
    pub os: String,
    /// The package manager of the control plane nodes.
    #[serde(default)]
    pub packages: Packages,
    /// Whether dnf's versionlock keeps the packages of Kubernetes, on all nodes with dnf.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub versionlock: bool,
    /// The workers.
    #[serde(default, rename = "pool")]
    pub pools: Vec<Pool>,
    /// What helm has installed.
    #[serde(default, rename = "release", skip_serializing_if = "Vec::is_empty")]
    pub releases: Vec<Release>,
}

/// A release of helm that is there from the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Its name.
    pub name: String,
    /// Its namespace.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Its chart with the version, as helm shows it: `cilium-1.17.4`.
    pub chart: String,
}

/// Workers that are alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Its name; the nodes are `NAME1`, `NAME2`, ...
    pub name: String,
    /// How many.
    pub count: usize,
    /// Labels of each node.
    #[serde(default)]
    pub labels: IndexMap<String, String>,
    /// Taints of each node, as `key=value:Effect`.
    #[serde(default)]
    pub taints: Vec<String>,
    /// GPUs of each node.
    #[serde(default)]
    pub gpu: u64,
    /// Who installs packages.
    #[serde(default)]
    pub packages: Packages,
    /// What the machines run.
    #[serde(default)]
    pub os: System,
    /// The version of the kubelets, where it is not the cluster's: workers that lag behind.
    #[serde(default)]
    pub version: Option<String>,
    /// Whether the machines ask for a reboot, as after a new kernel.
    #[serde(default)]
    pub reboot_wanted: bool,
    /// Packages of the operating system that could be updated; without it a few, and on every second
    /// machine a kernel.
    #[serde(default)]
    pub updates: Option<Vec<String>>,
    /// Zones, dealt out in turn.
    #[serde(default)]
    pub zones: Vec<String>,
}

/// An operating system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// With a shell of POSIX and a package manager.
    #[default]
    Linux,
    /// With PowerShell, joined by kubeadm.
    Windows,
}

/// What runs the components.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Components {
    /// kubeadm set them up: static pods, and a kubelet from a package.
    #[default]
    Kubeadm,
    /// Somebody built them: binaries, each run by a unit of systemd; a stacked etcd too.
    Systemd,
}

impl Components {
    fn is_kubeadm(&self) -> bool {
        *self == Components::Kubeadm
    }
}

/// Where etcd runs: `"stacked"`, or `{ hosts = 3 }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "`etcd` is \"stacked\", or a table such as `{ hosts = 3, packages = \"dnf\" }`"
)]
pub enum EtcdPlace {
    /// A static pod on each control plane node.
    Stacked(Stacked),
    /// A service on hosts of its own, named `e1`, `e2`, ..., which are no nodes of the cluster.
    Hosts(EtcdHosts),
}

/// The word for an etcd on the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stacked {
    /// The word.
    Stacked,
}

/// Hosts of an external etcd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EtcdHosts {
    /// How many.
    pub hosts: usize,
    /// Who installs packages there.
    #[serde(default)]
    pub packages: Packages,
    /// The version of etcd, such as `3.5.24`; that of the cluster's kubeadm, unless it is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl Default for EtcdPlace {
    fn default() -> EtcdPlace {
        EtcdPlace::Stacked(Stacked::Stacked)
    }
}

/// Who manages a control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Amazon.
    Eks,
    /// Google.
    Gke,
    /// Microsoft.
    Aks,
}

impl Provider {
    /// Returns a release as the provider's apiservers and kubelets name it; Microsoft's add nothing.
    pub(crate) fn version(self, release: &str) -> String {
        let plain = release.trim_start_matches('v').split(['-', '+']).next().unwrap_or(release);
        match self {
            Provider::Eks => format!("v{plain}-eks-3025e55"),
            Provider::Gke => format!("v{plain}-gke.1036000"),
            Provider::Aks => format!("v{plain}"),
        }
    }

    /// Returns the label that names a node's pool.
    pub(crate) fn pool_label(self) -> &'static str {
        match self {
            Provider::Eks => "eks.amazonaws.com/nodegroup",
            Provider::Gke => "cloud.google.com/gke-nodepool",
            Provider::Aks => "kubernetes.azure.com/agentpool",
        }
    }

    /// Reads the end of a version in the short form of a shape: `v1.33.4-eks`.
    fn of(version: &str) -> Option<(&str, Provider)> {
        let (plain, end) = version.rsplit_once('-')?;
        let provider = match end {
            "eks" => Provider::Eks,
            "gke" => Provider::Gke,
            "aks" => Provider::Aks,
            _ => return None,
        };
        Some((plain, provider))
    }
}

/// A package manager.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Packages {
    /// Debian, Ubuntu.
    #[default]
    Apt,
    /// Fedora, RHEL and their kin.
    Dnf,
}

/// What a cluster was set up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// kubeadm: packages, static pods, a kubelet.
    Kubeadm,
    /// k3s: one binary and one unit a node, which is all of it.
    K3s,
    /// RKE2: one binary and one unit a node, which runs static pods and a kubelet.
    Rke2,
    /// None: somebody put binaries there, and a unit for each.
    Units,
}

impl Distribution {
    /// Returns whose version that is: `v1.33.4+k3s1`, `v1.33.4+rke2r1`.
    pub fn of(version: &str) -> Distribution {
        match version.split_once('+') {
            Some((_, vendor)) if vendor.starts_with("k3s") => Distribution::K3s,
            Some((_, vendor)) if vendor.starts_with("rke2r") => Distribution::Rke2,
            Some(_) | None => Distribution::Kubeadm,
        }
    }
}

/// Why a text is not a shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeError(String);

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ShapeError {}

impl Shape {
    /// Reads `3+5@v1.33.4`: three control plane nodes and five workers on that version.
    pub fn parse(text: &str) -> Result<Shape, ShapeError> {
        let wrong = || ShapeError(format!("`{text}` is not a cluster: write it like `3+5@v1.33.4`"));
        let (nodes, version) = text.split_once('@').ok_or_else(wrong)?;
        let (control_plane, workers) = nodes.split_once('+').unwrap_or((nodes, "0"));
        let workers = workers.parse().map_err(|_| wrong())?;
        let pool = Pool { name: "w".to_string(), count: workers, ..Pool::default() };
        let (version, managed) = match Provider::of(version) {
            Some((plain, provider)) => (plain, Some(provider)),
            None => (version, None),
        };
        let shape = Shape {
            version: version.to_string(),
            managed,
            upgraded_from: None,
            control_plane: control_plane.parse().map_err(|_| wrong())?,
            etcd: EtcdPlace::default(),
            components: Components::default(),
            os: default_os(),
            packages: Packages::Apt,
            versionlock: false,
            pools: if workers == 0 { Vec::new() } else { vec![pool] },
            releases: Vec::new(),
        };
        shape.checked()
    }

    /// Reads a shape file.
    pub fn from_toml(text: &str) -> Result<Shape, ShapeError> {
        let shape: Shape =
            toml::from_str(text).map_err(|e| ShapeError(e.to_string().trim_end().to_string()))?;
        shape.checked()
    }

    /// Returns the minor release, such as 33.
    pub fn minor(&self) -> u32 {
        minor(&self.version).unwrap_or_default()
    }

    /// Returns what the cluster was set up with: its version tells, unless somebody built it.
    pub fn distribution(&self) -> Distribution {
        match self.components {
            Components::Systemd => Distribution::Units,
            Components::Kubeadm => Distribution::of(&self.version),
        }
    }

    /// Returns the number of workers.
    pub fn workers(&self) -> usize {
        self.pools.iter().map(|p| p.count).sum()
    }

    /// Returns the hosts of an external etcd; `None` where it is stacked.
    pub fn external_etcd(&self) -> Option<&EtcdHosts> {
        match &self.etcd {
            EtcdPlace::Stacked(_) => None,
            EtcdPlace::Hosts(hosts) => Some(hosts),
        }
    }

    /// Returns the names of the hosts of an external etcd.
    pub fn etcd_hosts(&self) -> Vec<String> {
        let hosts = self.external_etcd().map_or(0, |etcd| etcd.hosts);
        (1..=hosts).map(|index| format!("e{index}")).collect()
    }

    /// Returns the names of the machines that run etcd as a service: its own hosts, or a control plane that somebody built.
    pub fn etcd_services(&self) -> Vec<String> {
        match (self.components, self.external_etcd()) {
            (Components::Systemd, None) => {
                (1..=self.control_plane).map(|index| format!("cp{index}")).collect()
            }
            _ => self.etcd_hosts(),
        }
    }

    /// Returns the pool of a worker and the worker's place in it, from 0.
    pub fn pool_of(&self, node: &str) -> Option<(&Pool, usize)> {
        self.pools.iter().find_map(|pool| {
            let place: usize = node.strip_prefix(pool.name.as_str())?.parse().ok()?;
            (1..=pool.count).contains(&place).then(|| (pool, place - 1))
        })
    }

    fn checked(self) -> Result<Shape, ShapeError> {
        let versions = self.pools.iter().filter_map(|pool| pool.version.as_ref());
        for version in std::iter::once(&self.version).chain(versions).chain(&self.upgraded_from) {
            if minor(version).is_none() {
                return Err(ShapeError(format!("`{version}` is not a version: write it like `v1.33.4`")));
            }
        }
        if self.components == Components::Systemd && Distribution::of(&self.version) != Distribution::Kubeadm
        {
            return Err(ShapeError(format!("`components = \"systemd\"` is no {}", self.version)));
        }
        let windows = self.pools.iter().any(|pool| pool.os == System::Windows);
        if windows && (self.distribution() != Distribution::Kubeadm || self.managed.is_some()) {
            return Err(ShapeError(
                "`os = \"windows\"` is simulated for workers of kubeadm only".to_string(),
            ));
        }
        if self.managed.is_some() && self.control_plane > 0 {
            return Err(ShapeError(
                "the control plane of a provider has no nodes: write it like `0+3@v1.33.4-eks`".to_string(),
            ));
        }
        if self.control_plane == 0 && self.managed.is_none() {
            return Err(ShapeError("a cluster needs a control plane node".to_string()));
        }
        let mut names: Vec<&str> = self.pools.iter().map(|p| p.name.as_str()).collect();
        names.push("cp");
        if let Some(etcd) = self.external_etcd() {
            names.push("e");
            if etcd.hosts == 0 {
                return Err(ShapeError("an external etcd needs a host".to_string()));
            }
            if let Some(version) = etcd.version.as_ref().filter(|v| !is_etcd_version(v)) {
                return Err(ShapeError(format!("`{version}` is no version of etcd: write it like `3.5.24`")));
            }
        }
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(ShapeError(format!("two pools are named `{}`", pair[0])));
        }
        for taint in self.pools.iter().flat_map(|p| &p.taints) {
            let effect = taint.rsplit_once(':').map(|(_, effect)| effect);
            if !matches!(effect, Some("NoSchedule" | "PreferNoSchedule" | "NoExecute")) {
                return Err(ShapeError(format!(
                    "`{taint}` is not a taint: write it like `key=value:NoSchedule`"
                )));
            }
        }
        Ok(self)
    }
}

/// Returns the minor of a version such as `v1.33.4`.
pub(crate) fn minor(version: &str) -> Option<u32> {
    let (minor, patch) = version.strip_prefix("v1.")?.split_once('.')?;
    let digits = patch.split(['-', '+']).next().unwrap_or(patch);
    digits.parse::<u32>().ok()?;
    minor.parse().ok()
}

fn is_etcd_version(text: &str) -> bool {
    let numbers: Vec<&str> = text.split('.').collect();
    numbers.len() == 3 && numbers[0] == "3" && numbers.iter().all(|number| number.parse::<u16>().is_ok())
}

fn default_namespace() -> String {
    "default".to_string()
}

fn default_os() -> String {
    "Debian GNU/Linux 12 (bookworm)".to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_names_nodes_and_version() {
        let shape = Shape::parse("3+5@v1.33.4").unwrap();
        assert_eq!((shape.control_plane, shape.workers(), shape.minor()), (3, 5, 33));
        assert!(Shape::parse("1@v1.34.0-rc.1").unwrap().pools.is_empty());
        for wrong in ["3+5", "0+5@v1.33.4", "3+5@1.33", "a+b@v1.33.4"] {
            assert!(Shape::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_version_tells_the_distribution() {
        let distribution = |text: &str| Shape::parse(text).unwrap().distribution();
        assert_eq!(distribution("3+5@v1.33.4+k3s1"), Distribution::K3s);
        assert_eq!(distribution("1+1@v1.33.4+rke2r1"), Distribution::Rke2);
        assert_eq!(distribution("1+1@v1.33.4"), Distribution::Kubeadm);
        assert_eq!(Shape::parse("3+5@v1.33.4+k3s1").unwrap().minor(), 33);
    }

    #[test]
    fn a_provider_has_the_control_plane() {
        let shape = Shape::parse("0+3@v1.33.4-eks").unwrap();
        assert_eq!(
            (shape.managed, shape.version.as_str(), shape.workers()),
            (Some(Provider::Eks), "v1.33.4", 3)
        );
        assert_eq!(Shape::parse("0+3@v1.33.4-gke").unwrap().managed, Some(Provider::Gke));
        assert!(Shape::parse("1+3@v1.33.4-aks").is_err() && Shape::parse("0+3@v1.33.4").is_err());
        assert_eq!(Provider::Gke.version("1.34.2"), "v1.34.2-gke.1036000");
    }

    #[test]
    fn a_file_names_pools() {
        let shape = Shape::from_toml(
            r#"
            version = "v1.33.4"
            control_plane = 3
            [[pool]]
            name = "gpu"
            count = 2
            gpu = 8
            taints = ["nvidia.com/gpu=present:NoSchedule"]
            packages = "dnf"
            zones = ["a", "b"]
            [[pool]]
            name = "win"
            count = 1
            os = "windows"
            "#,
        )
        .unwrap();
        assert_eq!((shape.pools[0].os, shape.pools[1].os), (System::Linux, System::Windows));
        let rancher = "version = \"v1.33.4+k3s1\"\ncontrol_plane = 1\n[[pool]]\nname = \"win\"\ncount = 1\nos = \"windows\"\n";
        assert!(Shape::from_toml(rancher).is_err());
        assert_eq!(shape.pools[0].gpu, 8);
        assert_eq!(shape.pools[0].packages, Packages::Dnf);
        let twice = "version = \"v1.33.4\"\ncontrol_plane = 1\n[[pool]]\nname = \"cp\"\ncount = 1\n";
        assert_eq!(Shape::from_toml(twice).unwrap_err().to_string(), "two pools are named `cp`");
    }

    #[test]
    fn etcd_is_stacked_or_on_hosts_of_its_own() {
        let with = |etcd: &str| {
            Shape::from_toml(&format!("version = \"v1.33.4\"\ncontrol_plane = 3\netcd = {etcd}\n"))
        };
        assert!(with("\"stacked\"").unwrap().etcd_hosts().is_empty());
        let shape = with("{ hosts = 3, packages = \"dnf\" }").unwrap();
        assert_eq!(shape.etcd_hosts(), ["e1", "e2", "e3"]);
        assert_eq!(shape.external_etcd().unwrap().packages, Packages::Dnf);
        for (wrong, why) in [
            ("\"external\"", "`etcd` is \"stacked\", or a table"),
            ("{ hosts = 0 }", "needs a host"),
            ("{ hosts = 1, version = \"v3.5\" }", "no version of etcd"),
        ] {
            let error = with(wrong).unwrap_err().to_string();
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }
}
