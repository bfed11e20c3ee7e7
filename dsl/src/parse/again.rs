//! Parses a text that is nearly the one of a moment ago: it is cut where lines begin an item, and only
//! pieces that changed are parsed. The tree is the one that [`super::parse`] makes of the whole.

use super::{junk, part, refused};
use crate::ast::File;
use crate::diagnostic::Diagnostic;
use crate::shift::{Shift, Way};
use crate::span::FileId;

/// A text with its tree, kept for the next time.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    text: String,
    pieces: Vec<Piece>,
    tree: File,
}

/// A part of the text that is parsed on its own.
#[derive(Debug)]
struct Piece {
    start: usize,
    end: usize,
    /// How many of the tree's items it has.
    items: usize,
    /// Whether nothing was wrong with it. What is wrong is read anew each time, for it must be told.
    sound: bool,
}

impl Kept {
    /// Parses a text; what it shares with the text of the last time is not read again. The tree must be
    /// given back to be of use the next time.
    pub(crate) fn parse(&mut self, file: FileId, text: &str) -> (File, Vec<Diagnostic>) {
        let old = std::mem::take(self);
        if let Some(problem) = refused(file, text) {
            return (File::default(), vec![problem]);
        }
        let mut pieces = cut(text);
        let given_back = old.tree.items.len() == old.pieces.iter().map(|p| p.items).sum();
        let old_pieces = if given_back { old.pieces.as_slice() } else { &[] };
        let same =
            |was: &Piece, is: &Piece| was.sound && old.text[was.start..was.end] == text[is.start..is.end];
        let before = old_pieces.iter().zip(&pieces).take_while(|(was, is)| same(was, is)).count();
        let most = old_pieces.len().min(pieces.len()) - before;
        let backwards = old_pieces.iter().rev().zip(pieces.iter().rev()).take(most);
        let behind = backwards.take_while(|(was, is)| same(was, is)).count();
        let (first, last) = (&old_pieces[..before], &old_pieces[old_pieces.len() - behind..]);

        let count = |pieces: &[Piece]| pieces.iter().map(|p| p.items).sum::<usize>();
        let (mut items, mut lost) = (old.tree.items, Vec::new());
        if !given_back {
            items.clear();
        }
        let mut moved = items.split_off(items.len() - count(last));
        items.truncate(count(first));
        items.shift(Way::Whole { file, by: 0 });
        let (mut found, changed) = (Vec::new(), before..pieces.len() - behind);
        for piece in &mut pieces[changed] {
            let (tree, wrong) = part(file, &text[piece.start..piece.end], piece.start);
            piece.items = tree.items.len();
            piece.sound = wrong.is_empty() && tree.lost.is_empty();
            items.extend(tree.items);
            lost.extend(tree.lost);
            found.extend(wrong);
        }
        for (piece, kept) in pieces.iter_mut().zip(first) {
            (piece.items, piece.sound) = (kept.items, true);
        }
        for (piece, kept) in pieces.iter_mut().rev().zip(last.iter().rev()) {
            (piece.items, piece.sound) = (kept.items, true);
        }
        if let (Some(was), Some(is)) = (last.last(), pieces.last()) {
            moved.shift(Way::Whole { file, by: is.end as i64 - was.end as i64 });
        }
        items.append(&mut moved);
        *self = Kept { text: text.to_string(), pieces, tree: File::default() };
        (File { items, lost }, found)
    }

    /// Takes back the tree of the last text.
    pub(crate) fn give_back(&mut self, tree: File) {
        self.tree = tree;
    }
}

/// Joins what [`cut`] makes to runs of at least `length` bytes, from where to where.
pub(super) fn runs(text: &str, length: usize) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for piece in cut(text) {
        match runs.last_mut() {
            Some((start, end)) if piece.start - *start < length => *end = piece.end,
            _ => runs.push((piece.start, piece.end)),
        }
    }
    runs
}

/// Cuts a text before each line that certainly begins an item: what stands before cannot reach into it.
fn cut(text: &str) -> Vec<Piece> {
    let bytes = text.as_bytes();
    let mut starts = vec![0];
    // The last byte that is neither space nor comment, and how many brackets are open.
    let (mut last, mut open) = (0usize, 0usize);
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\n' => {
                if let Some(certain) = begins_item(&text[at + 1..]) {
                    let before = &text[..last];
                    let goes_on = open > 0 || before.ends_with(',') || before.ends_with("not");
                    if certain || !goes_on {
                        starts.push(at + 1);
                        open = 0;
                    }
                }
                at += 1;
                continue;
            }
            b' ' | b'\t' | b'\r' => {
                at += 1;
                continue;
            }
            b'#' => {
                at += bytes[at..].iter().position(|b| *b == b'\n').unwrap_or(bytes.len() - at);
                continue;
            }
            b'(' | b'[' => open += 1,
            b')' | b']' => open = open.saturating_sub(1),
            b'"' if bytes[at..].starts_with(b"\"\"\"") => match text[at + 3..].find("\"\"\"") {
                Some(end) => at += 3 + end + 2,
                // Nobody knows how far it was meant to reach.
                None => {
                    starts.truncate(1);
                    break;
                }
            },
            b'"' => at = closing_quote(bytes, at).unwrap_or(at),
            _ => {}
        }
        at += 1;
        last = at;
    }
    // The line break before the next piece belongs to none: with it, what lacks its `}` would end later.
    let ends = starts.iter().skip(1).map(|start| start - 1).chain([text.len()]);
    let piece = |(start, end): (&usize, usize)| Piece { start: *start, end, items: 0, sound: false };
    starts.iter().zip(ends).map(piece).collect()
}

