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
    "create",
    "build",
    "rollout",
    "label",
    "annotate",
    "image",
    "store",
    "bench",
    "completion",
    "server",
    "controllers",
    "scheduler",
    "agent",
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

/// Red when what has failed for good is waited for until the time is over.
#[test]
fn a_wait_ends_with_what_has_failed_and_why_tells_what_nobody_acts_on() {
    let host = Host::new();
    host.up("--no-node").ok();
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: once}\nspec:\n  restartPolicy: Never\n  \
        containers: [{name: c, image: \"leme/sample:latest\"}]\n";
    let path = file(&host, "pod.yaml", pod);
    host.leme(&format!("apply -f {path}")).run().ok();
    let failed =
        serde_json::json!({"phase": "Failed", "reason": "Evicted", "message": "no memory"});
    host.put_part("once", "status", |pod| pod["status"] = failed).ok();
    let wait = host.leme(&format!("apply --wait --timeout 10m -f {path}")).run().fails(1);
    assert!(wait.ends_with("leme: pod/once has failed: Evicted: no memory\n"), "{wait}");
    let wait = host.leme("wait pod/once --for served --timeout 10m").run().fails(1);
    assert_eq!(wait, "leme: pod/once has failed: Evicted: no memory\n");

    let policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: shut}\nspec: {podSelector: {}}\n";
    let told = host.leme("apply --wait -f -").run_with(policy);
    let stored = "is stored, but nothing in this cluster enforces it yet";
    assert!(told.stderr.contains(&format!("Warning: NetworkPolicy {stored}")), "{}", told.stderr);
    told.ok();
    let why = host.leme("why networkpolicy/shut").run().ok();
    let line =
        "networkpolicy.networking.k8s.io/shut is stored: nothing in this cluster enforces it yet\n";
    assert_eq!(why, line);
    host.leme("down").run().ok();
}

/// What each line of words makes, made, and then shown: the kind is learned from the server each time.
const CREATED: &[(&str, &str)] = &[
    ("namespace deck", "namespace/deck"),
    ("configmap chart --from-literal depth=10", "configmap/chart"),
    ("secret generic key --from-literal a=b", "secret/key"),
    ("secret docker-registry hub --docker-username u --docker-password p", "secret/hub"),
    ("serviceaccount mate", "serviceaccount/mate"),
    ("deployment web --image leme/sample:latest --replicas 2 --port 8080", "deployment.apps/web"),
    ("job once --image leme/sample:latest -- true", "job.batch/once"),
    ("cronjob daily --image leme/sample:latest --schedule @daily -- true", "cronjob.batch/daily"),
    ("job now --from cronjob/daily", "job.batch/now"),
    ("service clusterip web --tcp 80:8080", "service/web"),
    ("service nodeport out --tcp 80", "service/out"),
    ("service externalname far --external-name a.test", "service/far"),
    (
        "role look --verb get,list --resource pods,deployments",
        "role.rbac.authorization.k8s.io/look",
    ),
    (
        "clusterrole see --verb get --non-resource-url /healthz",
        "clusterrole.rbac.authorization.k8s.io/see",
    ),
    (
        "rolebinding mates --role look --serviceaccount default:mate",
        "rolebinding.rbac.authorization.k8s.io/mates",
    ),
    (
        "clusterrolebinding all --clusterrole see --user u",
        "clusterrolebinding.rbac.authorization.k8s.io/all",
    ),
    ("ingress in --rule a.test/*=web:80,tls", "ingress.networking.k8s.io/in"),
    ("quota few --hard pods=5", "resourcequota/few"),
    ("priorityclass high --value 10", "priorityclass.scheduling.k8s.io/high"),
    ("pdb some --selector app=web --min-available 1", "poddisruptionbudget.policy/some"),
];

