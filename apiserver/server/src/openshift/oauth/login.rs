//! The page on which people show their password, and who looks at it.
//!
//! Knows: how often it may be tried. Refuses to know: how passwords are kept.

use std::net::IpAddr;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use leme_meta::Status;
use leme_oauth::{Attempts, Passwords, is_on_this_server, pages, same};

use super::answers::{page, redirect, too_many, with_cookie};
use super::{Asking, File, OAuth, PROVIDER, SESSION, chance};
use crate::answer::Answer;
use crate::api::Api;

/// The cookie that says that somebody has just shown their password.
pub(super) const SESSION_COOKIE: &str = "ssn";
/// The cookie against forms of others.
const CSRF: &str = "csrf";
/// Bytes of a user's name at most, as upstream has it.
const LONGEST_NAME: usize = 255;

/// A user by name and uid.
pub(super) type Person = (String, String);

/// Why nobody is logged in.
pub(super) enum NotIn {
    /// There is no such user with that password.
    Wrong,
    /// Not before so many seconds.
    TooMany(u64),
    /// The password is right, and nobody is to be logged in by it.
    Nobody(String),
}

fn locked<T>(mutex: &std::sync::Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a form is told of by cookie and by field: they are the same only in a form of ours.
pub(super) fn token_against_others(asking: &Asking) -> Result<String, Status> {
    let known = asking.cookie(CSRF);
    if !known.is_empty() {
        return Ok(known.to_owned());
    }
    Ok(chance()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

pub(super) fn with_token(answer: Answer, token: &str) -> Answer {
    with_cookie(answer, CSRF, token)
}

/// Whether a form is one of ours.
pub(super) fn is_ours(asking: &Asking) -> bool {
    let (known, said) = (asking.cookie(CSRF), asking.body.get(CSRF));
    !said.is_empty() && same(known, said)
}

/// What a person is told of why they see the page again.
fn told(reason: &str) -> &'static str {
    match reason {
        "" => "",
        "user_required" => "Login is required. Please try again.",
        "token_expired" => "Could not check CSRF token. Please try again.",
        "too_many" => "Too many failed logins. Please try again later.",
        "mapping" => "Could not find or create a user for this login.",
        _ => "Invalid login or password. Please try again.",
    }
}

/// The page.
pub(super) fn form(asking: &Asking) -> Result<Answer, Status> {
    let then = asking.query.get("then");
    if !is_on_this_server(then) {
        return Ok(redirect("/"));
    }
    let token = token_against_others(asking)?;
    let page = page(200, pages::login(then, &token, told(asking.query.get("reason"))));
    Ok(with_token(page, &token))
}

/// The end of a session.
pub(super) fn out(asking: &Asking) -> Answer {
    let then = asking.body.get("then");
    let then = if is_on_this_server(then) { then } else { "/" };
    with_cookie(redirect(then), SESSION_COOKIE, "")
}

fn again(then: &str, reason: &str) -> Answer {
    let pairs = [("reason", reason.to_owned()), ("then", then.to_owned())];
    redirect(&leme_oauth::with_query("/login", &pairs, false))
}

impl Api {
    /// Somebody shows their password in the form.
    pub(super) async fn log_in(&self, oauth: &OAuth, asking: &Asking) -> Result<Answer, Status> {
        let then = asking.body.get("then");
        if !is_on_this_server(then) {
            return Ok(redirect("/"));
        }
        if !is_ours(asking) {
            return Ok(again(then, "token_expired"));
        }
        let (user, password) = (asking.body.get("username"), asking.body.get("password"));
        if user.is_empty() {
            return Ok(again(then, "user_required"));
        }
        match self.person(oauth, (user, password), asking.from).await? {
            Ok((name, uid)) => {
                let end = Timestamp::now().as_second() + SESSION;
                let cookie = oauth.sessions.cookie((&name, &uid), end).unwrap_or_default();
                Ok(with_cookie(redirect(then), SESSION_COOKIE, &cookie))
            }
            Err(NotIn::Wrong) => Ok(again(then, "access_denied")),
            Err(NotIn::TooMany(_)) => Ok(again(then, "too_many")),
            Err(NotIn::Nobody(_)) => Ok(again(then, "mapping")),
        }
    }

    /// The user whose password this is.
    pub(super) async fn person(
        &self,
        oauth: &OAuth,
        (user, password): (&str, &str),
        from: Option<IpAddr>,
    ) -> Result<Result<Person, NotIn>, Status> {
        if user.is_empty() || user.len() > LONGEST_NAME || password.is_empty() {
            return Ok(Err(NotIn::Wrong));
        }
        match oauth.knows(user, password, from).await {
            Ok(true) => {}
            Ok(false) => return Ok(Err(NotIn::Wrong)),
            Err(Some(wait)) => return Ok(Err(NotIn::TooMany(wait.as_secs() + 1))),
            Err(None) => return Err(Status::internal("the passwords cannot be read")),
        }
        match self.user_for(PROVIDER, user).await {
            Ok(person) => Ok(Ok(person)),
            Err(status) if status.code >= 500 => Err(status),
            Err(status) => {
                tracing::warn!(login = user, error = %status, "a login is of no user");
                Ok(Err(NotIn::Nobody(status.message)))
            }
        }
    }
}

/// What a client is told who shows passwords in a header.
pub(super) fn refused(why: NotIn) -> Option<Answer> {
    match why {
        NotIn::Wrong => None,
        NotIn::TooMany(seconds) => Some(too_many(seconds)),
        NotIn::Nobody(why) => {
            Some(crate::answer::text(403, format!("Could not create user: {why}\n")))
        }
    }
}

impl OAuth {
    /// The passwords as the file has them now.
    pub(super) fn passwords(&self) -> Result<Arc<Passwords>, String> {
        let shown = self.path.display();
        let told = |error: std::io::Error| format!("passwords in {shown}: {error}");
        let about = std::fs::metadata(&self.path).map_err(told)?;
        let of = (about.modified().map_err(told)?, about.len());
        let mut file = locked(&self.file);
        if file.of != Some(of) {
            let text = std::fs::read(&self.path).map_err(told)?;
            let (passwords, wrong) = Passwords::read(&String::from_utf8_lossy(&text));
            if !wrong.is_empty() {
                tracing::warn!(file = %shown, lines = ?wrong, "lines of the passwords say nothing that is known");
            }
            *file = File { passwords: Arc::new(passwords), of: Some(of) };
        }
        Ok(Arc::clone(&file.passwords))
    }

    /// Whether a password is a user's; how long to wait, if that may not be tried now; nothing if it cannot be told.
    async fn knows(
        &self,
        user: &str,
        password: &str,
        from: Option<IpAddr>,
    ) -> Result<bool, Option<Duration>> {
        let address = from.map_or_else(String::new, network);
        let of_user = format!("{address} {user}");
        let now = Instant::now().duration_since(self.began);
        let take = |attempts: &std::sync::Mutex<Attempts>, who: &str| {
            locked(attempts).take(who, now).map_err(Some)
        };
        take(&self.of_address, &address)?;
        take(&self.of_user, &of_user)?;
        let _one = self.looking.acquire().await.map_err(|_| None)?;
        let passwords = self.passwords().map_err(|error| {
            tracing::error!(%error, "nobody can log in");
            None
        })?;
        let (name, shown) = (user.to_owned(), password.to_owned());
        let known = tokio::task::spawn_blocking(move || passwords.knows(&name, &shown)).await;
        let known = known.map_err(|_| None)?;
        if known {
            locked(&self.of_address).give_back(&address);
            locked(&self.of_user).give_back(&of_user);
        }
        Ok(known)
    }
}

/// Who has one address of version 6 has 2^64.
fn network(address: IpAddr) -> String {
    match address {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}
