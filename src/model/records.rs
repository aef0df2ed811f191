//! The closed list of canonical records, with a constant for every field.
//!
//! Adding a field here is how the gateway learns a new fact; adapters then map it by name. No
//! partner's element names or codes may appear here.

use super::deduction::Category;
use super::record::{Field, FieldId, FieldType, Record, RecordSpec, Slot};
use super::{PaymentKind, Story};

/// Declares a record: its spec and one `FieldId` constant per field, in the order written.
macro_rules! record {
    ($module:ident, $story:ident, $about:literal { $( $konst:ident = $name:literal, $need:ident $($mark:ident)?, $holds:expr, $doc:literal; )+ }) => {
        #[doc = $about]
        pub mod $module {
            use super::{Field, FieldId, FieldType::{self, *}, RecordSpec};
            #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
            enum Order { $($konst),+ }
            $( #[doc = $doc] pub const $konst: FieldId = FieldId(Order::$konst as usize); )+
            const REQUIRED: bool = true;
            const OPTIONAL: bool = false;
            #[allow(dead_code)]
            const PRIVATE: u8 = 1;
            #[allow(dead_code)]
            const TRANSFER: u8 = 2;
            #[allow(dead_code)]
            const INFORMATIVE: u8 = 4;
            #[doc = $about]
            pub static SPEC: RecordSpec = RecordSpec {
                name: stringify!($module),
                doc: $about,
                story: super::Story::$story,
                fields: &[ $( Field {
                    name: $name,
                    holds: $holds,
                    required: $need,
                    private: (0 $( | $mark )?) & 1 != 0,
                    transfer: (0 $( | $mark )?) & 2 != 0,
                    informative: (0 $( | $mark )?) & 4 != 0,
                    doc: $doc,
                } ),+ ],
            };
            const _: Option<FieldType> = None;
        }
    };
}

/// New lines and lines that take an earlier one back.
pub const TRANSFER_TYPES: &[&str] = &["new", "revoke"];
/// Insurance types a collection line may carry.
pub const INSURANCE_TYPES: &[&str] = &["employee_medical"];
/// The words of [`PaymentKind`], in its order.
pub const PAYMENT_KINDS: &[&str] = &{
    let mut words = [""; PaymentKind::ALL.len()];
    let mut at = 0;
    while at < words.len() {
        words[at] = PaymentKind::ALL[at].word();
        at += 1;
    }
    words
};

record! { employer_collection, Collect, "One employer's payment for one contribution month, as the tax bureau collected it." {
    DETAIL_NO = "detail_no", REQUIRED, Text(40), "The line's own number at the sender; unique per sender.";
    TRANSFER_TYPE = "transfer_type", OPTIONAL, Code(super::TRANSFER_TYPES), "new, or revoke: takes the line of the same detail number back; new when absent.";
    POOLING_AREA = "pooling_area", REQUIRED, Division, "Pooling area (统筹区), six digits of GB/T 2260.";
    DISTRICT = "district", REQUIRED, Division, "District the fund is accounted under, six digits of GB/T 2260.";
    LEVY_NO = "levy_no", OPTIONAL, Text(40), "Levy notice.";
    RECEIPT_NO = "receipt_no", REQUIRED, Text(40), "Electronic tax receipt (电子税票号码).";
    INSURANCE = "insurance", REQUIRED, Code(super::INSURANCE_TYPES), "Insurance type.";
    EMPLOYER_NO = "employer_no", REQUIRED, Text(20), "The employer's number in medical insurance.";
    CONTRIBUTION_MONTH = "contribution_month", REQUIRED, Month, "Month the premium is for (费款所属期).";
    PAYMENT_KIND = "payment_kind", REQUIRED, Code(super::PAYMENT_KINDS), "Kind of payment.";
    HEADCOUNT = "headcount", OPTIONAL, Integer, "Insured employees the payment is for.";
    WAGES = "wages", OPTIONAL, Money, "Total wages.";
    EMPLOYER_BASE = "employer_base", REQUIRED, Money, "Base of the employer's part.";
    EMPLOYEE_BASE = "employee_base", OPTIONAL, Money, "Base of the employees' part.";
    EMPLOYER_RATE = "employer_rate", REQUIRED, Decimal, "Combined rate the employer paid at, as a fraction (0.0695).";
    EMPLOYER_PAID = "employer_paid", REQUIRED, Money, "Paid by the employer; negative for refunds.";
    EMPLOYEE_RATE = "employee_rate", OPTIONAL, Decimal, "Rate of the employees' part, as a fraction.";
    EMPLOYEE_PAID = "employee_paid", OPTIONAL, Money, "Paid by the employees through the employer.";
    LATE_FEE = "late_fee", OPTIONAL, Money, "Late fee (滞纳金).";
    INTEREST = "interest", OPTIONAL, Money, "Interest on the employer's part.";
    OTHER_INTEREST = "other_interest", OPTIONAL, Money, "Interest on the employees' part.";
    REMITTED_ON = "remitted_on", OPTIONAL, Date, "Day the money was remitted (上解).";
    TREASURY_ON = "treasury_on", REQUIRED, Date, "Day the money was received by the treasury (入国库); only then it counts as received.";
    TAX_OFFICE = "tax_office", OPTIONAL, Text(20), "Tax office in charge.";
    TRANSFER_BATCH = "transfer_batch", OPTIONAL TRANSFER, Text(40), "The sender's transfer batch.";
    TRANSFERRED_AT = "transferred_at", OPTIONAL TRANSFER, DateTime, "When the sender transferred the line.";
    RECORD_ID = "record_id", OPTIONAL, Text(64), "The record's own id at the sender, such as a UUID: two records of a packet with one id are one.";
} }

record! { employee_collection, Collect, "One insured person's part in an employer's payment: detail, not money of its own." {
    DETAIL_NO = "detail_no", REQUIRED, Text(40), "The line's own number at the sender; unique per sender.";
    TRANSFER_TYPE = "transfer_type", OPTIONAL, Code(super::TRANSFER_TYPES), "new, or revoke: takes the line of the same detail number back; new when absent.";
    POOLING_AREA = "pooling_area", REQUIRED, Division, "Pooling area (统筹区), six digits of GB/T 2260.";
    DISTRICT = "district", REQUIRED, Division, "District the fund is accounted under, six digits of GB/T 2260.";
    LEVY_NO = "levy_no", OPTIONAL, Text(40), "Levy notice.";
    RECEIPT_NO = "receipt_no", REQUIRED, Text(40), "Electronic tax receipt of the employer's payment this belongs to.";
    INSURANCE = "insurance", REQUIRED, Code(super::INSURANCE_TYPES), "Insurance type.";
    EMPLOYER_NO = "employer_no", REQUIRED, Text(20), "The employer's number in medical insurance.";
    PERSON_NO = "person_no", REQUIRED PRIVATE, Text(40), "The insured person's number in medical insurance.";
    CONTRIBUTION_MONTH = "contribution_month", REQUIRED, Month, "Month the premium is for (费款所属期).";
    PAYMENT_KIND = "payment_kind", REQUIRED, Code(super::PAYMENT_KINDS), "Kind of payment.";
    WAGE = "wage", OPTIONAL, Money, "The person's wage.";
    EMPLOYER_BASE = "employer_base", REQUIRED, Money, "Base of the employer's part for this person.";
    EMPLOYEE_BASE = "employee_base", OPTIONAL, Money, "Base of the person's own part.";
    EMPLOYER_RATE = "employer_rate", OPTIONAL, Decimal, "Combined rate the employer paid at, as a fraction.";
    EMPLOYER_PAID = "employer_paid", REQUIRED, Money, "Paid by the employer for this person.";
    EMPLOYEE_RATE = "employee_rate", OPTIONAL, Decimal, "Rate of the person's own part, as a fraction.";
    EMPLOYEE_PAID = "employee_paid", OPTIONAL, Money, "Paid by the person through the employer.";
    LATE_FEE = "late_fee", OPTIONAL, Money, "Late fee (滞纳金).";
    INTEREST = "interest", OPTIONAL, Money, "Interest.";
    REMITTED_ON = "remitted_on", OPTIONAL, Date, "Day the money was remitted (上解).";
    TREASURY_ON = "treasury_on", REQUIRED, Date, "Day the money was received by the treasury (入国库).";
    TAX_OFFICE = "tax_office", OPTIONAL, Text(20), "Tax office in charge.";
    TRANSFER_BATCH = "transfer_batch", OPTIONAL TRANSFER, Text(40), "The sender's transfer batch.";
    TRANSFERRED_AT = "transferred_at", OPTIONAL TRANSFER, DateTime, "When the sender transferred the line.";
    RECORD_ID = "record_id", OPTIONAL, Text(64), "The record's own id at the sender, such as a UUID: two records of a packet with one id are one.";
} }

/// The words of [`Category::IN_ROSTERS`], in its order.
pub const CATEGORIES: &[&str] = &{
    let mut words = [""; Category::IN_ROSTERS.len()];
    let mut at = 0;
    while at < words.len() {
        words[at] = Category::IN_ROSTERS[at].word();
        at += 1;
    }
    words
};
/// Kinds of certificates; only the first has a check.
pub const CERTIFICATE_TYPES: &[&str] = &[
    "resident_id",
    "passport",
    "hong_kong_macao_permit",
    "taiwan_permit",
    "foreigner_residence",
    "other",
];
/// Whether a person has a personal account.
pub const ACCOUNTS: &[&str] = &["account", "no_account"];

record! { roster_person, Roster, "One insured person in a roster of the medical insurance core: what holds from a month on." {
    PERSON_NO = "person_no", REQUIRED PRIVATE, Text(40), "The person's number in medical insurance.";
    CERTIFICATE_TYPE = "certificate_type", REQUIRED, Code(super::CERTIFICATE_TYPES), "Type of the certificate.";
    CERTIFICATE_NO = "certificate_no", REQUIRED PRIVATE, Text(40), "Number of the certificate; of a resident id the check character must be right.";
    CATEGORY = "category", REQUIRED, Code(super::CATEGORIES), "Kind of insured person.";
    ACCOUNT = "account", REQUIRED, Code(super::ACCOUNTS), "Whether there is a personal account.";
    EMPLOYER_NO = "employer_no", OPTIONAL, Text(20), "The employer's number in medical insurance; active people need one.";
    DISTRICT = "district", REQUIRED, Division, "District the fund is accounted under, six digits of GB/T 2260; one of the roster's pooling area.";
    BASE = "base", REQUIRED, Money, "Own base a month; of retired people last year's own pension a month. Zero or more.";
    FROM_MONTH = "from_month", REQUIRED, Month, "First month this holds for; not after the present one.";
    ACCOUNT_CREDIT_BASE = "account_credit_base", OPTIONAL, Money, "Base a month by which the personal account is credited, where rates are about it. Zero or more.";
    PAYS = "pays", OPTIONAL, Code(super::PAYS), "How often, where the rates leave it to the person; monthly when absent.";
} }

/// How often a person pays where the rates leave the choice.
pub const PAYS: &[&str] = &["monthly", "yearly"];

/// What the medical insurance core did with an instruction; see [`super::deduction::DeductionOutcome`].
pub const DEDUCTION_OUTCOMES: &[&str] = &[
    "deducted",
    "insufficient_balance",
    "account_frozen",
    "person_unknown",
    "deceased",
];

record! { deduction_result, DeductionResults, "What the medical insurance core did with the instruction about one person's account." {
    PERSON_NO = "person_no", REQUIRED PRIVATE, Text(40), "The insured person's number in medical insurance.";
    OUTCOME = "outcome", REQUIRED, Code(super::DEDUCTION_OUTCOMES), "What was done.";
    DEDUCTED = "deducted", OPTIONAL, Money, "Taken from the account; nothing when absent.";
    THIS_YEAR = "this_year", OPTIONAL, Money, "Of that, from what the account received this year.";
    LAST_YEAR = "last_year", OPTIONAL, Money, "Of that, from what it received last year.";
    EARLIER = "earlier", OPTIONAL, Money, "Of that, from what it received before.";
    BALANCE = "balance", OPTIONAL INFORMATIVE, Money, "What the account holds afterwards; for people only.";
} }

/// What a line of collected money pays: amounts that are negative or zero in a refund, and in no other payment but adjustments.
const EMPLOYER_PAID: &[FieldId] = &[
    employer_collection::EMPLOYER_PAID,
    employer_collection::EMPLOYEE_PAID,
    employer_collection::LATE_FEE,
    employer_collection::INTEREST,
    employer_collection::OTHER_INTEREST,
];
const PERSON_PAID: &[FieldId] = &[
    employee_collection::EMPLOYER_PAID,
    employee_collection::EMPLOYEE_PAID,
    employee_collection::LATE_FEE,
    employee_collection::INTEREST,
];

/// The amounts a line of that record pays; none of a record that is not about collected money.
pub fn paid_fields(spec: &RecordSpec) -> &'static [FieldId] {
    match spec.name {
        "employer_collection" => EMPLOYER_PAID,
        "employee_collection" => PERSON_PAID,
        _ => &[],
    }
}

