//! Where the parts of a process find the API, and as whom they ask it.
//!
//! Knows: the identities of the parts, which are the same in one process and in several. Refuses to know: what they ask for.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use leme_access::{Identity, NODE_USER};
use leme_client::Client;
use leme_client::kubeconfig::{Context, Unusable};
use leme_manager::{Accounts, Controllers};
use leme_server::Server;
use rustls::pki_types::CertificateDer;
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{RootCertStore, ServerConfig, SignatureScheme};

/// Users by whose names the parts of the control plane are known everywhere.
pub const CONTROLLERS: &str = "system:kube-controller-manager";
/// The same of the scheduler.
pub const SCHEDULER: &str = "system:kube-scheduler";
/// What serves a node and is not its agent.
pub struct Service {
    /// What it is called in the node's kubeconfig.
    pub name: &'static str,
    /// By which name its rights are known.
    pub user: &'static str,
}

/// The rules of Services.
pub const PROXY: Service = Service { name: "kube-proxy", user: "system:kube-proxy" };
/// The cluster's DNS.
pub const DNS: Service =
    Service { name: "cluster-dns", user: "system:serviceaccount:kube-system:kube-dns" };
/// Who serves Routes.
pub const ROUTER: Service =
    Service { name: "router", user: "system:serviceaccount:openshift-ingress:router" };
/// The registry of images, which is where the server is.
pub const REGISTRY: Service = Service {
    name: "image-registry",
    user: "system:serviceaccount:openshift-image-registry:registry",
};
/// Those that may be elsewhere.
pub const SERVICES: [Service; 3] = [PROXY, DNS, ROUTER];

/// Where the accounts of controllers are.
const ACCOUNTS_IN: &str = "kube-system";

/// What is asked of a certificate: what any client takes.
const SCHEMES: &[SignatureScheme] =
    &[SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256];

/// Where the API is.
pub enum Access {
    /// In this process: no sockets, the same code.
    Within(Box<Server>),
    /// Elsewhere.
    Apart(Box<Remote>),
}

/// A server elsewhere, and who one is there.
pub struct Remote {
    client: Client,
    /// Without a certificate, for accounts that show a token.
    bare: Client,
    /// Those of what serves a node, by name.
    services: BTreeMap<&'static str, Client>,
    user: String,
    shown: String,
    authorities: Vec<CertificateDer<'static>>,
    own: Option<Arc<rustls::sign::CertifiedKey>>,
}

impl Remote {
    /// What a kubeconfig says.
    ///
    /// # Errors
    /// When it cannot be used, with the next step.
    pub async fn read(path: &Path) -> Result<Remote> {
        let context = match Context::read(path).await {
            Err(denied @ Unusable::Denied(_)) => bail!("{denied}: use sudo"),
            read => read?,
        };
        let mut services = BTreeMap::new();
        for Service { name, .. } in SERVICES {
            if let Some(context) = Context::named(path, name).await? {
                services.insert(name, context.client()?);
            }
        }
        Ok(Remote {
            services,
            bare: context.bare()?,
            user: context.user().to_owned(),
            shown: context.server().to_string().trim_end_matches('/').to_owned(),
            authorities: context.authorities(),
            own: context.tls()?.client_auth_cert_resolver.resolve(&[], SCHEMES),
            client: context.client()?,
        })
    }

    /// The node that it is for, if it is for one.
    pub fn node(&self) -> Option<&str> {
        self.user.strip_prefix(NODE_USER)
    }

    /// The server's address.
    pub fn shown(&self) -> &str {
        &self.shown
    }
}

impl Access {
    /// The scheduler's client.
    pub fn scheduler(&self) -> Client {
        self.client_as(SCHEDULER, &[])
    }

    /// The clients of controllers: each has an account, whose token they ask for where they are elsewhere.
    pub fn controllers(&self) -> Controllers {
        let client = self.client_as(CONTROLLERS, &[]);
        let accounts: Accounts = match self {
            Access::Within(server) => {
                let service = server.local_service(Identity::anonymous());
                Arc::new(move |name| {
                    let account = Identity::of_service_account(ACCOUNTS_IN, name, "");
                    Client::over(service.by(account))
                })
            }
            Access::Apart(remote) => {
                let (issuer, bare) = (client.clone(), remote.bare.clone());
                Arc::new(move |name| issuer.as_account(&bare, ACCOUNTS_IN, name))
            }
        };
        Controllers { client, accounts }
    }

    /// A client with the rights of a node.
    pub fn client_of_node(&self, name: &str) -> Client {
        self.client_as(&format!("{NODE_USER}{name}"), &["system:nodes"])
    }

    /// A client with the rights of what serves a node.
    ///
    /// # Errors
    /// When the kubeconfig is not for it.
    pub fn client_of(&self, service: &Service) -> Result<Client> {
        match self {
            Access::Within(_) => Ok(self.client_as(service.user, &[])),
            Access::Apart(remote) => {
                let name = service.name;
                remote.services.get(name).cloned().with_context(|| {
                    format!("the kubeconfig has no context {name:?}: take the one that the server writes now")
                })
            }
        }
    }

    /// Within one says who one is; elsewhere the certificate does.
    pub fn client_as(&self, user: &str, groups: &[&str]) -> Client {
        match self {
            Access::Within(server) => {
                let groups = groups.iter().map(|group| (*group).to_owned());
                Client::over(server.local_service(Identity::of_certificate(user, groups)))
            }
            Access::Apart(remote) => remote.client.clone(),
        }
    }

    /// The authority of the server's certificate, PEM; what every namespace is told.
    pub fn root_ca(&self) -> Option<String> {
        match self {
            Access::Within(server) => Some(server.pki().ca_pem().to_owned()),
            Access::Apart(remote) if remote.authorities.is_empty() => None,
            Access::Apart(remote) => Some(remote.authorities.iter().map(|der| pem(der)).collect()),
        }
    }

    /// What an agent's own HTTPS port presents, and whom it lets in: clients that the cluster's authority has signed.
    ///
    /// # Errors
    /// When there is no certificate to present, or no authority to trust.
    pub fn agent_tls(&self, name: &str) -> Result<Arc<ServerConfig>> {
        let (authorities, own): (_, Arc<dyn ResolvesServerCert>) = match self {
            Access::Within(server) => {
                let pki = server.pki();
                (vec![pki.ca_der().clone()], pki.node(name)?)
            }
            Access::Apart(remote) => {
                let own = remote.own.clone();
                let own =
                    own.context("the kubeconfig has no client certificate: a node needs one")?;
                (remote.authorities.clone(), Arc::new(SingleCertAndKey::from(own)))
            }
        };
        ensure!(!authorities.is_empty(), "the kubeconfig names no authority: a node needs one");
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority).context("trust the cluster's authority")?;
        }
        let clients = WebPkiClientVerifier::builder(Arc::new(roots)).build()?;
        let config =
            ServerConfig::builder().with_client_cert_verifier(clients).with_cert_resolver(own);
        Ok(Arc::new(config))
    }
}

/// A certificate as text.
fn pem(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + "\n");
    let lines: String = lines.collect();
    format!("-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n")
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;

    use super::*;

    #[test]
    fn a_certificate_reads_as_it_was_written() {
        for length in [0, 1, 47, 48, 49, 500] {
            let der: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let text = pem(&der);
            assert!(text.lines().all(|line| line.len() <= 64), "{text}");
            assert_eq!(*CertificateDer::from_pem_slice(text.as_bytes()).unwrap(), der[..]);
        }
    }
}
