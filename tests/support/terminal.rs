//! A real terminal with a person's eyes and fingers: tmux, whose screen is read as text.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::{Kup, binary};

/// A terminal in which kup runs; it is gone when this is dropped.
pub(crate) struct Terminal<'k> {
    kup: &'k Kup,
    socket: PathBuf,
}

impl<'k> Terminal<'k> {
    /// Opens a terminal of so many columns and rows, and runs a line of shell in it, in which `kup` is kup;
    /// then its exit code is shown as `exit 0`. Where there is no tmux it says so, and the test passes.
    pub(crate) fn open(kup: &'k Kup, (columns, rows): (u16, u16), line: &str) -> Option<Terminal<'k>> {
        if Command::new("tmux").arg("-V").output().is_err() {
            eprintln!("skipped: there is no tmux on this machine");
            return None;
        }
        // A server that is ending still has its socket.
        static OPENED: AtomicU32 = AtomicU32::new(0);
        let socket = kup.path(&format!("tmux-{}", OPENED.fetch_add(1, Ordering::Relaxed)));
        let terminal = Terminal { kup, socket };
        let script =
            format!("kup() {{ \"{}\" \"$@\"; }}\n{line}\necho \"exit $?\"\nexec sleep 600\n", binary());
        std::fs::write(kup.path("in-terminal.sh"), script).unwrap();
        let size = [columns.to_string(), rows.to_string()];
        let [columns, rows] = &size;
        terminal.tmux(&["new-session", "-d", "-x", columns, "-y", rows, "exec bash in-terminal.sh"]);
        terminal.tmux(&["set-option", "-g", "status", "off"]);
        terminal.resize((size[0].parse().unwrap(), size[1].parse().unwrap()));
        Some(terminal)
    }

    fn tmux(&self, args: &[&str]) -> String {
        let socket = self.socket.display().to_string();
        let ran =
            self.kup.output(Command::new("tmux").args(["-u", "-f", "/dev/null", "-S", &socket]).args(args));
        ran.exits(0).stdout
    }

    /// Gives the terminal another size.
    pub(crate) fn resize(&self, (columns, rows): (u16, u16)) {
        self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]);
    }

    /// Types a line.
    pub(crate) fn types(&self, text: &str) {
        self.tmux(&["send-keys", text, "Enter"]);
    }

    /// Returns what stands on the screen, without empty rows at its end.
    pub(crate) fn screen(&self) -> String {
        let screen = self.tmux(&["capture-pane", "-p"]);
        screen.trim_end().lines().map(|l| format!("{}\n", l.trim_end())).collect()
    }

    /// Returns all that was ever shown, as far as it can be scrolled back.
    pub(crate) fn scrolled(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-J", "-S", "-"])
    }

    /// Waits until the screen shows a text, and returns it.
    #[track_caller]
    pub(crate) fn shows(&self, text: &str) -> String {
        let since = Instant::now();
        loop {
            let screen = self.screen();
            if screen.contains(text) {
                return screen;
            }
            assert!(since.elapsed() < Duration::from_secs(60), "`{text}` does not come; there is:\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        let socket = self.socket.display().to_string();
        let _ = Command::new("tmux").args(["-S", &socket, "kill-server"]).output();
    }
}

/// Writes times as words, so that screens of two runs can be compared.
pub(crate) fn timeless(screen: &str) -> String {
    let mut out = String::new();
    for line in screen.lines() {
        let mut first = true;
        for word in line.split(' ') {
            if !first {
                out.push(' ');
            }
            first = false;
            let is_time = |end: char| word.ends_with(end) && word.starts_with(|c: char| c.is_ascii_digit());
            if is_time('s') {
                // How wide it is depends on the time, too.
                out.truncate(out.trim_end_matches(' ').len());
                out.push_str(" TIME");
            } else if word.len() == 8 && word.bytes().filter(|b| *b == b':').count() == 2 {
                out.push_str("hh:mm:ss");
            } else {
                out.push_str(word);
            }
        }
        out.push('\n');
    }
    out
}
