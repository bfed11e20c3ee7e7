use std::fs::File;
use std::io::{self, Write};

use super::*;
use crate::journal::{Keys, Storage};
use crate::machine::Mode;

/// What a disk does to a write, from the n-th one on.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Half of it fits.
    Full,
    /// Nothing is taken.
    ReadOnly,
    /// It is taken, and nobody knows whether it will be there.
    Sync,
}

/// A disk that notes each sync among the calls of the action, with the records that are safe from then on.
struct Disk {
    file: File,
    calls: Arc<Mutex<Vec<String>>>,
    cached: Vec<String>,
    writes: usize,
    fault: Option<(usize, Fault)>,
}

impl Disk {
    fn fault(&self) -> Option<Fault> {
        self.fault.filter(|(from, _)| self.writes >= *from).map(|(_, fault)| fault)
    }
}

impl Storage for Disk {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writes += 1;
        match self.fault() {
            Some(Fault::Full) => {
                self.file.write_all(&bytes[..bytes.len() / 2])?;
                return Err(io::ErrorKind::StorageFull.into());
            }
            Some(Fault::ReadOnly) => return Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            Some(Fault::Sync) | None => self.file.write_all(bytes)?,
        }
        for line in std::str::from_utf8(bytes).unwrap().lines() {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            let of = ["type", "step", "attempt"].iter().filter_map(|name| match &record["event"][*name] {
                serde_json::Value::Null => None,
                serde_json::Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            });
            self.cached.push(of.collect::<Vec<_>>().join(" "));
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if let Some(Fault::Sync) = self.fault() {
            return Err(io::Error::other("EIO"));
        }
        let safe = std::mem::take(&mut self.cached);
        self.calls.lock().unwrap().push(format!("sync: {}", safe.join(", ")));
        Ok(())
    }
}

/// Drives a run whose disk has a fault; returns how it ended, and what was told.
async fn on_a_disk(bench: &Bench, fault: Option<(usize, Fault)>) -> (Result<Outcome, RunError>, Vec<String>) {
    drop(bench.journal());
    let recorded = bench.folder.read(&bench.stored).unwrap();
    let path = bench.folder.path().join("journal.jsonl");
    let file = File::options().append(true).open(&path).unwrap();
    let disk = Disk { file, calls: bench.calls.clone(), cached: Vec::new(), writes: 0, fault };
    let keys = Keys::new(&bench.stored.plan);
    let mut journal = Journal::new(Box::new(disk), path, keys, &recorded, true);
    let (people, inputs) = mpsc::channel(8);
    people.send(Input::Begin { by: "ann".into(), why: String::new() }).await.unwrap();
    let mut machine = Machine::new(Arc::new(bench.stored.plan.clone()), 1);
    bench.drive(&mut machine, &mut journal, inputs).await
}

