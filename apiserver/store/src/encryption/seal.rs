//! What values look like at rest: in the clear, or sealed with a key, in upstream's formats.
//!
//! Knows: ciphers, keys, the words that sealed values begin with. Refuses to know: which keys of the store are sealed.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};
use aws_lc_rs::rand;
use bytes::Bytes;
use crypto_secretbox::aead::AeadInPlace;
use crypto_secretbox::{KeyInit, XSalsa20Poly1305};

/// What every sealed value begins with: in the clear nothing begins so.
const SEALED: &[u8] = b"k8s:enc:";
/// Whether a value is sealed, by whomever.
pub(super) fn is_sealed(value: &[u8]) -> bool {
    value.starts_with(SEALED)
}

/// Bytes of random that a sealed box begins with.
const BOX_NONCE: usize = 24;

/// One way to keep values.
pub(super) struct Sealer {
    /// What its values begin with: the cipher and the key's name.
    head: Vec<u8>,
    cipher: Cipher,
}

enum Cipher {
    /// As they are.
    Identity,
    /// AES in Galois/Counter mode; the store's key is authenticated as well.
    AesGcm(LessSafeKey),
    /// XSalsa20 and Poly1305, as NaCl's box: the store's key is no part of it.
    SecretBox(Box<XSalsa20Poly1305>),
}

impl Sealer {
    /// Values in the clear.
    pub fn identity() -> Sealer {
        Sealer { head: Vec::new(), cipher: Cipher::Identity }
    }

    /// AES-GCM with a key of 16, 24 or 32 bytes.
    pub fn aes_gcm(name: &str, key: &[u8]) -> Result<Sealer, String> {
        let algorithm = match key.len() {
            16 => &AES_128_GCM,
            24 => &AES_192_GCM,
            32 => &AES_256_GCM,
            _ => {
                return Err(
                    "secret is not of the expected length, expected 16, 24 or 32 bytes".to_owned()
                );
            }
        };
        let key = UnboundKey::new(algorithm, key).map_err(|_| "secret is no key".to_owned())?;
        Ok(Sealer::named("aesgcm", name, Cipher::AesGcm(LessSafeKey::new(key))))
    }

    /// A secret box with a key of 32 bytes.
    pub fn secret_box(name: &str, key: &[u8]) -> Result<Sealer, String> {
        let cipher = XSalsa20Poly1305::new_from_slice(key)
            .map_err(|_| "secret is not of the expected length, expected 32 bytes".to_owned())?;
        Ok(Sealer::named("secretbox", name, Cipher::SecretBox(Box::new(cipher))))
    }

    fn named(cipher_name: &str, name: &str, cipher: Cipher) -> Sealer {
        let head = [SEALED, format!("{cipher_name}:v1:{name}:").as_bytes()].concat();
        Sealer { head, cipher }
    }

    /// Whether a value was sealed by this one.
    pub fn made(&self, value: &[u8]) -> bool {
        match self.cipher {
            Cipher::Identity => !value.starts_with(SEALED),
            Cipher::AesGcm(_) | Cipher::SecretBox(_) => value.starts_with(&self.head),
        }
    }

    /// A value of a key as it is kept.
    pub fn seal(&self, key: &str, value: Bytes) -> Result<Bytes, String> {
        let failed = |_| "value cannot be encrypted".to_owned();
        match &self.cipher {
            Cipher::Identity if value.starts_with(SEALED) => {
                Err("value looks as if it were encrypted already".to_owned())
            }
            Cipher::Identity => Ok(value),
            Cipher::AesGcm(cipher) => {
                let nonce = random::<NONCE_LEN>()?;
                let mut sealed = self.begin(&nonce, &value);
                let body = self.head.len() + NONCE_LEN;
                let nonce = Nonce::assume_unique_for_key(nonce);
                let tag = cipher
                    .seal_in_place_separate_tag(nonce, Aad::from(key), &mut sealed[body..])
                    .map_err(|_| failed(()))?;
                sealed.extend_from_slice(tag.as_ref());
                Ok(sealed.into())
            }
            Cipher::SecretBox(cipher) => {
                let nonce = random::<BOX_NONCE>()?;
                let mut sealed = self.begin(&nonce, &[]);
                let mut body = value.to_vec();
                let tag = cipher
                    .encrypt_in_place_detached(&nonce.into(), b"", &mut body)
                    .map_err(|_| failed(()))?;
                sealed.extend_from_slice(&tag);
                sealed.extend_from_slice(&body);
                Ok(sealed.into())
            }
        }
    }

