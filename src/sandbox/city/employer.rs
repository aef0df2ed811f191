//! Made-up employers: district, credit code, headcount, wages.
//!
//! Every employer is computed from the seed and its index, so a city of any size needs no memory.

use super::rng::Rng;
use crate::model::identity::uscc_check_character;

/// Nanning's districts (GB/T 2260) with the share of employers in percent.
pub const DISTRICTS: &[(u32, &str)] = &[
    (20, "450103"), // Qingxiu
    (20, "450107"), // Xixiangtang
    (11, "450105"), // Jiangnan
    (9, "450102"),  // Xingning
    (9, "450108"),  // Liangqing
    (7, "450110"),  // Wuming
    (6, "450126"),  // Binyang
    (5, "450181"),  // Hengzhou
    (4, "450109"),  // Yongning
    (3, "450123"),  // Long'an
    (3, "450124"),  // Mashan
    (3, "450125"),  // Shanglin
];

/// Headcounts: many small employers, few very large ones; about 21 on average.
const HEADCOUNTS: &[(u32, (i64, i64))] = &[
    (5_202, (1, 5)),
    (3_000, (6, 20)),
    (1_320, (21, 50)),
    (400, (51, 200)),
    (70, (201, 1_000)),
    (8, (1_001, 5_000)),
];

/// Average monthly wages in yuan.
const WAGES: &[(u32, (i64, i64))] = &[
    (35, (3_000, 4_999)),
    (40, (5_000, 7_999)),
    (20, (8_000, 14_999)),
    (5, (15_000, 29_999)),
];

/// Weights of an organisation code's eight characters (GB 11714-1997).
const ORGANISATION_WEIGHTS: [u64; 8] = [3, 7, 9, 10, 5, 8, 4, 2];

/// An employer of the city.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Employer {
    pub index: u64,
    /// Number in medical insurance: district and a serial number, 14 digits.
    pub employer_no: String,
    /// Unified social credit code.
    pub uscc: String,
    pub district: &'static str,
    pub headcount: i64,
    /// Average monthly wage per head in fen.
    pub wage: i64,
}

impl Employer {
    pub(super) fn of(seed: u64, index: u64) -> Employer {
        let mut rng = Rng::of(seed, "employer", &[index]);
        let district: &'static str = rng.weighted::<&'static str>(DISTRICTS);
        let (fewest, most) = *rng.weighted(HEADCOUNTS);
        let (lowest, highest) = *rng.weighted(WAGES);
        Employer {
            index,
            employer_no: format!("{district}{:08}", index + 1),
            uscc: uscc(district, index),
            district,
            headcount: rng.between(fewest, most),
            wage: rng.between(lowest * 100, highest * 100 + 99),
        }
    }
}

/// A credit code of an enterprise (91) in a district with a valid organisation code and check character.
pub(in crate::sandbox) fn uscc(district: &str, index: u64) -> String {
    let serial = format!("{:08}", (index + 1) % 100_000_000);
    let sum: u64 = serial
        .bytes()
        .zip(ORGANISATION_WEIGHTS)
        .map(|(digit, weight)| u64::from(digit - b'0') * weight)
        .sum();
    let check = match 11 - sum % 11 {
        11 => '0',
        10 => 'X',
        digit => char::from(b'0' + digit as u8),
    };
    let first = format!("91{district}{serial}{check}");
    let last = uscc_check_character(first.as_bytes()).expect("seventeen allowed characters");
    format!("{first}{}", char::from(last))
}
