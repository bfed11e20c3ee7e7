//! Why a piece of text is junk. The piece is parsed again on its own, only for the exact place where
//! that fails; habits from other languages are recognized there ([`super::habit`]).

use pest::Parser;
use pest::error::{Error, ErrorVariant, InputLocation};

use super::habit::habit;
use super::{Grammar, Rule};
use crate::diagnostic::Diagnostic;
use crate::nearest::{nearest, surely};
use crate::problem::{END_OF_LINE, Problem};
use crate::span::{FileId, Span};

pub(super) const ITEMS: [&str; 8] = ["use", "playbook", "param", "stage", "task", "native", "on", "test"];
pub(crate) const CLAUSES: [&str; 14] = [
    "reads",
    "changes",
    "disrupts",
    "decides",
    "needs",
    "ensures",
    "follows",
    "ends",
    "gives",
    "prepares",
    "preflight",
    "long",
    "undo",
    "timeout",
];

/// Returns whether a line of junk was meant to begin an item.
pub(super) fn begins_item(line: &str) -> bool {
    let word = first_word(line);
    let is_key = line[word.len()..].starts_with(':');
    ITEMS.contains(&word)
        || (!is_key && synonym(word).is_some())
        || (!is_key && word.len() > 2 && nearest(word, ITEMS).is_some())
}

/// Explains junk at the top of a file.
pub(super) fn item(file: FileId, text: &str, offset: usize) -> Diagnostic {
    let at = |start: usize, end: usize| span(file, offset, start, end);
    if text.starts_with('}') {
        return Problem::StrayClose.at(at(0, 1));
    }
    let word = first_word(text);
    if ITEMS.contains(&word) {
        return explain(file, Rule::item, text, offset);
    }
    let line = text.lines().next().unwrap_or_default().trim_end();
    if let Some(habit) = habit(text, 0) {
        return habit.told(file, offset);
    }
    let near = nearest(word, ITEMS);
    if let (None, Some(item)) = (near, synonym(word)) {
        let told = Problem::NotAnItem { word: word.to_string(), near: Some(item), is_step: false };
        let told = told.at(at(0, word.len()));
        return if item == "use" { told.rather(Some(item)) } else { told };
    }
    if word.is_empty() || line[word.len()..].starts_with(':') {
        let end = if word.is_empty() { token(text, 0) } else { word.len() };
        let found = found(text, 0);
        return match word {
            "" => Problem::Expected { expected: "an item such as `stage`".to_string(), found }.at(at(0, end)),
            _ => Problem::NotAnItem { word: word.to_string(), near: None, is_step: false }.at(at(0, end)),
        };
    }
    let is_step = near.is_none() && Grammar::parse(Rule::stmt, text).is_ok_and(|p| !p.as_str().is_empty());
    Problem::NotAnItem { word: word.to_string(), near, is_step }
        .at(at(0, word.len()))
        .rather(surely(word, ITEMS))
}

/// Returns what begins such an item here.
fn synonym(word: &str) -> Option<&'static str> {
    Some(match word {
        "import" | "include" | "require" => "use",
        "var" | "variable" | "input" | "const" => "param",
        "def" | "fn" | "func" | "function" | "fun" => "task",
        "job" | "phase" => "stage",
        _ => return None,
    })
}

/// Returns whether an item begins with a word.
pub(super) fn is_item(word: &str) -> bool {
    ITEMS.contains(&word)
}

/// Returns where the name of a broken item stands: the first word behind its keyword.
pub(super) fn lost(text: &str) -> Option<(usize, usize)> {
    let word = first_word(text);
    let mut at = word.len();
    if word == "native" {
        at += text[at..].find("task").map_or(0, |i| i + 4);
    }
    let rest = &text[at..];
    let start = at + rest.len() - rest.trim_start_matches([' ', '\t']).len();
    let name = first_word(&text[start..]);
    (begins_item(text) && !name.is_empty()).then_some((start, start + name.len()))
}

/// Explains junk in a block.
pub(super) fn stmt(file: FileId, text: &str, offset: usize) -> Diagnostic {
    let word = first_word(text);
    if ITEMS.contains(&word) {
        let problem = Problem::Expected {
            expected: "a step".to_string(),
            found: format!("`{word}`, which stands at the top of a file"),
        };
        return problem.at(span(file, offset, 0, word.len()));
    }
    if word == "else" {
        let problem = Problem::Expected {
            expected: "a step".to_string(),
            found: "an `else` without its `if` or `when`".to_string(),
        };
        return problem.at(span(file, offset, 0, word.len()));
    }
    explain(file, Rule::stmt, text, offset)
}

/// Explains junk in a test.
pub(super) fn test(file: FileId, text: &str, offset: usize) -> Diagnostic {
    match first_word(text) {
        "playbook" | "on" | "fault" | "set" | "expect" => explain(file, Rule::test_line, text, offset),
        _ => stmt(file, text, offset),
    }
}

/// Explains junk among the clauses of a native task.
pub(super) fn clause(file: FileId, text: &str, offset: usize) -> Diagnostic {
    let word = first_word(text);
    if CLAUSES.contains(&word) || word == "retry" {
        return explain(file, Rule::clause, text, offset);
    }
    let near = nearest(word, CLAUSES);
    let end = if word.is_empty() { token(text, 0) } else { word.len() };
    let problem = Problem::NotAClause { word: text[..end].to_string(), near };
    problem.at(span(file, offset, 0, end)).rather(surely(word, CLAUSES))
}

/// Returns where pest gave up.
pub(super) fn place(error: &Error<Rule>) -> usize {
    match error.location {
        InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
    }
}

