//! Evaluates expressions against the facts of an inventory. Pure: the same program, values and
//! facts give the same result.

use std::cmp::Ordering;

use indexmap::IndexMap;

use crate::diagnostic::Diagnostic;
use crate::problem::Problem;
use crate::program::{Expr, ExprKind, Func, Op, Set};
use crate::value::{Batch, Secret, Type, Value, Version, Window};

pub use crate::literal::{Data, parse_value, read_data};

/// Returns the names of the facts of a node.
pub fn fact_names() -> impl Iterator<Item = &'static str> {
    crate::check::FACTS.iter().map(|(name, _)| *name)
}

/// What an expression may ask about the cluster.
pub trait Facts {
    /// Returns the nodes of a set, by name, in the inventory's stable order.
    fn set(&self, set: Set) -> Vec<String>;
    /// Returns a fact of a node; `None`: the node or the fact is not known.
    fn fact(&self, node: &str, fact: &str) -> Option<Value>;
    /// Returns a label of a node.
    fn label(&self, node: &str, key: &str) -> Option<String>;
    /// Returns the way up to a version, stop by stop; an error says why there is none.
    fn hops(&self, to: &Version) -> Result<Vec<Value>, String>;
    /// Returns what a step of a plan has given back; `None`: nothing yet.
    fn result(&self, step: u32) -> Option<Value> {
        let _ = step;
        None
    }
}

/// What an expression sees.
#[derive(Clone, Copy)]
pub struct Env<'a> {
    /// The playbook's parameters.
    pub params: &'a [Value],
    /// The frame of the task or stage: parameters and loop variables.
    pub locals: &'a [Value],
    /// Slots of the frame that wait for results, instead of values.
    pub later: &'a [(u32, Expr)],
    /// The node of the innermost `each`.
    pub here: Option<&'a str>,
    /// The node that `where` looks at.
    pub it: Option<&'a str>,
    /// The cluster.
    pub facts: &'a dyn Facts,
}

/// Computes an expression. What fails here could not be known from the text alone: a set that is
/// empty, a sum that is too large.
pub fn eval(expr: &Expr, env: &Env<'_>) -> Result<Value, Diagnostic> {
    let value = match &expr.kind {
        ExprKind::Literal(value) => value.clone(),
        ExprKind::Param(id) => slot(env.params, *id, expr)?,
        ExprKind::Local(id) if env.later(*id).is_some() => return Err(not_yet(expr)),
        ExprKind::Local(id) => slot(env.locals, *id, expr)?,
        ExprKind::Result(step, _) => env.facts.result(*step).ok_or_else(|| not_yet(expr))?,
        ExprKind::Field(of, field) => match eval(of, env)? {
            Value::Record(mut fields) => fields.swap_remove(field).ok_or_else(|| not_yet(expr))?,
            _ => return Err(not_yet(expr)),
        },
        ExprKind::Here => match env.here {
            Some(node) => Value::Node(node.to_string()),
            None if matches!(expr.ty, Type::Optional(_)) => Value::None,
            None => return Err(Problem::Here.at(expr.span)),
        },
        ExprKind::It => match env.it {
            Some(node) => Value::Node(node.to_string()),
            None => return Err(Problem::LabelOutsideWhere.at(expr.span)),
        },
        ExprKind::Set(set) => Value::Nodes(env.facts.set(*set)),
        ExprKind::Fact(of, fact) => match eval(of, env)? {
            Value::Node(node) => env.facts.fact(&node, fact).unwrap_or(Value::None),
            _ => Value::None,
        },
        ExprKind::Call(func, args) => call(*func, args, expr, env)?,
        ExprKind::Not(of) => Value::Bool(!truth(of, env)?),
        ExprKind::Binary(op, left, right) => binary(*op, left, right, expr, env)?,
        ExprKind::Text(parts) => {
            let mut text = String::new();
            for part in parts {
                text.push_str(&eval(part, env)?.to_string());
            }
            Value::Text(text)
        }
        ExprKind::List(items) => Value::List(items.iter().map(|i| eval(i, env)).collect::<Result<_, _>>()?),
        ExprKind::Record(fields) => {
            let field = |(name, of): &(String, Expr)| Ok((name.clone(), eval(of, env)?));
            Value::Record(fields.iter().map(field).collect::<Result<_, Diagnostic>>()?)
        }
        ExprKind::Where(set, cond) => {
            let mut kept = Vec::new();
            for node in names(eval(set, env)?) {
                if truth(cond, &Env { it: Some(&node), ..*env })? {
                    kept.push(node);
                }
            }
            Value::Nodes(kept)
        }
    };
    convert(value, &expr.ty, expr)
}

