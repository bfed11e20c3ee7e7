//! The kup language: turns text into a checked [`program::Program`]. Pure: text arrives through a
//! loader, findings leave as [`diagnostic::Diagnostic`]s.

pub mod diagnostic;
pub mod eval;
pub mod program;
pub mod span;
pub mod value;
