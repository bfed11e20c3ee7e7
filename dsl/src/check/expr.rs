//! Expressions: names, types and the few conversions that are made without being asked for.

use crate::ast::{self, Op as Written};
use crate::diagnostic::Diagnostic;
use crate::literal::{describe, example, quantity};
use crate::nearest::{nearest, surely};
use crate::problem::{Problem, ticks};
use crate::program::{Expr, ExprKind, Func, Op, Set};
use crate::span::Span;
use crate::value::{Batch, LOCAL, Minor, Type, Value, Version, Window};

use super::{Checker, FACTS, FUNCTIONS, Meaning};

/// Names of the sets that every inventory has.
pub(crate) const SETS: [&str; 4] = ["nodes", "control_plane", "workers", "etcd"];

/// Words that stand for one thing.
pub(crate) const CONSTANTS: [&str; 5] = ["true", "false", "none", "local", "here"];

/// What an expression sees.
#[derive(Clone)]
pub(super) struct Frame<'a> {
    /// The module it stands in.
    pub(super) module: usize,
    /// The task it stands in.
    pub(super) task: Option<u32>,
    /// Parameters of the task and loop variables: name, type, slot.
    pub(super) locals: Vec<(&'a str, Type, u32)>,
    /// How many slots are given out.
    pub(super) slots: u32,
    /// Slots of results, which are known only during the run.
    pub(super) results: Vec<u32>,
    /// What `here` is.
    pub(super) here: Here,
    /// Whether it stands in the condition of a `where`.
    pub(super) it: bool,
    /// Whether it stands in a handler.
    pub(super) handler: bool,
    /// Whether it stands in the `each` of a node, which is brought to its end.
    pub(super) begun: bool,
    /// The block of the task, if it stands in one.
    pub(super) body: Option<Span>,
    /// What the task gives back.
    pub(super) given: Option<Expr>,
}

/// What `here` is.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Here {
    /// Nothing: there is no loop over nodes.
    Nowhere,
    /// The node in a slot: the innermost loop's, or the task's own.
    Local(u32),
    /// The node of the loop that the task is called in.
    Task,
}

pub(super) type Checked = Result<Expr, Diagnostic>;

/// Returns the value of an optional parameter that was not given.
pub(super) fn none(ty: &Type, span: Span) -> Expr {
    Expr { kind: ExprKind::Literal(Value::None), ty: ty.clone(), span }
}

pub(super) fn literal(value: Value, ty: Type, span: Span) -> Expr {
    Expr { kind: ExprKind::Literal(value), ty, span }
}

pub(super) fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Optional(of) => bare(of),
        ty => ty,
    }
}

impl<'a> Checker<'a> {
    /// Checks a condition and notes what is wrong with it.
    pub(super) fn condition(&mut self, frame: &Frame<'a>, written: &ast::Expr) -> Option<Expr> {
        let expr = self.boolean(frame, written);
        self.keep(expr)
    }

    fn boolean(&mut self, frame: &Frame<'a>, written: &ast::Expr) -> Checked {
        let expr = self.expr(frame, written, None)?;
        match &expr.ty {
            Type::Bool => Ok(expr),
            other => Err(Problem::NotACondition(describe(other)).at(expr.span)),
        }
    }

