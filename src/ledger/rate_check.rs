//! From a parsed rate file to the rates of one area, or to every finding about it.
//!
//! Refuses whatever could apportion or deduct wrongly: parts that do not add up, a remainder that
//! is not a part, overlapping periods, keys that mean nothing for their payer. It reads no files.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;

use super::area_rates::AreaRates;
use super::fund::{Fund, Recipient};
use super::rate::{EmployerRate, FundRate, IndividualRate};
use super::rate_file::{ModeWord, RULE_KEYS, RateFile, RateRule, parse_percent};
use super::split::SplitRule;
use super::terms::{Ages, Basis, Channel, Mode, Payer, Period, RateTerms, Rounding, percent};
use crate::error::{Finding, did_you_mean};
use crate::model::deduction::Category;
use crate::model::{Division, Fen, Month};

/// What may be missing of an employer's month for each head where a rule does not say.
const TOLERANCE_PER_HEAD: Fen = Fen(1);

/// Where findings about one file go.
pub(super) struct RateFindings<'a> {
    pub file: &'a str,
    pub source: &'a str,
    pub findings: &'a mut Vec<Finding>,
}

impl RateFindings<'_> {
    pub(super) fn add(&mut self, at: &Range<usize>, text: String) {
        self.findings
            .push(Finding::at_offset(self.file, self.source, at.start, text));
    }

    fn line(&self, at: &Range<usize>) -> usize {
        self.source[..at.start].matches('\n').count() + 1
    }
}

/// Checks every rule; the area is only to be used when nothing was reported.
pub(super) fn area(file: &RateFile, report: &mut RateFindings<'_>) -> AreaRates {
    let code = file.area.get_ref();
    let division = Division::parse(code);
    if division.is_none() {
        report.add(
            &file.area.span(),
            format!("area is `{code}`; expected the six digits of a pooling area such as `450100`"),
        );
    }
    for (key, text) in [("name", &file.name), ("source", &file.source)] {
        if text.get_ref().trim().is_empty() {
            report.add(
                &text.span(),
                format!("`{key}` is empty; say which city and which rule these rates are"),
            );
        }
    }
    if file.rule.is_empty() {
        report.add(
            &file.area.span(),
            "the file has no [[rule]]; add at least one".into(),
        );
    }
    let mut area = AreaRates {
        code: code.clone(),
        division,
        ..AreaRates::default()
    };
    area.city_average_base = averages("city_average_base", &file.city_average_base, report);
    area.average_wage = averages("average_wage", &file.average_wage, report);
    let mut seen: Vec<Seen> = Vec::new();
    for entry in &file.rule {
        let rule = entry.get_ref();
        let Some(terms) = terms(rule, &entry.span(), report) else {
            continue;
        };
        let scope = Scope {
            area: code,
            rule,
            at: entry.span(),
            terms,
        };
        overlaps(&scope, &mut seen, report);
        match rule.payer {
            Payer::Employer => area.employer.extend(employer(scope, report)),
            Payer::Individual => area.individual.extend(individuals(&scope, report)),
            Payer::PooledFund | Payer::Fiscal => area.funds.extend(funds(&scope, report)),
        }
    }
    area.employer.sort_by_key(|rate| rate.terms.period.from);
    area
}

/// Amounts of an area by year.
fn averages(
    key: &str,
    given: &BTreeMap<Spanned<String>, Spanned<String>>,
    report: &mut RateFindings<'_>,
) -> BTreeMap<i16, Fen> {
    let mut averages = BTreeMap::new();
    for (year, amount) in given {
        let number = year
            .get_ref()
            .parse::<i16>()
            .ok()
            .filter(|number| year.get_ref().len() == 4 && (1990..=2199).contains(number));
        if number.is_none() {
            report.add(
                &year.span(),
                format!(
                    "`{key}` has a key `{}`; expected a year such as `2025`",
                    year.get_ref()
                ),
            );
        }
        let amount = yuan(key, Some(amount), report);
        averages.extend(number.zip(amount));
    }
    averages
}

