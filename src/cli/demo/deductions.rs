//! A month's deductions in the demo: roster, plan, approval by a second person, run, answers.
//!
//! The gateway computes, sends and posts; this plays the medical core's roster and the operators,
//! and compares in the end what ledger, medical core and LTC system say. It draws no tables.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::super::Failure;
use super::super::table::thousands;
use super::figures::rounded;
use super::progress::{self, AnswersBar};
use super::theatre::{MEDICAL_CORE, Theatre};
use crate::error::{Fault, Stage};
use crate::flow::deduct::{ComparedCycle, Core, CycleReport, Desk, Of};
use crate::model::deduction::DeductionOutcome;
use crate::model::signer::Signer;
use crate::model::{Division, Fen, Month};
use crate::sandbox::city::City;
use crate::sandbox::partners::{Behaviour, Deductions, ToldOfDeductions};
use crate::store::delivery;

/// Pooling area of the city.
pub(super) const AREA: i32 = 450_100;
/// Who plans and runs, and who approves.
const CLERK: &str = "demo-clerk";
const SUPERVISOR: &str = "demo-supervisor";
/// How often the cycle is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// Longest time without anybody being answered or told of.
const STANDSTILL: Duration = Duration::from_secs(120);
/// Pieces of the roster made ahead of the connection.
const PIECES_AHEAD: usize = 4;

/// What the gateway answered to the roster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct RosterAnswer {
    pub received: u64,
    pub taken: u64,
    pub refused: u64,
}

/// The cycle when everybody was answered and the LTC system told.
#[derive(Debug, Clone)]
pub(super) struct ShownDeductions {
    /// People in the generated city.
    pub people: u64,
    pub roster: RosterAnswer,
    pub seen: ComparedCycle,
    pub report: CycleReport,
    /// Taken from personal accounts by district, as the ledger has it.
    pub ledger: BTreeMap<i32, Fen>,
    pub core: Deductions,
    pub told: ToldOfDeductions,
    /// From the first byte of the roster to the last thing the LTC system was told.
    pub took: Duration,
}

/// The month of the deductions: the demo's, unless it has not come yet or has no rates by account.
pub(super) fn month(theatre: &Theatre, wanted: Month) -> Result<Month, Fault> {
    let gateway = &theatre.running()?.gateway;
    let now = Month::of(gateway.registrar.clock.today()).unwrap_or(wanted);
    let asked =
        |month| Division::from_number(AREA).is_some_and(|area| gateway.book.deducts(area, month));
    let mut month = wanted.min(now);
    while month < now && !asked(month) {
        month = month.next();
    }
    Ok(month)
}

/// Sends the roster, plans, approves, runs, and waits until the LTC system knows of everybody.
pub(super) async fn play(
    theatre: &Theatre,
    city: &City,
    (people, month): (u64, Month),
) -> Result<ShownDeductions, Failure> {
    let gateway = &theatre.running()?.gateway;
    let counterparts = theatre.counterparts()?;
    let (desk, of) = (Desk::of(gateway), Of { area: AREA, month });
    let start = Instant::now();

    let doing = progress::doing("deductions: the medical core sends its roster");
    let roster = send_roster(theatre, city, (people, month)).await?;
    let text = format!(
        "roster of {} people from the medical core, {} taken",
        thousands(people.cast_signed()),
        thousands(roster.taken.cast_signed())
    );
    done(doing, &text);

    let doing = progress::doing("deductions: computing everybody");
    let by = |name: &str| Signer {
        name: name.into(),
        login: None,
    };
    let plan = desk.plan(of, &by(CLERK)).await?;
    let digest = HEXLOWER.encode(&plan.digest);
    let short = &digest[..16];
    done(
        doing,
        &format!(
            "deductions of {month} planned by {CLERK}: {} people, digest {short}",
            thousands(plan.people.into())
        ),
    );

    // It takes a batch and breaks off its answer: the inquiry has to bring the results.
    counterparts.core.will([Behaviour::AcceptThenClose]);
    let doing = progress::doing("deductions: computing everybody again, to the same digest");
    desk.approve(of, &by(SUPERVISOR), short).await?;
    let cycle = desk.run(of, &by(CLERK)).await?;
    done(
        doing,
        &format!("approved by {SUPERVISOR}, run: computed again to the same digest, queued"),
    );

    let sending = Instant::now();
    wait(theatre, (&desk, desk.core(of)?), cycle).await?;
    progress::step(
        "everybody answered by the medical core, the LTC system told",
        sending.elapsed(),
    );
    let took = start.elapsed();
    let seen = desk.see(of).await?;
    let report = desk.report(&seen.cycle).await?;
    let ledger = gateway
        .store
        .deducted_by_district(month)
        .await?
        .into_iter()
        .collect();
    let (core, told) = (
        counterparts.core.deductions(),
        counterparts.ltc.told_of_deductions(),
    );
    Ok(ShownDeductions {
        people,
        roster,
        seen,
        report,
        ledger,
        core,
        told,
        took,
    })
}

