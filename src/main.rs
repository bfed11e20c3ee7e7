//! The `kup` command: reads the command line, does one verb, and turns an error into words and an
//! exit code. Everything that is printed is printed from this package.

mod approval;
mod args;
mod chosen;
mod commands;
mod config;
mod console;
mod control;
mod diagnostics;
mod diff;
mod doc;
mod drive;
mod error;
mod exit;
mod fix;
mod inputs;
mod loader;
mod lsp;
mod prepare;
mod printable;
mod record;
mod report;
mod rewrite;
mod screen;
mod shipped;
mod signal;
mod simulation;
mod target;
mod text;
mod trial;
mod why;
mod world;

use std::process::ExitCode;

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::args::Args;
use crate::console::Console;
use crate::exit::Exit;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(e) => {
            // `--help` and `--version` come here too; only they are no mistake.
            let exit = if e.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = e.print();
            return exit.into();
        }
    };
    logging();
    // Two crypto providers are compiled in by others; the first connection would panic undecided.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        unreachable!("nobody else installs a crypto provider");
    }
    let console = Console::new(&args.global);
    tell_bugs_from_failures();
    allow_many_files();
    let done = std::panic::catch_unwind(|| commands::perform(&args.global, console, args.command));
    match done {
        Ok(Ok(exit)) => exit.into(),
        Ok(Err(error)) => {
            console.error(&error);
            error.exit.into()
        }
        // The hook has said what is broken.
        Err(_) => Exit::Bug.into(),
    }
}

/// A panic is a broken invariant of kup, and says so; a run's journal is safe on disk by then.
fn tell_bugs_from_failures() {
    std::panic::set_hook(Box::new(|broken| {
        let text = broken.to_string();
        let text = printable::printable(&text);
        Console::bug(&format!(
            "this is a bug in kup {}: {text}\nhint: a run that was under way can be resumed with `kup resume`\n\
             hint: please report it with the lines above",
            env!("CARGO_PKG_VERSION"),
        ));
    }));
}

/// Each connection takes about five files, and a process may have 1,024 of them unless it asks for more, on macOS 256: a fleet
/// has more nodes than that. macOS gives no more than OPEN_MAX (sys/syslimits.h), also where it says that there is no limit.
fn allow_many_files() {
    const WANTED: u64 = 65_536;
    const OPEN_MAX: u64 = 10_240;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    for wanted in [WANTED, OPEN_MAX].map(|wanted| maximum.map_or(wanted, |most| most.min(wanted))) {
        let is_enough = current.is_none_or(|current| current >= wanted);
        if is_enough || setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok() {
            return;
        }
    }
}

/// KUP_LOG turns on the diagnostics of kup itself, e.g. `KUP_LOG=debug`.
fn logging() {
    if let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("KUP_LOG") {
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
}
