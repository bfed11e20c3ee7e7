//! What is known of an expression before the run: all of it, or all but the results of steps. What is
//! left is an expression again, small enough to be stored with a plan and computed during the run.

use std::fmt::Write;

use crate::diagnostic::Diagnostic;
use crate::eval::{Env, eval};
use crate::program::{Expr, ExprKind, Op};
use crate::value::Value;

/// Computes what is known: a literal, or an expression that waits for results and for nothing else.
pub fn known(expr: &Expr, env: &Env<'_>) -> Result<Expr, Diagnostic> {
    if !waits(expr, env) {
        let kind = ExprKind::Literal(eval(expr, env)?);
        return Ok(Expr { kind, ty: expr.ty.clone(), span: expr.span });
    }
    let part = |expr: &Expr| known(expr, env).map(Box::new);
    let parts = |exprs: &[Expr]| exprs.iter().map(|expr| known(expr, env)).collect::<Result<Vec<_>, _>>();
    let kind = match &expr.kind {
        ExprKind::Local(slot) => match env.later(*slot) {
            Some(later) => later.kind.clone(),
            None => expr.kind.clone(),
        },
        ExprKind::Field(of, field) => match *part(of)? {
            // Of a record of which a part waits, only the one field counts.
            Expr { kind: ExprKind::Record(fields), .. } if fields.iter().any(|(name, _)| name == field) => {
                let own = fields.into_iter().find(|(name, _)| name == field);
                own.map_or_else(|| expr.kind.clone(), |(_, of)| of.kind)
            }
            of => ExprKind::Field(Box::new(of), field.clone()),
        },
        ExprKind::Not(of) => ExprKind::Not(part(of)?),
        ExprKind::Call(func, args) => ExprKind::Call(*func, parts(args)?),
        ExprKind::Text(of) => ExprKind::Text(parts(of)?),
        ExprKind::List(of) => ExprKind::List(parts(of)?),
        ExprKind::Record(of) => {
            let field = |(name, of): &(String, Expr)| Ok((name.clone(), known(of, env)?));
            ExprKind::Record(of.iter().map(field).collect::<Result<_, Diagnostic>>()?)
        }
        ExprKind::Binary(op, left, right) => {
            let (left, right) = (part(left)?, part(right)?);
            match decided(*op, &left, &right) {
                Some(decided) => decided.kind.clone(),
                None => ExprKind::Binary(*op, left, right),
            }
        }
        // A fact and a `where` need nodes, which no result names.
        ExprKind::Fact(..)
        | ExprKind::Where(..)
        | ExprKind::Literal(_)
        | ExprKind::Param(_)
        | ExprKind::Result(..)
        | ExprKind::Here
        | ExprKind::Set(_)
        | ExprKind::It => expr.kind.clone(),
    };
    Ok(Expr { kind, ty: expr.ty.clone(), span: expr.span })
}

/// Returns the side that is left where the other one alone decides, or says nothing.
fn decided<'e>(op: Op, left: &'e Expr, right: &'e Expr) -> Option<&'e Expr> {
    let is = |side: &Expr, wanted: bool| side.kind == ExprKind::Literal(Value::Bool(wanted));
    // `a and b` is false where one is, and the other where one is true; `or` the contrary.
    let (decides, says_nothing) = match op {
        Op::And => (false, true),
        Op::Or => (true, false),
        _ => return None,
    };
    match () {
        () if is(left, decides) || is(right, says_nothing) => Some(left),
        () if is(right, decides) || is(left, says_nothing) => Some(right),
        () => None,
    }
}

/// Returns whether an expression waits for a result.
fn waits(expr: &Expr, env: &Env<'_>) -> bool {
    expr.any(&mut |part| match &part.kind {
        ExprKind::Local(slot) => env.later(*slot).is_some(),
        kind => matches!(kind, ExprKind::Result(..)),
    })
}

/// Collects the steps whose results an expression waits for.
pub fn results(expr: &Expr, into: &mut Vec<u32>) {
    expr.any(&mut |part| {
        if let ExprKind::Result(step, _) = &part.kind {
            into.push(*step);
        }
        false
    });
}

