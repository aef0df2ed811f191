//! The shipped rate files say what their cities decided, on both sides of each effective date.

use super::assess::{Flags, StatedLine, assess};
use super::book::RateBook;
use super::fund::Fund;
use super::properties::shipped;
use super::terms::{Bases, Basis, Channel, Frequency, MissingBase, Mode};
use crate::model::deduction::Category;
use crate::model::{Division, Fen, Month, PaymentKind};

fn month(text: &str) -> Month {
    Month::parse_dashed(text).unwrap()
}

fn area(code: &str) -> Division {
    Division::parse(code).unwrap()
}

fn own(base: i64) -> Bases {
    Bases {
        own: Some(Fen(base)),
        ..Bases::default()
    }
}

/// Whole, medical and LTC part of the employer's rate in millionths.
fn employer(book: &RateBook, area: &str, at: &str) -> Option<(i64, i64, i64)> {
    let rate = book.employer(self::area(area), month(at))?;
    let parts: Vec<_> = rate.parts().collect();
    Some((
        rate.whole(),
        parts[Fund::Medical.index()].1,
        parts[Fund::LongTermCare.index()].1,
    ))
}

/// The birth of who has completed so many years on the first of the month.
fn born(years: i16, at: &str) -> Option<jiff::civil::Date> {
    let month = month(at);
    Some(jiff::civil::date(month.year() - years, month.month(), 1))
}

/// Millionths and basis of an individual's share.
fn individual(
    book: &RateBook,
    area: &str,
    at: &str,
    who: (Category, Option<i16>),
) -> Option<(i64, Basis)> {
    match book
        .individual(
            self::area(area),
            month(at),
            who.0,
            who.1.and_then(|years| born(years, at)),
        )?
        .terms()
        .mode
    {
        Mode::Rate { millionths, basis } => Some((millionths, basis)),
        Mode::Fixed(_) | Mode::Waived => None,
    }
}

#[test]
fn nannings_employers_paid_7_30_percent_all_medical_until_ltc_started_in_march_2021() {
    let book = shipped();
    assert_eq!(
        employer(&book, "450100", "2021-02"),
        Some((73_000, 73_000, 0))
    );
    assert_eq!(
        employer(&book, "450100", "2021-03"),
        Some((69_500, 68_000, 1_500))
    );
    assert_eq!(
        employer(&book, "450100", "2026-11"),
        Some((69_500, 68_000, 1_500))
    );
    assert_eq!(employer(&book, "450100", "2009-12"), None);
    assert_eq!(
        book.employer(area("450100"), month("2021-02"))
            .unwrap()
            .id(),
        "450100/employer/2010-01"
    );
    assert_eq!(
        book.employer(area("450100"), month("2021-03"))
            .unwrap()
            .id(),
        "450100/employer/2021-03"
    );
    assert_eq!(
        book.employer(area("450100"), month("2021-03"))
            .unwrap()
            .rule()
            .remainder,
        Fund::Medical
    );
}

#[test]
fn nannings_individuals_pay_from_the_personal_account_since_march_2021() {
    let book = shipped();
    let at = |at: &str, segment| individual(&book, "450100", at, (segment, None));
    assert_eq!(
        at("2021-03", Category::Active),
        Some((1_500, Basis::OwnBase))
    );
    assert_eq!(
        at("2021-03", Category::Retired),
        Some((1_500, Basis::OwnPensionLastYear))
    );
    assert_eq!(
        at("2021-03", Category::Flexible),
        Some((3_000, Basis::OwnBase))
    );
    assert_eq!(
        at("2021-03", Category::Unemployed),
        Some((3_000, Basis::OwnBase))
    );
    assert_eq!(at("2021-03", Category::Resident), None);
    assert_eq!(at("2021-02", Category::Active), None);
    let active = book
        .individual(
            area("450100"),
            month("2021-10"),
            Category::Active,
            born(30, "2021-10"),
        )
        .unwrap();
    assert_eq!(active.id(), "450100/individual/2021-03/active");
    assert_eq!(
        (active.terms().channel, active.terms().frequency),
        (Channel::PersonalAccount, Frequency::Monthly)
    );
    // 0.15 % of 4,321.00 yuan is 6.4815
    assert_eq!(active.terms().due(&own(432_100)), Ok(Fen(648)));
    // 0.15 % of a pension of 3,333.33 is 4.999995; what they may have had as a base counts for nothing.
    let retired = book
        .individual(area("450100"), month("2021-10"), Category::Retired, None)
        .unwrap();
    assert_eq!(
        retired.terms().due(&Bases {
            own_pension_last_year: Some(Fen(333_333)),
            ..own(900_000)
        }),
        Ok(Fen(500))
    );
    assert_eq!(
        retired.terms().due(&own(900_000)),
        Err(MissingBase(Basis::OwnPensionLastYear))
    );
}

