//! One issuer: its keys as they were last seen, and the tokens that they have signed.
//!
//! Knows: that keys change, and that who shows a made-up token shall not make it ask for them again and again. Refuses to
//! know: how it is asked.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{DecodingKey, Validation};
use leme_access::Identity;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::claims;
use crate::config::Of;
use crate::fetch::Client;

/// An issuer is asked for its keys again no sooner than this after the last time.
const AGAIN: Duration = Duration::from_secs(10);
/// How long its answers are waited for, in all.
const PATIENCE: Duration = Duration::from_secs(10);

/// An issuer.
pub(crate) struct Issuer {
    of: Of,
    client: Client,
    keys: ArcSwap<Vec<Key>>,
    /// When it was last asked.
    asked: Mutex<Option<Instant>>,
}

/// A key by which tokens are checked.
struct Key {
    id: Option<String>,
    /// The algorithm that it is for, if it says.
    algorithm: Option<String>,
    key: DecodingKey,
}

impl Issuer {
    /// Of a configuration; nobody is asked yet.
    pub fn new(of: Of) -> Result<Issuer, String> {
        let client = Client::new(&of.authority)
            .map_err(|why| format!("certificate authority of {}: {why}", of.url))?;
        Ok(Issuer { of, client, keys: ArcSwap::default(), asked: Mutex::default() })
    }

    /// Whether this is what its tokens say that they are of.
    pub fn is(&self, url: &str) -> bool {
        self.of.url == url
    }

    /// Gets its keys, unless that of this token is there or they were asked for a moment ago.
    pub async fn prepare(&self, token: &str) {
        if !self.lacks(token) {
            return;
        }
        let mut asked = self.asked.lock().await;
        // Who waited may have what another one has got.
        if !self.lacks(token) || asked.is_some_and(|at| at.elapsed() < AGAIN) {
            return;
        }
        let got = tokio::time::timeout(PATIENCE, self.client.keys(&self.of)).await;
        match got.unwrap_or_else(|_| Err("it does not answer in time".to_owned())) {
            Ok(keys) => self.keys.store(Arc::new(keys.iter().filter_map(key).collect())),
            Err(why) => {
                tracing::warn!(issuer = %self.of.url, %why, "cannot get the keys of an issuer")
            }
        }
        *asked = Some(Instant::now());
    }

    /// Whether a token is signed by a key that is not there.
    fn lacks(&self, token: &str) -> bool {
        let Ok(header) = jsonwebtoken::decode_header(token) else { return false };
        self.of.algorithms.contains(&header.alg)
            && !self.keys.load().iter().any(|key| key.fits(header.kid.as_deref(), ""))
    }

    /// Whom a token is of.
    pub fn owner(&self, token: &str, now: i64) -> Result<Identity, String> {
        let unsigned = || "oidc: failed to verify id token signature".to_owned();
        let header = jsonwebtoken::decode_header(token).map_err(|_| unsigned())?;
        if !self.of.algorithms.contains(&header.alg) {
            return Err(format!(
                "oidc: id token signed with unsupported algorithm {:?}",
                header.alg
            ));
        }
        let mut validation = Validation::new(header.alg);
        // What it says is compared with what is asked for, word for word.
        validation.required_spec_claims.clear();
        (validation.validate_exp, validation.validate_aud) = (false, false);
        let keys = self.keys.load();
        let algorithm = format!("{:?}", header.alg);
        let fitting = keys.iter().filter(|key| key.fits(header.kid.as_deref(), &algorithm));
        let mut opened = fitting
            .filter_map(|key| jsonwebtoken::decode::<Value>(token, &key.key, &validation).ok());
        let claims = opened.next().ok_or_else(unsigned)?.claims;
        claims::owner(&self.of, &claims, now)
    }
}

impl Key {
    fn fits(&self, id: Option<&str>, algorithm: &str) -> bool {
        let same = id.is_none() || self.id.as_deref() == id;
        let own = self.algorithm.as_deref().filter(|_| !algorithm.is_empty());
        same && own.is_none_or(|own| own == algorithm)
    }
}

/// One of the keys that an issuer tells of, if it is one for signatures that are known here.
fn key(told: &Value) -> Option<Key> {
    let told: Jwk = serde_json::from_value(told.clone()).ok()?;
    if told.common.public_key_use == Some(PublicKeyUse::Encryption) {
        return None;
    }
    let key = DecodingKey::from_jwk(&told).ok()?;
    let algorithm = told.common.key_algorithm.map(|algorithm| algorithm.to_string());
    Some(Key { id: told.common.key_id, algorithm, key })
}
