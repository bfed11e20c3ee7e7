//! The verbs of etcd and a real one: three members on this machine, each a host of its own to kup. What they
//! say of themselves, who leads, what is given back to the disk, and a snapshot that can be restored. By each of
//! the minors that have other tools: 3.4 of Debian, and 3.5 and 3.6 as `tests/run.sh` builds them where there is Go.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Program, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Context, Progress};
use engine::event::Failure;
use engine::inventory::{Inventory, Node};
use engine::port::{Command, Output, Ports, Seal, Shell, ShellError, Shells};
use indexmap::IndexMap;
use tempfile::TempDir;

use super::{begin, kept};

/// Where verbs put files on a host; here each test has a folder of its own.
const KUP: &str = "/var/lib/kup";

/// What `tests/run.sh` builds: 3.5, whose etcdctl still restores, and 3.6, whose etcdctl does not.
const BUILT: [&str; 2] = ["etcd-3.5.11", "etcd-3.6.5"];

/// The programs of one release.
#[derive(Clone)]
struct Tools(PathBuf);

impl Tools {
    /// Finds a release in a folder, or with none on the PATH; `None` where this machine has none.
    fn of(place: &str) -> Option<Tools> {
        let folder = match place {
            "" => PathBuf::new(),
            place => kept()?.join(place),
        };
        let tools = Tools(folder);
        let there = |name: &str| Program::new(tools.path(name)).arg("--version").output().is_ok();
        if there("etcd") && there("etcdctl") {
            return Some(tools);
        }
        let place =
            if place.is_empty() { "etcd on the PATH (etcd-server and etcd-client of Debian)" } else { place };
        eprintln!("not run: there is no {place}, which tests/run.sh installs where it can");
        None
    }

    fn path(&self, program: &str) -> PathBuf {
        self.0.join(program)
    }

    fn run(&self, program: &str, args: &[&str]) -> Output {
        run(&self.path(program), args)
    }
}

/// A member with its ports.
struct Member {
    name: String,
    client: u16,
    process: Child,
}

/// All of them.
struct Members {
    tools: Tools,
    folder: TempDir,
    members: Vec<Member>,
}

impl Drop for Members {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.process.kill();
            let _ = member.process.wait();
        }
    }
}

