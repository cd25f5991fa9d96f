//! Who asks, and what they may.
//!
//! Knows: tokens as docker's clients show them, TokenReviews, SubjectAccessReviews, and how long a verdict is good. Refuses
//! to know: what is asked for beyond a repository and a right.
//!
//! Whoever shows nothing is asked for something; whoever is known and may not is told so. A verdict is remembered for seconds,
//! under the digest of what was shown.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::{HeaderMap, StatusCode, header};
use leme_client::Client;
use leme_host::images::Repository;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::answer::{Answer, Code, Outcome, Refusal, with_json};

/// How long a verdict is good.
const GOOD: Duration = Duration::from_secs(5);
/// Verdicts that are remembered at most, of each kind.
const REMEMBERED: usize = 4096;
/// What is given to who wants a token and shows nothing: nobody's.
const ANONYMOUS: &str = "anonymous";
/// Bytes of a token at most.
const TOKEN: usize = 16 << 10;

/// What somebody may want to do with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Right {
    Pull,
    Push,
    /// As OpenShift has it: who may delete images of all.
    Delete,
}

/// Somebody, as the API server knows them.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    /// What the API server says of them.
    user: Value,
    /// What they have shown, if anything.
    pub token: Option<String>,
    /// What verdicts are remembered by.
    mark: [u8; 32],
}

impl Who {
    fn nobody() -> Who {
        let user = json!({ "username": "system:anonymous", "groups": ["system:unauthenticated"] });
        Who { user, token: None, mark: [0; 32] }
    }

    /// Their name.
    pub fn name(&self) -> &str {
        self.user["username"].as_str().unwrap_or_default()
    }
}

/// Asks the API server, as the registry itself.
pub(crate) struct Auth {
    client: Client,
    known: Verdicts<[u8; 32], Option<Value>>,
    allowed: Verdicts<([u8; 32], Right, Repository), bool>,
}

impl Auth {
    pub fn new(client: Client) -> Auth {
        Auth { client, known: Verdicts::default(), allowed: Verdicts::default() }
    }

    /// Who has made a request.
    pub async fn who(&self, headers: &HeaderMap) -> Result<Who, Refusal> {
        match shown(headers) {
            None => Ok(Who::nobody()),
            Some(token) if token == ANONYMOUS => Ok(Who::nobody()),
            Some(token) => self.known_by(token).await,
        }
    }

    async fn known_by(&self, token: String) -> Result<Who, Refusal> {
        let unknown = || Refusal::new(Code::Unauthorized, "authentication required");
        if token.is_empty() || token.len() > TOKEN {
            return Err(unknown());
        }
        let mark: [u8; 32] = Sha256::digest(&token).into();
        let user = match self.known.get(&mark) {
            Some(user) => user,
            None => {
                let user = self.review(&token).await?;
                self.known.put(mark, user.clone());
                user
            }
        };
        user.map(|user| Who { user, token: Some(token), mark }).ok_or_else(unknown)
    }

    async fn review(&self, token: &str) -> Result<Option<Value>, Refusal> {
        let asked = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": { "token": token } });
        let path = "/apis/authentication.k8s.io/v1/tokenreviews";
        let said = self.client.post(path, &asked).await;
        let said = said.map_err(|error| Refusal::own("ask who that is", error.message()))?;
        let status = &said["status"];
        Ok((status["authenticated"] == true).then(|| status["user"].clone()))
    }

