mod disk;
mod probe;

use std::path::Path;
use std::sync::Mutex;

use async_trait::async_trait;
use dsl::program::{Effect as Touches, OnFailure, Retry};
use dsl::span::{FileId, Span};
use dsl::value::Value;
use indexmap::IndexMap;
use petgraph::stable_graph::StableDiGraph;

use super::*;
use crate::action::{Action, Check, Context, Progress};
use crate::event::Failure;
use crate::journal::{Folder, Header, Store, Stored};
use crate::plan::{Plan, Scope, ScopeId, ScopeKind, Step, Undo, UndoStep, Vertex, Work};
use crate::port::{Clock, Shell, Shells};

/// Tokio's clock, which leaps when it is paused.
struct Leaping(tokio::time::Instant);

#[async_trait]
impl Clock for Leaping {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
    fn wall(&self) -> Duration {
        self.0.elapsed()
    }
    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

struct NoShells;
impl Shells for NoShells {
    fn on(&self, _: &str) -> Arc<dyn Shell> {
        Arc::new(crate::live::Local)
    }
    fn here(&self) -> Arc<dyn Shell> {
        Arc::new(crate::live::Local)
    }
}

/// What is done with a step is told by the last part of its key; calls are noted.
struct Scripted(Arc<Mutex<Vec<String>>>);

impl Scripted {
    fn note(&self, what: &str, cx: &Context) -> usize {
        let mut calls = self.0.lock().unwrap();
        calls.push(format!("{what} {}#{}", cx.key, cx.attempt));
        calls.iter().filter(|c| c.starts_with(&format!("{what} {}#", cx.key))).count()
    }
}

#[async_trait]
impl Action for Scripted {
    fn name(&self) -> &'static str {
        "work"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        self.note("check", cx);
        let begun = format!("start {}#", cx.key);
        match cx.key.as_str() {
            "asks" => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                self.note("answer", cx);
                Ok(Check::Needs { now: "a".into(), then: "b".into(), before: Value::Number(7) })
            }
            key if key.starts_with("once")
                && self.0.lock().unwrap().iter().any(|c| c.starts_with(&begun)) =>
            {
                Ok(Check::Done("it was begun".into()))
            }
            "done" => Ok(Check::Done("it is there".into())),
            "silent" => std::future::pending().await,
            _ => Ok(Check::Needs { now: "a".into(), then: "b".into(), before: Value::Number(7) }),
        }
    }

    async fn start(&self, cx: &Context, before: &Value) -> Result<Progress, Failure> {
        self.note("start", cx);
        assert_eq!(before, &Value::Number(7));
        match cx.key.as_str() {
            "bug" => panic!("index out of bounds"),
            "final" => Err(Failure::last("no")),
            "long" => Ok(Progress::Pending {
                handle: Value::Text("unit".into()),
                reason: "apt".into(),
                again: Duration::from_secs(5),
            }),
            _ => Ok(Progress::Done(Value::None)),
        }
    }

    async fn poll(&self, cx: &Context, handle: &Value) -> Result<Progress, Failure> {
        assert_eq!(handle, &Value::Text("unit".into()));
        let n = self.note("poll", cx);
        if n > 4 {
            return Ok(Progress::Done(Value::Number(n as i64)));
        }
        let reason = if n < 3 { "apt" } else { "kubelet" };
        Ok(Progress::Pending {
            handle: handle.clone(),
            reason: reason.into(),
            again: Duration::from_secs(60),
        })
    }

    async fn undo(&self, cx: &Context, _before: &Value) -> Result<(), Failure> {
        self.note("undo", cx);
        Ok(())
    }

    async fn clean(&self, cx: &Context) {
        if cx.key == "detached/stuck" {
            std::future::pending().await
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        self.note("clean", cx);
    }
}

