//! One graph of 1,000 to 100,000 steps, as stages of kup, as recipes of just and as edges of ninja: what `kup check`
//! takes beside `just --summary`, `kup fmt` beside `just --dump`, `kup plan` beside `just --dry-run` and `ninja -n`.
//! `check + plan` is a process of this bench that reads, checks and plans the playbook and names the plan, and neither asks a
//! cluster about each step nor prints it. All take turns, so that they share what else the machine does. `just` is looked for
//! on the PATH and in KUP_CACHE.

use std::fmt::Write;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use dsl::source::{LoadError, Loader};
use engine::inventory::Inventory;

/// As in kup.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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

/// The playbook of this folder, over the standard library.
struct Here;

impl Loader for Here {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        let module = stdlib::modules().iter().find(|(name, _)| *name == path);
        let read = || std::fs::read_to_string(path).map_err(|e| LoadError::Io(e.to_string()));
        module.map_or_else(read, |(_, text)| Ok(text.to_string()))
    }
}

/// Checks and plans a playbook.
fn plan(path: &str) {
    let checked = dsl::check(path, &Here, stdlib::PRELUDE);
    let Some(program) = checked.program else {
        panic!("the playbook of this bench does not check: {:?}", checked.diagnostics.first())
    };
    let nobody = Inventory::default();
    let values = engine::inputs::resolve(&program, &Default::default(), &nobody);
    let values = values.unwrap_or_else(|e| panic!("{e:?}"));
    let mut plan = engine::plan::build(&program, &nobody, &values).unwrap_or_else(|e| panic!("{e:?}"));
    engine::plan::forecast(&mut plan, &Default::default());
    println!("{} {}", plan.steps.len(), engine::plan::digest(&plan));
    std::mem::forget((program, plan)); // as kup does
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
    let this = std::env::current_exe().unwrap_or_else(|e| panic!("{e}"));
    if let Some(path) = std::env::args().skip(1).find(|arg| arg.ends_with(".kup")) {
        return plan(&path);
    }
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
    let works: [(&str, &Path, &[&str], bool); 8] = [
        ("kup check", kup, &["check", "scale.kup"], true),
        ("just --summary", just, &["--summary"], has_just),
        ("kup fmt", kup, &["fmt", "-"], true),
        ("just --dump", just, &["--dump"], has_just),
        ("kup plan", kup, &["plan", "scale.kup", "--sim", "1+1@v1.33.4"], true),
        ("check + plan", &this, &["scale.kup"], true),
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
        let mut times: [Vec<f64>; 8] = Default::default();
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
