//! Bootstrap tokens: Secrets of `kube-system` by which somebody new is let in for a while.
//!
//! Knows: upstream's form of them. Refuses to know: what those who have one may do.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use leme_access::Identity;
use leme_oauth::same;
use leme_registry::json;
use regex::Regex;
use serde_json::Value;

/// What tokens look like: an identifier, which is no secret, and a secret.
static TOKEN: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\A([a-z0-9]{6})\.([a-z0-9]{16})\z").ok());
/// What further groups look like.
static GROUP: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\Asystem:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]\z").ok());
/// Type of the Secrets.
pub(super) const TYPE: &str = "bootstrap.kubernetes.io/token";
const EVERYBODY: &str = "system:bootstrappers";

/// Identifier and secret of a token, if it is one.
pub(super) fn parts(token: &str) -> Option<(&str, &str)> {
    let found = TOKEN.as_ref()?.captures(token)?;
    Some((found.get(1)?.as_str(), found.get(2)?.as_str()))
}

/// Name of the Secret of an identifier.
pub(super) fn name(id: &str) -> String {
    format!("bootstrap-token-{id}")
}

/// Who has the token of a Secret.
pub(super) fn owner(
    secret: &Value,
    id: &str,
    shown: &str,
    now: Timestamp,
) -> Result<Identity, &'static str> {
    if json::text(secret, &["type"]) != TYPE
        || json::at(secret, &["metadata", "deletionTimestamp"]).is_some()
    {
        return Err("bootstrap token is not known");
    }
    let text = |key: &str| data(secret, key);
    if text("token-id").as_deref() != Some(id)
        || !text("token-secret").is_some_and(|own| same(own.as_bytes(), shown.as_bytes()))
    {
        return Err("bootstrap token is not known");
    }
    if expired(secret, now) {
        return Err("bootstrap token has expired");
    }
    if text("usage-bootstrap-authentication").as_deref() != Some("true") {
        return Err("bootstrap token is not for authentication");
    }
    let mut groups = vec![EVERYBODY.to_owned()];
    for group in text("auth-extra-groups").unwrap_or_default().split(',') {
        let is_good = GROUP.as_ref().is_some_and(|form| form.is_match(group));
        match group {
            "" => {}
            _ if is_good => groups.push(group.to_owned()),
            _ => return Err("bootstrap token names groups that it may not give"),
        }
    }
    Ok(Identity::of_certificate(&format!("system:bootstrap:{id}"), groups))
}

/// Whether a token's time is over: also when it cannot be read.
pub(super) fn expired(secret: &Value, now: Timestamp) -> bool {
    ends(secret).is_some_and(|ends| ends.is_none_or(|ends| now >= ends))
}

/// When a token ends, if it does; nothing in that if what stands there is no time.
pub(super) fn ends(secret: &Value) -> Option<Option<Timestamp>> {
    data(secret, "expiration").map(|text| text.parse().ok())
}

fn data(secret: &Value, key: &str) -> Option<String> {
    let encoded = json::text(secret, &["data", key]);
    let bytes = (!encoded.is_empty()).then(|| STANDARD.decode(encoded).ok())??;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(changes: &[(&str, Option<&str>)]) -> Value {
        let mut secret =
            json!({"type": TYPE, "metadata": {"name": "bootstrap-token-abcdef"}, "data": {}});
        let usual = [
            ("token-id", Some("abcdef")),
            ("token-secret", Some("0123456789abcdef")),
            ("usage-bootstrap-authentication", Some("true")),
            ("expiration", Some("2030-01-01T00:00:00Z")),
            ("auth-extra-groups", Some("system:bootstrappers:worker")),
        ];
        for (key, value) in usual.iter().chain(changes) {
            match value {
                Some(value) => secret["data"][*key] = STANDARD.encode(value).into(),
                None => drop(secret["data"].as_object_mut().unwrap().remove(*key)),
            }
        }
        secret
    }

    fn asked(secret: &Value) -> Result<Identity, &'static str> {
        owner(secret, "abcdef", "0123456789abcdef", "2029-12-31T23:59:59Z".parse().unwrap())
    }

    #[test]
    fn a_token_is_somebody_of_the_bootstrappers() {
        let who = asked(&secret(&[])).unwrap();
        assert_eq!(who.user, "system:bootstrap:abcdef");
        let groups =
            ["system:bootstrappers", "system:bootstrappers:worker", "system:authenticated"];
        assert_eq!(who.groups, groups);
        let groups =
            asked(&secret(&[("auth-extra-groups", None), ("expiration", None)])).unwrap().groups;
        assert_eq!(groups, ["system:bootstrappers", "system:authenticated"]);
        assert_eq!(parts("abcdef.0123456789abcdef"), Some(("abcdef", "0123456789abcdef")));
        for other in [
            "abcdef.0123456789abcde",
            "ABCDEF.0123456789abcdef",
            "abcdef.0123456789abcdef\n",
            "a.b.c",
        ] {
            assert_eq!(parts(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_not_as_it_should_be_is_refused() {
        let cases: [&[(&str, Option<&str>)]; 9] = [
            &[("token-id", Some("fedcba"))],
            &[("token-secret", Some("0123456789abcdee"))],
            &[("token-secret", None)],
            &[("usage-bootstrap-authentication", None)],
            &[("usage-bootstrap-authentication", Some("yes"))],
            &[("expiration", Some("2029-12-31T23:59:59Z"))],
            &[("expiration", Some("tomorrow"))],
            &[("auth-extra-groups", Some("system:masters"))],
            &[("auth-extra-groups", Some("system:bootstrappers:a,system:nodes"))],
        ];
        for changes in cases {
            assert!(asked(&secret(changes)).is_err(), "{changes:?}");
        }
        let mut other = secret(&[]);
        other["type"] = "Opaque".into();
        assert!(asked(&other).is_err());
        let mut ending = secret(&[]);
        ending["metadata"]["deletionTimestamp"] = "2029-01-01T00:00:00Z".into();
        assert!(asked(&ending).is_err());
    }
}
