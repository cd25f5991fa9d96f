//! The image store: what it takes in, what it refuses, what a hostile layer can reach.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use leme_host::files::hex;
use leme_host::images::unpack::unpack;
use leme_host::images::{ImageStore, Limits};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::EntryType;

/// One tar entry, with a name that no library would let through.
struct Item<'a> {
    kind: EntryType,
    name: &'a str,
    link: &'a str,
    content: &'a [u8],
    mode: u32,
    owner: (u64, u64),
    mtime: u64,
    xattrs: &'a [(&'a str, &'a [u8])],
}

fn item<'a>(kind: EntryType, name: &'a str) -> Item<'a> {
    Item {
        kind,
        name,
        link: "",
        content: b"",
        mode: 0o644,
        owner: (0, 0),
        mtime: 1_000_000,
        xattrs: &[],
    }
}

fn file<'a>(name: &'a str, content: &'a str) -> Item<'a> {
    Item { content: content.as_bytes(), ..item(EntryType::Regular, name) }
}

fn dir(name: &str, mode: u32) -> Item<'_> {
    Item { mode, ..item(EntryType::Directory, name) }
}

fn link<'a>(kind: EntryType, name: &'a str, to: &'a str) -> Item<'a> {
    Item { link: to, ..item(kind, name) }
}

