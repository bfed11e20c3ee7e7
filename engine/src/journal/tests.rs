use std::io;
use std::os::unix::fs::PermissionsExt;

use dsl::program::{Effect, OnFailure, Retry, Thing, When};
use dsl::span::{FileId, Span};
use dsl::value::{Batch, Value, Window};
use indexmap::IndexMap;
use petgraph::stable_graph::StableDiGraph;
use proptest::prelude::*;

use super::format::WireEvent;
use super::value::WireValue;
use super::*;
use crate::event::{Event, Failure, Fired, HookEnd, Outcome};
use crate::inventory::{Inventory, Node, PackageManager};
use crate::plan::{
    Gate, Hook, Lanes, Plan, Scope, ScopeId, ScopeKind, Step, StepId, Undo, UndoStep, Vertex, Work,
};

/// `cordon` and `drain` in one lane of `workers`.
pub(crate) fn plan() -> Plan {
    let mut graph = StableDiGraph::new();
    let open = graph.add_node(Vertex::Open(ScopeId(0)));
    let gone = graph.add_node(Vertex::Open(ScopeId(0)));
    let steps: Vec<_> = (0..2).map(|i| graph.add_node(Vertex::Step(StepId(i)))).collect();
    let close = graph.add_node(Vertex::Close(ScopeId(0)));
    graph.remove_node(gone);
    for pair in [open, steps[0], steps[1], close].windows(2) {
        graph.add_edge(pair[0], pair[1], ());
    }
    let waits = |name: &str| dsl::program::Expr {
        kind: dsl::program::ExprKind::Result(0, name.to_string()),
        ty: dsl::value::Type::Number,
        span: Span { file: FileId(1), start: 3, end: 9 },
    };
    let retry = Retry { times: 3, min: 1000, max: 60_000 };
    let undo = UndoStep {
        action: "uncordon".into(),
        text: "uncordon".into(),
        args: IndexMap::new(),
        later: [("grace".to_string(), waits("todo"))].into(),
        node: Some("w1".into()),
        long: false,
        timeout: 60_000,
        retry,
    };
    let step = |i: usize, verb: &str, undo: Undo| Step {
        key: format!("workers/w1/{verb}"),
        action: verb.into(),
        text: verb.into(),
        node: Some("w1".into()),
        args: [("within".to_string(), Value::Duration(600_000))].into(),
        later: [("within".to_string(), waits("limit"))].into_iter().filter(|_| i == 1).collect(),
        gives: (i == 0).then_some(dsl::value::Type::Number),
        effect: Effect::DisruptsNode,
        long: i == 1,
        timeout: 600_000,
        retry,
        undo,
        needs: vec![],
        ensures: vec![format!("{verb}ed(w1)")],
        follows: vec!["changed(w1)".into()],
        ends: if i == 0 { vec!["drained(w1)".into()] } else { vec![] },
        prepares: i == 0,
        preflight: false,
        work: Work::Change { now: "ready".into(), then: "drained".into() },
        maybe: i == 1,
        scope: ScopeId(0),
        vertex: steps[i],
        span: Span { file: FileId(1), start: 3, end: 9 },
    };
    let lanes = Lanes { lanes: vec![ScopeId(0)], windows: vec![1, 3], canary: 1, soak: 5000 };
    let hook = Hook {
        on: Thing::Node,
        when: When::Done,
        scope: Some(ScopeId(1)),
        text: "node done".into(),
        steps: vec![undo.clone()],
    };
    Plan {
        title: "test".into(),
        params: IndexMap::from([("to".to_string(), Value::Version("v1.34.2".parse().unwrap()))]),
        origins: IndexMap::from([("to".to_string(), "--set".to_string())]),
        steps: vec![
            step(0, "cordon", Undo::Steps(vec![undo])),
            step(1, "drain", Undo::OneWay("gone".into())),
        ],
        scopes: vec![
            Scope { kind: ScopeKind::Playbook, key: "workers".into(), parent: None, open, close },
            Scope {
                kind: ScopeKind::Each(lanes),
                key: "workers".into(),
                parent: Some(ScopeId(0)),
                open,
                close,
            },
        ],
        graph,
        on_failure: OnFailure::Continue(2),
        windows: [(Gate::Scope(ScopeId(0)), "daily 00:00-06:00 UTC".to_string())].into(),
        approvals: [
            (Gate::Step(StepId(1)), "go on?".to_string()),
            (Gate::Scope(ScopeId(0)), "begin?".to_string()),
        ]
        .into(),
        scripts: IndexMap::from([("announce".to_string(), "say(text)".to_string())]),
        hosts: vec!["hooks.slack.com".to_string()],
        hooks: vec![hook],
    }
}

