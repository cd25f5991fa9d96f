//! Files that a cluster is told what to do by: an audit policy, who vouches for people, where images are, what is asked of
//! admission plug-ins.
//!
//! Knows: which flag names which. Refuses to know: what they mean.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use leme_cri::embedded::Registries;
use leme_server::{
    AdmissionConfig, AdmissionSettings, AuditConfig, AuditKept, IssuerConfig, IssuerFlags,
};

use crate::args::{AdmissionFlags, AuditFlags, PeopleFlags};
use crate::documents;

/// What is told of requests, if anything is.
///
/// # Errors
/// When the policy cannot be read.
pub fn audit(flags: &AuditFlags) -> Result<Option<AuditConfig>> {
    let (Some(policy), Some(log)) = (&flags.audit_policy_file, &flags.audit_log_path) else {
        return Ok(None);
    };
    let kept = AuditKept {
        days: flags.audit_log_maxage.into(),
        files: flags.audit_log_maxbackup as usize,
        bytes: u64::from(flags.audit_log_maxsize) << 20,
    };
    let policy = documents::only(policy, "Policy of audit.k8s.io/v1")?;
    let log = if log == Path::new("-") { log.clone() } else { std::path::absolute(log)? };
    Ok(Some(AuditConfig { policy, log, kept }))
}

/// Which admission plug-ins are asked, and how.
///
/// # Errors
/// When there is no plug-in of a name, or the file cannot be read.
pub fn admission(flags: &AdmissionFlags) -> Result<AdmissionConfig> {
    let settings = match &flags.admission_control_config_file {
        None => None,
        Some(path) => {
            let document = documents::only(path, "AdmissionConfiguration")?;
            let read = AdmissionSettings::read(&document);
            Some(read.map_err(|why| anyhow!("{}: {why}", path.display()))?)
        }
    };
    let (on, off) = (&flags.enable_admission_plugins, &flags.disable_admission_plugins);
    let named = |names: &[String], flag: &str| {
        AdmissionConfig::named(names)
            .map_err(|name| anyhow!("--{flag}: plug-in {name:?} is unknown"))
    };
    Ok(AdmissionConfig {
        on: named(on, "enable-admission-plugins")?,
        off: named(off, "disable-admission-plugins")?,
        settings: settings.unwrap_or_default(),
    })
}

/// Those who vouch for people, if anybody does.
///
/// # Errors
/// When a file cannot be read, or what is said makes no sense.
pub fn issuers(flags: &PeopleFlags) -> Result<Option<IssuerConfig>> {
    if let Some(path) = &flags.authentication_config {
        let document = documents::only(path, "AuthenticationConfiguration")?;
        let config = IssuerConfig::read(&document);
        return config.map(Some).map_err(|why| anyhow!("{}: {why}", path.display()));
    }
    let authority = match &flags.oidc_ca_file {
        Some(path) => {
            std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?
        }
        None => String::new(),
    };
    let (Some(issuer_url), Some(client_id)) = (&flags.oidc_issuer_url, &flags.oidc_client_id)
    else {
        return Ok(None);
    };
    let flags = IssuerFlags {
        issuer_url: issuer_url.clone(),
        client_id: client_id.clone(),
        username_claim: flags.oidc_username_claim.clone(),
        username_prefix: flags.oidc_username_prefix.clone(),
        groups_claim: flags.oidc_groups_claim.clone(),
        groups_prefix: flags.oidc_groups_prefix.clone(),
        required_claims: flags.oidc_required_claim.clone(),
        signing_algs: flags.oidc_signing_algs.clone(),
        authority,
    };
    IssuerConfig::of_flags(&flags).map(Some).map_err(|why| anyhow!("--{why}"))
}

/// Where images are pulled from, and who pulls them.
///
/// # Errors
/// When the file cannot be read, or makes no sense.
pub fn registries(path: Option<&Path>) -> Result<Registries> {
    let Some(path) = path else { return Ok(Registries::default()) };
    let document = documents::plain(path)?;
    let read =
        |path: &str| std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    Registries::read(&document, read).map_err(|why| anyhow!("{}: {why}", path.display()))
}