fn tar_of(items: &[Item<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for item in items {
        builder
            .append_pax_extensions(item.xattrs.iter().map(|(key, value)| (*key, *value)))
            .unwrap();
        let mut header = tar::Header::new_gnu();
        let gnu = header.as_gnu_mut().unwrap();
        gnu.name[..item.name.len()].copy_from_slice(item.name.as_bytes());
        gnu.linkname[..item.link.len()].copy_from_slice(item.link.as_bytes());
        header.set_entry_type(item.kind);
        header.set_size(item.content.len() as u64);
        header.set_mode(item.mode);
        header.set_uid(item.owner.0);
        header.set_gid(item.owner.1);
        header.set_mtime(item.mtime);
        header.set_cksum();
        builder.append(&header, item.content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn config_of(layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    let config = json!({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/app"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    serde_json::to_vec(&config).unwrap()
}

fn docker_archive(tags: &[&str], layers: &[Vec<u8>]) -> Vec<u8> {
    let names: Vec<String> = (0..layers.len()).map(|n| format!("{n}/layer.tar")).collect();
    let config = config_of(layers);
    let manifest =
        json!([{"Config": "config.json", "RepoTags": tags, "Layers": names}]).to_string();
    let mut items = vec![];
    for (name, layer) in names.iter().zip(layers) {
        items.push(Item { content: layer, ..item(EntryType::Regular, name) });
    }
    items.push(Item { content: &config, ..item(EntryType::Regular, "config.json") });
    items.push(file("manifest.json", &manifest));
    tar_of(&items)
}

/// An OCI layout as (name, content); the first layer is as given, its diff id that of `plain`.
fn oci_layout(reference: &str, plain: &[u8], stored: &[u8], kind: &str) -> Vec<(String, Vec<u8>)> {
    let config = config_of(&[plain.to_vec()]);
    let describe = |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "digest": digest(bytes), "size": bytes.len()});
    let manifest = json!({"schemaVersion": 2, "config": describe("application/vnd.oci.image.config.v1+json", &config),
        "layers": [describe(kind, stored)]});
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let with = |mut value: Value, key: &str, extra: Value| {
        value[key] = extra;
        value
    };
    let described = describe("application/vnd.oci.image.manifest.v1+json", &manifest);
    let ours = with(described.clone(), "platform", json!({"os": "linux", "architecture": "amd64"}));
    let missing = json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest(b"none"), "size": 4,
        "platform": {"os": "windows", "architecture": "amd64"}});
    let inner =
        serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": [missing, ours]})).unwrap();
    let outer = with(
        describe("application/vnd.oci.image.index.v1+json", &inner),
        "annotations",
        json!({"org.opencontainers.image.ref.name": reference}),
    );
    let index = json!({"schemaVersion": 2, "manifests": [outer]}).to_string();
    let blob = |bytes: &[u8]| (format!("blobs/sha256/{}", &digest(bytes)[7..]), bytes.to_vec());
    vec![
        ("oci-layout".into(), b"{\"imageLayoutVersion\":\"1.0.0\"}".to_vec()),
        ("index.json".into(), index.into_bytes()),
        blob(&inner),
        blob(&manifest),
        blob(&config),
        blob(stored),
    ]
}

fn store() -> (tempfile::TempDir, ImageStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = ImageStore::open(&directory.path().join("store")).unwrap();
    (directory, store)
}

fn names_in(directory: &Path) -> Vec<String> {
    fs::read_dir(directory)
        .unwrap()
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect()
}

fn hello_layer(text: &str) -> Vec<u8> {
    tar_of(&[dir("bin/", 0o755), file("bin/hello", text)])
}

#[test]
fn docker_archives_plain_and_compressed() {
    let layers = [hello_layer("one"), hello_layer("two")];
    let archive = docker_archive(&["hello", "me/hello:v2"], &layers);
    for bytes in [archive.clone(), gzip(&archive), zstd::encode_all(archive.as_slice(), 1).unwrap()]
    {
        let (_directory, store) = store();
        let loaded = store.load_reader(bytes.as_slice()).unwrap();
        assert_eq!(loaded, ["docker.io/library/hello:latest", "docker.io/me/hello:v2"]);
        let record = store.resolve("hello").unwrap().unwrap();
        assert_eq!(record.id, digest(&config_of(&layers)));
        assert_eq!(
            record.config.config().as_ref().unwrap().cmd().as_deref(),
            Some(&["/app".to_owned()][..])
        );
        let top = fs::read_to_string(record.layers[0].join("bin/hello")).unwrap();
        let bottom = fs::read_to_string(record.layers[1].join("bin/hello")).unwrap();
        assert_eq!((top.as_str(), bottom.as_str()), ("two", "one"));
        let by_digest = record
            .digests
            .iter()
            .find(|name| name.starts_with("docker.io/library/hello@"))
            .unwrap();
        for reference in [by_digest, &record.id, &record.id[7..20], "docker.io/me/hello:v2"] {
            assert_eq!(
                store.resolve(reference).unwrap().map(|r| r.id).as_ref(),
                Some(&record.id),
                "{reference}"
            );
        }
        for absent in ["other", "hello:v3", "me/hello", "sha256:00", "", "../x"] {
            assert!(store.resolve(absent).unwrap().is_none(), "{absent}");
        }
    }
}

#[test]
fn oci_layouts_as_tar_and_directory() {
    let plain = hello_layer("oci");
    for (stored, kind) in [
        (plain.clone(), "application/vnd.oci.image.layer.v1.tar"),
        (gzip(&plain), "application/vnd.oci.image.layer.v1.tar+gzip"),
        (
            zstd::encode_all(plain.as_slice(), 1).unwrap(),
            "application/vnd.oci.image.layer.v1.tar+zstd",
        ),
    ] {
        let (directory, store) = store();
        let parts = oci_layout("quay.io/me/app:v1", &plain, &stored, kind);
        let items: Vec<Item<'_>> = parts
            .iter()
            .map(|(name, content)| Item { content, ..item(EntryType::Regular, name) })
            .collect();
        assert_eq!(store.load_reader(tar_of(&items).as_slice()).unwrap(), ["quay.io/me/app:v1"]);
        let layout = directory.path().join("layout");
        for (name, content) in oci_layout("v2", &plain, &stored, kind) {
            let path = layout.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        assert_eq!(store.load(&layout).unwrap(), ["docker.io/library/layout:v2"]);
        let record = store.resolve("layout:v2").unwrap().unwrap();
        assert_eq!(record.tags, ["docker.io/library/layout:v2", "quay.io/me/app:v1"]);
        assert_eq!(fs::read_to_string(record.layers[0].join("bin/hello")).unwrap(), "oci");
        assert_eq!(store.list().unwrap().len(), 1);
    }
}

#[test]
fn refuses_what_does_not_match_and_keeps_nothing_of_it() {
    let layer = hello_layer("good");
    let mut truncated = docker_archive(&["x"], std::slice::from_ref(&layer));
    truncated.truncate(2000);
    let mut flipped = docker_archive(&["x"], std::slice::from_ref(&layer));
    let at = flipped.windows(4).position(|w| w == b"good").unwrap();
    flipped[at] = b'b';
    let mut parts = oci_layout("a:b", &layer, &layer, "application/vnd.oci.image.layer.v1.tar");
    parts[3].1.push(b' ');
    let items: Vec<Item<'_>> =
        parts.iter().map(|(n, c)| Item { content: c, ..item(EntryType::Regular, n) }).collect();
    let bad_manifest = tar_of(&items);
    let climbing = tar_of(&[file("../manifest.json", "[]")]);
    let bomb = gzip(&vec![0; 40 << 20]);
    let elsewhere = r#"[{"Config":"/etc/passwd","RepoTags":["x:y"],"Layers":[]}]"#;
    for (what, bytes) in [
        ("truncated", truncated),
        ("flipped", flipped),
        ("bad manifest", bad_manifest),
        ("climbing", climbing),
        ("bomb", docker_archive(&["x"], &[bomb])),
        ("outside", tar_of(&[file("manifest.json", elsewhere)])),
        ("empty", tar_of(&[])),
        ("nothing", Vec::new()),
        ("noise", vec![7; 5000]),
        ("bad tag", docker_archive(&["Bad Tag"], std::slice::from_ref(&layer))),
        ("deep json", tar_of(&[file("manifest.json", &"[".repeat(100_000))])),
    ] {
        let (_directory, store) = store();
        let store = store.with_limits(Limits { bytes: 32 << 20, ..Limits::default() });
        assert!(store.load_reader(bytes.as_slice()).is_err(), "{what}");
        assert!(store.list().unwrap().is_empty(), "{what}");
        assert!(names_in(&store.root().join("staging")).is_empty(), "{what}");
        assert!(
            !names_in(&store.root().join("layers")).iter().any(|n| n.starts_with(".new")),
            "{what}"
        );
    }
}

/// Red when only the limits of any archive hold while it is copied: the copy takes the disk's last byte.
#[test]
fn an_archive_leaves_the_last_of_the_disk() {
    use nix::sched::{CloneFlags, unshare};
    use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
    unshare(CloneFlags::CLONE_NEWNS).expect("root is needed to mount");
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
    let directory = tempfile::tempdir().unwrap();
    mount("tmpfs", directory.path(), "tmpfs", MountFlags::empty(), Some(c"size=4m")).unwrap();
    let store = ImageStore::open(&directory.path().join("images")).unwrap();
    // Fits the disk, but for its last part.
    let large = "x".repeat(4_100_000);
    let error = store.load_reader(&*tar_of(&[file("a", &large)])).unwrap_err().to_string();
    assert!(error.contains("free some space on the disk of"), "{error}");
    assert!(names_in(&store.root().join("staging")).is_empty());
}

/// Red when what was taken in before the failure stays: a disk that is full keeps a layer that nobody can use.
#[test]
fn a_load_that_fails_half_way_leaves_nothing() {
    let (_dir, store) = store();
    let good = tar_of(&[file("a", "one")]);
    store.load_reader(&*docker_archive(&["kept:1"], &[hello_layer("kept")])).unwrap();
    let names = || {
        let root = store.root();
        let mut all =
            [names_in(&root.join("layers")), names_in(&root.join("blobs/sha256"))].concat();
        all.sort();
        all
    };
    let before = names();
    let hostile = tar_of(&[file("../b", "two")]);
    let error = store.load_reader(&*docker_archive(&["x:1"], &[good, hostile])).unwrap_err();
    assert!(error.to_string().contains("leaves the layer"), "{error}");
    assert_eq!(names(), before);
}

#[test]
fn removes_and_collects_but_not_what_is_in_use() {
    let (_directory, store) = store();
    let base = hello_layer("base");
    store
        .load_reader(docker_archive(&["a:1"], &[base.clone(), hello_layer("a")]).as_slice())
        .unwrap();
    store
        .load_reader(docker_archive(&["b:1"], &[base.clone(), hello_layer("b")]).as_slice())
        .unwrap();
    let layers = store.root().join("layers");
    let a = store.resolve("a:1").unwrap().unwrap();
    assert_eq!(names_in(&layers).len(), 3);
    let in_use: HashSet<PathBuf> = a.layers.iter().cloned().collect();
    store.remove("a:1", &in_use).unwrap();
    store.remove("a:1", &in_use).unwrap();
    assert!(store.resolve("a:1").unwrap().is_none() && a.layers[0].exists());
    store.collect(&HashSet::new()).unwrap();
    assert!(!a.layers[0].exists() && a.layers[1].exists());
    store.remove("b:1", &HashSet::new()).unwrap();
    assert!(
        names_in(&layers).is_empty() && names_in(&store.root().join("blobs/sha256")).is_empty()
    );
}

#[test]
fn leftovers_of_a_killed_load_are_invisible_and_go_away() {
    let (_directory, store) = store();
    for left in ["staging/abc", "layers/.new-abc/bin"] {
        fs::create_dir_all(store.root().join(left)).unwrap();
    }
    fs::write(store.root().join("blobs/sha256/.new-1"), "part").unwrap();
    assert!(store.list().unwrap().is_empty());
    let archive = docker_archive(&["a"], &[hello_layer("a")]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| store.load_reader(archive.as_slice()).unwrap());
        }
    });
    assert_eq!(store.list().unwrap().len(), 1);
    assert!(names_in(&store.root().join("staging")).is_empty());
    assert_eq!(names_in(&store.root().join("layers")).len(), 1);
    assert_eq!(names_in(&store.root().join("blobs/sha256")).len(), 3);
}

