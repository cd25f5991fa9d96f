//! The cluster's certificates: one authority, and the leaves that server, administrator and nodes present.
//!
//! Knows: where each key lies, what name each leaf carries, when a leaf must be made anew. Refuses to know: TLS
//! connections, and what a name is allowed to do.
//!
//! Layout of the directory (0700): `ca.crt`, `ca.key`, and a pair per leaf (`serving`, `admin`, `kubelet-client`, `node-NAME`,
//! and those of parts that run by themselves). A leaf is good from its first to its last date; one that is not, or will soon not
//! be, is made anew, also while it is presented. Keys are P-256, PKCS#8, 0600. The authority's common name holds its birth time, so
//! that a leaf of an older authority is recognised by its issuer and replaced.

mod authority;
pub(crate) mod files;
mod renewing;
mod requested;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use leme_access::NODE_USER;
use rcgen::ExtendedKeyUsagePurpose;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;
use tokio::sync::watch;

pub use renewing::Renewing;
pub(crate) use requested::Requested;

use authority::{Authority, Wanted};

/// The directory could not be used, or holds what is not ours.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A certificate or key could not be made or understood.
    #[error("{what}: {source}")]
    Certificate {
        /// Which one.
        what: String,
        /// Why.
        source: rcgen::Error,
    },
    /// The authority's certificate is not valid yet.
    #[error("the cluster's certificate authority in {0} cannot be used: {1}")]
    Authority(PathBuf, &'static str),
    /// The authority is lost: its files are no certificate and no key, or do not belong together, or it has expired.
    #[error(
        "the cluster's certificate authority in {0} cannot be used: {1}: put ca.crt and ca.key back from a backup, or remove {0}, and all certificates are made anew (kubeconfigs of before are no longer good then)"
    )]
    Lost(PathBuf, &'static str),
    /// A node name that cannot be part of a file name or a certificate.
    #[error("{0:?} is not a node name")]
    NodeName(String),
}

/// How often it is asked whether a leaf is still good: clocks are set while servers run.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(60);
/// A certificate with its key, both PEM.
#[derive(Clone)]
pub struct Leaf {
    /// Common name of the subject.
    pub name: String,
    /// The certificate, PEM.
    pub certificate: String,
    /// The key, PKCS#8 PEM.
    pub key: String,
}

impl std::fmt::Debug for Leaf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leaf").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Leaf {
    /// Certificate and key as rustls takes them.
    pub fn der(&self) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), PkiError> {
        let wrong = |_| PkiError::Certificate {
            what: self.name.clone(),
            source: rcgen::Error::CouldNotParseCertificate,
        };
        let certificate =
            CertificateDer::from_pem_slice(self.certificate.as_bytes()).map_err(wrong)?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(self.key.as_bytes()).map_err(wrong)?;
        Ok((certificate, key.into()))
    }
}

/// The authority and the leaves of the control plane.
pub struct Pki {
    dir: PathBuf,
    authority: Arc<Authority>,
    /// The server's certificate.
    pub serving: Arc<Renewing>,
    /// `CN=kubernetes-admin, O=system:masters`.
    pub admin: Arc<Renewing>,
    /// What the server presents to nodes: `CN=kube-apiserver-kubelet-client, O=system:masters`.
    pub kubelet_client: Arc<Renewing>,
    /// Those of nodes and of parts, by their files.
    others: Mutex<BTreeMap<String, Arc<Renewing>>>,
    /// How often a leaf was made anew.
    renewals: watch::Sender<u64>,
}

impl Pki {
    /// Opens or creates the directory's certificates; `sans` are the names and addresses that the serving certificate
    /// must hold besides the ones that every cluster has.
    pub fn open(dir: &Path, sans: &[String]) -> Result<Pki, PkiError> {
        files::directory(dir)?;
        let authority = Arc::new(Authority::open(dir, OffsetDateTime::now_utc())?);
        let fixed = [
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "127.0.0.1",
            "::1",
        ];
        let sans = fixed.iter().map(ToString::to_string).chain(sans.iter().cloned()).collect();
        let serving = Wanted {
            file: "serving".to_owned(),
            name: "kube-apiserver".to_owned(),
            organization: None,
            sans,
            usages: &[ExtendedKeyUsagePurpose::ServerAuth],
        };
        let client = |file: &str, name: &str| Wanted {
            organization: Some("system:masters"),
            ..Wanted::client(file, name)
        };
        let leaf = |wanted| Authority::renewing(&authority, dir, wanted);
        Ok(Pki {
            serving: leaf(serving)?,
            admin: leaf(client("admin", "kubernetes-admin"))?,
            kubelet_client: leaf(client("kubelet-client", "kube-apiserver-kubelet-client"))?,
            dir: dir.to_owned(),
            authority,
            others: Mutex::default(),
            renewals: watch::channel(0).0,
        })
    }

