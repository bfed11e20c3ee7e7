//! The fence: what the language of scripts may do, how much of it, and how its words become a verdict.
//!
//! Within all documented limits rhai can still end the process by nesting a value deeper than the stack:
//! hence arrays and maps of 1000 elements, which bound the depth too, no closures and no `curry`, and a
//! thread of its own. Each of the known bombs is a test.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dsl::source::BadScript;
use dsl::value::Value;
use indexmap::IndexMap;
use rhai::packages::{Package, StandardPackage};
use rhai::{AST, Dynamic, Engine, EvalAltResult, Module, ParseError, Position, Scope, Shared};

use super::{Answer, Ended, NAMES, Request, Verdict, function, value};

/// The longest text.
pub(super) const TEXT: usize = 64 << 10;
/// The most elements of an array or a map. They bound how deep values nest, too: 4096 is too deep.
pub(super) const ELEMENTS: usize = 1000;
/// Some 30 ms of a slow build; what a script asks for takes none of them.
const OPERATIONS: u64 = 50_000;
/// Operations are the limit that counts. This one is for the few that are slow, and so generous that a
/// busy machine does not change a verdict.
const TIME: Duration = Duration::from_secs(2);
/// How much a script may say.
const SAID: usize = 100;

/// Building it anew for each script would be most of a script's time.
static STANDARD: LazyLock<Shared<Module>> = LazyLock::new(|| StandardPackage::new().as_shared_module());

/// What a script has asked and said so far.
#[derive(Clone)]
pub(super) struct Talk(Arc<Mutex<Talked>>);

struct Talked {
    answers: std::vec::IntoIter<Answer>,
    wants: Option<Request>,
    verdict: Option<Verdict>,
    said: Vec<String>,
}

impl Talk {
    pub(super) fn new(answers: Vec<Answer>) -> Talk {
        let talked = Talked { answers: answers.into_iter(), wants: None, verdict: None, said: Vec::new() };
        Talk(Arc::new(Mutex::new(talked)))
    }

    /// Returns the answer to a question, or ends the script with it.
    pub(super) fn ask(&self, request: Request) -> Result<Answer, Box<EvalAltResult>> {
        let mut talked = self.talked();
        match talked.answers.next() {
            Some(answer) => Ok(answer),
            None => {
                talked.wants = Some(request);
                Err(ended())
            }
        }
    }

    /// Ends the script with its decision.
    pub(super) fn decide(&self, verdict: Verdict) -> Result<(), Box<EvalAltResult>> {
        self.talked().verdict = Some(verdict);
        Err(ended())
    }

    /// Notes what the script has to say.
    pub(super) fn say(&self, text: &str) {
        let mut talked = self.talked();
        if talked.said.len() < SAID {
            talked.said.push(text.to_string());
        }
    }

    fn talked(&self) -> MutexGuard<'_, Talked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No script can catch this one.
fn ended() -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorTerminated(Dynamic::UNIT, Position::NONE))
}

/// Makes an engine that can do nothing but count and talk.
fn engine(talk: &Talk) -> Engine {
    let mut engine = Engine::new_raw();
    engine.register_global_module(STANDARD.clone());
    // `eval` hides what it does from the check; the others make values that nest without end.
    for word in ["eval", "Fn", "curry"] {
        engine.disable_symbol(word);
    }
    engine
        .set_max_operations(OPERATIONS)
        .set_max_call_levels(24)
        .set_max_expr_depths(48, 24)
        .set_max_string_size(TEXT)
        .set_max_array_size(ELEMENTS)
        .set_max_map_size(ELEMENTS)
        .set_max_variables(256)
        .set_max_functions(64)
        .set_fail_on_invalid_map_property(true)
        .set_strict_variables(true);
    // It blocks the thread, and counts as one operation.
    engine.register_fn("sleep", |_: i64| -> Result<(), Box<EvalAltResult>> { Err(no_sleep()) });
    engine.register_fn("sleep", |_: f64| -> Result<(), Box<EvalAltResult>> { Err(no_sleep()) });
    function::register(&mut engine, talk);
    engine
}

fn no_sleep() -> Box<EvalAltResult> {
    "a script cannot sleep; say `wait(\"for what\", \"30s\")`".into()
}

