//! What a record says of a person is in the clear nowhere.

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::{Ltc, caregiver, institution, with};

const PLANTED: [&str; 8] = [
    "欧阳翠花",
    "45010319850715",
    "13907715588",
    "上官铁柱",
    "0771-7654321",
    "R-慕容复-1",
    "NURSE-998877",
    "诸葛红",
];

/// A log that remembers which planted words passed.
#[derive(Clone, Default)]
struct Watched {
    seen: Arc<Mutex<Vec<String>>>,
    lines: Arc<Mutex<usize>>,
}

impl Write for Watched {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        *self.lines.lock().expect("unpoisoned") += 1;
        self.seen.lock().expect("unpoisoned").extend(
            PLANTED
                .iter()
                .filter(|word| text.contains(**word))
                .map(|word| format!("{word} in {text}")),
        );
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A resident id of the sex and birth date in its first 17 digits.
fn resident_id(first: &str) -> String {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = first
        .bytes()
        .zip(WEIGHTS)
        .map(|(digit, weight)| u32::from(digit - b'0') * weight)
        .sum();
    format!("{first}{}", char::from(b"10X98765432"[sum as usize % 11]))
}

fn planted_caregiver(id: &str, version: i64) -> serde_json::Value {
    let personal = json!({
        "name": "欧阳翠花", "certificate_type": "resident_id", "certificate_number": resident_id("45010319850715002"), "birth_on": "1985-07-15",
        "phone": "13907715588", "recipients": ["R-慕容复-1"], "qualification_numbers": { "nurse": "NURSE-998877" }
    });
    let qualifications = json!([{ "kind": "nurse", "obtained_on": "2010-01-01" }]);
    with(
        caregiver(id, version),
        &[
            ("/kind", json!("exclusive")),
            ("/personal", personal),
            ("/qualifications", qualifications),
        ],
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_record_says_of_a_person_reaches_no_table_log_metric_or_answer_in_the_clear() {
    let watched = Watched::default();
    let writer = watched.clone();
    let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
    let filter = tracing_subscriber::EnvFilter::new(
        "info,ltcgw=trace,tokio_postgres=trace,actix_web=debug,actix_http=debug",
    );
    let logging = tracing_subscriber::registry()
        .with(filter)
        .with(layer)
        .try_init()
        .is_ok();

    let ltc = Ltc::start().await;
    let people =
        json!({ "legal_representative": "上官铁柱", "contact": "诸葛红", "phone": "0771-7654321" });
    let mut answers = Vec::new();
    answers.push(
        ltc.put(&with(
            institution("I1", 1),
            &[("/personal", people.clone())],
        ))
        .await,
    );
    answers.push(ltc.put(&planted_caregiver("C1", 1)).await);
    // Repeated, older, other content, every kind of mistake.
    answers.push(ltc.put(&planted_caregiver("C1", 1)).await);
    answers.push(
        ltc.put(&with(
            planted_caregiver("C1", 1),
            &[("/job", json!("nurse"))],
        ))
        .await,
    );
    answers.push(ltc.put(&planted_caregiver("C1", 2)).await);
    answers.push(ltc.put(&planted_caregiver("C1", 1)).await);
    for (field, value) in [
        ("/personal/birth_on", json!("1985-07-16")),
        ("/personal/certificate_number", json!("450103198507150021")),
        ("/personal/certificate_type", json!("欧阳翠花")),
        ("/personal/phone", json!(["13907715588"])),
        ("/personal/phone", json!("13907715588\n")),
        ("/personal/recipients", json!(["R-慕容复-1", "上官铁柱"])),
        ("/personal/欧阳翠花", json!("13907715588")),
        ("/caregiver_id", json!("欧阳翠花")),
        ("/institution_id", json!("诸葛红")),
        ("/registered_on", json!("欧阳翠花")),
    ] {
        let body = with(planted_caregiver("C9", 1), &[(field, value)]);
        let answer = ltc
            .call("PUT", "/ltc/v1/caregivers/C9", body.to_string())
            .await;
        assert!(answer.0 >= 400, "{field}: {answer:?}");
        answers.push(answer);
    }
    let lines = [
        json!({ "caregiver": planted_caregiver("C2", 1) }).to_string(),
        json!({ "caregiver": planted_caregiver("欧阳翠花", 1) }).to_string(),
        "欧阳翠花".into(),
    ];
    let (loaded, last) = ltc.load(&lines).await;
    let (_, after) = ltc
        .call(
            "DELETE",
            "/ltc/v1/caregivers/C2?version=2&reason=left&on=2026-06-01",
            "",
        )
        .await;
    ltc.registrar().clock.set_day(jiff::civil::date(2027, 1, 1));
    ltcgw::flow::publish::calendar::turn(&ltc.gateway.running.gateway)
        .await
        .expect("dates");
    let metrics = reqwest::get(format!(
        "http://127.0.0.1:{}/metrics",
        ltc.gateway.running.server.operator.port()
    ))
    .await
    .expect("metrics");
    let metrics = metrics.text().await.expect("a page");

    // Before the tables are searched: those statements name what they look for.
    let (seen, lines) = (
        watched.seen.lock().expect("unpoisoned").clone(),
        *watched.lines.lock().expect("unpoisoned"),
    );
    assert_eq!(seen, Vec::<String>::new());
    assert!(!logging || lines > 10, "the log was watched");
    assert_eq!(
        ltc.gateway
            .value("SELECT count(*) FROM registry_change WHERE sealed IS NOT NULL")
            .await,
        "5",
        "there is something to hide"
    );
    for word in PLANTED {
        assert_eq!(tables_with(&ltc, word).await, "", "{word}");
        for text in [
            format!("{answers:?}"),
            format!("{loaded:?} {last} {after}"),
            metrics.clone(),
            format!("{:?}", ltc.registrar().keys),
        ] {
            assert!(!text.contains(word), "{word} in {text}");
        }
    }
}

/// Columns of any table that hold the word, also as bytes.
async fn tables_with(ltc: &Ltc, word: &str) -> String {
    let columns = ltc
        .gateway
        .value(
            "SELECT table_name || '.' || column_name || '.' || data_type FROM information_schema.columns
             WHERE table_schema = 'public' AND data_type IN ('text', 'json', 'jsonb', 'bytea', 'ARRAY', 'character varying') ORDER BY 1",
        )
        .await;
    assert!(
        columns.contains("registry_change.content.json")
            && columns.contains("registry_change.sealed.bytea"),
        "{columns}"
    );
    let mut found = Vec::new();
    for column in columns.split("; ") {
        let [table, column, kind] = column.split('.').collect::<Vec<_>>()[..] else {
            panic!("{column}")
        };
        let test = match kind {
            "bytea" => format!("position(convert_to('{word}', 'UTF8') IN {column}) > 0"),
            _ => format!("{column}::text LIKE '%{word}%'"),
        };
        if ltc
            .gateway
            .value(&format!("SELECT count(*) FROM {table} WHERE {test}"))
            .await
            != "0"
        {
            found.push(format!("{table}.{column}"));
        }
    }
    found.join(" ")
}
