//! Stored entries as records again, with their personal part opened for those who may see it.

use super::Registrar;
use super::prepare::{CERTIFICATE, PHONE, plain_certificate, plain_phone};
use crate::error::{Fault, Stage};
use crate::model::registry::{Caregiver, EntityKind, Institution};
use crate::store::registry::RegistryChange;
use crate::store::sealed::{Keys, Label};

/// A stored record.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum StoredRecord {
    Institution(Box<Institution>),
    Caregiver(Box<Caregiver>),
}

impl StoredRecord {
    /// The record of a change without its personal part; `None` for a tombstone.
    ///
    /// # Errors
    /// The stored content is not a record of this version of the gateway.
    pub fn of(change: &RegistryChange) -> Result<Option<StoredRecord>, Fault> {
        let Some(content) = &change.content else {
            return Ok(None);
        };
        let entry = match change.kind {
            EntityKind::Institution => serde_json::from_str(content).map(StoredRecord::Institution),
            EntityKind::Caregiver => serde_json::from_str(content).map(StoredRecord::Caregiver),
        };
        entry.map(Some).map_err(|_| broken(change, "content"))
    }
}

/// The record of a change with its personal part; `None` for a tombstone.
///
/// # Errors
/// The stored content is damaged, or its key is no longer in the key file.
pub fn open(keys: &Keys, change: &RegistryChange) -> Result<Option<StoredRecord>, Fault> {
    let entry = StoredRecord::of(change)?;
    let Some(sealed) = &change.sealed else {
        return Ok(entry);
    };
    let personal = keys.open(
        Label {
            kind: change.kind.word(),
            id: &change.entity_id,
            version: change.version,
        },
        sealed,
    )?;
    let damaged = |_| broken(change, "personal part");
    match entry {
        Some(StoredRecord::Institution(mut record)) => {
            record.personal = Some(serde_json::from_slice(&personal).map_err(damaged)?);
            Ok(Some(StoredRecord::Institution(record)))
        }
        Some(StoredRecord::Caregiver(mut record)) => {
            record.personal = Some(serde_json::from_slice(&personal).map_err(damaged)?);
            Ok(Some(StoredRecord::Caregiver(record)))
        }
        None => Ok(None),
    }
}

fn broken(change: &RegistryChange, what: &str) -> Fault {
    let text = format!(
        "the {what} of {} {} version {} is not as this gateway writes it; have it sent again under a new version",
        change.kind, change.entity_id, change.version
    );
    Fault::operator(Stage::Store, text)
}

/// The last change of an entry with its whole record, for who sent it; `None` where nobody has sent it.
///
/// # Errors
/// The database cannot be reached, or the entry cannot be opened.
pub async fn read_back(
    registrar: &Registrar,
    kind: EntityKind,
    id: &str,
) -> Result<Option<(RegistryChange, Option<StoredRecord>)>, Fault> {
    let Some(change) = registrar.registry.entity(kind, id).await? else {
        return Ok(None);
    };
    let entry = open(&registrar.keys, &change)?;
    Ok(Some((change, entry)))
}

/// The caregivers with this certificate number, however it is written.
///
/// # Errors
/// The database cannot be reached, or an entry cannot be opened.
pub async fn caregivers_by_certificate(
    registrar: &Registrar,
    number: &str,
) -> Result<Vec<Caregiver>, Fault> {
    let plain = plain_certificate(number);
    let found = registrar
        .registry
        .by_certificate(&registrar.keys.indexes(CERTIFICATE, &plain))
        .await?;
    caregivers(registrar, &found, |caregiver| {
        caregiver
            .personal
            .as_ref()
            .is_some_and(|person| plain_certificate(&person.certificate_number) == plain)
    })
}

/// The caregivers with this phone, however it is written.
///
/// # Errors
/// As [`caregivers_by_certificate`].
pub async fn caregivers_by_phone(
    registrar: &Registrar,
    phone: &str,
) -> Result<Vec<Caregiver>, Fault> {
    let plain = plain_phone(phone);
    let found = registrar
        .registry
        .by_phone(&registrar.keys.indexes(PHONE, &plain))
        .await?;
    caregivers(registrar, &found, |caregiver| {
        caregiver
            .personal
            .as_ref()
            .and_then(|person| person.phone.as_deref())
            .is_some_and(|phone| plain_phone(phone) == plain)
    })
}

fn caregivers(
    registrar: &Registrar,
    found: &[RegistryChange],
    is_it: impl Fn(&Caregiver) -> bool,
) -> Result<Vec<Caregiver>, Fault> {
    let mut caregivers = Vec::new();
    for change in found {
        if let Some(StoredRecord::Caregiver(caregiver)) = open(&registrar.keys, change)? {
            caregivers.extend(is_it(&caregiver).then_some(*caregiver));
        }
    }
    Ok(caregivers)
}
