//! The verbs that install packages and a real dnf: packages of local repositories in a folder of their own. What is asked
//! for, what is brought, there and back, what the repository's file excludes and what versionlock keeps.

use std::fs;
use std::path::Path;
use std::process::Command as Program;
use std::sync::Arc;

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Check, Context, Progress};
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
        for folder in ["repos", "plugins", "files"] {
            fs::create_dir_all(system.path(folder)).expect("a folder");
        }
        let list = system.path("plugins/versionlock.list");
        let plugin = format!("[main]\nenabled=1\nlocklist={list}\n");
        fs::write(list, "").expect("a file");
        fs::write(system.path("plugins/versionlock.conf"), plugin).expect("a file");
        Some(system)
    }

    /// Returns whether its dnf has versionlock, a plugin.
    fn has_versionlock(&self) -> bool {
        let has = self.dnf(&["-q", "versionlock", "list", "--disablerepo=*"]).code == 0;
        if !has {
            eprintln!("skipped: there is no dnf-plugins-core on this machine");
        }
        has
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn does(&self, program: &str, args: &[&str]) -> String {
        let output = Program::new(program).args(args).output().expect("it runs");
        assert!(output.status.success(), "{program} {args:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Puts packages into a repository, each empty.
    fn offers(&self, at: &str, packages: &[(&str, &str)]) {
        for (name, version) in packages {
            let spec = format!(
                "Name: {name}\nVersion: {version}\nRelease: 1\nSummary: x\nLicense: MIT\nBuildArch: noarch\n%description\nx\n%files\n"
            );
            fs::write(self.path("x.spec"), spec).expect("a file");
            let folder = |what: &str, name: &str| format!("_{what}dir {}", self.path(name));
            let (top, rpms) = (folder("top", "build"), folder("rpm", at));
            let spec = self.path("x.spec");
            self.does("rpmbuild", &["-bb", "--quiet", "--define", &top, "--define", &rpms, &spec]);
        }
        self.does("createrepo_c", &["-q", &self.path(at)]);
    }

    /// Puts all packages of Kubernetes at a version into the repository of its minor.
    fn offers_kubernetes(&self, version: &str) {
        let minor = version.rsplit_once('.').expect("a patch").0;
        let packages = ["kubeadm", "kubelet", "kubectl"].map(|name| (name, version));
        self.offers(&format!("core:/stable:/v{minor}/rpm"), &packages);
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
            .arg(format!("--setopt=pluginconfpath={}", self.path("plugins")))
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

    /// Returns where a file of the node is.
    fn file(&self, path: &str) -> String {
        match path.strip_prefix("/etc/yum.repos.d/") {
            Some(name) => self.path(&format!("repos/{name}")),
            None => self.path(&format!("files/{}", path.replace('/', "_"))),
        }
    }

    /// Returns what versionlock has, in order.
    fn locked(&self) -> Vec<String> {
        let said = self.dnf(&["-q", "versionlock", "list", "--disablerepo=*"]).stdout;
        let mut all: Vec<String> = said.lines().map(str::to_string).collect();
        all.sort();
        all
    }

    /// Performs a verb as the driver does.
    async fn perform(&self, verb: &str) -> Result<Value, Failure> {
        match begin(&self.step(verb, &[]), verb).await? {
            Progress::Done(value) => Ok(value),
            Progress::Pending { reason, .. } => panic!("it is not long: {reason}"),
        }
    }

    /// Performs a verb with arguments; returns what it found before it began, which takes it back.
    async fn change(&self, verb: &str, args: &[(&str, Value)]) -> Result<Value, String> {
        let actions = stdlib::actions();
        let (action, cx) = (actions.get(verb).expect("a verb"), self.step(verb, args));
        match action.check(&cx).await.map_err(|f| f.message)? {
            Check::Done(why) => Ok(Value::Text(why)),
            Check::Needs { before, .. } => {
                action.start(&cx, &before).await.map_err(|f| f.message)?;
                Ok(before)
            }
        }
    }

    /// Returns the step that performs a verb.
    fn step(&self, verb: &str, args: &[(&str, Value)]) -> Context {
        let cluster = sim::Cluster::start(sim::Shape::parse("1@v1.33.4").expect("a shape"), 1, Vec::new());
        let node = Node { name: "d1".into(), packages: Some(PackageManager::Dnf), ..Node::default() };
        let nodes = IndexMap::from([("d1".to_string(), node.clone())]);
        Context {
            ports: Arc::new(Ports { shells: Arc::new(self.clone()), ..cluster.ports() }),
            inventory: Arc::new(Inventory { nodes, ..Inventory::default() }),
            run: "dnf".into(),
            key: verb.into(),
            attempt: 1,
            node: Some(Arc::new(node)),
            args: args.iter().map(|(name, value)| (name.to_string(), value.clone())).collect(),
            long: false,
            gives: false,
            folder: Path::new("/").into(),
            secrets: Arc::new(engine::secret::Secrets::closed()),
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
            ["rpm", args @ ..] => {
                let root = self.path("root");
                let output =
                    Program::new("rpm").args(["--root", &root]).args(args).output().expect("rpm runs");
                let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                let code = output.status.code().unwrap_or(1);
                Ok(Output { code, stdout: text(output.stdout), stderr: text(output.stderr) })
            }
            ["rm", "-f", path] => {
                fs::remove_file(self.file(path)).ok();
                Ok(Output::default())
            }
            // They are about the machine that runs, and there is none.
            ["needs-restarting", "-r"] | ["mkdir", ..] | ["systemctl", ..] => Ok(Output::default()),
            other => panic!("nothing else is asked: {other:?}"),
        }
    }

    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ShellError> {
        Ok(fs::read(self.file(path)).ok())
    }

    async fn write(&self, path: &str, content: &[u8], _: u32) -> Result<(), ShellError> {
        fs::write(self.file(path), content).expect("a file");
        Ok(())
    }

    async fn fetch(&self, path: &str, _: &Path) -> Result<u64, ShellError> {
        panic!("{path} is fetched")
    }
}

#[test]
fn a_real_dnf_brings_the_system_up_to_date_and_leaves_what_is_excluded() {
    let Some(system) = System::new() else { return };
    system.offers("repo", &[("openssl-libs", "1"), ("kernel-core", "1"), ("kubelet", "1.33.4")]);
    system.repository("");
    assert_eq!(system.dnf(&["-y", "install", "openssl-libs", "kernel-core", "kubelet"]).code, 0);
    system.offers("repo", &[("openssl-libs", "2"), ("kernel-core", "2"), ("kubelet", "1.34.4")]);
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

fn version(text: &str) -> (&'static str, Value) {
    ("version", Value::Version(text.parse().expect("a version")))
}

fn minor(text: &str) -> (&'static str, Value) {
    ("minor", Value::Minor(text.parse().expect("a minor")))
}

fn packages(names: &[&str]) -> (&'static str, Value) {
    ("packages", Value::List(names.iter().map(|name| Value::Word(name.to_string())).collect()))
}

#[test]
fn a_real_dnf_brings_a_node_to_the_next_minor_and_back_and_keeps_what_was_locked() {
    let Some(system) = System::new() else { return };
    for release in ["1.33.4", "1.34.2", "1.34.4"] {
        system.offers_kubernetes(release);
    }
    // As the documentation has it, but for the key: what is built here is signed by nobody.
    let file = format!(
        "[kubernetes]\nname=Kubernetes\nbaseurl=file://{}/core:/stable:/v1.33/rpm/\nenabled=1\ngpgcheck=0\n\
         exclude=kubelet kubeadm kubectl cri-tools kubernetes-cni\n",
        system.path("")
    );
    let repository = "/etc/yum.repos.d/kubernetes.repo";
    fs::write(system.file(repository), &file).expect("a file");
    let all = ["kubeadm-1.33.4-1", "kubelet-1.33.4-1", "kubectl-1.33.4-1"];
    let first = system.dnf(&[&["-y", "install", "--disableexcludes=kubernetes"][..], &all[..]].concat());
    assert_eq!(first.code, 0, "{first:?}");
    if !system.has_versionlock() {
        return;
    }
    system.dnf(&["-q", "versionlock", "add", "kubelet", "kubectl"]);
    // A lock that only keeps one version away is somebody's own, and stays.
    system.dnf(&["-q", "versionlock", "exclude", "--raw", "kubelet-0:1.34.3-1.*"]);
    let away = "!kubelet-0:1.34.3-1.*";
    let old = ["kubeadm 1.33.4", "kubectl 1.33.4", "kubelet 1.33.4"];
    sim::runtime().block_on(async {
        let there = system.change("check packages", &[version("v1.34.4")]).await;
        assert_eq!(there.unwrap().to_string(), "v1.34.4 is in the repository of 1 node");
        let lacks = system.change("check packages", &[version("v1.34.9")]).await.unwrap_err();
        assert!(lacks.contains("no packages of v1.34.9; the newest are of v1.34.4"), "{lacks}");
        let none = system.change("check packages", &[version("v1.35.0")]).await.unwrap_err();
        assert!(none.contains("the package repository could not be read"), "{none}");

        let none = system.change("package repository", &[minor("v1.35")]).await.unwrap_err();
        assert!(none.contains("the package repository could not be read"), "{none}");
        assert_eq!(fs::read_to_string(system.file(repository)).unwrap(), file, "it is written back");
        let switched = system.change("package repository", &[minor("v1.34")]).await.unwrap();
        let idle = system.perform("os updates").await.unwrap().to_string();
        assert!(idle.starts_with("{wanted: false") || idle.contains("packages: 0"), "{idle}");

        let kubeadm = [packages(&["kubeadm"]), version("v1.34.2")];
        let kubeadm = system.change("install", &kubeadm).await.unwrap();
        let kubelet = [packages(&["kubelet", "kubectl"]), version("v1.34.4")];
        let kubelet = system.change("install", &kubelet).await.unwrap();
        assert_eq!(system.installed(), ["kubeadm 1.34.2", "kubectl 1.34.4", "kubelet 1.34.4"]);
        assert_eq!(system.locked(), [away, "kubectl-0:1.34.4-1.*", "kubelet-0:1.34.4-1.*"]);
        // Nothing that a node could upgrade by itself.
        assert!(system.dnf(&["-y", "upgrade"]).stdout.contains("Nothing to do"));

        // It came after the index was read.
        system.offers_kubernetes("1.34.5");
        let patch = [packages(&["kubeadm", "kubelet", "kubectl"]), version("v1.34.5")];
        let patch = system.change("install", &patch).await.unwrap();
        assert_eq!(system.locked(), [away, "kubectl-0:1.34.5-1.*", "kubelet-0:1.34.5-1.*"]);
        let down = [packages(&["kubeadm"]), version("v1.34.4")];
        let refused = system.change("install", &down).await.unwrap_err();
        assert_eq!(refused, "d1 has newer packages than v1.34.4");
        let down = [&down[..], &[("down", Value::Word("allow".into()))]].concat();
        system.change("install", &down).await.unwrap();
        assert_eq!(system.installed(), ["kubeadm 1.34.4", "kubectl 1.34.5", "kubelet 1.34.5"]);

        let actions = stdlib::actions();
        for (verb, before) in
            [("install", patch), ("install", kubelet), ("install", kubeadm), ("package repository", switched)]
        {
            actions.get(verb).expect("a verb").undo(&system.step(verb, &[]), &before).await.unwrap();
        }
        assert_eq!(system.installed(), old);
        assert_eq!(system.locked(), [away, "kubectl-0:1.33.4-1.*", "kubelet-0:1.33.4-1.*"]);
        assert_eq!(fs::read_to_string(system.file(repository)).unwrap(), file);
    });
}
