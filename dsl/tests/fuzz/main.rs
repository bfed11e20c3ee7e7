//! Whatever the text: no panic, no hang, findings that stand in it, a style that is stable and keeps what a
//! check finds, and edits that lead to what the whole text would. `KUP_FUZZ` is how many inputs there are,
//! `KUP_FUZZ_FROM` the first one's number: an input follows from its number alone.
//!
//! ```sh
//! KUP_FUZZ=10000000 cargo test --release -p kup-dsl --test fuzz -- --nocapture
//! ```

mod author;
mod dice;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dice::Dice;
use kup_dsl::ask::Page;
use kup_dsl::diagnostic::{Diagnostic, Severity};
use kup_dsl::source::{LoadError, Loader, Sources};

/// How many inputs there are if nobody says so: a few seconds without optimization.
const INPUTS: u64 = 2000;

/// One input may take so long; what takes longer hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// The modules that are always in scope. Most of a check would be their reading, so most inputs have none,
/// every 4th a small one, and every 512th the real ones.
const SMALL: &[&str] = &["small"];
const REAL: &[&str] = &["std/run", "std/node"];

const SMALL_TEXT: &str = "native task drain (node: node = here; grace: duration?)\n  disrupts node\n  ensures drained(node)\n  prepares\n  undo itself\n\
    native task run command (line: string; on: node = here, unless: string?)\n  changes node\n  undo none \"why\"\n\
    native task pause (message: string = \"\")\n  decides\n\
    task go (what: [alpha | x | drain | plan | kubelet]; x: number = 3, drain: version?) { drain }\n";

struct Texts<'t> {
    text: &'t str,
    modules: &'t HashMap<String, String>,
}

impl Loader for Texts<'_> {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        match path {
            "fuzz.kup" => Ok(self.text.to_string()),
            "small" => Ok(SMALL_TEXT.to_string()),
            path => self.modules.get(path).cloned().ok_or(LoadError::NotFound),
        }
    }
}

/// Returns the texts of the repository: playbooks, modules, their tests, and the cases.
fn texts(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            texts(&entry, found);
        } else if entry.extension().is_some_and(|e| e == "kup") {
            let name = entry.file_stem().unwrap().to_string_lossy().into_owned();
            found.push((name, fs::read_to_string(&entry).unwrap()));
        }
    }
}

struct Fuzz {
    texts: Vec<String>,
    modules: HashMap<String, String>,
}

impl Fuzz {
    fn new() -> Fuzz {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut modules = Vec::new();
        texts(&root.join("stdlib/kup"), &mut modules);
        let mut all = modules.clone();
        texts(&root.join("playbooks"), &mut all);
        texts(&root.join("dsl/cases"), &mut all);
        let modules = modules.into_iter().map(|(name, text)| (format!("std/{name}"), text)).collect();
        Fuzz { texts: all.into_iter().map(|(_, text)| text).collect(), modules }
    }

    /// Makes the input of a number.
    fn input(&self, number: u64) -> String {
        let dice = &mut Dice::of(number);
        match dice.below(8) {
            0 => author::noise(dice),
            1 => author::words(dice),
            2 | 3 => author::program(dice),
            _ => author::mistaken(dice, &self.texts),
        }
    }

    /// Tries one input.
    fn attempt(&self, number: u64, text: &str) {
        let none = HashMap::new();
        let (prelude, modules): (&[&str], _) = match number {
            n if n % 512 == 0 => (REAL, &self.modules),
            n if n % 4 == 0 => (SMALL, &none),
            _ => (&[], &none),
        };
        let found = self.survives(text, prelude, modules);
        if let Ok(new) = kup_dsl::format("fuzz.kup", text) {
            let again = kup_dsl::format("fuzz.kup", &new).expect("what was laid out can be read");
            assert_eq!(again, new, "laid out twice");
            if number % 16 < 2 {
                assert_eq!(
                    self.survives(&new, prelude, modules),
                    found,
                    "laid out, other things are found:\n{new}"
                );
            }
        }
        if number % 32 == 1 {
            self.edited(number, text);
        }
    }

    /// Checks a text, and returns the codes of what is found.
    fn survives(&self, text: &str, prelude: &[&str], modules: &HashMap<String, String>) -> Vec<&'static str> {
        let checked = kup_dsl::check_any("fuzz.kup", &Texts { text, modules }, prelude);
        sound(&checked.sources, &checked.diagnostics);
        if let Some((better, mended)) = kup_dsl::mend(kup_dsl::span::FileId(0), text, &checked.diagnostics) {
            assert!(better != text && !mended.is_empty(), "mended, and the same");
        }
        if checked.program.is_some() {
            assert!(checked.diagnostics.iter().all(|d| d.severity == Severity::Warning));
        }
        let mut codes: Vec<&str> = checked.diagnostics.iter().map(|d| d.code).collect();
        codes.sort_unstable();
        codes
    }

    /// Changes a text as somebody types, and demands that each change leads to what the whole would.
    fn edited(&self, number: u64, text: &str) {
        let none = HashMap::new();
        let dice = &mut Dice::of(number ^ 0xed17);
        let mut text = text.to_string();
        let mut page = Page::new("fuzz.kup", SMALL);
        for _ in 0..3 {
            page.read(&Texts { text: &text, modules: &none });
            let mut whole = Page::new("fuzz.kup", SMALL);
            whole.read(&Texts { text: &text, modules: &none });
            assert_eq!(page.diagnostics(), whole.diagnostics(), "edited, other things are found:\n{text}");
            let byte = text.floor_char_boundary(dice.below(text.len() + 1));
            page.complete(byte);
            page.hover(byte);
            assert_eq!(page.colors(), whole.colors(), "edited, other colors:\n{text}");
            author::edit(dice, &mut text);
        }
    }
}

/// Demands that every finding says something about a place that is there.
fn sound(sources: &Sources, found: &[Diagnostic]) {
    for d in found {
        assert!(!d.code.is_empty() && !d.message.is_empty(), "{d:?}");
        if let Some(span) = d.span {
            sources.slice(span);
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|n| n.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

#[test]
fn no_text_makes_the_language_panic_hang_or_contradict_itself() {
    let fuzz = Fuzz::new();
    let (from, count) = (number("KUP_FUZZ_FROM").unwrap_or(0), number("KUP_FUZZ").unwrap_or(INPUTS));
    let (began, at) = (Instant::now(), AtomicU64::new(from));
    let done = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let (at, (over, ended)) = (&at, done);
        scope.spawn(move || {
            let mut last = u64::MAX;
            // Looks now and then whether the same input is still being tried.
            while ended.recv_timeout(LIMIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let now = at.load(Ordering::Relaxed);
                if now == last {
                    eprintln!("input {now} hangs: KUP_FUZZ_FROM={now} KUP_FUZZ=1 tries it alone");
                    std::process::abort();
                }
                last = now;
            }
        });
        for number in from..from + count {
            at.store(number, Ordering::Relaxed);
            let text = fuzz.input(number);
            let attempt = std::panic::AssertUnwindSafe(|| fuzz.attempt(number, &text));
            let tried = std::panic::catch_unwind(attempt);
            if tried.is_err() {
                drop(over);
                panic!("input {number} (KUP_FUZZ_FROM={number} KUP_FUZZ=1 tries it alone):\n{text}");
            }
            if count > INPUTS && (number - from + 1) % 100_000 == 0 {
                println!("{} inputs in {:.0?}", number - from + 1, began.elapsed());
            }
        }
        drop(over);
    });
    println!("{count} inputs from {from} on in {:.1?}: no panic, no hang", began.elapsed());
}
