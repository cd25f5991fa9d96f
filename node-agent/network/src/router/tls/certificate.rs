//! A certificate with its key, as Routes give them.

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// What is shown to clients.
#[derive(Clone, Debug)]
pub(in crate::router) struct Certificate {
    key: Arc<CertifiedKey>,
    /// When it is over, in seconds since 1970.
    expires: i64,
}

impl PartialEq for Certificate {
    /// A certificate has one key.
    fn eq(&self, other: &Certificate) -> bool {
        self.key.cert == other.key.cert
    }
}

impl Certificate {
    /// Reads a certificate with what stands between it and its authority.
    ///
    /// # Errors
    /// The field that cannot be read, and why.
    pub(super) fn read(
        certificate: &str,
        key: Option<&str>,
        authority: Option<&str>,
    ) -> Result<Certificate, String> {
        let mut chain = all("spec.tls.certificate", certificate)?;
        if let Some(text) = authority {
            chain.extend(all("spec.tls.caCertificate", text)?);
        }
        // A key may stand behind its certificate.
        let key = PrivateKeyDer::from_pem_slice(key.unwrap_or(certificate).as_bytes())
            .map_err(|_| "spec.tls.key: there is no private key in it".to_owned())?;
        let expires = expiry(&chain[0])
            .ok_or_else(|| "spec.tls.certificate: it is no X.509 certificate".to_owned())?;
        let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
            .map_err(|error| format!("spec.tls.key: {}", reason(&error)))?;
        Ok(Certificate { key: Arc::new(key), expires })
    }

    /// Reads a certificate out of a Secret.
    ///
    /// # Errors
    /// What cannot be read, and why.
    pub(in crate::router) fn of_secret(
        certificate: &str,
        key: &str,
    ) -> Result<Certificate, String> {
        Certificate::read(certificate, Some(key), None).map_err(|why| {
            why.replace("spec.tls.certificate", "tls.crt").replace("spec.tls.key", "tls.key")
        })
    }

    /// The certificate with its key.
    pub(in crate::router) fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// Whether it is for a host.
    pub(in crate::router) fn is_for(&self, host: &str) -> bool {
        let Some(leaf) = self.key.cert.first() else { return false };
        let (parsed, name) = (ParsedCertificate::try_from(leaf), ServerName::try_from(host));
        let (Ok(parsed), Ok(name)) = (parsed, name) else { return false };
        rustls::client::verify_server_name(&parsed, &name).is_ok()
    }

    /// What clients will find wrong with it.
    pub(in crate::router) fn doubts(&self, host: &str, now: i64) -> Option<String> {
        if self.expires <= now {
            return Some("spec.tls.certificate has expired".to_owned());
        }
        ServerName::try_from(host).ok()?;
        (!self.is_for(host)).then(|| format!("spec.tls.certificate is not for {host}"))
    }
}

/// All certificates of a text.
pub(super) fn all(field: &str, text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("{field}: there is no certificate in it")),
        Err(error) => Err(format!("{field}: {error}")),
    }
}

fn expiry(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

fn reason(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InconsistentKeys(_) => "it does not belong to the certificate",
        _ => "it cannot be used",
    }
}

/// The verifier of chains that end at one of these authorities.
pub(super) fn verifier(
    field: &str,
    authorities: Vec<CertificateDer<'static>>,
) -> Result<Arc<WebPkiServerVerifier>, String> {
    let mut roots = rustls::RootCertStore::empty();
    for authority in authorities {
        roots.add(authority).map_err(|error| format!("{field}: {error}"))?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| format!("{field}: {error}"))
}
