//! Personal data at rest: sealed, found again by a keyed index, compared by a keyed digest.
//!
//! Every personal part is sealed as one piece with AES-256-GCM under a random nonce; kind, id,
//! version and key are authenticated with it, so a sealed part cannot be moved to another entry.
//! What is sealed: 4 bytes key id, 12 bytes nonce, ciphertext, 16 bytes tag. The keys come from
//! one file: the first line seals, all of them open. Random nonces are good for 2^32 pieces a key.
//!
//! Keys and what they open are never printed; nothing here knows what the bytes mean.

use std::fmt;
use std::path::Path;

use aes_gcm::aead::{Aead, Generate, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use crate::error::{Fault, Stage};

const KEY_ID: usize = 4;
const NONCE: usize = 12;

/// The keys of the privacy key file, newest first.
pub struct Keys {
    keys: Vec<Key>,
}

/// One line of the key file, as three keys that are used for one thing each.
struct Key {
    id: [u8; KEY_ID],
    cipher: Aes256Gcm,
    index: [u8; 32],
    digest: [u8; 32],
    derive: [u8; 32],
}

/// What a sealed part belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Label<'a> {
    pub kind: &'a str,
    pub id: &'a str,
    pub version: i64,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.keys.len())
    }
}

impl Keys {
    /// Reads a key file: one key a line, 64 hexadecimal digits; the first one seals.
    ///
    /// # Errors
    /// The file cannot be read, holds no key, or a line is not one.
    pub fn load(path: &Path) -> Result<Keys, Fault> {
        let bad = |what: String| {
            Fault::operator(
                Stage::Config,
                format!(
                    "[privacy] key_file {}: {what}; expected 64 hexadecimal digits a line, the newest key first (`openssl rand -hex 32` makes one)",
                    path.display()
                ),
            )
        };
        let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
        let lines = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty());
        let keys: Vec<Key> = lines
            .map(|(at, line)| {
                HEXLOWER_PERMISSIVE
                    .decode(line.trim().as_bytes())
                    .ok()
                    .and_then(|key| <[u8; 32]>::try_from(key).ok())
                    .map(|secret| Key::of(&secret))
                    .ok_or_else(|| bad(format!("line {} is no key", at + 1)))
            })
            .collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(bad("there is no key in it".into()));
        }
        Ok(Keys { keys })
    }

    /// Keys for tests and tools, newest first; there must be one.
    pub fn of(secrets: &[[u8; 32]]) -> Keys {
        assert!(!secrets.is_empty(), "a key ring needs a key to seal with");
        Keys {
            keys: secrets.iter().map(Key::of).collect(),
        }
    }

    /// A new key as a line of a key file.
    pub fn generate_line() -> String {
        let secret = <[u8; 32]>::generate();
        HEXLOWER.encode(&secret) + "\n"
    }

    /// Seals under the newest key.
    pub fn seal(&self, label: Label<'_>, plain: &[u8]) -> Vec<u8> {
        let key = &self.keys[0];
        let nonce = Nonce::generate();
        let aad = associated(label, key.id);
        let cipher = key
            .cipher
            .encrypt(
                &nonce,
                Payload {
                    msg: plain,
                    aad: &aad,
                },
            )
            .expect("a record is far below the 64 GiB that GCM can seal");
        let mut sealed = Vec::with_capacity(KEY_ID + NONCE + cipher.len());
        sealed.extend_from_slice(&key.id);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&cipher);
        sealed
    }

    /// Opens what was sealed under any of the keys.
    ///
    /// # Errors
    /// The key is not in the file, or the bytes do not belong to the label or were altered.
    pub fn open(&self, label: Label<'_>, sealed: &[u8]) -> Result<Vec<u8>, Fault> {
        let failed = |what: &str| {
            Fault::operator(
                Stage::Store,
                format!(
                    "the personal part of {} {} version {} {what}",
                    label.kind, label.id, label.version
                ),
            )
        };
        let (id, rest) = sealed
            .split_first_chunk::<KEY_ID>()
            .ok_or_else(|| failed("is too short to be one"))?;
        let (nonce, cipher) = rest
            .split_first_chunk::<NONCE>()
            .ok_or_else(|| failed("is too short to be one"))?;
        let key = self
            .keys
            .iter()
            .find(|key| key.id == *id)
            .ok_or_else(|| failed(&format!("was sealed under key {}, which is not in [privacy] key_file; add the line that was removed", HEXLOWER.encode(id))))?;
        let aad = associated(label, key.id);
        key.cipher
            .decrypt(&Nonce::from(*nonce), Payload { msg: cipher, aad: &aad })
            .map_err(|_| failed("cannot be opened: it was altered or belongs elsewhere; restore it from a backup or have it sent again"))
    }

    /// The blind index of a value under the newest key, e.g. of a certificate number.
    pub fn index(&self, what: &str, value: &str) -> i64 {
        self.keys[0].index_of(what, value)
    }

    /// The blind indexes of a value under every key, to look it up.
    pub fn indexes(&self, what: &str, value: &str) -> Vec<i64> {
        self.keys
            .iter()
            .map(|key| key.index_of(what, value))
            .collect()
    }

    /// Keys for another use, one of each line, newest first; they tell nothing of these or of other uses'.
    pub fn derived(&self, label: &str) -> Vec<[u8; 32]> {
        self.keys
            .iter()
            .map(|key| mac(&key.derive, &[label.as_bytes()]))
            .collect()
    }

    /// The digest of a whole canonical record under each key, newest first, one after the other
    /// (32 bytes each). Keyed, because a plain digest would let a guess be confirmed.
    pub fn digests(&self, content: &[u8]) -> Vec<u8> {
        self.keys
            .iter()
            .flat_map(|key| mac(&key.digest, &[content]))
            .collect()
    }
}

