//! Packets of one JFXX101 line over 16 kept-alive connections against `pgbench`, 16 clients, one
//! comparable row per transaction.
//!
//! The gateway writes the packet with its receipt, the line, an entry with its postings and two
//! deliveries; pgbench one row into a table like `employer_line` with the same indexes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ltcgw::model::Month;
use ltcgw::sandbox::city::{City, PacketKind};

use crate::stand::Stand;
use crate::{Done, Sizes, client, median, spread};

const CONNECTIONS: usize = 16;
/// Packets a second the generator prepares for; more than any machine of ours sends.
const PREPARED_PER_SECOND: u64 = 12_000;
const CASTS: &str = "INSERT INTO pgbench_line (packet_id, record_index, detail_key, revoke, detail_no, pooling_area, district, levy_no, receipt_no, insurance, \
    employer_no, contribution_month, payment_kind, headcount, wages_fen, employer_base_fen, employee_base_fen, employer_rate, employer_paid_fen, employee_rate, \
    employee_paid_fen, late_fee_fen, interest_fen, other_interest_fen, remitted_on, treasury_on, tax_office, transfer_batch, transferred_at, rate_id, medical_fen, \
    long_term_care_fen, underpaid, history_key, history_no) VALUES (:key, 1, lpad(to_hex(:key::bigint), 32, '0')::uuid, false, :key, 450100, 450103, :key, :key, 'employee_medical', \
    '91450100198212345K', 202110, 'normal', 20, 10000000, 10000000, 10000000, 69500, 695000, 20000, 200000, 0, 0, 0, '2021-10-12', '2021-10-13', '14501030000', \
    '20211028', '2021-10-28 20:00:00', '450100-nanning/2021-03', 880000, 15000, false, :key, 1);";

/// How pgbench may speak to PostgreSQL: as it does unless told otherwise, and with statements prepared once.
const PROTOCOLS: [&str; 2] = ["simple", "prepared"];

pub async fn run(stand: &Stand, sizes: &Sizes) -> Done {
    println!(
        "\nsmall: JFXX101 packets of one line, {CONNECTIONS} connections over mutual TLS, against pgbench -n -c {CONNECTIONS} -j 2 -M simple and -M prepared"
    );
    let packets = Arc::new(packets(PREPARED_PER_SECOND * sizes.seconds));
    let script = stand.file("insert.sql");
    std::fs::write(
        &script,
        format!("\\set n :n + 1\n\\set key :client_id * 1000000000000 + :n\n{CASTS}\n"),
    )?;
    let (mut ours, mut theirs) = (Vec::new(), [Vec::new(), Vec::new()]);
    for round in 0..=sizes.rounds {
        let gateway = stand.gateway()?;
        stand.empty()?;
        let before = (gateway.processor_seconds()?, stand.postgres_seconds()?);
        let rate = load(stand, &packets, sizes.seconds).await?;
        let each = 1e3 / (rate * sizes.seconds as f64);
        let used = (
            (gateway.processor_seconds()? - before.0) * each,
            (stand.postgres_seconds()? - before.1) * each,
        );
        let grouped = stand.psql(&["SELECT count(*), count(DISTINCT xmin::text) FROM packet"])?;
        drop(gateway);
        let mut transactions = [0.0; PROTOCOLS.len()];
        for (rate, protocol) in transactions.iter_mut().zip(PROTOCOLS) {
            *rate = yardstick(stand, &script, sizes.seconds, protocol)?;
        }
        let kind = if round == 0 {
            "warm-up".to_string()
        } else {
            format!("round {round}")
        };
        println!(
            "  {kind}: gateway {rate:.0}/s ({:.2} + {:.2} ms of processor a packet, its own and PostgreSQL's; packets and commits {}), pgbench {:.0}/s and {:.0}/s",
            used.0,
            used.1,
            grouped.trim(),
            transactions[0],
            transactions[1]
        );
        if round > 0 {
            ours.push(rate);
            for (all, rate) in theirs.iter_mut().zip(transactions) {
                all.push(rate);
            }
        }
    }
    println!(
        "  gateway {:.0} packets/s ({})",
        median(&ours),
        spread(&ours)
    );
    for (theirs, protocol) in theirs.iter().zip(PROTOCOLS) {
        let ratio = median(
            &ours
                .iter()
                .zip(theirs)
                .map(|(ours, theirs)| ours / theirs)
                .collect::<Vec<_>>(),
        );
        println!(
            "  RATIO small {ratio:.2} of pgbench -M {protocol}: {:.0} transactions/s ({}) (wanted: at least 0.50)",
            median(theirs),
            spread(theirs)
        );
    }
    Ok(())
}

