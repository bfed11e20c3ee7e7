//! Secrets: handed to commands, on simulated and on real machines, and found nowhere else. A canary is
//! looked for in all that a run leaves.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::sshd::{Hosts, OPTIONS};
use crate::support::web::Web;
use crate::support::{Kup, Ran, binary};

const CANARY: &str = "canary-Xq7 \"9$'";

/// Prints the secret in every way that commands have: to both streams, and as a failure.
const BOOK: &str = r#"playbook "Secrets"
param token: secret = env("TOKEN")
param other: secret = file("./other.txt")
param third: secret = command("cat other.txt")
task hand over (what: secret; on: node) { run command "cat" on=on stdin=what { allow undo-or-say-so "it looks" } }
stage one {
  run command "cat" on=local stdin=token
  each node in nodes {
    hand over other on=node
    run command "cat >&2; exit 3" stdin=third unless="test -e HERE/none" { retry 1 backoff 1s..1s }
  }
}
on failure { pause "look" }
"#;

fn book() -> Kup {
    let kup =
        Kup::new().env("TOKEN", CANARY).env("KUP_LOG", "trace").with("other.txt", format!("{CANARY}\n"));
    let here = kup.path("").display().to_string();
    kup.with("book.kup", BOOK.replace("HERE/", &here))
}

/// Looks for the canary in what was said and in every file of the runs.
fn seen(kup: &Kup, ran: &[&Ran]) {
    let piece = "canary-Xq7";
    for ran in ran {
        assert!(!ran.stdout.contains(piece), "on stdout:\n{}", ran.stdout);
        assert!(!ran.stderr.contains(piece), "on stderr:\n{}", ran.stderr);
    }
    let mut folders = vec![kup.state()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.is_file() {
                files += 1;
                let text = String::from_utf8_lossy(&fs::read(&entry).unwrap()).into_owned();
                assert!(!text.contains(piece), "in {}:\n{text}", entry.display());
            }
        }
    }
    assert!(files > 1, "the run has left its plan and its journal");
}

#[test]
fn a_secret_is_in_nothing_that_a_simulated_run_says_or_leaves() {
    let kup = book();
    let plan = kup.run("plan book.kup --sim 1+1@v1.33.4").exits(0).prints("token=*** (default)");
    let json = kup.run("plan book.kup --sim 1+1@v1.33.4 --json").exits(0).prints("\"token\":\"***\"");
    let ran = kup.run("run book.kup --yes --json --sim 1+1@v1.33.4").exits(0);
    let done = ran.json();
    let said: Vec<&str> = done.iter().filter_map(|e| e["value"].as_str()).filter(|v| !v.is_empty()).collect();
    assert_eq!(said, ["***", "***", "***"], "it was handed over, and what came back is hidden");
    let shown: Vec<Ran> = ["status", "show RUN", "show RUN --json", "report RUN", "why", "why w1", "runs"]
        .map(|line| {
            let run = fs::read_dir(kup.state().join("runs")).unwrap().next().unwrap().unwrap();
            kup.run(&line.replace("RUN", &run.file_name().into_string().unwrap())).exits(0)
        })
        .into();
    seen(&kup, &[&plan, &json, &ran]);
    seen(&kup, &shown.iter().collect::<Vec<_>>());
}

#[test]
fn a_secret_is_in_nothing_that_the_live_view_shows() {
    if Command::new("script").arg("--version").output().is_err() {
        return eprintln!("skipped: there is no `script` on this machine");
    }
    let kup = book().env("TERM", "xterm-256color");
    // All that was ever written to the terminal, not only what stays on it.
    let line = format!("{} run book.kup --yes --sim 1+1@v1.33.4", binary());
    let script = format!("stty cols 100 rows 40; {line}");
    let ran = kup.output(Command::new("script").args(["-qefc", &script, "/dev/null"])).exits(0);
    let ran = ran.prints("***").prints("\u{1b}[");
    seen(&kup, &[&ran]);
}

#[test]
fn a_secret_is_in_nothing_that_a_run_over_ssh_says_or_leaves() {
    let kup = book();
    let Some(_hosts) = Hosts::start(&kup, &["a"]) else { return };
    let ran = kup.run(&format!("run book.kup --yes --json {OPTIONS}")).exits(3);
    let failed = ran.json().into_iter().find(|e| e["type"] == "step_failed").unwrap();
    assert_eq!(failed["failure"]["output"], "***", "{failed}");
    assert_eq!(ran.json().iter().filter(|e| e["value"] == "***").count(), 2);
    let stuck = ["status", "report", "why", "why a"].map(|line| kup.run(line).exits(0));
    seen(&kup, &stuck.iter().collect::<Vec<_>>());
    // The run is gone on with: the secrets are read again, and one that is gone is told by its place.
    let mended = kup.with("none", "");
    let again = mended.run(&format!("resume --yes --plain {}", "--ssh-config ssh/config")).exits(0);
    let shown = ["status", "report", "why", "why a"].map(|line| mended.run(line).exits(0));
    seen(&mended, &[&ran, &again]);
    seen(&mended, &shown.iter().collect::<Vec<_>>());
}

