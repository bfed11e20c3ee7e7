//! `kup check`: mistakes are taught, all of them in one go.

use crate::support::Kup;

const THREE_MISTAKES: &str = r#"use std/kubeadm

playbook "Three mistakes"

param target: version

stage workers {
  each node in workers {
    drian
    install kubelet version="soon"
    uncordon
    wait healthy nod
  }
}
"#;

#[test]
fn a_sound_playbook_is_ok() {
    Kup::new().with_main_job().run("check up.kup").exits(0).prints("up.kup: ok");
}

#[test]
fn a_module_is_checked_as_one_and_cannot_be_run() {
    let kup = Kup::new()
        .with("mine.kup", "## Looks.\ntask look (node: node = here) {\n  wait healthy node node=node\n}\n")
        .with("bad.kup", "task look (node: node = here) {\n  drian node\n}\n");
    kup.run("check mine.kup").exits(0).prints("mine.kup: ok");
    kup.run("check bad.kup").exits(2).says("did you mean `drain`?");
    kup.run("plan mine.kup --sim").exits(2).says("it is a module");
}

#[test]
fn three_mistakes_are_three_findings_each_underlined_with_what_to_do() {
    let ran = Kup::new().with("bad.kup", THREE_MISTAKES).run("check bad.kup").exits(2);
    for piece in ["bad.kup:9:5", "bad.kup:10:", "bad.kup:12:", "`drain`", "help:", "^^^^^"] {
        assert!(ran.stderr.contains(piece), "no `{piece}` in:\n{}", ran.stderr);
    }
    assert_eq!(ran.stderr.matches("error[").count(), 3, "{}", ran.stderr);
    assert!(!ran.stderr.contains('\x1b'), "no colour in a pipe:\n{}", ran.stderr);
    assert_eq!(ran.stdout, "");
}

#[test]
fn warnings_pass_unless_they_are_denied() {
    let text = "playbook \"p\"\n\nstage s {\n  each node in workers batch=100% { drain }\n}\n";
    let kup = Kup::new().with("warned.kup", text).with_main_job();
    kup.run("check warned.kup").exits(0).says("warning[K1002]").says("warned.kup: 1 warning");
    kup.run("check warned.kup --deny warnings").exits(2).says("warning[K1002]");
    kup.run("check up.kup --deny warnings").exits(0).prints("up.kup: ok");
    kup.run("check up.kup --deny waste").exits(2);
}

#[test]
fn colour_comes_when_asked_for() {
    let ran = Kup::new().with("bad.kup", THREE_MISTAKES).run("check bad.kup --color always").exits(2);
    assert!(ran.stderr.contains("\x1b["), "{}", ran.stderr);
}

#[test]
fn json_has_the_same_findings_with_line_and_column() {
    let ran = Kup::new().with("bad.kup", THREE_MISTAKES).run("check bad.kup --json").exits(2);
    let json = ran.json();
    assert_eq!((json.len(), json[0]["v"].as_u64(), json[0]["ok"].as_bool()), (1, Some(1), Some(false)));
    let lines: Vec<_> =
        json[0]["diagnostics"].as_array().unwrap().iter().map(|d| d["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [9, 10, 12]);
}

#[test]
fn hostile_text_cannot_paint_the_terminal() {
    let text = "playbook \"x\"\n\nstage s {\n  \x1b]0;owned\x07\x1b[2Jdrian \u{9b}31m\u{202e}w1\n}\n";
    let kup = Kup::new().with("evil.kup", text);
    let ran = kup.run("check evil.kup").exits(2);
    for evil in ['\x1b', '\x07', '\u{9b}', '\u{202e}'] {
        assert!(!ran.stderr.contains(evil), "{:?} reached the terminal:\n{:?}", evil, ran.stderr);
    }
    // With colours on, the only escapes are our own: colours, and no other command.
    let ran = kup.run("check evil.kup --color always").exits(2);
    for piece in ran.stderr.split('\x1b').skip(1) {
        let end = piece.find(|c: char| c.is_ascii_alphabetic()).unwrap_or_default();
        assert!(piece.starts_with('[') && piece[end..].starts_with('m'), "{piece:?}");
    }
    for evil in ['\x07', '\u{9b}', '\u{202e}'] {
        assert!(!ran.stderr.contains(evil), "{:?}", ran.stderr);
    }
}

#[test]
fn a_word_that_is_no_command_is_answered_with_the_nearest() {
    Kup::new().run("chekc up.kup").exits(2).says("check");
}

#[test]
fn the_usual_variables_decide_about_colour() {
    let kup = Kup::new().with("bad.kup", THREE_MISTAKES).env("CLICOLOR_FORCE", "1");
    assert!(kup.run("check bad.kup").stderr.contains("\x1b["));
    let kup = kup.env("NO_COLOR", "1");
    assert!(!kup.run("check bad.kup --color never").stderr.contains('\x1b'));
}

#[test]
fn doc_knows_verbs_and_how_verbs_begin() {
    let kup = Kup::new();
    kup.run("doc drain").exits(0).prints("native task drain (").prints("  disrupts node");
    kup.run("doc upgrade worker").exits(0).prints("uncordon node\n  }\n");
    kup.run("doc kubeadm").exits(0).prints("kubeadm upgrade apply").prints("kubeadm upgrade node");
    kup.run("doc drian").exits(2).says("did you mean `drain`?");
    kup.run("doc frobnicate").exits(2).says("`kup doc` lists them all");
}

#[test]
fn a_finding_is_explained_and_the_way_to_it_is_told_once() {
    let kup = Kup::new().with("bad.kup", THREE_MISTAKES).with("worse.kup", THREE_MISTAKES);
    let ran = kup.run("check bad.kup worse.kup").exits(2);
    assert_eq!(ran.stderr.matches("kup explain").count(), 1, "{}", ran.stderr);
    ran.says("`kup explain K0201`");
    kup.run("plan bad.kup --sim").exits(2).says("`kup explain K0201`");
    kup.run("explain K0203")
        .exits(0)
        .prints("K0203: unknown argument")
        .prints("drain grce=2m")
        .prints("right:");
    kup.run("explain k0203").exits(0).prints("K0203: unknown argument");
    kup.run("explain").exits(0).prints("K0101  ").prints("K1001  ");
    kup.run("explain K0200").exits(2).says("did you mean one of `K0201`, `K0202`, `K0203`?");
}
