//! Every shipped playbook over three shapes of clusters and with faults: it comes to its end, changes what it should, has nothing to do
//! the second time, leaves what its head says when it is taken back, and gets through a fault or holds for a reason that can be read.

mod roads;

use engine::event::{Event, Outcome};
use engine::journal::Store;
use engine::machine::Input;
use sim::Fault;

use self::roads::{Met, ROADS, Road};
use crate::support::world::{Job, World, ann, shipped};
use crate::support::{repository, side_by_side};

/// Goes all roads; each says what was wrong.
#[track_caller]
fn on_all_roads(go: impl Fn(&Road) -> Vec<String> + Sync) {
    let wrong = side_by_side(&ROADS, go);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

impl Road {
    fn job(&self, shape: usize) -> Job {
        Job { playbook: self.playbook, given: self.given, shape: self.shapes[shape].0 }
    }
}

#[test]
fn a_road_comes_to_its_end_in_every_shape_and_a_second_run_has_nothing_to_do() {
    on_all_roads(|road| {
        let program = shipped(road.playbook, "");
        let go = |shape: usize| {
            let job = road.job(shape);
            let came = sim::runtime().block_on(async {
                let root = tempfile::tempdir().unwrap();
                let store = Store::new(root.path());
                let world = World::new(&job, &program).await;
                let first = (world.begin(&store, None).await.unwrap(), world.changed(&store).len());
                let world = world.again(&job, &program).await;
                let second = (world.begin(&store, None).await.unwrap(), world.changed(&store).len());
                (first, second)
            });
            let wanted = ((Outcome::Done, road.shapes[shape].1), (Outcome::Done, road.again[shape]));
            (came != wanted)
                .then(|| format!("{} on {:?}: {came:?}, not {wanted:?}", road.playbook, job.shape))
        };
        (0..3).filter_map(go).collect()
    });
}

/// A stage behind all others, which fails: everything before it is done.
const FAILS: &str = "\nstage fails { read command \"false\" on=local { retry 0 } }\n";

#[test]
fn a_road_that_is_taken_back_leaves_what_its_head_says() {
    on_all_roads(|road| {
        let program = shipped(road.playbook, FAILS);
        let mut wrong = Vec::new();
        for (shape, back) in road.back.into_iter().enumerate() {
            let job = road.job(shape);
            let name = format!("{} on {:?}", road.playbook, job.shape);
            let (mut before, mut held, mut after, outcome) = sim::runtime().block_on(async {
                let root = tempfile::tempdir().unwrap();
                let store = Store::new(root.path());
                let world = World::new(&job, &program).await;
                let (before, _) = world.state().await;
                assert_eq!(world.begin(&store, None).await.unwrap(), Outcome::Paused, "{name}");
                assert_eq!(world.changed(&store).len(), road.shapes[shape].1, "{name}: all of it is done");
                let held = world.end(&store).await.state;
                let wanted = Input::Rollback { by: "ann".into(), why: String::new() };
                let outcome = world.resume(&store, &ann(), wanted).await;
                (before, held, world.end(&store).await.state, outcome)
            });
            if back.is_some() && (outcome != Outcome::Compensated || held == before) {
                wrong.push(format!("{name}: {outcome:?}"));
            }
            // What was replaced is kept beside it.
            for state in [&mut before, &mut held, &mut after] {
                state.retain(|line| !line.contains(".previous"));
            }
            let is_back = |line: &&String| back.is_some_and(|name| line.starts_with(name));
            let (back, stays): (Vec<&String>, Vec<&String>) = after.iter().partition(is_back);
            let was: Vec<&String> = before.iter().filter(is_back).collect();
            let stayed: Vec<&String> = held.iter().filter(|line| !is_back(line)).collect();
            if (back.len(), stays.len()) != (was.len(), stayed.len()) {
                wrong.push(format!("{name}: another number of nodes, files or pods"));
            }
            let pairs = back.into_iter().zip(was).chain(stays.into_iter().zip(stayed));
            wrong.extend(
                pairs.filter(|(is, was)| is != was).map(|(is, was)| format!("{name}: {is}, not {was}")),
            );
        }
        wrong
    });
}

#[test]
fn a_fault_is_got_through_or_the_run_holds_and_says_why() {
    on_all_roads(|road| {
        let program = shipped(road.playbook, "");
        let go = |job: &Job, fault: Option<Fault>| {
            sim::runtime().block_on(async {
                let root = tempfile::tempdir().unwrap();
                let store = Store::new(root.path());
                let world = World::with(fault.into_iter().collect(), job, &program).await;
                let outcome = world.begin(&store, None).await.unwrap();
                // Where it holds, a machine may be away.
                let state = match outcome {
                    Outcome::Done => world.end(&store).await.state,
                    _ => Vec::new(),
                };
                let nodes = &sim::world::lock(&world.cluster.world).nodes;
                let struck = nodes.values().flat_map(|node| &node.armed).any(|fault| fault.struck > 0);
                (outcome, struck, world.events(&store), state)
            })
        };
        let met = |(fault, shape, met): &(&str, usize, Met)| {
            let job = road.job(*shape);
            let (outcome, struck, events, state) = go(&job, Some(Fault::parse(fault).unwrap()));
            let failed = events.iter().position(|event| matches!(event, Event::StepFailed { .. }));
            let is_well = match met {
                // A fault that nobody met would be none.
                Met::Through => outcome == Outcome::Done && struck && state == go(&job, None).3,
                Met::Holds(words) => {
                    let says = |event: &Event| matches!(event, Event::StepFailed { failure, .. } if failure.message.contains(words));
                    let begins = |event: &Event| matches!(event, Event::WorkFound { .. });
                    let behind = &events[failed.unwrap_or_default()..];
                    outcome == Outcome::Paused && behind.iter().any(says) && !behind.iter().any(begins)
                }
            };
            let name = format!("{} with {fault} on {:?}", road.playbook, job.shape);
            (!is_well).then(|| format!("{name}: {outcome:?}, {:?}", failed.map(|at| &events[at])))
        };
        road.faults.iter().filter_map(met).collect()
    });
}

#[test]
fn every_shipped_playbook_is_rehearsed_with_faults() {
    for entry in std::fs::read_dir(repository().join("playbooks")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "kup") {
            continue;
        }
        let name = path.file_stem().unwrap().to_string_lossy();
        let faults = ROADS.iter().filter(|road| road.playbook == name).flat_map(|road| road.faults).count();
        assert!(faults >= 2, "{name} is rehearsed with {faults} faults");
    }
}