/// Returns where the text that begins at a quote ends, on the same line.
fn closing_quote(bytes: &[u8], quote: usize) -> Option<usize> {
    let mut at = quote + 1;
    while at < bytes.len() && !matches!(bytes[at], b'"' | b'\n') {
        let escape = bytes[at] == b'\\' && bytes.get(at + 1) != Some(&b'\n');
        at += if escape { 2 } else { 1 };
    }
    (bytes.get(at) == Some(&b'"')).then_some(at)
}

/// Looks whether a line begins with the word of an item; `Some(true)`: it can be nothing else, not even
/// within brackets.
pub(crate) fn begins_item(line: &str) -> Option<bool> {
    // A cheap look first: most lines begin with a space.
    if !line.starts_with(|c: char| c.is_ascii_lowercase()) {
        return None;
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let end = line.find(|c| !is_word(c)).unwrap_or(line.len());
    let rest = &line[end..];
    if !junk::ITEMS.contains(&&line[..end]) || rest.starts_with('=') {
        return None;
    }
    let next = rest.trim_start_matches([' ', '\t']);
    let word = &next[..next.find(|c| !is_word(c)).unwrap_or(next.len())];
    let begins = next.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '"' | '.'));
    let joins = ["and", "or", "in", "where"].contains(&word);
    Some(next.len() < rest.len() && begins && !joins)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{in_runs, parse};
    use super::*;

    const TEXTS: [&str; 3] = [
        include_str!("../../../playbooks/kubeadm-minor.kup"),
        include_str!("../../../stdlib/kup/kubeadm.kup"),
        "use ./a,\n  ./b\nplaybook \"p\" { retry 2 }\ntask a b (x: node,\n task: node; on: string) {\n  drain x\n}\n\
         stage s after a, b {\n  run command \"\"\"\nstage no {\n\"\"\" on=local\n  if not (a\n or b) { drain } else { drain }\n}\n\
         param p: [a | b]? = [a,\nb]\non failure { pause \"x\" }\nstage t { each x in nodes { drain } }\n",
    ];

    const PIECES: [&str; 34] = [
        "\nstage s { drain }\n",
        "\ntask x {\n",
        "\nparam p: node\n",
        "\non {\n",
        "\nuse ",
        "\ntest x\n",
        "\nuse",
        "\non",
        "task: node",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        "\"",
        "\"\"\"",
        "#",
        "not",
        "not ",
        "\n",
        "\n\n",
        " ",
        "\\",
        "=",
        "if not\n",
        ", \n",
        "ü",
        "😀",
        "\r\n",
        "\u{feff}",
        "x",
        "and",
    ];

    /// Parses as one, again, and in runs, and demands the same.
    fn agree(kept: &mut Kept, text: &str) {
        let whole = parse(FileId(3), text);
        let tree = format!("{:?}", whole.0);
        let again = kept.parse(FileId(3), text);
        assert!(again.1 == whole.1, "other findings of:\n{text}");
        assert!(format!("{:?}", again.0) == tree, "another tree of:\n{text}");
        kept.give_back(again.0);
        if refused(FileId(3), text).is_none() {
            let runs = in_runs(FileId(3), text, 100);
            assert!(runs.1 == whole.1, "other findings in runs of:\n{text}");
            assert!(format!("{:?}", runs.0) == tree, "another tree in runs of:\n{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn edits_lead_to_the_tree_of_the_whole(
            which in 0..TEXTS.len(),
            edits in prop::collection::vec((0.0..1.0f64, 0usize..30, prop::sample::select(&PIECES[..])), 1..8),
        ) {
            let mut text = TEXTS[which].to_string();
            let mut kept = Kept::default();
            agree(&mut kept, &text);
            for (place, len, piece) in edits {
                let at = text.floor_char_boundary((place * text.len() as f64) as usize);
                let end = text.ceil_char_boundary((at + len).min(text.len()));
                text.replace_range(at..end, piece);
                agree(&mut kept, &text);
            }
        }
    }

    #[test]
    fn only_the_piece_that_changed_is_read_again() {
        let stage = |name: &str| format!("stage {name} {{\n  drain\n}}\n");
        let text = ["a", "b", "c"].map(stage).concat();
        let mut kept = Kept::default();
        let (tree, _) = kept.parse(FileId(0), &text);
        assert_eq!(kept.pieces.len(), 3);
        let name = |tree: &File, at: usize| match &tree.items[at] {
            crate::ast::Item::Stage { name, .. } => *name,
            _ => panic!("no stage"),
        };
        // What is kept is kept, be it right or wrong: so one sees that it was not read again.
        let mut tree = tree;
        tree.items.swap(0, 2);
        kept.give_back(tree);
        let (tree, found) = kept.parse(FileId(0), &text.replace("stage b", "stage broad"));
        assert!(found.is_empty());
        assert_eq!(tree.items.len(), 3);
        assert_eq!(name(&tree, 0).start, 46, "the old third one");
        assert_eq!(name(&tree, 2).start, 10, "the old first one, moved by four");
    }

    #[test]
    fn a_tree_that_was_not_given_back_is_read_again() {
        let mut kept = Kept::default();
        let text = TEXTS[0];
        drop(kept.parse(FileId(0), text));
        agree(&mut kept, text);
    }
}
