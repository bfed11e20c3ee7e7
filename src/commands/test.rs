//! `kup test [FILE...]`: the tests of playbooks and modules, each on its own simulated cluster. With
//! `--update`, the plans that they show become those that came.

use std::path::{Path, PathBuf};

use dsl::span::Span;
use dsl::test::{Expected, Test, What};

use crate::console::{Console, GREEN, RED, RESET, Style, YELLOW};
use crate::diagnostics::place;
use crate::error::Error;
use crate::exit::Exit;
use crate::loader::{playbooks, reason};
use crate::printable::{one_line, printable};
use crate::report::{Miss, count, diagnostics_line, tested_line};
use crate::rewrite;
use crate::text;
use crate::trial::{Played, play};

/// Runs the tests of files, and of the `.kup` files of folders.
pub(crate) fn test(
    console: Console,
    paths: &[PathBuf],
    libraries: &[PathBuf],
    update: bool,
) -> Result<Exit, Error> {
    let here = [PathBuf::from(".")];
    let paths = if paths.is_empty() { &here[..] } else { paths };
    let mut tally = Tally::default();
    for path in paths {
        let files = match path.is_dir() {
            true => playbooks(path)?,
            false => vec![path.clone()],
        };
        for file in files {
            tally.file(console, &file, libraries, update)?;
        }
    }
    let Tally { passed, failed, broken, .. } = tally;
    if passed + failed + broken == 0 {
        return Err(Error::usage("there is no test")
            .hint("write one beside your tasks: `test \"what must hold\" { ... expect done }`"));
    }
    let mut parts = vec![format!("{passed} passed")];
    parts.extend((failed > 0).then(|| format!("{failed} failed")));
    parts.extend((broken > 0).then(|| format!("{} cannot be read", count(broken, "file"))));
    parts.extend((tally.updated > 0).then(|| format!("{} updated", count(tally.updated, "plan"))));
    console.say(&parts.join(", "));
    Ok(if failed + broken > 0 { Exit::Usage } else { Exit::Done })
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    /// Files that cannot be read.
    broken: usize,
    updated: usize,
}

impl Tally {
    fn file(
        &mut self,
        console: Console,
        file: &Path,
        libraries: &[PathBuf],
        update: bool,
    ) -> Result<(), Error> {
        let checked = match text::read(file, libraries) {
            Ok(checked) => checked,
            Err(error) => {
                console.error(&error);
                self.broken += 1;
                return Ok(());
            }
        };
        let name = file.display().to_string();
        if let Some((errors, _, drawn)) = text::findings(&checked)
            && errors > 0
        {
            match console.style {
                Style::Json => {
                    console.result(&diagnostics_line(&name, &checked.sources, &checked.diagnostics, &[]));
                }
                Style::Human | Style::Plain => console.alarm(&drawn),
            }
            self.broken += 1;
            return Ok(());
        }
        let mut plans: Vec<(Span, String)> = Vec::new();
        for test in &checked.tests {
            let mut misses = Vec::new();
            let played = play(file, test);
            let place_of = |span: Span| place(&checked.sources, span);
            match &played {
                Err(error) => {
                    let at = place_of(about(test, error));
                    let message = error.message.lines().next().unwrap_or_default().to_string();
                    let came = [&[message], error.hints.as_slice()].concat().join("; ");
                    let expected = "a cluster to run on".to_string();
                    misses.push(Miss { line: at.line, column: at.column, expected, came });
                }
                Ok(played) => {
                    for expected in &test.expected {
                        let Some(came) = played.instead(expected) else { continue };
                        match update.then(|| new_plan(played, expected)).flatten() {
                            Some(plan) => plans.push(plan),
                            None => {
                                let at = place_of(expected.span);
                                let expected = shortened(&expected.text);
                                misses.push(Miss { line: at.line, column: at.column, expected, came });
                            }
                        }
                    }
                }
            }
            let line = place_of(test.span).line;
            match console.style {
                Style::Json => console.result(&tested_line(&name, line, &test.name, &misses)),
                Style::Human | Style::Plain => tell(console, &name, line, &test.name, &misses),
            }
            if misses.is_empty() { self.passed += 1 } else { self.failed += 1 }
        }
        self.updated += plans.len();
        if !plans.is_empty() {
            let mut text = checked.sources.text(plans[0].0.file).to_string();
            plans.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
            for (span, plan) in plans {
                text.replace_range(span.start as usize..span.end as usize, &plan);
            }
            rewrite::replace(file, &text)
                .map_err(|e| Error::environment(format!("cannot write `{name}`: {}", reason(&e))))?;
            if console.style != Style::Json {
                console.say(&format!("{}: {YELLOW}updated{RESET}: read the diff", printable(&name)));
            }
        }
        Ok(())
    }
}

/// Returns what an error of the cluster is about.
fn about(test: &Test, error: &Error) -> Span {
    let fault = test.faults.iter().find(|(fault, _)| error.message.contains(fault.as_str()));
    fault.map_or(test.shape.1, |(_, span)| *span)
}

/// Returns the text to write in the place of an old plan, with its quotes, indented below its `expect`.
fn new_plan(played: &Played, expected: &Expected) -> Option<(Span, String)> {
    let What::Plan(_, span) = &expected.what else { return None };
    // Nothing in such a text stands for its own end.
    let shown = played.shown().filter(|shown| !shown.contains("\"\"\""))?;
    let line = |l: &str| if l.is_empty() { "\n".to_string() } else { format!("    {l}\n") };
    let lines: String = shown.trim_end().lines().map(line).collect();
    Some((*span, format!("\"\"\"\n{lines}  \"\"\"")))
}

/// Returns the first line of what was expected: a plan is long, and its difference is shown.
fn shortened(text: &str) -> String {
    text.split("\"\"\"").next().unwrap_or_default().trim_end().to_string()
}

fn tell(console: Console, file: &str, line: usize, test: &str, misses: &[Miss]) {
    let name = one_line(&format!("{file}:{line}: {test}"));
    if misses.is_empty() {
        if !console.quiet {
            console.result(&format!("{GREEN}ok{RESET}     {name}"));
        }
        return;
    }
    console.result(&format!("{RED}FAILED{RESET} {name}"));
    for Miss { line, expected, came, .. } in misses {
        console.result(&format!("  line {line}: {}", printable(expected)));
        for (i, came) in came.lines().enumerate() {
            let mark = if i == 0 { "came: " } else { "      " };
            console.result(&format!("    {mark}{}", printable(came)));
        }
    }
}
