//! Where lines are broken and how deep they stand. A line that fits stays whole; one that does not is
//! broken before its `name=value`, then inside its brackets.

use super::page::{Page, Place};
use super::space::{Role, spaced};
use super::text::indented;
use super::token::{Kind, Token};
use super::tree::{Block, Entry, Group, Line, Piece};

/// No line is longer, unless nothing in it can be broken.
const WIDTH: usize = 120;
/// How much deeper a block stands.
const INDENT: usize = 2;
/// How much deeper a line stands that goes on with the one above it.
const CONTINUED: usize = 4;
/// Where the values of a native task's clauses begin.
pub(super) const VALUES: usize = INDENT + "disrupts ".len();

/// Writes lines to a page.
#[derive(Default)]
pub(super) struct Layout<'t> {
    /// Where they are written.
    pub(super) page: Page<'t>,
    /// The token before, if it stands on the same line.
    before: Option<Token<'t>>,
    /// How many brackets are open.
    depth: usize,
    /// The indent of the last line.
    indent: usize,
    /// Whether lines may be too long, because nothing in them can be broken.
    wide: bool,
}

impl<'t> Layout<'t> {
    /// Writes an item, a clause or a statement.
    pub(super) fn line(&mut self, line: &Line<'t>, indent: usize, role: Role) {
        self.begin(indent);
        let mut pieces = line.pieces.as_slice();
        if matches!(role, Role::Clause | Role::Claims)
            && let [Piece::Token(word), values @ ..] = pieces
            && !values.is_empty()
        {
            self.put(*word, role);
            self.page.push(" ");
            self.page.pad(VALUES);
            self.before = None;
            pieces = values;
        }
        let start = self.page.place();
        let torn = pieces.iter().any(|p| matches!(p, Piece::Token(t) if t.is("else") && t.breaks > 0));
        if torn || !self.flat(pieces, role) {
            self.back(start);
            self.tall(pieces, indent, role);
        }
        if let Some(comment) = line.behind {
            self.page.comment(comment);
        }
    }

