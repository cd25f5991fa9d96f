//! What is rarer in Dockerfiles: here-documents, mounts, flags of copies, arguments, the same bytes again.
#![allow(clippy::disallowed_macros)]

mod support;

use std::fs;

use leme_executor::{Dockerfile, Format};
use support::Bench;

#[test]
fn documents() {
    let mut bench = Bench::new();
    let image =
        bench.of("FROM busybox\nENV WHO=me\nRUN <<EOF\necho one > /one\necho $WHO >> /one\nEOF\n\
         RUN <<EOF cat > /two\nhello $WHO\nEOF\n\
         RUN <<-SCRIPT\n\t#!/bin/sh\n\techo script > /three\n\techo $0 >> /three\nSCRIPT\n\
         COPY <<EOF <<\"RAW\" /docs/\nby $WHO 'quoted'\nEOF\nby $WHO\nRAW\n\
         COPY --chmod=600 --chown=app <<EOF /docs/plain\nx\nEOF\n");
    let text = |path: &str| image.files.get(path).cloned().unwrap_or_default();
    assert_eq!(text("one"), "644 0:0 one\nme\n");
    assert_eq!(text("two"), "644 0:0 hello me\n");
    assert_eq!(text("three"), "644 0:0 script\n/dev/pipes/SCRIPT\n");
    assert_eq!(text("docs/EOF"), "644 0:0 by me 'quoted'\n");
    assert_eq!(text("docs/RAW"), "644 0:0 by $WHO\n");
    assert_eq!(text("docs/plain"), "600 1001:1002 x\n");
    assert!(!image.files.contains_key("dev/pipes"));
}

#[test]
fn mounts_of_commands() {
    let mut bench = Bench::new();
    bench.file("src/a", "a").file("src/hidden", "h").file(".dockerignore", "src/hidden\n");
    let dockerfile = "FROM busybox AS tools\nRUN mkdir /t && echo tool > /t/x\n\
         FROM busybox\n\
         RUN --mount=type=cache,target=/cache,id=c echo $(cat /cache/n 2> /dev/null)x > /cache/n; cp /cache/n /count\n\
         RUN --mount=type=bind,source=src,target=/in ls /in > /listed; touch /in/new 2> /refused; true\n\
         RUN --mount=target=/in,source=src,rw touch /in/new && ls /in >> /listed\n\
         RUN --mount=from=tools,source=/t,target=/mnt/t cat /mnt/t/x > /tool\n\
         RUN --mount=type=tmpfs,target=/mem,size=1m touch /mem/x && dd if=/dev/zero of=/mem/y bs=1024k count=2 2> /full; true\n";
    let image = bench.of(dockerfile);
    let text = |path: &str| image.files.get(path).cloned().unwrap_or_default();
    assert_eq!(text("count"), "644 0:0 x\n");
    assert_eq!(text("listed"), "644 0:0 a\na\nnew\n");
    assert!(text("refused").contains("Read-only"), "{}", text("refused"));
    assert_eq!(text("tool"), "644 0:0 tool\n");
    assert!(text("full").contains("No space"), "{}", text("full"));
    for stub in ["cache", "in", "mnt", "mem"] {
        assert!(!image.files.contains_key(stub), "{stub}");
    }
    assert!(!bench.context().join("src/new").exists());
    let mut again = bench.build(dockerfile);
    again.no_cache = true;
    assert_eq!(bench.run(&again).files["count"], "644 0:0 xx\n");
    // What is mounted belongs to what a step depends on.
    bench.file("src/a", "b");
    let third = bench.of(dockerfile);
    let cached: Vec<bool> = third.built.steps.iter().map(|step| step.cached).collect();
    assert!(!cached[4] && cached[2 + 1], "{cached:?}");
}