/// One rule with what is known of it.
struct Scope<'a> {
    area: &'a str,
    rule: &'a RateRule,
    at: Range<usize>,
    terms: RateTerms,
}

impl Scope<'_> {
    fn id(&self) -> String {
        format!(
            "{}/{}/{}",
            self.area,
            self.rule.payer.word(),
            self.terms.period.from
        )
    }

    fn segments(&self) -> &[Category] {
        self.rule
            .segments
            .as_ref()
            .map_or(&[], |segments| segments.get_ref())
    }

    fn ages(&self) -> Ages {
        let end = |age: &Option<Spanned<u8>>, otherwise| {
            age.as_ref().map_or(otherwise, |age| *age.get_ref())
        };
        Ages {
            from: end(&self.rule.age_from, Ages::ANY.from),
            to: end(&self.rule.age_to, Ages::ANY.to),
        }
    }
}

fn terms(rule: &RateRule, at: &Range<usize>, report: &mut RateFindings<'_>) -> Option<RateTerms> {
    let period = period(rule, report);
    let mode = mode(rule, at, report);
    let base_floor = yuan("base_floor", rule.base_floor.as_ref(), report);
    let base_cap = yuan("base_cap", rule.base_cap.as_ref(), report);
    if let (Some(floor), Some(cap), Some(key)) = (base_floor, base_cap, &rule.base_floor)
        && floor > cap
    {
        report.add(
            &key.span(),
            format!("base_floor {floor} is above base_cap {cap}; expected it at or below"),
        );
    }
    for key in &rule.open {
        let name = key.get_ref();
        if !RULE_KEYS.contains(&name.as_str()) {
            report.add(
                &key.span(),
                format!(
                    "`open` names `{name}`, which is no key of a rule{}",
                    did_you_mean(name, RULE_KEYS.iter().copied())
                ),
            );
        }
    }
    Some(RateTerms {
        period: period?,
        mode: mode?,
        base_floor,
        base_cap,
        channel: *rule.channel.get_ref(),
        frequency: rule.frequency,
        carved_out_of: rule.carved_out_of.as_ref().map(|fund| *fund.get_ref()),
        rounding: *rule.rounding.get_ref(),
        open: rule.open.iter().map(|key| key.get_ref().clone()).collect(),
    })
}

fn period(rule: &RateRule, report: &mut RateFindings<'_>) -> Option<Period> {
    let from = month("from", &rule.from, report);
    let to = match &rule.to {
        Some(to) => Some(month("to", to, report)?),
        None => None,
    };
    let from = from?;
    if let (Some(last), Some(key)) = (to, &rule.to)
        && last < from
    {
        report.add(
            &key.span(),
            format!("`to` {last} is before `from` {from}; `to` is the last month in force"),
        );
        return None;
    }
    Some(Period { from, to })
}

fn month(key: &str, text: &Spanned<String>, report: &mut RateFindings<'_>) -> Option<Month> {
    let month = Month::parse_dashed(text.get_ref());
    if month.is_none() {
        report.add(
            &text.span(),
            format!(
                "`{key}` is `{}`; expected a month such as `2021-03`",
                text.get_ref()
            ),
        );
    }
    month
}

fn mode(rule: &RateRule, at: &Range<usize>, report: &mut RateFindings<'_>) -> Option<Mode> {
    let word = *rule.mode.get_ref();
    let allowed = |key: &str| {
        matches!(
            (word, key),
            (ModeWord::Rate, "rate" | "basis") | (ModeWord::Fixed, "amount")
        )
    };
    let given = [
        ("rate", rule.rate.as_ref().map(Spanned::span)),
        ("basis", rule.basis.as_ref().map(Spanned::span)),
        ("amount", rule.amount.as_ref().map(Spanned::span)),
    ];
    for (key, span) in given {
        match span {
            Some(span) if !allowed(key) => report.add(
                &span,
                format!("`{key}` has no meaning with this `mode`; remove it or change `mode`"),
            ),
            None if allowed(key) => report.add(
                at,
                format!("the rule has no `{key}`, which its `mode` needs"),
            ),
            _ => {}
        }
    }
    match word {
        ModeWord::Rate => {
            let millionths = rate("rate", rule.rate.as_ref()?, report)?;
            Some(Mode::Rate {
                millionths,
                basis: *rule.basis.as_ref()?.get_ref(),
            })
        }
        ModeWord::Fixed => yuan("amount", rule.amount.as_ref(), report).map(Mode::Fixed),
        ModeWord::Waived => Some(Mode::Waived),
    }
}

