//! A month's deductions with a gateway that is killed again and again, and a core that loses answers.
//!
//! Small by default; `LTCGW_KILL_PEOPLE` and `LTCGW_KILL_TIMES` make it as large as one likes, and
//! `LTCGW_KILL_SEED` moves the moments.

use std::time::{Duration, Instant};

use ltcgw::sandbox::partners::{Behaviour, SimulatedPartner};
use ltcgw::sandbox::stage::Scene;
use nix::sys::signal::Signal;

use crate::support::{Place, until};

const OF: [&str; 4] = ["--area", "450100", "--month", "2021-10"];
/// People in a batch.
const BATCH: u64 = 100;
/// How long all may take to be told once the killing is over.
const PATIENCE: Duration = Duration::from_secs(300);
/// A kill comes so long after the request that is waited for has arrived, at most.
const SPREAD_MICROSECONDS: u64 = 20_000;

/// Numbers that look random and are the same in every run: SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % most
    }

    /// Of a hundred deliveries some twenty do not go as they should.
    fn behaviour(&mut self) -> Behaviour {
        match self.below(100) {
            0..8 => Behaviour::AcceptThenClose,
            8..12 => Behaviour::AcceptThenHang,
            12..15 => Behaviour::HangAfterReading,
            15..18 => Behaviour::Garbage,
            18..20 => Behaviour::Unavailable(None),
            _ => Behaviour::Accept,
        }
    }

    async fn wait(&mut self, most_microseconds: u64) {
        tokio::time::sleep(Duration::from_micros(self.below(most_microseconds))).await;
    }
}

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| {
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} is `{value}`; expected a number"))
    })
}

/// The shipped configuration with small batches, and little waiting before what is in doubt is asked about.
fn hasty(scene: Scene) -> Scene {
    scene
        .edit(
            "records_per_request = 2000                      # lines or people",
            &format!("records_per_request = {BATCH} # lines or people"),
        )
        .edit("requests_per_second = 50", "requests_per_second = 400")
        .edit("deadline_seconds = 30", "deadline_seconds = 1")
        .edit("# lease_seconds = 3", "lease_seconds = 2")
        .edit(
            "# retry_first_milliseconds = 1000",
            "retry_first_milliseconds = 50",
        )
        .edit("# retry_seconds_max = 3600", "retry_seconds_max = 1")
        .edit("# breaker_failures = 5", "breaker_failures = 50")
        .edit("# poll_milliseconds = 1000", "poll_milliseconds = 50")
        .edit("# results_seconds = 900", "results_seconds = 2")
}

/// A roster of so many people, all with an account.
fn roster(people: u64) -> String {
    format!(
        "INSERT INTO roster_entry SELECT 450100, 'P' || lpad(n::text, 8, '0'), 202101, 1,
            (ARRAY['active', 'active', 'retired', 'flexible', 'unemployed'])[1 + n % 5]::insured_category,
            true, NULL, (ARRAY[450102, 450103, 450105, 450107, 450108, 450110])[1 + n % 6], 300000 + n % 5000 * 100
         FROM generate_series(1, {people}) n"
    )
}

async fn deduct(place: &Place, command: &str, more: &[&str]) -> String {
    let said = place
        .run(&[&["deduct", command], &OF[..], more].concat())
        .await;
    assert_eq!(said.status.code(), Some(0), "{command}: {}", said.err);
    said.out
}

