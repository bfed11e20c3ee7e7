//! Two thousand strings that would like to be more than text, as node names, labels, versions, parameters and
//! outputs: none is executed, and none reaches the terminal as it is.

use std::fs;
use std::path::Path;

use indexmap::IndexMap;

use crate::support::hostile::{CANARY, strings};
use crate::support::sshd::{Hosts, OPTIONS};
use crate::support::{Kup, Ran};

const COUNT: usize = 2000;
const SEED: u64 = 5;
/// One in so many is what a command prints: each costs processes. The quoting itself is held to all of them in the engine.
const OUTPUTS_IN: usize = 5;

/// Whether a terminal or a reader would be steered by a character. Written apart from kup's own list.
fn steers(c: char) -> bool {
    let invisible = [0xad, 0x61c, 0x115f, 0x1160, 0x180e, 0x3164, 0xfeff, 0xffa0];
    let ranges = [(0x200b, 0x200f), (0x2028, 0x202e), (0x2060, 0x206f), (0xfff9, 0xfffb), (0xe0000, 0xe0fff)];
    let code = u32::from(c);
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || invisible.contains(&code)
        || ranges.iter().any(|(from, to)| (*from..=*to).contains(&code))
}

/// Nothing that kup says may steer a terminal, and nothing was run that a string wanted to run.
#[track_caller]
fn harmless(kup: &Kup, what: &str, ran: &Ran) {
    for (stream, text) in [("stdout", &ran.stdout), ("stderr", &ran.stderr)] {
        let line = text.lines().find(|line| line.chars().any(steers));
        assert_eq!(line, None, "{what}: raw on {stream}");
    }
    assert_ne!(ran.code, 1, "{what}: a bug: {}", ran.stderr);
    unharmed(kup, what);
}

#[track_caller]
fn unharmed(kup: &Kup, what: &str) {
    let found = |folder: &Path| folder.join(CANARY).exists();
    let home = std::env::var_os("HOME").map(std::path::PathBuf::from);
    assert!(
        !found(&kup.path("")) && !home.is_some_and(|home| found(&home)),
        "{what}: something was executed"
    );
    assert!(
        !Path::new("/CANARY").exists() && !Path::new("/root/CANARY").exists(),
        "{what}: something was executed"
    );
}

const OUTPUTS: &str = r#"playbook "Outputs"

param files: [string]
param say: [string]
param fail: [string]

task echo (; text: string) script """
  log(text);
  `${text}`
"""

stage outputs {
  each file in files batch=40 {
    let seen = read command "cat HERE/out/${file}" on=local
    run command "printf %s ${seen} > HERE/echo/${file}; printf %s '${seen}' > HERE/single/${file}; printf %s \"${seen}\" > HERE/double/${file}" on=local {
      name "repeat ${file}"
    }
  }
}
stage params {
  each text in say batch=40 { echo text=text { name "say ${text}" } }
}
stage failures {
  each file in fail batch=40 { run command "cat HERE/out/${file} >&2; false" on=local }
}

on failure { continue failures=5000 }
on step failed { read command "printf %s ${reason} > HERE/reason" on=local }
"#;

#[test]
fn hostile_outputs_and_parameters_are_text_in_every_line_of_shell_script_and_report() {
    let all = strings(COUNT, SEED);
    let kup = Kup::new();
    let here = kup.path("").display().to_string();
    let mut kup = kup.with("up.kup", OUTPUTS.replace("HERE/", &here));
    for folder in ["out", "echo", "single", "double"] {
        fs::create_dir(kup.path(folder)).unwrap();
    }
    for (i, text) in all.iter().enumerate() {
        kup = kup.with(&format!("out/{i}"), text);
    }
    let some = |step: usize| (0..COUNT).step_by(step).map(|i| i.to_string()).collect::<Vec<String>>();
    let values = toml::to_string(&IndexMap::from([
        ("files", some(OUTPUTS_IN)),
        ("say", all.clone()),
        ("fail", some(7 * OUTPUTS_IN)),
    ]));
    let kup = kup.with("values.toml", values.unwrap());
    let Some(_hosts) = Hosts::start(&kup, &["a"]) else { return };
    for line in ["plan up.kup", "plan up.kup --json"] {
        harmless(&kup, line, &kup.run(&format!("{line} --values values.toml {OPTIONS}")));
    }
    let ran = kup.run(&format!("run up.kup --yes --values values.toml {OPTIONS}"));
    harmless(&kup, "run", &ran);
    let run = kup.run("runs").stdout.split_whitespace().next().unwrap().to_string();
    for line in
        ["status", "why", "runs", "show", "show --json", "show --plain", "show --color always", "report"]
    {
        let shown = kup.run(&if line.starts_with("show") {
            line.replacen("show", &format!("show {run}"), 1)
        } else {
            line.to_string()
        });
        let plain = Ran { stdout: shown.stdout.replace("\u{1b}[0m", ""), ..shown };
        harmless(&kup, line, &plain);
    }
    let mut wrong = Vec::new();
    for (i, text) in all.iter().enumerate().step_by(OUTPUTS_IN) {
        let read =
            |folder: &str| fs::read_to_string(kup.path(folder).join(i.to_string())).unwrap_or_default();
        let one = read("echo");
        // What a command gives back is its last lines without what could steer a terminal.
        if one != read("single") || one != read("double") {
            wrong.push(format!("{text:?} became {one:?}, {:?} and {:?}", read("single"), read("double")));
        }
    }
    assert!(wrong.is_empty(), "{} are not one word: {:#?}", wrong.len(), &wrong[..wrong.len().min(5)]);
}

