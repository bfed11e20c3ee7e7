//! The one harness of the binary: what a person meets at the command line, the documents, and the
//! walls between the rooms.

mod cli;
mod contract;
mod docs;
mod support;
mod tidy;
