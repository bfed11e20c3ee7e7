//! `kup doc [WORDS]`: the header and the doc comment of a verb, as its module has them; the verbs of a
//! module, and with `--source` its text; or the text of a playbook of the binary.

use std::path::Path;

use crate::console::{BOLD, Console, DIM, RESET};
use crate::error::Error;
use crate::exit::Exit;
use crate::loader::nearest;
use crate::shipped;

/// A verb as its module's text has it.
struct Verb<'a> {
    module: &'a str,
    name: String,
    /// The doc comment's lines, without their marks.
    doc: Vec<&'a str>,
    /// The header's lines.
    header: Vec<&'a str>,
}

/// Prints one verb, or a line for each.
pub(crate) fn doc(console: Console, words: &[String], source: bool) -> Result<Exit, Error> {
    let verbs: Vec<Verb<'_>> = stdlib::modules().iter().flat_map(|(m, text)| verbs(m, text)).collect();
    if words.is_empty() {
        list(console, &verbs.iter().collect::<Vec<_>>());
        console.result(
            "\nplaybooks, to be run by their names; `kup doc std/NAME` prints one, to begin your own with:\n",
        );
        for playbook in shipped::all() {
            console.result(&format!(
                "{BOLD}{:<24}{RESET} {}",
                format!("std/{}", playbook.name),
                playbook.about()
            ));
        }
        return Ok(Exit::Done);
    }
    let wanted = words.join(" ");
    if let Some((_, text)) = stdlib::modules().iter().find(|(module, _)| *module == wanted) {
        match source {
            true => console.result(text.trim_end()),
            false => list(console, &verbs.iter().filter(|v| v.module == wanted).collect::<Vec<_>>()),
        }
        return Ok(Exit::Done);
    }
    if let Some(found) = shipped::find(Path::new(&wanted)) {
        let playbook = found.map_err(|e| Error::usage(e.message).hint(e.hint))?;
        console.result(playbook.text.trim_end());
        return Ok(Exit::Done);
    }
    let Some(verb) = verbs.iter().find(|v| v.name == wanted) else {
        let longer = format!("{wanted} ");
        let longer: Vec<&Verb<'_>> = verbs.iter().filter(|v| v.name.starts_with(&longer)).collect();
        if !longer.is_empty() {
            list(console, &longer);
            return Ok(Exit::Done);
        }
        let error = Error::usage(format!("there is no verb `{wanted}`"));
        return Err(match nearest(&wanted, verbs.iter().map(|v| v.name.clone())) {
            Some(name) => error.hint(format!("did you mean `{name}`?")),
            None => error.hint("`kup doc` lists them all"),
        });
    };
    if source {
        let module = stdlib::modules().iter().find(|(module, _)| *module == verb.module);
        module.into_iter().for_each(|(_, text)| console.result(text.trim_end()));
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

fn list(console: Console, verbs: &[&Verb<'_>]) {
    for verb in verbs {
        let doc = verb.doc.join(" ");
        let first = doc.split_once(". ").map_or(doc.trim_end_matches('.'), |(first, _)| first);
        console.result(&format!("{BOLD}{:<24}{RESET} {first}  {DIM}{}{RESET}", verb.name, verb.module));
    }
}

/// Finds the tasks of a module: the doc comment above the head, and the header's lines below it.
fn verbs<'a>(module: &'a str, text: &'a str) -> Vec<Verb<'a>> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let Some(head) = line.strip_prefix("native task ").or_else(|| line.strip_prefix("task ")) else {
            continue;
        };
        let above = lines[..i].iter().rev().take_while(|l| l.starts_with("##"));
        let mut doc: Vec<&str> = above.map(|l| l.trim_start_matches('#').trim()).collect();
        doc.reverse();
        let below = lines[i + 1..].iter().take_while(|l| l.starts_with([' ', ')']) || **l == "}");
        let name = head.split('(').next().unwrap_or_default().trim().to_string();
        let header = std::iter::once(*line).chain(below.copied()).collect();
        found.push(Verb { module, name, doc, header });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_verb_is_found_with_its_doc() {
        for (module, text) in stdlib::modules() {
            for verb in verbs(module, text) {
                assert!(!verb.doc.is_empty(), "{}", verb.name);
                assert!(verb.header[0].contains("task"), "{}", verb.name);
            }
        }
    }
}
