//! Every verb of `leme` itself, driven as people drive it: words in, output and exit code out.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};

use leme_live::{Host, Program, leme, root, sample_image, until};

/// The verbs that the tests of this file drive, and those of the files beside it.
const DRIVEN: &[&str] = &[
    "up",
    "down",
    "apply",
    "get",
    "describe",
    "delete",
    "logs",
    "exec",
    "attach",
    "port-forward",
    "why",
    "wait",
    "scale",
    "image",
    "store",
    "bench",
    "completion",
];

/// A controller of `replicas` pods that need nothing but the sample image.
fn controller(name: &str, replicas: u32) -> String {
    format!(
        "apiVersion: v1\nkind: ReplicationController\nmetadata: {{name: {name}}}\nspec:\n  replicas: {replicas}\n\
         \x20 selector: {{app: {name}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n\
         \x20     terminationGracePeriodSeconds: 1\n      containers:\n\
         \x20     - {{name: c, image: \"leme/sample:latest\", imagePullPolicy: IfNotPresent}}\n"
    )
}

fn file(host: &Host, name: &str, text: &str) -> String {
    let path = host.folder().join(name);
    fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

/// The words that begin the lines below `heading`, up to an empty line.
fn listed(text: &str, heading: &str) -> BTreeSet<String> {
    text.lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect()
}

/// Red when a verb is added to `Command` and driven nowhere.
#[test]
fn no_verb_is_left_undriven_or_out_of_the_readme() {
    let help = Program::new(leme()).arg("--help").run().ok();
    let mut verbs = listed(&help, "Commands:");
    assert!(verbs.remove("help"), "{help}");
    assert_eq!(verbs, DRIVEN.iter().map(|verb| (*verb).to_owned()).collect());
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let told = readme.split("## Use it").nth(1).unwrap().split("\n## ").next().unwrap();
    for verb in &verbs {
        assert!(
            told.contains(&format!("`leme {verb}")) || told.contains(&format!("`{verb}`")),
            "the README's table of commands does not tell of {verb}"
        );
        let help = Program::new(leme()).arg(verb).arg("--help").run().ok();
        assert!(help.contains("Usage: "), "{help}");
    }
}

#[test]
fn objects_are_applied_shown_and_deleted() {
    let mut host = Host::new();
    host.up("--no-node").ok();
    let map = |value: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: chart, labels: {{sea: north}}}}\ndata: {{depth: \"{value}\"}}\n"
        )
    };
    let path = file(&host, "chart.yaml", &map("10"));
    let dry = host.leme(&format!("apply --dry-run -f {path}")).run().ok();
    assert_eq!(dry, "configmap/chart created (server dry run)\n");
    host.leme("get configmap chart").run().fails(1);
    assert_eq!(host.leme(&format!("apply -f {path}")).run().ok(), "configmap/chart created\n");
    assert_eq!(host.leme(&format!("apply -f {path}")).run().ok(), "configmap/chart unchanged\n");
    let stdin = host.leme("apply -f -").run_with(&map("20")).ok();
    assert_eq!(stdin, "configmap/chart configured\n");

    let table = host.leme("get configmaps -l sea=north").run().ok();
    let rows: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "DATA", "AGE"]);
    assert_eq!(rows[1][..2], ["chart", "1"]);
    assert_eq!(rows.len(), 2, "{table}");
    assert_eq!(host.leme("get cm chart -o name").run().ok(), "configmap/chart\n");
    assert_eq!(host.leme("get cm/chart -o jsonpath={.data.depth}").run().ok(), "20");
    let json = host.leme("get cm chart -o json").run().ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["data"]["depth"], "20");
    let yaml = host.leme("get cm chart -o yaml").run().ok();
    assert!(yaml.contains("kind: ConfigMap") && yaml.contains("depth: '20'"), "{yaml}");
    let everywhere = host.leme("get cm -A --field-selector metadata.name=chart").run().ok();
    assert!(everywhere.starts_with("NAMESPACE"), "{everywhere}");
    let described = host.leme("describe cm/chart").run().ok();
    assert!(described.contains("chart") && described.contains("20"), "{described}");

    let mut watcher = host.leme("get cm -w --no-headers").spawn();
    let mut lines = BufReader::new(watcher.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("chart ")));
    let other = map("30").replace("name: chart", "name: log");
    host.leme("apply -f -").run_with(&other).ok();
    assert!(lines.any(|line| line.unwrap().starts_with("log ")), "the new one shows up");
    watcher.kill().unwrap();
    host.keep(watcher);

    assert_eq!(host.leme("delete cm chart").run().ok(), "configmap \"chart\" deleted\n");
    let gone = host.leme("delete cm chart").run().fails(1);
    assert!(gone.contains("(NotFound): configmaps \"chart\" not found"), "{gone}");
    host.leme("delete cm chart --ignore-not-found").run().ok();
    host.leme("wait cm/chart --for delete").run().ok();
    // Exported, with uid, resourceVersion and all. Red when a create is sent with its resourceVersion: the server refuses.
    assert!(yaml.contains("resourceVersion: ") && yaml.contains("uid: "), "{yaml}");
    assert_eq!(host.leme("apply -f -").run_with(&yaml).ok(), "configmap/chart created\n");
    host.leme("down").run().ok();
}

