//! What scripts send, sent for real, to a server of the test.

use crate::support::sshd::{Hosts, OPTIONS, free_port};
use crate::support::web::Web;
use crate::support::{Kup, Ran};

/// Runs a playbook for real, on a host of this machine.
fn run(text: &str) -> Option<Ran> {
    run_in(Kup::new(), text)
}

fn run_in(kup: Kup, text: &str) -> Option<Ran> {
    let kup = kup.with("p.kup", text);
    let _hosts = Hosts::start(&kup, &["a"])?;
    Some(kup.run(&format!("run p.kup --yes --plain {OPTIONS}")))
}

#[test]
fn slack_is_told_and_a_webhook_gets_the_event() {
    let web = Web::start(|_| (200, "ok"));
    let host = web.host();
    let kup = Kup::new().env("HOOK", format!("http://{host}/slack"));
    let Some(ran) = run_in(
        kup,
        &format!(
            "use std/notify\nplaybook \"Tell\" {{ hosts \"{host}\" }}\nstage s {{ each node in nodes {{ notify slack \"on ${{node}}\" webhook=env(\"HOOK\") }} }}\n\
         on node done {{ notify webhook \"${{node}} is done\" url=\"http://{host}/hook\" }}\n"
        ),
    ) else {
        return;
    };
    let ran = ran.exits(0);
    assert!(ran.stdout.contains("a hook on node done: told"), "{}", ran.stdout);
    let came = web.came();
    assert_eq!(came.len(), 2, "{came:?}");
    assert_eq!((came[0].what.as_str(), came[0].body.as_str()), ("POST /slack", "{\"text\":\"on a\"}"));
    let header = |name: &str| came[0].headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    assert_eq!(header("content-type").as_deref(), Some("application/json"));
    assert!(header("user-agent").unwrap().starts_with("kup/"), "{came:?}");
    let body: serde_json::Value = serde_json::from_str(&came[1].body).unwrap();
    assert_eq!(
        (&body["text"], &body["event"], &body["node"]),
        (&"a is done".into(), &"node done".into(), &"a".into())
    );
    assert_eq!(
        (&body["title"], &body["step"], &body["stage"]),
        (&"Tell".into(), &serde_json::Value::Null, &"s".into())
    );
}

#[test]
fn a_notifier_goes_on_whatever_comes_of_it_and_follows_no_redirect() {
    let web = Web::start(|n| if n == 0 { (302, "") } else { (500, "no") });
    let host = web.host();
    let silent = free_port();
    let kup = Kup::new()
        .env("HOOK", format!("http://{host}/"))
        .env("SILENT", format!("http://127.0.0.1:{silent}/"))
        .env("OTHER", format!("http://127.0.0.2:{silent}/"));
    let Some(ran) = run_in(
        kup,
        &format!(
            "use std/notify\nplaybook \"Tell\" {{ hosts \"{host}\", \"127.0.0.1:{silent}\" }}\nstage s {{\n notify slack \"a\" webhook=env(\"HOOK\")\n\
         notify slack \"b\" webhook=env(\"HOOK\")\n notify slack \"c\" webhook=env(\"SILENT\")\n notify slack \"d\" webhook=env(\"OTHER\")\n}}\n"
        ),
    ) else {
        return;
    };
    let ran = ran.exits(3);
    for piece in [
        "nobody was told: the answer is 302",
        "nobody was told: the answer is 500",
        "nobody was told: Connection refused",
    ] {
        assert!(ran.stdout.contains(piece), "no `{piece}`:\n{}", ran.stdout);
    }
    assert!(ran.stdout.contains("the address is on no host that the playbook lists"), "{}", ran.stdout);
    assert_eq!(web.came().len(), 2);
}

#[test]
fn a_gate_asks_again_until_nothing_is_found() {
    const FOUND: &str = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"job":"shop"},"value":[1,"4.5"]}]}}"#;
    const NOTHING: &str = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
    let web = Web::start(|n| {
        if n == 0 {
            (503, "")
        } else if n == 1 {
            (200, FOUND)
        } else {
            (200, NOTHING)
        }
    });
    let host = web.host();
    let text = format!(
        "use std/gate\nplaybook \"Gate\" {{ hosts \"{host}\" }}\nstage s {{ gate prometheus \"errors > 3\" url=\"http://{host}\" every=1s }}\n"
    );
    let Some(ran) = run(&text) else { return };
    let ran = ran.exits(0);
    assert!(ran.stdout.contains("Prometheus does not answer: the answer is 503"), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("1 found by errors > 3, the first is {\"job\":\"shop\"} with 4.5"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("nothing found"), "{}", ran.stdout);
    assert_eq!(web.came()[0].what, "GET /api/v1/query?query=errors%20%3E%203");
}

/// A library of one's own, around a verb of kup's.
const TEAM: &str = r##"use std/gate, std/notify, std/kubeadm

## Tells our channel.
task tell team (text: string) { notify slack text webhook=env("TEAM_HOOK") }

## Upgrades a worker when the shop is calm, and waits until it is calm again.
task upgrade calmly (node: node = here; to: version) {
  before { gate prometheus "shop_errors > 3" url="http://HOST" { timeout 1h } }
  after { gate prometheus "shop_errors > 3" url="http://HOST" { timeout 1h } }
  upgrade worker node=node to=to
}
"##;

const TRIAL: &str = r#"use team/shop, std/etcd, std/kubeadm

playbook "Workers, watched" { hosts "HOST" }

param target: version

stage backup { etcd snapshot into="./snapshots" }
stage control_plane { upgrade control planes to=target }
stage workers {
  each node in workers { upgrade calmly to=target }
}

on node done { tell team text="${node} is on ${target}" }
on step failed { tell team text="${step} on ${node} failed: ${reason}" }
on run done { tell team text="all on ${target}" }
"#;

#[test]
fn a_library_of_ones_own_puts_slack_and_prometheus_around_upgrade_worker() {
    let on = |text: &str| text.replace("HOST", "watch.example:9090");
    let kup = Kup::new().with("lib/team/shop.kup", on(TEAM)).with("p.kup", on(TRIAL));
    let kup = kup.env("TEAM_HOOK", "http://watch.example:9090/team");
    kup.run("check p.kup --path lib --deny warnings").exits(0);
    let ran = kup.run("run p.kup --path lib --sim 1+2@v1.33.4 --set target=v1.34.2 --yes --plain").exits(0);
    let gate = "w1 ok gate prometheus \"shop_errors > 3\" url=http://watch.example:9090: simulated, so not sent: \
                GET http://watch.example:9090/api/v1/query?query=shop_errors%20%3E%203";
    assert_eq!(ran.stdout.matches(gate).count(), 2, "{}", ran.stdout);
    let told = "w1 hook on node done: simulated, so not sent: POST ***: {\"text\":\"w1 is on v1.34.2\"}";
    assert!(ran.stdout.contains(told), "{}", ran.stdout);
    assert!(ran.stdout.contains("- hook on run done: simulated, so not sent"), "{}", ran.stdout);
    let order: Vec<usize> =
        ["w1 ok gate prometheus", "w1 done drain", "w1 done uncordon", "w1 hook on node done"]
            .iter()
            .map(|piece| ran.stdout.find(piece).unwrap_or_else(|| panic!("no `{piece}`:\n{}", ran.stdout)))
            .collect();
    assert!(order.is_sorted(), "{}", ran.stdout);
}