#[test]
fn a_secret_that_is_not_there_is_told_before_anything_is_begun() {
    let kup = book();
    fs::remove_file(kup.path("other.txt")).unwrap();
    let ran = kup.run("run book.kup --yes --sim 1+1@v1.33.4").exits(8);
    ran.says("a secret cannot be read: `").says("nothing was changed");
    assert!(!Path::new(&kup.state()).join("runs").exists());
}

#[test]
fn a_secret_is_given_from_outside_by_its_place() {
    let kup = book();
    let plan = |options: &str| {
        kup.run_args(
            &[
                &["plan", "book.kup", "--sim", "1+1@v1.33.4"],
                options.split(' ').collect::<Vec<_>>().as_slice(),
            ]
            .concat(),
        )
    };
    let ran = plan("--set token=canary-Xq7").exits(2).says("never given itself");
    seen_not(&ran);
    plan("--set token=env(OTHER)").exits(0).prints("token=*** (--set)");
    plan("--set-file token=other.txt").exits(0).prints("token=*** (--set-file other.txt)");
    let kup = kup.env("KUP_PARAM_token", CANARY);
    let ran = kup.run("run book.kup --yes --sim 1+1@v1.33.4").exits(0).says("token=*** ($KUP_PARAM_token)");
    seen(&kup, &[&ran]);
}

/// Hands the secret to scripts, as a step and in a hook, which try to say it in every way they have.
const TELL: &str = r#"playbook "Tell" { hosts "HOST" }
param token: secret = env("TOKEN")
stage one {
  let answer = tell token url="http://HOST/a"
  run command "echo '${answer}' >> FILE" on=local { allow undo-or-say-so "it only says so" }
  wrong address token { retry 1 backoff 1s..1s }
}
task tell (token: secret; url: string) script """
  let answer = http_post(url, #{ token: token, list: [token] }, #{ authorization: "Bearer " + token });
  say("sent " + token);
  let again = http_get(`${url}?of=${url_encode(token)}`);
  `${answer.status} ${answer.body} ${token} ${params.token} ${again.body}`
"""
task wrong address (token: secret) script """ http_get("http://127.0.0.9:9/" + token).body """
on step done { tell token url="http://HOST/hook" }
on failure { pause "look" }
"#;

fn tell(kup: Kup, host: &str) -> Kup {
    let said = kup.path("said.txt").display().to_string();
    kup.with("tell.kup", TELL.replace("HOST", host).replace("FILE", &said))
}

#[test]
fn a_script_hands_a_secret_to_a_listed_host_and_says_it_to_nobody_else() {
    let kup = Kup::new().env("TOKEN", CANARY).env("KUP_LOG", "trace");
    // The server says it again.
    let web = Web::start(|_| (200, CANARY));
    let kup = tell(kup, &web.host());
    let Some(_hosts) = Hosts::start(&kup, &["a"]) else { return };
    let ran = kup.run(&format!("run tell.kup --yes --json {OPTIONS}")).exits(3);
    let of = |kind: &str| ran.json().into_iter().filter(|e| e["type"] == kind).collect::<Vec<_>>();
    assert_eq!(of("step_done")[0]["value"], "sent ***; 200 *** *** *** ***");
    assert!(
        of("hook_ended").iter().any(|e| e["text"] == "sent ***; 200 *** *** *** ***"),
        "{:?}",
        of("hook_ended")
    );
    let why = of("step_failed")[0]["failure"]["message"].as_str().unwrap().to_string();
    assert!(
        why.ends_with(
            "the address is on no host that the playbook lists: add it to the `hosts` of its `playbook`"
        ),
        "{why}"
    );
    assert!(!fs::read_to_string(kup.path("said.txt")).unwrap().contains("canary"));
    let shown = ["status", "report", "why"].map(|line| kup.run(line).exits(0));
    seen(&kup, &[&ran]);
    seen(&kup, &shown.iter().collect::<Vec<_>>());
    // What came is the secret, as JSON and an address have it.
    let came = web.came();
    let body: serde_json::Value = serde_json::from_str(&came[0].body).unwrap();
    assert_eq!(body, serde_json::json!({ "token": CANARY, "list": [CANARY] }));
    let header = |name: &str| came[0].headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    assert_eq!(header("authorization"), Some(format!("Bearer {CANARY}")));
    assert_eq!(came[1].what, "GET /a?of=canary-Xq7%20%229%24%27");
}

#[test]
fn a_script_that_is_simulated_shows_no_secret() {
    let kup = tell(Kup::new().env("TOKEN", CANARY), "metrics.example");
    let ran = kup.run("run tell.kup --yes --plain --sim 1+1@v1.33.4").exits(3);
    let sent =
        "simulated, so not sent: POST http://metrics.example/a: {\"list\":[\"***\"],\"token\":\"***\"}";
    let ran = ran.prints(sent);
    seen(&kup, &[&ran]);
}

fn seen_not(ran: &Ran) {
    assert!(!ran.stdout.contains("canary") && !ran.stderr.contains("canary"), "{ran:?}");
}
