//! `kup check --fix`: applies the patches of what was found, and looks again, until none is left.

use std::path::{Path, PathBuf};

use dsl::{Checked, mend};

use crate::diagnostics::{Place, place};
use crate::text;

/// A text that was put right as far as kup is certain.
pub(crate) struct Fixed {
    /// The text.
    pub(crate) text: String,
    /// What was changed, in the order in which it was.
    pub(crate) changes: Vec<Change>,
    /// What is found in the text as it is now.
    pub(crate) checked: Checked,
}

/// One change. Its place is that in the text in which the mistake was found.
pub(crate) struct Change {
    /// The code of the finding.
    pub(crate) code: &'static str,
    /// Where it was.
    pub(crate) place: Place,
    /// What stood there.
    pub(crate) was: String,
    /// What stands there now.
    pub(crate) is: String,
}

/// A mended text may show the next mistake; it never takes more rounds than mistakes can hide each
/// other, and two patches that undo each other would be a bug that must not hang.
const ROUNDS: usize = 64;

/// Puts the text of a file right; the file itself stays as it is.
pub(crate) fn fix(path: &Path, mut text: String, libraries: &[PathBuf]) -> Fixed {
    let mut changes = Vec::new();
    for _ in 0..ROUNDS {
        let checked = text::judge(path, text.clone(), libraries);
        let Some(root) = checked.sources.files().next() else { break };
        let Some((better, mended)) = mend(root, &text, &checked.diagnostics) else { break };
        for d in mended {
            if let Some(patch) = &d.patch {
                let was = checked.sources.slice(patch.span).to_string();
                let place = place(&checked.sources, patch.span);
                changes.push(Change { code: d.code, place, was, is: patch.with.clone() });
            }
        }
        text = better;
    }
    let checked = text::judge(path, text.clone(), libraries);
    Fixed { text, changes, checked }
}
