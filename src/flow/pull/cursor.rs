//! Where a puller is in the log of changes: a number and the digest of all it was given, signed.
//!
//! The digest is a chain over the items as they were sent, `d[n] = SHA-256(d[n-1] || item)` from
//! 32 zero bytes, so it does not depend on the size of pages, and a puller can compute it, too. A
//! cursor belongs to one puller with its areas and one kind. It is signed with a key derived from the privacy key
//! file, so it is good on every instance and after a restart; the pullers need not understand it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::areas::AreasTag;
use crate::model::registry::EntityKind;
use crate::store::sealed::Keys;

/// Of a puller that is given every area; and of one that is bound to some, whose tag comes after the puller.
const FORM: u8 = 1;
const FORM_BOUND: u8 = 2;
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
        Position {
            sequence,
            digest: Sha256::new()
                .chain_update(self.digest)
                .chain_update(item)
                .finalize()
                .into(),
        }
    }
}

/// Whose a cursor is.
#[derive(Debug, Clone, Copy)]
pub struct Bearer<'a> {
    /// Its name.
    pub puller: &'a str,
    /// Of its areas; absent where it is given all.
    pub areas: Option<AreasTag>,
}

/// Why a cursor is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CursorRefusal {
    /// Damaged, another's, or of the other route: a sentence for the puller.
    Bad(String),
    /// It was given when the puller had other areas.
    OtherAreas,
}

/// Signs cursors under the newest key, takes those signed under any.
pub struct CursorSigner {
    keys: Vec<[u8; 32]>,
}

impl CursorSigner {
    /// For one use.
    pub fn new(keys: &Keys, label: &str) -> CursorSigner {
        CursorSigner {
            keys: keys.derived(label),
        }
    }

    /// The cursor of a place.
    pub fn sign(
        &self,
        Bearer { puller, areas }: Bearer<'_>,
        kind: EntityKind,
        at: &Position,
    ) -> String {
        let mut bytes = Vec::with_capacity(SIGNED + size_of::<AreasTag>() + SIGNATURE);
        bytes.extend_from_slice(&[if areas.is_some() { FORM_BOUND } else { FORM }, tag(kind)]);
        bytes.extend_from_slice(&owner(puller));
        bytes.extend_from_slice(areas.as_ref().map_or(&[], |areas| areas.as_slice()));
        bytes.extend_from_slice(&at.sequence.to_be_bytes());
        bytes.extend_from_slice(&at.digest);
        let mac = mac(&self.keys[0], &bytes, puller).finalize().into_bytes();
        bytes.extend_from_slice(&mac[..SIGNATURE]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place a cursor names.
    ///
    /// # Errors
    /// It is damaged, another's, of the other route, or of other areas.
    pub fn verify(
        &self,
        cursor: &str,
        Bearer { puller, areas }: Bearer<'_>,
        kind: EntityKind,
    ) -> Result<Position, CursorRefusal> {
        let damaged = || {
            bad(
                "the cursor is damaged or not one of this gateway's; send it exactly as the page before gave it, or take a new snapshot",
            )
        };
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| damaged())?;
        let bound = match bytes.first() {
            Some(&FORM) => 0,
            Some(&FORM_BOUND) => size_of::<AreasTag>(),
            _ => return Err(damaged()),
        };
        if bytes.len() != SIGNED + bound + SIGNATURE {
            return Err(damaged());
        }
        let (signed, signature) = bytes.split_at(SIGNED + bound);
        if signed[2..6] != owner(puller) {
            return Err(bad(
                "the cursor was given to another puller, or is damaged; go on from a cursor of your own, or take a snapshot",
            ));
        }
        if !self.keys.iter().any(|key| {
            mac(key, signed, puller)
                .verify_truncated_left(signature)
                .is_ok()
        }) {
            return Err(damaged());
        }
        if signed[1] != tag(kind) {
            return Err(bad(&format!(
                "the cursor is of the other route, not of {}; each has cursors of its own",
                kind.plural()
            )));
        }
        let (made_for, at) = signed[6..].split_at(bound);
        if made_for != areas.as_ref().map_or(&[][..], |areas| areas.as_slice()) {
            return Err(CursorRefusal::OtherAreas);
        }
        let sequence = i64::from_be_bytes(*at.first_chunk().expect("40 bytes are left"));
        Ok(Position {
            sequence,
            digest: *at[8..].first_chunk().expect("32 bytes are left"),
        })
    }
}

fn bad(text: &str) -> CursorRefusal {
    CursorRefusal::Bad(text.into())
}

fn mac(key: &[u8; 32], signed: &[u8], puller: &str) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key)
        .expect("HMAC takes keys of any length")
        .chain_update(signed)
        .chain_update(puller)
}

