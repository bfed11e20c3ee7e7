//! The text as it is written anew, line by line. Comments behind lines wait until the end, when
//! neighbours are known and can be put under each other.

/// Lines on their way to a text.
#[derive(Default)]
pub(super) struct Page<'t> {
    text: String,
    lines: Vec<Line<'t>>,
    column: usize,
}

/// A line: where it begins and ends in the text, and the comment behind it.
struct Line<'t> {
    start: usize,
    end: usize,
    comment: Option<&'t str>,
}

/// A place to go back to.
#[derive(Clone, Copy)]
pub(super) struct Place {
    text: usize,
    lines: usize,
    column: usize,
}

/// Lines of code beyond this keep their comments close, so that they do not push away those of others.
const ALIGNED: usize = 80;

impl<'t> Page<'t> {
    /// Begins a line.
    pub(super) fn line(&mut self, indent: usize) {
        let start = self.text.len();
        self.text.extend(std::iter::repeat_n(' ', indent));
        self.lines.push(Line { start, end: self.text.len(), comment: None });
        self.column = indent;
    }

    /// Writes to the end of the last line.
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        let last = text.rfind('\n').map_or(text, |i| &text[i + 1..]);
        let width = if last.is_ascii() { last.len() } else { last.chars().count() };
        self.column = if last.len() == text.len() { self.column + width } else { width };
        if let Some(line) = self.lines.last_mut() {
            line.end = self.text.len();
        }
    }

    /// Writes behind a space, unless there is one, or a bracket.
    pub(super) fn push_apart(&mut self, text: &str) {
        if !self.text.ends_with([' ', '(', '[', '\n']) && !self.text.is_empty() {
            self.push(" ");
        }
        self.push(text);
    }

    /// Writes spaces up to a column.
    pub(super) fn pad(&mut self, column: usize) {
        while self.column < column {
            self.push(" ");
        }
    }

    /// Puts a comment behind the last line.
    pub(super) fn comment(&mut self, text: &'t str) {
        if let Some(line) = self.lines.last_mut() {
            line.comment = Some(text);
        }
    }

    /// Writes a comment on a line of its own.
    pub(super) fn comment_line(&mut self, indent: usize, text: &str) {
        self.line(indent);
        let (marks, space, rest) = comment(text);
        self.push(marks);
        self.push(space);
        self.push(rest);
    }

    /// Puts an empty line before a line.
    pub(super) fn blank_before(&mut self, line: usize) {
        self.lines.insert(line, Line { start: 0, end: 0, comment: None });
    }

    /// Returns how many lines there are.
    pub(super) fn lines(&self) -> usize {
        self.lines.len()
    }

    /// Returns how wide the last line is.
    pub(super) fn column(&self) -> usize {
        self.column
    }

    /// Returns where the writing is.
    pub(super) fn place(&self) -> Place {
        Place { text: self.text.len(), lines: self.lines.len(), column: self.column }
    }

    /// Takes back what was written since.
    pub(super) fn back(&mut self, place: Place) {
        self.text.truncate(place.text);
        self.lines.truncate(place.lines);
        self.column = place.column;
        if let Some(line) = self.lines.last_mut() {
            line.end = place.text;
        }
    }

    /// Returns what was written since.
    pub(super) fn since(&self, place: Place) -> &str {
        &self.text[place.text..]
    }

    /// Returns the text, its comments aligned.
    pub(super) fn finish(self) -> String {
        let mut out = String::with_capacity(self.text.len() + self.lines.len() * 2);
        let mut from = 0;
        while from < self.lines.len() {
            let run = self.lines[from..].iter().take_while(|l| l.comment.is_some()).count().max(1);
            let widths = self.lines[from..from + run].iter().map(|l| self.width(l));
            let column = widths.filter(|w| *w <= ALIGNED).max().unwrap_or(0);
            for line in &self.lines[from..from + run] {
                out.push_str(&self.text[line.start..line.end]);
                if let Some(text) = line.comment {
                    let gap = column.saturating_sub(self.width(line)) + 2;
                    out.extend(std::iter::repeat_n(' ', gap));
                    let (marks, space, rest) = comment(text);
                    out.push_str(marks);
                    out.push_str(space);
                    out.push_str(rest);
                }
                out.push('\n');
            }
            from += run;
        }
        out
    }

    fn width(&self, line: &Line<'_>) -> usize {
        let text = &self.text[line.start..line.end];
        text[text.rfind('\n').map_or(0, |i| i + 1)..].chars().count()
    }
}

/// Cuts a comment where a space belongs, if none is there: between its marks and a word.
fn comment(text: &str) -> (&str, &str, &str) {
    let rest = text.trim_start_matches('#');
    let marks = &text[..text.len() - rest.len()];
    let space = if rest.starts_with(char::is_alphanumeric) { " " } else { "" };
    (marks, space, rest)
}