fn rate(key: &str, text: &Spanned<String>, report: &mut RateFindings<'_>) -> Option<i64> {
    let millionths = parse_percent(text.get_ref()).filter(|millionths| *millionths > 0);
    if millionths.is_none() {
        let expected = "expected a percentage above 0 and at most 100 with at most four decimals, such as `6.80 %`";
        report.add(
            &text.span(),
            format!("`{key}` is `{}`; {expected}", text.get_ref()),
        );
    }
    millionths
}

fn yuan(key: &str, text: Option<&Spanned<String>>, report: &mut RateFindings<'_>) -> Option<Fen> {
    let text = text?;
    match Fen::parse_yuan(text.get_ref()) {
        Ok(amount) if amount >= Fen::ZERO => Some(amount),
        Ok(amount) => {
            report.add(
                &text.span(),
                format!("`{key}` is {amount}; expected an amount in yuan, not negative"),
            );
            None
        }
        Err(error) => {
            report.add(
                &text.span(),
                format!("`{key}` is `{}`: {error}", text.get_ref()),
            );
            None
        }
    }
}

/// Who an earlier rule is for, and where it stands.
struct Seen {
    payer: Payer,
    segments: Vec<Category>,
    ages: Ages,
    period: Period,
    line: usize,
}

/// Two rules of a payer may not both be in force for the same people in a month.
fn overlaps(scope: &Scope<'_>, seen: &mut Vec<Seen>, report: &mut RateFindings<'_>) {
    let (period, ages) = (scope.terms.period, scope.ages());
    let employer = scope.rule.payer == Payer::Employer;
    let twin = seen.iter().find(|earlier| {
        let people = employer
            || (earlier
                .segments
                .iter()
                .any(|segment| scope.segments().contains(segment))
                && earlier.ages.overlaps(&ages));
        earlier.payer == scope.rule.payer && people && earlier.period.overlaps(&period)
    });
    if let Some(twin) = twin {
        let until = twin
            .period
            .to
            .map_or_else(|| "with no end".to_string(), |to| format!("to {to}"));
        let text = format!(
            "this rule overlaps with the one in line {} (from {} {until}); end that one before {}",
            twin.line, twin.period.from, period.from
        );
        report.add(&scope.rule.from.span(), text);
    }
    let line = report.line(&scope.at);
    seen.push(Seen {
        payer: scope.rule.payer,
        segments: scope.segments().to_vec(),
        ages,
        period,
        line,
    });
}