    /// Makes every leaf anew that is not good at `now`; tells how many those were. The others are done although one fails.
    pub fn renew(&self, now: OffsetDateTime) -> Result<u64, PkiError> {
        let own = [&self.serving, &self.admin, &self.kubelet_client].map(Arc::clone);
        let others: Vec<_> = {
            let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
            others.values().cloned().collect()
        };
        let (mut renewed, mut failed) = (0, Ok(()));
        for leaf in own.iter().chain(&others) {
            match leaf.renew(now) {
                Ok(new) => renewed += u64::from(new),
                Err(error) => failed = Err(error),
            }
        }
        if renewed > 0 {
            self.renewals.send_modify(|count| *count += renewed);
        }
        failed.map(|()| renewed)
    }

    /// Changes each time a leaf was made anew.
    pub fn renewals(&self) -> watch::Receiver<u64> {
        self.renewals.subscribe()
    }

    /// Keeps every leaf good for as long as it is polled.
    pub async fn keep_good(&self) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.renew(OffsetDateTime::now_utc()) {
                Ok(0) => {}
                Ok(renewed) => tracing::info!(renewed, "certificates were renewed"),
                Err(error) => tracing::warn!(%error, "cannot renew certificates; trying again"),
            }
        }
    }

    /// The authority's certificate, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.authority.pem
    }

    /// The authority's certificate, DER.
    pub fn ca_der(&self) -> &CertificateDer<'static> {
        &self.authority.der
    }

    /// Loads or makes what a node presents, `CN=system:node:NAME, O=system:nodes`: as a client of the server, and as the
    /// server that logs and commands are asked of, which is known by the node's name.
    pub fn node(&self, name: &str) -> Result<Arc<Renewing>, PkiError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        if name.is_empty() || name.len() > 200 || name.starts_with('.') || !name.chars().all(plain)
        {
            return Err(PkiError::NodeName(name.to_owned()));
        }
        self.other(Wanted {
            file: format!("node-{name}"),
            name: format!("{NODE_USER}{name}"),
            organization: Some("system:nodes"),
            sans: BTreeSet::from([name.to_owned()]),
            usages: &[ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth],
        })
    }

    /// Loads or makes what somebody presents as a client who is in no group.
    pub fn client(&self, file: &str, user: &str) -> Result<Arc<Renewing>, PkiError> {
        self.other(Wanted::client(file, user))
    }

    /// Loads or makes what a part presents that serves others, by the names and addresses that it is called by.
    pub fn service(&self, file: &str, names: &[String]) -> Result<Arc<Renewing>, PkiError> {
        self.other(Wanted {
            file: file.to_owned(),
            name: names.first().filter(|name| name.len() <= 64).cloned().unwrap_or_default(),
            organization: None,
            sans: names.iter().cloned().collect(),
            usages: &[ExtendedKeyUsagePurpose::ServerAuth],
        })
    }

    fn other(&self, wanted: Wanted) -> Result<Arc<Renewing>, PkiError> {
        let file = wanted.file.clone();
        let leaf = Authority::renewing(&self.authority, &self.dir, wanted)?;
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.insert(file, Arc::clone(&leaf));
        Ok(leaf)
    }
}

impl Wanted {
    /// Somebody's who is in no group.
    fn client(file: &str, user: &str) -> Wanted {
        Wanted {
            file: file.to_owned(),
            name: user.to_owned(),
            organization: None,
            sans: BTreeSet::new(),
            usages: &[ExtendedKeyUsagePurpose::ClientAuth],
        }
    }
}

