//! Payment histories as numbers: one employer, district and contribution month.
//!
//! The id is exact; its lower half is the key of an index. Employers' numbers mostly count up, so a
//! key that keeps their order lets the index grow in few places. Different histories may share a key,
//! never an id, so whoever looks a key up compares employers as well.
//!
//! PostgreSQL computes the same key: functions `employer_key` and `history_key` of
//! schemas/postgres/0016_history.sql.

use sha2::{Digest, Sha256};

use super::Month;

/// Digits an employer's number may have to be kept as it is.
const DIGITS_MAX: usize = 26;
/// Bits of an employer in the id.
const EMPLOYER_BITS: u32 = 96;
/// Above the value of a number of digits, its length, since leading zeros count.
const LENGTH_AT: u32 = 90;
const DISTRICT_BITS: u32 = 20;
const MONTH_BITS: u32 = 12;

/// One employer, district and contribution month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HistoryId {
    /// Two halves, so that it takes 16 bytes in whatever stands beside it.
    upper: u64,
    lower: u64,
}

impl HistoryId {
    /// The history of a division code below 2^20 (six digits are).
    pub fn of(employer_no: &str, district: i32, month: Month) -> HistoryId {
        let months = u128::from(
            (i32::from(month.year()) - 1990).unsigned_abs() * 12
                + u32::from(month.month().unsigned_abs())
                - 1,
        );
        let district = u128::from(district.unsigned_abs() & ((1 << DISTRICT_BITS) - 1));
        let id = employer(employer_no) << (MONTH_BITS + DISTRICT_BITS)
            | months << DISTRICT_BITS
            | district;
        HistoryId {
            upper: (id >> 64) as u64,
            lower: id as u64,
        }
    }

    /// 32 bits of the employer, then the month and the district whole.
    pub fn key(self) -> i64 {
        self.lower.cast_signed()
    }
}

/// Length and value of an all-digit number, or a set bit and 95 bits of the SHA-256 of any other text.
fn employer(employer_no: &str) -> u128 {
    let bytes = employer_no.as_bytes();
    if bytes.len() <= DIGITS_MAX && bytes.iter().all(u8::is_ascii_digit) {
        let value = bytes
            .iter()
            .fold(0_u128, |sum, digit| sum * 10 + u128::from(digit - b'0'));
        return (bytes.len() as u128) << LENGTH_AT | value;
    }
    let hash = Sha256::digest(bytes);
    let bits = hash[..12]
        .iter()
        .fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte));
    bits | 1 << (EMPLOYER_BITS - 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn month(text: &str) -> Month {
        Month::parse(text).unwrap()
    }

    #[test]
    fn different_histories_have_different_ids() {
        let employers = [
            "7",
            "07",
            "",
            "91450100198212345K",
            "91450100198212345k",
            "99999999999999999999999999",
            "999999999999999999999999999",
            "4501030012345",
        ];
        let ids: BTreeSet<HistoryId> = employers
            .iter()
            .flat_map(|employer| {
                [
                    (450_103, "202110"),
                    (450_103, "202111"),
                    (450_107, "202110"),
                ]
                .map(|(district, of)| HistoryId::of(employer, district, month(of)))
            })
            .collect();
        assert_eq!(ids.len(), employers.len() * 3);
    }

    #[test]
    fn numbers_that_count_up_have_keys_in_order() {
        let keys: Vec<i64> = (0..2_000)
            .map(|n| HistoryId::of(&format!("45010300{n:06}"), 450_103, month("202110")).key())
            .collect();
        assert!(keys.is_sorted() && keys[0] < keys[1]);
    }

    #[test]
    fn histories_of_employers_that_share_32_bits_share_a_key_and_no_id() {
        let (one, other) = (
            "4501030000001".to_string(),
            (4_501_030_000_001_u64 + (1 << 32)).to_string(),
        );
        let [one, other] =
            [one, other].map(|employer| HistoryId::of(&employer, 450_103, month("202110")));
        assert!(one.key() == other.key() && one != other);
    }

    #[test]
    fn the_largest_month_and_district_fit() {
        let id = HistoryId::of("1", 999_999, month("219912"));
        assert_eq!(id.key(), (1 << 32) | (2_519 << 20) | 999_999);
    }
}
