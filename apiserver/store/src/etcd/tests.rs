//! The etcd engine against a real etcd, started for the test.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use futures::{FutureExt, StreamExt};

use super::*;
use crate::cache::{Cache, Resource, SubEvent};
use crate::conformance;

/// An etcd in a directory of its own, gone with this value.
struct Etcd {
    child: Child,
    url: String,
    args: Vec<String>,
    dir: tempfile::TempDir,
}

impl Etcd {
    fn start() -> Self {
        Self::start_with("http", &[])
    }

    /// Starts one that answers. Another test may have taken the port meanwhile, so it is tried a few times.
    fn start_with(scheme: &str, args: &[String]) -> Self {
        for _ in 0..5 {
            let mut etcd = Self::spawn(scheme, args);
            let address = etcd.url.split_once("//").unwrap().1.to_owned();
            for _ in 0..200 {
                if etcd.child.try_wait().unwrap().is_some() {
                    break;
                }
                if TcpStream::connect(&address).is_ok() {
                    return etcd;
                }
                std::thread::sleep(Duration::from_millis(25));
            }
        }
        panic!("etcd does not start")
    }

    fn spawn(scheme: &str, args: &[String]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        let url = |scheme: &str, l: TcpListener| format!("{scheme}://{}", l.local_addr().unwrap());
        let (client, peer) = (free(), free());
        let (client, peer) = (url(scheme, client), url("http", peer));
        let data = dir.path().join("data").display().to_string();
        let own = [
            ["--data-dir", &data],
            ["--listen-client-urls", &client],
            ["--advertise-client-urls", &client],
            ["--listen-peer-urls", &peer],
            ["--initial-advertise-peer-urls", &peer],
            ["--initial-cluster", &format!("default={peer}")],
        ];
        let args: Vec<String> =
            own.concat().into_iter().map(str::to_owned).chain(args.iter().cloned()).collect();
        Self { child: Self::run(&args), url: client, args, dir }
    }

    fn run(args: &[String]) -> Child {
        let child = Command::new("/usr/bin/etcd")
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        child.unwrap_or_else(|e| {
            panic!(
                "cannot start /usr/bin/etcd ({e}); it is installed by: apt-get install etcd-server"
            )
        })
    }

    fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Puts an empty one in its place.
    fn replace(&mut self) {
        self.stop();
        std::fs::remove_dir_all(self.dir.path().join("data")).unwrap();
        self.child = Self::run(&self.args);
    }

    fn config(&self, prefix: &str) -> EtcdConfig {
        EtcdConfig {
            endpoints: vec![self.url.clone()],
            prefix: prefix.into(),
            ..EtcdConfig::default()
        }
    }

