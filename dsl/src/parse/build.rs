//! Pest's pairs become the tree. Marks are dropped here, texts lose their escapes, and junk is handed
//! to [`super::junk`] for its error.

use std::sync::LazyLock;

use pest::Parser;
use pest::iterators::{Pair, Pairs};
use pest::pratt_parser::{Assoc, Op as PrattOp, PrattParser};

use super::{Grammar, Rule, junk};
use crate::ast::*;
use crate::diagnostic::Diagnostic;
use crate::problem::Problem;
use crate::span::{FileId, Span};

/// From loose to tight.
static PRECEDENCE: LazyLock<PrattParser<Rule>> = LazyLock::new(|| {
    let left = |rule| PrattOp::infix(rule, Assoc::Left);
    PrattParser::new()
        .op(left(Rule::where_op))
        .op(left(Rule::or_op))
        .op(left(Rule::and_op))
        .op(PrattOp::prefix(Rule::not_op))
        .op(left(Rule::eq_op)
            | left(Rule::ne_op)
            | left(Rule::lt_op)
            | left(Rule::le_op)
            | left(Rule::gt_op)
            | left(Rule::ge_op)
            | left(Rule::in_op))
        .op(left(Rule::add_op) | left(Rule::sub_op))
        .op(PrattOp::postfix(Rule::fact))
});

/// More parts than this in one expression, and its tree would be too deep to walk.
const PARTS: usize = 400;

/// Builds the tree of a file.
pub(super) fn file(
    file: FileId,
    text: &str,
    offset: usize,
    pairs: Pairs<'_, Rule>,
) -> (File, Vec<Diagnostic>) {
    let mut b = Builder { file, offset, missing: None, found: Vec::new(), lost: Vec::new() };
    let mut items = Vec::new();
    // Neighboring lines of junk are mostly one mistake over several lines.
    let mut run: Vec<(usize, usize)> = Vec::new();
    for pair in pairs.flat_map(Pair::into_inner) {
        match pair.as_rule() {
            Rule::junk_line => {
                let at = pair.as_span();
                if !run.is_empty() && junk::begins_item(pair.as_str()) {
                    b.junk_run(text, &mut run);
                }
                run.push((at.start(), at.end()));
            }
            _ => {
                b.junk_run(text, &mut run);
                if pair.as_rule() != Rule::EOI {
                    items.push(b.item(pair));
                }
            }
        }
    }
    (File { items, lost: b.lost }, b.found)
}

/// Builds the tree of a text that is one expression; none if anything is wrong with it.
pub(super) fn alone(text: &str) -> Option<Expr> {
    let pair = Grammar::parse(Rule::alone, text).ok()?.next()?.into_inner().next()?;
    let mut b = Builder { file: FileId(0), offset: 0, missing: None, found: Vec::new(), lost: Vec::new() };
    let expr = b.expr(pair);
    b.found.is_empty().then_some(expr)
}

pub(super) struct Builder {
    pub(super) file: FileId,
    /// Where the parsed text begins within the file.
    offset: usize,
    /// Where the last missing `}` was noticed: blocks that end there are missing the same one.
    pub(super) missing: Option<u32>,
    pub(super) found: Vec<Diagnostic>,
    lost: Vec<Span>,
}

/// Takes the next pair; the grammar guarantees it.
pub(super) fn next<'i>(pairs: &mut Pairs<'i, Rule>) -> Pair<'i, Rule> {
    pairs.next().expect("the grammar puts a pair here")
}

impl Builder {
    pub(super) fn place(&self, pair: &Pair<'_, Rule>) -> Span {
        let span = pair.as_span();
        self.span(span.start(), span.end())
    }

    pub(super) fn span(&self, start: usize, end: usize) -> Span {
        Span { file: self.file, start: (self.offset + start) as u32, end: (self.offset + end) as u32 }
    }

