//! One large packet over mutual TLS against `psql \copy` of the rows it leaves: `large` sends JFXX102 lines,
//! which are stored only, `bulk` JFXX101 lines, which are apportioned and posted.
//!
//! From the first byte sent to the receipt: TLS, GBK, XML, checks, keys, COPY, commit. The other
//! side only parses text and commits; same tables, same indexes, same server.

use std::fs::File;
use std::io::Read;
use std::time::Instant;

use ltcgw::sandbox::city::{EmployeePacket, EmployerPacket};

use crate::stand::Stand;
use crate::{Done, Sizes, client, median, spread};

/// A kind of large packet.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    name: &'static str,
    /// As the tax bureau calls it.
    packet_type: &'static str,
    /// Where its lines go, and whatever else it leaves many rows in.
    tables: &'static [&'static str],
}

pub const LARGE: Load = Load {
    name: "large",
    packet_type: "JFXX102",
    tables: &["employee_line"],
};
/// Every line is another employer's.
pub const BULK: Load = Load {
    name: "bulk",
    packet_type: "JFXX101",
    tables: &["employer_line", "posting", "delivery"],
};

pub async fn run(stand: &Stand, sizes: &Sizes, load: Load) -> Done {
    println!(
        "\n{}: one {} packet over mutual TLS, from the first byte to the receipt, against psql \\copy",
        load.name, load.packet_type
    );
    let peaks = [100_000, sizes.lines].map(async |lines| load.peak(stand, lines).await);
    let mut megabytes = Vec::new();
    for peak in peaks {
        megabytes.push(peak.await?);
    }
    load.export(stand)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=sizes.rounds {
        stand.empty()?;
        let gateway = stand.gateway()?;
        let before = gateway.processor_seconds()?;
        let seconds = load.send(stand, sizes.lines).await?;
        let used = gateway.processor_seconds()? - before;
        drop(gateway);
        stand.empty()?;
        let copied = load.copy(stand)?;
        ours.push(sizes.lines as f64 / seconds);
        theirs.push(sizes.lines as f64 / copied);
        println!(
            "  round {round}: gateway {seconds:.1} s ({used:.1} processor seconds of its own), \\copy {copied:.1} s, ratio {:.2}",
            copied / seconds
        );
    }
    let ratio = median(
        &ours
            .iter()
            .zip(&theirs)
            .map(|(ours, theirs)| ours / theirs)
            .collect::<Vec<_>>(),
    );
    println!(
        "  gateway {:.0} lines/s ({}), \\copy {:.0} rows/s ({})",
        median(&ours),
        spread(&ours),
        median(&theirs),
        spread(&theirs)
    );
    println!(
        "  peak memory of the gateway: {:.0} MB for 100,000 lines, {:.0} MB for {} lines (wanted: below 200)",
        megabytes[0], megabytes[1], sizes.lines
    );
    println!("  RATIO {} {ratio:.2} (wanted: at least 0.80)", load.name);
    Ok(())
}

impl Load {
    fn packet(&self, lines: u64) -> String {
        format!("{}-{lines}.xml", self.name)
    }

    /// Makes the packet, sends it to a fresh gateway and says how much memory that took.
    async fn peak(&self, stand: &Stand, lines: u64) -> Done<f64> {
        let path = stand.file(&self.packet(lines));
        let (mut file, number) = (File::create(&path)?, format!("BENCH{lines}"));
        match self.packet_type {
            "JFXX101" => EmployerPacket::new(number, lines, 7).write_to(&mut file)?,
            _ => EmployeePacket::new(number, lines, 7)
                .write_to(&mut file)
                .map(drop)?,
        }
        println!(
            "  packet of {lines} lines: {:.0} MB",
            file.metadata()?.len() as f64 / 1e6
        );
        let gateway = stand.gateway()?;
        stand.empty()?;
        self.send(stand, lines).await?;
        gateway.peak_megabytes()
    }

    /// Sends the packet; seconds from the first byte to the receipt.
    async fn send(&self, stand: &Stand, lines: u64) -> Done<f64> {
        let mut file = File::open(stand.file(&self.packet(lines)))?;
        let length = file.metadata()?.len();
        let mut connection = client::Connection::open(
            &client::identity(stand.pki(), "nanning-tax")?,
            stand.partner_port(),
        )
        .await?;
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
            return Err(format!(
                "the packet was answered with {status}: {}",
                &text[..text.len().min(600)]
            )
            .into());
        }
        let stored = stand.psql(&[&format!("SELECT count(*) FROM {}", self.tables[0])])?;
        if stored.trim() != lines.to_string() {
            return Err(format!(
                "{lines} lines sent, {} stored; receipt: {}",
                stored.trim(),
                &text[..text.len().min(600)]
            )
            .into());
        }
        if std::env::var_os("LTCGW_BENCH_VERBOSE").is_some() {
            println!("    sent after {sent:.1} s, answered after {seconds:.1} s");
        }
        Ok(seconds)
    }

    /// The rows the gateway stored, in the order it wrote them, as files for `\copy`.
    fn export(&self, stand: &Stand) -> Done {
        for table in self.tables {
            let order = match *table {
                "posting" => "entry_id, district, contribution_month, fund, account",
                "delivery" => "delivery_id",
                _ => "packet_id, record_index",
            };
            stand.psql(&[&format!(
                "\\copy (SELECT * FROM {table} ORDER BY {order}) TO '{}'",
                Load::rows(stand, table)
            )])?;
        }
        Ok(())
    }

    /// Seconds `\copy` takes for the same rows.
    fn copy(&self, stand: &Stand) -> Done<f64> {
        let statements: Vec<String> = self
            .tables
            .iter()
            .map(|table| format!("\\copy {table} FROM '{}'", Load::rows(stand, table)))
            .collect();
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        let start = Instant::now();
        stand.psql(&statements)?;
        Ok(start.elapsed().as_secs_f64())
    }

    fn rows(stand: &Stand, table: &str) -> String {
        stand.file(&format!("{table}.copy")).display().to_string()
    }
}
