//! `ltcgw demo`: the main job on a generated city, shown to a person.
//!
//! Builds everything a real installation has (PostgreSQL, certificates, gateway, counterparts),
//! pushes a month of packets through it and compares the sums of all who hold money; beside that
//! it loads and changes the registries and compares what all hold of them, and afterwards deducts a
//! month from personal accounts and compares who has which money. It drives and shows; what is shown is computed by the gateway and its counterparts, each for itself.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::serve::stop_signal;
use super::table::{paragraph, thousands};
use super::{Done, Failure};
use crate::error::{Fault, Stage};
use crate::flow::clock::CityClock;
use crate::model::Month;
use crate::sandbox::city::{
    City, EmployeePacket, ExpectedReceipt, GeneratedPacket, PacketCharset, PacketKind,
};
use crate::sandbox::tax_bureau::{BureauBooks, TaxBureau};
use crate::telemetry;

mod around; // how to look around afterwards
mod deduction_table; // what came of the month's deductions
mod deductions; // roster, plan, approval, run, and who has which money
mod figures; // the sums, and whether they agree
mod paint; // bold and colour
mod place; // where the demo is built
mod progress; // bars, or lines where there is no terminal
mod registries; // institutions and caregivers: loaded, changed, pushed, pulled
mod registry_table; // what each holds of them
mod tables; // figures for people
mod theatre; // everything that runs
mod watch; // waits for deliveries

use figures::DemoFigures;
use place::DemoFolder;
use progress::DemoProgress;
use theatre::Theatre;

/// Keep-alive connections of the tax bureau.
const CONNECTIONS: usize = 8;
/// Employees whose detail lines are sent in one JFXX102 packet.
const EMPLOYEE_LINES: u64 = 4_000;
/// The gateway takes months from 2010 on; back payments of the demo go three months back.
const FIRST_MONTH: i32 = 201_004;
/// The last day of a month on which its generated payments reach the treasury.
const LAST_DAY: i8 = 26;
/// Said before it happens, so that nobody takes it for a fault of the gateway.
const ON_PURPOSE: &str = "On purpose, to show what becomes of it: the tax bureau sends some lines and packets that are wrong, or come twice; the \
    medical core, the LTC system, civil affairs and the health commission each take something and break off their answer, or ask to wait. The \
    warnings (WARN) below come from that, and in the end all must agree to the fen.";

/// What to show.
#[derive(Debug, clap::Args)]
pub struct DemoOptions {
    /// Employers of the city; Nanning has some 60,000.
    #[arg(long, value_name = "N", default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(1..=5_000_000))]
    employers: u64,
    /// Two runs of the same seed and size send the same bytes.
    #[arg(long, default_value_t = 450_100)]
    seed: u64,
    /// Contribution month.
    #[arg(long, value_name = "YYYY-MM", default_value = "2021-10", value_parser = month)]
    month: Month,
    /// Insured people from whose personal accounts a month is deducted; Nanning has 1,540,600.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=5_000_000))]
    people: u64,
    /// Lines of an ordinary packet.
    #[arg(long, value_name = "N", default_value_t = 240, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    lines_per_packet: u32,
    /// End after the tables instead of staying up.
    #[arg(long)]
    exit: bool,
    /// Write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Keep configuration, certificates and database in this folder; a temporary one is removed at the end.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Folder with the project's config/ and adapters/.
    #[arg(long, value_name = "DIR")]
    project: Option<PathBuf>,
}

