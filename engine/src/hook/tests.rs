use std::time::{Duration, Instant};

use expect_test::{Expect, expect};

use super::*;

fn sees() -> IndexMap<String, Value> {
    let node = IndexMap::from([("name".to_string(), Value::Text("w1".into()))]);
    IndexMap::from([
        ("limit".to_string(), Value::Number(3)),
        ("every".to_string(), Value::Duration(30_000)),
        ("node".to_string(), Value::Record(node)),
    ])
}

fn told(text: &str, answers: &[Answer], expect: Expect) {
    expect.assert_eq(&format!("{:?}", run(text, &sees(), answers)));
}

fn answer(status: u16, body: &str) -> Answer {
    Answer { status, body: body.into(), error: String::new() }
}

#[test]
fn a_script_decides_over_what_it_sees() {
    told("", &[], expect![[r#"Decided { verdict: Go(""), said: [] }"#]]);
    told(
        "say(`looks at ${node.name}`); print(limit); 1.5 * limit",
        &[],
        expect![[r#"Decided { verdict: Go("4.5"), said: ["looks at w1", "3"] }"#]],
    );
    told(
        "if limit > 2 { wait(\"a calm moment\", every) } stop(\"never\")",
        &[],
        expect![[r#"Decided { verdict: Wait { reason: "a calm moment", again: 30000 }, said: [] }"#]],
    );
    told(
        "try { stop(\"no more\") } catch { } \"not reached\"",
        &[],
        expect![[r#"Decided { verdict: Stop("no more"), said: [] }"#]],
    );
}

#[test]
fn what_a_script_asks_ends_it_and_with_the_answer_it_is_run_again() {
    let text = r#"
        let found = http_get("http://p:9090/api?query=" + url_encode("up == 0"), #{ accept: "*/*" });
        if !found.ok { wait(found.error); }
        http_post("http://h/hook", #{ text: `${found.json.data[0]} are down` });
        kube_get("/api/v1/nodes/w1").json.metadata.name
    "#;
    told(
        text,
        &[],
        expect![[
            r#"Wants(Http { post: false, url: "http://p:9090/api?query=up%20%3D%3D%200", headers: [("accept", "*/*")], body: "" })"#
        ]],
    );
    let mut answers = vec![answer(503, "down")];
    told(
        text,
        &answers,
        expect![[r#"Decided { verdict: Wait { reason: "the answer is 503", again: 15000 }, said: [] }"#]],
    );
    answers = vec![answer(200, r#"{"data":[2.5]}"#)];
    told(
        text,
        &answers,
        expect![[
            r#"Wants(Http { post: true, url: "http://h/hook", headers: [("content-type", "application/json")], body: "{\"text\":\"2.5 are down\"}" })"#
        ]],
    );
    answers.push(answer(200, "ok"));
    told(text, &answers, expect![[r#"Wants(Kube("/api/v1/nodes/w1"))"#]]);
    answers.push(answer(200, r#"{"metadata":{"name":"w1"}}"#));
    told(text, &answers, expect![[r#"Decided { verdict: Go("w1"), said: [] }"#]]);
    let error = Answer { error: "connection refused".into(), ..Answer::default() };
    told(
        text,
        &[error],
        expect![[r#"Decided { verdict: Wait { reason: "connection refused", again: 15000 }, said: [] }"#]],
    );
}

#[test]
fn a_mistake_is_told_with_its_line() {
    told("\nlet a = node.nmae;", &[], expect![[r#"Broken("Property not found: nmae in line 2")"#]]);
    told("throw \"no\"", &[], expect![[r#"Broken("no in line 1")"#]]);
    told(
        "say(1) +",
        &[],
        expect![[r#"Broken("it cannot be read: Script is incomplete (line 1, position 9)")"#]],
    );
    told(
        "wait(\"x\", \"soon\")",
        &[],
        expect![[
            r#"Broken("`soon` is no time; write for example `wait(\"for what\", \"30s\")` in line 1")"#
        ]],
    );
}

#[test]
fn a_check_finds_what_is_wrong_before_anything_runs() {
    let found = |text: &str| match check(text, &["limit"]) {
        Ok(()) => "ok".to_string(),
        Err(BadScript { at, message }) => format!("{message} at {:?}", &text[at..]),
    };
    assert_eq!(found("if limit > 2 { wait(\"x\") }"), "ok");
    assert_eq!(
        found("let a = \"ü\";\nlet b = \"ü\"; if lmit > 2 { }"),
        "undefined variable: lmit at \"lmit > 2 { }\""
    );
    assert_eq!(
        found("\n  say(\"a\"\n"),
        "expecting ')' to close the arguments list of this function call 'say' at \"\""
    );
    assert!(found("eval(\"1\")").contains("'eval' is disabled"), "{}", found("eval(\"1\")"));
}

#[test]
fn who_waits_or_stops_is_a_gate() {
    assert!(is_gate("if x { wait (\"y\") }"));
    assert!(is_gate("let a = 1; stop(`x`)"));
    assert!(!is_gate(
        "// wait(\"y\")\nsay(\"stop(now)\"); /* stop(1) */ let wait = 1; say(wait); nonstop(2)"
    ));
}

#[test]
fn a_script_that_would_ask_a_person_is_told_what_does() {
    told(
        "let yes = ask(\"is it well?\"); yes",
        &[],
        expect![[
            r#"Broken("a script asks no person: write `approve \"question\"` at the step or the scope that waits for it in line 1")"#
        ]],
    );
}

#[test]
fn a_script_asks_only_so_often() {
    let answers = vec![answer(200, ""); QUESTIONS + 1];
    told("", &answers, expect![[r#"Broken("it asked more than 32 times")"#]]);
}

/// Each of these has ended a process, or hung one, behind fewer limits.
#[test]
fn no_bomb_goes_off() {
    let parens = format!("let a = {}1{};", "(".repeat(5000), ")".repeat(5000));
    let json = format!("from_json({:?})", "[".repeat(20_000) + &"]".repeat(20_000));
    let bombs: [(&str, &str); 26] = [
        ("an endless loop", "loop { }"),
        ("an array in an array", "let a = []; loop { a = [a]; }"),
        ("a map in a map", "let a = #{}; loop { a = #{ a: a }; }"),
        ("maps of maps", "let a = #{}; for i in 0..999 { a = #{ x: a, y: a }; }"),
        ("curry", "fn f(x) { x } let a = Fn(\"f\"); loop { a = a.curry(a); }"),
        ("a closure that captures itself", "let a = 1; loop { let b = a; a = || b; }"),
        ("a text that doubles", "let a = \"x\"; loop { a += a; }"),
        ("an array that doubles", "let a = [1]; loop { a += a; }"),
        ("an array that grows", "let a = []; loop { a.push(1); }"),
        ("a map that grows", "let a = #{}; let i = 0; loop { a[`k${i}`] = i; i += 1; }"),
        ("a blob", "let a = blob(1000000000);"),
        ("a blob that grows", "let a = blob(); loop { a.push(1); }"),
        ("padding a text", "let a = \"x\"; a.pad(1000000000, 'y');"),
        ("padding an array", "let a = [1]; a.pad(1000000000, 2);"),
        ("deep JSON", &json),
        ("parentheses", &parens),
        ("recursion", "fn f(x) { f(x + 1) } f(0)"),
        ("recursion of two", "fn f(x) { g(x) } fn g(x) { f(x) } f(0)"),
        ("a range", "let n = 0; for i in 0..9000000000000000000 { n += 1; }"),
        ("an overflow", "let a = 9223372036854775807; a + 1"),
        ("a property that is not there", "let a = #{}; a.b.c"),
        ("an index that is not there", "let a = [1]; a[5]"),
        ("another file", "import \"x\" as y;"),
        ("eval", "eval(\"loop { }\")"),
        ("a clock", "timestamp()"),
        ("sleeping", "sleep(100000); sleep(100000.0);"),
    ];
    for (name, text) in bombs {
        let began = Instant::now();
        let ended = run(text, &IndexMap::new(), &[]);
        assert!(matches!(ended, Ended::Broken(_)), "{name}: {ended:?}");
        assert!(began.elapsed() < Duration::from_secs(5), "{name} took {:?}", began.elapsed());
    }
}

#[test]
fn slow_operations_have_a_deadline_of_their_own() {
    // Each operation copies 64 KiB.
    let text =
        "let a = \"x\"; a.pad(60000, 'y'); let b = \"\"; loop { b = a.to_upper(); b.replace(\"Y\", \"z\"); }";
    let Ended::Broken(why) = run(text, &IndexMap::new(), &[]) else { panic!("it ended") };
    assert!(why.starts_with("it took"), "{why}");
}

#[test]
fn an_answer_that_is_too_large_is_cut_and_not_taken_apart() {
    let large = format!("[{}1]", "1,".repeat(100_000));
    let text = "let a = http_get(\"http://p/\"); `${a.body.len()} ${a.json == ()} ${a.ok}`";
    told(text, &[answer(200, &large)], expect![[r#"Decided { verdict: Go("32768 true true"), said: [] }"#]]);
}
