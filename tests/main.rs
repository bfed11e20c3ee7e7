//! The one harness of the binary: what a person meets at the command line, the documents, what editors
//! are given, and the walls between the rooms.

mod access;
mod cli;
mod contract;
mod crash;
mod docs;
mod hostile;
mod makespan;
mod rehearsal;
mod support;
mod tidy;
mod tools;