#[tokio::test(start_paused = true)]
async fn a_step_has_one_sync_on_its_critical_path() {
    let bench = Bench::new(&["a", "b", "c"], true, pause());
    assert_eq!(on_a_disk(&bench, None).await.0.unwrap(), Outcome::Done);
    expect_test::expect![[r#"
        check a#1
        sync: run_started, scope_opened, attempt_started a 1, work_found a 1
        start a#1
        check b#1
        sync: step_done a 1, attempt_started b 1, work_found b 1
        start b#1
        check c#1
        sync: step_done b 1, attempt_started c 1, work_found c 1
        start c#1
        sync: step_done c 1, scope_closed, run_finished
    "#]]
    .assert_eq(&(bench.calls().join("\n") + "\n"));
    // Many steps that begin and end at once share theirs; how many come in one round is the runtime's choice.
    let keys: Vec<String> = (0..200).map(|i| i.to_string()).collect();
    let bench = Bench::new(&keys.iter().map(String::as_str).collect::<Vec<_>>(), false, pause());
    assert_eq!(on_a_disk(&bench, None).await.0.unwrap(), Outcome::Done);
    let syncs = bench.calls().iter().filter(|call| call.starts_with("sync")).count();
    assert!(syncs <= 8, "{syncs} syncs for 200 steps side by side");
}

#[tokio::test(start_paused = true)]
async fn what_must_be_asked_for_is_asked_while_the_disk_writes() {
    let bench = Bench::new(&["a", "asks"], true, pause());
    assert_eq!(on_a_disk(&bench, None).await.0.unwrap(), Outcome::Done);
    expect_test::expect![[r#"
        check a#1
        sync: run_started, scope_opened, attempt_started a 1, work_found a 1
        start a#1
        check asks#1
        sync: step_done a 1, attempt_started asks 1
        answer asks#1
        sync: work_found asks 1
        start asks#1
        sync: step_done asks 1, scope_closed, run_finished
    "#]]
    .assert_eq(&(bench.calls().join("\n") + "\n"));
}

#[tokio::test(start_paused = true)]
async fn nothing_that_changes_begins_before_its_intent_is_on_disk() {
    let keys = ["a", "asks", "long", "steps", "detached/d", "b", "final"];
    for in_order in [true, false] {
        let bench = Bench::new(&keys, in_order, OnFailure::Rollback);
        on_a_disk(&bench, None).await.0.unwrap();
        let (calls, mut safe, mut effects) = (bench.calls(), Vec::new(), 0);
        for call in &calls {
            if let Some(records) = call.strip_prefix("sync: ") {
                safe.extend(records.split(", "));
                continue;
            }
            let (what, of) = call.split_once(' ').unwrap();
            let (key, attempt) = of.split_once('#').unwrap();
            let of_undo = key.split_once("/undo/").map(|(step, _)| step);
            let intents = match (what, of_undo) {
                ("check" | "answer", None) => continue,
                (_, Some(step)) => vec![format!("undo_started {step} {attempt}")],
                ("start", None) => vec![format!("work_found {key} {attempt}")],
                ("poll", None) => vec![format!("work_began {key} {attempt}")],
                ("undo", None) => vec![format!("undo_started {key} {attempt}")],
                // What tells how it ended may go once that is known here.
                ("clean", None) => vec![format!("step_done {key} {attempt}"), format!("undo_done {key}")],
                other => panic!("{other:?} is not known"),
            };
            effects += 1;
            let is_safe = intents.iter().any(|intent| safe.contains(&intent.as_str()));
            assert!(is_safe, "{call} before {intents:?}: {calls:#?}");
        }
        assert!(effects > 10, "{calls:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_ends_the_run_before_the_effect_and_the_run_goes_on_once_it_is_mended() {
    let keys = ["once/a", "asks", "long", "once/b", "once/c"];
    for fault in [Fault::Full, Fault::ReadOnly, Fault::Sync] {
        for from in 1.. {
            let bench = Bench::new(&keys, true, pause());
            let (ended, told) = on_a_disk(&bench, Some((from, fault))).await;
            if ended.is_ok() {
                assert!(from > keys.len(), "the fault was never met");
                break;
            }
            let why = ended.unwrap_err().to_string();
            assert!(why.contains("cannot write `") && why.contains("kup resume"), "{why}");
            // What was begun is what was said to be: the fault came before the effect.
            let found = told.iter().filter(|line| line.contains("work_found")).count();
            let begun = bench.calls().iter().filter(|call| call.starts_with("start ")).count();
            assert_eq!(begun, found, "{fault:?} from {from}: {told:#?}");

            let (mut journal, recorded) = bench.folder.resume(&bench.stored, true).unwrap();
            let mut machine = Machine::replay(Arc::new(bench.stored.plan.clone()), 1, recorded.events);
            // A sync that failed may have come behind the very end.
            if machine.state().mode() != Mode::Finished(Outcome::Done) {
                let (people, inputs) = mpsc::channel(8);
                people.send(Input::Begin { by: "bob".into(), why: String::new() }).await.unwrap();
                drop(people);
                let (outcome, _) = bench.drive(&mut machine, &mut journal, inputs).await;
                assert_eq!(outcome.unwrap(), Outcome::Done, "{fault:?} from {from}");
            }
            for once in ["once/a", "once/b", "once/c"] {
                let starts =
                    bench.calls().iter().filter(|c| c.starts_with(&format!("start {once}#"))).count();
                assert_eq!(starts, 1, "{once}, {fault:?} from {from}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_ends_the_run_before_the_effect() {
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    let bench = Bench::new(&["one"], true, pause());
    drop(bench.journal());
    let recorded = bench.folder.read(&bench.stored).unwrap();
    let keys = Keys::new(&bench.stored.plan);
    let mut journal = Journal::new(Box::new(full), "journal.jsonl".into(), keys, &recorded, true);
    let (people, inputs) = mpsc::channel(8);
    people.send(Input::Begin { by: "ann".into(), why: String::new() }).await.unwrap();
    let mut machine = Machine::new(Arc::new(bench.stored.plan.clone()), 1);
    let (outcome, told) = bench.drive(&mut machine, &mut journal, inputs).await;
    assert!(outcome.unwrap_err().to_string().contains("kup resume"));
    assert!(told.is_empty());
    // It was looked, which changes nothing, and no more.
    assert_eq!(bench.calls(), ["check one#1"]);
}
