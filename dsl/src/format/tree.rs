//! Pieces become lines, groups and blocks. The brackets of a sound text match; the tree knows no word
//! but `else`, so that it also holds what the language learns later.

use super::token::{Kind, Token};

/// What stands in a file or a block, from top to bottom.
pub(super) enum Entry<'t> {
    /// A comment on lines of its own.
    Comment {
        /// With its mark.
        text: &'t str,
        /// Whether an empty line stands above it.
        apart: bool,
    },
    /// An item, a clause or a statement.
    Line(Line<'t>),
}

/// An item, a clause or a statement: what ends with its line, however many lines its blocks have.
pub(super) struct Line<'t> {
    /// From left to right.
    pub(super) pieces: Vec<Piece<'t>>,
    /// The comment behind it.
    pub(super) behind: Option<&'t str>,
    /// Whether an empty line stands above it.
    pub(super) apart: bool,
    /// Whether it begins without any indent.
    pub(super) flush: bool,
}

/// A part of a line.
pub(super) enum Piece<'t> {
    /// A word, a value, a mark.
    Token(Token<'t>),
    /// What stands in brackets.
    Group(Group<'t>),
    /// What stands in braces.
    Block(Block<'t>),
    /// A comment before the line's end.
    Comment(Token<'t>),
}

/// `( ... )`, `[ ... ]`, or `{ ... }` where a value or a type stands
pub(super) struct Group<'t> {
    /// The bracket that opens it.
    pub(super) open: Token<'t>,
    /// Without the brackets, and without a comma before the second one.
    pub(super) pieces: Vec<Piece<'t>>,
    /// The bracket that closes it.
    pub(super) close: Option<Token<'t>>,
    /// Whether a comment stands in it.
    pub(super) commented: bool,
}

/// `{ ... }`
pub(super) struct Block<'t> {
    /// The comment behind the `{`.
    pub(super) behind: Option<&'t str>,
    /// What stands in it.
    pub(super) entries: Vec<Entry<'t>>,
    /// Whether all of it stands on one line.
    pub(super) on_one_line: bool,
    /// The `}`.
    pub(super) close: Option<Token<'t>>,
}

/// Makes the tree of a file.
pub(super) fn tree<'t>(tokens: &[Token<'t>]) -> Vec<Entry<'t>> {
    let mut reader = Reader { tokens, at: 0 };
    let mut entries = Vec::new();
    while reader.at < tokens.len() {
        let before = reader.at;
        reader.entries(&mut entries);
        if reader.at == before {
            // A `}` that closes nothing, which no sound text has, stands as a line of its own.
            let token = tokens[reader.at];
            reader.at += 1;
            let pieces = vec![Piece::Token(token)];
            entries.push(Entry::Line(Line { pieces, behind: None, apart: false, flush: true }));
        }
    }
    entries
}

/// Returns whether a value or a type must follow a piece of a line.
fn is_value(last: Option<&Piece<'_>>) -> bool {
    let before = ["=", ":", ",", "in", "if", "when", "and", "or", "not", "where", "gives"];
    matches!(last, Some(Piece::Token(t)) if t.kind == Kind::Infix || before.iter().any(|word| t.is(word)))
}

struct Reader<'r, 't> {
    tokens: &'r [Token<'t>],
    at: usize,
}

