//! The chores of the project: `cargo xtask tidy`, `codegen`, `kind`, `mutate`.

#![allow(clippy::disallowed_macros, reason = "a chore of this project: nobody runs it for long")]

mod codegen;
mod graph;
mod internal;
mod kind;
mod mutate;
mod numbers;
mod packages;
mod source;
mod supply;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

/// A chore: its name, what it does, and the function.
type Chore = (&'static str, &'static str, fn(&[String]) -> anyhow::Result<()>);

const CHORES: &[Chore] = &[
    (
        "tidy",
        "check the rules of docs/architecture.md; --bless rewrites the dependency graph",
        tidy::run,
    ),
    (
        "codegen",
        "write the field table from OpenAPI documents, or Go's structs from types.go files",
        codegen::run,
    ),
    ("kind", "list the places that a built-in kind is written in", kind::run),
    ("mutate", "take out each line of each kind, and tell which tests miss it", mutate::run),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let chosen = words.first().and_then(|word| CHORES.iter().find(|chore| chore.0 == word));
    let Some((name, _, chore)) = chosen else {
        eprintln!("usage: cargo xtask CHORE");
        for (name, about, _) in CHORES {
            eprintln!("  {name:<10}{about}");
        }
        return ExitCode::from(2);
    };
    match chore(&words[1..]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the workspace.
fn root() -> PathBuf {
    let mut path = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    path.pop();
    path
}
