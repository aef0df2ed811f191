//! What monitoring reads.

use std::collections::BTreeSet;

use crate::support::{Place, packet, until};

/// One sample of the text format: name, labels, value.
type Sample<'a> = (&'a str, Vec<(&'a str, &'a str)>, f64);

fn sample(line: &str) -> Option<Sample<'_>> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (series, ""),
    };
    let valid = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let labels = labels.split(',').filter(|label| !label.is_empty()).map(|label| label.split_once('='));
    let labels = labels.map(|label| label.map(|(name, value)| (name, value.trim_matches('"')))).collect::<Option<Vec<_>>>()?;
    (valid(name) && labels.iter().all(|(name, _)| valid(name))).then_some((name, labels, value.parse().ok()?))
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_can_be_read_tell_what_happened_and_hold_no_private_data() {
    let (place, core, _ltc) = Place::with_partners(|scene| scene);
    let serving = place.serve().await;
    let client = place.stage.client("nanning-tax").unwrap();
    let answered = serving.send(&client, &packet("P1", 3)).await.unwrap();
    assert_eq!(answered.0, 200, "{}", String::from_utf8_lossy(&answered.1));
    let delivered = "ltcgw_settled_total{partner=\"medical-core\",outcome=\"delivered\"} 1";
    let text = until("the delivery", async || serving.operator("/metrics").await.map(|(_, text)| text).filter(|text| text.contains(delivered))).await;
    assert_eq!(core.tally().deliveries, 1);

    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.last(), Some(&"# EOF"));
    let samples: Vec<_> = lines.iter().filter(|line| !line.starts_with('#')).map(|line| sample(line).unwrap_or_else(|| panic!("{line}"))).collect();
    for (series, value) in [
        ("ltcgw_lines_total{partner=\"nanning-tax\",outcome=\"posted\"}", "3"),
        ("ltcgw_requests_total{partner=\"nanning-tax\",outcome=\"200\"}", "1"),
        ("ltcgw_attempts_total{partner=\"medical-core\",outcome=\"accepted\"}", "1"),
        ("ltcgw_lease_held{destination=\"medical-core\"}", "1"),
        ("ltcgw_breaker_open{destination=\"medical-core\"}", "0"),
        ("ltcgw_database_up", "1"),
    ] {
        assert!(lines.contains(&format!("{series} {value}").as_str()), "{series} {value} is not in {text}");
    }
    for name in ["server", "client_ca", "crl", "to_medical-core", "to_ltc-system"] {
        let days = samples.iter().find(|(series, labels, _)| *series == "ltcgw_certificate_expiry_days" && labels == &[("name", name)]);
        assert!(days.is_some_and(|(.., days)| *days >= 364.0), "{name}: {days:?}");
    }
    let resident = samples.iter().find(|(name, ..)| *name == "ltcgw_resident_memory_bytes").expect("memory").2;
    assert!(resident > 1e6, "{resident}");

    // Names of the configuration and words of the code; nothing a partner sent.
    let known = "nanning-tax nanning-tax-native medical-core ltc-system civil-affairs health-commission to_civil-affairs to_health-commission server client_ca crl to_medical-core to_ltc-system posted refused duplicate \
                 accepted rejected retry_later not_reached unclear down later unknown not_sent inquired lost delivered dead ready leased in_doubt";
    let known: BTreeSet<&str> = known.split_whitespace().collect();
    for (name, labels, _) in &samples {
        for (label, value) in labels {
            let number = value.parse::<f64>().is_ok() && ["le", "outcome"].contains(label);
            assert!(number || known.contains(value), "{name} has {label}={value}");
        }
    }
}