#[test]
fn objects_are_created_labelled_and_annotated() {
    let host = Host::new();
    host.up("--no-node").ok();
    for (words, shown) in CREATED {
        // What follows -- is the command's.
        let create = |flags: &str| {
            let program = host.program(leme()).words("create --data-dir").arg(host.data());
            program.words(flags).words(words).run().ok()
        };
        assert_eq!(create("--dry-run=server"), format!("{shown} created (server dry run)\n"));
        assert_eq!(create(""), format!("{shown} created\n"));
        assert_eq!(host.leme(&format!("get {shown} -o name")).run().ok(), format!("{shown}\n"));
        let theirs = host.kubectl(&format!("get {shown} -o name")).run().ok();
        assert_eq!(theirs, format!("{shown}\n"));
    }
    let again = host.leme("create configmap chart").run().fails(1);
    assert_eq!(again, "Error from server (AlreadyExists): configmaps \"chart\" already exists\n");
    let path =
        file(&host, "sail.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: sail}\n");
    assert_eq!(host.leme(&format!("create -f {path}")).run().ok(), "configmap/sail created\n");
    let yaml = host.leme("create cm rope --from-literal a=b --dry-run=client -o yaml").run().ok();
    assert!(yaml.contains("kind: ConfigMap") && yaml.contains("a: b"), "{yaml}");
    host.leme("get cm rope").run().fails(1);
    host.leme("create cats tom").run().fails(2);

    assert_eq!(
        host.leme("label cm chart sail sea=north").run().ok(),
        "configmap/chart labeled\nconfigmap/sail labeled\n"
    );
    assert_eq!(host.leme("label cm/chart sea=north").run().ok(), "configmap/chart not labeled\n");
    let refused = host.leme("label cm chart sea=south").run().fails(1);
    assert!(
        refused.contains("'sea' already has a value (north), and --overwrite is false"),
        "{refused}"
    );
    host.leme("label cm chart sea=south --overwrite").run().ok();
    assert_eq!(host.leme("get cm -l sea=south -o name").run().ok(), "configmap/chart\n");
    assert_eq!(host.leme("label cm -l sea=south sea-").run().ok(), "configmap/chart unlabeled\n");
    assert_eq!(host.leme("annotate cm chart note=deep").run().ok(), "configmap/chart annotated\n");
    assert_eq!(
        host.leme("get cm chart -o jsonpath={.metadata.annotations.note}").run().ok(),
        "deep"
    );

    let columns = host
        .leme("get cm chart sail -o custom-columns=NAME:.metadata.name,SEA:.metadata.labels.sea")
        .run()
        .ok();
    assert_eq!(columns, "NAME    SEA\nchart   <none>\nsail    north\n");
    let sorted =
        host.leme("get cm chart sail --sort-by .metadata.name -L sea --no-headers").run().ok();
    assert!(
        sorted.starts_with("chart ") && sorted.lines().nth(1).unwrap().ends_with("   north"),
        "{sorted}"
    );
    let all = host.leme("get all").run().ok();
    assert!(all.contains("deployment.apps/web") && all.contains("cronjob.batch/daily"), "{all}");
    let raw = host.leme("get --raw /version").run().ok();
    assert!(raw.contains("gitVersion"), "{raw}");
    let mut watcher = host.leme("get cm --watch-only --no-headers").spawn();
    let (sender, seen) = std::sync::mpsc::sync_channel(1024);
    let lines = BufReader::new(watcher.stdout.take().unwrap()).lines();
    let reader = std::thread::spawn(move || {
        lines.map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    // Changed until it is seen: what is changed before the watch begins is not.
    until("a change is seen", || {
        host.leme("annotate cm sail --overwrite")
            .arg(format!("at={:?}", std::time::Instant::now()))
            .run()
            .ok();
        seen.try_recv().is_ok_and(|line| line.starts_with("sail "))
    });
    watcher.kill().unwrap();
    watcher.wait().unwrap();
    // It ends with the pipe.
    let _ = reader.join().unwrap();
    host.leme("down").run().ok();
}

#[test]
fn rollouts_are_followed_stopped_and_taken_back() {
    let mut host = Host::new();
    host.load_sample();
    host.up("").ok();
    host.leme("create deployment web --image leme/sample:latest --replicas 2 --port 8080")
        .run()
        .ok();
    host.leme("create service clusterip web --tcp 80:8080").run().ok();
    let done = host.leme("rollout status deployment/web").run().ok();
    assert!(done.ends_with("deployment \"web\" successfully rolled out\n"), "{done}");
    assert_eq!(
        host.leme("rollout restart deploy/web").run().ok(),
        "deployment.apps/web restarted\n"
    );
    host.leme("rollout status deploy web --timeout 60s").run().ok();
    let history = host.leme("rollout history deploy/web").run().ok();
    assert_eq!(history, host.kubectl("rollout history deploy/web").run().ok());
    assert!(
        host.leme("rollout history deploy/web --revision 1")
            .run()
            .ok()
            .contains("revision #1\nPod Template:")
    );
    assert_eq!(
        host.leme("rollout undo deploy/web").run().ok(),
        "deployment.apps/web rolled back\n"
    );
    host.leme("rollout status deploy/web").run().ok();
    let annotation = "get deploy web -o jsonpath={.spec.template.metadata.annotations}";
    assert_eq!(host.leme(annotation).run().ok(), "", "what the restart said is taken back");
    assert_eq!(host.leme("rollout pause deploy/web").run().ok(), "deployment.apps/web paused\n");
    let paused = host.leme("rollout pause deploy/web").run().fails(1);
    assert!(paused.contains("deployments.apps \"web\" is already paused"), "{paused}");
    host.leme("rollout restart deploy/web").run().fails(1);
    assert_eq!(host.leme("rollout resume deploy/web").run().ok(), "deployment.apps/web resumed\n");
    let none = host.leme("rollout undo deploy/web --to-revision 99").run().fails(1);
    assert!(none.contains("unable to find specified revision 99 in history"), "{none}");
    host.leme("scale deploy/web --replicas 3 --current-replicas 9").run().fails(1);
    host.leme("scale deploy/web --replicas 1 --current-replicas 2").run().ok();
    until("one pod is left", || {
        host.leme("get pods -l app=web -o name").run().ok().lines().count() == 1
    });
    assert!(host.leme("logs deploy/web").run().ok().starts_with("hello listens on port 8080\n"));
    let all = host.leme("logs -l app=web --all-containers --prefix").run().ok();
    assert!(all.starts_with("[pod/web-"), "{all}");
    assert_eq!(host.leme("exec deploy/web").words("-- echo aye").run().ok(), "aye\n");

    let mut forward = host.leme("port-forward svc/web :80").spawn();
    let line = BufReader::new(forward.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    let (from, to) = line.strip_prefix("Forwarding from ").unwrap().split_once(" -> ").unwrap();
    assert_eq!(to, "8080");
    assert!(!host.get(&format!("http://{from}/")).ok().is_empty());
    forward.kill().unwrap();
    host.keep(forward);
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
