//! Where kup keeps its runs, and who is running it, from the user's environment.

use std::path::{Path, PathBuf};

use engine::lock::Who;

use crate::args::Global;
use crate::error::Error;

/// Returns the folder that all runs are kept in. It may not exist yet.
pub(crate) fn state_dir(global: &Global) -> Result<PathBuf, Error> {
    if let Some(dir) = &global.state_dir {
        return absolute(dir);
    }
    if let Some(dir) = std::env::var_os("KUP_STATE_DIR").filter(|dir| !dir.is_empty()) {
        return absolute(Path::new(&dir));
    }
    // The XDG rules: a relative path in the variable is to be ignored.
    let from = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    match from("XDG_STATE_HOME").or_else(|| Some(from("HOME")?.join(".local/state"))) {
        Some(state) => Ok(state.join("kup")),
        None => Err(Error::environment("there is no place for the runs: $HOME is not set")
            .hint("give one with `--state-dir DIR`")),
    }
}

/// Returns the folder of what can be made again; `None` if the user has none.
pub(crate) fn cache_dir() -> Option<PathBuf> {
    let from = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let cache = from("XDG_CACHE_HOME").or_else(|| Some(from("HOME")?.join(".cache")))?;
    Some(cache.join("kup"))
}

/// Makes a path absolute against the working directory.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|e| {
        Error::environment(format!("cannot use `{}`: {}", path.display(), crate::loader::reason(&e)))
    })
}

/// Returns who is running kup, for the journal and the lock.
pub(crate) fn who() -> Who {
    let user = ["USER", "LOGNAME"].iter().find_map(|v| std::env::var(v).ok()).filter(|u| !u.is_empty());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Who { host: host.trim().to_string(), user: user.unwrap_or_else(|| "somebody".to_string()) }
}

/// Returns who is running kup, for people: `ann@laptop`.
pub(crate) fn whoami() -> String {
    let Who { host, user } = who();
    if host.is_empty() { user } else { format!("{user}@{host}") }
}
