//! One construct a test: what a sound text becomes.

use std::fmt::Debug;

use expect_test::{Expect, expect};

use super::{check, run, steps};
use crate::eval::{Env, Facts, eval};
use crate::program::{Expr, ExprKind, OnFailure, Program, Set, Stmt, TaskBody};
use crate::value::{Value, Version};

fn program(text: &str) -> Program {
    let checked = run(&[("test.kup", text)]);
    let said = super::draw(&checked);
    checked.program.unwrap_or_else(|| panic!("{said}"))
}

/// A cluster of two control planes and three workers, one with GPUs.
struct Cluster;

impl Facts for Cluster {
    fn set(&self, set: Set) -> Vec<String> {
        let names: &[&str] = match set {
            Set::Nodes => &["cp1", "cp2", "w1", "w2", "w3"],
            Set::ControlPlane => &["cp1", "cp2"],
            Set::Workers => &["w1", "w2", "w3"],
            Set::Etcd => &["cp1"],
        };
        names.iter().map(|n| (*n).to_string()).collect()
    }

    fn fact(&self, node: &str, fact: &str) -> Option<Value> {
        Some(match fact {
            "name" => Value::Text(node.to_string()),
            "gpu" => Value::Number(if node == "w2" { 4 } else { 0 }),
            "ready" => Value::Bool(node != "w3"),
            "control_plane" => Value::Bool(node.starts_with("cp")),
            "etcd" => Value::Bool(node == "cp1"),
            "kubelet" => Value::Version("v1.33.4".parse::<Version>().ok()?),
            "zone" => Value::Text("a".to_string()),
            "pool" => Value::Text(if node == "w3" { "blue" } else { "" }.to_string()),
            _ => return None,
        })
    }

    fn label(&self, node: &str, key: &str) -> Option<String> {
        (node == "w1" && key == "pool").then(|| "blue".to_string())
    }

    fn hops(&self, to: &Version) -> Result<Vec<Value>, String> {
        let hop = |(version, last)| {
            let fields = [("version", version), ("kubelets", Value::Bool(last)), ("last", Value::Bool(last))];
            Value::Record(fields.map(|(name, value)| (name.to_string(), value)).into_iter().collect())
        };
        let between = Value::Version("v1.33.9".parse().map_err(|_| "no version")?);
        Ok([(between, false), (Value::Version(to.clone()), true)].map(hop).to_vec())
    }
}

/// Evaluates the argument of `run command "${...}"`, in a lane of `w1`.
fn value(expr: &str) -> String {
    let text = format!(
        "playbook \"p\"\nparam target: version = v1.34.2\nparam mode: refuse | delete = refuse\n\
         stage s {{ each lane in workers {{ if {expr} {{ run command \"${{target}} ${{mode}} ${{lane}}\" }}\n}}\n}}"
    );
    let program = program(&text);
    let Stmt::Each(each) = &program.stages[0].body.0[0] else { panic!("no loop") };
    let Stmt::If(choice) = &each.body.0[0] else { panic!("no choice") };
    show(&choice.cond)
}

fn show(expr: &Expr) -> String {
    let params = [Value::Version("v1.34.2".parse().unwrap()), Value::Word("refuse".to_string())];
    let locals = [Value::Node("w1".to_string())];
    let env =
        Env { params: &params, locals: &locals, later: &[], here: Some("w1"), it: None, facts: &Cluster };
    eval(expr, &env).map_or_else(|d| format!("{} {}", d.code, d.message), |v| v.to_string())
}

fn debug(value: impl Debug, expect: Expect) {
    expect.assert_eq(&format!("{value:?}"));
}

