//! One graph of 1,000 to 100,000 steps, as stages of kup, as recipes of just and as edges of ninja: what `kup check`
//! takes beside `just --summary`, `kup fmt` beside `just --dump`, `kup plan` beside `just --dry-run` and `ninja -n`.
//! All take turns, so that they share what else the machine does. `just` is looked for on the PATH and in KUP_CACHE.

use std::fmt::Write;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

const WIDTH: usize = 100;
const ROUNDS: usize = 15;

/// Layers of 100 steps, each after three of the layer before.
fn before(step: usize) -> Vec<usize> {
    match step / WIDTH {
        0 => Vec::new(),
        layer => {
            let mut of = [0, 1, 7].map(|k| (layer - 1) * WIDTH + (step + k) % WIDTH);
            of.sort_unstable();
            of.to_vec()
        }
    }
}

fn names(of: &[usize], between: &str) -> String {
    of.iter().map(|i| format!("n{i}")).collect::<Vec<_>>().join(between)
}

fn playbook(steps: usize) -> String {
    let mut text = String::from("playbook \"scale\"\n\nparam target: string = \"1.31.4\"\n");
    for i in 0..steps {
        let of = match before(i).as_slice() {
            // Without `after` a stage waits for the one above it.
            [] if i == 0 => String::new(),
            [] => " after n0".to_string(),
            of => format!(" after {}", names(of, ", ")),
        };
        // Writing to a string cannot fail.
        let _ =
            write!(text, "\nstage n{i}{of} {{ run command \"printf '%s' ${{target}} > n{i}\" on=local }}\n");
    }
    text
}

fn justfile(steps: usize) -> String {
    let last: Vec<usize> = (steps.saturating_sub(WIDTH)..steps).collect();
    let mut text = format!("target := '1.31.4'\n\nall: {}\n", names(&last, " "));
    for i in 0..steps {
        let of = match before(i).as_slice() {
            [] => String::new(),
            of => format!(" {}", names(of, " ")),
        };
        let _ = write!(text, "\nn{i}:{of}\n    printf '%s' {{{{target}}}} > n{i}\n");
    }
    text
}

fn ninja(steps: usize) -> String {
    let mut text = String::from("rule run\n  command = $line\n\n");
    for i in 0..steps {
        let after = names(&before(i), " ");
        let _ = write!(text, "build n{i}: run {after}\n  line = printf '%s' 1.31.4 > n{i}\n");
    }
    text
}

fn just() -> Option<PathBuf> {
    let cache = std::env::var_os("KUP_CACHE").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/kup"));
    let kept = cache.or_else(home).map(|cache| cache.join("tools/bin/just"));
    let found = kept.into_iter().chain([PathBuf::from("just")]);
    found.into_iter().find(|p| Command::new(p).arg("--version").output().is_ok_and(|o| o.status.success()))
}

/// Runs a command, and returns how many milliseconds it took.
fn took(command: &mut Command) -> f64 {
    let began = Instant::now();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let took = began.elapsed().as_secs_f64() * 1000.0;
    assert!(status.is_ok_and(|s| s.success()), "{command:?} failed");
    took
}

fn main() {
    let folder = std::env::temp_dir().join(format!("kup-bench-just-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap_or_else(|e| panic!("{e}"));
    let just = just();
    if just.is_none() {
        println!("there is no `just` (cargo install just): only kup is measured");
    }
    let is_there = |program: &str| Command::new(program).arg("--version").output().is_ok();
    let just = just.as_deref().unwrap_or(Path::new("just"));
    let (has_just, has_ninja) = (is_there(&just.to_string_lossy()), is_there("ninja"));
    // Name, program, arguments, whether the text of the playbook is given to it.
    let kup = Path::new(env!("CARGO_BIN_EXE_kup"));
    let works: [(&str, &Path, &[&str], bool); 7] = [
        ("kup check", kup, &["check", "scale.kup"], true),
        ("just --summary", just, &["--summary"], has_just),
        ("kup fmt", kup, &["fmt", "-"], true),
        ("just --dump", just, &["--dump"], has_just),
        ("kup plan", kup, &["plan", "scale.kup", "--sim", "1+1@v1.33.4"], true),
        ("just --dry-run", just, &["--dry-run", "all"], has_just),
        ("ninja -n", Path::new("ninja"), &["-n"], has_ninja),
    ];
    let heads: String = works.iter().map(|(name, ..)| format!(" {name:>14}")).collect();
    println!("  steps{heads}   medians of {ROUNDS}, in ms");
    for steps in [1_000, 10_000, 100_000] {
        let texts =
            [("scale.kup", playbook(steps)), ("justfile", justfile(steps)), ("build.ninja", ninja(steps))];
        for (name, text) in texts {
            fs::write(folder.join(name), text).unwrap_or_else(|e| panic!("{e}"));
        }
        let mut times: [Vec<f64>; 7] = Default::default();
        for _ in 0..ROUNDS {
            for ((_, program, args, is_there), times) in works.iter().zip(&mut times) {
                // just needs minutes for a dry run of 100,000.
                if *is_there && (steps < 100_000 || args[0] != "--dry-run") {
                    let text = File::open(folder.join("scale.kup")).unwrap_or_else(|e| panic!("{e}"));
                    times.push(took(Command::new(program).current_dir(&folder).args(*args).stdin(text)));
                }
            }
        }
        let median = |times: &mut Vec<f64>| {
            times.sort_by(f64::total_cmp);
            times.get(times.len() / 2).map_or("-".to_string(), |t| format!("{t:.1}"))
        };
        let row: String = times.iter_mut().map(|times| format!(" {:>14}", median(times))).collect();
        println!("{steps:>7}{row}");
    }
    let _ = fs::remove_dir_all(&folder);
}
