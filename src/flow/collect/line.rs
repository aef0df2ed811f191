//! One decoded record -> one checked collection line, with the rate of its month.
//!
//! Pure. Says which field is wrong and why; whether the line's number is new and how it is split is not known here.

use jiff::civil::Date;

use super::destinations::FundDestination;
use crate::ledger::{EmployerRate, Flags, Fund, RateBook, StatedLine, assess};
use crate::model::lines::{EmployeeLine, EmployerLine, LineHead, LineMoney};
use crate::model::records::{employee_collection as person, employer_collection as employer};
use crate::model::{Division, Fen, FieldId, HistoryId, Month, PaymentKind, Record, division};

/// What lines are checked against.
#[derive(Clone, Copy)]
pub struct CollectionRules<'a> {
    pub book: &'a RateBook,
    pub earliest: Month,
    pub latest: Month,
    /// Money of a later day is not in the treasury yet.
    pub today: Date,
    /// Who is told of lines; of what nobody is told, nothing is posted.
    pub destinations: &'a [FundDestination],
}

/// Why a line is refused: the canonical field at fault and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFault {
    pub field: FieldId,
    pub reason: String,
}

type Checked<T> = Result<T, LineFault>;

/// The fields both kinds of line share, by their position in each record.
struct HeadFields {
    detail_no: FieldId,
    transfer_type: FieldId,
    pooling_area: FieldId,
    district: FieldId,
    levy_no: FieldId,
    receipt_no: FieldId,
    insurance: FieldId,
    employer_no: FieldId,
    contribution_month: FieldId,
    payment_kind: FieldId,
    remitted_on: FieldId,
    treasury_on: FieldId,
    tax_office: FieldId,
    transfer_batch: FieldId,
    transferred_at: FieldId,
    record_id: FieldId,
}

/// The shared fields of a record module.
macro_rules! head_fields {
    ($record:ident) => {
        HeadFields {
            detail_no: $record::DETAIL_NO,
            transfer_type: $record::TRANSFER_TYPE,
            pooling_area: $record::POOLING_AREA,
            district: $record::DISTRICT,
            levy_no: $record::LEVY_NO,
            receipt_no: $record::RECEIPT_NO,
            insurance: $record::INSURANCE,
            employer_no: $record::EMPLOYER_NO,
            contribution_month: $record::CONTRIBUTION_MONTH,
            payment_kind: $record::PAYMENT_KIND,
            remitted_on: $record::REMITTED_ON,
            treasury_on: $record::TREASURY_ON,
            tax_office: $record::TAX_OFFICE,
            transfer_batch: $record::TRANSFER_BATCH,
            transferred_at: $record::TRANSFERRED_AT,
            record_id: $record::RECORD_ID,
        }
    };
}

const EMPLOYER: HeadFields = head_fields!(employer);
const PERSON: HeadFields = head_fields!(person);

/// Checks an employer's line; with the rate in force in its month. It is apportioned when it is posted.
pub fn employer_line<'r>(
    record: &'r Record,
    index: i32,
    rules: CollectionRules<'r>,
) -> Checked<(EmployerLine<'r>, &'r EmployerRate)> {
    let head = head(record, index, rules, &EMPLOYER)?;
    let rate = rate_in_force(&head, rules)?;
    let stated = integer(
        record.decimal(employer::EMPLOYER_RATE),
        employer::EMPLOYER_RATE,
    )?;
    let mut line = EmployerLine {
        head,
        headcount: record
            .integer(employer::HEADCOUNT)
            .map(headcount)
            .transpose()?,
        wages: record.money(employer::WAGES),
        employer_base: need(
            record.money(employer::EMPLOYER_BASE),
            employer::EMPLOYER_BASE,
        )?,
        employee_base: record.money(employer::EMPLOYEE_BASE),
        employer_rate: stated,
        employee_rate: record
            .decimal(employer::EMPLOYEE_RATE)
            .map(|rate| small(rate, employer::EMPLOYEE_RATE))
            .transpose()?,
        paid: LineMoney {
            employer: need(
                record.money(employer::EMPLOYER_PAID),
                employer::EMPLOYER_PAID,
            )?,
            employees: record.money(employer::EMPLOYEE_PAID).unwrap_or_default(),
            late_fee: record.money(employer::LATE_FEE).unwrap_or_default(),
            interest: record.money(employer::INTEREST).unwrap_or_default(),
            other_interest: record.money(employer::OTHER_INTEREST).unwrap_or_default(),
            ..LineMoney::default()
        },
        rate_id: rate.id(),
        underpaid: false,
        before_remittance: !head.revoke
            && head
                .remitted_on
                .is_some_and(|remitted| head.treasury_on < remitted),
        without_base: false,
        history: HistoryId::of(
            head.employer_no,
            head.district.number(),
            head.contribution_month,
        ),
        history_no: 0,
    };
    if !line.head.revoke {
        place(&line.head, &EMPLOYER)?;
        let told = |fund| {
            rules.destinations.iter().any(|destination| {
                destination.fund == fund && destination.takes(line.head.pooling_area.number())
            })
        };
        if let Some((fund, _)) = rate.parts().find(|(fund, part)| *part > 0 && !told(*fund)) {
            return Err(untold(line.head.pooling_area, fund));
        }
        signs(&line)?;
        Flags {
            underpaid: line.underpaid,
            without_base: line.without_base,
        } = flags(&line, rate)?;
    }
    Ok((line, rate))
}