impl<'a> Env<'a> {
    /// Returns what a slot waits for, if it waits.
    pub(crate) fn later(&self, slot: u32) -> Option<&'a Expr> {
        self.later.iter().find(|(waits, _)| *waits == slot).map(|(_, expr)| expr)
    }
}

fn slot(values: &[Value], id: u32, expr: &Expr) -> Result<Value, Diagnostic> {
    values.get(id as usize).cloned().ok_or_else(|| not_yet(expr))
}

fn not_yet(expr: &Expr) -> Diagnostic {
    Problem::OutOfRange("this has no value yet: it is known during the run".to_string()).at(expr.span)
}

fn truth(expr: &Expr, env: &Env<'_>) -> Result<bool, Diagnostic> {
    Ok(matches!(eval(expr, env)?, Value::Bool(true)))
}

/// Returns the names of the nodes in a value.
fn names(value: Value) -> Vec<String> {
    match value {
        Value::Nodes(names) => names,
        Value::Node(name) => vec![name],
        Value::List(items) => items.into_iter().flat_map(names).collect(),
        _ => Vec::new(),
    }
}

/// Returns the elements of a list, or the nodes of a set.
fn elements(value: Value, ty: &Type) -> Vec<Value> {
    match (value, ty) {
        (Value::List(items), Type::List(_)) => items,
        (value, _) => names(value).into_iter().map(Value::Node).collect(),
    }
}

fn call(func: Func, args: &[Expr], expr: &Expr, env: &Env<'_>) -> Result<Value, Diagnostic> {
    if let (Func::Label, [key, of]) = (func, args) {
        let (key, of) = (eval(key, env)?, eval(of, env)?);
        let label = key.as_text().zip(of.as_text()).and_then(|(key, node)| env.facts.label(node, key));
        return Ok(Value::Text(label.unwrap_or_default()));
    }
    let [arg] = args else {
        let problem = Problem::Arity { func: func.name(), takes: "one value" };
        return Err(problem.at(expr.span));
    };
    let value = eval(arg, env)?;
    Ok(match func {
        Func::First => match elements(value, &arg.ty).into_iter().next() {
            Some(first) => first,
            None => return Err(Problem::EmptySet.at(arg.span)),
        },
        Func::Rest => {
            let rest = elements(value, &arg.ty).into_iter().skip(1);
            if expr.ty == Type::Nodes {
                Value::Nodes(rest.flat_map(names).collect())
            } else {
                Value::List(rest.collect())
            }
        }
        Func::Count => Value::Number(match value {
            Value::Nodes(names) => names.len() as i64,
            Value::List(items) => items.len() as i64,
            _ => 0,
        }),
        Func::Minor => match value {
            Value::Version(version) => Value::Minor(version.minor()),
            value => value,
        },
        Func::Pools => pools(names(value), env.facts),
        Func::Hops => match value {
            Value::Version(to) => {
                let hops = env.facts.hops(&to).map_err(|why| Problem::NoWay(why).at(expr.span))?;
                Value::List(hops)
            }
            _ => Value::List(Vec::new()),
        },
        Func::Env | Func::File | Func::Command => {
            let text = value.as_text().unwrap_or_default().to_string();
            match Secret::of(func.name(), text) {
                Some(secret) => Value::Secret(secret),
                None => return Err(Problem::OutOfRange("the place of a secret is empty".into()).at(arg.span)),
            }
        }
        Func::Label => match (env.it, value.as_text()) {
            (Some(node), Some(key)) => Value::Text(env.facts.label(node, key).unwrap_or_default()),
            _ => Value::None,
        },
    })
}

/// Returns the pools of some nodes, in the order in which the nodes name them; nodes that are in no pool
/// are one, too.
fn pools(nodes: Vec<String>, facts: &dyn Facts) -> Value {
    let mut pools: IndexMap<String, Vec<String>> = IndexMap::new();
    for node in nodes {
        let name = facts.fact(&node, "pool").map_or(String::new(), |pool| pool.to_string());
        pools.entry(name).or_default().push(node);
    }
    let pool = |(name, nodes)| {
        let fields = [("name", Value::Text(name)), ("nodes", Value::Nodes(nodes))];
        Value::Record(fields.map(|(field, value)| (field.to_string(), value)).into_iter().collect())
    };
    Value::List(pools.into_iter().map(pool).collect())
}