#[test]
fn expressions_have_the_values_that_they_read_as() {
    for (expr, expected) in [
        ("lane == here", "true"),
        ("here in workers", "true"),
        ("lane in control_plane", "false"),
        ("count(nodes where gpu > 0) == 1", "true"),
        ("count(nodes - control_plane) == 3", "true"),
        ("count(workers - lane) == 2", "true"),
        ("count(workers + etcd) == 4", "true"),
        ("count(nodes where control_plane and etcd) == 1", "true"),
        ("count(nodes where label(\"pool\") == \"blue\") == 1", "true"),
        ("count(nodes where name in etcd) == 1", "true"),
        ("count(nodes where kubelet < target) == 5", "true"),
        ("count(nodes where kubelet < v1.33) == 0", "true"),
        ("count(nodes where apiserver < target) == 0", "true"),
        ("count(rest(control_plane) where ready) == 1", "true"),
        ("first(workers).gpu == 0", "true"),
        ("first(nodes where zone == \"b\") == lane", "K0316 this set has no node"),
        ("mode == refuse", "true"),
        ("refuse != mode", "false"),
        ("minor(target) == v1.34", "true"),
        ("target == v1.34", "true"),
        ("not (1 + 2 - 3 == 0 or false)", "false"),
        ("10m + 30s > 10m and true", "true"),
        ("9223372036854775807 + 1 > 0", "K0311 the sum is too large"),
        ("lane.name == lane", "true"),
        ("1 in [1, 2]", "true"),
        ("count(hops(to=target)) == 2", "true"),
        ("first(hops(target)).version == v1.33", "true"),
        ("first(rest(hops(to=target))).kubelets", "true"),
        ("count(pools(nodes)) == 2", "true"),
        ("count(first(pools(workers)).nodes) == 2", "true"),
    ] {
        assert_eq!(value(expr), expected, "{expr}");
    }
}

#[test]
fn conversions_need_no_asking() {
    let text = "playbook \"p\"\nparam n: number = 2\nparam b: batch = [1, 5, 20%]\nparam p: path = \"./x\"\n\
                param v: version = v1.34.2\nparam m: minor = v\nparam k: batch = n\nparam s: string = p\n\
                stage s { run command \"${n} ${b} ${p} ${v} ${m} ${k} ${s}\" on=local }";
    let program = program(text);
    let mut params: Vec<Value> = Vec::new();
    for param in &program.params {
        let env = Env { params: &params, locals: &[], later: &[], here: None, it: None, facts: &Cluster };
        let value = eval(param.default.as_ref().unwrap(), &env).unwrap();
        params.push(value);
    }
    debug(
        &params,
        expect![[
            r#"[Number(2), Batch(Batch([Count(1), Count(5), Share(2000)])), Path("./x"), Version(Version { major: 1, minor: 34, patch: 2, pre: "", vendor: "" }), Minor(Minor { major: 1, minor: 34 }), Batch(Batch([Count(2)])), Text("./x")]"#
        ]],
    );
}

#[test]
fn here_is_the_node_of_the_innermost_loop_or_of_the_task() {
    let program = program(
        "playbook \"p\"\nstage s { each a in workers { each x in [\"1\", \"2\"] { drain }\n both }\n wait healthy cluster }\n\
         task both (node: node = here) { cordon\n each b in etcd { uncordon }\n }",
    );
    let Stmt::Each(outer) = &program.stages[0].body.0[0] else { panic!("no loop") };
    let Stmt::Each(inner) = &outer.body.0[0] else { panic!("no loop") };
    let Stmt::Step(drain) = &inner.body.0[0] else { panic!("no step") };
    assert!(matches!(drain.args[0].kind, ExprKind::Local(0)));
    let Stmt::Step(wait) = &program.stages[0].body.0[1] else { panic!("no step") };
    assert!(matches!(wait.args[1].kind, ExprKind::Literal(Value::None)));
    let task = program.tasks.iter().find(|t| t.name == "both").unwrap();
    let TaskBody::Steps { body, slots, .. } = &task.body else { panic!("no steps") };
    assert_eq!(*slots, 2);
    let Stmt::Step(cordon) = &body.0[0] else { panic!("no step") };
    assert!(matches!(cordon.args[0].kind, ExprKind::Local(0)));
    let Stmt::Each(each) = &body.0[1] else { panic!("no loop") };
    let Stmt::Step(uncordon) = &each.body.0[0] else { panic!("no step") };
    assert!(matches!(uncordon.args[0].kind, ExprKind::Local(1)));
}

