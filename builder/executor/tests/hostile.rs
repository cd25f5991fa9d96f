//! Builds that mean harm: nothing of the outside is reached, nothing stays, and each comes to an end.
#![allow(clippy::disallowed_macros)]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use leme_executor::{BuildError, BuildLimits, Network, Secret};
use support::{Bench, tar_of};

#[test]
fn links_lead_nowhere() {
    let mut bench = Bench::new();
    let outside = bench.root.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    symlink(outside.join("secret"), bench.context().join("file")).unwrap();
    symlink(&outside, bench.context().join("dir")).unwrap();
    symlink("../outside/secret", bench.context().join("up")).unwrap();
    for source in ["file", "dir", "dir/secret", "up", "../outside/secret", "/../outside"] {
        let said = bench.fails(&format!("FROM busybox\nCOPY {source} /x\n"));
        assert!(said.contains("not found"), "{source}: {said}");
    }
    // In a root they lead on within it, and into nothing of the outside.
    let shown = outside.display().to_string();
    let image = bench.of(&format!(
        "FROM busybox AS evil\nRUN ln -s {shown} /link && ln -s / /all && ln -s ../../../../../../.. /up\n\
         FROM evil\nCOPY --from=evil /etc/passwd /link/passwd\nCOPY --from=evil /etc/group /up/tmp/group\n\
         WORKDIR /all/var/x\n"
    ));
    assert!(image.files.contains_key("tmp/group"));
    assert!(image.files.contains_key("var/x"));
    assert!(image.files.keys().any(|path| path.ends_with("outside/passwd")));
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    let said = bench.fails(&format!(
        "FROM busybox AS a\nRUN ln -s {shown}/secret /s\nFROM busybox\nCOPY --from=a /s /s\n"
    ));
    assert!(said.contains("not found"), "{said}");
}

#[test]
fn a_command_sees_nothing_of_the_outside() {
    let mut bench = Bench::new();
    fs::write(bench.root.path().join("secret"), "secret").unwrap();
    let shown = bench.root.path().display().to_string();
    let image = bench.of(&format!(
        "FROM busybox\n\
         RUN ls -A / > /root; ls {shown} > /outside 2>&1; ps > /processes; hostname > /host; true\n\
         RUN mount -t tmpfs none /tmp 2> /mounted; mknod /dev/x b 8 0 2> /device; \
             chroot / true 2> /chroot; unshare -m true 2> /unshared; echo 1 > /proc/sys/kernel/panic 2> /sysctl; true\n\
         RUN for fd in 3 4 5 6 7 8 9 10; do ls -d /proc/self/fd/$fd/. /proc/1/root/. /proc/1/cwd/. ; done > /descriptors 2> /dev/null; true\n"
    ));
    eprintln!("{:#?}", image.files);
    let text = |path: &str| image.files.get(path).cloned().unwrap_or_default();
    assert!(text("outside").contains("No such file"), "{}", text("outside"));
    assert!(!text("processes").contains("leme-build-helper build-namespace"));
    assert!(text("host").ends_with("leme-build\n"));
    for refused in ["mounted", "device", "unshared", "sysctl"] {
        assert!(!text(refused).ends_with(' '), "{refused}: {}", text(refused));
    }
    assert!(!text("descriptors").contains("/proc"), "{}", text("descriptors"));
}

#[test]
fn working_directories_are_within_the_root() {
    let mut bench = Bench::new();
    for directory in ["/proc/self/fd/3", "/proc/1/root", "/proc/self/cwd/../../.."] {
        let file = format!("FROM busybox\nWORKDIR {directory}\nRUN ls -A > /seen; pwd >> /seen\n");
        let build = bench.build(&file);
        // Either there is no such directory, or it is one of the root.
        if bench.try_run(&build).is_ok() {
            let seen = bench.run(&build).files["seen"].clone();
            assert!(!seen.contains("sbin") && !seen.contains("boot"), "{directory}: {seen}");
        }
    }
}

