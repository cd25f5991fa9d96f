//! The cluster's certificates: one authority, and the leaves that server, administrator and nodes present.
//!
//! Knows: where each key lies, what name each leaf carries, when a leaf must be made anew. Refuses to know: TLS
//! connections, and what a name is allowed to do.
//!
//! Layout of the directory (0700): `ca.crt`, `ca.key`, and a pair per leaf (`serving`, `admin`, `kubelet-client`,
//! `node-NAME`, `node-NAME-serving`). Keys are P-256, PKCS#8, 0600. The authority's common name holds its birth time, so
//! that a leaf of an older authority is recognised by its issuer and replaced.

mod files;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};
use x509_parser::extensions::GeneralName;

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
    /// The authority's certificate has expired, or its key does not belong to it.
    #[error("the cluster's certificate authority in {0} cannot be used: {1}")]
    Authority(PathBuf, &'static str),
    /// A node name that cannot be part of a file name or a certificate.
    #[error("{0:?} is not a node name")]
    NodeName(String),
}

const CA_LIFE: Duration = Duration::days(3650);
const LEAF_LIFE: Duration = Duration::days(365);
const RENEW_BEFORE: Duration = Duration::days(30);
/// Clocks of other machines may be a little behind.
const BACKDATE: Duration = Duration::minutes(5);

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

/// What a node presents: as a client of the server, and as the server that log and exec are proxied to.
#[derive(Clone, Debug)]
pub struct NodeLeaves {
    /// `CN=system:node:NAME, O=system:nodes`.
    pub client: Leaf,
    /// For the node's own HTTPS port.
    pub serving: Leaf,
}

/// The authority and the leaves of the control plane.
pub struct Pki {
    dir: PathBuf,
    authority: Authority,
    /// The server's certificate.
    pub serving: Leaf,
    /// `CN=kubernetes-admin, O=system:masters`.
    pub admin: Leaf,
    /// What the server presents to nodes: `CN=kube-apiserver-kubelet-client, O=system:masters`.
    pub kubelet_client: Leaf,
}

struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// What a leaf must say.
struct Wanted<'a> {
    file: &'a str,
    name: &'a str,
    organization: Option<&'a str>,
    sans: BTreeSet<String>,
    usages: &'a [ExtendedKeyUsagePurpose],
}

impl Pki {
    /// Opens or creates the directory's certificates; `sans` are the names and addresses that the serving certificate
    /// must hold besides the ones that every cluster has.
    pub fn open(dir: &Path, sans: &[String]) -> Result<Pki, PkiError> {
        files::directory(dir)?;
        let authority = Authority::open(dir)?;
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
        let serving = authority.leaf(
            dir,
            &Wanted {
                file: "serving",
                name: "kube-apiserver",
                organization: None,
                sans,
                usages: &[ExtendedKeyUsagePurpose::ServerAuth],
            },
        )?;
        let client = |file: &str, name: &str| {
            authority.leaf(
                dir,
                &Wanted {
                    file,
                    name,
                    organization: Some("system:masters"),
                    sans: BTreeSet::new(),
                    usages: &[ExtendedKeyUsagePurpose::ClientAuth],
                },
            )
        };
        let admin = client("admin", "kubernetes-admin")?;
        let kubelet_client = client("kubelet-client", "kube-apiserver-kubelet-client")?;
        Ok(Pki { dir: dir.to_owned(), authority, serving, admin, kubelet_client })
    }

    /// The authority's certificate, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.authority.pem
    }

    /// The authority's certificate, DER.
    pub fn ca_der(&self) -> &CertificateDer<'static> {
        &self.authority.der
    }

    /// Loads or makes the certificates of a node, whose serving one holds the name, `localhost`, the loopback addresses
    /// and `addresses`.
    pub fn node(&self, name: &str, addresses: &[String]) -> Result<NodeLeaves, PkiError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        if name.is_empty() || name.len() > 200 || name.starts_with('.') || !name.chars().all(plain)
        {
            return Err(PkiError::NodeName(name.to_owned()));
        }
        let user = format!("system:node:{name}");
        let client = self.authority.leaf(
            &self.dir,
            &Wanted {
                file: &format!("node-{name}"),
                name: &user,
                organization: Some("system:nodes"),
                sans: BTreeSet::new(),
                usages: &[ExtendedKeyUsagePurpose::ClientAuth],
            },
        )?;
        let sans = [name, "localhost", "127.0.0.1", "::1"];
        let serving = self.authority.leaf(
            &self.dir,
            &Wanted {
                file: &format!("node-{name}-serving"),
                name: &user,
                organization: Some("system:nodes"),
                sans: sans
                    .iter()
                    .map(ToString::to_string)
                    .chain(addresses.iter().cloned())
                    .collect(),
                usages: &[ExtendedKeyUsagePurpose::ServerAuth],
            },
        )?;
        Ok(NodeLeaves { client, serving })
    }
}

