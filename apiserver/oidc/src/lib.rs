//! People whom others vouch for: issuers of OpenID Connect, their keys, what their tokens say.
//!
//! Knows: OpenID Connect's discovery and ID tokens, and how claims become names, as upstream configures it. Refuses to know:
//! requests, and what anybody may do.

mod claims;
mod config;
mod fetch;
mod issuer;

use leme_access::Identity;
use serde::Deserialize;

pub use config::{Config, Flags};
use issuer::Issuer;

/// Bytes of a token at most.
const LONGEST: usize = 64 * 1024;

/// Those who vouch for people.
#[derive(Default)]
pub struct Issuers(Vec<Issuer>);

/// What a token says of itself before it is believed.
#[derive(Deserialize)]
struct Said {
    iss: String,
}

impl Issuers {
    /// Of a configuration.
    ///
    /// # Errors
    /// When an authority's certificate cannot be read.
    pub fn new(config: Config) -> Result<Issuers, String> {
        config.issuers.into_iter().map(Issuer::new).collect::<Result<_, _>>().map(Issuers)
    }

    /// Whether one of them is of this name.
    pub fn has(&self, url: &str) -> bool {
        self.0.iter().any(|issuer| issuer.is(url))
    }

    /// Gets the keys that a token needs, if they are not at hand: for a while at most, and not for each token that somebody
    /// makes up.
    pub async fn prepare(&self, token: &str) {
        if let Some(issuer) = self.of(token) {
            issuer.prepare(token).await;
        }
    }

    /// Whom a token is of; nothing if none of these issuers has made it, as far as it says. `now` are seconds since 1970.
    pub fn owner(&self, token: &str, now: i64) -> Option<Result<Identity, String>> {
        Some(self.of(token)?.owner(token, now))
    }

    /// Who says to have made a token.
    fn of(&self, token: &str) -> Option<&Issuer> {
        if self.0.is_empty() || token.len() > LONGEST {
            return None;
        }
        let said: Said = jsonwebtoken::dangerous::insecure_decode_claims(token).ok()?;
        self.0.iter().find(|issuer| issuer.is(&said.iss))
    }
}
