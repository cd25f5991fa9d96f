//! Requests for certificates, and what is signed of them.
//!
//! Knows: what a request asks for, in the numbers that signers ask for. Refuses to know: which signer signs what.

use std::time::Duration;

use rcgen::{
    CertificateSigningRequestParams, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, SanType,
};
use time::OffsetDateTime;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;

use super::Pki;
use super::authority::{BACKDATE, LEAF_LIFE};

/// What a request asks for.
pub(crate) struct Requested {
    params: CertificateSigningRequestParams,
    /// Common name of the subject.
    pub common_name: String,
    /// Its organization.
    pub organization: Option<String>,
    /// How many organizations it names.
    pub organizations: usize,
    /// How many DNS names and addresses.
    pub names: usize,
    /// How many other names.
    pub other_names: usize,
}

impl Requested {
    /// Reads a request from PEM, and checks that its own key has signed it.
    pub fn read(pem: &[u8]) -> Result<Requested, String> {
        let block = Pem::iter_from_buffer(pem).next().and_then(Result::ok);
        let block = block.ok_or("the request is no PEM")?;
        let (_, request) = X509CertificationRequest::from_der(&block.contents)
            .map_err(|error| format!("the request cannot be read: {error}"))?;
        let organizations = request.certification_request_info.subject.iter_organization().count();
        let params = CertificateSigningRequestParams::from_der(&block.contents.as_slice().into())
            .map_err(|error| format!("the request cannot be signed: {error}"))?;
        let subject = &params.params.distinguished_name;
        let text = |type_: DnType| match subject.get(&type_) {
            Some(DnValue::Utf8String(text)) => Some(text.clone()),
            Some(DnValue::PrintableString(text)) => Some(text.as_str().to_owned()),
            Some(DnValue::Ia5String(text)) => Some(text.as_str().to_owned()),
            _ => None,
        };
        let (common_name, organization) =
            (text(DnType::CommonName), text(DnType::OrganizationName));
        let all = &params.params.subject_alt_names;
        let own = |name: &&SanType| matches!(name, SanType::DnsName(_) | SanType::IpAddress(_));
        let names = all.iter().filter(own).count();
        let other_names = all.len() - names;
        let common_name = common_name.unwrap_or_default();
        Ok(Requested { params, common_name, organization, organizations, names, other_names })
    }
}

impl Pki {
    /// The certificate that a request asks for, PEM: for clients or for servers, for as long as is asked but no longer than
    /// a year.
    pub(crate) fn sign_request(
        &self,
        asked: Requested,
        serves: bool,
        enciphers: bool,
        life: Option<Duration>,
    ) -> Result<String, String> {
        let Requested { mut params, .. } = asked;
        let now = OffsetDateTime::now_utc();
        let own = &mut params.params;
        own.not_before = now - BACKDATE;
        let life = life.and_then(|life| time::Duration::try_from(life).ok());
        own.not_after = now + life.unwrap_or(LEAF_LIFE).min(LEAF_LIFE);
        // What the request says of itself is not what was approved.
        own.is_ca = IsCa::ExplicitNoCa;
        own.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if enciphers {
            own.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        own.extended_key_usages = vec![match serves {
            true => ExtendedKeyUsagePurpose::ServerAuth,
            false => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        own.use_authority_key_identifier_extension = true;
        let signed = self.authority.signed(&params);
        signed.map_err(|error| format!("the request cannot be signed: {error}"))
    }
}