impl Authority {
    fn open(dir: &Path) -> Result<Authority, PkiError> {
        let certificate_path = dir.join("ca.crt");
        let pair = match (files::read(&certificate_path)?, files::read(&dir.join("ca.key"))?) {
            (Some(certificate), Some(key)) => (certificate, key),
            // The certificate is written last: without it no leaf was ever signed.
            (None, _) => Authority::create(dir)?,
            (Some(_), None) => {
                return Err(PkiError::Authority(dir.to_owned(), "ca.key is missing"));
            }
        };
        let wrong =
            |source| PkiError::Certificate { what: certificate_path.display().to_string(), source };
        let key = KeyPair::from_pem(&pair.1).map_err(wrong)?;
        let der = CertificateDer::from_pem_slice(pair.0.as_bytes())
            .map_err(|_| wrong(rcgen::Error::CouldNotParseCertificate))?;
        match Known::read(&der) {
            None => return Err(wrong(rcgen::Error::CouldNotParseCertificate)),
            Some(known) if known.public_key != key.subject_public_key_info() => {
                return Err(PkiError::Authority(
                    dir.to_owned(),
                    "ca.key does not belong to ca.crt",
                ));
            }
            Some(known) if known.not_after <= OffsetDateTime::now_utc() => {
                return Err(PkiError::Authority(dir.to_owned(), "ca.crt has expired"));
            }
            Some(_) => {}
        }
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(wrong)?;
        Ok(Authority { pem: pair.0, der, issuer })
    }