fn stored() -> Stored {
    let node = Node {
        name: "w1".into(),
        ssh: "admin@w1".into(),
        kubelet: Some("v1.33.4+k3s1".parse().unwrap()),
        labels: [("zone".to_string(), "a".to_string())].into(),
        packages: Some(PackageManager::Dnf),
        ..Node::default()
    };
    let inventory = Inventory {
        cluster: "u-1".into(),
        version: Some("v1.33.4".parse().unwrap()),
        nodes: [("w1".to_string(), node)].into(),
        ..Inventory::default()
    };
    Stored { digest: "d1".into(), folder: "/srv/playbooks".into(), plan: plan(), inventory }
}

fn header(plan: &str) -> Header {
    Header {
        run: "20261121-120305-4f2a".into(),
        cluster: "u-1".into(),
        host: "laptop".into(),
        user: "ann".into(),
        started: "2026-11-21T12:03:05Z".into(),
        plan: plan.into(),
        seed: 7,
    }
}

fn events() -> Vec<(u64, Event)> {
    let (cordon, drain) = (StepId(0), StepId(1));
    let failure = Failure::unknown("ssh \"ended\"\nwith 255").with_output("a\tb").with_hint("look at w1");
    let all = [
        Event::RunStarted,
        Event::RunResumed { by: "ann".into(), why: "the mirror is back".into() },
        Event::ScopeOpened(ScopeId(1)),
        Event::AttemptStarted(cordon, 1),
        Event::WorkFound {
            step: cordon,
            attempt: 1,
            now: "a".into(),
            then: "b".into(),
            before: Value::List(vec![Value::Bool(true), Value::None]),
        },
        Event::StepDone { step: cordon, attempt: 1, changed: true, value: Value::Text("ok".into()) },
        Event::WorkBegan { step: drain, attempt: 1, handle: Value::Number(-4) },
        Event::StepWaiting { step: drain, attempt: 1, reason: "pod shop/db-1".into() },
        Event::StepSlow { step: drain, attempt: 1, until: 98 },
        Event::AttemptFailed { step: drain, attempt: 1, failure: failure.clone(), until: 99 },
        Event::StepFailed { step: drain, attempt: 2, failure: failure.clone() },
        Event::StepSkipped(drain, "no".into()),
        Event::UndoStarted { step: cordon, attempt: 1 },
        Event::UndoRetried { step: cordon, attempt: 1, failure: failure.clone(), until: 7 },
        Event::UndoDone(cordon),
        Event::UndoFailed(cordon, failure),
        Event::HookStarted {
            fired: Fired { number: 1, hook: 0, scope: ScopeId(1), step: Some((drain, 2)) },
            reason: "no".into(),
            output: String::new(),
        },
        Event::HookWaiting {
            fired: Fired { number: 1, hook: 0, scope: ScopeId(1), step: Some((drain, 2)) },
            reason: "calm".into(),
        },
        Event::HookEnded {
            fired: Fired { number: 1, hook: 0, scope: ScopeId(0), step: None },
            end: HookEnd::Broke("in line 2".into()),
        },
        Event::RunPaused("look".into()),
        Event::RollbackStarted { by: "ann".into(), why: String::new() },
        Event::Stopping { by: "ann".into(), why: "lunch".into() },
        Event::StepWaived { step: StepId(1), by: "ann".into(), why: "drained by hand".into() },
        Event::RetryAsked { step: StepId(1), by: "ann".into(), why: String::new() },
        Event::RunAborted { by: "ann".into(), why: "another way".into() },
        Event::LockTaken { by: "ann".into(), from: "r@h (bob)".into(), why: "his laptop is lost".into() },
        Event::WindowAwaited {
            gate: Gate::Step(StepId(1)),
            window: "daily 00:00-06:00 UTC".into(),
            opens: "Sat 2026-11-21 00:00 UTC".into(),
        },
        Event::ApprovalAsked { gate: Gate::Scope(ScopeId(0)), question: "begin?".into() },
        Event::ApprovalGiven {
            gate: Gate::Scope(ScopeId(0)),
            by: "ann".into(),
            when: "2026-11-21T12:03:05Z".into(),
            why: "looks well".into(),
        },
        Event::ApprovalRefused {
            gate: Gate::Step(StepId(1)),
            by: "ann".into(),
            when: "2026-11-21T12:03:05Z".into(),
        },
        Event::ScopeClosed(ScopeId(0)),
        Event::RunFinished(Outcome::Compensated),
    ];
    (0..).map(|i| i * 10).zip(all).collect()
}

