//! What a client asks for on behalf of a user, before anybody knows who that is.
//!
//! Knows: which requests are answered by sending the user back, and where to. Refuses to know: who the user is.

use leme_access::Scope;
use leme_meta::quote;

use crate::client::Client;
use crate::failure::{Code, Failure};
use crate::form::{Form, with_query};

/// What a client wants to be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A code, to be exchanged for a token by who shows what the challenge was made of, if there is one.
    Code {
        /// Empty if there is none.
        challenge: String,
        /// `plain` or `S256`.
        method: String,
    },
    /// A token at once.
    Token,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// Who asks.
    pub client: Client,
    /// Where the user is sent back to.
    pub redirect: String,
    /// By what the client knows its request again.
    pub state: String,
    /// What it wants to be given.
    pub kind: Kind,
    scopes: Vec<String>,
}

/// How a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Where it was asked, with the client's state: nobody is sent to an address that is not the client's.
    Here(Failure, String),
    /// By sending the user back, to this address.
    Back(String),
}

/// Parameters that are there once.
const SINGLE: [&str; 7] = [
    "client_id",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
];

impl Asked {
    /// Reads a request.
    ///
    /// # Errors
    /// How it is refused.
    pub fn read(
        form: &Form,
        client: impl FnOnce(&str) -> Option<Client>,
    ) -> Result<Asked, Refused> {
        let state = form.get("state").to_owned();
        let here = |code: Code| Refused::Here(code.into(), state.clone());
        if SINGLE.iter().any(|name| form.all(name).count() > 1) {
            return Err(here(Code::InvalidRequest));
        }
        let client = client(form.get("client_id")).ok_or_else(|| here(Code::UnauthorizedClient))?;
        let first = client.first_redirect().ok_or_else(|| here(Code::UnauthorizedClient))?;
        let redirect = match form.get("redirect_uri") {
            // Who asks in a header goes nowhere: any address of the client's own will do.
            "" if client.only_redirect().is_some() || client.challenges => first.to_owned(),
            address => address.to_owned(),
        };
        if !client.sends_to(&redirect) {
            return Err(here(Code::InvalidRequest));
        }
        let back =
            |failure: Failure| Refused::Back(with_query(&redirect, &failure.pairs(&state), false));
        let kind = match form.get("response_type") {
            "code" => challenge(form).map_err(back)?,
            "token" => Kind::Token,
            _ => return Err(back(Code::UnsupportedResponseType.into())),
        };
        let scopes = form.get("scope").split_whitespace().map(str::to_owned).collect();
        Ok(Asked { client, redirect, state, kind, scopes })
    }

    /// The scopes that the client may have of those that it asks for; all that the user may do, if it says nothing.
    ///
    /// # Errors
    /// Which it may not have.
    pub fn scopes(&self) -> Result<Vec<String>, Failure> {
        let mut scopes = self.scopes.clone();
        if scopes.is_empty() {
            scopes.push("user:full".to_owned());
        }
        let wrong = scopes.iter().enumerate().filter_map(|(at, scope)| {
            let why = Scope::parse(scope).err()?;
            Some(format!("[{at}]: Invalid value: {}: {why}", quote(scope)))
        });
        let wrong: Vec<String> = wrong.collect();
        match wrong.as_slice() {
            [] => {}
            [one] => return Err(Failure::new(Code::InvalidScope, one)),
            all => return Err(Failure::new(Code::InvalidScope, format!("[{}]", all.join(", ")))),
        }
        let mut denied: Vec<&str> = scopes.iter().map(String::as_str).collect();
        denied.retain(|scope| self.client.denies(scope));
        denied.sort_unstable();
        denied.dedup();
        match denied.is_empty() {
            true => Ok(scopes),
            false => {
                let why = format!("scope denied: {}", denied.join(" "));
                Err(Failure::new(Code::AccessDenied, why))
            }
        }
    }

    /// Where the user is sent back to with nothing.
    pub fn refused(&self, failure: &Failure) -> String {
        with_query(&self.redirect, &failure.pairs(&self.state), false)
    }

    /// Where the user is sent back to with a code.
    pub fn with_code(&self, code: &str) -> String {
        let pairs = [("code", code.to_owned()), ("state", self.state.clone())];
        with_query(&self.redirect, &pairs, false)
    }

    /// Where the user is sent back to with a token that is good for so many seconds, if it ends.
    pub fn with_token(&self, token: &str, seconds: i64, scopes: &[String]) -> String {
        let mut pairs = vec![
            ("access_token", token.to_owned()),
            ("expires_in", seconds.to_string()),
            ("scope", scopes.join(" ")),
            ("token_type", "Bearer".to_owned()),
        ];
        if !self.state.is_empty() {
            pairs.push(("state", self.state.clone()));
        }
        with_query(&self.redirect, &pairs, true)
    }
}

