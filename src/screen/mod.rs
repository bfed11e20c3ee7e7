//! The live view of a run on a terminal: lines scroll by above it, and it stays below them. Where there is
//! no terminal, a small or a dumb one, or kup runs in the background of its shell, there is only the lines.

mod paint;
mod view;

use std::io::{self, IsTerminal, Stdout};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anstream::ColorChoice;
use engine::event::Event;
use engine::machine::Machine;
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::layout::{Position, Size};
use ratatui::text::Line;
use ratatui::{Terminal, TerminalOptions, Viewport};

use self::view::View;

/// A smaller terminal has no room for it.
const SMALLEST: Size = Size { width: 30, height: 8 };

/// The view never takes more rows.
const HIGHEST: u16 = 16;

/// It is drawn no more often than this when events come, and as often as this when none do.
const FRAME: Duration = Duration::from_millis(50);
const TICK: Duration = Duration::from_millis(250);

/// Lines are put above it in pieces of at most so many.
const PIECE: usize = 200;

/// There is one terminal, and so there is one screen.
static SCREEN: Mutex<Option<Screen>> = Mutex::new(None);

struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    view: View,
    /// Time of the last event, in milliseconds of the run, and when it was heard.
    at: u64,
    heard: Instant,
    /// Whether time goes on between two events: not in a simulated run.
    goes_on: bool,
    drawn: Option<Instant>,
    /// A question stands where the view was.
    hidden: bool,
}

/// The view is there until this is dropped.
pub(crate) struct Opened;

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(mut screen) = screen().take()
            && !screen.hidden
        {
            screen.leave();
        }
    }
}

/// Opens the view of a run, if stdout is a terminal that can show it.
pub(crate) fn open(machine: &Machine, at: u64, simulated: bool) -> Option<Opened> {
    if !io::stdout().is_terminal() || std::env::var_os("TERM").is_none_or(|term| term == "dumb") {
        return None;
    }
    let terminal = terminal()?;
    let opened = Screen {
        terminal,
        view: View::new(machine.clone(), at),
        at,
        heard: Instant::now(),
        goes_on: !simulated,
        drawn: None,
        hidden: false,
    };
    *screen() = Some(opened);
    if !simulated {
        std::thread::spawn(|| {
            loop {
                std::thread::sleep(TICK);
                match &mut *screen() {
                    Some(screen) => screen.draw(TICK),
                    None => return,
                }
            }
        });
    }
    Some(Opened)
}

/// Makes the terminal's part at the cursor; `None`: it cannot be had.
fn terminal() -> Option<Terminal<CrosstermBackend<Stdout>>> {
    let backend = CrosstermBackend::new(io::stdout());
    let size = backend.size().ok()?;
    // A program in the background that asks its terminal for anything is stopped by it.
    if size.width < SMALLEST.width || size.height < SMALLEST.height || !is_in_front() {
        return None;
    }
    let viewport = Viewport::Inline((size.height / 3).min(HIGHEST));
    Terminal::with_options(backend, TerminalOptions { viewport }).ok()
}

/// Tells the view of an event.
pub(crate) fn note(at: u64, event: &Event) {
    if let Some(screen) = &mut *screen() {
        screen.view.note(at, event);
        (screen.at, screen.heard) = (at, Instant::now());
        screen.draw(FRAME);
    }
}

/// Puts a text above the view; `false`: there is none, and it is to be written as ever.
pub(crate) fn above(text: &str) -> bool {
    match &mut *screen() {
        Some(screen) if !screen.hidden && is_in_front() => screen.insert(text).is_ok(),
        _ => false,
    }
}

/// Takes the view away for a question.
pub(crate) fn hide() {
    if let Some(screen) = &mut *screen()
        && !screen.hidden
    {
        screen.hidden = true;
        screen.leave();
    }
}

/// Brings the view back after a question.
pub(crate) fn show() {
    let mut screen = screen();
    let Some(shown) = &mut *screen else { return };
    match terminal() {
        Some(terminal) => (shown.terminal, shown.hidden, shown.drawn) = (terminal, false, None),
        None => *screen = None,
    }
}

fn screen() -> MutexGuard<'static, Option<Screen>> {
    SCREEN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Screen {
    /// Draws the view, unless that was done within `pause`.
    fn draw(&mut self, pause: Duration) {
        if self.hidden || self.drawn.is_some_and(|at| at.elapsed() < pause) || !is_in_front() {
            return;
        }
        self.drawn = Some(Instant::now());
        let gone = if self.goes_on { self.heard.elapsed().as_millis() } else { 0 };
        let now = self.at.saturating_add(u64::try_from(gone).unwrap_or(u64::MAX));
        let view = &self.view;
        // A frame that cannot be drawn is one that nobody misses.
        let _ = self.terminal.draw(|frame| {
            let area = frame.area();
            for (row, line) in view.lines(now, usize::from(area.height)).iter().enumerate() {
                let line = if is_colored() { line.clone() } else { Line::raw(line.to_string()) };
                frame.buffer_mut().set_line(area.x, area.y + row as u16, &line, area.width);
            }
            // The cursor stays to be seen, and what comes after a kup that was killed stands below.
            frame.set_cursor_position((area.x, area.bottom().saturating_sub(1)));
        });
    }

    /// Takes the view off the terminal; what is written next stands where it stood.
    fn leave(&mut self) {
        let top = Position { x: 0, y: self.terminal.get_frame().area().y };
        // A terminal that is gone has nothing to be tidied.
        let _ = self.terminal.clear().and_then(|()| self.terminal.set_cursor_position(top));
    }

    fn insert(&mut self, text: &str) -> io::Result<()> {
        let width = self.terminal.size()?.width;
        for rows in paint::rows(text, width, is_colored()).chunks(PIECE) {
            self.terminal.insert_before(rows.len() as u16, |buffer| {
                for (row, line) in rows.iter().enumerate() {
                    buffer.set_line(0, row as u16, line, width);
                }
            })?;
        }
        Ok(())
    }
}

fn is_colored() -> bool {
    anstream::AutoStream::choice(&io::stdout()) != ColorChoice::Never
}

/// Returns whether kup has the terminal: a shell may have put it into the background, and may do so at any time.
fn is_in_front() -> bool {
    rustix::termios::tcgetpgrp(io::stdout()).is_ok_and(|front| front == rustix::process::getpgrp())
}
