//! What the binary does when what it says cannot be written: a full disk, a reader that went away.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The signal that ends what writes where nobody reads.
const SIGPIPE: i32 = 13;

fn leme(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leme"));
    command.args(words).stdin(Stdio::null());
    command
}

/// A file every write to which fails as on a full disk.
fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Red with `println!`, which panics: exit code 101 and a backtrace.
#[test]
fn a_full_disk_under_standard_output_is_an_error_in_one_line() {
    let Output { status, stderr, .. } =
        leme(&["completion", "bash"]).stdout(full()).output().unwrap();
    let why = text(&stderr);
    assert_eq!(status.code(), Some(1), "{why}");
    assert!(why.starts_with("leme: write standard output: ") && why.lines().count() == 1, "{why}");
}

/// Red with `eprintln!` for the reason of a failure: 101 instead of 1.
#[test]
fn a_full_disk_under_standard_error_changes_no_exit_code() {
    let failed = leme(&["image", "load", "/nowhere", "--data-dir", "/proc/nowhere"])
        .stderr(full())
        .status()
        .unwrap();
    assert_eq!(failed.code(), Some(1));
}

/// Red when a broken pipe panics, or is told as an error: `leme get pods | head -1` then complains.
#[test]
fn without_a_reader_a_command_ends_as_others_do() {
    let mut child = leme(&["completion", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert_eq!((status.signal(), text(&stderr)), (Some(SIGPIPE), String::new()));
}

/// Red when the reason is looked for in the log only: nothing of it could be written there.
#[test]
fn why_a_cluster_does_not_start_is_told_when_its_log_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let dir = data.to_str().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("VERSION"), "1\n").unwrap();
    std::os::unix::fs::symlink("/dev/full", data.join("leme.log")).unwrap();
    let words = ["up", "--no-node", "--listen", &listen, "--detach", "--data-dir", dir];
    let Output { status, stderr, .. } = leme(&words).output().unwrap();
    let why = text(&stderr);
    assert_eq!(status.code(), Some(1), "{why}");
    assert!(why.contains(&listen) && why.contains("--listen"), "{why}");
}

/// The one line that a failure is.
fn refused(words: &[&str]) -> String {
    let Output { status, stderr, .. } = leme(words).output().unwrap();
    let why = text(&stderr);
    assert_eq!(status.code(), Some(1), "{why}");
    assert_eq!(why.lines().count(), 1, "{why}");
    why
}

/// Red when a start that is refused leaves a data directory behind, or takes along what was there before.
#[test]
fn what_is_refused_leaves_nothing_that_was_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("deep/data");
    let dir = data.to_str().unwrap();
    let left = || std::fs::read_dir(folder.path()).unwrap().count();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let up = ["up", "--no-node", "--data-dir", dir, "--listen", &listen];
    let detached = [&up[..], &["--detach"]].concat();
    for words in [&up[..], &detached] {
        assert!(refused(words).contains(&listen));
        assert_eq!(left(), 0, "{words:?}");
    }
    let load = ["image", "load", "/dev/null", "--data-dir", dir];
    assert!(refused(&load).contains("it is no archive of images"));
    refused(&["store", "restore", "/dev/null", "--data-dir", dir]);
    assert!(leme(&["image", "ls", "--data-dir", dir]).status().unwrap().success());
    assert_eq!(left(), 0);
    // A cluster that was, and an authority that is lost.
    std::fs::create_dir_all(data.join("pki")).unwrap();
    std::fs::write(data.join("VERSION"), "1\n").unwrap();
    for file in ["ca.crt", "ca.key"] {
        std::fs::write(data.join("pki").join(file), "").unwrap();
    }
    let up = ["up", "--no-node", "--data-dir", dir, "--listen", "127.0.0.1:0"];
    for words in [&up[..], &[&up[..], &["--detach"]].concat()] {
        let why = refused(words);
        assert!(why.contains("ca.crt is no certificate") && why.contains("or remove "), "{why}");
        assert!(data.join("pki/ca.crt").exists());
    }
}

/// A request over plain TCP, which the server refuses and logs at `debug`.
fn knock(server: &str) -> bool {
    let Ok(mut stream) = std::net::TcpStream::connect(server) else { return false };
    let _ = stream.write_all(b"GET / HTTP/1.0\r\n\r\n");
    let _ = stream.read_to_end(&mut Vec::new());
    true
}

fn server(kubeconfig: &Path) -> Option<String> {
    let text = std::fs::read_to_string(kubeconfig).ok()?;
    let (_, rest) = text.split_once("server: \"https://")?;
    rest.split('"').next().map(str::to_owned)
}

/// Red when the log's failure is told on standard error, which is the same file: the cluster ends with a panic.
#[test]
fn a_cluster_lives_on_when_its_log_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let dir = data.to_str().unwrap();
    let words = ["up", "--no-node", "--listen", "127.0.0.1:0", "--detach", "--data-dir", dir];
    // What makes the directory is not what is tested.
    let first = leme(&words).output().unwrap();
    assert!(first.status.success(), "{}", text(&first.stderr));
    assert!(leme(&["down", "--data-dir", dir]).status().unwrap().success());
    let log = data.join("leme.log");
    std::fs::remove_file(&log).unwrap();
    std::os::unix::fs::symlink("/dev/full", &log).unwrap();

    let second = leme(&words).env("LEME_LOG", "trace").output().unwrap();
    let kubeconfig = data.join("admin.kubeconfig");
    let address = server(&kubeconfig).unwrap();
    let alive = (0..20).all(|_| knock(&address));
    let config = kubeconfig.to_str().unwrap();
    let got = leme(&["get", "namespaces", "--kubeconfig", config]).output().unwrap();
    let down = leme(&["down", "--data-dir", dir]).status().unwrap();
    assert!(second.status.success(), "{}", text(&second.stderr));
    assert!(alive && down.success());
    assert!(text(&got.stdout).contains("kube-system"), "{}", text(&got.stderr));
}
