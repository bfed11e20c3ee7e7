//! The verbs of etcd and a real one: three members on this machine, each a host of its own to kup. What they
//! say of themselves, who leads, what is given back to the disk, and a snapshot that can be restored.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command as Program, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Context, Progress};
use engine::event::Failure;
use engine::inventory::{Inventory, Node};
use engine::port::{Command, Output, Ports, Shell, ShellError, Shells};
use indexmap::IndexMap;
use tempfile::TempDir;

use super::begin;

/// Where verbs put files on a host; here each test has a folder of its own.
const KUP: &str = "/var/lib/kup";

/// A member with its ports.
struct Member {
    name: String,
    client: u16,
    process: Child,
}

/// All of them.
struct Members {
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
    /// Starts three; `None` where this machine has no etcd.
    fn start() -> Option<Members> {
        for program in ["etcd", "etcdctl"] {
            if Program::new(program).arg("--version").output().is_err() {
                eprintln!("skipped: there is no {program} on this machine");
                return None;
            }
        }
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
            let process = Program::new("etcd")
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
        let started = Members { folder, members };
        for _ in 0..200 {
            if started.ctl(&["endpoint", "health", "--cluster"]).code == 0 {
                return Some(started);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("three members do not come together within ten seconds");
    }

    fn ctl(&self, args: &[&str]) -> Output {
        let endpoint = format!("--endpoints=http://127.0.0.1:{}", self.members[0].client);
        run("etcdctl", &[&[endpoint.as_str()], args].concat())
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

fn run(program: &str, args: &[&str]) -> Output {
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
            [program @ ("etcdctl" | "etcdutl" | "mkdir" | "rm" | "sha256sum"), args @ ..] => {
                run(program, args)
            }
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
        ports: Ports { shells: Arc::new(All(members.clone())), ..cluster.ports() },
        node: nodes.get(on).cloned(),
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
fn a_real_etcd_is_asked_handed_over_defragmented_and_saved() {
    let Some(members) = Members::start() else { return };
    members.grow();
    let members = Arc::new(members);
    sim::runtime().block_on(async {
        let well = perform(&members, "check etcd", "e1", &[]).await.expect("it is well").to_string();
        assert!(well.starts_with("3 members of etcd 3.") && well.ends_with(" well, external"), "{well}");

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

        let into = [("into", Value::Path("saved".into()))];
        let saved = perform(&members, "etcd backup", "e2", &into).await.expect("it is saved");
        let path = saved.get("path").and_then(Value::as_text).expect("a path").to_string();
        assert!(matches!(saved.get("keys"), Some(Value::Number(keys)) if *keys > 0), "{saved}");
        // The tool that the version has restores it.
        let scratch = members.folder.path().join("scratch").display().to_string();
        let restored =
            |tool: &str| run(tool, &["snapshot", "restore", &path, "--data-dir", &scratch]).code == 0;
        assert!(restored("etcdutl") || restored("etcdctl"));
        assert!(Path::new(&scratch).join("member/snap/db").exists());
    });
}
