//! What a `.kup` expression can be: typed values with units, and Kubernetes versions with the
//! order that Kubernetes gives them.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use indexmap::IndexMap;

/// The node `local`: this machine, where kup runs. No node of an inventory may have this name.
pub const LOCAL: &str = "local";

/// A value of the language.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing: an optional parameter that was not given.
    None,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Number(i64),
    /// Text.
    Text(String),
    /// A file on this machine, relative to the playbook unless absolute.
    Path(String),
    /// A length of time in milliseconds.
    Duration(u64),
    /// A share of a whole in hundredths of a percent: `10%` is 1000.
    Share(u32),
    /// A size in bytes.
    Size(u64),
    /// A release such as `v1.34.2`.
    Version(Version),
    /// A minor release such as `v1.34`.
    Minor(Minor),
    /// How many at once.
    Batch(Batch),
    /// A member of an enumeration.
    Word(String),
    /// A node, by name.
    Node(String),
    /// An ordered set of nodes, by name.
    Nodes(Vec<String>),
    /// A list.
    List(Vec<Value>),
    /// A record.
    Record(IndexMap<String, Value>),
    /// A secret: where it is, never what it is.
    Secret(Secret),
}

/// Where a secret is. It is read when it is handed to a verb, and again when a run is resumed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Secret {
    /// In a variable of kup's environment.
    Env(String),
    /// In a file of this machine.
    File(String),
    /// It is what a command line prints on this machine.
    Command(String),
}

/// A type of the language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// `bool`
    Bool,
    /// `number`
    Number,
    /// `string`
    Text,
    /// `path`
    Path,
    /// `duration`
    Duration,
    /// `share`
    Share,
    /// `size`
    Size,
    /// `version`
    Version,
    /// `minor`
    Minor,
    /// `batch`
    Batch,
    /// `a | b | c`
    Word(Vec<String>),
    /// `node`
    Node,
    /// `nodes`
    Nodes,
    /// `[T]`
    List(Box<Type>),
    /// `T?`: a value of `T`, or nothing.
    Optional(Box<Type>),
    /// `{ a: T, b: U }`, in the order of the text.
    Record(Vec<(String, Type)>),
    /// `secret`
    Secret,
}

impl Type {
    /// Returns whether a value of this type is a secret, or has one within.
    pub fn is_secret(&self) -> bool {
        match self {
            Type::Secret => true,
            Type::List(of) | Type::Optional(of) => of.is_secret(),
            Type::Record(fields) => fields.iter().any(|(_, ty)| ty.is_secret()),
            _ => false,
        }
    }

    /// Returns the type of a record's field.
    pub fn field(&self, name: &str) -> Option<&Type> {
        match self {
            Type::Record(fields) => fields.iter().find(|(field, _)| field == name).map(|(_, ty)| ty),
            _ => None,
        }
    }

    /// Returns whether a value is of this type.
    pub fn holds(&self, value: &Value) -> bool {
        match (self, value) {
            (Type::Optional(_), Value::None) => true,
            (Type::Optional(of), value) => of.holds(value),
            (Type::Bool, Value::Bool(_))
            | (Type::Number, Value::Number(_))
            | (Type::Text, Value::Text(_))
            | (Type::Path, Value::Path(_))
            | (Type::Duration, Value::Duration(_))
            | (Type::Share, Value::Share(_))
            | (Type::Size, Value::Size(_))
            | (Type::Version, Value::Version(_))
            | (Type::Minor, Value::Minor(_))
            | (Type::Batch, Value::Batch(_))
            | (Type::Node, Value::Node(_))
            | (Type::Nodes, Value::Nodes(_)) => true,
            (Type::Word(words), Value::Word(word)) => words.contains(word),
            (Type::List(of), Value::List(items)) => items.iter().all(|item| of.holds(item)),
            (Type::Record(fields), Value::Record(values)) => {
                fields.len() == values.len()
                    && fields.iter().all(|(name, ty)| values.get(name).is_some_and(|value| ty.holds(value)))
            }
            _ => false,
        }
    }

