//! The embedded store as a person meets it when a disk has gone wrong: found, named, copied, put back, saved.

use std::fs;

use leme_live::Host;

/// Flips one bit in the middle of every place where the store's file holds a text.
fn damage(host: &Host, text: &str) {
    let path = host.data().join("store/leme.redb");
    let mut bytes = fs::read(&path).unwrap();
    let text = text.as_bytes();
    let found: Vec<usize> =
        (0..bytes.len() - text.len()).filter(|at| bytes[*at..].starts_with(text)).collect();
    assert!(!found.is_empty(), "the store does not hold it");
    for at in found {
        bytes[at + text.len() / 2] ^= 1;
    }
    fs::write(&path, bytes).unwrap();
}

/// Red when values are served without a look at their checksums, or an unreadable object cannot be got rid of.
#[test]
fn a_damaged_object_is_named_and_nothing_else_is_lost() {
    let host = Host::new();
    host.up("--no-node").ok();
    for name in ["one", "two", "three"] {
        host.kubectl(&format!("create configmap {name} --from-literal=text=value-of-{name}"))
            .run()
            .ok();
    }
    host.leme("down").run().ok();
    let sound = host.leme("store check").run().ok();
    assert!(sound.contains("objects whole"), "{sound}");
    let copy = host.folder().join("copy.redb");
    host.leme("store backup").arg(&copy).run().ok();

    damage(&host, "value-of-two");
    let check = host.leme("store check").run();
    assert!(check.stdout.contains("lost: /registry/configmaps/default/two"), "{check:?}");
    let why = check.fails(1);
    assert!(why.contains("leme store salvage"), "{why}");

    // It can be lived with: everything else is served, and the object can be removed.
    host.up("--no-node").ok();
    let names = host.kubectl("get configmaps -o name").run().ok();
    assert!(
        names.contains("/one") && names.contains("/three") && !names.contains("/two"),
        "{names}"
    );
    let ready = host.kubectl("get --raw /readyz?verbose").run().ok();
    assert!(ready.contains("unreadable: /registry/configmaps/default/two"), "{ready}");
    let path = "/api/v1/namespaces/default/configmaps/two?ignoreStoreReadErrorWithClusterBreakingPotential=true";
    host.kubectl("delete --raw").arg(path).run().ok();
    host.kubectl("create configmap two --from-literal=text=again").run().ok();
    let busy = host.leme("store check").run().fails(1);
    assert!(busy.contains("in use"), "{busy}");
    host.leme("down").run().ok();

    // Or the state before comes back.
    let restored = host.leme("store restore").arg(&copy).run().ok();
    assert!(restored.contains("objects are back"), "{restored}");
    host.up("--no-node").ok();
    let two = host.kubectl("get configmap two -o jsonpath={.data.text}").run().ok();
    assert_eq!(two, "value-of-two");
    host.leme("down").run().ok();

    damage(&host, "value-of-three");
    let salvaged = host.leme("store salvage").run().ok();
    assert!(salvaged.contains("lost: /registry/configmaps/default/three"), "{salvaged}");
    host.leme("store check").run().ok();
    host.up("--no-node").ok();
    let names = host.kubectl("get configmaps -o name").run().ok();
    assert!(
        names.contains("/one") && names.contains("/two") && !names.contains("/three"),
        "{names}"
    );
}
