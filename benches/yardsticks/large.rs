//! One packet of JFXX102 lines over mutual TLS against `psql \copy` of the same rows.
//!
//! From the first byte sent to the receipt: TLS, GBK, XML, checks, keys, COPY, commit. The other
//! side only parses text and commits; same table, same indexes, same server.

use std::fs::File;
use std::io::Read;
use std::time::Instant;

use ltcgw::sandbox::city::EmployeePacket;

use crate::stand::Stand;
use crate::{Done, Sizes, client, median, spread};

const COLUMNS_FILE: &str = "employee_line.copy";

pub async fn run(stand: &Stand, sizes: &Sizes) -> Done {
    println!("\nlarge: one JFXX102 packet over mutual TLS, from the first byte to the receipt, against psql \\copy");
    let peaks = [100_000, sizes.lines].map(async |lines| peak(stand, lines).await);
    let mut megabytes = Vec::new();
    for peak in peaks {
        megabytes.push(peak.await?);
    }
    export(stand)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=sizes.rounds {
        stand.empty()?;
        let gateway = stand.gateway()?;
        let before = gateway.processor_seconds()?;
        let seconds = send(stand, sizes.lines).await?;
        let used = gateway.processor_seconds()? - before;
        drop(gateway);
        stand.empty()?;
        let copied = copy(stand)?;
        ours.push(sizes.lines as f64 / seconds);
        theirs.push(sizes.lines as f64 / copied);
        println!("  round {round}: gateway {seconds:.1} s ({used:.1} processor seconds of its own), \\copy {copied:.1} s, ratio {:.2}", copied / seconds);
    }
    let ratio = median(&ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect::<Vec<_>>());
    println!("  gateway {:.0} lines/s ({}), \\copy {:.0} rows/s ({})", median(&ours), spread(&ours), median(&theirs), spread(&theirs));
    println!("  peak memory of the gateway: {:.0} MB for 100,000 lines, {:.0} MB for {} lines (wanted: below 200)", megabytes[0], megabytes[1], sizes.lines);
    println!("  RATIO large {ratio:.2} (wanted: at least 0.80)");
    Ok(())
}

fn name(lines: u64) -> String {
    format!("packet-{lines}.xml")
}

/// Makes the packet, sends it to a fresh gateway and says how much memory that took.
async fn peak(stand: &Stand, lines: u64) -> Done<f64> {
    let path = stand.file(&name(lines));
    let totals = EmployeePacket::new(format!("BENCH{lines}"), lines, 7).write_to(&mut File::create(&path)?)?;
    println!("  packet of {lines} lines: {:.0} MB", totals.bytes as f64 / 1e6);
    let gateway = stand.gateway()?;
    stand.empty()?;
    send(stand, lines).await?;
    gateway.peak_megabytes()
}

/// Sends the packet; seconds from the first byte to the receipt.
async fn send(stand: &Stand, lines: u64) -> Done<f64> {
    let mut file = File::open(stand.file(&name(lines)))?;
    let length = file.metadata()?.len();
    let mut connection = client::Connection::open(&client::identity(stand.pki(), "nanning-tax")?, stand.partner_port()).await?;
    let mut chunk = vec![0; 256 * 1024];
    let start = Instant::now();
    connection.send(client::head(length).as_bytes()).await?;
    loop {
        let count = file.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        connection.send(&chunk[..count]).await?;
    }
    let sent = start.elapsed().as_secs_f64();
    let (status, receipt) = connection.answer().await?;
    let seconds = start.elapsed().as_secs_f64();
    let text = String::from_utf8_lossy(receipt).into_owned();
    if status != 200 {
        return Err(format!("the packet was answered with {status}: {}", &text[..text.len().min(600)]).into());
    }
    let stored = stand.psql(&["SELECT count(*) FROM employee_line"])?;
    if stored.trim() != lines.to_string() {
        return Err(format!("{lines} lines sent, {} stored; receipt: {}", stored.trim(), &text[..text.len().min(600)]).into());
    }
    if std::env::var_os("LTCGW_BENCH_VERBOSE").is_some() {
        println!("    sent after {sent:.1} s, answered after {seconds:.1} s");
    }
    Ok(seconds)
}

/// The rows the gateway stored, as a file for `\copy`.
fn export(stand: &Stand) -> Done {
    let path = stand.file(COLUMNS_FILE);
    stand.psql(&[&format!("\\copy (SELECT * FROM employee_line ORDER BY packet_id, record_index) TO '{}'", path.display())]).map(drop)
}

/// Seconds `\copy` takes for the same rows.
fn copy(stand: &Stand) -> Done<f64> {
    let statement = format!("\\copy employee_line FROM '{}'", stand.file(COLUMNS_FILE).display());
    let start = Instant::now();
    stand.psql(&[&statement])?;
    Ok(start.elapsed().as_secs_f64())
}
