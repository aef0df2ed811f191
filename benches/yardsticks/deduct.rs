//! A city's deductions of a month, from the plan to the last posting, against `INSERT ... SELECT` and
//! `UPDATE` of the same rows.
//!
//! The gateway plans, approves, runs, sends every batch to a simulated medical core over mutual TLS
//! and posts what it answers; core and LTC system are simulated in this process, on the same
//! processors. The other side writes every instruction into a table with the same primary key and
//! updates each row once with a result; same server, same run.

use std::fs::File;
use std::io::BufWriter;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ltcgw::adapter::capability::sm2_sorted_fields::PrivateKey;
use ltcgw::model::Month;
use ltcgw::sandbox::city::City;
use ltcgw::sandbox::partners::{PartnerTls, SimulatedPartner, SimulationOptions};

use crate::stand::Stand;
use crate::{Done, client};

/// Insured people for every employer of the city.
const PEOPLE_EACH: u64 = 16;
const ROSTER: &str = "roster.ndjson";
/// What is wanted.
const RATIO_MAX: f64 = 3.0;
const MEGABYTES_MAX: f64 = 300.0;
/// Questions a second about who paid, of each kind.
const QUESTIONS_PER_SECOND: u64 = 50;
/// How long questions are asked while nothing else is done.
const AT_REST: Duration = Duration::from_secs(5);
/// Columns of an instruction and of its result.
const YARDSTICK: &str = "CREATE TABLE yardstick (LIKE deduction, round smallint, batch_no int, outcome deduction_outcome, taken_fen bigint, \
    this_year_fen bigint, last_year_fen bigint, earlier_fen bigint, balance_fen bigint, PRIMARY KEY (cycle_id, person_no))";
const INSERT: &str = "INSERT INTO yardstick SELECT * FROM deduction";
/// Plain: with values of its own, so that the other side pays for no join.
const UPDATE: &str = "UPDATE yardstick SET round = 1, batch_no = 1, outcome = 'deducted', taken_fen = fen, this_year_fen = fen, last_year_fen = 0, \
    earlier_fen = 0, balance_fen = 100000";

/// Seconds of the phases of a cycle.
struct Phases {
    plan: f64,
    run: f64,
    transfer: f64,
}

impl Phases {
    fn all(&self) -> f64 {
        self.plan + self.run + self.transfer
    }
}

pub async fn run(people: u64) -> Done {
    println!(
        "\ndeduct: a month's deductions of {people} people over mutual TLS, plan to last posting, against INSERT ... SELECT and UPDATE of the same rows"
    );
    let mut partners = None;
    let stand = Stand::with(|mut scene| {
        let server = scene.authority.server(&["localhost"])?;
        let tls = PartnerTls {
            certificate_pem: server.certificate_pem,
            key_pem: server.key_pem,
            client_ca_pem: scene.authority.certificate_pem(),
        };
        let public = PrivateKey::parse(&scene.sm2_key)?.public_hex();
        let core = SimulatedPartner::core(
            &tls,
            SimulationOptions {
                sm2_public_hex: Some(public),
                ..SimulationOptions::default()
            },
        )?;
        let ltc = SimulatedPartner::ltc(&tls, SimulationOptions::default())?;
        (scene.medical_core, scene.ltc_system) = (core.url().to_owned(), ltc.url().to_owned());
        partners = Some((core, ltc));
        Ok(scene
            .edit(
                "requests_per_second = 50  ",
                "requests_per_second = 1000000  ",
            )
            .edit(
                "requests_per_second = 50\nconcurrent",
                "requests_per_second = 1000000\nconcurrent",
            ))
    })?;
    let (core, _ltc) = partners.ok_or("the counterparts did not start")?;
    let month = Month::new(2021, 10).ok_or("a month of the range")?;
    let city = City::new(1, (people / PEOPLE_EACH).max(1));
    city.people(people).write_roster(
        month,
        &mut BufWriter::new(File::create(stand.file(ROSTER))?),
    )?;

    let gateway = stand.gateway()?;
    let before = (gateway.processor_seconds()?, stand.postgres_seconds()?);
    let seconds = load(&stand).await?;
    let used = (
        gateway.processor_seconds()? - before.0,
        stand.postgres_seconds()? - before.1,
    );
    println!(
        "  roster loaded in {seconds:.1} s ({:.1} + {:.1} processor seconds, the gateway's and PostgreSQL's; wanted: below 60)",
        used.0, used.1
    );
    stand.psql(&["VACUUM ANALYZE roster_entry", "CHECKPOINT"])?;

    let numbers = Arc::new(
        city.people(people)
            .step_by((people / 1_000).max(1) as usize)
            .map(|person| person.person_no)
            .collect::<Vec<_>>(),
    );
    let at_rest = Questions::begin(&stand, &numbers)?;
    tokio::time::sleep(AT_REST).await;
    let at_rest = at_rest.end()?;

    let before = (
        gateway.processor_seconds()?,
        stand.postgres_seconds()?,
        own_seconds()?,
    );
    let asking = Questions::begin(&stand, &numbers)?;
    let phases = cycle(&stand).await?;
    let meanwhile = asking.end()?;
    let used = (
        gateway.processor_seconds()? - before.0,
        stand.postgres_seconds()? - before.1,
        own_seconds()? - before.2,
    );
    let megabytes = gateway.peak_megabytes()?;
    agrees(&stand, &core)?;
    let Phases {
        plan,
        run,
        transfer,
    } = phases;
    let rate = people as f64 / phases.all();
    println!(
        "  cycle {:.1} s (plan {plan:.1}, run {run:.1}, transfer to the last posting {transfer:.1}): {rate:.0} people/s",
        phases.all()
    );
    println!(
        "  processor seconds: gateway {:.1}, PostgreSQL {:.1}, simulated core and commands {:.1}",
        used.0, used.1, used.2
    );
    for ((name, rest), (_, cycle)) in at_rest.iter().zip(&meanwhile) {
        let (count, of) = (rest.len(), cycle.len());
        println!(
            "  {name}: median {:.1}, p99 {:.1} ms at rest; median {:.1}, p99 {:.1} ms while the cycle ran ({count} and {of} questions)",
            at(rest, 50),
            at(rest, 99),
            at(cycle, 50),
            at(cycle, 99)
        );
    }
    drop(gateway);
    let (inserted, updated) = yardstick(&stand)?;
    println!(
        "  yardstick {:.1} s (INSERT {inserted:.1}, UPDATE {updated:.1})",
        inserted + updated
    );
    println!("  peak memory of the gateway: {megabytes:.0} MB (wanted: below {MEGABYTES_MAX:.0})");
    println!(
        "  RATIO deduct {:.2} (wanted: at most {RATIO_MAX:.1})",
        phases.all() / (inserted + updated)
    );
    Ok(())
}

