//! Puts a text right: applies the patches that its findings carry.

use crate::diagnostic::Diagnostic;
use crate::span::FileId;

/// Applies the patches of one file, as far as they do not overlap; the first in the text wins.
/// Returns the new text and the findings that were mended, in the order of the text; `None`: there
/// was nothing to do.
pub fn mend<'d>(file: FileId, text: &str, found: &'d [Diagnostic]) -> Option<(String, Vec<&'d Diagnostic>)> {
    let patches = found.iter().filter_map(|d| Some((d.patch.as_ref()?, d)));
    let mut patches: Vec<_> = patches.filter(|(patch, _)| patch.span.file == file).collect();
    patches.sort_by_key(|(patch, _)| (patch.span.start, patch.span.end));
    let mut out = String::with_capacity(text.len() + 64);
    let (mut done, mut at) = (Vec::new(), 0);
    for (patch, d) in patches {
        let (start, end) = (patch.span.start as usize, patch.span.end as usize);
        // Two that touch may be two answers to one mistake; the next round tells.
        if start < at || (start == at && !done.is_empty()) {
            continue;
        }
        out.push_str(&text[at..start]);
        out.push_str(&patch.with);
        at = end;
        done.push(d);
    }
    out.push_str(&text[at..]);
    (!done.is_empty() && out != text).then_some((out, done))
}
