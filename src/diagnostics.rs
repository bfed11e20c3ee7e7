//! Draws what is wrong with a text as rustc does: the place, the line, the word underlined, what to
//! do about it.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use dsl::diagnostic::{Diagnostic, Severity};
use dsl::source::Sources;
use dsl::span::Span;

use crate::printable::{printable, steers};

/// Where a span begins, for people: lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file's path.
    pub(crate) file: String,
    /// The line.
    pub(crate) line: usize,
    /// The column.
    pub(crate) column: usize,
}

/// Returns where a span begins.
pub(crate) fn place(sources: &Sources, span: Span) -> Place {
    let text = sources.text(span.file);
    let start = boundary(text, span.start as usize);
    let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
    Place {
        file: sources.path(span.file).to_string(),
        line: text[..line_start].matches('\n').count() + 1,
        column: text[line_start..start].chars().count() + 1,
    }
}

/// Draws all findings, in the order of the text.
pub(crate) fn draw(sources: &Sources, found: &[Diagnostic]) -> String {
    let mut sorted: Vec<&Diagnostic> = found.iter().collect();
    sorted.sort_by_key(|d| d.span.map(|s| (s.file, s.start)));
    let drawn: Vec<String> = sorted.into_iter().map(|d| draw_one(sources, d)).collect();
    drawn.join("\n\n")
}

fn draw_one(sources: &Sources, d: &Diagnostic) -> String {
    let level = match d.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let message = printable(&d.message);
    let path;
    let (mut group, window);
    match d.span {
        None => group = Group::with_title(level.primary_title(message).id(d.code)),
        Some(span) => {
            window = Window::around(sources.text(span.file), span);
            path = printable(sources.path(span.file)).into_owned();
            let mut mark = AnnotationKind::Primary.span(window.start..window.end);
            if !d.label.is_empty() {
                mark = mark.label(printable(&d.label));
            }
            let snippet = Snippet::source(window.text.as_str())
                .line_start(window.line)
                .path(path.as_str())
                .annotation(mark);
            group = level.primary_title(message).id(d.code).element(snippet);
        }
    }
    for hint in &d.hints {
        group = group.element(Level::HELP.message(printable(hint)));
    }
    Renderer::styled().render(&[group])
}

/// The lines around a span: the whole text of a large file need not be drawn for one word of it.
struct Window {
    text: String,
    line: usize,
    start: usize,
    end: usize,
}

impl Window {
    /// How many lines of a long span are shown.
    const LINES: usize = 4;
    /// How many bytes of a line are shown before and behind the span.
    const REACH: usize = 400;

    fn around(text: &str, span: Span) -> Window {
        let start = boundary(text, span.start as usize);
        let end = boundary(text, (span.end as usize).max(start));
        let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
        let from = line_start.max(boundary(text, start.saturating_sub(Window::REACH)));
        let shown: usize = text[start..end].split_inclusive('\n').take(Window::LINES).map(str::len).sum();
        let end = boundary(text, end.min(start + shown).min(start + Window::REACH));
        let line_end = text[end..].find('\n').map_or(text.len(), |i| end + i);
        let to = line_end.min(boundary(text, end + Window::REACH));
        let mut window = Window {
            text: String::with_capacity(to - from),
            line: text[..line_start].matches('\n').count() + 1,
            start: 0,
            end: 0,
        };
        for (i, c) in text[from..to].char_indices() {
            if from + i == start {
                window.start = window.text.len();
            }
            if from + i == end {
                window.end = window.text.len();
            }
            match c {
                '\r' if text[from + i + 1..].starts_with('\n') => {}
                // One character for one, so that the underline stays under its word.
                c if steers(c) => window.text.push('\u{fffd}'),
                c => window.text.push(c),
            }
        }
        if start == to {
            window.start = window.text.len();
        }
        if end == to {
            window.end = window.text.len();
        }
        if window.text.ends_with('\r') {
            window.text.pop();
        }
        window.end = window.end.min(window.text.len());
        window.start = window.start.min(window.end);
        window
    }
}

/// Returns the nearest character's beginning at or before a byte.
fn boundary(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at.min(text.len()))
}
