//! The places of a kind: `cargo xtask kind apps/v1/Deployment`.
//!
//! Knows: which files a built-in kind is written in, by what stands there. Refuses to know: what any of it means.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// A place of a kind: what it is, the file below the root, and the line.
type Place = (&'static str, String, usize);

/// Prints the places of a kind, a line each.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [asked] = arguments else { bail!("usage: cargo xtask kind [GROUP/[VERSION/]]KIND") };
    let mut parts = asked.rsplit('/');
    let (kind, rest) = (parts.next().unwrap_or(asked), parts.collect::<Vec<_>>());
    let group = rest.last().copied();
    let root = crate::root();
    let places = places(&root, group, kind)?;
    let mut files: Vec<&str> = places.iter().map(|place| place.1.as_str()).collect();
    files.sort_unstable();
    files.dedup();
    for (what, file, line) in &places {
        println!("{file}:{line}  {what}");
    }
    println!("{kind} lives in {} files", files.len());
    Ok(())
}

fn places(root: &Path, group: Option<&str>, kind: &str) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    let rows = sources(root, "apis/kinds/src/rows")?;
    let named = format!("kind: \"{kind}\",");
    let row = rows.iter().find_map(|(file, text)| {
        let about = |text: &str| group.is_none_or(|group| text.contains(&format!("\"{group}\"")));
        let at = text.lines().position(|line| line.trim() == named).filter(|_| about(text))?;
        Some((file, text, at))
    });
    let Some((file, text, at)) = row else { bail!("no row says {named}") };
    places.push(("its row", file.clone(), at + 1));
    let columns = text.lines().skip(at).take_while(|line| line.trim() != "},");
    let columns = columns.filter_map(|line| line.trim().strip_prefix("columns: ")).next();
    if let Some(name) = columns.and_then(|path| path.trim_end_matches(',').rsplit("::").next()) {
        let said = format!("const {name}: &[Column]");
        let found = first(&sources(root, "apis/kinds/src/columns")?, |line| line.contains(&said));
        places.extend(found.map(|(file, line)| ("its columns", file, line)));
    }
    let surface = "apis/kinds/src/tests/surface.txt";
    let listed = |line: &str| !line.starts_with(' ') && line.split(' ').nth(2) == Some(kind);
    places.extend(
        line_of(root, surface, listed)?.map(|line| ("what it offers", surface.into(), line)),
    );
    let table = "apiserver/strategy/src/lib.rs";
    let entry = format!("\"{kind}\", &");
    let text = read(root, table)?;
    let Some(at) = text.lines().position(|line| line.contains(&entry)) else {
        bail!("{table} has no strategy of {kind}")
    };
    places.push(("its strategy's name", table.into(), at + 1));
    let path = text.lines().nth(at).and_then(|line| line.split('&').nth(1));
    let path =
        path.map(|path| path.trim_end_matches([')', ',', ' ']).split("::").collect::<Vec<_>>());
    if let Some([modules @ .., name]) = path.as_deref() {
        let said = format!("{name}: Strategy");
        let below = format!("apiserver/strategy/src/{}", modules.join("/"));
        let files = sources(root, "apiserver/strategy/src")?;
        let within: Vec<_> =
            files.into_iter().filter(|(file, _)| file.starts_with(&below)).collect();
        places.extend(
            first(&within, |line| line.contains(&said)).map(|(f, l)| ("its strategy", f, l)),
        );
    }
    let tests = sources(root, "apiserver/strategy/src/tests")?;
    let quoted = format!("\"{kind}\"");
    places.extend(first(&tests, |line| line.contains(&quoted)).map(|(f, l)| ("its cases", f, l)));
    Ok(places)
}

/// The first line of some files that is such, with its number.
fn first(files: &[(String, String)], is: impl Fn(&str) -> bool) -> Option<(String, usize)> {
    files
        .iter()
        .find_map(|(file, text)| text.lines().position(&is).map(|line| (file.clone(), line + 1)))
}

fn line_of(root: &Path, file: &str, is: impl Fn(&str) -> bool) -> Result<Option<usize>> {
    Ok(read(root, file)?.lines().position(is).map(|line| line + 1))
}

fn read(root: &Path, file: &str) -> Result<String> {
    fs::read_to_string(root.join(file)).with_context(|| file.to_owned())
}

/// The Rust files below a directory with their text, in order.
fn sources(root: &Path, directory: &str) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut entries: Vec<_> = fs::read_dir(root.join(directory))
        .with_context(|| directory.to_owned())?
        .collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = format!("{directory}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            found.extend(sources(root, &path)?);
        } else if path.ends_with(".rs") {
            let text = read(root, &path)?;
            found.push((path, text));
        }
    }
    Ok(found)
}
