//! `leme up --detach`: starts the cluster in a process of its own, tells what it tells and returns once it is up.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::args::UpArgs;
use crate::cluster::plan::Plan;
use crate::cluster::up::{FAILED, UP};
use crate::progress::View;
use crate::say;

/// Runs the command.
pub fn run(args: &UpArgs) -> Result<()> {
    // Checked here as well, so that a wrong word leaves no trace.
    Plan::of_up(args)?;
    let log = args.data_dir.join("leme.log");
    let words = std::env::args_os().skip(1).filter(|word| word != "--detach");
    // The last --output wins, so a progress format of the caller does not matter to the child.
    let mut child = Command::new("/proc/self/exe")
        .args(words)
        .args(["--detached", "--output=json"])
        .stdin(Stdio::inherit())
        .stdout(Stdio::piped())
        // It takes its log for that once there is one; what happens before, it tells here.
        .stderr(Stdio::null())
        .spawn()
        .context("start the cluster's process")?;
    let output = child.stdout.take().context("the cluster's process has no output")?;
    let view = View::of(args.output);
    for line in BufReader::new(output).lines() {
        let line: Value =
            serde_json::from_str(&line.context("read progress")?).context("read progress")?;
        let text = |field: &str| line[field].as_str().unwrap_or("");
        if text("what") == UP {
            match text("state") {
                FAILED => bail!("{}", text("detail")),
                _ => return Ok(()),
            }
        }
        if text("state") == "url" {
            say::offer(text("detail"));
        } else {
            view.tell(text("what"), text("state"), text("detail"));
        }
    }
    let status = child.wait().context("wait for the cluster's process")?;
    bail!("the cluster's process ended ({status}): see {}", log.display())
}
