//! What steps have given back, where others wait for it: arguments and the conditions of `when`. All of
//! it is in the journal, so a run that is resumed computes the same.

use dsl::eval::{Env, Facts, eval};
use dsl::program::{Expr, ExprKind, Set};
use dsl::value::{Value, Version};
use indexmap::IndexMap;

use super::{Effect, Machine, State, StepState};
use crate::event::Failure;
use crate::line::Line;
use crate::plan::{Branch, Plan, Step, StepId, Undo, UndoStep};

impl Machine {
    /// Returns the arguments that an effect is performed with: those of its step, or where other steps
    /// take its change back, those of each of them; to clean up, both.
    ///
    /// `is_line` says of a verb's parameter whether it is a line for a shell.
    pub fn arguments(
        &self,
        effect: &Effect,
        is_line: &dyn Fn(&str, &str) -> bool,
    ) -> Result<Vec<IndexMap<String, Value>>, Failure> {
        let of_step =
            |step: &Step| self.filled_in(&step.args, &step.later, &|name| is_line(&step.action, name));
        let of_undo =
            |undo: &UndoStep| self.filled_in(&undo.args, &undo.later, &|name| is_line(&undo.action, name));
        let (id, is_undo) = match effect {
            Effect::Clean { step, undo, .. } => {
                let what = self.plan.step(*step);
                let mut args = vec![of_step(what)?];
                if let (Undo::Steps(steps), 1..) = (&what.undo, undo) {
                    for undo in steps {
                        args.push(of_undo(undo)?);
                    }
                }
                return Ok(args);
            }
            Effect::Probe(step, _) | Effect::Cancel(step, _) => (*step, false),
            Effect::Start { step, .. } | Effect::Follow { step, .. } => (*step, false),
            Effect::Undo { step, .. } => (*step, true),
            // What is said beside the run has what its event says, and no arguments of a step.
            Effect::Hook { .. } => return Ok(Vec::new()),
        };
        let step = self.plan.step(id);
        match &step.undo {
            Undo::Steps(steps) if is_undo => steps.iter().map(of_undo).collect(),
            Undo::Steps(_) | Undo::Nothing | Undo::Itself | Undo::OneWay(_) => Ok(vec![of_step(step)?]),
        }
    }

    fn filled_in(
        &self,
        args: &IndexMap<String, Value>,
        later: &IndexMap<String, Expr>,
        is_line: &dyn Fn(&str) -> bool,
    ) -> Result<IndexMap<String, Value>, Failure> {
        let mut args = args.clone();
        for (name, expr) in later {
            let value = if is_line(name) { self.line(name, expr)? } else { self.value(expr)? };
            args.insert(name.clone(), value);
        }
        Ok(args)
    }

    /// Computes a line for a shell: what steps gave back is quoted for the place where it stands.
    fn line(&self, name: &str, expr: &Expr) -> Result<Value, Failure> {
        if self.value(expr)? == Value::None {
            return Ok(Value::None);
        }
        let mut line = Line::default();
        self.put(&mut line, expr).map_err(|mut failure| {
            failure.message = format!("`{name}` cannot be put together: {}", failure.message);
            failure
        })?;
        Ok(Value::Text(line.text()))
    }

    fn put(&self, line: &mut Line, expr: &Expr) -> Result<(), Failure> {
        if let ExprKind::Text(parts) = &expr.kind {
            return parts.iter().try_for_each(|part| self.put(line, part));
        }
        let text = self.value(expr)?.to_string();
        if expr.any(&mut |part| matches!(part.kind, ExprKind::Result(..))) {
            return line.outside(&text).map_err(|why| {
                Failure::last(format!("what an earlier step gave back is no plain word, and {why}"))
                    .with_hint("put it between double quotes, or nowhere but as a word of its own")
            });
        }
        line.written(&text);
        Ok(())
    }

    /// Returns whether a side of a `when` is done.
    pub(super) fn is_done(&self, when: &Branch) -> Result<bool, Failure> {
        Ok((self.value(&when.cond)? == Value::Bool(true)) == when.is)
    }

    fn value(&self, expr: &Expr) -> Result<Value, Failure> {
        let facts = Given { plan: &self.plan, state: &self.state };
        let env = Env { params: &[], locals: &[], later: &[], here: None, it: None, facts: &facts };
        eval(expr, &env).map_err(|wrong| Failure::last(wrong.message))
    }
}

/// The results of steps; a plan asks nothing else of the world.
struct Given<'a> {
    plan: &'a Plan,
    state: &'a State,
}

impl Facts for Given<'_> {
    fn set(&self, _: Set) -> Vec<String> {
        Vec::new()
    }

    fn fact(&self, _: &str, _: &str) -> Option<Value> {
        None
    }

    fn label(&self, _: &str, _: &str) -> Option<String> {
        None
    }

    fn hops(&self, _: &Version) -> Result<Vec<Value>, String> {
        Ok(Vec::new())
    }

    fn result(&self, step: u32) -> Option<Value> {
        let gives = self.plan.steps.get(step as usize)?.gives.as_ref()?;
        let record = self.state.step(StepId(step));
        match record.state {
            StepState::Done | StepState::Skipped => {
                // What was done already gives nothing back.
                Some(record.value.clone().unwrap_or_else(|| gives.nothing()))
            }
            // What gave something back may have been taken back since: an undo still knows it.
            StepState::Undoing { .. } | StepState::Undone | StepState::UndoFailed => record.value.clone(),
            StepState::Waiting
            | StepState::Running { .. }
            | StepState::BackingOff { .. }
            | StepState::Failed => None,
        }
    }
}
