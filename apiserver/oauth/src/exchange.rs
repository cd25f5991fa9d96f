//! A code that is exchanged for a token.
//!
//! Knows: who may do it. Refuses to know: where codes are kept, and that each is good once.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::authorize::is_of_pkce;
use crate::client::Client;
use crate::failure::{Code, Failure};
use crate::form::{Form, basic};
use crate::secret::same;

/// What a client sends to be given a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The client's name.
    pub client: String,
    secret: String,
    /// The code.
    pub code: String,
    verifier: String,
    redirect: String,
}

/// What a code was given for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// To which client.
    pub client: String,
    /// With which address to send the user back to.
    pub redirect: String,
    /// For which scopes.
    pub scopes: Vec<String>,
    /// On behalf of whom.
    pub user: String,
    /// Which user of that name.
    pub uid: String,
    challenge: String,
    method: String,
}

impl Given {
    /// Reads an OAuthAuthorizeToken.
    pub fn read(object: &Value) -> Given {
        let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or("").to_owned();
        let scopes = object.get("scopes").and_then(Value::as_array).into_iter().flatten();
        Given {
            client: text("clientName"),
            redirect: text("redirectURI"),
            scopes: scopes.filter_map(Value::as_str).map(str::to_owned).collect(),
            user: text("userName"),
            uid: text("userUID"),
            challenge: text("codeChallenge"),
            method: text("codeChallengeMethod"),
        }
    }
}