impl Members {
    /// Starts three.
    fn start(tools: Tools) -> Members {
        let folder = TempDir::new().expect("a folder");
        let free: Vec<TcpListener> =
            (0..6).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
        let ports: Vec<u16> = free.iter().map(|l| l.local_addr().expect("an address").port()).collect();
        drop(free);
        let peer = |i: usize| format!("http://127.0.0.1:{}", ports[3 + i]);
        let all: Vec<String> = (0..3).map(|i| format!("e{}={}", i + 1, peer(i))).collect();
        let members = (0..3).map(|i| {
            let client = format!("http://127.0.0.1:{}", ports[i]);
            let name = format!("e{}", i + 1);
            // Flags here and variables there: both are what a process shows of itself.
            let process = Program::new(tools.path("etcd"))
                .arg(format!("--data-dir={}", folder.path().join(&name).display()))
                .args(["--name", &name, "--listen-client-urls", &client, "--listen-peer-urls", &peer(i)])
                .args(["--initial-advertise-peer-urls", &peer(i), "--initial-cluster", &all.join(",")])
                .env("ETCD_ADVERTISE_CLIENT_URLS", &client)
                .env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("etcd starts");
            Member { name, client: ports[i], process }
        });
        let members = members.collect();
        let started = Members { tools, folder, members };
        for _ in 0..200 {
            if started.ctl(&["endpoint", "health", "--cluster"]).code == 0 {
                return started;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("three members do not come together within ten seconds");
    }

    fn ctl(&self, args: &[&str]) -> Output {
        let endpoint = format!("--endpoints=http://127.0.0.1:{}", self.members[0].client);
        self.tools.run("etcdctl", &[&[endpoint.as_str()], args].concat())
    }

    fn here(&self, text: &str) -> String {
        text.replace(KUP, &self.folder.path().join("kup").display().to_string())
    }

    /// Leaves a database with more room in it than data.
    fn grow(&self) {
        let value = "x".repeat(16 * 1024);
        for i in 0..40 {
            assert_eq!(self.ctl(&["put", &format!("k{i}"), &value]).code, 0);
        }
        assert_eq!(self.ctl(&["del", "k", "--prefix"]).code, 0);
        let status = self.ctl(&["put", "end", "1", "-w", "json"]).stdout;
        let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
        let revision = status["header"]["revision"].as_u64().expect("a revision").to_string();
        assert_eq!(self.ctl(&["compact", "--physical", &revision]).code, 0);
        // The pages are free with the commits that follow, on each member for itself.
        let roomy = |member: &serde_json::Value| {
            let bytes = |name: &str| member["Status"][name].as_u64().unwrap_or_default();
            bytes("dbSizeInUse") * 10 < bytes("dbSize")
        };
        for _ in 0..200 {
            assert_eq!(self.ctl(&["put", "end", "2"]).code, 0);
            let said = self.ctl(&["endpoint", "status", "--cluster", "-w", "json"]).stdout;
            let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
            if said.as_array().is_some_and(|members| members.iter().all(roomy)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the database keeps what was compacted");
    }
}

fn run(program: &Path, args: &[&str]) -> Output {
    match Program::new(program).args(args).output() {
        Ok(output) => Output {
            code: output.status.code().unwrap_or(1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        },
        Err(_) => Output { code: 127, ..Output::default() },
    }
}

struct All(Arc<Members>);

struct Host(Arc<Members>, String);

impl Shells for All {
    fn on(&self, ssh: &str) -> Arc<dyn Shell> {
        Arc::new(Host(self.0.clone(), ssh.to_string()))
    }

    fn here(&self) -> Arc<dyn Shell> {
        self.on("here")
    }
}

#[async_trait]
impl Shell for Host {
    async fn run(&self, command: &Command) -> Result<Output, ShellError> {
        let words: Vec<String> = command.argv.iter().map(|word| self.0.here(word)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Ok(match words.as_slice() {
            ["systemctl", "show", "etcd.service", "-p", "MainPID"] => {
                let own = self.0.members.iter().find(|member| member.name == self.1);
                let pid = own.map_or(0, |member| member.process.id());
                Output { stdout: format!("MainPID={pid}\n"), ..Output::default() }
            }
            [program @ ("etcdctl" | "etcdutl"), args @ ..] => self.0.tools.run(program, args),
            [program @ ("df" | "mkdir" | "rm" | "sha256sum"), args @ ..] => run(Path::new(program), args),
            other => panic!("nothing else is asked: {other:?}"),
        })
    }

    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ShellError> {
        Ok(fs::read(self.0.here(path)).ok())
    }

    async fn write(&self, path: &str, content: &[u8], _: u32) -> Result<(), ShellError> {
        fs::write(self.0.here(path), content).map_err(|e| ShellError::Refused(e.to_string()))
    }

    async fn fetch(&self, path: &str, into: &Path) -> Result<u64, ShellError> {
        fs::copy(self.0.here(path), into).map_err(|e| ShellError::Refused(e.to_string()))
    }

    async fn fetch_sealed(&self, path: &str, into: &Path, seal: &dyn Seal) -> Result<u64, ShellError> {
        engine::live::Local.fetch_sealed(&self.0.here(path), into, seal).await
    }
}

/// Performs a verb on a member as the driver does.
async fn perform(
    members: &Arc<Members>,
    verb: &str,
    on: &str,
    args: &[(&str, Value)],
) -> Result<Value, Failure> {
    let cluster = sim::Cluster::start(sim::Shape::parse("1@v1.33.4").expect("a shape"), 1, Vec::new());
    let node = |name: &str| Node {
        name: name.into(),
        ssh: name.into(),
        etcd: true,
        beside: true,
        ..Node::default()
    };
    let nodes: IndexMap<String, Node> = ["e1", "e2", "e3"].map(|name| (name.to_string(), node(name))).into();
    let cx = Context {
        ports: Arc::new(Ports { shells: Arc::new(All(members.clone())), ..cluster.ports() }),
        node: nodes.get(on).cloned().map(Arc::new),
        inventory: Arc::new(Inventory { nodes, ..Inventory::default() }),
        run: "real".into(),
        key: verb.into(),
        attempt: 1,
        args: args.iter().map(|(name, value)| (name.to_string(), value.clone())).collect(),
        long: false,
        gives: false,
        folder: members.folder.path().into(),
        secrets: Arc::new(engine::secret::Secrets::closed()),
    };
    let actions = stdlib::actions();
    let mut progress = begin(&cx, verb).await?;
    for _ in 0..200 {
        match progress {
            Progress::Done(value) => return Ok(value),
            Progress::Pending { handle, .. } => {
                progress = actions.get(verb).expect("a verb").poll(&cx, &handle).await?;
            }
        }
    }
    panic!("{verb} never ends");
}

async fn leader(members: &Arc<Members>) -> String {
    let mut leaders = Vec::new();
    for name in ["e1", "e2", "e3"] {
        let said = perform(members, "read etcd member", name, &[]).await.expect("it answers");
        if said.get("leads") == Some(&Value::Bool(true)) {
            leaders.push(name.to_string());
        }
    }
    assert_eq!(leaders.len(), 1, "{leaders:?}");
    leaders.remove(0)
}

#[test]
fn an_etcd_of_debian_is_asked_handed_over_defragmented_saved_and_restored() {
    let Some(tools) = Tools::of("") else { return };
    goes_through_all(tools, "3.");
}

#[test]
fn an_etcd_3_5_is_asked_handed_over_defragmented_saved_and_restored() {
    let Some(tools) = Tools::of(BUILT[0]) else { return };
    goes_through_all(tools, "3.5.11");
}

#[test]
fn an_etcd_3_6_is_asked_handed_over_defragmented_saved_and_restored() {
    let Some(tools) = Tools::of(BUILT[1]) else { return };
    goes_through_all(tools, "3.6.5");
}

fn goes_through_all(tools: Tools, version: &str) {
    let members = Members::start(tools);
    members.grow();
    let members = Arc::new(members);
    sim::runtime().block_on(async {
        let well = perform(&members, "check etcd", "e1", &[]).await.expect("it is well").to_string();
        assert!(well.starts_with(&format!("3 members of etcd {version}")), "{well}");
        assert!(well.contains(" well, external"), "{well}");

        let waste = [("waste", Value::Share(8000))];
        let first = leader(&members).await;
        let refused = perform(&members, "etcd defrag", &first, &waste).await.expect_err("it leads");
        assert_eq!(refused.message, format!("the member of {first} leads"));
        perform(&members, "etcd move leader", &first, &[]).await.expect("another one takes over");
        assert_ne!(leader(&members).await, first);
        let left = perform(&members, "etcd move leader", &first, &[]).await.expect("it is no leader");
        assert_eq!(left.to_string(), format!("the member of {first} does not lead"));

        let size = |said: &Value| match said.get("size") {
            Some(Value::Size(size)) => *size,
            other => panic!("{other:?}"),
        };
        let before = size(&perform(&members, "read etcd member", &first, &[]).await.expect("it answers"));
        perform(&members, "etcd defrag", &first, &waste).await.expect("it is defragmented");
        let after = size(&perform(&members, "read etcd member", &first, &[]).await.expect("it answers"));
        assert!(after < before / 2, "{before} -> {after}");
        let again = perform(&members, "etcd defrag", &first, &waste).await.expect("there is nothing to do");
        assert!(again.to_string().ends_with(" is free"), "{again}");

        let into = ("into", Value::Path("saved".into()));
        let all = [into.clone(), ("tested", Value::Bool(true))];
        let saved = perform(&members, "etcd backup", "e2", &all).await.expect("it is saved");
        assert!(matches!(saved.get("keys"), Some(Value::Number(keys)) if *keys > 0), "{saved}");
        assert_eq!(saved.get("tested"), Some(&Value::Bool(true)));
        let path = path(&saved);
        assert_eq!(remains(&members), Vec::<String>::new(), "nothing is left on the host");
        // The tool that the version has restores it, and an etcd of its own serves what was saved.
        let scratch = members.folder.path().join("scratch").display().to_string();
        let tools = &members.tools;
        let restored =
            |tool: &str| tools.run(tool, &["snapshot", "restore", &path, "--data-dir", &scratch]).code == 0;
        assert!(restored("etcdutl") || restored("etcdctl"));
        assert_eq!(served(tools, &scratch), "end\n2\n");

        // For the holder of a key alone.
        let key = age::x25519::Identity::generate();
        let to = Value::List(vec![Value::Text(key.to_public().to_string())]);
        let sealed = perform(&members, "etcd snapshot", "e2", &[into, ("encrypt_to", to)]).await;
        let sealed = fs::read(self::path(&sealed.expect("it is saved"))).expect("a file");
        assert!(sealed.starts_with(b"age-encryption.org/v1\n"));
        let opened = age::decrypt(&key, &sealed).expect("its key opens it");
        let again = members.folder.path().join("again.db").display().to_string();
        fs::write(&again, &opened).expect("it is written");
        let status = |tool: &str| tools.run(tool, &["snapshot", "status", &again, "-w", "json"]).code == 0;
        assert!(status("etcdutl") || status("etcdctl"));
    });
}

/// Returns where a snapshot stands.
fn path(saved: &Value) -> String {
    saved.get("path").and_then(Value::as_text).expect("a path").to_string()
}

/// Returns what stands in the folder of kup on the hosts.
fn remains(members: &Members) -> Vec<String> {
    let all = fs::read_dir(members.folder.path().join("kup")).into_iter().flatten().flatten();
    all.map(|file| file.file_name().to_string_lossy().into_owned()).collect()
}

/// Starts an etcd of a folder, and returns what it says of the key `end`.
fn served(tools: &Tools, data: &str) -> String {
    let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let [client, peer] =
        free.map(|l| format!("http://127.0.0.1:{}", l.local_addr().expect("an address").port()));
    let mut process = Program::new(tools.path("etcd"))
        .args(["--data-dir", data, "--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer])
        .env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("etcd starts");
    let mut said = Output::default();
    for _ in 0..200 {
        said = tools.run("etcdctl", &[&format!("--endpoints={client}"), "get", "end"]);
        if said.code == 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = process.kill();
    let _ = process.wait();
    said.stdout
}
