//! What a program becomes over an inventory.

use dsl::value::{Batch, Window};

use super::*;
use crate::plan::{ScopeKind, Undo, digest};

fn lanes(plan: &Plan) -> Vec<(&str, &crate::plan::Lanes)> {
    plan.scopes
        .iter()
        .filter_map(|s| match &s.kind {
            ScopeKind::Each(lanes) => Some((s.key.as_str(), lanes)),
            _ => None,
        })
        .collect()
}

#[test]
fn keys_name_stage_lane_and_verb() {
    let plan = plan(&upgrade(), &inventory(1, 1));
    let keys: Vec<&str> = plan.steps.iter().map(|s| s.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "preflight/check-nodes-ready",
            "backup/etcd-snapshot",
            "control_plane/cp1/install-kubeadm",
            "control_plane/cp1/kubeadm-upgrade-apply",
            "control_plane/cp1/drain",
            "control_plane/cp1/install-kubelet",
            "control_plane/cp1/restart-kubelet",
            "control_plane/cp1/wait-healthy",
            "control_plane/cp1/uncordon",
            "workers/w1/install-kubeadm",
            "workers/w1/kubeadm-upgrade-node",
            "workers/w1/drain",
            "workers/w1/install-kubelet",
            "workers/w1/restart-kubelet",
            "workers/w1/wait-healthy",
            "workers/w1/uncordon",
            "validate/wait-healthy",
        ]
    );
}

#[test]
fn a_repeated_key_is_numbered() {
    let twice = vec![call(READY, vec![]), call(READY, vec![]), call(READY, vec![])];
    let plan = plan(&program(vec![stage("s", &[], twice)]), &inventory(1, 0));
    let keys: Vec<&str> = plan.steps.iter().map(|s| s.key.as_str()).collect();
    assert_eq!(keys, ["s/check-nodes-ready", "s/check-nodes-ready#2", "s/check-nodes-ready#3"]);
}

#[test]
fn the_first_control_plane_applies_and_the_others_upgrade_as_nodes() {
    let plan = plan(&upgrade(), &inventory(3, 0));
    let actions = |node: &str| -> Vec<&str> {
        let of =
            plan.steps.iter().filter(|s| s.node.as_deref() == Some(node) && s.effect == Effect::DisruptsNode);
        of.map(|s| s.action.as_str()).collect()
    };
    assert_eq!(actions("cp1"), ["kubeadm upgrade apply", "drain", "restart kubelet"]);
    assert_eq!(actions("cp3"), ["kubeadm upgrade node", "drain", "restart kubelet"]);
}

#[test]
fn control_plane_nodes_go_one_at_a_time_whatever_batch_says() {
    let mut each = each(set(Set::Nodes), vec![call(DRAIN, vec![here()])]);
    each.batch = Some(lit(Value::Batch(Batch(vec![Window::Count(5)]))));
    let held = program(vec![stage("s", &[], vec![Stmt::Each(Box::new(each.clone()))])]);
    assert_eq!(lanes(&plan(&held, &inventory(1, 4)))[0].1.windows, [1]);
    each.policy.allow = vec![("one-control-plane-at-a-time".into(), "a test cluster".into())];
    let lifted = program(vec![stage("s", &[], vec![Stmt::Each(Box::new(each))])]);
    assert_eq!(lanes(&plan(&lifted, &inventory(1, 4)))[0].1.windows, [5]);
}

#[test]
fn a_batch_becomes_windows_and_nodes_with_a_gpu_come_last() {
    let mut program = upgrade();
    if let Stmt::Each(each) = &mut program.stages[3].body.0[0] {
        each.batch = Some(lit(Value::Batch(Batch(vec![Window::Count(1), Window::Share(5_000)]))));
    }
    let plan = plan(&program, &inventory(1, 4));
    let (_, workers) = lanes(&plan)[1];
    assert_eq!((workers.windows.as_slice(), workers.canary), ([1, 2].as_slice(), 1));
    let names: Vec<&str> = workers.lanes.iter().map(|l| plan.scope(*l).key.as_str()).collect();
    assert_eq!(names, ["workers/w1", "workers/w3", "workers/w4", "workers/w2"]);
}

