//! `leme up --detach`: starts the cluster in a process of its own, tells what it tells and returns once it is up.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::args::UpArgs;
use crate::cluster::data::DataDir;
use crate::cluster::plan::Plan;
use crate::cluster::up::UP;
use crate::progress::View;
use crate::say;

/// What is read of the log at most, to find why the cluster did not start.
const LOG_TAIL: u64 = 1 << 20;

/// Runs the command.
pub fn run(args: &UpArgs) -> Result<()> {
    // Checked here as well, so that a wrong word leaves no trace.
    Plan::from_args(args)?;
    let data = DataDir::open(&args.data_dir)?;
    let log = data.log();
    let shown = log.display();
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log)
        .with_context(|| format!("open {shown}"))?;
    let start = std::fs::metadata(&log).with_context(|| format!("read {shown}"))?.len();
    let words = std::env::args_os().skip(1).filter(|word| word != "--detach");
    // The last --output wins, so a progress format of the caller does not matter to the child.
    let mut child = Command::new("/proc/self/exe")
        .args(words)
        .args(["--detached", "--output=json"])
        .stdin(Stdio::inherit())
        .stdout(Stdio::piped())
        .stderr(file)
        .spawn()
        .context("start the cluster's process")?;
    let output = child.stdout.take().context("the cluster's process has no output")?;
    let view = View::of(args.output);
    for line in BufReader::new(output).lines() {
        let line: Value =
            serde_json::from_str(&line.context("read progress")?).context("read progress")?;
        let text = |field: &str| line[field].as_str().unwrap_or("");
        if text("what") == UP {
            return Ok(());
        }
        if text("state") == "url" {
            say::offer(text("detail"));
        } else {
            view.tell(text("what"), text("state"), text("detail"));
        }
    }
    let status = child.wait().context("wait for the cluster's process")?;
    let last = written_since(&log, start).unwrap_or_default();
    let reason = last.lines().rev().find_map(|line| line.strip_prefix("leme: "));
    match reason {
        Some(_) => bail!("{}", last.split("leme: ").last().unwrap_or_default().trim_end()),
        None => bail!("the cluster's process ended ({status}): see {shown}"),
    }
}

/// What a file holds after its first `start` bytes.
fn written_since(path: &Path, start: u64) -> io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
