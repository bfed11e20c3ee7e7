//! Which steps have work.

use super::*;
use crate::event::Failure;
use crate::plan::{Work, forecast};

fn works(plan: &Plan, prefix: &str) -> Vec<(String, bool)> {
    let of = plan.steps.iter().filter(|s| s.key.starts_with(prefix));
    of.map(|s| (s.action.clone(), s.work.is_wanted())).collect()
}

#[test]
fn a_second_run_on_an_upgraded_cluster_has_no_work() {
    let mut plan = plan(&upgrade(), &inventory(3, 5));
    let probes = probes(&plan, |step| step.effect != Effect::Reads && !step.prepares);
    forecast(&mut plan, &probes);
    assert_eq!(plan.changes(), 0, "{:#?}", plan.steps.iter().find(|s| s.changes()));
    assert!(!plan.has_work());
    let why = |key| plan.step(id(&plan, key)).work.clone();
    assert_eq!(why("preflight/check-nodes-ready"), Work::Done("5 nodes ready".into()));
    assert_eq!(
        why("backup/etcd-snapshot"),
        Work::NotNeeded("nothing after it needs snapshot(cluster)".into())
    );
    assert_eq!(why("workers/w2/wait-healthy"), Work::NotNeeded("nothing before it changes w2".into()));
    assert_eq!(why("validate/wait-healthy"), Work::NotNeeded("nothing before it changes anything".into()));
    assert_eq!(why("workers/w2/uncordon"), Work::Done("is v1.34.2".into()));
}

#[test]
fn one_worker_left_is_drained_upgraded_and_uncordoned_and_no_other() {
    let mut plan = plan(&upgrade(), &inventory(3, 5));
    let left =
        |step: &crate::plan::Step| step.node.as_deref() == Some("w3") && step.action == "install kubelet";
    let probes = probes(&plan, |step| step.effect != Effect::Reads && !step.prepares && !left(step));
    forecast(&mut plan, &probes);
    let wanted = |action: &str| {
        matches!(action, "drain" | "install kubelet" | "restart kubelet" | "wait healthy" | "uncordon")
    };
    for (action, is_wanted) in works(&plan, "workers/w3/") {
        assert_eq!(is_wanted, wanted(&action), "{action}");
    }
    assert!(works(&plan, "workers/w2/").iter().all(|(_, wanted)| !wanted));
    assert!(works(&plan, "control_plane/").iter().all(|(_, wanted)| !wanted));
    assert!(plan.step(id(&plan, "validate/wait-healthy")).work.is_wanted());
    assert!(!plan.step(id(&plan, "backup/etcd-snapshot")).work.is_wanted());
    // drain, install, restart, uncordon
    assert_eq!(plan.changes(), 4);
}

#[test]
fn a_fresh_cluster_has_all_of_it_to_do() {
    let mut plan = plan(&upgrade(), &inventory(1, 2));
    let probes = probes(&plan, |step| step.action == "uncordon" || step.action == "restart kubelet");
    forecast(&mut plan, &probes);
    let idle: Vec<&str> = plan.steps.iter().filter(|s| !s.work.is_wanted()).map(|s| s.key.as_str()).collect();
    assert_eq!(idle, ["preflight/check-nodes-ready"]);
    assert_eq!(
        plan.step(id(&plan, "workers/w1/install-kubelet")).work,
        Work::Change { now: "v1.33.4".into(), then: "v1.34.2".into() }
    );
    let follows = &plan.step(id(&plan, "workers/w1/uncordon")).work;
    assert_eq!(follows, &Work::Change { now: String::new(), then: String::new() });
}

#[test]
fn what_could_not_be_asked_runs() {
    let mut plan = plan(&upgrade(), &inventory(1, 1));
    let mut probes = probes(&plan, |step| step.effect != Effect::Reads && !step.prepares);
    probes.insert(id(&plan, "workers/w1/install-kubelet"), Probe::Failed(Failure::transient("no route")));
    forecast(&mut plan, &probes);
    assert_eq!(plan.step(id(&plan, "workers/w1/install-kubelet")).work, Work::Runs);
    assert!(plan.step(id(&plan, "workers/w1/drain")).work.is_wanted());
}

