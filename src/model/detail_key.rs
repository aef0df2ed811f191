//! Detail numbers as 16-byte keys that keep the order of arrival.
//!
//! A unique index over the numbers' text costs more than the rows themselves. Senders count their
//! detail numbers up, so a key that preserves the order of digits lets the index grow at its right
//! edge. Must stay injective for numbers: two different numbers never share a key.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Digits a number may have to be kept in order; the largest below 2^96 has 28.
const DIGITS_MAX: usize = 28;
const HASHED: u8 = 0xff;

/// The key of a sender's detail number: sender, length and value of an all-digit number (leading
/// zeros count through the length), or sender and the first 13 bytes of the SHA-256 of any other text.
pub fn detail_key(sender: u16, detail_no: &str) -> Uuid {
    let mut key = [0_u8; 16];
    key[..2].copy_from_slice(&sender.to_be_bytes());
    let bytes = detail_no.as_bytes();
    if bytes.len() <= DIGITS_MAX && bytes.iter().all(u8::is_ascii_digit) {
        let value = bytes
            .iter()
            .fold(0_u128, |sum, digit| sum * 10 + u128::from(digit - b'0'));
        key[2] = bytes.len() as u8;
        key[3..].copy_from_slice(&value.to_be_bytes()[3..]);
    } else {
        key[2] = HASHED;
        key[3..].copy_from_slice(&Sha256::digest(bytes)[..13]);
    }
    Uuid::from_bytes(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_one_length_keep_their_order() {
        let keys: Vec<Uuid> = (0..2_000_u64)
            .map(|n| detail_key(1, &format!("{:018}", n * 977)))
            .collect();
        assert!(keys.is_sorted());
    }

    #[test]
    fn different_numbers_have_different_keys() {
        let texts = [
            "7",
            "07",
            "007",
            "A7",
            "",
            "9999999999999999999999999999",
            "99999999999999999999999999999",
            "7 ",
        ];
        let keys: std::collections::BTreeSet<Uuid> =
            texts.iter().map(|text| detail_key(1, text)).collect();
        assert_eq!(keys.len(), texts.len());
    }

    #[test]
    fn senders_do_not_share_keys() {
        assert_ne!(detail_key(1, "42"), detail_key(2, "42"));
    }
}
