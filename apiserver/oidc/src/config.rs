//! Who vouches for people, as upstream is told: an AuthenticationConfiguration, or one issuer by flags.
//!
//! Knows: the fields that are carried out; those that are not are refused by name. Refuses to know: issuers' answers.

use std::collections::HashSet;

use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde_json::Value;

/// Versions of the file that say the same.
const VERSIONS: [&str; 2] = ["apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1"];
/// Algorithms by which a key that all may know checks what another one signed.
const ALGORITHMS: [(&str, Algorithm); 8] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
];

/// Those who vouch for people.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) issuers: Vec<Of>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Of {
    /// What tokens have to say that they are of.
    pub url: String,
    /// Where it is told how its keys are found.
    pub discovery: String,
    /// Authorities that its servers show certificates of; the machine's, if there are none.
    pub authority: String,
    /// Whom its tokens are for; one of these.
    pub audiences: Vec<String>,
    pub algorithms: Vec<Algorithm>,
    pub username: Mapping,
    pub groups: Option<Mapping>,
    pub uid: Option<String>,
    /// What tokens have to say besides.
    pub required: Vec<(String, String)>,
}

/// A claim that becomes a name, with what is put before it.
#[derive(Clone, Debug)]
pub(crate) struct Mapping {
    pub claim: String,
    pub prefix: String,
}

