//! Everybody of a month, one after the other: amount, digest, totals, row.
//!
//! Plan and run go through the same code and differ only in which rows they keep. Memory holds a
//! few people and a row per district and category.

use std::collections::BTreeMap;

use super::{DeductionRefusal, Desk, Of, refusal};
use crate::error::{Fault, Stage};
use crate::ledger::deduction::{
    Assessment, Instruction, NoDeductionReason, PlanDigest, PlanTotals, RosteredPerson, assess,
    shortfall_word,
};
use crate::ledger::{Bases, IndividualRate};
use crate::model::deduction::Category;
use crate::model::{Division, Fen, Month};
use crate::store::deduction::{
    BatchWriter, Cell, InstructionRow, InsuredPeople, InsuredPerson, LeftOutRow, RateRow, Receiver,
    RowSheet,
};

/// What is kept of everybody.
pub struct Out {
    sheet: RowSheet,
    /// Of a run; a plan keeps whom it leaves out instead.
    batches: Option<BatchWriter>,
}

impl Out {
    /// Keeps whom the plan leaves out.
    pub fn plan(sheet: RowSheet) -> Out {
        Out {
            sheet,
            batches: None,
        }
    }

    /// Keeps the instructions and makes batches of them.
    pub fn run(sheet: RowSheet, cycle_id: i64, receiver: &Receiver) -> Out {
        Out {
            sheet,
            batches: Some(BatchWriter::new(cycle_id, receiver.clone())),
        }
    }
}

/// What everybody comes to.
pub struct ComputedDeductions<'a> {
    pub digest: [u8; 32],
    pub totals: PlanTotals,
    /// Somebody is insured, if only to be left out.
    pub anybody: bool,
    /// Cycles whose shortfalls were carried.
    pub carrying: Vec<i64>,
    /// The rates by number.
    pub rates: Vec<RateRow<'a>>,
    pub batches: Option<BatchWriter>,
}

impl ComputedDeductions<'_> {
    /// The totals as they are stored.
    pub fn cells(&self) -> Vec<Cell> {
        let cells = self.totals.cells.iter();
        cells
            .map(|((district, category), total)| Cell {
                district: *district,
                category: *category,
                people: total.people,
                base: total.base,
                due: total.due,
                carried: total.carried,
            })
            .collect()
    }
}

/// Reads the roster in force and computes everybody.
pub async fn everybody<'a>(
    desk: &'a Desk,
    of: Of,
    mut out: Out,
) -> Result<ComputedDeductions<'a>, DeductionRefusal> {
    let mut people = InsuredPeople::open(&desk.store, of.area, of.month).await?;
    let mut sum = Sum::new(desk, of);
    while let Some(person) = people.next().await? {
        sum.add(person, &mut out)?;
        if out.sheet.is_full() {
            out.sheet.send().await?;
        }
    }
    let carrying = std::mem::take(&mut people.carrying);
    people.finish().await?;
    out.sheet.finish().await?;
    Ok(ComputedDeductions {
        digest: sum.running.finish(),
        totals: sum.totals,
        anybody: sum.anybody,
        carrying,
        rates: sum.rates,
        batches: out.batches,
    })
}

struct Sum<'a> {
    desk: &'a Desk,
    area: Option<Division>,
    month: Month,
    /// The bases that are the same for everybody.
    bases: Bases,
    running: PlanDigest,
    totals: PlanTotals,
    anybody: bool,
    rates: Vec<RateRow<'a>>,
    /// Number of each rate met, by its id.
    numbers: BTreeMap<&'a str, i16>,
}

