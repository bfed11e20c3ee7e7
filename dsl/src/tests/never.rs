//! No text makes the front end panic, and every finding stands in the text.

use proptest::prelude::*;

use super::{PRELUDE, STD, run};
use crate::source::{LoadError, Loader};

/// Checks a text and draws all its places.
fn survive(text: &str) {
    let checked = run(&[("test.kup", text)]);
    for d in &checked.diagnostics {
        if let Some(span) = d.span {
            let under = checked.sources.slice(span);
            assert!(under.len() <= text.len().max(16_000), "{d:?}");
            checked.sources.line_col(span.file, span.end);
        }
        assert!(!d.code.is_empty() && !d.message.is_empty(), "{d:?}");
    }
    if let Some((better, mended)) = crate::mend(crate::span::FileId(0), text, &checked.diagnostics) {
        assert!(better != text && !mended.is_empty());
    }
    assert_eq!(
        checked.program.is_none(),
        checked.diagnostics.iter().any(|d| d.severity == crate::diagnostic::Severity::Error)
    );
}

#[test]
fn what_nests_as_deep_as_it_may_fits_a_small_stack() {
    let open = "each n in workers { ".repeat(40);
    let parens = "(".repeat(20);
    let text = format!("playbook \"p\"\nstage s {{ {open} if {parens}true");
    survive(&text);
    survive(&format!("{text}{} {{ drain }}\n{} }}\n", ")".repeat(20), "}\n".repeat(40)));
    survive(&"{ \"\\\n".repeat(10_000));
}

#[test]
fn a_word_that_only_begins_like_one_of_the_language_is_told_and_is_no_bug() {
    for text in [
        "native taskx y ()\n  reads\n",
        "playbook \"p\"\nstage s { each n inworkers { drain } }\n",
        "playbook \"p\"\nstage s { each n in workers order bygpu { drain } }\n",
        "native task x ()\n  reads\n  needs a(b) ifx c\n",
    ] {
        survive(text);
        assert!(!run(&[("test.kup", text)]).diagnostics.is_empty(), "{text}");
    }
}

/// A shipped module under another text.
struct Changed<'t>(&'static str, &'t str);

impl Loader for Changed<'_> {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        if path == self.0 {
            return Ok(self.1.to_string());
        }
        STD.iter().find(|(p, _)| *p == path).map(|(_, t)| (*t).to_string()).ok_or(LoadError::NotFound)
    }
}

pub(super) const PIECES: [&str; 50] = [
    "test \"t\" {",
    "expect",
    "expect done",
    "on sim(3+5@v1.33.4)",
    "fault F40@w2",
    "set target=",
    "playbook",
    "stage",
    "task",
    "native",
    "param",
    "use",
    "on failure",
    "each",
    "in",
    "if",
    "else",
    "parallel",
    "drain",
    "wait healthy",
    "x",
    "node=",
    "=",
    "==",
    "-",
    "+",
    "where",
    "not",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ",",
    ";",
    ":",
    "\"",
    "\"\"\"",
    "${",
    "\\",
    "#",
    "##",
    "10m",
    "v1.34.2",
    "1.2.3",
    "5s..1m",
    "\n",
    " ",
    "\u{201c}",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_text_never_panics(text in "\\PC{0,200}") {
        survive(&text);
    }

    #[test]
    fn random_words_never_panic(words in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..80)) {
        survive(&words.join(" "));
        survive(&words.concat());
    }

    #[test]
    fn a_broken_playbook_never_panics(at in 0usize..4000, len in 0usize..40, piece in prop::sample::select(&PIECES[..])) {
        let text = include_str!("../../../playbooks/kubeadm-minor.kup");
        let at = at.min(text.len());
        let end = (at + len).min(text.len());
        if text.is_char_boundary(at) && text.is_char_boundary(end) {
            survive(&format!("{}{piece}{}", &text[..at], &text[end..]));
        }
    }

    #[test]
    fn a_broken_module_never_panics(which in 0usize..STD.len(), at in 0usize..6000, len in 0usize..40, piece in prop::sample::select(&PIECES[..])) {
        let (path, text) = STD[which];
        let at = at.min(text.len());
        let end = (at + len).min(text.len());
        if text.is_char_boundary(at) && text.is_char_boundary(end) {
            let text = format!("{}{piece}{}", &text[..at], &text[end..]);
            crate::module(path, &Changed(path, &text), &PRELUDE);
        }
    }
}
