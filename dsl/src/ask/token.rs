//! Which color each word has: what a check knows of it, else what it looks like.

use super::hover::WORDS;
use super::lex::{self, Kind};
use super::{FILE, Page};
use crate::check::{KEYWORDS, Meaning};

/// A piece of the text with its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colored {
    /// The first byte.
    pub start: usize,
    /// The byte behind the last one.
    pub end: usize,
    /// What it is.
    pub class: Class,
    /// Whether it is declared here.
    pub declared: bool,
}

/// What a piece of the text is. The order is that of [`Class::NAMES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A word of the language.
    Keyword,
    /// A verb.
    Function,
    /// The name of an argument.
    Parameter,
    /// A parameter of the playbook, or a name of a block.
    Variable,
    /// A stage or a module.
    Namespace,
    /// A word of an enumeration, or one that stands for one thing.
    EnumMember,
    /// A fact.
    Property,
    /// A type.
    Type,
    /// A number with or without a unit, a version.
    Number,
    /// A text.
    String,
    /// A comment.
    Comment,
}

impl Class {
    /// Their names in the Language Server Protocol.
    pub const NAMES: [&str; 11] = [
        "keyword",
        "function",
        "parameter",
        "variable",
        "namespace",
        "enumMember",
        "property",
        "type",
        "number",
        "string",
        "comment",
    ];
}

impl Page {
    /// Colors the file: pieces in the order of the text that do not overlap and do not cross lines.
    pub fn colors(&self) -> Vec<Colored> {
        let text = self.text();
        let mut known = self.study.mentions.iter().filter(|m| m.span.file == FILE).peekable();
        let mut found: Vec<Colored> = Vec::new();
        let mut done = 0;
        let mut paint = |from: usize, to: usize, class: Class, declared: bool| {
            // One line after the other.
            let mut start = from;
            for line in text[from..to].split_inclusive('\n') {
                let end = start + line.trim_end_matches(['\n', '\r']).len();
                if end > start {
                    found.push(Colored { start, end, class, declared });
                }
                start += line.len();
            }
        };
        for token in lex::tokens(text, 0..text.len()) {
            let mut at = token.start.max(done);
            while let Some(mention) = known.next_if(|m| (m.span.start as usize) < token.end) {
                let (start, end) = (mention.span.start as usize, mention.span.end as usize);
                // Two meanings of one word: the first counts.
                if start < at.max(done) {
                    continue;
                }
                if let (Kind::Text { .. }, true) = (token.kind, at < start) {
                    paint(at, start, Class::String, false);
                }
                paint(start, end, class(mention.of), self.declared(mention.of) == Some(mention.span));
                (at, done) = (end, end);
            }
            if at >= token.end {
                continue;
            }
            let word = &text[token.start..token.end];
            match token.kind {
                Kind::Text { .. } => paint(at, token.end, Class::String, false),
                Kind::Comment => paint(at, token.end, Class::Comment, false),
                Kind::Number => paint(at, token.end, Class::Number, false),
                Kind::Word if KEYWORDS.contains(&word) || WORDS.iter().any(|(known, _)| *known == word) => {
                    paint(at, token.end, Class::Keyword, false);
                }
                Kind::Word | Kind::Sign | Kind::Newline => {}
            }
        }
        found
    }
}

fn class(of: Meaning) -> Class {
    match of {
        Meaning::Verb(_) | Meaning::Function => Class::Function,
        Meaning::Argument(..) | Meaning::Option => Class::Parameter,
        Meaning::Param(_) | Meaning::Local(_) => Class::Variable,
        Meaning::Stage(_) | Meaning::Module(_) => Class::Namespace,
        Meaning::Member | Meaning::Set | Meaning::Constant | Meaning::Law => Class::EnumMember,
        Meaning::Fact | Meaning::Field => Class::Property,
        Meaning::Type => Class::Type,
    }
}
