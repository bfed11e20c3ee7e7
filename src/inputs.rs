//! Where the values of a playbook's parameters come from, the strongest first: `--set`, `--set-file`,
//! the environment, a file of values, the default, and somebody at a terminal.

use std::path::{Path, PathBuf};

use dsl::eval::Data;
use dsl::program::{Param, Program};
use dsl::value::Secret;
use engine::inputs::{self, Given, Origin, Written};
use indexmap::IndexMap;

use crate::config::absolute;
use crate::console::{BOLD, CYAN, Console, DIM, RED, RESET};
use crate::error::Error;
use crate::loader::{self, Unreadable};
use crate::printable::{one_line, printable};

/// What the name of a parameter has before it in the environment.
const VARIABLE: &str = "KUP_PARAM_";

/// What was given outside the playbook, before it is known which parameters there are.
#[derive(Clone, Debug)]
pub(crate) struct Inputs(IndexMap<String, Given>);

impl Inputs {
    /// Reads the options and the files that they name.
    pub(crate) fn read(set: &[String], set_file: &[String], values: Option<&Path>) -> Result<Inputs, Error> {
        let here = absolute(Path::new("."))?;
        let mut given = match values {
            Some(file) => values_file(file)?,
            None => IndexMap::new(),
        };
        for (name, file) in pairs("--set-file", "FILE", set_file)? {
            let text = read_text(Path::new(&file), "file")?;
            let text = text.strip_suffix('\n').unwrap_or(&text);
            let text = text.strip_suffix('\r').unwrap_or(text).to_string();
            let origin = Origin::SetFile(file);
            given.insert(name, Given { written: Written::Text(text), origin, folder: here.clone() });
        }
        for (name, text) in pairs("--set", "VALUE", set)? {
            given.insert(name, Given { folder: here.clone(), ..Given::set(text) });
        }
        Ok(Inputs(given))
    }

    /// Returns what is given for the parameters of a playbook, by the environment too.
    pub(crate) fn of(&self, program: &Program) -> Result<IndexMap<String, Given>, Error> {
        let mut given = self.0.clone();
        for param in &program.params {
            // The file, the variable is the secret itself: where it is, is its place.
            if param.ty.is_secret()
                && let Some(given) = given.get_mut(&param.name)
                && let Origin::SetFile(file) = &given.origin
            {
                given.written = Written::Secret(Secret::File(file.clone()));
            }
            // A shell cannot name a variable with a dash.
            let variable = format!("{VARIABLE}{}", param.name.replace('-', "_"));
            let is_stronger = |g: &Given| matches!(g.origin, Origin::Set | Origin::SetFile(_));
            if given.get(&param.name).is_some_and(is_stronger) {
                continue;
            }
            let text = match std::env::var(&variable) {
                Ok(text) => text,
                Err(std::env::VarError::NotPresent) => continue,
                Err(std::env::VarError::NotUnicode(_)) => {
                    return Err(Error::usage(format!("${variable} is no text")).hint("it must be UTF-8"));
                }
            };
            let written = match param.ty.is_secret() {
                true => Written::Secret(Secret::Env(variable.clone())),
                false => Written::Text(text),
            };
            let origin = Origin::Environment(variable);
            let folder = absolute(Path::new("."))?;
            given.insert(param.name.clone(), Given { written, origin, folder });
        }
        Ok(given)
    }
}

/// Asks for the parameters that have no value, where somebody is there to answer.
pub(crate) fn ask(
    console: Console,
    program: &Program,
    given: &mut IndexMap<String, Given>,
) -> Result<(), Error> {
    // A name that no parameter has may be the one that is missing, mistyped.
    if given.keys().any(|name| !program.params.iter().any(|param| param.name == *name)) {
        return Ok(());
    }
    // A secret that is typed in could not be read again when the run is resumed.
    let open: Vec<&Param> = inputs::open(program, given).filter(|param| !param.ty.is_secret()).collect();
    if open.is_empty() || !console.has_somebody() {
        return Ok(());
    }
    let folder = absolute(Path::new("."))?;
    for param in open {
        if let Some(answer) = one(console, param, &folder) {
            given.insert(param.name.clone(), answer);
        }
    }
    Ok(())
}