#[test]
fn chongqing_takes_a_tenth_of_a_percent_from_each_side() {
    let book = shipped();
    let rate = book.employer(area("500100"), month("2025-01")).unwrap();
    assert_eq!(
        rate.parts().nth(Fund::LongTermCare.index()),
        Some((Fund::LongTermCare, 1_000))
    );
    assert_eq!(rate.terms().carved_out_of, Some(Fund::Medical));
    assert_eq!(
        individual(&book, "500100", "2025-01", (Category::Active, None)),
        Some((1_000, Basis::OwnBase))
    );
    let flexible = book
        .individual(area("500100"), month("2025-01"), Category::Flexible, None)
        .unwrap();
    assert_eq!(
        flexible.terms().mode,
        Mode::Rate {
            millionths: 2_000,
            basis: Basis::CityAverageBase
        }
    );
    assert_eq!(flexible.terms().frequency, Frequency::YearlyOrMonthly);
    // 0.1 % of 6,543.21 is 6.54321.
    let active = book
        .individual(area("500100"), month("2025-01"), Category::Active, None)
        .unwrap();
    assert_eq!(active.terms().due(&own(654_321)), Ok(Fen(654)));
}

#[test]
fn chongqings_flexible_employment_pays_by_the_citys_average_base_of_the_year_once_a_year_or_monthly()
 {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/config/rates/500100-chongqing.toml"
    );
    let dir = tempfile::tempdir().unwrap();
    let averages = "\n[city_average_base]\n2024 = \"5000.00\"\n2025 = \"5555.55\"\n";
    std::fs::write(
        dir.path().join("500100-chongqing.toml"),
        std::fs::read_to_string(file).unwrap() + averages,
    )
    .unwrap();
    let book = RateBook::load(dir.path()).unwrap();
    let flexible = book
        .individual(area("500100"), month("2025-01"), Category::Flexible, None)
        .unwrap();
    let bases = |at: &str| Bases {
        own: Some(Fen(300_000)),
        ..book.bases(area("500100"), month(at))
    };
    // 0.2 % of 5,555.55 is 11.1111 a month and 133.3332 a year; of 5,000.00 it is 10.00. The own base counts for nothing.
    assert_eq!(
        (
            flexible.terms().due(&bases("2025-01")),
            flexible.terms().due_for(12, &bases("2025-01"))
        ),
        (Ok(Fen(1_111)), Ok(Fen(13_333)))
    );
    assert_eq!(flexible.terms().due(&bases("2024-12")), Ok(Fen(1_000)));
    assert_eq!(
        flexible.terms().due(&bases("2026-01")),
        Err(MissingBase(Basis::CityAverageBase)),
        "no average, nothing computed"
    );
    assert_eq!(
        book.without_average(month("2026-01")),
        [(
            "500100/individual/2022-01/flexible",
            "city_average_base",
            2026
        )]
    );
    assert_eq!(book.without_average(month("2025-01")), []);
    assert_eq!(
        shipped().without_average(month("2025-01")).len(),
        1,
        "none is shipped: no source gives one"
    );
}

#[test]
fn chengdus_active_pay_twice_as_much_once_they_are_over_forty() {
    let book = shipped();
    let active =
        |age| individual(&book, "510100", "2025-01", (Category::Active, age)).map(|(rate, _)| rate);
    assert_eq!(
        (active(Some(40)), active(Some(41))),
        (Some(1_000), Some(2_000))
    );
    assert_eq!(active(None), None, "without an age nobody knows the rate");
    assert_eq!(
        individual(&book, "510100", "2025-01", (Category::Retired, Some(70))),
        Some((3_000, Basis::AccountCreditBase))
    );
    // 0.3 % of 3,456.78 is 10.37034, whatever the pension; 0.1 % and 0.2 % of 7,777.77 are 7.77777 and 15.55554.
    let retired = book
        .individual(
            area("510100"),
            month("2025-01"),
            Category::Retired,
            born(70, "2025-01"),
        )
        .unwrap();
    let bases = Bases {
        account_credit: Some(Fen(345_678)),
        own_pension_last_year: Some(Fen(200_000)),
        ..Bases::default()
    };
    assert_eq!(retired.terms().due(&bases), Ok(Fen(1_037)));
    assert_eq!(
        retired.terms().due(&Bases {
            account_credit: None,
            ..bases
        }),
        Err(MissingBase(Basis::AccountCreditBase))
    );
    let due = |age| {
        book.individual(
            area("510100"),
            month("2025-01"),
            Category::Active,
            born(age, "2025-01"),
        )
        .unwrap()
        .terms()
        .due(&own(777_777))
    };
    assert_eq!((due(40), due(41)), (Ok(Fen(778)), Ok(Fen(1_556))));
    let rate = book.employer(area("510100"), month("2025-01")).unwrap();
    assert_eq!(
        rate.parts().nth(Fund::LongTermCare.index()),
        Some((Fund::LongTermCare, 2_000))
    );
    assert_eq!(rate.terms().carved_out_of, Some(Fund::Medical));
}

