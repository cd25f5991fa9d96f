//! The administrator's kubeconfig, written when the cluster starts and again when the certificate in it is renewed.
//!
//! Knows: where it lies and what is in it. Refuses to know: when certificates are renewed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use leme_server::Pki;

use crate::cluster::data;

/// Writes the file, if it says something else.
pub fn write(pki: &Pki, url: &str, path: &Path) -> Result<()> {
    data::write_private(path, &leme_server::pki::kubeconfig(pki, url, &pki.admin.leaf()))
}

/// Writes it again each time certificates were renewed.
pub async fn keep(pki: Arc<Pki>, url: String, path: PathBuf) -> Result<()> {
    let mut renewals = pki.renewals();
    while renewals.changed().await.is_ok() {
        if let Err(error) = write(&pki, &url, &path) {
            tracing::warn!(%error, "the renewed certificate is not in the kubeconfig");
        }
    }
    Ok(())
}