    /// What was sealed by this one, for that key.
    pub fn open(&self, key: &str, sealed: &Bytes) -> Result<Bytes, String> {
        let changed =
            || "it was changed, or encrypted with another key of the same name".to_owned();
        let body = sealed.get(self.head.len()..).ok_or_else(changed)?;
        match &self.cipher {
            Cipher::Identity => Ok(sealed.clone()),
            Cipher::AesGcm(cipher) => {
                let (nonce, body) = body.split_first_chunk::<NONCE_LEN>().ok_or_else(changed)?;
                let mut body = body.to_vec();
                let nonce = Nonce::assume_unique_for_key(*nonce);
                let opened = cipher.open_in_place(nonce, Aad::from(key), &mut body);
                let length = opened.map_err(|_| changed())?.len();
                body.truncate(length);
                Ok(body.into())
            }
            Cipher::SecretBox(cipher) => {
                let (nonce, body) = body.split_first_chunk::<BOX_NONCE>().ok_or_else(changed)?;
                let (tag, body) = body.split_first_chunk::<16>().ok_or_else(changed)?;
                let mut body = body.to_vec();
                cipher
                    .decrypt_in_place_detached(nonce.into(), b"", &mut body, tag.into())
                    .map_err(|_| changed())?;
                Ok(body.into())
            }
        }
    }

    /// The head, the nonce, and what follows.
    fn begin(&self, nonce: &[u8], rest: &[u8]) -> Vec<u8> {
        // A tag has 16 bytes.
        let mut all = Vec::with_capacity(self.head.len() + nonce.len() + rest.len() + 16);
        all.extend_from_slice(&self.head);
        all.extend_from_slice(nonce);
        all.extend_from_slice(rest);
        all
    }
}

fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| "the machine gives no random numbers".to_owned())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "/registry/secrets/shop/card";

    fn sealers() -> Vec<Sealer> {
        [16, 24, 32]
            .map(|n| Sealer::aes_gcm("k", &vec![7; n]).unwrap())
            .into_iter()
            .chain([Sealer::secret_box("k", &[7; 32]).unwrap()])
            .collect()
    }

    #[test]
    fn what_is_sealed_is_opened_and_shows_nothing() {
        for sealer in sealers() {
            for text in ["", "x", "the secret that nobody shall see"] {
                let value = Bytes::copy_from_slice(text.as_bytes());
                let sealed = sealer.seal(KEY, value.clone()).unwrap();
                assert!(sealer.made(&sealed) && sealed.starts_with(SEALED));
                assert!(
                    text.len() < 2 || !sealed.windows(text.len()).any(|w| w == text.as_bytes())
                );
                assert_ne!(
                    sealed,
                    sealer.seal(KEY, value.clone()).unwrap(),
                    "a nonce is used once"
                );
                assert_eq!(sealer.open(KEY, &sealed).unwrap(), value);
            }
        }
    }

    /// Red when what follows the head is taken as it is.
    #[test]
    fn each_byte_that_is_changed_or_missing_is_noticed() {
        for sealer in sealers() {
            let sealed = sealer.seal(KEY, Bytes::from_static(b"secret")).unwrap();
            for at in sealer.head.len()..sealed.len() {
                let mut other = sealed.to_vec();
                other[at] ^= 1;
                assert!(sealer.open(KEY, &other.into()).is_err(), "byte {at}");
            }
            for length in 0..sealed.len() {
                assert!(sealer.open(KEY, &sealed.slice(..length)).is_err(), "{length} bytes");
            }
        }
        let gcm = &sealers()[2];
        let sealed = gcm.seal(KEY, Bytes::from_static(b"secret")).unwrap();
        assert!(gcm.open("/registry/secrets/shop/other", &sealed).is_err(), "moved to another key");
    }

    /// Values that upstream's API server wrote: what is in etcd is read by both.
    #[test]
    fn the_formats_are_those_of_upstream() {
        let gcm = Sealer::aes_gcm("k", &[7; 32]).unwrap();
        let sealed = gcm.seal(KEY, Bytes::from_static(b"secret")).unwrap();
        assert!(sealed.starts_with(b"k8s:enc:aesgcm:v1:k:"));
        assert_eq!(sealed.len(), "k8s:enc:aesgcm:v1:k:".len() + 12 + "secret".len() + 16);
        let sealed = Sealer::secret_box("k", &[7; 32])
            .unwrap()
            .seal(KEY, Bytes::from_static(b"secret"))
            .unwrap();
        assert!(sealed.starts_with(b"k8s:enc:secretbox:v1:k:"));
        assert_eq!(sealed.len(), "k8s:enc:secretbox:v1:k:".len() + 24 + 16 + "secret".len());
        let plain = Sealer::identity();
        assert!(!plain.made(&sealed), "what is sealed is not in the clear");
        assert!(plain.seal(KEY, sealed).is_err());
    }
}
