//! A bench for verbs: nodes whose shells answer from a script, the API of `testing`, and a
//! clock that only moves when somebody sleeps. What a verb sent is told line by line.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use dsl::value::{Secret, Value};
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use engine::inventory::{Inventory, Node, PackageManager};
use engine::port::{Clock, Command, Output, Ports, Seal, Shell, ShellError, Shells, sealed};
use engine::secret::{Secrets, Vault};
use indexmap::IndexMap;

use crate::testing::Cluster;

/// Everything a verb may touch in a test.
#[derive(Clone, Default)]
pub(super) struct Bench {
    world: Arc<Mutex<World>>,
    /// The cluster that the API serves.
    pub(super) cluster: Cluster,
}

#[derive(Default)]
struct World {
    /// What commands answer; the last answer of a command stays.
    answers: HashMap<String, VecDeque<Result<Output, ShellError>>>,
    files: HashMap<String, Vec<u8>>,
    sent: Vec<String>,
    now: Duration,
}

impl Bench {
    /// Scripts a command that succeeds. Several answers to one command are given in their order.
    pub(super) fn says(self, command: &str, stdout: &str) -> Bench {
        self.ends(command, 0, stdout, "")
    }

    /// Scripts a command with its exit code and both streams.
    pub(super) fn ends(self, command: &str, code: i32, stdout: &str, stderr: &str) -> Bench {
        let output = Output { code, stdout: stdout.to_string(), stderr: stderr.to_string() };
        self.answer(command, Ok(output))
    }

    /// Scripts a command during which the connection is lost.
    pub(super) fn loses(self, command: &str) -> Bench {
        self.answer(command, Err(ShellError::Lost { machine: "n1".into(), reason: "broken pipe".into() }))
    }

    /// Scripts a command that does not reach its node.
    pub(super) fn misses(self, command: &str) -> Bench {
        self.answer(
            command,
            Err(ShellError::Unreachable { machine: "n1".into(), reason: "timed out".into() }),
        )
    }

    fn answer(self, command: &str, answer: Result<Output, ShellError>) -> Bench {
        self.world.lock().unwrap().answers.entry(command.to_string()).or_default().push_back(answer);
        self
    }

    /// Adds what another bench has scripted, where this one says nothing.
    pub(super) fn beside(self, other: Bench) -> Bench {
        let others = std::mem::take(&mut other.world.lock().unwrap().answers);
        let mut world = self.world.lock().unwrap();
        for (command, answers) in others {
            world.answers.entry(command).or_insert(answers);
        }
        drop(world);
        self
    }

    /// Puts a file on every machine.
    pub(super) fn file(self, path: &str, content: &str) -> Bench {
        self.world.lock().unwrap().files.insert(path.to_string(), content.into());
        self
    }

    /// Returns a file as it is now.
    pub(super) fn content(&self, path: &str) -> Option<String> {
        let world = self.world.lock().unwrap();
        world.files.get(path).map(|bytes| String::from_utf8(bytes.clone()).unwrap())
    }

