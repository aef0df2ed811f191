//! What monitoring reads.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::{Place, Serving, packet, project, until};

/// As Prometheus 2.42 asks.
const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Reads standard input as OpenMetrics or as text and prints families: name, type, unit, whether it has help, samples.
const PARSER: &str = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as text
for family in (open_metrics if sys.argv[1] == 'open' else text)(sys.stdin.read()):
    print(family.name, family.type, family.unit or '-', bool(family.documentation), len(family.samples))
";

/// One sample of the text format: name, labels, value.
type Sample<'a> = (&'a str, Vec<(&'a str, &'a str)>, f64);

fn sample(line: &str) -> Option<Sample<'_>> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (series, ""),
    };
    let valid = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let labels = labels
        .split(',')
        .filter(|label| !label.is_empty())
        .map(|label| label.split_once('='));
    let labels = labels
        .map(|label| label.map(|(name, value)| (name, value.trim_matches('"'))))
        .collect::<Option<Vec<_>>>()?;
    (valid(name) && labels.iter().all(|(name, _)| valid(name))).then_some((
        name,
        labels,
        value.parse().ok()?,
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_can_be_read_tell_what_happened_and_hold_no_private_data() {
    let (place, core, _ltc) = Place::with_partners(|scene| scene);
    let serving = place.serve().await;
    let client = place.stage.client("nanning-tax").unwrap();
    let answered = serving.send(&client, &packet("P1", 3)).await.unwrap();
    assert_eq!(answered.0, 200, "{}", String::from_utf8_lossy(&answered.1));
    let delivered = "ltcgw_settled_total{partner=\"medical-core\",outcome=\"delivered\"} 1";
    let text = until("the delivery", async || {
        serving
            .operator("/metrics")
            .await
            .map(|(_, text)| text)
            .filter(|text| text.contains(delivered))
    })
    .await;
    assert_eq!(core.tally().deliveries, 1);

    let lines: Vec<&str> = text.lines().collect();
    let samples: Vec<_> = lines
        .iter()
        .filter(|line| !line.starts_with('#'))
        .map(|line| sample(line).unwrap_or_else(|| panic!("{line}")))
        .collect();
    for (series, value) in [
        (
            "ltcgw_lines_total{partner=\"nanning-tax\",outcome=\"posted\"}",
            "3",
        ),
        (
            "ltcgw_requests_total{partner=\"nanning-tax\",outcome=\"200\"}",
            "1",
        ),
        (
            "ltcgw_attempts_total{partner=\"medical-core\",outcome=\"accepted\"}",
            "1",
        ),
        ("ltcgw_lease_held{destination=\"medical-core\"}", "1"),
        ("ltcgw_breaker_open{destination=\"medical-core\"}", "0"),
        ("ltcgw_database_up", "1"),
    ] {
        assert!(
            lines.contains(&format!("{series} {value}").as_str()),
            "{series} {value} is not in {text}"
        );
    }
    for name in [
        "server",
        "client_ca",
        "crl",
        "to_medical-core",
        "to_ltc-system",
        "from_nanning-tax",
    ] {
        let days = samples.iter().find(|(series, labels, _)| {
            *series == "ltcgw_certificate_expiry_days" && labels == &[("name", name)]
        });
        assert!(
            days.is_some_and(|(.., days)| *days >= 364.0),
            "{name}: {days:?}"
        );
    }
    let resident = samples
        .iter()
        .find(|(name, ..)| *name == "ltcgw_resident_memory_bytes")
        .expect("memory")
        .2;
    assert!(resident > 1e6, "{resident}");

    // Names of the configuration and words of the code; nothing a partner sent.
    let known = "nanning-tax nanning-tax-native from_nanning-tax from_nanning-tax-native medical-core ltc-system civil-affairs health-commission to_civil-affairs to_health-commission server client_ca crl to_medical-core to_ltc-system posted refused duplicate \
                 unknown other amount_unreadable accepted rejected retry_later not_reached unclear down later unknown not_sent inquired lost delivered dead ready leased in_doubt displaced refused_all_taken requests_of_partner requests spool_of_partner spool spool_disk";
    let known: BTreeSet<&str> = known
        .split_whitespace()
        .chain(
            ltcgw::link::HandshakeRefusalReason::ALL
                .iter()
                .map(|reason| reason.word()),
        )
        .collect();
    for (name, labels, _) in &samples {
        for (label, value) in labels {
            let number = value.parse::<f64>().is_ok() && ["le", "outcome"].contains(label);
            assert!(
                number || known.contains(value),
                "{name} has {label}={value}"
            );
        }
    }
}

/// A gateway that took a packet and delivered it, so that most metrics have a sample.
async fn busy() -> (Place, Serving) {
    let (place, _core, _ltc) = Place::with_partners(|scene| scene);
    let serving = place.serve().await;
    let client = place.stage.client("nanning-tax").unwrap();
    assert_eq!(
        serving.send(&client, &packet("P1", 3)).await.unwrap().0,
        200
    );
    let delivered = "ltcgw_settled_total{partner=\"ltc-system\",outcome=\"delivered\"} 1";
    until("the delivery", async || {
        serving
            .operator("/metrics")
            .await
            .filter(|(_, text)| text.contains(delivered))
    })
    .await;
    (place, serving)
}

/// What the operator listener answers to an `Accept`: media type and body.
async fn asked(serving: &Serving, accept: Option<&str>) -> (String, String) {
    let request =
        reqwest::Client::new().get(format!("http://127.0.0.1:{}/metrics", serving.operator));
    let request = if let Some(accept) = accept {
        request.header("accept", accept)
    } else {
        request
    };
    let answer = request.send().await.unwrap();
    (
        answer.headers()["content-type"].to_str().unwrap().into(),
        answer.text().await.unwrap(),
    )
}

/// Gives a program a text: what it printed, when it was content.
fn given(mut command: Command, text: &str) -> Result<String, String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    if output.status.success() {
        Ok(said)
    } else {
        Err(said)
    }
}

/// A file below the folder cargo builds in.
fn built(path: &str) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(
            || project().join("target"),
            |target| project().join(PathBuf::from(target)),
        )
        .join(path)
}

