//! From a push to a URL: a Git server calls a webhook, a build's pod makes an image of what was pushed, the registry tags it,
//! a rolling deployment takes it up, and a Route serves it without a failed request in between.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use leme_live::{Host, Program, sample_image, tool, until};
use serde_json::Value;

/// A Git server inside the host, and a work tree of its one repository.
struct Git {
    work: PathBuf,
}

impl Git {
    fn new(host: &mut Host) -> Git {
        let (served, work) = (host.folder().join("git"), host.folder().join("work"));
        let bare = served.join("hello.git");
        git(host).words("init --quiet --bare --initial-branch=main").arg(&bare).run().ok();
        git(host).words("clone --quiet").arg(&bare).arg(&work).run().ok();
        // Not by git's own word for it, which would leave its child behind.
        let programs = git(host).words("--exec-path").run().ok();
        let daemon = host.program(Path::new(programs.trim()).join("git-daemon"));
        let daemon = daemon.words("--export-all --reuseaddr");
        let child = daemon.arg(format!("--base-path={}", served.display())).spawn();
        host.keep(child);
        let made = Git { work };
        fs::write(made.work.join("app.tar"), layer(host)).unwrap();
        made
    }

    fn hook(&self, host: &Host, script: &str) {
        let hook = host.folder().join("git/hello.git/hooks/post-receive");
        fs::write(&hook, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn push(&self, host: &Host, greeting: &str) {
        let dockerfile = format!(
            "FROM scratch\nADD app.tar /\nENV GREETING={greeting}\nEXPOSE 8080\nENTRYPOINT [\"/bin/sample\", \"hello\"]\n"
        );
        fs::write(self.work.join("Dockerfile"), dockerfile).unwrap();
        let run = |words: &str| {
            let inside = git(host).arg("-C").arg(&self.work);
            let me = inside.words("-c user.name=Ana -c user.email=ana@example.com");
            me.words(words).run().ok();
        };
        run("add --all");
        run(&format!("commit --quiet --message {greeting}"));
        run("push --quiet origin HEAD:main");
    }
}

fn git(host: &Host) -> Program {
    let home = host.folder().display().to_string();
    host.program(tool("git", "git")).env("HOME", &home).env("GIT_CONFIG_NOSYSTEM", "1")
}

/// The one layer of the sample's image.
fn layer(host: &Host) -> Vec<u8> {
    let layout = host.folder().join("layout");
    fs::create_dir_all(&layout).unwrap();
    host.program(tool("tar", "tar"))
        .arg("-xf")
        .arg(sample_image())
        .arg("-C")
        .arg(&layout)
        .run()
        .ok();
    let read = |path: &Path| serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap();
    let blob = |of: &Value| {
        let digest = of["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
        layout.join("blobs/sha256").join(digest)
    };
    let index = read(&layout.join("index.json"));
    fs::read(blob(&read(&blob(&index["manifests"][0]))["layers"][0])).unwrap()
}

fn curl(host: &Host) -> Program {
    let authority = host.data().join("pki/ingress-ca.crt").display().to_string();
    host.program(tool("curl", "curl"))
        .words("-sS --max-time 10 --resolve hello-default.apps.localhost:443:127.0.0.1 --cacert")
        .arg(authority)
        .arg("https://hello-default.apps.localhost/")
}

fn greeting(host: &Host) -> String {
    curl(host).run().stdout.lines().next().unwrap_or("").to_owned()
}

fn build(host: &Host, name: &str, path: &str) -> String {
    host.kubectl(&format!("get build {name} -o jsonpath={{{path}}}")).run().stdout
}

#[test]
fn a_push_becomes_a_url() {
    let mut host = Host::new();
    host.up("").ok();
    let git = Git::new(&mut host);
    let node =
        "get nodes -o jsonpath={.items[0].status.addresses[?(@.type==\"InternalIP\")].address}";
    let node = host.kubectl(node).run().ok();
    host.kubectl(&format!("apply -f {}", Host::manifest("pipeline.yaml"))).run().ok();
    let uri = format!("git://{}/hello.git", node.trim());
    let source = format!(r#"{{"spec":{{"source":{{"git":{{"uri":"{uri}"}}}}}}}}"#);
    host.kubectl("patch bc/hello --type=merge -p").arg(source).run().ok();
    let path = "apis/build.openshift.io/v1/namespaces/default/buildconfigs/hello/webhooks";
    let called = format!("curl -sSf -k -X POST https://127.0.0.1:6443/{path}/let-me-build/generic");
    git.hook(&host, &called);

    // Who does not know the secret has no build.
    let wrong = host.program(tool("curl", "curl")).words("-sS -k -X POST");
    let wrong = wrong.arg(format!("https://127.0.0.1:6443/{path}/guessed/generic")).run().ok();
    assert!(wrong.contains("did not accept your secret"), "{wrong}");

    git.push(&host, "one");
    until("the first build is over", || {
        !matches!(
            build(&host, "hello-1", ".status.phase").as_str(),
            "" | "New" | "Pending" | "Running"
        )
    });
    let log =
        host.kubectl("get --raw /apis/build.openshift.io/v1/namespaces/default/builds/hello-1/log");
    let log = log.run().ok();
    assert_eq!(build(&host, "hello-1", ".status.phase"), "Complete", "{log}");
    assert!(log.contains("Cloning \"git://") && log.contains("Push successful"), "{log}");
    assert!(log.contains("\tAuthor:\tAna <ana@example.com>"), "{log}");
    let digest = build(&host, "hello-1", ".status.output.to.imageDigest");
    assert!(digest.starts_with("sha256:"), "{digest}");
    let stages = build(&host, "hello-1", ".status.stages[*].name");
    assert_eq!(stages, "FetchInputs Build PushImage");
    assert_eq!(build(&host, "hello-1", ".spec.revision.git.author.name"), "Ana");
    until("it is served", || greeting(&host) == "one");
    until("all of it is rolled out", || {
        host.kubectl("get dc hello -o jsonpath={.status.availableReplicas}").run().stdout == "2"
    });

    // Whoever asks meanwhile is answered, by the old or by the new.
    let over = AtomicBool::new(false);
    let answers = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut answers = Vec::new();
            while !over.load(Ordering::Relaxed) {
                answers.push(greeting(&host));
            }
            answers
        });
        git.push(&host, "two");
        until("the new one is served", || greeting(&host) == "two");
        until("nobody has the old one", || (0..10).all(|_| greeting(&host) == "two"));
        over.store(true, Ordering::Relaxed);
        asking.join().unwrap()
    });
    let strange: Vec<&String> =
        answers.iter().filter(|one| !["one", "two"].contains(&one.as_str())).collect();
    assert_eq!(strange, Vec::<&String>::new(), "of {} answers", answers.len());
    assert!(answers.iter().any(|one| one == "one") && answers.iter().any(|one| one == "two"));

    // A build that cannot be made says why, in its status and in its log.
    let broken = r#"{"spec":{"source":{"git":{"ref":"nowhere"}}}}"#;
    host.kubectl("patch bc/hello --type=merge -p").arg(broken).run().ok();
    let ask = r#"{"kind":"BuildRequest","apiVersion":"build.openshift.io/v1","metadata":{"name":"hello"}}"#;
    let instantiate = "create --raw /apis/build.openshift.io/v1/namespaces/default/buildconfigs/hello/instantiate -f -";
    host.kubectl(instantiate).run_with(ask).ok();
    until("it has failed", || build(&host, "hello-3", ".status.phase") == "Failed");
    assert_eq!(build(&host, "hello-3", ".status.reason"), "FetchSourceFailed");
    until("its last words are kept", || !build(&host, "hello-3", ".status.logSnippet").is_empty());
    host.leme("down").run().ok();
    let mut left = host.leftovers();
    left.retain(|one| !one.contains("git-daemon"));
    assert_eq!(left, Vec::<String>::new());
}
