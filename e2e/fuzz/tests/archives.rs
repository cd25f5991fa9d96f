//! Image archives and their layers: whatever they hold, nothing outside the directory that they are unpacked into changes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use leme_fuzz::{Feed, run, word};
use leme_host::images::ImageStore;
use leme_host::images::unpack::{Limits, unpack};
use tar::{Builder, EntryType, Header};

const LIMITS: Limits = Limits { bytes: 1 << 20, entries: 200, depth: 16 };

/// An entry: its type, path, link target and content, written into the header as they are.
type Entry<'a> = (EntryType, &'a str, &'a str, &'a [u8]);

fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (kind, path, link, content) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.name[..path.len()].copy_from_slice(path.as_bytes());
        gnu.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        tar.append(&header, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

/// Sums again what was mutated: a header with a wrong sum is refused before anything in it is looked at.
fn sum_again(input: &[u8]) -> Vec<u8> {
    let mut out = input.to_vec();
    for block in out.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    out
}

/// What stands around the target, with contents: names, types, sizes, modes.
fn around(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "target" {
            let looks = fs::symlink_metadata(entry.path()).unwrap();
            let content = fs::read(entry.path()).unwrap_or_default();
            found.insert(
                name,
                format!("{:?} {:?} {content:?}", looks.file_type(), looks.permissions()),
            );
        }
    }
    found
}

#[test]
fn layers() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().to_string_lossy().into_owned();
    fs::write(folder.path().join("kept"), "as it was").unwrap();
    let target = folder.path().join("target");
    let file = EntryType::Regular;
    let (symlink, hard) = (EntryType::Symlink, EntryType::Link);
    let seeds = vec![
        archive(&[
            (EntryType::Directory, "d/", "", b""),
            (file, "d/f", "", b"text"),
            (file, "d/.wh.f", "", b""),
        ]),
        archive(&[(symlink, "up", "../..", b""), (file, "up/kept", "", b"changed")]),
        archive(&[
            (symlink, "abs", &outside, b""),
            (file, "abs/new", "", b"new"),
            (hard, "h", "abs/kept", b""),
        ]),
        archive(&[(file, "../kept", "", b"changed"), (file, "/../kept", "", b"changed")]),
        archive(&[
            (symlink, "a", "b", b""),
            (symlink, "b", "a", b""),
            (file, "a/x", "", b""),
            (hard, "l", "a", b""),
        ]),
        archive(&[
            (EntryType::Fifo, "p", "", b""),
            (file, "d/.wh..wh..opq", "", b""),
            (hard, "self", "self", b""),
        ]),
    ];
    let words = &[
        "../",
        "..",
        "/",
        "kept",
        ".wh.",
        ".wh..wh..opq",
        outside.as_str(),
        "\0",
        "0",
        "1",
        "2",
        "5",
        "L",
        "K",
        "x",
        "g",
        "S",
    ];
    let before = around(folder.path());
    let seen = run(Feed { name: "layers", seeds, words, cases: 3_000 }, |input| {
        let _ = fs::remove_dir_all(&target);
        fs::create_dir(&target).unwrap();
        let outcome = unpack(&*sum_again(input), &target, &[], LIMITS);
        assert_eq!(around(folder.path()), before);
        outcome.map_or_else(|error| word(&error.to_string()), |()| "unpacked".to_owned())
    });
    assert!(seen.contains("unpacked") && seen.len() > 4, "{seen:?}");
}

/// A well-formed archive of one image with one layer, made by the tools that make the sample's.
fn image() -> Vec<u8> {
    let layer = archive(&[(EntryType::Regular, "f", "", b"text")]);
    let config =
        br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let manifest =
        br#"[{"Config":"config.json","RepoTags":["sea/north:v1"],"Layers":["layer.tar"]}]"#;
    let file = EntryType::Regular;
    archive(&[
        (file, "manifest.json", "", manifest),
        (file, "config.json", "", config),
        (file, "layer.tar", "", &layer),
    ])
}

#[test]
fn images() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("kept"), "as it was").unwrap();
    let before = around(folder.path());
    let store = ImageStore::open(&folder.path().join("target")).unwrap().with_limits(LIMITS);
    let index = br#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:00","size":2}]}"#;
    let file = EntryType::Regular;
    let seeds = vec![
        image(),
        archive(&[
            (file, "oci-layout", "", br#"{"imageLayoutVersion":"1.0.0"}"#),
            (file, "index.json", "", index),
        ]),
        archive(&[
            (EntryType::Symlink, "manifest.json", "../../kept", b""),
            (file, "../kept", "", b"x"),
        ]),
    ];
    let words = &[
        "sha256:",
        "../",
        "layer.tar",
        "config.json",
        "\"diff_ids\":[",
        "null",
        "{}",
        "[]",
        "\"\"",
        "\x1f\u{8b}",
        "blobs/sha256/",
    ];
    let seen = run(Feed { name: "images", seeds, words, cases: 1_500 }, |input| {
        let outcome = store.load_reader(&*sum_again(input));
        assert_eq!(around(folder.path()), before);
        outcome.map_or_else(
            |error| word(&error.to_string()),
            |loaded| format!("{} loaded", loaded.len()),
        )
    });
    assert!(seen.len() > 4, "{seen:?}");
}
