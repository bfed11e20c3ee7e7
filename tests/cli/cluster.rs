//! No usable cluster: exit code 8, and nothing was changed.

use crate::support::Kup;

const TARGET: &str = "--set target=v1.34.2";

/// A kubeconfig whose server nobody listens on.
const NOWHERE: &str = r#"
apiVersion: v1
kind: Config
current-context: lab
clusters: [{name: lab, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: ann, user: {token: canary-b1f5}}]
contexts: [{name: lab, context: {cluster: lab, user: ann}}]
"#;

fn unusable(kup: &Kup, options: &str, pieces: &[&str]) {
    for verb in ["plan", "run --yes"] {
        let mut ran = kup.run(&format!("{verb} up.kup {TARGET} {options}")).exits(8);
        for piece in pieces {
            ran = ran.says(piece);
        }
        assert!(!format!("{ran:?}").contains("canary"), "a secret got out: {ran:?}");
        assert!(!kup.state().join("runs").exists(), "nothing was begun");
    }
}

#[test]
fn without_a_kubeconfig_it_says_how_to_give_one() {
    unusable(&Kup::new().with_main_job(), "", &["no kubeconfig", "--kubeconfig", "--sim"]);
    unusable(&Kup::new().with_main_job(), "--kubeconfig nope", &["`nope` does not exist"]);
}

#[test]
fn a_broken_kubeconfig_is_named_with_the_place() {
    let kup = Kup::new().with_main_job().with("kc", "apiVersion: [v1\nusers: canary\n");
    unusable(&kup, "--kubeconfig kc", &["cannot read kubeconfig `kc`"]);
}

#[test]
fn what_is_no_kubeconfig_is_told_with_what_to_do() {
    let kup = Kup::new()
        .with_main_job()
        .with("empty", "")
        .with("types", "apiVersion: v1\nkind: Config\nclusters: canary\n")
        .with("binary", b"\xff\xfe\x00canary")
        .with("plugin", NOWHERE.replace("token: canary-b1f5", "exec: {command: no-such-plugin, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}"))
        .with("dangling", NOWHERE.replace("cluster: lab,", "cluster: bob,"))
        .with("folder/file", "");
    unusable(&kup, "--kubeconfig empty", &["the kubeconfig has no contexts", "hint: give another one"]);
    unusable(&kup, "--kubeconfig types", &["cannot read kubeconfig `types`", "line 3", "hint: "]);
    unusable(&kup, "--kubeconfig binary", &["cannot read kubeconfig `binary`", "hint: "]);
    unusable(&kup, "--kubeconfig folder", &["cannot read kubeconfig `folder`: Is a directory\n"]);
    unusable(
        &kup,
        "--kubeconfig plugin",
        &["plugin `no-such-plugin`", "hint: try `kubectl --context lab version`"],
    );
    unusable(&kup, "--kubeconfig dangling", &["cannot use context `lab`", "bob"]);
}

#[test]
fn an_api_that_accepts_and_says_nothing_is_given_up() {
    // The system takes the connections; nobody reads them.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = mute.local_addr().unwrap().to_string();
    let kup = Kup::new().with_main_job().with("kc", NOWHERE.replace("127.0.0.1:1", &address));
    let since = std::time::Instant::now();
    let ran = kup.run(&format!("plan up.kup {TARGET} --kubeconfig kc")).exits(8);
    ran.says(&format!("cannot reach the API at http://{address}: no answer within"));
    assert!(since.elapsed().as_secs() < 30);
}

#[test]
fn an_unknown_context_is_answered_with_the_known_ones() {
    let kup = Kup::new().with_main_job().with("kc", NOWHERE);
    unusable(&kup, "--kubeconfig kc --context prod", &["no context `prod`", "`lab`"]);
}

#[test]
fn an_api_that_does_not_answer_is_named() {
    let kup = Kup::new().with_main_job().with("kc", NOWHERE);
    unusable(
        &kup,
        "--kubeconfig kc",
        &["cannot reach the API at http://127.0.0.1:1", "refused\n", "kubectl version"],
    );
}

#[test]
fn the_playbook_is_judged_before_the_cluster_is_asked() {
    let kup = Kup::new().with("bad.kup", "playbook \"x\"\nstage s { drian }\n");
    kup.run("plan bad.kup").exits(2).says("drain");
}