/// Seconds each part took.
#[derive(Debug, Clone, Default)]
struct Seconds(Vec<(&'static str, f64)>);

impl Seconds {
    fn since(&mut self, what: &'static str, start: Instant) -> Duration {
        let took = start.elapsed();
        self.0.push((what, took.as_secs_f64()));
        took
    }
}

/// What was pushed, and what became of it.
struct Pushed {
    /// The month's JFXX101 packets.
    month: BureauBooks,
    /// The JFXX102 packet.
    detail: BureauBooks,
    deliveries: watch::Deliveries,
    registries: registries::PlayedRegistries,
    deductions: deductions::ShownDeductions,
}

/// How the play ended when nothing failed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Agreed,
    Disagreed,
    Interrupted,
}

pub(super) async fn run(options: &DemoOptions) -> Done {
    // actix-http reports as errors the answers that the simulated partners break off on purpose.
    telemetry::start_logging(false, "warn,actix_http=off");
    let project = place::project(options.project.as_deref())?;
    if let Some(path) = &options.report {
        // Not only after minutes.
        std::fs::File::options()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|error| report_fault(path, &error))?;
    }
    let place = DemoFolder::new(options.data_dir.as_deref())?;
    for (left, what) in place::sweep(&std::env::temp_dir()) {
        println!(
            "{}",
            paragraph(&format!(
                "{}: left by a demo that was killed; {what}",
                left.display()
            ))
            .trim_end()
        );
    }
    let mut theatre = Theatre::default();
    let played = tokio::select! {
        biased; // so that Ctrl-C is heard from the beginning
        () = stop_signal() => Ok(End::Interrupted),
        done = play(options, &project, &place, &mut theatre) => done,
    };
    let ended = match played {
        Ok(end @ (End::Agreed | End::Disagreed)) if !options.exit => {
            stay(options, &theatre, &place).await.map(|()| end)
        }
        ended => ended,
    };
    println!();
    let closing = progress::doing("stopping: finishing what is under way, then PostgreSQL");
    theatre.close().await;
    drop(closing);
    match &options.data_dir {
        Some(dir) => println!("  stopped; everything is kept in {}", dir.display()),
        None => println!("  stopped; {} is removed", place.dir().display()),
    }
    match ended? {
        End::Agreed => Ok(()),
        End::Disagreed => said("the figures do not agree, see above"),
        End::Interrupted => said("the demo was interrupted before its end"),
    }
}

fn said(problem: &str) -> Done {
    eprintln!("ltcgw: {problem}");
    Err(Failure::Said)
}

/// Says how to look around and stays until Ctrl-C.
async fn stay(options: &DemoOptions, theatre: &Theatre, place: &DemoFolder) -> Done {
    let month = deductions::month(theatre, options.month)?;
    around::print(theatre, place, month).await?;
    stop_signal().await;
    Ok(())
}

/// Builds, pushes, waits and shows the figures.
async fn play(
    options: &DemoOptions,
    project: &Path,
    place: &DemoFolder,
    theatre: &mut Theatre,
) -> Result<End, Failure> {
    let mut seconds = Seconds::default();
    let start = Instant::now();
    println!(
        "\n  {} · a month of a city like Nanning (南宁)",
        paint::bold("ltcgw demo")
    );
    let city = (options.employers.cast_signed(), options.seed, options.month);
    let people = thousands(options.people.cast_signed());
    let what = format!(
        "{} employers in 12 districts, {people} insured people · seed {} · contribution month {}",
        thousands(city.0),
        city.1,
        city.2
    );
    println!("{}\n{}", paragraph(&what), paragraph(ON_PURPOSE));
    theatre.build(project, place, &mut seconds).await?;
    let city = City::new(options.seed, options.employers);
    let pushed = push(options, &city, (place, theatre), &mut seconds).await?;
    seconds.since("total", start);
    let figures = DemoFigures::gather(theatre, pushed, seconds).await?;
    print!(
        "{}{}{}",
        tables::render(&figures),
        registry_table::render(&figures.registries),
        deduction_table::render(&figures.deductions)
    );
    if let Some(path) = &options.report {
        let text = format!("{:#}\n", figures.report());
        std::fs::write(path, text).map_err(|error| report_fault(path, &error))?;
    }
    Ok(if figures.agrees() {
        End::Agreed
    } else {
        End::Disagreed
    })
}

fn report_fault(path: &Path, error: &std::io::Error) -> Fault {
    Fault::operator(
        Stage::Config,
        format!("--report {} cannot be written: {error}", path.display()),
    )
}

