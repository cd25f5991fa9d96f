//! Tells the program which commit it is built of: the API server's `/version` names it. Has a release linked small.
//!
//! Knows: git, if it is there (where it is not, the program says that it does not know), and what linkers can do.

#![allow(clippy::disallowed_macros, reason = "this is how a build script answers")]

use std::process::Command;

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").env("TZ", "UTC").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The linker's options for a release. What is mapped of the program is most of its memory.
fn linked_small() -> Vec<&'static str> {
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    if !is("PROFILE", "release") {
        return Vec::new();
    }
    // The profile's `strip` does not reach a package that has an optimisation level of its own.
    let mut options = vec!["--strip-all"];
    // The toolchain's own linker for this target, unless somebody has chosen another.
    let chosen = std::env::var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.contains("link"));
    if is("TARGET", "x86_64-unknown-linux-gnu") && !chosen {
        options.push("--icf=all");
        // Of 2.36 and later, which read packed relocations.
        if is("HOST", "x86_64-unknown-linux-gnu") && glibc().is_some_and(|found| found >= (2, 36)) {
            options.push("-z,pack-relative-relocs");
        }
    }
    options
}

/// The version of this machine's C library.
fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for option in linked_small() {
        println!("cargo::rustc-link-arg-bins=-Wl,{option}");
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