fn done(doing: progress::Doing, what: &str) {
    let took = doing.start.elapsed();
    drop(doing);
    progress::step(what, took);
}

/// Sends the city's people as the medical core does, while they are being made.
async fn send_roster(
    theatre: &Theatre,
    city: &City,
    (people, month): (u64, Month),
) -> Result<RosterAnswer, Fault> {
    let (pieces, made) = mpsc::channel::<Bytes>(PIECES_AHEAD);
    let everybody = city.people(people);
    let writing =
        tokio::task::spawn_blocking(move || everybody.write_roster(month, &mut Pieces(pieces)));
    let body = stream::unfold(made, |mut made| async move {
        made.recv()
            .await
            .map(|piece| (Ok::<_, io::Error>(piece), made))
    });
    let number = month.number();
    let url = format!(
        "{}/core/v1/roster?roster_no=DEMO-{number}&kind=full&area={AREA:06}&month={number}",
        theatre.base_url()?
    );
    let client = theatre.stage()?.client(MEDICAL_CORE)?;
    let broken = |error: reqwest::Error| {
        Fault::later(
            Stage::Send,
            format!("the roster could not be sent: {}", error.without_url()),
        )
    };
    let answer = client
        .post(url)
        .header("content-type", "application/x-ndjson")
        .body(reqwest::Body::wrap_stream(body))
        .send()
        .await
        .map_err(broken)?;
    let status = answer.status().as_u16();
    let answer: Value =
        serde_json::from_slice(&answer.bytes().await.map_err(broken)?).unwrap_or_default();
    // Ends with an error of its own only when the connection was lost, which was told above.
    let _ = writing.await;
    if status != 200 || answer["infcode"] != 0 {
        let said = answer["err_msg"]
            .as_str()
            .unwrap_or("nothing that can be read");
        return Err(Fault::operator(
            Stage::Send,
            format!("the gateway answered the roster with {status}: {said}"),
        ));
    }
    let count = |name: &str| answer["output"][name].as_u64().unwrap_or_default();
    Ok(RosterAnswer {
        received: count("received"),
        taken: count("taken"),
        refused: count("refused"),
    })
}

/// Passes what is written on to a connection.
struct Pieces(mpsc::Sender<Bytes>);

