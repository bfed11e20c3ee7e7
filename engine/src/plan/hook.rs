//! Makes the hooks of a plan: one for a run, a stage or any step, and one for each lane of a node. What is
//! only known when it happens, such as the reason of a failure, stands in its texts as a mark.

use dsl::program::{Hook as Said, Thing};
use dsl::value::Value;

use super::build::{Draft, Frame};
use super::{Hook, ScopeId, ScopeKind, undo};
use crate::line::Line;

/// What stands around the name of what is filled in later. No text of a playbook holds it.
const MARK: char = '\u{fdd0}';

pub(super) fn pass(draft: &mut Draft<'_>) {
    let program = draft.program;
    for said in &program.hooks {
        match said.on {
            Thing::Run => add(draft, said, Some(ScopeId(0)), None),
            Thing::Stage => match said.stage {
                Some(stage) => {
                    let scope = draft.stages[stage.0 as usize];
                    add(draft, said, Some(scope), None);
                }
                None => add(draft, said, None, None),
            },
            Thing::Step | Thing::Attempt => add(draft, said, None, None),
            Thing::Node => {
                for i in 0..draft.plan.scopes.len() {
                    let ScopeKind::Lane { of, is_node: true } = &draft.plan.scopes[i].kind else { continue };
                    let node = of.clone();
                    add(draft, said, Some(ScopeId(i as u32)), Some(node));
                }
            }
        }
    }
}

fn add<'p>(draft: &mut Draft<'p>, said: &'p Said, scope: Option<ScopeId>, node: Option<String>) {
    let mut locals: Vec<Value> = Said::NAMES.iter().map(|name| Value::Text(mark(name))).collect();
    if let Some(node) = &node {
        locals[0] = Value::Node(node.clone());
    }
    locals.resize(said.slots as usize, Value::None);
    let mut steps = Vec::new();
    let done =
        undo::flatten(draft, &said.body, &Frame { locals, later: Vec::new(), here: node }, 0, &mut steps);
    steps.iter_mut().for_each(|step| step.text = unmarked(&step.text));
    if draft.keep(done).is_some() && !steps.is_empty() {
        draft.plan.hooks.push(Hook { on: said.on, when: said.when, scope, text: said.text.clone(), steps });
    }
}

fn mark(name: &str) -> String {
    format!("{MARK}{name}{MARK}")
}

/// Fills in what is only known when it happens.
pub(crate) fn fill(value: &Value, with: &[(&str, &str)]) -> Value {
    let text = |text: &str| {
        let marked = |text: String, (name, is): &(&str, &str)| text.replace(&mark(name), is);
        with.iter().fold(text.to_string(), marked)
    };
    match value {
        Value::Text(t) if t.contains(MARK) => Value::Text(text(t)),
        Value::Path(t) if t.contains(MARK) => Value::Path(text(t)),
        Value::List(values) => Value::List(values.iter().map(|v| fill(v, with)).collect()),
        Value::Record(fields) => {
            Value::Record(fields.iter().map(|(name, v)| (name.clone(), fill(v, with))).collect())
        }
        other => other.clone(),
    }
}

/// Fills in a line for a shell: what is filled in comes from outside, and is quoted for its place.
pub(crate) fn fill_line(value: &Value, with: &[(&str, &str)]) -> Result<Value, String> {
    let Value::Text(text) = value else { return Ok(fill(value, with)) };
    let mut line = Line::default();
    // Marks come in pairs, with a name between them.
    for (i, part) in text.split(MARK).enumerate() {
        match with.iter().find(|(name, _)| i % 2 == 1 && *name == part) {
            Some((_, is)) => line.outside(is)?,
            None => line.written(part),
        }
    }
    Ok(Value::Text(line.text()))
}

/// Takes the marks off a text for people: `<reason>`.
fn unmarked(text: &str) -> String {
    // What stands in quotes is escaped.
    let text = text.replace(&MARK.escape_debug().to_string(), &MARK.to_string());
    let mut inside = false;
    let shown = |c: char| {
        if c != MARK {
            return c;
        }
        inside = !inside;
        if inside { '<' } else { '>' }
    };
    text.chars().map(shown).collect()
}
