//! Expressions that wait for results, and types, as a stored plan has them: mirrors of the language's
//! own. A plan holds no expression that asks for anything but results.

use dsl::program::{Expr, ExprKind, Func, Op};
use dsl::span::{FileId, Span};
use dsl::value::Type;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::JournalError;
use super::value::WireValue;

/// An [`Expr`] on the wire.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireExpr {
    kind: WireKind,
    ty: WireType,
    span: (u32, u32, u32),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireKind {
    Literal(WireValue),
    /// A step's place, and the name of its result.
    Result(u32, String),
    Field(Box<WireExpr>, String),
    Call(WireFunc, Vec<WireExpr>),
    Not(Box<WireExpr>),
    Binary(WireOp, Box<WireExpr>, Box<WireExpr>),
    Text(Vec<WireExpr>),
    List(Vec<WireExpr>),
    Record(Vec<(String, WireExpr)>),
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireFunc {
    First,
    Rest,
    Count,
    Label,
    Minor,
    Pools,
    Hops,
    Env,
    File,
    Command,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireOp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    And,
    Or,
    In,
    Add,
    Sub,
}

/// A [`Type`] on the wire.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireType {
    Bool,
    Number,
    Text,
    Path,
    Duration,
    Share,
    Size,
    Version,
    Minor,
    Batch,
    Word(Vec<String>),
    Node,
    Nodes,
    List(Box<WireType>),
    Optional(Box<WireType>),
    Record(Vec<(String, WireType)>),
    Secret,
}

/// Writes arguments that wait for results.
pub(super) fn write_later(later: &IndexMap<String, Expr>) -> IndexMap<String, WireExpr> {
    later.iter().map(|(name, expr)| (name.clone(), WireExpr::write(expr))).collect()
}

/// Reads arguments that wait for results of a plan's first `steps` steps.
pub(super) fn read_later(
    later: IndexMap<String, WireExpr>,
    steps: usize,
) -> Result<IndexMap<String, Expr>, JournalError> {
    later.into_iter().map(|(name, expr)| Ok((name, expr.read(steps)?))).collect()
}

impl WireExpr {
    pub(super) fn write(expr: &Expr) -> WireExpr {
        let one = |expr: &Expr| Box::new(WireExpr::write(expr));
        let all = |exprs: &[Expr]| exprs.iter().map(WireExpr::write).collect();
        let kind = match &expr.kind {
            ExprKind::Literal(value) => WireKind::Literal(value.into()),
            ExprKind::Result(step, name) => WireKind::Result(*step, name.clone()),
            ExprKind::Field(of, field) => WireKind::Field(one(of), field.clone()),
            ExprKind::Call(func, args) => WireKind::Call((*func).into(), all(args)),
            ExprKind::Not(of) => WireKind::Not(one(of)),
            ExprKind::Binary(op, left, right) => WireKind::Binary((*op).into(), one(left), one(right)),
            ExprKind::Text(parts) => WireKind::Text(all(parts)),
            ExprKind::List(items) => WireKind::List(all(items)),
            ExprKind::Record(fields) => {
                let field = |(name, of): &(String, Expr)| (name.clone(), WireExpr::write(of));
                WireKind::Record(fields.iter().map(field).collect())
            }
            // Invariant: what is known is a literal in a plan, and all of these are known. A guess here
            // would be a wrong argument in the run that is resumed.
            ExprKind::Param(_)
            | ExprKind::Local(_)
            | ExprKind::Here
            | ExprKind::Set(_)
            | ExprKind::Fact(..)
            | ExprKind::Where(..)
            | ExprKind::It => unreachable!("a plan asks for nothing but results"),
        };
        let span = (expr.span.file.0, expr.span.start, expr.span.end);
        WireExpr { kind, ty: WireType::from(&expr.ty), span }
    }

    pub(super) fn read(self, steps: usize) -> Result<Expr, JournalError> {
        let one = |expr: WireExpr| expr.read(steps).map(Box::new);
        let all =
            |exprs: Vec<WireExpr>| exprs.into_iter().map(|expr| expr.read(steps)).collect::<Result<_, _>>();
        let kind = match self.kind {
            WireKind::Literal(value) => ExprKind::Literal(value.read()?),
            WireKind::Result(step, name) if (step as usize) < steps => ExprKind::Result(step, name),
            WireKind::Result(..) => {
                let text = "the plan names the result of a step that it does not have";
                return Err(JournalError::Content(text.to_string()));
            }
            WireKind::Field(of, field) => ExprKind::Field(one(*of)?, field),
            WireKind::Call(func, args) => ExprKind::Call(func.into(), all(args)?),
            WireKind::Not(of) => ExprKind::Not(one(*of)?),
            WireKind::Binary(op, left, right) => ExprKind::Binary(op.into(), one(*left)?, one(*right)?),
            WireKind::Text(parts) => ExprKind::Text(all(parts)?),
            WireKind::List(items) => ExprKind::List(all(items)?),
            WireKind::Record(fields) => {
                let field = |(name, of): (String, WireExpr)| Ok((name, of.read(steps)?));
                ExprKind::Record(fields.into_iter().map(field).collect::<Result<_, JournalError>>()?)
            }
        };
        let (file, start, end) = self.span;
        Ok(Expr { kind, ty: self.ty.read(), span: Span { file: FileId(file), start, end } })
    }
}