fn explain(file: FileId, rule: Rule, text: &str, offset: usize) -> Diagnostic {
    let (at, expected) = match Grammar::parse(rule, text) {
        Ok(pairs) => {
            // It parses on its own; what follows is too much.
            let end = pairs.as_str().len();
            let rest = text[end..].len() - text[end..].trim_start().len();
            (end + rest, vec![Rule::a_line_end])
        }
        Err(error) => {
            let at = place(&error);
            match error.variant {
                ErrorVariant::ParsingError { positives, .. } => (at, positives),
                ErrorVariant::CustomError { .. } => (at, Vec::new()),
            }
        }
    };
    let at = at.min(text.len());
    if let Some(habit) = habit(text, at) {
        return habit.told(file, offset);
    }
    // At the end of a line the place is the end of what stands there.
    let blank = text[at..].starts_with(['\n', '\r', '#']) || text[at..].is_empty();
    let start = if blank { text[..at].trim_end_matches([' ', '\t']).len() } else { at };
    let end = if blank { start } else { token(text, at) };
    let problem = Problem::Expected { expected: names(&expected), found: found(text, at) };
    problem.at(span(file, offset, start, end))
}

fn span(file: FileId, offset: usize, start: usize, end: usize) -> Span {
    Span { file, start: (offset + start) as u32, end: (offset + end) as u32 }
}

pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-')
}

pub(super) fn first_word(text: &str) -> &str {
    &text[..text.find(|c| !is_word(c)).unwrap_or(text.len())]
}

/// Returns the end of the token at a place.
fn token(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    let word = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
    if word > 0 { at + word } else { at + rest.chars().next().map_or(0, char::len_utf8) }
}

fn found(text: &str, at: usize) -> String {
    let rest = &text[at..];
    if rest.is_empty() || rest.starts_with(['\n', '\r', '#']) {
        return END_OF_LINE.to_string();
    }
    format!("`{}`", &text[at..token(text, at)])
}

/// Names what pest expected, for people.
fn names(rules: &[Rule]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for rule in rules {
        let name = name(*rule);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.contains(&EXPECTED) {
        names.retain(|n| *n == EXPECTED);
    }
    // What may go on is of interest only where nothing else may stand.
    for weak in [OTHER, "an operator", "`.`", "`?`"] {
        if names.len() > 1 {
            names.retain(|n| *n != weak);
        }
    }
    match names.as_slice() {
        [] => "something else".to_string(),
        [one] => (*one).to_string(),
        [init @ .., last] => format!("{} or {last}", init.join(", ")),
    }
}

fn name(rule: Rule) -> &'static str {
    match rule {
        Rule::word | Rule::task_name => "a name",
        Rule::use_path => "a module such as `std/etcd` or `./file`",
        Rule::string | Rule::raw | Rule::script => "text in quotes",
        Rule::quantity => "a number such as `3` or `10m`",
        Rule::version => "a version",
        Rule::expr
        | Rule::wide
        | Rule::list
        | Rule::record
        | Rule::paren
        | Rule::call
        | Rule::not_op
        | Rule::a_value => "a value",
        Rule::an_argument | Rule::named => "an argument",
        Rule::step | Rule::undo_step => "a step",
        Rule::a_open | Rule::block => "`{`",
        Rule::a_line_end => "the end of the line",
        Rule::a_colon => "`:`",
        Rule::a_equals => "`=`",
        Rule::a_comma => "`,`",
        Rule::semicolon => "`;`",
        Rule::a_open_paren | Rule::params => "`(`",
        Rule::a_close => "`)`",
        Rule::a_close_list => "`]`",
        Rule::optional => "`?`",
        Rule::fact => "a fact",
        Rule::range => "`..`",
        Rule::type_words | Rule::list_type | Rule::record_type | Rule::type_ref => "a type",
        Rule::a_close_record => "`}`",
        Rule::field_type => "a field `name: type`",
        Rule::field_value => "a field `name: value`",
        Rule::param => "a parameter `name: type`",
        Rule::a_in => "`in`",
        Rule::a_by => "`by`",
        Rule::a_if | Rule::condition => "`if`",
        Rule::a_task => "`task`",
        Rule::after => "`after`",
        Rule::order => "`order by`",
        Rule::order_key => "a fact",
        Rule::last => "`last`",
        Rule::backoff => "`backoff`",
        Rule::event => "an event such as `failure`",
        Rule::claim => "a claim such as `drained(node)`",
        Rule::test_block => "`{`",
        Rule::a_sim => "`sim(`",
        Rule::shape => "a cluster such as `3+5@v1.33.4`",
        Rule::seed => "`seed`",
        Rule::fault => "a fault such as `F40@w2`",
        Rule::a_changes => "`changes`",
        Rule::expect_plan
        | Rule::expect_changes
        | Rule::expect_failure
        | Rule::expect_end
        | Rule::expect_steps => EXPECTED,
        Rule::code => "a code such as `K0602`",
        Rule::these | Rule::these_step => "a verb",
        Rule::step_word => "`ran`, `skipped`, `failed` or `undone`",
        Rule::itself => "`itself`",
        Rule::none => "`none`",
        Rule::eq_op
        | Rule::ne_op
        | Rule::le_op
        | Rule::ge_op
        | Rule::lt_op
        | Rule::gt_op
        | Rule::add_op
        | Rule::sub_op
        | Rule::and_op
        | Rule::or_op
        | Rule::in_op
        | Rule::where_op => "an operator",
        _ => OTHER,
    }
}

/// What stands behind `expect`; its parts are too many to be listed.
const EXPECTED: &str = "an expectation such as `done` or `drain on w1 ran`";

/// What has no name for people; told only where nothing else was expected.
const OTHER: &str = "something else";
