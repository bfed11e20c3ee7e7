//! Tasks that are scripts: gates that go on, wait or stop, and what they may not do.

use crate::support::Kup;

fn playbook(step: &str, task: &str) -> String {
    format!(
        "playbook \"p\"\nstage s {{ {step} }}\n## Looks.\ntask look (text: string = \"x\") script \"\"\"\n{task}\n\"\"\"\n"
    )
}

fn run(step: &str, task: &str) -> crate::support::Ran {
    Kup::new().with("p.kup", playbook(step, task)).run("run p.kup --sim 1+1@v1.34.2 --yes --plain")
}

#[test]
fn a_gate_goes_on_with_what_it_saw() {
    let ran =
        run("look text=\"calm\"", "say(text); `run ${run.title} in ${stage}, attempt ${attempt}`").exits(0);
    assert!(ran.stdout.contains("ok look calm: calm; run p in s, attempt 1 (0s)"), "{}", ran.stdout);
}

#[test]
fn a_gate_sees_the_node_around_it() {
    let task =
        "`${node.name} ${node.role} ${node.kubelet} ${node.labels[\"kubernetes.io/os\"]} ${step.verb}`";
    let ran = run("each node in workers { look }", task).exits(0);
    assert!(ran.stdout.contains("w1 ok look: w1 worker v1.34.2 linux look"), "{}", ran.stdout);
}

#[test]
fn a_gate_that_waits_waits_until_its_timeout() {
    let ran = run("look { timeout 2m }", "wait(\"a calm moment\", \"30s\")").exits(3);
    assert!(ran.stdout.contains("waits look: a calm moment"), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("00:02:00 - failed look: no end after 2m, waiting for a calm moment"),
        "{}",
        ran.stdout
    );
}

#[test]
fn a_gate_that_says_stop_fails_its_step_and_is_not_tried_again() {
    let ran = run("look { retry 3 }", "stop(\"error rate is 3 %\")").exits(3);
    assert!(ran.stdout.contains("failed look: error rate is 3 %"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("retries"), "{}", ran.stdout);
}

#[test]
fn a_script_that_breaks_off_fails_its_step_with_the_line() {
    let ran = run("look", "let a = [];\na[3]").exits(3);
    assert!(
        ran.stdout.contains("failed look: its script broke off: Array index 3 out of bounds"),
        "{}",
        ran.stdout
    );
    run("look", "loop { }").exits(3).prints("it took more than 50000 operations");
}

#[test]
fn a_script_reads_the_cluster_and_no_secrets() {
    let ran = run("look", "let n = kube_get(\"/api/v1/nodes/w1\"); n.json.metadata.name + n.status").exits(0);
    assert!(ran.stdout.contains("ok look: w1200"), "{}", ran.stdout);
    run("look", "kube_get(\"/api/v1/nodes/w9\").error").exits(0).prints("not found");
    let secret = "kube_get(\"/api/v1/namespaces/a/secrets/b\").error";
    run("look", secret).exits(0).prints("scripts do not read secrets");
}

#[test]
fn a_simulation_sends_nothing_and_says_what_it_would_have_sent() {
    let task =
        "let a = http_post(\"https://hooks.slack.com/x\", #{ text: text }); if !a.ok { stop(a.error) }";
    let text = playbook("look", task);
    let kup = Kup::new()
        .with("p.kup", text.replace("playbook \"p\"", "playbook \"p\" { hosts \"hooks.slack.com\" }"));
    let ran = kup.run("run p.kup --sim 1+1@v1.34.2 --yes --plain").exits(0);
    let said = "ok look: simulated, so not sent: POST https://hooks.slack.com/x: {\"text\":\"x\"}";
    assert!(ran.stdout.contains(said), "{}", ran.stdout);
    // Who is not listed is refused here, too.
    let ran = run("look", task).exits(3);
    assert!(
        ran.stdout.contains("does not list the host `hooks.slack.com`; add `hosts \"hooks.slack.com\"`"),
        "{}",
        ran.stdout
    );
}

#[test]
fn a_mistake_in_a_script_is_underlined_where_it_stands() {
    let text = playbook("look", "  let limit = 3;\n  if limt > 2 { wait(\"x\") }");
    let ran = Kup::new().with("p.kup", text).run("check p.kup").exits(2);
    assert!(ran.stderr.contains("p.kup:6:6"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("error[K0701]: the script cannot be read: undefined variable: limt"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("   ^^^^ this part of the script\n"), "{}", ran.stderr);
    let text = playbook("look", "eval(text)");
    Kup::new().with("p.kup", text).run("check p.kup").exits(2).says("'eval' is disabled");
}

#[test]
fn a_run_with_a_gate_is_resumed_by_asking_the_gate_again() {
    let kup = Kup::new()
        .with("p.kup", playbook("look { timeout 1m }", "if attempt < 2 { wait(\"the second attempt\") }"));
    kup.run("run p.kup --sim 1+1@v1.34.2 --yes --plain").exits(3).prints("waiting for the second attempt");
    kup.run("resume --yes --plain").exits(0).prints("ok look");
}
