//! TLS of Routes: what a Route asks for, the certificates that are shown for it, and what is trusted behind it.
//!
//! Knows: certificates and keys as texts. Refuses to know: HTTP, and which Route a request is for.

pub(super) mod authority;
pub(super) mod backend;
pub(super) mod certificate;
pub(super) mod door;

use self::backend::Trust;
use self::certificate::Certificate;
use serde::Deserialize;

/// Where a Route's TLS ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Termination {
    /// Here; the application speaks plain HTTP.
    Edge,
    /// Here, and the application is spoken to in TLS of its own.
    Reencrypt,
    /// At the application.
    Passthrough,
}

/// What becomes of requests that come without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Insecure {
    /// Nobody answers them.
    Refuse,
    /// They are served as well.
    Allow,
    /// They are sent to where TLS is spoken.
    Redirect,
}

/// The TLS of a Route.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tls {
    pub(super) termination: Termination,
    pub(super) insecure: Insecure,
    /// What is shown in place of a certificate of the router's own.
    pub(super) certificate: Option<Certificate>,
    /// Whom an application has to be certified by.
    pub(super) trust: Option<Trust>,
}

/// `spec.tls`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Written {
    termination: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
    ca_certificate: Option<String>,
    #[serde(rename = "destinationCACertificate")]
    destination_ca_certificate: Option<String>,
    insecure_edge_termination_policy: Option<String>,
    external_certificate: Option<serde_json::Value>,
}

impl Tls {
    /// Reads what is written for a host.
    ///
    /// # Errors
    /// The field that cannot be carried out, and why. What is secret is not repeated.
    pub(super) fn read(written: Written) -> Result<Tls, String> {
        let termination = match written.termination.as_deref().unwrap_or("edge") {
            "edge" => Termination::Edge,
            "reencrypt" => Termination::Reencrypt,
            "passthrough" => Termination::Passthrough,
            other => return Err(format!("spec.tls.termination: {other:?} is not known")),
        };
        let insecure = match written.insecure_edge_termination_policy.as_deref() {
            None | Some("" | "None") => Insecure::Refuse,
            Some("Allow") => Insecure::Allow,
            Some("Redirect") => Insecure::Redirect,
            Some(other) => {
                return Err(format!(
                    "spec.tls.insecureEdgeTerminationPolicy: {other:?} is not known"
                ));
            }
        };
        let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        if written.external_certificate.is_some() {
            return Err("spec.tls.externalCertificate: this router reads no Secrets".to_owned());
        }
        let (certificate, key) = (given(written.certificate), given(written.key));
        let (ca, destination) =
            (given(written.ca_certificate), given(written.destination_ca_certificate));
        if termination == Termination::Passthrough {
            let any = [&certificate, &key, &ca, &destination].iter().any(|one| one.is_some());
            if any || insecure == Insecure::Allow {
                let why = "passthrough takes no certificates, and no requests without TLS";
                return Err(format!("spec.tls: {why}"));
            }
        }
        let certificate = match certificate {
            Some(text) => Some(Certificate::read(&text, key.as_deref(), ca.as_deref())?),
            None if key.is_some() => {
                return Err("spec.tls.certificate: there is a key, and no certificate".to_owned());
            }
            None => None,
        };
        let trust = match (termination, destination) {
            (Termination::Reencrypt, text) => text.map(|text| Trust::read(&text)).transpose()?,
            (_, Some(_)) => {
                return Err("spec.tls.destinationCACertificate: is for reencrypt".to_owned());
            }
            (_, None) => None,
        };
        Ok(Tls { termination, insecure, certificate, trust })
    }

    /// Whether the application has to be certified by the service authority, for its Service's name.
    pub(super) fn by_service(&self) -> bool {
        self.termination == Termination::Reencrypt && self.trust.is_none()
    }

    /// Whether TLS ends here.
    pub(super) fn ends_here(&self) -> bool {
        self.termination != Termination::Passthrough
    }
}