    /// Checks an expression that must become a `want`, if one is given.
    pub(super) fn expr(&mut self, frame: &Frame<'a>, written: &ast::Expr, want: Option<&Type>) -> Checked {
        let span = written.span;
        let expr = match &written.kind {
            ast::ExprKind::Word => self.word(frame, span, want)?,
            ast::ExprKind::Endless => return Err(Problem::TooLong.at(span)),
            ast::ExprKind::Quantity => {
                let text = self.text(span);
                let value = quantity(text).map_err(|why| {
                    let version = format!("v{text}");
                    let sure = match want.map(bare) {
                        Some(Type::Version) => version.parse::<Version>().is_ok(),
                        Some(Type::Minor) => {
                            version.parse::<Minor>().is_ok() || version.parse::<Version>().is_ok()
                        }
                        _ => false,
                    };
                    let problem = Problem::NotAQuantity { text: text.to_string(), why };
                    problem.at(span).rather(sure.then_some(&version))
                })?;
                let ty = match &value {
                    Value::Share(_) => Type::Share,
                    Value::Size(_) => Type::Size,
                    Value::Duration(_) => Type::Duration,
                    _ => Type::Number,
                };
                literal(value, ty, span)
            }
            ast::ExprKind::Version => self.version(frame, span, want)?,
            ast::ExprKind::Text(text) => literal(Value::Text(text.clone()), Type::Text, span),
            ast::ExprKind::Interpolated(parts) => {
                let parts: Vec<Expr> =
                    parts.iter().map(|p| self.expr(frame, p, None)).collect::<Result<_, _>>()?;
                if let Some(secret) = parts.iter().find(|part| part.ty.is_secret()) {
                    return Err(Problem::SecretInText.at(secret.span));
                }
                Expr { kind: ExprKind::Text(parts), ty: Type::Text, span }
            }
            ast::ExprKind::List(items) => self.list(frame, items, span, want)?,
            ast::ExprKind::Record(fields) => self.record(frame, fields, span, want)?,
            // The grammar has it within a call only, where its name is looked at.
            ast::ExprKind::Named(_, value) => self.expr(frame, value, want)?,
            ast::ExprKind::Call(name, args) => self.call(frame, *name, args, span)?,
            ast::ExprKind::Fact(of, name) => {
                let of = self.expr(frame, of, None)?;
                if let Type::Record(fields) = bare(&of.ty) {
                    let kind = self.field(fields, *name)?;
                    let field = |of| ExprKind::Field(Box::new(of), self.text(*name).to_string());
                    return match want {
                        Some(want) => fit(Expr { kind: field(of), ty: kind, span }, want),
                        None => Ok(Expr { kind: field(of), ty: kind, span }),
                    };
                }
                self.in_time(frame, &of, "the node of a fact")?;
                let Some(ty) = fact(self.text(*name)) else { return Err(self.no_fact(*name)) };
                self.now.trace.note(*name, Meaning::Fact);
                if *bare(&of.ty) != Type::Node {
                    return Err(wrong(&Type::Node, &of.ty, of.span));
                }
                let kind = ExprKind::Fact(Box::new(of), self.text(*name).to_string());
                Expr { kind, ty, span }
            }
            ast::ExprKind::Not(of) => {
                let of = self.boolean(frame, of)?;
                Expr { kind: ExprKind::Not(Box::new(of)), ty: Type::Bool, span }
            }
            ast::ExprKind::Binary(op, left, right) => self.binary(frame, *op, left, right, span)?,
        };
        match want {
            Some(want) => fit(expr, want),
            None => Ok(expr),
        }
    }

    fn word(&mut self, frame: &Frame<'a>, span: Span, want: Option<&Type>) -> Checked {
        let name = self.text(span);
        let bare_want = want.map(bare);
        let members = match bare_want {
            Some(Type::Word(members)) => Some(members),
            Some(Type::List(of)) => match &**of {
                Type::Word(members) => Some(members),
                _ => None,
            },
            _ => None,
        };
        let variable = self.variable(frame, name, span);
        if let Some(members) = members
            && members.iter().any(|m| m == name)
        {
            let same =
                |v: &Expr| matches!(bare(&v.ty), Type::Word(own) if own.iter().all(|o| members.contains(o)));
            return Ok(match variable {
                Some(variable) if same(&variable) => self.used(variable),
                _ => {
                    self.now.trace.note(span, Meaning::Member);
                    literal(Value::Word(name.to_string()), Type::Word(members.clone()), span)
                }
            });
        }
        if frame.it
            && bare_want != Some(&Type::Nodes)
            && let Some(ty) = fact(name)
        {
            self.now.trace.note(span, Meaning::Fact);
            let it = Expr { kind: ExprKind::It, ty: Type::Node, span };
            return Ok(Expr { kind: ExprKind::Fact(Box::new(it), name.to_string()), ty, span });
        }
        if let Some(variable) = variable {
            return Ok(self.used(variable));
        }
        if SETS.contains(&name) {
            self.now.trace.note(span, Meaning::Set);
        } else if CONSTANTS.contains(&name) {
            self.now.trace.note(span, Meaning::Constant);
        }
        let set = |set| Ok(Expr { kind: ExprKind::Set(set), ty: Type::Nodes, span });
        match name {
            "true" => Ok(literal(Value::Bool(true), Type::Bool, span)),
            "false" => Ok(literal(Value::Bool(false), Type::Bool, span)),
            "none" if matches!(want, Some(Type::Optional(_))) => {
                Ok(literal(Value::None, want.cloned().unwrap_or(Type::Bool), span))
            }
            "nodes" => set(Set::Nodes),
            "control_plane" => set(Set::ControlPlane),
            "workers" => set(Set::Workers),
            "etcd" => set(Set::Etcd),
            "local" => Ok(literal(Value::Node(LOCAL.to_string()), Type::Node, span)),
            "here" => match here(frame.here, span, matches!(want, Some(Type::Optional(_)))) {
                Some(here) => Ok(here),
                None => Err(Problem::Here.at(span)),
            },
            _ => Err(self.no_name(frame, name, span, members, bare_want)),
        }
    }

