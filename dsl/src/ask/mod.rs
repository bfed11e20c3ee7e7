//! What an editor asks of a text, again and again while it is written. Pure like the rest: texts come
//! through a loader, answers leave as plain values in bytes, and the protocol is the binary's work.

mod complete;
mod context;
mod define;
mod hover;
mod lex;
mod outline;
mod rename;
mod spell;
mod token;
mod vocabulary;

use crate::check::{Meaning, Memory, Mention, Study};
use crate::diagnostic::Diagnostic;
use crate::source::{Loader, Sources};
use crate::span::{FileId, Span};

pub use complete::{Proposal, Sort};
pub use hover::Hover;
pub use outline::{Kind, Symbol};
pub use rename::Refusal;
pub use token::{Class, Colored};
pub use vocabulary::{Word, words};

/// A playbook or a module that is read again and again.
#[derive(Debug)]
pub struct Page {
    root: String,
    prelude: &'static [&'static str],
    memory: Memory,
    study: Study,
}

impl Page {
    /// Makes a page that has read nothing yet. The modules of `prelude` are always in scope.
    pub fn new(root: &str, prelude: &'static [&'static str]) -> Page {
        Page { root: root.to_string(), prelude, memory: Memory::default(), study: Study::default() }
    }

    /// Reads the file and all that it uses; what did not change is not parsed again.
    pub fn read(&mut self, loader: &dyn Loader) {
        std::mem::take(&mut self.study).give_back(&mut self.memory);
        self.study = Study::of(&self.root, loader, self.prelude, &mut self.memory);
    }

    /// Returns every text that was read; the file itself is file 0.
    pub fn sources(&self) -> &Sources {
        &self.study.sources
    }

    /// Returns errors and warnings, in the order of the text.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.study.found
    }

    /// Returns the text of the file itself.
    fn text(&self) -> &str {
        if self.study.sources.is_empty() { "" } else { self.study.sources.text(FILE) }
    }

    /// Returns what stands at a byte of the file: a word that is touched, the shortest if there are two.
    fn mention(&self, byte: usize) -> Option<Mention> {
        let at = |m: &&Mention| {
            m.span.file == FILE && m.span.start as usize <= byte && byte <= m.span.end as usize
        };
        let inside = |m: &Mention| byte < m.span.end as usize;
        let all = self.study.mentions.iter().filter(at);
        all.min_by_key(|m| (!inside(m), m.span.end - m.span.start)).copied()
    }

    /// Returns where something is declared.
    fn declared(&self, of: Meaning) -> Option<Span> {
        let study = &self.study;
        match of {
            Meaning::Verb(id) => Some(study.heads.get(id as usize)?.words),
            Meaning::Argument(id, param) => {
                let name = &study.tasks.get(id as usize)?.params.get(param as usize)?.name;
                let params = &study.heads.get(id as usize)?.params;
                params.iter().map(|(span, _)| *span).find(|span| study.sources.slice(*span) == name)
            }
            Meaning::Param(id) => Some(study.params.get(id as usize)?.span),
            Meaning::Local(id) => Some(study.locals.get(id as usize)?.span),
            Meaning::Stage(id) => study.stages.get(id as usize).copied(),
            Meaning::Module(file) => Some(Span { file: FileId(file), start: 0, end: 0 }),
            Meaning::Member
            | Meaning::Fact
            | Meaning::Field
            | Meaning::Set
            | Meaning::Constant
            | Meaning::Function
            | Meaning::Option
            | Meaning::Law
            | Meaning::Type => None,
        }
    }
}

/// The file itself.
const FILE: FileId = FileId(0);
