//! The operating system's verbs and a real dnf: packages of a local repository in a folder of their own. What
//! is asked for, what is brought, and what the repository's file excludes.

use std::fs;
use std::path::Path;
use std::process::Command as Program;
use std::sync::Arc;

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Context, Progress};
use engine::event::Failure;
use engine::inventory::{Inventory, Node, PackageManager};
use engine::port::{Command, Output, Ports, Shell, ShellError, Shells};
use indexmap::IndexMap;

use super::begin;

/// A system in a folder, with its repository beside it.
#[derive(Clone)]
struct System(Arc<tempfile::TempDir>);

impl System {
    /// Makes an empty one; `None` where this machine has no dnf, or nothing to make packages with.
    fn new() -> Option<System> {
        for program in ["dnf", "rpmbuild", "createrepo_c"] {
            if Program::new(program).arg("--version").output().is_err() {
                eprintln!("skipped: there is no {program} on this machine");
                return None;
            }
        }
        let system = System(Arc::new(tempfile::tempdir().expect("a folder")));
        fs::create_dir_all(system.path("repos")).expect("a folder");
        Some(system)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn does(&self, program: &str, args: &[&str]) -> String {
        let output = Program::new(program).args(args).output().expect("it runs");
        assert!(output.status.success(), "{program} {args:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Puts packages into the repository, each empty.
    fn offers(&self, packages: &[(&str, &str)]) {
        for (name, version) in packages {
            let spec = format!(
                "Name: {name}\nVersion: {version}\nRelease: 1\nSummary: x\nLicense: MIT\nBuildArch: noarch\n%description\nx\n%files\n"
            );
            fs::write(self.path("x.spec"), spec).expect("a file");
            let folder = |what: &str, name: &str| format!("_{what}dir {}", self.path(name));
            let (top, rpms) = (folder("top", "build"), folder("rpm", "repo"));
            let spec = self.path("x.spec");
            self.does("rpmbuild", &["-bb", "--quiet", "--define", &top, "--define", &rpms, &spec]);
        }
        self.does("createrepo_c", &["-q", &self.path("repo")]);
    }

    /// Writes the repository's file, as the documentation of Kubernetes has it or without its last line.
    fn repository(&self, exclude: &str) {
        let text = format!(
            "[all]\nname=all\nbaseurl=file://{}\nenabled=1\ngpgcheck=0\n{exclude}\n",
            self.path("repo")
        );
        fs::write(self.path("repos/all.repo"), text).expect("a file");
    }

    fn dnf(&self, args: &[&str]) -> Output {
        let output = Program::new("dnf")
            // Plugins of this machine look for their files in the other root.
            .arg("--noplugins")
            .args(["--releasever=9".to_string(), format!("--installroot={}", self.path("root"))])
            .arg(format!("--setopt=cachedir={}", self.path("cache")))
            .arg(format!("--setopt=reposdir={}", self.path("repos")))
            .args(args)
            .env("LC_ALL", "C")
            .output()
            .expect("dnf runs");
        Output {
            code: output.status.code().unwrap_or(1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Returns what is installed, by name.
    fn installed(&self) -> Vec<String> {
        let root = self.path("root");
        let all = self.does("rpm", &["--root", &root, "-qa", "--qf", "%{NAME} %{VERSION}\\n"]);
        let mut all: Vec<String> = all.lines().map(str::to_string).collect();
        all.sort();
        all
    }

    /// Performs a verb as the driver does.
    async fn perform(&self, verb: &str) -> Result<Value, Failure> {
        let cluster = sim::Cluster::start(sim::Shape::parse("1@v1.33.4").expect("a shape"), 1, Vec::new());
        let node = Node { name: "d1".into(), packages: Some(PackageManager::Dnf), ..Node::default() };
        let nodes = IndexMap::from([("d1".to_string(), node.clone())]);
        let cx = Context {
            ports: Ports { shells: Arc::new(self.clone()), ..cluster.ports() },
            inventory: Arc::new(Inventory { nodes, ..Inventory::default() }),
            run: "dnf".into(),
            key: verb.into(),
            attempt: 1,
            node: Some(node),
            args: IndexMap::new(),
            long: false,
            gives: false,
            folder: "/".into(),
            secrets: Arc::new(engine::secret::Secrets::closed()),
        };
        match begin(&cx, verb).await? {
            Progress::Done(value) => Ok(value),
            Progress::Pending { reason, .. } => panic!("it is not long: {reason}"),
        }
    }
}

impl Shells for System {
    fn on(&self, _: &str) -> Arc<dyn Shell> {
        Arc::new(self.clone())
    }

    fn here(&self) -> Arc<dyn Shell> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl Shell for System {
    async fn run(&self, command: &Command) -> Result<Output, ShellError> {
        let words: Vec<&str> = command.argv.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["dnf", args @ ..] => Ok(self.dnf(args)),
            // It looks at the machine that runs, and there is none.
            ["needs-restarting", "-r"] => Ok(Output::default()),
            other => panic!("nothing else is asked: {other:?}"),
        }
    }

    async fn read(&self, _: &str) -> Result<Option<Vec<u8>>, ShellError> {
        Ok(None)
    }

    async fn write(&self, path: &str, _: &[u8], _: u32) -> Result<(), ShellError> {
        panic!("{path} is written")
    }

    async fn fetch(&self, path: &str, _: &Path) -> Result<u64, ShellError> {
        panic!("{path} is fetched")
    }
}

#[test]
fn a_real_dnf_brings_the_system_up_to_date_and_leaves_what_is_excluded() {
    let Some(system) = System::new() else { return };
    system.offers(&[("openssl-libs", "1"), ("kernel-core", "1"), ("kubelet", "1.33.4")]);
    system.repository("");
    assert_eq!(system.dnf(&["-y", "install", "openssl-libs", "kernel-core", "kubelet"]).code, 0);
    system.offers(&[("openssl-libs", "2"), ("kernel-core", "2"), ("kubelet", "1.34.4")]);
    sim::runtime().block_on(async {
        let says =
            |record: Result<Value, Failure>| record.map(|value| value.to_string()).map_err(|f| f.message);
        // Nothing keeps the kubelet where it is.
        assert!(
            says(system.perform("os updates").await).unwrap().starts_with("{packages: 2, kernel: true, ")
        );
        let refused = says(system.perform("os upgrade").await).unwrap_err();
        assert!(refused.starts_with("it would bring kubelet to another version too"), "{refused}");
        assert_eq!(system.installed(), ["kernel-core 1", "kubelet 1.33.4", "openssl-libs 1"]);
        system.repository("exclude=kubelet kubeadm kubectl cri-tools kubernetes-cni");
        let todo = "{packages: 2, kernel: true, reboot: false, wanted: true}";
        assert_eq!(says(system.perform("os updates").await), Ok(todo.to_string()));
        let done = "{packages: 2, kernel: true, reboot: true}";
        assert_eq!(says(system.perform("os upgrade").await), Ok(done.to_string()));
        assert_eq!(system.installed(), ["kernel-core 2", "kubelet 1.33.4", "openssl-libs 2"]);
        let left = "{packages: 0, kernel: false, reboot: false, wanted: false}";
        assert_eq!(says(system.perform("os updates").await), Ok(left.to_string()));
        let idle = "no package of d1 waits for an update".to_string();
        assert_eq!(says(system.perform("os upgrade").await), Ok(idle));
    });
}