/// Sends the roster; seconds from the first byte to the answer.
async fn load(stand: &Stand) -> Done<f64> {
    let mut connection = client::Connection::open(
        &client::identity(stand.pki(), "medical-core")?,
        stand.partner_port(),
    )
    .await?;
    let start = Instant::now();
    connection
        .send_lines(
            "/core/v1/roster?roster_no=BENCH1&kind=full&area=450100&month=202110",
            &stand.file(ROSTER),
        )
        .await?;
    let (status, answer) = connection.answer().await?;
    let text = String::from_utf8_lossy(answer);
    if status != 200 {
        return Err(format!(
            "the roster was answered with {status}: {}",
            text.chars().take(600).collect::<String>()
        )
        .into());
    }
    Ok(start.elapsed().as_secs_f64())
}

/// Plans in the gateway, approves and runs by command, and waits until the last posting is committed.
async fn cycle(stand: &Stand) -> Done<Phases> {
    let mut connection = client::Connection::open(
        &client::identity(stand.pki(), "medical-core")?,
        stand.partner_port(),
    )
    .await?;
    let body = r#"{"area":"450100","month":"2021-10"}"#;
    let start = Instant::now();
    let head = "POST /core/v1/deduction-cycles HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ";
    connection
        .send(format!("{head}{}\r\n\r\n{body}", body.len()).as_bytes())
        .await?;
    let (status, answer) = connection.answer().await?;
    let plan: serde_json::Value = serde_json::from_slice(answer)?;
    if status != 201 {
        return Err(format!("the plan was answered with {status}: {plan}").into());
    }
    let digest = plan["digest"].as_str().ok_or("a plan without digest")?;
    let planned = start.elapsed().as_secs_f64();
    command(stand, &["approve", "--by", "second", "--digest", digest])?;
    command(stand, &["run", "--by", "second", "--no-wait"])?;
    let ran = start.elapsed().as_secs_f64();
    let (database, connection) = stand.database().connect(tokio_postgres::NoTls).await?;
    let connection = tokio::spawn(connection);
    let mut look = tokio::time::interval(Duration::from_millis(100));
    loop {
        look.tick().await;
        let row = database.query_one("SELECT state, (SELECT count(*) FROM delivery WHERE state = 'dead') FROM deduction_cycle", &[]).await?;
        if row.get::<_, i64>(1) > 0 {
            return Err("a batch became a dead letter".into());
        }
        if row.get::<_, &str>(0) == "settled" {
            break;
        }
    }
    let all = start.elapsed().as_secs_f64();
    drop(database);
    connection.await??;
    Ok(Phases {
        plan: planned,
        run: ran - planned,
        transfer: all - ran,
    })
}