#[test]
fn pods_are_waited_for_spoken_to_and_scaled() {
    let host = Host::new();
    let loaded = host.leme("image load").arg(sample_image()).run().ok();
    assert_eq!(loaded, "loaded docker.io/leme/sample:latest\n");
    let images = host.leme("image ls").run().ok();
    let row: Vec<&str> = images.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[0], "docker.io/leme/sample:latest", "{images}");
    host.up("").ok();

    let path = file(&host, "crew.yaml", &controller("crew", 2));
    let applied = host.leme(&format!("apply --wait -f {path}")).run();
    assert!(applied.stderr.contains("replicationcontroller/crew"), "{}", applied.stderr);
    assert_eq!(applied.ok(), "replicationcontroller/crew created\n");
    let ready = host.leme("get rc crew -o jsonpath={.status.readyReplicas}").run().ok();
    assert_eq!(ready, "2", "apply --wait came back before both were ready");
    let why = host.leme("why rc/crew").run().ok();
    assert!(why.starts_with("replicationcontroller/crew works: 2/2 ready"), "{why}");

    let names = host.leme("get pods -l app=crew -o name").run().ok();
    let pod = names.lines().next().unwrap().strip_prefix("pod/").unwrap();
    host.leme(&format!("wait pod/{pod} --for condition=Ready")).run().ok();
    let log = host.leme(&format!("logs {pod} --tail 1")).run().ok();
    assert!(!log.is_empty() && log.lines().count() == 1, "{log}");
    assert!(host.leme("logs rc/crew").run().ok().starts_with("hello listens on port 8080\n"));
    let echoed = host.leme(&format!("exec -i {pod}")).words("-- cat").run_with("aye\n").ok();
    assert_eq!(echoed, "aye\n");
    host.leme(&format!("exec {pod}")).words("-- sh -c").arg("exit 9").run().fails(9);
    // Red when the end waits for the read of a standard input that says nothing any more.
    let exec = host.leme(&format!("exec -i {pod}")).words("-- sh -c").arg("exit 7");
    let mut exec = exec.spawn_open();
    until("the end of a command", || exec.try_wait().unwrap().is_some());
    assert_eq!(exec.wait().unwrap().code(), Some(7));
    let described = host.leme(&format!("describe pod {pod}")).run().ok();
    assert!(described.contains("Started"), "its events are told: {described}");

    let scaled = host.leme("scale rc/crew --replicas 3").run().ok();
    assert_eq!(scaled, "replicationcontroller/crew scaled\n");
    host.leme("wait rc/crew --for served").run().ok();
    assert_eq!(host.leme("get pods -l app=crew -o name").run().ok().lines().count(), 3);

    let none = controller("ghosts", 1).replace("leme/sample:latest", "leme/nothing:v1");
    let path = file(&host, "ghosts.yaml", &none);
    let late = host.leme(&format!("apply --wait --timeout 2s -f {path}")).run().fails(1);
    assert!(late.contains("leme/nothing:v1"), "{late}");
    let why = host.leme("why rc ghosts").run().ok();
    assert!(why.contains("ghosts waits") && why.contains("leme/nothing:v1"), "{why}");

    host.leme("delete rc crew ghosts").run().ok();
    until("their pods are gone", || host.leme("get pods -o name").run().ok().is_empty());
    host.leme("down").run().ok();
    host.leme("store check").run().ok();
    let backup = host.folder().join("backup");
    host.leme("store backup").arg(&backup).run().ok();
    host.leme("store restore").arg(&backup).run().ok();
    host.leme("down --purge").run().ok();
    assert!(!host.data().exists());
    assert_eq!(host.leftovers(), Vec::<String>::new());
}

#[test]
fn a_bench_measures_and_leaves_nothing() {
    let host = Host::new();
    let bench = host
        .program(leme())
        .words("bench --only list --output json --data-dir")
        .arg(host.folder())
        .run()
        .ok();
    let figures: Vec<serde_json::Value> =
        bench.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!figures.is_empty(), "{bench}");
    assert!(figures.iter().all(|figure| figure["bench"] == "list"), "{bench}");
    assert!(figures.iter().all(|figure| figure.get("not_run").is_none()), "{bench}");
    assert_eq!(fs::read_dir(host.folder()).unwrap().count(), 0);
    let unknown = host.program(leme()).words("bench --only nothing").run().fails(1);
    assert!(unknown.contains("no bench is called \"nothing\""), "{unknown}");
}

#[test]
fn completion_knows_every_verb() {
    for shell in ["bash", "zsh", "fish"] {
        let script = Program::new(leme()).arg("completion").arg(shell).run().ok();
        for verb in DRIVEN {
            assert!(script.contains(verb), "{shell}: {verb}");
        }
    }
    Program::new(leme()).words("completion sh").run().fails(2);
}
