//! The kubeconfigs of a cluster, written when its server starts and again when a certificate in one is renewed.
//!
//! Knows: who gets one, where it lies, what is in it. Refuses to know: when certificates are renewed.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use leme_server::Pki;
use leme_server::pki::Renewing;

use crate::cluster::access::{CONTROLLERS, SCHEDULER, SERVICES, Service};
use crate::cluster::data::{self, DataDir};
use crate::cluster::table::Part;

/// One of them.
pub struct File {
    /// Whose it is.
    pub of: String,
    /// Where it lies.
    pub path: PathBuf,
    url: String,
    /// Who one is by which context; by the first unless another is named.
    contexts: Vec<(&'static str, Arc<Renewing>)>,
}

/// The context of a file that is for one user.
const OWN: &str = "leme";

/// The administrator's, and those of parts that are processes of their own.
pub struct Files {
    pki: Arc<Pki>,
    /// The administrator's first.
    pub all: Vec<File>,
}

impl Files {
    /// The administrator's alone, who finds the server at `url`.
    pub fn new(pki: &Arc<Pki>, url: &str, data: &DataDir) -> Files {
        let contexts = vec![(OWN, Arc::clone(&pki.admin))];
        let (of, path, url) = ("kubeconfig".to_owned(), data.kubeconfig(), url.to_owned());
        let admin = File { of, path, url, contexts };
        Files { pki: Arc::clone(pki), all: vec![admin] }
    }

    /// And that of a part of the control plane.
    pub fn add_part(&mut self, part: Part, url: &str, data: &DataDir) -> Result<()> {
        let user = if part == Part::Scheduler { SCHEDULER } else { CONTROLLERS };
        let own = self.pki.client(part.name(), user)?;
        self.add(part.name().to_owned(), url, vec![(OWN, own)], data);
        Ok(())
    }

    /// And that of a node, by which also what serves it is known.
    pub fn add_node(&mut self, name: &str, url: &str, data: &DataDir) -> Result<()> {
        let mut contexts = vec![(OWN, self.pki.node(name)?)];
        for Service { name, user } in SERVICES {
            contexts.push((name, self.pki.client(name, user)?));
        }
        self.add(format!("node-{name}"), url, contexts, data);
        Ok(())
    }

    fn add(
        &mut self,
        name: String,
        url: &str,
        contexts: Vec<(&'static str, Arc<Renewing>)>,
        data: &DataDir,
    ) {
        let (path, url) = (data.kubeconfig_of(&name), url.to_owned());
        self.all.push(File { of: format!("kubeconfig of {name}"), path, url, contexts });
    }

    /// Writes those that say something else.
    pub fn write(&self) -> Result<()> {
        for File { path, url, contexts, .. } in &self.all {
            let leaves: Vec<_> = contexts.iter().map(|(name, own)| (*name, own.leaf())).collect();
            let text = leme_server::pki::kubeconfig(&self.pki, url, &leaves);
            data::write_private(path, &text)?;
        }
        Ok(())
    }

    /// Writes them again each time certificates were renewed.
    pub async fn keep(self) -> Result<()> {
        let mut renewals = self.pki.renewals();
        while renewals.changed().await.is_ok() {
            if let Err(error) = self.write() {
                tracing::warn!(%error, "the renewed certificate is not in its kubeconfig");
            }
        }
        Ok(())
    }
}
