//! Reads a playbook and, file by file, what it uses.

use std::collections::HashMap;

use crate::ast;
use crate::diagnostic::Diagnostic;
use crate::nearest::{nearest, surely};
use crate::problem::Problem;
use crate::source::{BadScript, LoadError, Loader, Sources};
use crate::span::{FileId, Span};

/// A file with its tree.
pub(super) struct Module {
    pub(super) path: String,
    pub(super) ast: ast::File,
    /// What it uses: the place of the `use`, and the module if it could be read.
    pub(super) uses: Vec<(Span, Option<usize>)>,
}

/// What was read. Module 0 is the root.
pub(super) struct Loaded {
    pub(super) sources: Sources,
    pub(super) modules: Vec<Module>,
    pub(super) prelude: Vec<usize>,
    /// The modules that kup ships.
    pub(super) shipped: Vec<&'static str>,
    /// The verbs of those that nobody uses, with their modules.
    pub(super) unused: Vec<(String, &'static str)>,
    pub(super) found: Vec<Diagnostic>,
}

/// How a text becomes a tree: by its path, its name and itself.
pub(super) type Parse<'p> = &'p mut dyn FnMut(&str, FileId, &str) -> (ast::File, Vec<Diagnostic>);

/// Reads `root` and all that it uses.
pub(super) fn load(root: &str, loader: &dyn Loader, prelude: &[&str], parse: Parse<'_>) -> Loaded {
    let mut l = Loaded {
        sources: Sources::default(),
        modules: Vec::new(),
        prelude: Vec::new(),
        shipped: loader.shipped(),
        unused: Vec::new(),
        found: Vec::new(),
    };
    let mut known: HashMap<String, usize> = HashMap::new();
    match loader.load(root) {
        Ok(text) => l.add(root, &text, &mut known, parse),
        Err(error) => {
            let problem = match error {
                LoadError::NotUtf8 => Problem::Binary,
                LoadError::TooLarge { bytes, limit } => {
                    Problem::TooLarge { bytes: bytes as usize, limit: limit as usize }
                }
                LoadError::NotFound | LoadError::Io(_) => {
                    Problem::Unreadable { path: root.to_string(), why: error.to_string() }
                }
            };
            l.found.push(problem.of_the_whole());
            l.add(root, "", &mut known, parse);
            return l;
        }
    }
    for path in prelude {
        if !known.contains_key(*path) {
            match loader.load(path) {
                Ok(text) => l.add(path, &text, &mut known, parse),
                Err(error) => {
                    let path = (*path).to_string();
                    let problem = Problem::UnknownModule { path, why: error.to_string(), near: None };
                    l.found.push(problem.of_the_whole());
                    continue;
                }
            }
        }
        l.prelude.push(known[*path]);
    }
    let mut next = 0;
    while next < l.modules.len() {
        let mut spans = Vec::new();
        for item in &l.modules[next].ast.items {
            if let ast::Item::Use(paths) = item {
                spans.extend(paths.iter().copied());
            }
        }
        let mut uses = Vec::with_capacity(spans.len());
        for span in spans {
            let from = &l.modules[next].path;
            // What came from a library has its name, which says nothing of a file.
            let library = next > 0 && !from.ends_with(".kup");
            let path = target(from, l.sources.slice(span), library);
            if !known.contains_key(&path) {
                match loader.load(&path) {
                    Ok(text) => l.add(&path, &text, &mut known, parse),
                    Err(error) => l.cannot_use(span, &error),
                }
            }
            uses.push((span, known.get(&path).copied()));
        }
        l.modules[next].uses = uses;
        next += 1;
    }
    l.cycles();
    l.scripts(loader);
    for module in &l.shipped {
        if let (None, Ok(text)) = (known.get(*module), loader.load(module)) {
            l.unused.extend(verbs(&text).map(|verb| (verb, *module)));
        }
    }
    l
}

/// Reads only the names of a module's verbs: they are for a hint, and a parse of all would cost more
/// than the rest of a check.
fn verbs(text: &str) -> impl Iterator<Item = String> {
    let head = |line: &str| {
        let head = line.strip_prefix("native task ").or_else(|| line.strip_prefix("task "))?;
        let name = head.split(['(', '{']).next()?.trim();
        (!name.is_empty()).then(|| name.to_string())
    };
    text.lines().filter_map(head)
}

impl Loaded {
    fn add(&mut self, path: &str, text: &str, known: &mut HashMap<String, usize>, parse: Parse<'_>) {
        let file = self.sources.add(path, text);
        let (ast, found) = parse(path, file, text);
        self.found.extend(found);
        known.insert(path.to_string(), self.modules.len());
        self.modules.push(Module { path: path.to_string(), ast, uses: Vec::new() });
    }

