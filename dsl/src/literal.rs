//! Reads literals: `10m`, `10%`, `2GiB`, `42`, `v1.34.2`, and the values that people give on a
//! command line.

use indexmap::IndexMap;

use crate::ast;
use crate::parse::alone;
use crate::problem::ticks;
use crate::span::Span;
use crate::value::{Batch, Minor, Secret, Type, Value, Version, Window};

/// Reads digits with a unit. The error continues a sentence that begins with the text itself.
pub(crate) fn quantity(text: &str) -> Result<Value, String> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().map(Value::Number).map_err(|_| "is too large a number".to_string());
    }
    if let Some(share) = text.strip_suffix('%') {
        return self::share(share).map(Value::Share);
    }
    if let Some(size) = size(text) {
        return size.map(Value::Size);
    }
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        let version = format!("v{text}");
        if version.parse::<Version>().is_ok() || version.parse::<Minor>().is_ok() {
            return Err(format!("is no number; if it is a version, write `{version}`"));
        }
        return Err("is no number; numbers are whole".to_string());
    }
    duration(text).map(Value::Duration)
}

/// Reads `1h30m`.
pub(crate) fn duration(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 5] =
        [("ms", 1), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    const TAUGHT: &str = "has no unit that kup knows; times are `250ms`, `30s`, `10m`, `1h30m`, `2d`, \
                          shares `10%`, sizes `2GiB`";
    let (mut rest, mut total, mut last) = (text, 0u64, u64::MAX);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| TAUGHT.to_string())?;
        let unit = &tail[..tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len())];
        let Some((_, ms)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(TAUGHT.to_string());
        };
        if *ms >= last {
            return Err("does not go from large units to small ones".to_string());
        }
        last = *ms;
        total = number.checked_mul(*ms).and_then(|ms| total.checked_add(ms)).ok_or("is too long a time")?;
        rest = &tail[unit.len()..];
    }
    // A deadline is a sum of durations; far below the limit of u64, sums cannot overflow.
    if total > 1000 * 365 * 86_400_000 { Err("is too long a time".to_string()) } else { Ok(total) }
}

fn share(text: &str) -> Result<u32, String> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) || part.len() > 2 || text.ends_with('.') {
        return Err("is no share; shares are `10%` or `2.5%`".to_string());
    }
    let hundredths = format!("{part:0<2}").parse::<u32>().ok();
    match (whole.parse::<u32>().ok(), hundredths) {
        (Some(whole), Some(h)) if whole < 100 || (whole == 100 && h == 0) => Ok(whole * 100 + h),
        _ => Err("is more than all; a share is at most `100%`".to_string()),
    }
}

/// Reads `2GiB`; `None` if it is no size at all.
fn size(text: &str) -> Option<Result<u64, String>> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let shift = match unit {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        "KB" | "MB" | "GB" | "TB" | "kB" | "K" | "M" | "G" | "T" | "Ki" | "Mi" | "Gi" | "Ti" => {
            let unit = unit[..1].to_uppercase();
            return Some(Err(format!("is no size; sizes are binary: `{number}{unit}iB`")));
        }
        _ => return None,
    };
    let bytes = number.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift));
    Some(bytes.ok_or_else(|| "is too large a size".to_string()))
}

/// Returns what a literal of this type looks like.
pub(crate) fn example(ty: &Type) -> String {
    match ty {
        Type::Bool => "true".to_string(),
        Type::Number => "3".to_string(),
        Type::Text => "\"text\"".to_string(),
        Type::Path => "\"./file\"".to_string(),
        Type::Duration => "10m".to_string(),
        Type::Share => "10%".to_string(),
        Type::Size => "2GiB".to_string(),
        Type::Version => "v1.34.2".to_string(),
        Type::Minor => "v1.34".to_string(),
        Type::Batch => "10%".to_string(),
        Type::Word(words) => words.first().cloned().unwrap_or_default(),
        Type::Node => "node".to_string(),
        Type::Nodes => "workers".to_string(),
        Type::Secret => "env(\"TOKEN\")".to_string(),
        Type::List(of) => format!("[{}]", example(of)),
        Type::Optional(of) => example(of),
        Type::Record(fields) => {
            let needed = fields.iter().filter(|(_, ty)| !matches!(ty, Type::Optional(_)));
            let needed: Vec<String> = needed.map(|(name, ty)| format!("{name}: {}", example(ty))).collect();
            format!("{{ {} }}", needed.join(", "))
        }
    }
}

