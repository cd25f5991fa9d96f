//! The `leme` binary: parses the command line and hands over to a command.
fn main() {}