#[test]
fn copies_in_all_their_forms() {
    let mut bench = Bench::new();
    bench.file("d/a.go", "a").file("d/b.go", "b").file("d/c.txt", "c").file("d/sub/d.go", "d");
    bench.file(".dockerignore", "**/*.txt\n!d/keep.txt\n").file("d/keep.txt", "k");
    std::os::unix::fs::symlink("a.go", bench.context().join("d/link")).unwrap();
    let image = bench.of(
        "FROM busybox AS one\nRUN mkdir -p /x/y && echo q > /x/y/f && chown app:staff /x/y/f && chmod 640 /x/y/f\n\
         FROM busybox\nCOPY d/*.go /globbed/\nCOPY d /whole\nCOPY d/a.go /renamed\nCOPY d/a.go /tmp\n\
         COPY --parents d/sub/d.go d/./a.go /parents/\n\
         COPY --exclude=*.go d /excluded/\n\
         COPY --chmod=u=rwX,go=rX d /moded/\n\
         COPY --from=one /x /from\n\
         COPY --link d/a.go /linked/\n\
         COPY --from=busybox /etc/group /group\n\
         COPY [\"d/a.go\", \"/with space/\"]\n",
    );
    let has = |path: &str| image.files.contains_key(path);
    for path in [
        "globbed/a.go",
        "globbed/b.go",
        "whole/sub/d.go",
        "whole/keep.txt",
        "renamed",
        "tmp/a.go",
        "parents/d/sub/d.go",
        "parents/a.go",
        "excluded/sub",
        "linked/a.go",
        "group",
        "with space/a.go",
    ] {
        assert!(has(path), "{path}: {:#?}", image.files.keys());
    }
    assert!(!has("globbed/d.go") && !has("whole/c.txt") && !has("excluded/a.go") && !has("d"));
    assert_eq!(image.files["whole/link"], "777 0:0 -> a.go");
    assert_eq!(image.files["from/y/f"], "640 1001:50 q\n");
    assert_eq!(image.files["moded/a.go"], "644 0:0 a");
    for (file, wrong) in [
        ("COPY d/*.none /x/", "not found"),
        ("COPY d/c.txt /x", "not found"),
        ("COPY d/a.go d/b.go /x", "the destination must be a directory and end with a /"),
        ("COPY --from=7 a b", "invalid stage index 7"),
        ("COPY --chmod=9 d /x", "invalid chmod parameter"),
        ("COPY --chown=nobody d /x", "unable to find user nobody"),
    ] {
        let said = bench.fails(&format!("FROM busybox\n{file}\n"));
        assert!(said.contains(wrong), "{file}: {said}");
    }
}

#[test]
fn arguments_and_what_the_build_adds() {
    let mut bench = Bench::new();
    let mut build = bench.build(
        "ARG A=global\nFROM busybox\nARG A\nARG B=b-$A\nARG TARGETARCH\nARG EMPTY\n\
         RUN echo $A,$B,$TARGETARCH,$EMPTY,$ADDED,$HTTP_PROXY > /args\n",
    );
    build.build_args.insert("B".into(), "given".into());
    build.build_args.insert("HTTP_PROXY".into(), "http://user:secret@proxy".into());
    build.build_args.insert("UNUSED".into(), "x".into());
    build.env = vec![("ADDED".into(), "ad$A \"q\"".into())];
    build.labels.insert("l".into(), "$v 'x'".into());
    build.format = Format::Docker;
    let image = bench.run(&build);
    let machine = leme_host::images::machine();
    assert_eq!(
        image.files["args"],
        format!("644 0:0 global,given,{machine},,ad$A \"q\",http://user:secret@proxy\n")
    );
    assert_eq!(image.config["config"]["Labels"]["l"], "$v 'x'");
    assert!(!image.config.to_string().contains("secret"), "{}", image.config);
    assert!(bench.log.contains("[Warning] one or more build args were not consumed: [UNUSED]"));
    // Another base, and only the stage that is wanted.
    let mut build =
        bench.build("FROM none AS a\nRUN true\nFROM busybox AS b\nRUN echo b > /b\nFROM none\n");
    build.target = Some("b".into());
    assert!(bench.run(&build).files.contains_key("b"));
    let mut build = bench.build("FROM none\nRUN echo x > /x\n");
    build.from = Some("busybox:latest".into());
    assert!(bench.run(&build).files.contains_key("x"));
}

