//! One graph of 1,000 to 100,000 steps, as stages of kup and as recipes of just: what `kup check` takes beside
//! `just --summary`, and `kup fmt` beside `just --dump`. All four take turns, so that they share what else
//! the machine does. `just` is looked for on the PATH and in KUP_CACHE.

use std::fmt::Write;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

const WIDTH: usize = 100;

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
    println!(
        "{:>7} {:>14} {:>15} {:>12} {:>12}   medians of 15, in ms",
        "steps", "kup check", "just --summary", "kup fmt", "just --dump"
    );
    for steps in [1_000, 10_000, 100_000] {
        let (kup, recipes) = (folder.join("scale.kup"), folder.join("justfile"));
        let written = fs::write(&kup, playbook(steps)).and_then(|()| fs::write(&recipes, justfile(steps)));
        written.unwrap_or_else(|e| panic!("{e}"));
        let own = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_kup"));
            command.current_dir(&folder);
            command
        };
        let other = |what: &str| {
            let mut command = Command::new(just.as_deref().unwrap_or(Path::new("just")));
            command.current_dir(&folder).arg(what);
            command
        };
        let mut times: [Vec<f64>; 4] = Default::default();
        for _ in 0..15 {
            let text = File::open(&kup).unwrap_or_else(|e| panic!("{e}"));
            times[0].push(took(own().args(["check", "scale.kup"])));
            times[2].push(took(own().args(["fmt", "-"]).stdin(text)));
            if just.is_some() {
                times[1].push(took(&mut other("--summary")));
                times[3].push(took(&mut other("--dump")));
            }
        }
        let median = |times: &mut Vec<f64>| {
            times.sort_by(f64::total_cmp);
            times.get(times.len() / 2).map_or("-".to_string(), |t| format!("{t:.1}"))
        };
        let [check, summary, fmt, dump] = &mut times;
        println!(
            "{steps:>7} {:>14} {:>15} {:>12} {:>12}",
            median(check),
            median(summary),
            median(fmt),
            median(dump)
        );
    }
    let _ = fs::remove_dir_all(&folder);
}
