//! What stands in the requests and certificates that come as PEM in base64.
//!
//! Knows: their form, and that a request is signed by its own key. Refuses to know: who may have which certificate.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use leme_meta::quote;
use leme_registry::json;
use serde_json::Value;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;

/// What a request says, as far as it is asked.
pub(super) struct Request {
    pub organizations: Vec<String>,
}

/// Reads the request of an object, and checks its signature.
pub(super) fn request(object: &Value) -> Result<Request, String> {
    const TYPE: &str = "PEM block type must be CERTIFICATE REQUEST";
    let pem = STANDARD.decode(json::text(object, &["spec", "request"])).unwrap_or_default();
    let block = Pem::iter_from_buffer(&pem).next().and_then(Result::ok);
    let block = block.filter(|block| block.label == "CERTIFICATE REQUEST").ok_or(TYPE)?;
    let (_, request) = X509CertificationRequest::from_der(&block.contents)
        .map_err(|error| format!("the request cannot be read: {error}"))?;
    request
        .verify_signature()
        .map_err(|error| format!("the request is not signed by its own key: {error}"))?;
    let subject = &request.certification_request_info.subject;
    let texts = subject.iter_organization().filter_map(|part| part.as_str().ok());
    Ok(Request { organizations: texts.map(str::to_owned).collect() })
}

/// Checks certificates, if there are any.
pub(super) fn certificates(base64: &str) -> Result<(), String> {
    if base64.is_empty() {
        return Ok(());
    }
    let pem = STANDARD.decode(base64).unwrap_or_default();
    let mut blocks = 0;
    for block in Pem::iter_from_buffer(&pem).map_while(Result::ok) {
        if block.label != "CERTIFICATE" {
            return Err(format!(
                "only CERTIFICATE PEM blocks are allowed, found {}",
                quote(&block.label)
            ));
        }
        block.parse_x509().map_err(|error| format!("the certificate cannot be read: {error}"))?;
        blocks += 1;
    }
    match blocks {
        0 => Err("must contain one or more CERTIFICATE PEM blocks".to_owned()),
        _ => Ok(()),
    }
}