/// Names a type for people: ``a version``, ``one of `a | b` ``.
pub(crate) fn describe(ty: &Type) -> String {
    match ty {
        Type::Bool => "true or false".to_string(),
        Type::Number => "a number".to_string(),
        Type::Text => "text".to_string(),
        Type::Path => "a path".to_string(),
        Type::Duration => "a duration".to_string(),
        Type::Share => "a share".to_string(),
        Type::Size => "a size".to_string(),
        Type::Version => "a version".to_string(),
        Type::Minor => "a minor version".to_string(),
        Type::Batch => "a batch".to_string(),
        Type::Word(words) => format!("one of `{}`", words.join(" | ")),
        Type::Node => "a node".to_string(),
        Type::Nodes => "a set of nodes".to_string(),
        Type::Secret => "a secret".to_string(),
        Type::List(of) => format!("a list of `{of}`"),
        Type::Optional(of) => describe(of),
        Type::Record(_) => format!("a record `{ty}`"),
    }
}

/// Reads one window of a batch.
fn window(text: &str) -> Result<Window, String> {
    match quantity(text) {
        Ok(Value::Number(n)) => match u32::try_from(n) {
            Ok(n) if n > 0 => Ok(Window::Count(n)),
            _ => Err("is no batch; a batch has at least one".to_string()),
        },
        Ok(Value::Share(0)) => Err("is no batch; a batch has at least one".to_string()),
        Ok(Value::Share(s)) => Ok(Window::Share(s)),
        _ => Err("is neither a count nor a share".to_string()),
    }
}

/// Reads the value of a parameter from text without quotes, as `--set NAME=TEXT` has it. The message
/// of an error says what was expected and shows one.
pub fn parse_value(text: &str, ty: &Type) -> Result<Value, String> {
    let trimmed = text.trim();
    let teach = || format!("expected {}, found `{text}`; write for example `{}`", describe(ty), plain(ty));
    let items = || {
        let inner = trimmed.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(trimmed);
        inner.split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::to_string).collect::<Vec<_>>()
    };
    let literal = |wanted: fn(&Value) -> bool| match quantity(trimmed) {
        Ok(value) if trimmed.starts_with(|c: char| c.is_ascii_digit()) && wanted(&value) => Ok(value),
        Ok(_) => Err(teach()),
        Err(why) if trimmed.starts_with(|c: char| c.is_ascii_digit()) => {
            Err(format!("`{text}` {why}; expected {}, for example `{}`", describe(ty), plain(ty)))
        }
        Err(_) => Err(teach()),
    };
    match ty {
        Type::Bool => match trimmed {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(teach()),
        },
        Type::Number => literal(|v| matches!(v, Value::Number(_))),
        Type::Duration => literal(|v| matches!(v, Value::Duration(_))),
        Type::Share => literal(|v| matches!(v, Value::Share(_))),
        Type::Size => literal(|v| matches!(v, Value::Size(_))),
        Type::Text => Ok(Value::Text(text.to_string())),
        Type::Path if trimmed.is_empty() => Err(teach()),
        Type::Path => Ok(Value::Path(text.to_string())),
        Type::Version => trimmed.parse().map(Value::Version).map_err(|_| teach()),
        Type::Minor => match (trimmed.parse::<Minor>(), trimmed.parse::<Version>()) {
            (Ok(minor), _) => Ok(Value::Minor(minor)),
            (_, Ok(version)) => Ok(Value::Minor(version.minor())),
            _ => Err(teach()),
        },
        Type::Batch => {
            let windows: Result<Vec<_>, _> = items().iter().map(|t| window(t)).collect();
            match windows {
                Ok(windows) if !windows.is_empty() => Ok(Value::Batch(Batch(windows))),
                _ => Err(format!(
                    "expected a batch, found `{text}`; write a count `3`, a share `10%` or a ramp `[1, 5, 20%]`"
                )),
            }
        }
        Type::Word(words) => match words.iter().find(|w| *w == trimmed) {
            Some(word) => Ok(Value::Word(word.clone())),
            None => {
                let near = crate::nearest(trimmed, words.iter().map(String::as_str));
                let hint = near.map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
                Err(format!("expected {}, found `{text}`{hint}", describe(ty)))
            }
        },
        Type::Node if trimmed.is_empty() => Err(teach()),
        Type::Node => Ok(Value::Node(trimmed.to_string())),
        Type::Nodes => Ok(Value::Nodes(items())),
        Type::List(of) if matches!(**of, Type::Record(_)) => match alone(trimmed) {
            Some(written) if matches!(written.kind, ast::ExprKind::List(_)) => {
                read_written(trimmed, &written, ty)
            }
            Some(_) | None => Err(teach_in_brackets(text, ty)),
        },
        Type::List(of) => {
            items().iter().map(|t| parse_value(t, of)).collect::<Result<_, _>>().map(Value::List)
        }
        Type::Optional(_) if matches!(trimmed, "" | "none") => Ok(Value::None),
        Type::Optional(of) => parse_value(text, of),
        Type::Record(_) => match alone(trimmed) {
            Some(written) if matches!(written.kind, ast::ExprKind::Record(_)) => {
                read_written(trimmed, &written, ty)
            }
            Some(_) | None => Err(teach_in_brackets(text, ty)),
        },
        Type::Secret => secret(trimmed).map(Value::Secret).ok_or_else(|| NO_SECRET.to_string()),
    }
}

