//! The one authority, and what it signs.
//!
//! Knows: what a certificate of the cluster says, and whether one is good at a time. Refuses to know: who presents it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::{Duration, OffsetDateTime};
use x509_parser::extensions::GeneralName;

use super::{Leaf, PkiError, Renewing, files};

const CA_LIFE: Duration = Duration::days(3650);
pub(super) const LEAF_LIFE: Duration = Duration::days(365);
const RENEW_BEFORE: Duration = Duration::days(30);
/// Clocks of other machines may be behind, and this one may be set back.
pub(super) const BACKDATE: Duration = Duration::days(1);
/// The authority is good from the year 2000 on: it may have been made when the clock was wrong, and what trusts it can
/// not be told of another one.
const CA_FROM: i64 = 946_684_800;

pub(super) struct Authority {
    pub(super) pem: String,
    pub(super) der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// What a leaf must say.
pub(super) struct Wanted {
    pub(super) file: String,
    pub(super) name: String,
    pub(super) organization: Option<&'static str>,
    pub(super) sans: BTreeSet<String>,
    pub(super) usages: &'static [ExtendedKeyUsagePurpose],
}

impl Authority {
    pub(super) fn open(dir: &Path, now: OffsetDateTime) -> Result<Authority, PkiError> {
        let pair = match (files::read(&dir.join("ca.crt"))?, files::read(&dir.join("ca.key"))?) {
            (Some(certificate), Some(key)) => (certificate, key),
            // The certificate is written last: without it no leaf was ever signed.
            (None, _) => Authority::create(dir, now)?,
            (Some(_), None) => return Err(PkiError::Lost(dir.to_owned(), "ca.key is missing")),
        };
        let lost = |why| PkiError::Lost(dir.to_owned(), why);
        let der = CertificateDer::from_pem_slice(pair.0.as_bytes())
            .map_err(|_| lost("ca.crt is no certificate"))?;
        let key = KeyPair::from_pem(&pair.1).map_err(|_| lost("ca.key is no key"))?;
        match Known::read(&der) {
            None => return Err(lost("ca.crt is no certificate")),
            Some(known) if known.public_key != key.subject_public_key_info() => {
                return Err(lost("ca.key does not belong to ca.crt"));
            }
            Some(known) if known.not_after <= now => return Err(lost("ca.crt has expired")),
            Some(known) if known.not_before > now => {
                let why = "ca.crt is not valid yet, for this machine's clock is behind: set it";
                return Err(PkiError::Authority(dir.to_owned(), why));
            }
            Some(_) => {}
        }
        let issuer = Issuer::from_ca_cert_der(&der, key)
            .map_err(|_| lost("ca.crt is no certificate of an authority"))?;
        Ok(Authority { pem: pair.0, der, issuer })
    }

    fn create(dir: &Path, now: OffsetDateTime) -> Result<(String, String), PkiError> {
        let wrong = |source| PkiError::Certificate { what: "ca.crt".into(), source };
        let key = KeyPair::generate().map_err(wrong)?;
        let mut params = CertificateParams::default();
        params.not_before = OffsetDateTime::from_unix_timestamp(CA_FROM).unwrap_or(now);
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

    /// A leaf of the directory, kept good.
    pub(super) fn renewing(
        authority: &Arc<Authority>,
        dir: &Path,
        wanted: Wanted,
    ) -> Result<Arc<Renewing>, PkiError> {
        let serves = wanted.usages.contains(&ExtendedKeyUsagePurpose::ServerAuth);
        let chain = if serves { vec![authority.der.clone()] } else { Vec::new() };
        let (authority, dir) = (Arc::clone(authority), dir.to_owned());
        Renewing::new(chain, move |now| authority.leaf(&dir, &wanted, now))
    }

    /// The leaf in the directory if it says what is wanted and lasts, else a new one.
    fn leaf(&self, dir: &Path, wanted: &Wanted, now: OffsetDateTime) -> Result<Leaf, PkiError> {
        let certificate_path = dir.join(format!("{}.crt", wanted.file));
        let key_path = dir.join(format!("{}.key", wanted.file));
        if let (Some(certificate), Some(key)) =
            (files::read(&certificate_path)?, files::read(&key_path)?)
            && self.still_good(&certificate, &key, wanted, now)
        {
            return Ok(Leaf { name: wanted.name.clone(), certificate, key });
        }
        let leaf = self.sign(wanted, now).map_err(|source| PkiError::Certificate {
            what: certificate_path.display().to_string(),
            source,
        })?;
        files::write(&key_path, &leaf.key, 0o600)?;
        files::write(&certificate_path, &leaf.certificate, 0o644)?;
        Ok(leaf)
    }

    fn still_good(
        &self,
        certificate: &str,
        key: &str,
        wanted: &Wanted,
        now: OffsetDateTime,
    ) -> bool {
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
            && known.not_before <= now
            && known.not_after - RENEW_BEFORE > now
    }

    /// A certificate of what a request asks for, PEM.
    pub(super) fn signed(
        &self,
        request: &CertificateSigningRequestParams,
    ) -> Result<String, rcgen::Error> {
        Ok(request.signed_by(&self.issuer)?.pem())
    }

    fn sign(&self, wanted: &Wanted, now: OffsetDateTime) -> Result<Leaf, rcgen::Error> {
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
        params.distinguished_name.push(DnType::CommonName, wanted.name.as_str());
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Leaf {
            name: wanted.name.clone(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// What a certificate says, as far as renewal asks.
pub(super) struct Known {
    issuer: Vec<u8>,
    subject: Vec<u8>,
    common_name: String,
    pub(super) sans: BTreeSet<String>,
    public_key: Vec<u8>,
    pub(super) not_before: OffsetDateTime,
    pub(super) not_after: OffsetDateTime,
}

impl Known {
    pub(super) fn read(der: &CertificateDer<'_>) -> Option<Known> {
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
            not_before: certificate.validity().not_before.to_datetime(),
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
