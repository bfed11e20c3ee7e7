//! The shipped modules as files that an editor can open: written to the cache folder when somebody goes
//! to a definition in one of them, and only to be read.

use std::fs;
use std::path::{Path, PathBuf};

use lsp_types::Uri;

use super::address;

/// Where the shipped modules are put.
pub(crate) struct Shelf {
    folder: Option<PathBuf>,
}

impl Shelf {
    /// Names the folder; nothing is written yet. The version is in it, for each has modules of its own.
    pub(crate) fn new(cache: Option<PathBuf>) -> Shelf {
        Shelf { folder: cache.map(|cache| cache.join(concat!("modules-", env!("CARGO_PKG_VERSION")))) }
    }

    /// Returns the module that a file of this folder is: `std/etcd`.
    pub(crate) fn module(&self, path: &str) -> Option<&'static str> {
        let inside = Path::new(path).strip_prefix(self.folder.as_ref()?).ok()?;
        let named = |module: &str| inside == Path::new(module).with_extension("kup");
        stdlib::modules().iter().map(|(module, _)| *module).find(|module| named(module))
    }

    /// Writes a module if it is not there, and returns its address.
    pub(crate) fn uri(&self, module: &str) -> Option<Uri> {
        let (_, text) = stdlib::modules().iter().find(|(name, _)| *name == module)?;
        let file = self.folder.as_ref()?.join(module).with_extension("kup");
        if fs::read_to_string(&file).ok().as_deref() != Some(text) {
            write(&file, text).ok()?;
        }
        address::uri(file.to_str()?)
    }
}

/// Writes a file whole or not at all: two editors may want it at once.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(file);
    fs::create_dir_all(folder)?;
    let draft =
        folder.join(format!(".{}-{}", file.file_name().unwrap_or_default().display(), std::process::id()));
    fs::write(&draft, text)?;
    let mut rights = fs::metadata(&draft)?.permissions();
    rights.set_readonly(true);
    fs::set_permissions(&draft, rights)?;
    fs::rename(&draft, file)
}
