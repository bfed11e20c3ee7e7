//! What people bring from other languages: recognized at the place where reading failed, answered in
//! kup, and where there is only one way to write it, put right.

use super::junk::{first_word, is_word};
use crate::diagnostic::Diagnostic;
use crate::problem::Problem;
use crate::span::{FileId, Span};

/// A habit with its place in the text, and what to write instead where that is certain.
pub(super) struct Habit {
    problem: Problem,
    start: usize,
    end: usize,
    mend: Option<(usize, usize, String)>,
}

impl Habit {
    fn new(what: &'static str, instead: impl Into<String>, start: usize, end: usize) -> Habit {
        Habit { problem: Problem::Habit { what, instead: instead.into() }, start, end, mend: None }
    }

    /// Puts its own place right.
    fn mend(self, with: impl Into<String>) -> Habit {
        let (start, end) = (self.start, self.end);
        self.mend_at(start, end, with)
    }

    /// Puts another place right.
    fn mend_at(self, start: usize, end: usize, with: impl Into<String>) -> Habit {
        Habit { mend: Some((start, end, with.into())), ..self }
    }

    /// Makes it a diagnostic; the text that was looked at begins at `offset` of its file.
    pub(super) fn told(self, file: FileId, offset: usize) -> Diagnostic {
        let span = |start: usize, end: usize| Span {
            file,
            start: (offset + start) as u32,
            end: (offset + end) as u32,
        };
        let told = self.problem.at(span(self.start, self.end));
        match self.mend {
            Some((start, end, with)) => told.mended(span(start, end), with),
            None => told,
        }
    }
}

/// The quotes that word processors make.
const TYPOGRAPHIC: [char; 5] = ['\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}', '\u{201e}'];

/// Programs that people type, and where each of them is mostly run.
const PROGRAMS: [(&str, &str); 9] = [
    ("apt", ""),
    ("apt-get", ""),
    ("crictl", ""),
    ("ctr", ""),
    ("dnf", ""),
    ("etcdctl", ""),
    ("kubectl", " on=local"),
    ("systemctl", ""),
    ("yum", ""),
];

/// Says how a program is run, if a step begins with the name of one.
pub(crate) fn program(step: &str) -> Option<Problem> {
    let (name, place) = PROGRAMS.iter().find(|(name, _)| *name == first_word(step))?;
    let instead = format!("write `run command \"{name} ...\"{place}`, or `read command` if it only looks");
    Some(Problem::Habit { what: "a program is run by a verb", instead })
}

/// Recognizes a habit where reading failed at `at`.
pub(super) fn habit(text: &str, at: usize) -> Option<Habit> {
    let place = Place::new(text, at);
    place
        .comment()
        .or_else(|| place.anywhere())
        .or_else(|| place.quotes())
        .or_else(|| place.sign())
        .or_else(|| place.equals().or_else(|| place.word()))
}

/// Where reading failed.
struct Place<'t> {
    text: &'t str,
    at: usize,
    /// What follows.
    rest: &'t str,
    /// What stands before it, without the blanks.
    before: &'t str,
    /// The last word before it.
    last: &'t str,
}