    /// Returns the variable of a name, if there is one.
    fn variable(&self, frame: &Frame<'a>, name: &str, span: Span) -> Option<Expr> {
        if let Some((_, ty, slot)) = frame.locals.iter().rev().find(|(local, _, _)| *local == name) {
            return Some(Expr { kind: ExprKind::Local(*slot), ty: ty.clone(), span });
        }
        if frame.module != 0 {
            return None;
        }
        let id = *self.param_ids.get(name)?;
        Some(Expr { kind: ExprKind::Param(id), ty: self.params[id as usize].ty.clone(), span })
    }

    fn used(&mut self, variable: Expr) -> Expr {
        match variable.kind {
            ExprKind::Param(id) => {
                self.now.used.push(id);
                self.now.trace.note(variable.span, Meaning::Param(id));
            }
            ExprKind::Local(slot) => self.now.trace.local(variable.span, slot),
            _ => {}
        }
        variable
    }

    fn no_name(
        &self,
        frame: &Frame<'a>,
        name: &str,
        span: Span,
        members: Option<&Vec<String>>,
        want: Option<&Type>,
    ) -> Diagnostic {
        if let Some(members) = members {
            let near = nearest(name, members.iter().map(String::as_str)).map(str::to_string);
            let problem = Problem::NotAMember { word: name.to_string(), members: members.clone(), near };
            return problem.at(span).rather(surely(name, members.iter().map(String::as_str)));
        }
        if self.lost.contains(name) {
            return self.follows(span);
        }
        if let Some(why) = self.result_elsewhere(frame.module, name, span) {
            return Problem::OutOfReach { name: name.to_string(), why }.at(span);
        }
        let mut known: Vec<&str> = frame.locals.iter().map(|(n, _, _)| *n).collect();
        if frame.module == 0 {
            known.extend(self.params.iter().map(|p| p.name.as_str()));
        }
        known.extend(["nodes", "control_plane", "workers", "etcd", "local", "here", "true", "false"]);
        if frame.it {
            known.extend(FACTS.iter().map(|(name, _)| *name));
        }
        let near = nearest(name, known.iter().copied()).map(str::to_string);
        let sure = surely(name, known);
        let instead = match want {
            Some(Type::Text | Type::Path) => format!("text stands in quotes: `\"{name}\"`"),
            _ if frame.it => format!("text stands in quotes: `\"{name}\"`"),
            Some(Type::Node) => format!("a node by its name is `first(nodes where name == \"{name}\")`"),
            Some(Type::Nodes) => "the sets are `nodes`, `control_plane`, `workers` and `etcd`".to_string(),
            Some(_) | None => format!("declare it: `param {name}: TYPE`"),
        };
        Problem::UnknownName { name: name.to_string(), near, instead }.at(span).rather(sure)
    }