    /// Writes what stands in a block.
    fn body(&mut self, entries: &[Entry<'t>], indent: usize) {
        for (i, entry) in entries.iter().enumerate() {
            let (Entry::Comment { apart, .. } | Entry::Line(Line { apart, .. })) = entry;
            if *apart && i > 0 {
                self.page.line(0);
            }
            match entry {
                Entry::Comment { text, .. } => self.page.comment_line(indent, text),
                Entry::Line(line) => self.line(line, indent, Role::Plain),
            }
        }
    }

    /// Writes pieces on one line and returns true; false, and a torn line, if they do not fit.
    pub(super) fn flat(&mut self, pieces: &[Piece<'t>], role: Role) -> bool {
        for piece in pieces {
            match piece {
                Piece::Token(token) => self.put(*token, role),
                Piece::Group(group) => {
                    if group.commented {
                        return false;
                    }
                    self.put(group.open, role);
                    self.depth += 1;
                    let fits = self.flat(&group.pieces, role);
                    self.depth -= 1;
                    if !fits {
                        return false;
                    }
                    if let Some(close) = group.close {
                        self.put(close, role);
                    }
                }
                Piece::Block(block) => {
                    if !self.flat_block(block) {
                        return false;
                    }
                }
                Piece::Comment(_) => return false,
            }
            if self.page.column() > WIDTH && !self.wide {
                return false;
            }
        }
        true
    }

    /// Writes a piece in which nothing can be broken.
    fn whole(&mut self, piece: &Piece<'t>, role: Role) {
        let wide = std::mem::replace(&mut self.wide, true);
        self.flat(std::slice::from_ref(piece), role);
        self.wide = wide;
    }

    fn flat_block(&mut self, block: &Block<'t>) -> bool {
        match block.entries.as_slice() {
            [] if block.behind.is_none() => self.page.push_apart("{}"),
            [Entry::Line(line)] if block.on_one_line => {
                self.page.push_apart("{ ");
                self.before = None;
                if !self.flat(&line.pieces, Role::Plain) {
                    return false;
                }
                self.page.push(" }");
            }
            _ => return false,
        }
        self.before = block.close;
        true
    }

    /// Writes pieces on several lines: heads, and blocks below them.
    fn tall(&mut self, pieces: &[Piece<'t>], indent: usize, role: Role) {
        let mut rest = pieces;
        while !rest.is_empty() {
            let end = rest.iter().position(|p| matches!(p, Piece::Block(_))).unwrap_or(rest.len());
            let (head, behind) = rest.split_at(end);
            let brace = if behind.is_empty() { 0 } else { " {".len() };
            let start = (self.page.place(), self.before);
            if !self.flat(head, role) || self.page.column() + brace > WIDTH {
                self.back(start.0);
                self.before = start.1;
                self.broken(head, indent, role, brace);
            }
            match behind {
                [Piece::Block(block), more @ ..] => {
                    self.tall_block(block, indent);
                    rest = more;
                }
                _ => return,
            }
        }
    }

    fn tall_block(&mut self, block: &Block<'t>, indent: usize) {
        if block.entries.is_empty() && block.behind.is_none() {
            self.page.push_apart("{}");
        } else {
            self.page.push_apart("{");
            if let Some(comment) = block.behind {
                self.page.comment(comment);
            }
            self.body(&block.entries, indent + INDENT);
            self.begin(indent);
            self.page.push("}");
        }
        self.before = block.close;
    }

    /// Writes a head that does not fit: each `name=value` on a line of its own, lists of names filled.
    fn broken(&mut self, head: &[Piece<'t>], indent: usize, role: Role, brace: usize) {
        let deeper = match (role, self.before) {
            // Behind a block there is only `else`.
            (_, Some(_)) => indent,
            (Role::Claims, None) => VALUES,
            (_, None) => indent + CONTINUED,
        };
        let (mut line_ends, mut behind_bracket) = (false, false);
        for (i, piece) in head.iter().enumerate() {
            let behind_comma = i > 0 && matches!(&head[i - 1], Piece::Token(t) if t.is(","));
            if let Piece::Comment(comment) = piece {
                self.comment(*comment, deeper, &mut line_ends);
                continue;
            }
            let breaks = match role {
                Role::Plain => {
                    let stays = behind_bracket && self.fits(until_argument(&head[i..]), role, brace);
                    i > 0 && is_argument(&head[i..]) && !stays
                }
                Role::Uses | Role::Claims => behind_comma && !self.fits(until_comma(&head[i..]), role, 0),
                Role::Param | Role::Task | Role::Clause => false,
            };
            if line_ends || breaks {
                self.begin(deeper);
                line_ends = false;
            }
            behind_bracket = false;
            match piece {
                Piece::Group(group) if is_breakable(group, role) => {
                    let stop = |n: &usize| {
                        is_argument(&head[*n..])
                            || matches!(&head[*n], Piece::Group(g) if is_breakable(g, role))
                    };
                    let end = (i + 1..head.len()).find(stop).unwrap_or(head.len());
                    let left = if end == head.len() { brace } else { 0 };
                    if self.fits(&head[i..end], role, left) {
                        self.whole(piece, role);
                    } else {
                        self.tall_group(group, role);
                        behind_bracket = true;
                    }
                }
                Piece::Group(_) | Piece::Token(_) => self.whole(piece, role),
                Piece::Block(_) | Piece::Comment(_) => unreachable!("a head has no blocks"),
            }
        }
    }

    /// Writes what stands in brackets with a line for each value.
    fn tall_group(&mut self, group: &Group<'t>, role: Role) {
        let indent = self.indent;
        self.put(group.open, role);
        self.depth += 1;
        let comma = |p: &Piece<'_>| matches!(p, Piece::Token(t) if t.is(",") || t.is(";"));
        let last = group.pieces.iter().rposition(|p| !matches!(p, Piece::Comment(_)));
        let is_list = (group.open.is("[") || group.open.is("{")) && group.pieces.iter().any(comma);
        let mut line_ends = true;
        for (i, piece) in group.pieces.iter().enumerate() {
            match piece {
                Piece::Comment(comment) => {
                    // The first line ends with the bracket, and a comment may stand behind that.
                    let mut ended = line_ends && i > 0 && matches!(&group.pieces[i - 1], Piece::Comment(_));
                    self.comment(*comment, indent + INDENT, &mut ended);
                    line_ends = true;
                    continue;
                }
                Piece::Token(token) if comma(piece) => self.put(*token, role),
                Piece::Token(_) | Piece::Group(_) | Piece::Block(_) => {
                    if line_ends {
                        self.begin(indent + INDENT);
                    }
                    match piece {
                        Piece::Block(block) => self.tall_block(block, indent + INDENT),
                        Piece::Group(inner)
                            if is_breakable(inner, role) && !self.fits(&group.pieces[i..=i], role, 1) =>
                        {
                            self.tall_group(inner, role);
                        }
                        Piece::Group(_) | Piece::Token(_) | Piece::Comment(_) => self.whole(piece, role),
                    }
                }
            }
            line_ends = comma(piece);
            if is_list && Some(i) == last {
                self.page.push(",");
            }
        }
        self.depth -= 1;
        self.begin(indent);
        if let Some(close) = group.close {
            self.put(close, role);
        }
    }

    /// Puts a comment behind the line, or on a line of its own if it stood on one.
    fn comment(&mut self, comment: Token<'t>, indent: usize, line_ends: &mut bool) {
        if comment.breaks == 0 && !*line_ends {
            self.page.comment(comment.text);
        } else {
            self.page.comment_line(indent, comment.text);
        }
        *line_ends = true;
    }

    /// Returns whether pieces fit behind what is written, with so many columns left.
    fn fits(&mut self, pieces: &[Piece<'t>], role: Role, left: usize) -> bool {
        let start = (self.page.place(), self.before, self.depth);
        let fits = self.flat(pieces, role) && self.page.column() + left <= WIDTH;
        self.page.back(start.0);
        (self.before, self.depth) = (start.1, start.2);
        fits
    }

    /// Returns the text of pieces on a line of their own, if they fit.
    pub(super) fn cell(&mut self, pieces: &[Piece<'t>], role: Role) -> Option<String> {
        let start = self.page.place();
        self.begin(0);
        let from = self.page.place();
        let text = self.flat(pieces, role).then(|| self.page.since(from).to_string());
        self.back(start);
        text
    }

    fn begin(&mut self, indent: usize) {
        self.page.line(indent);
        (self.before, self.indent) = (None, indent);
    }

    fn back(&mut self, place: Place) {
        self.page.back(place);
        self.before = None;
    }

    fn put(&mut self, token: Token<'t>, role: Role) {
        if self.before.is_some_and(|before| spaced(before, token, role, self.depth)) {
            self.page.push(" ");
        }
        match token.kind == Kind::Text && token.text.contains('\n') {
            true => self.page.push(&indented(token.text, self.indent)),
            false => self.page.push(token.text),
        }
        self.before = Some(token);
    }
}

/// Returns whether pieces begin with `name=`.
fn is_argument(pieces: &[Piece<'_>]) -> bool {
    matches!(pieces, [Piece::Token(name), Piece::Token(mark), ..]
        if name.kind == Kind::Word && mark.kind == Kind::Mark && mark.is("=") && !mark.space)
}

/// Returns whether lines may end in a group: it holds several values, or a comment. The brackets of a
/// type and of a claim are none.
fn is_breakable(group: &Group<'_>, role: Role) -> bool {
    let breaks = |p: &Piece<'_>| match p {
        Piece::Token(t) => t.is(",") || t.is(";"),
        Piece::Group(inner) => is_breakable(inner, role),
        Piece::Block(_) | Piece::Comment(_) => true,
    };
    let is_claim = matches!(role, Role::Claims | Role::Clause);
    group.commented || (!is_claim && group.pieces.iter().any(breaks))
}

/// Returns the first piece and what follows up to the next comment or `name=value`.
fn until_argument<'p, 't>(pieces: &'p [Piece<'t>]) -> &'p [Piece<'t>] {
    let stop = |n: &usize| is_argument(&pieces[*n..]) || matches!(&pieces[*n], Piece::Comment(_));
    let end = (1..pieces.len()).find(stop);
    &pieces[..end.unwrap_or(pieces.len())]
}

/// Returns the pieces up to the next comma, with it.
fn until_comma<'p, 't>(pieces: &'p [Piece<'t>]) -> &'p [Piece<'t>] {
    let end = pieces.iter().position(|p| matches!(p, Piece::Token(t) if t.is(",")));
    &pieces[..end.map_or(pieces.len(), |i| i + 1)]
}