#[test]
fn hainan_carves_ltc_out_of_the_medical_rate_from_january_2026() {
    let book = shipped();
    let (before, medical_before, care_before) = employer(&book, "460000", "2025-12").unwrap();
    let (after, medical_after, care_after) = employer(&book, "460000", "2026-01").unwrap();
    assert_eq!((care_before, care_after), (0, 1_500));
    assert_eq!(before, after, "employers pay no more than before");
    assert_eq!(medical_before - medical_after, 1_500);
    assert_eq!(
        book.employer(area("460000"), month("2026-01"))
            .unwrap()
            .terms()
            .carved_out_of,
        Some(Fund::Medical)
    );
    assert_eq!(
        individual(&book, "460000", "2025-12", (Category::Active, None)),
        None
    );
    assert_eq!(
        individual(&book, "460000", "2026-01", (Category::Active, None)).map(|(rate, _)| rate),
        Some(1_500)
    );
}

#[test]
fn every_choice_no_source_confirms_is_marked_open() {
    let book = shipped();
    assert_eq!(
        book.areas().collect::<Vec<_>>(),
        ["450100", "460000", "500100", "510100"]
    );
    let open = book.open_choices();
    for (rule, key) in [
        ("450100/employer/2021-03", "late_fee_to"),
        ("450100/employer/2021-03", "tolerance_per_head"),
        ("500100/employer/2022-01", "rate"),
        ("510100/employer/2010-01", "rate"),
        ("460000/employer/2026-01", "rate"),
    ] {
        assert!(
            open.iter()
                .any(|(id, keys)| *id == rule && keys.iter().any(|open| open == key)),
            "{rule} {key}"
        );
    }
    assert!(!open.iter().any(
        |(id, keys)| *id == "450100/employer/2021-03" && keys.iter().any(|open| open == "rate")
    ));
}

fn line(kind: PaymentKind, rate: i64, paid: i64) -> StatedLine {
    StatedLine {
        kind,
        month: month("2021-10"),
        rate,
        base: Fen(1_000_000),
        paid: Fen(paid),
    }
}

#[test]
fn a_line_at_a_rate_not_in_force_that_month_is_refused_by_name() {
    let book = shipped();
    let rate = book.employer(area("450100"), month("2021-10")).unwrap();
    for kind in [
        PaymentKind::Normal,
        PaymentKind::BackPayment,
        PaymentKind::Refund,
    ] {
        let refusal = assess(rate, &line(kind, 73_000, 0)).unwrap_err();
        assert_eq!(refusal.field, "employer_rate");
        assert_eq!(
            refusal.text,
            "stated rate 7.30 % is not in force in 2021-10; in force is 6.95 % (450100/employer/2021-03)"
        );
    }
    for kind in [PaymentKind::BaseAdjustment, PaymentKind::RateAdjustment] {
        assert_eq!(assess(rate, &line(kind, 0, -5)), Ok(Flags::default()));
    }
}

#[test]
fn only_a_normal_payment_below_base_times_rate_is_underpaid() {
    let book = shipped();
    let rate = book.employer(area("450100"), month("2021-10")).unwrap();
    let underpaid = |kind, paid| assess(rate, &line(kind, 69_500, paid)).unwrap().underpaid;
    assert!(underpaid(PaymentKind::Normal, 69_499));
    assert!(!underpaid(PaymentKind::Normal, 69_500));
    assert!(!underpaid(PaymentKind::BackPayment, 1));
    assert!(!underpaid(PaymentKind::Refund, -69_500));
}

#[test]
fn an_amount_whose_sign_contradicts_its_kind_is_refused() {
    let book = shipped();
    let rate = book.employer(area("450100"), month("2021-10")).unwrap();
    let field = |line: &StatedLine| assess(rate, line).map_err(|refusal| refusal.field);
    assert_eq!(
        field(&line(PaymentKind::Refund, 69_500, 1)),
        Err("employer_paid")
    );
    assert_eq!(
        field(&line(PaymentKind::Refund, 69_500, 0)),
        Ok(Flags::default())
    );
    assert_eq!(
        field(&line(PaymentKind::Normal, 69_500, -1)),
        Err("employer_paid")
    );
    assert_eq!(
        field(&line(PaymentKind::BackPayment, 69_500, -1)),
        Err("employer_paid")
    );
    let negative_base = StatedLine {
        base: Fen(-1),
        ..line(PaymentKind::Normal, 69_500, 0)
    };
    assert_eq!(field(&negative_base), Err("employer_base"));
}
