//! A case: a small text, and what is found in it. The text stands below a line `--- name ---`; what is
//! found, below the line it is about, in a comment `#~` whose column is the column of the finding.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use kup_dsl::diagnostic::{Diagnostic, Severity};
use kup_dsl::source::{BadScript, LoadError, Loader, Sources};

/// One case.
pub(crate) struct Case {
    /// What it shows.
    pub(crate) name: String,
    heading: String,
    /// Where the files are that it uses.
    folder: PathBuf,
    frame: Frame,
    /// Its lines without the comments that say what is found.
    lines: Vec<String>,
    expected: Vec<Finding>,
}

/// What stands around the lines of a case, so that it can be short.
#[derive(Clone, Copy)]
enum Frame {
    /// Nothing.
    File,
    /// Nothing; it is a module.
    Module,
    /// A stage.
    Steps,
    /// A stage, and in it an `each` over the workers.
    Lane,
}

/// What is found, or should be: line and column, or neither if it is about the text as a whole.
#[derive(Clone, Debug, PartialEq)]
struct Finding {
    line: Option<usize>,
    /// None: any column of the line.
    column: Option<usize>,
    /// The code, and the message or a part of it.
    said: String,
}

/// Returns the folder of all cases.
pub(crate) fn folder() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/cases")
}

/// Reads the stories of a group, in the order of their names.
pub(crate) fn cases(group: &str) -> Vec<(PathBuf, Vec<Case>)> {
    let folder = Path::new(folder()).join(group);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "kup"))
        .collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), story(&file))).collect()
}

fn story(file: &Path) -> Vec<Case> {
    let text = fs::read_to_string(file).unwrap();
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("--- ").and_then(|l| l.strip_suffix(" ---")) {
            let (name, frame) = match heading.rsplit_once(" (") {
                Some((name, "module)")) => (name, Frame::Module),
                Some((name, "steps)")) => (name, Frame::Steps),
                Some((name, "lane)")) => (name, Frame::Lane),
                _ => (heading, Frame::File),
            };
            cases.push(Case {
                name: name.to_string(),
                heading: line.to_string(),
                // What a story uses stands in a folder of the story's name.
                folder: file.with_extension(""),
                frame,
                lines: Vec::new(),
                expected: Vec::new(),
            });
            continue;
        }
        let case = cases.last_mut().unwrap_or_else(|| panic!("{} begins with a heading", file.display()));
        case.read(line);
    }
    cases
}

impl Case {
    fn read(&mut self, line: &str) {
        let Some((before, said)) = line.split_once("#~ ") else {
            self.lines.push(line.to_string());
            return;
        };
        let (of_the_file, said) = match said.strip_prefix("file ") {
            Some(said) => (true, said),
            None => (false, said),
        };
        let own_line = before.trim().is_empty();
        if !own_line {
            self.lines.push(before.trim_end().to_string());
        }
        self.expected.push(Finding {
            line: (!of_the_file).then_some(self.lines.len()),
            column: (own_line && !of_the_file).then(|| before.chars().count() + 1),
            said: said.to_string(),
        });
    }

    /// Returns what is found and not expected, and what is expected and not found.
    pub(crate) fn differences(&self) -> Vec<String> {
        let mut found = self.findings();
        let mut wrong = Vec::new();
        for expected in &self.expected {
            let met = |f: &Finding| {
                let column = expected.column.is_none() || f.column == expected.column;
                f.line == expected.line && column && f.said.starts_with(expected.said.trim_end())
            };
            match found.iter().position(met) {
                Some(i) => drop(found.remove(i)),
                None => wrong.push(format!("is not found: {expected:?}")),
            }
        }
        wrong.extend(found.into_iter().map(|f| format!("is not expected: {f:?}")));
        wrong
    }

    /// Returns the case with what is found written into it.
    pub(crate) fn annotated(&self) -> String {
        let found = self.findings();
        let mut out = format!("{}\n", self.heading);
        for f in found.iter().filter(|f| f.line.is_none()) {
            out.push_str(&format!("#~ file {}\n", f.said));
        }
        for (i, line) in self.lines.iter().enumerate() {
            out.push_str(&format!("{line}\n"));
            for f in found.iter().filter(|f| f.line == Some(i + 1)) {
                let column = f.column.unwrap_or(1);
                out.push_str(&format!("{:indent$}#~ {}\n", "", f.said, indent = column - 1));
            }
        }
        out
    }

    /// Returns the codes that the case says.
    pub(crate) fn codes(&self) -> impl Iterator<Item = &str> {
        self.expected.iter().filter_map(|f| f.said.split(' ').find(|word| word.starts_with('K')))
    }

