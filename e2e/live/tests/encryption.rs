//! Secrets at rest: sealed from the first start, with a key that no copy of the data holds, and that can be changed.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use leme_live::Host;

/// Whether any file below the data directory holds these bytes.
fn lies_in(host: &Host, text: &str) -> bool {
    let mut folders = vec![host.data()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if entry.file_type().unwrap().is_file() {
                let bytes = fs::read(path).unwrap();
                if bytes.windows(text.len()).any(|found| found == text.as_bytes()) {
                    return true;
                }
            }
        }
    }
    false
}

fn password(host: &Host) -> String {
    host.kubectl("get secret card -o jsonpath={.data.pin}").run().ok()
}

#[test]
fn secrets_are_sealed_and_keys_change() {
    // As the store has it.
    const PIN: &str = "ZG8tbm90LXRlbGw=";
    let host = Host::new();
    host.up("--no-node").ok();
    let keys = host.folder().join("data.encryption.yaml");
    assert_eq!(fs::metadata(&keys).unwrap().permissions().mode() & 0o777, 0o600);
    host.kubectl("create secret generic card --from-literal=pin=do-not-tell").run().ok();
    host.kubectl("create configmap open --from-literal=pin=everybody-knows").run().ok();
    assert_eq!(password(&host), PIN);
    host.leme("down").run().ok();
    assert!(lies_in(&host, "everybody-knows"), "the store is looked into");
    assert!(!lies_in(&host, PIN) && !lies_in(&host, "do-not-tell"));

    // Red when a start without the key makes another one, or none.
    let away = host.folder().join("away.yaml");
    fs::rename(&keys, &away).unwrap();
    let refused = host.up("--no-node").fails(1);
    assert!(refused.contains("put it back") && refused.trim().lines().count() == 1, "{refused}");
    assert!(!keys.exists());

    // Another first key: what was written with the old one is written again, and that one is not needed any more.
    let old = fs::read_to_string(&away).unwrap();
    let key = "      - name: key2\n        secret: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n";
    let both = old.replace("      keys:\n", &format!("      keys:\n{key}"));
    fs::write(&keys, &both).unwrap();
    host.up("--no-node").ok();
    assert_eq!(password(&host), PIN);
    host.leme("down").run().ok();
    let at = both.find("      - name: key1").unwrap();
    let end = both.find("  - identity").unwrap();
    fs::write(&keys, format!("{}{}", &both[..at], &both[end..])).unwrap();
    host.up("--no-node").ok();
    assert_eq!(password(&host), PIN);

    // One that was sealed with a key that is lost is named, listed around, and goes.
    host.leme("down").run().ok();
    fs::write(&keys, &old).unwrap();
    // Red when a cluster starts as if its Secrets were none: namespaces would be deleted over them.
    let refused = host.up("--no-node").fails(1);
    assert!(refused.contains("such as /registry/secrets/default/card"), "{refused}");
    host.up("--no-node --encryption-ignore-lost-keys").ok();
    let gone = host.kubectl("get secret card").run();
    assert_ne!(gone.code, 0);
    host.kubectl("create secret generic other --from-literal=pin=1").run().ok();
    let names = host.kubectl("get secrets -o name").run().ok();
    assert_eq!(names.trim(), "secret/other");
    let path = "/api/v1/namespaces/default/secrets/card?ignoreStoreReadErrorWithClusterBreakingPotential=true";
    host.kubectl(&format!("delete --raw {path}")).run().ok();
    host.kubectl("create secret generic card --from-literal=pin=new").run().ok();

    host.leme("down --purge").run().ok();
    assert!(!keys.exists(), "what was made with the cluster goes with it");
    assert_eq!(host.leftovers(), Vec::<String>::new());
}
