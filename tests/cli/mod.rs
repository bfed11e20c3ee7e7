//! What a person meets at the command line, command by command.

mod approve;
mod around;
mod check;
mod cluster;
mod doc;
mod faults;
mod files;
mod fmt;
mod hooks;
mod hosts;
mod journal;
mod keep;
mod library;
mod lsp;
mod new;
mod person;
mod roads;
mod run;
mod scripts;
mod secrets;
mod simulation;
mod space;
mod target;
mod test;
mod values;
mod web;
