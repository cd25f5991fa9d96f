//! A certificate that is made anew before it expires, while whoever presents it goes on.
//!
//! Knows: the leaf that is good now, as rustls asks for it at each handshake. Refuses to know: when to look at the clock.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use super::{Leaf, PkiError};

/// What is presented now.
#[derive(Clone)]
struct Held {
    leaf: Leaf,
    certified: Arc<CertifiedKey>,
}

/// A certificate that is made anew before it expires. A rustls server or client that has this resolver needs no restart.
pub struct Renewing {
    /// Presented behind the leaf.
    chain: Vec<CertificateDer<'static>>,
    make: Box<Make>,
    held: RwLock<Held>,
}

/// Gives the leaf that is good at a time: the one there is, or a new one.
type Make = dyn Fn(OffsetDateTime) -> Result<Leaf, PkiError> + Send + Sync;

impl std::fmt::Debug for Renewing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Renewing").field(&self.leaf().name).finish()
    }
}

impl Renewing {
    pub(super) fn new(
        chain: Vec<CertificateDer<'static>>,
        make: impl Fn(OffsetDateTime) -> Result<Leaf, PkiError> + Send + Sync + 'static,
    ) -> Result<Arc<Renewing>, PkiError> {
        let held = hold(make(OffsetDateTime::now_utc())?, &chain)?;
        Ok(Arc::new(Renewing { chain, make: Box::new(make), held: RwLock::new(held) }))
    }

    /// The leaf that is presented now.
    pub fn leaf(&self) -> Leaf {
        self.held().leaf
    }

    /// Makes a new leaf if the present one is not good at `now`; tells whether it did.
    pub(super) fn renew(&self, now: OffsetDateTime) -> Result<bool, PkiError> {
        let leaf = (self.make)(now)?;
        if leaf.certificate == self.leaf().certificate {
            return Ok(false);
        }
        let held = hold(leaf, &self.chain)?;
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = held;
        Ok(true)
    }

    fn held(&self) -> Held {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn hold(leaf: Leaf, chain: &[CertificateDer<'static>]) -> Result<Held, PkiError> {
    let (certificate, key) = leaf.der()?;
    let whole = std::iter::once(certificate).chain(chain.iter().cloned()).collect();
    let certified = CertifiedKey::from_der(whole, key, &crate::listen::provider());
    let wrong = |_| PkiError::Certificate {
        what: leaf.name.clone(),
        source: rcgen::Error::CouldNotParseCertificate,
    };
    let certified = Arc::new(certified.map_err(wrong)?);
    Ok(Held { leaf, certified })
}

impl ResolvesServerCert for Renewing {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.held().certified)
    }
}

impl ResolvesClientCert for Renewing {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.held().certified)
    }

    fn has_certs(&self) -> bool {
        true
    }
}