#[test]
fn what_a_command_leaves_ends_with_it() {
    let mut bench = Bench::new();
    let mark = format!("7{}", std::process::id());
    bench.of(&format!("FROM busybox\nRUN setsid sleep {mark} & sleep {mark} & true\n"));
    let running = fs::read_dir("/proc").unwrap().flatten().filter(|process| {
        fs::read(process.path().join("cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&mark))
    });
    assert_eq!(running.count(), 0);
}

#[test]
fn a_build_ends_at_its_deadline() {
    let mut bench = Bench::new();
    let mut build = bench.build("FROM busybox\nRUN while true; do sleep 1 & wait; done\n");
    build.limits = BuildLimits { deadline: Some(Duration::from_secs(3)), ..BuildLimits::default() };
    let said = bench.try_run(&build).err().unwrap().to_string();
    assert_eq!(said, "the build took longer than 3 s");
}

#[test]
fn output_has_a_bound() {
    let mut bench = Bench::new();
    let mut build = bench.build("FROM busybox\nRUN yes | head -c 5000000\nRUN echo after\n");
    build.limits = BuildLimits { output_bytes: 10_000, ..BuildLimits::default() };
    bench.run(&build);
    assert!(bench.log.len() < 12_000, "{}", bench.log.len());
    assert!(bench.log.contains("[output clipped") && bench.log.contains("after\n"));
}

#[test]
fn archives_are_bounded_and_stay_inside() {
    let mut bench = Bench::new();
    let zeros = vec![0u8; 20 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut gzip, &tar_of(&[("zeros", 0o644, &zeros)], &[])).unwrap();
    fs::write(bench.context().join("bomb.tar.gz"), gzip.finish().unwrap()).unwrap();
    let mut build = bench.build("FROM busybox\nADD bomb.tar.gz /\n");
    build.limits = BuildLimits { add_bytes: 1 << 20, ..BuildLimits::default() };
    let said = bench.try_run(&build).err().unwrap().to_string();
    assert!(said.contains("more than") || said.contains("larger than"), "{said}");
    let outside = bench.root.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let archive = tar_of(
        &[("plain", 0o644, b"x"), ("link/file", 0o644, b"x")],
        &[("link".to_owned(), outside.to_str().unwrap())],
    );
    // The link comes after what would go through it; a second archive goes through it.
    fs::write(bench.context().join("a.tar"), &archive).unwrap();
    fs::write(bench.context().join("b.tar"), tar_of(&[("link/evil", 0o644, b"x")], &[])).unwrap();
    let build = bench.build("FROM busybox\nADD a.tar b.tar /x/\n");
    let _ = bench.try_run(&build);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    // What is no archive is a file.
    bench.file("c.tar", "no archive");
    let image = bench.of("FROM busybox\nADD c.tar /y/\nADD --unpack=false a.tar /z/\n");
    assert!(image.files.contains_key("y/c.tar") && image.files.contains_key("z/a.tar"));
}

#[test]
fn odd_files_of_the_context() {
    let mut bench = Bench::new();
    let context = bench.context();
    nix::unistd::mkfifo(&context.join("pipe"), nix::sys::stat::Mode::from_bits_truncate(0o644))
        .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(context.join("socket")).unwrap();
    bench.file("plain", "x");
    let image = bench.of("FROM busybox\nCOPY . /x/\n");
    assert!(image.files["x/pipe"].ends_with("special") && image.files.contains_key("x/plain"));
    assert!(!image.files.contains_key("x/socket"));
    let device = nix::sys::stat::makedev(1, 3);
    let (kind, mode) =
        (nix::sys::stat::SFlag::S_IFCHR, nix::sys::stat::Mode::from_bits_truncate(0o666));
    nix::sys::stat::mknod(&context.join("null"), kind, mode, device).unwrap();
    let said = bench.fails("FROM busybox\nCOPY . /x/\n");
    assert!(said.contains("device"), "{said}");
    // A Dockerfile that is a pipe is not waited for.
    fs::rename(context.join("pipe"), context.join("Dockerfile")).unwrap();
    let mut build = bench.build("");
    build.dockerfile = leme_executor::Dockerfile::default();
    assert!(bench.try_run(&build).is_err());
}

#[test]
fn secrets_stay_nowhere() {
    let mut bench = Bench::new();
    let mut build = bench.build(
        "FROM busybox\n\
         RUN --mount=type=secret,id=token cat /run/secrets/token | wc -c > /length\n\
         RUN --mount=type=secret,id=token,env=TOKEN test ${#TOKEN} = 14\n\
         RUN --mount=type=secret,id=token,target=/etc/token,mode=0440,gid=50 ls -l /etc/token > /looks; test ! -e /run/secrets\n",
    );
    build.secrets = vec![Secret { id: "token".to_owned(), content: b"hunter2hunter2".to_vec() }];
    let image = bench.run(&build);
    assert!(image.files["length"].ends_with("14\n"), "{}", image.files["length"]);
    assert!(image.files["looks"].contains("-r--r-----"), "{}", image.files["looks"]);
    assert!(!image.files.contains_key("etc/token") && !image.files.contains_key("run/secrets"));
    assert!(!image.config.to_string().contains("hunter2"));
    // Red when a scratch directory or a key holds it: nothing below the store does.
    let found = std::process::Command::new("grep")
        .args(["-rl", "hunter2hunter2"])
        .arg(bench.root.path().join("builds"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    build.secrets.clear();
    build.dockerfile = leme_executor::Dockerfile::Bytes(
        b"FROM busybox\nRUN --mount=type=secret,id=none,required true".to_vec(),
    );
    assert!(bench.try_run(&build).err().unwrap().to_string().contains("secret none: not found"));
}

/// Everything about the files below a directory, but for what reading them changes.
fn looks(directory: &std::path::Path, all: &mut Vec<String>) {
    use std::os::unix::fs::MetadataExt;
    let mut entries: Vec<_> = fs::read_dir(directory).unwrap().flatten().collect();
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let found = fs::symlink_metadata(entry.path()).unwrap();
        let (mode, time) =
            (found.mode(), (found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()));
        let who = (found.uid(), found.gid(), found.nlink(), found.ino(), found.len());
        all.push(format!("{} {mode:o} {who:?} {time:?}", entry.path().display()));
        if found.is_dir() {
            looks(&entry.path(), all);
        }
    }
}

/// Red when anything is written through a link, a mount or a path of the outside.
#[test]
fn no_file_of_the_outside_is_touched() {
    let mut bench = Bench::new();
    let outside = bench.root.path().join("outside");
    fs::create_dir_all(outside.join("d/e")).unwrap();
    fs::write(outside.join("d/f"), "f").unwrap();
    bench.file("a", "a").file("dir/b", "b").file(".dockerignore", "dir\n");
    let state = || {
        let mut all = Vec::new();
        for directory in [&outside, &bench.context()] {
            looks(directory, &mut all);
        }
        // A file that appears in these shows in their times.
        for directory in ["/etc", "/usr", "/opt", "/root", "/home", "/srv"] {
            use std::os::unix::fs::MetadataExt;
            let found = fs::metadata(directory).unwrap();
            all.push(format!("{directory} {} {}", found.mtime(), found.ctime()));
        }
        all
    };
    let before = state();
    let context = bench.context().display().to_string();
    let shown = outside.display().to_string();
    let mut again = Bench {
        root: tempfile::tempdir_in("/var/tmp").unwrap(),
        images: bench.images.clone(),
        log: String::new(),
    };
    let mut build = again.build(&format!(
        "FROM busybox AS a\nRUN ln -s {shown} /o && ln -s {context} /c\n\
         FROM a\nCOPY a /o/x\nCOPY a /c/x\nWORKDIR /o/w\nRUN echo x > /o/y; rm -rf /o/d /c/a; chmod -R 777 {shown} {context}; true\n\
         RUN --mount=target=/in,rw rm -rf /in/a /in/dir; touch /in/new\n\
         RUN --mount=target=/in chmod 777 /in/a; touch /in/a; true\n"
    ));
    build.context = bench.context();
    again.run(&build);
    assert_eq!(state(), before);
    let _ = &mut bench;
}

#[test]
fn many_files_and_long_names() {
    let mut bench = Bench::new();
    let long = "n".repeat(255);
    for directory in 0..20 {
        for file in 0..500 {
            bench.file(&format!("many/{directory}/{file}"), "");
        }
    }
    bench.file(&format!("many/{long}/{long}/{long}"), "long");
    let image =
        bench.of("FROM busybox\nCOPY many /many\nRUN find /many -type f | wc -l > /count\n");
    assert_eq!(image.files["count"], "644 0:0 10001\n");
    assert!(image.files.contains_key(&format!("many/{long}/{long}/{long}")));
}

#[test]
fn no_network_is_none() {
    let mut bench = Bench::new();
    let mut build = bench.build("FROM busybox\nRUN ip link > /links\n");
    build.network = Network::None;
    let links = bench.run(&build).files["links"].clone();
    assert_eq!(links.matches("mtu").count(), 1, "{links}");
    let said = bench.fails("FROM busybox\nRUN --network=host true");
    assert!(matches!(&*said, "RUN --network=host is not supported"), "{said}");
    let said = bench.fails("FROM busybox\nRUN --security=insecure true");
    assert!(said.contains("is not supported"), "{said}");
    let _ = BuildError::Unsupported(String::new());
}
