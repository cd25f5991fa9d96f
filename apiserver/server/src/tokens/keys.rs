//! The keys of tokens: one signs, all that are there are believed.
//!
//! Knows: where they lie, and how others are told of them. Refuses to know: what a token says.
//!
//! `sa.key` in the directory of certificates signs; it is made if it is not there. Every `sa-NAME.key` beside it is believed as
//! well, so a key is replaced by calling the old one `sa-old.key` and starting the server, and removed when its last token
//! has ended.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, EncodingKey};
use rcgen::{KeyPair, PublicKeyData};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::pki::{PkiError, files};

/// The file of the key that signs.
const SIGNING: &str = "sa.key";
/// Bytes of a point's coordinate on P-256.
const COORDINATE: usize = 32;

/// The keys of tokens.
pub(crate) struct Keys {
    /// The name of the key that signs, which tokens carry.
    pub id: String,
    /// The key that signs.
    pub signing: EncodingKey,
    /// Those that are believed, by name.
    known: BTreeMap<String, (DecodingKey, Value)>,
}

impl Keys {
    /// Reads the keys of a directory, and makes one if there is none.
    pub fn open(dir: &Path) -> Result<Keys, PkiError> {
        files::directory(dir)?;
        let path = dir.join(SIGNING);
        let pair = match files::read(&path)? {
            Some(text) => read(&path, &text)?,
            None => {
                let pair = KeyPair::generate().map_err(|source| wrong(&path, source))?;
                files::write(&path, &pair.serialize_pem(), 0o600)?;
                pair
            }
        };
        let signing = EncodingKey::from_ec_der(pair.serialized_der());
        let (id, known) = public(&pair).ok_or_else(|| not_ours(&path))?;
        let mut keys = Keys { id: id.clone(), signing, known: BTreeMap::from([(id, known)]) };
        for name in files::names(dir)? {
            if name.starts_with("sa-") && name.ends_with(".key") {
                let path = dir.join(&name);
                let Some(text) = files::read(&path)? else { continue };
                let (id, known) = public(&read(&path, &text)?).ok_or_else(|| not_ours(&path))?;
                keys.known.insert(id, known);
            }
        }
        Ok(keys)
    }

    /// A key that is believed.
    pub fn get(&self, id: &str) -> Option<&DecodingKey> {
        self.known.get(id).map(|(key, _)| key)
    }

    /// What others need to check tokens, a JSON Web Key Set.
    pub fn public(&self) -> Value {
        json!({ "keys": self.known.values().map(|(_, shown)| shown).collect::<Vec<_>>() })
    }
}

fn read(path: &Path, text: &str) -> Result<KeyPair, PkiError> {
    KeyPair::from_pem(text).map_err(|source| wrong(path, source))
}

fn wrong(path: &Path, source: rcgen::Error) -> PkiError {
    PkiError::Certificate { what: path.display().to_string(), source }
}

fn not_ours(path: &Path) -> PkiError {
    wrong(path, rcgen::Error::UnsupportedSignatureAlgorithm)
}

/// The name of a key, the key to check with, and how it is shown; nothing if it is not on P-256.
fn public(pair: &KeyPair) -> Option<(String, (DecodingKey, Value))> {
    if !pair.is_compatible(&rcgen::PKCS_ECDSA_P256_SHA256) {
        return None;
    }
    let id = URL_SAFE_NO_PAD.encode(Sha256::digest(pair.subject_public_key_info()));
    // An uncompressed point: a byte that says so, and two coordinates.
    let (x, y) = pair.public_key_raw().get(1..)?.split_at_checked(COORDINATE)?;
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    let key = DecodingKey::from_ec_components(&x, &y).ok()?;
    let shown = json!({
        "use": "sig", "kty": "EC", "kid": id, "crv": "P-256", "alg": "ES256", "x": x, "y": y,
    });
    Some((id, (key, shown)))
}
