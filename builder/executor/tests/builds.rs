//! Builds in a real user namespace, with a real image: what instructions make, and what is done only once.
#![allow(clippy::disallowed_macros)]

mod support;

use support::Bench;

#[test]
fn common_instructions() {
    let mut bench = Bench::new();
    bench.file("a.txt", "from the context\n").file("dir/b.txt", "b").file("dir/sub/c.txt", "c");
    let image = bench.of("ARG TAG=latest\n\
         FROM busybox:${TAG} AS first\n\
         RUN echo made > /made && mkdir /gone && rm -r /home\n\
         FROM first\n\
         ARG VERSION=1\n\
         ENV NAME=value OTHER=\"$VERSION two\"\n\
         LABEL a=b \"c d\"='e f'\n\
         WORKDIR /srv/app\n\
         COPY a.txt dir/b.txt ./\n\
         COPY --chown=app:staff --chmod=0600 dir /data\n\
         RUN echo \"$NAME $VERSION $(pwd) $(id -u)\" > out && rm -r /gone\n\
         USER app\n\
         RUN id -u -n > /tmp/who && echo $HOME >> /tmp/who\n\
         EXPOSE 8080 53/udp\n\
         VOLUME /data\n\
         ENTRYPOINT [\"/bin/sh\", \"-c\"]\n\
         CMD echo hello\n\
         STOPSIGNAL SIGINT\n\
         HEALTHCHECK --interval=5s CMD true\n\
         ONBUILD RUN echo later\n");
    eprintln!("{}", bench.log);
    let file = |path: &str| image.files.get(path).map(String::as_str);
    assert_eq!(file("made"), Some("644 0:0 made\n"));
    assert_eq!(file("srv/app/a.txt"), Some("644 0:0 from the context\n"));
    assert_eq!(file("srv/app/b.txt"), Some("644 0:0 b"));
    assert_eq!(file("data/sub/c.txt"), Some("600 1001:50 c"));
    assert_eq!(file("srv/app/out"), Some("644 0:0 value 1 /srv/app 0\n"));
    assert_eq!(file("tmp/who"), Some("644 1001:1002 app\n/home/app\n"));
    assert_eq!(
        (file("gone"), file("home"), file("etc/resolv.conf"), file("proc")),
        (None, None, None, None)
    );
    let config = &image.config["config"];
    assert_eq!(config["Env"], serde_json::json!(["PATH=/bin", "NAME=value", "OTHER=1 two"]));
    assert_eq!(config["Labels"], serde_json::json!({"a": "b", "c d": "e f"}));
    assert_eq!(config["Entrypoint"], serde_json::json!(["/bin/sh", "-c"]));
    assert_eq!(config["Cmd"], serde_json::json!(["/bin/sh", "-c", "echo hello"]));
    assert_eq!(config["User"], "app");
    assert_eq!(config["WorkingDir"], "/srv/app");
    assert_eq!(config["StopSignal"], "SIGINT");
    assert_eq!(config["OnBuild"], serde_json::json!(["RUN echo later"]));
    assert_eq!(config["ExposedPorts"], serde_json::json!({"8080/tcp": {}, "53/udp": {}}));
    let history = image.config["history"].as_array().unwrap();
    let layers = image.config["rootfs"]["diff_ids"].as_array().unwrap().len();
    let told = history.iter().filter(|step| step["empty_layer"] != true).count();
    assert_eq!((told, image.layers.len()), (layers, layers), "{history:#?}");
}

#[test]
fn what_was_done_is_not_done_again() {
    let mut bench = Bench::new();
    bench.file("a", "1").file("b", "1");
    let dockerfile = "FROM busybox\nRUN head -c 8 /dev/urandom > /random\nCOPY a /a\nRUN cat /a > /c\nCOPY b /b\n";
    let first = bench.of(dockerfile);
    assert!(!first.built.steps[1].cached);
    let second = bench.of(dockerfile);
    assert_eq!(second.built.id, first.built.id);
    assert!(second.built.steps.iter().all(|step| step.cached), "{:?}", second.built.steps);
    // A newer time is no change, other content is.
    bench.file("b", "2");
    let third = bench.of(dockerfile);
    let cached: Vec<bool> = third.built.steps.iter().map(|step| step.cached).collect();
    assert_eq!(cached, [true, true, true, true, false]);
    assert_eq!(third.files["random"], first.files["random"]);
    bench.file("a", "2");
    let fourth = bench.of(dockerfile);
    let cached: Vec<bool> = fourth.built.steps.iter().map(|step| step.cached).collect();
    assert_eq!(cached[..4], [true, true, false, false]);
    assert_eq!(fourth.files["c"], "644 0:0 2");
    let mut again = bench.build(dockerfile);
    again.no_cache = true;
    assert_ne!(bench.run(&again).files["random"], first.files["random"]);
}

#[test]
fn failures_are_told_as_docker_and_buildah_tell_them() {
    let mut bench = Bench::new();
    for (file, wrong) in [
        (
            "FROM busybox\nRUN exit 3",
            "building at STEP \"RUN exit 3\": while running runtime: exit status 3",
        ),
        ("FROM busybox\nCOPY none /", "building at STEP \"COPY none /\": \"/none\": not found"),
        ("FROM none", "none: there is no such image"),
        ("FROM busybox\nFOO", "dockerfile parse error on line 2: unknown instruction: FOO"),
        ("FROM --platform=linux/s390x busybox", "is not supported"),
        ("FROM busybox\nADD https://example.com/x /", "ADD https://example.com/x is not supported"),
        ("FROM busybox\nUSER nobody\nRUN true", "exit status 127"),
    ] {
        let said = bench.fails(file);
        assert!(said.contains(wrong), "{file}: {said}\n{}", bench.log);
    }
}
