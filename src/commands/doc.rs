//! `kup doc [WORDS]`: a verb, the verbs of a module, or the text of a playbook of the binary; for
//! people, as JSON, or all of it as pages with `--site`.

use std::fs;
use std::path::Path;

use crate::console::{BOLD, Console, DIM, GREEN, RESET, Style};
use crate::doc::json::{PlaybookLine, VerbLine, WordLine};
use crate::doc::{Reference, Verb, site};
use crate::error::Error;
use crate::exit::Exit;
use crate::loader::{nearest, reason};
use crate::printable::printable;
use crate::report::{count, line};
use crate::shipped;

/// Prints one verb, or a line for each.
pub(crate) fn doc(
    console: Console,
    words: &[String],
    source: bool,
    pages: Option<&Path>,
) -> Result<Exit, Error> {
    let reference = Reference::shipped();
    if let Some(folder) = pages {
        return write(console, &reference, folder);
    }
    if words.is_empty() {
        all(console, &reference);
        return Ok(Exit::Done);
    }
    let wanted = words.join(" ");
    if let Some(module) = reference.modules.iter().find(|module| module.name == wanted) {
        match source {
            true => console.result(module.text.trim_end()),
            false => verbs(console, &module.verbs.iter().collect::<Vec<_>>()),
        }
        return Ok(Exit::Done);
    }
    if let Some(found) = shipped::find(Path::new(&wanted)) {
        let playbook = found.map_err(|e| Error::usage(e.message).hint(e.hint))?;
        match reference.playbooks.iter().find(|p| p.name == wanted) {
            Some(playbook) if console.style == Style::Json => {
                console.result(&line(&PlaybookLine::from(playbook)));
            }
            Some(_) | None => console.result(playbook.text.trim_end()),
        }
        return Ok(Exit::Done);
    }
    let Some(verb) = reference.verbs().find(|v| v.name == wanted) else {
        let longer = format!("{wanted} ");
        let longer: Vec<&Verb> = reference.verbs().filter(|v| v.name.starts_with(&longer)).collect();
        if !longer.is_empty() {
            verbs(console, &longer);
            return Ok(Exit::Done);
        }
        let error = Error::usage(format!("there is no verb `{wanted}`"));
        return Err(match nearest(&wanted, reference.verbs().map(|v| v.name.clone())) {
            Some(name) => error.hint(format!("did you mean `{name}`?")),
            None => error.hint("`kup doc` lists them all"),
        });
    };
    if source {
        let module = reference.modules.iter().find(|module| module.name == verb.module);
        module.into_iter().for_each(|module| console.result(module.text.trim_end()));
        return Ok(Exit::Done);
    }
    if console.style == Style::Json {
        verbs(console, &[verb]);
        return Ok(Exit::Done);
    }
    console.result(&format!("{BOLD}{}{RESET}  {DIM}{}{RESET}\n", verb.name, verb.module));
    for line in &verb.doc {
        console.result(&format!("  {line}"));
    }
    console.result("");
    for line in &verb.header {
        console.result(&format!("  {line}"));
    }
    Ok(Exit::Done)
}

/// Prints a line for each verb and playbook; for programs also one for each word of the language.
fn all(console: Console, reference: &Reference) {
    verbs(console, &reference.verbs().collect::<Vec<_>>());
    if console.style == Style::Json {
        reference.playbooks.iter().for_each(|p| console.result(&line(&PlaybookLine::from(p))));
        dsl::ask::words().iter().for_each(|word| console.result(&line(&WordLine::from(word))));
        return;
    }
    console.result(
        "\nplaybooks, to be run by their names; `kup doc std/NAME` prints one, to begin your own with:\n",
    );
    for playbook in &reference.playbooks {
        let about = playbook.about.lines().next().unwrap_or_default().trim();
        console.result(&format!("{BOLD}{:<24}{RESET} {about}", playbook.name));
    }
}

fn verbs(console: Console, verbs: &[&Verb]) {
    for verb in verbs {
        match console.style {
            Style::Json => console.result(&line(&VerbLine::from(*verb))),
            Style::Human | Style::Plain => {
                let first = verb.first_sentence();
                console
                    .result(&format!("{BOLD}{:<24}{RESET} {first}  {DIM}{}{RESET}", verb.name, verb.module));
            }
        }
    }
}

/// Writes the pages into a folder, which is made if it is not there.
fn write(console: Console, reference: &Reference, folder: &Path) -> Result<Exit, Error> {
    let name = folder.display().to_string();
    let fail = |e: std::io::Error| Error::usage(format!("cannot write `{name}`: {}", reason(&e)));
    let files = site::files(reference);
    fs::create_dir_all(folder).map_err(fail)?;
    for (file, content) in &files {
        fs::write(folder.join(file), content).map_err(fail)?;
    }
    let pages = count(files.len(), "page");
    console.say(&format!("{}: {GREEN}{pages}{RESET}; open `index.html`", printable(&name)));
    Ok(Exit::Done)
}
