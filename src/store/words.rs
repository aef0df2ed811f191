//! Errors of the database in words: PostgreSQL's own, never lost on the way, and never values.
//!
//! PostgreSQL's DETAIL may quote rows, so it is left out wherever rows are at hand.

use std::error::Error;

use tokio_postgres::error::DbError;

use crate::error::{Fault, Stage};

/// What an error says, with the errors behind it; PostgreSQL's message and code where it is one.
pub(super) fn words(error: &(dyn Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        next = error.source();
        if let Some(db) = error.downcast_ref::<DbError>() {
            said.push(of_server(db));
            break;
        }
        // Its own text would only be "db error".
        if error
            .downcast_ref::<tokio_postgres::Error>()
            .is_some_and(|error| error.as_db_error().is_some())
        {
            continue;
        }
        let text = error.to_string();
        // Some repeat the error behind them.
        if !said.iter().any(|earlier| earlier.contains(&text)) {
            said.push(text);
        }
    }
    said.join(": ")
}

fn of_server(db: &DbError) -> String {
    let hint = db.hint().map_or_else(String::new, |hint| {
        format!("; {}", hint.trim_end_matches('.'))
    });
    format!("{} ({}){hint}", db.message(), db.code().code())
}

/// The words of [`fault`], so that `?` is enough where nothing is to be added.
impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Fault {
        fault(&error)
    }
}

/// A database error as a fault; shows the server's message, never values.
pub fn fault(error: &tokio_postgres::Error) -> Fault {
    let text = match error.as_db_error() {
        Some(db) => format!("the database refused a statement: {}", of_server(db)),
        None => format!("the database connection failed: {}", words(error)),
    };
    Fault::later(Stage::Store, text)
}
