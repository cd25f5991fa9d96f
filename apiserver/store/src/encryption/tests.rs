//! The store that encrypts, over one in memory.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use serde_json::{Value, json};

use super::*;
use crate::conformance;
use crate::memory::MemoryStore;

/// Of the names `a`, `b`, ...: a secret box each.
fn config(resources: &[&str], keys: &[&str], plain: bool) -> Config {
    use base64::Engine;
    let secret =
        |name: &&str| base64::engine::general_purpose::STANDARD.encode([name.as_bytes()[0]; 32]);
    let keys: Vec<Value> =
        keys.iter().map(|name| json!({"name": name, "secret": secret(name)})).collect();
    let mut providers = vec![json!({"secretbox": {"keys": keys}})];
    providers.extend(plain.then(|| json!({"identity": {}})));
    let document = json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
        "resources": [{"resources": resources, "providers": providers}]});
    Config::read(&document).unwrap()
}

fn around(inner: &Arc<MemoryStore>, keys: &[&str], plain: bool) -> Encrypted {
    let inner: Arc<dyn Store> = Arc::clone(inner) as Arc<dyn Store>;
    Encrypted::new(inner, config(&["secrets"], keys, plain), |name| {
        vec![format!("/registry/{name}/")]
    })
}

async fn create(store: &dyn Store, key: &str, value: &'static str) {
    let done = store.put(key, Bytes::from_static(value.as_bytes()), Expect::Absent).await.unwrap();
    assert!(matches!(done, Outcome::Done(_)));
}

async fn value(store: &dyn Store, key: &str) -> Bytes {
    store.get(key).await.unwrap().unwrap().value
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let fresh = || {
        async {
            let config = config(&["things"], &["a"], false);
            let inner = Arc::new(MemoryStore::new());
            Arc::new(Encrypted::new(inner, config, |_| vec!["/registry/things/".to_owned()]))
                as Arc<dyn Store>
        }
        .boxed()
    };
    conformance::run(&fresh).await;
}

#[tokio::test]
async fn secrets_are_sealed_below_and_plain_above() {
    let inner = Arc::new(MemoryStore::new());
    let store = around(&inner, &["a"], false);
    let mut watch = store.watch("/registry/", store.revision().await.unwrap()).await.unwrap();
    create(&store, "/registry/secrets/shop/card", "4000 1234").await;
    create(&store, "/registry/pods/shop/till", "no secret").await;
    assert!(
        value(&*inner, "/registry/secrets/shop/card").await.starts_with(b"k8s:enc:secretbox:v1:a:")
    );
    assert_eq!(value(&*inner, "/registry/pods/shop/till").await, "no secret");
    assert_eq!(value(&store, "/registry/secrets/shop/card").await, "4000 1234");
    let page = store.list("/registry/secrets/", "", 0, 0).await.unwrap();
    assert_eq!(page.entries[0].value, "4000 1234");
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let batch = watch.next().await.unwrap().unwrap();
        seen.extend(batch.changes.into_iter().map(|change| match change {
            Change::Put { entry, .. } => entry.value,
            Change::Delete { previous, .. } => previous.value,
        }));
    }
    assert_eq!(seen, ["4000 1234", "no secret"]);
    // Who expected something else is told what is there, in the clear.
    let refused = store
        .put("/registry/secrets/shop/card", Bytes::from_static(b"x"), Expect::Absent)
        .await
        .unwrap();
    let Outcome::Conflict(Some(there)) = refused else { panic!("{refused:?}") };
    assert_eq!(there.value, "4000 1234");
}

#[tokio::test]
async fn keys_change_and_nothing_of_the_old_one_stays() {
    let inner = Arc::new(MemoryStore::new());
    create(&*inner, "/registry/secrets/shop/plain", "in the clear").await;
    create(&around(&inner, &["a"], true), "/registry/secrets/shop/old", "with the old key").await;
    let both = around(&inner, &["b", "a"], true);
    assert_eq!(value(&both, "/registry/secrets/shop/plain").await, "in the clear");
    assert_eq!(value(&both, "/registry/secrets/shop/old").await, "with the old key");
    assert_eq!(both.rewrite().await.unwrap(), Rewritten { written: 2, ..Rewritten::default() });
    assert_eq!(
        both.rewrite().await.unwrap(),
        Rewritten::default(),
        "a second time there is nothing to do"
    );
    let only = around(&inner, &["b"], false);
    assert_eq!(value(&only, "/registry/secrets/shop/plain").await, "in the clear");
    assert_eq!(value(&only, "/registry/secrets/shop/old").await, "with the old key");
}

/// Red when one that cannot be opened breaks a list, or is given as it lies there.
#[tokio::test]
async fn what_cannot_be_opened_harms_nothing_else() {
    let inner = Arc::new(MemoryStore::new());
    create(&around(&inner, &["lost"], false), "/registry/secrets/shop/gone", "nobody has its key")
        .await;
    create(&*inner, "/registry/secrets/shop/smuggled", "in the clear").await;
    let store = around(&inner, &["a"], false);
    create(&store, "/registry/secrets/shop/whole", "readable").await;
    let page = store.list("/registry/secrets/", "", 0, 0).await.unwrap();
    let seen: Vec<&[u8]> = page.entries.iter().map(|entry| &*entry.value).collect();
    assert_eq!(seen, [&b""[..], b"", b"readable"]);
    let done = store.rewrite().await.unwrap();
    assert_eq!((done.written, done.unreadable), (0, 2));
    assert_eq!(done.first.as_deref(), Some("/registry/secrets/shop/gone"));
    let gone = &page.entries[0];
    let deleted = store.delete(&gone.key, gone.mod_revision).await.unwrap();
    assert!(matches!(deleted, Outcome::Done(_)));
}

/// Red when what is named no more, or never was, is given as it lies there: nobody could read it.
#[tokio::test]
async fn what_is_named_no_more_is_opened_and_written_in_the_clear() {
    let inner = Arc::new(MemoryStore::new());
    create(&around(&inner, &["a"], true), "/registry/secrets/shop/card", "sealed").await;
    let below: Arc<dyn Store> = Arc::clone(&inner) as Arc<dyn Store>;
    let other = config(&["configmaps"], &["b", "a"], true);
    let other = Encrypted::new(below, other, |name| vec![format!("/registry/{name}/")]);
    assert_eq!(value(&other, "/registry/secrets/shop/card").await, "sealed");
    assert_eq!(other.rewrite().await.unwrap().written, 1);
    assert_eq!(value(&*inner, "/registry/secrets/shop/card").await, "sealed");
    // Without any key it is nobody's.
    create(&around(&inner, &["a"], true), "/registry/secrets/shop/other", "sealed").await;
    let below: Arc<dyn Store> = Arc::clone(&inner) as Arc<dyn Store>;
    let none = Encrypted::new(below, Config::none(), |_| Vec::new());
    assert_eq!(value(&none, "/registry/secrets/shop/other").await, "");
    assert_eq!(none.rewrite().await.unwrap().unreadable, 1);
}