/// Turns the amounts a refund pays round, for senders that write what they pay back as positive amounts.
pub fn turn_refund(record: &mut Record) {
    let kind = record
        .spec()
        .field("payment_kind")
        .and_then(|field| record.payment_kind(field));
    if kind != Some(PaymentKind::Refund) {
        return;
    }
    for field in paid_fields(record.spec()) {
        if let Some(amount) = record.money(*field) {
            record.set(*field, Slot::Money(amount.negated()));
        }
    }
}

/// Every canonical record an adapter may decode.
pub static ALL: &[&RecordSpec] = &[
    &employer_collection::SPEC,
    &employee_collection::SPEC,
    &roster_person::SPEC,
    &deduction_result::SPEC,
];

/// The canonical record of that name.
pub fn spec(name: &str) -> Option<&'static RecordSpec> {
    ALL.iter().copied().find(|spec| spec.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_constants_point_at_the_field_of_their_name() {
        assert_eq!(
            employer_collection::SPEC.field("employer_paid"),
            Some(employer_collection::EMPLOYER_PAID)
        );
        assert_eq!(
            employee_collection::SPEC.field("transferred_at"),
            Some(employee_collection::TRANSFERRED_AT)
        );
        assert!(employee_collection::SPEC.fields[employee_collection::PERSON_NO.0].private);
        assert_eq!(
            roster_person::SPEC.field("from_month"),
            Some(roster_person::FROM_MONTH)
        );
        assert_eq!(CATEGORIES, ["active", "retired", "flexible", "unemployed"]);
        assert!(matches!(
            employer_collection::SPEC.fields[0].holds,
            FieldType::Text(40)
        ));
        assert_eq!(
            deduction_result::SPEC.field("balance"),
            Some(deduction_result::BALANCE)
        );
    }

    #[test]
    fn a_result_has_a_word_for_every_outcome() {
        let outcomes = crate::model::deduction::DeductionOutcome::ALL
            .map(crate::model::deduction::DeductionOutcome::word);
        assert_eq!(DEDUCTION_OUTCOMES, outcomes);
    }
}
