//! Who a connection belongs to: common name and organisations of its certificate, or nobody.
//!
//! Knows: the subject of a certificate that TLS has verified. Refuses to know: what that user may do.

use leme_access::Identity;
use rustls_pki_types::CertificateDer;

/// The identity of a peer that TLS has let through: it showed a certificate of the cluster's authority, or none.
pub(crate) fn of_peer(certificates: Option<&[CertificateDer<'_>]>) -> Identity {
    certificates
        .and_then(|chain| chain.first())
        .and_then(of_certificate)
        .unwrap_or_else(Identity::anonymous)
}

/// The user is the common name, the groups are the organisations. A certificate without a name is nobody's.
fn of_certificate(certificate: &CertificateDer<'_>) -> Option<Identity> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?;
    if name.is_empty() {
        return None;
    }
    let organisations: Result<Vec<String>, _> =
        subject.iter_organization().map(|part| part.as_str().map(str::to_owned)).collect();
    Some(Identity::of_certificate(name, organisations.ok()?))
}