    /// Returns what a step of this type gives back where its work was done already: an empty text, 0,
    /// false, an empty list, a record of these, and else nothing.
    pub fn nothing(&self) -> Value {
        match self {
            Type::Bool => Value::Bool(false),
            Type::Number => Value::Number(0),
            Type::Text => Value::Text(String::new()),
            Type::Duration => Value::Duration(0),
            Type::Share => Value::Share(0),
            Type::Size => Value::Size(0),
            Type::Nodes => Value::Nodes(Vec::new()),
            Type::List(_) => Value::List(Vec::new()),
            Type::Record(fields) => {
                Value::Record(fields.iter().map(|(name, ty)| (name.clone(), ty.nothing())).collect())
            }
            Type::Path
            | Type::Version
            | Type::Minor
            | Type::Batch
            | Type::Word(_)
            | Type::Node
            | Type::Secret
            | Type::Optional(_) => Value::None,
        }
    }
}

/// How many lanes may be out of service at once: one window, or a ramp that widens after each
/// window that ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch(pub Vec<Window>);

/// One step of a [`Batch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// So many.
    Count(u32),
    /// A share in hundredths of a percent, rounded down, at least one.
    Share(u32),
}

impl Window {
    /// Returns the number of lanes for `total` of them; never 0.
    pub fn of(self, total: usize) -> usize {
        match self {
            Window::Count(n) => (n as usize).max(1),
            Window::Share(s) => (total * s as usize / 10_000).max(1),
        }
    }
}

/// A minor release of Kubernetes, e.g. `v1.34`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minor {
    /// The major number; 1 for all of Kubernetes so far.
    pub major: u32,
    /// The minor number.
    pub minor: u32,
}

/// A release of Kubernetes, e.g. `v1.34.2`, `v1.35.0-rc.1` or `v1.28.3+k3s1`.
///
/// The order compares major, minor, patch and then the pre-release. Among equals what a vendor added
/// decides, as text, so that only equal versions are equal in order; who asks which release it is
/// compares [`Version::release`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    /// The major number.
    pub major: u32,
    /// The minor number.
    pub minor: u32,
    /// The patch number.
    pub patch: u32,
    /// `alpha.1`, `beta.0`, `rc.1`, or empty for a release.
    pub pre: String,
    /// What a vendor added, with its mark: `+k3s1`, `-gke.1200`, or empty.
    pub vendor: String,
}

impl Version {
    /// Returns the minor release this version belongs to.
    pub fn minor(&self) -> Minor {
        Minor { major: self.major, minor: self.minor }
    }

    /// Returns the version without what a vendor or a packager added: `v1.28.3-gke.1200` is v1.28.3.
    pub fn release(&self) -> Version {
        Version { vendor: String::new(), ..self.clone() }
    }

    /// Returns whether this is an alpha, a beta or a release candidate.
    pub fn is_prerelease(&self) -> bool {
        !self.pre.is_empty()
    }

    /// Returns the version without its `v`, as package names have it.
    pub fn bare(&self) -> String {
        self.to_string()[1..].to_string()
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        fn pre(p: &str) -> (u32, u32) {
            let (word, number) = p.split_once('.').unwrap_or((p, "0"));
            let rank = match word {
                "alpha" => 0,
                "beta" => 1,
                "rc" => 2,
                _ => 3, // no pre-release: the release itself, which is newest
            };
            (rank, number.parse().unwrap_or(0))
        }
        (self.major, self.minor, self.patch, pre(&self.pre))
            .cmp(&(other.major, other.minor, other.patch, pre(&other.pre)))
            .then_with(|| self.pre.cmp(&other.pre))
            .then_with(|| self.vendor.cmp(&other.vendor))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}.{}", self.major, self.minor, self.patch)?;
        if !self.pre.is_empty() {
            write!(f, "-{}", self.pre)?;
        }
        f.write_str(&self.vendor)
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}", self.major, self.minor)
    }
}

