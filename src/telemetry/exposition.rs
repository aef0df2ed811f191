//! How metrics are written down: as OpenMetrics, or in the older text format of Prometheus, by what the reader asks for.
//!
//! Only forms; what is counted and what it is called is `telemetry`'s.

/// A format of `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposition {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// The text format of Prometheus, 0.0.4.
    Text,
}

impl Exposition {
    /// Its media type, as `Content-Type` says it.
    pub fn content_type(self) -> &'static str {
        match self {
            Exposition::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Exposition::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// What a reader with this `Accept` gets: OpenMetrics where it is named and wanted at least as much, else text, which
    /// everything reads. Nothing is refused: a monitor that asks for neither still learns how the gateway is.
    pub fn of_accept(accept: &str) -> Exposition {
        let (mut open, mut text, mut any) = (0, None, None);
        for range in accept.split(',').map(str::to_ascii_lowercase) {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let parameters: Vec<_> = parts
                .filter_map(|part| part.split_once('='))
                .map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
                .collect();
            let of = |wanted: &str| {
                parameters
                    .iter()
                    .find(|(name, _)| *name == wanted)
                    .map(|(_, value)| *value)
            };
            let weight = of("q").map_or(1_000, thousandths);
            match media {
                "application/openmetrics-text"
                    if of("version").is_none_or(|version| version == "1.0.0") =>
                {
                    open = weight.max(open)
                }
                "text/plain" if of("version").is_none_or(|version| version == "0.0.4") => {
                    text = text.max(Some(weight))
                }
                "text/*" | "*/*" => any = any.max(Some(weight)),
                _ => {}
            }
        }
        if open > 0 && open >= text.or(any).unwrap_or(0) {
            Exposition::OpenMetrics
        } else {
            Exposition::Text
        }
    }
}

/// A weight of `Accept` (RFC 9110, 12.4.2) in thousandths; one that is none counts in full.
fn thousandths(weight: &str) -> u32 {
    let (whole, part) = weight.split_once('.').unwrap_or((weight, ""));
    let digits = format!("{part:0<3}");
    let of = |text: &str| text.parse::<u32>().ok();
    match (of(whole), digits.get(..3).and_then(of)) {
        (Some(whole), Some(part)) => (whole.saturating_mul(1_000).saturating_add(part)).min(1_000),
        _ => 1_000,
    }
}

/// The text format, from OpenMetrics: a counter is named with `_total` in HELP and TYPE too, UNIT and EOF do not exist.
pub fn text_of(open: &str) -> String {
    let counters: Vec<&str> = open
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut text = String::with_capacity(open.len());
    for line in open.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("UNIT" | "EOF"), ..) => continue,
            (Some("#"), Some(what), Some(name), Some(rest)) if counters.contains(&name) => {
                text.push_str(&format!("# {what} {name}_total {rest}"))
            }
            (Some("#"), Some("TYPE"), Some(name), Some("unknown")) => {
                text.push_str(&format!("# TYPE {name} untyped"))
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_gets_the_format_it_wants_more_and_text_when_it_wants_neither() {
        // Prometheus 2.42 and 3.5 as they ask, VictoriaMetrics' vmagent, curl, a browser.
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                            text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        for (accept, expected) in [
            (prometheus_2, Exposition::OpenMetrics),
            (prometheus_3, Exposition::OpenMetrics),
            ("text/plain;version=0.0.4;q=1,*/*;q=0.1", Exposition::Text),
            ("text/plain;version=0.0.4", Exposition::Text),
            ("*/*", Exposition::Text),
            ("", Exposition::Text),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                Exposition::Text,
            ),
            ("application/json", Exposition::Text),
            ("application/openmetrics-text", Exposition::OpenMetrics),
            (
                "Application/OpenMetrics-Text; Version=\"1.0.0\" ; q=0.9, text/plain; q=0.4",
                Exposition::OpenMetrics,
            ),
            (
                "application/openmetrics-text; version=0.0.1",
                Exposition::Text,
            ),
            ("application/openmetrics-text; q=0", Exposition::Text),
            (
                "application/openmetrics-text; q=0.3, text/plain; q=0.7",
                Exposition::Text,
            ),
            (
                "application/openmetrics-text; q=0.25, text/plain; q=0.3",
                Exposition::Text,
            ),
            (
                "application/openmetrics-text; q=nonsense",
                Exposition::OpenMetrics,
            ),
        ] {
            assert_eq!(Exposition::of_accept(accept), expected, "{accept}");
        }
    }

    #[test]
    fn the_text_format_names_counters_as_their_samples_and_has_no_unit_and_no_end() {
        let open = "# HELP ltcgw_lines Lines.\n# TYPE ltcgw_lines counter\nltcgw_lines_total{partner=\"a # b\"} 1\n\
                    # HELP ltcgw_receive_seconds How long.\n# TYPE ltcgw_receive_seconds histogram\n# UNIT ltcgw_receive_seconds seconds\n\
                    ltcgw_receive_seconds_sum 0.2\n# HELP ltcgw_x X.\n# TYPE ltcgw_x unknown\nltcgw_x 1\n# EOF\n";
        let text = "# HELP ltcgw_lines_total Lines.\n# TYPE ltcgw_lines_total counter\nltcgw_lines_total{partner=\"a # b\"} 1\n\
                    # HELP ltcgw_receive_seconds How long.\n# TYPE ltcgw_receive_seconds histogram\nltcgw_receive_seconds_sum 0.2\n\
                    # HELP ltcgw_x X.\n# TYPE ltcgw_x untyped\nltcgw_x 1\n";
        assert_eq!(text_of(open), text);
    }
}