/// `ltcgw deduct` as an operator calls it.
fn command(stand: &Stand, arguments: &[&str]) -> Done {
    let output = Command::new(env!("CARGO_BIN_EXE_ltcgw"))
        .args([
            "deduct",
            arguments[0],
            "--area",
            "450100",
            "--month",
            "2021-10",
            "--config",
        ])
        .arg(stand.config_dir())
        .args(&arguments[1..])
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        return Err(format!(
            "ltcgw deduct {}: {}",
            arguments[0],
            String::from_utf8_lossy(&output.stderr)
        )
        .into());
    }
    Ok(())
}

/// The ledger has exactly what the core took, from exactly as many people, nobody twice.
fn agrees(stand: &Stand, core: &SimulatedPartner) -> Done {
    let took = core.deductions();
    let sql = "SELECT (SELECT coalesce(sum(fen), 0) FROM posting WHERE account = 'personal_account'), (SELECT count(*) FROM deduction_result WHERE outcome = 'deducted')";
    let ours = stand.psql(&[sql])?;
    let theirs = format!("{}|{}", took.fen.0, took.people);
    if ours.trim() != theirs || took.twice != 0 {
        return Err(format!(
            "ledger and core do not agree: {} here, {theirs} there, {} twice",
            ours.trim(),
            took.twice
        )
        .into());
    }
    Ok(())
}

/// Seconds of the two statements.
fn yardstick(stand: &Stand) -> Done<(f64, f64)> {
    stand.psql(&[
        YARDSTICK,
        "VACUUM ANALYZE deduction",
        "VACUUM ANALYZE deduction_result",
        "CHECKPOINT",
    ])?;
    let start = Instant::now();
    stand.psql(&[INSERT])?;
    let inserted = start.elapsed().as_secs_f64();
    stand.psql(&[UPDATE])?;
    Ok((inserted, start.elapsed().as_secs_f64() - inserted))
}

/// Processor seconds of this process and its children that have ended.
fn own_seconds() -> Done<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = fields[11..15]
        .iter()
        .map(|field| field.parse::<f64>())
        .sum::<Result<f64, _>>()?;
    Ok(ticks / 100.0)
}

type Asked = (&'static str, Vec<f64>);

/// Questions asked at a constant rate until they are ended, from a thread that does nothing else.
struct Questions {
    over: Arc<AtomicBool>,
    asking: Vec<std::thread::JoinHandle<Done<Asked>>>,
}

impl Questions {
    fn begin(stand: &Stand, numbers: &Arc<Vec<String>>) -> Done<Questions> {
        let over = Arc::new(AtomicBool::new(false));
        let kinds = [
            (
                "ltc-system",
                "standing",
                "/ltc/v1/persons/",
                "/standing?on=2021-11-15",
            ),
            (
                "medical-core",
                "contributions",
                "/core/v1/persons/",
                "/contributions?from=202107&to=202110",
            ),
        ];
        let mut asking = Vec::new();
        for (partner, name, before, after) in kinds {
            let (identity, port, over, numbers) = (
                client::identity(stand.pki(), partner)?,
                stand.partner_port(),
                over.clone(),
                numbers.clone(),
            );
            asking.push(std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?;
                let target = |number: &str| format!("{before}{number}{after}");
                Ok((
                    name,
                    runtime.block_on(ask(
                        client::Connection::open(&identity, port),
                        &numbers,
                        &target,
                        &over,
                    ))?,
                ))
            }));
        }
        Ok(Questions { over, asking })
    }

    fn end(self) -> Done<Vec<Asked>> {
        self.over.store(true, Ordering::Relaxed);
        self.asking
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .map_err(|_| "a thread that asks questions panicked")?
            })
            .collect()
    }
}

/// Milliseconds to each answer, from when it should have been asked: a slow one counts against those that wait behind it.
async fn ask(
    connection: impl Future<Output = Done<client::Connection>>,
    numbers: &[String],
    target: &impl Fn(&str) -> String,
    over: &AtomicBool,
) -> Done<Vec<f64>> {
    let mut connection = connection.await?;
    let mut milliseconds = Vec::new();
    let start = Instant::now();
    for (at, number) in (0_u32..).zip(numbers.iter().cycle()) {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let due = start + Duration::from_micros(1_000_000 / QUESTIONS_PER_SECOND) * at;
        tokio::time::sleep_until(due.into()).await;
        connection
            .send(format!("GET {} HTTP/1.1\r\nhost: localhost\r\n\r\n", target(number)).as_bytes())
            .await?;
        let (status, answer) = connection.answer().await?;
        if status != 200 {
            return Err(format!(
                "a question was answered with {status}: {}",
                String::from_utf8_lossy(answer)
            )
            .into());
        }
        milliseconds.push(due.elapsed().as_secs_f64() * 1e3);
    }
    Ok(milliseconds)
}

/// The value so many of a hundred lie below.
fn at(figures: &[f64], hundredth: usize) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
        .get((sorted.len() * hundredth / 100).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}
