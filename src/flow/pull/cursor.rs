//! Where a puller is in the log of changes: a number and the digest of all it was given, signed.
//!
//! The digest is a chain over the items as they were sent, `d[n] = SHA-256(d[n-1] || item)` from
//! 32 zero bytes, so it does not depend on the size of pages, and a puller can compute it, too. A
//! cursor belongs to one puller and one kind. It is signed with a key derived from the privacy key
//! file, so it is good on every instance and after a restart; the pullers need not understand it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::model::registry::Kind;
use crate::store::sealed::Keys;

const FORM: u8 = 1;
/// Bytes of a cursor before its signature: form, kind, puller, sequence, digest.
const SIGNED: usize = 1 + 1 + 4 + 8 + 32;
/// Bytes of the signature: HMAC-SHA-256, truncated (RFC 2104 §5).
const SIGNATURE: usize = 16;

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Number of the last change given.
    pub sequence: i64,
    /// Over every item given.
    pub digest: [u8; 32],
}

impl Position {
    /// The place after one more item.
    pub fn after(self, sequence: i64, item: &[u8]) -> Position {
        Position { sequence, digest: Sha256::new().chain_update(self.digest).chain_update(item).finalize().into() }
    }
}

/// Signs cursors under the newest key, takes those signed under any.
pub struct Signer {
    keys: Vec<[u8; 32]>,
}

impl Signer {
    /// For one use.
    pub fn new(keys: &Keys, label: &str) -> Signer {
        Signer { keys: keys.derived(label) }
    }

    /// The cursor of a place.
    pub fn sign(&self, puller: &str, kind: Kind, at: &Position) -> String {
        let mut bytes = Vec::with_capacity(SIGNED + SIGNATURE);
        bytes.extend_from_slice(&[FORM, tag(kind)]);
        bytes.extend_from_slice(&owner(puller));
        bytes.extend_from_slice(&at.sequence.to_be_bytes());
        bytes.extend_from_slice(&at.digest);
        let mac = mac(&self.keys[0], &bytes, puller).finalize().into_bytes();
        bytes.extend_from_slice(&mac[..SIGNATURE]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place a cursor names.
    ///
    /// # Errors
    /// It is damaged, or another's, or of the other route: a sentence for the puller.
    pub fn verify(&self, cursor: &str, puller: &str, kind: Kind) -> Result<Position, String> {
        let damaged = || "the cursor is damaged or not one of this gateway's; send it exactly as the page before gave it, or take a new snapshot".to_string();
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| damaged())?;
        if bytes.len() != SIGNED + SIGNATURE || bytes[0] != FORM {
            return Err(damaged());
        }
        let (signed, signature) = bytes.split_at(SIGNED);
        if signed[2..6] != owner(puller) {
            return Err("the cursor was given to another puller, or is damaged; go on from a cursor of your own, or take a snapshot".into());
        }
        if !self.keys.iter().any(|key| mac(key, signed, puller).verify_truncated_left(signature).is_ok()) {
            return Err(damaged());
        }
        if signed[1] != tag(kind) {
            return Err(format!("the cursor is of the other route, not of {}; each has cursors of its own", kind.plural()));
        }
        let sequence = i64::from_be_bytes(*signed[6..14].first_chunk().expect("the slice has eight bytes"));
        Ok(Position { sequence, digest: *signed[14..].first_chunk().expect("32 bytes are left") })
    }
}

fn mac(key: &[u8; 32], signed: &[u8], puller: &str) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length").chain_update(signed).chain_update(puller)
}

fn tag(kind: Kind) -> u8 {
    match kind {
        Kind::Institution => b'i',
        Kind::Caregiver => b'c',
    }
}

/// Tells pullers apart in error texts; the signature covers the whole name.
fn owner(puller: &str) -> [u8; 4] {
    *Sha256::digest(puller).first_chunk().expect("a digest has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(secrets: &[[u8; 32]]) -> Signer {
        Signer::new(&Keys::of(secrets), "test")
    }

    #[test]
    fn a_cursor_comes_back_on_every_instance_and_after_a_new_key() {
        let at = Position::default().after(7, b"item");
        let cursor = signer(&[[1; 32]]).sign("p", Kind::Caregiver, &at);
        for keys in [&[[1; 32]][..], &[[2; 32], [1; 32]]] {
            assert_eq!(signer(keys).verify(&cursor, "p", Kind::Caregiver), Ok(at));
        }
        assert!(signer(&[[2; 32]]).verify(&cursor, "p", Kind::Caregiver).is_err(), "another gateway's");
    }

    #[test]
    fn a_cursor_altered_anywhere_is_refused() {
        let signer = signer(&[[1; 32]]);
        let cursor = signer.sign("p", Kind::Caregiver, &Position { sequence: 7, digest: [3; 32] });
        for at in 0..cursor.len() {
            let mut altered = cursor.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).expect("ASCII");
            assert!(signer.verify(&altered, "p", Kind::Caregiver).is_err(), "character {at}");
        }
        for broken in ["", "A", "?", &cursor[1..], &cursor[..cursor.len() - 1], &format!("{cursor}A"), &format!("{cursor}=")] {
            let text = signer.verify(broken, "p", Kind::Caregiver).expect_err("not a cursor");
            assert!(text.contains("damaged"), "{text}");
        }
    }

    #[test]
    fn a_cursor_of_another_puller_or_route_is_named_as_such() {
        let signer = signer(&[[1; 32]]);
        let cursor = signer.sign("p", Kind::Caregiver, &Position::default());
        assert!(signer.verify(&cursor, "q", Kind::Caregiver).expect_err("another's").contains("another puller"));
        assert!(signer.verify(&cursor, "p", Kind::Institution).expect_err("of another route").contains("not of institutions"));
    }
}
