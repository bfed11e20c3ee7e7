//! What `kup check --fix` does to a text: the finding is gone, and nothing else has changed.

use expect_test::expect;

use super::{STD, draw, run};
use crate::mend;
use crate::span::FileId;

/// Mends a text until nothing is left to mend.
fn mended(text: &str) -> String {
    let mut text = text.to_string();
    for _ in 0..64 {
        let checked = run(&[("test.kup", &text)]);
        match mend(FileId(0), &text, &checked.diagnostics) {
            Some((better, _)) => text = better,
            None => return text,
        }
    }
    panic!("it never ends:\n{text}");
}

/// Mends statements of a lane, each of which must be sound afterwards.
fn lane(pairs: &[(&str, &str)]) {
    for (wrong, right) in pairs {
        let whole = |stmt: &str| {
            format!(
                "playbook \"p\"\nparam target: version = v1.34.2\nstage s {{\n  # before\n  each node in workers {{\n    \
                 {stmt}\n    run command \"${{target}}\"   # behind\n  }}\n}}\n"
            )
        };
        assert_eq!(mended(&whole(wrong)), whole(right), "{wrong}");
        assert_eq!(draw(&run(&[("test.kup", &whole(right))])), "ok\n", "{right}");
    }
}

#[test]
fn a_mistyped_word_with_one_nearest_is_put_right() {
    lane(&[
        ("drian", "drain"),
        ("wait helthy cluster", "wait healthy cluster"),
        ("drain grce=2m", "drain grace=2m"),
        ("drain emptydir=delet", "drain emptydir=delete"),
        ("run command \"${targt}\"", "run command \"${target}\""),
        ("if node.kublet < v1.34 { drain }", "if node.kubelet < v1.34 { drain }"),
        ("if node == frist(workers) { drain }", "if node == first(workers) { drain }"),
        ("drain { allow no-skw \"x\" }", "drain { allow no-skew \"x\" }"),
    ]);
}

#[test]
fn habits_with_one_answer_are_put_right() {
    lane(&[
        ("drain(node)", "drain node"),
        ("drain()", "drain"),
        ("drain grace=10 minutes", "drain grace=10m"),
        ("drain { timeout 10 minutes }", "drain { timeout 10m }"),
        ("run command \u{201c}a # b\u{201d}", "run command \"a # b\""),
        ("run command 'date'", "run command \"date\""),
        ("run command \"${{ target }}\"", "run command \"${target}\""),
        ("install kubeadm version={{ target }}", "install kubeadm version=target"),
        ("install kubeadm version=${{ target }}", "install kubeadm version=target"),
        ("install kubeadm version=$target", "install kubeadm version=target"),
        ("install kubeadm version=1.34.2", "install kubeadm version=v1.34.2"),
        ("install kubeadm version = target", "install kubeadm version=target"),
        ("install kubeadm version= target", "install kubeadm version=target"),
        ("install kubeadm version => target", "install kubeadm version=target"),
        ("install kubeadm version == target", "install kubeadm version=target"),
        ("install kubeadm version := target", "install kubeadm version=target"),
        ("drain grace=2m, emptydir=delete", "drain grace=2m emptydir=delete"),
        ("drain // why", "drain # why"),
        ("// drain", "# drain"),
        ("drain;", "drain"),
        ("drain\u{a0}node", "drain node"),
        ("uncordon: node", "uncordon node"),
        ("if node.ready && count(workers)>3 { drain }", "if node.ready and count(workers)>3 { drain }"),
        ("if node.ready||node.worker { drain }", "if node.ready or node.worker { drain }"),
        ("if !node.ready { drain }", "if not node.ready { drain }"),
        ("if node.zone = \"a\" { drain }", "if node.zone == \"a\" { drain }"),
        ("if node.ready then { drain }", "if node.ready { drain }"),
        (
            "if node.ready { drain }\nelif node.worker { drain }",
            "if node.ready { drain }\nelse if node.worker { drain }",
        ),
        ("for n in control_plane { drain n }", "each n in control_plane { drain n }"),
        ("each n in control_plane do { drain n }", "each n in control_plane { drain n }"),
        ("drain { retry 3 times }", "drain { retry 3 }"),
    ]);
}

