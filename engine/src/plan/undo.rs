//! Says how each change is taken back: by the step's own `undo` block, or else by what the verb's
//! header says for these arguments.

use dsl::diagnostic::Diagnostic;
use dsl::program::{Block, Step as Said, Stmt, TaskBody, UndoClass};
use dsl::value::Value;

use super::build::{Call, Draft, Frame, apart, finding, named, named_later};
use super::expand::node_of;
use super::{Undo, UndoStep, policy};

/// The law whose `allow` behind a step says that there is nothing to take back.
const SAYS_SO: &str = "undo-or-say-so";

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
    let Call { task, step: said, frame, .. } = draft.calls[call];
    if let Some(block) = &said.policy.undo {
        let frame = draft.frames[frame].clone();
        let mut steps = Vec::new();
        flatten(draft, block, &frame, 0, &mut steps)?;
        return Ok(if steps.is_empty() { Undo::Nothing } else { Undo::Steps(steps) });
    }
    let says_so = said.policy.allow.iter().any(|(law, _)| law == SAYS_SO);
    for (class, when) in &task.header.undo {
        let (call, here) = (&draft.calls[call], &draft.frames[frame].here);
        let holds = match when {
            Some(when) => draft.eval_with(when, &call.args, here.as_deref())? == Value::Bool(true),
            None => true,
        };
        if !holds {
            continue;
        }
        return Ok(match class {
            UndoClass::Repeatable => Undo::Nothing,
            UndoClass::Itself => Undo::Itself,
            // Who wrote the step knows more of it than the header does.
            UndoClass::OneWay(_) if says_so => Undo::Nothing,
            UndoClass::OneWay(why) => Undo::OneWay(why.clone()),
            UndoClass::By(step) => {
                let (locals, later) = (call.args.clone(), call.later.clone());
                let inner = Frame { locals, later, here: here.clone() };
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
            // A task that an `undo` calls may hold one.
            Stmt::When(choice) => {
                let text = "an undo is decided before the run, and this `when` during it";
                let hints = ["call a task without `when` in the `undo`"];
                return Err(finding("K0606", Some(choice.span), text, "decided during the run", &hints));
            }
            Stmt::Parallel(block) | Stmt::Sequence(block) => flatten(draft, block, frame, depth, into)?,
            Stmt::If(choice) => {
                let holds = draft.eval_in(&choice.cond, frame)?;
                let block = if holds == Value::Bool(true) { &choice.then } else { &choice.other };
                flatten(draft, block, frame, depth, into)?;
            }
            Stmt::Each(each) => {
                let elements = match draft.eval_in(&each.over, frame)? {
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
    if let Some(result) = &said.result {
        let text =
            format!("an undo is decided before the run, and `{}` is known only during it", result.name);
        return Err(finding(
            "K0606",
            Some(said.span),
            text,
            "known during the run",
            &["call a task without `let` in the `undo`"],
        ));
    }
    let args = said.args.iter().map(|arg| draft.known(arg, frame)).collect::<Result<Vec<_>, _>>()?;
    match &task.body {
        TaskBody::Native | TaskBody::Script(_) => {
            let (args, later) = apart(args);
            let (timeout, retry) = policy::settle(&[&said.policy], &task.header.policy);
            into.push(UndoStep {
                action: draft.action(task),
                text: draft.text(task, &args, &later, here),
                node: node_of(task, &args),
                args: named(task, args),
                later: named_later(task, later),
                long: task.header.long || said.policy.long,
                timeout,
                retry,
            });
            Ok(())
        }
        TaskBody::Steps { body, slots, .. } => {
            if depth >= DEEPEST {
                let text = format!("`{}` calls itself, or is nested too deeply", task.name);
                return Err(finding("K0601", Some(said.span), text, "called once more", &[]));
            }
            flatten(draft, body, &Frame::of(args, *slots, frame.here.clone()), depth + 1, into)
        }
    }
}
