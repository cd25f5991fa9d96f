//! What etcd's errors mean, and whether it is still the etcd that was connected to.
//!
//! Knows: etcd's words, and which failures are certain to have done nothing. Refuses to know: what was asked.

use std::future::Future;
use std::sync::OnceLock;

use super::TIMEOUT;
use crate::StoreError;

/// Whether this etcd is still the one that was connected to; once it is not, nothing is asked of it any more: an empty
/// one would look as if everything had been deleted.
pub(super) struct Lost {
    endpoints: String,
    why: OnceLock<String>,
}

impl Lost {
    pub(super) fn new(endpoints: String) -> Self {
        Self { endpoints, why: OnceLock::new() }
    }

    pub(super) fn set(&self, why: &str) {
        let line = format!(
            "etcd at {} is not what this server was started with: {why}; stop leme, and start it again if that was meant to be",
            self.endpoints
        );
        tracing::error!("{line}");
        // The first reason stays.
        let _ = self.why.set(line);
    }

    pub(super) fn why(&self) -> Option<StoreError> {
        self.why.get().map(|why| StoreError::Unreachable(why.clone()))
    }
}

/// An answer of etcd within the time it has. The numbers in the errors are for the caller to fill in.
pub(super) async fn answered<T>(
    what: &str,
    call: impl Future<Output = Result<T, etcd_client::Error>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(TIMEOUT, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(e)) => Err(translate(what, &e)),
        Err(_) => Err(StoreError::Unavailable(format!(
            "etcd did not answer within {} s (to {what})",
            TIMEOUT.as_secs()
        ))),
    }
}

/// etcd tells its errors apart by text only.
pub(super) fn translate(what: &str, e: &etcd_client::Error) -> StoreError {
    let text = match e {
        etcd_client::Error::GRpcStatus(status) => status.message().to_owned(),
        other => other.to_string(),
    };
    let says = |part: &str| text.contains(part);
    if says("required revision has been compacted") {
        StoreError::Compacted { asked: 0, oldest: 0 }
    } else if says("required revision is a future revision") {
        StoreError::Future { asked: 0, newest: 0 }
    } else if says("database space exceeded") {
        StoreError::Full(text)
    } else if says("request is too large") || says("message larger than max") {
        StoreError::TooLarge(text)
    } else if never_sent(e) {
        StoreError::Unreachable(format!("cannot {what} etcd: {text}"))
    } else {
        StoreError::Unavailable(format!("cannot {what} etcd: {text}"))
    }
}

/// Whether no connection was made that a request could have been sent over.
fn never_sent(e: &etcd_client::Error) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    // The client's own error does not tell what caused it.
    let mut cause: Option<&(dyn std::error::Error + 'static)> = match e {
        etcd_client::Error::GRpcStatus(status) => Some(status),
        etcd_client::Error::TransportError(e) => Some(e),
        etcd_client::Error::IoError(e) => Some(e),
        _ => None,
    };
    std::iter::from_fn(|| {
        let this = cause?;
        cause = this.source();
        Some(this)
    })
    .take(16)
    .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
    .any(|e| matches!(e.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable))
}

pub(super) fn nonsense(what: &str) -> StoreError {
    StoreError::Unavailable(format!("etcd answered nonsense: {what}"))
}