    fn junk_run(&mut self, text: &str, run: &mut Vec<(usize, usize)>) {
        if let (Some((start, _)), Some((_, end))) = (run.first().copied(), run.last().copied()) {
            self.found.push(junk::item(self.file, &text[start..end], self.offset + start));
            if let Some((from, to)) = junk::lost(&text[start..end]) {
                self.lost.push(self.span(start + from, start + to));
            }
            run.clear();
        }
    }

    fn words(&self, pairs: Pairs<'_, Rule>) -> Vec<Span> {
        pairs.filter(|p| matches!(p.as_rule(), Rule::word | Rule::use_path)).map(|p| self.place(&p)).collect()
    }

    fn item(&mut self, pair: Pair<'_, Rule>) -> Item {
        let span = self.place(&pair);
        let rule = pair.as_rule();
        let mut inner = pair.into_inner();
        match rule {
            Rule::use_item => Item::Use(self.words(inner)),
            Rule::playbook_item => {
                let title = self.atom(next(&mut inner));
                Item::Playbook { title, block: inner.next().map(|p| self.block(p)), span }
            }
            Rule::param_item => Item::Param(self.param(next(&mut inner))),
            Rule::stage_item => {
                let name = self.place(&next(&mut inner));
                let mut after = None;
                let mut pair = next(&mut inner);
                if pair.as_rule() == Rule::after {
                    after = Some(self.words(pair.into_inner()));
                    pair = next(&mut inner);
                }
                Item::Stage { name, after, block: self.block(pair) }
            }
            Rule::task_item | Rule::native_item => Item::Task(self.task(inner, rule, span.start)),
            Rule::on_item => {
                let event = self.place(&next(&mut inner));
                Item::On { event, block: self.block(next(&mut inner)) }
            }
            _ => Item::Test(Box::new(self.test(inner))),
        }
    }

    fn task(&mut self, inner: Pairs<'_, Rule>, rule: Rule, start: u32) -> Task {
        let mut task = Task {
            words: Vec::new(),
            positional: Vec::new(),
            named: Vec::new(),
            body: TaskBody::Native(Vec::new()),
            start,
        };
        let mut clauses = Vec::new();
        for pair in inner {
            match pair.as_rule() {
                Rule::task_name => task.words = self.words(pair.into_inner()),
                Rule::params => {
                    let mut behind = false;
                    for pair in pair.into_inner() {
                        match pair.as_rule() {
                            Rule::semicolon => behind = true,
                            Rule::param if behind => task.named.push(self.param(pair)),
                            Rule::param => task.positional.push(self.param(pair)),
                            _ => {}
                        }
                    }
                }
                Rule::block => task.body = TaskBody::Block(self.block(pair)),
                Rule::script => {
                    let raw = self.place(&next(&mut pair.into_inner()));
                    let within = Span { start: raw.start + 3, end: raw.end - 3, ..raw };
                    task.body = TaskBody::Script(within);
                }
                Rule::junk_clause => {
                    let at = pair.as_span().start();
                    self.found.push(junk::clause(self.file, pair.as_str(), self.offset + at));
                }
                _ => clauses.push(self.clause(pair)),
            }
        }
        if rule == Rule::native_item {
            task.body = TaskBody::Native(clauses);
        }
        task
    }

    fn param(&mut self, pair: Pair<'_, Rule>) -> Param {
        let span = self.place(&pair);
        let mut inner = pair.into_inner();
        let name = self.place(&next(&mut inner));
        let mut rest = inner.filter(|p| !matches!(p.as_rule(), Rule::colon | Rule::equals));
        let ty = rest.next().expect("a parameter has a type");
        let ty = self.ty(ty);
        Param { name, ty, default: rest.next().map(|p| self.expr(p)), span }
    }

    fn ty(&mut self, pair: Pair<'_, Rule>) -> Type {
        let mut inner = pair.into_inner();
        let what = next(&mut inner);
        let kind = match what.as_rule() {
            Rule::type_words => TypeKind::Words(self.words(what.into_inner())),
            Rule::record_type => {
                let fields = what.into_inner().map(|field| {
                    let mut inner = field.into_inner();
                    let name = self.place(&next(&mut inner));
                    (name, self.ty(next(&mut inner)))
                });
                TypeKind::Record(fields.collect())
            }
            _ => TypeKind::List(Box::new(self.ty(next(&mut what.into_inner())))),
        };
        Type { kind, optional: inner.next().is_some() }
    }

