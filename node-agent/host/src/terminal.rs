//! Terminals: their size.
//!
//! Knows: the window size call. Refuses to know: whose terminal it is.

use std::io;
use std::os::fd::BorrowedFd;

/// Sets the size of a terminal by its master end.
pub fn resize(master: BorrowedFd<'_>, columns: u16, rows: u16) -> io::Result<()> {
    let size =
        rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(master, size)?;
    Ok(())
}
