//! Logging in: by a header as `oc login -u` does it, by a page as `oc login --web` does; and what tokens are good for.

mod common;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use common::*;
use leme_server::Identity;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const CLIENTS: &str = "/apis/oauth.openshift.io/v1/oauthclients";
const TOKENS: &str = "/apis/oauth.openshift.io/v1/oauthaccesstokens";
const CODES: &str = "/apis/oauth.openshift.io/v1/oauthauthorizetokens";
const SELF: &str = "/apis/user.openshift.io/v1/users/~";
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
/// Of `ann` and `bob`, whose passwords are `myPassword`.
const PASSWORDS: &str =
    "ann:{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=\nbob:$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/\n";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

async fn started() -> (Harness, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), PASSWORDS).unwrap();
    let path = file.path().to_owned();
    (Harness::with(|config| config.password_file = Some(path)).await, file)
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn header<'a>(read: &'a Read, name: &str) -> &'a str {
    read.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// A value of a location's query or fragment.
fn of_location(read: &Read, name: &str) -> String {
    let location = header(read, "location");
    let pairs = location.split(['?', '&', '#']).filter_map(|pair| pair.split_once('='));
    let value = pairs.filter(|(own, _)| *own == name).map(|(_, value)| value.to_owned()).next();
    value.unwrap_or_default().replace("%7E", "~")
}

fn challenging(more: &str) -> String {
    format!(
        "/oauth/authorize?client_id=openshift-challenging-client&response_type=code&code_challenge={CHALLENGE}&code_challenge_method=S256&redirect_uri={}{more}",
        "https%3A%2F%2F192.0.2.1%3APORT%2Foauth%2Ftoken%2Fimplicit"
    )
}

/// A path with the server's port in it.
fn at(api: &Harness, path: &str) -> String {
    path.replace("PORT", &api.server.addresses()[0].port().to_string())
}

async fn redeem(api: &Harness, code: &str, more: &str) -> Read {
    let body = format!("grant_type=authorization_code&code={code}{more}");
    let by = basic("openshift-challenging-client", "");
    api.raw_by_nobody("POST", "/oauth/token", &[FORM, ("authorization", &by)], body.as_bytes())
        .await
}

/// A token, as `oc login -u` gets one.
async fn token_of(api: &Harness, user: &str, more: &str) -> String {
    let path = at(api, &challenging(more));
    let by = basic(user, "myPassword");
    let given = api
        .raw_by_nobody("GET", &path, &[("x-csrf-token", "1"), ("authorization", &by)], b"")
        .await;
    assert_eq!(given.code, 302, "{:?}", given.body);
    let more = at(
        api,
        &format!(
            "&code_verifier={VERIFIER}&redirect_uri=https%3A%2F%2F192.0.2.1%3APORT%2Foauth%2Ftoken%2Fimplicit"
        ),
    );
    let token = redeem(api, &of_location(&given, "code"), &more).await.ok();
    assert_eq!(token["token_type"], "Bearer");
    token["access_token"].as_str().unwrap().to_owned()
}

async fn with(api: &Harness, token: &str, method: &str, path: &str) -> Read {
    let by = format!("Bearer {token}");
    api.raw_by_nobody(method, path, &[("authorization", &by)], b"").await
}

fn name_of(token: &str) -> String {
    format!(
        "sha256~{}",
        URL_SAFE_NO_PAD.encode(Sha256::digest(token.strip_prefix("sha256~").unwrap()))
    )
}

#[tokio::test]
async fn where_nobody_logs_in_there_is_no_such_place() {
    let api = Harness::start().await;
    for path in ["/.well-known/oauth-authorization-server", "/oauth/authorize", "/login"] {
        assert_eq!(api.get(path).await.code, 404, "{path}");
    }
    assert_eq!(api.get(CLIENTS).await.ok()["items"], json!([]));
}