    fn clause(&mut self, pair: Pair<'_, Rule>) -> Clause {
        let rule = pair.as_rule();
        let span = self.place(&pair);
        if matches!(rule, Rule::timeout | Rule::retry) {
            return Clause::Policy(self.policy(pair));
        }
        let mut inner = pair.into_inner();
        match rule {
            Rule::flag => Clause::Flag(span),
            Rule::gives => {
                let word = self.place(&next(&mut inner));
                Clause::Gives(word, self.ty(next(&mut inner)))
            }
            Rule::effect => {
                let word = self.place(&next(&mut inner));
                Clause::Effect(word, inner.next().map(|p| self.place(&p)))
            }
            Rule::claims => {
                let word = self.place(&next(&mut inner));
                Clause::Claims(word, inner.map(|p| self.claim(p)).collect())
            }
            _ => {
                let what = next(&mut inner);
                let undo = match what.as_rule() {
                    Rule::itself => Undo::Itself,
                    Rule::none => Undo::None(self.atom(next(&mut inner))),
                    _ => Undo::Step(self.step(what)),
                };
                Clause::Undo(undo, inner.next().map(|p| self.condition(p)))
            }
        }
    }

    fn condition(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let expr = pair.into_inner().find(|p| p.as_rule() == Rule::expr);
        self.expr(expr.expect("a condition has an expression"))
    }

    fn claim(&mut self, pair: Pair<'_, Rule>) -> Claim {
        let mut inner = pair.into_inner();
        let fact = self.place(&next(&mut inner));
        let mut claim = Claim { fact, of: Vec::new(), when: None };
        for pair in inner {
            match pair.as_rule() {
                Rule::word => claim.of.push(self.place(&pair)),
                Rule::condition => claim.when = Some(self.condition(pair)),
                _ => {}
            }
        }
        claim
    }

    fn block(&mut self, pair: Pair<'_, Rule>) -> Block {
        let span = self.place(&pair);
        let inner = pair.into_inner();
        // Most blocks have one statement, and a vector that grows begins with room for four.
        let mut stmts = Vec::with_capacity(inner.len());
        for pair in inner {
            match pair.as_rule() {
                Rule::missing_close => {
                    let at = self.place(&pair);
                    self.missing_close(at, span);
                }
                Rule::junk_stmt => {
                    let at = pair.as_span().start();
                    self.found.push(junk::stmt(self.file, pair.as_str(), self.offset + at));
                }
                _ => stmts.push(self.stmt(pair)),
            }
        }
        Block { stmts, span }
    }

    /// Tells of a missing `}` once, where several blocks end at the same place.
    pub(super) fn missing_close(&mut self, at: Span, block: Span) {
        if self.missing.replace(at.start) != Some(at.start) {
            let open = Span { end: block.start + 1, ..block };
            self.found.push(Problem::MissingClose.at(open));
        }
    }

    pub(super) fn stmt(&mut self, pair: Pair<'_, Rule>) -> Stmt {
        match pair.as_rule() {
            Rule::step => Stmt::Step(self.step(pair)),
            Rule::each_stmt => Stmt::Each(Box::new(self.each(pair))),
            Rule::let_stmt => {
                let mut inner = pair.into_inner();
                let name = self.place(&next(&mut inner));
                Stmt::Let(name, Box::new(self.step(next(&mut inner))))
            }
            rule @ (Rule::if_stmt | Rule::when_stmt) => {
                let mut arms = Vec::new();
                let mut cond = None;
                let mut other = None;
                for pair in pair.into_inner() {
                    match pair.as_rule() {
                        Rule::expr => cond = Some(self.expr(pair)),
                        _ => {
                            let block = self.block(pair);
                            match cond.take() {
                                Some(cond) => arms.push((cond, block)),
                                None => other = Some(block),
                            }
                        }
                    }
                }
                let choice = If { arms, other };
                if rule == Rule::if_stmt { Stmt::If(choice) } else { Stmt::When(choice) }
            }
            Rule::gives_stmt => Stmt::Gives(self.expr(next(&mut pair.into_inner()))),
            Rule::parallel_stmt => Stmt::Parallel(self.block(next(&mut pair.into_inner()))),
            _ => Stmt::Policy(self.policy(pair)),
        }
    }

