//! `kup report`: a run as one page that needs nothing but itself.

use std::fs;

use crate::support::{Kup, repository};

fn page(kup: &Kup) -> String {
    let ran = kup.run("report").exits(0);
    assert_eq!(ran.stderr, "");
    ran.stdout
}

/// Nothing is loaded and nothing is run: no script, no link to anywhere, no picture, no style from elsewhere.
#[track_caller]
fn is_self_contained(page: &str) {
    assert!(page.starts_with("<!doctype html>\n") && page.ends_with("</html>\n"));
    assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""));
    let mut tags = Vec::new();
    for piece in page.split('<').skip(1) {
        let tag = piece.split(|c: char| !c.is_ascii_alphanumeric() && c != '/' && c != '!').next().unwrap();
        tags.push(tag.trim_start_matches('/').to_string());
        let attributes = piece.split('>').next().unwrap();
        for name in ["src=", "href=", "url(", "@import", "srcset=", "action=", "on"] {
            let is = |word: &str| {
                if name == "on" { word.starts_with("on") && word.contains('=') } else { word.contains(name) }
            };
            // What stands in quotes is a text.
            let outside = attributes.split('"').step_by(2).collect::<Vec<_>>().join(" ");
            assert!(!outside.split_whitespace().any(is), "<{attributes}>");
        }
    }
    tags.sort();
    tags.dedup();
    let known = [
        "!doctype", "b", "body", "code", "dd", "details", "div", "dl", "dt", "h1", "h2", "head", "header",
        "html", "i", "li", "main", "meta", "p", "pre", "section", "span", "style", "summary", "table", "td",
        "th", "title", "tr", "ul",
    ];
    assert!(tags.iter().all(|tag| known.contains(&tag.as_str())), "{tags:?}");
    let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    assert!(!style.contains("url(") && !style.contains("@import"));
}

/// Every element that is opened is closed, in order.
#[track_caller]
fn is_well_formed(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    for piece in page.split('<').skip(1) {
        let tag = piece.split('>').next().unwrap();
        let name = tag.trim_start_matches('/').split_whitespace().next().unwrap();
        if tag.starts_with('!') || name == "meta" {
            continue;
        }
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "before: {open:?}");
        } else {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn a_run_that_went_well_is_told_with_its_times_changes_and_hashes() {
    let kup = Kup::new().with_main_job();
    kup.run("run up.kup --yes --sim --set target=v1.34.2 --fault F40@w1").exits(0);
    let page = page(&kup);
    is_self_contained(&page);
    is_well_formed(&page);
    let plan =
        kup.run("plan up.kup --sim --set target=v1.34.2 --fault F40@w1 --json").json()[0]["hash"].to_string();
    let last = {
        let run = fs::read_dir(kup.state().join("runs")).unwrap().next().unwrap().unwrap();
        let journal = fs::read_to_string(run.path().join("journal.jsonl")).unwrap();
        journal
            .lines()
            .last()
            .unwrap()
            .rsplit("\"chain\":\"")
            .next()
            .unwrap()
            .trim_end_matches("\"}")
            .to_string()
    };
    for piece in [
        "<p class=\"state s-done\">done</p>",
        "<dt>parameters</dt><dd>target = v1.34.2 (--set); ",
        "<h2>Timeline</h2>",
        "<b>cp1</b>",
        "<td>w1</td><td>install kubelet, kubectl version=v1.34.2</td><td><span class=\"how h-changed\">done</span></td><td>v1.33.4 -&gt; v1.34.2</td>",
        "<h2>Failures</h2>",
        "<td>w1</td><td>package repository minor=v1.34</td><td>attempt 1</td><td>lost w1",
        "<h2>Log</h2>",
        "00:00:00 - started Upgrade a kubeadm cluster",
        &last,
        plan.trim_matches('"'),
    ] {
        assert!(page.contains(piece), "`{piece}` is not in the page");
    }
    assert!(!page.contains("Where it stands"), "nothing is left to do");
}

#[test]
fn a_run_that_holds_says_why_and_what_to_type_and_who_decided_what() {
    let text = fs::read_to_string(repository().join("playbooks/kubeadm-minor.kup")).unwrap();
    let kup = Kup::new().with("up.kup", text.replace("  check disruption budgets\n", ""));
    kup.run("run up.kup --yes --sim --set target=v1.34.2 --fault F26@w1").exits(3);
    kup.run_args(&["skip", "w1/drain", "--why", "it's <b>stuck</b>"]).exits(0);
    let page = page(&kup);
    is_self_contained(&page);
    is_well_formed(&page);
    for piece in [
        "<p class=\"state s-paused\">paused</p>",
        "<li>w1 failed, and was taken back<ul>\n<li>drain<ul>\n<li>no end after 15m<ul>\n<li>pod default/stubborn-w1-0<ul>\n<li>PDB",
        "<p class=\"next\">next: <code>kup resume 2",
        "<td>14m59s</td><td>w1</td><td>drain</td><td>pod default/stubborn-w1-0 &lt;- PDB default/stubborn-w1 needs 1 healthy",
        "<i class=\"takes-back\"",
        "<td>to be skipped</td><td>workers/w1/drain</td><td>tester@",
        "<td>it&#39;s &lt;b&gt;stuck&lt;/b&gt;</td>",
    ] {
        assert!(page.contains(piece), "`{piece}` is not in the page");
    }
    kup.run("report --json").exits(2).says("kup show RUN --json");
    Kup::new().run("report").exits(2);
}
