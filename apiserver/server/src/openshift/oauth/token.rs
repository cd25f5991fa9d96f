//! Codes and tokens: made, exchanged, shown to people.
//!
//! Knows: that a code is good once, and how long a token is. Refuses to know: who may exchange a code.

use http::header;
use jiff::Timestamp;
use leme_meta::Status;
use leme_oauth::{Asked, Client, Code, Exchange, Failure, Given, pages, token_name};
use leme_registry::{DeleteOptions, json};
use serde_json::{Value, json};

use super::super::kind;
use super::answers::{page, redirect, refused};
use super::authorize::GROUP;
use super::login::{self, Person};
use super::{Asking, secret};
use crate::answer::{self, Answer};
use crate::api::Api;
use crate::request::{ResourceRequest, Verb};
use crate::write::WriteOptions;

/// Who asks for tokens that people are shown.
pub(super) const BROWSER: &str = "openshift-browser-client";
/// Seconds that a token is good for where nobody says otherwise, and a code.
const DAY: i64 = 24 * 3600;
const CODE_LIFE: i64 = 300;

/// Sends somebody to log in and see a token.
pub(super) fn request(base: &str) -> Answer {
    let pairs = [
        ("client_id", BROWSER.to_owned()),
        ("redirect_uri", format!("{base}/oauth/token/display")),
        ("response_type", "code".to_owned()),
    ];
    redirect(&leme_oauth::with_query(&format!("{base}/oauth/authorize"), &pairs, false))
}

pub(super) fn implicit() -> Answer {
    page(200, pages::implicit())
}

/// Asks somebody who comes with a code whether they want to see their token: a page that is loaded ahead shows none.
pub(super) fn display(asking: &Asking) -> Result<Answer, Status> {
    let code = asking.query.get("code");
    if code.is_empty() {
        let why = match asking.query.get("error_description") {
            "" => "Error handling auth request: no code was sent",
            said => said,
        };
        return Ok(page(400, pages::failed(why)));
    }
    let csrf = login::token_against_others(asking)?;
    Ok(login::with_token(page(200, pages::display(code, &csrf)), &csrf))
}

/// Whether what was made at a time is over after so many seconds; never after none.
pub(super) fn is_over(object: &Value, now: i64) -> bool {
    let made = json::text(object, &["metadata", "creationTimestamp"]).parse::<Timestamp>();
    let seconds = json::int(object, &["expiresIn"]).unwrap_or(0);
    match made {
        _ if seconds == 0 => false,
        // What does not say when it was made is over.
        Err(_) => true,
        Ok(made) => made.as_second().saturating_add(seconds) <= now,
    }
}

impl Api {
    /// POST of a code, to be given a token.
    pub(super) async fn exchange_code(&self, asking: &Asking) -> Result<Answer, Status> {
        let form = asking.body.clone().and(asking.query.clone());
        let authorization = asking.headers.get(header::AUTHORIZATION);
        let authorization = authorization.and_then(|value| value.to_str().ok());
        let exchanged = match Exchange::read(&form, authorization) {
            Ok(exchange) => self.exchange(&exchange).await?,
            Err(failure) => Err(failure),
        };
        Ok(match exchanged {
            Err(failure) => refused(&failure, ""),
            Ok((token, seconds, scopes)) => {
                let document = json!({
                    "access_token": token, "expires_in": seconds, "scope": scopes.join(" "), "token_type": "Bearer",
                });
                answer::json(200, format!("{document}\n"))
            }
        })
    }

    async fn exchange(
        &self,
        exchange: &Exchange,
    ) -> Result<Result<(String, i64, Vec<String>), Failure>, Status> {
        let client = match exchange.by(self.client(&exchange.client)) {
            Ok(client) => client,
            Err(failure) => return Ok(Err(failure)),
        };
        let Some(code) = self.code(&exchange.code)? else {
            return Ok(Err(Code::UnauthorizedClient.into()));
        };
        let given = Given::read(&code);
        if let Err(failure) = exchange.check(&client, &given) {
            return Ok(Err(failure));
        }
        self.redeem(&client, &code, &given).await
    }

    /// What a code is of; nothing if there is no such code.
    fn code(&self, code: &str) -> Result<Option<Value>, Status> {
        let Some(name) = token_name(code) else { return Ok(None) };
        self.known(kind(GROUP, "oauthauthorizetokens")?, "", &name)
    }

