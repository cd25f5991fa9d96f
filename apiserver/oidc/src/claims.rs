//! What claims come to: a name, groups, an identifier.
//!
//! Knows: which claims a configuration asks for, and that a wrong one makes nobody of somebody. Refuses to know: whether a
//! token is signed.

use leme_access::Identity;
use serde_json::Value;

use crate::config::{Mapping, Of};

/// Names that only the cluster itself gives.
const OWN: &str = "system:";

/// Whom the claims of a token are of that its issuer has signed. `now` are seconds since 1970.
pub(crate) fn owner(of: &Of, claims: &Value, now: i64) -> Result<Identity, String> {
    if text(claims, "iss")? != of.url {
        return Err("oidc: id token issued by a different provider".to_owned());
    }
    let audiences = texts(claims, "aud")?;
    if !audiences.iter().any(|one| of.audiences.iter().any(|own| own == one)) {
        return Err(format!("oidc: expected audience in {:?} got {audiences:?}", of.audiences));
    }
    if now >= time(claims, "exp")?.ok_or("oidc: token has no expiry")? {
        return Err("oidc: token is expired".to_owned());
    }
    if time(claims, "nbf")?.is_some_and(|begins| now < begins) {
        return Err("oidc: token is not valid yet".to_owned());
    }
    for (claim, value) in &of.required {
        if text(claims, claim)? != value {
            return Err(format!("oidc: required claim {claim} value does not match"));
        }
    }
    let user = username(&of.username, claims)?;
    let mut groups = match &of.groups {
        Some(mapping) if present(claims, &mapping.claim).is_some() => {
            let found = texts(claims, &mapping.claim)?;
            found.into_iter().map(|group| format!("{}{group}", mapping.prefix)).collect()
        }
        _ => Vec::new(),
    };
    // Rights of the cluster's own are nobody else's to give.
    groups.retain(|group: &String| !group.starts_with(OWN));
    if user.starts_with(OWN) {
        return Err("oidc: the name is one of the cluster's own".to_owned());
    }
    let mut who = Identity::of_certificate(&user, groups);
    if let Some(claim) = &of.uid {
        who.uid = text(claims, claim)?.to_owned();
    }
    Ok(who)
}

fn username(mapping: &Mapping, claims: &Value) -> Result<String, String> {
    let name = text(claims, &mapping.claim)?;
    if name.is_empty() {
        return Err(format!("oidc: claim {:?} is empty", mapping.claim));
    }
    // Whose mail was never seen to be theirs may have written anybody's down.
    let unverified =
        present(claims, "email_verified").is_some_and(|verified| verified != &Value::Bool(true));
    if mapping.claim == "email" && unverified {
        return Err("oidc: email not verified".to_owned());
    }
    Ok(format!("{}{name}", mapping.prefix))
}

fn present<'a>(claims: &'a Value, name: &str) -> Option<&'a Value> {
    claims.get(name).filter(|value| !value.is_null())
}

fn text<'a>(claims: &'a Value, name: &str) -> Result<&'a str, String> {
    let claim = present(claims, name).ok_or_else(|| format!("oidc: claim {name:?} not present"))?;
    claim.as_str().ok_or_else(|| format!("oidc: claim {name:?} is no text"))
}

/// One text, or a list of them.
fn texts(claims: &Value, name: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("oidc: claim {name:?} is neither a text nor a list of them");
    match present(claims, name) {
        Some(Value::String(one)) => Ok(vec![one.clone()]),
        Some(Value::Array(all)) => {
            let text = |one: &Value| one.as_str().map(str::to_owned).ok_or_else(wrong);
            all.iter().map(text).collect()
        }
        Some(_) => Err(wrong()),
        None => Err(format!("oidc: claim {name:?} not present")),
    }
}

/// Seconds since 1970, which issuers may write with a fraction.
fn time(claims: &Value, name: &str) -> Result<Option<i64>, String> {
    let Some(claim) = present(claims, name) else { return Ok(None) };
    let seconds = claim.as_i64().or_else(|| claim.as_f64().map(|seconds| seconds as i64));
    seconds.map(Some).ok_or_else(|| format!("oidc: claim {name:?} is no time"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Config;

    const NOW: i64 = 1_000_000;

    fn of() -> Of {
        let document = json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration",
            "jwt": [{"issuer": {"url": "https://id", "audiences": ["leme"]},
                "claimValidationRules": [{"claim": "hd", "requiredValue": "example.com"}],
                "claimMappings": {"username": {"claim": "email", "prefix": "o:"},
                    "groups": {"claim": "roles", "prefix": "o:"}, "uid": {"claim": "sub"}}}]});
        Config::read(&document).unwrap().issuers.remove(0)
    }

    fn claims() -> Value {
        json!({"iss": "https://id", "aud": ["other", "leme"], "exp": NOW + 60, "nbf": NOW, "sub": "7",
            "email": "ana@example.com", "email_verified": true, "hd": "example.com", "roles": ["dev", "ops"]})
    }

    #[test]
    fn claims_become_names() {
        let who = owner(&of(), &claims(), NOW).unwrap();
        assert_eq!((&*who.user, &*who.uid), ("o:ana@example.com", "7"));
        assert_eq!(who.groups, ["o:dev", "o:ops", "system:authenticated"]);
        let mut one = claims();
        one["roles"] = json!("dev");
        one["aud"] = json!("leme");
        assert_eq!(owner(&of(), &one, NOW).unwrap().groups, ["o:dev", "system:authenticated"]);
        one["roles"] = Value::Null;
        assert_eq!(owner(&of(), &one, NOW).unwrap().groups, ["system:authenticated"]);
    }

    #[test]
    fn what_is_not_as_it_is_asked_for_is_nobodys() {
        let cases = [
            ("iss", json!("https://id/")),
            ("aud", json!(["other"])),
            ("aud", json!([])),
            ("aud", Value::Null),
            ("exp", json!(NOW)),
            ("exp", Value::Null),
            ("exp", json!("tomorrow")),
            ("nbf", json!(NOW + 1)),
            ("hd", json!("evil.example.com")),
            ("hd", Value::Null),
            ("email", Value::Null),
            ("email", json!("")),
            ("email", json!(["ana@example.com"])),
            ("email_verified", json!(false)),
            ("email_verified", json!("true")),
            ("roles", json!({"dev": true})),
            ("roles", json!(["dev", 7])),
            ("sub", Value::Null),
        ];
        for (claim, value) in cases {
            let mut claims = claims();
            claims[claim] = value;
            assert!(owner(&of(), &claims, NOW).is_err(), "{claims}");
        }
    }

    /// Red when an issuer can name anybody of the cluster: its first user would be an administrator.
    #[test]
    fn nobody_else_gives_the_names_of_the_cluster() {
        let mut of = of();
        of.username.prefix = String::new();
        of.groups.as_mut().unwrap().prefix = String::new();
        let mut claims = claims();
        claims["roles"] = json!(["system:masters", "dev"]);
        assert_eq!(owner(&of, &claims, NOW).unwrap().groups, ["dev", "system:authenticated"]);
        claims["email"] = json!("system:admin");
        assert!(owner(&of, &claims, NOW).is_err());
    }
}