impl Write for Pieces {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.0
            .blocking_send(Bytes::copy_from_slice(piece))
            .map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits until everybody is answered and nothing waits to be told, or only a person can go on.
async fn wait(
    theatre: &Theatre,
    (desk, core): (&Desk, &Core),
    cycle: crate::store::deduction::Cycle,
) -> Result<(), Fault> {
    let ltc = &theatre.counterparts()?.ltc;
    let mut look = desk.look(&cycle).await?;
    let bar = AnswersBar::start(look.answers.people.unsigned_abs());
    let (mut moved, mut before) = (Instant::now(), (0, 0));
    loop {
        let now = (look.answers.answered, ltc.told_of_deductions().people);
        bar.answered(core, &look.answers);
        if now != before {
            (moved, before) = (Instant::now(), now);
        }
        if look.stuck() {
            break;
        }
        if look.settled() {
            let backlog = delivery::backlog(desk.store.pool()).await?;
            if backlog
                .iter()
                .all(|waiting| waiting.ready + waiting.leased + waiting.in_doubt == 0)
            {
                break;
            }
        }
        if moved.elapsed() > STANDSTILL {
            let text = format!(
                "nobody was deducted and nothing told for {} seconds ({} of {} answered)",
                STANDSTILL.as_secs(),
                now.0,
                look.answers.people
            );
            return Err(Fault::later(
                Stage::Send,
                format!("{text}; see the warnings above"),
            ));
        }
        tokio::time::sleep(LOOK).await;
        look = desk.look(&cycle).await?;
    }
    bar.finish();
    Ok(())
}

impl ShownDeductions {
    /// People asked for in the last round and before, by what the core did.
    pub fn outcome(&self, outcome: DeductionOutcome) -> u64 {
        self.report
            .outcomes
            .iter()
            .filter(|of| of.outcome == outcome)
            .map(|of| of.people.unsigned_abs())
            .sum()
    }

    pub fn deducted(&self) -> u64 {
        self.outcome(DeductionOutcome::Deducted)
    }

    /// People who were asked for and from whom nothing was taken, for whatever reason.
    pub fn short(&self) -> u64 {
        DeductionOutcome::ALL
            .into_iter()
            .filter(|of| *of != DeductionOutcome::Deducted)
            .map(|of| self.outcome(of))
            .sum()
    }

    /// People the plan left out.
    pub fn left_out(&self) -> u64 {
        self.seen
            .left_out
            .iter()
            .map(|left| left.people.unsigned_abs())
            .sum()
    }

    /// What the ledger has taken from personal accounts (fen).
    pub fn ledger_fen(&self) -> i64 {
        self.ledger.values().map(|fen| fen.0).sum()
    }

    /// Whether ledger, medical core and LTC system have the same money.
    pub fn sums_agree(&self) -> bool {
        self.ledger_fen() == self.core.fen.0 && self.core.fen == self.told.fen
    }

    /// Everything that is not as it should be.
    pub fn differences(&self) -> Vec<String> {
        let told = |outcome: DeductionOutcome| {
            self.told
                .outcomes
                .get(outcome.word())
                .copied()
                .unwrap_or_default()
        };
        let asked = u64::from(self.seen.cycle.people.unsigned_abs());
        let mut found = Vec::new();
        let mut same = |what: &str, one: u64, other: u64| {
            if one != other {
                found.push(format!("{what}: {one}, not {other}"));
            }
        };
        same("people of the roster taken", self.roster.taken, self.people);
        same(
            "people asked for or left out",
            asked + self.left_out(),
            self.people,
        );
        same("people answered", self.deducted() + self.short(), asked);
        same(
            "people of whom the LTC system was told",
            self.told.people,
            asked,
        );
        same(
            "people who paid by the medical core",
            self.core.people,
            self.deducted(),
        );
        same("people deducted from twice", self.core.twice, 0);
        same(
            "answers that do not fit",
            self.report.discrepancies.unsigned_abs(),
            0,
        );
        for outcome in DeductionOutcome::ALL {
            same(
                &format!("people told of as {}", outcome.word()),
                told(outcome),
                self.outcome(outcome),
            );
            if outcome != DeductionOutcome::Deducted {
                let core = self
                    .core
                    .refused
                    .get(outcome.word())
                    .copied()
                    .unwrap_or_default();
                same(
                    &format!("people the medical core has as {}", outcome.word()),
                    core,
                    self.outcome(outcome),
                );
            }
        }
        found
    }

    /// Whether all three agree on money and people, and nobody was deducted from twice.
    pub fn agrees(&self) -> bool {
        self.sums_agree() && self.differences().is_empty()
    }

