//! The kup language: turns text into a checked [`program::Program`]. Pure: text arrives through a
//! loader, findings leave as [`diagnostic::Diagnostic`]s.

pub mod ask;
mod ast;
mod check;
pub mod diagnostic;
pub mod eval;
mod format;
pub mod later;
mod lint;
mod literal;
mod mend;
mod nearest;
pub mod page;
mod parse;
mod problem;
pub mod program;
mod shift;
pub mod source;
pub mod span;
pub mod test;
pub mod value;
pub mod window;

pub use check::{Checked, check, check_any, module};
pub use format::{Refused, format};
pub use lint::unattended;
pub use mend::mend;
pub use nearest::nearest;

#[cfg(test)]
mod tests;