/// Transactions a second of pgbench, each a row into an empty table like `employer_line`.
fn yardstick(stand: &Stand, script: &std::path::Path, seconds: u64, protocol: &str) -> Done<f64> {
    stand.psql(&[
        "DROP TABLE IF EXISTS pgbench_line",
        "CREATE TABLE pgbench_line (LIKE employer_line INCLUDING ALL)",
    ])?;
    stand.empty()?;
    let (seconds, script) = (seconds.to_string(), script.display().to_string());
    let report = stand.pgbench(&[
        "-n", "-M", protocol, "-c", "16", "-j", "2", "-T", &seconds, "-D", "n=0", "-f", &script,
    ])?;
    tps(&report)
}

/// Whole requests, ready to be written.
fn packets(count: u64) -> Vec<Vec<u8>> {
    let month = Month::new(2021, 10).expect("a month of the range");
    let ordinary = City::new(1, count)
        .without_faults()
        .month_packets(month, 1)
        .take_while(|packet| packet.kind == PacketKind::Ordinary);
    ordinary
        .map(|packet| {
            [
                client::head(packet.bytes.len() as u64).into_bytes(),
                packet.bytes,
            ]
            .concat()
        })
        .collect()
}

/// Sends packets over all connections for so long; packets answered per second.
async fn load(stand: &Stand, packets: &Arc<Vec<Vec<u8>>>, seconds: u64) -> Done<f64> {
    let identity = client::identity(stand.pki(), "nanning-tax")?;
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(client::Connection::open(&identity, stand.partner_port()).await?);
    }
    let next = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let until = start + Duration::from_secs(seconds);
    let tasks: Vec<_> = connections
        .into_iter()
        .map(|connection| tokio::spawn(send(connection, packets.clone(), next.clone(), until)))
        .collect();
    let mut answered = 0;
    for task in tasks {
        answered += task.await??;
    }
    let elapsed = start.elapsed().as_secs_f64();
    let stored = stand.psql(&["SELECT count(*) FROM employer_line"])?;
    if stored.trim() != answered.to_string() {
        return Err(format!(
            "{answered} packets answered, {} lines stored",
            stored.trim()
        )
        .into());
    }
    Ok(f64::from(answered) / elapsed)
}

async fn send(
    mut connection: client::Connection,
    packets: Arc<Vec<Vec<u8>>>,
    next: Arc<AtomicUsize>,
    until: Instant,
) -> Done<u32> {
    let mut answered = 0;
    while Instant::now() < until {
        let packet = packets
            .get(next.fetch_add(1, Ordering::Relaxed))
            .ok_or("no more packets were prepared")?;
        connection.send(packet).await?;
        let (status, receipt) = connection.answer().await?;
        if status != 200 {
            return Err(format!(
                "a packet was answered with {status}: {}",
                String::from_utf8_lossy(receipt)
            )
            .into());
        }
        answered += 1;
    }
    Ok(answered)
}

fn tps(report: &str) -> Done<f64> {
    let line = report
        .lines()
        .find_map(|line| line.strip_prefix("tps = "))
        .ok_or("pgbench printed no tps")?;
    Ok(line.split_whitespace().next().unwrap_or_default().parse()?)
}