#[test]
fn a_bare_word_is_a_word_of_the_enumeration_before_it_is_a_name() {
    let program = program(
        "playbook \"p\"\nparam emptydir: refuse | delete = delete\nparam delete: number = 3\n\
         stage s { each n in workers { drain emptydir=emptydir unmanaged=delete\n wait healthy node node=n }\n if delete == 3 { rest }\n }\n\
         task rest () { run command \"x\" on=local }",
    );
    let Stmt::Each(each) = &program.stages[0].body.0[0] else { panic!("no loop") };
    let Stmt::Step(drain) = &each.body.0[0] else { panic!("no step") };
    assert!(matches!(drain.args[2].kind, ExprKind::Param(0)));
    assert!(matches!(&drain.args[3].kind, ExprKind::Literal(Value::Word(w)) if w == "delete"));
}

#[test]
fn a_step_goes_on_where_the_next_line_begins_with_an_argument() {
    let program = program(
        "playbook \"p\"\nstage s {\n  run command \"x\"   # why\n    unless=\"y\"\n\n    on=local {\n    name \"n\"\n  }\n}",
    );
    let Stmt::Step(step) = &program.stages[0].body.0[0] else { panic!("no step") };
    assert_eq!(step.text, "run command \"x\" unless=\"y\" on=local");
    assert!(step.policy.name.is_some());
}

#[test]
fn stages_follow_each_other_unless_they_say_otherwise() {
    let stage = |head: &str| format!("stage {head} {{ run command \"x\" on=local }}\n");
    let text = ["a", "b", "c after a", "d", "e after b, d"].map(stage).concat();
    let program = program(&format!("playbook \"p\"\n{text}"));
    let after: Vec<Vec<u32>> =
        program.stages.iter().map(|s| s.after.iter().map(|id| id.0).collect()).collect();
    debug(after, expect!["[[], [0], [0], [2], [1, 3]]"]);
}

#[test]
fn handlers_decide() {
    let handler = |what: &str| {
        program(&format!("playbook \"p\"\nstage s {{ run command \"x\" on=local }}\non failure {{ {what} }}"))
            .on_failure
    };
    assert_eq!(handler("pause \"look\""), OnFailure::Pause("look".to_string()));
    assert_eq!(handler("continue failures=3"), OnFailure::Continue(3));
    assert_eq!(handler("rollback"), OnFailure::Rollback);
    assert_eq!(handler("abort"), OnFailure::Abort);
}

#[test]
fn a_param_has_its_comment_as_help() {
    let program = program(
        "playbook \"p\"\n# Above it,\n# in two lines.\nparam a: number = 1\nparam b: string = \"#\"   # behind it\n\
         stage s { run command \"${a}${b}\" on=local }",
    );
    assert_eq!(program.params[0].doc, "Above it,\nin two lines.");
    assert_eq!(program.params[1].doc, "behind it");
}

#[test]
fn text_of_many_lines_loses_its_indent() {
    let program = program(
        "playbook \"p\"\nstage s {\n  run command \"\"\"\n    a ${b}\n      c\n    \"\"\" on=local\n}",
    );
    let Stmt::Step(step) = &program.stages[0].body.0[0] else { panic!("no step") };
    assert_eq!(show(&step.args[0]), "a ${b}\n  c\n");
}

#[test]
fn tabs_and_windows_line_ends_are_fine() {
    check(
        "playbook \"p\"\r\n\r\nstage s {\r\n\trun\tcommand \"x\"\ton=local\t# why\r\n}\r\n",
        expect![[r#"
        ok
    "#]],
    );
    check(
        "\u{feff}playbook \"p\"\nstage s { run command \"x\" on=local }",
        expect![[r#"
        ok
    "#]],
    );
}

#[test]
fn else_may_stand_on_the_next_line() {
    steps(
        "if count(workers) > 3 { run command \"x\" on=local }\nelse if count(etcd) > 3 { run command \"z\" on=local }\nelse { run command \"y\" on=local }",
        expect![[r#"
            ok
        "#]],
    );
}

#[test]
fn a_ramp_and_canaries_are_read() {
    steps(
        "each n in workers order by gpu last, zone batch=[1, 5, 20%] canary=2\n  soak=10m {\n  timeout 1h\n  drain\n}",
        expect![[r#"
            ok
        "#]],
    );
}
