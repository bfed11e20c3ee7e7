//! Says how each change is taken back: by the step's own `undo` block, or else by what the verb's
//! header says for these arguments.

use dsl::diagnostic::Diagnostic;
use dsl::program::{Block, Step as Said, Stmt, TaskBody, UndoClass};
use dsl::value::Value;

use super::build::{Draft, Frame, finding};
use super::expand::{named, node_of};
use super::{Undo, UndoStep, policy};

/// As deep as tasks may call tasks.
const DEEPEST: usize = 64;

pub(super) fn pass(draft: &mut Draft<'_>) {
    for i in 0..draft.calls.len() {
        let undo = undo(draft, i);
        if let Some(undo) = draft.keep(undo) {
            draft.plan.steps[i].undo = undo;
        }
    }
}

fn undo(draft: &mut Draft<'_>, call: usize) -> Result<Undo, Diagnostic> {
    let call = &draft.calls[call];
    let (task, args) = (call.task, call.args.clone());
    let frame = draft.frames[call.frame].clone();
    if let Some(block) = &call.step.policy.undo {
        let mut steps = Vec::new();
        flatten(draft, block, &frame, 0, &mut steps)?;
        return Ok(if steps.is_empty() { Undo::Nothing } else { Undo::Steps(steps) });
    }
    for (class, when) in &task.header.undo {
        let holds = match when {
            Some(when) => draft.eval_with(when, &args, frame.here.as_deref())? == Value::Bool(true),
            None => true,
        };
        if !holds {
            continue;
        }
        return Ok(match class {
            UndoClass::Repeatable => Undo::Nothing,
            UndoClass::Itself => Undo::Itself,
            UndoClass::OneWay(why) => Undo::OneWay(why.clone()),
            UndoClass::By(step) => {
                let inner = Frame { locals: args.clone(), here: frame.here.clone() };
                let mut steps = Vec::new();
                self::step(draft, step, &inner, 0, &mut steps)?;
                Undo::Steps(steps)
            }
        });
    }
    Ok(Undo::Nothing)
}

/// Unrolls an undo block into one sequence.
pub(super) fn flatten<'p>(
    draft: &mut Draft<'p>,
    block: &'p Block,
    frame: &Frame,
    depth: usize,
    into: &mut Vec<UndoStep>,
) -> Result<(), Diagnostic> {
    for stmt in &block.0 {
        match stmt {
            Stmt::Step(said) => step(draft, said, frame, depth, into)?,
            Stmt::Parallel(block) | Stmt::Sequence(block) => flatten(draft, block, frame, depth, into)?,
            Stmt::If(choice) => {
                let holds = draft.eval_with(&choice.cond, &frame.locals, frame.here.as_deref())?;
                let block = if holds == Value::Bool(true) { &choice.then } else { &choice.other };
                flatten(draft, block, frame, depth, into)?;
            }
            Stmt::Each(each) => {
                let elements = match draft.eval_with(&each.over, &frame.locals, frame.here.as_deref())? {
                    Value::Nodes(names) => names.into_iter().map(Value::Node).collect(),
                    Value::List(values) => values,
                    other => vec![other],
                };
                for element in elements {
                    let mut lane = frame.clone();
                    if let Value::Node(name) = &element {
                        lane.here = Some(name.clone());
                    }
                    let slot = each.slot as usize;
                    if lane.locals.len() <= slot {
                        lane.locals.resize(slot + 1, Value::None);
                    }
                    lane.locals[slot] = element;
                    flatten(draft, &each.body, &lane, depth, into)?;
                }
            }
        }
    }
    Ok(())
}

fn step<'p>(
    draft: &mut Draft<'p>,
    said: &'p Said,
    frame: &Frame,
    depth: usize,
    into: &mut Vec<UndoStep>,
) -> Result<(), Diagnostic> {
    let task = &draft.program.tasks[said.task.0 as usize];
    let here = frame.here.as_deref();
    let args: Vec<Value> =
        said.args.iter().map(|arg| draft.eval_with(arg, &frame.locals, here)).collect::<Result<_, _>>()?;
    match &task.body {
        TaskBody::Native | TaskBody::Script(_) => {
            let (timeout, retry) = policy::settle(&[&said.policy], &task.header.policy);
            into.push(UndoStep {
                action: draft.action(task),
                text: draft.text(task, &args, here),
                node: node_of(task, &args),
                args: named(task, &args),
                long: task.header.long || said.policy.long,
                timeout,
                retry,
            });
            Ok(())
        }
        TaskBody::Steps { body, slots, .. } => {
            if depth >= DEEPEST {
                let text = format!("`{}` calls itself, or is nested too deeply", task.name);
                return Err(finding("K0601", Some(said.span), text, &[]));
            }
            let mut locals = args;
            locals.resize((*slots as usize).max(locals.len()), Value::None);
            flatten(draft, body, &Frame { locals, here: frame.here.clone() }, depth + 1, into)
        }
    }
}