/// A kubeconfig of one cluster (`leme`), with a user for each context, of which the first is the current one; everything
/// inline. It holds the users' keys: the caller writes it 0600.
pub fn kubeconfig(pki: &Pki, server_url: &str, contexts: &[(&str, Leaf)]) -> String {
    let base64 = |text: &str| STANDARD.encode(text);
    // JSON strings are YAML strings, whatever the URL or the name holds.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let current = contexts.first().map_or("", |(name, _)| name);
    let mut text = format!(
        "apiVersion: v1\nkind: Config\npreferences: {{}}\ncurrent-context: {current}\n\
         clusters:\n- name: leme\n  cluster:\n    server: {}\n    certificate-authority-data: {}\n",
        quoted(server_url),
        base64(pki.ca_pem()),
    );
    let (mut users, mut named) = ("users:\n".to_owned(), "contexts:\n".to_owned());
    for (context, user) in contexts {
        let name = quoted(&user.name);
        named += &format!(
            "- name: {context}\n  context:\n    cluster: leme\n    user: {name}\n    namespace: default\n"
        );
        users += &format!(
            "- name: {name}\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\n",
            base64(&user.certificate),
            base64(&user.key),
        );
    }
    text += &named;
    text += &users;
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use time::Duration;

    use super::authority::{Known, LEAF_LIFE};
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn second_open_keeps_every_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("pki");
        let first = Pki::open(&dir, &["10.96.0.1".into()]).unwrap();
        let second = Pki::open(&dir, &["10.96.0.1".into()]).unwrap();
        assert_eq!(first.ca_pem(), second.ca_pem());
        assert_eq!(first.serving.leaf().certificate, second.serving.leaf().certificate);
        assert_eq!(first.admin.leaf().certificate, second.admin.leaf().certificate);
        assert_eq!(mode(&dir), 0o700);
        for file in ["ca.key", "serving.key", "admin.key", "kubelet-client.key"] {
            assert_eq!(mode(&dir.join(file)), 0o600, "{file}");
        }
    }

    #[test]
    fn changed_names_renew_only_the_serving_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let first = Pki::open(dir.path(), &[]).unwrap();
        let second = Pki::open(dir.path(), &["192.0.2.7".into(), "api.example".into()]).unwrap();
        assert_ne!(first.serving.leaf().certificate, second.serving.leaf().certificate);
        assert_eq!(first.admin.leaf().certificate, second.admin.leaf().certificate);
        let known = Known::read(&second.serving.leaf().der().unwrap().0).unwrap();
        assert!(known.sans.contains("192.0.2.7") && known.sans.contains("api.example"));
        assert!(known.sans.contains("::1") && known.sans.contains("kubernetes.default.svc"));
    }

    #[test]
    fn a_leaf_whose_key_was_swapped_is_made_anew_and_a_foreign_authority_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let first = Pki::open(dir.path(), &[]).unwrap();
        std::fs::copy(dir.path().join("serving.key"), dir.path().join("admin.key")).unwrap();
        let second = Pki::open(dir.path(), &[]).unwrap();
        assert_ne!(first.admin.leaf().certificate, second.admin.leaf().certificate);
        std::fs::copy(dir.path().join("serving.key"), dir.path().join("ca.key")).unwrap();
        assert!(matches!(Pki::open(dir.path(), &[]), Err(PkiError::Lost(..))));
    }

    #[test]
    fn node_names_stay_inside_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path(), &[]).unwrap();
        for bad in ["", "../x", ".x", "a/b", "A"] {
            assert!(matches!(pki.node(bad), Err(PkiError::NodeName(_))), "{bad}");
        }
        let leaf = pki.node("one").unwrap().leaf();
        assert_eq!(leaf.name, "system:node:one");
        assert_eq!(pki.node("one").unwrap().leaf().key, leaf.key);
        let known = Known::read(&leaf.der().unwrap().0).unwrap();
        assert_eq!(known.sans, BTreeSet::from(["one".to_owned()]), "it stands for nobody else");
        let scheduler = pki.client("scheduler", "system:kube-scheduler").unwrap().leaf();
        assert_eq!(scheduler.name, "system:kube-scheduler");
    }

    /// Red when only the last date is looked at: the leaf of the wrong clock is kept.
    #[test]
    fn a_leaf_is_judged_by_both_dates_and_renewed_while_it_is_presented() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path(), &[]).unwrap();
        let node = pki.node("one").unwrap();
        let now = OffsetDateTime::now_utc();
        assert_eq!(pki.renew(now).unwrap(), 0);
        let mut renewals = pki.renewals();
        let all = [&pki.serving, &pki.admin, &pki.kubelet_client, &node];
        // Years ahead, as by a wrong clock; then back to the right time; then close to the end of that.
        for then in [now + Duration::days(700), now, now + LEAF_LIFE - Duration::days(20)] {
            let before = all.map(|leaf| leaf.leaf().certificate);
            assert_eq!(pki.renew(then).unwrap(), all.len() as u64, "{then}");
            assert!(renewals.has_changed().unwrap());
            renewals.mark_unchanged();
            for (leaf, before) in all.iter().zip(&before) {
                assert_ne!(leaf.leaf().certificate, *before);
                let known = Known::read(&leaf.leaf().der().unwrap().0).unwrap();
                assert!(known.not_before + Duration::hours(23) < then && then < known.not_after);
            }
            assert_eq!(pki.renew(then + Duration::hours(1)).unwrap(), 0);
        }
    }

    #[test]
    fn an_authority_made_by_a_wrong_clock_still_serves() {
        let dir = tempfile::tempdir().unwrap();
        let now = OffsetDateTime::now_utc();
        let ahead = Authority::open(dir.path(), now + Duration::days(1000)).unwrap();
        let right = Authority::open(dir.path(), now).unwrap();
        assert_eq!(ahead.pem, right.pem);
        let known = Known::read(&right.der).unwrap();
        let (early, late) = (known.not_before - Duration::days(1), known.not_after);
        assert!(matches!(Authority::open(dir.path(), early), Err(PkiError::Authority(..))));
        assert!(matches!(Authority::open(dir.path(), late), Err(PkiError::Lost(..))));
    }

    /// Red when only what is wrong is said, or the wrong file is named.
    #[test]
    fn a_lost_authority_is_told_with_the_next_step() {
        for (file, why) in [("ca.crt", "ca.crt is no certificate"), ("ca.key", "ca.key is no key")]
        {
            for content in ["", "-----BEGIN", "x"] {
                let dir = tempfile::tempdir().unwrap();
                Pki::open(dir.path(), &[]).unwrap();
                std::fs::write(dir.path().join(file), content).unwrap();
                let told = Pki::open(dir.path(), &[]).err().unwrap().to_string();
                let step = format!("or remove {}", dir.path().display());
                assert!(told.contains(why) && told.contains(&step), "{told}");
                // And that step leads on.
                std::fs::remove_dir_all(dir.path()).unwrap();
                Pki::open(dir.path(), &[]).unwrap();
            }
        }
    }
}
