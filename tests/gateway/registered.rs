//! Institutions and caregivers put straight into the registry's tables, for tests of what comes out.

use jiff::civil::date;
use ltcgw::model::registry::{
    Agreement, Caregiver, CaregiverKind, CaregiverPersonal, CaregiverStatus, CertificateType,
    DatedStatus, EntityKind, Institution, InstitutionKind, InstitutionPersonal, InstitutionStatus,
    Job, Licence, Qualification, QualificationKind, ServiceMode, Sex,
};
use ltcgw::store::registry::{Put, PutOutcome, Registry};
use ltcgw::store::sealed::{Keys, Label};

/// What of the planted personal data must never be seen where it was not asked for.
pub const PLANTED: [&str; 7] = [
    "院长韦某",
    "联系人黄某",
    "0771-PLANTED",
    "护理员覃某",
    "450102197001011234",
    "138-PLANTED",
    "被照护人陆某",
];

pub fn institution(id: &str, version: i64) -> Institution {
    Institution {
        institution_id: id.into(),
        version,
        uscc: "91450100MA5KABCD12".into(),
        name: format!("南宁第{id}护理院{version}"),
        division: "450103".into(),
        address: Some("民族大道1号".into()),
        kind: InstitutionKind::ElderlyCare,
        modes: [ServiceMode::Residential, ServiceMode::Home].into(),
        level: Some("二级".into()),
        stars: Some(4),
        licence: Some(Licence {
            number: format!("L-{id}"),
            expires_on: Some(date(2030, 1, 1)),
        }),
        beds: Some(100),
        care_beds: Some(40),
        agreement: Some(Agreement {
            number: "A-1".into(),
            signed_on: date(2025, 12, 1),
            valid_from: date(2026, 1, 1),
            valid_to: date(2099, 12, 31),
        }),
        statuses: vec![DatedStatus {
            status: InstitutionStatus::AgreementInForce,
            from: date(2026, 1, 1),
            to: None,
        }],
        medical_insurance_designated: false,
        registered_on: date(2021, 3, 1),
        personal: Some(InstitutionPersonal {
            legal_representative: Some(PLANTED[0].into()),
            contact: Some(PLANTED[1].into()),
            phone: Some(PLANTED[2].into()),
        }),
    }
}

pub fn caregiver(id: &str, version: i64) -> Caregiver {
    Caregiver {
        caregiver_id: id.into(),
        version,
        sex: Sex::Female,
        kind: CaregiverKind::Exclusive,
        institution_id: "I1".into(),
        job: Job::Nurse,
        qualifications: vec![Qualification {
            kind: QualificationKind::Nurse,
            obtained_on: date(2015, 6, 1),
        }],
        health_statement_on: Some(date(2026, 2, 1)),
        contract: None,
        training: Vec::new(),
        statuses: vec![DatedStatus {
            status: CaregiverStatus::Active,
            from: date(2026, 1, 1),
            to: None,
        }],
        registered_on: date(2022, 5, 1),
        personal: Some(CaregiverPersonal {
            name: PLANTED[3].into(),
            certificate_type: CertificateType::ResidentId,
            certificate_number: PLANTED[4].into(),
            birth_on: date(1970, 1, 1),
            phone: Some(PLANTED[5].into()),
            recipients: vec![PLANTED[6].into()],
            qualification_numbers: [(QualificationKind::Nurse, "NURSE-PLANTED".to_string())].into(),
        }),
    }
}

/// An institution ready to be stored.
pub fn put_institution(keys: &Keys, mut record: Institution) -> Put {
    let personal = record.personal.take();
    let standing = record.standing(date(2026, 11, 22));
    Put {
        name: Some(record.name.clone()),
        uscc: Some(record.uscc.clone()),
        institution_kind: Some(record.kind.word()),
        city: ltcgw::model::division::city(&record.division),
        status: standing.status,
        designated: standing.designated,
        ..put(
            keys,
            (
                EntityKind::Institution,
                &record.institution_id,
                record.version,
            ),
            &record,
            &personal,
        )
    }
}

/// A caregiver ready to be stored.
pub fn put_caregiver(keys: &Keys, mut record: Caregiver) -> Put {
    let personal = record.personal.take();
    let status = record.standing(date(2026, 11, 22)).status;
    let certificate = personal
        .as_ref()
        .map(|personal| keys.index("certificate", &personal.certificate_number));
    let institution_id = Some(record.institution_id.clone());
    Put {
        status,
        certificate_index: certificate,
        institution_id,
        ..put(
            keys,
            (EntityKind::Caregiver, &record.caregiver_id, record.version),
            &record,
            &personal,
        )
    }
}

/// The end of an entry, ready to be stored.
pub fn end(kind: EntityKind, id: &str, version: i64) -> Put {
    Put {
        kind,
        entity_id: id.into(),
        version,
        content: None,
        sealed: None,
        reason: Some("closed".into()),
        digests: vec![0; 32],
        status: None,
        designated: false,
        effective_on: date(2026, 11, 22),
        next_on: None,
        name: None,
        uscc: None,
        certificate_index: None,
        phone_index: None,
        institution_kind: None,
        institution_id: None,
        city: None,
    }
}

fn put(
    keys: &Keys,
    (kind, id, version): (EntityKind, &str, i64),
    record: &impl serde::Serialize,
    personal: &impl serde::Serialize,
) -> Put {
    let content = serde_json::to_string(record).expect("a record");
    let label = Label {
        kind: kind.word(),
        id,
        version,
    };
    Put {
        sealed: Some(keys.seal(
            label,
            &serde_json::to_vec(personal).expect("a personal part"),
        )),
        digests: keys.digests(content.as_bytes()),
        content: Some(content),
        reason: None,
        ..end(kind, id, version)
    }
}

/// Stores them; every one must be taken.
pub async fn store(registry: &Registry, puts: &[Put]) -> Vec<i64> {
    let taken = registry.put_batch("test", puts).await.expect("stored");
    let sequence = |taken: &PutOutcome| match taken {
        PutOutcome::Stored { sequence, .. } => *sequence,
        other => panic!("not taken: {other:?}"),
    };
    taken.iter().map(sequence).collect()
}