/// One issuer as upstream's older flags describe it.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--oidc-issuer-url`
    pub issuer_url: String,
    /// `--oidc-client-id`
    pub client_id: String,
    /// `--oidc-username-claim`
    pub username_claim: String,
    /// `--oidc-username-prefix`
    pub username_prefix: String,
    /// `--oidc-groups-claim`
    pub groups_claim: String,
    /// `--oidc-groups-prefix`
    pub groups_prefix: String,
    /// `--oidc-required-claim`, as `key=value`
    pub required_claims: Vec<String>,
    /// `--oidc-signing-algs`
    pub signing_algs: Vec<String>,
    /// What `--oidc-ca-file` holds
    pub authority: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Document {
    api_version: String,
    kind: String,
    #[serde(default)]
    jwt: Vec<Jwt>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Jwt {
    issuer: JwtIssuer,
    #[serde(default)]
    claim_validation_rules: Vec<Rule>,
    claim_mappings: Mappings,
    #[serde(default)]
    user_validation_rules: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct JwtIssuer {
    url: String,
    #[serde(default, rename = "discoveryURL")]
    discovery_url: String,
    #[serde(default)]
    certificate_authority: String,
    #[serde(default)]
    audiences: Vec<String>,
    #[serde(default)]
    audience_match_policy: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    claim: String,
    #[serde(default)]
    required_value: String,
    #[serde(default)]
    expression: String,
    #[serde(default)]
    #[allow(dead_code)]
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Mappings {
    username: Mapped,
    #[serde(default)]
    groups: Mapped,
    #[serde(default)]
    uid: Mapped,
    #[serde(default)]
    extra: Vec<Value>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Mapped {
    #[serde(default)]
    claim: String,
    #[serde(default)]
    prefix: Option<String>,
    #[serde(default)]
    expression: String,
}

const NOT_CARRIED_OUT: &str = "this version does not carry out expressions: use claim and prefix";

impl Config {
    /// Reads an AuthenticationConfiguration.
    ///
    /// # Errors
    /// What is wrong, by the path of the field.
    pub fn read(document: &Value) -> Result<Config, String> {
        let Document { api_version, kind, jwt } =
            Document::deserialize(document).map_err(|error| error.to_string())?;
        if kind != "AuthenticationConfiguration" || !VERSIONS.contains(&&*api_version) {
            return Err(format!(
                "expected an AuthenticationConfiguration of {}, not a {kind} of {api_version}",
                VERSIONS[0]
            ));
        }
        let mut seen = HashSet::new();
        let mut issuers = Vec::new();
        for (at, one) in jwt.into_iter().enumerate() {
            let of = one.checked(&format!("jwt[{at}]"))?;
            if !seen.insert(of.url.clone()) {
                return Err(format!("jwt[{at}].issuer.url: Duplicate value: {:?}", of.url));
            }
            issuers.push(of);
        }
        Ok(Config { issuers })
    }

    /// One issuer by flags; none, if they name none.
    ///
    /// # Errors
    /// What is wrong, by the flag.
    pub fn of_flags(flags: &Flags) -> Result<Config, String> {
        if flags.issuer_url.is_empty() && flags.client_id.is_empty() {
            return Ok(Config { issuers: Vec::new() });
        }
        if flags.issuer_url.is_empty() || flags.client_id.is_empty() {
            return Err("oidc-issuer-url and oidc-client-id must be specified together".to_owned());
        }
        let url = checked_url("oidc-issuer-url", &flags.issuer_url)?;
        let prefix = match &*flags.username_prefix {
            "-" => String::new(),
            // Names of several issuers shall not meet; addresses of mail are unlikely to.
            "" if flags.username_claim != "email" => format!("{url}#"),
            prefix => prefix.to_owned(),
        };
        let algorithm = |name: &String| {
            let known = ALGORITHMS.iter().find(|(known, _)| known == name);
            known
                .map(|(_, algorithm)| *algorithm)
                .ok_or_else(|| format!("oidc-signing-algs: unsupported signing alg: {name:?}"))
        };
        let required = |pair: &String| {
            let pair = pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
            pair.ok_or_else(|| "oidc-required-claim: expected key=value".to_owned())
        };
        let groups = (!flags.groups_claim.is_empty()).then(|| Mapping {
            claim: flags.groups_claim.clone(),
            prefix: flags.groups_prefix.clone(),
        });
        let of = Of {
            discovery: discovery(&url),
            url,
            authority: flags.authority.clone(),
            audiences: vec![flags.client_id.clone()],
            algorithms: flags.signing_algs.iter().map(algorithm).collect::<Result<_, _>>()?,
            username: Mapping { claim: flags.username_claim.clone(), prefix },
            groups,
            uid: None,
            required: flags.required_claims.iter().map(required).collect::<Result<_, _>>()?,
        };
        Ok(Config { issuers: vec![of] })
    }
}

impl JwtIssuer {
    /// The same, with the address at which it tells of itself.
    fn checked(mut self, path: &str) -> Result<JwtIssuer, String> {
        let url = &self.url;
        let url = checked_url(&format!("{path}.url"), url)?;
        let discovery = match self.discovery_url.is_empty() {
            true => discovery(&url),
            false => checked_url(&format!("{path}.discoveryURL"), &self.discovery_url)?,
        };
        if discovery == url {
            return Err(format!(
                "{path}.discoveryURL: Invalid value: {discovery:?}: discoveryURL must be different from url"
            ));
        }
        if self.audiences.is_empty() {
            return Err(format!(
                "{path}.audiences: Required value: at least one jwt[*].issuer.audiences is required"
            ));
        }
        let policy = &*self.audience_match_policy;
        if !matches!((self.audiences.len(), policy), (1, "" | "MatchAny") | (_, "MatchAny")) {
            return Err(format!(
                "{path}.audienceMatchPolicy: Invalid value: {policy:?}: audienceMatchPolicy must be MatchAny for multiple audiences"
            ));
        }
        self.discovery_url = discovery;
        Ok(self)
    }
}

impl Jwt {
    fn checked(self, path: &str) -> Result<Of, String> {
        let issuer = self.issuer.checked(&format!("{path}.issuer"))?;
        let unknown = |what: &str| Err(format!("{path}.{what}: {NOT_CARRIED_OUT}"));
        if !self.user_validation_rules.is_empty() {
            return unknown("userValidationRules");
        }
        if !self.claim_mappings.extra.is_empty() {
            return unknown("claimMappings.extra");
        }
        let mut required = Vec::new();
        for (at, rule) in self.claim_validation_rules.into_iter().enumerate() {
            if !rule.expression.is_empty() {
                return unknown(&format!("claimValidationRules[{at}].expression"));
            }
            if rule.claim.is_empty() {
                return Err(format!(
                    "{path}.claimValidationRules[{at}]: Required value: claim or expression is required"
                ));
            }
            required.push((rule.claim, rule.required_value));
        }
        let Mappings { username, groups, uid, .. } = self.claim_mappings;
        let path = format!("{path}.claimMappings");
        let username = username.checked(&format!("{path}.username"), true)?;
        let username = username.ok_or_else(|| {
            format!("{path}.username: Required value: claim or expression is required")
        })?;
        Ok(Of {
            url: issuer.url,
            discovery: issuer.discovery_url,
            authority: issuer.certificate_authority,
            audiences: issuer.audiences,
            algorithms: ALGORITHMS.iter().map(|(_, algorithm)| *algorithm).collect(),
            username,
            groups: groups.checked(&format!("{path}.groups"), true)?,
            uid: uid.checked(&format!("{path}.uid"), false)?.map(|mapping| mapping.claim),
            required,
        })
    }
}

impl Mapped {
    fn checked(self, path: &str, has_prefix: bool) -> Result<Option<Mapping>, String> {
        if !self.expression.is_empty() {
            return Err(format!("{path}.expression: {NOT_CARRIED_OUT}"));
        }
        match (self.claim.is_empty(), self.prefix) {
            (true, None) => Ok(None),
            (true, Some(_)) => {
                Err(format!("{path}.claim: Required value: claim is required with a prefix"))
            }
            (false, None) if has_prefix => Err(format!(
                "{path}.prefix: Required value: prefix is required when claim is set. It can be set to an empty string to disable prefixing"
            )),
            (false, prefix) => {
                Ok(Some(Mapping { claim: self.claim, prefix: prefix.unwrap_or_default() }))
            }
        }
    }
}

/// Where an issuer tells of itself.
fn discovery(url: &str) -> String {
    format!("{}/.well-known/openid-configuration", url.trim_end_matches('/'))
}

/// An address that only its owner can answer at, and that hides nothing.
fn checked_url(path: &str, url: &str) -> Result<String, String> {
    let wrong = |why: &str| Err(format!("{path}: Invalid value: {url:?}: {why}"));
    if url.is_empty() {
        return Err(format!("{path}: Required value: URL is required"));
    }
    let Ok(uri) = url.parse::<http::Uri>() else { return wrong("it is no URL") };
    if uri.scheme_str() != Some("https") {
        return wrong("URL scheme must be https");
    }
    if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) {
        return wrong("URL must not contain a username or password");
    }
    if url.contains('?') {
        return wrong("URL must not contain a query");
    }
    if url.contains('#') {
        return wrong("URL must not contain a fragment");
    }
    Ok(url.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn usual() -> Value {
        json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration", "jwt": [{
            "issuer": {"url": "https://id.example.com/", "audiences": ["leme"]},
            "claimValidationRules": [{"claim": "hd", "requiredValue": "example.com"}],
            "claimMappings": {"username": {"claim": "sub", "prefix": "oidc:"},
                "groups": {"claim": "roles", "prefix": ""}, "uid": {"claim": "oid"}}}]})
    }

    #[test]
    fn what_is_configured_is_read() {
        let config = Config::read(&usual()).unwrap();
        let of = &config.issuers[0];
        assert_eq!(of.discovery, "https://id.example.com/.well-known/openid-configuration");
        assert_eq!((&*of.username.claim, &*of.username.prefix), ("sub", "oidc:"));
        assert_eq!(of.uid.as_deref(), Some("oid"));
        assert_eq!(of.required, [("hd".to_owned(), "example.com".to_owned())]);
        let flags = Flags {
            issuer_url: "https://id.example.com".into(),
            client_id: "leme".into(),
            username_claim: "sub".into(),
            signing_algs: vec!["RS256".into()],
            required_claims: vec!["hd=example.com".into()],
            ..Flags::default()
        };
        let of = &Config::of_flags(&flags).unwrap().issuers[0];
        assert_eq!(of.username.prefix, "https://id.example.com#");
        let none =
            |flags: Flags| Config::of_flags(&flags).unwrap().issuers[0].username.prefix.clone();
        assert_eq!(none(Flags { username_prefix: "-".into(), ..flags.clone() }), "");
        assert_eq!(none(Flags { username_claim: "email".into(), ..flags.clone() }), "");
        for flags in [
            Flags { client_id: String::new(), ..flags.clone() },
            Flags { signing_algs: vec!["HS256".into()], ..flags.clone() },
            Flags { signing_algs: vec!["none".into()], ..flags.clone() },
            Flags { required_claims: vec!["hd".into()], ..flags.clone() },
            Flags { issuer_url: "http://id.example.com".into(), ..flags },
        ] {
            assert!(Config::of_flags(&flags).is_err(), "{flags:?}");
        }
    }

    #[test]
    fn what_is_wrong_or_not_carried_out_is_named() {
        let cases = [
            (
                "/jwt/0/issuer/url",
                json!("http://id"),
                "jwt[0].issuer.url: Invalid value: \"http://id\": URL scheme must be https",
            ),
            ("/jwt/0/issuer/url", json!(""), "jwt[0].issuer.url: Required value"),
            ("/jwt/0/issuer/url", json!("https://a@id"), "must not contain a username"),
            ("/jwt/0/issuer/url", json!("https://id?a"), "must not contain a query"),
            ("/jwt/0/issuer/audiences", json!([]), "jwt[0].issuer.audiences: Required value"),
            (
                "/jwt/0/issuer/audiences",
                json!(["a", "b"]),
                "must be MatchAny for multiple audiences",
            ),
            (
                "/jwt/0/claimMappings/username",
                json!({"claim": "sub"}),
                "jwt[0].claimMappings.username.prefix: Required value",
            ),
            (
                "/jwt/0/claimMappings/username",
                json!({}),
                "jwt[0].claimMappings.username: Required value",
            ),
            (
                "/jwt/0/claimMappings/groups",
                json!({"expression": "claims.roles"}),
                "jwt[0].claimMappings.groups.expression: this version does not",
            ),
            (
                "/jwt/0/claimValidationRules/0",
                json!({"expression": "true"}),
                "claimValidationRules[0].expression",
            ),
            ("/kind", json!("Other"), "expected an AuthenticationConfiguration"),
        ];
        for (at, value, expected) in cases {
            let mut document = usual();
            *document.pointer_mut(at).unwrap() = value;
            let why = Config::read(&document).err().unwrap();
            assert!(why.contains(expected), "{why}");
        }
        let mut twice = usual();
        let one = twice["jwt"][0].clone();
        twice["jwt"].as_array_mut().unwrap().push(one);
        assert!(Config::read(&twice).err().unwrap().contains("jwt[1].issuer.url: Duplicate value"));
        let mut unknown = usual();
        unknown["anonymous"] = json!({"enabled": true});
        assert!(Config::read(&unknown).err().unwrap().contains("anonymous"));
    }
}