impl Key {
    fn of(secret: &[u8; 32]) -> Key {
        let digest = Sha256::digest(mac(secret, &[b"ltcgw key id"]));
        let mut id = [0; KEY_ID];
        id.copy_from_slice(&digest[..KEY_ID]);
        let cipher = Aes256Gcm::new(&mac(secret, &[b"ltcgw seal"]).into());
        Key {
            id,
            cipher,
            index: mac(secret, &[b"ltcgw index"]),
            digest: mac(secret, &[b"ltcgw digest"]),
            derive: mac(secret, &[b"ltcgw derive"]),
        }
    }

    /// Eight bytes suffice: whoever looks up opens what was found and compares.
    fn index_of(&self, what: &str, value: &str) -> i64 {
        let mac = mac(&self.index, &[what.as_bytes(), &[0], value.as_bytes()]);
        i64::from_be_bytes(*mac.first_chunk().expect("a digest has 32 bytes"))
    }
}

fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn associated(label: Label<'_>, key: [u8; KEY_ID]) -> Vec<u8> {
    let mut aad = Vec::with_capacity(80);
    for part in [label.kind.as_bytes(), label.id.as_bytes()] {
        aad.extend_from_slice(&(part.len() as u32).to_be_bytes());
        aad.extend_from_slice(part);
    }
    aad.extend_from_slice(&label.version.to_be_bytes());
    aad.extend_from_slice(&key);
    aad
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABEL: Label<'_> = Label {
        kind: "caregiver",
        id: "C1",
        version: 3,
    };

    #[test]
    fn what_is_sealed_opens_only_where_it_belongs() {
        let keys = Keys::of(&[[1; 32]]);
        let sealed = keys.seal(LABEL, b"a name");
        assert_eq!(keys.open(LABEL, &sealed).expect("it opens"), b"a name");
        for other in [
            Label {
                kind: "institution",
                ..LABEL
            },
            Label { id: "C2", ..LABEL },
            Label {
                version: 4,
                ..LABEL
            },
        ] {
            assert!(keys.open(other, &sealed).is_err(), "{other:?}");
        }
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(keys.open(LABEL, &altered).is_err(), "byte {at}");
        }
        assert!(keys.open(LABEL, &sealed[..10]).is_err());
    }

    #[test]
    fn the_same_content_is_sealed_differently_each_time() {
        let keys = Keys::of(&[[1; 32]]);
        assert_ne!(keys.seal(LABEL, b"a name"), keys.seal(LABEL, b"a name"));
    }

    #[test]
    fn after_a_new_key_the_old_one_still_opens_finds_and_compares() {
        let (old, both) = (Keys::of(&[[1; 32]]), Keys::of(&[[2; 32], [1; 32]]));
        let sealed = old.seal(LABEL, b"a name");
        assert_eq!(
            both.open(LABEL, &sealed).expect("the old key opens"),
            b"a name"
        );
        assert!(
            both.indexes("phone", "13800000000")
                .contains(&old.index("phone", "13800000000"))
        );
        assert!(both.digests(b"x").ends_with(&old.digests(b"x")));
        let fault = Keys::of(&[[2; 32]])
            .open(LABEL, &sealed)
            .expect_err("the key is gone");
        assert!(
            fault.text.contains("is not in [privacy] key_file"),
            "{fault}"
        );
    }

    #[test]
    fn an_index_tells_uses_apart_and_needs_the_key() {
        let keys = Keys::of(&[[1; 32]]);
        assert_ne!(keys.index("phone", "1"), keys.index("certificate", "1"));
        assert_ne!(
            keys.index("phone", "1"),
            Keys::of(&[[2; 32]]).index("phone", "1")
        );
    }

    #[test]
    fn a_key_file_is_read_and_its_mistakes_are_named_without_its_content() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("key");
        std::fs::write(&path, Keys::generate_line()).expect("written");
        assert_eq!(
            format!("{:?}", Keys::load(&path).expect("a key")),
            "Keys(1)"
        );
        for text in ["", "\n", "abc", &"g".repeat(64), &"é".repeat(32)] {
            std::fs::write(&path, text).expect("written");
            let fault = Keys::load(&path).expect_err("not a key");
            assert!(
                fault.text.contains("expected 64 hexadecimal digits"),
                "{fault}"
            );
            assert!(
                text.trim().is_empty() || !fault.text.contains(text),
                "{fault}"
            );
        }
    }
}