#[test]
fn what_says_nothing_is_left_out() {
    lane(&[
        ("each n in workers batch=1 { drain n }", "each n in workers { drain n }"),
        ("each n in workers canary=1  batch=[1, 1] { drain n }", "each n in workers canary=1 { drain n }"),
        ("each n in control_plane batch=2 { drain n }", "each n in control_plane { drain n }"),
        ("each n in workers canary=0 batch=2 { drain n }", "each n in workers batch=2 { drain n }"),
        ("drain { retry 0 backoff 1s..5s }", "drain { retry 0 }"),
        ("run command \"a\" { retry 0 }", "run command \"a\""),
        (
            "run command \"a\" {\n      timeout 5m\n      retry 0\n    }",
            "run command \"a\" {\n      timeout 5m\n    }",
        ),
    ]);
    let text = |retry: &str| {
        format!(
            "playbook \"p\"\nstage s {{ each node in workers {{ flash firmware{retry} }} }}\n\
             native task flash firmware (node: node = here)\n  disrupts node\n  undo none \"no old one\"\n  \
             long\n  timeout 1h\n"
        )
    };
    assert_eq!(mended(&text(" { retry 3 }")), text(""), "it is not done twice");
    let with_reason = text(" { retry 3 # the vendor says so\n }");
    assert_eq!(mended(&with_reason), with_reason, "a comment is for somebody to judge");
    assert!(draw(&run(&[("test.kup", &with_reason)])).contains("K1009"), "and it is told all the same");
    let used = "use std/etcd\nplaybook \"p\"\nstage s { etcd snapshot into=\"./s\" }\n";
    assert_eq!(mended(&format!("use std/node, std/etcd\n{used}")), used);
}

#[test]
fn what_is_not_certain_stays_as_it_is() {
    for stmt in [
        "- name: drain",
        "drain(node, 2m)",
        "drain --grace-period=30",
        "drain node1",
        "check version",
        "run command \"a # \u{201c}b\u{201d}\" on=locall2",
        "drain; uncordon",
        "run command 'say \"x\"'",
        "drain grace: 2m",
        "drain grace=2m /* why */",
    ] {
        let text = format!("playbook \"p\"\nstage s {{\n  each node in workers {{\n    {stmt}\n  }}\n}}\n");
        assert_eq!(mended(&text), text);
        assert!(run(&[("test.kup", &text)]).program.is_none(), "{stmt}");
    }
}

#[test]
fn items_types_stages_and_modules_are_put_right() {
    let text = "import std/etdc\nplaybok \"p\"\nparam a: integer = 3\nparam b: verson\n\
                stge \"one\" { run command \"${a}${b}\" on=local }\n\
                stage two after onee { etcd snapshot into=\"./s\" }\n";
    expect![[r#"
        use std/etcd
        playbook "p"
        param a: number = 3
        param b: version
        stage one { run command "${a}${b}" on=local }
        stage two after one { etcd snapshot into="./s" }
    "#]]
    .assert_eq(&mended(text));
}

#[test]
fn every_module_that_is_shipped_is_near() {
    for (module, _) in STD {
        let text = format!(
            "use {module}{}\nplaybook \"p\"\nstage s {{ drain node=local }}\n",
            &module[module.len() - 1..]
        );
        let said = draw(&run(&[("test.kup", &text)]));
        assert!(said.contains(&format!("did you mean `{module}`?")), "{said}");
    }
}

#[test]
fn a_use_for_nothing_goes_with_its_comma_or_its_line() {
    for (wrong, right) in [
        ("use std/etcd\n", ""),
        ("use std/etcd, std/validate\n", "use std/validate\n"),
        ("use std/validate, std/etcd   # two\n", "use std/validate   # two\n"),
        ("use std/validate,\n    std/etcd\n", "use std/validate\n"),
        ("use std/preflight, std/validate, std/etcd\n", "use std/validate\n"),
        ("use std/preflight, std/etcd\n", ""),
        ("use std/etcd   # for later\n", "use std/etcd   # for later\n"),
        ("use std/validate, # this\n    std/etcd\n", "use std/validate, # this\n    std/etcd\n"),
    ] {
        let used =
            if right.contains("validate") { "validate cluster to=v1.34.2" } else { "drain node=local" };
        let rest = format!("playbook \"p\"\nstage s {{ {used} }}\n");
        assert_eq!(mended(&format!("{wrong}{rest}")), format!("{right}{rest}"));
    }
}

#[test]
fn a_text_without_mistakes_is_not_touched() {
    let text = include_str!("../../../playbooks/kubeadm-minor.kup");
    let checked = run(&[("playbooks/kubeadm-minor.kup", text)]);
    assert!(mend(FileId(0), text, &checked.diagnostics).is_none());
}