    /// Returns the type of a record's field.
    pub(super) fn field(&mut self, fields: &[(String, Type)], name: Span) -> Result<Type, Diagnostic> {
        let text = self.text(name);
        if let Some((_, ty)) = fields.iter().find(|(field, _)| field == text) {
            self.now.trace.note(name, Meaning::Field);
            return Ok(ty.clone());
        }
        let names = || fields.iter().map(|(field, _)| field.as_str());
        let near = nearest(text, names()).map(str::to_string);
        let known = ticks(names()).replace(" or ", " and ");
        let problem = Problem::UnknownField { name: text.to_string(), near, known };
        Err(problem.at(name).rather(surely(text, names())))
    }

    fn no_fact(&self, name: Span) -> Diagnostic {
        let text = self.text(name);
        let near = nearest(text, FACTS.iter().map(|(name, _)| *name));
        let sure = surely(text, FACTS.iter().map(|(name, _)| *name));
        Problem::UnknownFact { name: text.to_string(), near }.at(name).rather(sure)
    }

    fn version(&mut self, frame: &Frame<'a>, span: Span, want: Option<&Type>) -> Checked {
        let text = self.text(span);
        if let Ok(version) = text.parse::<Version>() {
            return Ok(literal(Value::Version(version), Type::Version, span));
        }
        if let Ok(minor) = text.parse::<Minor>() {
            return Ok(literal(Value::Minor(minor), Type::Minor, span));
        }
        if text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')) {
            return self.word(frame, span, want);
        }
        let why =
            "is not a version; a version looks like `v1.34.2`, a minor version like `v1.34`".to_string();
        Err(Problem::NotAQuantity { text: text.to_string(), why }.at(span))
    }

    fn list(&mut self, frame: &Frame<'a>, items: &[ast::Expr], span: Span, want: Option<&Type>) -> Checked {
        match want.map(bare) {
            Some(Type::Batch) => {
                let mut parts = Vec::with_capacity(items.len());
                for item in items {
                    let part = self.expr(frame, item, None)?;
                    if !matches!(part.ty, Type::Number | Type::Share) {
                        return Err(wrong(&Type::Batch, &part.ty, part.span));
                    }
                    parts.push(part);
                }
                if parts.is_empty() {
                    return Err(Problem::EmptyList.at(span));
                }
                let windows: Option<Vec<Value>> = parts.iter().map(value).collect();
                match windows {
                    Some(values) => {
                        let windows = parts.iter().zip(&values).map(|(p, v)| window(v, p.span));
                        let batch = Batch(windows.collect::<Result<_, _>>()?);
                        Ok(literal(Value::Batch(batch), Type::Batch, span))
                    }
                    None => Ok(Expr { kind: ExprKind::List(parts), ty: Type::Batch, span }),
                }
            }
            Some(Type::Nodes) => {
                let parts = items.iter().map(|i| self.expr(frame, i, Some(&Type::Node)));
                Ok(Expr { kind: ExprKind::List(parts.collect::<Result<_, _>>()?), ty: Type::Nodes, span })
            }
            want => {
                let mut of = match want {
                    Some(Type::List(of)) => Some((**of).clone()),
                    _ => None,
                };
                let mut parts = Vec::with_capacity(items.len());
                for item in items {
                    let part = self.expr(frame, item, of.as_ref())?;
                    of = of.or_else(|| Some(part.ty.clone()));
                    parts.push(part);
                }
                let Some(of) = of else { return Err(Problem::EmptyList.at(span)) };
                let ty = Type::List(Box::new(of));
                let values: Option<Vec<Value>> = parts.iter().map(value).collect();
                Ok(match values {
                    Some(values) => literal(Value::List(values), ty, span),
                    None => Expr { kind: ExprKind::List(parts), ty, span },
                })
            }
        }
    }

    /// Checks several values that commas join.
    pub(super) fn joined(
        &mut self,
        frame: &Frame<'a>,
        values: &[ast::Expr],
        want: &Type,
    ) -> Result<Expr, Diagnostic> {
        match values {
            [one] => self.expr(frame, one, Some(want)),
            many => {
                let span = many[0].span.to(many[many.len() - 1].span);
                if !matches!(bare(want), Type::List(_) | Type::Batch | Type::Nodes) {
                    let span = many[1].span;
                    let found = "a second value".to_string();
                    let problem =
                        Problem::WrongType { expected: describe(want), found, example: example(want) };
                    return Err(problem.at(span));
                }
                let list = self.list(frame, many, span, Some(want))?;
                fit(list, want)
            }
        }
    }

    fn call(&mut self, frame: &Frame<'a>, name: Span, args: &[ast::Expr], span: Span) -> Checked {
        let func = match self.text(name) {
            "first" => Func::First,
            "rest" => Func::Rest,
            "count" => Func::Count,
            "minor" => Func::Minor,
            "label" => Func::Label,
            "env" => Func::Env,
            "file" => Func::File,
            "command" => Func::Command,
            "hops" => Func::Hops,
            "pools" => Func::Pools,
            unknown => {
                let near = nearest(unknown, FUNCTIONS);
                let problem = Problem::UnknownFunction { name: unknown.to_string(), near };
                return Err(problem.at(name).rather(surely(unknown, FUNCTIONS)));
            }
        };
        let (takes, want, ty) = match func {
            Func::First => ("one set of nodes", Some(Type::Nodes), Type::Node),
            Func::Rest => ("one set of nodes", Some(Type::Nodes), Type::Nodes),
            Func::Count => ("one set or list", None, Type::Number),
            Func::Minor => ("one version", Some(Type::Version), Type::Minor),
            Func::Label => ("the name of a label, in quotes", Some(Type::Text), Type::Text),
            Func::Hops => ("the version to reach", Some(Type::Version), Type::List(Box::new(hop()))),
            Func::Pools => ("one set of nodes", Some(Type::Nodes), Type::List(Box::new(pool()))),
            Func::Env => ("the name of a variable, in quotes", Some(Type::Text), Type::Secret),
            Func::File => ("the path of a file, in quotes", Some(Type::Path), Type::Secret),
            Func::Command => ("a command line, in quotes", Some(Type::Text), Type::Secret),
        };
        self.now.trace.note(name, Meaning::Function);
        let [arg] = args else {
            return Err(Problem::Arity { func: func.name(), takes }.at(span));
        };
        if let ast::ExprKind::Named(name, _) = &arg.kind
            && (func != Func::Hops || self.text(*name) != "to")
        {
            let known = if func == Func::Hops { "`to`" } else { "none by its name" };
            let problem = Problem::UnknownArgument {
                name: self.text(*name).to_string(),
                task: func.name().to_string(),
                near: None,
                known: known.to_string(),
            };
            return Err(problem.at(*name));
        }
        // Outside a `where` it is about the node of the loop.
        let of = match (func, frame.it) {
            (Func::Label, false) => {
                let node = here(frame.here, span, false);
                Some(node.ok_or_else(|| Problem::LabelOutsideWhere.at(span))?)
            }
            _ => None,
        };
        let (mut ty, mut want) = (ty, want);
        if let (Func::First | Func::Rest, Some(list)) = (func, self.listed(frame, arg)) {
            ty = if func == Func::Rest { list.clone() } else { element(&list) };
            want = Some(list);
        }
        let arg = match (func, want) {
            // A set's name means the set here, also where facts have the same names.
            (Func::Count, _) => {
                let outside = Frame { it: frame.it && self.is_listed(arg), ..frame.clone() };
                let arg = self.expr(&outside, arg, None)?;
                match arg.ty {
                    Type::Nodes | Type::List(_) => arg,
                    other => return Err(Problem::NotASet(describe(&other)).at(arg.span)),
                }
            }
            (_, want) => self.expr(frame, arg, want.as_ref())?,
        };
        Ok(Expr { kind: ExprKind::Call(func, std::iter::once(arg).chain(of).collect()), ty, span })
    }

    /// Returns the type of what is a list by its own word: `first` and `rest` of it are no nodes.
    fn listed(&self, frame: &Frame<'a>, written: &ast::Expr) -> Option<Type> {
        let ty = match &written.kind {
            ast::ExprKind::Word => self.variable(frame, self.text(written.span), written.span)?.ty,
            ast::ExprKind::Call(name, args) => match (self.text(*name), args.as_slice()) {
                ("hops", _) => Type::List(Box::new(hop())),
                ("pools", _) => Type::List(Box::new(pool())),
                ("rest", [of]) => self.listed(frame, of)?,
                _ => return None,
            },
            _ => return None,
        };
        matches!(ty, Type::List(_)).then_some(ty)
    }

    /// Returns whether a word is a fact that is a list.
    fn is_listed(&self, written: &ast::Expr) -> bool {
        let is_list = |ty| matches!(ty, Type::List(_));
        matches!(written.kind, ast::ExprKind::Word) && fact(self.text(written.span)).is_some_and(is_list)
    }

    fn binary(
        &mut self,
        frame: &Frame<'a>,
        op: Written,
        left: &ast::Expr,
        right: &ast::Expr,
        span: Span,
    ) -> Checked {
        let make = |op, left, right, ty| {
            Ok(Expr { kind: ExprKind::Binary(op, Box::new(left), Box::new(right)), ty, span })
        };
        let op = match op {
            Written::Where => {
                let set = self.expr(frame, left, Some(&Type::Nodes))?;
                let inside = Frame { it: true, ..frame.clone() };
                let cond = self.boolean(&inside, right)?;
                self.in_time(frame, &set, "the set of a `where`")?;
                self.in_time(frame, &cond, "the condition of a `where`")?;
                return Ok(Expr {
                    kind: ExprKind::Where(Box::new(set), Box::new(cond)),
                    ty: Type::Nodes,
                    span,
                });
            }
            Written::And | Written::Or => {
                let op = if op == Written::And { Op::And } else { Op::Or };
                let (left, right) = (self.boolean(frame, left)?, self.boolean(frame, right)?);
                return make(op, left, right, Type::Bool);
            }
            Written::In => {
                // The right side is always a set or a list, so a set's name is no fact there.
                let outside = Frame { it: frame.it && self.is_listed(right), ..frame.clone() };
                let right = self.expr(&outside, right, None)?;
                let of = match &right.ty {
                    Type::Nodes => Type::Node,
                    Type::List(of) => (**of).clone(),
                    other => return Err(Problem::NotASet(describe(other)).at(right.span)),
                };
                // In a `where`, a node stands there by its name.
                let of = if of == Type::Node && frame.it { None } else { Some(of) };
                let left = self.expr(frame, left, of.as_ref())?;
                if of.is_none() && !matches!(left.ty, Type::Node | Type::Text) {
                    return Err(wrong(&Type::Node, &left.ty, left.span));
                }
                if left.ty.is_secret() {
                    let (left, right) = (describe(&left.ty), describe(&right.ty));
                    return Err(Problem::Operands { op: Op::In.sign(), left, right }.at(span));
                }
                return make(Op::In, left, right, Type::Bool);
            }
            Written::Eq => Op::Eq,
            Written::Ne => Op::Ne,
            Written::Lt => Op::Lt,
            Written::Le => Op::Le,
            Written::Gt => Op::Gt,
            Written::Ge => Op::Ge,
            Written::Add => Op::Add,
            Written::Sub => Op::Sub,
        };
        let (left, right) = self.sides(frame, left, right)?;
        let ty = match (op, bare(&left.ty), bare(&right.ty)) {
            // Whether two secrets are the same nobody may ask.
            (_, l, r) if l.is_secret() || r.is_secret() => None,
            (Op::Add | Op::Sub, l, r) => match (l, r) {
                (Type::Number, Type::Number) => Some(Type::Number),
                (Type::Duration, Type::Duration) => Some(Type::Duration),
                (Type::Size, Type::Size) => Some(Type::Size),
                (Type::Nodes | Type::Node, Type::Nodes | Type::Node)
                    if !(*l == Type::Node && op == Op::Sub) =>
                {
                    Some(Type::Nodes)
                }
                _ => None,
            },
            (Op::Eq | Op::Ne, l, r) => {
                (l == r || matches!((l, r), (Type::Word(_), Type::Word(_)))).then_some(Type::Bool)
            }
            (_, l, r) => {
                let ordered =
                    [Type::Number, Type::Duration, Type::Size, Type::Share, Type::Version, Type::Minor];
                (l == r && ordered.contains(l)).then_some(Type::Bool)
            }
        };
        match ty {
            Some(ty) => make(op, left, right, ty),
            None => {
                let (left, right) = (describe(&left.ty), describe(&right.ty));
                Err(Problem::Operands { op: op.sign(), left, right }.at(span))
            }
        }
    }

    /// Checks both sides of an operator; what one is decides what a bare word on the other means.
    fn sides(
        &mut self,
        frame: &Frame<'a>,
        left: &ast::Expr,
        right: &ast::Expr,
    ) -> Result<(Expr, Expr), Diagnostic> {
        let (left, right) = match self.expr(frame, left, None) {
            Ok(left) => {
                // A word and the fields of a record mean what the other side has.
                let is_none = matches!(right.kind, ast::ExprKind::Word) && self.text(right.span) == "none";
                let says = match &left.ty {
                    Type::Optional(_) if is_none => true,
                    ty => matches!(bare(ty), Type::Word(_) | Type::Record(_)),
                };
                let member = says.then(|| left.ty.clone());
                let right = self.expr(frame, right, member.as_ref())?;
                (left, right)
            }
            Err(problem) => match self.expr(frame, right, None) {
                Ok(right) if matches!(bare(&right.ty), Type::Word(_)) => {
                    (self.expr(frame, left, Some(&right.ty))?, right)
                }
                _ => return Err(problem),
            },
        };
        // The coarser of two types decides: a version is compared with a minor by its minor, and a
        // node with a text by its name.
        let to = match (bare(&left.ty), bare(&right.ty)) {
            (Type::Version, Type::Minor) | (Type::Minor, Type::Version) => Type::Minor,
            (Type::Text, Type::Path | Type::Node) | (Type::Path | Type::Node, Type::Text) => Type::Text,
            _ => return Ok((left, right)),
        };
        Ok((fit(left, &to)?, fit(right, &to)?))
    }
}

