//! `cargo xtask image`: the sample image as an OCI image layout in one tar, built from what this machine has: the static
//! sample program and Debian's static busybox (for a shell). No network, no container engine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::root;

/// Where the package `busybox-static` puts its program.
const BUSYBOX: &str = "/bin/busybox";

/// Names under which busybox is reached in the image.
const APPLETS: &[&str] = &[
    "sh", "cat", "echo", "env", "id", "ls", "nslookup", "ps", "sleep", "true", "false", "touch",
    "wget", "head",
];

/// The image's reference.
const REFERENCE: &str = "docker.io/leme/sample:latest";

/// Builds `target/images/sample.tar`, or the tar named by `--out`, from `target/release/leme-sample` or `--program`.
pub fn run(args: &[String]) -> Result<()> {
    let option =
        |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
    let target = root().join("target");
    let program =
        option("--program").map_or_else(|| target.join("release/leme-sample"), PathBuf::from);
    let out = option("--out").map_or_else(|| target.join("images/sample.tar"), PathBuf::from);
    let layer = layer(&program)?;
    let archive = layout(&layer)?;
    std::fs::create_dir_all(out.parent().context("--out has no folder")?)?;
    std::fs::write(&out, archive).with_context(|| format!("write {}", out.display()))?;
    println!("{}", out.display());
    Ok(())
}

fn layer(program: &Path) -> Result<Vec<u8>> {
    let sample = std::fs::read(program).with_context(|| {
        format!("read {}; build it: cargo rustc -p leme-sample --release -- -C target-feature=+crt-static", program.display())
    })?;
    let busybox = std::fs::read(BUSYBOX)
        .with_context(|| format!("read {BUSYBOX}; install it: apt-get install busybox-static"))?;
    let mut tar = tar::Builder::new(Vec::new());
    for folder in ["bin/", "data/", "etc/", "tmp/"] {
        let mode = if folder == "tmp/" { 0o1777 } else { 0o755 };
        entry(&mut tar, folder, tar::EntryType::Directory, mode, &[])?;
    }
    entry(&mut tar, "bin/sample", tar::EntryType::Regular, 0o755, &sample)?;
    entry(&mut tar, "bin/busybox", tar::EntryType::Regular, 0o755, &busybox)?;
    for applet in APPLETS {
        let mut header = header(tar::EntryType::Symlink, 0o777, 0);
        tar.append_link(&mut header, format!("bin/{applet}"), "busybox")?;
    }
    entry(&mut tar, "etc/passwd", tar::EntryType::Regular, 0o644, b"root:x:0:0:root:/:/bin/sh\n")?;
    entry(&mut tar, "etc/group", tar::EntryType::Regular, 0o644, b"root:x:0:\n")?;
    Ok(tar.into_inner()?)
}

fn layout(layer: &[u8]) -> Result<Vec<u8>> {
    let config = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "Entrypoint": ["/bin/sample"],
            "Cmd": ["hello"],
            "Env": ["PATH=/bin"],
            "ExposedPorts": {"8080/tcp": {}},
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        "history": [{"created_by": "cargo xtask image"}],
    });
    let config = serde_json::to_vec(&config)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
    });
    let manifest = serde_json::to_vec(&manifest)?;
    let mut listed = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
    listed["annotations"] = json!({"io.containerd.image.name": REFERENCE, "org.opencontainers.image.ref.name": "latest"});
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [listed],
    });
    let mut tar = tar::Builder::new(Vec::new());
    entry(
        &mut tar,
        "oci-layout",
        tar::EntryType::Regular,
        0o644,
        br#"{"imageLayoutVersion":"1.0.0"}"#,
    )?;
    entry(&mut tar, "index.json", tar::EntryType::Regular, 0o644, &serde_json::to_vec(&index)?)?;
    for blob in [layer, &config, &manifest] {
        let path = format!("blobs/{}", digest(blob).replace(':', "/"));
        entry(&mut tar, &path, tar::EntryType::Regular, 0o644, blob)?;
    }
    Ok(tar.into_inner()?)
}

fn entry(
    tar: &mut tar::Builder<Vec<u8>>,
    path: &str,
    kind: tar::EntryType,
    mode: u32,
    data: &[u8],
) -> Result<()> {
    let mut header = header(kind, mode, data.len() as u64);
    tar.append_data(&mut header, path, data).with_context(|| format!("add {path} to the image"))
}

/// A header that depends on nothing but its arguments, so that the same inputs give the same digest.
fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}