fn headcount(count: i64) -> Checked<i32> {
    if count < 0 {
        return Err(fault(
            employer::HEADCOUNT,
            "is negative; expected zero or more",
        ));
    }
    small(count, employer::HEADCOUNT)
}

/// Nobody is told of what the fund gets in that area: to post it would be to lose sight of it.
fn untold(area: Division, fund: Fund) -> LineFault {
    let reason = format!(
        "nobody is told of the {} fund of pooling area {area}: this gateway delivers to no system there; its operator must add the area to a partner's `areas`",
        fund.word()
    );
    LineFault {
        field: employer::POOLING_AREA,
        reason,
    }
}

/// A district lies in the area whose fund it is accounted under.
fn place(head: &LineHead<'_>, fields: &HeadFields) -> Checked<()> {
    if division::belongs(head.district, head.pooling_area) {
        return Ok(());
    }
    let reason = format!(
        "district {} does not lie in pooling area {}",
        head.district, head.pooling_area
    );
    Err(LineFault {
        field: fields.district,
        reason,
    })
}

fn signs(line: &EmployerLine<'_>) -> Checked<()> {
    let paid = &line.paid;
    let stated = [
        (employer::WAGES, line.wages),
        (employer::EMPLOYER_BASE, Some(line.employer_base)),
        (employer::EMPLOYEE_BASE, line.employee_base),
    ];
    let amounts = [
        (employer::EMPLOYER_PAID, paid.employer),
        (employer::EMPLOYEE_PAID, paid.employees),
        (employer::LATE_FEE, paid.late_fee),
        (employer::INTEREST, paid.interest),
        (employer::OTHER_INTEREST, paid.other_interest),
    ];
    right_signs(line.head.payment_kind, &stated, &amounts)
}

fn person_signs(line: &EmployeeLine<'_>) -> Checked<()> {
    let stated = [
        (person::WAGE, line.wage),
        (person::EMPLOYER_BASE, Some(line.employer_base)),
        (person::EMPLOYEE_BASE, line.employee_base),
    ];
    let amounts = [
        (person::EMPLOYER_PAID, line.employer_paid),
        (person::EMPLOYEE_PAID, line.employee_paid),
        (person::LATE_FEE, line.late_fee),
        (person::INTEREST, line.interest),
    ];
    right_signs(line.head.payment_kind, &stated, &amounts)
}

/// Payments and back payments have no negative amount, refunds pay nothing in; adjustments may have either sign.
fn right_signs(
    kind: PaymentKind,
    stated: &[(FieldId, Option<Fen>)],
    paid: &[(FieldId, Fen)],
) -> Checked<()> {
    match kind {
        PaymentKind::Normal | PaymentKind::BackPayment => {
            let mut amounts = stated
                .iter()
                .filter_map(|(field, amount)| Some((*field, (*amount)?)))
                .chain(paid.iter().copied());
            let negative = amounts.find(|(_, amount)| *amount < Fen::ZERO);
            negative.map_or(Ok(()), |(field, _)| {
                Err(fault(
                    field,
                    "is negative; expected zero or more (refunds have a kind of their own)",
                ))
            })
        }
        PaymentKind::Refund => {
            let positive = paid.iter().find(|(_, amount)| *amount > Fen::ZERO);
            positive.map_or(Ok(()), |(field, _)| {
                Err(fault(
                    *field,
                    "is paid in, in a refund; expected nothing or an amount that is paid back",
                ))
            })
        }
        PaymentKind::BaseAdjustment | PaymentKind::RateAdjustment => Ok(()),
    }
}

fn flags(line: &EmployerLine<'_>, rate: &EmployerRate) -> Checked<Flags> {
    let stated = StatedLine {
        kind: line.head.payment_kind,
        month: line.head.contribution_month,
        rate: i64::from(line.employer_rate),
        base: line.employer_base,
        paid: line.paid.employer,
    };
    assess(rate, &stated).map_err(|refusal| {
        let field = employer::SPEC
            .field(refusal.field)
            .unwrap_or(employer::EMPLOYER_RATE);
        LineFault {
            field,
            reason: refusal.text,
        }
    })
}

fn rate_in_force<'r>(head: &LineHead<'_>, rules: CollectionRules<'r>) -> Checked<&'r EmployerRate> {
    let area = head.pooling_area;
    rules.book.employer(area, head.contribution_month).ok_or_else(|| {
        let reason =
            format!("no employer rate of pooling area {area} is in force in {}; the rate files of this gateway must name one", head.contribution_month);
        LineFault { field: employer::CONTRIBUTION_MONTH, reason }
    })
}

