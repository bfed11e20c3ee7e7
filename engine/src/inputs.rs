//! The values of a playbook's parameters: what was given, and defaults for the rest. All mistakes
//! come out at once.

use std::fmt;
use std::path::{Path, PathBuf};

use dsl::diagnostic::Diagnostic;
use dsl::eval::{Data, Env, Facts, eval, parse_value, read_data};
use dsl::nearest;
use dsl::program::{Param, Program};
use dsl::value::{Secret, Type, Value};
use indexmap::IndexMap;

/// What was given for a parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// The value as it was written.
    pub written: Written,
    /// Who gave it.
    pub origin: Origin,
    /// The folder that a relative path in it starts from.
    pub folder: PathBuf,
}

/// A value as it was written outside the playbook.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    /// Text without quotes.
    Text(String),
    /// A value of a file that has types.
    Data(Data),
    /// The place of a secret.
    Secret(Secret),
}

/// Where the value of a parameter comes from, the strongest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `--set`
    Set,
    /// `--set-file`: the content of this file.
    SetFile(String),
    /// This variable of the environment.
    Environment(String),
    /// This file of values.
    Values(String),
    /// The playbook's default.
    Default,
    /// Somebody at a terminal.
    Asked,
}

impl Given {
    /// Makes what `--set` gives, with paths as they stand.
    pub fn set(text: impl Into<String>) -> Given {
        Given { written: Written::Text(text.into()), origin: Origin::Set, folder: PathBuf::new() }
    }

    /// Returns the value, or what is wrong with it.
    pub fn value(&self, ty: &Type) -> Result<Value, String> {
        let value = match &self.written {
            Written::Text(text) => parse_value(text, ty)?,
            Written::Data(data) => read_data(data, ty)?,
            Written::Secret(secret) => Value::Secret(secret.clone()),
        };
        Ok(beside(value, &self.folder))
    }
}

/// Lets the paths of a value start from a folder.
fn beside(value: Value, folder: &Path) -> Value {
    let each = |items: Vec<Value>| items.into_iter().map(|item| beside(item, folder)).collect();
    match value {
        Value::Path(path) => {
            // Components drop a `.` within the path.
            let path: PathBuf = folder.join(path).components().collect();
            Value::Path(path.to_string_lossy().into_owned())
        }
        Value::Secret(Secret::File(path)) => {
            Value::Secret(Secret::File(folder.join(path).to_string_lossy().into_owned()))
        }
        Value::List(items) => Value::List(each(items)),
        Value::Record(fields) => {
            Value::Record(fields.into_iter().map(|(name, value)| (name, beside(value, folder))).collect())
        }
        value => value,
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Set => f.write_str("--set"),
            Origin::SetFile(file) => write!(f, "--set-file {file}"),
            Origin::Environment(variable) => write!(f, "${variable}"),
            Origin::Values(file) => f.write_str(file),
            Origin::Default => f.write_str("default"),
            Origin::Asked => f.write_str("asked"),
        }
    }
}

/// Returns where the value of each parameter comes from.
pub fn origins(program: &Program, given: &IndexMap<String, Given>) -> IndexMap<String, Origin> {
    let of = |param: &Param| given.get(&param.name).map_or(Origin::Default, |given| given.origin.clone());
    program.params.iter().map(|param| (param.name.clone(), of(param))).collect()
}

/// Returns the parameters that must be given and were not.
pub fn open<'p>(program: &'p Program, given: &IndexMap<String, Given>) -> impl Iterator<Item = &'p Param> {
    let is_open = |param: &&Param| {
        let may_be_none = matches!(param.ty, Type::Optional(_));
        param.default.is_none() && !may_be_none && !given.contains_key(&param.name)
    };
    program.params.iter().filter(is_open)
}

/// Why a parameter has no value.
#[derive(Clone, Debug, PartialEq)]
pub enum InputError {
    /// The playbook has no such parameter.
    Unknown {
        /// The name that was given.
        name: String,
        /// The parameter that was most likely meant.
        near: Option<String>,
        /// All parameters.
        known: Vec<String>,
        /// Who gave it.
        origin: Origin,
    },
    /// It must be given, and was not.
    Missing {
        /// The parameter.
        name: String,
        /// Its type, as kup writes it.
        ty: String,
        /// What it is for.
        doc: String,
        /// A value that would do.
        example: String,
    },
    /// What was given is not of its type.
    Bad {
        /// The parameter.
        name: String,
        /// What is wrong with the value.
        why: String,
        /// A value that would do.
        example: String,
        /// Who gave it.
        origin: Origin,
    },
    /// Its default has no value over this inventory.
    Default {
        /// The parameter.
        name: String,
        /// Why, with the place of the default.
        finding: Box<Diagnostic>,
    },
}

