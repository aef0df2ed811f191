//! What reaches the log whatever was asked for: lines of ours, and warnings of libraries; in each of them no person.
//!
//! Libraries log at `debug` what they carry: parameters of SQL, paths and headers of requests, bodies. So of them
//! nothing below a warning passes, whatever `LTCGW_LOG` says, and what passes goes through the mask.

use std::fmt::Write as _;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::FilterFn;

use crate::model::{mask, printable};

/// The crate whose lines are held to the rule that no person is in them.
const OURS: &str = "ltcgw";

/// The filter for every line, beside the one of `LTCGW_LOG`.
pub(super) fn filter() -> FilterFn {
    FilterFn::new(passes)
}

fn passes(line: &Metadata<'_>) -> bool {
    let ours = line
        .target()
        .strip_prefix(OURS)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    ours || *line.level() <= Level::WARN
}

/// A line of the log without persons in it, and with escapes for what cannot be seen: those of JSON where it is JSON.
pub(super) fn line(bytes: &[u8], json: bool) -> String {
    let text = String::from_utf8_lossy(bytes);
    let body = text.strip_suffix('\n').unwrap_or(&text);
    let masked = mask::text(body);
    let mut shown = if json {
        in_json(&masked)
    } else {
        printable::escaped_lines(&masked).replace('\n', "\\u{a}")
    };
    shown.push('\n');
    shown
}

fn in_json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if printable::is_unseen(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Panics in words without persons: a message may quote what it could not work with.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let words = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("without words");
        let place = panic
            .location()
            .map_or_else(String::new, |place| format!(" at {place}"));
        let thread = std::thread::current();
        let said = line(
            format!(
                "thread '{}' panicked{place}: {words}",
                thread.name().unwrap_or("<unnamed>")
            )
            .as_bytes(),
            false,
        );
        eprint!("{said}");
        let trace = std::backtrace::Backtrace::capture();
        if trace.status() == std::backtrace::BacktraceStatus::Captured {
            eprintln!("{trace}");
        }
    }));
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<String>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().push_str(&line(bytes, false));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn below_a_warning_nothing_of_libraries_passes_whatever_was_asked_for() {
        let kept = Kept::default();
        let writer = kept.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .with_ansi(false);
        let all = tracing_subscriber::EnvFilter::new("trace,tokio_postgres=trace,hyper=debug");
        tracing::subscriber::with_default(
            tracing_subscriber::registry()
                .with(all)
                .with(filter())
                .with(layer),
            || {
                tracing::debug!(target: "tokio_postgres::query", "executing statement with parameters: [\"欧阳翠花\"]");
                tracing::info!(target: "hyper::proto", "GET /persons/张三");
                tracing::info!(target: "ltcgw_like", "张三");
                tracing::warn!(target: "actix_server", "could not take 11010519491231002X");
                tracing::trace!(target: "ltcgw::flow", "ours, 13812345678\nand more");
            },
        );
        let text = kept.0.lock().unwrap().clone();
        let lines: Vec<&str> = text
            .lines()
            .map(|line| {
                line.split_once("Z ")
                    .map_or(line, |(_, rest)| rest.trim_start())
            })
            .collect();
        assert_eq!(
            lines,
            [
                "WARN actix_server: could not take [id]",
                "TRACE ltcgw::flow: ours, [phone]\\u{a}and more"
            ]
        );
    }

    #[test]
    fn a_line_in_json_stays_json() {
        let found = serde_json::json!({ "message": "张三 11010519491231002X\u{202e}\u{e0041}\n", "psn_name": "上官铁柱" }).to_string() + "\n";
        let read: serde_json::Value =
            serde_json::from_str(&line(found.as_bytes(), true)).expect("JSON");
        assert_eq!(
            read,
            serde_json::json!({ "message": "[name] [id]\u{202e}\u{e0041}\n", "psn_name": "[name]" })
        );
        assert!(!line(found.as_bytes(), true).contains('\u{202e}'));
    }
}
