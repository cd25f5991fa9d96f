//! A bench for builds: a directory with a context, an image of busybox, and the namespace that a build is made in.
#![allow(dead_code, clippy::disallowed_macros)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use leme_executor::{Build, BuildError, Built, Dockerfile, Laid, Layouts, Outside};
use leme_host::images::ImageStore;
use sha2::{Digest, Sha256};

const APPLETS: &[&str] = &[
    "sh", "cat", "echo", "sleep", "true", "false", "id", "ls", "touch", "head", "yes", "dd",
    "kill", "mount", "mknod", "hostname", "env", "seq", "printf", "ps", "ip", "tail", "rm",
    "readlink", "tr", "unshare", "test", "mv", "grep", "mkdir", "chmod", "chown", "umount", "ln",
    "pwd", "find", "stat", "cp", "rmdir", "mkfifo", "nc", "wc", "sort", "chroot", "date",
    "adduser", "setsid",
];

pub fn hex_digest(bytes: &[u8]) -> String {
    leme_host::files::hex(&Sha256::digest(bytes))
}

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
        "architecture": leme_host::images::machine(), "os": "linux", "config": settings,
        "created": "2020-01-01T00:00:00Z",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = serde_json::to_vec(&config).unwrap();
    let names: Vec<String> = (0..layers.len()).map(|n| format!("{n}/layer.tar")).collect();
    let manifest =
        serde_json::json!([{"Config": "config.json", "RepoTags": [tag], "Layers": names}]);
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let mut files: Vec<(&str, u32, &[u8])> =
        vec![("config.json", 0o644, &config), ("manifest.json", 0o644, &manifest)];
    for (name, layer) in names.iter().zip(layers) {
        files.push((name, 0o644, layer));
    }
    tar_of(&files, &[])
}

/// An image of busybox with users, links and a file that is in the way.
pub fn busybox() -> Vec<u8> {
    let program =
        fs::read("/bin/busybox").expect("busybox is needed: apt-get install busybox-static");
    let links: Vec<(String, &str)> =
        APPLETS.iter().map(|name| (format!("bin/{name}"), "busybox")).collect();
    let layer = tar_of(
        &[
            ("bin/", 0o755, b""),
            ("etc/", 0o755, b""),
            ("tmp/", 0o1777, b""),
            ("home/", 0o755, b""),
            ("bin/busybox", 0o755, &program),
            (
                "etc/passwd",
                0o644,
                b"root:x:0:0:root:/root:/bin/sh\napp:x:1001:1002::/home/app:/bin/sh\n",
            ),
            ("etc/group", 0o644, b"root:x:0:\napp:x:1002:\nstaff:x:50:app\n"),
        ],
        &links,
    );
    let settings = serde_json::json!({"Env": ["PATH=/bin"], "Cmd": ["sh"]});
    docker_archive("busybox:latest", &[layer], settings)
}

/// Images that builds begin with.
pub struct Images(pub ImageStore);

impl Layouts for Images {
    fn lay_out(&mut self, reference: &str, _: bool, into: &Path) -> Result<String, String> {
        let found = self.0.resolve(reference).map_err(|error| error.to_string())?;
        let id = found.ok_or_else(|| "there is no such image".to_owned())?.id;
        self.0.lay_out(&id, None, into).map_err(|error| error.to_string())?;
        Ok(id)
    }
}

pub struct Bench {
    pub root: tempfile::TempDir,
    pub images: ImageStore,
    /// What the last build printed.
    pub log: String,
}

impl Bench {
    pub fn new() -> Bench {
        let root = tempfile::tempdir_in("/var/tmp").unwrap();
        fs::create_dir(root.path().join("context")).unwrap();
        let images = ImageStore::open(&root.path().join("images")).unwrap();
        images.load_reader(busybox().as_slice()).unwrap();
        Bench { root, images, log: String::new() }
    }

    pub fn context(&self) -> PathBuf {
        self.root.path().join("context")
    }

    /// Writes a file of the context.
    pub fn file(&self, path: &str, content: &str) -> &Bench {
        let path = self.context().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    pub fn build(&self, dockerfile: &str) -> Build {
        Build {
            context: self.context(),
            dockerfile: Dockerfile::Bytes(dockerfile.as_bytes().to_vec()),
            ..Build::default()
        }
    }

    pub fn outside(&self) -> Outside {
        Outside {
            directory: self.root.path().join("builds"),
            program: env!("CARGO_BIN_EXE_leme-build-helper").into(),
        }
    }

    pub fn try_run(&mut self, build: &Build) -> Result<Laid, BuildError> {
        let mut log = Vec::new();
        let laid = self.outside().build(build, &mut Images(self.images.clone()), &mut log);
        self.log = String::from_utf8_lossy(&log).into_owned();
        laid
    }

    /// Builds, and takes the image in.
    pub fn run(&mut self, build: &Build) -> Image {
        let laid = match self.try_run(build) {
            Ok(laid) => laid,
            Err(error) => panic!("{error}\n{}", self.log),
        };
        self.images.load(&laid.layout).unwrap();
        let config = self.images.config_text(&laid.built.id).unwrap();
        let config = serde_json::from_slice(&config).unwrap();
        let layers = self.images.resolve(&laid.built.id).unwrap().unwrap().layers;
        Image { built: laid.built.clone(), config, files: merged(&layers), layers }
    }

    pub fn of(&mut self, dockerfile: &str) -> Image {
        let build = self.build(dockerfile);
        self.run(&build)
    }

    pub fn fails(&mut self, dockerfile: &str) -> String {
        let build = self.build(dockerfile);
        match self.try_run(&build) {
            Ok(laid) => panic!("it was built: {:?}\n{}", laid.built, self.log),
            Err(error) => error.to_string(),
        }
    }
}

pub struct Image {
    pub built: Built,
    pub config: serde_json::Value,
    /// Paths with `mode owner:group content`, but for what the base has.
    pub files: BTreeMap<String, String>,
    pub layers: Vec<PathBuf>,
}

/// What layers make together, the topmost first, as text.
fn merged(layers: &[PathBuf]) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for layer in layers.iter().rev() {
        add(layer, Path::new(""), &mut all);
    }
    all
}

fn add(top: &Path, path: &Path, all: &mut BTreeMap<String, String>) {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    for entry in fs::read_dir(top.join(path)).unwrap().flatten() {
        let path = path.join(entry.file_name());
        let name = path.display().to_string();
        let found = fs::symlink_metadata(top.join(&path)).unwrap();
        if found.file_type().is_char_device() && found.rdev() == 0 {
            all.retain(|known, _| *known != name && !known.starts_with(&format!("{name}/")));
            continue;
        }
        let mut opaque = [0u8; 1];
        let attribute =
            rustix::fs::lgetxattr(top.join(&path), "trusted.overlay.opaque", &mut opaque);
        if attribute.is_ok() {
            all.retain(|known, _| !known.starts_with(&format!("{name}/")));
        }
        let looks = format!("{:o} {}:{}", found.mode() & 0o7777, found.uid(), found.gid());
        let what = match found.file_type() {
            kind if kind.is_dir() => "dir".to_owned(),
            kind if kind.is_symlink() => {
                format!("-> {}", fs::read_link(top.join(&path)).unwrap().display())
            }
            kind if kind.is_file() && found.len() < 4096 => {
                String::from_utf8_lossy(&fs::read(top.join(&path)).unwrap()).into_owned()
            }
            kind if kind.is_file() => format!("{} bytes", found.len()),
            _ => "special".to_owned(),
        };
        all.insert(name, format!("{looks} {what}"));
        if found.is_dir() {
            add(top, &path, all);
        }
    }
}