fn teach_in_brackets(text: &str, ty: &Type) -> String {
    format!("expected {}, found `{text}`; write for example `{}`", describe(ty), example(ty))
}

/// Reads a value that was written as in a playbook. What has no brackets may do without its quotes.
fn read_written(text: &str, written: &ast::Expr, ty: &Type) -> Result<Value, String> {
    let slice = &text[written.span.start as usize..written.span.end as usize];
    match (&written.kind, ty) {
        (ast::ExprKind::Record(given), Type::Record(wanted)) => {
            let name = |span: Span| &text[span.start as usize..span.end as usize];
            let given = given.iter().map(|(span, value)| (name(*span), value));
            fields(given, wanted, |value, ty| read_written(text, value, ty))
        }
        (ast::ExprKind::List(items), Type::List(of)) => {
            items.iter().map(|item| read_written(text, item, of)).collect::<Result<_, _>>().map(Value::List)
        }
        (ast::ExprKind::Record(_), Type::Optional(of)) => read_written(text, written, of),
        (ast::ExprKind::Text(text), _) => parse_value(text, ty),
        _ => parse_value(slice, ty),
    }
}

/// Reads the fields of a record; those that may be left out are none then.
fn fields<'g, T>(
    given: impl IntoIterator<Item = (&'g str, T)>,
    wanted: &[(String, Type)],
    read: impl Fn(T, &Type) -> Result<Value, String>,
) -> Result<Value, String> {
    let mut values = IndexMap::new();
    for (name, value) in given {
        let names = || wanted.iter().map(|(name, _)| name.as_str());
        let Some((_, ty)) = wanted.iter().find(|(known, _)| known == name) else {
            let hint = match crate::nearest(name, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("its fields are {}", ticks(names()).replace(" or ", " and ")),
            };
            return Err(format!("there is no field `{name}`; {hint}"));
        };
        let value = read(value, ty).map_err(|why| format!("`{name}`: {why}"))?;
        if values.insert(name.to_string(), value).is_some() {
            return Err(format!("the field `{name}` stands there twice"));
        }
    }
    let field = |(name, ty): &(String, Type)| match (values.swap_remove(name), ty) {
        (Some(value), _) => Ok((name.clone(), value)),
        (None, Type::Optional(_)) => Ok((name.clone(), Value::None)),
        (None, ty) => {
            let (ty, example) = (describe(ty), example(ty));
            Err(format!("the field `{name}` is missing, {ty}; for example `{name}: {example}`"))
        }
    };
    wanted.iter().map(field).collect::<Result<_, _>>().map(Value::Record)
}