    /// Whether somebody may do something with a repository.
    pub async fn may(&self, who: &Who, right: Right, of: &Repository) -> Result<bool, Refusal> {
        let key = (who.mark, right, of.clone());
        if let Some(verdict) = self.allowed.get(&key) {
            return Ok(verdict);
        }
        let resource = match right {
            Right::Pull | Right::Push => json!({
                "group": "image.openshift.io", "resource": "imagestreams", "subresource": "layers",
                "verb": if right == Right::Pull { "get" } else { "update" },
                "namespace": of.namespace, "name": of.name,
            }),
            Right::Delete => {
                json!({ "group": "image.openshift.io", "resource": "images", "verb": "delete" })
            }
        };
        let user = &who.user;
        let asked = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {
                "user": user["username"], "uid": user["uid"], "groups": user["groups"],
                "extra": user["extra"], "resourceAttributes": resource,
            },
        });
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let said = self.client.post(path, &asked).await;
        let said = said.map_err(|error| Refusal::own("ask who may", error.message()))?;
        let verdict = said["status"]["allowed"] == true;
        self.allowed.put(key, verdict);
        Ok(verdict)
    }

    /// Refuses who may not.
    pub async fn must(&self, who: &Who, right: Right, of: &Repository) -> Result<(), Refusal> {
        if self.may(who, right, of).await? {
            return Ok(());
        }
        if who.token.is_none() {
            return Err(Refusal::new(Code::Unauthorized, "authentication required"));
        }
        let what = match right {
            Right::Pull => "pull from",
            Right::Push => "push to",
            Right::Delete => "delete from",
        };
        let why = format!("{} may not {what} {of}", who.name());
        Err(Refusal::new(Code::Denied, why))
    }

    /// What is given to who asks for a token: what they have shown as a password, once it is known to be somebody's.
    pub async fn token(&self, headers: &HeaderMap) -> Outcome {
        let token = match self.who(headers).await?.token {
            Some(token) => token,
            None => ANONYMOUS.to_owned(),
        };
        let body = json!({ "token": token, "access_token": token, "expires_in": 60 });
        let mut answer = with_json(StatusCode::OK, "application/json", &body);
        answer
            .headers_mut()
            .insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
        Ok(answer)
    }
}

/// Asks who is refused for lack of a token for one, in both ways.
pub(crate) fn challenge(refusal: Refusal, headers: &HeaderMap, scope: Option<&str>) -> Answer {
    if refusal.code != Code::Unauthorized {
        return refusal.into_answer();
    }
    let mut bearer = String::new();
    if let Some(host) =
        headers.get(header::HOST).and_then(|host| host.to_str().ok()).filter(|host| is_host(host))
    {
        bearer = format!("Bearer realm=\"https://{host}/openshift/token\"");
        if let Some(scope) = scope {
            bearer.push_str(&format!(",scope=\"{scope}\""));
        }
    }
    let refusal = match bearer.is_empty() {
        true => refusal,
        false => refusal.with(header::WWW_AUTHENTICATE, bearer),
    };
    refusal.with(header::WWW_AUTHENTICATE, "Basic realm=\"openshift\"").into_answer()
}

/// A host with a port or without, as it may stand in a header of ours.
fn is_host(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-:[]".contains(&b);
    !text.is_empty() && text.len() <= 255 && text.bytes().all(plain)
}

/// What a request shows: a token, or one as the password of anybody.
fn shown(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok().unwrap_or("?");
    // What cannot be read is nobody's token.
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Some(String::new());
    }
    let bytes = STANDARD.decode(rest).or_else(|_| STANDARD_NO_PAD.decode(rest)).unwrap_or_default();
    let pair = String::from_utf8(bytes).unwrap_or_default();
    Some(pair.split_once(':').map_or("", |(_, password)| password).to_owned())
}

/// What was decided a moment ago.
struct Verdicts<K, V>(Mutex<HashMap<K, (Instant, V)>>);

impl<K, V> Default for Verdicts<K, V> {
    fn default() -> Self {
        Verdicts(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Verdicts<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, verdict) = known.get(key)?;
        (since.elapsed() < GOOD).then(|| verdict.clone())
    }

    fn put(&self, key: K, verdict: V) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            // They are asked for again.
            known.clear();
        }
        known.insert(key, (Instant::now(), verdict));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_by_itself_or_as_a_password() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for (header, expected) in [
            ("Bearer abc".to_owned(), "abc"),
            ("bearer  abc".to_owned(), "abc"),
            (basic("anybody:abc"), "abc"),
            (basic(":abc"), "abc"),
            (basic("abc"), ""),
            ("Basic ***".to_owned(), ""),
            ("Negotiate x".to_owned(), ""),
            (String::new(), ""),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, header.parse().unwrap());
            assert_eq!(shown(&headers).as_deref(), Some(expected), "{header}");
        }
        assert_eq!(shown(&HeaderMap::new()), None);
    }

    #[test]
    fn verdicts_are_no_more_than_are_remembered() {
        let all = Verdicts::default();
        for key in 0..2 * REMEMBERED {
            all.put(key, true);
        }
        assert!((1..=REMEMBERED).contains(&all.0.lock().unwrap().len()));
        assert_eq!(all.get(&(2 * REMEMBERED)), None);
    }
}
