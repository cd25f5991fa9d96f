//! `cargo xtask tidy`: the rules of `docs/architecture.md` that a program can hold.
//!
//! One function per rule; each gives the list of what breaks it. Exceptions stand in `xtask/exceptions.txt`, each with
//! its reason, and an exception that is no longer needed is itself an error.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::graph::{self, Member};
use crate::{codegen, root, source, supply};

/// Crates that decide without acting: no async, clock, environment, files or sockets.
const PURE: &[&str] = &[
    "leme-meta",
    "leme-types",
    "leme-kinds",
    "leme-streams",
    "leme-registry",
    "leme-strategy",
    "leme-access",
    "leme-admission",
    "leme-oauth",
    "leme-plan",
    "leme-lister",
    "leme-controllers",
    "leme-sched",
    "leme-node-core",
    "leme-dockerfile",
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

/// What no crate may call outside its tests, and why.
const FORBIDDEN: &[(&str, &str)] =
    &[("remove_dir_all", "it walks through mounts: leme_host::removal stays on one file system")];

/// Outside crates that one room uses for all, and why. Tests may: they check that room from outside.
const ONE_ROOM: &[(&str, &str, &str)] = &[
    ("kube", "leme-client", "there is one client: its errors, watches and names are everybody's"),
    ("kube-client", "leme-client", "there is one client"),
    ("kube-runtime", "leme-client", "leme_client::follow follows kinds"),
    ("reqwest", "leme-client", "requests to the API are leme_client's"),
];

/// Words of the API that one room alone may spell, outside tests, and why.
const SPELT_ONCE: &[(&str, &str, &str)] = &[
    ("allowWatchBookmarks", "leme-client", "leme_client::follow watches"),
    ("APIGroupDiscoveryList", "leme-client", "leme_client::Discovery reads what is served"),
];

/// Crates in which no kind may be named: they work for kinds that come and go.
const KINDLESS: &[&str] =
    &["leme-client", "leme-registry", "leme-store", "leme-controller-runtime"];

/// Where the names of kinds are read from: each has a list type.
const KINDS: &str = codegen::TABLE;

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
    /// Comments and literals blanked, tests masked.
    code: String,
    /// Where in it the tests stood.
    tests: Vec<Range<usize>>,
    /// How many lines of `code` are masked tests.
    test_lines: usize,
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
    wrong.extend(used_elsewhere(&members));
    wrong.extend(supply::broken(&root)?);
    wrong.extend(edited(&root)?);
    let kinds = kinds(&root)?;
    let mut exceptions = Exceptions::read(&root)?;
    for file in &files {
        wrong.extend(head_missing(file));
        wrong.extend(impure(file));
        wrong.extend(unsafe_outside(file));
        wrong.extend(forbidden(file));
        wrong.extend(spelt_elsewhere(file, &mut exceptions));
        wrong.extend(kinds_named(file, &kinds, &mut exceptions));
        wrong.extend(over_budget(file, &mut exceptions));
    }
    wrong.extend(exceptions.unneeded());
    if wrong.is_empty() {
        println!("tidy: {} files in {} crates", files.len(), members.len());
        return Ok(());
    }
    bail!("{} things to mend:\n  {}", wrong.len(), wrong.join("\n  "))
}

