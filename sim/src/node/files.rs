//! The files of a simulated machine: paths, bytes, modes. Nothing of it ever touches a real disk.

use std::collections::BTreeMap;

/// Files by path.
#[derive(Clone, Debug, Default)]
pub struct Files {
    files: BTreeMap<String, File>,
    /// How many writes there were.
    writes: u64,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its bytes.
    pub content: Vec<u8>,
    /// Its mode as in `chmod`.
    pub mode: u32,
    /// Which write of the machine made it: what is newer has a higher one.
    pub written: u64,
}

impl Files {
    /// Returns the bytes of a file.
    pub fn read(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(|f| f.content.as_slice())
    }

    /// Returns the text of a file; bytes that are not UTF-8 are replaced.
    pub fn text(&self, path: &str) -> Option<String> {
        self.read(path).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// Returns a file.
    pub fn get(&self, path: &str) -> Option<&File> {
        self.files.get(path)
    }

    /// Replaces a file.
    pub fn write(&mut self, path: &str, content: impl Into<Vec<u8>>, mode: u32) {
        self.writes += 1;
        self.files.insert(path.to_string(), File { content: content.into(), mode, written: self.writes });
    }

    /// Adds to a file's end.
    pub fn append(&mut self, path: &str, content: &[u8]) {
        self.writes += 1;
        let new = File { content: Vec::new(), mode: 0o644, written: 0 };
        let file = self.files.entry(path.to_string()).or_insert(new);
        file.content.extend_from_slice(content);
        file.written = self.writes;
    }

    /// Gives a file, or a folder with all in it, another name.
    pub fn rename(&mut self, from: &str, to: &str) {
        let inside = format!("{from}/");
        let moved: Vec<String> =
            self.files.keys().filter(|p| *p == from || p.starts_with(&inside)).cloned().collect();
        for path in moved {
            if let Some(file) = self.files.remove(&path) {
                self.files.insert(format!("{to}{}", &path[from.len()..]), file);
            }
        }
    }

    /// Removes a file, or a folder and all in it. Returns whether there was anything.
    pub fn remove(&mut self, path: &str) -> bool {
        let inside = format!("{}/", path.trim_end_matches('/'));
        let before = self.files.len();
        self.files.retain(|p, _| p != path && !p.starts_with(&inside));
        self.files.len() != before
    }

    /// Returns whether there is a file of that path, or a folder with files in it.
    pub fn exists(&self, path: &str) -> bool {
        let inside = format!("{}/", path.trim_end_matches('/'));
        self.files.contains_key(path)
            || self.files.range(inside.clone()..).next().is_some_and(|(p, _)| p.starts_with(&inside))
    }

    /// Returns the write that made the newest file of a path, or of a folder.
    pub fn written(&self, path: &str) -> u64 {
        let inside = format!("{}/", path.trim_end_matches('/'));
        let of = self.files.iter().filter(|(p, _)| *p == path || p.starts_with(&inside));
        of.map(|(_, file)| file.written).max().unwrap_or_default()
    }

    /// Returns the paths in a folder, at any depth.
    pub fn under<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a str> {
        self.files.keys().map(String::as_str).filter(move |p| {
            p.strip_prefix(folder).is_some_and(|rest| folder.ends_with('/') || rest.starts_with('/'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_removed_with_what_is_in_it() {
        let mut files = Files::default();
        files.write("/run/kup/a.out", "a", 0o600);
        files.write("/run/kupx", "b", 0o600);
        assert!(files.exists("/run/kup"));
        assert!(files.remove("/run/kup"));
        assert!(!files.exists("/run/kup"));
        assert!(files.exists("/run/kupx"));
        assert!(!files.remove("/run/kup"));
    }
}
