//! `/oauth/authorize`: a client sends a user here, or shows their password, and is given a code or a token.
//!
//! Knows: in which order it is asked who the user is and what the client may have. Refuses to know: how a request reads.

use http::{HeaderValue, header};
use jiff::Timestamp;
use leme_access::scope::Scope;
use leme_meta::Status;
use leme_oauth::{Asked, Client, Code, Failure, Form, Grant, Kind, Refused, covers, pages};
use leme_registry::{DeleteOptions, Target, json};
use serde_json::{Value, json};

use super::super::{kind, put};
use super::answers::{page, redirect, refused, with_cookie};
use super::login::{self, NotIn, Person, SESSION_COOKIE};
use super::{Asking, OAuth};
use crate::answer::{self, Answer};
use crate::api::Api;
use crate::request::{ResourceRequest, Verb};
use crate::write::WriteOptions;

pub(super) const GROUP: &str = "oauth.openshift.io";
/// Without this header nobody is asked for a password by one: a browser that was led here does not send it.
const CSRF_HEADER: &str = "x-csrf-token";
const NEEDS_HEADER: &str =
    "A non-empty X-CSRF-Token header is required to receive basic-auth challenges";

impl Api {
    /// A client as its object says.
    pub(super) fn client(&self, name: &str) -> Option<Client> {
        let object = self.known(kind(GROUP, "oauthclients").ok()?, "", name).ok()??;
        Some(Client::read(&object))
    }

    /// GET or POST of a client's request.
    pub(super) async fn authorize_client(
        &self,
        oauth: &OAuth,
        asking: &Asking,
    ) -> Result<Answer, Status> {
        let form = asking.query.clone().and(asking.body.clone());
        let asked = match Asked::read(&form, |name| self.client(name)) {
            Ok(asked) => asked,
            Err(Refused::Here(failure, state)) => return Ok(refused(&failure, &state)),
            Err(Refused::Back(address)) => return Ok(redirect(&address)),
        };
        if form.has("error") {
            // Somebody said no on a page of ours.
            return Ok(redirect(&asked.refused(&Code::AccessDenied.into())));
        }
        let person = match self.person_of(oauth, asking).await? {
            Ok(person) => person,
            Err(NotIn::Wrong) => return Ok(log_in_first(&asked, asking)),
            Err(other) => {
                return Ok(login::refused(other).unwrap_or_else(|| log_in_first(&asked, asking)));
            }
        };
        let granted = asked.scopes().and_then(|scopes| {
            let may = self.has_granted(&asked, &person, &scopes)?;
            Ok((scopes, may))
        });
        let answered = match granted {
            Err(failure) => redirect(&asked.refused(&failure)),
            // Whoever is asked is still to be known afterwards.
            Ok((scopes, Some(false))) => return Ok(ask(&asked, asking, &scopes)),
            Ok((_, None)) => redirect(&asked.refused(&Code::AccessDenied.into())),
            Ok((scopes, Some(true))) => redirect(&self.give(&asked, &person, scopes).await?),
        };
        Ok(with_cookie(answered, SESSION_COOKIE, ""))
    }

    /// Who the user is: by the cookie of the page, or by a password in a header.
    async fn person_of(
        &self,
        oauth: &OAuth,
        asking: &Asking,
    ) -> Result<Result<Person, NotIn>, Status> {
        let now = Timestamp::now().as_second();
        if let Some(person) = oauth.sessions.user(asking.cookie(SESSION_COOKIE), now) {
            return Ok(Ok(person));
        }
        match leme_oauth::basic(asking.header(header::AUTHORIZATION)) {
            Some((user, password)) => self.person(oauth, (&user, &password), asking.from).await,
            None => Ok(Err(NotIn::Wrong)),
        }
    }

    /// Whether a client may act for a user; nothing if it may not, whatever the user says.
    fn has_granted(
        &self,
        asked: &Asked,
        (user, uid): &Person,
        scopes: &[String],
    ) -> Result<Option<bool>, Failure> {
        let name = format!("{user}:{}", asked.client.name);
        let kept = kind(GROUP, "oauthclientauthorizations")
            .and_then(|kind| self.known(kind, "", &name))
            .map_err(|_| Failure::from(Code::ServerError))?;
        let of_user = kept.filter(|kept| json::text(kept, &["userUID"]) == uid);
        let granted = of_user.map_or_else(Vec::new, |kept| texts(&kept, "scopes"));
        Ok(match asked.client.grant {
            _ if covers(&granted, scopes) => Some(true),
            Grant::Auto => Some(true),
            Grant::Prompt => Some(false),
            Grant::Deny => None,
        })
    }

    /// Gives a client what it asked for; where the user goes on.
    async fn give(
        &self,
        asked: &Asked,
        person: &Person,
        scopes: Vec<String>,
    ) -> Result<String, Status> {
        Ok(match &asked.kind {
            Kind::Token => {
                let made = self.new_token(&asked.client, person, &scopes, &asked.redirect).await?;
                asked.with_token(&made.0, made.1, &scopes)
            }
            Kind::Code { challenge, method } => {
                let pkce = (challenge.as_str(), method.as_str());
                asked.with_code(&self.new_code(asked, person, &scopes, pkce).await?)
            }
        })
    }

