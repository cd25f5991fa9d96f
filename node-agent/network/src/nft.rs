//! Runs the `nft` program. Knows how to hand it one atomic transaction on standard input and how to word its failures;
//! refuses to know what any rule means.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Where `nft` usually is when PATH, as for an ordinary login, leaves the administrator's directories out.
const ADMIN_DIRS: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// The `nft` program, if the machine has it.
pub(crate) fn program() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path)
                .chain(ADMIN_DIRS.iter().map(PathBuf::from))
                .map(|dir| dir.join("nft"))
                .find(|file| file.is_file())
        })
        .as_deref()
}

/// Applies `script` as one transaction: all of it or nothing.
pub(crate) async fn apply(script: &str) -> Result<()> {
    run(&["-f", "-"], script).await
}

/// Asks the kernel whether it would take `script`, without changing anything.
pub(crate) async fn dry_run(script: &str) -> Result<()> {
    run(&["-c", "-f", "-"], script).await
}

/// The script that removes a table whether or not it exists.
pub(crate) fn drop_table(table: &str) -> String {
    format!("add table ip {table}\ndelete table ip {table}\n")
}

/// The text of one chain of another program's table; `None` when there is no such chain.
pub(crate) async fn chain(table: &str, chain: &str) -> Option<String> {
    let listed =
        Command::new(program()?).args(["list", "chain", "ip", table, chain]).output().await;
    let output = listed.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// One map of a table with its elements, in nft's JSON; `None` when there is no such map.
pub(crate) async fn map(table: &str, map: &str) -> Result<Option<String>> {
    let program = program().context("nft is not installed: apt-get install nftables")?;
    let listed = Command::new(program)
        .args(["-j", "list", "map", "ip", table, map])
        .kill_on_drop(true)
        .output()
        .await
        .context("list a map with nft")?;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    Ok(listed.status.success().then_some(text))
}

async fn run(args: &[&str], script: &str) -> Result<()> {
    let program = program().context("nft is not installed: apt-get install nftables")?;
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    let mut stdin = child.stdin.take().context("nft has no standard input")?;
    // nft reads to the end before it writes, so writing first cannot deadlock. A write error means that it ended
    // early; what it said is the better message.
    let written = stdin.write_all(script.as_bytes()).await;
    drop(stdin);
    let output = child.wait_with_output().await.context("wait for nft")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let first = said.lines().find(|line| line.contains("Error")).or(said.lines().next());
        bail!("nft refused the rules ({}): {}", output.status, first.unwrap_or("no message"));
    }
    written.context("write to nft")
}
