//! Texts and where they come from. The language never touches a file system: a [`Loader`] hands the
//! texts in, and [`Sources`] keeps them for whoever draws a diagnostic.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::span::{FileId, Span};

/// The largest text that is read, in bytes: some 200,000 steps.
pub const LIMIT: usize = 16 << 20;

/// Hands in the text of a module or a playbook.
pub trait Loader {
    /// Returns the text of `path`: `std/etcd` for a shipped module, else the path of a file.
    fn load(&self, path: &str) -> Result<String, LoadError>;

    /// Returns the modules that can be had without a file, for hints and proposals: `std/etcd`.
    fn shipped(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Reads a script, which is text in another language, and says what is wrong with it. It sees
    /// `names`. Who cannot read scripts finds nothing wrong.
    fn script(&self, text: &str, names: &[&str]) -> Result<(), BadScript> {
        let _ = (text, names);
        Ok(())
    }
}

/// What is wrong with a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadScript {
    /// The byte of the script at which it is noticed.
    pub at: usize,
    /// What is wrong: a fragment.
    pub message: String,
}

/// Why a text could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// There is no such module or file.
    NotFound,
    /// It is not text in UTF-8.
    NotUtf8,
    /// It is larger than a playbook ever is.
    TooLarge {
        /// How large it is.
        bytes: u64,
        /// How large it may be.
        limit: u64,
    },
    /// The system said no.
    Io(String),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::NotFound => f.write_str("there is no such file"),
            LoadError::NotUtf8 => f.write_str("it is not text in UTF-8"),
            LoadError::TooLarge { bytes, limit } => {
                write!(f, "it has {bytes} bytes, and a playbook may have {limit}")
            }
            LoadError::Io(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for LoadError {}

/// Every text that a check has read. The playbook itself is file 0.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

#[derive(Clone, Debug)]
struct Source {
    path: String,
    text: Arc<str>,
    /// The first byte of each line, once anybody asks.
    lines: OnceLock<Vec<u32>>,
}

impl Sources {
    /// Adds a text and returns its name.
    pub fn add(&mut self, path: &str, text: &str) -> FileId {
        self.files.push(Source { path: path.to_string(), text: text.into(), lines: OnceLock::new() });
        FileId(self.files.len() as u32 - 1)
    }

    /// Returns the path of a file, as it was asked of the loader.
    pub fn path(&self, file: FileId) -> &str {
        &self.files[file.0 as usize].path
    }

    /// Returns the text of a file.
    pub fn text(&self, file: FileId) -> &str {
        &self.files[file.0 as usize].text
    }

    /// Returns the text under a span.
    pub fn slice(&self, span: Span) -> &str {
        &self.text(span.file)[span.start as usize..span.end as usize]
    }

    /// Returns line and column of a byte, both counted from 1, the column in characters.
    pub fn line_col(&self, file: FileId, byte: u32) -> (usize, usize) {
        let source = &self.files[file.0 as usize];
        let lines = source.lines.get_or_init(|| {
            let starts = source.text.match_indices('\n').map(|(at, _)| at as u32 + 1);
            std::iter::once(0).chain(starts).collect()
        });
        let line = lines.partition_point(|start| *start <= byte) - 1;
        let start = lines[line] as usize;
        let mut end = (byte as usize).min(source.text.len());
        while !source.text.is_char_boundary(end) {
            end -= 1;
        }
        (line + 1, source.text[start.min(end)..end].chars().count() + 1)
    }

    /// Returns all files, in the order they were read.
    pub fn files(&self) -> impl Iterator<Item = FileId> + use<> {
        (0..self.files.len() as u32).map(FileId)
    }

    /// Returns whether nothing has been read.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        let mut sources = Sources::default();
        let file = sources.add("a.kup", "ab\nüx\n");
        assert_eq!(sources.line_col(file, 0), (1, 1));
        assert_eq!(sources.line_col(file, 3), (2, 1));
        assert_eq!(sources.line_col(file, 5), (2, 2));
        assert_eq!(sources.line_col(file, 99), (3, 1));
    }
}
