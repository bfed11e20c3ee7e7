//! What a person sees on a terminal while a run goes on: in a real one, whose screen is compared as text.

use std::fs;
use std::time::Duration;

use expect_test::{Expect, expect};

use crate::support::Kup;
use crate::support::sshd::{Hosts, OPTIONS};
use crate::support::terminal::{Terminal, timeless};

/// All hosts share a file system with kup: `HERE/go` lets the first stage go on, `HERE/on` the second.
const PATCH: &str = r#"playbook "Patch all hosts"

stage prepare {
  run command "true" on=local { name "look around" }
}

stage hosts {
  each node in nodes batch=3 {
    run command "until test -f HERE/go || ! test -d HERE/; do sleep 0.2; done" { name "patch ${node}" }
  }
}

stage gpu {
  approve "May the GPU host go, too?"
  run command "until test -f HERE/on || ! test -d HERE/; do sleep 0.2; done" on=local { name "patch the GPU host" }
}
"#;

fn kup() -> Kup {
    let kup = Kup::new();
    let here = kup.path("").display().to_string();
    kup.with("patch.kup", PATCH.replace("HERE/", &here))
}

fn command() -> String {
    format!("kup run patch.kup --yes {OPTIONS}")
}

#[track_caller]
fn looks_like(screen: &str, expected: Expect) {
    expected.assert_eq(&timeless(screen));
}

#[test]
fn the_wave_stands_below_the_lines_and_makes_room_for_a_question() {
    let kup = kup();
    let Some(_hosts) = Hosts::start(&kup, &["a", "b", "c", "d"]) else { return };
    let Some(terminal) = Terminal::open(&kup, (80, 24), &command()) else { return };
    looks_like(
        &terminal.shows("a .. c (3)"),
        expect![[r#"
            warning[K1021]: the playbook asks once on the way, and `--yes` is no answer to t
            hat
              --> patch.kup:14:11
               |
            14 |   approve "May the GPU host go, too?"
               |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^ asked during the run
               |
               = help: stay at the terminal, or answer a paused run with `kup approve`

            Patch all hosts

            prepare
              ✓ -            look around TIME

            hosts
            goes well  16%  hh:mm:ss  Patch all hosts
            hosts  0 of 4 nodes done
              ▸ a .. c (3) TIME  patch *
        "#]],
    );
    fs::write(kup.path("go"), "").unwrap();
    let screen = terminal.shows("[y/");
    assert!(screen.ends_with("\nMay the GPU host go, too? [y/N]\n"), "{screen}");
    assert!(!screen.contains("hosts  "), "the view is gone while somebody is asked:\n{screen}");
    terminal.types("y");
    let screen = terminal.shows("▸");
    let view = screen.find("goes well").unwrap_or_default();
    looks_like(
        &screen[view..],
        expect![[r#"
        goes well  83%  hh:mm:ss  Patch all hosts
        gpu
          ▸ TIME  patch the GPU host
    "#]],
    );
    fs::write(kup.path("on"), "").unwrap();
    let screen = terminal.shows("exit 0");
    assert!(!screen.contains('▸') && !screen.contains("goes well"), "nothing of the view is left:\n{screen}");
    let all = terminal.scrolled();
    for node in ["a", "b", "c", "d"] {
        let times = all.matches(&format!("patch {node}  ")).count();
        assert_eq!(times, 1, "each step is told once, {node}:\n{all}");
    }
}

#[test]
fn a_large_terminal_shows_the_same_with_more_room() {
    let kup = kup();
    let Some(_hosts) = Hosts::start(&kup, &["a", "b", "c", "d"]) else { return };
    let Some(terminal) = Terminal::open(&kup, (200, 60), &command()) else { return };
    looks_like(
        &terminal.shows("a .. c (3)"),
        expect![[r#"
            warning[K1021]: the playbook asks once on the way, and `--yes` is no answer to that
              --> patch.kup:14:11
               |
            14 |   approve "May the GPU host go, too?"
               |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^ asked during the run
               |
               = help: stay at the terminal, or answer a paused run with `kup approve`

            Patch all hosts

            prepare
              ✓ -            look around TIME

            hosts
            goes well  16%  hh:mm:ss  Patch all hosts
            hosts  0 of 4 nodes done
              ▸ a .. c (3) TIME  patch *
        "#]],
    );
}

#[test]
fn a_terminal_that_changes_its_size_breaks_nothing() {
    let kup = kup();
    let Some(_hosts) = Hosts::start(&kup, &["a", "b"]) else { return };
    let Some(terminal) = Terminal::open(&kup, (80, 24), &command()) else { return };
    terminal.shows("a, b");
    for size in [(40, 12), (20, 5), (120, 40)] {
        terminal.resize(size);
        std::thread::sleep(Duration::from_millis(400));
    }
    terminal.shows("goes well");
    fs::write(kup.path("go"), "").unwrap();
    terminal.shows("[y/");
    terminal.types("n");
    terminal.shows("exit 3");
}

#[test]
fn a_small_or_a_dumb_terminal_has_the_lines_alone() {
    let kup = kup();
    let Some(_hosts) = Hosts::start(&kup, &["a"]) else { return };
    fs::write(kup.path("go"), "").unwrap();
    let dumb = format!("TERM=dumb {}", command());
    for (size, line) in [((80, 24), &dumb), ((29, 24), &command())] {
        let Some(terminal) = Terminal::open(&kup, size, line) else { return };
        let screen = terminal.shows("[y/");
        assert!(!screen.contains("goes well"), "{screen}");
        terminal.types("n");
        terminal.shows("exit 3");
    }
}

/// A program in the background that asks its terminal for anything is stopped by the kernel.
#[test]
fn a_run_in_the_background_of_its_shell_goes_on() {
    let kup = kup();
    let Some(_hosts) = Hosts::start(&kup, &["a"]) else { return };
    let line = format!("set -m\n{} < /dev/null &\nwait $!", command());
    let Some(terminal) = Terminal::open(&kup, (80, 24), &line) else { return };
    std::thread::sleep(Duration::from_millis(300));
    fs::write(kup.path("go"), "").unwrap();
    let screen = terminal.shows("exit 3");
    assert!(!screen.contains("goes well"), "{screen}");
}
