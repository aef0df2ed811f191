//! Logins in tables: four columns, `…_login`, `…_uid`, `…_host` and `…_proof`.

use tokio_postgres::Row;

use crate::model::signer::{Login, Proof};

/// The four columns of a login as they are written.
pub(super) type Columns<'a> = (
    Option<&'a str>,
    Option<i64>,
    Option<&'a str>,
    Option<&'static str>,
);

/// A login in four columns from `first` on.
pub(super) fn of_row(row: &Row, first: usize) -> Option<Login> {
    let uid: Option<i64> = row.get(first + 1);
    let word: Option<&str> = row.get(first + 3);
    Some(Login {
        name: row.get::<_, Option<String>>(first)?,
        uid: uid.and_then(|uid| u32::try_from(uid).ok()),
        host: row.get(first + 2),
        proof: Proof::of_word(word?)?,
    })
}

/// The same columns to be written.
pub(super) fn columns(login: Option<&Login>) -> Columns<'_> {
    let of = |login: &Login| (login.uid.map(i64::from), login.proof.word());
    let (uid, proof) = login
        .map(of)
        .map_or((None, None), |(uid, proof)| (uid, Some(proof)));
    (
        login.map(|login| login.name.as_str()),
        uid,
        login.and_then(|login| login.host.as_deref()),
        proof,
    )
}
