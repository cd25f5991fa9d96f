//! What Leme is built from, held against `deny.toml`: licences, crates that are banned, sources.
//!
//! Knows: the crates that `cargo tree` names for this machine, SPDX expressions, and of TOML only what that file uses. Refuses
//! to know: advisories; they change without a commit here, and `cargo deny check advisories` fetches them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// What is built: Leme, and what its build calls.
const WORKSPACES: &[&str] = &["Cargo.toml", "xtask/protoc/Cargo.toml"];

/// The lists of `deny.toml`.
#[derive(Debug, Default)]
struct Rules {
    licences: BTreeSet<String>,
    /// Crate and one licence that it alone may have.
    exceptions: BTreeSet<(String, String)>,
    banned: BTreeSet<String>,
}

/// A crate of the build.
struct Package {
    name: String,
    /// As `cargo tree` shows it, with its source if that is not the registry.
    shown: String,
    licence: String,
}

/// What of the build breaks `deny.toml`.
pub fn broken(root: &Path) -> Result<Vec<String>> {
    let path = root.join("deny.toml");
    let text = std::fs::read_to_string(&path).context("read deny.toml")?;
    let rules = Rules::read(&text);
    ensure!(!rules.licences.is_empty() && !rules.banned.is_empty(), "deny.toml lists nothing");
    let mut wrong = Vec::new();
    for manifest in WORKSPACES {
        let packages = packages(root, manifest)?;
        wrong.extend(packages.iter().flat_map(|package| rules.broken_by(root, package)));
    }
    Ok(wrong)
}

fn packages(root: &Path, manifest: &str) -> Result<Vec<Package>> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--locked", "--edges", "normal,build,dev"])
        .args(["--manifest-path", manifest])
        .args(["--prefix", "none", "--no-dedupe", "--format", "{p}|{l}"])
        .current_dir(root)
        .output()
        .context("run cargo tree")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).context("read cargo tree")?;
    let lines: BTreeSet<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    lines
        .into_iter()
        .map(|line| {
            let (shown, licence) = line.rsplit_once('|').context("cargo tree lists no licence")?;
            let name = shown.split(' ').next().unwrap_or(shown).to_owned();
            Ok(Package { name, shown: shown.to_owned(), licence: licence.to_owned() })
        })
        .collect()
}

impl Rules {
    fn read(text: &str) -> Rules {
        let mut rules = Rules::default();
        let (mut section, mut list) = ("", "");
        for line in text.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = name;
            } else if let Some((key, "[")) = line.split_once(" = ") {
                list = key;
            } else if line == "]" {
                list = "";
            }
            let mut texts = line.split('"').skip(1).step_by(2).map(str::to_owned);
            match (section, list, texts.next()) {
                ("licenses", "allow", Some(licence)) => _ = rules.licences.insert(licence),
                ("licenses", "exceptions", Some(name)) => {
                    rules.exceptions.extend(texts.next().map(|licence| (name, licence)));
                }
                ("bans", "deny", Some(name)) => _ = rules.banned.insert(name),
                _ => {}
            }
        }
        rules
    }

    fn broken_by(&self, root: &Path, package: &Package) -> Vec<String> {
        let mut wrong = Vec::new();
        let shown = &package.shown;
        if self.banned.contains(&package.name) {
            wrong.push(format!("deny.toml bans {shown}"));
        }
        let elsewhere = shown.split_once('(').is_some_and(|(_, source)| {
            source != "proc-macro)" && !source.starts_with(&*root.to_string_lossy())
        });
        if elsewhere {
            wrong.push(format!("deny.toml: {shown} is not from the registry"));
        }
        if !self.allows(&package.name, &package.licence) {
            wrong.push(format!("deny.toml does not allow {shown}: {:?}", package.licence));
        }
        wrong
    }

    /// Whether an SPDX expression can be met: one side of each OR, both sides of each AND. `/` is an old OR.
    fn allows(&self, name: &str, expression: &str) -> bool {
        let text = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
        let words: Vec<&str> = text.split_whitespace().collect();
        if words.is_empty() {
            return self.exceptions.iter().any(|(excepted, _)| excepted == name);
        }
        let licensed = |licence: &str| {
            self.licences.contains(licence)
                || self.exceptions.contains(&(name.to_owned(), licence.to_owned()))
        };
        let mut at = 0;
        either(&words, &mut at, &licensed) && at == words.len()
    }
}

/// `both OR both ...`
fn either(words: &[&str], at: &mut usize, licensed: &dyn Fn(&str) -> bool) -> bool {
    let mut met = both(words, at, licensed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= both(words, at, licensed);
    }
    met
}

/// `one AND one ...`
fn both(words: &[&str], at: &mut usize, licensed: &dyn Fn(&str) -> bool) -> bool {
    let mut met = one(words, at, licensed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(words, at, licensed);
    }
    met
}

/// `LICENCE`, `LICENCE WITH EXCEPTION` or an expression in parentheses.
fn one(words: &[&str], at: &mut usize, licensed: &dyn Fn(&str) -> bool) -> bool {
    let word = words.get(*at);
    *at += 1;
    let Some(word) = word else { return false };
    if *word == "(" {
        let met = either(words, at, licensed);
        let closed = words.get(*at) == Some(&")");
        *at += 1;
        return met && closed;
    }
    if words.get(*at) == Some(&"WITH") {
        let exception = words.get(*at + 1).copied().unwrap_or_default();
        *at += 2;
        return licensed(&format!("{word} WITH {exception}"));
    }
    licensed(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[licenses]\nallow = [\n  \"MIT\",\n  \"ISC\",\n  \"Apache-2.0 WITH LLVM-exception\",\n]\nexceptions = [\n\
                        \x20 { crate = \"odd\", allow = [\"MPL-2.0\"] }, # why\n]\n[bans]\ndeny = [\n\
                        \x20 { crate = \"openssl-sys\", reason = \"MIT\" },\n]\n";

    fn broken(shown: &str, licence: &str) -> Vec<String> {
        let name = shown.split(' ').next().unwrap().to_owned();
        let package = Package { name, shown: shown.to_owned(), licence: licence.to_owned() };
        Rules::read(FILE).broken_by(Path::new("/src/leme"), &package)
    }

    /// Red when OR and AND are taken for the same.
    #[test]
    fn licences_are_read_as_expressions() {
        let allows = |licence| broken("some v1.0.0", licence).is_empty();
        for good in [
            "MIT",
            "GPL-3.0 OR MIT",
            "MIT/Apache-2.0",
            "(GPL-3.0 OR ISC) AND MIT",
            "Apache-2.0 WITH LLVM-exception OR X",
        ] {
            assert!(allows(good), "{good}");
        }
        for bad in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "",
            "Apache-2.0",
            "(MIT",
            "MIT OR",
            "MPL-2.0",
            "MIT WITH GCC-exception",
        ] {
            assert!(!allows(bad), "{bad}");
        }
        assert!(broken("odd v1.0.0", "MPL-2.0 OR LGPL-3.0").is_empty());
        assert!(broken("odd v1.0.0", "").is_empty());
    }

    #[test]
    fn bans_and_sources_are_held() {
        assert_eq!(broken("openssl-sys v1.0.0", "MIT"), ["deny.toml bans openssl-sys v1.0.0"]);
        let foreign = broken("some v1.0.0 (https://example.com/some#1234)", "MIT");
        assert_eq!(foreign.len(), 1, "{foreign:?}");
        assert!(broken("leme v1.0.0 (/src/leme/leme)", "MIT").is_empty());
        assert!(broken("derive v1.0.0 (proc-macro)", "MIT").is_empty());
    }
}
