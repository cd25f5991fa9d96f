//! `cargo xtask tidy`: the rules of `docs/architecture.md` that a program can hold.
//!
//! One function per rule; each gives the list of what breaks it. Exceptions stand in `xtask/exceptions.txt`, each with
//! its reason, and an exception that is no longer needed is itself an error.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::graph::{self, Member};
use crate::{root, source};

/// Crates that decide without acting: no async, clock, environment, files or sockets.
const PURE: &[&str] = &[
    "leme-meta",
    "leme-types",
    "leme-kinds",
    "leme-registry",
    "leme-strategy",
    "leme-access",
    "leme-plan",
    "leme-sched",
    "leme-node-core",
];

/// Outside crates that no pure crate may use.
const ACTING: &[&str] =
    &["tokio", "futures", "kube", "hyper", "axum", "rustix", "nix", "libc", "async-trait"];

/// Words that no pure crate may hold outside its tests.
const IMPURE: &[&str] = &[
    "async fn",
    ".await",
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
];

/// The one crate that may hold `unsafe`.
const UNSAFE_ROOM: &str = "leme-host";

const FILE_BUDGET: usize = 400;
const FUNCTION_BUDGET: usize = 60;

/// A Rust file of a member, blanked.
struct File {
    /// Path relative to the root.
    path: String,
    crate_name: String,
    text: String,
    /// Comments and literals blanked, tests cut off.
    code: String,
}

/// Runs every rule.
pub fn run(args: &[String]) -> Result<()> {
    let root = root();
    let members = graph::members(&root)?;
    if args.iter().any(|arg| arg == "--bless") {
        std::fs::write(root.join("xtask/graph.txt"), graph::render(&members))?;
    }
    let files = files(&root, &members)?;
    let mut wrong = graph_changed(&root, &members)?;
    wrong.extend(graph::broken_walls(&members));
    wrong.extend(acting_dependencies(&members));
    for file in &files {
        wrong.extend(head_missing(file));
        wrong.extend(impure(file));
        wrong.extend(unsafe_outside(file));
    }
    wrong.extend(over_budget(&root, &files)?);
    if wrong.is_empty() {
        println!("tidy: {} files in {} crates", files.len(), members.len());
        return Ok(());
    }
    bail!("{} things to mend:\n  {}", wrong.len(), wrong.join("\n  "))
}

fn graph_changed(root: &Path, members: &BTreeMap<String, Member>) -> Result<Vec<String>> {
    let path = root.join("xtask/graph.txt");
    let held = std::fs::read_to_string(&path).context("read xtask/graph.txt")?;
    let now = graph::render(members);
    let (held, now): (BTreeSet<&str>, BTreeSet<&str>) =
        (held.lines().collect(), now.lines().collect());
    Ok(now
        .symmetric_difference(&held)
        .map(|line| {
            format!("xtask/graph.txt differs: {line} (cargo xtask tidy --bless, with an argument)")
        })
        .collect())
}

fn acting_dependencies(members: &BTreeMap<String, Member>) -> Vec<String> {
    let mut wrong = Vec::new();
    for name in PURE {
        for outer in members.get(*name).into_iter().flat_map(|member| &member.outer) {
            if ACTING.contains(&outer.as_str()) {
                wrong.push(format!("{name} is pure and uses {outer}"));
            }
        }
    }
    wrong
}

fn head_missing(file: &File) -> Option<String> {
    let headed = file.text.lines().find(|line| !line.starts_with("#!"))?.starts_with("//!");
    (!headed).then(|| format!("{}: starts without //!", file.path))
}

fn impure(file: &File) -> Vec<String> {
    if !PURE.contains(&file.crate_name.as_str()) {
        return Vec::new();
    }
    let mut wrong: Vec<String> = IMPURE
        .iter()
        .filter(|word| says(&file.code, word))
        .map(|word| format!("{}: {} is pure and says `{word}`", file.path, file.crate_name))
        .collect();
    if file.path.ends_with("/src/lib.rs") && !file.text.contains("#![forbid(unsafe_code)]") {
        wrong.push(format!("{}: a pure crate forbids unsafe_code", file.path));
    }
    wrong
}

/// Whether the code holds the word, not just the beginning of a longer one.
fn says(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let next = code[at + word.len()..].chars().next();
        !word.ends_with(char::is_alphanumeric)
            || !next.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

fn unsafe_outside(file: &File) -> Option<String> {
    let holds =
        file.code.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == "unsafe");
    (holds && file.crate_name != UNSAFE_ROOM)
        .then(|| format!("{}: unsafe outside {UNSAFE_ROOM}", file.path))
}

/// Files and functions over budget that are not listed, and listed ones that are not over budget.
fn over_budget(root: &Path, files: &[File]) -> Result<Vec<String>> {
    let list = std::fs::read_to_string(root.join("xtask/exceptions.txt"))
        .context("read xtask/exceptions.txt")?;
    let mut allowed: BTreeSet<&str> = list
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .filter_map(|line| line.split_once(" - ").map(|(what, _reason)| what))
        .collect();
    let mut wrong = Vec::new();
    for file in files {
        let lines = file.code.lines().count();
        if lines > FILE_BUDGET && !allowed.remove(file.path.as_str()) {
            wrong.push(format!(
                "{}: {lines} lines without tests, the budget is {FILE_BUDGET}",
                file.path
            ));
        }
        for function in source::functions(&file.code) {
            let name = format!("{}::{}", file.path, function.name);
            if function.lines > FUNCTION_BUDGET && !allowed.remove(name.as_str()) {
                wrong.push(format!(
                    "{}:{}: fn {} has {} lines, the budget is {FUNCTION_BUDGET}",
                    file.path, function.line, function.name, function.lines
                ));
            }
        }
    }
    wrong.extend(
        allowed.iter().map(|what| format!("xtask/exceptions.txt: {what} needs no exception")),
    );
    Ok(wrong)
}

fn files(root: &Path, members: &BTreeMap<String, Member>) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for (name, member) in members {
        let mut folders: Vec<PathBuf> = ["src", "tests", "benches", "examples"]
            .iter()
            .map(|f| root.join(&member.folder).join(f))
            .collect();
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            for entry in entries {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    files.push(file(root, name, &path)?);
                }
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn file(root: &Path, crate_name: &str, path: &Path) -> Result<File> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let blanked = source::blank(&text);
    let relative = path.strip_prefix(root)?.to_string_lossy().into_owned();
    let test_file = relative.contains("/tests/") || relative.ends_with("/tests.rs");
    let code = if test_file { String::new() } else { source::without_tests(&blanked).to_owned() };
    Ok(File { path: relative, crate_name: crate_name.to_owned(), text, code })
}
