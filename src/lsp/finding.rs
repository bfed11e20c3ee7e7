//! Findings as an editor shows them: the code, the words, the place, and the hints beside it.

use dsl::diagnostic::{Diagnostic, Severity};
use lsp_types::{
    DiagnosticRelatedInformation, DiagnosticSeverity, DiagnosticTag, Location, NumberOrString, Range, Uri,
};

use super::document::Lines;

/// Codes of what is never used: editors show it faded.
const UNUSED: [&str; 3] = ["K0215", "K0216", "K0217"];

/// Translates a finding about a text. An editor that shows no related information has the label and the
/// hints in the message.
pub(crate) fn finding(
    d: &Diagnostic,
    uri: &Uri,
    text: &str,
    lines: &Lines,
    related: bool,
) -> lsp_types::Diagnostic {
    let range = match d.span {
        Some(span) => lines.range(text, span.start as usize, span.end as usize),
        // What is about the whole text stands at its first line.
        None => lines.range(text, 0, text.lines().next().map_or(0, str::len)),
    };
    let mut message = d.message.clone();
    if !related {
        message.extend(beside(d).map(|line| format!("\n{line}")));
    }
    lsp_types::Diagnostic {
        range,
        severity: Some(match d.severity {
            Severity::Warning => DiagnosticSeverity::WARNING,
            Severity::Error => DiagnosticSeverity::ERROR,
        }),
        code: Some(NumberOrString::String(d.code.to_string())),
        code_description: None,
        source: Some("kup".to_string()),
        message,
        related_information: related.then(|| related_to(d, uri, range)).filter(|all| !all.is_empty()),
        tags: UNUSED.contains(&d.code).then(|| vec![DiagnosticTag::UNNECESSARY]),
        data: None,
    }
}

/// Returns what stands beside the message: the label, and the hints.
fn beside(d: &Diagnostic) -> impl Iterator<Item = String> {
    let label = Some(&d.label).filter(|label| !label.is_empty()).cloned();
    label.into_iter().chain(d.hints.iter().map(|hint| format!("hint: {hint}")))
}

fn related_to(d: &Diagnostic, uri: &Uri, range: Range) -> Vec<DiagnosticRelatedInformation> {
    let at =
        |message| DiagnosticRelatedInformation { location: Location { uri: uri.clone(), range }, message };
    beside(d).map(at).collect()
}
