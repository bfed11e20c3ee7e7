//! Plans and runs checked programs: a [`plan::Plan`] is made of a program and an
//! [`inventory::Inventory`]; a machine turns the plan into [`event::Event`]s and effects; actions
//! perform the effects through [`port::Ports`].

pub mod action;
pub mod event;
pub mod hook;
pub mod hops;
#[cfg(test)]
#[path = "../../tests/support/hostile.rs"]
mod hostile;
pub mod inputs;
pub mod inventory;
pub mod journal;
mod line;
pub mod live;
pub mod lock;
pub mod machine;
pub mod plan;
pub mod port;
pub mod readonly;
pub mod retry;
pub mod run;
pub mod secret;