    /// Returns what was sent since the last call, one line each.
    pub(super) fn sent(&self) -> String {
        let lines = std::mem::take(&mut self.world.lock().unwrap().sent);
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Returns the context of a step on the node `n1`, which installs packages with apt.
    pub(super) fn step(&self, args: &[(&str, Value)]) -> Context {
        let node = Node {
            name: "n1".into(),
            ssh: "n1".into(),
            packages: Some(PackageManager::Apt),
            ..Node::default()
        };
        let inventory = Inventory {
            cluster: "c0ffee".into(),
            nodes: IndexMap::from([("n1".to_string(), node.clone())]),
            ..Inventory::default()
        };
        Context {
            ports: Arc::new(Ports {
                kube: Some(self.cluster.client()),
                shells: Arc::new(self.clone()),
                clock: Arc::new(self.clone()),
                web: None,
            }),
            inventory: Arc::new(inventory),
            run: "r1".into(),
            key: "workers/n1/step".into(),
            attempt: 1,
            node: Some(Arc::new(node)),
            args: args.iter().map(|(name, value)| (name.to_string(), value.clone())).collect(),
            long: false,
            gives: false,
            folder: Path::new("/playbooks").into(),
            secrets: Arc::new(Secrets::new(Arc::new(Token))),
        }
    }
}

/// Returns the node of a step, to make it another one.
pub(super) fn node(cx: &mut Context) -> &mut Node {
    Arc::make_mut(cx.node.as_mut().unwrap())
}

/// Every secret is this one.
struct Token;

#[async_trait]
impl Vault for Token {
    async fn read(&self, _: &Secret) -> Result<String, String> {
        Ok("hunter2".to_string())
    }
}

/// Follows an action as the driver does: probe, start, poll until it ends.
pub(super) async fn perform(action: &dyn Action, cx: &Context) -> Result<Value, Failure> {
    let before = match action.check(cx).await? {
        Check::Done(why) => return Ok(Value::Text(why)),
        Check::Needs { before, .. } => before,
    };
    let mut progress = action.start(cx, &before).await?;
    for _ in 0..100 {
        match progress {
            Progress::Done(value) => return Ok(value),
            Progress::Pending { handle, again, .. } => {
                cx.ports.clock.sleep(again).await;
                progress = action.poll(cx, &handle).await?;
            }
        }
    }
    panic!("it never ends")
}

impl Shells for Bench {
    fn on(&self, _: &str) -> Arc<dyn Shell> {
        Arc::new(Machine { bench: self.clone(), mark: "" })
    }

    fn here(&self) -> Arc<dyn Shell> {
        Arc::new(Machine { bench: self.clone(), mark: "here: " })
    }
}

#[async_trait]
impl Clock for Bench {
    fn now(&self) -> Duration {
        self.world.lock().unwrap().now
    }

    fn wall(&self) -> Duration {
        Duration::from_secs(1_800_000_000) + self.now()
    }

    async fn sleep(&self, time: Duration) {
        self.world.lock().unwrap().now += time;
    }
}

struct Machine {
    bench: Bench,
    mark: &'static str,
}

impl Machine {
    fn world(&self, sent: String) -> std::sync::MutexGuard<'_, World> {
        let mut world = self.bench.world.lock().unwrap();
        world.sent.push(format!("{}{sent}", self.mark));
        world
    }
}

#[async_trait]
impl Shell for Machine {
    async fn run(&self, command: &Command) -> Result<Output, ShellError> {
        let line = command.argv.join(" ");
        let mut world = self.world(line.clone());
        if let Some(queue) = world.answers.get_mut(&line) {
            let answer = if queue.len() > 1 { queue.pop_front() } else { queue.front().cloned() };
            return answer.expect("a script has at least one answer");
        }
        match command.argv[0].as_str() {
            "mkdir" | "systemd-run" | "rm" | "tail" => Ok(Output::default()),
            "systemctl" if command.argv[1] != "show" => Ok(Output::default()),
            _ => Ok(Output { code: 127, stderr: format!("{line}: not scripted"), ..Output::default() }),
        }
    }

    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ShellError> {
        Ok(self.bench.world.lock().unwrap().files.get(path).cloned())
    }

    async fn write(&self, path: &str, content: &[u8], mode: u32) -> Result<(), ShellError> {
        let mut world = self.world(format!("write {path} {mode:o}"));
        world.files.insert(path.to_string(), content.to_vec());
        Ok(())
    }

    async fn fetch_sealed(&self, path: &str, into: &Path, seal: &dyn Seal) -> Result<u64, ShellError> {
        let mut world = self.world(format!("fetch sealed {path} {}", into.display()));
        let content = world.files.get(path).cloned().unwrap_or_default();
        let content = sealed(seal, &content).map_err(|e| ShellError::Refused(e.to_string()))?;
        let size = content.len() as u64;
        world.files.insert(into.display().to_string(), content);
        Ok(size)
    }

    async fn fetch(&self, path: &str, into: &Path) -> Result<u64, ShellError> {
        let mut world = self.world(format!("fetch {path} {}", into.display()));
        let content = world.files.get(path).cloned().unwrap_or_default();
        let size = content.len() as u64;
        world.files.insert(into.display().to_string(), content);
        Ok(size)
    }
}
