//! Whom a client over TLS believes.
//!
//! Knows: authorities in PEM, those of the machine, and a certificate that is its own authority, as `openssl req -x509` makes
//! one: it is believed, as by clients in Go, when it is one of those that were given, names the host and is in its time.
//! Refuses to know: connections.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// A client that believes these authorities (PEM), or those of the machine if none are given.
///
/// # Errors
/// When what is given holds no certificate, or one that is none.
pub fn of(authorities: &str) -> Result<ClientConfig, String> {
    match authorities.trim().is_empty() {
        true => with(machine(), Vec::new()),
        false => {
            let own = certificates(authorities)?;
            with(store(&own)?, own)
        }
    }
}

/// A client that believes those of the machine, and these besides.
///
/// # Errors
/// When one of these is no certificate.
pub fn of_machine_and(authorities: &str) -> Result<ClientConfig, String> {
    if authorities.trim().is_empty() {
        return of("");
    }
    let own = certificates(authorities)?;
    let mut roots = machine();
    roots.extend(store(&own)?.roots);
    with(roots, own)
}

/// A client that believes everybody: for whom it was said that nothing is to be checked.
///
/// # Errors
/// When TLS cannot be set up.
pub fn of_anybody() -> Result<ClientConfig, String> {
    built(Whom::Anybody)
}

/// A client that believes nobody: for whom nothing is to be encrypted.
///
/// # Errors
/// When TLS cannot be set up.
pub fn of_nobody() -> Result<ClientConfig, String> {
    built(Whom::Nobody)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let all = all.map_err(|error| error.to_string())?;
    if all.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(all) }
}

fn store(certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate.clone()).map_err(|error| error.to_string())?;
    }
    Ok(roots)
}

/// Some of a machine's may be of no use; without any, nobody is believed.
fn machine() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn with(roots: RootCertStore, own: Vec<CertificateDer<'static>>) -> Result<ClientConfig, String> {
    if roots.is_empty() {
        return Err(
            "no authority is known on this machine (Debian's are in ca-certificates)".to_owned()
        );
    }
    let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
    let usual = usual.map_err(|error| error.to_string())?;
    built(Whom::Known { usual, own })
}

fn built(whom: Whom) -> Result<ClientConfig, String> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let verifier = Arc::new(Verifier { provider, whom });
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Whom a client believes.
#[derive(Debug)]
enum Whom {
    Anybody,
    Nobody,
    /// As usual, and certificates that are their own authority if they are among those that were given.
    Known {
        usual: Arc<WebPkiServerVerifier>,
        own: Vec<CertificateDer<'static>>,
    },
}

/// Whom a client believes, and that who shows a certificate has its key.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    whom: Whom,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (usual, own) = match &self.whom {
            Whom::Anybody => return Ok(ServerCertVerified::assertion()),
            Whom::Nobody => {
                return Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
            }
            Whom::Known { usual, own } => (usual, own),
        };
        let verified = usual.verify_server_cert(shown, others, name, ocsp, now);
        let is_own = own.iter().any(|own| own == shown);
        match verified {
            Err(error) if is_own && is_of_an_authority(&error) => {
                rustls::client::verify_server_name(&ParsedCertificate::try_from(shown)?, name)?;
                in_its_time(shown, now)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether a certificate is refused because it is an authority's, which nothing but its text tells.
fn is_of_an_authority(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(CertificateError::Other(why)) if format!("{why:?}").contains("CaUsedAsEndEntity"))
}

fn in_its_time(shown: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let bad = |_| Error::InvalidCertificate(CertificateError::BadEncoding);
    let (_, parsed) = x509_parser::parse_x509_certificate(shown).map_err(bad)?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let validity = parsed.validity();
    if now < validity.not_before.timestamp() {
        return Err(Error::InvalidCertificate(CertificateError::NotValidYet));
    }
    if now > validity.not_after.timestamp() {
        return Err(Error::InvalidCertificate(CertificateError::Expired));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;

    /// A certificate for `localhost` that is its own authority, as `openssl req -x509` makes it.
    fn own() -> (CertificateDer<'static>, String) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = time::OffsetDateTime::UNIX_EPOCH + time::Duration::days(10_000);
        params.not_after = time::OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000);
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        (made.der().clone(), made.pem())
    }

    fn believes(given: &str, shown: &CertificateDer<'static>, name: &str, day: u64) -> bool {
        let own = certificates(given).unwrap();
        let roots = Arc::new(store(&own).unwrap());
        let usual = WebPkiServerVerifier::builder_with_provider(roots, provider()).build().unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(day * 24 * 60 * 60));
        let verifier = Verifier { provider: provider(), whom: Whom::Known { usual, own } };
        verifier.verify_server_cert(shown, &[], &name, &[], now).is_ok()
    }

    /// Red when only certificates that an authority has signed are believed.
    #[test]
    fn a_certificate_may_be_its_own_authority_if_it_was_given() {
        let (shown, pem) = own();
        assert!(believes(&pem, &shown, "localhost", 15_000));
        assert!(!believes(&pem, &shown, "other.example.com", 15_000), "it names somebody else");
        assert!(!believes(&pem, &shown, "localhost", 9_999), "its time has not come");
        assert!(!believes(&pem, &shown, "localhost", 20_001), "its time is over");
        let (_, other) = own();
        assert!(!believes(&other, &shown, "localhost", 15_000), "another one was given");
    }

    #[test]
    fn what_holds_no_certificate_is_refused() {
        assert!(of("nothing").is_err());
        assert!(of(&own().1).is_ok());
    }
}
