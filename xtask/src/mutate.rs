//! `mutate`: whether a line of a kind that is lost is missed. `cargo xtask mutate [--all] [WORD]...`
//!
//! The tests of a room say which lines of kinds there are (their ignored test `mutants` prints them) and leave out the one
//! that the environment names, so that each is tried without a build of its own: a field of a row, a column, a hook of a
//! strategy, a number, a name in the README. A line whose loss fails no test is printed, and is an error.
//!
//! Knows: where such tests are, how they are run. Refuses to know: what the lines mean.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Tests that know the lines of kinds.
struct Room {
    package: &'static str,
    target: &'static [&'static str],
    /// What all of its tests that know of lines have in their names.
    within: &'static str,
    /// Words of tests that take long and look at something else.
    without: &'static [&'static str],
}

const ROOMS: &[Room] = &[
    Room { package: "leme-kinds", target: &["--lib"], within: "", without: &["openapi"] },
    Room {
        package: "leme-strategy",
        target: &["--lib"],
        within: "",
        without: &["robust", "very_many", "anywhere", "a_long_value"],
    },
    Room {
        package: "leme-server",
        target: &["--lib"],
        within: "protobuf::tests::every_field_has",
        without: &[],
    },
    Room { package: "leme-server", target: &["--test", "readme"], within: "", without: &[] },
];

/// A line that was taken out, and the tests that failed.
struct Tried {
    line: String,
    failed: Vec<String>,
}

/// Tries every line, or those that hold one of the words; shows what each kind's are missed by, with `--all` every line.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let all = arguments.iter().any(|argument| argument == "--all");
    let words: Vec<&String> = arguments.iter().filter(|word| *word != "--all").collect();
    let (mut tried, mut lost) = (0, Vec::new());
    for room in ROOMS {
        let tests = built(room)?;
        let already = failing(room, &tests, "")?;
        if !already.is_empty() {
            bail!("{} fails with every line in its place: {}", room.package, already.join(", "));
        }
        let mut lines = listed(room, &tests)?;
        lines.retain(|line| words.is_empty() || words.iter().any(|word| line.contains(*word)));
        let results = tries(room, &tests, &lines)?;
        println!("\n{} {}: {} lines", room.package, room.target.join(" "), results.len());
        show(&results, all);
        tried += results.len();
        lost.extend(results.into_iter().filter(|one| one.failed.is_empty()).map(|one| one.line));
    }
    if lost.is_empty() {
        println!("\n{tried} lines, each of which is missed");
        return Ok(());
    }
    bail!("{} of {tried} lines are lost and nothing fails:\n  {}", lost.len(), lost.join("\n  "))
}

/// A program of tests, and the directory that it runs in.
struct Tests {
    program: PathBuf,
    directory: PathBuf,
}

/// Builds the tests of a room.
fn built(room: &Room) -> Result<Tests> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["test", "--no-run", "--message-format=json", "--package", room.package])
        .args(room.target)
        .current_dir(crate::root())
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    let made = told.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut made = made.filter_map(|message| {
        let program = message["executable"].as_str()?.into();
        let directory = PathBuf::from(message["manifest_path"].as_str()?);
        Some(Tests { program, directory: directory.parent()?.to_owned() })
    });
    let why =
        || format!("no tests of {}: {}", room.package, String::from_utf8_lossy(&output.stderr));
    made.next_back().with_context(why)
}

/// The lines that the tests know.
fn listed(room: &Room, tests: &Tests) -> Result<Vec<String>> {
    let output = Command::new(&tests.program)
        .args(["--ignored", "--nocapture", "mutants"])
        .current_dir(&tests.directory)
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    // The first one stands behind the name of the test.
    let lines = told.lines().filter_map(|line| Some(line.split_once("mutant ")?.1.to_owned()));
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() {
        bail!("the tests of {} tell of no lines", room.package);
    }
    Ok(lines)
}

/// Runs the tests once without each line, on every processor.
fn tries(room: &Room, tests: &Tests, lines: &[String]) -> Result<Vec<Tried>> {
    let (next, results) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let work = || -> Result<()> {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(line) = lines.get(at) else { return Ok(()) };
            let failed = failing(room, tests, line)?;
            let tried = Tried { line: line.clone(), failed };
            results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(at, tried);
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        running.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(_) => bail!("a worker has panicked"),
        })
    })?;
    let results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok(results.into_values().collect())
}

/// The tests that fail without a line.
fn failing(room: &Room, tests: &Tests, line: &str) -> Result<Vec<String>> {
    let within = (!room.within.is_empty()).then_some(room.within);
    let output = Command::new(&tests.program)
        .args(within)
        .args(room.without.iter().flat_map(|word| ["--skip", word]))
        .arg("--test-threads=1")
        .env("LEME_MUTANT", line)
        .current_dir(&tests.directory)
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    let names =
        told.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
    let mut failed: Vec<String> = names.map(str::to_owned).collect();
    if failed.is_empty() && !output.status.success() {
        failed.push("the tests themselves".to_owned());
    }
    Ok(failed)
}

/// A line for each kind, or for each line of it, with the tests that miss it.
fn show(results: &[Tried], all: bool) {
    if all {
        for Tried { line, failed } in results {
            println!("{line} -> {}", told(failed.iter()));
        }
        return;
    }
    let mut kinds: BTreeMap<String, (usize, BTreeSet<&String>)> = BTreeMap::new();
    for one in results {
        let kind: Vec<&str> = one.line.split(' ').take(2).collect();
        let (count, by) = kinds.entry(kind.join(" ")).or_default();
        *count += 1;
        by.extend(&one.failed);
    }
    for (kind, (count, by)) in kinds {
        println!("{kind}: {count} -> {}", told(by.into_iter()));
    }
}

/// The first few names, and how many more there are.
fn told<'a>(names: impl ExactSizeIterator<Item = &'a String>) -> String {
    const SHOWN: usize = 3;
    let more = names.len().saturating_sub(SHOWN);
    let shown: Vec<&str> =
        names.take(SHOWN).map(|name| name.trim_start_matches("tests::")).collect();
    match (shown.is_empty(), more) {
        (true, _) => "NOTHING".to_owned(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {more} more", shown.join(", ")),
    }
}
