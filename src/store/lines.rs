//! Collection lines as rows: their columns, in one place for COPY, staging and comparison.
//!
//! Writes what it is given; whether a line may be posted was decided before.

use uuid::Uuid;

use super::copy::RowWriter;
use super::table::TableColumns;
use super::verdicts::STAGED;
use crate::model::lines::{EmployeeLine, EmployerLine, LineHead};

/// Which table a packet's lines go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineTable {
    Employer,
    Employee,
}

const HEAD: &str = "packet_id bigint, record_index int, detail_key uuid, revoke boolean, detail_no text, pooling_area int, district int, \
    levy_no text, receipt_no text, insurance insurance_type, employer_no text, contribution_month int, payment_kind payment_kind, \
    remitted_on date, treasury_on date, tax_office text, transfer_batch text, transferred_at timestamp";
const EMPLOYER: &str = "headcount int, wages_fen bigint, employer_base_fen bigint, employee_base_fen bigint, employer_rate int, \
    employer_paid_fen bigint, employee_rate int, employee_paid_fen bigint, late_fee_fen bigint, interest_fen bigint, \
    other_interest_fen bigint, rate_id text, medical_fen bigint, long_term_care_fen bigint, underpaid boolean, history_key bigint, \
    history_no int, before_remittance boolean, without_base boolean";
const EMPLOYEE: &str = "person_no text, wage_fen bigint, employer_base_fen bigint, employee_base_fen bigint, employer_rate int, \
    employer_paid_fen bigint, employee_rate int, employee_paid_fen bigint, late_fee_fen bigint, interest_fen bigint";

/// A staged line has besides what tells it from others of its packet.
const STAGED_ONLY: &str = "record_id text";
const STAGED_EMPLOYER_LINE: TableColumns = TableColumns {
    name: STAGED,
    columns: &[HEAD, EMPLOYER, STAGED_ONLY],
};
const STAGED_EMPLOYEE_LINE: TableColumns = TableColumns {
    name: STAGED,
    columns: &[HEAD, EMPLOYEE, STAGED_ONLY],
};

const EMPLOYER_LINE: TableColumns = TableColumns {
    name: "employer_line",
    columns: &[HEAD, EMPLOYER],
};
const EMPLOYEE_LINE: TableColumns = TableColumns {
    name: "employee_line",
    columns: &[HEAD, EMPLOYEE],
};

/// What makes two lines of one number the same: everything the sender states but how it was transferred.
const SAME_HEAD: &[&str] = &[
    "pooling_area",
    "district",
    "levy_no",
    "receipt_no",
    "insurance",
    "employer_no",
    "contribution_month",
    "payment_kind",
    "remitted_on",
    "treasury_on",
    "tax_office",
    "employer_base_fen",
    "employee_base_fen",
    "employer_rate",
    "employer_paid_fen",
    "employee_rate",
    "employee_paid_fen",
    "late_fee_fen",
    "interest_fen",
];

impl LineTable {
    pub fn name(self) -> &'static str {
        self.table().name
    }

    pub(super) fn table(self) -> &'static TableColumns {
        match self {
            LineTable::Employer => &EMPLOYER_LINE,
            LineTable::Employee => &EMPLOYEE_LINE,
        }
    }

    /// COPY of lines to where they stay, or to the staging table.
    pub(super) fn copy_statement(self, staged: bool) -> String {
        let table = match (self, staged) {
            (_, false) => self.table(),
            (LineTable::Employer, true) => &STAGED_EMPLOYER_LINE,
            (LineTable::Employee, true) => &STAGED_EMPLOYEE_LINE,
        };
        table.copy_statement(table.name)
    }

    /// The staging table for such lines.
    pub(super) fn staging(self) -> String {
        format!(
            "CREATE TEMP TABLE {STAGED} (LIKE {} INCLUDING DEFAULTS, {STAGED_ONLY}) ON COMMIT DROP",
            self.name()
        )
    }

    /// SQL that says whether the rows `a` and `b` state the same, but for these fields.
    pub fn same_content(self, a: &str, b: &str, but: &[&str]) -> String {
        let own: &[&str] = match self {
            LineTable::Employer => &["headcount", "wages_fen", "other_interest_fen"],
            LineTable::Employee => &["person_no", "wage_fen"],
        };
        let row = |alias: &str| {
            SAME_HEAD
                .iter()
                .chain(own)
                .filter(|column| !but.contains(&column.trim_end_matches("_fen")))
                .map(|column| format!("{alias}.{column}"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        format!("(({}) IS NOT DISTINCT FROM ({}))", row(a), row(b))
    }
}

/// Adds an employer's line to a buffer, for where it stays or for the staging table.
pub fn employer_row(
    buffer: &mut Vec<u8>,
    (packet_id, staged): (i64, bool),
    key: Uuid,
    line: &EmployerLine<'_>,
) {
    let mut row = RowWriter::new(buffer);
    head(&mut row, packet_id, key, &line.head);
    row.int_or_null(line.headcount);
    row.fen_or_null(line.wages);
    row.fen(line.employer_base);
    row.fen_or_null(line.employee_base);
    row.int(line.employer_rate);
    row.fen(line.paid.employer);
    row.int_or_null(line.employee_rate);
    row.fen(line.paid.employees);
    row.fen(line.paid.late_fee);
    row.fen(line.paid.interest);
    row.fen(line.paid.other_interest);
    row.text(line.rate_id);
    row.fen(line.paid.medical);
    row.fen(line.paid.long_term_care);
    row.bool(line.underpaid);
    row.bigint(line.history.key());
    row.int(line.history_no);
    row.bool(line.before_remittance);
    row.bool(line.without_base);
    if staged {
        row.text_or_null(line.head.record_id);
    }
}

/// Adds an employee's line to a buffer, for where it stays or for the staging table.
pub fn employee_row(
    buffer: &mut Vec<u8>,
    (packet_id, staged): (i64, bool),
    key: Uuid,
    line: &EmployeeLine<'_>,
) {
    let mut row = RowWriter::new(buffer);
    head(&mut row, packet_id, key, &line.head);
    row.text(line.person_no);
    row.fen_or_null(line.wage);
    row.fen(line.employer_base);
    row.fen_or_null(line.employee_base);
    row.int_or_null(line.employer_rate);
    row.fen(line.employer_paid);
    row.int_or_null(line.employee_rate);
    row.fen(line.employee_paid);
    row.fen(line.late_fee);
    row.fen(line.interest);
    if staged {
        row.text_or_null(line.head.record_id);
    }
}

fn head(row: &mut RowWriter<'_>, packet_id: i64, key: Uuid, line: &LineHead<'_>) {
    row.bigint(packet_id);
    row.int(line.record_index);
    row.uuid(key);
    row.bool(line.revoke);
    row.text(line.detail_no);
    row.int(line.pooling_area.number());
    row.int(line.district.number());
    row.text_or_null(line.levy_no);
    row.text(line.receipt_no);
    row.text(line.insurance);
    row.text(line.employer_no);
    row.month(line.contribution_month);
    row.text(line.payment_kind.word());
    row.date_or_null(line.remitted_on);
    row.date(line.treasury_on);
    row.text_or_null(line.tax_office);
    row.text_or_null(line.transfer_batch);
    row.datetime_or_null(line.transferred_at);
}
