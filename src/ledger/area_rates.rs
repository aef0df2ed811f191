//! The rates of one pooling area, as its file says them. Which are in force when is `book`'s.

use std::collections::BTreeMap;

use super::rate::{EmployerRate, FundRate, IndividualRate};
use super::terms::Bases;
use crate::model::{Division, Fen, Month};

/// The rates of one pooling area.
#[derive(Debug, Clone, Default)]
pub(super) struct AreaRates {
    pub code: String,
    /// The same; none of a code that is reported.
    pub division: Option<Division>,
    /// Sorted by first month; no two overlap.
    pub employer: Vec<EmployerRate>,
    pub individual: Vec<IndividualRate>,
    pub funds: Vec<FundRate>,
    /// By year, fen a month.
    pub city_average_base: BTreeMap<i16, Fen>,
    /// By year, fen a month.
    pub average_wage: BTreeMap<i16, Fen>,
}

impl AreaRates {
    pub(super) fn bases(&self, month: Month) -> Bases {
        Bases {
            city_average: self.city_average_base.get(&month.year()).copied(),
            average_wage_last_year: self.average_wage.get(&(month.year() - 1)).copied(),
            ..Bases::default()
        }
    }
}