/// Returns one value a parameter, in their order.
pub fn resolve(
    program: &Program,
    given: &IndexMap<String, Given>,
    facts: &dyn Facts,
) -> Result<Vec<Value>, Vec<InputError>> {
    let names = || program.params.iter().map(|p| p.name.as_str());
    let mut errors: Vec<InputError> = given
        .iter()
        .filter(|(name, _)| !names().any(|known| known == name.as_str()))
        .map(|(name, given)| InputError::Unknown {
            name: name.clone(),
            near: nearest(name, names()).map(str::to_string),
            known: names().map(str::to_string).collect(),
            origin: given.origin.clone(),
        })
        .collect();
    let mut values = Vec::with_capacity(program.params.len());
    // A default may name earlier parameters: once one of those is wrong, it cannot be judged.
    let mut is_known = true;
    for param in &program.params {
        let value = match (given.get(&param.name), &param.default) {
            (Some(given), _) => given.value(&param.ty).map_err(|why| InputError::Bad {
                name: param.name.clone(),
                why,
                example: example(&param.ty),
                origin: given.origin.clone(),
            }),
            (None, Some(_)) if !is_known => Ok(Value::None),
            (None, Some(default)) => {
                let env = Env { params: &values, locals: &[], later: &[], here: None, it: None, facts };
                eval(default, &env).map_err(|finding| InputError::Default {
                    name: param.name.clone(),
                    finding: Box::new(finding),
                })
            }
            (None, None) if matches!(param.ty, Type::Optional(_)) => Ok(Value::None),
            (None, None) => Err(missing(param)),
        };
        values.push(value.unwrap_or_else(|error| {
            is_known = false;
            errors.push(error);
            Value::None
        }));
    }
    if errors.is_empty() { Ok(values) } else { Err(errors) }
}

fn missing(param: &Param) -> InputError {
    InputError::Missing {
        name: param.name.clone(),
        ty: param.ty.to_string(),
        doc: param.doc.clone(),
        example: example(&param.ty),
    }
}

/// Returns a value that a parameter of this type could have.
fn example(ty: &Type) -> String {
    match ty {
        Type::Bool => "true".to_string(),
        Type::Number => "3".to_string(),
        Type::Text => "\"some text\"".to_string(),
        Type::Path => "./folder".to_string(),
        Type::Duration => "10m".to_string(),
        Type::Share | Type::Batch => "10%".to_string(),
        Type::Size => "2GiB".to_string(),
        Type::Version => "v1.34.2".to_string(),
        Type::Minor => "v1.34".to_string(),
        Type::Word(words) => words.first().cloned().unwrap_or_default(),
        Type::Node => "worker-1".to_string(),
        Type::Nodes => "worker-1,worker-2".to_string(),
        Type::Secret => "env(TOKEN)".to_string(),
        Type::List(of) if matches!(**of, Type::Record(_)) => format!("[{}]", example(of)),
        Type::List(of) => example(of),
        Type::Optional(of) => example(of),
        Type::Record(fields) => {
            let needed = fields.iter().filter(|(_, ty)| !matches!(ty, Type::Optional(_)));
            let value = |ty: &Type| match ty {
                // Within braces a path stands in quotes, as in a playbook.
                Type::Path => format!("{:?}", example(ty)),
                ty => example(ty),
            };
            let needed: Vec<String> = needed.map(|(name, ty)| format!("{name}: {}", value(ty))).collect();
            format!("{{ {} }}", needed.join(", "))
        }
    }
}

/// Writes what somebody could type; what has braces in it stands in quotes there.
fn set(name: &str, example: &str) -> String {
    match example.contains('{') {
        true => format!("for example `--set '{name}={example}'`"),
        false => format!("for example `--set {name}={example}`"),
    }
}

