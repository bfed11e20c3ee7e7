//! What an editor is told: the place that it asks about is marked by `|` in the text.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{Files, PRELUDE, STD, line};
use crate::ask::{Page, Refusal, Sort};
use crate::source::Loader;

/// Reads a text, and returns the marked place.
fn page(text: &str) -> (Page, usize) {
    let byte = text.find('|').expect("a mark");
    let text = format!("{}{}", &text[..byte], &text[byte + 1..]);
    (read(&text), byte)
}

fn read(text: &str) -> Page {
    let mut page = Page::new("test.kup", &PRELUDE);
    page.read(&Files(&[("test.kup", text), ("lib.kup", LIB)]));
    page
}

const LIB: &str =
    "## Says something. Loudly.\ntask shout (what: string) { run command \"echo ${what}\" on=local }\n";

/// Puts a line into a lane of a stage, beside some names.
fn lane(line: &str) -> String {
    format!(
        "use ./lib\nplaybook \"p\"\nparam target: version  # where to\nparam mode: refuse , delete = refuse\n\
         task calm (node: node = here; note: string) {{ drain node\n shout note\n}}\n\
         stage one {{ calm note=\"x\" }}\nstage two after one {{\n  each box in workers {{\n    {line}\n  }}\n}}\n"
    )
    .replace(" , ", " | ")
}

/// Lists what is proposed at the mark, without verbs that nobody asked for.
fn proposed(text: &str) -> String {
    // A type may have bars, so the mark is another one here.
    let byte = text.find('¦').expect("a mark");
    let text = format!("{}{}", &text[..byte], &text[byte + '¦'.len_utf8()..]);
    let all = read(&text).complete(byte);
    let of = |p: &crate::ask::Proposal| match &text[p.start..byte] {
        "" => p.label.clone(),
        typed => format!("{} for `{typed}`", p.label),
    };
    all.iter().map(of).collect::<Vec<_>>().join(", ")
}

fn proposes(line: &str, expect: Expect) {
    expect.assert_eq(&proposed(&lane(line)));
}

