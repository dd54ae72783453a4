//! The last line of stderr, which a bar may have: whoever says something takes it back first.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::sync::{Mutex, PoisonError};

use rustix::termios::tcgetwinsize;

/// How wide a terminal is taken to be that does not say.
const COLUMNS: usize = 80;

/// How many columns of the line a bar has; `None` once no more bars are to be drawn.
static BAR: Mutex<Option<usize>> = Mutex::new(Some(0));

/// Puts a bar there, in the place of the last one. Only for a terminal.
pub(super) fn draw(bar: &str) {
    let mut shown = BAR.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(before) = *shown else { return };
    // Blanks and no escape sequences: every terminal knows these.
    put(&format!("\r{bar:before$}"));
    *shown = Some(bar.chars().count());
}

/// Leaves the bar as it is: what follows goes below it.
pub(super) fn leave() {
    let mut shown = BAR.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(columns) = *shown
        && columns > 0
    {
        put("\n");
        *shown = Some(0);
    }
}

/// The same for good: nothing is drawn any more.
pub(super) fn leave_for_good() {
    let mut shown = BAR.lock().unwrap_or_else(PoisonError::into_inner);
    // Whoever pressed Ctrl-C sees it on the line, too.
    if stderr().is_terminal() {
        put("\n");
    }
    *shown = None;
}

/// Says a line, in the place of the bar, which is drawn below it again.
pub(super) fn say(text: &str) {
    let mut shown = BAR.lock().unwrap_or_else(PoisonError::into_inner);
    let taken_back = match *shown {
        Some(columns) if columns > 0 => format!("\r{:columns$}\r", ""),
        Some(_) | None => String::new(),
    };
    put(&format!("{taken_back}{text}\n"));
    *shown = shown.map(|_| 0);
}

/// Leaves the line open, for something to be typed.
pub(super) fn prompt(text: &str) {
    put(text);
}

/// How many columns a bar may have: the last is left free, as some terminals wrap behind it.
pub(super) fn columns() -> usize {
    let told = tcgetwinsize(stderr()).map_or(0, |size| usize::from(size.ws_col));
    if told == 0 { COLUMNS - 1 } else { told - 1 }
}

/// In one write, so that nobody's words come between. Where nobody can be told, nobody is.
fn put(text: &str) {
    let mut to = stderr().lock();
    drop(to.write_all(text.as_bytes()).and_then(|()| to.flush()));
}