/// A cluster whose nodes say what they like of themselves.
#[test]
fn hostile_labels_versions_and_facts_are_refused_or_tamed_and_names_refused() {
    let text = |text: &str| toml::Value::String(text.to_string()).to_string();
    let kup = Kup::new().with(
        "up.kup",
        "playbook \"Names\"\nstage s { each node in workers { read command \"echo ${node.os} ${node.kernel} ${label(\"evil\")}\" on=local } }\n",
    );
    // Some processes each: every hundredth will do, of each kind.
    for (i, hostile) in
        strings(COUNT, SEED).iter().enumerate().filter(|(i, _)| i % 100 < 7 && i / 100 % 7 == i % 100)
    {
        let shape = |os: &str, pool: &str, label: &str, version: &str| {
            format!(
                "version = \"v1.33.4\"\ncontrol_plane = 1\nos = {}\n[[pool]]\nname = {}\ncount = 1\nversion = {}\nlabels = {{ evil = {} }}\n",
                text(os),
                text(pool),
                text(version),
                text(label)
            )
        };
        let shapes = [
            ("os", shape(hostile, "w", "x", "v1.33.4")),
            ("name", shape("Debian", hostile, "x", "v1.33.4")),
            ("label", shape("Debian", "w", hostile, "v1.33.4")),
            ("version", shape("Debian", "w", "x", &format!("v1.33.4-{hostile}"))),
        ];
        for (what, shape) in shapes {
            fs::write(kup.path("shape.toml"), shape).unwrap();
            for command in ["plan up.kup", "run up.kup --yes"] {
                let ran = kup.run(&format!("{command} --sim shape.toml"));
                harmless(&kup, &format!("{what} {i} {hostile:?}"), &ran);
            }
        }
    }
}

#[test]
fn hostile_words_on_the_command_line_are_words() {
    let kup = Kup::new().with_main_job();
    kup.run("run up.kup --yes --sim 1+1@v1.33.4 --set target=v1.34.2").exits(0);
    for (i, hostile) in strings(COUNT, SEED).iter().enumerate().filter(|(i, _)| i % 97 == 0) {
        let set = format!("target={hostile}");
        let lines: [&[&str]; 9] = [
            &["plan", "up.kup", "--sim", "1+1@v1.33.4", "--set", &set],
            &["status", "--", hostile],
            &["why", "--", hostile],
            &["report", "--", hostile],
            &["skip", "--why", hostile, "--", hostile],
            &["check", "--", hostile],
            &["explain", "--", hostile],
            &["plan", "up.kup", "--sim", hostile],
            &["runs", "unpack", "--", hostile],
        ];
        for line in lines {
            harmless(&kup, &format!("{i} {line:?}"), &kup.run_args(line));
        }
    }
}

#[test]
fn no_hostile_string_is_a_host_or_a_version() {
    for hostile in strings(COUNT, SEED) {
        let host = |name: &str, ssh: &str| {
            let text = |text: &str| toml::Value::String(text.to_string()).to_string();
            stdlib::hosts::parse(&format!("[[host]]\nname = {}\nssh = {}\n", text(name), text(ssh)))
        };
        for (name, ssh) in [(hostile.as_str(), "w1"), ("w1", hostile.as_str())] {
            match host(name, ssh) {
                Ok(hosts) => {
                    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@%+=~,[]^".contains(c);
                    let of = &hosts[0];
                    assert!(of.ssh.chars().all(plain) && !of.ssh.starts_with('-'), "{hostile:?}");
                    assert!(of.name.chars().all(plain) && !of.name.starts_with('-'), "{hostile:?}");
                }
                Err(why) => assert!(!why.contains(char::is_control), "{hostile:?}: {why:?}"),
            }
        }
        assert!(hostile.parse::<dsl::value::Version>().is_err(), "{hostile:?}");
        let _ = format!("v1.34.2-{hostile}").parse::<dsl::value::Version>().map(|version| {
            assert!(
                version.to_string().chars().all(|c| c.is_ascii_alphanumeric() || ".-+".contains(c)),
                "{version}"
            );
        });
    }
}
