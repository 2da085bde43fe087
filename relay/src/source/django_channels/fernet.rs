//! Fernet tokens, as Python's `cryptography` makes them: AES-128 in CBC and HMAC-SHA256. Pure.

use aes::Aes128;
use base64::{Engine, engine::general_purpose::URL_SAFE};
use cbc::cipher::{BlockModeDecrypt, KeyIvInit, block_padding::Pkcs7};
use ring::hmac;
use sha2::{Digest, Sha256};

const VERSION: u8 = 0x80;
const HEAD: usize = 1 + 8;
const IV: usize = 16;
const TAG: usize = 32;
/// How far a sender's clock may be ahead, in seconds.
const SKEW: u64 = 60;

/// The keys that a message may have been encrypted with. There is no `Debug`.
pub struct Keys(Vec<Key>);

struct Key {
    signing: hmac::Key,
    encryption: [u8; 16],
}

/// Why a token cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FernetError {
    #[error("it is not encrypted, or not as Fernet does")]
    Malformed,
    #[error("it was encrypted with none of the keys, or changed on its way")]
    WrongKey,
    #[error("it was encrypted too long ago")]
    Expired,
    #[error("it was encrypted in the future; a clock is wrong")]
    Future,
}

impl Keys {
    /// Of the texts in Django's settings: a key is the hash of one.
    pub fn new(texts: &[String]) -> Keys {
        let key = |text: &String| {
            let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
            let (signing, encryption) = hash.split_at(16);
            let mut key = [0; 16];
            key.copy_from_slice(encryption);
            Key {
                signing: hmac::Key::new(hmac::HMAC_SHA256, signing),
                encryption: key,
            }
        };
        Keys(texts.iter().map(key).collect())
    }

    /// What a token holds, if it is at most `max_age` seconds old at `now`, in seconds since 1970; without
    /// one it may have any age.
    pub fn open(
        &self,
        token: &[u8],
        now: u64,
        max_age: Option<u64>,
    ) -> Result<Vec<u8>, FernetError> {
        let bytes = URL_SAFE.decode(token).map_err(|_| FernetError::Malformed)?;
        let least = HEAD + IV + TAG;
        if bytes.first() != Some(&VERSION) || bytes.len() < least {
            return Err(FernetError::Malformed);
        }
        let (signed, tag) = bytes.split_at(bytes.len() - TAG);
        let mut keys = self.0.iter();
        let key = keys
            .find(|key| hmac::verify(&key.signing, signed, tag).is_ok())
            .ok_or(FernetError::WrongKey)?;
        let mut time = [0; 8];
        time.copy_from_slice(&signed[1..HEAD]);
        let time = u64::from_be_bytes(time);
        if max_age.is_some_and(|age| time.saturating_add(age) < now) {
            return Err(FernetError::Expired);
        }
        if now.saturating_add(SKEW) < time {
            return Err(FernetError::Future);
        }
        let mut iv = [0; IV];
        iv.copy_from_slice(&signed[HEAD..HEAD + IV]);
        cbc::Decryptor::<Aes128>::new(&key.encryption.into(), &iv.into())
            .decrypt_padded_vec::<Pkcs7>(&signed[HEAD + IV..])
            .map_err(|_| FernetError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by Python's `cryptography` 50 with the key of `mykey`, at 1795290000.
    const TOKEN: &[u8] = b"gAAAAABrAfOQDx1L_VV37LoxAXrA5zIqBDn2TnfGSQ0iInedzuiXSUdb3QaOdih69WBkj9KsZUEWCF0ddda9vcuwur-mKN8MOg==";
    const MADE: u64 = 1_795_290_000;

    fn open(texts: &[&str], token: &[u8], now: u64) -> Result<Vec<u8>, FernetError> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        Keys::new(&texts).open(token, now, Some(70))
    }

    #[test]
    fn a_token_of_python_opens_with_its_key_among_others() {
        assert_eq!(
            open(&["other", "mykey"], TOKEN, MADE + 70).unwrap(),
            b"hello"
        );
        assert_eq!(open(&["other"], TOKEN, MADE), Err(FernetError::WrongKey));
        assert_eq!(
            open(&["mykey"], TOKEN, MADE + 71),
            Err(FernetError::Expired)
        );
        assert_eq!(open(&["mykey"], TOKEN, MADE - 61), Err(FernetError::Future));
    }

    #[test]
    fn whatever_was_changed_is_refused() {
        for index in 0..TOKEN.len() {
            let mut token = TOKEN.to_vec();
            token[index] = if token[index] == b'A' { b'B' } else { b'A' };
            assert!(open(&["mykey"], &token, MADE).is_err(), "{index}");
        }
        for token in [&b""[..], b"gAAAA", b"\xff\x80", &TOKEN[..60], b"{}"] {
            assert_eq!(open(&["mykey"], token, MADE), Err(FernetError::Malformed));
        }
    }
}
