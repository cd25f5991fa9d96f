//! Tells the program which commit it is built of: the API server's `/version` names it. Leaves the symbols out of a release,
//! since the profile's `strip` does not reach a package that has an optimisation level of its own.
//!
//! Knows: git, if it is there. Where it is not, the program says that it does not know.

#![allow(clippy::disallowed_macros, reason = "this is how a build script answers")]

use std::process::Command;

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").env("TZ", "UTC").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo::rustc-link-arg-bins=-Wl,--strip-all");
    }
    // Every commit and change of branch is noted here.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    let date = ["show", "-s", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", "--format=%cd", "HEAD"];
    let tree = git(&["status", "--porcelain"])
        .map_or("archive", |changes| if changes.is_empty() { "clean" } else { "dirty" });
    for (name, value) in [
        ("COMMIT", git(&["rev-parse", "HEAD"]).as_deref().unwrap_or("unknown")),
        ("DATE", git(&date).as_deref().unwrap_or("1970-01-01T00:00:00Z")),
        ("TREE", tree),
    ] {
        println!("cargo::rustc-env=LEME_BUILD_{name}={value}");
    }
}