#[tokio::test]
async fn a_password_in_a_header_is_worth_a_token() {
    let (api, _file) = started().await;
    let told =
        api.raw_by_nobody("GET", "/.well-known/oauth-authorization-server", &[], b"").await.ok();
    let base = at(&api, "https://192.0.2.1:PORT");
    assert_eq!(told["issuer"], base.as_str());
    assert_eq!(told["authorization_endpoint"], format!("{base}/oauth/authorize"));
    assert_eq!(told["token_endpoint"], format!("{base}/oauth/token"));
    assert_eq!(told["code_challenge_methods_supported"], json!(["plain", "S256"]));
    assert_eq!(told["scopes_supported"][1], "user:full");
    // Who was led here has not sent the header, and is not asked.
    let path = at(&api, &challenging("&state=a%26b"));
    let led = api.raw_by_nobody("GET", &path, &[], b"").await;
    assert_eq!((led.code, header(&led, "www-authenticate")), (401, ""));
    assert_eq!(
        header(&led, "warning"),
        "199 Origin \"A non-empty X-CSRF-Token header is required to receive basic-auth challenges\""
    );
    assert_eq!(
        &led.body[..],
        b"A non-empty X-CSRF-Token header is required to receive basic-auth challenges\n"
    );
    let asked = api.raw_by_nobody("GET", &path, &[("x-csrf-token", "1")], b"").await;
    assert_eq!(
        (asked.code, header(&asked, "www-authenticate")),
        (401, "Basic realm=\"openshift\"")
    );
    assert_eq!(header(&asked, "x-frame-options"), "DENY");
    assert_eq!(header(&asked, "cache-control"), "no-cache, no-store, max-age=0, must-revalidate");
    for (user, password) in [
        ("ann", "wrong"),
        ("nobody", "myPassword"),
        ("ann", ""),
        ("", ""),
        ("kube:admin", "myPassword"),
    ] {
        let by = basic(user, password);
        let refused = api
            .raw_by_nobody("GET", &path, &[("x-csrf-token", "1"), ("authorization", &by)], b"")
            .await;
        assert_eq!(
            (refused.code, header(&refused, "www-authenticate")),
            (401, "Basic realm=\"openshift\""),
            "{user}"
        );
    }
    let by = basic("ann", "myPassword");
    let given = api
        .raw_by_nobody("GET", &path, &[("x-csrf-token", "1"), ("authorization", &by)], b"")
        .await;
    assert_eq!(given.code, 302);
    assert!(
        header(&given, "location")
            .starts_with(&format!("{base}/oauth/token/implicit?code=sha256%7E")),
        "{:?}",
        given.headers
    );
    assert!(header(&given, "location").ends_with("&state=a%26b"));
    let code = of_location(&given, "code");
    // Neither code nor token is kept as it is.
    let kept = api.get(CODES).await.ok();
    assert_eq!(kept["items"][0]["metadata"]["name"], name_of(&code).as_str());
    assert_eq!(kept["items"][0]["expiresIn"], 300);
    let back = at(&api, "&redirect_uri=https%3A%2F%2F192.0.2.1%3APORT%2Foauth%2Ftoken%2Fimplicit");
    let wrong = redeem(&api, &code, &format!("&code_verifier={CHALLENGE}{back}")).await;
    assert_eq!((wrong.code, &wrong.json()["error"]), (400, &json!("invalid_grant")));
    let other =
        redeem(&api, &code, &format!("&code_verifier={VERIFIER}&redirect_uri=https%3A%2F%2Fevil"))
            .await;
    assert_eq!((other.code, &other.json()["error"]), (400, &json!("invalid_request")));
    let token = redeem(&api, &code, &format!("&code_verifier={VERIFIER}{back}")).await.ok();
    assert_eq!((&token["expires_in"], &token["scope"]), (&json!(86400), &json!("user:full")));
    // A code is good once.
    let again = redeem(&api, &code, &format!("&code_verifier={VERIFIER}{back}")).await;
    assert_eq!((again.code, &again.json()["error"]), (400, &json!("unauthorized_client")));
    let token = token["access_token"].as_str().unwrap();
    let kept = api.get(&format!("{TOKENS}/{}", name_of(token))).await.ok();
    assert_eq!(
        (&kept["userName"], &kept["clientName"]),
        (&json!("ann"), &json!("openshift-challenging-client"))
    );
    assert!(!kept.to_string().contains(&token[7..]) && !kept.to_string().contains(&code[7..]));
    // Its user is made by the login, and is who asks.
    let user = api.get("/apis/user.openshift.io/v1/users/ann").await.ok();
    assert_eq!(user["identities"], json!(["htpasswd:ann"]));
    let who = with(&api, token, "GET", SELF).await.ok();
    assert_eq!(
        (&who["metadata"]["name"], &who["metadata"]["uid"]),
        (&json!("ann"), &user["metadata"]["uid"])
    );
    assert_eq!(who["groups"], json!(["system:authenticated", "system:authenticated:oauth"]));
    let identity = api.get("/apis/user.openshift.io/v1/identities/htpasswd:ann").await.ok();
    assert_eq!(identity["user"]["uid"], user["metadata"]["uid"]);
}

