//! A province's registries in one request of NDJSON over mutual TLS against `psql \copy` of the rows it leaves.
//!
//! From the first byte sent to the last answer line: TLS, JSON, rules, sealing with AES-GCM, keyed
//! digests and indexes, change log, entries, deliveries queued for two platforms, commits. The
//! other side only parses text and commits; same tables, same indexes, same server.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Instant;

use ltcgw::flow::clock::CityClock;
use ltcgw::sandbox::registries::Registries;

use crate::stand::Stand;
use crate::{Done, client, median, spread};

/// Institutions for every thirty caregivers, as in a province.
const CAREGIVERS_EACH: u64 = 30;
const TABLES: [&str; 3] = ["registry_change", "registry_entity", "delivery"];
/// What is wanted: a province in a minute.
const SECONDS_MAX: f64 = 60.0;

pub async fn run(stand: &Stand, (institutions, rounds): (u64, usize)) -> Done {
    let caregivers = institutions * CAREGIVERS_EACH;
    println!(
        "\nregistry: {institutions} institutions and {caregivers} caregivers in one request of NDJSON over mutual TLS, against psql \\copy of the rows it leaves"
    );
    // Makes the tables. They are emptied while no dispatcher looks at them.
    drop(stand.gateway()?);
    let mut peaks = Vec::new();
    for institutions in [institutions / 10, institutions] {
        write(stand, institutions)?;
        stand.empty()?;
        let gateway = stand.gateway()?;
        load(stand, institutions).await?;
        peaks.push(gateway.peak_megabytes()?);
    }
    let rows = stand.psql(&["SELECT (SELECT count(*) FROM registry_change), (SELECT count(*) FROM registry_entity), (SELECT count(*) FROM delivery)"])?;
    for table in TABLES {
        let path = stand.file(&format!("{table}.copy"));
        stand.psql(&[&format!("\\copy {table} TO '{}'", path.display())])?;
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        stand.empty()?;
        let gateway = stand.gateway()?;
        let before = gateway.processor_seconds()?;
        let seconds = load(stand, institutions).await?;
        let used = gateway.processor_seconds()? - before;
        drop(gateway);
        stand.empty()?;
        let copied = copy(stand)?;
        println!(
            "  round {round}: gateway {seconds:.1} s ({used:.1} processor seconds of its own), \\copy {copied:.1} s, ratio {:.2}",
            copied / seconds
        );
        ours.push(seconds);
        theirs.push(copied);
    }
    let ratio = median(
        &ours
            .iter()
            .zip(&theirs)
            .map(|(ours, theirs)| theirs / ours)
            .collect::<Vec<_>>(),
    );
    println!(
        "  rows of change log, entries and deliveries: {}",
        rows.trim()
    );
    println!(
        "  gateway {:.1} s ({} s), \\copy {:.1} s ({} s)",
        median(&ours),
        spread(&ours),
        median(&theirs),
        spread(&theirs)
    );
    println!(
        "  peak memory of the gateway: {:.0} MB for a tenth, {:.0} MB for all (wanted: the same)",
        peaks[0], peaks[1]
    );
    println!(
        "  SECONDS registry {:.1} (wanted: at most {SECONDS_MAX:.0})   RATIO registry {ratio:.2}",
        median(&ours)
    );
    Ok(())
}

fn name(institutions: u64) -> String {
    format!("registry-{institutions}.ndjson")
}

/// Writes the load as a file.
fn write(stand: &Stand, institutions: u64) -> Done {
    let city = Registries::of_size(
        1,
        CityClock::default().today(),
        (institutions, institutions * CAREGIVERS_EACH),
    );
    let mut file = BufWriter::new(File::create(stand.file(&name(institutions)))?);
    for submission in city.submissions() {
        serde_json::to_writer(&mut file, &submission)?;
        file.write_all(b"\n")?;
    }
    Ok(file.flush()?)
}

/// Sends the load and reads every answer; seconds from the first byte to the last.
async fn load(stand: &Stand, institutions: u64) -> Done<f64> {
    let mut connection = client::Connection::open(
        &client::identity(stand.pki(), "ltc-system")?,
        stand.partner_port(),
    )
    .await?;
    let start = Instant::now();
    connection
        .send_lines("/ltc/v1/registry", &stand.file(&name(institutions)))
        .await?;
    let (status, summary) = connection.streamed().await?;
    let seconds = start.elapsed().as_secs_f64();
    let wanted = institutions * (1 + CAREGIVERS_EACH);
    if status != 200 || !summary.contains(&format!("\"stored\":{wanted},")) {
        return Err(format!("{wanted} lines were answered with {status}: {summary}").into());
    }
    Ok(seconds)
}

/// Seconds `\copy` takes for the same rows into the same tables.
fn copy(stand: &Stand) -> Done<f64> {
    let statements: Vec<String> = TABLES
        .iter()
        .map(|table| {
            format!(
                "\\copy {table} FROM '{}'",
                stand.file(&format!("{table}.copy")).display()
            )
        })
        .collect();
    let start = Instant::now();
    stand.psql(&statements.iter().map(String::as_str).collect::<Vec<_>>())?;
    Ok(start.elapsed().as_secs_f64())
}