impl<'t> Reader<'_, 't> {
    fn peek(&self) -> Option<Token<'t>> {
        self.tokens.get(self.at).copied()
    }

    /// Reads lines up to a `}` or the end.
    fn entries(&mut self, entries: &mut Vec<Entry<'t>>) {
        while let Some(token) = self.peek() {
            if token.is("}") {
                return;
            }
            if token.kind == Kind::Comment {
                self.at += 1;
                entries.push(Entry::Comment { text: token.text, apart: token.breaks > 1 });
            } else {
                entries.push(Entry::Line(self.line(token)));
            }
        }
    }

    fn line(&mut self, first: Token<'t>) -> Line<'t> {
        let mut line = Line { pieces: Vec::new(), behind: None, apart: first.breaks > 1, flush: first.flush };
        while let Some(token) = self.peek() {
            if token.is("}") {
                break;
            }
            if token.kind == Kind::Comment {
                let end = self.tokens[self.at..].iter().position(|t| t.kind != Kind::Comment);
                let next = end.map(|n| self.at + n);
                if next.is_some_and(|next| self.goes_on(next, &line.pieces)) {
                    while let Some(comment) = self.peek().filter(|t| t.kind == Kind::Comment) {
                        line.pieces.push(Piece::Comment(comment));
                        self.at += 1;
                    }
                    continue;
                }
                if token.breaks == 0 {
                    line.behind = Some(token.text);
                    self.at += 1;
                }
                break;
            }
            if token.breaks > 0 && !line.pieces.is_empty() && !self.goes_on(self.at, &line.pieces) {
                break;
            }
            let mut piece = self.piece(token, is_value(line.pieces.last()));
            if let [Piece::Token(word), Piece::Token(_)] = line.pieces.as_slice()
                && word.is("let")
                && let Piece::Token(mark) = &mut piece
                && mark.is("=")
            {
                // It names a result, and gives no argument.
                mark.kind = Kind::Infix;
            }
            line.pieces.push(piece);
        }
        line
    }

    /// Returns whether the token at `next`, which begins a line, belongs to the line before.
    fn goes_on(&self, next: usize, pieces: &[Piece<'t>]) -> bool {
        let token = self.tokens[next];
        let argument =
            token.kind == Kind::Word && self.tokens.get(next + 1).is_some_and(|t| t.is("=") && !t.space);
        match pieces.iter().rev().find(|p| !matches!(p, Piece::Comment(_))) {
            Some(Piece::Token(last)) => last.is(",") || argument,
            Some(Piece::Block(_)) => token.is("else"),
            Some(Piece::Group(_)) => argument,
            Some(Piece::Comment(_)) | None => false,
        }
    }

    /// Returns whether a field stands behind the brace that was read, or nothing at all.
    fn begins_record(&self) -> bool {
        let mut next = self.tokens[self.at..].iter().filter(|t| t.kind != Kind::Comment);
        match (next.next(), next.next()) {
            (Some(close), _) if close.is("}") => true,
            (Some(name), Some(mark)) => name.kind == Kind::Word && mark.is(":"),
            _ => false,
        }
    }

    /// Reads a piece. Where a value stands, braces are those of a record.
    fn piece(&mut self, token: Token<'t>, is_value: bool) -> Piece<'t> {
        self.at += 1;
        match token.text {
            "(" | "[" => Piece::Group(self.group(token)),
            "{" if is_value && self.begins_record() => Piece::Group(self.group(token)),
            "{" => Piece::Block(self.block()),
            _ => Piece::Token(token),
        }
    }

    fn group(&mut self, open: Token<'t>) -> Group<'t> {
        let mut group = Group { open, pieces: Vec::new(), close: None, commented: false };
        while let Some(token) = self.peek() {
            match token.text {
                "}" if !group.open.is("{") => return group,
                ")" | "]" | "}" => {
                    self.at += 1;
                    group.close = Some(token);
                    break;
                }
                "," | ";" => {
                    self.at += 1;
                    // A comma stands behind its value, and the comment behind both.
                    let end = group.pieces.iter().rposition(|p| !matches!(p, Piece::Comment(_)));
                    group.pieces.insert(end.map_or(0, |i| i + 1), Piece::Token(token));
                }
                _ if token.kind == Kind::Comment => {
                    self.at += 1;
                    group.commented = true;
                    group.pieces.push(Piece::Comment(token));
                }
                _ => {
                    let piece = self.piece(token, true);
                    group.commented |= matches!(&piece, Piece::Group(inner) if inner.commented);
                    group.pieces.push(piece);
                }
            }
        }
        let last = group.pieces.iter().rposition(|p| !matches!(p, Piece::Comment(_)));
        if let Some(last) = last
            && (group.open.is("[") || group.open.is("{"))
            && matches!(&group.pieces[last], Piece::Token(t) if t.is(","))
        {
            group.pieces.remove(last);
        }
        group
    }

    fn block(&mut self) -> Block<'t> {
        let mut block = Block { behind: None, entries: Vec::new(), on_one_line: true, close: None };
        let start = self.at;
        if let Some(token) = self.peek()
            && token.kind == Kind::Comment
            && token.breaks == 0
        {
            self.at += 1;
            block.behind = Some(token.text);
        }
        self.entries(&mut block.entries);
        block.close = self.peek();
        self.at += usize::from(block.close.is_some());
        let inside = &self.tokens[start..self.at];
        block.on_one_line = inside.iter().all(|t| t.breaks == 0 && !t.text.contains('\n'));
        block
    }
}