impl<'t> Place<'t> {
    fn new(text: &'t str, at: usize) -> Place<'t> {
        let before = text[..at].trim_end_matches([' ', '\t']);
        let last = before.rfind(|c| !is_word(c));
        let last = last.map_or(0, |i| i + before[i..].chars().next().map_or(1, char::len_utf8));
        Place { text, at, rest: &text[at..], before, last: &before[last..] }
    }

    /// Says something of the next bytes.
    fn say(&self, what: &'static str, instead: impl Into<String>, width: usize) -> Option<Habit> {
        Some(Habit::new(what, instead, self.at, self.at + width))
    }

    /// Returns the end of the blanks that begin at a place.
    fn behind_blanks(&self, at: usize) -> usize {
        at + self.text[at..].len() - self.text[at..].trim_start_matches([' ', '\t']).len()
    }

    fn comment(&self) -> Option<Habit> {
        let (what, instead) = ("this begins no comment", "comments begin with `#`");
        if self.rest.starts_with("//") {
            return self.say(what, instead, 2).map(|habit| habit.mend("#"));
        }
        if self.rest.starts_with("/*") {
            return self.say(what, instead, 2);
        }
        None
    }

    /// What gives itself away wherever on the line it stands.
    fn anywhere(&self) -> Option<Habit> {
        let line = self.text.lines().next().unwrap_or_default();
        if let Some(i) = outside(line).find(|i| line[*i..].starts_with(TYPOGRAPHIC)) {
            let quote = Habit::new("these are typographic quotes", "write plain quotes: `\"`", i, i + 3);
            let inner = &line[i + 3..];
            return Some(match inner.find(TYPOGRAPHIC) {
                Some(end) if !inner[..end].contains(['"', '\\', '$']) => {
                    quote.mend_at(i, i + end + 6, format!("\"{}\"", &inner[..end]))
                }
                _ => quote,
            });
        }
        if let Some(i) = outside(line).find(|i| line[*i..].starts_with("{{")) {
            let instead = "write the name as it is, or `\"${name}\"` in a text";
            let habit = Habit::new("kup has no templates", instead, i, i + 2);
            let start = if line[..i].ends_with('$') { i - 1 } else { i };
            return Some(match line[i + 2..].split_once("}}") {
                Some((name, _)) if is_name(name.trim()) => {
                    habit.mend_at(start, i + 2 + name.len() + 2, name.trim())
                }
                _ => habit,
            });
        }
        if self.at == 0 && (line.starts_with("- ") || line.starts_with("---")) {
            let instead = "write a step as words: `drain node`";
            return self.say("this is YAML, and kup has none", instead, line.trim_end().len());
        }
        None
    }

    fn quotes(&self) -> Option<Habit> {
        let rest = self.rest;
        if rest.starts_with('"') && closed(rest) {
            return match (first_word(self.text), self.last) {
                ("stage", "stage") => {
                    let instead = "write it without quotes: `stage workers { ... }`";
                    let habit = self.say("a stage has a name and no title", instead, 1)?;
                    let name = rest[1..].split('"').next().unwrap_or_default();
                    Some(match is_name(name) {
                        true => habit.mend_at(self.at, self.at + name.len() + 2, name),
                        false => habit,
                    })
                }
                (_, "undo") => self.say("an `undo` is a block", "write `undo { run command \"...\" }`", 1),
                _ => None,
            };
        }
        if rest.starts_with('"') {
            let end = rest.lines().next().map_or(1, |l| l.trim_end().len());
            return Some(Habit {
                problem: Problem::UnclosedText,
                start: self.at,
                end: self.at + end,
                mend: None,
            });
        }
        if let Some(inner) = rest.strip_prefix('\'') {
            let habit = self.say("text does not stand in single quotes", "write `\"...\"`", 1)?;
            let line = inner.lines().next().unwrap_or_default();
            return Some(match line.split_once('\'') {
                Some((text, _)) if !text.contains(['"', '\\', '$']) => {
                    habit.mend_at(self.at, self.at + text.len() + 2, format!("\"{text}\""))
                }
                _ => habit,
            });
        }
        None
    }

    /// Signs that mean something elsewhere.
    fn sign(&self) -> Option<Habit> {
        let rest = self.rest;
        if rest.starts_with('\u{a0}') {
            let habit = self.say("this is a non-breaking space", "write a plain space", 2);
            return habit.map(|habit| habit.mend(" "));
        }
        for (sign, word, what) in [("&&", "and", "`&&` is no operator"), ("||", "or", "`||` is no operator")]
        {
            if rest.starts_with(sign) {
                let end = self.behind_blanks(self.at + 2);
                let habit = self.say(what, format!("write `{word}`"), 2)?;
                return Some(habit.mend_at(self.before.len(), end, format!(" {word} ")));
            }
        }
        if rest.starts_with('!') && !rest.starts_with("!=") {
            let end = self.behind_blanks(self.at + 1);
            let habit = self.say("`!` is no operator", "write `not`", 1)?;
            return Some(habit.mend_at(self.at, end, "not "));
        }
        if let Some(name) = rest.strip_prefix('$') {
            let instead = "write the name as it is, or `\"${name}\"` in a text";
            let habit = self.say("a name has no `$`", instead, 1)?;
            return Some(match name.starts_with(|c: char| c.is_ascii_alphabetic()) {
                true => habit.mend(""),
                false => habit,
            });
        }
        if let Some(behind) = rest.strip_prefix(';') {
            let habit =
                self.say("a step ends with its line", "write the next step on a line of its own", 1)?;
            let behind = behind.trim_start_matches([' ', '\t', '\r']);
            return Some(match behind.is_empty() || behind.starts_with(['\n', '#']) {
                true => habit.mend(""),
                false => habit,
            });
        }
        if rest.starts_with("--")
            || (rest.starts_with('-') && rest[1..].starts_with(|c: char| c.is_ascii_alphabetic()))
        {
            let start = match (first_word(self.text), self.text.find('=')) {
                ("let", Some(equals)) => self.behind_blanks(equals + 1),
                (_, Some(_) | None) => 0,
            };
            let step = &self.text[start..];
            if let Some(problem) = program(step) {
                return Some(Habit { problem, start, end: start + first_word(step).len(), mend: None });
            }
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let instead = "write `name=value`; `kup doc VERB` tells the names";
            return self.say("a step has arguments and no flags", instead, end);
        }
        None
    }

    /// The many ways to give a value.
    fn equals(&self) -> Option<Habit> {
        let (rest, before, last) = (self.rest, self.before, self.last);
        // The `=` of `let name = STEP` gives no argument.
        if first_word(self.text) == "let" && !before.contains('=') {
            return None;
        }
        let sign = ["=>", "->", ":=", "==", "=", ":"].into_iter().find(|sign| rest.starts_with(sign));
        let Some(sign) = sign else {
            // `on= local`
            let spaced = self.text[..self.at].ends_with('=') && rest.starts_with([' ', '\t']);
            let value = self.behind_blanks(self.at);
            if !spaced || self.text[value..].starts_with(['\n', '\r', '#']) || value == self.text.len() {
                return None;
            }
            let written = self.text[..self.at - 1].rsplit(|c| !is_word(c)).next().unwrap_or_default();
            let instead = format!("write `{written}={}`", value_at(rest));
            let habit = Habit::new(SPACES, instead, self.at - 1, self.at);
            return Some(habit.mend_at(self.at, value, ""));
        };
        if sign != ":" && in_record(before) {
            let value = value_at(&self.text[self.behind_blanks(self.at + sign.len())..]);
            let told = self.say("a field has a colon", format!("write `{last}: {value}`"), sign.len());
            return told.map(|habit| habit.mend(":"));
        }
        let is_condition =
            before.starts_with("if ") || before.starts_with("when ") || before.contains(" where ");
        if sign == "=" && is_condition {
            return self.say("`=` does not compare", "write `==`", 1).map(|habit| habit.mend("=="));
        }
        if last.is_empty() || (sign == "==" && is_condition) {
            return None;
        }
        let start = self.behind_blanks(self.at + sign.len());
        let value = value_at(&self.text[start..]);
        if first_word(self.text) == "param" {
            if sign == ":" {
                return None;
            }
            let what = "a parameter says its type";
            return self.say(what, format!("write `param {last}: TYPE = {value}`"), sign.len());
        }
        let named = before[..before.len() - last.len()].trim_end();
        if sign == "=" && named.ends_with(',') && named.contains('=') {
            let comma = named.len() - 1;
            let instead = format!("write a space: `... {last}=...`");
            let habit = Habit::new("arguments are not separated by commas", instead, comma, comma + 1);
            return Some(habit.mend_at(comma, before.len() - last.len(), " "));
        }
        if sign == ":" {
            if super::junk::is_item(first_word(self.text)) {
                return None;
            }
            let what = "arguments are not given with `:`";
            if before.trim_start() != last {
                let instead = format!("write `{last}={value}`; behind a verb, leave it out");
                return self.say(what, instead, 1);
            }
            // There is nothing before it: it is the verb.
            let instead = format!("write `{}`", format!("{last} {value}").trim_end());
            let habit = self.say(what, instead, 1)?;
            let gap = if value.is_empty() { "" } else { " " };
            return Some(habit.mend_at(before.len(), start, gap));
        }
        let what = match sign {
            "=" => SPACES,
            _ => "a value is given with `=`",
        };
        let habit = self.say(what, format!("write `{last}={value}`"), sign.len())?;
        // The verb itself takes no value.
        Some(match value.is_empty() || before.trim_start() == last {
            true => habit,
            false => habit.mend_at(before.len(), start, "="),
        })
    }

    /// Words that other languages need.
    fn word(&self) -> Option<Habit> {
        let word = first_word(self.rest);
        let end = self.at + word.len();
        let without = |habit: Habit| habit.mend_at(self.at, self.behind_blanks(end), "");
        let is_count = !self.last.is_empty() && self.last.bytes().all(|b| b.is_ascii_digit());
        match (word, first_word(self.text)) {
            ("then", "if") => {
                self.say("an `if` has no `then`", "write `if CONDITION { ... }`", 4).map(without)
            }
            ("do", "each") => {
                self.say("an `each` has no `do`", "write `each node in SET { ... }`", 2).map(without)
            }
            ("times", "retry") if is_count => self
                .say("`retry` counts without a word", format!("write `retry {}`", self.last), 5)
                .map(without),
            _ => {
                let short = unit(word).filter(|_| is_count)?;
                let start = self.before.len() - self.last.len();
                let (what, whole) =
                    ("the unit stands right behind its number", format!("{}{short}", self.last));
                Some(Habit::new(what, format!("write `{whole}`"), start, end).mend(whole))
            }
        }
    }
}

/// What is said of `on = local`.
const SPACES: &str = "an argument has no spaces around its `=`";

/// Returns the places of a line that stand neither in a text nor in a comment.
fn outside(line: &str) -> impl Iterator<Item = usize> {
    let (mut quoted, mut escaped, mut ended) = (false, false, false);
    line.char_indices().filter_map(move |(i, c)| {
        let was = quoted;
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '#' if !quoted => ended = true,
            _ => {}
        }
        (!was && !ended).then_some(i)
    })
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// Returns the value at the beginning of a text, as far as a hint needs it.
fn value_at(text: &str) -> &str {
    let text = text.trim_start_matches([' ', '\t']);
    let end = match text.strip_prefix('"') {
        Some(inner) => inner.find(['"', '\n']).map_or(text.len(), |i| i + 2),
        None => text.find(|c: char| c.is_whitespace() || "{}),;".contains(c)).unwrap_or(text.len()),
    };
    text[..end].trim_end()
}

/// Returns whether the text at the beginning of a line ends on it.
fn closed(text: &str) -> bool {
    let line = text.lines().next().unwrap_or_default();
    if let Some(raw) = text.strip_prefix("\"\"\"") {
        return raw.contains("\"\"\"");
    }
    let mut inside = line.chars().skip(1);
    while let Some(c) = inside.next() {
        match c {
            '"' => return true,
            '\\' => drop(inside.next()),
            _ => {}
        }
    }
    false
}

/// Returns kup's unit for a unit in words.
pub(crate) fn unit(word: &str) -> Option<&'static str> {
    Some(match word {
        "ms" | "milliseconds" | "millisecond" => "ms",
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        "percent" => "%",
        "GiB" => "GiB",
        "MiB" => "MiB",
        _ => return None,
    })
}

/// Returns whether the innermost bracket that is open at the end of a text is that of a record.
fn in_record(text: &str) -> bool {
    let mut depth = 0usize;
    for (at, c) in text.char_indices().rev() {
        match c {
            ')' | ']' | '}' => depth += 1,
            '(' | '[' | '{' if depth > 0 => depth -= 1,
            '{' => return text[..at].trim_end().ends_with(['=', ':', ',', '(', '[']),
            '(' | '[' => return false,
            _ => {}
        }
    }
    false
}
