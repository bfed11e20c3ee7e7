//! `kup test`: what a person writes to know that a playbook does what it should, and what is said where
//! it does not.

use std::collections::BTreeSet;

use dsl::test::What;
use expect_test::expect;

use crate::support::world::Repository;
use crate::support::{Kup, repository};

const PLAYBOOK: &str = r#"playbook "Ask"

param line: string = "date"

stage ask {
  each node in workers { run command line }
}
"#;

/// A test of a name with these lines.
fn test(name: &str, lines: &str) -> String {
    format!("\ntest \"{name}\" {{\n  on sim(1+2@v1.33.4)\n{lines}}}\n")
}

#[test]
fn the_shipped_modules_and_playbooks_do_what_their_tests_say() {
    let folders = TESTS.map(|folder| repository().join(folder).display().to_string());
    let ran = Kup::new().run_args(&["test", &folders[0], &folders[1]]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.lines().count() >= 15 && ran.stdout.lines().all(|l| l.starts_with("ok ")));
}

/// The shipped tests of modules, and of playbooks.
const TESTS: [&str; 2] = ["stdlib/kup/tests", "playbooks/tests"];

#[test]
fn of_every_module_a_test_expects_what_its_verbs_do() {
    let mut expected = BTreeSet::new();
    for folder in TESTS {
        for entry in std::fs::read_dir(repository().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if !name.ends_with(".kup") {
                continue;
            }
            let checked = dsl::check_any(&format!("{folder}/{name}"), &Repository(""), stdlib::PRELUDE);
            assert!(!checked.tests.is_empty(), "{folder}/{name}");
            for one in checked.tests.into_iter().flat_map(|test| test.expected) {
                match one.what {
                    What::Planned(steps) | What::Went(steps, _) => expected.extend([steps.verb]),
                    What::Before(first, second) => expected.extend([first.verb, second.verb]),
                    // A whole plan names no verb, and what is not there is not tried.
                    What::Plan(..) | What::Changes(_) | What::Failure(_) | What::End(..) | What::None(_) => {}
                }
            }
        }
    }
    for (module, _) in stdlib::modules() {
        let (_, tasks, _) = dsl::module(module, &Repository(""), stdlib::PRELUDE);
        assert!(
            tasks.iter().any(|task| expected.contains(&task.name)),
            "no test in {TESTS:?} is of {module}"
        );
    }
}

#[test]
fn each_test_is_one_line_and_what_failed_says_what_came() {
    let good = test("asked", "  expect done\n  expect run command \"date\" on w1 before run command on w2\n");
    let bad = test(
        "wrong",
        "  set line=\"true\"\n  expect paused\n  expect 3 changes\n  expect drain on w1\n  expect run command on w2 skipped\n  \
         expect run command on w2 before run command on w1\n  expect no run command\n  expect failure \"lost\"\n",
    );
    let kup = Kup::new().with("ask.kup", format!("{PLAYBOOK}{good}{bad}"));
    let ran = kup.run("test ask.kup").exits(2).says("1 passed, 1 failed");
    expect![[r#"
        ok     ask.kup:9: asked
        FAILED ask.kup:15: wrong
          line 18: expect paused
            came: done
          line 19: expect 3 changes
            came: 2 changes; done
          line 20: expect drain on w1
            came: the plan has no step `drain`
          line 21: expect run command on w2 skipped
            came: run command true on w2 ran; done
          line 22: expect run command on w2 before run command on w1
            came: run command true on w1 began before run command true on w2 was done
          line 23: expect no run command
            came: run command true on w1, run command true on w2
          line 24: expect failure "lost"
            came: nothing failed; done
    "#]]
    .assert_eq(&ran.stdout);
    let lines = kup.run("test ask.kup --json").exits(2).json();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["type"], &lines[0]["ok"]), (&"tested".into(), &true.into()));
    assert_eq!(lines[1]["failed"][0]["line"], 18);
    assert_eq!(lines[1]["failed"][0]["came"], "done");
    assert!(!kup.state().exists(), "a test leaves no run");
}