fn employer(scope: Scope<'_>, report: &mut RateFindings<'_>) -> Option<EmployerRate> {
    let (rule, before) = (scope.rule, report.findings.len());
    let Mode::Rate {
        millionths: whole, ..
    } = scope.terms.mode
    else {
        report.add(
            &rule.mode.span(),
            "an employer's rule needs mode = \"rate\": what the employer paid is split by it"
                .into(),
        );
        return None;
    };
    if *rule.rounding.get_ref() != Rounding::FenHalfAway {
        report.add(
            &rule.rounding.span(),
            "an employer's rule needs rounding = \"fen_half_away\": that is how parts are rounded"
                .into(),
        );
    }
    if let Some(segments) = rule
        .segments
        .as_ref()
        .filter(|segments| segments.get_ref().as_slice() != [Category::Active])
    {
        report.add(
            &segments.span(),
            "an employer pays for the active only; remove `segments`".into(),
        );
    }
    meaningless(
        rule,
        &[
            "age_from",
            "age_to",
            "no_account",
            "shortfall",
            "base_floor",
            "base_cap",
        ],
        report,
    );
    let parts = parts(&scope, whole, report);
    let named = |key: &str, fund: Fund, span: Range<usize>, report: &mut RateFindings<'_>| {
        if parts.is_some_and(|parts| parts[fund.index()] == 0) {
            report.add(
                &span,
                format!("`{key}` is `{}`, which is not among `parts`", fund.word()),
            );
        }
        fund
    };
    let mut fund = |key: &str, fund: &Option<Spanned<Fund>>| match fund {
        Some(fund) => Some(named(key, *fund.get_ref(), fund.span(), report)),
        None => missing(key, &scope.at, report),
    };
    let remainder = fund("remainder", &rule.remainder);
    let employee_paid_to = fund("employee_paid_to", &rule.employee_paid_to);
    if rule.carved_out_of.is_some() {
        fund("carved_out_of", &rule.carved_out_of);
    }
    let mut recipient = |key: &str, recipient: &Option<Spanned<Recipient>>| {
        let Some(recipient) = recipient else {
            return missing(key, &scope.at, report);
        };
        if let Some(fund) = recipient.get_ref().fund() {
            named(key, fund, recipient.span(), report);
        }
        Some(*recipient.get_ref())
    };
    let late_fee_to = recipient("late_fee_to", &rule.late_fee_to);
    let interest_to = recipient("interest_to", &rule.interest_to);
    let tolerance_per_head = yuan(
        "tolerance_per_head",
        rule.tolerance_per_head.as_ref(),
        report,
    )
    .unwrap_or(TOLERANCE_PER_HEAD);
    if report.findings.len() > before {
        return None;
    }
    let rule = SplitRule {
        whole,
        parts: parts?,
        remainder: remainder?,
        late_fee_to: late_fee_to?,
        interest_to: interest_to?,
        employee_paid_to: employee_paid_to?,
    };
    Some(EmployerRate {
        id: scope.id(),
        rule,
        tolerance_per_head,
        terms: scope.terms,
    })
}

fn missing<T>(key: &str, at: &Range<usize>, report: &mut RateFindings<'_>) -> Option<T> {
    report.add(
        at,
        format!("the employer's rule has no `{key}`; name one of its parts"),
    );
    None
}

/// The parts by fund in millionths; they must add up to the whole.
fn parts(
    scope: &Scope<'_>,
    whole: i64,
    report: &mut RateFindings<'_>,
) -> Option<[i64; Fund::COUNT]> {
    let Some(given) = &scope.rule.parts else {
        report.add(
            &scope.at,
            "the employer's rule has no `parts`; say which fund receives which part of `rate`"
                .into(),
        );
        return None;
    };
    let mut parts = [0; Fund::COUNT];
    for (fund, text) in given.get_ref() {
        parts[fund.index()] = rate(fund.word(), text, report)?;
    }
    let sum: i64 = parts.iter().sum();
    if sum != whole {
        report.add(
            &given.span(),
            format!(
                "the parts add up to {}, but `rate` is {}; they must be equal",
                percent(sum),
                percent(whole)
            ),
        );
        return None;
    }
    Some(parts)
}

fn individuals(scope: &Scope<'_>, report: &mut RateFindings<'_>) -> Vec<IndividualRate> {
    let rule = scope.rule;
    let ages = scope.ages();
    needs_segments(scope, report);
    meaningless(
        rule,
        &[
            "parts",
            "remainder",
            "late_fee_to",
            "interest_to",
            "employee_paid_to",
            "tolerance_per_head",
        ],
        report,
    );
    own_of_the_retired(rule, report);
    if ages.from > ages.to {
        report.add(
            &scope.at,
            format!(
                "age_from {} is above age_to {}; both ends are included",
                ages.from, ages.to
            ),
        );
    }
    if scope.terms.channel == Channel::PersonalAccount {
        for (key, missing) in [
            ("no_account", rule.no_account.is_none()),
            ("shortfall", rule.shortfall.is_none()),
        ] {
            if missing {
                report.add(
                    &scope.at,
                    format!("the rule deducts from the personal account but has no `{key}`"),
                );
            }
        }
    } else {
        meaningless(rule, &["no_account", "shortfall"], report);
    }
    let band = if ages == Ages::ANY {
        String::new()
    } else {
        format!("/{}-{}", ages.from, ages.to)
    };
    let build = |segment: &Category| IndividualRate {
        id: format!("{}/{}{band}", scope.id(), segment.word()),
        terms: scope.terms.clone(),
        category: *segment,
        ages,
        no_account: rule.no_account.as_ref().map(|word| *word.get_ref()),
        shortfall: rule.shortfall.as_ref().map(|word| *word.get_ref()),
    };
    scope.segments().iter().map(build).collect()
}