/// Steps by key, each behind the one before, or all at once.
fn plan(keys: &[&str], in_order: bool, on_failure: OnFailure) -> Plan {
    let mut graph = StableDiGraph::new();
    let open = graph.add_node(Vertex::Open(ScopeId(0)));
    let close = graph.add_node(Vertex::Close(ScopeId(0)));
    let mut last = open;
    let mut steps = Vec::new();
    for (id, key) in (0..).map(StepId).zip(keys) {
        let vertex = graph.add_node(Vertex::Step(id));
        graph.add_edge(if in_order { last } else { open }, vertex, ());
        graph.add_edge(vertex, close, ());
        last = vertex;
        let retry = Retry { times: 1, min: 1000, max: 1000 };
        let undo = UndoStep {
            action: "work".into(),
            text: "back".into(),
            args: IndexMap::new(),
            later: IndexMap::new(),
            node: None,
            long: false,
            timeout: 60_000,
            retry,
        };
        steps.push(Step {
            key: key.to_string(),
            action: if *key == "foreign" { "other" } else { "work" }.into(),
            text: "work".into(),
            node: None,
            args: IndexMap::new(),
            later: IndexMap::new(),
            gives: None,
            effect: Touches::ChangesNode,
            long: key.starts_with("detached"),
            timeout: 600_000,
            retry,
            undo: if *key == "steps" { Undo::Steps(vec![undo.clone(), undo]) } else { Undo::Itself },
            needs: vec![],
            ensures: vec![],
            follows: vec![],
            ends: vec![],
            prepares: false,
            preflight: false,
            work: Work::Runs,
            maybe: false,
            scope: ScopeId(0),
            vertex,
            span: Span { file: FileId(0), start: 0, end: 0 },
        });
    }
    if keys.is_empty() {
        graph.add_edge(open, close, ());
    }
    let scope = Scope { kind: ScopeKind::Playbook, key: String::new(), parent: None, open, close };
    let (params, origins) = (IndexMap::new(), IndexMap::new());
    Plan {
        title: "t".into(),
        params,
        origins,
        steps,
        scopes: vec![scope],
        graph,
        on_failure,
        windows: Default::default(),
        approvals: Default::default(),
        scripts: IndexMap::new(),
        hosts: vec![],
        hooks: vec![],
    }
}

