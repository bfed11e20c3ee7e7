//! Another name for something, where that is safe: the text with the new name is checked again, and
//! every word of it must mean what it meant before.

use super::{FILE, Page};
use crate::check::{Meaning, Study};
use crate::diagnostic::Severity;
use crate::source::{LoadError, Loader};
use crate::span::Span;

/// Why something keeps its name: a lowercase fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

impl Page {
    /// Returns the word at a byte that may have another name.
    pub fn renamable(&self, byte: usize) -> Result<Span, Refusal> {
        let refuse = |why: String| Err(Refusal(why));
        let Some(mention) = self.mention(byte) else {
            return refuse("there is no name here".to_string());
        };
        let word = self.study.sources.slice(mention.span);
        let Some(declared) = self.declared(mention.of) else {
            return refuse(format!("`{word}` is a word of the language"));
        };
        let path = self.study.sources.path(declared.file);
        if declared.file != FILE {
            return refuse(format!("`{word}` is declared in `{path}`, and other playbooks may use it"));
        }
        let task = match mention.of {
            Meaning::Verb(_) | Meaning::Argument(..) => true,
            Meaning::Local(_) => {
                self.study.heads.iter().any(|h| h.params.iter().any(|(name, _)| *name == declared))
            }
            _ => false,
        };
        match mention.of {
            Meaning::Module(_) => refuse(format!("`{word}` is a file")),
            _ if task && !self.study.is_playbook => {
                refuse(format!("this file is a module, and other playbooks may use `{word}`"))
            }
            _ => Ok(mention.span),
        }
    }

    /// Returns what must be replaced so that what stands at a byte has another name.
    pub fn rename(&self, byte: usize, name: &str, loader: &dyn Loader) -> Result<Vec<Span>, Refusal> {
        let refuse = |why: String| Err(Refusal(why));
        let asked = self.renamable(byte)?;
        let verb = self.mention(byte).is_some_and(|m| matches!(m.of, Meaning::Verb(_)));
        let is_word = |word: &str| {
            let rest = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            word.starts_with(|c: char| c.is_ascii_alphabetic()) && word.chars().all(rest)
        };
        let good = if verb { name.split(' ').all(is_word) } else { is_word(name) };
        if !good {
            return refuse(format!("`{name}` is no name: a name has letters, digits, `_` and `-`"));
        }
        let mut places = self.references(asked.start as usize);
        places.sort_by_key(|place| place.start);
        places.dedup();
        if places.iter().any(|place| place.file != FILE) {
            return refuse("another file names it too".to_string());
        }
        let old = self.text();
        let mut text = String::with_capacity(old.len());
        let mut done = 0;
        for place in &places {
            text.push_str(&old[done..place.start as usize]);
            text.push_str(name);
            done = place.end as usize;
        }
        text.push_str(&old[done..]);
        let renamed = Renamed { root: &self.root, text: &text, loader };
        let study = Study::of(&self.root, &renamed, self.prelude, &mut Default::default());
        let meanings = |study: &Study| -> Vec<Meaning> {
            study.mentions.iter().filter(|m| m.span.file == FILE).map(|m| m.of).collect()
        };
        let errors = |study: &Study| study.found.iter().filter(|d| d.severity == Severity::Error).count();
        if errors(&study) > errors(&self.study) || meanings(&study) != meanings(&self.study) {
            return refuse(format!("`{name}` means something else here already"));
        }
        Ok(places)
    }
}

/// The texts of a loader, with another one for the root.
struct Renamed<'t> {
    root: &'t str,
    text: &'t str,
    loader: &'t dyn Loader,
}

impl Loader for Renamed<'_> {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        if path == self.root { Ok(self.text.to_string()) } else { self.loader.load(path) }
    }

    fn shipped(&self) -> Vec<&'static str> {
        self.loader.shipped()
    }
}