/// The families of an exposition as Prometheus' own library reads them.
fn families(format: &str, text: &str) -> Vec<String> {
    let python = built("python-tests/bin/python");
    assert!(
        python.exists(),
        "{} is missing: run deploy/setup.sh tests",
        python.display()
    );
    let mut command = Command::new(python);
    command.args(["-c", PARSER, format]);
    given(command, text)
        .unwrap_or_else(|said| panic!("{said}\n{text}"))
        .lines()
        .map(str::to_owned)
        .collect()
}

/// The program of Prometheus that checks; without it, nothing is checked.
fn promtool(arguments: &[&str]) -> Option<Command> {
    let own = built("promtool/promtool");
    let program = if own.exists() {
        own
    } else {
        PathBuf::from("promtool")
    };
    let there = Command::new(&program).arg("--version").output().is_ok();
    let mut command = Command::new(program);
    command.args(arguments).current_dir(project());
    there.then_some(command)
}

/// Names of metrics in HELP lines.
fn helped(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next())
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reader_gets_the_format_it_asks_for_and_both_are_read_by_prometheus_own_library() {
    let (_place, serving) = busy().await;
    for accept in [
        None,
        Some("*/*"),
        Some("text/plain;version=0.0.4"),
        Some("application/json"),
    ] {
        assert_eq!(asked(&serving, accept).await.0, TEXT, "{accept:?}");
    }
    let (media, open) = asked(&serving, Some(PROMETHEUS)).await;
    assert_eq!(
        (media.as_str(), open.lines().last()),
        (OPEN_METRICS, Some("# EOF"))
    );
    let (_, text) = asked(&serving, None).await;
    assert!(
        !text.contains("# EOF") && !text.contains("# UNIT"),
        "{text}"
    );

    let (open, classic) = (families("open", &open), families("text", &text));
    let described: Vec<_> = classic
        .iter()
        .map(|family| family.split(' ').nth(3))
        .collect();
    assert!(
        described.iter().all(|help| *help == Some("True")),
        "each has a HELP: {classic:#?}"
    );
    for family in [
        "ltcgw_lines counter - True 6",
        "ltcgw_line_fen gauge fen True",
        "ltcgw_certificate_expiry_days gauge days True",
        "ltcgw_receive_seconds histogram seconds True",
    ] {
        assert!(
            open.iter().any(|found| found.starts_with(family)),
            "{family}: {open:#?}"
        );
    }
    let names = |families: &[String]| {
        families
            .iter()
            .map(|family| {
                family
                    .split(' ')
                    .take(2)
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&open), names(&classic), "both formats say the same");
    if let Some(command) = promtool(&["check", "metrics"]) {
        let found = given(command, &text).unwrap_or_else(|said| said);
        let lints: Vec<&str> = found.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(
            lints,
            ["ltcgw_certificate_expiry_days use base unit \"seconds\" instead of \"days\""],
            "days are what people plan with; nothing else"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_age_of_the_oldest_delivery_ends_with_it() {
    let place = Place::new();
    let serving = place.serve().await;
    let client = place.stage.client("nanning-tax").unwrap();
    serving.send(&client, &packet("P1", 3)).await.unwrap();
    let none = "ltcgw_oldest_delivery_seconds{destination=\"medical-core\"} 0";
    let waits = asked(&serving, None).await.1;
    assert!(
        !waits
            .lines()
            .any(|line| line.trim_end_matches(".0") == none),
        "it waits, since nobody is there: {waits}"
    );
    place.value("UPDATE delivery SET state = 'superseded', settled_at = now(), leased_until = NULL, lease_token = NULL, under_way = false").await;
    let (_, text) = asked(&serving, None).await;
    assert!(
        text.lines().any(|line| line.trim_end_matches(".0") == none),
        "nothing waits: {text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_alerts_are_ones_prometheus_takes_and_name_only_metrics_there_are() {
    let (_place, serving) = busy().await;
    let (_, text) = asked(&serving, None).await;
    let alerts = std::fs::read_to_string(project().join("deploy/alerts.yml")).unwrap();
    let helped = helped(&text);
    let names = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        words
            .filter(|word| word.starts_with("ltcgw_"))
            .map(str::to_owned)
            .collect()
    };
    let named = names(&alerts);
    assert!(named.len() >= 10, "{named:?}");
    assert_eq!(
        named.difference(&helped).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "the alerts name what is not measured"
    );
    for needed in ["up{job=\"ltcgw\"} == 0", "absent(up{job=\"ltcgw\"})"] {
        assert!(
            alerts.contains(needed),
            "a dead gateway says nothing: only {needed} sees it"
        );
    }
    for runbook in ["docs/operator.md", "docs/operator.zh-CN.md"] {
        let Ok(page) = std::fs::read_to_string(project().join(runbook)) else {
            continue;
        };
        let rows: BTreeSet<String> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `ltcgw_"))
            .map(|row| format!("ltcgw_{}", row.split(['{', '`', ' ']).next().unwrap()))
            .collect();
        assert_eq!(rows, helped, "the table of {runbook}");
        assert_eq!(
            names(&page).difference(&helped).collect::<Vec<_>>(),
            Vec::<&String>::new(),
            "{runbook} names what is not measured"
        );
    }
    // The name is what somebody on duty is told.
    for name in alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
    {
        for runbook in ["docs/operator.md", "docs/operator.zh-CN.md"] {
            let page = std::fs::read_to_string(project().join(runbook)).unwrap();
            assert!(
                page.contains(&format!("`{name}`")),
                "{runbook} does not say what {name} means"
            );
        }
    }
    for arguments in [
        ["check", "rules", "deploy/alerts.yml"],
        ["test", "rules", "deploy/alerts_test.yml"],
    ] {
        if let Some(command) = promtool(&arguments) {
            given(command, "").unwrap_or_else(|said| panic!("{said}"));
        }
    }
}
