//! A bench for verbs: nodes whose shells answer from a script, an API that answers canned JSON, and a
//! clock that only moves when somebody sleeps. What a verb sent is told line by line.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use engine::inventory::{Inventory, Node, PackageManager};
use engine::port::{Clock, Command, Output, Ports, Shell, ShellError, Shells};
use indexmap::IndexMap;

/// Everything a verb may touch in a test.
#[derive(Clone, Default)]
pub(super) struct Bench(Arc<Mutex<World>>);

#[derive(Default)]
struct World {
    /// What commands answer; the last answer of a command stays.
    answers: HashMap<String, VecDeque<Result<Output, ShellError>>>,
    files: HashMap<String, Vec<u8>>,
    /// What the API answers to a path.
    objects: HashMap<String, VecDeque<serde_json::Value>>,
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
        self.0.lock().unwrap().answers.entry(command.to_string()).or_default().push_back(answer);
        self
    }

    /// Puts a file on every machine.
    pub(super) fn file(self, path: &str, content: &str) -> Bench {
        self.0.lock().unwrap().files.insert(path.to_string(), content.into());
        self
    }

    /// Lets the API answer this to a GET of the path. What has no answer is not found.
    pub(super) fn object(self, path: &str, object: serde_json::Value) -> Bench {
        self.0.lock().unwrap().objects.entry(path.to_string()).or_default().push_back(object);
        self
    }

    /// Returns a file as it is now.
    pub(super) fn content(&self, path: &str) -> Option<String> {
        let world = self.0.lock().unwrap();
        world.files.get(path).map(|bytes| String::from_utf8(bytes.clone()).unwrap())
    }

    /// Returns what was sent since the last call, one line each.
    pub(super) fn sent(&self) -> String {
        let lines = std::mem::take(&mut self.0.lock().unwrap().sent);
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
        let world = self.clone();
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let answer = world.serve(request.method().as_str(), request.uri().path());
            async move { Ok::<_, Infallible>(answer) }
        });
        Context {
            ports: Ports {
                kube: Some(kube::Client::new(service, "default")),
                shells: Arc::new(self.clone()),
                clock: Arc::new(self.clone()),
            },
            inventory: Arc::new(inventory),
            run: "r1".into(),
            key: "workers/n1/step".into(),
            attempt: 1,
            node: Some(node),
            args: args.iter().map(|(name, value)| (name.to_string(), value.clone())).collect(),
            long: false,
            folder: "/playbooks".into(),
        }
    }

    fn serve(&self, method: &str, path: &str) -> http::Response<kube::client::Body> {
        let mut world = self.0.lock().unwrap();
        let known = match world.objects.get_mut(path) {
            Some(queue) if queue.len() > 1 => queue.pop_front(),
            Some(queue) => queue.front().cloned(),
            None => None,
        };
        let (code, body) = match known {
            Some(object) if method == "GET" => (200, object),
            _ => {
                let reason = serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                    "message": format!("{path} not found"), "reason": "NotFound", "code": 404});
                (404, reason)
            }
        };
        let body = kube::client::Body::from(body.to_string().into_bytes());
        http::Response::builder().status(code).header("content-type", "application/json").body(body).unwrap()
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
        self.0.lock().unwrap().now
    }

    fn wall(&self) -> Duration {
        Duration::from_secs(1_800_000_000) + self.now()
    }

    async fn sleep(&self, time: Duration) {
        self.0.lock().unwrap().now += time;
    }
}

struct Machine {
    bench: Bench,
    mark: &'static str,
}

impl Machine {
    fn world(&self, sent: String) -> std::sync::MutexGuard<'_, World> {
        let mut world = self.bench.0.lock().unwrap();
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
        Ok(self.bench.0.lock().unwrap().files.get(path).cloned())
    }

    async fn write(&self, path: &str, content: &[u8], mode: u32) -> Result<(), ShellError> {
        let mut world = self.world(format!("write {path} {mode:o}"));
        world.files.insert(path.to_string(), content.to_vec());
        Ok(())
    }

    async fn fetch(&self, path: &str, into: &Path) -> Result<u64, ShellError> {
        let mut world = self.world(format!("fetch {path} {}", into.display()));
        let content = world.files.get(path).cloned().unwrap_or_default();
        let size = content.len() as u64;
        world.files.insert(into.display().to_string(), content);
        Ok(size)
    }
}
