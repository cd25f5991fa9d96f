//! Builds of what is sent: a builder's image of the usual shape, a first build by it, and a second one that goes on where the first
//! one ended.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use leme_live::{Host, tool, until};

const BUILDS: &str = "/apis/build.openshift.io/v1/namespaces/default";

const OBJECTS: &str = r#"
apiVersion: v1
kind: List
items:
- { apiVersion: v1, kind: Secret, metadata: { name: s }, stringData: { k: hush } }
- { apiVersion: image.openshift.io/v1, kind: ImageStream, metadata: { name: builder } }
- { apiVersion: image.openshift.io/v1, kind: ImageStream, metadata: { name: app } }
- apiVersion: build.openshift.io/v1
  kind: BuildConfig
  metadata: { name: builder }
  spec:
    source: { binary: {} }
    strategy: { dockerStrategy: {} }
    output: { to: { kind: ImageStreamTag, name: "builder:latest" } }
- apiVersion: build.openshift.io/v1
  kind: BuildConfig
  metadata: { name: app }
  spec:
    source: { binary: {}, secrets: [{ secret: { name: s }, destinationDir: sec }] }
    strategy: { sourceStrategy: { from: { kind: ImageStreamTag, name: "builder:latest" }, incremental: true } }
    output: { to: { kind: ImageStreamTag, name: "app:latest" } }
    postCommit: { script: "test ! -e /tmp/src/sec/k && echo 'no secret is left'" }
"#;

const ASSEMBLE: &str = "#!/bin/sh\nset -e\necho \"assembling as $(id -u): $(ls -A /tmp/src | tr '\\n' ' ')\"\n\
    [ ! -e /tmp/artifacts/made ] || echo \"of before: $(cat /tmp/artifacts/made)\"\n\
    echo \"the secret has $(wc -c < /tmp/src/sec/k) bytes\"\ncp /tmp/src/index.html /opt/app/\necho \"$WHO\" > /opt/app/made\n";
const DOCKERFILE: &str = "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n\
    COPY --chmod=755 assemble run save-artifacts /usr/libexec/s2i/\n\
    RUN mkdir -p /opt/app /tmp && chown 1001:0 /opt/app && chmod 1777 /tmp\n\
    LABEL io.openshift.s2i.scripts-url=image:///usr/libexec/s2i\nUSER 1001\n";

/// What is built without a cluster runs in one.
#[test]
fn what_leme_build_makes_runs() {
    let host = Host::new();
    let folder = host.folder().join("app");
    fs::create_dir_all(&folder).unwrap();
    fs::copy("/bin/busybox", folder.join("busybox")).unwrap();
    let dockerfile = "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n\
        ARG WORD=none\nRUN mkdir /srv && echo \"$WORD\" > /srv/word\n\
        CMD [\"/bin/busybox\", \"httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/srv\"]\n";
    fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
    let build = host.leme("build -t made:1 --build-arg WORD=built").arg(&folder).run();
    build.ok();
    host.up("").ok();
    host.kubectl("run made --image=made:1").run().ok();
    let address = || host.kubectl("get pod made -o jsonpath={.status.podIP}").run().stdout;
    until("it answers", || {
        host.get(&format!("http://{}:8080/word", address())).stdout.trim() == "built"
    });
    let images = host.leme("image ls").run().ok();
    assert!(images.contains("made"), "{images}");
    host.leme("down").run().ok();
    assert_eq!(host.leftovers(), Vec::<String>::new());
}

/// An archive of some files.
fn archive(host: &Host, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
    let folder = host.folder().join(name);
    for (path, content) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let made = host.folder().join(format!("{name}.tgz"));
    let tar = host.program(tool("tar", "tar")).arg("-czf").arg(&made).arg("-C").arg(&folder);
    tar.arg(".").run().ok();
    made
}

/// Sends input for the next build of a configuration, and gives that build's log once it is over.
fn built(host: &Host, config: &str, number: u32, input: &PathBuf) -> String {
    let path = format!("create --raw {BUILDS}/buildconfigs/{config}/instantiatebinary -f");
    host.kubectl(&path).arg(input).run().ok();
    let phase = || {
        let of = format!("get build {config}-{number} -o jsonpath={{.status.phase}}");
        host.kubectl(&of).run().stdout
    };
    until("the build is over", || !["", "New", "Pending", "Running"].contains(&phase().as_str()));
    let log = host.kubectl(&format!("get --raw {BUILDS}/builds/{config}-{number}/log")).run().ok();
    assert_eq!(phase(), "Complete", "{log}");
    log
}

#[test]
fn source_becomes_an_image_and_again() {
    let host = Host::new();
    host.up("").ok();
    host.kubectl("apply -f -").run_with(OBJECTS).ok();
    let busybox = fs::read("/bin/busybox").unwrap();
    let builder = archive(
        &host,
        "builder",
        &[
            ("busybox", &busybox),
            ("assemble", ASSEMBLE.as_bytes()),
            ("run", b"#!/bin/sh\nexec busybox httpd -f -p 8080 -h /opt/app\n"),
            ("save-artifacts", b"#!/bin/sh\ncd /opt/app && tar -cf - made\n"),
            ("Dockerfile", DOCKERFILE.as_bytes()),
        ],
    );
    built(&host, "builder", 1, &builder);
    let source = |who: &str| {
        let environment = format!("# who made it\nWHO={who}\n");
        archive(
            &host,
            "source",
            &[
                ("index.html", who.as_bytes()),
                (".s2i/environment", environment.as_bytes()),
                (".s2iignore", b"hidden\n"),
                ("hidden", b""),
            ],
        )
    };
    let first = built(&host, "app", 1, &source("first"));
    let told = "assembling as 1001: .s2i .s2iignore index.html sec \nthe secret has 4 bytes";
    assert!(first.contains(told), "{first}");
    assert!(first.contains("no secret is left"), "{first}");
    let second = built(&host, "app", 2, &source("second"));
    assert!(second.contains("of before: first"), "{second}");
    // What was made runs, by the run script of the builder.
    let image = "get istag app:latest -o jsonpath={.image.dockerImageReference}";
    let image = host.kubectl(image).run().ok();
    host.kubectl(&format!("run app --image={image}")).run().ok();
    let address = || host.kubectl("get pod app -o jsonpath={.status.podIP}").run().stdout;
    until("it answers", || {
        let url = format!("http://{}:8080/index.html", address());
        host.get(&url).stdout == "second"
    });
    // Nobody of another project has it.
    host.kubectl("create namespace other").run().ok();
    host.kubectl(&format!("run app -n other --image={image}")).run().ok();
    let reason =
        "get pod app -n other -o jsonpath={.status.containerStatuses[0].state.waiting.reason}";
    until("it is refused", || {
        ["ErrImagePull", "ImagePullBackOff"].contains(&host.kubectl(reason).run().stdout.as_str())
    });
    host.leme("down").run().ok();
    assert_eq!(host.leftovers(), Vec::<String>::new());
}