/// What was given is perhaps the secret itself, and is not repeated.
const NO_SECRET: &str = "a secret is never given itself, where others can read it, but by the place where it is; \
                         write `env(NAME)`, `file(PATH)` or `command(LINE)`";

/// Reads `env(NAME)`, `file(PATH)` or `command(LINE)`; quotes may stand around what is in the brackets.
fn secret(text: &str) -> Option<Secret> {
    let (source, rest) = text.split_once('(')?;
    let of = rest.strip_suffix(')')?.trim();
    let of = of.strip_prefix('"').and_then(|of| of.strip_suffix('"')).unwrap_or(of).to_string();
    Secret::of(source.trim(), of)
}

impl Secret {
    /// Returns the secret that a source holds: `env`, `file` or `command`.
    pub fn of(source: &str, what: String) -> Option<Secret> {
        match source {
            _ if what.is_empty() => None,
            "env" => Some(Secret::Env(what)),
            "file" => Some(Secret::File(what)),
            "command" => Some(Secret::Command(what)),
            _ => None,
        }
    }
}

/// A value with the type that a file of values gives it.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Number(i64),
    /// Text, which may be a version, a duration and so on.
    Text(String),
    /// A list.
    List(Vec<Data>),
    /// Named values.
    Record(IndexMap<String, Data>),
}

impl Data {
    /// Says what it is.
    fn told(&self) -> String {
        match self {
            Data::Bool(b) => format!("`{b}`"),
            Data::Number(n) => format!("the number `{n}`"),
            Data::Text(text) => format!("the text \"{text}\""),
            Data::List(_) => "a list".to_string(),
            Data::Record(_) => "a table".to_string(),
        }
    }
}

/// Reads the value of a parameter from a file of values. What has a type of its own there keeps it:
/// a number is no text, and a text is no number.
pub fn read_data(data: &Data, ty: &Type) -> Result<Value, String> {
    let wrong = || format!("expected {}, found {}", describe(ty), data.told());
    match (ty, data) {
        (Type::Secret, Data::Record(fields)) if fields.len() == 1 => match fields.first() {
            Some((source, Data::Text(of))) => Secret::of(source, of.clone()).map(Value::Secret),
            _ => None,
        }
        .ok_or_else(|| NO_SECRET.to_string()),
        // What stands there is perhaps the secret itself, and is not repeated.
        (Type::Secret, Data::Bool(_) | Data::Number(_) | Data::List(_) | Data::Record(_)) => {
            Err(NO_SECRET.to_string())
        }
        (Type::Bool, Data::Bool(b)) => Ok(Value::Bool(*b)),
        (Type::Number, Data::Number(n)) => Ok(Value::Number(*n)),
        (Type::Bool | Type::Number, _) => Err(wrong()),
        (Type::Batch, Data::Number(n)) => parse_value(&n.to_string(), ty),
        (Type::Batch, Data::List(items)) => {
            let window = |item: &Data| match item {
                Data::Number(n) => Ok(n.to_string()),
                Data::Text(text) => Ok(text.clone()),
                Data::Bool(_) | Data::List(_) | Data::Record(_) => Err(wrong()),
            };
            parse_value(&items.iter().map(window).collect::<Result<Vec<_>, _>>()?.join(","), ty)
        }
        (Type::Nodes, Data::List(items)) => {
            let name = |item: &Data| match read_data(item, &Type::Node)? {
                Value::Node(name) => Ok(name),
                _ => Err(wrong()),
            };
            items.iter().map(name).collect::<Result<_, _>>().map(Value::Nodes)
        }
        (Type::List(of), Data::List(items)) => {
            items.iter().map(|item| read_data(item, of)).collect::<Result<_, _>>().map(Value::List)
        }
        (Type::Record(wanted), Data::Record(given)) => {
            fields(given.iter().map(|(name, data)| (name.as_str(), data)), wanted, read_data)
        }
        (Type::List(_) | Type::Record(_), _) => Err(wrong()),
        (Type::Optional(_), Data::Text(text)) if text == "none" => Ok(Value::None),
        (Type::Optional(of), data) => read_data(data, of),
        (_, Data::Text(text)) => parse_value(text, ty),
        (_, Data::Bool(_) | Data::Number(_) | Data::List(_) | Data::Record(_)) => Err(wrong()),
    }
}

