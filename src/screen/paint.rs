//! Lines in kup's own colours as lines of the terminal library.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

/// Cuts a text into rows of at most `width` columns. It is printable but for kup's own colours, which are
/// dropped if not `colored`.
pub(super) fn rows(text: &str, width: u16, colored: bool) -> Vec<Line<'static>> {
    text.split('\n').flat_map(|line| wrapped(line, usize::from(width.max(1)), colored)).collect()
}

fn wrapped(line: &str, width: usize, colored: bool) -> Vec<Line<'static>> {
    let (mut rows, mut row, mut column) = (Vec::new(), Vec::new(), 0);
    for span in spans(line) {
        let style = if colored { span.style } else { Style::new() };
        let mut part = String::new();
        for grapheme in span.styled_graphemes(Style::new()) {
            let wide = Span::raw(grapheme.symbol).width();
            if column + wide > width {
                row.push(Span::styled(std::mem::take(&mut part), style));
                rows.push(Line::from(std::mem::take(&mut row)));
                column = 0;
            }
            part.push_str(grapheme.symbol);
            column += wide;
        }
        row.push(Span::styled(part, style));
    }
    rows.push(Line::from(row));
    rows
}

/// Reads kup's own colours, those of [`crate::console`].
fn spans(line: &str) -> Vec<Span<'static>> {
    let mut style = Style::new();
    let mut spans = Vec::new();
    for (at, part) in line.split("\x1b[").enumerate() {
        let text = match part.split_once('m') {
            Some((code, text)) if at > 0 => {
                style = styled(style, code);
                text
            }
            _ => part,
        };
        // A tab has no width of its own here.
        spans.push(Span::styled(text.replace('\t', "    "), style));
    }
    spans
}

fn styled(style: Style, code: &str) -> Style {
    match code {
        "1;31" => style.fg(Color::Red).add_modifier(Modifier::BOLD),
        "32" => style.fg(Color::Green),
        "33" => style.fg(Color::Yellow),
        "36" => style.fg(Color::Cyan),
        "1" => style.add_modifier(Modifier::BOLD),
        "2" => style.add_modifier(Modifier::DIM),
        _ => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::{BOLD, RED, RESET};

    fn text(lines: &[Line<'_>]) -> Vec<String> {
        lines.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_long_line_goes_on_in_the_next_row() {
        let rows = rows(&format!("{RED}ab{RESET}cdef\nü😀x"), 3, true);
        assert_eq!(text(&rows), ["abc", "def", "ü😀", "x"]);
        assert_eq!(rows[0].spans[1].style.fg, Some(Color::Red));
        assert_eq!(rows[1].spans[0].style.fg, None);
    }

    #[test]
    fn colours_that_nobody_wants_are_dropped() {
        let rows = rows(&format!("{BOLD}a{RESET}b"), 10, false);
        assert!(rows[0].spans.iter().all(|span| span.style == Style::new()));
        assert_eq!(text(&rows), ["ab"]);
    }
}
