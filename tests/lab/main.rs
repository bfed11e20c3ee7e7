//! What only a real cluster can tell: the upgrade under trouble, and the contract that the
//! simulator keeps. `tests/run.sh` builds the lab and names this harness; one test at a time.

mod contract;
mod lock;
#[path = "../contract/mod.rs"]
mod questions;
mod roads;
mod support;
mod upgrade;
