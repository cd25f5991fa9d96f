//! An EncryptionConfiguration: which resources are kept how.
//!
//! Knows: upstream's file (`apiserver.config.k8s.io/v1`). Refuses to know: under which keys resources lie.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use super::seal::Sealer;

/// What a configuration says, read and checked.
pub struct Config {
    pub(super) rules: Vec<Kept>,
}

/// How some resources are kept.
pub(super) struct Kept {
    /// Names such as `secrets`, `routes.route.openshift.io`, `*.apps`, `*.` (the core group), `*.*`.
    pub resources: Vec<String>,
    /// The first writes, all read.
    pub sealers: Vec<Sealer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Document {
    api_version: String,
    kind: String,
    resources: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    providers: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    name: String,
    secret: String,
}

impl Config {
    /// One by which nothing is encrypted.
    pub fn none() -> Config {
        Config { rules: Vec::new() }
    }

    /// Reads one.
    ///
    /// # Errors
    /// What is wrong, by the path of the field. Secrets are not told.
    pub fn read(document: &Value) -> Result<Config, String> {
        let read = Document::deserialize(document).map_err(|error| error.to_string())?;
        let Document { api_version, kind, resources: rows } = read;
        if (&*api_version, &*kind) != ("apiserver.config.k8s.io/v1", "EncryptionConfiguration") {
            return Err(format!(
                "expected an EncryptionConfiguration of apiserver.config.k8s.io/v1, not a {kind} of {api_version}"
            ));
        }
        if rows.is_empty() {
            return Err("resources: Required value: must contain at least one resource".to_owned());
        }
        let mut seen = HashSet::new();
        let kept = |(at, row): (usize, Row)| {
            let path = format!("resources[{at}]");
            if row.resources.is_empty() {
                return Err(format!(
                    "{path}.resources: Required value: at least one resource must be specified"
                ));
            }
            if let Some(twice) = row.resources.iter().find(|name| !seen.insert((*name).clone())) {
                return Err(format!("{path}.resources: Duplicate value: {twice:?}"));
            }
            if row.providers.is_empty() {
                return Err(format!(
                    "{path}.providers: Required value: at least one provider must be specified"
                ));
            }
            let mut sealers = Vec::new();
            for (at, provider) in row.providers.iter().enumerate() {
                sealers.extend(provided(&format!("{path}.providers[{at}]"), provider)?);
            }
            Ok(Kept { resources: row.resources, sealers })
        };
        rows.into_iter()
            .enumerate()
            .map(kept)
            .collect::<Result<_, _>>()
            .map(|rules| Config { rules })
    }
}

/// The keys of a provider, of which it is one only.
fn provided(path: &str, provider: &Value) -> Result<Vec<Sealer>, String> {
    let fields = provider.as_object().filter(|fields| fields.len() == 1);
    let Some((name, what)) = fields.and_then(|fields| fields.iter().next()) else {
        return Err(format!("{path}: must specify exactly one provider"));
    };
    let path = format!("{path}.{name}");
    let make = match &**name {
        "identity" => return Ok(vec![Sealer::identity()]),
        "aesgcm" => Sealer::aes_gcm,
        "secretbox" => Sealer::secret_box,
        "aescbc" | "kms" => {
            return Err(format!(
                "{path}: this version does not carry it out: use secretbox or aesgcm"
            ));
        }
        _ => return Err(format!("{path}: unknown provider")),
    };
    // What stands there is a secret: an error shall not quote it.
    let keys = Keys::deserialize(what)
        .map_err(|_| format!("{path}: expected keys, each with a name and a secret"))?
        .keys;
    if keys.is_empty() {
        return Err(format!("{path}.keys: Required value: at least one key must be specified"));
    }
    let mut names = HashSet::new();
    let sealer = |(at, key): (usize, &Key)| {
        let path = format!("{path}.keys[{at}]");
        if key.name.is_empty() || key.name.contains(':') {
            return Err(format!(
                "{path}.name: Invalid value: {:?}: must be a name without colons",
                key.name
            ));
        }
        if !names.insert(key.name.clone()) {
            return Err(format!("{path}.name: Duplicate value: {:?}", key.name));
        }
        let secret = STANDARD.decode(&key.secret);
        let secret = secret
            .map_err(|_| format!("{path}.secret: Invalid value: secrets must be base64 encoded"))?;
        make(&key.name, &secret).map_err(|why| format!("{path}.secret: Invalid value: {why}"))
    };
    keys.iter().enumerate().map(sealer).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(provider: Value) -> Value {
        json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
            "resources": [{"resources": ["secrets"], "providers": [provider]}]})
    }

    fn keys(secrets: &[(&str, &[u8])]) -> Value {
        let keys =
            secrets.iter().map(|(name, key)| json!({"name": name, "secret": STANDARD.encode(key)}));
        json!({"keys": keys.collect::<Vec<_>>()})
    }

    #[test]
    fn what_upstream_takes_is_taken() {
        for provider in [
            json!({"identity": {}}),
            json!({"aesgcm": keys(&[("a", &[1; 16]), ("b", &[2; 32])])}),
            json!({"secretbox": keys(&[("a", &[1; 32])])}),
        ] {
            assert!(Config::read(&with(provider.clone())).is_ok(), "{provider}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_no_secret_told() {
        let secret = keys(&[("a", b"0123456789-this-is-secret")]);
        let twice = keys(&[("a", &[1; 32]), ("a", &[2; 32])]);
        let cases = [
            (
                json!({"identity": {}, "aesgcm": {}}),
                "resources[0].providers[0]: must specify exactly one provider",
            ),
            (json!({"rot13": {}}), "resources[0].providers[0].rot13: unknown provider"),
            (
                json!({"kms": {}}),
                "resources[0].providers[0].kms: this version does not carry it out: use secretbox or aesgcm",
            ),
            (
                json!({"aesgcm": {"keys": []}}),
                "resources[0].providers[0].aesgcm.keys: Required value: at least one key must be specified",
            ),
            (
                json!({"aesgcm": {"keys": [{"name": "a", "secret": 12_345}]}}),
                "resources[0].providers[0].aesgcm: expected keys, each with a name and a secret",
            ),
            (
                json!({"aesgcm": {"keys": [{"name": "a", "secret": "***"}]}}),
                "resources[0].providers[0].aesgcm.keys[0].secret: Invalid value: secrets must be base64 encoded",
            ),
            (
                json!({"aesgcm": secret}),
                "resources[0].providers[0].aesgcm.keys[0].secret: Invalid value: secret is not of the expected length, expected 16, 24 or 32 bytes",
            ),
            (
                json!({"secretbox": secret}),
                "resources[0].providers[0].secretbox.keys[0].secret: Invalid value: secret is not of the expected length, expected 32 bytes",
            ),
            (
                json!({"secretbox": twice}),
                "resources[0].providers[0].secretbox.keys[1].name: Duplicate value: \"a\"",
            ),
        ];
        for (provider, expected) in cases {
            assert_eq!(Config::read(&with(provider)).err().as_deref(), Some(expected));
        }
        let mut other = with(json!({"identity": {}}));
        other["kind"] = "AuditPolicy".into();
        assert!(Config::read(&other).is_err());
    }
}
