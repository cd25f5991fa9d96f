//! Two tiers over Service names, a volume that outlives everything, and etcd as the store.

use leme_live::{Host, Program, tool, until};

/// Starts Debian's etcd inside the host and waits until it answers.
fn etcd(host: &mut Host) {
    let data = host.folder().join("etcd");
    let process = host
        .program(tool("etcd", "etcd-server"))
        .arg("--data-dir")
        .arg(&data)
        .words("--log-level error --listen-client-urls http://127.0.0.1:2379")
        .words("--advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380")
        .words("--initial-advertise-peer-urls http://127.0.0.1:2380")
        .words("--initial-cluster default=http://127.0.0.1:2380")
        .spawn();
    host.keep(process);
    until("etcd answers", || etcdctl(host, "endpoint health").run().code == 0);
}

fn etcdctl(host: &Host, words: &str) -> Program {
    host.program(tool("etcdctl", "etcd-client"))
        .env("ETCDCTL_API", "3")
        .words("--endpoints http://127.0.0.1:2379")
        .words(words)
}

/// The guest book with its volume inside the test's folder.
fn manifest(host: &Host) -> String {
    let text = std::fs::read_to_string(Host::manifest("guestbook.yaml")).unwrap();
    let volume = host.folder().join("volume");
    let text = text.replace("/var/lib/leme-guestbook", &volume.to_string_lossy());
    let path = host.folder().join("guestbook.yaml");
    std::fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

fn url(output: &str) -> String {
    output.lines().find(|line| line.starts_with("http://")).expect("a URL").to_owned()
}

fn sign(host: &Host, url: &str, entry: &str) {
    let curl = host.program(tool("curl", "curl")).words("-sS --fail --max-time 10 -o /dev/null");
    curl.arg("--data-urlencode")
        .arg(format!("entry={entry}"))
        .arg(format!("{url}/sign"))
        .run()
        .ok();
}

fn entries(host: &Host, url: &str) -> String {
    host.get(&format!("{url}/entries")).ok()
}

#[test]
fn entries_survive_in_etcd() {
    let mut host = Host::new();
    etcd(&mut host);
    host.load_sample();
    let manifest = manifest(&host);
    let up = format!("-f {manifest} --etcd-servers http://127.0.0.1:2379");
    let url = url(&host.up(&up).ok());
    sign(&host, &url, "Ana & Zé");
    assert_eq!(entries(&host, &url), "Ana & Zé\n");

    let keys = etcdctl(&host, "get --prefix /registry/ --keys-only").run().ok();
    for key in [
        "/registry/replicationcontrollers/guestbook/guestbook-front",
        "/registry/services/guestbook/guestbook-store",
        "/registry/route.openshift.io/routes/guestbook/guestbook",
        "/registry/persistentvolumes/guestbook",
    ] {
        assert!(keys.lines().any(|line| line == key), "{key} in {keys}");
    }

    host.leme("down").run().ok();
    assert_eq!(host.up(&up).ok().lines().filter(|line| **line == url).count(), 1);
    assert_eq!(entries(&host, &url), "Ana & Zé\n");
    host.leme("down").run().ok();
}

#[test]
fn entries_survive_a_stop_and_a_kill() {
    let host = Host::new();
    host.load_sample();
    let manifest = manifest(&host);
    let url = url(&host.up(&format!("-f {manifest}")).ok());
    sign(&host, &url, "first");
    host.leme("down").run().ok();
    host.up(&format!("-f {manifest}")).ok();
    sign(&host, &url, "second");
    host.kill_leme();
    host.up("").ok();
    until("the front end answers after the kill", || host.get(&url).code == 0);
    assert_eq!(entries(&host, &url), "first\nsecond\n");
    let page = host.get(&url).ok();
    assert!(page.contains("<li>first</li>"), "{page}");
}