struct Bench {
    _root: tempfile::TempDir,
    folder: Folder,
    stored: Stored,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Bench {
    fn new(keys: &[&str], in_order: bool, on_failure: OnFailure) -> Bench {
        let root = tempfile::tempdir().unwrap();
        let folder = Store::new(root.path()).create("r").unwrap();
        let stored = Stored {
            digest: "d".into(),
            folder: "/".into(),
            plan: plan(keys, in_order, on_failure),
            inventory: Inventory::default(),
        };
        Bench { _root: root, folder, stored, calls: Arc::default() }
    }

    fn journal(&self) -> Journal {
        let header = Header {
            run: "r".into(),
            cluster: String::new(),
            host: "h".into(),
            user: "u".into(),
            started: "2026-11-21T12:03:05Z".into(),
            plan: "d".into(),
            seed: 1,
        };
        self.folder.begin(&header, &self.stored.plan, false).unwrap()
    }

    async fn drive(
        &self,
        machine: &mut Machine,
        journal: &mut Journal,
        inputs: mpsc::Receiver<Input>,
    ) -> (Result<Outcome, RunError>, Vec<String>) {
        let work: Arc<dyn Action> = Arc::new(Scripted(self.calls.clone()));
        let clock = Arc::new(Leaping(tokio::time::Instant::now()));
        let keys = crate::journal::Keys::new(&self.stored.plan);
        let mut told = Vec::new();
        let run = Run {
            machine,
            journal,
            actions: Actions::new([work]),
            ports: Ports { kube: None, shells: Arc::new(NoShells), clock, web: None },
            secrets: Arc::new(crate::secret::Secrets::closed()),
            inventory: Arc::default(),
            id: "r".into(),
            folder: "/".into(),
            heard: None,
        };
        let path = self.folder.path().join("journal.jsonl");
        let mut sink = |at: u64, event: &Event| {
            // Nobody is told what is not on disk.
            let line = keys.json(event).to_string();
            assert!(std::fs::read_to_string(Path::new(&path)).unwrap().contains(&line));
            told.push(format!("{at} {line}"));
        };
        let outcome = drive(run, inputs, &mut sink).await;
        (outcome, told)
    }

    /// Runs it from its beginning to its end.
    async fn whole(&self) -> (Outcome, Vec<String>) {
        let (people, inputs) = mpsc::channel(8);
        people.send(Input::Begin { by: "ann".into(), why: String::new() }).await.unwrap();
        let mut machine = Machine::new(Arc::new(self.stored.plan.clone()), 1);
        let (outcome, told) = self.drive(&mut machine, &mut self.journal(), inputs).await;
        (outcome.unwrap(), told)
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

fn pause() -> OnFailure {
    OnFailure::Pause(String::new())
}

#[tokio::test(start_paused = true)]
async fn work_is_looked_for_begun_and_followed_to_its_end() {
    let bench = Bench::new(&["done", "long", "last"], true, pause());
    let (outcome, told) = bench.whole().await;
    assert_eq!(outcome, Outcome::Done);
    let story: Vec<&str> = told.iter().filter(|l| l.contains("\"long\"")).map(String::as_str).collect();
    assert!(story[1].contains(r#""type":"work_found""#), "{story:#?}");
    assert!(story[2].contains(r#""handle":{"text":"unit"}"#), "{story:#?}");
    // Two reasons, though it was polled five times.
    assert_eq!(story.iter().filter(|l| l.contains("step_waiting")).count(), 2);
    assert!(story[5].starts_with("240000 ") && story[5].contains("step_done"), "{story:#?}");
    assert_eq!(bench.calls()[..3], ["check done#1", "check long#1", "start long#1"]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_the_failure_of_its_step() {
    let (outcome, told) = Bench::new(&["bug"], true, pause()).whole().await;
    assert_eq!(outcome, Outcome::Paused);
    assert!(told.iter().any(|l| l.contains("a bug in kup: index out of bounds") && l.contains("final")));
}

#[tokio::test(start_paused = true)]
async fn a_verb_that_this_kup_lacks_fails_its_step() {
    let (outcome, told) = Bench::new(&["foreign"], true, pause()).whole().await;
    assert_eq!(outcome, Outcome::Paused);
    assert!(told.iter().any(|l| l.contains("this kup has no verb `other`")));
}

#[tokio::test(start_paused = true)]
async fn what_was_done_is_taken_back_by_its_own_steps() {
    let bench = Bench::new(&["one", "steps", "final"], true, OnFailure::Rollback);
    let (outcome, _) = bench.whole().await;
    assert_eq!(outcome, Outcome::Compensated);
    let calls = bench.calls();
    let back = calls.iter().position(|c| c.contains("undo")).unwrap();
    assert!(calls[back..].ends_with(&[
        "check steps/undo/1#1".to_string(),
        "start steps/undo/1#1".into(),
        "check steps/undo/2#1".into(),
        "start steps/undo/2#1".into(),
        "undo one#1".into(),
    ]));
}

#[tokio::test(start_paused = true)]
async fn a_clean_up_holds_nothing_but_the_end_of_the_run_and_that_not_for_long() {
    let bench = Bench::new(&["detached/a", "b"], true, pause());
    let (_, told) = bench.whole().await;
    assert!(told.last().unwrap().starts_with("0 "), "{told:#?}");
    assert_eq!(bench.calls().last().unwrap(), "clean detached/a#1");
    let began = tokio::time::Instant::now();
    let bench = Bench::new(&["detached/stuck"], true, pause());
    assert_eq!(bench.whole().await.0, Outcome::Done);
    assert_eq!(began.elapsed(), Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn a_silent_attempt_ends_at_its_timeout_and_is_dropped() {
    let bench = Bench::new(&["silent"], true, pause());
    let (outcome, told) = bench.whole().await;
    assert_eq!(outcome, Outcome::Paused);
    assert!(told.iter().any(|l| l.starts_with("600000 ") && l.contains("attempt_failed")), "{told:#?}");
    assert_eq!(bench.calls(), ["check silent#1", "check silent#2"]);
}

#[tokio::test(start_paused = true)]
async fn a_simulated_run_is_the_same_each_time() {
    let keys = ["a", "long", "done", "b", "c", "d", "e", "f", "steps"];
    let (_, first) = Bench::new(&keys, false, pause()).whole().await;
    for _ in 0..5 {
        assert_eq!(Bench::new(&keys, false, pause()).whole().await.1, first);
    }
}

#[test]
fn it_also_runs_on_many_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let bench = Bench::new(&["a", "b", "c", "done"], false, pause());
    assert_eq!(runtime.block_on(bench.whole()).0, Outcome::Done);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_killed_goes_on_from_its_journal() {
    let bench = Bench::new(&["one", "long", "last"], true, pause());
    let (people, inputs) = mpsc::channel(8);
    people.send(Input::Begin { by: "ann".into(), why: String::new() }).await.unwrap();
    {
        let mut journal = bench.journal();
        let mut machine = Machine::new(Arc::new(bench.stored.plan.clone()), 1);
        let killed = bench.drive(&mut machine, &mut journal, inputs);
        assert!(tokio::time::timeout(Duration::from_secs(90), killed).await.is_err());
    }
    let (mut journal, recorded) = bench.folder.resume(&bench.stored, false).unwrap();
    let mut machine = Machine::replay(Arc::new(bench.stored.plan.clone()), 1, recorded.events);
    let (people, inputs) = mpsc::channel(8);
    people.send(Input::Begin { by: "bob".into(), why: String::new() }).await.unwrap();
    let (outcome, told) = bench.drive(&mut machine, &mut journal, inputs).await;
    assert_eq!(outcome.unwrap(), Outcome::Done);
    assert!(told[0].contains("run_resumed") && told[0].contains("bob"));
    let count = |what: &str| bench.calls().iter().filter(|c| c.starts_with(what)).count();
    assert_eq!((count("start one"), count("start long"), count("start last")), (1, 1, 1));
    let all = bench.folder.read(&bench.stored).unwrap();
    assert!(all.events.windows(2).all(|w| w[0].0 <= w[1].0));
}

#[tokio::test(start_paused = true)]
async fn three_interrupts_leave_at_once() {
    let bench = Bench::new(&["long", "last"], true, pause());
    let (people, inputs) = mpsc::channel(8);
    people.send(Input::Begin { by: "ann".into(), why: String::new() }).await.unwrap();
    let shouting = async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(20)).await;
            people.send(Input::Interrupt { by: "ann".into(), why: String::new() }).await.unwrap();
        }
        std::future::pending::<()>().await;
    };
    let mut machine = Machine::new(Arc::new(bench.stored.plan.clone()), 1);
    let mut journal = bench.journal();
    let (outcome, told) = tokio::select! {
        end = bench.drive(&mut machine, &mut journal, inputs) => end,
        () = shouting => unreachable!(),
    };
    assert_eq!(outcome.unwrap(), Outcome::Paused);
    assert!(told.last().unwrap().starts_with("40000 ") || told.last().unwrap().starts_with("60000 "));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_nobody_begins_does_not_hang() {
    let bench = Bench::new(&["one"], true, pause());
    let (people, inputs) = mpsc::channel(8);
    drop(people);
    let mut machine = Machine::new(Arc::new(bench.stored.plan.clone()), 1);
    let (outcome, _) = bench.drive(&mut machine, &mut bench.journal(), inputs).await;
    assert!(matches!(outcome, Err(RunError::Stuck)));
}
