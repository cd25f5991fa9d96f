//! Tokens of service accounts: made on request, and believed while they are good.
//!
//! Knows: what a token says, how it is signed and checked. Refuses to know: whether the account and what the token is bound
//! to are still there.

mod bootstrap;
mod chain;
mod issue;
mod keys;
mod listed;
mod look;
mod secrets;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use jsonwebtoken::{Algorithm, Header, Validation};
use leme_access::Identity;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::pki::PkiError;
pub(crate) use chain::Known;
use keys::Keys;
pub(crate) use secrets::run as keep_secrets;

/// Who makes the tokens, and whom they are for if nobody says otherwise.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// Who makes those that Secrets hold.
pub(crate) const OF_SECRETS: &str = "kubernetes/serviceaccount";
const NOT_FOR_THEM: &str = "token audiences is invalid for the target audiences";
/// So many tokens whose signature was found good are remembered.
const REMEMBERED: usize = 4_096;
/// Bytes of a token at most.
const LONGEST: usize = 16 * 1024;

/// An object by its name, and which of that name it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Named {
    pub name: String,
    pub uid: String,
}

/// What a token is about, in the cluster's terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bound {
    pub namespace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Named>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Named>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Named>,
    pub serviceaccount: Named,
}

/// What a token says. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub aud: Vec<String>,
    pub exp: i64,
    pub iat: i64,
    pub iss: String,
    pub jti: String,
    #[serde(rename = "kubernetes.io")]
    pub bound: Bound,
    pub nbf: i64,
    pub sub: String,
}

impl Claims {
    /// Whose token it is.
    pub fn identity(&self) -> Identity {
        let Bound { namespace, node, pod, serviceaccount, .. } = &self.bound;
        let mut who =
            Identity::of_service_account(namespace, &serviceaccount.name, &serviceaccount.uid);
        let mut add = |key: &str, value: String| {
            who.extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value]);
        };
        add("credential-id", format!("JTI={}", self.jti));
        for (what, named) in [("pod", pod), ("node", node)] {
            if let Some(named) = named {
                add(&format!("{what}-name"), named.name.clone());
                add(&format!("{what}-uid"), named.uid.clone());
            }
        }
        who
    }
}

/// What a token says that a Secret holds: it lasts as long as that does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OfSecret {
    pub iss: String,
    #[serde(rename = "kubernetes.io/serviceaccount/namespace")]
    pub namespace: String,
    #[serde(rename = "kubernetes.io/serviceaccount/secret.name")]
    pub secret: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.name")]
    pub account: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.uid")]
    pub uid: String,
    pub sub: String,
}

impl OfSecret {
    /// Whose token it is.
    pub fn identity(&self) -> Identity {
        Identity::of_service_account(&self.namespace, &self.account, &self.uid)
    }
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Said {
    /// Made on request.
    Bound(Claims),
    /// Held by a Secret.
    OfSecret(OfSecret),
}

/// Makes tokens and checks them.
pub(crate) struct Tokens {
    keys: Keys,
    /// What tokens say whose signature was good, by their digest.
    checked: Mutex<HashMap<[u8; 32], Arc<Said>>>,
}

impl Tokens {
    /// With the keys of a directory.
    pub fn open(dir: &Path) -> Result<Tokens, PkiError> {
        Ok(Tokens { keys: Keys::open(dir)?, checked: Mutex::default() })
    }

    /// Signs what a token says.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, String> {
        let header = Header { kid: Some(self.keys.id.clone()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &self.keys.signing).map_err(|error| error.to_string())
    }

    /// What a token says that one of the keys has signed and that is good now, for one of these audiences.
    pub fn verify(
        &self,
        token: &str,
        audiences: &[&str],
        now: i64,
    ) -> Result<Arc<Said>, &'static str> {
        let said = self.signed(token)?;
        let claims = match &*said {
            Said::Bound(claims) => claims,
            Said::OfSecret(claims) if claims.iss != OF_SECRETS => return Err("issuer is not ours"),
            // They say no audience: they are for us.
            Said::OfSecret(_) if audiences.contains(&ISSUER) => return Ok(said),
            Said::OfSecret(_) => return Err(NOT_FOR_THEM),
        };
        if claims.iss != ISSUER {
            return Err("issuer is not ours");
        }
        if now >= claims.exp {
            return Err("token has expired");
        }
        if now < claims.nbf {
            return Err("token is not valid yet");
        }
        match claims.aud.iter().any(|one| audiences.contains(&one.as_str())) {
            true => Ok(said),
            false => Err(NOT_FOR_THEM),
        }
    }