/// Unpacks into `layer` beside a `host` directory that must stay as it is.
fn check_hostile(what: &str, items: &[Item<'_>]) {
    let directory = tempfile::tempdir().unwrap();
    let (layer, host) = (directory.path().join("layer"), directory.path().join("host"));
    fs::create_dir(&layer).unwrap();
    fs::create_dir(&host).unwrap();
    fs::write(host.join("secret"), "secret").unwrap();
    let place = host.display().to_string();
    let named: Vec<(String, String)> = items
        .iter()
        .map(|i| (i.name.replace("HOST", &place), i.link.replace("HOST", &place)))
        .collect();
    let items: Vec<Item<'_>> =
        items.iter().zip(&named).map(|(i, (name, link))| Item { name, link, ..*i }).collect();
    let _ = unpack(tar_of(&items).as_slice(), &layer, &[], Limits::default());
    assert_eq!(names_in(&host), ["secret"], "{what}");
    let secret = fs::metadata(host.join("secret")).unwrap();
    assert_eq!(fs::read_to_string(host.join("secret")).unwrap(), "secret", "{what}");
    assert_eq!((secret.nlink(), secret.mode() & 0o7777, secret.uid()), (1, 0o644, 0), "{what}");
    assert_eq!(fs::metadata(&host).unwrap().mode() & 0o7777, 0o755, "{what}");
    let mut outside = names_in(directory.path());
    outside.sort();
    assert_eq!(outside, ["host", "layer"], "{what}");
}

#[test]
fn hostile_layers_stay_inside() {
    use EntryType::{Link, Symlink};
    let evil = |name| Item { mode: 0o777, owner: (7, 7), ..file(name, "evil") };
    let evil_dir = |name| Item { owner: (7, 7), ..dir(name, 0o777) };
    check_hostile("dots", &[evil("../host/secret"), evil("a/../../host/new")]);
    check_hostile("dots after a good entry", &[file("good", ""), evil("../evil")]);
    check_hostile("absolute", &[evil("HOST/secret"), evil("HOST/new")]);
    check_hostile(
        "absolute link, then through it",
        &[link(Symlink, "out", "HOST"), evil("out/secret"), evil("out/new")],
    );
    check_hostile("relative link", &[link(Symlink, "out", "../host"), evil("out/secret")]);
    check_hostile("link over the file itself", &[link(Symlink, "s", "HOST/secret"), evil("s")]);
    check_hostile(
        "link, then a directory over it",
        &[link(Symlink, "out", "HOST"), evil_dir("out"), evil("out/new")],
    );
    check_hostile(
        "link to a directory, looks of it",
        &[link(Symlink, "out", "../host"), evil_dir("out/.")],
    );
    check_hostile(
        "two links",
        &[link(Symlink, "a", ".."), link(Symlink, "b", "a/host"), evil("b/new")],
    );
    check_hostile("hard link out", &[link(Link, "h", "HOST/secret"), evil("h")]);
    check_hostile("hard link with dots", &[link(Link, "h", "../host/secret"), evil("h")]);
    check_hostile(
        "hard link through a link",
        &[link(Symlink, "out", "../host"), link(Link, "h", "out/secret"), evil("h")],
    );
    check_hostile("whiteout with dots", &[item(EntryType::Regular, "../host/.wh.secret")]);
    check_hostile(
        "whiteout through a link",
        &[link(Symlink, "out", "../host"), file("out/.wh.secret", "")],
    );
    check_hostile(
        "whiteout of the parent",
        &[file(".wh...", ""), file(".wh..", ""), file(".wh.", "")],
    );
    check_hostile(
        "opaque through a link",
        &[link(Symlink, "out", "../host"), file("out/.wh..wh..opq", "")],
    );
    check_hostile(
        "magic link",
        &[
            link(Symlink, "out", "/proc/self/cwd"),
            evil("out/x"),
            link(Symlink, "p", "/proc/1/root"),
            evil("p/x"),
        ],
    );
}

fn unpacked(items: &[Item<'_>], lower: &[PathBuf]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let layer = directory.path().join("layer");
    fs::create_dir(&layer).unwrap();
    unpack(tar_of(items).as_slice(), &layer, lower, Limits::default()).unwrap();
    (directory, layer)
}

fn opaque(path: &Path) -> bool {
    let mut value = [0u8; 8];
    rustix::fs::lgetxattr(path, "trusted.overlay.opaque", &mut value)
        .is_ok_and(|length| value[..length] == *b"y")
}

fn whiteout(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_char_device() && m.rdev() == 0)
}

#[test]
fn looks_links_and_times_are_kept() {
    let (_directory, layer) = unpacked(
        &[
            Item { owner: (10, 20), mtime: 500, ..dir("data/", 0o2750) },
            Item {
                owner: (11, 21),
                mtime: 77,
                ..Item { mode: 0o4755, ..file("data/tool", "tool") }
            },
            link(EntryType::Link, "data/same", "data/tool"),
            Item { owner: (12, 22), ..link(EntryType::Symlink, "data/link", "/nowhere/../x") },
            item(EntryType::Fifo, "data/fifo"),
            Item {
                xattrs: &[
                    ("SCHILY.xattr.user.note", b"hi"),
                    ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
                    ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
                ],
                ..file("noted", "x")
            },
        ],
        &[],
    );
    let meta = |name: &str| fs::symlink_metadata(layer.join(name)).unwrap();
    let tool = meta("data/tool");
    assert_eq!(
        (tool.uid(), tool.gid(), tool.mode() & 0o7777, tool.mtime(), tool.nlink()),
        (11, 21, 0o4755, 77, 2)
    );
    let data = meta("data");
    assert_eq!((data.uid(), data.gid(), data.mode() & 0o7777, data.mtime()), (10, 20, 0o2750, 500));
    assert_eq!(meta("data/same").ino(), tool.ino());
    assert_eq!(
        (meta("data/link").uid(), fs::read_link(layer.join("data/link")).unwrap()),
        (12, PathBuf::from("/nowhere/../x"))
    );
    assert!(meta("data/fifo").file_type().is_fifo());
    let mut value = [0u8; 8];
    assert_eq!(rustix::fs::getxattr(layer.join("noted"), "user.note", &mut value), Ok(2));
    assert!(
        rustix::fs::getxattr(layer.join("noted"), "trusted.overlay.redirect", &mut value).is_err()
    );
    assert!(!opaque(&layer.join("noted")));
}

#[test]
fn whiteouts_become_the_overlays() {
    let lower = tempfile::tempdir().unwrap();
    fs::create_dir(lower.path().join("tmp")).unwrap();
    fs::set_permissions(lower.path().join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    symlink("tmp", lower.path().join("link")).unwrap();
    let (_directory, layer) = unpacked(
        &[
            file(".wh.gone", ""),
            file("dir/.wh..wh..opq", ""),
            file("dir/kept", "kept"),
            file(".wh.renewed", ""),
            dir("renewed", 0o755),
            file("renewed/inner", "x"),
            file("own", "own"),
            file(".wh.own", ""),
            dir("mixed", 0o755),
            file(".wh.mixed", ""),
            file(".wh.file", ""),
            file("file", "back"),
            file(".wh..wh.plnk", ""),
            file("tmp/implied", "x"),
            file("twice", "first"),
            file("twice", "second"),
            dir("was-dir/sub", 0o755),
            file("was-dir", "now a file"),
        ],
        &[lower.path().to_owned()],
    );
    assert!(whiteout(&layer.join("gone")));
    assert!(
        opaque(&layer.join("dir"))
            && layer.join("dir/kept").is_file()
            && !whiteout(&layer.join("dir"))
    );
    assert!(opaque(&layer.join("renewed")) && layer.join("renewed/inner").is_file());
    assert_eq!(fs::read_to_string(layer.join("own")).unwrap(), "own");
    assert!(opaque(&layer.join("mixed")));
    assert_eq!(fs::read_to_string(layer.join("file")).unwrap(), "back");
    assert_eq!(fs::metadata(layer.join("tmp")).unwrap().mode() & 0o7777, 0o1777);
    assert_eq!(fs::read_to_string(layer.join("twice")).unwrap(), "second");
    assert_eq!(fs::read_to_string(layer.join("was-dir")).unwrap(), "now a file");
    assert!(!names_in(&layer).iter().any(|name| name.starts_with(".wh.")));
}

#[test]
fn bounds_hold() {
    let target = || {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        (directory, path)
    };
    let many: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let many: Vec<Item<'_>> = many.iter().map(|name| file(name, "")).collect();
    let big = "x".repeat(5000);
    let deep = "d/".repeat(40);
    let limits = Limits { bytes: 4000, entries: 10, depth: 30 };
    for (what, items) in
        [("entries", many), ("bytes", vec![file("a", &big)]), ("depth", vec![dir(&deep, 0o755)])]
    {
        let (_directory, path) = target();
        assert!(unpack(tar_of(&items).as_slice(), &path, &[], limits).is_err(), "{what}");
    }
    let (_directory, path) = target();
    assert!(
        unpack(tar_of(&[link(EntryType::Char, "null", "")]).as_slice(), &path, &[], limits)
            .is_err()
    );
}

/// Red when the reader of tar files speaks for itself, as of "failed to read entire block".
#[test]
fn what_is_no_archive_is_told_as_such() {
    let (directory, store) = store();
    let whole = docker_archive(&["a:1"], &[tar_of(&[file("f", "x")])]);
    let mut bent = whole.clone();
    bent[2560..2560 + 512].fill(0xfe);
    let no_archive = "it is no archive of images: ";
    for (name, content, why) in [
        ("text", b"hello".to_vec(), no_archive),
        ("long", vec![b'x'; 5000], no_archive),
        ("empty", Vec::new(), no_archive),
        ("text.gz", gzip(b"hello"), no_archive),
        ("blank", vec![0; 1024], "neither a docker archive nor an OCI layout"),
        ("cut", whole[..700].to_vec(), "the archive is damaged, or"),
        ("cut.gz", gzip(&whole)[..40].to_vec(), "the archive is damaged, or"),
        ("bent", bent, "the archive is damaged, or"),
    ] {
        let path = directory.path().join(name);
        fs::write(&path, content).unwrap();
        let error = store.load(&path).unwrap_err().to_string();
        assert!(error.starts_with(why), "{name}: {error}");
    }
    store.load_reader(&*whole).unwrap();
}

#[test]
fn who_only_reads_makes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("store");
    assert!(ImageStore::to_read(&root).list().unwrap().is_empty() && !root.exists());
}
