//! From a kubeconfig to a client.
//!
//! Knows: its current context. Refuses to know: which file is meant, and what to do when it cannot be used.

use std::error::Error as StdError;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use http::Uri;
use kube::Config;
use kube::client::ConfigExt;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;

use crate::client::Client;

/// Why a kubeconfig leads nowhere.
#[derive(Debug)]
pub enum Unusable {
    /// This user may not read it.
    Denied(PathBuf),
    /// It cannot be read, or not understood.
    Unread(PathBuf, Box<dyn StdError + Send + Sync>),
    /// What it says leads nowhere.
    Wrong(PathBuf, Box<dyn StdError + Send + Sync>),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::Denied(path) => write!(f, "{} may not be read", path.display()),
            Unusable::Unread(path, _) => write!(f, "read {}", path.display()),
            Unusable::Wrong(path, _) => write!(f, "use {}", path.display()),
        }
    }
}

impl StdError for Unusable {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Unusable::Denied(_) => None,
            Unusable::Unread(_, error) | Unusable::Wrong(_, error) => Some(&**error),
        }
    }
}

/// A client for who runs in a pod: the server that every pod is told of, and the pod's account, whose token is read anew as it
/// is replaced.
///
/// # Errors
/// It is not a pod's, or its account is not mounted.
pub async fn in_cluster() -> Result<Client, Unusable> {
    let account = Path::new("/var/run/secrets/kubernetes.io/serviceaccount");
    let wrong = |error| Unusable::Wrong(account.to_owned(), error);
    let config = Config::incluster().map_err(|error| wrong(error.into()))?;
    let client = kube::Client::try_from(config).map_err(|error| wrong(error.into()))?;
    Ok(Client::new(client))
}

/// A server and who one is to it, as the current context of a kubeconfig says.
pub struct Context {
    path: PathBuf,
    user: String,
    config: Config,
}

impl Context {
    /// Reads a file.
    pub async fn read(path: &Path) -> Result<Context, Unusable> {
        Context::of(path, file(path)?).await
    }

    /// Another context of a file than its current one, if there is one of that name.
    pub async fn named(path: &Path, name: &str) -> Result<Option<Context>, Unusable> {
        let mut read = file(path)?;
        if !read.contexts.iter().any(|one| one.name == name) {
            return Ok(None);
        }
        read.current_context = Some(name.to_owned());
        Context::of(path, read).await.map(Some)
    }

    async fn of(path: &Path, read: Kubeconfig) -> Result<Context, Unusable> {
        let user = user(&read).unwrap_or_default().to_owned();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(read, &options);
        let wrong = |error: KubeconfigError| Unusable::Wrong(path.to_owned(), error.into());
        Ok(Context { path: path.to_owned(), user, config: config.await.map_err(wrong)? })
    }

    /// What the user is called in the file: by custom the name that the server knows him by.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The authorities that the server's certificate may be of; none where those of the system are meant.
    pub fn authorities(&self) -> Vec<CertificateDer<'static>> {
        let given = self.config.root_cert.iter().flatten();
        given.map(|one| CertificateDer::from(one.clone())).collect()
    }

    /// The namespace that is meant where none is said.
    pub fn namespace(&self) -> &str {
        &self.config.default_namespace
    }

    /// Where the server is.
    pub fn server(&self) -> &Uri {
        &self.config.cluster_url
    }

    /// The authority to trust and the certificate to show.
    pub fn tls(&self) -> Result<ClientConfig, Unusable> {
        self.config.rustls_client_config().map_err(|error| self.wrong(error))
    }

    /// A client who is nobody there yet: it trusts the same authority, and shows nothing.
    pub fn bare(&self) -> Result<Client, Unusable> {
        let mut config = self.config.clone();
        config.auth_info = Default::default();
        let client = kube::Client::try_from(config);
        Ok(Client::new(client.map_err(|error| self.wrong(error))?))
    }

    /// A client.
    pub fn client(self) -> Result<Client, Unusable> {
        let path = self.path;
        let client = kube::Client::try_from(self.config);
        Ok(Client::new(client.map_err(|error| Unusable::Wrong(path, error.into()))?))
    }

    fn wrong(&self, error: kube::Error) -> Unusable {
        Unusable::Wrong(self.path.clone(), error.into())
    }
}

fn file(path: &Path) -> Result<Kubeconfig, Unusable> {
    match Kubeconfig::read_from(path) {
        Err(KubeconfigError::ReadConfig(error, _))
            if error.kind() == ErrorKind::PermissionDenied =>
        {
            Err(Unusable::Denied(path.to_owned()))
        }
        // That one names the path as well.
        Err(KubeconfigError::ReadConfig(error, _)) => {
            Err(Unusable::Unread(path.to_owned(), error.into()))
        }
        read => read.map_err(|error| Unusable::Unread(path.to_owned(), error.into())),
    }
}

/// The user of the current context.
fn user(config: &Kubeconfig) -> Option<&str> {
    let name = config.current_context.as_ref()?;
    let context = config.contexts.iter().find(|one| one.name == *name)?.context.as_ref()?;
    context.user.as_deref()
}