impl InputError {
    /// Returns things to do.
    pub fn hints(&self) -> Vec<String> {
        match self {
            // A field alone is no parameter.
            InputError::Unknown { name, known, .. }
                if name.split_once('.').is_some_and(|(of, _)| known.iter().any(|known| known == of)) =>
            {
                let of = name.split('.').next().unwrap_or_default();
                vec![format!(
                    "a record is given whole: `--set '{of}={{ ... }}'`, or `[{of}]` in a file of `--values`"
                )]
            }
            InputError::Unknown { near: Some(near), .. } => vec![format!("did you mean `{near}`?")],
            InputError::Unknown { known, .. } if known.is_empty() => {
                vec!["the playbook has no parameters".to_string()]
            }
            InputError::Unknown { known, .. } => vec![format!("the playbook has {}", known.join(", "))],
            InputError::Missing { name, example, .. } => vec![set(name, example)],
            InputError::Bad { name, example, origin, .. } => match origin {
                Origin::Set | Origin::SetFile(_) | Origin::Default | Origin::Asked => {
                    vec![set(name, example)]
                }
                Origin::Environment(variable) => vec![format!("for example `{variable}={example}`")],
                // What is no number there stands in quotes, and teaches so itself.
                Origin::Values(file) => vec![format!("look at `{name}` in {file}")],
            },
            InputError::Default { name, .. } => vec![format!("give one with `--set {name}=VALUE`")],
        }
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InputError::Unknown { name, origin: Origin::Values(file), .. } => {
                write!(f, "{file}: there is no parameter `{name}`")
            }
            InputError::Unknown { name, .. } => write!(f, "there is no parameter `{name}`"),
            InputError::Missing { name, ty, doc, .. } if doc.is_empty() => {
                write!(f, "`{name}` has no value; it is a {ty}")
            }
            InputError::Missing { name, ty, doc, .. } => {
                write!(f, "`{name}` has no value; it is a {ty}: {doc}")
            }
            InputError::Bad { name, why, origin, .. } => match origin {
                Origin::Set | Origin::Default | Origin::Asked => write!(f, "`{name}`: {why}"),
                Origin::SetFile(_) | Origin::Environment(_) | Origin::Values(_) => {
                    write!(f, "`{name}` ({origin}): {why}")
                }
            },
            InputError::Default { name, finding } => {
                write!(f, "the default of `{name}` has no value here: {}", finding.message)
            }
        }
    }
}

impl std::error::Error for InputError {}

#[cfg(test)]
mod tests {
    use dsl::program::{Expr, ExprKind, Func, OnFailure, Policy, Set};
    use dsl::span::{FileId, Span};

    use super::*;
    use crate::inventory::Inventory;

    const SPAN: Span = Span { file: FileId(0), start: 0, end: 1 };

    fn program(params: &[(&str, Type, Option<ExprKind>)]) -> Program {
        let param = |(name, ty, default): &(&str, Type, Option<ExprKind>)| Param {
            name: name.to_string(),
            ty: ty.clone(),
            default: default.clone().map(|kind| Expr { kind, ty: ty.clone(), span: SPAN }),
            doc: format!("what {name} is for"),
            span: SPAN,
        };
        Program {
            title: String::new(),
            params: params.iter().map(param).collect(),
            tasks: vec![],
            stages: vec![],
            on_failure: OnFailure::Abort,
            hooks: Vec::new(),
            policy: Policy::default(),
        }
    }

    fn resolve(program: &Program, given: &[(&str, &str)]) -> Result<Vec<Value>, Vec<String>> {
        let given = given.iter().map(|(k, v)| (k.to_string(), Given::set(*v))).collect();
        super::resolve(program, &given, &Inventory::default())
            .map_err(|errors| errors.iter().map(|e| format!("{e}; {}", e.hints().join("; "))).collect())
    }

    #[test]
    fn what_is_given_counts_and_defaults_fill_the_rest() {
        let program = program(&[
            ("target", Type::Version, None),
            ("again", Type::Minor, Some(ExprKind::Param(0))),
            ("limit", Type::Number, Some(ExprKind::Literal(Value::Number(3)))),
        ]);
        let values = resolve(&program, &[("limit", "5"), ("target", "v1.34.2")]).expect("values");
        let said: Vec<String> = values.iter().map(Value::to_string).collect();
        assert_eq!(said, ["v1.34.2", "v1.34", "5"]);
    }