/// Returns an example as a command line has it, without quotes.
fn plain(ty: &Type) -> String {
    example(ty).replace('"', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_know_their_units() {
        assert_eq!(quantity("1h30m"), Ok(Value::Duration(5_400_000)));
        assert_eq!(quantity("250ms"), Ok(Value::Duration(250)));
        assert_eq!(quantity("2.5%"), Ok(Value::Share(250)));
        assert_eq!(quantity("2GiB"), Ok(Value::Size(2 << 30)));
        assert_eq!(quantity("42"), Ok(Value::Number(42)));
    }

    #[test]
    fn what_is_no_quantity_is_taught() {
        for (text, taught) in [
            ("1.34.2", "write `v1.34.2`"),
            ("10x", "no unit"),
            ("5m1h", "large units to small"),
            ("101%", "at most `100%`"),
            ("2GB", "`2GiB`"),
            ("1.5", "`v1.5`"),
            ("99999999999999999999", "too large"),
            ("99999999999999d", "too long"),
            ("1.%", "no share"),
        ] {
            let why = quantity(text).unwrap_err();
            assert!(why.contains(taught), "{text}: {why}");
        }
    }

    #[test]
    fn a_value_from_a_file_keeps_the_type_that_it_has_there() {
        let text = |t: &str| Data::Text(t.to_string());
        assert_eq!(read_data(&Data::Number(3), &Type::Number), Ok(Value::Number(3)));
        assert_eq!(
            read_data(&Data::Number(3), &Type::Batch),
            Ok(Value::Batch(Batch(vec![Window::Count(3)])))
        );
        let ramp = Data::List(vec![Data::Number(1), text("20%")]);
        let ramp = read_data(&ramp, &Type::Batch).unwrap();
        assert_eq!(ramp, Value::Batch(Batch(vec![Window::Count(1), Window::Share(2000)])));
        let list = Type::List(Box::new(Type::Duration));
        let times = read_data(&Data::List(vec![text("1m"), text("2m")]), &list).unwrap();
        assert_eq!(times.to_string(), "1m, 2m");
        for (data, ty, told) in [
            (text("true"), Type::Bool, "expected true or false, found the text \"true\""),
            (text("3"), Type::Number, "expected a number, found the text \"3\""),
            (Data::Number(3), Type::Text, "expected text, found the number `3`"),
            (Data::Bool(true), Type::Version, "expected a version, found `true`"),
            (text("1m"), list, "expected a list of `duration`, found the text \"1m\""),
            (text("soon"), Type::Duration, "expected a duration, found `soon`; write for example `10m`"),
        ] {
            assert_eq!(read_data(&data, &ty), Err(told.to_string()));
        }
    }

    #[test]
    fn a_secret_is_given_by_its_place_and_what_is_none_is_not_repeated() {
        let read = |text: &str| parse_value(text, &Type::Secret);
        assert_eq!(read("env(TOKEN)"), Ok(Value::Secret(Secret::Env("TOKEN".into()))));
        assert_eq!(read("file(\"./a b\")"), Ok(Value::Secret(Secret::File("./a b".into()))));
        assert_eq!(read("command(pass show x)"), Ok(Value::Secret(Secret::Command("pass show x".into()))));
        let table = Data::Record([("env".to_string(), Data::Text("T".into()))].into_iter().collect());
        assert_eq!(read_data(&table, &Type::Secret), Ok(Value::Secret(Secret::Env("T".into()))));
        for text in ["hunter2", "env()", "hunter2(x)", "env(hunter2"] {
            assert!(!read(text).unwrap_err().contains("hunter2"));
        }
        assert!(!read_data(&Data::Number(472), &Type::Secret).unwrap_err().contains("472"));
    }

    #[test]
    fn a_record_is_given_as_a_playbook_has_it_or_as_a_table() {
        let fields = [
            ("host", Type::Text),
            ("port", Type::Number),
            ("pause", Type::Optional(Box::new(Type::Duration))),
        ];
        let ty = Type::Record(fields.map(|(name, ty)| (name.to_string(), ty)).to_vec());
        let list = Type::List(Box::new(ty.clone()));
        let read = |text: &str| parse_value(text, &ty).map(|value| value.to_string());
        let both = Ok("{host: a.example, port: 5, pause: none}".to_string());
        assert_eq!(read("{ host: \"a.example\", port: 5 }"), both);
        assert_eq!(read("{port: 5, host: a.example}"), both);
        assert_eq!(read("{ host: a, port: 5, pause: 1m30s }"), Ok("{host: a, port: 5, pause: 1m30s}".into()));
        let text = |text: &str| Data::Text(text.to_string());
        let table = |all: &[(&str, Data)]| {
            Data::Record(all.iter().map(|(k, v)| (k.to_string(), v.clone())).collect())
        };
        let good = table(&[("host", text("a.example")), ("port", Data::Number(5))]);
        assert_eq!(read_data(&good, &ty).map(|value| value.to_string()), both);
        let two = read_data(&Data::List(vec![good.clone(), good]), &list).unwrap();
        assert!(list.holds(&two));
        let taught = |text: &str| parse_value(text, &ty).unwrap_err();
        let told = "expected a record `{ host: string, port: number, pause: duration? }`, found `a.example`; \
                    write for example `{ host: \"text\", port: 3 }`";
        assert_eq!(taught("a.example"), told);
        assert_eq!(taught("{ host: a }"), "the field `port` is missing, a number; for example `port: 3`");
        assert_eq!(taught("{ hots: a }"), "there is no field `hots`; did you mean `host`?");
        assert_eq!(taught("{ host: a, host: b }"), "the field `host` stands there twice");
        assert!(taught("{ host: a, port: many }").starts_with("`port`: expected a number, found `many`"));
        let one = parse_value("[{ host: a, port: 5 }]", &list).unwrap();
        assert!(list.holds(&one), "{one}");
        assert!(
            parse_value("{ host: a, port: 5 }, x", &list).unwrap_err().contains("write for example `[{ host")
        );
        let wrong = table(&[("host", text("a")), ("port", text("5"))]);
        assert_eq!(read_data(&wrong, &ty).unwrap_err(), "`port`: expected a number, found the text \"5\"");
    }

    #[test]
    fn a_value_from_the_command_line_is_read_by_its_type() {
        let batch = |w: &[Window]| Ok(Value::Batch(Batch(w.to_vec())));
        assert_eq!(parse_value("3", &Type::Batch), batch(&[Window::Count(3)]));
        assert_eq!(
            parse_value("[1, 5, 20%]", &Type::Batch),
            batch(&[Window::Count(1), Window::Count(5), Window::Share(2000)])
        );
        assert!(parse_value("0", &Type::Batch).is_err());
        assert_eq!(parse_value("1.34.2", &Type::Version).unwrap().to_string(), "v1.34.2");
        assert_eq!(parse_value("v1.34.2", &Type::Minor).unwrap().to_string(), "v1.34");
        assert_eq!(parse_value("none", &Type::Optional(Box::new(Type::Duration))), Ok(Value::None));
        let words = Type::Word(vec!["refuse".to_string(), "delete".to_string()]);
        assert!(parse_value("delet", &words).unwrap_err().contains("did you mean `delete`?"));
        let taught = parse_value("soon", &Type::Duration).unwrap_err();
        assert_eq!(taught, "expected a duration, found `soon`; write for example `10m`");
    }
}