/// Checks a person's line.
pub fn employee_line<'r>(
    record: &'r Record,
    index: i32,
    rules: CollectionRules<'r>,
) -> Checked<EmployeeLine<'r>> {
    let line = EmployeeLine {
        head: head(record, index, rules, &PERSON)?,
        person_no: need(record.text(person::PERSON_NO), person::PERSON_NO)?,
        wage: record.money(person::WAGE),
        employer_base: need(record.money(person::EMPLOYER_BASE), person::EMPLOYER_BASE)?,
        employee_base: record.money(person::EMPLOYEE_BASE),
        employer_rate: record
            .decimal(person::EMPLOYER_RATE)
            .map(|rate| small(rate, person::EMPLOYER_RATE))
            .transpose()?,
        employee_rate: record
            .decimal(person::EMPLOYEE_RATE)
            .map(|rate| small(rate, person::EMPLOYEE_RATE))
            .transpose()?,
        employer_paid: need(record.money(person::EMPLOYER_PAID), person::EMPLOYER_PAID)?,
        employee_paid: record.money(person::EMPLOYEE_PAID).unwrap_or_default(),
        late_fee: record.money(person::LATE_FEE).unwrap_or_default(),
        interest: record.money(person::INTEREST).unwrap_or_default(),
    };
    if !line.head.revoke {
        place(&line.head, &PERSON)?;
        person_signs(&line)?;
    }
    Ok(line)
}

fn head<'r>(
    record: &'r Record,
    record_index: i32,
    rules: CollectionRules<'_>,
    fields: &HeadFields,
) -> Checked<LineHead<'r>> {
    let contribution_month = need(
        record.month(fields.contribution_month),
        fields.contribution_month,
    )?;
    if contribution_month < rules.earliest || contribution_month > rules.latest {
        let reason = format!(
            "contribution month {contribution_month} is out of range; taken are {} to {}",
            rules.earliest, rules.latest
        );
        return Err(LineFault {
            field: fields.contribution_month,
            reason,
        });
    }
    let treasury_on = need(record.date(fields.treasury_on), fields.treasury_on)?;
    if treasury_on > rules.today {
        let reason = format!(
            "the treasury has it on {treasury_on}, which has not come; what is not in the treasury yet is not posted"
        );
        return Err(LineFault {
            field: fields.treasury_on,
            reason,
        });
    }
    Ok(LineHead {
        record_index,
        detail_no: need(record.text(fields.detail_no), fields.detail_no)?,
        revoke: record.code(fields.transfer_type) == Some("revoke"),
        pooling_area: division(record, fields.pooling_area)?,
        district: division(record, fields.district)?,
        levy_no: record.text(fields.levy_no),
        receipt_no: need(record.text(fields.receipt_no), fields.receipt_no)?,
        insurance: need(record.code(fields.insurance), fields.insurance)?,
        employer_no: need(record.text(fields.employer_no), fields.employer_no)?,
        contribution_month,
        payment_kind: need(
            record.payment_kind(fields.payment_kind),
            fields.payment_kind,
        )?,
        remitted_on: record.date(fields.remitted_on),
        treasury_on,
        tax_office: record.text(fields.tax_office),
        transfer_batch: record.text(fields.transfer_batch),
        transferred_at: record.datetime(fields.transferred_at),
        record_id: record.text(fields.record_id),
    })
}

/// A division, as the decoder read it.
fn division(record: &Record, field: FieldId) -> Checked<Division> {
    if let Some(division) = record.division(field) {
        return Ok(division);
    }
    need(record.text(field), field)?;
    Err(fault(
        field,
        "is not mapped to a six-digit division code; the adapter's code table must",
    ))
}

fn need<T>(value: Option<T>, field: FieldId) -> Checked<T> {
    value.ok_or_else(|| fault(field, "is missing"))
}

fn integer(value: Option<i64>, field: FieldId) -> Checked<i32> {
    small(need(value, field)?, field)
}

fn small(value: i64, field: FieldId) -> Checked<i32> {
    i32::try_from(value).map_err(|_| fault(field, "is larger than can be right"))
}

fn fault(field: FieldId, reason: &str) -> LineFault {
    LineFault {
        field,
        reason: reason.to_string(),
    }
}

impl LineFault {
    /// A fault in the money of a line of either kind.
    pub fn paid(reason: String) -> LineFault {
        LineFault {
            field: employer::EMPLOYER_PAID,
            reason,
        }
    }

    /// Everything paid by the line, checked.
    pub fn total(paid: &LineMoney) -> Checked<Fen> {
        paid.total().ok_or_else(|| {
            fault(
                employer::EMPLOYER_PAID,
                "the line's amounts add up to more than can be accounted for",
            )
        })
    }
}
