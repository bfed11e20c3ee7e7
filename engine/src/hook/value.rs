//! Values of kup, and of JSON, as scripts have them. What has a unit is text, as one would write it:
//! `"v1.34.2"`, `"30s"`.

use dsl::value::Value;
use rhai::{Array, Dynamic, Map};

use super::fence::{ELEMENTS, TEXT};

/// How deep JSON may nest.
const DEPTH: usize = 32;

/// Returns a value of kup as a script has it; the error continues "`name`".
pub(super) fn dynamic(value: &Value) -> Result<Dynamic, String> {
    Ok(match value {
        Value::None => Dynamic::UNIT,
        Value::Bool(b) => (*b).into(),
        Value::Number(n) => (*n).into(),
        Value::Nodes(names) => {
            fits(names.len(), ELEMENTS)?;
            names.iter().map(|name| Dynamic::from(name.clone())).collect::<Array>().into()
        }
        Value::List(values) => {
            fits(values.len(), ELEMENTS)?;
            values.iter().map(dynamic).collect::<Result<Array, String>>()?.into()
        }
        Value::Record(fields) => {
            fits(fields.len(), ELEMENTS)?;
            let mut map = Map::new();
            for (name, field) in fields {
                map.insert(name.as_str().into(), dynamic(field)?);
            }
            map.into()
        }
        Value::Text(_)
        | Value::Path(_)
        | Value::Duration(_)
        // A script sees that there is one.
        | Value::Secret(_)
        | Value::Share(_)
        | Value::Size(_)
        | Value::Version(_)
        | Value::Minor(_)
        | Value::Batch(_)
        | Value::Word(_)
        | Value::Node(_) => {
            let text = value.to_string();
            fits(text.len(), TEXT)?;
            text.into()
        }
    })
}

fn fits(size: usize, limit: usize) -> Result<(), String> {
    match size <= limit {
        true => Ok(()),
        false => Err(format!("is too large for a script: {size}, and {limit} may be")),
    }
}

/// Returns JSON as a script has it.
pub(super) fn json(value: &serde_json::Value) -> Result<Dynamic, String> {
    nested(value, 0)
}

fn nested(value: &serde_json::Value, depth: usize) -> Result<Dynamic, String> {
    use serde_json::Value as Json;
    if depth > DEPTH {
        return Err(format!("is nested deeper than {DEPTH}"));
    }
    Ok(match value {
        Json::Null => Dynamic::UNIT,
        Json::Bool(b) => (*b).into(),
        Json::Number(n) => match n.as_i64() {
            Some(n) => n.into(),
            None => n.as_f64().unwrap_or(f64::NAN).into(),
        },
        Json::String(text) => {
            fits(text.len(), TEXT)?;
            text.clone().into()
        }
        Json::Array(values) => {
            fits(values.len(), ELEMENTS)?;
            values.iter().map(|v| nested(v, depth + 1)).collect::<Result<Array, String>>()?.into()
        }
        Json::Object(fields) => {
            fits(fields.len(), ELEMENTS)?;
            let mut map = Map::new();
            for (name, field) in fields {
                map.insert(name.as_str().into(), nested(field, depth + 1)?);
            }
            map.into()
        }
    })
}

/// Returns a value of a script as JSON.
pub(super) fn to_json(value: &Dynamic) -> Result<String, String> {
    serde_json::to_string(value).map_err(|e| e.to_string())
}

/// Returns a value of a script as text for people; nothing is no text.
pub(super) fn text(value: &Dynamic) -> String {
    if value.is_unit() {
        return String::new();
    }
    value.clone().into_string().unwrap_or_else(|_| value.to_string())
}