#[test]
fn arguments_are_proposed_by_their_names_and_types() {
    proposes("drain ¦", expect!["box, local, here, first, node=, grace=, emptydir=, unmanaged="]);
    proposes(
        "drain box gr¦",
        expect!["node= for `gr`, grace= for `gr`, emptydir= for `gr`, unmanaged= for `gr`"],
    );
    proposes("drain emptydir=¦", expect!["refuse, delete, mode"]);
    proposes("drain emptydir=refuse ¦", expect!["node=, grace=, unmanaged="]);
    proposes("install ¦", expect!["kubeadm, kubelet, kubectl, version=, packages=, node=, down="]);
    proposes("install kubeadm, ¦", expect!["kubeadm, kubelet, kubectl"]);
    proposes("package repository minor=¦", expect!["target, minor, v1.34"]);
    proposes("wait healthy ¦", expect!["node, control_plane, etcd, cluster, scope=, node="]);
    proposes("calm note=¦", expect![[r#"box, mode, local, here, first, "text""#]]);
}

#[test]
fn in_a_record_values_are_proposed_and_its_new_names_are_not() {
    proposes("calm note={ ¦", expect![[r#""#]]);
    proposes(
        "calm note={ a: bo¦",
        expect![
            "box for `bo`, target for `bo`, mode for `bo`, nodes for `bo`, control_plane for `bo`, workers for `bo`, etcd for `bo`, local for `bo`, here for `bo`, first for `bo`, rest for `bo`, count for `bo`, minor for `bo`, pools for `bo`, hops for `bo`"
        ],
    );
    proposes(
        "calm note={ a: 1, b: first(¦",
        expect!["box, nodes, control_plane, workers, etcd, local, here, first, rest"],
    );
    proposes(
        "calm note={ a: 1 } { time¦",
        expect![
            "timeout for `time`, retry for `time`, undo for `time`, name for `time`, long for `time`, allow for `time`, approve for `time`, window for `time`, hosts for `time`, before for `time`, after for `time`"
        ],
    );
    proposes("calm note={ a: [1, 2], ¦", expect![[r#""#]]);
}

#[test]
fn verbs_are_proposed_with_the_words_that_stand_there() {
    proposes("wait ¦", expect!["wait gpus for `wait `, wait healthy for `wait `, wait pods for `wait `"]);
    proposes("package re¦", expect!["package repository for `package re`"]);
    let begin = proposed(&lane("¦"));
    for wanted in ["each", "if", "drain", "shout", "calm", "run command", "timeout"] {
        assert!(begin.split(", ").any(|p| p == wanted), "{wanted} is not in {begin}");
    }
    assert!(!begin.contains("pause"), "only handlers decide: {begin}");
    expect!["abort, continue, pause, rollback"].assert_eq(&proposed("playbook \"p\"\non failure { ¦ }"));
    expect!["timeout, retry, undo, name, long, allow, approve, window, hosts, before, after"]
        .assert_eq(&proposed(&lane("drain { ¦ }")));
}

#[test]
fn a_test_is_written_with_the_words_that_it_knows() {
    let test = |line: &str| {
        proposed(&format!(
            "use ./lib\nplaybook \"p\"\nparam target: version\nstage s {{ shout \"x\" }}\ntest \"t\" {{\n  {line}\n}}\n"
        ))
    };
    for wanted in ["expect", "on", "fault", "set", "playbook", "each", "drain"] {
        assert!(test("¦").split(", ").any(|p| p == wanted), "{wanted}");
    }
    expect!["target="].assert_eq(&test("set ¦"));
    expect!["sim("].assert_eq(&test("on ¦"));
    for wanted in ["done", "refused", "plan", "drain", "wait healthy"] {
        assert!(test("expect ¦").split(", ").any(|p| p == wanted), "{wanted}");
    }
    expect!["wait gpus for `wait `, wait healthy for `wait `, wait pods for `wait `"]
        .assert_eq(&test("expect wait ¦"));
    expect!["ran, skipped, failed, undone, before"].assert_eq(&test("expect drain on w1 ¦"));
    let text = "playbook \"p\"\nstage s { each n in workers { drain } }\ntest \"t\" {\n  expect dr|ain on w1 ran\n}\n";
    let (page, byte) = page(text);
    assert!(page.hover(byte).unwrap().text.contains("Cordons the node"));
    assert_eq!(page.outline().last().map(|s| s.name.as_str()), Some("t"));
}

#[test]
fn names_are_proposed_where_they_are_known() {
    proposes(
        "if ¦",
        expect![
            "box, target, mode, nodes, control_plane, workers, etcd, local, here, first, rest, count, minor, pools, hops"
        ],
    );
    proposes(
        "if box.z¦",
        expect![
            "name for `z`, role for `z`, control_plane for `z`, etcd for `z`, stacked for `z`, worker for `z`, taints for `z`, gpu for `z`, zone for `z`, pool for `z`, os for `z`, arch for `z`, kernel for `z`, cgroup for `z`, runtime for `z`, runtime_version for `z`, ready for `z`, kubelet for `z`, apiserver for `z`, package_manager for `z`, windows for `z`"
        ],
    );
    proposes("if mode == ¦", expect!["refuse, delete, mode"]);
    proposes(
        "run command \"echo ${¦\" on=local",
        expect![
            "box, target, mode, nodes, control_plane, workers, etcd, local, here, first, rest, count, minor, pools, hops"
        ],
    );
    proposes("run command \"echo ¦\"", expect![]);
    proposes("each x in ¦", expect!["box, nodes, control_plane, workers, etcd, local, here, first, rest"]);
    proposes(
        "each x in first(¦",
        expect!["box, nodes, control_plane, workers, etcd, local, here, first, rest"],
    );
    proposes(
        "each x in nodes where ¦",
        expect![
            "name, role, control_plane, etcd, stacked, worker, taints, gpu, zone, pool, os, arch, kernel, cgroup, runtime, runtime_version, ready, kubelet, apiserver, package_manager, windows, box, target, mode, nodes, workers, local, here, first, rest, count, minor, label, pools, hops"
        ],
    );
    proposes(
        "each x in nodes order by ¦",
        expect![
            "name, role, control_plane, etcd, stacked, worker, taints, gpu, zone, pool, os, arch, kernel, cgroup, runtime, runtime_version, ready, kubelet, apiserver, package_manager, windows"
        ],
    );
    proposes("each x in nodes ¦", expect!["where, order by, batch=, canary=, soak="]);
    proposes("each x in nodes batch=¦", expect!["count, 10%"]);
    proposes(
        "run command \"x\" { allow ¦ }",
        expect![
            "control-plane-first, one-control-plane-at-a-time, no-skew, one-minor-at-a-time, snapshot-first, drain-first, budget, undo-or-say-so"
        ],
    );
    proposes("# ¦", expect![]);
}

#[test]
fn a_file_is_proposed_its_items() {
    expect!["use, playbook, param, stage, task, native task, on failure, test"]
        .assert_eq(&proposed("playbook \"p\"\n¦"));
    expect!["std/preflight for `std/ku`, std/kubeadm for `std/ku`, std/windows for `std/ku`, std/addon for `std/ku`, std/os for `std/ku`, std/validate for `std/ku`, std/gate for `std/ku`, std/notify for `std/ku`"]
        .assert_eq(&proposed("playbook \"p\"\nuse std/etcd, std/ku¦"));
    expect!["version, minor, duration, share, number, batch, size, path, string, bool, node, nodes, secret"]
        .assert_eq(&proposed("param x: ¦"));
    expect!["true, false"].assert_eq(&proposed("param x: bool = ¦"));
    expect!["after"].assert_eq(&proposed("playbook \"p\"\nstage a { drain }\nstage b ¦"));
    expect!["a"].assert_eq(&proposed("playbook \"p\"\nstage a { drain }\nstage b after ¦"));
    expect!["reads for `pre`, changes for `pre`, disrupts for `pre`, decides for `pre`, needs for `pre`, ensures for `pre`, follows for `pre`, ends for `pre`, gives for `pre`, prepares for `pre`, preflight for `pre`, long for `pre`, undo for `pre`, timeout for `pre`, retry for `pre`"].assert_eq(&proposed("native task x ()\n  pre¦"));
    expect!["version, minor, duration, share, number, batch, size, path, string, bool, node, nodes, secret"]
        .assert_eq(&proposed("task x (node: ¦"));
}

#[test]
fn a_result_is_proposed_with_its_fields() {
    let stage = |line: &str| format!("use std/etcd\nplaybook \"p\"\nstage s {{\n{line}\n}}");
    let verbs = proposed(&stage("let a = ¦"));
    assert!(verbs.contains("etcd backup") && !verbs.contains("drain"), "{verbs}");
    expect!["path, sha256, revision, keys, size, tested"]
        .assert_eq(&proposed(&stage("let saved = etcd backup into=\"x\"\nwhen saved.¦ > 3 { }")));
    let said = proposed(&stage("let old = read command \"a\" on=local\nrun command ¦"));
    assert!(said.starts_with("old"), "{said}");
}

fn hovers(line: &str, expect: Expect) {
    let text = lane(line).replace("refuse | delete", "bool").replace("= refuse\ntask", "= true\ntask");
    let (page, byte) = page(&text);
    let said = page.hover(byte).map(|h| format!("`{}`\n{}", page.sources().slice(h.span), h.text));
    expect.assert_eq(&said.unwrap_or_default());
}

#[test]
fn a_word_is_explained() {
    hovers(
        "ca|lm note=\"x\"",
        expect![[r#"
        `calm`
        ```kup
        task calm (node: node = here; note: string)
        ```

        *test.kup*"#]],
    );
    hovers(
        "sho|ut \"x\"",
        expect![[r#"
            `shout`
            ```kup
            task shout (what: string)
            ```

            Says something. Loudly.

            *lib.kup*"#]],
    );
    hovers(
        "package repos|itory minor=target",
        expect![[r#"
        `package repository`
        ```kup
        native task package repository (; minor: minor, node: node = here, base: string?, key: keep | fetch = keep)
          changes  node
          ensures  repository(node)
          undo     itself
          timeout  5m
          retry    3 backoff 5s..1m
        ```

        Points the node's Kubernetes package repository at a minor release and reads its index. With `base` at that of a mirror: what stands before
        `/v1.34/` in its addresses. With `key=fetch` apt's key is fetched anew, if it ends within 30 days or the repository changes; what comes
        without TLS must be one that the node knows. Keys that were there stay, also with an undo.

        *std/node*"#]],
    );
    hovers(
        "drain gr|ace=1m",
        expect![[r#"
        `grace`
        ```kup
        grace: duration?
        ```

        of `drain`"#]],
    );
    hovers(
        "package repository minor=tar|get",
        expect![[r#"
        `target`
        ```kup
        param target: version
        ```

        where to"#]],
    );
    hovers(
        "drain bo|x",
        expect![[r#"
        `box`
        ```kup
        box: node
        ```
    "#]],
    );
    hovers(
        "if box.zo|ne == \"a\" { drain }",
        expect![[r#"
        `zone`
        ```kup
        zone: string
        ```

        a fact of a node, read when the plan is made"#]],
    );
    hovers(
        "if count(work|ers) > 1 { drain }",
        expect![[r#"
        `workers`
        ```kup
        workers: nodes
        ```

        nodes without an API server"#]],
    );
    hovers(
        "if co|unt(workers) > 1 { drain }",
        expect![[r#"
        `count`
        `count(set)`: how many there are, of a set or a list"#]],
    );
    hovers(
        "tim|eout 3m",
        expect![[r#"
        `timeout`
        `timeout`: how long one attempt may take"#]],
    );
    hovers("drain { # dr|ain\n }", expect![]);
}

/// Shows where what is at the mark is declared, and who names it.
fn names(text: &str, expect: Expect) {
    let (page, byte) = page(text);
    let Some((_, declared)) = page.definition(byte) else { return expect.assert_eq("") };
    let place = |span: crate::span::Span| {
        let (line, column) = page.sources().line_col(span.file, span.start);
        format!("{}:{line}:{column} `{}`", page.sources().path(span.file), page.sources().slice(span))
    };
    let all: Vec<String> = page.references(byte).into_iter().map(place).collect();
    expect.assert_eq(&format!("{}\n- {}", place(declared), all.join("\n- ")));
}

const NAMES: &str = "use ./lib, std/etcd\nplaybook \"p\"\nparam to: version\n\
    task calm (node: node = here; to: version) { install kubeadm version=to node=node\n }\n\
    stage one { each to in workers { run command \"${to} ${1 + 1}\" } }\n\
    stage two after one { each n in workers { calm n to=to\n shout \"${n}\" } }\n";

#[test]
fn what_is_named_is_found() {
    let at = |from: &str, to: &str| NAMES.replacen(from, to, 1);
    names(
        &at("param to", "param t|o"),
        expect![[r#"
        test.kup:3:7 `to`
        - test.kup:3:7 `to`
        - test.kup:7:53 `to`"#]],
    );
    names(
        &at("each to in", "each t|o in"),
        expect![[r#"
        test.kup:6:18 `to`
        - test.kup:6:18 `to`
        - test.kup:6:49 `to`"#]],
    );
    names(
        &at("version=to", "version=t|o"),
        expect![[r#"
        test.kup:4:31 `to`
        - test.kup:4:31 `to`
        - test.kup:4:70 `to`
        - test.kup:7:50 `to`"#]],
    );
    names(
        &at("calm n to=to", "calm n t|o=to"),
        expect![[r#"
        test.kup:4:31 `to`
        - test.kup:4:31 `to`
        - test.kup:4:70 `to`
        - test.kup:7:50 `to`"#]],
    );
    names(
        &at("calm n", "c|alm n"),
        expect![[r#"
        test.kup:4:6 `calm`
        - test.kup:4:6 `calm`
        - test.kup:7:43 `calm`"#]],
    );
    names(
        &at("shout", "|shout"),
        expect![[r#"
        lib.kup:2:6 `shout`
        - test.kup:8:2 `shout`
        - lib.kup:2:6 `shout`"#]],
    );
    names(
        &at("after one", "after one|"),
        expect![[r#"
        test.kup:6:7 `one`
        - test.kup:6:7 `one`
        - test.kup:7:17 `one`"#]],
    );
    names(
        &at("install", "ins|tall"),
        expect![[r#"
            std/node:46:13 `install`
            - test.kup:4:46 `install`
            - std/node:46:13 `install`"#]],
    );
    names(
        &at("./lib", "./l|ib"),
        expect![[r#"
        lib.kup:1:1 ``
        - test.kup:1:5 `./lib`"#]],
    );
    names(&at("workers", "work|ers"), expect![]);
}

/// Gives what is at the mark another name.
fn renamed(text: &str, name: &str) -> Result<String, String> {
    let (page, byte) = page(text);
    let mut text = page.sources().text(crate::span::FileId(0)).to_string();
    let files = text.clone();
    let places = page
        .rename(byte, name, &Files(&[("test.kup", &files), ("lib.kup", LIB)]))
        .map_err(|Refusal(why)| why)?;
    for place in places.iter().rev() {
        text.replace_range(place.start as usize..place.end as usize, name);
    }
    Ok(text)
}

#[test]
fn a_name_is_changed_everywhere_it_is_meant_and_nowhere_else() {
    let at = |from: &str, to: &str| NAMES.replacen(from, to, 1);
    let param = renamed(&at("param to", "param t|o"), "target").unwrap();
    assert_eq!(param, NAMES.replace("param to", "param target").replace("to=to", "to=target"));
    let variable = renamed(&at("${to}", "${t|o}"), "node").unwrap();
    assert_eq!(variable, NAMES.replace("each to", "each node").replace("${to}", "${node}"));
    let argument = renamed(&at("version=to", "version=t|o"), "v").unwrap();
    let expected = NAMES.replace("; to:", "; v:").replace("version=to", "version=v").replace("to=to", "v=to");
    assert_eq!(argument, expected);
    let verb = renamed(&at("calm n", "c|alm n"), "keep calm").unwrap();
    assert_eq!(verb, NAMES.replace("calm", "keep calm"));
}

#[test]
fn a_name_that_would_mean_something_else_is_refused() {
    let at = |from: &str, to: &str| NAMES.replacen(from, to, 1);
    let refused = |from: &str, to: &str, name: &str| renamed(&at(from, to), name).unwrap_err();
    assert_eq!(refused("param to", "param t|o", "n"), "`n` means something else here already");
    assert_eq!(refused("param to", "param t|o", "workers"), "`workers` means something else here already");
    assert_eq!(refused("calm n", "c|alm n", "each day"), "`each day` means something else here already");
    assert_eq!(
        refused("param to", "param t|o", "a b"),
        "`a b` is no name: a name has letters, digits, `_` and `-`"
    );
    assert_eq!(
        refused("shout", "sh|out", "cry"),
        "`shout` is declared in `lib.kup`, and other playbooks may use it"
    );
    assert_eq!(refused("workers", "work|ers", "x"), "`workers` is a word of the language");
    let module = "task calm (no|de: node = here) { drain node\n }\n";
    assert_eq!(
        renamed(module, "n").unwrap_err(),
        "this file is a module, and other playbooks may use `node`"
    );
    assert!(renamed("task a () { each x| in workers { drain x\n } }\n", "y").is_ok(), "nobody else sees it");
}

#[test]
fn an_outline_has_what_has_a_name() {
    fn show(symbols: &[crate::ask::Symbol], indent: usize, out: &mut String) {
        for s in symbols {
            out.push_str(&format!("{:indent$}{:?} {}\n", "", s.kind, s.name));
            show(&s.inside, indent + 2, out);
        }
    }
    let mut out = String::new();
    show(&read(NAMES).outline(), 0, &mut out);
    expect![[r#"
        Playbook p
        Param to
        Task calm
        Stage one
          Each each to in workers
        Stage two
          Each each n in workers
    "#]]
    .assert_eq(&out);
}

#[test]
fn colors_follow_the_meaning_and_never_overlap() {
    let text = "playbook \"ü\" # 😀\nparam zone: string\nstage s {\n  each n in nodes where zone == \"${zone}\" {\n    run command \"\"\"a\n ${n}\"\"\" on=n { timeout 5m }\n  }\n}\n";
    let shown: Vec<String> =
        read(text).colors().iter().map(|c| format!("{:?}`{}`", c.class, &text[c.start..c.end])).collect();
    expect![[r#"Keyword`playbook` String`"ü"` Comment`# 😀` Keyword`param` Variable`zone` Type`string` Keyword`stage` Namespace`s` Keyword`each` Variable`n` Keyword`in` EnumMember`nodes` Keyword`where` Property`zone` String`"${` Property`zone` String`}"` Function`run command` String`"""a` String` ${n}"""` Parameter`on` Variable`n` Keyword`timeout` Number`5m`"#]].assert_eq(&shown.join(" "));
}

/// Asks everything at a place; nobody may panic.
fn ask_all(page: &Page, byte: usize, loader: &dyn Loader) {
    let text = page.sources().text(crate::span::FileId(0));
    if let Some(hover) = page.hover(byte) {
        page.sources().slice(hover.span);
    }
    for span in page.references(byte) {
        page.sources().slice(span);
    }
    for proposal in page.complete(byte) {
        assert!(proposal.start <= byte && text.is_char_boundary(proposal.start), "{proposal:?}");
        assert!(proposal.sort != Sort::Variable || !proposal.label.is_empty());
    }
    let _ = page.rename(byte, "other", loader);
    let mut done = 0;
    for c in page.colors() {
        assert!(done <= c.start && c.start < c.end && !text[c.start..c.end].contains('\n'), "{c:?}");
        done = c.end;
    }
    page.outline();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn edits_of_real_texts_are_read_like_the_whole_and_answered(
        which in 0usize..=STD.len(),
        edits in prop::collection::vec((0.0..1.0f64, 0usize..30, prop::sample::select(&super::never::PIECES[..]), 0.0..1.0f64), 1..6),
    ) {
        let (path, text) = match STD.get(which) {
            Some(module) => *module,
            None => ("test.kup", include_str!("../../../playbooks/kubeadm-minor.kup")),
        };
        let mut text = text.to_string();
        let mut page = Page::new(path, &PRELUDE);
        for (place, len, piece, ask) in edits {
            let at = text.floor_char_boundary((place * text.len() as f64) as usize);
            let end = text.ceil_char_boundary((at + len).min(text.len()));
            text.replace_range(at..end, piece);
            let files = [(path, text.as_str())];
            let loader = Files(&files);
            page.read(&loader);
            let mut whole = Page::new(path, &PRELUDE);
            whole.read(&loader);
            let said = |page: &Page| -> Vec<String> { page.diagnostics().iter().map(|d| line(page.sources(), d)).collect() };
            prop_assert_eq!(said(&page), said(&whole));
            // A module is judged as `kup check` judges it.
            let checked = crate::check(path, &loader, &PRELUDE);
            if !checked.diagnostics.iter().any(|d| d.code == "K0401") {
                let checked: Vec<String> = checked.diagnostics.iter().map(|d| line(&checked.sources, d)).collect();
                prop_assert_eq!(said(&page), checked);
            }
            for byte in [at, (ask * text.len() as f64) as usize] {
                ask_all(&page, text.floor_char_boundary(byte), &loader);
            }
        }
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,120}", place in 0.0..1.0f64) {
        let page = read(&text);
        let byte = text.floor_char_boundary((place * text.len() as f64) as usize);
        ask_all(&page, byte, &Files(&[("test.kup", &text)]));
    }
}
