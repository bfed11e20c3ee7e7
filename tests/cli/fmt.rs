//! `kup fmt`: what happens to files, and what is only said.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::{Kup, binary};

const SLOPPY: &str = "playbook \"p\"\nstage s {\nrun command \"x\"   on=local # why\n}\n";
const NEAT: &str = "playbook \"p\"\n\nstage s {\n  run command \"x\" on=local  # why\n}\n";

#[test]
fn files_and_folders_are_written_in_the_one_style() {
    let kup = Kup::new()
        .with("a.kup", SLOPPY)
        .with("books/b.kup", NEAT)
        .with("books/deep/c.kup", SLOPPY)
        .with("books/.hidden/d.kup", SLOPPY)
        .with("books/e.txt", SLOPPY);
    let ran = kup.run("fmt a.kup books").exits(0);
    assert_eq!(ran.stdout, "a.kup: formatted\nbooks/deep/c.kup: formatted\n");
    let text = |path: &str| fs::read_to_string(kup.path(path)).unwrap();
    assert_eq!([text("a.kup"), text("books/b.kup"), text("books/deep/c.kup")], [NEAT; 3]);
    assert_eq!([text("books/.hidden/d.kup"), text("books/e.txt")], [SLOPPY; 2]);
    assert_eq!(kup.run("fmt a.kup books").exits(0).stdout, "", "a second time there is nothing to do");
    let left: Vec<_> = fs::read_dir(kup.path("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "nothing is left beside the files: {left:?}");
}

#[test]
fn check_changes_nothing_and_shows_what_would_change() {
    let kup = Kup::new().with("a.kup", SLOPPY).with("b.kup", NEAT);
    let ran = kup.run("fmt --check a.kup b.kup").exits(2);
    assert_eq!(
        ran.stdout,
        "a.kup: is not in the one style\n@@ line 1 @@\n playbook \"p\"\n+\n stage s {\n-run command \"x\"   on=local # why\n\
         +  run command \"x\" on=local  # why\n }\n"
    );
    assert_eq!(fs::read_to_string(kup.path("a.kup")).unwrap(), SLOPPY);
    assert_eq!(kup.run("fmt --check b.kup").exits(0).stdout, "");
    let json = kup.run("fmt --check --json a.kup b.kup").exits(2).json();
    let changes: Vec<_> = json.iter().map(|l| l["changes"].as_bool().unwrap()).collect();
    assert_eq!(changes, [true, false]);
}

#[test]
fn a_text_that_cannot_be_read_is_left_as_it_is() {
    let broken = "playbook \"p\"\nstage s {\n drain @\n}\n";
    let kup = Kup::new().with("a.kup", broken).with("b.kup", SLOPPY);
    let ran = kup.run("fmt a.kup missing.kup b.kup").exits(2);
    let ran = ran.says("a.kup:3:8").says("K0101").says("a.kup: not formatted: 1 error");
    let ran = ran.says("there is no file `missing.kup`");
    assert_eq!(ran.stdout, "b.kup: formatted\n", "the others are not held up");
    assert_eq!(fs::read_to_string(kup.path("a.kup")).unwrap(), broken);
}

#[test]
fn what_names_mean_is_none_of_its_business() {
    let kup = Kup::new().with("a.kup", "stage s{drian quickly}\n");
    kup.run("fmt a.kup").exits(0);
    assert_eq!(fs::read_to_string(kup.path("a.kup")).unwrap(), "stage s { drian quickly }\n");
}

#[test]
fn a_dash_is_stdin_to_stdout() {
    let kup = Kup::new();
    let through = |text: &str, line: &str| {
        let mut command = Command::new(binary());
        command.args(line.split(' ')).current_dir(kup.path(""));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        kup.ended(child)
    };
    assert_eq!(through(SLOPPY, "fmt -").exits(0).stdout, NEAT);
    let escape = "stage s { x \"\x1b[31m\" }\n";
    assert_eq!(through(escape, "fmt -").exits(0).stdout, escape, "a file's text is not for the terminal");
    let ran = through("stage s {\n", "fmt -").exits(2).says("stdin:1:9");
    assert_eq!(ran.stdout, "");
    through(SLOPPY, "fmt --check -").exits(2).prints("stdin: is not in the one style");
}

#[test]
fn a_link_stays_a_link_and_permissions_stay() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let kup = Kup::new().with("real/a.kup", SLOPPY);
    fs::set_permissions(kup.path("real/a.kup"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real/a.kup", kup.path("a.kup")).unwrap();
    kup.run("fmt a.kup").exits(0);
    assert!(fs::symlink_metadata(kup.path("a.kup")).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(kup.path("real/a.kup")).unwrap(), NEAT);
    let mode = fs::metadata(kup.path("real/a.kup")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}
