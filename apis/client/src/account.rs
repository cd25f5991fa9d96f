//! A client of a service account: by a token that somebody else asks for it, and again before its time is over.
//!
//! Knows: TokenRequests. Refuses to know: what the account is for.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode, header};
use kube::client::Body;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tower::BoxError;

use crate::client::Client;
use crate::error::Error;

/// How long a token is good, as upstream's controllers ask for it, and after which part of that another one is asked for.
const SECONDS: u32 = 3600;
const FRESH: Duration = Duration::from_secs(SECONDS as u64 * 4 / 5);

/// Who asks, for which account, and what that has.
struct Account {
    issuer: Client,
    collection: String,
    name: String,
    held: Mutex<Option<(HeaderValue, Instant)>>,
}

impl Client {
    /// A client of a service account, which is made if there is none of that name. This one asks for its tokens; `bare` is
    /// one that shows no certificate, for whoever shows one is nobody else.
    pub fn as_account(&self, bare: &Client, namespace: &str, name: &str) -> Client {
        let account = Arc::new(Account {
            issuer: self.clone(),
            collection: format!("/api/v1/namespaces/{namespace}/serviceaccounts"),
            name: name.to_owned(),
            held: Mutex::default(),
        });
        let bare = bare.transport().clone();
        Client::over(tower::service_fn(move |request: Request<Body>| {
            let (account, bare) = (Arc::clone(&account), bare.clone());
            async move { account.send(&bare, request).await }
        }))
    }
}

impl Client {
    /// A client of whoever shows this token; none if it is none. `self` is one that shows nothing itself.
    pub fn showing(&self, token: &str) -> Option<Client> {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
        value.set_sensitive(true);
        let bare = self.transport().clone();
        Some(Client::over(tower::service_fn(move |mut request: Request<Body>| {
            let (bare, value) = (bare.clone(), value.clone());
            async move {
                request.headers_mut().insert(header::AUTHORIZATION, value);
                bare.send(request).await.map_err(BoxError::from)
            }
        })))
    }
}

impl Account {
    async fn send(
        &self,
        bare: &kube::Client,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, BoxError> {
        let token = self.token().await?;
        request.headers_mut().insert(header::AUTHORIZATION, token.clone());
        let answer = bare.send(request).await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            // The account is another one by now: whoever asks again has its token.
            let mut held = self.held.lock().await;
            held.take_if(|(held, _)| *held == token);
        }
        Ok(answer)
    }

    /// The token that is good now; who comes while one is asked for waits.
    async fn token(&self) -> Result<HeaderValue, Error> {
        let mut held = self.held.lock().await;
        if let Some((token, since)) = &*held
            && since.elapsed() < FRESH
        {
            return Ok(token.clone());
        }
        let since = Instant::now();
        let token = match self.ask().await {
            Err(error) if error.is_not_found() => {
                self.make().await?;
                self.ask().await?
            }
            answer => answer?,
        };
        *held = Some((token.clone(), since));
        Ok(token)
    }

    async fn ask(&self) -> Result<HeaderValue, Error> {
        let path = format!("{}/{}/token", self.collection, self.name);
        let asked = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": { "expirationSeconds": SECONDS } });
        let made = self.issuer.post(&path, &asked).await?;
        let token = made["status"]["token"].as_str().unwrap_or("");
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|error| Error::transport(&error))?;
        value.set_sensitive(true);
        Ok(value)
    }

    async fn make(&self) -> Result<(), Error> {
        let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": { "name": self.name } });
        match self.issuer.post(&self.collection, &account).await {
            Err(error) if !error.is_conflict() => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as Locked;

    use super::*;

    /// What was asked: method, path, and with which token.
    type Calls = Arc<Locked<Vec<String>>>;

    /// A server that knows an account once it was made, and no token but its last.
    fn server(calls: &Calls) -> Client {
        let (calls, made) = (Arc::clone(calls), Arc::new(Locked::new((false, 0))));
        Client::over(tower::service_fn(move |request: Request<Body>| {
            let token = request.headers().get(header::AUTHORIZATION);
            let token = token.map_or("", |token| token.to_str().unwrap_or("")).to_owned();
            let path = request.uri().path().to_owned();
            calls.lock().unwrap().push(format!("{} {path} {token}", request.method()));
            let mut made = made.lock().unwrap();
            let (code, body) = match path.rsplit('/').next().unwrap_or("") {
                "token" if !made.0 => {
                    (404, json!({ "kind": "Status", "code": 404, "reason": "NotFound" }))
                }
                "token" => {
                    made.1 += 1;
                    (201, json!({ "status": { "token": format!("t{}", made.1) } }))
                }
                "serviceaccounts" => {
                    made.0 = true;
                    (201, json!({}))
                }
                "gone" => {
                    made.0 = false;
                    (401, json!({ "kind": "Status", "code": 401, "reason": "Unauthorized" }))
                }
                _ => (200, json!({})),
            };
            let body = Body::from(body.to_string().into_bytes());
            let answer = Response::builder().status(code).body(body).unwrap();
            async move { Ok::<_, std::convert::Infallible>(answer) }
        }))
    }

    /// Red when each request asks for a token, a token outlives its time, or one that is refused is shown again.
    #[tokio::test(start_paused = true)]
    async fn a_token_is_asked_for_when_there_is_none_that_is_good() {
        let calls = Calls::default();
        let issuer = server(&calls);
        let account = issuer.as_account(&issuer, "kube-system", "x");
        let since = || std::mem::take(&mut *calls.lock().unwrap());
        account.get("/a").await.unwrap();
        let accounts = "/api/v1/namespaces/kube-system/serviceaccounts";
        let asks = format!("POST {accounts}/x/token ");
        assert_eq!(since(), [&asks, &format!("POST {accounts} "), &asks, "GET /a Bearer t1"]);
        account.get("/b").await.unwrap();
        assert_eq!(since(), ["GET /b Bearer t1"]);
        tokio::time::advance(FRESH).await;
        account.get("/c").await.unwrap();
        assert_eq!(since(), [&asks, "GET /c Bearer t2"]);
        account.get("/gone").await.unwrap_err();
        account.get("/d").await.unwrap();
        let all =
            ["GET /gone Bearer t2", &asks, &format!("POST {accounts} "), &asks, "GET /d Bearer t3"];
        assert_eq!(since(), all);
    }
}