#[test]
fn triggers_run_in_the_image_that_is_built_on_theirs() {
    let mut bench = Bench::new();
    bench.file("app", "app");
    let mut build =
        bench.build("FROM busybox\nONBUILD COPY app /app\nONBUILD RUN cat /app > /ran\n");
    build.tags = vec!["base:1".into()];
    let base = bench.run(&build);
    assert!(!base.files.contains_key("app"));
    let laid = bench.try_run(&build).unwrap();
    bench.images.load_as(&laid.layout, &build.tags).unwrap();
    let image = bench.of("FROM base:1\nENV X=1\n");
    assert_eq!(image.files["ran"], "644 0:0 app");
    assert!(image.config["config"].get("OnBuild").is_none());
}

#[test]
fn the_same_build_makes_the_same_bytes() {
    let dockerfile = "FROM busybox\nCOPY a /a\nRUN echo x > /x; mkdir -p /d/e; ln /x /d/y; ln -s x /z\nWORKDIR /w\nENV A=b\n";
    let built: Vec<_> = (0..2)
        .map(|_| {
            let mut bench = Bench::new();
            bench.file("a", "a");
            let mut build = bench.build(dockerfile);
            build.source_date_epoch = Some(1_000_000_000);
            let image = bench.run(&build);
            assert_eq!(image.config["created"], "2001-09-09T01:46:40Z");
            (image.built.id, image.built.manifest)
        })
        .collect();
    assert_eq!(built[0], built[1]);
}

#[test]
fn an_image_of_nothing() {
    let mut bench = Bench::new();
    bench.file("hello", "x");
    let image = bench.of("FROM scratch\nCOPY hello /\nENTRYPOINT [\"/hello\"]\n");
    assert_eq!(image.files.len(), 1);
    assert_eq!(image.layers.len(), 1);
    // Steps that change nothing have no layer.
    let image = bench.of("FROM busybox\nRUN true\nWORKDIR /tmp\nRUN cat /etc/passwd\n");
    assert_eq!(image.layers.len(), 1);
    let image = bench.of("FROM busybox\nRUN rm /etc/group && mv /home /house\n");
    assert!(!image.files.contains_key("etc/group") && !image.files.contains_key("home"));
}

#[test]
fn the_dockerfile_of_the_context_and_its_own_ignore_file() {
    let mut bench = Bench::new();
    bench.file("sub/My.Dockerfile", "FROM busybox\nCOPY . /x\n").file("a", "a").file("b", "b");
    bench.file(".dockerignore", "a").file("sub/My.Dockerfile.dockerignore", "b\n");
    let mut build = bench.build("");
    build.dockerfile = Dockerfile::Path("sub/My.Dockerfile".into());
    let image = bench.run(&build);
    assert!(image.files.contains_key("x/a") && !image.files.contains_key("x/b"));
    build.dockerfile = Dockerfile::default();
    let said = bench.try_run(&build).err().unwrap().to_string();
    assert_eq!(said, "failed to read dockerfile: open Dockerfile: no such file or directory");
    // Nothing of the context is changed by any of this.
    assert_eq!(fs::read_dir(bench.context()).unwrap().count(), 4);
}

#[test]
fn builds_side_by_side_and_what_goes_first() {
    let bench = Bench::new();
    let dockerfile = "FROM busybox\nRUN head -c 100000 /dev/urandom > /r\nRUN echo $(head -c 4 /r | wc -c) > /n\n";
    let ids: Vec<String> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut images = support::Images(bench.images.clone());
                    let mut log = Vec::new();
                    let laid =
                        bench.outside().build(&bench.build(dockerfile), &mut images, &mut log);
                    laid.unwrap().built.id
                })
            })
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(ids.len(), 4);
    let mut bench = bench;
    let mut build = bench.build("FROM busybox\nRUN head -c 300000 /dev/urandom > /big\n");
    build.limits.cache_bytes = 1_500_000;
    bench.run(&build);
    let blobs = bench.root.path().join("builds/store/blobs/sha256");
    let size: u64 =
        fs::read_dir(blobs).unwrap().flatten().map(|blob| blob.metadata().unwrap().len()).sum();
    assert!(size < 2_600_000, "{size}");
    // What was taken away is made again.
    assert!(bench.of(dockerfile).files.contains_key("r"));
}