    #[test]
    fn all_mistakes_come_out_at_once() {
        let program = program(&[("target", Type::Version, None), ("limit", Type::Number, None)]);
        let errors = resolve(&program, &[("tarjet", "v1.34.2"), ("limit", "many")]).expect_err("mistakes");
        assert_eq!(errors.len(), 3);
        assert_eq!(errors[0], "there is no parameter `tarjet`; did you mean `target`?");
        assert_eq!(
            errors[1],
            "`target` has no value; it is a version: what target is for; for example `--set target=v1.34.2`"
        );
        assert!(errors[2].starts_with("`limit`: "), "{}", errors[2]);
        assert!(errors[2].ends_with("for example `--set limit=3`"), "{}", errors[2]);
    }

    #[test]
    fn a_record_is_given_whole() {
        let fields = vec![("host".to_string(), Type::Text), ("keys".to_string(), Type::Path)];
        let ty = Type::Record(fields);
        let program = program(&[("registry", ty.clone(), None)]);
        let values = resolve(&program, &[("registry", "{ host: a, keys: \"./k\" }")]).expect("values");
        assert_eq!(values[0].to_string(), "{host: a, keys: ./k}");
        let errors = resolve(&program, &[("registry.host", "a")]).expect_err("mistakes");
        assert_eq!(
            errors[0],
            "there is no parameter `registry.host`; a record is given whole: `--set 'registry={ ... }'`, or `[registry]` in a file of `--values`"
        );
        assert!(
            errors[1].ends_with("for example `--set 'registry={ host: \"some text\", keys: \"./folder\" }'`"),
            "{}",
            errors[1]
        );
        let given = Given { folder: PathBuf::from("/etc"), ..Given::set("{ host: a, keys: \"./k\" }") };
        assert_eq!(
            given.value(&ty).map(|value| value.to_string()),
            Ok("{host: a, keys: /etc/k}".to_string())
        );
    }

    #[test]
    fn a_path_starts_from_where_it_was_written() {
        let given = Given { folder: PathBuf::from("/etc/kup"), ..Given::set("./snapshots") };
        assert_eq!(given.value(&Type::Path), Ok(Value::Path("/etc/kup/snapshots".to_string())));
        let list = Type::List(Box::new(Type::Path));
        let given = Given { folder: PathBuf::from("/etc/kup"), ..Given::set("a, /b") };
        assert_eq!(given.value(&list).map(|v| v.to_string()), Ok("/etc/kup/a, /b".to_string()));
    }

    #[test]
    fn a_mistake_is_told_with_who_gave_it() {
        let program = program(&[("limit", Type::Number, None)]);
        let bad = |origin| {
            let given = Given { origin, ..Given::set("many") };
            let given = IndexMap::from([("limit".to_string(), given)]);
            let errors = super::resolve(&program, &given, &Inventory::default()).expect_err("a mistake");
            format!("{}; {}", errors[0], errors[0].hints().join("; "))
        };
        assert_eq!(
            bad(Origin::Environment("KUP_PARAM_limit".into())),
            "`limit` ($KUP_PARAM_limit): expected a number, found `many`; write for example `3`; for example `KUP_PARAM_limit=3`"
        );
        assert!(bad(Origin::Values("values.toml".into())).ends_with("look at `limit` in values.toml"));
    }

    #[test]
    fn a_name_that_is_near_nothing_is_shown_all_there_is() {
        let program = program(&[("target", Type::Optional(Box::new(Type::Version)), None)]);
        let errors = resolve(&program, &[("frobnicate", "1")]).expect_err("a mistake");
        assert_eq!(errors, ["there is no parameter `frobnicate`; the playbook has target"]);
        assert_eq!(resolve(&program, &[]), Ok(vec![Value::None]));
    }

    #[test]
    fn a_default_that_has_no_value_over_this_inventory_is_told() {
        let set = Expr { kind: ExprKind::Set(Set::Etcd), ty: Type::Nodes, span: SPAN };
        let program = program(&[("node", Type::Node, Some(ExprKind::Call(Func::First, vec![set])))]);
        let errors = resolve(&program, &[]).expect_err("no etcd");
        assert!(errors[0].starts_with("the default of `node` has no value here: "), "{}", errors[0]);
    }
}
