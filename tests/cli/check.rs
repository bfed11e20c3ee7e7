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
    kup.run("doc upgrade worker")
        .exits(0)
        .prints("uncordon node { undo { drain node emptydir=emptydir } }\n");
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

#[test]
fn what_is_certain_is_put_right_in_the_file_and_told() {
    let text = "use std/etcd\n\nplaybook \"p\"   # a title\n\nstage s {\n  each node in workers {\n    drian(node)\n    \
                wait helthy { timeout 10 minutes }\n  }\n}\n";
    let right = "\nplaybook \"p\"   # a title\n\nstage s {\n  each node in workers {\n    drain(node)\n    \
                 wait healthy { timeout 10m }\n  }\n}\n";
    let kup = Kup::new().with("my.kup", text);
    let path = kup.path("my.kup");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let ran = kup.run("check my.kup --fix");
    assert_eq!(ran.code, 2, "`drian(node)` is two mistakes, and neither is certain:\n{}", ran.stderr);
    ran.prints("my.kup:8:5: fixed K0201")
        .prints("`wait helthy` is `wait healthy` now")
        .prints("`10 minutes` is `10m` now");
    let fixed = std::fs::read_to_string(&path).unwrap();
    assert_eq!(fixed.replace("drian", "drain"), right.replacen('\n', "use std/etcd\n\n", 1));
    std::fs::write(&path, fixed.replace("drian", "drain")).unwrap();
    kup.run("check my.kup --fix")
        .exits(0)
        .prints("`drain(node)` is `drain node` now")
        .prints("`use std/etcd` is gone");
    let fixed = std::fs::read_to_string(&path).unwrap();
    assert_eq!(fixed, right.replace("drain(node)", "drain node"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o640);
    let files: Vec<_> =
        std::fs::read_dir(path.parent().unwrap()).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(files, ["my.kup"], "nothing is left beside it");
    let ran = kup.run("check my.kup --fix").exits(0);
    assert_eq!(ran.stdout, "my.kup: ok\n");
}

#[test]
fn json_has_the_patches_and_what_was_fixed() {
    let text = "playbook \"p\"\nstage s { each node in workers { drian } }\n";
    let kup = Kup::new().with("my.kup", text);
    let json = kup.run("check my.kup --json").exits(2).json();
    let patch = &json[0]["diagnostics"][0]["patch"];
    assert_eq!((patch["line"].as_u64(), patch["end_column"].as_u64()), (Some(2), Some(39)), "{patch}");
    assert_eq!(patch["with"], "drain");
    assert_eq!(std::fs::read_to_string(kup.path("my.kup")).unwrap(), text, "a check changes nothing");
    let json = kup.run("check my.kup --json --fix").exits(0).json();
    assert_eq!((&json[0]["fixed"][0]["was"], &json[0]["fixed"][0]["is"]), (&"drian".into(), &"drain".into()));
}

#[test]
fn annotations_of_a_ci_are_one_line_each_whatever_the_text_holds() {
    let text = "playbook \"p\"\nstage s {\n  each node in workers batch=1 { drain }\n  frob%0A\u{1b}::error::x \"a\n}\n";
    let kup = Kup::new().with("odd,name.kup", text).with_main_job();
    let ran = kup.run("check odd,name.kup up.kup --output github").exits(2);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines[0].starts_with("::error file=odd%2Cname.kup,line=4,"), "{}", ran.stdout);
    assert!(
        lines.iter().filter(|l| l.starts_with("::")).count() == 1 && lines.contains(&"up.kup: ok"),
        "{}",
        ran.stdout
    );
    assert!(!ran.stdout.contains('\x1b'), "{:?}", ran.stdout);
    ran.says("odd,name.kup: 1 error");
    let warned = "playbook \"p\"\nstage s {\n  each node in workers batch=1 { drain }\n}\n";
    let kup = Kup::new().with("my.kup", warned);
    let line = "::warning file=my.kup,line=3,endLine=3,col=30,endColumn=31,title=K1002::this `batch` is always 1, and so it is \
                without it%0Aleave `batch` out, or say how many may be out of service at once\n";
    assert_eq!(kup.run("check my.kup --output github").exits(0).stdout, line);
    kup.run("check my.kup --output github --json").exits(2);
}
