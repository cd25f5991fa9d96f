//! Applications that are spoken to in TLS of their own: whom they have to be certified by.
//!
//! Knows: chains. A name is not asked for: OpenShift's router verifies none where a Route says whom to trust.

use super::certificate::{all, verifier};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use std::sync::Arc;

/// Who certifies an application.
#[derive(Clone)]
pub(in crate::router) struct Trust {
    authorities: Vec<CertificateDer<'static>>,
    /// The name that it has to be certified for, if that is asked.
    name: Option<String>,
    config: Arc<ClientConfig>,
}

impl PartialEq for Trust {
    fn eq(&self, other: &Trust) -> bool {
        self.authorities == other.authorities && self.name == other.name
    }
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust").field("authorities", &self.authorities.len()).finish()
    }
}

impl Trust {
    /// Reads the authorities of a text.
    ///
    /// # Errors
    /// What cannot be read of it.
    pub(super) fn read(text: &str) -> Result<Trust, String> {
        const FIELD: &str = "spec.tls.destinationCACertificate";
        let authorities = all(FIELD, text)?;
        let chain = Chain(verifier(FIELD, authorities.clone())?, authorities.clone());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("{FIELD}: {error}"))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(chain))
            .with_no_client_auth();
        Ok(Trust { authorities, name: None, config: Arc::new(config) })
    }

    /// Reads the authorities of Services.
    ///
    /// # Errors
    /// What cannot be read of them.
    pub(in crate::router) fn of_services(text: &str) -> Result<Trust, String> {
        const WHAT: &str = "the service authority";
        let authorities = all(WHAT, text)?;
        let verifier = verifier(WHAT, authorities.clone())?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("{WHAT}: {error}"))?
            .with_webpki_verifier(verifier)
            .with_no_client_auth();
        Ok(Trust { authorities, name: None, config: Arc::new(config) })
    }

    /// The same for one name.
    pub(in crate::router) fn of_name(&self, name: String) -> Trust {
        Trust { name: Some(name), ..self.clone() }
    }

    /// The name that is asked for; one that nobody verifies, where none is.
    pub(in crate::router) fn name(&self) -> ServerName<'static> {
        let name = self.name.as_deref().unwrap_or("application.svc");
        ServerName::try_from(name.to_owned())
            .unwrap_or_else(|_| std::net::Ipv4Addr::LOCALHOST.into())
    }

    /// Whoever they are, as ingress-nginx does where applications speak TLS: what they say is hidden from who listens, and not
    /// from who stands between.
    pub(in crate::router) fn in_anybody() -> Result<Trust, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let anybody = Anybody(provider.signature_verification_algorithms);
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(anybody))
            .with_no_client_auth();
        Ok(Trust { authorities: Vec::new(), name: None, config: Arc::new(config) })
    }

    /// How applications are spoken to.
    pub(in crate::router) fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// What two that trust the same have in common.
    pub(in crate::router) fn id(&self) -> Vec<u8> {
        let name = self.name.iter().flat_map(|name| name.bytes());
        self.authorities.iter().flat_map(|one| one.as_ref()).copied().chain(name).collect()
    }
}

/// Whether a certificate is valid at a time.
fn is_in_time(certificate: &CertificateDer<'_>, now: UnixTime) -> bool {
    let Ok((_, read)) = x509_parser::parse_x509_certificate(certificate) else { return false };
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let validity = read.validity();
    (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now)
}

/// Verifies the chain of a certificate, and that its key signed; not its names.
#[derive(Debug)]
struct Chain(Arc<WebPkiServerVerifier>, Vec<CertificateDer<'static>>);

impl ServerCertVerifier for Chain {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // Who is trusted by its own certificate needs no authority beside it.
        let is_pinned = self.1.iter().any(|one| one == end_entity);
        if is_pinned && is_in_time(end_entity, now) {
            return Ok(ServerCertVerified::assertion());
        }
        let verified =
            self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // Names come last: the chain has been verified by then.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Believes every certificate, if only its key signed.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