/// Returns what `here` is in a frame; `None` if it is nothing.
pub(super) fn here(here: Here, span: Span, optional: bool) -> Option<Expr> {
    let kind = match here {
        Here::Local(slot) => ExprKind::Local(slot),
        Here::Task => ExprKind::Here,
        Here::Nowhere if optional => {
            return Some(none(&Type::Optional(Box::new(Type::Node)), span));
        }
        Here::Nowhere => return None,
    };
    Some(Expr { kind, ty: Type::Node, span })
}

/// Returns the type of a stop on the way up.
fn hop() -> Type {
    let fields =
        [("version", Type::Version), ("kubelets", Type::Bool), ("first", Type::Bool), ("last", Type::Bool)];
    Type::Record(fields.map(|(name, ty)| (name.to_string(), ty)).to_vec())
}

/// Returns the type of a pool.
fn pool() -> Type {
    Type::Record(vec![("name".to_string(), Type::Text), ("nodes".to_string(), Type::Nodes)])
}

/// Returns the type of a list's elements.
fn element(list: &Type) -> Type {
    match list {
        Type::List(of) => (**of).clone(),
        other => other.clone(),
    }
}

/// Returns the type of a fact.
pub(super) fn fact(name: &str) -> Option<Type> {
    FACTS.iter().find(|(fact, _)| *fact == name).map(|(_, ty)| ty.clone())
}