#[test]
fn facts_are_grounded_and_conditions_decided() {
    let plan = plan(&upgrade(), &inventory(2, 1));
    let apply = plan.step(id(&plan, "control_plane/cp1/kubeadm-upgrade-apply"));
    assert_eq!(apply.needs, ["snapshot(cluster)"]);
    assert_eq!(apply.ensures, ["applied(cluster)", "changed(cp1)"]);
    let worker = plan.step(id(&plan, "workers/w1/kubeadm-upgrade-node"));
    assert_eq!(worker.needs, [""; 0]);
    assert_eq!(worker.follows, ["applied(cluster)", "kubeadm_installed(w1)"]);
    let control_plane = plan.step(id(&plan, "control_plane/cp2/kubeadm-upgrade-node"));
    assert_eq!(control_plane.needs, ["snapshot(cluster)"]);
    let validate = plan.step(id(&plan, "validate/wait-healthy"));
    assert_eq!(validate.follows, ["changed(*)"]);
}

#[test]
fn the_undo_class_is_the_first_whose_condition_holds() {
    let plan = plan(&upgrade(), &inventory(2, 1));
    let undo = |key| &plan.step(id(&plan, key)).undo;
    assert!(matches!(undo("control_plane/cp2/kubeadm-upgrade-node"), Undo::OneWay(_)));
    assert_eq!(undo("workers/w1/kubeadm-upgrade-node"), &Undo::Itself);
    let Undo::Steps(steps) = undo("workers/w1/drain") else { panic!("another verb takes it back") };
    assert_eq!((steps[0].action.as_str(), steps[0].node.as_deref()), ("uncordon", Some("w1")));
    assert_eq!(undo("workers/w1/uncordon"), &Undo::Nothing);
}

#[test]
fn a_step_that_says_so_has_nothing_to_take_back_where_its_header_does_not_know() {
    let plain = said(COMMAND, vec![text("date"), here()]);
    let mut allowed = plain.clone();
    allowed.policy.allow = vec![("undo-or-say-so".into(), "it only says so".into())];
    let lanes = each(set(Set::Workers), vec![Stmt::Step(plain), Stmt::Step(allowed)]);
    let plan = plan(&program(vec![stage("s", &[], vec![Stmt::Each(Box::new(lanes))])]), &inventory(1, 1));
    assert!(matches!(plan.steps[0].undo, Undo::OneWay(_)));
    assert_eq!(plan.steps[1].undo, Undo::Nothing);
}

#[test]
fn the_undo_block_of_a_step_outranks_its_header() {
    let mut command = said(COMMAND, vec![text("sysctl -w a=1"), here()]);
    command.policy.undo = Some(Block(vec![call(COMMAND, vec![text("sysctl -w a=0"), local(0)])]));
    let lanes = each(set(Set::Workers), vec![Stmt::Step(command)]);
    let plan = plan(&program(vec![stage("s", &[], vec![Stmt::Each(Box::new(lanes))])]), &inventory(1, 1));
    let Undo::Steps(steps) = &plan.steps[0].undo else { panic!("steps take it back") };
    assert_eq!(steps[0].text, "run command \"sysctl -w a=0\"");
    assert_eq!(steps[0].node.as_deref(), Some("w1"));
}

#[test]
fn the_nearest_policy_counts_field_by_field() {
    let mut program = upgrade();
    program.policy.timeout = Some(1_000);
    program.stages[2].policy.retry = Some(Retry { times: 7, min: 1, max: 2 });
    if let Stmt::Each(each) = &mut program.stages[2].body.0[0]
        && let Stmt::Step(drain) = &mut each.body.0[2]
    {
        drain.policy.timeout = Some(2_000);
    }
    let plan = plan(&program, &inventory(1, 1));
    let settled = |key| (plan.step(id(&plan, key)).timeout, plan.step(id(&plan, key)).retry.times);
    assert_eq!(settled("control_plane/cp1/drain"), (2_000, 7));
    assert_eq!(settled("control_plane/cp1/uncordon"), (1_000, 7));
    assert_eq!(settled("workers/w1/uncordon"), (1_000, 0));
    program.policy.timeout = None;
    let plan = super::plan(&program, &inventory(1, 1));
    assert_eq!(plan.step(id(&plan, "workers/w1/drain")).timeout, 15 * 60_000, "the header's");
    assert_eq!(plan.step(id(&plan, "workers/w1/uncordon")).timeout, 10 * 60_000, "the last resort");
}

#[test]
fn an_each_over_no_nodes_is_an_empty_scope() {
    let plan = plan(&upgrade(), &inventory(1, 0));
    assert!(lanes(&plan)[1].1.lanes.is_empty());
    assert!(!plan.steps.iter().any(|s| s.key.starts_with("workers/")));
}

