//! Made-up caregivers: names, certificates, jobs, training.

use jiff::civil::{Date, date};

use super::{Registries, days, id_of_institution};
use crate::model::identity::resident_id_is_valid;
use crate::model::registry::{
    Caregiver, CaregiverKind, CaregiverPersonal, CaregiverStatus, CertificateType, Contract,
    DatedStatus, Job, Qualification, QualificationKind, ServiceMode, Sex, TrainingYear,
};
use crate::sandbox::city::{DISTRICTS, Rng};

const SURNAMES: &[(u32, &str)] = &[
    (9, "黄"),
    (7, "李"),
    (6, "韦"),
    (6, "陈"),
    (5, "覃"),
    (5, "梁"),
    (4, "陆"),
    (4, "莫"),
    (3, "农"),
    (3, "蒙"),
    (2, "欧阳"),
];
const GIVEN: &[(u32, &str)] = &[
    (3, "秀"),
    (3, "丽"),
    (3, "桂"),
    (2, "春"),
    (2, "志"),
    (2, "建"),
    (2, "小"),
    (1, "玉"),
    (1, "晓"),
    (1, "永"),
];
const GIVEN_LAST: &[(u32, &str)] = &[
    (3, "英"),
    (3, "芳"),
    (2, "梅"),
    (2, "兰"),
    (2, "华"),
    (2, "强"),
    (1, "军"),
    (1, "玲"),
    (1, "燕"),
    (1, "平"),
];
const JOBS: &[(u32, Job)] = &[
    (82, Job::Caregiver),
    (11, Job::Nurse),
    (4, Job::Manager),
    (3, Job::Assessor),
];
const LEVELS: &[(u32, QualificationKind)] = &[
    (6, QualificationKind::LongTermCarer5),
    (3, QualificationKind::LongTermCarer4),
    (1, QualificationKind::LongTermCarer3),
];

impl Registries {
    /// A caregiver in the first version.
    pub fn caregiver(&self, index: u64) -> Caregiver {
        let mut rng = Rng::of(self.seed, "caregiver", &[index]);
        let at = rng
            .between(0, self.institutions.cast_signed() - 1)
            .cast_unsigned();
        let at_home = self.institution(at).modes.contains(&ServiceMode::Home);
        let (sex, job) = (
            if rng.between(1, 100) <= 78 {
                Sex::Female
            } else {
                Sex::Male
            },
            *rng.weighted(JOBS),
        );
        // Some care for one relative only.
        let exclusive = at_home && job == Job::Caregiver && rng.between(1, 100) <= 30;
        let birth_on = days(
            date(self.today.year() - 24, 1, 1),
            -rng.between(0, 38 * 365),
        );
        let began = days(self.today, -rng.between(1, 900));
        let (qualifications, qualification_numbers) = qualifications(&mut rng, job, began);
        let certificate_number = resident_id(&mut rng, (index, birth_on, sex));
        let year = self.today.year();
        Caregiver {
            caregiver_id: format!("NN-C{:06}", index + 1),
            version: 1,
            sex,
            kind: if exclusive {
                CaregiverKind::Exclusive
            } else {
                CaregiverKind::Social
            },
            institution_id: id_of_institution(at),
            job,
            qualifications,
            health_statement_on: Some(days(self.today, -rng.between(1, 330))),
            contract: Some(Contract {
                from: began,
                to: (rng.between(1, 3) == 1).then(|| days(self.today, rng.between(100, 1_000))),
            }),
            training: vec![
                TrainingYear {
                    year: year - 1,
                    hours: rng.between(20, 60) as u16,
                },
                TrainingYear {
                    year,
                    hours: rng.between(16, 60) as u16,
                }, // a few have not all their hours yet
            ],
            statuses: vec![DatedStatus {
                status: CaregiverStatus::Active,
                from: began,
                to: None,
            }],
            registered_on: began,
            personal: Some(CaregiverPersonal {
                name: name(&mut rng),
                certificate_type: CertificateType::ResidentId,
                certificate_number,
                birth_on,
                phone: Some(phone(&mut rng)),
                recipients: if exclusive {
                    vec![name(&mut rng)]
                } else {
                    Vec::new()
                },
                qualification_numbers,
            }),
        }
    }
}

type Qualifications = (
    Vec<Qualification>,
    std::collections::BTreeMap<QualificationKind, String>,
);

fn qualifications(rng: &mut Rng, job: Job, began: Date) -> Qualifications {
    let kind = if job == Job::Nurse {
        QualificationKind::Nurse
    } else {
        *rng.weighted(LEVELS)
    };
    if job == Job::Manager || (job == Job::Caregiver && rng.between(1, 3) == 1) {
        return Default::default();
    }
    let obtained_on = days(began, -rng.between(30, 3_000));
    let number = format!("{}4501{:06}", obtained_on.year(), rng.between(0, 999_999));
    (
        vec![Qualification { kind, obtained_on }],
        [(kind, number)].into(),
    )
}

pub(super) fn name(rng: &mut Rng) -> String {
    let second = if rng.between(1, 4) == 1 {
        ""
    } else {
        *rng.weighted(GIVEN)
    };
    format!(
        "{}{second}{}",
        rng.weighted(SURNAMES),
        rng.weighted(GIVEN_LAST)
    )
}

pub(super) fn phone(rng: &mut Rng) -> String {
    format!(
        "1{}{:08}",
        rng.weighted(&[(1, "38"), (1, "39"), (1, "77"), (1, "58")]),
        rng.between(0, 99_999_999)
    )
}

/// A number with district, birth date, sex and the right check character (GB 11643-1999).
fn resident_id(rng: &mut Rng, (index, birth_on, sex): (u64, Date, Sex)) -> String {
    let district = rng.weighted(DISTRICTS);
    // Odd for men, even for women; with the index in it fewer numbers come twice.
    let order = index % 500 * 2 + u64::from(sex == Sex::Male);
    let first = format!("{district}{}{order:03}", birth_on.strftime("%Y%m%d"));
    let with = |check: &u8| format!("{first}{}", char::from(*check));
    b"0123456789X"
        .iter()
        .map(with)
        .find(|id| resident_id_is_valid(id))
        .expect("one of the eleven characters fits")
}
