//! The API server: what it stores and how it answers.

mod store;

pub use store::{Change, ChangeKind, Key, Store};