#[test]
fn a_node_that_does_not_exist_is_found_once_for_all_lanes() {
    let ghost = call(DRAIN, vec![lit(Value::Node("w9".into()))]);
    let lanes = each(set(Set::Workers), vec![ghost]);
    let program = program(vec![stage("s", &[], vec![Stmt::Each(Box::new(lanes))])]);
    let findings = crate::plan::build(&program, &inventory(1, 3), &[version("v1.34.2")]).expect_err("no w9");
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].code, findings[0].message.as_str()), ("K0603", "there is no node `w9`"));
}

#[test]
fn this_machine_is_no_node() {
    let local = call(COMMAND, vec![text("ls"), lit(Value::Node("local".into()))]);
    let plan = plan(&program(vec![stage("s", &[], vec![local])]), &inventory(1, 0));
    assert_eq!((plan.steps[0].node.as_deref(), plan.steps[0].ensures.len()), (None, 0));
    assert_eq!(plan.steps[0].text, "run command ls on=local");
}

#[test]
fn stages_that_wait_for_each_other_are_refused() {
    let program = program(vec![stage("a", &[1], vec![]), stage("b", &[0], vec![])]);
    let findings =
        crate::plan::build(&program, &inventory(1, 0), &[version("v1.34.2")]).expect_err("a cycle");
    assert_eq!(findings[0].code, "K0604");
}

#[test]
fn the_digest_changes_with_what_will_be_done_and_with_nothing_else() {
    let base = plan(&upgrade(), &inventory(1, 2));
    let same = {
        let mut plan = base.clone();
        plan.title = "Another title".into();
        plan.steps[3].text = "another name".into();
        plan.steps[3].span = span(99);
        plan.steps[3].work = crate::plan::Work::Change { now: "x".into(), then: "y".into() };
        plan
    };
    assert_eq!(digest(&base), digest(&same));
    assert_eq!(digest(&base).len(), 64);

    type Edit = fn(&mut Plan);
    let edits: [(&str, Edit); 8] = [
        ("an argument", |p| p.steps[2].args[0] = version("v1.34.3")),
        ("a step that is not wanted", |p| p.steps[2].work = crate::plan::Work::Done("there".into())),
        ("a timeout", |p| p.steps[2].timeout += 1),
        ("a parameter", |p| p.params[0] = version("v1.34.3")),
        ("what follows a failure", |p| p.on_failure = OnFailure::Abort),
        ("an undo", |p| p.steps[2].undo = Undo::Nothing),
        ("an edge", |p| {
            let (a, b) = (p.steps[0].vertex, p.steps[5].vertex);
            p.graph.add_edge(a, b, ());
        }),
        ("a window", |p| {
            for scope in &mut p.scopes {
                if let ScopeKind::Each(lanes) = &mut scope.kind {
                    lanes.windows = vec![9];
                }
            }
        }),
    ];
    for (what, edit) in edits {
        let mut plan = base.clone();
        edit(&mut plan);
        assert_ne!(digest(&base), digest(&plan), "{what}");
    }
    assert_eq!(digest(&base), digest(&plan(&upgrade(), &inventory(1, 2))));
}

#[test]
fn a_question_stands_before_its_step_its_lanes_or_behind_the_canaries() {
    let ask = |words: &str| Some(Box::new(text(words)));
    let mut lane = each(set(Set::Workers), vec![call(DRAIN, vec![here()])]);
    lane.policy.approve = Some(Box::new(local(0)));
    let mut step = said(DRAIN, vec![here()]);
    step.policy.approve = ask("this step?");
    let mut canaries = each(set(Set::Workers), vec![Stmt::Step(step)]);
    canaries.canary = Some(dsl::program::Expr { ty: dsl::value::Type::Number, ..lit(Value::Number(2)) });
    canaries.policy.approve = Some(Box::new(local(0)));
    let lane = stage("one", &[], vec![Stmt::Each(Box::new(lane))]);
    let mut canaries = stage("two", &[], vec![Stmt::Each(Box::new(canaries))]);
    canaries.policy.approve = ask("this stage?");
    let plan = plan(&program(vec![lane, canaries]), &inventory(1, 3));
    let said: Vec<String> =
        plan.approvals.iter().map(|(g, q)| format!("{}: {q}", plan.gate_key(*g))).collect();
    assert_eq!(
        said,
        [
            "two/w1/drain: this step?",
            "two/w2/drain: this step?",
            "two/w3/drain: this step?",
            "one/w1: w1",
            "one/w2: w2",
            "one/w3: w3",
            "two: this stage?",
            "two/each: w3",
        ]
    );
    let asked = crate::plan::digest(&plan);
    let silent = super::super::Plan { approvals: Default::default(), ..plan };
    assert_ne!(asked, crate::plan::digest(&silent), "a plan that asks is another plan");
}
