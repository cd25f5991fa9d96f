//! Who asks for tokens on behalf of users, as OAuthClients say.
//!
//! Knows: to which addresses it may send users back, and which scopes it may ask for. Refuses to know: what a scope lets do.

use leme_access::Scope;
use serde_json::Value;

use crate::secret::same;

/// What becomes of a user who has not said yet that a client may act for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// It may.
    Auto,
    /// They are asked.
    Prompt,
    /// It may not.
    Deny,
}

/// Who asks for tokens on behalf of users.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// Its name.
    pub name: String,
    secrets: Vec<String>,
    redirects: Vec<String>,
    /// Whether it shows passwords in a header, where others send users to a page.
    pub challenges: bool,
    /// What becomes of users who have not been asked.
    pub grant: Grant,
    restrictions: Vec<Value>,
    /// Seconds that its tokens are good for, if it says so; 0 is for ever.
    pub max_age: Option<i64>,
    /// Seconds without use after which its tokens are no longer good, if it says so.
    pub inactivity: Option<i64>,
}

fn text(value: &Value, field: &str) -> String {
    value.get(field).and_then(Value::as_str).unwrap_or("").to_owned()
}

fn texts(value: &Value, field: &str) -> Vec<String> {
    let list = value.get(field).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

impl Client {
    /// Reads an OAuthClient.
    pub fn read(object: &Value) -> Client {
        let number = |field: &str| object.get(field).and_then(Value::as_i64);
        let mut secrets = texts(object, "additionalSecrets");
        secrets.push(text(object, "secret"));
        Client {
            name: text(&object["metadata"], "name"),
            secrets,
            redirects: texts(object, "redirectURIs"),
            challenges: object["respondWithChallenges"] == true,
            grant: match &*text(object, "grantMethod") {
                "auto" => Grant::Auto,
                // What is not understood gives nothing.
                "prompt" => Grant::Prompt,
                _ => Grant::Deny,
            },
            restrictions: object["scopeRestrictions"].as_array().cloned().unwrap_or_default(),
            max_age: number("accessTokenMaxAgeSeconds"),
            inactivity: number("accessTokenInactivityTimeoutSeconds"),
        }
    }

    /// Whether it shows one of its secrets; one that has none shows nothing.
    pub fn has_secret(&self, shown: &str) -> bool {
        // All are compared, whichever it is.
        self.secrets.iter().fold(false, |found, own| found | same(own, shown))
    }

    /// The only address that it has, if it has one.
    pub fn only_redirect(&self) -> Option<&str> {
        match self.redirects.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }

    /// Its first address.
    pub fn first_redirect(&self) -> Option<&str> {
        self.redirects.first().map(String::as_str)
    }

    /// Whether users may be sent to an address: one of its own, letter by letter; on its own machine at any port.
    pub fn sends_to(&self, address: &str) -> bool {
        let fits =
            |own: &str| own == address || loopback(own).is_some_and(|own| at_a_port(address, own));
        self.redirects.iter().any(|own| fits(own))
    }

    /// Why it may not ask for a scope.
    pub fn denies(&self, scope: &str) -> bool {
        !self.restrictions.is_empty() && !self.restrictions.iter().any(|one| allows(one, scope))
    }
}

/// Host and path of an address of the machine where a user is that says no port.
fn loopback(own: &str) -> Option<(&str, &str)> {
    let rest = own.strip_prefix("http://")?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    ["127.0.0.1", "[::1]"].contains(&host).then_some((host, path))
}

fn at_a_port(address: &str, (host, path): (&str, &str)) -> bool {
    let rest = address.strip_prefix("http://").and_then(|rest| rest.strip_prefix(host));
    let port =
        rest.and_then(|rest| rest.strip_prefix(':')).and_then(|rest| rest.strip_suffix(path));
    port.is_some_and(|port| {
        port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

/// Whether one restriction of a client lets it ask for a scope.
fn allows(restriction: &Value, scope: &str) -> bool {
    let literals = texts(restriction, "literals");
    if !literals.is_empty() {
        return literals.iter().any(|own| own == scope);
    }
    let Some(roles) = restriction.get("clusterRole").filter(|roles| roles.is_object()) else {
        return false;
    };
    let Ok(Scope::Role { role, namespace, escalating }) = Scope::parse(scope) else { return false };
    let names =
        |field: &str, name: &str| texts(roles, field).iter().any(|own| own == "*" || own == name);
    names("roleNames", role)
        && names("namespaces", namespace)
        && (!escalating || roles["allowEscalation"] == true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn client(redirects: Value) -> Client {
        Client::read(&json!({ "metadata": { "name": "c" }, "redirectURIs": redirects }))
    }

    #[test]
    fn users_are_sent_to_known_addresses_only() {
        let client = client(json!([
            "https://shop.example/back",
            "http://127.0.0.1/callback",
            "http://[::1]/callback"
        ]));
        for good in [
            "https://shop.example/back",
            "http://127.0.0.1:1/callback",
            "http://127.0.0.1:65535/callback",
            "http://127.0.0.1/callback",
            "http://[::1]:8080/callback",
        ] {
            assert!(client.sends_to(good), "{good}");
        }
        for bad in [
            "",
            "https://shop.example/back/",
            "https://shop.example/back/../x",
            "https://shop.example/back?x=y",
            "https://shop.example/back#x",
            "https://shop.example.evil/back",
            "https://shop.example:443/back",
            "http://shop.example/back",
            "https://user@shop.example/back",
            "HTTPS://shop.example/back",
            "https://shop.example/Back",
            "http://127.0.0.1:0/callback",
            "http://127.0.0.1:/callback",
            "http://127.0.0.1:99999/callback",
            "http://127.0.0.1:80@evil/callback",
            "http://127.0.0.1:80/callback/x",
            "http://127.0.0.1:80/callbac",
            "http://127.0.0.1.evil/callback",
            "https://127.0.0.1:80/callback",
            "http://localhost:80/callback",
            "http://127.0.0.2:80/callback",
            "http://[::1]:+80/callback",
        ] {
            assert!(!client.sends_to(bad), "{bad}");
        }
    }

    #[test]
    fn a_client_has_its_secrets_and_what_is_not_said_gives_nothing() {
        let both = Client::read(
            &json!({ "secret": "a", "additionalSecrets": ["b"], "grantMethod": "auto" }),
        );
        assert!(
            both.has_secret("a")
                && both.has_secret("b")
                && !both.has_secret("")
                && !both.has_secret("c")
        );
        assert_eq!((both.grant, both.challenges), (Grant::Auto, false));
        let none = client(json!(["https://x"]));
        assert!(none.has_secret("") && !none.has_secret("a"));
        assert_eq!((none.grant, none.only_redirect()), (Grant::Deny, Some("https://x")));
        assert_eq!(client(json!(["a", "b"])).only_redirect(), None);
        assert!(!client(json!([])).sends_to(""));
    }

    #[test]
    fn a_client_asks_for_the_scopes_it_may_have() {
        let of = |restrictions: Value| Client::read(&json!({ "scopeRestrictions": restrictions }));
        assert!(!of(json!([])).denies("user:full"));
        let exact = of(json!([{ "literals": ["user:info"] }]));
        assert!(
            !exact.denies("user:info") && exact.denies("user:full") && exact.denies("role:view:a")
        );
        let roles = of(
            json!([{ "clusterRole": { "roleNames": ["view", "edit"], "namespaces": ["a"] } }, { "literals": ["user:info"] }]),
        );
        assert!(!roles.denies("role:view:a") && !roles.denies("user:info"));
        for denied in [
            "role:view:a:!",
            "role:admin:a",
            "role:view:b",
            "role:view:*",
            "user:full",
            "role:view",
            "",
        ] {
            assert!(roles.denies(denied), "{denied}");
        }
        let any = of(
            json!([{ "clusterRole": { "roleNames": ["*"], "namespaces": ["*"], "allowEscalation": true } }]),
        );
        assert!(!any.denies("role:admin:*:!"));
        assert!(of(json!([{}])).denies("user:info"));
    }
}
