//! The service authority: who certifies Services.
//!
//! Knows: its files, its age, and what stands in a certificate. Refuses to know: who asks for one.
//!
//! An authority of which less than half is left is followed by a new one at the next start; the bundle holds both, so that
//! what the old one certified is trusted until it is made anew.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use leme_manager::{Authority, Made, Signer};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::{Duration, OffsetDateTime};

/// How long the authority lasts, and how much of that is left when another one follows: as with OpenShift.
const LASTS: Duration = Duration::days(790);
const FOLLOWED_AT: Duration = Duration::days(395);
/// How long a certificate lasts.
const CERTIFICATE_LASTS: Duration = Duration::days(730);
/// For clocks that are behind.
const BACKDATED: Duration = Duration::hours(1);
/// Where OpenShift puts a Service's uid.
const UID: &[u64] = &[1, 3, 6, 1, 4, 1, 2312, 17, 100, 2, 1];

const BUNDLE: &str = "service-ca.crt";
const KEY: &str = "service-ca.key";

/// The authority, which signs.
#[derive(Debug)]
pub struct ServiceAuthority {
    known: Authority,
    issuer: Issuer<'static, KeyPair>,
}

impl ServiceAuthority {
    /// Opens the authority of a directory, if there is one.
    ///
    /// # Errors
    /// If its files cannot be read, or do not belong together.
    pub fn find(directory: &Path) -> Result<Option<ServiceAuthority>> {
        let (bundle, key) = (directory.join(BUNDLE), directory.join(KEY));
        match (read(&bundle)?, read(&key)?) {
            (Some(bundle), Some(key)) => ServiceAuthority::of(&bundle, &key)
                .with_context(|| format!("read {BUNDLE} and {KEY} in {}", directory.display()))
                .map(Some),
            (Some(_), None) => anyhow::bail!(
                "{} is lost: remove {} as well, and a new authority is made",
                key.display(),
                bundle.display()
            ),
            (None, _) => Ok(None),
        }
    }

    /// Opens the authority of a directory, or makes it there; one that has come to half of its time is followed by another.
    ///
    /// # Errors
    /// If its files cannot be read or written, or do not belong together.
    pub fn open(directory: &Path) -> Result<ServiceAuthority> {
        let before = match ServiceAuthority::find(directory)? {
            Some(authority) if !authority.is_due(OffsetDateTime::now_utc())? => {
                return Ok(authority);
            }
            before => before.map(|old| old.known.certificate),
        };
        std::fs::create_dir_all(directory)
            .with_context(|| format!("create {}", directory.display()))?;
        let (certificate, key) = make().context("make an authority for Services")?;
        let bundle = certificate + &before.unwrap_or_default();
        // The key first: of a start that ends between them, the next one makes both anew.
        for (name, text, mode) in [(KEY, &key, 0o600), (BUNDLE, &bundle, 0o644)] {
            let path = directory.join(name);
            leme_host::files::replace(&path, text.as_bytes(), mode, true)
                .with_context(|| format!("write {}", path.display()))?;
        }
        ServiceAuthority::of(&bundle, &key)
    }