    fn each(&mut self, pair: Pair<'_, Rule>) -> Each {
        let start = self.place(&pair);
        let mut inner = pair.into_inner();
        let name = self.place(&next(&mut inner));
        let over = self.expr(next(&mut inner));
        let mut span = start.to(over.span);
        span.end = over.span.end;
        let (mut order, mut options) = (Vec::new(), Vec::new());
        for pair in inner {
            let place = self.place(&pair);
            match pair.as_rule() {
                Rule::order => {
                    for key in pair.into_inner().filter(|p| p.as_rule() == Rule::order_key) {
                        let mut parts = key.into_inner();
                        order.push((self.place(&next(&mut parts)), parts.next().is_some()));
                    }
                    span.end = place.end;
                }
                Rule::named => {
                    options.push(self.named(pair));
                    span.end = place.end;
                }
                _ => return Each { name, over, order, options, block: self.block(pair), span },
            }
        }
        unreachable!("the grammar ends `each` with a block")
    }

    fn policy(&mut self, pair: Pair<'_, Rule>) -> Policy {
        let span = self.place(&pair);
        let rule = pair.as_rule();
        let mut inner = pair.into_inner().filter(|p| !matches!(p.as_rule(), Rule::backoff | Rule::range));
        let kind = match rule {
            Rule::long_policy => PolicyKind::Long,
            Rule::hosts => PolicyKind::Hosts(inner.map(|p| self.atom(p)).collect()),
            _ => {
                let mut part = || inner.next();
                let first = part().expect("this policy has a value");
                match rule {
                    Rule::timeout => PolicyKind::Timeout(self.place(&first)),
                    Rule::retry => {
                        let backoff = part().zip(part());
                        PolicyKind::Retry(
                            self.place(&first),
                            backoff.map(|(a, b)| (self.place(&a), self.place(&b))),
                        )
                    }
                    Rule::undo_policy => PolicyKind::Undo(self.block(first)),
                    Rule::before => PolicyKind::Before(self.block(first)),
                    Rule::after_policy => PolicyKind::After(self.block(first)),
                    Rule::name_policy => PolicyKind::Name(self.atom(first)),
                    Rule::approve => PolicyKind::Approve(self.atom(first)),
                    Rule::window => PolicyKind::Window(self.atom(first)),
                    _ => {
                        let reason = part().expect("`allow` has a reason");
                        PolicyKind::Allow(self.place(&first), self.atom(reason))
                    }
                }
            }
        };
        Policy { kind, span }
    }

    /// Words, arguments and the block stand side by side; `join` is a comma between two values.
    pub(super) fn step(&mut self, pair: Pair<'_, Rule>) -> Step {
        let mut span = self.place(&pair);
        let inner = pair.into_inner();
        let mut args: Vec<Arg> = Vec::with_capacity(inner.len());
        let (mut block, mut joined, mut facts) = (None, false, 0);
        for pair in inner {
            let place = self.place(&pair);
            match pair.as_rule() {
                Rule::block => {
                    block = Some(self.block(pair));
                    break;
                }
                Rule::join => joined = true,
                Rule::named => {
                    let (name, values) = self.named(pair);
                    args.push(Arg::Named(name, values));
                }
                Rule::fact => {
                    facts += 1;
                    if facts > PARTS {
                        continue;
                    }
                    if let Some(Arg::Plain(values)) = args.last_mut()
                        && let Some(of) = values.pop()
                    {
                        values.push(self.fact(of, pair));
                    }
                }
                _ => {
                    let value = self.atom(pair);
                    match args.last_mut() {
                        Some(Arg::Plain(values)) if joined => values.push(value),
                        _ => args.push(Arg::Plain(vec![value])),
                    }
                    joined = false;
                }
            }
            span.end = place.end;
        }
        Step { args, block, span }
    }

