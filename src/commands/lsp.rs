//! `kup lsp`: an editor starts it and speaks with it until it has seen enough.

use std::io::IsTerminal;

use lsp_server::Connection;

use crate::error::Error;
use crate::exit::Exit;
use crate::lsp;

/// Serves the editor at the other end of stdin and stdout.
pub(crate) fn lsp() -> Result<Exit, Error> {
    if std::io::stdin().is_terminal() {
        return Err(Error::usage("`kup lsp` speaks with an editor, and there is a terminal")
            .hint("let your editor start it; `editors/README.md` says how"));
    }
    let (connection, threads) = Connection::stdio();
    let served = lsp::serve(&connection);
    drop(connection);
    let wrong = |why: String| Error::usage(format!("what the editor says cannot be understood: {why}"));
    served.map_err(|why| wrong(why.to_string()))?;
    threads.join().map_err(|why| wrong(why.to_string()))?;
    Ok(Exit::Done)
}