async fn plan_and_approve(place: &Place) {
    let plan = deduct(place, "plan", &["--by", "Li"]).await;
    let digest = plan
        .split("--digest ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .expect("the next command names the digest");
    deduct(place, "approve", &["--by", "Wang", "--digest", digest]).await;
}

/// Kills `deduct run` when it has written instructions and not yet its batches.
async fn kill_a_run(place: &Place) {
    let holder = place.connect().await;
    holder
        .batch_execute("BEGIN; LOCK TABLE deduction_batch IN SHARE MODE")
        .await
        .unwrap();
    let mut run =
        place.start(&[&["deduct", "run"], &OF[..], &["--by", "Wang", "--no-wait"]].concat());
    let waiting =
        "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'deduction_batch'::regclass";
    let pid = until("the run to write its batches", async || {
        Some(place.value(waiting).await).filter(|pid| !pid.is_empty())
    })
    .await;
    run.signal(Signal::SIGKILL);
    assert!(!run.ended().await.success());
    holder.batch_execute("COMMIT").await.unwrap();
    let there = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
    until("its transaction to end", async || {
        (place.value(&there).await == "0").then_some(())
    })
    .await;
    let left = "SELECT (SELECT count(*) FROM deduction), (SELECT count(*) FROM deduction_batch), (SELECT count(*) FROM delivery),
        (SELECT state FROM deduction_cycle)";
    assert_eq!(
        place.value(left).await,
        "0 0 0 approved",
        "nothing of a run that was killed is there"
    );
}

/// Requests that have reached the core and the LTC system.
fn arrived(core: &SimulatedPartner, ltc: &SimulatedPartner) -> u64 {
    core.tally().deliveries + core.tally().inquiries + ltc.tally().deliveries
}

/// Waits until so many requests have arrived.
async fn until_arrived(core: &SimulatedPartner, ltc: &SimulatedPartner, many: u64) {
    let deadline = Instant::now() + PATIENCE;
    while arrived(core, ltc) < many {
        assert!(
            Instant::now() < deadline,
            "stuck at {} of {many} requests: {:?} {:?}",
            arrived(core, ltc),
            core.tally(),
            ltc.tally()
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until the cycle is settled and everything delivered or dead.
async fn until_told(place: &Place) {
    let deadline = Instant::now() + PATIENCE;
    let open = "SELECT (SELECT state FROM deduction_cycle), (SELECT count(*) FROM deduction_batch WHERE answered_at IS NULL),
        (SELECT count(*) FROM delivery WHERE state NOT IN ('delivered', 'dead'))";
    loop {
        let found = place.value(open).await;
        if found == "settled 0 0" {
            return;
        }
        let rows = "SELECT destination, part, state, attempts, outcome, answer, due_at, leased_until FROM delivery WHERE state <> 'delivered' LIMIT 20";
        assert!(
            Instant::now() < deadline,
            "state, open batches and deliveries are still {found}: {}",
            place.value(rows).await
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Everybody has one result, and ledger, core and LTC system agree to the fen.
async fn all_agree(place: &Place, core: &SimulatedPartner, ltc: &SimulatedPartner, people: u64) {
    let (taken, told) = (core.deductions(), ltc.told_of_deductions());
    assert_eq!(
        (
            taken.twice,
            core.tally().repeats,
            core.tally().refused,
            ltc.tally().refused
        ),
        (0, 0, 0, 0),
        "{taken:?} {told:?}"
    );
    assert_eq!(
        (
            taken.people + taken.refused.values().sum::<u64>(),
            told.people
        ),
        (people, people),
        "{taken:?} {told:?}"
    );
    assert_eq!(
        (taken.batches, told.batches),
        (people.div_ceil(BATCH), people.div_ceil(BATCH))
    );
    assert_eq!(
        (told.fen, told.outcomes["deducted"]),
        (taken.fen, taken.people)
    );
    assert!(taken.people > people * 9 / 10, "most pay: {taken:?}");
    let results = "SELECT count(*), count(DISTINCT person_no), count(*) FILTER (WHERE outcome = 'deducted'), sum(fen) FROM deduction_result";
    assert_eq!(
        place.value(results).await,
        format!("{people} {people} {} {}", taken.people, taken.fen.0)
    );
    let missing =
        "SELECT count(*) FROM deduction d LEFT JOIN deduction_result r USING (cycle_id, person_no)
        WHERE r.person_no IS NULL OR (r.outcome = 'deducted' AND r.fen <> d.fen)";
    assert_eq!(
        place.value(missing).await,
        "0",
        "people without a result, or with another amount"
    );
    let posted = "SELECT -sum(p.fen) FILTER (WHERE account = 'fund' AND fund = 'long_term_care'), sum(p.fen) FILTER (WHERE account = 'personal_account'),
        sum(p.fen), count(DISTINCT e.batch_no) = count(DISTINCT e.entry_id) FROM posting p JOIN entry e USING (entry_id) WHERE e.kind = 'deduction'";
    assert_eq!(
        place.value(posted).await,
        format!("{0} {0} 0 t", taken.fen.0)
    );
    let bad = "SELECT (SELECT count(*) FROM deduction_discrepancy), (SELECT count(*) FROM delivery WHERE state = 'dead'),
        (SELECT count(*) FROM attempt WHERE ended_at IS NULL), (SELECT count(*) FROM deduction_cycle)";
    assert_eq!(
        place.value(bad).await,
        "0 0 0 1",
        "discrepancies, dead letters, attempts left open, cycles"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_deducted_exactly_once_however_often_the_gateway_is_killed() {
    let (people, times) = (
        setting("LTCGW_KILL_PEOPLE", 5_000),
        setting("LTCGW_KILL_TIMES", 10),
    );
    let mut dice = Dice(setting("LTCGW_KILL_SEED", 20_211_001));
    let batches = people.div_ceil(BATCH);
    let (place, core, ltc) = Place::with_partners(hasty);
    core.will((0..batches).map(|_| dice.behaviour()));
    ltc.will((0..batches).map(|_| dice.behaviour()));
    let mut serving = place.serve().await;
    place.value(&roster(people)).await;
    plan_and_approve(&place).await;
    kill_a_run(&place).await;

    let began = Instant::now();
    deduct(&place, "run", &["--by", "Wang", "--no-wait"]).await;
    // Each batch makes at least one request to the core and one to the LTC system.
    let mut moments: Vec<u64> = (0..times)
        .map(|_| dice.below(batches * 2 * 9 / 10))
        .collect();
    moments.sort_unstable();
    let (mut killed_at, mut starts) = (0, 0);
    for moment in moments {
        until_arrived(&core, &ltc, moment).await;
        dice.wait(SPREAD_MICROSECONDS).await;
        serving.signal(Signal::SIGKILL);
        assert!(!serving.ended().await.success());
        killed_at = arrived(&core, &ltc);
        if dice.below(5) == 0 {
            // Also before it serves.
            let _starting = place.spawn();
            dice.wait(500_000).await;
            starts += 1;
        }
        serving = place.serve().await;
    }
    until_told(&place).await;
    assert!(
        arrived(&core, &ltc) > killed_at,
        "the last kill was in the midst of it"
    );
    all_agree(&place, &core, &ltc, people).await;
    let (inquiries, twice, fen) = (
        core.tally().inquiries,
        core.deductions().twice,
        core.deductions().fen,
    );
    let doubtful = place
        .value("SELECT count(*) FROM attempt WHERE outcome = 'unknown'")
        .await;
    println!(
        "{people} people in {batches} batches, killed {times} times and {starts} times while starting: {:.1} s; {fen} yuan at the core, {twice} twice, \
         {doubtful} requests with unknown outcome, {inquiries} inquiries",
        began.elapsed().as_secs_f64()
    );
    serving.signal(Signal::SIGTERM);
    assert_eq!(serving.ended().await.code(), Some(0));
}