    pub(super) fn named(&mut self, pair: Pair<'_, Rule>) -> (Span, Vec<Expr>) {
        let mut inner = pair.into_inner();
        let name = self.place(&next(&mut inner));
        (name, inner.map(|p| self.expr(p)).collect())
    }

    fn fact(&self, of: Expr, pair: Pair<'_, Rule>) -> Expr {
        let name = self.place(&pair);
        let span = of.span.to(name);
        Expr { kind: ExprKind::Fact(Box::new(of), name), span }
    }

    fn expr(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let place = self.place(&pair);
        let mut inner = pair.into_inner();
        if inner.len() == 1 {
            return self.atom(next(&mut inner));
        }
        if inner.len() > PARTS {
            return Expr { kind: ExprKind::Endless, span: place };
        }
        let (file, offset) = (self.file, self.offset);
        let light = Builder { file, offset, missing: None, found: Vec::new(), lost: Vec::new() };
        PRECEDENCE
            .map_primary(|pair| self.atom(pair))
            .map_prefix(|op, right: Expr| {
                // The mark stands behind its `not`.
                let op = light.place(&op);
                let span = Span { start: op.start - 3, ..op.to(right.span) };
                Expr { kind: ExprKind::Not(Box::new(right)), span }
            })
            .map_postfix(|of, pair| light.fact(of, pair))
            .map_infix(|left, op, right| {
                let span = left.span.to(right.span);
                let kind = ExprKind::Binary(operator(op.as_rule()), Box::new(left), Box::new(right));
                Expr { kind, span }
            })
            .parse(inner)
    }

