//! A node for a test: temporary directories, an image made of busybox, an engine, and the promise to leave nothing.
#![allow(dead_code, clippy::disallowed_macros)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use leme_cri::embedded::{EmbeddedConfig, EmbeddedRuntime, LogLimits, SandboxNetwork, purge};
use leme_cri::{Runtime, RuntimeError};
use leme_host::images::ImageStore;
use leme_node_core::cri::{
    ContainerConfig, ContainerState, ContainerStatus, PodIdentity, PortMapping, SandboxConfig,
};
use sha2::{Digest, Sha256};

pub const IMAGE: &str = "busybox:test";
const APPLETS: &[&str] = &[
    "sh", "cat", "echo", "sleep", "true", "false", "id", "ls", "touch", "head", "yes", "dd",
    "kill", "mount", "mknod", "hostname", "stty", "env", "seq", "printf", "ps", "ip", "tail", "rm",
    "readlink", "awk", "tr", "unshare", "test", "mv", "grep", "mkdir", "chmod", "umount", "ln",
    "pwd", "sync",
];

/// A network that gives everybody the same address.
pub struct NoNetwork;

#[async_trait]
impl SandboxNetwork for NoNetwork {
    async fn attach(&self, _: &str, netns: &Path, _: &[PortMapping]) -> anyhow::Result<String> {
        anyhow::ensure!(leme_host::namespaces::is_held(netns), "the namespace is not there");
        Ok("10.9.8.7".into())
    }

    async fn detach(&self, _: &str, _: &Path) -> anyhow::Result<()> {
        Ok(())
    }
}

pub fn hex_digest(bytes: &[u8]) -> String {
    leme_host::files::hex(&Sha256::digest(bytes))
}

/// A tar with these (path, mode, content) files and (path, target) links.
pub fn tar_of(files: &[(&str, u32, &[u8])], links: &[(String, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, mode, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(*mode);
        if path.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        builder.append_data(&mut header, path, *content).unwrap();
    }
    for (path, target) in links {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, path, target).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A docker archive of one image.
pub fn docker_archive(tag: &str, layers: &[Vec<u8>], settings: serde_json::Value) -> Vec<u8> {
    let diff_ids: Vec<String> =
        layers.iter().map(|layer| format!("sha256:{}", hex_digest(layer))).collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": settings,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = serde_json::to_vec(&config).unwrap();
    let names: Vec<String> = (0..layers.len()).map(|n| format!("{n}/layer.tar")).collect();
    let manifest =
        serde_json::json!([{"Config": "config.json", "RepoTags": [tag], "Layers": names}]);
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let mut files: Vec<(&str, u32, &[u8])> =
        vec![("config.json", 0o644, &config), ("manifest.json", 0o644, &manifest)];
    files.extend(
        names.iter().zip(layers).map(|(name, layer)| (name.as_str(), 0o644, layer.as_slice())),
    );
    tar_of(&files, &[])
}

pub fn busybox_layer() -> Vec<u8> {
    let busybox =
        std::fs::read("/bin/busybox").expect("busybox is needed: apt-get install busybox-static");
    let links: Vec<(String, &str)> =
        APPLETS.iter().map(|name| (format!("bin/{name}"), "busybox")).collect();
    let passwd = b"root:x:0:0:root:/root:/bin/sh\napp:x:1001:1002::/home/app:/bin/sh\n";
    let files: &[(&str, u32, &[u8])] = &[
        ("bin/", 0o755, b""),
        ("tmp/", 0o1777, b""),
        ("bin/busybox", 0o755, &busybox),
        ("etc/passwd", 0o644, passwd),
        ("etc/group", 0o644, b"root:x:0:\nstaff:x:50:app\n"),
        ("bin/text", 0o644, b"not a program"),
        ("bin/garbage", 0o755, b"\x7fELFnot really"),
    ];
    tar_of(files, &links)
}

pub fn busybox_archive() -> Vec<u8> {
    docker_archive(
        IMAGE,
        &[busybox_layer()],
        serde_json::json!({"Cmd": ["/bin/true"], "Env": ["FROM=image"]}),
    )
}

pub struct Node {
    pub directory: tempfile::TempDir,
    finished: bool,
    pub config: EmbeddedConfig,
}

impl Node {
    pub fn new() -> Node {
        let directory = tempfile::tempdir().unwrap();
        let config = config_in(directory.path());
        ImageStore::open(&config.images)
            .unwrap()
            .load_reader(busybox_archive().as_slice())
            .unwrap();
        Node { directory, config, finished: false }
    }

    pub async fn start(&self) -> Arc<EmbeddedRuntime> {
        EmbeddedRuntime::start(self.config.clone()).await.unwrap()
    }

    pub fn logs(&self) -> PathBuf {
        self.directory.path().join("logs")
    }

    pub fn sandbox(&self, name: &str) -> SandboxConfig {
        SandboxConfig {
            pod: PodIdentity {
                name: name.into(),
                namespace: "test".into(),
                uid: format!("uid-{name}"),
            },
            hostname: name.into(),
            log_directory: self.logs().join(name).display().to_string(),
            resolv_conf: "nameserver 10.0.0.10\n".into(),
            labels: BTreeMap::from([("app".to_owned(), name.to_owned())]),
            ..Default::default()
        }
    }

    pub fn log(&self, pod: &str, container: &str) -> String {
        std::fs::read_to_string(self.logs().join(pod).join(format!("{container}.log")))
            .unwrap_or_default()
    }

    /// The log's contents without times, tags and streams.
    pub fn log_text(&self, pod: &str, container: &str) -> String {
        self.log(pod, container)
            .lines()
            .filter_map(|line| line.splitn(4, ' ').nth(3))
            .map(|l| format!("{l}\n"))
            .collect()
    }

    /// Takes everything down and looks for what was left.
    pub async fn finish(mut self) {
        self.finished = true;
        let processes =
            leme_host::cgroup::Cgroup::new(&self.config.cgroup_parent).unwrap().processes();
        let shims = shims_of(&self.config.root);
        purge(&self.config).await.unwrap();
        let place = self.directory.path().display().to_string();
        assert!(
            !std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&place),
            "a mount is left"
        );
        let cgroup = leme_host::cgroup::Cgroup::new(&self.config.cgroup_parent).unwrap();
        assert!(cgroup.directories().is_empty(), "left: {:?}", cgroup.directories());
        for pid in processes.into_iter().chain(shims) {
            let status =
                || std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            assert!(gone(pid), "process {pid} is left: {}", status());
        }
        assert!(!self.config.root.exists() && !self.config.run_dir.exists());
    }
}

impl Drop for Node {
    /// A test that failed must not leave containers either.
    fn drop(&mut self) {
        if !self.finished {
            let config = self.config.clone();
            let purged = std::thread::spawn(move || {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(purge(&config))
            });
            eprintln!("purged: {:?}", purged.join());
        }
    }
}

/// Whether a process is gone, or only waits to be taken in by its parent.
pub fn gone(pid: i32) -> bool {
    (0..200).any(|_| {
        let gone = leme_host::process::ProcessId::of(pid).is_none();
        if !gone {
            std::thread::sleep(Duration::from_millis(5));
        }
        gone
    })
}

pub fn shims_of(root: &Path) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir(root.join("containers")) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| std::fs::read(entry.path().join("shim.json")).ok())
        .filter_map(|text| {
            serde_json::from_slice::<serde_json::Value>(&text).ok()?["shim"]["pid"].as_i64()
        })
        .map(|pid| pid as i32)
        .collect()
}