pub(super) fn value(expr: &Expr) -> Option<Value> {
    match &expr.kind {
        ExprKind::Literal(value) => Some(value.clone()),
        _ => None,
    }
}

fn wrong(want: &Type, found: &Type, span: Span) -> Diagnostic {
    let found = match (want, found) {
        // A type that differs only in this would be told by the same words.
        (Type::Optional(_), _) | (_, Type::Optional(_)) if bare(want) == bare(found) => {
            format!("{}, or none", describe(found))
        }
        _ => describe(found),
    };
    Problem::WrongType { expected: describe(want), found, example: example(want) }.at(span)
}

fn window(value: &Value, span: Span) -> Result<Window, Diagnostic> {
    let nothing = || Problem::OutOfRange("a batch has at least one".to_string()).at(span);
    match value {
        Value::Number(n) => u32::try_from(*n).ok().filter(|n| *n > 0).map(Window::Count).ok_or_else(nothing),
        Value::Share(share) if *share > 0 => Ok(Window::Share(*share)),
        _ => Err(nothing()),
    }
}

/// Makes an expression a `want`, by one of the conversions that need no asking. What is no literal
/// keeps its form and takes the type; [`crate::eval`] converts its value.
fn fit(expr: Expr, want: &Type) -> Checked {
    if expr.ty == *want {
        return Ok(expr);
    }
    let span = expr.span;
    let retyped = |expr: Expr, ty: Type| Ok(Expr { ty, ..expr });
    match (&expr.ty, want) {
        (Type::Optional(of), Type::Optional(to)) if of == to => Ok(expr),
        (_, Type::Optional(of)) => {
            if let ExprKind::Literal(Value::None) = expr.kind {
                return retyped(expr, want.clone());
            }
            let inner = fit(expr, of)?;
            Ok(Expr { ty: inner.ty.clone(), ..inner })
        }
        (Type::Version, Type::Minor) => match expr.kind {
            ExprKind::Literal(Value::Version(v)) => Ok(literal(Value::Minor(v.minor()), Type::Minor, span)),
            _ => Ok(Expr { kind: ExprKind::Call(Func::Minor, vec![expr]), ty: Type::Minor, span }),
        },
        (Type::Number | Type::Share, Type::Batch) => match &expr.kind {
            ExprKind::Literal(value) => {
                let batch = Batch(vec![window(value, span)?]);
                Ok(literal(Value::Batch(batch), Type::Batch, span))
            }
            _ => retyped(expr, Type::Batch),
        },
        (Type::Text, Type::Path) => match expr.kind {
            ExprKind::Literal(Value::Text(text)) => Ok(literal(Value::Path(text), Type::Path, span)),
            _ => retyped(expr, Type::Path),
        },
        (Type::Text, Type::Node) => match expr.kind {
            ExprKind::Literal(Value::Text(text)) => Ok(literal(Value::Node(text), Type::Node, span)),
            _ => Err(wrong(want, &expr.ty, span)),
        },
        (Type::Path | Type::Node | Type::Word(_), Type::Text) => retyped(expr, Type::Text),
        (Type::Node, Type::Nodes) => retyped(expr, Type::Nodes),
        (Type::Word(own), Type::Word(members)) if own.iter().all(|o| members.contains(o)) => {
            retyped(expr, want.clone())
        }
        (Type::List(of), Type::List(to)) => {
            let subset = match (&**of, &**to) {
                (Type::Word(own), Type::Word(members)) => own.iter().all(|o| members.contains(o)),
                _ => false,
            };
            if subset { retyped(expr, want.clone()) } else { Err(wrong(want, &expr.ty, span)) }
        }
        (Type::Record(own), Type::Record(fields)) => {
            let same = |(name, ty): &(String, Type)| own.iter().any(|(n, t)| n == name && t == ty);
            match own.len() == fields.len() && fields.iter().all(same) {
                true => retyped(expr, want.clone()),
                false => Err(wrong(want, &expr.ty, span)),
            }
        }
        (_, Type::List(of)) => {
            let found = expr.ty.clone();
            let one = fit(expr, of).map_err(|_| wrong(want, &found, span))?;
            Ok(match value(&one) {
                Some(value) => literal(Value::List(vec![value]), want.clone(), span),
                None => Expr { kind: ExprKind::List(vec![one]), ty: want.clone(), span },
            })
        }
        (found, want) => Err(wrong(want, found, span)),
    }
}

impl Func {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Func::First => "first",
            Func::Rest => "rest",
            Func::Count => "count",
            Func::Label => "label",
            Func::Minor => "minor",
            Func::Hops => "hops",
            Func::Pools => "pools",
            Func::Env => "env",
            Func::File => "file",
            Func::Command => "command",
        }
    }
}

impl Op {
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Op::Eq => "==",
            Op::Ne => "!=",
            Op::Lt => "<",
            Op::Le => "<=",
            Op::Gt => ">",
            Op::Ge => ">=",
            Op::And => "and",
            Op::Or => "or",
            Op::In => "in",
            Op::Add => "+",
            Op::Sub => "-",
        }
    }
}