/// Writes what a plan has of an expression: what is known as it is, what is not in `‹ ›`.
pub fn shown(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Literal(value) => value.to_string(),
        ExprKind::Text(parts) => parts.iter().map(shown).collect(),
        ExprKind::List(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        ExprKind::Record(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(name, of)| format!("{name}: {}", shown(of))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        _ => format!("‹{}›", source(expr)),
    }
}

/// Writes an expression that waits for results as one would in kup.
fn source(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Literal(Value::Text(text)) => format!("{text:?}"),
        ExprKind::Literal(value) => value.to_string(),
        ExprKind::Result(_, name) => name.clone(),
        ExprKind::Field(of, field) => format!("{}.{field}", source(of)),
        ExprKind::Not(of) => format!("not {}", operand(of)),
        ExprKind::Binary(op, left, right) => format!("{} {} {}", operand(left), op.sign(), operand(right)),
        ExprKind::Call(func, args) => {
            let args: Vec<String> = args.iter().map(source).collect();
            format!("{}({})", func.name(), args.join(", "))
        }
        ExprKind::Text(parts) => {
            let mut text = String::new();
            for part in parts {
                // Writing to a string cannot fail.
                let _ = match &part.kind {
                    ExprKind::Literal(value) => write!(text, "{value}"),
                    _ => write!(text, "${{{}}}", source(part)),
                };
            }
            format!("{text:?}")
        }
        ExprKind::List(items) => {
            let items: Vec<String> = items.iter().map(source).collect();
            format!("[{}]", items.join(", "))
        }
        ExprKind::Record(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(name, of)| format!("{name}: {}", source(of))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        // No plan has these.
        ExprKind::Param(_)
        | ExprKind::Local(_)
        | ExprKind::Here
        | ExprKind::Set(_)
        | ExprKind::Fact(..)
        | ExprKind::Where(..)
        | ExprKind::It => "...".to_string(),
    }
}

fn operand(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Binary(..) | ExprKind::Not(_) => format!("({})", source(expr)),
        _ => source(expr),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::Facts;
    use crate::program::Set;
    use crate::span::{FileId, Span};
    use crate::value::Type;

    struct Nobody;
    impl Facts for Nobody {
        fn set(&self, _: Set) -> Vec<String> {
            Vec::new()
        }
        fn fact(&self, _: &str, _: &str) -> Option<Value> {
            None
        }
        fn label(&self, _: &str, _: &str) -> Option<String> {
            None
        }
        fn hops(&self, _: &crate::value::Version) -> Result<Vec<Value>, String> {
            Ok(Vec::new())
        }
        fn result(&self, step: u32) -> Option<Value> {
            let count = ("count".to_string(), Value::Number(i64::from(step)));
            Some(Value::Record([count, ("wanted".to_string(), Value::Bool(true))].into()))
        }
    }

    fn expr(kind: ExprKind, ty: Type) -> Expr {
        Expr { kind, ty, span: Span { file: FileId(0), start: 0, end: 0 } }
    }

    fn literal(value: Value, ty: Type) -> Expr {
        expr(ExprKind::Literal(value), ty)
    }

    fn field(of: ExprKind, name: &str, ty: Type) -> Expr {
        expr(ExprKind::Field(Box::new(expr(of, Type::Text)), name.to_string()), ty)
    }

    /// Reduces over a frame in which slot 0 is known and slot 1 waits for step 7.
    fn reduced(of: &Expr) -> Expr {
        let locals = [Value::Number(3), Value::None];
        let later = [(1, expr(ExprKind::Result(7, "todo".to_string()), Type::Text))];
        let env = Env { params: &[], locals: &locals, later: &later, here: None, it: None, facts: &Nobody };
        known(of, &env).unwrap()
    }

    fn both(op: Op, left: Expr, right: Expr) -> Expr {
        expr(ExprKind::Binary(op, Box::new(left), Box::new(right)), Type::Bool)
    }

    #[test]
    fn what_is_known_is_put_in_place_and_the_rest_waits() {
        let count = field(ExprKind::Local(1), "count", Type::Number);
        let more = both(Op::Gt, count, expr(ExprKind::Local(0), Type::Number));
        let left = reduced(&more);
        assert_eq!(shown(&left), "‹todo.count > 3›");
        let mut steps = Vec::new();
        results(&left, &mut steps);
        assert_eq!(steps, [7]);
        let env = Env { params: &[], locals: &[], later: &[], here: None, it: None, facts: &Nobody };
        assert_eq!(eval(&left, &env), Ok(Value::Bool(true)));
    }

    #[test]
    fn a_side_that_decides_alone_leaves_nothing_to_wait_for() {
        let wanted = || field(ExprKind::Local(1), "wanted", Type::Bool);
        let known = |is| literal(Value::Bool(is), Type::Bool);
        let kind = |op, left, right| reduced(&both(op, left, right)).kind;
        assert_eq!(kind(Op::And, wanted(), known(false)), known(false).kind);
        assert_eq!(kind(Op::Or, known(true), wanted()), known(true).kind);
        assert_eq!(shown(&reduced(&both(Op::And, known(true), wanted()))), "‹todo.wanted›");
        assert_eq!(shown(&reduced(&both(Op::Or, wanted(), known(false)))), "‹todo.wanted›");
    }

    #[test]
    fn a_text_shows_what_is_known_of_it() {
        let parts = vec![
            literal(Value::Text("at most ".into()), Type::Text),
            expr(ExprKind::Local(0), Type::Number),
            literal(Value::Text(" of ".into()), Type::Text),
            field(ExprKind::Local(1), "count", Type::Number),
        ];
        assert_eq!(shown(&reduced(&expr(ExprKind::Text(parts), Type::Text))), "at most 3 of ‹todo.count›");
    }
}