    async fn connect(&self, prefix: &str) -> EtcdStore {
        for _ in 0..100 {
            match EtcdStore::connect(self.config(prefix)).await {
                Ok(store) => return store,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        panic!("etcd does not answer")
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let etcd = Etcd::start();
    etcd.connect("").await;
    let number = AtomicU32::new(0);
    let fresh = || {
        let config = etcd.config(&format!("/test{}", number.fetch_add(1, Ordering::Relaxed)));
        async move { Arc::new(EtcdStore::connect(config).await.unwrap()) as Arc<dyn Store> }.boxed()
    };
    conformance::run(&fresh).await;
}

#[tokio::test]
async fn the_cache_keeps_up_with_what_others_write() {
    let etcd = Etcd::start();
    let store = Arc::new(etcd.connect("").await);
    let things = Resource { prefix: "/registry/things/".into(), reader: Arc::new(()) };
    let cache = Cache::start(store.clone(), vec![things]).await.unwrap();
    // A change elsewhere moves the revision, and no event tells of it.
    let elsewhere = etcd.connect("/other").await;
    elsewhere.put("/registry/things/x", "{}".into(), Expect::Absent).await.unwrap();
    let revision = store.revision().await.unwrap();
    assert!(cache.fresh().await.unwrap() >= revision);
    let mut watch = cache.watch("/registry/things/", cache.revision()).unwrap();
    let value = r#"{"metadata":{"name":"a"}}"#;
    store.put("/registry/things/a", value.into(), Expect::Absent).await.unwrap();
    assert!(matches!(watch.next().await, Some(SubEvent::Event(_))));
    assert_eq!(cache.differences().await.unwrap(), Vec::<String>::new());
    assert!(store.list("/registry/", "", 0, 0).await.unwrap().entries.len() == 1);
}

#[tokio::test]
async fn only_one_compacts_and_only_what_is_old() {
    let etcd = Etcd::start();
    etcd.connect("").await;
    let history = Duration::from_millis(300);
    let config = || EtcdConfig { history, ..etcd.config("") };
    let store = EtcdStore::connect(config()).await.unwrap();
    let _other = EtcdStore::connect(config()).await.unwrap();
    let Outcome::Done(first) = store.put("/registry/a", "1".into(), Expect::Absent).await.unwrap()
    else {
        panic!()
    };
    store.put("/registry/a", "2".into(), Expect::Revision(first)).await.unwrap();
    for _ in 0..100 {
        match store.list("/registry/", "", 0, first).await {
            Err(StoreError::Compacted { .. }) => return,
            _ => tokio::time::sleep(history / 3).await,
        }
    }
    panic!("history is never forgotten")
}

#[tokio::test]
async fn a_lost_etcd_is_said_to_be_lost() {
    let mut etcd = Etcd::start();
    let store = etcd.connect("").await;
    let mut watch = store.watch("/registry/", 1).await.unwrap();
    etcd.stop();
    assert!(matches!(watch.next().await, Some(Err(StoreError::Unavailable(_)))));
    assert!(watch.next().await.is_none());
    // As soon as a connection is refused it is certain that nothing happens.
    let mut last = String::new();
    for _ in 0..20 {
        match store.put("/registry/a", "1".into(), Expect::Absent).await {
            Err(StoreError::Unavailable(why)) => last = why,
            Err(StoreError::Unreachable(why)) => {
                assert!(why.contains("cannot write etcd"), "{why}");
                let connected = EtcdStore::connect(etcd.config("")).await;
                let Err(StoreError::Unavailable(why) | StoreError::Unreachable(why)) = connected
                else {
                    panic!()
                };
                assert!(why.contains(&etcd.url), "{why}");
                return;
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("a refused connection counts as a write that may have happened: {last}");
}

/// Red when etcd's words for it are not known: then it would be out of space, or perhaps written.
#[tokio::test]
async fn what_is_too_large_is_said_to_be_too_large() {
    let etcd = Etcd::start();
    let store = etcd.connect("").await;
    for megabytes in [2, 20] {
        let value = vec![b'x'; megabytes << 20];
        let put = store.put("/registry/a", value.into(), Expect::Absent).await;
        assert!(matches!(put, Err(StoreError::TooLarge(_))), "{put:?}");
    }
    assert!(store.get("/registry/a").await.unwrap().is_none());
}

/// Red when revisions that go back are taken for news.
#[tokio::test]
async fn an_etcd_that_was_replaced_by_an_empty_one_is_refused() {
    for server in [None, Some(identity("a"))] {
        let mut etcd = Etcd::start();
        etcd.connect("").await;
        let config = EtcdConfig { server, ..etcd.config("") };
        let store = EtcdStore::connect(config.clone()).await.unwrap();
        for name in ["a", "b", "c"] {
            store.put(&format!("/registry/{name}"), "1".into(), Expect::Absent).await.unwrap();
        }
        etcd.replace();
        let mut why = String::new();
        for _ in 0..400 {
            match store.revision().await {
                Err(StoreError::Unreachable(told)) if told.contains("not what this server") => {
                    why = told;
                    break;
                }
                Ok(revision) => panic!("revision {revision}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(25)).await,
            }
        }
        assert!(why.contains(&etcd.url), "{why}");
        let put = store.put("/registry/d", "1".into(), Expect::Absent).await;
        assert!(matches!(put, Err(StoreError::Unreachable(_))), "{put:?}");
        drop(store);
        let again = EtcdStore::connect(config).await.unwrap();
        assert!(again.list("/registry/", "", 0, 0).await.unwrap().entries.is_empty());
    }
}

fn identity(id: &str) -> ServerIdentity {
    ServerIdentity { id: id.to_owned(), shown: format!("the one named {id}") }
}

/// Red when nothing in etcd tells that somebody uses it, or writes do not compare it.
#[tokio::test]
async fn one_server_at_a_time_uses_an_etcd() {
    let etcd = Etcd::start();
    etcd.connect("").await;
    let connect =
        |id: &str| EtcdStore::connect(EtcdConfig { server: Some(identity(id)), ..etcd.config("") });
    let first = connect("a").await.unwrap();
    let Err(StoreError::InUse(why)) = connect("b").await else { panic!() };
    assert!(why.contains("the one named a") && why.contains(&etcd.url), "{why}");
    let Outcome::Done(revision) =
        first.put("/registry/x", "1".into(), Expect::Absent).await.unwrap()
    else {
        panic!()
    };
    let conflict = first.put("/registry/x", "2".into(), Expect::Absent).await.unwrap();
    assert!(matches!(conflict, Outcome::Conflict(Some(_))));

    // The same server, started again after it was killed, goes on at once; what is left of the first can do nothing.
    let again = connect("a").await.unwrap();
    let stale = first.put("/registry/x", "3".into(), Expect::Revision(revision)).await;
    assert!(matches!(stale, Err(StoreError::Unreachable(_))), "{stale:?}");
    let stale = first.delete("/registry/x", revision).await;
    assert!(matches!(stale, Err(StoreError::Unreachable(_))), "{stale:?}");
    let done = again.put("/registry/x", "4".into(), Expect::Revision(revision)).await.unwrap();
    assert!(matches!(done, Outcome::Done(_)));

    // Longer than a lease lives without being renewed.
    tokio::time::sleep(Duration::from_secs(13)).await;
    assert!(matches!(connect("b").await, Err(StoreError::InUse(_))));
    again.close().await.unwrap();
    let other = connect("b").await.unwrap();
    assert!(other.get("/registry/x").await.unwrap().is_some());
    assert!(other.list("/registry/", "", 0, 0).await.unwrap().entries.len() == 1);
}

/// Writes a certificate authority and a certificate of it; gives the files (ca, cert, key).
fn certificates(dir: &Path) -> (PathBuf, PathBuf, PathBuf) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_cert = ca.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let cert = cert.signed_by(&key, &issuer).unwrap();
    let write = |name: &str, text: String| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    (write("ca", ca_cert.pem()), write("cert", cert.pem()), write("key", key.serialize_pem()))
}

#[tokio::test]
async fn certificates_and_passwords_let_in() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, cert, key) = certificates(dir.path());
    let flag = |name: &str, path: &Path| format!("--{name}={}", path.display());
    let args = [
        flag("trusted-ca-file", &ca),
        flag("cert-file", &cert),
        flag("key-file", &key),
        "--client-cert-auth".to_owned(),
    ];
    let etcd = Etcd::start_with("https", &args);
    let mut config =
        EtcdConfig { ca: Some(ca), cert: Some(cert), key: Some(key), ..etcd.config("") };
    let store = EtcdStore::connect(config.clone()).await.unwrap();
    let put = store.put("/registry/a", "1".into(), Expect::Absent).await;
    assert!(matches!(put, Ok(Outcome::Done(_))), "{put:?}");

    let mut admin = config.client().await.unwrap();
    admin.user_add("root", "secret", None).await.unwrap();
    admin.user_grant_role("root", "root").await.unwrap();
    admin.auth_enable().await.unwrap();
    let refused = store.get("/registry/a").await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    (config.username, config.password) = (Some("root".into()), Some("secret".into()));
    let store = EtcdStore::connect(config.clone()).await.unwrap();
    assert!(store.get("/registry/a").await.unwrap().is_some());
    assert!(!format!("{config:?}").contains("secret"));
    config.password = Some("wrong".into());
    assert!(EtcdStore::connect(config.clone()).await.is_err());
    let stranger = EtcdConfig { cert: None, key: None, ..config };
    assert!(EtcdStore::connect(stranger).await.is_err());
}

#[test]
fn versions_are_told_apart() {
    assert_eq!(config::parse_version("3.4.23"), (3, 4, 23));
    assert_eq!(config::parse_version("3.6.0-rc.1"), (3, 6, 0));
    assert_eq!(config::parse_version("nonsense"), (0, 0, 0));
    let honest = ["3.4.31", "3.5.13", "3.6.0", "4.0.0"];
    let not = ["3.4.30", "3.5.12", "3.3.99"];
    assert!(honest.iter().all(|v| config::tells_honest_progress(config::parse_version(v))));
    assert!(!not.iter().any(|v| config::tells_honest_progress(config::parse_version(v))));
}
