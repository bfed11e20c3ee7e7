//! Findings as the workflow commands of GitHub Actions, which shows them beside the lines they are
//! about. Forgejo and Gitea read the same ones.

use dsl::diagnostic::{Diagnostic, Severity};
use dsl::source::Sources;
use dsl::span::Span;

use crate::diagnostics::place;
use crate::printable::printable;

/// Returns one line for each finding; `file` is where those without a place belong.
pub(crate) fn annotations(file: &str, sources: &Sources, found: &[Diagnostic]) -> Vec<String> {
    found.iter().map(|d| annotation(file, sources, d)).collect()
}

fn annotation(file: &str, sources: &Sources, d: &Diagnostic) -> String {
    let level = match d.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut message = d.message.clone();
    d.hints.iter().for_each(|hint| message.push_str(&format!("\n{hint}")));
    let title = format!("title={}", property(d.code));
    let at = match d.span {
        None => format!("file={},{title}", property(file)),
        Some(span) => {
            let (from, to) = (place(sources, span), place(sources, Span { start: span.end, ..span }));
            let file = property(&from.file);
            format!(
                "file={file},line={},endLine={},col={},endColumn={},{title}",
                from.line, to.line, from.column, to.column
            )
        }
    };
    format!("::{level} {at}::{}", data(&message))
}

/// Escapes a message: what follows a line break could be a command of its own.
fn data(text: &str) -> String {
    let text = text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    printable(&text).into_owned()
}

/// Escapes a property, which ends at a colon or a comma.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_makes_no_command() {
        assert_eq!(data("a%0A\r\n::stop-commands::x\x1b[2J"), "a%250A%0D%0A::stop-commands::x\\x1b[2J");
        assert_eq!(property("a,b::c\n"), "a%2Cb%3A%3Ac%0A");
    }
}