    /// A token for a code, which is good no more: of two who show it, one takes it away.
    async fn redeem(
        &self,
        client: &Client,
        code: &Value,
        given: &Given,
    ) -> Result<Result<(String, i64, Vec<String>), Failure>, Status> {
        let of = |field: &str| json::text(code, &["metadata", field]).to_owned();
        let taken = ResourceRequest::of(
            Verb::Delete,
            kind(GROUP, "oauthauthorizetokens")?,
            "",
            &of("name"),
        );
        let options = DeleteOptions { uid: Some(of("uid")), ..DeleteOptions::default() };
        let taken = match self.delete_object(&taken, &options).await {
            Ok(taken) => taken.is_some(),
            Err(status) if status.code == 409 => false,
            Err(status) => return Err(status),
        };
        let person = (given.user.clone(), given.uid.clone());
        if !taken || is_over(code, Timestamp::now().as_second()) || !self.is_still(&person)? {
            return Ok(Err(Code::InvalidGrant.into()));
        }
        if given.scopes.is_empty() || given.scopes.iter().any(|scope| client.denies(scope)) {
            return Ok(Err(Code::InvalidGrant.into()));
        }
        let (token, seconds) =
            self.new_token(client, &person, &given.scopes, &given.redirect).await?;
        Ok(Ok((token, seconds, given.scopes.clone())))
    }

    /// Whether there is still that user of that name.
    fn is_still(&self, (name, uid): &Person) -> Result<bool, Status> {
        let user = self.known(kind("user.openshift.io", "users")?, "", name)?;
        Ok(user.is_some_and(|user| json::text(&user, &["metadata", "uid"]) == uid))
    }

    /// A new code for what a client asks.
    pub(super) async fn new_code(
        &self,
        asked: &Asked,
        (user, uid): &Person,
        scopes: &[String],
        (challenge, method): (&str, &str),
    ) -> Result<String, Status> {
        let code = secret()?;
        let mut object = json!({
            "clientName": asked.client.name, "expiresIn": CODE_LIFE, "scopes": scopes,
            "redirectURI": asked.redirect, "state": asked.state, "userName": user, "userUID": uid,
        });
        if !challenge.is_empty() {
            object["codeChallenge"] = challenge.into();
            object["codeChallengeMethod"] = method.into();
        }
        self.keep_secret("oauthauthorizetokens", &code, object).await?;
        Ok(code)
    }

    /// A new token of a client, and the seconds for which it is good; 0 is for ever.
    pub(super) async fn new_token(
        &self,
        client: &Client,
        (user, uid): &Person,
        scopes: &[String],
        redirect: &str,
    ) -> Result<(String, i64), Status> {
        let token = secret()?;
        let settings = self.known(kind("config.openshift.io", "oauths")?, "", "cluster")?;
        let settings = settings.unwrap_or_default();
        let usual = json::int(&settings, &["spec", "tokenConfig", "accessTokenMaxAgeSeconds"]);
        let usual = usual.filter(|seconds| *seconds > 0).unwrap_or(DAY);
        let seconds = client.max_age.unwrap_or(usual).max(0);
        let mut object = json!({
            "clientName": client.name, "expiresIn": seconds, "scopes": scopes,
            "redirectURI": redirect, "userName": user, "userUID": uid,
        });
        if let Some(idle) = client.inactivity.filter(|idle| *idle > 0) {
            object["inactivityTimeoutSeconds"] = idle.into();
        }
        self.keep_secret("oauthaccesstokens", &token, object).await?;
        Ok((token, seconds))
    }

    /// Keeps what a secret is of, under its digest.
    async fn keep_secret(
        &self,
        plural: &str,
        secret: &str,
        mut object: Value,
    ) -> Result<(), Status> {
        let row = kind(GROUP, plural)?;
        object["apiVersion"] = row.api_version().into();
        object["kind"] = (*row.kind).into();
        object["metadata"] = json!({ "name": token_name(secret) });
        let options = WriteOptions::plain();
        let create = ResourceRequest::of(Verb::Create, row, "", "");
        self.create_object(&create, options.writer(), object, &options).await.map(drop)
    }

    /// Somebody wants to see the token of a code that was given to this server's own page.
    pub(super) async fn display_token(&self, asking: &Asking) -> Result<Answer, Status> {
        if !login::is_ours(asking) {
            return Ok(answer::text(400, "Could not check CSRF token. Please try again.\n"));
        }
        let code = self.code(asking.body.get("code"))?;
        let given = code.as_ref().map(Given::read).filter(|given| given.client == BROWSER);
        let (Some(code), Some(given), Some(client)) = (code, given, self.client(BROWSER)) else {
            return Ok(page(
                400,
                pages::failed("Error getting token: the code is not good any more"),
            ));
        };
        Ok(match self.redeem(&client, &code, &given).await? {
            Ok((token, ..)) => page(200, pages::token(&token, &asking.base)),
            Err(_) => {
                page(400, pages::failed("Error getting token: the code is not good any more"))
            }
        })
    }
}
