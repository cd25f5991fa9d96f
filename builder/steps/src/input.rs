//! The input of a build: what is cloned or sent, and the Dockerfile that stands in the build itself.
//!
//! Knows: where each goes. Refuses to know: what is made of it.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::report::Report;
use crate::task::Task;
use crate::{Failed, git, say};

/// How what is packed begins, and how `tar` is told of it.
const PACKED: [(&[u8], &str); 4] = [
    (&[0x1f, 0x8b], "--gzip"),
    (b"BZh", "--bzip2"),
    (&[0xfd, b'7', b'z', b'X', b'Z'], "--xz"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "--zstd"),
];

fn failed(why: impl std::fmt::Display) -> Failed {
    Failed::new("FetchSourceFailed", "Failed to fetch the input source.", why)
}

/// Clones the source, or takes what is sent.
pub(crate) async fn fetch(task: &Task, report: &mut Report) -> Result<(), Failed> {
    let began = Timestamp::now();
    let source = task.build.pointer("/spec/source").unwrap_or(&Value::Null);
    let has = |field: &str| source.get(field).is_some_and(|one| !one.is_null());
    if has("binary") {
        receive(task, &mut std::io::stdin().lock())?;
        report.step("FetchInputs", "FetchBinarySource", began);
    } else if has("git") {
        let secret = std::env::var_os("SOURCE_SECRET_PATH");
        let commit = git::clone(task, secret.as_deref().map(Path::new))?;
        report.revision(commit.revision());
        report.step("FetchInputs", "FetchGitSource", began);
        let told = json!({
            "Ref": task.text("/spec/source/git/ref"), "CommitID": commit.hash, "Message": commit.message,
            "Location": git::shown(task.text("/spec/source/git/uri")),
            "ContextDir": task.text("/spec/source/contextDir"),
        });
        fs::write(task.work.join("sourceinfo.json"), told.to_string()).map_err(failed)?;
    }
    Ok(())
}

/// Takes input from a stream: one file, or an archive.
fn receive(task: &Task, from: &mut dyn Read) -> Result<(), Failed> {
    let into = task.inputs();
    fs::create_dir_all(&into).map_err(failed)?;
    let name = task.text("/spec/source/binary/asFile");
    if !name.is_empty() {
        if Path::new(name).file_name().is_none_or(|own| own != name) {
            return Err(failed(format!("{name:?} is no name of a file")));
        }
        say(&format!("Receiving source from STDIN as file {name}"));
        let mut file = fs::File::create(into.join(name)).map_err(failed)?;
        std::io::copy(from, &mut file).map_err(failed)?;
        return Ok(());
    }
    say("Receiving source from STDIN as archive ...");
    let mut head = Vec::new();
    from.take(6).read_to_end(&mut head).map_err(failed)?;
    if head.is_empty() {
        return Err(failed("nothing was sent"));
    }
    if head.starts_with(b"PK") {
        return Err(failed("a zip archive was sent; send a tar archive"));
    }
    let packed = PACKED.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, flag)| *flag);
    let mut tar = Command::new("tar")
        .args(["--extract", "--no-same-owner", "--file=-", "--directory"])
        .arg(&into)
        .args(packed)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| failed(format!("tar: {error}")))?;
    let sent = tar.stdin.take().map(|mut stdin| {
        stdin.write_all(&head)?;
        std::io::copy(from, &mut stdin)
    });
    let ended = tar.wait().map_err(failed)?;
    if !ended.success() {
        return Err(failed("the archive that was sent could not be unpacked"));
    }
    sent.transpose().map_err(failed).map(drop)
}

/// Puts the Dockerfile in its place that stands in the build itself.
pub(crate) fn manage(task: &Task) -> Result<(), Failed> {
    fs::create_dir_all(task.inputs()).map_err(Failed::generic)?;
    let invalid = |why: String| {
        let message = "The supplied context directory does not exist.";
        Failed::new("InvalidContextDirectory", message, why)
    };
    let named = task.text("/spec/source/contextDir");
    let context = task.context().filter(|path| is_inside(&task.inputs(), path));
    let context =
        context.ok_or_else(|| invalid(format!("there is no directory {named:?} in the source")))?;
    let wrong = |why: String| {
        Failed::new("ManageDockerfileFailed", "Failed to process the Dockerfile.", why)
    };
    if task.strategy().0 != "dockerStrategy" {
        return Ok(());
    }
    let path = crate::task::within(&context, &task.dockerfile().to_string_lossy())
        .ok_or_else(|| wrong("dockerfilePath leads out of the context".to_owned()))?;
    let inline = task.text("/spec/source/dockerfile");
    if !inline.is_empty() {
        say("Replacing Dockerfile with the one in the build configuration");
        // A link in the source must not lead the write elsewhere.
        let parent = path.parent().unwrap_or(&context);
        fs::create_dir_all(parent).map_err(|error| wrong(error.to_string()))?;
        if !is_inside(&task.inputs(), parent) {
            return Err(wrong("dockerfilePath leads out of the context".to_owned()));
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(wrong(error.to_string()));
            }
            _ => {}
        }
        fs::write(&path, inline).map_err(|error| wrong(error.to_string()))?;
    }
    if !is_inside(&task.inputs(), &path) {
        let path = task.dockerfile();
        return Err(wrong(format!("there is no {} in the source", path.display())));
    }
    Ok(())
}

/// Whether something is there, and below a directory when all links are followed.
fn is_inside(base: &Path, path: &Path) -> bool {
    match (fs::canonicalize(base), fs::canonicalize(path)) {
        (Ok(base), Ok(path)) => path.starts_with(base),
        _ => false,
    }
}