    fn signed(&self, token: &str) -> Result<Arc<Said>, &'static str> {
        if token.len() > LONGEST {
            return Err("token is too long");
        }
        let digest: [u8; 32] = Sha256::digest(token).into();
        let checked = || self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(claims) = checked().get(&digest) {
            return Ok(Arc::clone(claims));
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| "token cannot be read")?;
        let key = header.kid.as_deref().and_then(|id| self.keys.get(id));
        let key = key.ok_or("token is signed by nobody known")?;
        let mut validation = Validation::new(Algorithm::ES256);
        // Times and audience are compared at each use.
        validation.required_spec_claims.clear();
        (validation.validate_exp, validation.validate_aud) = (false, false);
        let decoded = jsonwebtoken::decode::<Said>(token, key, &validation);
        let claims = Arc::new(decoded.map_err(|_| "token is not signed as it says")?.claims);
        let mut checked = checked();
        if checked.len() >= REMEMBERED {
            checked.clear();
        }
        checked.insert(digest, Arc::clone(&claims));
        Ok(claims)
    }

    /// The keys by which others check tokens.
    pub fn public_keys(&self) -> Value {
        self.keys.public()
    }
}

/// How others find the keys.
pub(crate) fn configuration() -> Value {
    json!({
        "issuer": ISSUER, "jwks_uri": format!("{ISSUER}/openid/v1/jwks"),
        "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    const NOW: i64 = 1_000_000;

    fn named(name: &str) -> Named {
        Named { name: name.to_owned(), uid: format!("uid-{name}") }
    }

    fn claims() -> Claims {
        let bound = Bound {
            namespace: "shop".to_owned(),
            node: Some(named("n")),
            pod: Some(named("p")),
            secret: None,
            serviceaccount: named("bot"),
        };
        Claims {
            aud: vec![ISSUER.to_owned()],
            exp: NOW + 600,
            iat: NOW,
            iss: ISSUER.to_owned(),
            jti: "one".to_owned(),
            bound,
            nbf: NOW,
            sub: "system:serviceaccount:shop:bot".to_owned(),
        }
    }

    fn opened() -> (tempfile::TempDir, Tokens) {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(dir.path()).unwrap();
        (dir, tokens)
    }

    #[test]
    fn what_was_signed_is_believed_while_it_is_good_and_for_whom_it_is() {
        let (dir, tokens) = opened();
        let token = tokens.sign(&claims()).unwrap();
        for _ in 0..2 {
            let known = tokens.verify(&token, &[ISSUER], NOW).unwrap();
            assert_eq!(*known, Said::Bound(claims()));
            assert!(tokens.verify(&token, &[ISSUER], NOW + 600).is_err());
            assert!(tokens.verify(&token, &[ISSUER], NOW - 1).is_err());
            assert!(tokens.verify(&token, &["vault"], NOW).is_err());
        }
        let who = claims().identity();
        assert_eq!(who.user, "system:serviceaccount:shop:bot");
        assert_eq!(who.extra["authentication.kubernetes.io/pod-uid"], ["uid-p"]);
        // Another start knows the key again.
        let again = Tokens::open(dir.path()).unwrap();
        assert!(again.verify(&token, &[ISSUER], NOW).is_ok());
    }

    /// Red when the token itself says how it is to be checked: whoever can write JSON is anybody.
    #[test]
    fn what_nobody_signed_is_refused() {
        let (_dir, tokens) = opened();
        let token = tokens.sign(&claims()).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let id = &tokens.keys.id;
        let none = encode(&format!(r#"{{"alg":"none","kid":"{id}"}}"#));
        let hmac = encode(&format!(r#"{{"alg":"HS256","kid":"{id}"}}"#));
        let lies = encode(&serde_json::to_string(&claims()).unwrap().replace("bot", "root"));
        let (_other, others) = opened();
        let foreign = others.sign(&claims()).unwrap();
        let forged = [
            format!("{none}.{}.", parts[1]),
            format!("{none}.{}.{}", parts[1], parts[2]),
            format!("{hmac}.{}.{}", parts[1], parts[2]),
            format!("{}.{lies}.{}", parts[0], parts[2]),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{}.{}", parts[0], parts[1]),
            foreign,
            String::new(),
            "..".to_owned(),
            "x".repeat(LONGEST + 1),
        ];
        for token in forged {
            assert!(tokens.verify(&token, &[ISSUER], NOW).is_err(), "{token}");
        }
    }

    #[test]
    fn an_old_key_is_believed_and_signs_no_more() {
        let (dir, tokens) = opened();
        let token = tokens.sign(&claims()).unwrap();
        let file = |name: &str| dir.path().join(name);
        std::fs::rename(file("sa.key"), file("sa-old.key")).unwrap();
        let tokens = Tokens::open(dir.path()).unwrap();
        assert!(tokens.verify(&token, &[ISSUER], NOW).is_ok());
        assert_eq!(tokens.public_keys()["keys"].as_array().unwrap().len(), 2);
        let new = tokens.sign(&claims()).unwrap();
        std::fs::remove_file(file("sa-old.key")).unwrap();
        let tokens = Tokens::open(dir.path()).unwrap();
        assert!(tokens.verify(&token, &[ISSUER], NOW).is_err());
        assert!(tokens.verify(&new, &[ISSUER], NOW).is_ok());
    }
}
