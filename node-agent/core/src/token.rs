//! The token of an account that a pod finds in a file.
//!
//! Knows: which token that is. Refuses to know: how it is asked for.

use k8s_openapi::api::core::v1::{Pod, ServiceAccountTokenProjection};

use crate::lookup::{Key, Kind};
use crate::spec;

/// Which token a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenOf {
    /// The account.
    pub account: String,
    /// The pod that it is bound to, and which of that name.
    pub pod: (String, String),
    /// How long it shall be good, in seconds.
    pub seconds: i64,
    /// Whom it is for; the API if it is empty.
    pub audience: String,
}

/// How long a token is good if nobody says, in seconds.
const USUAL_LIFE: i64 = 3600;

impl TokenOf {
    /// The token of a projection into a volume of a pod.
    pub fn projected(pod: &Pod, source: &ServiceAccountTokenProjection) -> TokenOf {
        let account = spec::of(pod).service_account_name.clone();
        let meta = &pod.metadata;
        TokenOf {
            account: account.filter(|name| !name.is_empty()).unwrap_or("default".to_owned()),
            pod: (meta.name.clone().unwrap_or_default(), meta.uid.clone().unwrap_or_default()),
            seconds: source.expiration_seconds.unwrap_or(USUAL_LIFE),
            audience: source.audience.clone().unwrap_or_default(),
        }
    }

    /// The key that it is found by. Of its parts only the audience may hold a slash.
    pub fn key(&self, namespace: &str) -> Key {
        let TokenOf { account, pod: (pod, uid), seconds, audience } = self;
        Key::new(Kind::Token, namespace, &format!("{account}/{pod}/{uid}/{seconds}/{audience}"))
    }

    /// The token that a key is about.
    pub fn of(key: &Key) -> Option<TokenOf> {
        let mut parts = key.name.splitn(5, '/').map(str::to_owned);
        let token = TokenOf {
            account: parts.next()?,
            pod: (parts.next()?, parts.next()?),
            seconds: parts.next()?.parse().ok()?,
            audience: parts.next()?,
        };
        (key.kind == Kind::Token).then_some(token)
    }
}