#[tokio::test]
async fn a_token_ends_with_its_object_its_user_and_its_time() {
    let (api, _file) = started().await;
    let (first, second) = (token_of(&api, "ann", "").await, token_of(&api, "ann", "").await);
    assert_eq!(with(&api, &first, "GET", SELF).await.code, 200);
    // As `oc logout` does it: by one's own right.
    assert_eq!(
        with(&api, &first, "DELETE", &format!("{TOKENS}/{}", name_of(&first))).await.code,
        200
    );
    assert_eq!(with(&api, &first, "GET", SELF).await.code, 401);
    for forged in [
        name_of(&second),
        second.replace("sha256~", ""),
        format!("{second}x"),
        "sha256~".to_owned(),
    ] {
        assert_eq!(with(&api, &forged, "GET", SELF).await.code, 401, "{forged}");
    }
    // A group of users is one of theirs, from the moment it says so.
    let group = |users: Value| json!({ "metadata": { "name": "makers" }, "users": users });
    api.post("/apis/user.openshift.io/v1/groups", &group(json!(["ann"]))).await.ok();
    let groups = |read: Value| read["groups"].clone();
    assert_eq!(groups(with(&api, &second, "GET", SELF).await.ok())[0], "makers");
    api.send(
        "PATCH",
        "/apis/user.openshift.io/v1/groups/makers",
        MERGE,
        &json!({ "users": ["bob"] }),
    )
    .await
    .ok();
    assert_eq!(groups(with(&api, &second, "GET", SELF).await.ok())[0], "system:authenticated");
    // Reviewed as any token.
    let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": { "token": second } });
    let reviewed = api.post("/apis/authentication.k8s.io/v1/tokenreviews", &review).await.ok();
    assert_eq!(
        reviewed["status"]["user"]["extra"]["scopes.authorization.openshift.io"],
        json!(["user:full"])
    );
    // Another user of that name is not the one of the token.
    api.delete("/apis/user.openshift.io/v1/users/ann").await.ok();
    assert_eq!(with(&api, &second, "GET", SELF).await.code, 401);
    api.post("/apis/user.openshift.io/v1/users", &json!({ "metadata": { "name": "ann" } }))
        .await
        .ok();
    assert_eq!(with(&api, &second, "GET", SELF).await.code, 401);
    // And her login is not his: the identity still names the other.
    let by = basic("ann", "myPassword");
    let path = at(&api, &challenging(""));
    let refused = api
        .raw_by_nobody("GET", &path, &[("x-csrf-token", "1"), ("authorization", &by)], b"")
        .await;
    assert_eq!(refused.code, 403, "{:?}", refused.body);
    // What was made long ago for a while is over.
    let user = api.get("/apis/user.openshift.io/v1/users/ann").await.ok();
    let of = |expires: i64, scopes: Value| {
        json!({
            "metadata": { "name": name_of("sha256~aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa") }, "expiresIn": expires,
            "clientName": "c", "userName": "ann", "userUID": user["metadata"]["uid"], "scopes": scopes,
            "redirectURI": "https://e",
        })
    };
    let mine = "sha256~aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    api.post(TOKENS, &of(1, json!(["user:full"]))).await.ok();
    assert_eq!(with(&api, mine, "GET", SELF).await.code, 200);
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    assert_eq!(with(&api, mine, "GET", SELF).await.code, 401);
}