    fn cannot_use(&mut self, span: Span, error: &LoadError) {
        let path = self.sources.slice(span).to_string();
        let why = match error {
            LoadError::NotFound if path.starts_with("std/") => "kup ships no such module".to_string(),
            error => error.to_string(),
        };
        let shipped = || self.shipped.iter().copied();
        let near = nearest(&path, shipped()).map(str::to_string);
        let sure = surely(&path, shipped());
        self.found.push(Problem::UnknownModule { path, why, near }.at(span).rather(sure));
    }

    /// Has the scripts read by whom can read them.
    fn scripts(&mut self, loader: &dyn Loader) {
        for module in &self.modules {
            for item in &module.ast.items {
                let ast::Item::Task(task) = item else { continue };
                let ast::TaskBody::Script(within) = &task.body else { continue };
                let text = self.sources.slice(*within);
                let params = task.positional.iter().chain(&task.named);
                let names: Vec<&str> = params.map(|p| self.sources.slice(p.name)).collect();
                if let Err(BadScript { at, message }) = loader.script(text, &names) {
                    self.found.push(Problem::BadScript(message).at(underlined(*within, text, at)));
                }
            }
        }
    }

    /// Finds files that use each other in a circle, once a circle.
    fn cycles(&mut self) {
        // 0: not seen, 1: on the way, 2: done.
        let mut state = vec![0u8; self.modules.len()];
        for start in 0..self.modules.len() {
            let mut way: Vec<(usize, usize)> = Vec::new();
            if state[start] == 0 {
                state[start] = 1;
                way.push((start, 0));
            }
            while let Some((module, edge)) = way.last_mut() {
                let module = *module;
                let Some((span, used)) = self.modules[module].uses.get(*edge).copied() else {
                    state[module] = 2;
                    way.pop();
                    continue;
                };
                *edge += 1;
                let Some(used) = used else { continue };
                if state[used] == 1 {
                    let from = way.iter().position(|(m, _)| *m == used).unwrap_or(0);
                    let mut names: Vec<&str> =
                        way[from..].iter().map(|(m, _)| self.modules[*m].path.as_str()).collect();
                    names.push(&self.modules[used].path);
                    self.found.push(Problem::UseCycle(names.join(" -> ")).at(span));
                } else if state[used] == 0 {
                    state[used] = 1;
                    way.push((used, 0));
                }
            }
        }
    }

    /// Returns the text of a module.
    pub(super) fn text(&self, module: usize) -> &str {
        self.sources.text(FileId(module as u32))
    }
}

/// Returns the path that a `use` names: `std/etcd` and `lib/announce` as they are, `./announce` beside
/// the file, or beside the one of the library.
pub(super) fn target(from: &str, used: &str, library: bool) -> String {
    if !used.starts_with('.') {
        return used.to_string();
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in used.split('/') {
        match part {
            "." => {}
            ".." if parts.last().is_some_and(|p| !matches!(*p, ".." | "")) => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    if path.ends_with(".kup") || library { path } else { format!("{path}.kup") }
}

/// Returns the word or the mark of a script that stands at a byte; at its end, what stands last.
fn underlined(within: Span, text: &str, at: usize) -> Span {
    let last = text.trim_end().char_indices().next_back().map_or(0, |(i, _)| i);
    let mut start = at.min(last);
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let rest = &text[start..];
    let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let end = start + if word > 0 { word } else { rest.chars().next().map_or(0, char::len_utf8) };
    Span { start: within.start + start as u32, end: within.start + end as u32, ..within }
}

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn a_file_is_found_beside_the_one_that_uses_it() {
        assert_eq!(target("playbooks/a.kup", "./b", false), "playbooks/b.kup");
        assert_eq!(target("a.kup", "./b.kup", false), "b.kup");
        assert_eq!(target("/x/y/a.kup", "../b", false), "/x/b.kup");
        assert_eq!(target("../a.kup", "../b", false), "../../b.kup");
        assert_eq!(target("a.kup", "std/etcd", false), "std/etcd");
        assert_eq!(target("lib/a", "./b", true), "lib/b");
    }
}