/// Whether what was granted once holds all that is asked for.
pub fn covers(granted: &[String], asked: &[String]) -> bool {
    !asked.is_empty() && asked.iter().all(|one| granted.contains(one))
}

/// Whether it may be a challenge, or what one is made of.
pub(crate) fn is_of_pkce(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

fn challenge(form: &Form) -> Result<Kind, Failure> {
    let (challenge, method) = (form.get("code_challenge"), form.get("code_challenge_method"));
    let wrong = |why: &str| Failure::new(Code::InvalidRequest, why);
    if challenge.is_empty() {
        return Ok(Kind::Code { challenge: String::new(), method: String::new() });
    }
    if !["", "plain", "S256"].contains(&method) {
        return Err(wrong("code_challenge_method transform algorithm not supported (rfc7636)"));
    }
    if !is_of_pkce(challenge) {
        return Err(wrong("code_challenge invalid (rfc7636)"));
    }
    let method = if method.is_empty() { "plain" } else { method };
    Ok(Kind::Code { challenge: challenge.to_owned(), method: method.to_owned() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(query: &str) -> Result<Asked, Refused> {
        let client = |name: &str| {
            (name == "c").then(|| {
                Client::read(
                    &json!({ "metadata": { "name": "c" }, "redirectURIs": ["https://e/back"],
                    "scopeRestrictions": [{ "literals": ["user:info", "user:full"] }] }),
                )
            })
        };
        Asked::read(&Form::parse(query.as_bytes()), client)
    }

    fn here(query: &str) -> Code {
        match read(query) {
            Err(Refused::Here(failure, _)) => failure.code,
            other => panic!("{query}: {other:?}"),
        }
    }

    #[test]
    fn nobody_is_sent_to_an_address_that_is_not_the_clients() {
        assert_eq!(here("client_id=x&response_type=code"), Code::UnauthorizedClient);
        assert_eq!(here(""), Code::UnauthorizedClient);
        for other in ["https://e/back/x", "https://evil/", "//e/back", "javascript:alert(1)"] {
            assert_eq!(here(&format!("client_id=c&redirect_uri={other}")), Code::InvalidRequest);
        }
        let twice =
            "client_id=c&redirect_uri=https://e/back&redirect_uri=https://evil&response_type=code";
        assert_eq!(here(twice), Code::InvalidRequest);
        let back = |query: &str| match read(&format!("client_id=c&state=s&{query}")) {
            Err(Refused::Back(address)) => address,
            other => panic!("{query}: {other:?}"),
        };
        assert!(back("response_type=id_token").starts_with(
            "https://e/back?error=unsupported_response_type&error_description=The+auth"
        ));
        assert!(back("response_type=").ends_with("&state=s"));
        let short = back("response_type=code&code_challenge=short");
        assert!(
            short.contains("error_description=code_challenge+invalid+%28rfc7636%29"),
            "{short}"
        );
        let fit = "a".repeat(43);
        assert!(
            back(&format!("response_type=code&code_challenge={fit}&code_challenge_method=MD5"))
                .contains("not+supported")
        );
        assert!(
            back(&format!("response_type=code&code_challenge={}", "a".repeat(129)))
                .contains("invalid")
        );
        let asked = read(&format!("client_id=c&response_type=code&code_challenge={fit}")).unwrap();
        assert_eq!(asked.kind, Kind::Code { challenge: fit, method: "plain".to_owned() });
    }

    #[test]
    fn a_client_is_given_what_it_may_have() {
        let scopes = |query: &str| {
            read(&format!("client_id=c&response_type=token&scope={query}")).unwrap().scopes()
        };
        assert_eq!(scopes(""), Ok(vec!["user:full".to_owned()]));
        assert_eq!(scopes("user:info+user:info").unwrap().len(), 2);
        let why = |query: &str| scopes(query).unwrap_err().why;
        assert_eq!(why("x"), "[0]: Invalid value: \"x\": no scope handler found");
        assert_eq!(
            why("user:info+role:x+user:x"),
            "[[1]: Invalid value: \"role:x\": bad format for scope role:x, [2]: Invalid value: \"user:x\": no scope handler found]"
        );
        assert_eq!(
            why("user:info+user:list-projects+role:a:b"),
            "scope denied: role:a:b user:list-projects"
        );
        let asked = read("client_id=c&response_type=token&state=a%20b").unwrap();
        assert_eq!(
            asked.with_token("sha256~t", 60, &["user:info".to_owned()]),
            "https://e/back#access_token=sha256%7Et&expires_in=60&scope=user%3Ainfo&state=a+b&token_type=Bearer"
        );
        assert_eq!(asked.with_code("c"), "https://e/back?code=c&state=a+b");
        let (one, two) = (["a".to_owned()], ["a".to_owned(), "b".to_owned()]);
        assert!(covers(&two, &one) && !covers(&one, &two) && !covers(&one, &[]));
    }
}