impl From<&Type> for WireType {
    fn from(ty: &Type) -> WireType {
        let one = |of: &Type| Box::new(WireType::from(of));
        match ty {
            Type::Bool => WireType::Bool,
            Type::Number => WireType::Number,
            Type::Text => WireType::Text,
            Type::Path => WireType::Path,
            Type::Duration => WireType::Duration,
            Type::Share => WireType::Share,
            Type::Size => WireType::Size,
            Type::Version => WireType::Version,
            Type::Minor => WireType::Minor,
            Type::Batch => WireType::Batch,
            Type::Word(words) => WireType::Word(words.clone()),
            Type::Node => WireType::Node,
            Type::Nodes => WireType::Nodes,
            Type::Secret => WireType::Secret,
            Type::List(of) => WireType::List(one(of)),
            Type::Optional(of) => WireType::Optional(one(of)),
            Type::Record(fields) => {
                WireType::Record(fields.iter().map(|(name, ty)| (name.clone(), ty.into())).collect())
            }
        }
    }
}

impl WireType {
    pub(super) fn read(self) -> Type {
        match self {
            WireType::Bool => Type::Bool,
            WireType::Number => Type::Number,
            WireType::Text => Type::Text,
            WireType::Path => Type::Path,
            WireType::Duration => Type::Duration,
            WireType::Share => Type::Share,
            WireType::Size => Type::Size,
            WireType::Version => Type::Version,
            WireType::Minor => Type::Minor,
            WireType::Batch => Type::Batch,
            WireType::Word(words) => Type::Word(words),
            WireType::Node => Type::Node,
            WireType::Nodes => Type::Nodes,
            WireType::Secret => Type::Secret,
            WireType::List(of) => Type::List(Box::new(of.read())),
            WireType::Optional(of) => Type::Optional(Box::new(of.read())),
            WireType::Record(fields) => {
                Type::Record(fields.into_iter().map(|(name, ty)| (name, ty.read())).collect())
            }
        }
    }
}

/// Mirrors an enumeration both ways.
macro_rules! mirror {
    ($ours:ident, $wire:ident, $($word:ident)*) => {
        impl From<$ours> for $wire {
            fn from(it: $ours) -> $wire {
                match it { $($ours::$word => $wire::$word),* }
            }
        }

        impl From<$wire> for $ours {
            fn from(it: $wire) -> $ours {
                match it { $($wire::$word => $ours::$word),* }
            }
        }
    };
}

mirror!(Func, WireFunc, First Rest Count Label Minor Pools Hops Env File Command);
mirror!(Op, WireOp, Eq Ne Lt Le Gt Ge And Or In Add Sub);

#[cfg(test)]
mod tests {
    use dsl::value::Value;

    use super::*;

    fn expr(kind: ExprKind, ty: Type) -> Expr {
        Expr { kind, ty, span: Span { file: FileId(1), start: 2, end: 3 } }
    }

    #[test]
    fn an_expression_that_waits_is_read_as_it_was_written() {
        let record = Type::Record(vec![("names".into(), Type::List(Box::new(Type::Text)))]);
        let todo = expr(ExprKind::Result(1, "todo".into()), record);
        let names = expr(ExprKind::Field(Box::new(todo), "names".into()), Type::List(Box::new(Type::Text)));
        let count = expr(ExprKind::Call(Func::Count, vec![names]), Type::Number);
        let two = expr(ExprKind::Literal(Value::Number(2)), Type::Number);
        let more = expr(ExprKind::Binary(Op::Gt, Box::new(count), Box::new(two)), Type::Bool);
        let not = expr(ExprKind::Not(Box::new(more)), Type::Optional(Box::new(Type::Bool)));
        let ty = Type::Record(vec![("is".into(), not.ty.clone())]);
        let not = expr(ExprKind::Record(vec![("is".into(), not)]), ty);
        let text = serde_json::to_string(&WireExpr::write(&not)).unwrap();
        let read = |steps| serde_json::from_str::<WireExpr>(&text).unwrap().read(steps);
        assert_eq!(read(2).unwrap(), not);
        assert!(read(1).unwrap_err().to_string().contains("a step that it does not have"));
    }
}
