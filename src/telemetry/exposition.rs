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
