//! What steps have given back, where others wait for it: arguments and the conditions of `when`. All of
//! it is in the journal, so a run that is resumed computes the same.

use dsl::eval::{Env, Facts, eval};
use dsl::program::{Expr, Set};
use dsl::value::{Value, Version};
use indexmap::IndexMap;

use super::{Effect, Machine, State, StepState};
use crate::event::Failure;
use crate::plan::{Branch, Plan, StepId, Undo};

impl Machine {
    /// Returns the arguments that an effect is performed with: those of its step, or where other steps
    /// take its change back, those of each of them; to clean up, both.
    pub fn arguments(&self, effect: &Effect) -> Result<Vec<IndexMap<String, Value>>, Failure> {
        let (id, is_undo) = match effect {
            Effect::Clean { step, undo, .. } => {
                let what = self.plan.step(*step);
                let mut args = vec![self.filled_in(&what.args, &what.later)?];
                if let (Undo::Steps(steps), 1..) = (&what.undo, undo) {
                    for undo in steps {
                        args.push(self.filled_in(&undo.args, &undo.later)?);
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
            Undo::Steps(steps) if is_undo => {
                steps.iter().map(|undo| self.filled_in(&undo.args, &undo.later)).collect()
            }
            Undo::Steps(_) | Undo::Nothing | Undo::Itself | Undo::OneWay(_) => {
                Ok(vec![self.filled_in(&step.args, &step.later)?])
            }
        }
    }

    fn filled_in(
        &self,
        args: &IndexMap<String, Value>,
        later: &IndexMap<String, Expr>,
    ) -> Result<IndexMap<String, Value>, Failure> {
        let mut args = args.clone();
        for (name, expr) in later {
            args.insert(name.clone(), self.value(expr)?);
        }
        Ok(args)
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