/// Asks for one parameter until the answer is a value; `None`: nobody wants to answer.
fn one(console: Console, param: &Param, folder: &Path) -> Option<Given> {
    let help =
        if param.doc.is_empty() { String::new() } else { format!(" {DIM}{}{RESET}", one_line(&param.doc)) };
    loop {
        let question = format!("{BOLD}{}{RESET}, a {}{help}: ", printable(&param.name), param.ty);
        let text = console.ask_text(&question)?;
        if text.is_empty() {
            continue;
        }
        let given =
            Given { written: Written::Text(text), origin: Origin::Asked, folder: folder.to_path_buf() };
        match given.value(&param.ty) {
            Ok(_) => return Some(given),
            Err(why) => console.alarm(&format!("{RED}no{RESET}: {}", printable(&why))),
        }
    }
}

/// Reads `NAME=VALUE` pairs of one option.
fn pairs(option: &str, what: &str, given: &[String]) -> Result<IndexMap<String, String>, Error> {
    let mut pairs = IndexMap::new();
    for pair in given {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(Error::usage(format!("`{option} {pair}` has no `=`"))
                .hint(format!("write `{option} {}={what}`", pair.trim())));
        };
        if pairs.insert(name.trim().to_string(), value.to_string()).is_some() {
            return Err(Error::usage(format!("`{}` is set twice", name.trim())).hint("keep one of the two"));
        }
    }
    Ok(pairs)
}

/// Reads a file of values. Its paths start from its folder.
fn values_file(path: &Path) -> Result<IndexMap<String, Given>, Error> {
    let name = path.display().to_string();
    let text = read_text(path, "values file")?;
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| {
        Error::usage(format!("`{name}`: {}", e.to_string().trim_end()))
            .hint("a values file is TOML: `target = \"v1.34.2\"`, `batch = \"10%\"`, `limit = 3`")
    })?;
    let folder = absolute(path)?.parent().map_or_else(|| PathBuf::from("/"), Path::to_path_buf);
    let given = |(key, value): (String, toml::Value)| {
        let data = data(value).map_err(|why| Error::usage(format!("`{name}`: `{key}` {why}")))?;
        let origin = Origin::Values(name.clone());
        Ok((key, Given { written: Written::Data(data), origin, folder: folder.clone() }))
    };
    table.into_iter().map(given).collect()
}

/// Returns a TOML value in the language's own types.
fn data(value: toml::Value) -> Result<Data, &'static str> {
    Ok(match value {
        toml::Value::String(text) => Data::Text(text),
        toml::Value::Integer(n) => Data::Number(n),
        toml::Value::Boolean(b) => Data::Bool(b),
        toml::Value::Array(items) => Data::List(items.into_iter().map(data).collect::<Result<_, _>>()?),
        toml::Value::Table(fields) => {
            let read = fields.into_iter().map(|(name, value)| data(value).map(|data| (name, data)));
            Data::Record(read.collect::<Result<_, _>>()?)
        }
        toml::Value::Float(_) => return Err("is a fraction; a share stands in quotes: `\"2.5%\"`"),
        toml::Value::Datetime(_) => return Err("is a date, and no parameter takes one"),
    })
}

fn read_text(path: &Path, kind: &str) -> Result<String, Error> {
    loader::read(path, kind).map_err(|Unreadable { message, hint }| Error::usage(message).hint(hint))
}

/// Says what to give instead.
pub(crate) fn explained(wrong: &inputs::InputError) -> Error {
    wrong.hints().into_iter().fold(Error::usage(wrong.to_string()), Error::hint)
}

/// Says on one line which value each parameter has, and from where.
pub(crate) fn tell(console: Console, plan: &engine::plan::Plan) {
    if !plan.params.is_empty() {
        console.say(&format!("{CYAN}with{RESET} {}", one_line(&engine::plan::params(plan))));
    }
}