    /// The cycle as the report has it; money in fen.
    pub fn report(&self) -> Value {
        json!({
            "people": self.people,
            "deducted": self.deducted(),
            "short": self.short(),
            "fen": { "ledger": self.ledger_fen(), "medical_core": self.core.fen.0, "ltc_system": self.told.fen.0 },
            "seconds": rounded(self.took.as_secs_f64()),
            "agrees": self.agrees(),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::store::deduction::{Cycle, CycleState, LeftOutCount, RoundOutcome, RoundProgress};

    /// Ten people: seven paid 9 yuan each, one was poor, one unknown, one has no account.
    pub fn agreed() -> ShownDeductions {
        let cycle = Cycle {
            cycle_id: 1,
            pooling_area: AREA,
            month: Month::new(2021, 10).expect("a month"),
            state: CycleState::Settled,
            digest: vec![7; 32],
            people: 9,
            fen: Fen(8_100),
            rounds: 1,
            planned_by: CLERK.into(),
            planned_at: jiff::Timestamp::UNIX_EPOCH,
            approved_by: Some(SUPERVISOR.into()),
            approved_at: None,
            run_by: None,
            started_at: None,
            settled_at: None,
            planned_login: None,
            approved_login: None,
            same_login: true,
            replaces: None,
        };
        let outcome = |outcome, people: i64, paid: bool| RoundOutcome {
            round: 1,
            outcome,
            people,
            asked: Fen(900 * people),
            taken: Fen(if paid { 900 * people } else { 0 }),
        };
        let outcomes = vec![
            outcome(DeductionOutcome::Deducted, 7, true),
            outcome(DeductionOutcome::InsufficientBalance, 1, false),
            outcome(DeductionOutcome::PersonUnknown, 1, false),
        ];
        let told = [
            ("deducted", 7),
            ("insufficient_balance", 1),
            ("person_unknown", 1),
        ]
        .map(|(word, people)| (word.to_owned(), people));
        ShownDeductions {
            people: 10,
            roster: RosterAnswer {
                received: 10,
                taken: 10,
                refused: 0,
            },
            seen: ComparedCycle {
                cycle,
                cells: Vec::new(),
                left_out: vec![LeftOutCount {
                    reason: "no_account".into(),
                    people: 1,
                    due: Fen(900),
                }],
                before: None,
            },
            report: CycleReport {
                answers: RoundProgress::default(),
                outcomes,
                owed: Vec::new(),
                short: (2, 1),
                discrepancies: 0,
            },
            ledger: BTreeMap::from([(450_102, Fen(6_000)), (450_103, Fen(300))]),
            core: Deductions {
                batches: 1,
                people: 7,
                fen: Fen(6_300),
                refused: [("insufficient_balance", 1), ("person_unknown", 1)].into(),
                twice: 0,
            },
            told: ToldOfDeductions {
                batches: 1,
                people: 9,
                outcomes: told.into(),
                fen: Fen(6_300),
                made_up: 0,
            },
            took: Duration::from_millis(1_500),
        }
    }

    #[test]
    fn three_who_agree_are_reported_in_people_and_fen() {
        let report = json!({
            "people": 10, "deducted": 7, "short": 2, "fen": { "ledger": 6_300, "medical_core": 6_300, "ltc_system": 6_300 }, "seconds": 1.5, "agrees": true,
        });
        assert_eq!(agreed().report(), report, "{:?}", agreed().differences());
    }

    #[test]
    fn a_fen_or_a_person_more_or_less_anywhere_does_not_agree() {
        let mistakes: [fn(&mut ShownDeductions); 10] = [
            |shown| shown.ledger.get_mut(&450_103).expect("a district").0 += 1,
            |shown| shown.core.fen.0 -= 1,
            |shown| shown.told.fen.0 += 1,
            |shown| shown.core.twice = 1,
            |shown| shown.core.people += 1,
            |shown| *shown.core.refused.get_mut("person_unknown").expect("one") += 1,
            |shown| shown.told.people -= 1,
            |shown| {
                *shown
                    .told
                    .outcomes
                    .get_mut("insufficient_balance")
                    .expect("one") -= 1
            },
            |shown| shown.roster.taken -= 1,
            |shown| shown.report.discrepancies = 1,
        ];
        for mistake in mistakes {
            let mut wrong = agreed();
            mistake(&mut wrong);
            assert!(!wrong.agrees(), "{wrong:?}");
            assert_eq!(wrong.report()["agrees"], false);
        }
    }
}