/// Writes the events in a new folder and returns it with the journal's bytes.
fn written() -> (tempfile::TempDir, Folder, Vec<u8>) {
    let root = tempfile::tempdir().unwrap();
    let folder = Store::new(root.path()).create("20261121-120305-4f2a").unwrap();
    let mut journal = folder.begin(&header("d1"), &plan(), true).unwrap();
    journal.append(&events()[..3]).unwrap();
    journal.append(&events()[3..]).unwrap();
    let bytes = std::fs::read(folder.path().join("journal.jsonl")).unwrap();
    (root, folder, bytes)
}

fn read(bytes: &[u8]) -> Result<Recorded, JournalError> {
    Recorded::read(bytes, &Keys::new(&plan()), "d1")
}

#[test]
fn what_was_written_is_read() {
    let (_root, folder, _) = written();
    let recorded = folder.read(&stored()).unwrap();
    assert_eq!(recorded.events, events());
    assert_eq!(recorded.header, header("d1"));
    assert_eq!(recorded.torn, None);
}

#[test]
fn a_line_names_steps_by_their_keys_and_scopes_with_equal_keys_apart() {
    let keys = Keys::new(&plan());
    let line = |event: &Event| keys.json(event).to_string();
    assert_eq!(
        line(&Event::AttemptStarted(StepId(1), 2)),
        r#"{"type":"attempt_started","step":"workers/w1/drain","attempt":2}"#
    );
    assert_eq!(line(&Event::ScopeOpened(ScopeId(1))), r##"{"type":"scope_opened","scope":"workers#2"}"##);
}

#[test]
fn a_cut_anywhere_in_the_last_record_loses_only_that_record() {
    let (_root, _, bytes) = written();
    let last = bytes[..bytes.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    for cut in last..bytes.len() {
        let recorded = read(&bytes[..cut]).unwrap();
        assert_eq!(recorded.events, events()[..events().len() - 1], "cut at {cut}");
        let torn = (cut > last).then(|| Torn { offset: last as u64, bytes: (cut - last) as u64 });
        assert_eq!(recorded.torn, torn);
    }
}

#[test]
fn a_flipped_bit_is_detected_wherever_it_is() {
    let (_root, _, mut bytes) = written();
    for at in 0..bytes.len() {
        let bit = 1 << (at % 8);
        bytes[at] ^= bit;
        // In the last record it cannot be told from a torn write: that record does not count. Any
        // other record was safe on disk once.
        if let Ok(recorded) = read(&bytes) {
            assert!(recorded.torn.is_some(), "byte {at}");
            assert_eq!(recorded.events, events()[..events().len() - 1], "byte {at}");
        }
        bytes[at] ^= bit;
    }
}

#[test]
fn a_resumed_journal_goes_on_behind_the_cut() {
    let (_root, folder, bytes) = written();
    let path = folder.path().join("journal.jsonl");
    std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    let (mut journal, recorded) = folder.resume(&stored(), true).unwrap();
    assert!(recorded.torn.is_some());
    journal.append(&events()[events().len() - 1..]).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn there_is_one_writer() {
    let (_root, folder, _) = written();
    let _journal = folder.resume(&stored(), true).unwrap();
    assert!(matches!(folder.resume(&stored(), true), Err(JournalError::Busy(_))));
    assert!(folder.read(&stored()).is_ok());
}

#[test]
fn others_cannot_read_a_run() {
    let (_root, folder, _) = written();
    folder.save(&stored()).unwrap();
    let mode = |name: &str| folder.path().join(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(""), mode("journal.jsonl"), mode("plan.json")], [0o700, 0o600, 0o600]);
}

#[test]
fn a_foreign_or_broken_file_is_refused_with_its_place() {
    let (_root, _, bytes) = written();
    let message = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
    assert!(message(b"").contains("byte 0: the file is empty"));
    assert!(message(b"\x7fELF\xff\xfe\n\x00").contains("byte 0: the file is not text"));
    assert!(message(b"hello\n").contains("not the header"));
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(message(text.replacen("\"v\":1", "\"v\":2", 1).as_bytes()).contains("version 2"));
    let other = Recorded::read(&bytes, &Keys::new(&plan()), "d2").unwrap_err().to_string();
    assert!(other.contains("a journal of another run"), "{other}");
    let lines: Vec<&str> = text.lines().collect();
    let without = [&lines[..4], &lines[5..]].concat().join("\n") + "\n";
    assert!(message(without.as_bytes()).contains("records follow"));
}

#[test]
fn a_full_disk_ends_the_run_before_the_effect() {
    let recorded = read(header("d1").write().unwrap().as_bytes()).unwrap();
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    let mut journal =
        Journal::new(Box::new(full), "journal.jsonl".into(), Keys::new(&plan()), &recorded, true);
    let error = journal.append(&events()).unwrap_err();
    assert!(error.to_string().contains("kup resume"), "{error}");
    assert!(
        matches!(error, JournalError::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull)
    );
}

#[test]
fn a_sync_that_failed_once_is_never_tried_again() {
    struct Failing(u32);
    impl Storage for Failing {
        fn append(&mut self, _: &[u8]) -> io::Result<()> {
            Ok(())
        }
        fn sync(&mut self) -> io::Result<()> {
            self.0 += 1;
            assert_eq!(self.0, 1);
            Err(io::Error::other("EIO"))
        }
    }
    let recorded = read(header("d1").write().unwrap().as_bytes()).unwrap();
    let mut journal = Journal::new(Box::new(Failing(0)), "j".into(), Keys::new(&plan()), &recorded, true);
    assert!(matches!(journal.append(&events()), Err(JournalError::Write { .. })));
    assert!(matches!(journal.append(&events()), Err(JournalError::Closed)));
}

#[test]
fn a_stored_plan_is_the_plan() {
    let (one, text) = (stored(), stored().to_json().unwrap());
    let two = Stored::from_json(&text).unwrap();
    assert_eq!((&one.plan.steps, &one.plan.scopes), (&two.plan.steps, &two.plan.scopes));
    assert_eq!((&one.plan.params, &one.plan.on_failure), (&two.plan.params, &two.plan.on_failure));
    assert_eq!(one.plan.origins, two.plan.origins);
    assert_eq!((&one.inventory, &one.folder), (&two.inventory, &two.folder));
    let vertices = |p: &Plan| p.graph.node_indices().map(|i| (i, p.graph[i])).collect::<Vec<_>>();
    let edges = |p: &Plan| p.graph.edge_indices().map(|e| p.graph.edge_endpoints(e)).collect::<Vec<_>>();
    assert_eq!((vertices(&one.plan), edges(&one.plan)), (vertices(&two.plan), edges(&two.plan)));
    assert_eq!(two.to_json().unwrap(), text);
    let changed = Stored::from_json(&text.replacen("v1.34.2", "v1.34.3", 1)).unwrap_err();
    assert!(changed.to_string().contains("checksum"));
}

#[test]
fn a_run_is_found_by_the_beginning_of_its_id() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::new(root.path());
    assert!(matches!(store.open(None), Err(JournalError::NoRuns)));
    for run in ["20261121-120305-4f2a", "20261121-130000-0001", "20261122-080000-aaaa"] {
        store.create(run).unwrap();
    }
    let open = |run| store.open(run).map(|f| f.run().to_string());
    assert_eq!(open(None).unwrap(), "20261122-080000-aaaa");
    assert_eq!(open(Some("20261121-12")).unwrap(), "20261121-120305-4f2a");
    assert!(matches!(open(Some("20261121")), Err(JournalError::Ambiguous { runs, .. }) if runs.len() == 2));
    assert!(matches!(open(Some("2025")), Err(JournalError::NoRun(_))));
    assert_eq!(run_id(std::time::Duration::from_secs(1_795_262_585), 0x4f2a), "20261121-120305-4f2a");
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Number),
        any::<String>().prop_map(Value::Text),
        any::<String>().prop_map(Value::Path),
        any::<u64>().prop_map(Value::Duration),
        any::<u32>().prop_map(Value::Share),
        any::<u64>().prop_map(Value::Size),
        (0..3u32, 0..50u32, 0..50u32, prop_oneof!["", "-rc\\.[0-9]", "\\+k3s[0-9]", "-gke\\.[0-9]{4}"])
            .prop_map(|(a, b, c, s)| Value::Version(format!("v{a}.{b}.{c}{s}").parse().unwrap())),
        "v1\\.[1-9][0-9]".prop_map(|m| Value::Minor(m.parse().unwrap())),
        prop::collection::vec(
            prop_oneof![any::<u32>().prop_map(Window::Count), any::<u32>().prop_map(Window::Share)],
            0..3
        )
        .prop_map(|w| Value::Batch(Batch(w))),
        any::<String>().prop_map(Value::Word),
        any::<String>().prop_map(Value::Node),
        any::<Vec<String>>().prop_map(Value::Nodes),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::vec((any::<String>(), inner), 0..4)
                .prop_map(|fields| Value::Record(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_comes_back(value in values()) {
        let text = serde_json::to_string(&WireValue::from(&value)).unwrap();
        let wire: WireValue = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(wire.read().unwrap(), value.clone());
        let event = Event::WorkBegan { step: StepId(0), attempt: 1, handle: value };
        let keys = Keys::new(&plan());
        let text = serde_json::to_string(&WireEvent::write(&event, &keys)).unwrap();
        let wire: WireEvent<'_> = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(wire.read(&keys).unwrap(), event);
    }
}

#[test]
fn a_journal_is_written_again_to_its_end_and_no_further() {
    let folder = tempfile::tempdir().unwrap();
    let folder = Store::new(folder.path()).create("r").unwrap();
    let stored = stored();
    let event = |attempt| (u64::from(attempt), Event::AttemptStarted(StepId(0), attempt));
    let mut journal = folder.begin(&header("d1"), &stored.plan, false).unwrap();
    for attempt in 1..=3 {
        journal.append(&[event(attempt)]).unwrap();
    }

    let mut again = folder.again(&stored, 1, 3).unwrap();
    assert_eq!(again.before, [event(1)]);
    again.journal.append(&[event(2)]).unwrap();
    assert!(!again.is_the_same(), "a record is missing");
    // The round in which kup died is cut at what had reached the disk.
    again.journal.append(&[event(3), event(4)]).unwrap_err();
    assert!(again.is_the_same());

    let mut other = folder.again(&stored, 0, 3).unwrap();
    other.journal.append(&[event(1), event(7)]).unwrap_err();
    assert!(!other.is_the_same());
    assert!(folder.again(&stored, 2, 9).is_err());
}

#[test]
fn a_record_of_before_reasons_were_kept_is_read_without_one() {
    let read = |text: &str| serde_json::from_str::<super::format::WireRecord<'_>>(text).map(|r| r.event);
    for event in [
        r#"{"type":"run_resumed","by":"ann"}"#,
        r#"{"type":"rollback_started","by":"ann"}"#,
        r#"{"type":"stopping","by":"ann"}"#,
        r#"{"type":"approval_given","gate":{"scope":"one"},"by":"ann","when":"2026-11-21T12:03:05Z"}"#,
    ] {
        let line = format!(r#"{{"seq":1,"at":0,"event":{event}}}"#);
        // What is not said is not written either: the chain of an old journal holds.
        assert_eq!(serde_json::to_string(&read(&line).unwrap()).unwrap(), event);
    }
}