#[test]
fn a_fault_is_met_and_an_end_is_told_apart() {
    let failing = "playbook \"p\"\n\nstage s {\n  run command \"systemctl restart kubelet\" on=first(workers) { allow undo-or-say-so \"it comes back\" }\n  \
                   check versions are=v1.34.2\n}\n";
    let text = |end: &str, handler: &str| {
        let test = test(end, &format!("  expect {end}\n  expect check versions failed\n"));
        format!("use std/validate\n\n{failing}\n{handler}\n{test}")
    };
    let kup = Kup::new()
        .with(
            "paused.kup",
            text("paused \"look\"", "on failure { pause \"look\" }")
                .replace("test \"paused \"look\"\"", "test \"paused\""),
        )
        .with("failed.kup", text("failed", "on failure { abort }"))
        .with(
            "undone.kup",
            text("undone", "on failure { rollback }")
                .replace(
                    "{ allow undo-or-say-so \"it comes back\" }",
                    "{ undo { run command \"true\" on=first(workers) } }",
                )
                .replace("failed\n}", "failed\n  expect run command undone\n}"),
        );
    let ran = kup.run("test").exits(0).says("3 passed");
    assert_eq!(ran.stdout.lines().count(), 3, "{}", ran.stdout);
}

#[test]
fn a_plan_is_written_by_update_in_the_one_style() {
    let text = format!("{PLAYBOOK}{}", test("planned", "  expect plan \"\"\"\"\"\"\n"));
    let kup = Kup::new().with("ask.kup", text);
    kup.run("test ask.kup").exits(2).prints("another plan");
    kup.run("test ask.kup --update").exits(0).says("1 plan updated");
    let written = std::fs::read_to_string(kup.path("ask.kup")).unwrap();
    expect![[r#"
        test "planned" {
          on sim(1+2@v1.33.4)
          expect plan """
            Ask
              line=date

            node    role    now -> target  steps
            w1, w2  worker  v1.33.4        1 of 1

            ask
              2 lanes, one at a time
              w1
                + run command date
              w2: as w1

            no way back after ask/w1/run-command: kup does not know what your command changes; give the step an undo block
            2 changes, 0 to look, 0 done already, 0 not needed
          """
        }
    "#]]
    .assert_eq(&written[written.find("test ").unwrap()..]);
    kup.run("test ask.kup").exits(0);
    kup.run("fmt --check ask.kup").exits(0);
    kup.run("check ask.kup").exits(0);
}

#[test]
fn another_playbook_is_tested_from_a_file_of_tests() {
    let tests = "test \"the main job\" {\n  playbook ./up\n  on sim(1+1@v1.33.4)\n  set target=v1.34.2\n  \
                 expect upgrade worker on w1\n}\n\ntest \"too far\" {\n  playbook ./up\n  on sim(1+1@v1.33.4)\n  \
                 set target=v1.36.0\n  expect refused\n}\n";
    let kup = Kup::new().with_main_job().with("up.test.kup", tests);
    kup.run("test up.test.kup").exits(0).says("2 passed");
    kup.run("check up.test.kup").exits(0);
}

#[test]
fn a_shape_is_read_from_beside_the_test_and_a_text_of_several_words_names_its_step() {
    let lines = "  set line=\"echo two words\"\n  expect run command \"echo two words\" on gpu1 ran\n  expect no run command \"two words\"\n";
    let text = format!("{PLAYBOOK}{}", test("asked", lines)).replace("1+2@v1.33.4", "./shape.toml");
    let shape = "version = \"v1.33.4\"\ncontrol_plane = 1\n[[pool]]\nname = \"gpu\"\ncount = 1\n";
    let kup = Kup::new().with("there/ask.kup", text).with("there/shape.toml", shape);
    kup.run("test there/ask.kup").exits(0);
}

#[test]
fn what_cannot_be_tested_is_told() {
    let kup = Kup::new().with("ask.kup", PLAYBOOK).with("bad.kup", "stage s { drian }\n");
    kup.run("test ask.kup").exits(2).says("there is no test").says("expect done");
    kup.run("test bad.kup").exits(2).says("K0").says("1 file cannot be read");
    kup.run("test nowhere.kup").exits(2).says("there is no file `nowhere.kup`");
    let wrong = test("x", "  fault F26@w9\n  expect done\n");
    let kup = kup.with("ask.kup", format!("{PLAYBOOK}{wrong}"));
    kup.run("test ask.kup").exits(2).prints("line 11: a cluster to run on").prints("no node `w9`");
}