    fn of(bundle: &str, key: &str) -> Result<ServiceAuthority> {
        let der = CertificateDer::from_pem_slice(bundle.as_bytes())?;
        let key = KeyPair::from_pem(key)?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der)?;
        let belongs = parsed.public_key().raw == key.subject_public_key_info();
        ensure!(belongs, "the certificate does not belong to the key");
        let name = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        let known = Authority {
            name: name.unwrap_or_default().to_owned(),
            certificate: first(bundle).to_owned(),
            bundle: bundle.to_owned(),
        };
        Ok(ServiceAuthority { known, issuer: Issuer::from_ca_cert_der(&der, key)? })
    }

    fn is_due(&self, now: OffsetDateTime) -> Result<bool> {
        let der = CertificateDer::from_pem_slice(self.known.certificate.as_bytes())?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der)?;
        Ok(parsed.validity().not_after.to_datetime() - now < FOLLOWED_AT)
    }

    fn certify(&self, names: &[String], uid: &str) -> Result<Made> {
        let now = OffsetDateTime::now_utc();
        let expires = now + CERTIFICATE_LASTS;
        let mut params = CertificateParams::new(names.to_vec())?;
        params.not_before = now - BACKDATED;
        params.not_after = expires;
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.distinguished_name = DistinguishedName::new();
        // Common names hold no more than 64 characters; clients look at the others.
        if let Some(first) = names.first().filter(|first| first.len() <= 64) {
            params.distinguished_name.push(DnType::CommonName, first.clone());
        }
        if let Some(length) = u8::try_from(uid.len()).ok().filter(|length| *length < 128) {
            // A text of ASN.1.
            let text = [&[0x0c, length], uid.as_bytes()].concat();
            params.custom_extensions = vec![CustomExtension::from_oid_content(UID, text)];
        }
        let key = KeyPair::generate()?;
        let leaf = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Made {
            chain: leaf + &self.known.certificate,
            key: key.serialize_pem(),
            expires: Timestamp::from_second(expires.unix_timestamp())?,
        })
    }
}

impl Signer for ServiceAuthority {
    fn known(&self) -> &Authority {
        &self.known
    }

    fn issue(&self, names: &[String], uid: &str) -> Result<Made, String> {
        self.certify(names, uid).map_err(|error| format!("{error:#}"))
    }
}

/// The first certificate of a text.
fn first(bundle: &str) -> &str {
    const END: &str = "-----END CERTIFICATE-----";
    let end = bundle.find(END).map_or(bundle.len(), |at| at + END.len());
    let rest = &bundle[end..];
    &bundle[..bundle.len() - rest.trim_start().len()]
}

fn read(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// A certificate that signs others, and its key.
fn make() -> Result<(String, String)> {
    let now = OffsetDateTime::now_utc();
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.not_before = now - BACKDATED;
    params.not_after = now + LASTS;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params.distinguished_name = DistinguishedName::new();
    let name = format!("openshift-service-serving-signer@{}", now.unix_timestamp());
    params.distinguished_name.push(DnType::CommonName, name);
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_kept_and_followed_at_half_its_time() {
        let folder = tempfile::tempdir().unwrap();
        assert!(ServiceAuthority::find(folder.path()).unwrap().is_none());
        let first = ServiceAuthority::open(folder.path()).unwrap();
        let again = ServiceAuthority::open(folder.path()).unwrap();
        assert_eq!(first.known(), again.known());
        assert!(first.known().name.starts_with("openshift-service-serving-signer@"));
        let now = OffsetDateTime::now_utc();
        assert!(!first.is_due(now + Duration::days(394)).unwrap());
        assert!(first.is_due(now + Duration::days(396)).unwrap());
        std::fs::remove_file(folder.path().join(KEY)).unwrap();
        assert!(ServiceAuthority::open(folder.path()).unwrap_err().to_string().contains("is lost"));
    }

    #[test]
    fn certificates_are_for_their_names_and_say_the_uid() {
        let folder = tempfile::tempdir().unwrap();
        let authority = ServiceAuthority::open(folder.path()).unwrap();
        let names = ["web.shop.svc".to_owned(), "*.web.shop.svc".to_owned()];
        let made = authority.issue(&names, "u1").unwrap();
        let leaf = made.chain.strip_suffix(&authority.known().certificate).unwrap();
        let der = CertificateDer::from_pem_slice(leaf.as_bytes()).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
        let alternative = parsed.subject_alternative_name().unwrap().unwrap();
        assert_eq!(alternative.value.general_names.len(), 2);
        let uid = parsed
            .extensions()
            .iter()
            .find(|one| one.oid.to_id_string() == "1.3.6.1.4.1.2312.17.100.2.1");
        assert_eq!(uid.unwrap().value, b"\x0c\x02u1");
        let ca = CertificateDer::from_pem_slice(authority.known().certificate.as_bytes()).unwrap();
        let (_, ca) = x509_parser::parse_x509_certificate(&ca).unwrap();
        assert_eq!(parsed.issuer(), ca.subject());
    }
}