    fn create(dir: &Path) -> Result<(String, String), PkiError> {
        let wrong = |source| PkiError::Certificate { what: "ca.crt".into(), source };
        let now = OffsetDateTime::now_utc();
        let key = KeyPair::generate().map_err(wrong)?;
        let mut params = CertificateParams::default();
        params.not_before = now - BACKDATE;
        params.not_after = now + CA_LIFE;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        params.distinguished_name = rcgen::DistinguishedName::new();
        let name = format!("leme-ca@{}", now.unix_timestamp_nanos());
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).map_err(wrong)?.pem();
        let key = key.serialize_pem();
        files::write(&dir.join("ca.key"), &key, 0o600)?;
        files::write(&dir.join("ca.crt"), &certificate, 0o644)?;
        Ok((certificate, key))
    }

    /// The leaf in the directory if it says what is wanted and lasts, else a new one.
    fn leaf(&self, dir: &Path, wanted: &Wanted<'_>) -> Result<Leaf, PkiError> {
        let certificate_path = dir.join(format!("{}.crt", wanted.file));
        let key_path = dir.join(format!("{}.key", wanted.file));
        if let (Some(certificate), Some(key)) =
            (files::read(&certificate_path)?, files::read(&key_path)?)
            && self.still_good(&certificate, &key, wanted)
        {
            return Ok(Leaf { name: wanted.name.to_owned(), certificate, key });
        }
        let leaf = self.sign(wanted).map_err(|source| PkiError::Certificate {
            what: certificate_path.display().to_string(),
            source,
        })?;
        files::write(&key_path, &leaf.key, 0o600)?;
        files::write(&certificate_path, &leaf.certificate, 0o644)?;
        Ok(leaf)
    }

    fn still_good(&self, certificate: &str, key: &str, wanted: &Wanted<'_>) -> bool {
        let (Ok(der), Ok(key)) =
            (CertificateDer::from_pem_slice(certificate.as_bytes()), KeyPair::from_pem(key))
        else {
            return false;
        };
        let (Some(known), Some(authority)) = (Known::read(&der), Known::read(&self.der)) else {
            return false;
        };
        known.issuer == authority.subject
            && known.common_name == wanted.name
            && known.sans == wanted.sans
            && known.public_key == key.subject_public_key_info()
            && known.not_after - RENEW_BEFORE > OffsetDateTime::now_utc()
    }

    fn sign(&self, wanted: &Wanted<'_>) -> Result<Leaf, rcgen::Error> {
        let now = OffsetDateTime::now_utc();
        let key = KeyPair::generate()?;
        let sans: Vec<String> = wanted.sans.iter().cloned().collect();
        let mut params = CertificateParams::new(sans)?;
        params.not_before = now - BACKDATE;
        params.not_after = now + LEAF_LIFE;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = wanted.usages.to_vec();
        params.use_authority_key_identifier_extension = true;
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(organization) = wanted.organization {
            params.distinguished_name.push(DnType::OrganizationName, organization);
        }
        params.distinguished_name.push(DnType::CommonName, wanted.name);
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Leaf {
            name: wanted.name.to_owned(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// What a certificate says, as far as renewal asks.
struct Known {
    issuer: Vec<u8>,
    subject: Vec<u8>,
    common_name: String,
    sans: BTreeSet<String>,
    public_key: Vec<u8>,
    not_after: OffsetDateTime,
}

impl Known {
    fn read(der: &CertificateDer<'_>) -> Option<Known> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        let mut sans = BTreeSet::new();
        if let Some(extension) = certificate.subject_alternative_name().ok()? {
            for name in &extension.value.general_names {
                sans.insert(match name {
                    GeneralName::DNSName(name) => (*name).to_owned(),
                    GeneralName::IPAddress(octets) => address(octets)?.to_string(),
                    _ => return None,
                });
            }
        }
        let common_name =
            certificate.subject().iter_common_name().next()?.as_str().ok()?.to_owned();
        Some(Known {
            issuer: certificate.issuer().as_raw().to_vec(),
            subject: certificate.subject().as_raw().to_vec(),
            common_name,
            sans,
            public_key: certificate.public_key().raw.to_vec(),
            not_after: certificate.validity().not_after.to_datetime(),
        })
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(octets).ok().map(IpAddr::from),
        _ => None,
    }
}

/// A kubeconfig of one cluster (`leme`), one user and one context, everything inline. It holds the user's key: the
/// caller writes it 0600.
pub fn kubeconfig(pki: &Pki, server_url: &str, user: &Leaf) -> String {
    let base64 = |text: &str| STANDARD.encode(text);
    // JSON strings are YAML strings, whatever the URL or the name holds.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let (server, name) = (quoted(server_url), quoted(&user.name));
    format!(
        "apiVersion: v1\nkind: Config\npreferences: {{}}\ncurrent-context: leme\n\
         clusters:\n- name: leme\n  cluster:\n    server: {server}\n    certificate-authority-data: {}\n\
         contexts:\n- name: leme\n  context:\n    cluster: leme\n    user: {name}\n    namespace: default\n\
         users:\n- name: {name}\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\n",
        base64(pki.ca_pem()),
        base64(&user.certificate),
        base64(&user.key),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

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
        assert_eq!(first.serving.certificate, second.serving.certificate);
        assert_eq!(first.admin.certificate, second.admin.certificate);
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
        assert_ne!(first.serving.certificate, second.serving.certificate);
        assert_eq!(first.admin.certificate, second.admin.certificate);
        let known = Known::read(&second.serving.der().unwrap().0).unwrap();
        assert!(known.sans.contains("192.0.2.7") && known.sans.contains("api.example"));
        assert!(known.sans.contains("::1") && known.sans.contains("kubernetes.default.svc"));
    }

    #[test]
    fn a_leaf_whose_key_was_swapped_is_made_anew_and_a_foreign_authority_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let first = Pki::open(dir.path(), &[]).unwrap();
        std::fs::copy(dir.path().join("serving.key"), dir.path().join("admin.key")).unwrap();
        let second = Pki::open(dir.path(), &[]).unwrap();
        assert_ne!(first.admin.certificate, second.admin.certificate);
        std::fs::copy(dir.path().join("serving.key"), dir.path().join("ca.key")).unwrap();
        assert!(matches!(Pki::open(dir.path(), &[]), Err(PkiError::Authority(..))));
    }

    #[test]
    fn node_names_stay_inside_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path(), &[]).unwrap();
        for bad in ["", "../x", ".x", "a/b", "A"] {
            assert!(matches!(pki.node(bad, &[]), Err(PkiError::NodeName(_))), "{bad}");
        }
        let leaves = pki.node("one", &["10.0.0.1".into()]).unwrap();
        assert_eq!(leaves.client.name, "system:node:one");
        assert_eq!(pki.node("one", &["10.0.0.1".into()]).unwrap().serving.key, leaves.serving.key);
    }
}
