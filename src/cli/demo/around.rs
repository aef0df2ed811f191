//! How to look around while the demo stays up: commands that work when pasted.

use super::deductions::AREA;
use super::place::DemoFolder;
use super::theatre::{TAX_BUREAU, Theatre};
use crate::error::Fault;
use crate::model::Month;

/// Prints the commands; they need nothing but what the demo built.
pub(super) async fn print(
    theatre: &Theatre,
    place: &DemoFolder,
    month: Month,
) -> Result<(), Fault> {
    let running = theatre.running()?;
    let stage = theatre.stage()?;
    let (operator, url) = (running.server.operator, theatre.packets_url()?);
    let pki = stage.pki.display();
    let config = stage.config_dir.display();
    let program = std::env::current_exe()
        .map_or_else(|_| "ltcgw".to_string(), |path| path.display().to_string());
    let socket = theatre.embedded()?.socket_dir().display();
    let packet = place.packet();
    let packet = packet.display();
    println!("\n  Still running. Look around from another terminal:\n");
    println!(
        "  alive, and what is counted (operator listener)\n    curl -sS http://{operator}/healthz\n    curl -sS http://{operator}/metrics\n"
    );
    println!("  send a packet again as the tax bureau: the same receipt, nothing posted twice");
    println!("    D={pki}");
    println!(
        "    curl -sS --cacert $D/ca.pem --cert $D/inbound/{TAX_BUREAU}.pem --key $D/inbound/{TAX_BUREAU}.key \\"
    );
    println!(
        "      -H 'Content-Type: application/xml' --data-binary @{packet} \\\n      {url} | iconv -f GBK -t UTF-8\n"
    );
    if let Some(receipt_no) = traceable(theatre, place).await? {
        println!(
            "  where the money of one receipt (电子税票) went\n    {program} trace {receipt_no} \\\n      --config {config}\n"
        );
    }
    println!(
        "  the month's deductions (个人账户代扣): as they are, as a workbook; the next month, planned"
    );
    println!(
        "    {program} deduct status --area {AREA:06} --month {month} \\\n      --config {config}"
    );
    println!(
        "    {program} deduct report --area {AREA:06} --month {month} --out deductions.xlsx \\\n      --config {config}"
    );
    if Month::of(running.gateway.registrar.clock.today()).is_some_and(|now| month < now) {
        println!(
            "    {program} deduct plan --area {AREA:06} --month {} --by NAME \\\n      --config {config}",
            month.next()
        );
    }
    println!();
    println!(
        "  deliveries that need a person\n    {program} dead list \\\n      --config {config}\n"
    );
    println!(
        "  everything checked that can be checked\n    {program} doctor \\\n      --config {config}\n"
    );
    println!("  the database itself\n    psql -h {socket} -U postgres ltcgw\n");
    println!("  Ctrl-C stops everything.");
    Ok(())
}

/// A receipt number of the kept packet whose line was posted.
async fn traceable(theatre: &Theatre, place: &DemoFolder) -> Result<Option<String>, Fault> {
    let store = &theatre.running()?.gateway.store;
    for number in place.receipt_nos() {
        if !store.trace_lines(&number).await?.is_empty() {
            return Ok(Some(number));
        }
    }
    Ok(None)
}
