//! What somebody writes on the first day, with YAML, bash and kubectl in the fingers.

use expect_test::expect;

use super::{check, steps};

#[test]
fn a_verb_of_a_shipped_module_names_the_module_to_use() {
    steps(
        "etcd snapshot into=\"./x\"\ncheck version skew to=v1.34.2\ncheck packagess version=v1.34.2\n\
         each node in workers { upgrade worker to=v1.34.2 }",
        expect![[r#"
            3:1 `etcd snapshot` K0201 unknown verb `etcd snapshot`
                write `use std/etcd` at the top of the file
            4:1 `check version skew` K0201 unknown verb `check version skew`
                write `use std/preflight` at the top of the file
            5:1 `check packagess` K0201 unknown verb `check packagess`
                did you mean `check packages`? then write `use std/preflight` at the top of the file
            6:24 `upgrade worker` K0201 unknown verb `upgrade worker`
                write `use std/kubeadm` at the top of the file
        "#]],
    );
}

#[test]
fn a_loop_of_another_language_is_an_each() {
    steps(
        "for node in workers { drain }\nforeach n in nodes {\n drain n\n uncordon n\n}\nwith_items workers",
        expect![[r#"
            3:1 `for` K0112 a loop over nodes is an `each`
                write `each node in workers { ... }`
            4:1 `foreach` K0112 a loop over nodes is an `each`
                write `each node in workers { ... }`
            8:1 `with_items` K0112 a loop over nodes is an `each`
                write `each node in workers { ... }`
        "#]],
    );
}

#[test]
fn flags_are_arguments() {
    steps(
        "each node in workers {\n drain --grace-period=30\n drain -f\n}",
        expect![[r#"
        4:8 `--grace-period=30` K0112 a step has arguments and no flags
            write `name=value`; `kup doc VERB` tells the names
        5:8 `-f` K0112 a step has arguments and no flags
            write `name=value`; `kup doc VERB` tells the names
    "#]],
    );
}

#[test]
fn a_program_is_run_by_a_verb_and_may_be_one() {
    steps(
        "kubectl get nodes\nlet up = kubectl get pods -A\neach node in workers {\n systemctl restart containerd\n \
         kubectl drain node\n ctr images ls\n}\nkubect get nodes",
        expect![[r#"
            3:1 `kubectl` K0112 a program is run by a verb
                write `run command "kubectl ..." on=local`, or `read command` if it only looks
            4:10 `kubectl` K0112 a program is run by a verb
                write `run command "kubectl ..." on=local`, or `read command` if it only looks
            6:2 `systemctl` K0112 a program is run by a verb
                write `run command "systemctl ..."`, or `read command` if it only looks
            7:2 `kubectl` K0112 a program is run by a verb
                kup has the verb `drain`
            8:2 `ctr` K0112 a program is run by a verb
                write `run command "ctr ..."`, or `read command` if it only looks
            10:1 `kubect` K0201 unknown verb `kubect`
                `kup doc` lists the verbs; `use` brings in those of a module
        "#]],
    );
}

#[test]
fn a_colon_behind_a_verb_or_a_name() {
    steps(
        "each node in workers {\n uncordon: node\n run command: \"ls\"\n drain grace: 2m\n}",
        expect![[r#"
            4:10 `:` K0112 arguments are not given with `:`
                write `uncordon node`
            5:13 `:` K0112 arguments are not given with `:`
                write `command="ls"`; behind a verb, leave it out
            6:13 `:` K0112 arguments are not given with `:`
                write `grace=2m`; behind a verb, leave it out
        "#]],
    );
}

#[test]
fn spaces_around_an_equals_sign_keep_the_whole_value() {
    steps(
        "each node in workers {\n install kubelet version = v1.34.2\n run command \"x\" unless = \"test -f /a b\"\n}\n\
         each node in nodes where name = \"w1\" { drain }\nif count(workers) = 3 { drain }",
        expect![[r#"
            4:26 `=` K0112 an argument has no spaces around its `=`
                write `version=v1.34.2`
            5:25 `=` K0112 an argument has no spaces around its `=`
                write `unless="test -f /a b"`
            7:31 `=` K0112 `=` does not compare
                write `==`
            8:19 `=` K0112 `=` does not compare
                write `==`
        "#]],
    );
}

#[test]
fn a_param_says_its_type() {
    check(
        "playbook \"p\"\nparam target = v1.34.2\nstage s { }\n",
        expect![[r#"
        2:14 `=` K0112 a parameter says its type
            write `param target: TYPE = v1.34.2`
    "#]],
    );
}

#[test]
fn quotes_stand_around_text_and_nothing_else() {
    check(
        "playbook \"p\"\nstage \"workers\" { drain }\nstage b {\n run command \"a\" on=local { undo \"b\" }\n}\n\
         stage c { run command \"never closed }\n",
        expect![[r#"
            2:7 `"` K0112 a stage has a name and no title
                write it without quotes: `stage workers { ... }`
            4:34 `"` K0112 an `undo` is a block
                write `undo { run command "..." }`
            6:23 `"never closed` K0104 this text has no end
                end it with `"` on the same line; text of many lines stands in `"""`
        "#]],
    );
}

#[test]
fn a_brace_on_a_line_of_its_own() {
    steps(
        "parallel\n{\n run command \"a\" on=local\n}",
        expect![[r#"
        3:9 `` K0101 expected `{`, found the end of the line
            put the `{` at the end of this line
        4:1 `{` K0101 expected a step, found `{`
    "#]],
    );
}

#[test]
fn a_node_by_its_name_and_a_set_that_is_none() {
    steps(
        "drain node=w1\neach node in all { drain }\neach node in worker { drain }\nrun command \"ls\"\ndrain",
        expect![[r#"
            3:12 `w1` K0202 unknown name `w1`
                a node by its name is `first(nodes where name == "w1")`
            4:14 `all` K0202 unknown name `all`
                declare it: `param all: TYPE`
            5:14 `worker` K0202 unknown name `worker`
                did you mean `workers`?
            6:1 `run command "ls"` K0303 `run command` needs `on`, and there is no `each` over nodes around it
                put the step into `each node in workers { }`, or run it here: `on=local`
            7:1 `drain` K0303 `drain` needs `node`, and there is no `each` over nodes around it
                put the step into `each node in workers { }`, or give the node: `node=...`
        "#]],
    );
}

#[test]
fn an_unknown_stage_is_answered_with_the_known_ones() {
    check(
        "playbook \"p\"\nstage one after zero { run command \"a\" on=local }\nstage two after on { run command \"b\" on=local }\n",
        expect![[r#"
            2:17 `zero` K0205 unknown stage `zero`
                the stages are `one` and `two`
            3:17 `on` K0205 unknown stage `on`
                did you mean `one`?
        "#]],
    );
}

#[test]
fn words_that_other_languages_need() {
    steps(
        "each node in workers do {\n if node.ready then { drain }\n elif node.worker { uncordon }\n fi\n\
         drain { retry 3 times }\n}",
        expect![[r#"
            3:22 `do` K0112 an `each` has no `do`
                write `each node in SET { ... }`
        "#]],
    );
    steps(
        "each node in workers {\n if node.ready then { drain }\n elif node.worker { uncordon }\n fi\n\
         drain { retry 3 times }\n}",
        expect![[r#"
            4:16 `then` K0112 an `if` has no `then`
                write `if CONDITION { ... }`
            5:2 `elif` K0112 a second condition is an `else if`
                write `else if CONDITION { ... }`
            6:2 `fi` K0112 a block stands between `{` and `}`
                remove it
            7:17 `times` K0112 `retry` counts without a word
                write `retry 3`
        "#]],
    );
}

#[test]
fn a_value_is_given_with_one_equals_sign() {
    steps(
        "install kubeadm version => v1.34.2\ninstall kubeadm version := v1.34.2\ninstall kubeadm version == v1.34.2\n\
         run command \"x\" on= local",
        expect![[r#"
            3:25 `=>` K0112 a value is given with `=`
                write `version=v1.34.2`
            4:25 `:=` K0112 a value is given with `=`
                write `version=v1.34.2`
            5:25 `==` K0112 a value is given with `=`
                write `version=v1.34.2`
            6:19 `=` K0112 an argument has no spaces around its `=`
                write `on=local`
        "#]],
    );
}

#[test]
fn templates_of_a_ci_in_a_text() {
    steps(
        "run command \"echo ${{ target }}\" on=local",
        expect![[r#"
        3:19 `${{ target }}` K0112 kup has no templates
            write `${target}`
    "#]],
    );
}

#[test]
fn a_version_without_its_patch_release() {
    steps(
        "install kubeadm version=v1.34\ninstall kubeadm version=1.34",
        expect![[r#"
        3:25 `v1.34` K0301 expected a version, found a minor version
            a version has its patch release too, such as `v1.34.2`
        4:25 `1.34` K0107 `1.34` is no number; if it is a version, write `v1.34`
    "#]],
    );
}

#[test]
fn items_by_their_names_elsewhere() {
    check(
        "playbook \"p\"\nimport std/etcd\nvar x = 3\ndef f() {\n}\njob j { drain }\nstage s { run command \"x\" on=local }",
        expect![[r#"
            2:1 `import` K0105 `import` does not begin anything at the top of a file
                did you mean `use`?
            3:1 `var` K0105 `var` does not begin anything at the top of a file
                did you mean `param`?
            4:1 `def` K0105 `def` does not begin anything at the top of a file
                did you mean `task`?
            6:1 `job` K0105 `job` does not begin anything at the top of a file
                did you mean `stage`?
        "#]],
    );
}
