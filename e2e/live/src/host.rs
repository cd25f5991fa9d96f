//! A host for one test: a network namespace, a data directory, and the check that nothing of them is left.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::programs::{Finished, Program, kubectl, leme, root, sample_image, tool};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A network namespace with a loopback interface and an empty data directory.
pub struct Host {
    namespace: String,
    folder: tempfile::TempDir,
    children: Vec<Child>,
}

impl Host {
    /// Makes a host. As root: it makes a network namespace.
    pub fn new() -> Host {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("leme-test-{}-{count}", std::process::id());
        let ip = tool("ip", "iproute2");
        Program::new(&ip).words("netns add").arg(&namespace).run().ok();
        let host = Host {
            namespace,
            folder: tempfile::Builder::new().prefix("leme-test-").tempdir().unwrap(),
            children: Vec::new(),
        };
        host.program(&ip).words("link set lo up").run().ok();
        host
    }

    /// The name of its network namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// A folder that goes away with the host.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The cluster's data directory.
    pub fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// A program inside the network namespace. (`ip netns exec` would hide the cgroups as well.)
    pub fn program(&self, program: impl AsRef<Path>) -> Program {
        Program::new(tool("nsenter", "util-linux"))
            .arg(format!("--net=/run/netns/{}", self.namespace))
            .arg("--")
            .arg(program.as_ref())
    }

    /// `leme WORDS --data-dir DIR`.
    pub fn leme(&self, words: &str) -> Program {
        self.program(leme()).words(words).arg("--data-dir").arg(self.data())
    }

    /// Puts a part of a pod: `status`, `resize`. kubectl has a word for it only since 1.24.
    pub fn put_part(&self, pod: &str, part: &str, change: impl FnOnce(&mut Value)) -> Finished {
        let text = self.kubectl(&format!("get pod {pod} -o json")).run().ok();
        let mut object: Value = serde_json::from_str(&text).unwrap();
        change(&mut object);
        let path = format!("/api/v1/namespaces/default/pods/{pod}/{part}");
        self.kubectl(&format!("replace --raw {path} -f -")).run_with(&object.to_string())
    }

    /// The minor version of the machine's kubectl: Debian 12 has 20.
    pub fn kubectl_minor(&self) -> u32 {
        let told = self.kubectl("version --client -o json").run().ok();
        let version: Value = serde_json::from_str(&told).unwrap();
        let minor = version["clientVersion"]["minor"].as_str().unwrap();
        minor.trim_end_matches('+').parse().unwrap()
    }

    /// `kubectl --kubeconfig DIR/admin.kubeconfig WORDS`.
    pub fn kubectl(&self, words: &str) -> Program {
        self.program(kubectl())
            .arg("--kubeconfig")
            .arg(self.data().join("admin.kubeconfig"))
            .words(words)
            .env("HOME", &self.folder().to_string_lossy())
    }

    /// Loads the sample image into the data directory.
    pub fn load_sample(&self) {
        self.program(leme())
            .words("image load")
            .arg(sample_image())
            .arg("--data-dir")
            .arg(self.data())
            .run()
            .ok();
    }

    /// `leme up --detach -f MANIFEST` of the repository.
    pub fn up(&self, words: &str) -> Finished {
        self.leme(&format!("up --detach {words}")).run()
    }

    /// A file of `manifests/`.
    pub fn manifest(name: &str) -> String {
        root().join("manifests").join(name).to_string_lossy().into_owned()
    }

    /// GET through the router: the answer's body.
    pub fn get(&self, url: &str) -> Finished {
        self.program(tool("curl", "curl")).words("-sS --fail --max-time 10").arg(url).run()
    }

    /// The process that runs the cluster.
    pub fn pid(&self) -> i32 {
        fs::read_to_string(self.data().join("lock")).unwrap().trim().parse().unwrap()
    }

    /// `kill -9` of the cluster's process; its containers stay.
    pub fn kill_leme(&self) {
        let pid = self.pid();
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        until("the killed process is gone", || !alive(pid));
    }

    /// Keeps a child that ends with the host.
    pub fn keep(&mut self, child: Child) {
        self.children.push(child);
    }

    /// The cgroups above a running pod's, one per hierarchy: what `leme down` must remove.
    pub fn cgroups_of_pod(&self, uid: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![(PathBuf::from("/sys/fs/cgroup"), 0)];
        while let Some((folder, depth)) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy() == format!("pod{uid}") {
                    found.push(folder.clone());
                } else if depth < 3 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.push((entry.path(), depth + 1));
                }
            }
        }
        found
    }

    /// What of this host's cluster is still on the machine: processes, mounts, cgroups, interfaces.
    pub fn leftovers(&self) -> Vec<String> {
        let data = self.folder().to_string_lossy().into_owned();
        let mut found = Vec::new();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        found.extend(
            mounts.lines().filter(|line| line.contains(&data)).map(|line| format!("mount {line}")),
        );
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            let mountinfo = fs::read_to_string(entry.path().join("mountinfo")).unwrap_or_default();
            let own = entry.file_name().to_string_lossy() == std::process::id().to_string();
            let inside = mountinfo.contains(&data) && found.is_empty();
            if (command.contains(&data) || inside) && !own {
                found.push(format!("process {} {command}", entry.file_name().to_string_lossy()));
            }
        }
        let links = self.program(tool("ip", "iproute2")).words("-o link").run().ok();
        found.extend(
            links.lines().filter(|line| !line.contains(" lo: ")).map(|line| format!("link {line}")),
        );
        let rules = self.program(tool("nft", "nftables")).words("list tables").run().ok();
        found.extend(rules.lines().map(|line| format!("nft {line}")));
        found
    }
}

impl Default for Host {
    fn default() -> Host {
        Host::new()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if self.data().join("VERSION").exists() {
            let down = self.leme("down").run();
            if down.code != 0 {
                let _ = writeln!(std::io::stderr(), "leme down: {}", down.stderr);
            }
        }
        for child in &mut self.children {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        Program::new(tool("ip", "iproute2")).words("netns del").arg(&self.namespace).run();
    }
}

fn alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().unwrap_or("").chars().next();
    !matches!(state, None | Some('Z' | 'X'))
}

/// Waits until something is so, for a minute at most.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