    /// The page on which a user says whether a client may act for them.
    pub(super) fn ask_for_grant(&self, oauth: &OAuth, asking: &Asking) -> Result<Answer, Status> {
        let now = Timestamp::now().as_second();
        let user = oauth.sessions.user(asking.cookie(SESSION_COOKIE), now);
        let then = asking.query.get("then");
        let Some((user, _)) = user.filter(|_| leads_back(then)) else { return Ok(redirect("/")) };
        let Ok(asked) = self.asked_by(then) else {
            return Ok(page(400, pages::failed("Could not find client for client_id")));
        };
        let Ok(scopes) = asked.scopes() else {
            return Ok(page(400, pages::failed("The client asks for scopes that it may not have")));
        };
        let told =
            scopes.iter().map(|scope| (scope.clone(), Scope::told(scope).unwrap_or_default()));
        let told: Vec<(String, String)> = told.collect();
        let csrf = login::token_against_others(asking)?;
        let shown = pages::approve(&pages::Approval {
            client: &asked.client.name,
            user: &user,
            scopes: &told,
            then,
            csrf: &csrf,
        });
        Ok(login::with_token(page(200, shown), &csrf))
    }

    fn asked_by(&self, then: &str) -> Result<Asked, Refused> {
        let query = then.split_once('?').map_or("", |(_, query)| query);
        Asked::read(&Form::parse(query.as_bytes()), |name| self.client(name))
    }

    /// What the user said.
    pub(super) async fn take_grant(
        &self,
        oauth: &OAuth,
        asking: &Asking,
    ) -> Result<Answer, Status> {
        let failed = |why: &str| Ok(page(400, pages::failed(why)));
        if !login::is_ours(asking) {
            return failed("Invalid CSRF token");
        }
        let then = asking.body.get("then");
        let now = Timestamp::now().as_second();
        let person = oauth.sessions.user(asking.cookie(SESSION_COOKIE), now);
        let Some(person) = person.filter(|_| leads_back(then)) else {
            return failed("You must reauthenticate before continuing");
        };
        if person.0 != asking.body.get("user_name") {
            return failed("User did not match");
        }
        let Ok(asked) = self.asked_by(then) else {
            return failed("Could not find client for client_id");
        };
        let wanted = asked.scopes().unwrap_or_default();
        let scopes: Vec<String> = asking.body.all("scope").map(str::to_owned).collect();
        if asking.body.get("approve").is_empty() || scopes.is_empty() {
            return Ok(redirect(&asked.refused(&Code::AccessDenied.into())));
        }
        if !scopes.iter().all(|scope| wanted.contains(scope)) {
            return failed("The client asks for scopes that it may not have");
        }
        self.keep_grant(&asked.client.name, &person, scopes).await?;
        Ok(redirect(then))
    }

    /// Keeps what a user has granted, with what they had granted before.
    async fn keep_grant(
        &self,
        client: &str,
        (user, uid): &Person,
        scopes: Vec<String>,
    ) -> Result<(), Status> {
        let row = kind(GROUP, "oauthclientauthorizations")?;
        let name = format!("{user}:{client}");
        let options = WriteOptions::plain();
        let request = ResourceRequest::of(Verb::Update, row, "", &name);
        let kept = self.known(row, "", &name)?;
        if let Some(other) = kept.filter(|kept| json::text(kept, &["userUID"]) != uid) {
            // Another user of that name has granted it, who is gone.
            let uid = Some(json::text(&other, &["metadata", "uid"]).to_owned());
            let gone = ResourceRequest::of(Verb::Delete, row, "", &name);
            let options = DeleteOptions { uid, ..DeleteOptions::default() };
            self.delete_object(&gone, &options).await?;
        }
        let context = self.context(&request, &options);
        let changed = self.change(&request, false, |stored, reservation| {
            let mut all = texts(&stored.value, "scopes");
            all.extend(scopes.iter().cloned());
            all.sort();
            all.dedup();
            let mut new = stored.value.clone();
            json::set(&mut new, "scopes", all);
            let target = (Target::Main, options.writer());
            put(&context, target, new, stored, reservation)
        });
        if changed.await?.is_some() {
            return Ok(());
        }
        let object = json!({
            "apiVersion": row.api_version(), "kind": &*row.kind, "metadata": { "name": name },
            "clientName": client, "userName": user, "userUID": uid, "scopes": scopes,
        });
        let create = ResourceRequest::of(Verb::Create, row, "", "");
        self.create_object(&create, options.writer(), object, &options).await.map(drop)
    }
}

pub(super) fn texts(object: &Value, field: &str) -> Vec<String> {
    let list = json::list(object, &[field]).iter().filter_map(Value::as_str);
    list.map(str::to_owned).collect()
}

/// Whether an address leads back to where a client has asked.
fn leads_back(then: &str) -> bool {
    leme_oauth::is_on_this_server(then) && then.starts_with("/oauth/authorize?")
}

/// Sends a user to the page on which they say whether the client may act for them.
fn ask(asked: &Asked, asking: &Asking, scopes: &[String]) -> Answer {
    let pairs = [
        ("then", asking.target.clone()),
        ("client_id", asked.client.name.clone()),
        ("scope", scopes.join(" ")),
        ("redirect_uri", asked.redirect.clone()),
    ];
    redirect(&leme_oauth::with_query("/oauth/authorize/approve", &pairs, false))
}

/// How it is found out who the user is.
fn log_in_first(asked: &Asked, asking: &Asking) -> Answer {
    if !asked.client.challenges {
        let pairs = [("then", asking.target.clone())];
        return redirect(&leme_oauth::with_query("/login", &pairs, false));
    }
    let is_meant = asking.headers.get(CSRF_HEADER).is_some_and(|value| !value.is_empty());
    if is_meant {
        let mut answer = answer::text(401, "");
        let challenge = HeaderValue::from_static("Basic realm=\"openshift\"");
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        return answer;
    }
    let mut answer = answer::text(401, format!("{NEEDS_HEADER}\n"));
    if let Ok(warning) = HeaderValue::from_str(&format!("199 Origin \"{NEEDS_HEADER}\"")) {
        answer.headers_mut().insert(header::WARNING, warning);
    }
    answer
}
