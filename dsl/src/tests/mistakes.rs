//! One mistake a test: what is said, where, and what to do.

use expect_test::expect;

use super::{check, steps};

#[test]
fn a_mistyped_verb_is_underlined_with_the_nearest_one() {
    steps(
        "each node in workers { drian }",
        expect![[r#"
        3:24 `drian` K0201 unknown verb `drian`
            did you mean `drain`?
    "#]],
    );
}

#[test]
fn a_verb_of_two_words_is_compared_as_a_whole() {
    steps(
        "wait helthy cluster",
        expect![[r#"
        3:6 `helthy` K0201 unknown verb `wait helthy`
            did you mean `wait healthy`?
    "#]],
    );
}

#[test]
fn the_beginning_of_a_verb_is_no_verb() {
    steps(
        "each node in workers { kubeadm\n wait\n check nodes }",
        expect![[r#"
            3:24 `kubeadm` K0201 unknown verb `kubeadm`
                did you mean `kubeadm upgrade plan`? then write `use std/kubeadm` at the top of the file
            4:2 `wait` K0201 unknown verb `wait`
                did you mean `wait gpus`?
            5:2 `check nodes` K0201 unknown verb `check nodes`
                did you mean `check nodes ready`? then write `use std/preflight` at the top of the file
        "#]],
    );
}

#[test]
fn a_verb_of_a_module_that_is_not_used_is_named() {
    steps(
        "run command \"x\" on=local\nfrobnicate the cluster",
        expect![[r#"
        4:1 `frobnicate` K0201 unknown verb `frobnicate`
            `kup doc` lists the verbs; `use` brings in those of a module
    "#]],
    );
}

#[test]
fn three_mistakes_are_three_findings() {
    check(
        "playbook \"p\"\nparam target version\nstage a {\n  drain @\n}\nstage b {\n  run command \"x\" on=locl\n}\n",
        expect![[r#"
            2:14 `version` K0101 expected `:`, found `version`
            4:9 `@` K0101 expected the end of the line, `{`, an argument or a value, found `@`
            7:22 `locl` K0202 unknown name `locl`
                did you mean `local`?
        "#]],
    );
}

#[test]
fn an_unknown_argument_is_compared_with_the_known_ones() {
    steps(
        "each node in workers {\n drain grce=2m\n drain speed=3\n}",
        expect![[r#"
        4:8 `grce` K0203 `drain` has no argument `grce`
            did you mean `grace`?
        5:8 `speed` K0203 `drain` has no argument `speed`
            `drain` takes `node`, `grace`, `emptydir` and `unmanaged`
    "#]],
    );
}

#[test]
fn a_wrong_type_is_told_with_an_example() {
    steps(
        "each node in workers { drain grace=10% }",
        expect![[r#"
        3:36 `10%` K0301 expected a duration, found a share
            write for example `10m`
    "#]],
    );
}

#[test]
fn a_word_that_is_no_member_is_told_with_the_members() {
    steps(
        "each node in workers { drain emptydir=delet\n drain emptydir=banana }",
        expect![[r#"
        3:39 `delet` K0302 `delet` is not one of `refuse | delete`
            did you mean `delete`?
        4:17 `banana` K0302 `banana` is not one of `refuse | delete`
            choose one of `refuse` or `delete`
    "#]],
    );
}

#[test]
fn a_missing_argument_is_named() {
    check(
        "use std/etcd\nplaybook \"p\"\nstage s { etcd snapshot }",
        expect![[r#"
        3:11 `etcd snapshot` K0303 `etcd snapshot` needs `into`, a path
            add `into="./file"`
    "#]],
    );
}

#[test]
fn here_needs_a_loop_over_nodes() {
    steps(
        "drain",
        expect![[r#"
        3:1 `drain` K0303 `drain` needs `node`, and there is no `each` over nodes around it
            put the step into `each node in workers { }`, or give the node: `node=...`
    "#]],
    );
}

#[test]
fn an_argument_that_goes_only_by_its_name_is_told_so() {
    check(
        "use std/etcd\nplaybook \"p\"\nstage s { etcd snapshot \"./x\" }",
        expect![[r#"
        3:25 `"./x"` K0306 `etcd snapshot` takes `into` only by its name
            write `into=...`
    "#]],
    );
}

#[test]
fn too_many_arguments_are_counted() {
    steps(
        "each node in workers { uncordon node node }",
        expect![[r#"
        3:38 `node` K0304 `uncordon` takes 1 without a name, and this is one more
    "#]],
    );
}

#[test]
fn yaml_is_recognized() {
    steps(
        "- name: drain the node\nuncordon node=local",
        expect![[r#"
        3:1 `- name: drain the node` K0112 this is YAML, and kup has none
            write a step as words: `drain node`
    "#]],
    );
    check(
        "- hosts: all\n  tasks:\n    - name: x\n",
        expect![[r#"
            1:1 `- hosts: all` K0112 this is YAML, and kup has none
                write a step as words: `drain node`
        "#]],
    );
}

#[test]
fn a_call_with_parentheses_is_recognized() {
    steps(
        "each node in workers { drain(node) }",
        expect![[r#"
        3:24 `drain(node)` K0112 a step has no parentheses
            write `drain node`
    "#]],
    );
}

#[test]
fn units_in_words_are_recognized() {
    steps(
        "each node in workers {\n drain { timeout 10 minutes }\n drain grace=10 minutes\n}",
        expect![[r#"
            4:18 `10 minutes` K0112 the unit stands right behind its number
                write `10m`
            5:14 `10 minutes` K0112 the unit stands right behind its number
                write `10m`
        "#]],
    );
}

#[test]
fn a_version_without_its_v_is_recognized() {
    check(
        "playbook \"p\"\nparam v: version = 1.34.2\nstage s { run command \"${v}\" on=local }",
        expect![[r#"
        2:20 `1.34.2` K0107 `1.34.2` is no number; if it is a version, write `v1.34.2`
    "#]],
    );
}

#[test]
fn typographic_quotes_are_recognized() {
    steps(
        "run command \u{201c}x\u{201d} on=local",
        expect![[r#"
        3:13 `“` K0112 these are typographic quotes
            write plain quotes: `"`
    "#]],
    );
}

#[test]
fn single_quotes_are_recognized() {
    steps(
        "run command 'x' on=local",
        expect![[r#"
        3:13 `'` K0112 text does not stand in single quotes
            write `"..."`
    "#]],
    );
}

#[test]
fn spaces_around_an_equals_sign_are_recognized() {
    steps(
        "run command \"x\" on = local\nif 1 = 2 { }",
        expect![[r#"
        3:20 `=` K0112 an argument has no spaces around its `=`
            write `on=local`
        4:6 `=` K0112 `=` does not compare
            write `==`
    "#]],
    );
}

#[test]
fn commas_between_arguments_are_recognized() {
    steps(
        "run command \"x\" on=local, unless=\"y\"",
        expect![[r#"
        3:25 `,` K0112 arguments are not separated by commas
            write a space: `... unless=...`
    "#]],
    );
}

#[test]
fn operators_of_other_languages_are_recognized() {
    steps(
        "if 1 == 1 && 2 == 2 { }\nif !true { }\nif true || false { }",
        expect![[r#"
        3:11 `&&` K0112 `&&` is no operator
            write `and`
        4:4 `!` K0112 `!` is no operator
            write `not`
        5:9 `||` K0112 `||` is no operator
            write `or`
    "#]],
    );
}

#[test]
fn templates_are_recognized() {
    steps(
        "run command {{ x }} on=local\nrun command $x on=local",
        expect![[r#"
            3:13 `{{` K0112 kup has no templates
                write the name as it is, or `"${name}"` in a text
            4:13 `$` K0112 a name has no `$`
                write the name as it is, or `"${name}"` in a text
        "#]],
    );
}

#[test]
fn a_text_without_end_is_underlined() {
    steps(
        "run command \"x on=local\nrun command \"ok\" on=local",
        expect![[r#"
        3:13 `"x on=local` K0104 this text has no end
            end it with `"` on the same line; text of many lines stands in `"""`
    "#]],
    );
}

#[test]
fn a_missing_brace_is_shown_where_the_block_begins() {
    check(
        "playbook \"p\"\nstage a {\n  run command \"x\" on=local\n\nstage b {\n  run command \"y\" on=local\n}\n",
        expect![[r#"
        2:9 `{` K0102 a `}` is missing
            add a `}` where the block ends
    "#]],
    );
    check(
        "playbook \"p\"\nstage a { each node in workers {\n  drain\n",
        expect![[r#"
        2:32 `{` K0102 a `}` is missing
            add a `}` where the block ends
    "#]],
    );
}

#[test]
fn a_brace_too_many_is_underlined() {
    check(
        "playbook \"p\"\nstage a { run command \"x\" on=local }\n}\n",
        expect![[r#"
        3:1 `}` K0103 this `}` closes nothing
            remove it, or look for a `{` that is missing above
    "#]],
    );
}

#[test]
fn a_mistyped_item_is_compared_with_the_items() {
    check(
        "playbook \"p\"\nparm x: number\nstge a {\n drain\n}\nstage b { run command \"x\" on=local }",
        expect![[r#"
        2:1 `parm` K0105 `parm` does not begin anything at the top of a file
            did you mean `param`?
        3:1 `stge` K0105 `stge` does not begin anything at the top of a file
            did you mean `stage`?
    "#]],
    );
}

#[test]
fn a_step_at_the_top_is_told_where_it_belongs() {
    check(
        "playbook \"p\"\ndrain w1\nstage b { run command \"x\" on=local }",
        expect![[r#"
        2:1 `drain` K0105 `drain` is a step, and steps do not stand at the top of a file
            put steps into a stage: `stage NAME { ... }`
    "#]],
    );
}

#[test]
fn an_event_that_nearly_is_one_is_told() {
    check(
        "playbook \"p\"\nstage s { run command \"x\" on=local }\non stage s doen { pause }",
        expect![[r#"
            3:4 `stage s doen` K0210 unknown event `stage s doen`
                did you mean `on stage s done`?
        "#]],
    );
}

#[test]
fn policy_is_checked() {
    steps(
        "timeout 10\nretry many\nretry 3 backoff 5m..1s\nallow no-skw \"x\"\nrun command \"x\" on=local { run command \"y\" }\nlong",
        expect![[r#"
            3:9 `10` K0107 `10` has no unit; write `10s` or `10m`
            4:7 `many` K0101 expected a number such as `3` or `10m`, found `many`
            5:17 `5m..1s` K0311 the first delay is longer than the last one
            6:7 `no-skw` K0209 unknown law `no-skw`
                did you mean `no-skew`?
            7:28 `run command "y"` K0405 a step has no steps of its own
                the block behind a step holds policy: timeout, retry, undo, name, long, allow, approve, window, before, after
            8:1 `long` K0404 policy stands first in its block
                move it up, before the first step
        "#]],
    );
}

#[test]
fn policy_in_a_block_that_is_no_scope_is_an_error() {
    steps(
        "if true { timeout 3m }\nparallel { long }",
        expect![[r#"
        3:11 `timeout 3m` K0416 this block is no scope and has no policy
            put it into the block of a stage, a task, an `each` or a step
        4:12 `long` K0416 this block is no scope and has no policy
            put it into the block of a stage, a task, an `each` or a step
    "#]],
    );
}

#[test]
fn names_are_compared_with_those_in_sight() {
    check(
        "playbook \"p\"\nparam target: version\nstage s { run command \"${targt}\" on=local\n run command hello on=local }",
        expect![[r#"
        3:26 `targt` K0202 unknown name `targt`
            did you mean `target`?
        4:14 `hello` K0202 unknown name `hello`
            text stands in quotes: `"hello"`
    "#]],
    );
}

#[test]
fn types_are_compared_with_the_known_ones() {
    check(
        "playbook \"p\"\nparam a: verson\nparam b: int\nparam c: banana\nparam d: a | a\nstage s { run command \"x\" on=local }",
        expect![[r#"
            2:10 `verson` K0204 unknown type `verson`
                did you mean `version`?
            3:10 `int` K0204 unknown type `int`
                did you mean `number`?
            4:10 `banana` K0204 unknown type `banana`
                types are version, minor, duration, share, number, batch, size, path, string, bool, node, nodes, secret, `a | b`, `[T]`, `{ name: T }` and `T?`
            5:14 `a` K0211 the word `a` stands here twice
        "#]],
    );
}

#[test]
fn stages_must_exist_and_not_wait_in_a_circle() {
    check(
        "playbook \"p\"\nstage a after c { run command \"x\" on=local }\nstage b { run command \"x\" on=local }\nstage c { run command \"x\" on=local }\nstage d after bb { run command \"x\" on=local }\nstage d { run command \"x\" on=local }",
        expect![[r#"
            2:7 `a` K0408 stages wait for each other in a circle: a -> b -> c -> a
                say with `after` which of them comes first
            5:15 `bb` K0205 unknown stage `bb`
                the stages are `a`, `b`, `c` and `d`
            6:7 `d` K0211 the stage `d` stands here twice
        "#]],
    );
}

#[test]
fn loops_go_over_sets_and_lists() {
    steps(
        "each x in 3 { run command \"x\" on=local }\neach n in workers order by gp last batch=0 canry=1 { drain }",
        expect![[r#"
        3:11 `3` K0313 `each` cannot go over a number
            give a set such as `workers`, or a list such as `[a, b]`
        4:28 `gp` K0207 a node has no fact `gp`
            did you mean `gpu`?
        4:42 `0` K0311 a batch has at least one
        4:44 `canry` K0203 `each` has no argument `canry`
            did you mean `canary`?
    "#]],
    );
}

#[test]
fn conditions_are_true_or_false() {
    steps(
        "if workers { run command \"x\" on=local }\nif 1 == \"a\" { }\nif count(workers) > 10% { }",
        expect![[r#"
            3:4 `workers` K0308 a condition is true or false, and this is a set of nodes
                compare it with something: `==`, `!=`, `<`, `in`
            4:4 `1 == "a"` K0307 `==` does not go with a number and text
                put the other into a text as well: `"${name}"`
            5:4 `count(workers) > 10%` K0307 `>` does not go with a number and a share
        "#]],
    );
}

#[test]
fn facts_and_functions_are_compared_with_the_known_ones() {
    steps(
        "each n in nodes where zne == \"a\" { drain n }\neach n in firs(nodes) { drain n }\neach n in workers { if n.kublet == v1.34.2 { drain }\n}\nif label(\"x\") == \"y\" { }\nif first(nodes, workers) == local { }",
        expect![[r#"
            3:23 `zne` K0202 unknown name `zne`
                did you mean `zone`?
            4:11 `firs` K0208 unknown function `firs`
                did you mean `first`?
            5:26 `kublet` K0207 a node has no fact `kublet`
                did you mean `kubelet`?
            7:4 `label("x")` K0314 `label` looks at the node of a `where` or of an `each`, and there is none
                write `nodes where label("pool") == "gpu"`
            8:4 `first(nodes, workers)` K0312 `first` takes one set of nodes
        "#]],
    );
}

#[test]
fn handlers_hold_one_decision() {
    check(
        "playbook \"p\"\nstage s { pause \"x\" }\non failure { run command \"x\" on=local }",
        expect![[r#"
        2:11 `pause "x"` K0409 `pause` decides how a run goes on, and only handlers do that
            write it in `on failure { ... }`
        3:14 `run command "x" on=local` K0410 `on failure` holds one step that decides
            write one of `pause "..."`, `rollback`, `abort`, `continue failures=N`
    "#]],
    );
    check(
        "playbook \"p\"\nstage s { run command \"x\" on=local }\non failure { }\non failure { abort }\non failure { rollback }",
        expect![[r#"
        3:4 `failure` K0410 `on failure` holds one step that decides
            write one of `pause "..."`, `rollback`, `abort`, `continue failures=N`
        5:4 `failure` K0211 the handler of `failure` stands here twice
    "#]],
    );
}

#[test]
fn a_task_that_calls_itself_is_shown_with_the_way() {
    check(
        "playbook \"p\"\nstage s { ping node=local }\ntask ping (; node: node) { pong node=node }\ntask pong (; node: node) { ping node=node }",
        expect![[r#"
        4:28 `ping node=node` K0406 a task calls itself: `ping` -> `pong` -> `ping`
    "#]],
    );
}

#[test]
fn two_readings_name_both() {
    check(
        "playbook \"p\"\nstage s { shout node \"x\" }\ntask shout (what: node | x; to: string = \"\") { run command \"x\" on=local }\ntask shout node (text: string) { run command \"${text}\" on=local }\ntask shout node (text: string) { run command \"${text}\" on=local }",
        expect![[r#"
        5:6 `shout node` K0211 the task `shout node` stands here twice
    "#]],
    );
    check(
        "playbook \"p\"\nstage s { drain local }\ntask drain (node: node) { cordon node }",
        expect![[r#"
        2:11 `drain local` K0212 this step can be read in two ways: as `drain` of `test.kup`, and as `drain` of `std/node`
            rename one of the two tasks, or leave out the `use` of one module
    "#]],
    );
}

#[test]
fn no_verb_begins_with_a_keyword() {
    check(
        "playbook \"p\"\nstage s { run command \"x\" on=local }\ntask each thing () { run command \"x\" on=local }",
        expect![[r#"
        3:6 `each` K0213 `each` is a word of the language, and no verb begins with it
            begin the verb with another word
    "#]],
    );
}

#[test]
fn a_native_task_says_what_it_touches() {
    check(
        "playbook \"p\"\nstage s { a\n b }\nnative task a ()\n  changes nodes\n  neds x(y)\n  timeout soon\nnative task b ()\n  long\n",
        expect![[r#"
            5:3 `changes nodes` K0412 this is no effect
                say `reads`, `changes node`, `changes cluster`, `changes here`, `disrupts node` or `decides`
            6:3 `neds` K0106 `neds` is nothing that a native task can say of itself
                did you mean `needs`?
            7:11 `soon` K0101 expected a number such as `3` or `10m`, found `soon`
            8:13 `b` K0411 the native task `b` does not say what it touches
                say `reads`, `changes node`, `changes cluster`, `changes here`, `disrupts node` or `decides`
        "#]],
    );
}

#[test]
fn unused_things_are_warned_of() {
    check(
        "use std/etcd\nplaybook \"p\"\nparam x: number = 3\nstage s { run command \"x\" on=local }\ntask idle () { run command \"x\" on=local }",
        expect![[r#"
        1:5 `std/etcd` warning K0217 nothing of `std/etcd` is used
            remove it, or use it
        3:7 `x` warning K0215 the parameter `x` is never used
            remove it, or use it
        5:6 `idle` warning K0216 the task `idle` is never used
            remove it, or use it
        ok
    "#]],
    );
}

#[test]
fn a_module_is_no_playbook() {
    check(
        "task idle () { run command \"x\" on=local }",
        expect![[r#"
        K0401 this file has no `playbook`, so it is a module and cannot run
            add `playbook "what it does"` before the stages
    "#]],
    );
    check(
        "# nothing\n",
        expect![[r#"
            K0115 the file is empty
                begin with `playbook "what it does"` and a `stage`
        "#]],
    );
    check(
        "playbook \"p\"",
        expect![[r#"
        K0414 the playbook has no stage, so it would do nothing
            add `stage NAME { ... }`
    "#]],
    );
    check(
        "playbook \"p\"\nplaybook \"q\"\nstage s { run command \"x\" on=local }",
        expect![[r#"
        2:1 `playbook` K0402 a file has one `playbook`
            keep one title, or make two files
    "#]],
    );
}

#[test]
fn escapes_and_interpolation_are_checked() {
    steps(
        "run command \"a\\q ${} ${1 +} ${x\" on=local",
        expect![[r#"
        3:15 `\q` K0110 `\q` is no escape
            escapes are `\n`, `\t`, `\"`, `\\` and `\$`
        3:18 `${}` K0111 `${}` cannot be read as `${...}`
            write `${name}`, or `\$` for a dollar
        3:22 `${1 +}` K0111 `${1 +}` cannot be read as `${...}`
            write `${name}`, or `\$` for a dollar
        3:29 `${x` K0111 `${x` cannot be read as `${...}`
            write `${name}`, or `\$` for a dollar
    "#]],
    );
}

#[test]
fn brackets_may_not_nest_without_end() {
    let text = format!("playbook \"p\"\nstage s {{ if {} }}", "(".repeat(100_000));
    check(
        &text,
        expect![[r#"
            2:77 `(` K0108 brackets are nested too deeply
                name the inner part: make it a task
        "#]],
    );
}

#[test]
fn an_expression_may_not_be_endless() {
    let text = format!("playbook \"p\"\nstage s {{ if {} 1 {{ }}\n }}", "1 == ".repeat(10_000));
    let said = super::draw(&super::run(&[("test.kup", text.as_str())]));
    expect![[r#"
        2:14 ` 1` K0109 this expression is too long
            cut it into parts with names
    "#]]
    .assert_eq(&said.replace("1 == ", ""));
}

#[test]
fn what_is_not_text_is_refused() {
    check(
        "playbook \"p\"\0",
        expect![[r#"
        K0113 this is not text
            give the path of a `.kup` file
    "#]],
    );
    let large = " ".repeat(crate::source::LIMIT + 1);
    check(
        &large,
        expect![[r#"
        K0114 the file has 16777217 bytes, and a playbook may have 16777216
    "#]],
    );
}

#[test]
fn what_follows_from_a_mistake_is_not_told_again() {
    check(
        "playbook \"p\"\nparam target version\nparam n: nubmer\nstage a {\n each x in 3 { run command \"${target} ${n} ${x}\" on=local }\n}\nstage b aftr x { }\ntask hello (x: strin) { run command \"${x}\" on=local }\nstage c { hello x=3 }\nstage d after b { run command \"x\" on=local }",
        expect![[r#"
            2:14 `version` K0101 expected `:`, found `version`
            3:10 `nubmer` K0204 unknown type `nubmer`
                did you mean `number`?
            5:12 `3` K0313 `each` cannot go over a number
                give a set such as `workers`, or a list such as `[a, b]`
            7:9 `aftr` K0101 expected `after` or `{`, found `aftr`
            8:16 `strin` K0204 unknown type `strin`
                did you mean `string`?
        "#]],
    );
    check(
        "use std/prefligt, ./nothing\nplaybook \"p\"\nstage s { check nodes ready\n announce \"x\" }",
        expect![[r#"
            1:5 `std/prefligt` K0206 cannot use `std/prefligt`: kup ships no such module
                did you mean `std/preflight`?
            1:19 `./nothing` K0206 cannot use `./nothing`: there is no such file
        "#]],
    );
}

#[test]
fn files_that_use_each_other_are_shown_with_the_way() {
    let files = [
        ("books/main.kup", "use ./a\nplaybook \"p\"\nstage s { say \"x\" }"),
        ("books/a.kup", "use ../books/b\ntask say (text: string) { run command \"echo ${text}\" on=local }"),
        ("books/b.kup", "use ./a\nparam x: number\nstage s { }"),
    ];
    expect![[r#"
        books/b.kup:1:5 `./a` K0407 files use each other in a circle: books/a.kup -> books/b.kup -> books/a.kup
            move what both need into a third file
        books/b.kup:2:7 `x` K0403 `param` does not stand in a module
            a module holds `use` and `task`; the rest belongs in a playbook
        books/b.kup:3:7 `s` K0403 `stage` does not stand in a module
            a module holds `use` and `task`; the rest belongs in a playbook
    "#]].assert_eq(&super::draw(&super::run(&files)));
}

#[test]
fn what_a_step_gives_back_is_used_as_what_it_is() {
    check(
        "use std/os\nplaybook \"p\"\nparam script: path?\nparam threads: number\nstage s { each node in workers {\n\
         let now = read command \"cat x\"\nwhen now != threads { drain }\nlet todo = os updates\nwhen todo { drain }\n\
         run script script\n} }",
        expect![[r#"
            7:6 `now != threads` K0307 `!=` does not go with text and a number
                put the other into a text as well: `"${name}"`
            9:6 `todo` K0308 a condition is true or false, and this is a record `{ wanted: bool, packages: number, kernel: bool, reboot: bool }`
                name one of its fields: `result.field`
            10:12 `script` K0301 expected a path, found a path, or none
                leave out the `?` behind its type, and give it a default if nobody need say it
        "#]],
    );
}
