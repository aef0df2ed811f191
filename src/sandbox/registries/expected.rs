//! An entry as each platform should have it, in the platform's own names.
//!
//! Written from the platforms' documents, sharing nothing with the adapters: what both make of
//! the same record must be the same.

use serde_json::{Map, Value, json};

use crate::flow::publish::StoredRecord;
use crate::model::registry::{
    Caregiver, Institution, InstitutionKind, Job, QualificationKind, ServiceMode,
};
use crate::store::registry::RegistryChange;

/// What a platform should hold of an entry: `None` where it is not told of it.
pub(super) type ExpectedFields = Option<Map<String, Value>>;

/// Civil affairs: elderly care and care at home, and who works there.
pub(super) fn civil(
    change: &RegistryChange,
    entry: &StoredRecord,
    of: Option<InstitutionKind>,
) -> ExpectedFields {
    if !matches!(
        of?,
        InstitutionKind::ElderlyCare | InstitutionKind::HomeCare
    ) {
        return None;
    }
    let mut fields = match entry {
        StoredRecord::Institution(record) => civil_institution(change, record),
        StoredRecord::Caregiver(record) => civil_caregiver(change, record)?,
    };
    fields.insert("EffectiveOn".into(), json!(change.effective_on.to_string()));
    Some(fields)
}

fn civil_institution(change: &RegistryChange, record: &Institution) -> Map<String, Value> {
    let modes: Vec<&str> = record.modes.iter().map(|mode| mode_code(*mode)).collect();
    let mut fields = Map::new();
    let mut say = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    say("Uscc", json!(record.uscc));
    say("Name", json!(record.name));
    say("Division", json!(record.division));
    say(
        "Kind",
        json!(if record.kind == InstitutionKind::ElderlyCare {
            "01"
        } else {
            "02"
        }),
    );
    say("Mode", json!(modes));
    say(
        "Designated",
        json!(if change.designated { "1" } else { "0" }),
    );
    for (name, value) in [
        ("Address", record.address.clone()),
        ("Stars", text(record.stars)),
        ("Beds", text(record.beds)),
        ("CareBeds", text(record.care_beds)),
    ] {
        if let Some(value) = value {
            say(name, json!(value));
        }
    }
    if let Some(agreement) = &record.agreement {
        let [signed, from, to] = [
            agreement.signed_on,
            agreement.valid_from,
            agreement.valid_to,
        ]
        .map(|day| day.to_string());
        say(
            "Agreement",
            json!({ "number": agreement.number, "signed": signed, "from": from, "to": to }),
        );
    }
    let status = match change.status.as_deref() {
        Some("applied") => "01",
        Some("accepted") => "02",
        Some("passed") => "03",
        Some("agreement_in_force") => "10",
        Some("suspended_new_clients") => "21",
        Some("suspended") => "22",
        Some("ended") => "90",
        _ => return fields,
    };
    say("Status", json!(status));
    fields
}

fn civil_caregiver(change: &RegistryChange, record: &Caregiver) -> ExpectedFields {
    let job = match record.job {
        Job::Caregiver => "1",
        Job::Nurse => "2",
        Job::Assessor => "3",
        Job::Manager => "4",
    };
    let kind = if record.kind == crate::model::registry::CaregiverKind::Social {
        "1"
    } else {
        "2"
    };
    let mut fields = Map::new();
    fields.insert("Name".into(), json!(record.personal.as_ref()?.name));
    fields.insert("InstitutionId".into(), json!(record.institution_id));
    fields.insert("Job".into(), json!(job));
    fields.insert("Kind".into(), json!(kind));
    if !record.qualifications.is_empty() {
        let listed = record
            .qualifications
            .iter()
            .map(|one| json!([level(one.kind), { "obtained": one.obtained_on.to_string() }]));
        fields.insert("Qualification".into(), listed.collect());
    }
    if let Some(contract) = &record.contract {
        let mut bounds = Map::from_iter([("from".to_owned(), json!(contract.from.to_string()))]);
        bounds.extend(
            contract
                .to
                .map(|to| ("to".to_owned(), json!(to.to_string()))),
        );
        fields.insert("Contract".into(), bounds.into());
    }
    let status = match change.status.as_deref() {
        Some("active") => Some("1"),
        Some("settlement_suspended") => Some("2"),
        Some("left") => Some("9"),
        _ => None,
    };
    fields.extend(status.map(|status| ("Status".to_owned(), json!(status))));
    Some(fields)
}

/// The health commission: medical institutions, and nurses wherever they work.
pub(super) fn health(change: &RegistryChange, entry: &StoredRecord) -> ExpectedFields {
    let fields = match entry {
        StoredRecord::Institution(record) if record.kind == InstitutionKind::Medical => json!({
            "credit_code": record.uscc, "name": record.name, "region": record.division, "grade": record.level,
            "licence_no": record.licence.as_ref().map(|licence| &licence.number),
            "licence_expires_on": record.licence.as_ref().and_then(|licence| licence.expires_on).map(|day| day.to_string()),
            "modes": record.modes.iter().map(|mode| mode.word()).collect::<Vec<_>>(), "beds": record.beds, "ltc_designated": change.designated,
            "ltc_status": change.status, "effective_on": change.effective_on.to_string(),
        }),
        StoredRecord::Caregiver(record) if record.job == Job::Nurse => {
            let personal = record.personal.as_ref()?;
            let number = personal
                .qualification_numbers
                .get(&QualificationKind::Nurse);
            let nurses = record
                .qualifications
                .iter()
                .filter(|one| one.kind == QualificationKind::Nurse);
            let certificates: Vec<Value> = nurses
                .map(|one| json!({ "number": number, "obtained_on": one.obtained_on.to_string() }))
                .collect();
            json!({
                "name": personal.name, "institution_id": record.institution_id, "certificates": certificates, "ltc_status": change.status,
                "effective_on": change.effective_on.to_string(),
            })
        }
        _ => return None,
    };
    fields.as_object().cloned()
}

fn text(number: Option<impl ToString>) -> Option<String> {
    number.map(|number| number.to_string())
}

fn mode_code(mode: ServiceMode) -> &'static str {
    match mode {
        ServiceMode::Residential => "1",
        ServiceMode::Home => "2",
        ServiceMode::Community => "3",
    }
}

fn level(kind: QualificationKind) -> &'static str {
    match kind {
        QualificationKind::LongTermCarer5 => "5",
        QualificationKind::LongTermCarer4 => "4",
        QualificationKind::LongTermCarer3 => "3",
        QualificationKind::Nurse => "N",
    }
}