/// Parses a script that may name `names`.
pub(super) fn parse(text: &str, names: &[&str]) -> Result<AST, BadScript> {
    let mut scope = Scope::new();
    let all: BTreeSet<&str> = names.iter().copied().chain(NAMES).collect();
    for name in all {
        scope.push_dynamic(name, Dynamic::UNIT);
    }
    let talk = Talk::new(Vec::new());
    engine(&talk).compile_with_scope(&scope, text).map_err(|error| bad(text, &error))
}

fn bad(text: &str, error: &ParseError) -> BadScript {
    let message = error.err_type().to_string();
    let mut chars = message.chars();
    let message = chars.next().map_or(String::new(), |c| c.to_lowercase().chain(chars).collect());
    BadScript { at: byte(text, error.position()), message }
}

/// Returns the byte of a position, which counts lines and characters from 1.
fn byte(text: &str, position: Position) -> usize {
    let Some(line) = position.line() else { return text.len() };
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let column = position.position().unwrap_or(1).max(1);
    let within = text[start.min(text.len())..].char_indices().nth(column - 1);
    within.map_or(text.len(), |(i, _)| start + i)
}

/// Runs a script.
pub(super) fn run(text: &str, sees: &IndexMap<String, Value>, talk: Talk) -> Ended {
    let mut engine = engine(&talk);
    let began = Instant::now();
    engine.on_progress(move |_| (began.elapsed() > TIME).then_some(Dynamic::UNIT));
    let print = talk.clone();
    engine.on_print(move |text| print.say(text));
    let debug = talk.clone();
    engine.on_debug(move |text, _, _| debug.say(text));
    let mut scope = Scope::new();
    for name in NAMES {
        scope.push_dynamic(name, Dynamic::UNIT);
    }
    for (name, seen) in sees {
        match value::dynamic(seen) {
            Ok(seen) => scope.set_or_push(name.as_str(), seen),
            Err(why) => return Ended::Broken(format!("`{name}` {why}")),
        };
    }
    let result = match engine.compile_with_scope(&scope, text) {
        Ok(ast) => engine.eval_ast_with_scope::<Dynamic>(&mut scope, &ast),
        Err(error) => return Ended::Broken(format!("it cannot be read: {error}")),
    };
    let result = result.map(|last| value::text(&last));
    let mut talked = talk.talked();
    if let Some(request) = talked.wants.take() {
        return Ended::Wants(request);
    }
    let said = std::mem::take(&mut talked.said);
    match (talked.verdict.take(), result) {
        (Some(verdict), _) => Ended::Decided { verdict, said },
        (None, Ok(last)) => Ended::Decided { verdict: Verdict::Go(last), said },
        (None, Err(error)) => Ended::Broken(broken(*error, began.elapsed())),
    }
}

/// Says why a script broke off.
fn broken(error: EvalAltResult, took: Duration) -> String {
    let at = match error.position().line() {
        Some(line) => format!(" in line {line}"),
        None => String::new(),
    };
    let why = match error {
        EvalAltResult::ErrorTerminated(..) => {
            format!("it took longer than {}", Value::Duration(took.as_millis() as u64))
        }
        EvalAltResult::ErrorTooManyOperations(_) => format!("it took more than {OPERATIONS} operations"),
        EvalAltResult::ErrorStackOverflow(_) => "its functions call each other too deeply".to_string(),
        EvalAltResult::ErrorRuntime(thrown, _) => value::text(&thrown),
        other => {
            let mut other = other;
            other.set_position(Position::NONE);
            other.to_string()
        }
    };
    let mut why: String = why.chars().take(1000).collect();
    why.push_str(&at);
    why
}

/// Returns whether a script calls one of these functions: outside of its texts and comments a word
/// stands before a `(`.
pub(super) fn calls(text: &str, functions: &[&str]) -> bool {
    let mut rest = text;
    let mut word_before = false;
    while let Some(c) = rest.chars().next() {
        let skipped = match c {
            '"' => quoted(rest, '"'),
            '`' => quoted(rest, '`'),
            '\'' => quoted(rest, '\''),
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            _ if c.is_alphabetic() || c == '_' => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                let called = rest[end..].trim_start().starts_with('(');
                if called && !word_before && functions.contains(&&rest[..end]) {
                    return true;
                }
                end
            }
            c => c.len_utf8(),
        };
        word_before = c.is_ascii_digit();
        rest = &rest[skipped..];
    }
    false
}

/// Returns the length of a text in quotes, which begins here.
fn quoted(text: &str, mark: char) -> usize {
    let mut escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if mark != '`' => escaped = true,
            c if c == mark => return i + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}