pub fn config_in(directory: &Path) -> EmbeddedConfig {
    let unique = directory.file_name().unwrap().to_string_lossy().replace('.', "");
    EmbeddedConfig {
        root: directory.join("state"),
        run_dir: directory.join("run"),
        images: directory.join("images"),
        builds: directory.join("builds"),
        seccomp: directory.join("seccomp"),
        cgroup_parent: format!("leme-test-{unique}"),
        pod_processes: Some(500),
        registries: Default::default(),
        log_limits: LogLimits { file_bytes: 64 << 10, files: 3 },
        network: Arc::new(NoNetwork),
        helper: PathBuf::from(env!("CARGO_BIN_EXE_leme-oci-helper")),
    }
}

pub fn shell(name: &str, script: &str) -> ContainerConfig {
    ContainerConfig {
        name: name.into(),
        image: IMAGE.into(),
        command: vec!["/bin/sh".into(), "-c".into(), script.into()],
        log_path: format!("{name}.log"),
        ..Default::default()
    }
}

pub async fn run(
    runtime: &Arc<EmbeddedRuntime>,
    sandbox: &str,
    config: &ContainerConfig,
) -> String {
    let id = runtime.create_container(sandbox, config).await.unwrap();
    runtime.start_container(&id).await.unwrap();
    id
}

pub async fn ended(runtime: &Arc<EmbeddedRuntime>, id: &str) -> ContainerStatus {
    for _ in 0..2000 {
        let status = runtime.container(id).await.unwrap();
        if status.state == ContainerState::Exited {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{id} did not end");
}

pub async fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain for {what}");
}

pub async fn sh(
    runtime: &Arc<EmbeddedRuntime>,
    id: &str,
    script: &str,
) -> Result<(String, i32), RuntimeError> {
    let command = ["/bin/sh", "-c", script].map(String::from);
    let output = runtime.exec_sync(id, &command, Duration::from_secs(20)).await?;
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok((text.trim_end().to_owned(), output.exit_code))
}