/// The text is not a version; the message says what one looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAVersion(pub String);

impl fmt::Display for NotAVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a version; a version looks like `v1.34.2`", self.0)
    }
}

impl std::error::Error for NotAVersion {}

/// Reads a number as releases have them: digits, no sign, no leading zero.
fn number(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    if plain && canonical { text.parse().ok() } else { None }
}

impl FromStr for Version {
    type Err = NotAVersion;

    /// Reads a version with or without its `v`.
    fn from_str(text: &str) -> Result<Version, NotAVersion> {
        let fail = || NotAVersion(text.to_string());
        let body = text.strip_prefix('v').unwrap_or(text);
        let cut = body.find(['-', '+']).unwrap_or(body.len());
        let (core, suffix) = body.split_at(cut);
        let mut parts = core.split('.').map(number);
        let (Some(Some(major)), Some(Some(minor)), Some(Some(patch)), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(fail());
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
        if !suffix.chars().all(allowed) || suffix.len() == 1 || suffix.len() > 64 {
            return Err(fail());
        }
        let mut version = Version { major, minor, patch, pre: String::new(), vendor: suffix.to_string() };
        if let Some(rest) = suffix.strip_prefix('-') {
            let end = rest.find(['-', '+']).unwrap_or(rest.len());
            let word = rest[..end].split('.').next().unwrap_or_default();
            if matches!(word, "alpha" | "beta" | "rc") {
                version.pre = rest[..end].to_string();
                version.vendor = rest[end..].to_string();
            }
        }
        Ok(version)
    }
}

impl FromStr for Minor {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Minor, NotAVersion> {
        let body = text.strip_prefix('v').unwrap_or(text);
        let (major, minor) = body.split_once('.').ok_or_else(|| NotAVersion(text.to_string()))?;
        match (number(major), number(minor)) {
            (Some(major), Some(minor)) => Ok(Minor { major, minor }),
            _ => Err(NotAVersion(text.to_string())),
        }
    }
}

impl Value {
    /// Returns the text of a value that is text: a string, a path, a word or a node's name.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(s) | Value::Path(s) | Value::Word(s) | Value::Node(s) => Some(s),
            _ => None,
        }
    }

    /// Returns the field of a record.
    pub fn get(&self, field: &str) -> Option<&Value> {
        match self {
            Value::Record(fields) => fields.get(field),
            _ => None,
        }
    }

    /// Writes the value as an argument of a step that is shown; a text that is not one word stands in quotes.
    pub fn argument(&self) -> String {
        let one_word = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | ':' | '%');
        match self {
            Value::Text(s) | Value::Path(s) if s.is_empty() || !s.chars().all(one_word) => format!("{s:?}"),
            Value::Record(fields) => {
                let field = |(name, value): (&String, &Value)| match value {
                    Value::List(_) | Value::Nodes(_) => format!("{name}: [{value}]"),
                    value => format!("{name}: {}", value.argument()),
                };
                format!("{{ {} }}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
            }
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Value {
    /// Writes the value as one would in `.kup`; texts stand without quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T]) -> fmt::Result {
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    f.write_str(", ")?;
                }
                write!(f, "{item}")?;
            }
            Ok(())
        }
        match self {
            Value::None => f.write_str("none"),
            Value::Bool(b) => write!(f, "{b}"),
            Value::Number(n) => write!(f, "{n}"),
            Value::Text(s) | Value::Path(s) | Value::Word(s) | Value::Node(s) => f.write_str(s),
            Value::Duration(ms) => f.write_str(&duration(*ms)),
            Value::Share(s) => f.write_str(&share(*s)),
            Value::Size(bytes) => f.write_str(&size(*bytes)),
            Value::Version(v) => write!(f, "{v}"),
            Value::Minor(m) => write!(f, "{m}"),
            Value::Batch(b) => write!(f, "{b}"),
            Value::Secret(_) => f.write_str("***"),
            Value::Nodes(names) => list(f, names),
            Value::List(items) => list(f, items),
            Value::Record(fields) => {
                f.write_str("{")?;
                for (i, (name, value)) in fields.iter().enumerate() {
                    write!(f, "{}{name}: {value}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str("}")
            }
        }
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let window = |w: &Window| match w {
            Window::Count(n) => n.to_string(),
            Window::Share(s) => share(*s),
        };
        match self.0.as_slice() {
            [one] => f.write_str(&window(one)),
            many => write!(f, "[{}]", many.iter().map(window).collect::<Vec<_>>().join(", ")),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Bool => f.write_str("bool"),
            Type::Number => f.write_str("number"),
            Type::Text => f.write_str("string"),
            Type::Path => f.write_str("path"),
            Type::Duration => f.write_str("duration"),
            Type::Share => f.write_str("share"),
            Type::Size => f.write_str("size"),
            Type::Version => f.write_str("version"),
            Type::Minor => f.write_str("minor"),
            Type::Batch => f.write_str("batch"),
            Type::Word(words) => f.write_str(&words.join(" | ")),
            Type::Node => f.write_str("node"),
            Type::Nodes => f.write_str("nodes"),
            Type::Secret => f.write_str("secret"),
            Type::List(of) => write!(f, "[{of}]"),
            Type::Optional(of) => write!(f, "{of}?"),
            Type::Record(fields) => {
                let fields: Vec<String> = fields.iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
                write!(f, "{{ {} }}", fields.join(", "))
            }
        }
    }
}

