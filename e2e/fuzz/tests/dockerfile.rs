//! Dockerfiles, their variables, mounts and ignore files: what is wrong is said with its line, and nothing takes long.

use leme_dockerfile::ignore::Ignore;
use leme_dockerfile::image::Image;
use leme_dockerfile::mount::Mount;
use leme_dockerfile::stages::Base;
use leme_dockerfile::{Dockerfile, expand_document, expand_words};
use leme_fuzz::{Feed, run, word};

const FILES: [&str; 5] = [
    "# syntax=docker/dockerfile:1\n# escape=`\nARG A=1\nFROM a:${A:-2} AS b\nRUN x `\n  y\nFROM b\nCOPY --from=b a c\n",
    "FROM a\nRUN <<EOF cat > /x\n$a\nEOF\nCOPY <<-\"X\" <<Y /d/\n\tx\nX\ny\nY\nCMD [\"a\", \"b\"]\n",
    "FROM scratch\nENV a=b \"c d\"='e f' g=h\\ i\nLABEL x y\nHEALTHCHECK --interval=1m30s CMD x\nONBUILD ADD --chown=a:b x y\n",
    "FROM a\nRUN --mount=type=cache,target=/x,sharing=locked --mount=from=b,target=/y --network=none z\nSHELL [\"x\"]\n",
    "FROM --platform=$BUILDPLATFORM a\nADD --checksum=sha256:0 http://x/y /z\nEXPOSE 80 90-92/udp\nVOLUME [\"/a\"]\nSTOPSIGNAL 9\n",
];

const WORDS: [&str; 34] = [
    "FROM ",
    "RUN ",
    "COPY ",
    "ADD ",
    "ENV ",
    "ARG ",
    "ONBUILD ",
    "HEALTHCHECK ",
    "--from=",
    "--mount=",
    " AS ",
    "<<EOF",
    "<<-",
    "\nEOF\n",
    "\\\n",
    "`\n",
    "# escape=`\n",
    "\"",
    "'",
    "[\"",
    "\"]",
    "${",
    "}",
    ":-",
    ":+",
    "##",
    "%%",
    "//",
    "**/",
    "!",
    "[",
    "]",
    "\u{feff}",
    "\u{2028}",
];

#[test]
fn dockerfiles() {
    let seeds = FILES.iter().map(|text| text.as_bytes().to_vec()).collect();
    let seen = run(Feed { name: "dockerfiles", seeds, words: &WORDS, cases: 6_000 }, |input| {
        let file = match Dockerfile::read(input) {
            Ok(file) => file,
            Err(wrong) => return word(&wrong.what),
        };
        let env = |name: &str| (name.len() < 3).then(|| name.repeat(2));
        let bases = (0..file.stages.len()).map(|stage| file.base(stage, &env));
        let bases: Vec<Base> = match bases.collect() {
            Ok(bases) => bases,
            Err(wrong) => return word(&wrong.what),
        };
        match file.order(bases.len() - 1, &bases) {
            Ok(order) => {
                assert_eq!(order.last(), Some(&(bases.len() - 1)));
                assert!(order.len() <= bases.len());
                "whole".to_owned()
            }
            Err(wrong) => word(&wrong.what),
        }
    });
    assert!(seen.len() > 20, "{seen:?}");
}

#[test]
fn what_goes_with_them() {
    let seeds = [
        "${a:-${b#*.}}${c/x?/y}",
        "type=secret,id=a,\"b,c\"",
        "/a/**\n!b/[a-z]*\n*.tmp",
        "{\"config\":{\"Env\":null}}",
    ];
    let seeds = seeds.iter().map(|text| text.as_bytes().to_vec()).collect();
    let seen = run(
        Feed { name: "what_goes_with_dockerfiles", seeds, words: &WORDS, cases: 6_000 },
        |input| {
            let text = String::from_utf8_lossy(input);
            let env = |name: &str| (name.len() < 3).then(|| format!("{name}.{name}/{name}"));
            let expanded = expand_words(&text, '\\', &env).map(|words| words.len());
            let document = expand_document(&text, '`', &env).is_ok();
            let mount = Mount::read(&text, |value| Ok(value.to_owned())).is_ok();
            let ignore = Ignore::read(input).map(|ignore| ignore.hides("a/b/c.tmp"));
            let image = Image::read(input).is_ok();
            format!("{expanded:?} {document} {mount} {ignore:?} {image}")
        },
    );
    assert!(seen.len() > 5, "{seen:?}");
}