#[tokio::test]
async fn a_scope_bounds_what_a_token_lets_do() {
    let (api, _file) = started().await;
    api.post("/api/v1/namespaces", &json!({ "metadata": { "name": "shop" } })).await.ok();
    let rules = json!([
        { "apiGroups": [""], "resources": ["configmaps", "secrets", "namespaces"], "verbs": ["get", "list"] },
    ]);
    api.post(
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        &json!({ "metadata": { "name": "looker" }, "rules": rules }),
    )
    .await
    .ok();
    let binding = json!({ "metadata": { "name": "b" }, "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "looker" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ann" }] });
    api.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding).await.ok();
    let (maps, secrets) = ("/api/v1/namespaces/shop/configmaps", "/api/v1/namespaces/shop/secrets");
    let projects = "/apis/project.openshift.io/v1/projects";
    let full = token_of(&api, "ann", "").await;
    for path in [maps, secrets, CONFIG_MAPS, projects, SELF] {
        assert_eq!(with(&api, &full, "GET", path).await.code, 200, "{path}");
    }
    let info = token_of(&api, "ann", "&scope=user%3Ainfo").await;
    assert_eq!(with(&api, &info, "GET", SELF).await.code, 200);
    let (code, _, message) = with(&api, &info, "GET", maps).await.refused();
    assert_eq!(code, 403);
    assert_eq!(
        message,
        "configmaps is forbidden: User \"ann\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"shop\": scopes [user:info] prevent this action"
    );
    assert_eq!(with(&api, &info, "GET", projects).await.code, 403);
    assert_eq!(with(&api, &info, "GET", "/version").await.code, 200);
    let some =
        token_of(&api, "ann", "&scope=role%3Alooker%3Ashop+user%3Alist-scoped-projects").await;
    assert_eq!(with(&api, &some, "GET", maps).await.code, 200);
    for path in [secrets, CONFIG_MAPS, SELF, "/api/v1/configmaps"] {
        assert_eq!(with(&api, &some, "GET", path).await.code, 403, "{path}");
    }
    let seen = with(&api, &some, "GET", projects).await.ok();
    assert_eq!(
        (seen["items"].as_array().unwrap().len(), &seen["items"][0]["metadata"]["name"]),
        (1, &json!("shop"))
    );
    let all = token_of(&api, "ann", "&scope=user%3Alist-projects").await;
    assert!(with(&api, &all, "GET", projects).await.ok()["items"].as_array().unwrap().len() > 3);
    assert_eq!(with(&api, &all, "GET", maps).await.code, 403);
    let escalating = token_of(&api, "ann", "&scope=role%3Alooker%3Ashop%3A!").await;
    assert_eq!(with(&api, &escalating, "GET", secrets).await.code, 200);
    // What is no scope is told to the client.
    let by = basic("ann", "myPassword");
    let path = at(&api, &challenging("&scope=user%3Aall"));
    let refused = api
        .raw_by_nobody("GET", &path, &[("x-csrf-token", "1"), ("authorization", &by)], b"")
        .await;
    assert_eq!((refused.code, of_location(&refused, "error")), (302, "invalid_scope".to_owned()));
}

/// The cookies that an answer sets, as they are sent back.
fn cookies(read: &Read) -> Vec<String> {
    let all = read.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
    all.inspect(|one| {
        assert!(
            one.ends_with("HttpOnly; Secure; SameSite=Lax") || one.ends_with("Max-Age=0"),
            "{one}"
        )
    })
    .map(|one| one.split(';').next().unwrap().to_owned())
    .collect()
}