#[test]
fn a_change_in_another_lane_is_not_earlier() {
    let mut plan = plan(&upgrade(), &inventory(2, 2));
    let first = id(&plan, "workers/w1/install-kubelet");
    let probes = probes(&plan, |step| {
        step.effect != Effect::Reads && !step.prepares && step.key != "workers/w1/install-kubelet"
    });
    forecast(&mut plan, &probes);
    assert!(plan.step(first).work.is_wanted());
    assert!(plan.step(id(&plan, "workers/w1/wait-healthy")).work.is_wanted());
    assert!(!plan.step(id(&plan, "workers/w2/wait-healthy")).work.is_wanted());
    assert!(!plan.step(id(&plan, "control_plane/cp2/wait-healthy")).work.is_wanted());
}

#[test]
fn one_lane_at_a_time_is_one_after_the_other() {
    let lanes = |batch: i64| {
        let verbs = vec![call(HEALTHY, vec![word("node"), lit(Value::None)]), call(RESTART, vec![here()])];
        let mut lanes = each(set(Set::Workers), verbs);
        lanes.batch = Some(lit(Value::Number(batch)));
        program(vec![stage("s", &[], vec![Stmt::Each(Box::new(lanes))])])
    };
    for (batch, sees) in [(1, true), (2, false)] {
        let mut plan = plan(&lanes(batch), &inventory(1, 3));
        let probes = probes(&plan, |step| step.effect != Effect::Reads && step.node.as_deref() != Some("w1"));
        forecast(&mut plan, &probes);
        let wanted = |key| plan.step(id(&plan, key)).work.is_wanted();
        assert!(!wanted("s/w1/wait-healthy"), "nothing is before it");
        assert!(wanted("s/w1/restart-kubelet"));
        assert_eq!(wanted("s/w2/wait-healthy"), sees);
        assert_eq!(wanted("s/w3/wait-healthy"), sees);
    }
}

#[test]
fn what_stands_behind_a_change_in_the_text_but_beside_it_in_the_graph_does_not_follow_it() {
    let lanes = |verb| Stmt::Each(Box::new(each(set(Set::Workers), vec![verb])));
    let beside = program(vec![
        stage("change", &[], vec![lanes(call(KUBELET, vec![target(), here()]))]),
        stage("look", &[], vec![lanes(call(HEALTHY, vec![word("node"), here()]))]),
        stage("later", &[0], vec![lanes(call(HEALTHY, vec![word("node"), here()]))]),
    ]);
    let mut plan = plan(&beside, &inventory(1, 2));
    let probes = probes(&plan, |step| step.effect != Effect::Reads && step.node.as_deref() == Some("w2"));
    forecast(&mut plan, &probes);
    let wanted = |key| plan.step(id(&plan, key)).work.is_wanted();
    assert!(!wanted("look/w1/wait-healthy"));
    assert!(wanted("later/w1/wait-healthy"));
    assert!(!wanted("later/w2/wait-healthy"));
}

#[test]
fn in_a_parallel_nothing_is_earlier_than_its_neighbors() {
    let w1 = || lit(Value::Node("w1".into()));
    let free = Stmt::Parallel(Block(vec![
        call(KUBELET, vec![target(), w1()]),
        call(HEALTHY, vec![word("node"), w1()]),
    ]));
    let after = call(HEALTHY, vec![word("node"), w1()]);
    let mut plan = plan(&program(vec![stage("s", &[], vec![free, after])]), &inventory(1, 1));
    let probes = probes(&plan, |_| false);
    forecast(&mut plan, &probes);
    let wanted: Vec<bool> = plan.steps.iter().map(|s| s.work.is_wanted()).collect();
    assert_eq!(wanted, [true, false, true]);
}

#[test]
fn stages_may_be_written_in_any_order() {
    let w1 = || lit(Value::Node("w1".into()));
    let mut plan = plan(
        &program(vec![
            stage("look", &[2], vec![call(HEALTHY, vec![word("node"), w1()])]),
            stage("change", &[], vec![call(KUBELET, vec![target(), w1()])]),
            stage("between", &[1], vec![call(READY, vec![])]),
        ]),
        &inventory(1, 1),
    );
    let probes = probes(&plan, |_| false);
    forecast(&mut plan, &probes);
    assert!(plan.step(id(&plan, "look/wait-healthy")).work.is_wanted());
}