fn binary(op: Op, left: &Expr, right: &Expr, expr: &Expr, env: &Env<'_>) -> Result<Value, Diagnostic> {
    match op {
        Op::And => return Ok(Value::Bool(truth(left, env)? && truth(right, env)?)),
        Op::Or => return Ok(Value::Bool(truth(left, env)? || truth(right, env)?)),
        Op::Eq | Op::Ne | Op::Lt | Op::Le | Op::Gt | Op::Ge | Op::In | Op::Add | Op::Sub => {}
    }
    let (l, r) = (eval(left, env)?, eval(right, env)?);
    let order = |wanted: fn(Ordering) -> bool| Value::Bool(compare(&l, &r).is_some_and(wanted));
    Ok(match op {
        Op::Eq => Value::Bool(same(&l, &r)),
        Op::Ne => Value::Bool(!same(&l, &r)),
        Op::Lt => order(Ordering::is_lt),
        Op::Le => order(Ordering::is_le),
        Op::Gt => order(Ordering::is_gt),
        Op::Ge => order(Ordering::is_ge),
        Op::In => Value::Bool(match &r {
            Value::Nodes(names) => l.as_text().is_some_and(|l| names.iter().any(|n| n == l)),
            Value::List(items) => items.iter().any(|i| same(i, &l)),
            _ => false,
        }),
        Op::Add | Op::Sub => return sum(op, l, r, expr),
        Op::And | Op::Or => Value::None,
    })
}

fn sum(op: Op, left: Value, right: Value, expr: &Expr) -> Result<Value, Diagnostic> {
    let add = op == Op::Add;
    let value = match (left, right) {
        (Value::Number(l), Value::Number(r)) => {
            if add { l.checked_add(r) } else { l.checked_sub(r) }.map(Value::Number)
        }
        (Value::Duration(l), Value::Duration(r)) => {
            if add { l.checked_add(r) } else { l.checked_sub(r) }.map(Value::Duration)
        }
        (Value::Size(l), Value::Size(r)) => {
            if add { l.checked_add(r) } else { l.checked_sub(r) }.map(Value::Size)
        }
        (l, r) => {
            let (mut l, r) = (names(l), names(r));
            let listed: std::collections::HashSet<&str> = r.iter().map(String::as_str).collect();
            if add {
                let have: std::collections::HashSet<String> = l.iter().cloned().collect();
                l.extend(r.into_iter().filter(|n| !have.contains(n)));
            } else {
                l.retain(|n| !listed.contains(n.as_str()));
            }
            Some(Value::Nodes(l))
        }
    };
    let out_of_range = || {
        let why = if add { "the sum is too large" } else { "the difference is less than nothing" };
        Problem::OutOfRange(why.to_string()).at(expr.span)
    };
    value.ok_or_else(out_of_range)
}

/// Texts are equal when they read the same, whether they are words, paths or names.
fn same(left: &Value, right: &Value) -> bool {
    match (left.as_text(), right.as_text()) {
        (Some(l), Some(r)) => l == r,
        _ => match (left, right) {
            (Value::Version(v), Value::Minor(m)) | (Value::Minor(m), Value::Version(v)) => v.minor() == *m,
            (left, right) => left == right,
        },
    }
}

/// Orders two values of one kind; what is not known is neither less nor more.
fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(l), Value::Number(r)) => Some(l.cmp(r)),
        (Value::Duration(l), Value::Duration(r)) | (Value::Size(l), Value::Size(r)) => Some(l.cmp(r)),
        (Value::Share(l), Value::Share(r)) => Some(l.cmp(r)),
        (Value::Version(l), Value::Version(r)) => Some(l.cmp(r)),
        (Value::Minor(l), Value::Minor(r)) => Some(l.cmp(r)),
        _ => None,
    }
}

/// Gives a value the type that the checker promised.
fn convert(value: Value, ty: &Type, expr: &Expr) -> Result<Value, Diagnostic> {
    Ok(match (ty, value) {
        (Type::Optional(of), value) if value != Value::None => convert(value, of, expr)?,
        (Type::Minor, Value::Version(version)) => Value::Minor(version.minor()),
        (Type::Batch, Value::List(items)) => {
            Value::Batch(Batch(items.iter().map(|i| window(i, expr)).collect::<Result<_, _>>()?))
        }
        (Type::Batch, value @ (Value::Number(_) | Value::Share(_))) => {
            Value::Batch(Batch(vec![window(&value, expr)?]))
        }
        (Type::Nodes, Value::Node(node)) => Value::Nodes(vec![node]),
        (Type::Nodes, value @ Value::List(_)) => Value::Nodes(names(value)),
        (Type::Path, Value::Text(text) | Value::Word(text) | Value::Node(text)) => Value::Path(text),
        (Type::Text, Value::Path(text) | Value::Word(text) | Value::Node(text)) => Value::Text(text),
        (_, value) => value,
    })
}

fn window(value: &Value, expr: &Expr) -> Result<Window, Diagnostic> {
    match value {
        Value::Number(n) if *n > 0 => Ok(Window::Count(u32::try_from(*n).unwrap_or(u32::MAX))),
        Value::Share(share) if *share > 0 => Ok(Window::Share(*share)),
        _ => Err(Problem::OutOfRange("a batch has at least one".to_string()).at(expr.span)),
    }
}