impl<'a> Sum<'a> {
    fn new(desk: &'a Desk, of: Of) -> Sum<'a> {
        let running = PlanDigest::new(of.area, of.month);
        let (totals, rates, numbers) = (PlanTotals::default(), Vec::new(), BTreeMap::new());
        let area = Division::from_number(of.area);
        let bases = area.map(|area| desk.book.bases(area, of.month));
        Sum {
            desk,
            area,
            month: of.month,
            bases: bases.unwrap_or_default(),
            running,
            totals,
            anybody: false,
            rates,
            numbers,
        }
    }

    fn add(&mut self, person: &InsuredPerson, out: &mut Out) -> Result<(), DeductionRefusal> {
        self.anybody = true;
        let category = person.category();
        let rate = self.area.and_then(|area| {
            let book = &self.desk.book;
            book.individual(area, self.month, category, person.born_on)
        });
        let insured = RosteredPerson {
            person_no: &person.person_no,
            category,
            district: person.district,
            account: person.account,
            bases: bases_of(
                self.bases,
                category,
                (person.base, person.account_credit_base),
            ),
            yearly_since: person.yearly_since,
            carried: person.carried,
        };
        if person.undecided {
            self.leave_out(&insured, (NoDeductionReason::TwoRelations, Fen::ZERO), out);
            return Ok(());
        }
        match (
            assess(self.month, &insured, rate).map_err(|error| refusal::too_much(&error))?,
            rate,
        ) {
            (Assessment::Deduct(instruction), Some(rate)) => {
                self.instruct(&insured, rate, &instruction, out)
            }
            (Assessment::LeftOut { reason, due }, _) => {
                self.leave_out(&insured, (reason, due), out);
                Ok(())
            }
            (Assessment::Deduct(_), None) => unreachable!("nothing is due without a rate"),
        }
    }

    fn leave_out(
        &mut self,
        insured: &RosteredPerson<'_>,
        (reason, due): (NoDeductionReason, Fen),
        out: &mut Out,
    ) {
        self.running.leave_out(insured, reason, due);
        if out.batches.is_none() {
            let &RosteredPerson {
                person_no,
                category,
                district,
                ..
            } = insured;
            out.sheet.leave_out(&LeftOutRow {
                person_no,
                district,
                category,
                reason: reason.word(),
                due,
            });
        }
    }

    fn instruct(
        &mut self,
        insured: &RosteredPerson<'_>,
        rate: &'a IndividualRate,
        instruction: &Instruction,
        out: &mut Out,
    ) -> Result<(), DeductionRefusal> {
        self.running.instruct(insured, rate, instruction);
        self.totals
            .add(insured, instruction)
            .map_err(|error| refusal::too_much(&error))?;
        let number = self.number(rate)?;
        let Some(batches) = &mut out.batches else {
            return Ok(());
        };
        let Instruction {
            base,
            due,
            carried,
            fen,
        } = *instruction;
        let &RosteredPerson {
            person_no,
            category,
            district,
            ..
        } = insured;
        out.sheet.instruct(&InstructionRow {
            person_no,
            category,
            district,
            rate: number,
            base,
            due,
            carried,
            fen,
        });
        Ok(batches.add(person_no, fen)?)
    }

    fn number(&mut self, rate: &'a IndividualRate) -> Result<i16, DeductionRefusal> {
        if let Some(number) = self.numbers.get(rate.id()) {
            return Ok(*number);
        }
        let many = |_| {
            Fault::operator(
                Stage::Config,
                format!(
                    "area {:06} has more rates than can be numbered; expected fewer than 32,768",
                    self.area.map_or(0, Division::number)
                ),
            )
        };
        let number = i16::try_from(self.rates.len()).map_err(many)?;
        self.rates.push((rate.id(), shortfall_word(rate)));
        self.numbers.insert(rate.id(), number);
        Ok(number)
    }
}

/// Everybody's bases with those of one person; what a roster calls the base is last year's pension of retired people.
pub(in crate::flow) fn bases_of(
    everybody: Bases,
    category: Category,
    (base, account_credit): (Fen, Option<Fen>),
) -> Bases {
    let retired = category == Category::Retired;
    Bases {
        own: Some(base).filter(|_| !retired),
        own_pension_last_year: Some(base).filter(|_| retired),
        account_credit,
        ..everybody
    }
}
