//! What containers may not fill, and what of theirs may not reach a disk.

mod support;

use std::fs;
use std::path::Path;

use leme_cri::Runtime;
use support::{Node, run, sh, shell};

const CANARY: &str = "canary-4711-of-a-secret";

/// Whether a file below `directory` holds the text.
fn holds(directory: &Path, text: &str) -> bool {
    fs::read_dir(directory).into_iter().flatten().flatten().any(|entry| {
        let kind = entry.file_type().unwrap();
        match kind.is_dir() {
            true => holds(&entry.path(), text),
            false if kind.is_file() => {
                fs::read(entry.path()).unwrap().windows(text.len()).any(|w| w == text.as_bytes())
            }
            false => false,
        }
    })
}

// Red when the record is written whole, or the spec lies beside it.
#[tokio::test]
async fn the_environment_is_in_no_file_that_stays() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("env")).await.unwrap();
    let mut config = shell("main", "");
    // Not through a shell, which passes on only the names that it can use itself.
    config.command = ["/bin/sleep", "600"].map(String::from).to_vec();
    config.env = vec![("PASSWORD".into(), CANARY.into()), ("data-1".into(), "relaxed".into())];
    let id = run(&runtime, &sandbox, &config).await;
    let seen = "cat /proc/1/environ | tr '\\000' '\\n' | grep -E 'PASSWORD|data-1'";
    let (seen, _) = sh(&runtime, &id, seen).await.unwrap();
    let mut lines: Vec<&str> = seen.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, [&format!("PASSWORD={CANARY}"), "data-1=relaxed"]);
    assert!(holds(&node.config.root, "\"main\""), "records are there");
    assert!(!holds(&node.config.root, CANARY));
    // A later engine still runs commands with it.
    drop(runtime);
    let runtime = node.start().await;
    assert_eq!(sh(&runtime, &id, "echo $PASSWORD").await.unwrap().0, CANARY);
    runtime.remove_sandbox(&sandbox).await.unwrap();
    assert!(!holds(node.directory.path(), CANARY));
    drop(runtime);
    node.finish().await;
}

// CVE-2020-8557. Red when the files are plain ones of the node's disk.
#[tokio::test]
async fn the_pods_own_files_cannot_grow_without_bound() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("grow")).await.unwrap();
    let id = run(&runtime, &sandbox, &shell("main", "sleep 600")).await;
    for file in ["/etc/resolv.conf", "/etc/hostname", "/etc/hosts"] {
        let fill = format!("dd if=/dev/zero of={file} bs=4096 count=100000");
        let (text, code) = sh(&runtime, &id, &fill).await.unwrap();
        assert!(code != 0 && text.contains("No space left"), "{file}: {text}");
        let rest = sh(&runtime, &id, &format!("echo 10.9.8.7 me > {file}; cat {file}")).await;
        assert_eq!(rest.unwrap(), ("10.9.8.7 me".into(), 0));
    }
    drop(runtime);
    node.finish().await;
}
