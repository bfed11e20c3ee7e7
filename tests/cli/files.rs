//! Files that are no playbooks: each is refused with the reason, with exit code 2.

use std::fs::File;

use crate::support::Kup;

#[test]
fn a_missing_file_names_the_nearest_one() {
    let kup = Kup::new().with_main_job();
    kup.run("check upp.kup").exits(2).says("there is no file `upp.kup`").says("did you mean `up.kup`?");
    kup.run("check nowhere/up.kup").exits(2).says("there is no folder `nowhere` either");
}

#[test]
fn a_folder_is_no_playbook() {
    Kup::new().with("sub/a.kup", "").run("check sub").exits(2).says("`sub` is a folder");
}

#[test]
fn an_empty_file_says_how_to_begin() {
    let kup = Kup::new().with("a.kup", "").with("b.kup", "\n  \n");
    kup.run("check a.kup").exits(2).says("`a.kup` is empty").says("begin with `playbook");
    kup.run("check b.kup").exits(2).says("`b.kup` is empty");
}

#[test]
fn a_binary_is_not_text() {
    let kup = Kup::new().with("a.kup", b"\x7fELF\0\0\x01").with("b.kup", b"playbook \"x\"\n\xff\xfe\n");
    kup.run("check a.kup").exits(2).says("`a.kup` is not text");
    kup.run("check b.kup").exits(2).says("`b.kup` is not text: line 2 is not UTF-8");
}

#[test]
fn a_hundred_megabytes_are_refused_and_not_read() {
    let kup = Kup::new();
    File::create(kup.path("big.kup")).unwrap().set_len(100 << 20).unwrap();
    kup.run("check big.kup").exits(2).says("`big.kup` is 100 MiB; a playbook has at most 16 MiB");
}

#[test]
fn all_files_are_judged_and_not_only_the_first() {
    let kup = Kup::new().with_main_job().with("a.kup", "");
    let ran = kup.run("check a.kup missing.kup up.kup").exits(2);
    let ran = ran.says("`a.kup` is empty").says("there is no file `missing.kup`");
    ran.prints("up.kup: ok");
}
