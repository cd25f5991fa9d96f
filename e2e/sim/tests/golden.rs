//! Runs every script of `scenarios/` and compares the transcript with the golden one beside it. `UPDATE_GOLDEN=1`
//! writes the golden ones anew.

use std::fs;
use std::path::{Path, PathBuf};

fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

fn check(name: &str) {
    let dir = scenarios();
    let script = fs::read_to_string(dir.join(format!("{name}.txt"))).unwrap();
    let transcript = leme_sim::run(&script, &|file| fs::read_to_string(dir.join(file))).unwrap();
    let golden = dir.join(format!("{name}.golden"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, &transcript).unwrap();
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    for (number, (got, wanted)) in transcript.lines().zip(expected.lines()).enumerate() {
        assert_eq!(got, wanted, "{name}.golden, line {}", number + 1);
    }
    assert_eq!(transcript.lines().count(), expected.lines().count(), "length of {name}.golden");
}

#[test]
fn scale() {
    check("scale");
}

#[test]
fn replica_set() {
    check("replica-set");
}

#[test]
fn deployment() {
    check("deployment");
}

#[test]
fn deployment_config() {
    check("deployment-config");
}

#[test]
fn deployment_config_cancel() {
    check("deployment-config-cancel");
}

#[test]
fn node_lost() {
    check("node-lost");
}

#[test]
fn crash_loop() {
    check("crash-loop");
}

#[test]
fn cron_jobs() {
    check("cron-jobs");
}

#[test]
fn jobs() {
    check("jobs");
}

#[test]
fn daemon_set() {
    check("daemon-set");
}

#[test]
fn stateful_set() {
    check("stateful-set");
}

#[test]
fn autoscaler() {
    check("autoscaler");
}

#[test]
fn every_script_has_a_test() {
    let mut names: Vec<String> = fs::read_dir(scenarios())
        .unwrap()
        .filter_map(|entry| {
            entry.unwrap().file_name().into_string().ok()?.strip_suffix(".txt").map(str::to_owned)
        })
        .collect();
    names.sort();
    let known = [
        "autoscaler",
        "crash-loop",
        "cron-jobs",
        "daemon-set",
        "deployment",
        "deployment-config",
        "deployment-config-cancel",
        "jobs",
        "node-lost",
        "replica-set",
        "scale",
        "stateful-set",
    ];
    assert_eq!(names, known);
}
