//! What a script sees: the run, and the stage, node, step and attempt that it is about. Values only, and
//! never a secret.

use dsl::eval::{Facts, fact_names};
use dsl::value::Value;
use indexmap::IndexMap;

use crate::inventory::Inventory;
use crate::plan::{Plan, ScopeId, ScopeKind, StepId};

/// What a script is about.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight<'a> {
    pub(super) run: &'a str,
    pub(super) simulated: bool,
    pub(super) scope: Option<ScopeId>,
    pub(super) step: Option<StepId>,
    pub(super) node: Option<&'a str>,
    pub(super) attempt: u32,
    pub(super) event: &'a str,
    pub(super) reason: &'a str,
    pub(super) output: &'a str,
}

impl Sight<'_> {
    /// Returns what the names of a script mean; the arguments come last, so that they win.
    pub(super) fn values(
        &self,
        plan: &Plan,
        inventory: &Inventory,
        args: &IndexMap<String, Value>,
    ) -> IndexMap<String, Value> {
        let text = |text: &str| Value::Text(text.to_string());
        let node = |name: &str| facts(inventory, name);
        let step = self.step.map(|id| plan.step(id));
        let scope = step.map(|step| step.scope).or(self.scope);
        let about = self.node.or(step.and_then(|step| step.node.as_deref()));
        let run = record([
            ("id", text(self.run)),
            ("title", text(&plan.title)),
            ("simulated", Value::Bool(self.simulated)),
        ]);
        let of_step = step.map(|step| {
            record([("key", text(&step.key)), ("text", text(&step.text)), ("verb", text(&step.action))])
        });
        let mut sees = IndexMap::from([
            ("run".to_string(), run),
            ("params".to_string(), Value::Record(plan.params.clone())),
            ("stage".to_string(), scope.and_then(|s| stage(plan, s)).map_or(Value::None, text)),
            ("node".to_string(), about.map_or(Value::None, node)),
            ("step".to_string(), of_step.unwrap_or(Value::None)),
            ("attempt".to_string(), Value::Number(self.attempt.into())),
            ("event".to_string(), text(self.event)),
            ("reason".to_string(), text(self.reason)),
            ("output".to_string(), text(self.output)),
        ]);
        for (name, value) in args {
            let seen = match value {
                Value::Node(of) => node(of),
                other => other.clone(),
            };
            sees.insert(name.clone(), seen);
        }
        sees
    }
}

fn record<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Record(fields.into_iter().map(|(name, value)| (name.to_string(), value)).collect())
}

fn facts(inventory: &Inventory, node: &str) -> Value {
    let fact = |name: &str| (name.to_string(), inventory.fact(node, name).unwrap_or(Value::None));
    let mut facts: IndexMap<String, Value> = fact_names().map(fact).collect();
    facts.insert("name".to_string(), Value::Text(node.to_string()));
    let labels = inventory.nodes.get(node).into_iter().flat_map(|node| &node.labels);
    let labels = labels.map(|(name, value)| (name.clone(), Value::Text(value.clone())));
    facts.insert("labels".to_string(), Value::Record(labels.collect()));
    Value::Record(facts)
}

/// Returns the stage that a scope is or stands in.
pub(super) fn stage(plan: &Plan, scope: ScopeId) -> Option<&str> {
    let mut at = Some(scope);
    while let Some(id) = at {
        if let ScopeKind::Stage(name) = &plan.scope(id).kind {
            return Some(name);
        }
        at = plan.scope(id).parent;
    }
    None
}