/// A base that people of the rule's segments never have would leave all of them out.
fn own_of_the_retired(rule: &RateRule, report: &mut RateFindings<'_>) {
    let (Some(basis), Some(segments)) = (&rule.basis, &rule.segments) else {
        return;
    };
    let retired = |segment: &Category| *segment == Category::Retired;
    let (text, wrong) = match basis.get_ref() {
        Basis::OwnBase => (
            "own_base: retired people have none; expected own_pension_last_year",
            segments.get_ref().iter().any(retired),
        ),
        Basis::OwnPensionLastYear => (
            "own_pension_last_year: only retired people have one",
            !segments.get_ref().iter().all(retired),
        ),
        Basis::EmployerBase => ("employer_base: it is the employer's, and no person's", true),
        _ => return,
    };
    if wrong {
        report.add(&basis.span(), format!("`basis` is {text}; choose the basis of those in `segments`, or give them a rule of their own"));
    }
}

fn funds(scope: &Scope<'_>, report: &mut RateFindings<'_>) -> Vec<FundRate> {
    needs_segments(scope, report);
    let employer_only = [
        "parts",
        "remainder",
        "late_fee_to",
        "interest_to",
        "employee_paid_to",
        "tolerance_per_head",
    ];
    meaningless(scope.rule, &employer_only, report);
    meaningless(
        scope.rule,
        &["age_from", "age_to", "no_account", "shortfall"],
        report,
    );
    let build = |segment: &Category| FundRate {
        id: format!("{}/{}", scope.id(), segment.word()),
        terms: scope.terms.clone(),
    };
    scope.segments().iter().map(build).collect()
}

fn needs_segments(scope: &Scope<'_>, report: &mut RateFindings<'_>) {
    let segments = scope.segments();
    if segments.is_empty() {
        report.add(
            &scope.at,
            "the rule has no `segments`; say whom it is for, such as [\"active\"]".into(),
        );
    }
    if segments
        .iter()
        .enumerate()
        .any(|(index, segment)| segments[..index].contains(segment))
    {
        report.add(&scope.at, "`segments` names one segment twice".into());
    }
}

/// Reports keys that are set although they mean nothing for the rule's payer.
fn meaningless(rule: &RateRule, keys: &[&str], report: &mut RateFindings<'_>) {
    for key in keys {
        let span = match *key {
            "age_from" => rule.age_from.as_ref().map(Spanned::span),
            "age_to" => rule.age_to.as_ref().map(Spanned::span),
            "parts" => rule.parts.as_ref().map(Spanned::span),
            "remainder" => rule.remainder.as_ref().map(Spanned::span),
            "late_fee_to" => rule.late_fee_to.as_ref().map(Spanned::span),
            "interest_to" => rule.interest_to.as_ref().map(Spanned::span),
            "employee_paid_to" => rule.employee_paid_to.as_ref().map(Spanned::span),
            "tolerance_per_head" => rule.tolerance_per_head.as_ref().map(Spanned::span),
            "no_account" => rule.no_account.as_ref().map(Spanned::span),
            "shortfall" => rule.shortfall.as_ref().map(Spanned::span),
            // An employer's base is a sum over its employees; floor and cap are each person's.
            "base_floor" => rule.base_floor.as_ref().map(Spanned::span),
            "base_cap" => rule.base_cap.as_ref().map(Spanned::span),
            _ => None,
        };
        if let Some(span) = span {
            report.add(
                &span,
                format!("`{key}` has no meaning for this payer and channel; remove it"),
            );
        }
    }
}