impl Exchange {
    /// Reads what a client sends; it says who it is in the form, or in a header.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(form: &Form, authorization: Option<&str>) -> Result<Exchange, Failure> {
        match form.get("grant_type") {
            "authorization_code" => {}
            "refresh_token" => return Err(Code::InvalidGrant.into()),
            "password" | "client_credentials" | "urn:ietf:params:oauth:grant-type:saml2-bearer" => {
                return Err(Code::AccessDenied.into());
            }
            _ => return Err(Code::UnsupportedGrantType.into()),
        }
        let (client, secret) = match form.get("client_id") {
            id if form.has("client_secret") && !id.is_empty() => {
                (id.to_owned(), form.get("client_secret").to_owned())
            }
            _ => {
                let (id, secret) =
                    authorization.and_then(basic).ok_or(Failure::from(Code::InvalidRequest))?;
                let decoded = |text: &str| {
                    let form = Form::parse(format!("x={text}").as_bytes());
                    form.get("x").to_owned()
                };
                (decoded(&id), decoded(&secret))
            }
        };
        let text = |name: &str| form.get(name).to_owned();
        if form.get("code").is_empty() {
            return Err(Code::InvalidGrant.into());
        }
        let (code, verifier, redirect) =
            (text("code"), text("code_verifier"), text("redirect_uri"));
        Ok(Exchange { client, secret, code, verifier, redirect })
    }

    /// The client that shows its secret.
    ///
    /// # Errors
    /// When there is no such client, or it is not it.
    pub fn by(&self, client: Option<Client>) -> Result<Client, Failure> {
        let client = client.filter(|client| client.has_secret(&self.secret));
        let client = client.filter(|client| client.first_redirect().is_some());
        client.ok_or(Code::UnauthorizedClient.into())
    }

    /// Whether a code is good for a client that shows it.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check(&self, client: &Client, given: &Given) -> Result<(), Failure> {
        if given.client != client.name {
            return Err(Code::InvalidGrant.into());
        }
        let redirect = match self.redirect.as_str() {
            "" => client.first_redirect().unwrap_or(""),
            said => said,
        };
        if redirect != given.redirect || !client.sends_to(redirect) {
            return Err(Code::InvalidRequest.into());
        }
        if given.challenge.is_empty() {
            return Ok(());
        }
        if !is_of_pkce(&self.verifier) {
            return Err(Code::InvalidRequest.into());
        }
        let shown = match given.method.as_str() {
            "" | "plain" => self.verifier.clone(),
            "S256" => URL_SAFE_NO_PAD.encode(Sha256::digest(&self.verifier)),
            _ => return Err(Code::InvalidRequest.into()),
        };
        match same(&shown, &given.challenge) {
            true => Ok(()),
            false => Err(Code::InvalidGrant.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(form: &str, header: Option<&str>) -> Result<Exchange, Code> {
        Exchange::read(&Form::parse(form.as_bytes()), header).map_err(|failure| failure.code)
    }

    #[test]
    fn a_client_says_who_it_is_and_shows_a_code() {
        let good = "grant_type=authorization_code&code=x&client_id=c&client_secret=";
        assert_eq!(read(good, None).unwrap().client, "c");
        // `openshift-challenging-client:` in a header, as `oc` sends it.
        let header = "Basic b3BlbnNoaWZ0LWNoYWxsZW5naW5nLWNsaWVudDo=";
        let bare = "grant_type=authorization_code&code=x";
        let exchange = read(bare, Some(header)).unwrap();
        assert_eq!(
            (exchange.client.as_str(), exchange.secret.as_str()),
            ("openshift-challenging-client", "")
        );
        assert_eq!(read(bare, None), Err(Code::InvalidRequest));
        assert_eq!(read("grant_type=authorization_code", Some(header)), Err(Code::InvalidGrant));
        assert_eq!(
            read("grant_type=password&username=a&password=b", Some(header)),
            Err(Code::AccessDenied)
        );
        assert_eq!(read("grant_type=refresh_token", Some(header)), Err(Code::InvalidGrant));
        assert_eq!(read("", Some(header)), Err(Code::UnsupportedGrantType));
        let client = |secret: &str| {
            Client::read(&json!({ "secret": secret, "redirectURIs": ["https://e"] }))
        };
        assert!(exchange.by(Some(client(""))).is_ok());
        assert!(exchange.by(Some(client("s"))).is_err() && exchange.by(None).is_err());
    }

    #[test]
    fn a_code_is_good_for_who_asked_for_it() {
        let client = Client::read(
            &json!({ "metadata": { "name": "c" }, "redirectURIs": ["https://e/b", "http://127.0.0.1/callback"] }),
        );
        // As the appendix of RFC 7636 has it.
        let (verifier, challenge) = (
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        );
        let check = |given: Value, verifier: &str, redirect: &str| {
            let form = format!(
                "grant_type=authorization_code&code=x&client_id=c&client_secret=&code_verifier={verifier}&redirect_uri={redirect}"
            );
            let exchange = read(&form, None).unwrap();
            exchange.check(&client, &Given::read(&given)).map_err(|failure| failure.code)
        };
        let given = json!({ "clientName": "c", "redirectURI": "https://e/b", "codeChallenge": challenge, "codeChallengeMethod": "S256" });
        let with = |field: &str, value: &str| {
            let mut other = given.clone();
            other[field] = value.into();
            other
        };
        assert_eq!(check(given.clone(), verifier, "https://e/b"), Ok(()));
        assert_eq!(check(given.clone(), verifier, ""), Ok(()));
        assert_eq!(check(given.clone(), challenge, ""), Err(Code::InvalidGrant));
        assert_eq!(check(given.clone(), "", ""), Err(Code::InvalidRequest));
        assert_eq!(check(given.clone(), verifier, "https://e/other"), Err(Code::InvalidRequest));
        assert_eq!(check(with("clientName", "d"), verifier, ""), Err(Code::InvalidGrant));
        assert_eq!(
            check(with("codeChallengeMethod", "plain"), verifier, ""),
            Err(Code::InvalidGrant)
        );
        assert_eq!(check(with("codeChallengeMethod", "plain"), challenge, ""), Ok(()));
        assert_eq!(
            check(with("codeChallengeMethod", "x"), verifier, ""),
            Err(Code::InvalidRequest)
        );
        assert_eq!(check(with("codeChallenge", ""), "", ""), Ok(()));
        let local = with("redirectURI", "http://127.0.0.1:4711/callback");
        assert_eq!(check(local.clone(), verifier, "http://127.0.0.1:4711/callback"), Ok(()));
        assert_eq!(
            check(local, verifier, "http://127.0.0.1:4712/callback"),
            Err(Code::InvalidRequest)
        );
    }
}
