//! Records that are written out: their fields, in the order of their type.

use indexmap::IndexMap;

use crate::ast;
use crate::diagnostic::Diagnostic;
use crate::literal::{describe, example};
use crate::problem::Problem;
use crate::program::{Expr, ExprKind};
use crate::span::Span;
use crate::value::{Type, Value};

use super::expr::{Checked, Frame, bare, literal, none, value};
use super::{Checker, Meaning};

impl<'a> Checker<'a> {
    /// Checks a record; what it is to become says which fields it has, and in which order.
    pub(super) fn record(
        &mut self,
        frame: &Frame<'a>,
        fields: &[(Span, ast::Expr)],
        span: Span,
        want: Option<&Type>,
    ) -> Checked {
        let wanted = match want.map(bare) {
            Some(Type::Record(fields)) => Some(fields),
            _ => None,
        };
        let mut given: Vec<(String, Expr)> = Vec::with_capacity(fields.len());
        for (name, value) in fields {
            let text = self.text(*name).to_string();
            if given.iter().any(|(known, _)| *known == text) {
                return Err(Problem::Twice { what: "the field", name: text }.at(*name));
            }
            let ty = match wanted {
                Some(wanted) => Some(self.field(wanted, *name)?),
                None => {
                    self.now.trace.note(*name, Meaning::Field);
                    None
                }
            };
            given.push((text, self.expr(frame, value, ty.as_ref())?));
        }
        let ty = match wanted {
            Some(wanted) => {
                given = self.complete(given, wanted, span)?;
                Type::Record(wanted.clone())
            }
            None => Type::Record(given.iter().map(|(name, of)| (name.clone(), of.ty.clone())).collect()),
        };
        let values: Option<IndexMap<String, Value>> =
            given.iter().map(|(name, of)| Some((name.clone(), value(of)?))).collect();
        Ok(match values {
            Some(values) => literal(Value::Record(values), ty, span),
            None => Expr { kind: ExprKind::Record(given), ty, span },
        })
    }

    /// Brings fields into the order of their type; what may be left out is none.
    fn complete(
        &self,
        mut given: Vec<(String, Expr)>,
        wanted: &[(String, Type)],
        span: Span,
    ) -> Result<Vec<(String, Expr)>, Diagnostic> {
        let mut all = Vec::with_capacity(wanted.len());
        for (name, ty) in wanted {
            all.push(match given.iter().position(|(known, _)| known == name) {
                Some(at) => given.swap_remove(at),
                None if matches!(ty, Type::Optional(_)) => (name.clone(), none(ty, span)),
                None => {
                    let (ty, example) = (describe(ty), example(ty));
                    return Err(Problem::MissingField { name: name.clone(), ty, example }.at(span));
                }
            });
        }
        Ok(all)
    }
}
