//! The handle of a drain: which pods are to go, and how far each is. It is complete enough for
//! another process to go on with, and harmless when it is old: an eviction names the pod's uid.

use std::time::Duration;

use dsl::value::Value;
use engine::event::Failure;
use indexmap::IndexMap;

use super::eviction::Target;

/// What a drain has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    /// How many pods there were.
    pub(crate) total: usize,
    /// The pods that are still there.
    pub(crate) pods: Vec<Victim>,
    /// The persistent volumes that must be detached afterwards.
    pub(crate) volumes: Vec<String>,
    /// When the last pod was gone, since the Unix epoch.
    pub(crate) gone: Option<Duration>,
}

/// A pod that is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Victim {
    /// Which.
    pub(crate) target: Target,
    /// The API has accepted its eviction.
    pub(crate) evicted: bool,
    /// When to ask again, since the Unix epoch.
    pub(crate) retry: Duration,
    /// Why it was not accepted.
    pub(crate) why: String,
}

impl Work {
    /// Makes the work of evicting these pods.
    pub(crate) fn new(targets: Vec<Target>, volumes: Vec<String>) -> Work {
        let victim = |target| Victim { target, evicted: false, retry: Duration::ZERO, why: String::new() };
        Work { total: targets.len(), pods: targets.into_iter().map(victim).collect(), volumes, gone: None }
    }

    /// Returns what was done.
    pub(crate) fn summary(&self) -> String {
        let pods = if self.total == 1 {
            "1 pod evicted".to_string()
        } else {
            format!("{} pods evicted", self.total)
        };
        match self.volumes.as_slice() {
            [] => pods,
            volumes => format!("{pods}; still attached: {}", volumes.join(", ")),
        }
    }

    /// Writes the handle.
    pub(crate) fn to_value(&self) -> Value {
        let pod = |victim: &Victim| {
            record([
                ("ns", Value::Text(victim.target.namespace.clone())),
                ("name", Value::Text(victim.target.name.clone())),
                ("uid", Value::Text(victim.target.uid.clone())),
                ("evicted", Value::Bool(victim.evicted)),
                ("retry", Value::Number(millis(victim.retry))),
                ("why", Value::Text(victim.why.clone())),
            ])
        };
        record([
            ("total", Value::Number(i64::try_from(self.total).unwrap_or(i64::MAX))),
            ("pods", Value::List(self.pods.iter().map(pod).collect())),
            ("volumes", Value::List(self.volumes.iter().cloned().map(Value::Text).collect())),
            ("gone", self.gone.map_or(Value::None, |at| Value::Number(millis(at)))),
        ])
    }

    /// Reads the handle.
    pub(crate) fn from_value(value: &Value) -> Result<Work, Failure> {
        read(value).ok_or_else(|| Failure::unknown("the journal's record of this drain cannot be read"))
    }
}

fn record<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Record(
        fields.into_iter().map(|(name, value)| (name.to_string(), value)).collect::<IndexMap<_, _>>(),
    )
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn read(value: &Value) -> Option<Work> {
    let time = |value: &Value| match value {
        Value::Number(ms) => Some(Duration::from_millis(u64::try_from(*ms).ok()?)),
        _ => None,
    };
    let text = |value: &Value, field: &str| value.get(field)?.as_text().map(str::to_string);
    let pod = |value: &Value| {
        let target =
            Target { namespace: text(value, "ns")?, name: text(value, "name")?, uid: text(value, "uid")? };
        let evicted = value.get("evicted")? == &Value::Bool(true);
        Some(Victim { target, evicted, retry: time(value.get("retry")?)?, why: text(value, "why")? })
    };
    let (Value::List(pods), Value::List(volumes)) = (value.get("pods")?, value.get("volumes")?) else {
        return None;
    };
    let Value::Number(total) = value.get("total")? else { return None };
    Some(Work {
        total: usize::try_from(*total).ok()?,
        pods: pods.iter().map(pod).collect::<Option<_>>()?,
        volumes: volumes.iter().map(|v| v.as_text().map(str::to_string)).collect::<Option<_>>()?,
        gone: time(value.get("gone")?),
    })
}
