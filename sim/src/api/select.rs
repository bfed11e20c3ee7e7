//! Label and field selectors, as queries write them and as objects carry them.

use serde_json::Value;

use super::status::Refusal;

/// What a list or watch wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Select {
    labels: Vec<Label>,
    fields: Vec<(String, bool, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Label {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

impl Select {
    /// Reads `labelSelector` and `fieldSelector`.
    pub(super) fn parse(labels: &str, fields: &str) -> Result<Select, Refusal> {
        let labels = split(labels).into_iter().map(label).collect::<Result<_, _>>()?;
        let fields = split(fields).into_iter().map(field).collect::<Result<_, _>>()?;
        Ok(Select { labels, fields })
    }

    /// Returns whether an object is wanted.
    pub(super) fn wants(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.labels.iter().all(|l| l.wants(labels))
            && self.fields.iter().all(|(path, equal, value)| {
                let found = path.split('.').fold(object, |o, part| &o[part]);
                let same = match found {
                    Value::String(text) => text == value,
                    Value::Null => value.is_empty() || (path == "spec.unschedulable" && value == "false"),
                    Value::Bool(flag) => value == if *flag { "true" } else { "false" },
                    Value::Number(_) | Value::Array(_) | Value::Object(_) => false,
                };
                same == *equal
            })
    }

    /// Returns the only node whose pods are wanted, if the selector names one.
    pub(super) fn node(&self) -> Option<&str> {
        self.fields
            .iter()
            .find(|(path, equal, _)| path == "spec.nodeName" && *equal)
            .map(|(.., v)| v.as_str())
    }
}

impl Label {
    fn wants(&self, labels: &Value) -> bool {
        let value = |key: &str| labels[key].as_str();
        match self {
            Label::In(key, values) => value(key).is_some_and(|v| values.iter().any(|w| w == v)),
            Label::NotIn(key, values) => !value(key).is_some_and(|v| values.iter().any(|w| w == v)),
            Label::Exists(key) => value(key).is_some(),
            Label::Missing(key) => value(key).is_none(),
        }
    }
}

/// Returns whether a `LabelSelector` object selects these labels; an empty one selects all, a missing one none.
pub(crate) fn selects(selector: &Value, labels: &Value) -> bool {
    let Some(selector) = selector.as_object() else { return false };
    let equal = selector.get("matchLabels").and_then(Value::as_object);
    let equal = equal.is_none_or(|wanted| wanted.iter().all(|(k, v)| labels[k] == *v));
    let expressions = selector.get("matchExpressions").and_then(Value::as_array);
    equal
        && expressions.into_iter().flatten().all(|e| {
            let key = e["key"].as_str().unwrap_or("").to_string();
            let values = e["values"].as_array().into_iter().flatten();
            let values = values.filter_map(Value::as_str).map(str::to_string).collect();
            match e["operator"].as_str() {
                Some("In") => Label::In(key, values).wants(labels),
                Some("NotIn") => Label::NotIn(key, values).wants(labels),
                Some("Exists") => Label::Exists(key).wants(labels),
                Some("DoesNotExist") => Label::Missing(key).wants(labels),
                _ => false,
            }
        })
}

/// Splits at the commas outside parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0;
    text.split(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => (),
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|part| !part.is_empty())
    .collect()
}

fn label(text: &str) -> Result<Label, Refusal> {
    let wrong = || Refusal::bad_request(format!("unable to parse requirement: `{text}`"));
    if let Some((head, values)) = text.split_once('(') {
        let values = values.strip_suffix(')').ok_or_else(wrong)?;
        let values = values.split(',').map(|v| v.trim().to_string()).collect();
        return match head.split_whitespace().collect::<Vec<_>>()[..] {
            [key, "in"] => Ok(Label::In(key.to_string(), values)),
            [key, "notin"] => Ok(Label::NotIn(key.to_string(), values)),
            _ => Err(wrong()),
        };
    }
    let one = |key: &str, value: &str| (key.trim().to_string(), vec![value.trim().to_string()]);
    if let Some((key, value)) = text.split_once("!=") {
        let (key, value) = one(key, value);
        return Ok(Label::NotIn(key, value));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        let (key, value) = one(key, value);
        return Ok(Label::In(key, value));
    }
    match text.strip_prefix('!') {
        Some(key) => Ok(Label::Missing(key.trim().to_string())),
        None => Ok(Label::Exists(text.to_string())),
    }
}

fn field(text: &str) -> Result<(String, bool, String), Refusal> {
    let (path, equal, value) = if let Some((path, value)) = text.split_once("!=") {
        (path, false, value)
    } else {
        let (path, value) = text.split_once("==").or_else(|| text.split_once('=')).ok_or_else(|| {
            Refusal::bad_request(format!("invalid selector: '{text}'; can't understand '{text}'"))
        })?;
        (path, true, value)
    };
    const KNOWN: [&str; 8] = [
        "metadata.name",
        "metadata.namespace",
        "spec.nodeName",
        "spec.unschedulable",
        "status.phase",
        "involvedObject.name",
        "involvedObject.namespace",
        "involvedObject.kind",
    ];
    if !KNOWN.contains(&path) {
        return Err(Refusal::bad_request(format!("field label not supported: {path}")));
    }
    Ok((path.to_string(), equal, value.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_read_equality_sets_and_fields() {
        let pod = json!({"metadata": {"name": "a", "labels": {"app": "web", "tier": "x"}}, "spec": {"nodeName": "w1"}});
        let wants = |labels, fields| Select::parse(labels, fields).unwrap().wants(&pod);
        assert!(wants("app=web,tier!=y", "spec.nodeName=w1"));
        assert!(wants("app in (web, api),!gone,tier", ""));
        assert!(!wants("app notin (web)", ""));
        assert!(!wants("", "metadata.name!=a"));
        assert!(Select::parse("", "spec.hostname=a").is_err());
        assert!(selects(&json!({}), &json!({})) && !selects(&Value::Null, &json!({})));
    }
}