    /// Returns each finding's code, and the finding drawn for a reader.
    pub(crate) fn drawn(&self) -> Vec<(String, String)> {
        let (sources, found) = self.check();
        let draw = |d: &Diagnostic| {
            let mut out = format!("{}: {}\n", d.code, d.message);
            if let Some(span) = d.span {
                let (line, column) = sources.line_col(span.file, span.start);
                let text = sources.text(span.file).lines().nth(line - 1).unwrap_or_default();
                let under = sources.slice(span).lines().next().unwrap_or_default().chars().count().max(1);
                let marks = format!("{:indent$}{}", "", "^".repeat(under), indent = column - 1);
                let label = if d.label.is_empty() { String::new() } else { format!(" {}", d.label) };
                let cut = |line: String| match line.char_indices().nth(WIDTH) {
                    Some((end, _)) => format!("{}...", &line[..end]),
                    None => line,
                };
                let (text, marks) = (cut(text.to_string()), cut(format!("{marks}{label}")));
                out.push_str(&format!("  | {text}\n  | {marks}\n"));
            }
            for hint in &d.hints {
                out.push_str(&format!("  = {hint}\n"));
            }
            out
        };
        found.iter().map(|d| (d.code.to_string(), draw(d))).collect()
    }

    fn findings(&self) -> Vec<Finding> {
        let (sources, found) = self.check();
        let (frame, _) = self.frame.around();
        let skipped = frame.matches('\n').count();
        let at = |d: &Diagnostic| {
            let said = format!("{} {}", d.code, d.message);
            let Some(span) = d.span else { return Finding { line: None, column: None, said } };
            if sources.path(span.file) != ROOT {
                let path = sources.path(span.file).to_string();
                let (line, column) = sources.line_col(span.file, span.start);
                return Finding { line: None, column: None, said: format!("{path}:{line}:{column} {said}") };
            }
            let (line, column) = sources.line_col(span.file, span.start);
            // What is about the frame or the end of the text is about the line next to it.
            let line = line.saturating_sub(skipped).clamp(1, self.lines.len());
            Finding { line: Some(line), column: Some(column), said }
        };
        let has_label = |d: &Diagnostic| d.span.is_none() || !d.label.is_empty();
        assert!(found.iter().all(has_label), "{}: each finding says what stands at its place", self.name);
        found.iter().map(at).collect()
    }

    fn check(&self) -> (Sources, Vec<Diagnostic>) {
        let (before, behind) = self.frame.around();
        let text = format!("{before}{}\n{behind}", self.lines.join("\n"));
        let files = Files { root: text, folder: self.folder.clone() };
        if let Frame::Module = self.frame {
            let (sources, _, found) = kup_dsl::module(ROOT, &files, &PRELUDE);
            return (sources, found);
        }
        let checked = kup_dsl::check(ROOT, &files, &PRELUDE);
        let is_clean = checked.diagnostics.iter().all(|d| d.severity == Severity::Warning);
        assert_eq!(checked.program.is_some(), is_clean, "{}: a program and no error, or neither", self.name);
        (checked.sources, checked.diagnostics)
    }
}

impl Frame {
    fn around(self) -> (&'static str, &'static str) {
        match self {
            Frame::File | Frame::Module => ("", ""),
            Frame::Steps => ("playbook \"p\"\nstage s {\n", "}\n"),
            Frame::Lane => ("playbook \"p\"\nstage s {\neach node in workers {\n", "}\n}\n"),
        }
    }
}

/// No drawn line is longer.
const WIDTH: usize = 110;

/// What the text of a case is called.
const ROOT: &str = "case.kup";

/// The names of the shipped modules.
static SHIPPED: LazyLock<Vec<String>> = LazyLock::new(|| {
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../stdlib/kup")).unwrap();
    let name =
        |path: PathBuf| path.extension().map(|_| format!("std/{}", path.file_stem().unwrap().display()));
    let mut names: Vec<String> = files.filter_map(|file| name(file.unwrap().path())).collect();
    names.sort();
    names
});

const PRELUDE: [&str; 2] = ["std/run", "std/node"];

/// Hands in a case, what stands in the folder of its story, and the shipped modules.
struct Files {
    root: String,
    folder: PathBuf,
}

impl Loader for Files {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        if path == ROOT {
            return Ok(self.root.clone());
        }
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../stdlib/kup");
        let file = match path.strip_prefix("std/") {
            Some(module) => shipped.join(module).with_extension("kup"),
            None => self.folder.join(path),
        };
        fs::read_to_string(file).map_err(|_| LoadError::NotFound)
    }

    fn shipped(&self) -> Vec<&'static str> {
        SHIPPED.iter().map(String::as_str).collect()
    }

    /// Knows of scripts only that brackets must be closed.
    fn script(&self, text: &str, _: &[&str]) -> Result<(), BadScript> {
        let open = text.matches('(').count().checked_sub(text.matches(')').count());
        match (open, text.find(';')) {
            (Some(1..), Some(at)) => Err(BadScript { at, message: "`)` is missing".to_string() }),
            _ => Ok(()),
        }
    }
}
