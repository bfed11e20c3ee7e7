//! Texts of many lines, moved to where their step stands. What they say stays the same, because the
//! language takes away the indent that all lines share.

use std::borrow::Cow;

/// Writes a text in `"""` for a line of some indent.
pub(super) fn indented(text: &str, indent: usize) -> Cow<'_, str> {
    let body = text.strip_prefix("\"\"\"\n").and_then(|t| t.strip_suffix("\"\"\""));
    let Some(body) = body.filter(|b| !b.contains('\r')) else { return Cow::Borrowed(text) };
    let blanks = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let filled = |line: &&str| !line.trim().is_empty();
    // As the parser counts: lines that hold nothing do not take part.
    let Some(common) = body.split('\n').filter(filled).map(blanks).min() else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str("\"\"\"\n");
    let mut lines = body.split('\n').peekable();
    while let Some(line) = lines.next() {
        let rest = line.get(common.min(blanks(line))..).unwrap_or_default();
        let is_last = lines.peek().is_none();
        if !rest.is_empty() {
            out.extend(std::iter::repeat_n(' ', indent + 2));
        } else if is_last {
            out.extend(std::iter::repeat_n(' ', indent));
        }
        out.push_str(rest);
        if !is_last {
            out.push('\n');
        }
    }
    out.push_str("\"\"\"");
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::indented;

    #[test]
    fn a_text_moves_with_its_step() {
        let text = "\"\"\"\n        a\n\n          b\n  \"\"\"";
        assert_eq!(indented(text, 2), "\"\"\"\n    a\n\n      b\n  \"\"\"");
        assert_eq!(indented("\"\"\"as it is\n  b\"\"\"", 2), "\"\"\"as it is\n  b\"\"\"");
        assert_eq!(indented("\"\"\"\n a\n b\"\"\"", 4), "\"\"\"\n      a\n      b\"\"\"");
    }
}