    pub(super) fn atom(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let span = self.place(&pair);
        let kind = match pair.as_rule() {
            Rule::raw => ExprKind::Text(unindent(&pair.as_str()[3..pair.as_str().len() - 3])),
            Rule::string => self.text(pair.as_str(), span),
            Rule::version => ExprKind::Version,
            Rule::quantity => ExprKind::Quantity,
            Rule::list => {
                let values = pair.into_inner().filter(|p| p.as_rule() == Rule::wide);
                ExprKind::List(values.map(|p| self.expr(p)).collect())
            }
            Rule::record => {
                let fields = pair.into_inner().filter(|p| p.as_rule() == Rule::field_value);
                let field = |pair: Pair<'_, Rule>| {
                    let mut inner = pair.into_inner();
                    let name = self.place(&next(&mut inner));
                    (name, self.expr(next(&mut inner)))
                };
                ExprKind::Record(fields.map(field).collect())
            }
            Rule::paren => return Expr { span, ..self.expr(next(&mut pair.into_inner())) },
            Rule::call => {
                let mut inner = pair.into_inner();
                let name = self.place(&next(&mut inner));
                let args = inner.filter_map(|p| match p.as_rule() {
                    Rule::wide => Some(self.expr(p)),
                    Rule::by_name => {
                        let span = self.place(&p);
                        let mut inner = p.into_inner();
                        let name = self.place(&next(&mut inner));
                        let value = Box::new(self.expr(next(&mut inner)));
                        Some(Expr { kind: ExprKind::Named(name, value), span })
                    }
                    _ => None,
                });
                let args = args.collect();
                ExprKind::Call(name, args)
            }
            _ => ExprKind::Word,
        };
        Expr { kind, span }
    }

    /// Undoes the escapes of a text, and reads what stands in `${ }`.
    fn text(&mut self, quoted: &str, span: Span) -> ExprKind {
        let body = &quoted[1..quoted.len() - 1];
        if !body.contains(['\\', '$']) {
            return ExprKind::Text(body.to_string());
        }
        let base = span.start as usize + 1 - self.offset;
        let (mut parts, mut text) = (Vec::new(), String::new());
        let mut text_start = 0;
        let mut i = 0;
        while let Some(c) = body[i..].chars().next() {
            let width = c.len_utf8();
            if c == '\\' {
                let escaped = body[i + 1..].chars().next().unwrap_or('\\');
                match escaped {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    '"' | '\\' | '$' => text.push(escaped),
                    other => {
                        let place = self.span(base + i, base + i + 1 + other.len_utf8());
                        self.found.push(Problem::BadEscape(other).at(place));
                    }
                }
                i += 1 + escaped.len_utf8();
            } else if let Some((name, width)) = template(&body[i..]) {
                let place = self.span(base + i, base + i + width);
                let instead = format!("write `${{{name}}}`");
                let told = Problem::Habit { what: "kup has no templates", instead }.at(place);
                self.found.push(told.mended(place, format!("${{{name}}}")));
                i += width;
                text_start = i;
            } else if body[i..].starts_with("${") {
                let end = body[i..].find('}').map(|e| i + e);
                let inner = &body[i + 2..end.unwrap_or(body.len())];
                let place = self.span(base + i, base + end.map_or(body.len(), |e| e + 1));
                if !text.is_empty() {
                    let part = self.span(base + text_start, base + i);
                    parts.push(Expr { kind: ExprKind::Text(std::mem::take(&mut text)), span: part });
                }
                match (end, Grammar::parse(Rule::alone, inner)) {
                    (Some(_), Ok(mut pairs)) => {
                        let offset = self.offset;
                        self.offset += base + i + 2;
                        let wide = pairs.next().and_then(|p| p.into_inner().next());
                        parts.push(self.expr(wide.expect("`alone` holds one expression")));
                        self.offset = offset;
                    }
                    _ => {
                        let written = body[i..end.map_or(body.len(), |e| e + 1)].to_string();
                        self.found.push(Problem::BadInterpolation(written).at(place));
                    }
                }
                i = end.map_or(body.len(), |e| e + 1);
                text_start = i;
            } else {
                text.push(c);
                i += width;
            }
        }
        if parts.is_empty() {
            return ExprKind::Text(text);
        }
        if !text.is_empty() {
            let part = self.span(base + text_start, base + body.len());
            parts.push(Expr { kind: ExprKind::Text(text), span: part });
        }
        ExprKind::Interpolated(parts)
    }
}

/// Reads `${{ name }}`, as CI systems write it: the name, and how much of the text it takes.
fn template(text: &str) -> Option<(&str, usize)> {
    let inner = text.strip_prefix("${{")?;
    let (name, _) = inner.split_once("}}")?;
    let width = 3 + name.len() + 2;
    let name = name.trim();
    Grammar::parse(Rule::alone, name).ok().map(|_| (name, width))
}

/// Takes the common indent from a text of many lines, and the line break behind the opening quotes.
fn unindent(text: &str) -> String {
    let Some(body) = text.strip_prefix("\r\n").or_else(|| text.strip_prefix('\n')) else {
        return text.to_string();
    };
    let indent = |l: &str| l.len() - l.trim_start_matches([' ', '\t']).len();
    let common = body.lines().filter(|l| !l.trim().is_empty()).map(indent).min().unwrap_or(0);
    let lines: Vec<&str> = body.split('\n').map(|l| l.get(common.min(indent(l))..).unwrap_or("")).collect();
    lines.join("\n")
}

fn operator(rule: Rule) -> Op {
    match rule {
        Rule::eq_op => Op::Eq,
        Rule::ne_op => Op::Ne,
        Rule::lt_op => Op::Lt,
        Rule::le_op => Op::Le,
        Rule::gt_op => Op::Gt,
        Rule::ge_op => Op::Ge,
        Rule::and_op => Op::And,
        Rule::or_op => Op::Or,
        Rule::in_op => Op::In,
        Rule::add_op => Op::Add,
        Rule::sub_op => Op::Sub,
        _ => Op::Where,
    }
}