/// Pushes the month, the employees' detail and the registries, waits until everything is delivered, then deducts a month.
async fn push(
    options: &DemoOptions,
    city: &City,
    (place, theatre): (&DemoFolder, &Theatre),
    seconds: &mut Seconds,
) -> Result<Pushed, Failure> {
    let running = theatre.running()?;
    let packets = city.month_packets(options.month, options.lines_per_packet as usize);
    let detail = employee_packet(options)?;
    let progress = DemoProgress::start(packets.count_all() + 1, theatre.destinations());
    let client = theatre.stage()?.client(theatre::TAX_BUREAU)?;
    let bureau = TaxBureau::new(client, theatre.packets_url()?, CONNECTIONS);
    let pushing = std::cell::Cell::new(true);
    let start = Instant::now();
    let send = async {
        let mut first = true;
        let keep = packets.inspect(|packet| {
            if std::mem::take(&mut first) {
                place.keep_packet(packet);
            }
        });
        let month = bureau
            .push(keep, |books| progress.packets(books.packets, &books.lines))
            .await?;
        let detail = bureau
            .push([detail], |_| {
                progress.packets(month.packets + 1, &month.lines)
            })
            .await?;
        Ok::<_, Fault>((month, detail, start.elapsed()))
    };
    let both = async {
        let both = tokio::try_join!(send, registries::play(theatre, options.seed))?;
        pushing.set(false);
        Ok(both)
    };
    let (((month, detail, took), registries), deliveries) =
        tokio::try_join!(both, watch::deliveries(running, &progress, &pushing))?;
    progress.finish();
    seconds.0.push(("push", took.as_secs_f64()));
    let settled = seconds.since("deliver", start);
    let megabytes = (month.bytes + detail.bytes) as f64 / 1e6;
    progress::step(
        &format!(
            "{} packets pushed, {megabytes:.0} MB of GBK over mutual TLS, {CONNECTIONS} connections",
            month.packets + 1
        ),
        took,
    );
    registries.tell();
    progress::step("every delivery settled (since the first packet)", settled);
    let start = Instant::now();
    let deductions = deductions::play(
        theatre,
        city,
        (options.people, deductions::month(theatre, options.month)?),
    )
    .await?;
    seconds.since("deductions", start);
    Ok(Pushed {
        month,
        detail,
        deliveries,
        registries,
        deductions,
    })
}

/// JFXX102: detail lines of the first employers' payments.
fn employee_packet(options: &DemoOptions) -> Result<GeneratedPacket, Fault> {
    let number = format!("1450100000{}28E0000001", options.month.number());
    let mut packet = EmployeePacket::new(
        number,
        EMPLOYEE_LINES.min(options.employers * 20),
        options.seed,
    );
    packet.month = options.month;
    let mut bytes = Vec::new();
    packet.write_to(&mut bytes).map_err(|error| {
        Fault::operator(
            Stage::Send,
            format!("the employees' packet cannot be written: {error}"),
        )
    })?;
    let expected = ExpectedReceipt {
        status: 200,
        received: packet.lines,
        posted: packet.lines,
        refused: 0,
        duplicate: 0,
    };
    let kind = PacketKind::Ordinary;
    Ok(GeneratedPacket {
        packet_no: packet.packet_no,
        kind,
        charset: PacketCharset::Gbk,
        bytes,
        expected,
        net: crate::model::Fen::ZERO,
        waits: false,
    })
}

fn month(text: &str) -> Result<Month, String> {
    let month = Month::parse_dashed(text)
        .ok_or_else(|| format!("`{text}` is no month; expected one such as 2021-10"))?;
    playable(month, CityClock::default().today())
}

/// The month, where the demo can play it on that day: payments may not reach the treasury on a day to come.
fn playable(month: Month, today: jiff::civil::Date) -> Result<Month, String> {
    let last = today
        .checked_sub(jiff::Span::new().days(LAST_DAY - 1))
        .ok()
        .and_then(Month::of);
    match last {
        Some(last) if month.number() >= FIRST_MONTH && month <= last => Ok(month),
        last => {
            let last = last.map_or_else(String::new, |last| format!(" to {last}"));
            Err(format!(
                "the demo cannot play {month}; it can play 2010-04{last}, the last month whose payments have all reached the treasury"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_played_once_its_last_payment_can_have_reached_the_treasury() {
        let day = |day| jiff::civil::date(2026, 11, day);
        let month = |text| Month::parse_dashed(text).expect("a month");
        assert!(
            playable(month("2010-04"), day(1)).is_ok()
                && playable(month("2026-10"), day(1)).is_ok()
                && playable(month("2026-11"), day(26)).is_ok()
        );
        for (wanted, today) in [
            ("2010-03", 27),
            ("2026-11", 25),
            ("2026-12", 30),
            ("2031-01", 27),
        ] {
            let text = playable(month(wanted), day(today)).expect_err(wanted);
            let last = if today < 26 { "2026-10" } else { "2026-11" };
            assert!(
                text.contains(&format!("cannot play {wanted}"))
                    && text.contains(&format!("2010-04 to {last}")),
                "{text}"
            );
        }
    }
}
