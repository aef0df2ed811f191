//! The yardsticks: how fast the gateway is beside PostgreSQL's own tools, as ratios from one run.
//!
//! `cargo bench` runs all of them, `cargo bench -- large` one. Both sides of a ratio use the same
//! PostgreSQL (durable, fsync on) and take turns, so that a slow machine slows both. What each
//! ratio means and what was measured is in benches/README.md.

mod client; // a partner's connection over mutual TLS, as cheap as can be
mod deduct; // a city's monthly deductions against INSERT and UPDATE of the same rows
mod keys; // what an index on the detail number costs, by type of key
mod large; // one packet of a million lines, stored or also posted, against \copy
mod limit; // how much of a platform's limit is used, also when an instance is killed
mod pull; // a page of the registry against nginx
mod registry; // a province's registries in one load against \copy
mod small; // packets of one line against pgbench
mod stand; // PostgreSQL, the gateway as a process of its own, psql

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Done<T = ()> = Result<T, Failure>;

/// What a run may be told by the environment.
pub struct Sizes {
    /// Lines of the large packets.
    pub lines: u64,
    /// Turns each side takes.
    pub rounds: usize,
    /// Seconds of a turn with small packets.
    pub seconds: u64,
}

fn main() -> Done {
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let wants = |name: &str, by_default: bool| {
        if asked.is_empty() {
            by_default
        } else {
            asked.iter().any(|word| word == name)
        }
    };
    let sizes = Sizes {
        lines: number("LTCGW_BENCH_LINES", 1_000_000),
        rounds: number("LTCGW_BENCH_ROUNDS", 3) as usize,
        seconds: number("LTCGW_BENCH_SECONDS", 6),
    };
    ltcgw::link::install_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    if wants("deduct", true) {
        runtime.block_on(deduct::run(number("LTCGW_BENCH_PEOPLE", 1_540_600)))?;
    }
    if wants("limit", true) {
        runtime.block_on(limit::run(number("LTCGW_BENCH_LIMIT_SECONDS", 60)))?;
    }
    let stand = stand::Stand::new()?;
    if wants("small", true) {
        runtime.block_on(small::run(&stand, &sizes))?;
    }
    if wants("large", true) {
        runtime.block_on(large::run(&stand, &sizes, large::LARGE))?;
    }
    if wants("bulk", true) {
        runtime.block_on(large::run(&stand, &sizes, large::BULK))?;
    }
    if wants("registry", true) {
        runtime.block_on(registry::run(
            &stand,
            (number("LTCGW_BENCH_INSTITUTIONS", 10_000), sizes.rounds),
        ))?;
    }
    if wants("pull", true) {
        runtime.block_on(pull::run(&stand, &sizes))?;
    }
    if wants("keys", false) {
        keys::run(&stand, &sizes)?;
    }
    Ok(())
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// The middle of some figures.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        (sorted[middle - 1] + sorted[middle]) / 2.0
    }
}

/// Smallest and largest, for the reader to see how noisy the machine was.
pub fn spread(figures: &[f64]) -> String {
    let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let most = figures.iter().copied().fold(0.0, f64::max);
    format!("{least:.0} to {most:.0}")
}