fn tag(kind: EntityKind) -> u8 {
    match kind {
        EntityKind::Institution => b'i',
        EntityKind::Caregiver => b'c',
    }
}

/// Tells pullers apart in error texts; the signature covers the whole name.
fn owner(puller: &str) -> [u8; 4] {
    *Sha256::digest(puller)
        .first_chunk()
        .expect("a digest has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: Bearer<'static> = Bearer {
        puller: "p",
        areas: None,
    };

    fn signer(secrets: &[[u8; 32]]) -> CursorSigner {
        CursorSigner::new(&Keys::of(secrets), "test")
    }

    fn refused(verified: &Result<Position, CursorRefusal>) -> &str {
        match verified {
            Err(CursorRefusal::Bad(text)) => text,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn a_cursor_comes_back_on_every_instance_and_after_a_new_key() {
        let at = Position::default().after(7, b"item");
        let cursor = signer(&[[1; 32]]).sign(P, EntityKind::Caregiver, &at);
        for keys in [&[[1; 32]][..], &[[2; 32], [1; 32]]] {
            assert_eq!(
                signer(keys).verify(&cursor, P, EntityKind::Caregiver),
                Ok(at)
            );
        }
        assert!(
            signer(&[[2; 32]])
                .verify(&cursor, P, EntityKind::Caregiver)
                .is_err(),
            "another gateway's"
        );
    }

    #[test]
    fn a_cursor_is_of_the_areas_it_was_made_for_and_only_its_owner_is_told_so() {
        let (signer, at) = (signer(&[[1; 32]]), Position::default().after(7, b"item"));
        let bearers = [
            P,
            Bearer {
                areas: Some([1; 8]),
                ..P
            },
            Bearer {
                areas: Some([2; 8]),
                ..P
            },
        ];
        for (made_for, own) in bearers.iter().enumerate() {
            let cursor = signer.sign(*own, EntityKind::Caregiver, &at);
            for (number, other) in bearers.iter().enumerate() {
                let expected = if number == made_for {
                    Ok(at)
                } else {
                    Err(CursorRefusal::OtherAreas)
                };
                assert_eq!(
                    signer.verify(&cursor, *other, EntityKind::Caregiver),
                    expected
                );
            }
            let mut altered = cursor.into_bytes();
            altered[12] ^= 1;
            let altered = String::from_utf8(altered).expect("ASCII");
            assert!(matches!(
                signer.verify(&altered, P, EntityKind::Caregiver),
                Err(CursorRefusal::Bad(_))
            ));
        }
    }

    #[test]
    fn a_cursor_altered_anywhere_is_refused() {
        let signer = signer(&[[1; 32]]);
        let cursor = signer.sign(
            P,
            EntityKind::Caregiver,
            &Position {
                sequence: 7,
                digest: [3; 32],
            },
        );
        for at in 0..cursor.len() {
            let mut altered = cursor.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).expect("ASCII");
            assert!(
                signer.verify(&altered, P, EntityKind::Caregiver).is_err(),
                "character {at}"
            );
        }
        for broken in [
            "",
            "A",
            "?",
            &cursor[1..],
            &cursor[..cursor.len() - 1],
            &format!("{cursor}A"),
            &format!("{cursor}="),
        ] {
            assert!(
                refused(&signer.verify(broken, P, EntityKind::Caregiver)).contains("damaged"),
                "{broken}"
            );
        }
    }

    #[test]
    fn a_cursor_of_another_puller_or_route_is_named_as_such() {
        let signer = signer(&[[1; 32]]);
        let cursor = signer.sign(P, EntityKind::Caregiver, &Position::default());
        assert!(
            refused(&signer.verify(&cursor, Bearer { puller: "q", ..P }, EntityKind::Caregiver))
                .contains("another puller")
        );
        assert!(
            refused(&signer.verify(&cursor, P, EntityKind::Institution))
                .contains("not of institutions")
        );
    }
}