fn hidden(page: &Read, name: &str) -> String {
    let page = String::from_utf8(page.body.to_vec()).unwrap();
    let (_, rest) =
        page.split_once(&format!("name=\"{name}\" value=\"")).unwrap_or_else(|| panic!("{page}"));
    rest.split('"').next().unwrap().replace("&amp;", "&")
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn people_log_in_on_a_page_and_see_their_token() {
    let (api, _file) = started().await;
    let base = at(&api, "https://192.0.2.1:PORT");
    let begun = api.raw_by_nobody("GET", "/oauth/token/request", &[], b"").await;
    let authorize = header(&begun, "location").strip_prefix(&base).unwrap().to_owned();
    assert!(
        authorize.starts_with("/oauth/authorize?client_id=openshift-browser-client&redirect_uri="),
        "{authorize}"
    );
    let sent = api.raw_by_nobody("GET", &authorize, &[], b"").await;
    let login = header(&sent, "location").to_owned();
    assert_eq!(
        (sent.code, login.starts_with("/login?then=%2Foauth%2Fauthorize")),
        (302, true),
        "{login}"
    );
    let form = api.raw_by_nobody("GET", &login, &[], b"").await;
    assert_eq!((form.code, header(&form, "content-type")), (200, "text/html; charset=UTF-8"));
    assert_eq!(header(&form, "x-frame-options"), "DENY");
    assert!(header(&form, "content-security-policy").contains("frame-ancestors 'none'"));
    let (csrf, then) = (cookies(&form).remove(0), hidden(&form, "then"));
    assert_eq!(
        (then.as_str(), csrf.as_str()),
        (authorize.as_str(), format!("csrf={}", hidden(&form, "csrf")).as_str())
    );
    let post = async |cookie: &str, csrf: &str, then: &str, password: &str| {
        let body = format!(
            "username=ann&password={password}&csrf={}&then={}",
            encoded(csrf),
            encoded(then)
        );
        api.raw_by_nobody("POST", "/login", &[FORM, ("cookie", cookie)], body.as_bytes()).await
    };
    let value = hidden(&form, "csrf");
    // A form of somebody else's, and one that leads elsewhere.
    for (cookie, field) in
        [("", value.as_str()), (csrf.as_str(), ""), (csrf.as_str(), "x"), ("csrf=", "")]
    {
        let refused = post(cookie, field, &then, "myPassword").await;
        assert_eq!(of_location(&refused, "reason"), "token_expired");
        assert!(cookies(&refused).is_empty());
    }
    for elsewhere in ["https://evil/", "//evil", "/\\evil", ""] {
        assert_eq!(
            header(&post(&csrf, &value, elsewhere, "myPassword").await, "location"),
            "/",
            "{elsewhere}"
        );
    }
    let wrong = post(&csrf, &value, &then, "wrong").await;
    assert_eq!(
        (of_location(&wrong, "reason"), cookies(&wrong).len()),
        ("access_denied".to_owned(), 0)
    );
    let shown = api.raw_by_nobody("GET", header(&wrong, "location"), &[], b"").await;
    assert!(
        String::from_utf8_lossy(&shown.body)
            .contains("Invalid login or password. Please try again.")
    );
    let right = post(&csrf, &value, &then, "myPassword").await;
    assert_eq!(header(&right, "location"), authorize);
    let session = cookies(&right).remove(0);
    let given = api.raw_by_nobody("GET", &authorize, &[("cookie", &session)], b"").await;
    assert!(
        header(&given, "location").starts_with(&format!("{base}/oauth/token/display?code=")),
        "{:?}",
        given.headers
    );
    // The session is over with that.
    assert_eq!(cookies(&given), ["ssn="]);
    let display = header(&given, "location").strip_prefix(&base).unwrap();
    let asked = api.raw_by_nobody("GET", display, &[], b"").await;
    let (cookie, code) = (cookies(&asked).remove(0), hidden(&asked, "code"));
    assert!(!String::from_utf8_lossy(&asked.body).contains("oc login"));
    let body = format!("code={}&csrf={}", encoded(&code), hidden(&asked, "csrf"));
    let foreign = api.raw_by_nobody("POST", "/oauth/token/display", &[FORM], body.as_bytes()).await;
    assert_eq!(foreign.code, 400);
    let headers = [FORM, ("cookie", cookie.as_str())];
    let shown = api.raw_by_nobody("POST", "/oauth/token/display", &headers, body.as_bytes()).await;
    let page = String::from_utf8(shown.body.to_vec()).unwrap();
    let (_, rest) = page.split_once("oc login --token=").unwrap();
    let (token, rest) = rest.split_once(" --server=").unwrap();
    assert!(rest.starts_with(&base), "{rest}");
    assert_eq!(with(&api, token, "GET", SELF).await.ok()["metadata"]["name"], "ann");
    assert_eq!(
        api.raw_by_nobody("POST", "/oauth/token/display", &headers, body.as_bytes()).await.code,
        400
    );
    // A session that somebody else has signed is none.
    let forged = format!("ssn={}x", &session[4..]);
    let again = api.raw_by_nobody("GET", &authorize, &[("cookie", &forged)], b"").await;
    assert!(header(&again, "location").starts_with("/login?"));
}

#[tokio::test]
async fn a_program_on_the_users_machine_is_given_a_code_at_any_port() {
    let (api, _file) = started().await;
    let ask = |redirect: &str| {
        format!(
            "/oauth/authorize?client_id=openshift-cli-client&response_type=code&code_challenge={CHALLENGE}&code_challenge_method=S256&state=s&redirect_uri={}",
            encoded(redirect)
        )
    };
    for evil in [
        "https://evil/callback",
        "http://127.0.0.1:80@evil/callback",
        "http://127.0.0.1:4711/other",
        "http://localhost:4711/callback",
    ] {
        let refused = api.raw_by_nobody("GET", &ask(evil), &[], b"").await;
        assert_eq!((refused.code, header(&refused, "location")), (400, ""), "{evil}");
        assert_eq!(
            (&refused.json()["error"], &refused.json()["state"]),
            (&json!("invalid_request"), &json!("s"))
        );
    }
    let path = ask("http://127.0.0.1:4711/callback");
    let form = api
        .raw_by_nobody(
            "GET",
            header(&api.raw_by_nobody("GET", &path, &[], b"").await, "location"),
            &[],
            b"",
        )
        .await;
    let csrf = hidden(&form, "csrf");
    let body = format!("username=bob&password=myPassword&csrf={csrf}&then={}", encoded(&path));
    let cookie = cookies(&form).remove(0);
    let right =
        api.raw_by_nobody("POST", "/login", &[FORM, ("cookie", &cookie)], body.as_bytes()).await;
    let session = cookies(&right).remove(0);
    let given = api.raw_by_nobody("GET", &path, &[("cookie", &session)], b"").await;
    assert!(
        header(&given, "location").starts_with("http://127.0.0.1:4711/callback?code="),
        "{:?}",
        given.headers
    );
    let body = format!(
        "grant_type=authorization_code&client_id=openshift-cli-client&client_secret=&code={}&code_verifier={VERIFIER}&redirect_uri={}",
        of_location(&given, "code"),
        encoded("http://127.0.0.1:4711/callback")
    );
    let token = api.raw_by_nobody("POST", "/oauth/token", &[FORM], body.as_bytes()).await.ok();
    assert_eq!(
        with(&api, token["access_token"].as_str().unwrap(), "GET", SELF).await.ok()["metadata"]["name"],
        "bob"
    );
}

#[tokio::test]
async fn a_client_that_must_ask_asks() {
    let (api, _file) = started().await;
    let client = |method: &str| {
        json!({ "metadata": { "name": format!("of-{method}") }, "secret": "s", "grantMethod": method, "respondWithChallenges": true,
        "redirectURIs": ["https://shop.example/back"], "accessTokenMaxAgeSeconds": 60,
        "scopeRestrictions": [{ "literals": ["user:info", "user:check-access"] }] })
    };
    api.post(CLIENTS, &client("prompt")).await.ok();
    let ask = |method: &str, scope: &str| {
        format!("/oauth/authorize?client_id=of-{method}&response_type=code&scope={scope}")
    };
    let by = basic("ann", "myPassword");
    let get = async |path: &str, cookie: &str| {
        api.raw_by_nobody("GET", path, &[("authorization", &by), ("cookie", cookie)], b"").await
    };
    let more = get(&ask("prompt", "user:full"), "").await;
    assert!(
        header(&more, "location").contains("scope+denied%3A+user%3Afull"),
        "{:?}",
        more.headers
    );
    let path = ask("prompt", "user:info+user:check-access");
    let prompted = get(&path, "").await;
    let approve = header(&prompted, "location").to_owned();
    assert!(approve.starts_with("/oauth/authorize/approve?"), "{approve}");
    // The page is for who has logged in on a page.
    let form = api.raw_by_nobody("GET", &format!("/login?then={}", encoded(&path)), &[], b"").await;
    let csrf = hidden(&form, "csrf");
    let cookie = cookies(&form).remove(0);
    let body = format!("username=ann&password=myPassword&csrf={csrf}&then={}", encoded(&path));
    let session = cookies(
        &api.raw_by_nobody("POST", "/login", &[FORM, ("cookie", &cookie)], body.as_bytes()).await,
    )
    .remove(0);
    let both = format!("{cookie}; {session}");
    let page = api.raw_by_nobody("GET", &approve, &[("cookie", &both)], b"").await;
    assert_eq!(
        (page.code, hidden(&page, "client_id"), hidden(&page, "user_name")),
        (200, "of-prompt".to_owned(), "ann".to_owned())
    );
    let say = async |csrf: &str, user: &str, more: &str| {
        let body = format!(
            "then={}&csrf={csrf}&client_id=of-prompt&user_name={user}{more}",
            encoded(&path)
        );
        api.raw_by_nobody(
            "POST",
            "/oauth/authorize/approve",
            &[FORM, ("cookie", &both)],
            body.as_bytes(),
        )
        .await
    };
    let yes = "&approve=1&scope=user:info&scope=user:check-access";
    assert_eq!(say("x", "ann", yes).await.code, 400);
    assert_eq!(say(&csrf, "bob", yes).await.code, 400);
    assert_eq!(say(&csrf, "ann", "&approve=1&scope=user:full").await.code, 400);
    let no = say(&csrf, "ann", "&deny=1&scope=user:info").await;
    assert!(header(&no, "location").starts_with("https://shop.example/back?error=access_denied"));
    let allowed = say(&csrf, "ann", yes).await;
    assert_eq!(header(&allowed, "location"), path);
    let kept =
        api.get("/apis/oauth.openshift.io/v1/oauthclientauthorizations/ann:of-prompt").await.ok();
    assert_eq!(kept["scopes"], json!(["user:info", "user:check-access"]));
    let given = api.raw_by_nobody("GET", &path, &[("cookie", &both)], b"").await;
    assert!(
        header(&given, "location").starts_with("https://shop.example/back?code="),
        "{:?}",
        given.headers
    );
    let exchange = async |secret: &str| {
        let body = format!(
            "grant_type=authorization_code&client_id=of-prompt&client_secret={secret}&code={}",
            of_location(&given, "code")
        );
        api.raw_by_nobody("POST", "/oauth/token", &[FORM], body.as_bytes()).await
    };
    assert_eq!(exchange("wrong").await.json()["error"], "unauthorized_client");
    assert_eq!(exchange("").await.json()["error"], "unauthorized_client");
    let token = exchange("s").await.ok();
    assert_eq!(
        (&token["expires_in"], &token["scope"]),
        (&json!(60), &json!("user:info user:check-access"))
    );
}

#[tokio::test]
async fn passwords_are_tried_so_often_only() {
    let (api, file) = started().await;
    let path = at(&api, &challenging(""));
    let login = async |user: &str, password: &str| {
        let by = basic(user, password);
        api.raw_by_nobody("GET", &path, &[("x-csrf-token", "1"), ("authorization", &by)], b"").await
    };
    // Who knows the password is not counted.
    for _ in 0..15 {
        assert_eq!(login("ann", "myPassword").await.code, 302);
    }
    let mut codes = Vec::new();
    for _ in 0..12 {
        codes.push(login("ann", "wrong").await.code);
    }
    assert_eq!((codes[0], codes[11]), (401, 429), "{codes:?}");
    let refused = login("ann", "myPassword").await;
    assert_eq!(refused.code, 429);
    assert!(header(&refused, "retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1));
    assert_eq!(login("bob", "myPassword").await.code, 302);
    // The file is read again when it has changed; where it is gone nobody gets in.
    std::fs::write(file.path(), "cid:{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=\n").unwrap();
    assert_eq!(
        (login("cid", "myPassword").await.code, login("bob", "myPassword").await.code),
        (302, 401)
    );
    std::fs::remove_file(file.path()).unwrap();
    assert_eq!(login("cid", "myPassword").await.code, 500);
}

#[tokio::test]
async fn a_login_takes_a_user_of_its_name_who_has_no_other_identity() {
    let (api, _file) = started().await;
    let users = "/apis/user.openshift.io/v1/users";
    api.post(users, &json!({ "metadata": { "name": "ann" }, "fullName": "Ann" })).await.ok();
    api.post(users, &json!({ "metadata": { "name": "bob" }, "identities": ["ldap:bob"] }))
        .await
        .ok();
    let token = token_of(&api, "ann", "").await;
    assert_eq!(with(&api, &token, "GET", SELF).await.ok()["fullName"], "Ann");
    let by = basic("bob", "myPassword");
    let path = at(&api, &challenging(""));
    let refused = api
        .raw_by_nobody("GET", &path, &[("x-csrf-token", "1"), ("authorization", &by)], b"")
        .await;
    assert_eq!(refused.code, 403);
    assert_eq!(
        String::from_utf8_lossy(&refused.body),
        "Could not create user: user \"bob\" cannot be claimed by identity \"htpasswd:bob\" because it is already mapped to [ldap:bob]\n"
    );
    // Nobody but one's self.
    let other = Identity::of_certificate("eve", []);
    assert_eq!(api.raw_as(&other, "GET", &format!("{users}/ann"), &Value::Null).await.code, 403);
}
