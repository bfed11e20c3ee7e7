//! Reads playbooks from disk, and the modules of the standard library from the binary. What cannot
//! be a playbook is refused with the reason.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// No playbook is larger; what is larger was named by mistake.
const MAX_BYTES: u64 = dsl::source::LIMIT as u64;

/// What is read most often.
pub(crate) const PLAYBOOK: &str = "playbook";

/// Why a file cannot be read as a playbook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// A lowercase fragment.
    pub(crate) message: String,
    /// What to do; may be empty.
    pub(crate) hint: String,
}

/// Reads a text file that should be a `kind`, such as `playbook`.
pub(crate) fn read(path: &Path, kind: &str) -> Result<String, Unreadable> {
    let name = path.display();
    let fail = |message: String, hint: String| Err(Unreadable { message, hint });
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return fail(format!("there is no file `{name}`"), near(path));
        }
        Err(e) => return fail(format!("cannot read `{name}`: {}", reason(&e)), String::new()),
    };
    let size = match file.metadata() {
        Ok(m) if m.is_dir() => {
            return fail(format!("`{name}` is a folder"), format!("name a {kind}, which is a file"));
        }
        Ok(m) => m.len(),
        Err(e) => return fail(format!("cannot read `{name}`: {}", reason(&e)), String::new()),
    };
    let mut bytes = Vec::new();
    // Not all of it: a pipe or a growing file has no size to trust.
    if let Err(e) = file.take(MAX_BYTES + 1).read_to_end(&mut bytes) {
        return fail(format!("cannot read `{name}`: {}", reason(&e)), String::new());
    }
    if bytes.len() as u64 > MAX_BYTES {
        let size = size.max(bytes.len() as u64) >> 20;
        return fail(
            format!("`{name}` is {size} MiB; a {kind} has at most {} MiB", MAX_BYTES >> 20),
            "is this the file you meant?".to_string(),
        );
    }
    if bytes.contains(&0) {
        return fail(format!("`{name}` is not text"), format!("a {kind} is UTF-8 text"));
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => {
            let line =
                e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
            return fail(
                format!("`{name}` is not text: line {line} is not UTF-8"),
                "save the file as UTF-8".to_string(),
            );
        }
    };
    if text.trim().is_empty() {
        let hint = match kind {
            PLAYBOOK => "begin with `playbook \"what it does\"` and a `stage`",
            "hosts file" => "name a host: `[[host]]`, and below it `name = \"w1\"`",
            _ => "",
        };
        return fail(format!("`{name}` is empty"), hint.to_string());
    }
    Ok(text)
}

/// Returns the `.kup` files of a folder and of the folders in it, in the order of their names.
pub(crate) fn playbooks(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let fail = |e| Error::usage(format!("cannot read `{}`: {}", folder.display(), reason(&e)));
    let mut entries: Vec<_> =
        std::fs::read_dir(folder).map_err(fail)?.collect::<Result<_, _>>().map_err(fail)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.path();
        let kind = entry.file_type().map_err(fail)?;
        // Hidden folders are other tools' own, and a link to a folder may lead round in a circle.
        if kind.is_dir() && !entry.file_name().to_string_lossy().starts_with('.') {
            found.extend(playbooks(&path)?);
        } else if !kind.is_dir() && path.extension().is_some_and(|e| e == "kup") {
            found.push(path);
        }
    }
    Ok(found)
}

/// Says which file of the folder has the most similar name.
fn near(path: &Path) -> String {
    let folder = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return String::new(),
    };
    let wanted = path.file_name().unwrap_or_default().to_string_lossy();
    let Ok(entries) = std::fs::read_dir(folder) else {
        return format!("there is no folder `{}` either", folder.display());
    };
    let names = entries.filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned()));
    let extension = path.extension().map_or(String::new(), |e| format!(".{}", e.to_string_lossy()));
    match nearest(&wanted, names.filter(|n| n.ends_with(&extension))) {
        Some(name) => format!("did you mean `{}`?", path.with_file_name(name).display()),
        None => String::new(),
    }
}

/// Returns the candidate that is nearest to a word, if one is near.
pub(crate) fn nearest(word: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    candidates
        .map(|c| (distance(word, &c), c))
        .filter(|(d, c)| *d <= 2.max(c.chars().count() / 3))
        .min()
        .map(|(_, c)| c)
}

/// Counts the edits between two words; a swap of neighbours is one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = last;
        last = row;
    }
    last[b.len()]
}

/// Writes an I/O error without its number.
pub(crate) fn reason(e: &std::io::Error) -> String {
    let text = e.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |c| c.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_is_one_edit() {
        assert_eq!((distance("drian", "drain"), distance("", "abc"), distance("abc", "abc")), (1, 3, 0));
    }

    #[test]
    fn what_is_far_is_not_offered() {
        assert_eq!(nearest("x.kup", ["kubeadm-minor.kup".to_string()].into_iter()), None);
        assert_eq!(
            nearest("kubeadm-minr.kup", ["kubeadm-minor.kup".to_string()].into_iter()).as_deref(),
            Some("kubeadm-minor.kup")
        );
    }
}
