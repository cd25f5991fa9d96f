//! The router's own authority, which certifies the hosts of Routes that bring no certificate.
//!
//! Knows: its two files, and how long a certificate lasts. Who trusts `ingress-ca.crt` trusts every host that is routed here,
//! and nothing else of the cluster.

use anyhow::{Context, Result, ensure};
use leme_host::files::replace;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::path::Path;
use std::sync::Arc;
use time::{Duration, OffsetDateTime};

/// How long the authority lasts, and a certificate of it.
const AUTHORITY_LASTS: Duration = Duration::days(3650);
const LASTS: Duration = Duration::days(90);
/// How long before its end a certificate is made anew.
const RENEWED_BEFORE: Duration = Duration::days(30);
/// For clocks that are behind.
const BACKDATED: Duration = Duration::hours(1);

/// The file in which the authority's certificate is.
pub const CERTIFICATE: &str = "ingress-ca.crt";
const KEY: &str = "ingress-ca.key";

/// The authority.
#[derive(Debug)]
pub struct Authority {
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    /// The key of all certificates: making one for each takes longer than signing.
    key: KeyPair,
}

/// A certificate of it.
#[derive(Debug)]
pub(in crate::router) struct Issued {
    pub(in crate::router) key: Arc<CertifiedKey>,
    renewed: OffsetDateTime,
}

impl Issued {
    /// Whether it is to be made anew.
    pub(in crate::router) fn is_due(&self) -> bool {
        OffsetDateTime::now_utc() >= self.renewed
    }
}

impl Authority {
    /// Opens the authority of a directory, or makes it there.
    ///
    /// # Errors
    /// If its files cannot be read or written, or do not belong together.
    pub fn open(directory: &Path) -> Result<Authority> {
        let (certificate, key) = (directory.join(CERTIFICATE), directory.join(KEY));
        let (authority, text) = match (read(&certificate)?, read(&key)?) {
            (Some(authority), Some(key)) => (authority, key),
            (None, None) => make(&certificate, &key)?,
            (Some(_), None) => anyhow::bail!(
                "{} is lost: remove {} as well, and a new authority is made",
                key.display(),
                certificate.display()
            ),
            // The key is written first: of such a start nobody has seen anything.
            (None, Some(_)) => make(&certificate, &key)?,
        };
        let shown = certificate.display();
        let der = CertificateDer::from_pem_slice(authority.as_bytes())
            .with_context(|| format!("read {shown}"))?;
        let key = KeyPair::from_pem(&text).with_context(|| format!("read {}", key.display()))?;
        let belongs = x509_parser::parse_x509_certificate(&der)
            .is_ok_and(|(_, read)| read.public_key().raw == key.subject_public_key_info());
        ensure!(
            belongs,
            "{shown} does not belong to the key beside it: remove both, and a new authority is made"
        );
        let issuer =
            Issuer::from_ca_cert_der(&der, key).with_context(|| format!("read {shown}"))?;
        Ok(Authority { der, issuer, key: KeyPair::generate().context("make a key")? })
    }

    /// A certificate for these names.
    pub(in crate::router) fn issue(&self, names: Vec<String>) -> Result<Issued> {
        let now = OffsetDateTime::now_utc();
        let first = names.first().cloned().unwrap_or_default();
        let mut params = CertificateParams::new(names)?;
        params.not_before = now - BACKDATED;
        params.not_after = now + LASTS;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.distinguished_name = rcgen::DistinguishedName::new();
        // Common names hold no more than 64 characters; clients look at the others.
        if first.len() <= 64 {
            params.distinguished_name.push(DnType::CommonName, first);
        }
        let certificate = params.signed_by(&self.key, &self.issuer)?;
        let chain = vec![certificate.der().clone(), self.der.clone()];
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).map_err(anyhow::Error::msg)?;
        let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?;
        Ok(Issued { key: Arc::new(key), renewed: now + LASTS - RENEWED_BEFORE })
    }
}

fn read(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

fn make(certificate: &Path, key: &Path) -> Result<(String, String)> {
    let now = OffsetDateTime::now_utc();
    let pair = KeyPair::generate().context("make a key")?;
    let mut params = CertificateParams::default();
    params.not_before = now - BACKDATED;
    params.not_after = now + AUTHORITY_LASTS;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params.distinguished_name = rcgen::DistinguishedName::new();
    let name = format!("leme-ingress@{}", now.unix_timestamp());
    params.distinguished_name.push(DnType::CommonName, name);
    let made = params.self_signed(&pair).context("make an authority")?.pem();
    let text = pair.serialize_pem();
    write(key, &text, 0o600)?;
    write(certificate, &made, 0o644)?;
    Ok((made, text))
}

fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    replace(path, text.as_bytes(), mode, true).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_is_kept_and_what_is_lost_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let first = Authority::open(folder.path()).unwrap();
        assert_eq!(Authority::open(folder.path()).unwrap().der, first.der);
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(folder.path().join(KEY)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let issued = first.issue(vec!["x.test".into()]).unwrap();
        assert!(!issued.is_due() && issued.key.cert.len() == 2);

        let other = tempfile::tempdir().unwrap();
        Authority::open(other.path()).unwrap();
        std::fs::copy(other.path().join(KEY), folder.path().join(KEY)).unwrap();
        let error = Authority::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("does not belong to the key"), "{error}");
        std::fs::remove_file(folder.path().join(KEY)).unwrap();
        let error = Authority::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("is lost"), "{error}");
        // A start that was cut short between the two files.
        std::fs::copy(other.path().join(KEY), folder.path().join(KEY)).unwrap();
        std::fs::remove_file(folder.path().join(CERTIFICATE)).unwrap();
        assert_ne!(Authority::open(folder.path()).unwrap().der, first.der);
    }
}
