//! Texts as an editor has them: open, perhaps unsaved, and changed by ranges. An editor counts lines
//! from 0 and columns in UTF-16; everything else counts bytes.

use lsp_types::{Position, Range, TextDocumentContentChangeEvent, Uri};

/// A text that is open in the editor.
#[derive(Debug)]
pub(crate) struct Document {
    /// Its address.
    pub(crate) uri: Uri,
    /// The version that the editor gave it.
    pub(crate) version: i32,
    text: String,
    lines: Lines,
}

impl Document {
    /// Takes over a text.
    pub(crate) fn new(uri: Uri, version: i32, text: String) -> Document {
        let lines = Lines::of(&text);
        Document { uri, version, text, lines }
    }

    /// Returns the text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the byte of a place.
    pub(crate) fn byte(&self, place: Position) -> usize {
        self.lines.byte(&self.text, place)
    }

    /// Returns the range of some bytes.
    pub(crate) fn range(&self, start: usize, end: usize) -> Range {
        self.lines.range(&self.text, start, end)
    }

    /// Takes over what was typed.
    pub(crate) fn change(&mut self, version: i32, changes: Vec<TextDocumentContentChangeEvent>) {
        self.version = version;
        for change in changes {
            match change.range {
                Some(range) => {
                    let start = self.lines.byte(&self.text, range.start);
                    let end = self.lines.byte(&self.text, range.end).max(start);
                    self.text.replace_range(start..end, &change.text);
                }
                None => self.text = change.text,
            }
            self.lines = Lines::of(&self.text);
        }
    }
}

/// Where the lines of a text begin.
#[derive(Debug)]
pub(crate) struct Lines(Vec<usize>);

impl Lines {
    /// Finds the lines of a text.
    pub(crate) fn of(text: &str) -> Lines {
        let mut starts = vec![0];
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let body = line.strip_suffix("\r\n").or(line.strip_suffix('\n')).unwrap_or(line);
            // Alone it ends a line too, as the protocol has it.
            starts.extend(body.match_indices('\r').map(|(at, _)| start + at + 1));
            start += line.len();
            if line.ends_with('\n') {
                starts.push(start);
            }
        }
        Lines(starts)
    }

    /// Returns the byte of a place; behind the end of a line or of the text, that end.
    pub(crate) fn byte(&self, text: &str, place: Position) -> usize {
        let Some(start) = self.0.get(place.line as usize).copied() else { return text.len() };
        let end = self.0.get(place.line as usize + 1).copied().unwrap_or(text.len());
        let line = text[start..end].trim_end_matches(['\r', '\n']);
        let mut units = 0;
        for (at, c) in line.char_indices() {
            // A place within a pair of surrogates is that of its character.
            units += c.len_utf16();
            if units > place.character as usize {
                return start + at;
            }
        }
        start + line.len()
    }

    /// Returns the place of a byte.
    pub(crate) fn place(&self, text: &str, byte: usize) -> Position {
        let byte = text.floor_char_boundary(byte.min(text.len()));
        let line = self.0.partition_point(|start| *start <= byte) - 1;
        let units: usize = text[self.0[line]..byte].chars().map(char::len_utf16).sum();
        Position { line: line as u32, character: units as u32 }
    }

    /// Returns the range of some bytes.
    pub(crate) fn range(&self, text: &str, start: usize, end: usize) -> Range {
        Range { start: self.place(text, start), end: self.place(text, end.max(start)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u32, character: u32) -> Position {
        Position { line, character }
    }

    #[test]
    fn columns_count_in_utf_16() {
        let text = "ab\nü😀x\r\n\r\nlast";
        let lines = Lines::of(text);
        assert_eq!(lines.byte(text, at(1, 1)), "ab\nü".len());
        assert_eq!(lines.byte(text, at(1, 3)), "ab\nü😀".len());
        assert_eq!(lines.byte(text, at(1, 2)), "ab\nü".len(), "between two surrogates");
        assert_eq!(lines.byte(text, at(1, 99)), "ab\nü😀x".len(), "behind the end of the line");
        assert_eq!(lines.byte(text, at(9, 0)), text.len(), "behind the end of the text");
        assert_eq!(lines.place(text, "ab\nü😀".len()), at(1, 3));
        assert_eq!(lines.place(text, "ab\nü😀x\r\n\r\nla".len()), at(3, 2));
        assert_eq!(lines.place(text, 999), at(3, 4));
    }

    #[test]
    fn a_place_comes_back_from_its_byte() {
        let text = "a\u{308}\r b\r\n😀\u{200d}😀\n\n";
        let lines = Lines::of(text);
        for (byte, _) in text.char_indices().filter(|(i, _)| !text[..*i].ends_with('\r')) {
            assert_eq!(lines.byte(text, lines.place(text, byte)), byte, "{byte}");
        }
    }

    #[test]
    fn changes_apply_one_after_the_other() {
        let uri: Uri = "file:///a.kup".parse().unwrap();
        let mut document = Document::new(uri, 1, "eins 😀\nzwei\n".to_string());
        let change = |start, end, text: &str| TextDocumentContentChangeEvent {
            range: Some(Range { start, end }),
            range_length: None,
            text: text.to_string(),
        };
        document.change(2, vec![change(at(0, 5), at(0, 7), "ü\nx"), change(at(1, 1), at(1, 1), "y")]);
        assert_eq!(document.text(), "eins ü\nxy\nzwei\n");
        document.change(3, vec![change(at(1, 0), at(0, 0), "!")]);
        assert_eq!(document.text(), "eins ü\n!xy\nzwei\n", "an end before its start is its start");
        let whole = TextDocumentContentChangeEvent { range: None, range_length: None, text: "neu".into() };
        document.change(4, vec![whole]);
        assert_eq!((document.text(), document.version), ("neu", 4));
    }
}
