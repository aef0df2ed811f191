//! The registries of a made-up city like Nanning: institutions and caregivers, seeded, the same every time.
//!
//! Every entry is computed from the seed and its index, so registries of any size need no memory.
//! People, numbers and addresses are made up; numbers that have a check character have the right
//! one. It knows nothing of rules, adapters or the store, and must not: agreement would then
//! prove nothing.

use jiff::civil::Date;

use super::city::{DISTRICTS, Rng, uscc};
use crate::model::registry::{
    Agreement, DatedStatus, Institution, InstitutionKind, InstitutionPersonal, InstitutionStatus,
    Licence, ServiceMode, ServiceMode::Home, ServiceMode::Residential, Submission,
};

mod compare; // what each who holds entries should hold, from the registry itself
mod expected; // an entry as each platform should have it
mod life; // what happens to the entries after the load
mod people; // caregivers
mod source; // the LTC system: sends, keeps books of its own

pub use compare::{Comparison, RegistryMoment};
pub use life::{Event, Happening, Life};
pub use source::{LtcSystem, SourceAnswers};

/// Institutions of Nanning: 87 designated in 2021 (23 medical, 35 elderly care, 29 home care).
pub const INSTITUTIONS: u64 = 87;
/// Caregivers of Nanning, under their real names.
pub const CAREGIVERS: u64 = 1_330;

/// Registries of so many entries as of a day; two of the same seed, size and day are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registries {
    seed: u64,
    institutions: u64,
    caregivers: u64,
    today: Date,
}

impl Registries {
    /// Those of Nanning.
    pub fn nanning(seed: u64, today: Date) -> Registries {
        Registries::of_size(seed, today, (INSTITUTIONS, CAREGIVERS))
    }

    /// Of any size, at least one institution; kinds and modes are shared as in Nanning.
    pub fn of_size(seed: u64, today: Date, (institutions, caregivers): (u64, u64)) -> Registries {
        Registries {
            seed,
            institutions: institutions.max(1),
            caregivers,
            today,
        }
    }

    /// Everything in an order in which it can be loaded: institutions first.
    pub fn submissions(self) -> impl Iterator<Item = Submission> {
        let institutions = (0..self.institutions)
            .map(move |index| Submission::Institution(Box::new(self.institution(index))));
        institutions.chain(
            (0..self.caregivers)
                .map(move |index| Submission::Caregiver(Box::new(self.caregiver(index)))),
        )
    }

    /// An institution in its first version.
    pub fn institution(&self, index: u64) -> Institution {
        let mut rng = Rng::of(self.seed, "institution", &[index]);
        let (kind, modes) = kind_and_modes(index);
        let district = *rng.weighted(DISTRICTS);
        let beds = modes
            .contains(&Residential)
            .then(|| rng.between(20, 400) as u32);
        let signed_on = days(self.today, -rng.between(40, 300));
        let valid_from = days(signed_on, rng.between(0, 30));
        let number = index + 1;
        Institution {
            institution_id: id_of_institution(index),
            version: 1,
            uscc: uscc(district, 40_000_000 + index),
            name: format!("南宁{}{}{number}", rng.weighted(NAMES), title(kind)),
            division: district.into(),
            address: Some(address(&mut rng)),
            kind,
            modes,
            level: (kind == InstitutionKind::Medical).then(|| (*rng.weighted(LEVELS)).to_string()),
            stars: (kind == InstitutionKind::ElderlyCare).then(|| rng.between(1, 5) as u8),
            licence: (kind == InstitutionKind::Medical).then(|| Licence {
                number: format!("PDY{district}{number:07}"),
                expires_on: Some(days(self.today, rng.between(200, 2_000))),
            }),
            beds,
            care_beds: beds.map(|beds| beds / 3),
            agreement: Some(Agreement {
                number: format!("CHX-{number:05}"),
                signed_on,
                valid_from,
                valid_to: days(valid_from, 1_095),
            }),
            statuses: vec![
                DatedStatus {
                    status: InstitutionStatus::Applied,
                    from: days(signed_on, -60),
                    to: Some(days(valid_from, -1)),
                },
                DatedStatus {
                    status: InstitutionStatus::AgreementInForce,
                    from: valid_from,
                    to: None,
                },
            ],
            medical_insurance_designated: kind == InstitutionKind::Medical,
            registered_on: signed_on,
            personal: Some(InstitutionPersonal {
                legal_representative: Some(people::name(&mut rng)),
                contact: Some(people::name(&mut rng)),
                phone: Some(people::phone(&mut rng)),
            }),
        }
    }
}

/// Names of institutions.
const NAMES: &[(u32, &str)] = &[
    (3, "康宁"),
    (3, "福寿"),
    (2, "邕江"),
    (2, "青秀山"),
    (2, "仁爱"),
    (2, "松鹤"),
    (1, "夕阳红"),
    (1, "长青"),
    (1, "安颐"),
];
const LEVELS: &[(u32, &str)] = &[(3, "一级"), (4, "二级"), (2, "三级"), (1, "未定级")];
const STREETS: &[(u32, &str)] = &[
    (3, "民族大道"),
    (2, "东葛路"),
    (2, "星光大道"),
    (2, "友爱路"),
    (1, "朝阳路"),
    (1, "白沙大道"),
    (1, "大学东路"),
    (1, "平乐大道"),
];

fn title(kind: InstitutionKind) -> &'static str {
    match kind {
        InstitutionKind::Medical => "护理院",
        InstitutionKind::ElderlyCare => "养老院",
        InstitutionKind::HomeCare => "居家护理服务中心",
        InstitutionKind::Assessment => "评估中心",
    }
}

/// Of each 87, in a mixed order: 23 medical, 35 elderly care, 29 home care; 51 residential, 31 home, 5 both.
fn kind_and_modes(index: u64) -> (InstitutionKind, std::collections::BTreeSet<ServiceMode>) {
    // 37 and 87 have no divisor in common, so every place comes once.
    match index % INSTITUTIONS * 37 % INSTITUTIONS {
        0..18 => (InstitutionKind::Medical, [Residential].into()),
        18..21 => (InstitutionKind::Medical, [Residential, Home].into()),
        21..23 => (InstitutionKind::Medical, [Home].into()),
        23..56 => (InstitutionKind::ElderlyCare, [Residential].into()),
        56..58 => (InstitutionKind::ElderlyCare, [Residential, Home].into()),
        _ => (InstitutionKind::HomeCare, [Home].into()),
    }
}

fn id_of_institution(index: u64) -> String {
    format!("NN-I{:05}", index + 1)
}

fn address(rng: &mut Rng) -> String {
    format!("{}{}号", rng.weighted(STREETS), rng.between(1, 299))
}

fn days(from: Date, days: i64) -> Date {
    from.saturating_add(jiff::Span::new().days(days))
}

#[cfg(test)]
mod tests;
