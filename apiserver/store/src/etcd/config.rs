//! Where etcd is and how to be let in.
//!
//! Knows: endpoints, certificates, passwords, versions. Refuses to know: keys and values.

use std::path::{Path, PathBuf};
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};

use super::{ServerIdentity, TIMEOUT};
use crate::StoreError;

const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Where etcd is and how to be let in.
#[derive(Clone)]
pub struct EtcdConfig {
    /// URLs of the members, such as `https://10.0.0.1:2379`.
    pub endpoints: Vec<String>,
    /// File with the certificates that etcd's own is checked against; needed for `https`.
    pub ca: Option<PathBuf>,
    /// File with the client certificate.
    pub cert: Option<PathBuf>,
    /// File with the key of the client certificate.
    pub key: Option<PathBuf>,
    /// User, if etcd asks for one.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<String>,
    /// What every key starts with, before `/registry/`; usually nothing.
    pub prefix: String,
    /// How much history is kept.
    pub history: Duration,
    /// Who uses etcd, to keep every other server out; nobody in particular where several may.
    pub server: Option<ServerIdentity>,
}

impl Default for EtcdConfig {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            ca: None,
            cert: None,
            key: None,
            username: None,
            password: None,
            prefix: String::new(),
            history: Duration::from_secs(300),
            server: None,
        }
    }
}

impl std::fmt::Debug for EtcdConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdConfig")
            .field("endpoints", &self.endpoints)
            .field("ca", &self.ca)
            .field("cert", &self.cert)
            .field("username", &self.username)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl EtcdConfig {
    pub(super) async fn client(&self) -> Result<Client, StoreError> {
        let endpoints = self.endpoints.join(", ");
        let failed = |why: &str| {
            StoreError::Unavailable(format!("cannot connect to etcd at {endpoints}: {why}"))
        };
        let connecting = Client::connect(&self.endpoints, Some(self.options()?));
        match tokio::time::timeout(TIMEOUT, connecting).await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(e)) => Err(failed(&e.to_string())),
            Err(_) => Err(failed("no answer")),
        }
    }

    fn options(&self) -> Result<ConnectOptions, StoreError> {
        let mut options = ConnectOptions::new()
            .with_connect_timeout(TIMEOUT)
            .with_keep_alive(KEEP_ALIVE_EVERY, KEEP_ALIVE_TIMEOUT)
            .with_keep_alive_while_idle(true)
            .with_require_leader(true);
        if let Some(tls) = self.tls()? {
            options = options.with_tls(tls);
        }
        match (&self.username, &self.password) {
            (Some(name), Some(password)) => {
                // Only requests that etcd refused for an old token are sent again, so none happens twice.
                options = options.with_user(name, password).with_auto_token_refresh(true);
            }
            (None, None) => {}
            _ => return Err(wrong("etcd needs both a user and a password, or neither")),
        }
        Ok(options)
    }

    fn tls(&self) -> Result<Option<TlsOptions>, StoreError> {
        let secure = self.endpoints.iter().any(|e| e.starts_with("https://"));
        let Some(ca) = &self.ca else {
            return match secure || self.cert.is_some() {
                true => Err(wrong("etcd over https needs the file of its certificate authority")),
                false => Ok(None),
            };
        };
        if !secure {
            return Err(wrong("certificates for etcd are of use only with https:// endpoints"));
        }
        let mut tls = TlsOptions::new().ca_certificate(Certificate::from_pem(read(ca)?));
        match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?));
            }
            (None, None) => {}
            _ => return Err(wrong("etcd needs both a client certificate and its key, or neither")),
        }
        Ok(Some(tls))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    std::fs::read(path).map_err(|e| wrong(&format!("cannot read {}: {e}", path.display())))
}

fn wrong(why: &str) -> StoreError {
    StoreError::Unavailable(why.to_owned())
}

/// A version such as `3.4.23`; parts that are missing or odd count as 0.
pub(super) fn parse_version(text: &str) -> (u32, u32, u32) {
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let mut parts = core.split('.').map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}

/// Whether an answer to a request for progress can be believed.
pub(super) fn tells_honest_progress(version: (u32, u32, u32)) -> bool {
    match version {
        (3, 4, patch) => patch >= 31,
        (3, 5, patch) => patch >= 13,
        later => later >= (3, 6, 0),
    }
}
