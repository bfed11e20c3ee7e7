//! No usable cluster: exit code 8, and nothing was changed.

use crate::support::Kup;
use crate::support::web::Web;

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

/// Returns with which token kup asks an API that lets nobody in.
fn token(kup: Kup, files: &[(&str, &str)], options: &str) -> Option<String> {
    let web = Web::start(|_| (401, "{\"kind\":\"Status\",\"code\":401,\"message\":\"who are you\"}"));
    let write = |kup: Kup, (path, text): &(&str, &str)| kup.with(path, text.replace("SERVER", &web.host()));
    let kup = files.iter().fold(kup, write);
    kup.run(&format!("plan up.kup {TARGET} {options}")).exits(8).says("it says 401: who are you");
    let came = web.came();
    let headers = came[0].headers.iter().find(|(name, _)| name == "authorization");
    headers.map(|(_, value)| value.clone())
}

/// Two users of two contexts; `current` is none.
const TWO: &str = "apiVersion: v1\nkind: Config\nclusters: [{name: lab, cluster: {server: 'http://SERVER'}}]\n\
                   users: [{name: ann, user: {token: of-ann}}, {name: bob, user: {token: of-bob}}]\n\
                   contexts: [{name: lab, context: {cluster: lab, user: ann}}, {name: other, context: {cluster: lab, user: bob}}]\n";

#[test]
fn a_context_is_chosen_as_kubectl_chooses_it() {
    let kup = || Kup::new().with_main_job();
    let current = format!("{TWO}current-context: other\n");
    let bearer = |who: &str| Some(format!("Bearer of-{who}"));
    assert_eq!(token(kup(), &[("kc", &current)], "--kubeconfig kc"), bearer("bob"));
    assert_eq!(token(kup(), &[("kc", &current)], "--kubeconfig kc --context lab"), bearer("ann"));
    assert_eq!(token(kup(), &[("kc", TWO)], "--kubeconfig kc --context other"), bearer("bob"));
    assert_eq!(token(kup(), &[("home/.kube/config", &current)], ""), bearer("bob"), "the default file");
}

#[test]
fn the_files_of_kubeconfig_are_one_and_the_first_that_says_something_counts() {
    // Those that do not exist are passed over.
    let kup = Kup::new().with_main_job().env("KUBECONFIG", "nope:first:second");
    let first =
        "apiVersion: v1\nkind: Config\ncurrent-context: other\nusers: [{name: bob, user: {token: of-rob}}]\n";
    let second = format!("{TWO}current-context: lab\n");
    assert_eq!(token(kup, &[("first", first), ("second", &second)], ""), Some("Bearer of-rob".to_string()));
    // `--kubeconfig` comes before the variable, and the variable before the default file.
    let kup = || Kup::new().with_main_job().env("KUBECONFIG", "second");
    let files =
        [("kc", TWO), ("second", &second), ("home/.kube/config", &second.replace("of-ann", "of-none"))];
    assert_eq!(token(kup(), &files, "--kubeconfig kc --context other"), Some("Bearer of-bob".to_string()));
    assert_eq!(token(kup(), &files, ""), Some("Bearer of-ann".to_string()));
}

#[test]
fn a_credential_plugin_is_asked() {
    let plugin = "#!/bin/sh\necho '{\"apiVersion\": \"client.authentication.k8s.io/v1\", \"kind\": \"ExecCredential\", \
                  \"status\": {\"token\": \"of-'$WHO'\"}}'\n";
    let user = "exec: {command: sh, args: [plugin], env: [{name: WHO, value: carol}], apiVersion: client.authentication.k8s.io/v1, \
                interactiveMode: Never}";
    let config = format!("{}current-context: lab\n", TWO.replace("token: of-ann", user));
    let kup = Kup::new().with_main_job();
    let asked = token(kup, &[("plugin", plugin), ("kc", &config)], "--kubeconfig kc");
    assert_eq!(asked, Some("Bearer of-carol".to_string()));
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