/// The field table, if a line of it was lost or changed since it was written.
fn edited(root: &Path) -> Result<Option<String>> {
    let table = std::fs::read_to_string(root.join(KINDS)).context(KINDS)?;
    Ok((!codegen::is_sealed(&table)).then(|| format!("{KINDS} is not as codegen wrote it")))
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

fn used_elsewhere(members: &BTreeMap<String, Member>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (outer, room, why) in ONE_ROOM {
        for (name, member) in members {
            if member.outer.contains(*outer) && name != room {
                wrong.push(format!("{name} uses {outer}, which is for {room}: {why}"));
            }
        }
    }
    wrong
}

/// Words of the client's half in another room. The server's half is the other side of the same words.
fn spelt_elsewhere(file: &File, exceptions: &mut Exceptions) -> Vec<String> {
    let servers = ["apiserver/", "apis/kinds/", "xtask/"];
    if servers.iter().any(|room| file.path.starts_with(room)) {
        return Vec::new();
    }
    SPELT_ONCE
        .iter()
        .filter(|(word, room, _)| file.crate_name != *room && holds_outside_tests(file, word))
        .map(|(word, _, why)| (format!("{} says {word}", file.path), why))
        .filter(|(what, _)| !exceptions.take(what))
        .map(|(what, why)| format!("{what}: {why}"))
        .collect()
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

fn forbidden(file: &File) -> Vec<String> {
    let found = FORBIDDEN.iter().filter(|(word, _)| says(&file.code, word));
    found.map(|(word, why)| format!("{}: `{word}`: {why}", file.path)).collect()
}

fn unsafe_outside(file: &File) -> Option<String> {
    let holds =
        file.code.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == "unsafe");
    (holds && file.crate_name != UNSAFE_ROOM)
        .then(|| format!("{}: unsafe outside {UNSAFE_ROOM}", file.path))
}

/// The kinds of the field table.
fn kinds(root: &Path) -> Result<BTreeSet<String>> {
    let table =
        std::fs::read_to_string(root.join(KINDS)).with_context(|| format!("read {KINDS}"))?;
    let lists = table.lines().filter_map(|line| line.strip_prefix("type ")?.strip_suffix("List"));
    Ok(lists.filter_map(|name| Some(name.split_once(':')?.1.to_owned())).collect())
}

/// Kinds that a file of a room without kinds has between quotes.
fn kinds_named(file: &File, kinds: &BTreeSet<String>, exceptions: &mut Exceptions) -> Vec<String> {
    if !KINDLESS.contains(&file.crate_name.as_str()) {
        return Vec::new();
    }
    kinds
        .iter()
        .filter(|kind| quotes(file, kind))
        .map(|kind| format!("{} names {kind}", file.path))
        .filter(|what| !exceptions.take(what))
        .map(|what| format!("{what}: that room knows no kind"))
        .collect()
}

/// Whether a file has a word as a literal, outside its tests.
fn quotes(file: &File, word: &str) -> bool {
    holds_outside_tests(file, &format!("\"{word}\""))
}

/// Whether a text stands in a file outside its tests, literals and comments included.
fn holds_outside_tests(file: &File, text: &str) -> bool {
    let mut found = file.text.match_indices(text);
    found.any(|(at, _)| !file.tests.iter().any(|tests| tests.contains(&at)))
}

/// What `xtask/exceptions.txt` allows and nothing has needed so far.
struct Exceptions(BTreeSet<String>);

impl Exceptions {
    fn read(root: &Path) -> Result<Exceptions> {
        let list = std::fs::read_to_string(root.join("xtask/exceptions.txt"))
            .context("read xtask/exceptions.txt")?;
        let lines = list.lines().filter(|line| !line.starts_with('#'));
        let allowed = lines.filter_map(|line| line.split_once(" - "));
        Ok(Exceptions(allowed.map(|(what, _reason)| what.to_owned()).collect()))
    }

    /// Whether this is allowed.
    fn take(&mut self, what: &str) -> bool {
        self.0.remove(what)
    }

    fn unneeded(&self) -> Vec<String> {
        let shown = |what| format!("xtask/exceptions.txt: {what} needs no exception");
        self.0.iter().map(shown).collect()
    }
}

/// The file, if it is over budget, and its functions that are.
fn over_budget(file: &File, exceptions: &mut Exceptions) -> Vec<String> {
    let mut wrong = Vec::new();
    let lines = file.code.lines().count() - file.test_lines;
    if lines > FILE_BUDGET && !exceptions.take(&file.path) {
        wrong.push(format!(
            "{}: {lines} lines without tests, the budget is {FILE_BUDGET}",
            file.path
        ));
    }
    for function in source::functions(&file.code) {
        let name = format!("{}::{}", file.path, function.name);
        if function.lines > FUNCTION_BUDGET && !exceptions.take(&name) {
            wrong.push(format!(
                "{}:{}: fn {} has {} lines, the budget is {FUNCTION_BUDGET}",
                file.path, function.line, function.name, function.lines
            ));
        }
    }
    wrong
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
    let mut masked = source::without_tests(&blanked);
    if test_file {
        masked = source::Masked {
            code: String::new(),
            tests: std::iter::once(0..text.len()).collect(),
            test_lines: 0,
        };
    }
    let source::Masked { code, tests, test_lines } = masked;
    Ok(File { path: relative, crate_name: crate_name.to_owned(), text, code, tests, test_lines })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red when the sum is not of all lines.
    #[test]
    fn a_line_that_is_lost_from_the_field_table_is_missed() {
        let table = std::fs::read_to_string(root().join(KINDS)).unwrap();
        assert!(codegen::is_sealed(&table));
        let lines: Vec<&str> = table.split_inclusive('\n').collect();
        for lost in [0, 1, lines.len() / 2, lines.len() - 2, lines.len() - 1] {
            let rest = [&lines[..lost], &lines[lost + 1..]].concat().concat();
            assert!(!codegen::is_sealed(&rest), "line {lost}");
        }
    }

    /// Red when the text is searched up to the first test only, and when tests are searched as well.
    #[test]
    fn a_kind_between_quotes_is_named_after_tests_too() {
        let text = "fn a() { say(\"Podium\") }\n#[cfg(test)]\nmod tests { const K: &str = \"Node\"; }\nfn b() { say(\"Pod\") }\n";
        let masked = source::without_tests(&source::blank(text));
        let file = File {
            path: "apiserver/store/src/x.rs".to_owned(),
            crate_name: "leme-store".to_owned(),
            text: text.to_owned(),
            code: masked.code,
            tests: masked.tests,
            test_lines: masked.test_lines,
        };
        let kinds = BTreeSet::from(["Pod".to_owned(), "Node".to_owned()]);
        let mut none = Exceptions(BTreeSet::new());
        let named = kinds_named(&file, &kinds, &mut none);
        assert_eq!(named, ["apiserver/store/src/x.rs names Pod: that room knows no kind"]);
        let mut one = Exceptions(BTreeSet::from(["apiserver/store/src/x.rs names Pod".to_owned()]));
        assert!(kinds_named(&file, &kinds, &mut one).is_empty() && one.unneeded().is_empty());
    }
}