/// Writes milliseconds as `.kup` has them, e.g. `1h30m`, `15s`, `250ms`.
pub fn duration(ms: u64) -> String {
    if ms == 0 {
        return "0s".to_string();
    }
    let mut out = String::new();
    let mut rest = ms;
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        if rest >= size {
            out.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    out
}

fn share(hundredths: u32) -> String {
    match hundredths % 100 {
        0 => format!("{}%", hundredths / 100),
        rest => format!("{}.{}%", hundredths / 100, format!("{rest:02}").trim_end_matches('0')),
    }
}

fn size(bytes: u64) -> String {
    for (unit, size) in [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= size && bytes.is_multiple_of(size) {
            return format!("{}{unit}", bytes / size);
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn versions_order_as_kubernetes_orders_them() {
        let sorted = [
            "v1.9.10",
            "v1.34.2",
            "v1.35.0-alpha.3",
            "v1.35.0-beta.0",
            "v1.35.0-rc.1",
            "v1.35.0",
            "v1.35.10",
        ];
        assert!(sorted.windows(2).all(|w| v(w[0]) < v(w[1])));
        assert!(v("v1.28.3-gke.1200") > v("v1.28.3") && v("v1.28.3-gke.1200") < v("v1.28.4-rc.1"));
        assert_eq!(v("v1.28.3-gke.1200").release(), v("v1.28.3"));
        assert_eq!(v("v1.35.0-rc.1+k3s1").release(), v("v1.35.0-rc.1"));
        assert!(!v("v1.28.3+k3s1").is_prerelease());
    }

    #[test]
    fn what_is_not_a_version_is_refused() {
        for text in [
            "",
            "v1",
            "1.34",
            "v1.34.",
            "v1.34.x",
            "v01.3.4",
            "v1.34.2-",
            "v1.34.2 ",
            "v1.34.2;id",
            "v1.+3.4",
        ] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_version_is_printed_as_it_was_read() {
        for text in ["v1.34.2", "v1.35.0-rc.1", "v1.28.3+k3s1", "v1.28.3-gke.1200"] {
            assert_eq!(v(text).to_string(), text);
        }
    }

    #[test]
    fn a_share_is_rounded_down_but_never_to_nothing() {
        assert_eq!(Window::Share(1000).of(5), 1);
        assert_eq!(Window::Share(1000).of(29), 2);
        assert_eq!(Window::Count(0).of(5), 1);
    }
}
