//! Persons, planted through every way in, are in no sink: log, answers to others, metrics, pages of commands, database.

use std::path::PathBuf;
use std::process::Command;

use ltcgw::model::identity::resident_check_character;
use ltcgw::sandbox::partners::{Behaviour, CannedAnswer as Front};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::packet::{Line, Packet, gbk};
use crate::support::{Place, Serving, until};

/// Where the numbers of insured people rest in the clear until the tables are rebuilt: docs/administrator.md, "What is kept where", lists the same.
const IN_THE_CLEAR: [&str; 15] = [
    "employee_line.person_no",
    "roster_entry.person_no",
    "roster_entry.born_on",
    "roster_relation.person_no",
    "deduction.person_no",
    "deduction_left_out.person_no",
    "deduction_batch.first_person",
    "deduction_batch.last_person",
    "deduction_result.person_no",
    "deduction_discrepancy.person_no",
    "deduction_carried.person_no",
    "deduction_again.person_no",
    "shortfall.person_no",
    "registry_entity.certificate_index", // a keyed index of 64 bits, not the number
    "registry_entity.phone_index",
];

/// An id with the right check character.
fn id(first: &str) -> String {
    format!(
        "{first}{}",
        char::from(resident_check_character(first.as_bytes()).unwrap())
    )
}

/// Twenty identities as they were written, and what of them must be found nowhere.
fn planted() -> Vec<(String, String)> {
    let whole = |text: String| (text.clone(), text);
    vec![
        whole(id("11010519491231002")),
        whole(id("45010319800101101")),
        (
            id("45010319800202006").to_lowercase(),
            id("45010319800202006")[..17].into(),
        ),
        (
            format!("450103 19850715 {}", &id("45010319850715002")[14..]),
            "19850715".into(),
        ),
        (
            "４５０１０３１９７００１０１００１１".into(),
            "１９７００１０１".into(),
        ),
        whole("450103670101001".into()),
        whole(id("81000019800303001")),
        whole(id("94584019800505001")),
        (
            format!("20211108{}", id("45010319620606001")),
            id("45010319620606001"),
        ),
        whole("13812345678".into()),
        ("+86 139 7771 5588".into(), "7771 5588".into()),
        ("0086-138-0077-1234".into(), "0077-1234".into()),
        whole("0771-7654321".into()),
        whole("E12345678".into()),
        whole("G87654321".into()),
        whole("EA1234567".into()),
        whole("6222021234567890128".into()),
        whole("欧阳翠花".into()),
        whole("诸葛铁柱".into()),
        ("Zhang Xiaoming".into(), "Xiaoming".into()),
    ]
}

/// A sentence with all of them, as an error text or a remark quotes people.
fn everybody() -> String {
    let all = planted();
    let numbers: Vec<String> = all[..17]
        .iter()
        .map(|(text, _)| format!("证件{text}不符"))
        .collect();
    format!(
        "参保人欧阳翠花不存在; 姓名：诸葛铁柱, name: Zhang Xiaoming; {}",
        numbers.join("; ")
    )
}

fn in_path(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// The text where an amount belongs: a phone number alone would be one.
fn no_amount(text: &str) -> String {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if digits {
        format!("{text}元")
    } else {
        text.to_string()
    }
}

/// Fails where anything planted is in the text.
fn clean(sink: &str, text: &str) {
    for (_, needle) in planted() {
        let at = text.find(&needle).or_else(|| {
            text.find(&in_path(&needle))
                .filter(|_| in_path(&needle) != needle)
        });
        assert!(
            at.is_none(),
            "{needle} is in {sink}: {}",
            text.lines()
                .find(|line| line.contains(&needle) || line.contains(&in_path(&needle)))
                .unwrap_or(text)
        );
    }
}

struct Ways<'a> {
    place: &'a Place,
    serving: &'a Serving,
}

impl Ways<'_> {
    /// Sends something as a partner and returns the status; what it is told of its own request is its own.
    async fn call(
        &self,
        partner: &str,
        (method, path): (&str, &str),
        body: impl Into<reqwest::Body>,
    ) -> u16 {
        let client = self.place.stage.client(partner).unwrap();
        let url = format!("https://localhost:{}{path}", self.serving.partner);
        let method = method.parse().unwrap();
        let answer = client
            .request(method, url)
            .header("x-operator", in_path("欧阳翠花"))
            .header("user-agent", "13812345678")
            .body(body)
            .send()
            .await
            .unwrap();
        answer.status().as_u16()
    }

    async fn packet(&self, packet: impl Into<Vec<u8>>) -> u16 {
        self.call("nanning-tax", ("POST", "/tax/v1/packets"), packet.into())
            .await
    }

    /// Packets: refused contents, numbers, remarks, heads, types, root elements, malformed ones.
    async fn packets(&self) {
        for (at, (text, _)) in planted().iter().enumerate() {
            let lines = [
                Line::employer(&format!("G{at}")).with("AAE013", &everybody()),
                Line::employer(&format!("M{at}")).with("AAE003", text),
                Line::employer(&format!("K{at}"))
                    .with("AAA115", text)
                    .with("AAE013", text),
                Line::employer(&format!("A{at}")).with("AAE080", &no_amount(text)),
            ];
            assert_eq!(
                self.packet(Packet::employers(&format!("P{at}"), lines))
                    .await,
                200
            );
            for element in ["AAB001", "AAD009", "AAZ083", "AAZ288"] {
                let certain = ltcgw::model::mask::is_certain(text);
                let line = if certain {
                    Line::employer(&format!("N{at}")).with(element, text)
                } else {
                    Line::employer(&format!("N{at}")).with("AAB034", text)
                };
                assert_eq!(
                    self.packet(Packet::employers(&format!("N{at}-{element}"), [line]))
                        .await,
                    200
                );
            }
            let good =
                Packet::employers(&format!("H{at}"), [Line::employer(&format!("H{at}"))]).text();
            let malformed = [
                good.replace("<SJBLX>JFXX101", &format!("<SJBLX>{text}")),
                good.replace("<JLS>1", &format!("<JLS>{text}")),
                good.replace(&format!("<SJBBH>H{at}"), &format!("<SJBBH>{text}"))
                    .replace("<JLS>1", "<JLS>2"),
                good.replace("<Package>", &format!("<R{}>", text.replace(' ', "")))
                    .replace("</Package>", &format!("</R{}>", text.replace(' ', ""))),
                good.replace("encoding=\"GBK\"", &format!("encoding=\"{text}\"")),
                good.replace("</Data>", &format!("<{text}></Data>")),
                text.clone(),
            ];
            for document in malformed {
                assert!(self.packet(gbk(&document)).await >= 400, "{document}");
            }
            // Repeated with its head: what the sender says of itself is in the saved reply.
            let named =
                Packet::employers(&format!("W{at}"), [Line::employer(&format!("W{at}"))]).text();
            assert_eq!(
                self.packet(gbk(
                    &named.replace("国家税务总局南宁市税务局", &format!("经办人{text}"))
                ))
                .await,
                200
            );
        }
        let person = id("11010519491231002");
        assert_eq!(
            self.packet(Packet::employees(
                "Q1",
                [
                    Line::employee("Q1", &person),
                    Line::employee("Q2", &person).with("AAE003", &person)
                ]
            ))
            .await,
            200
        );
    }

    /// Rosters, results, paths, queries, headers, the registry.
    async fn others(&self) {
        let person = |no: &str, area: &str, base: &str| {
            json!({ "psn_no": no, "psn_cert_type": "01", "certno": id("11010519491231002"), "psn_type": "11", "acct_type": "1", "emp_no": "45010300000001",
                "admdvs": area, "clct_base": base, "begnym": "202103" })
        };
        for (at, (text, _)) in planted().iter().enumerate() {
            let query = |number: &str, kind: &str| {
                format!(
                    "/core/v1/roster?roster_no={}&kind={}&area=450100&month=202110",
                    in_path(number),
                    in_path(kind)
                )
            };
            let lines: String = [
                person("A1", text, "1"),
                person(text, "450103", &no_amount(text)),
                json!({ "psn_name": text }),
                person(text, "450103", "5000.00"),
            ]
            .iter()
            .map(|line| format!("{line}\n"))
            .collect();
            assert_eq!(
                self.call(
                    "medical-core",
                    ("POST", &query(&format!("R{at}"), "changes")),
                    lines.clone()
                )
                .await,
                200
            );
            assert_eq!(
                self.call(
                    "medical-core",
                    ("POST", &query(&format!("X{at}"), text)),
                    lines.clone()
                )
                .await,
                400
            );
            assert!(
                self.call(
                    "medical-core",
                    (
                        "POST",
                        &format!("{}&{}=1", query("Y", "full"), in_path(text))
                    ),
                    lines
                )
                .await
                    >= 400
            );
            let results = json!({ "batch_no": text, "results": [{ "psn_no": text, "rslt": text, "memo": everybody() }] }).to_string();
            assert!(
                self.call(
                    "medical-core",
                    (
                        "POST",
                        &format!("/core/v1/deduction-results?batch_no={}", in_path(text))
                    ),
                    results
                )
                .await
                    >= 400
            );
            for path in [
                format!("/core/v1/person/{}", in_path(text)),
                format!("/{}", in_path(text)),
                format!(
                    "/core/v1/persons/{}/contributions?month={}",
                    in_path(text),
                    in_path(text)
                ),
            ] {
                assert!(
                    self.call("medical-core", ("GET", &path), "").await >= 400,
                    "{path}"
                );
            }
            assert!(
                self.call(
                    "medical-core",
                    (
                        "GET",
                        &format!(
                            "/core/v1/persons/{}/contributions?from=202101&to=202112",
                            in_path(text)
                        )
                    ),
                    ""
                )
                .await
                    < 500
            );
            self.registry(at, text).await;
        }
    }

    async fn registry(&self, at: usize, text: &str) {
        let institution = |id: &str| {
            json!({ "institution_id": id, "version": 1, "uscc": "91350100M000100Y43", "name": "康宁护理院", "division": "450103", "kind": "elderly_care",
                "modes": ["residential"], "beds": 100, "care_beds": 40,
                "agreement": { "number": "A1", "signed_on": "2025-12-20", "valid_from": "2026-01-01", "valid_to": "2099-12-31" },
                "statuses": [{ "status": "agreement_in_force", "from": "2026-01-01" }], "medical_insurance_designated": true, "registered_on": "2025-12-20",
                "personal": { "legal_representative": text, "contact": text, "phone": "13812345678" } })
        };
        let path = format!("/ltc/v1/institutions/I{at}");
        assert_eq!(
            self.call(
                "ltc-system",
                ("PUT", &path),
                institution(&format!("I{at}")).to_string()
            )
            .await,
            201
        );
        for field in ["kind", "beds", "version", "modes", text] {
            let mut record = institution(&format!("I{at}"));
            record[field] = json!(text);
            assert!(
                self.call("ltc-system", ("PUT", &path), record.to_string())
                    .await
                    >= 400,
                "{field}"
            );
        }
        for wrong in [
            in_path(text),
            format!("{}?reason={}", in_path(text), in_path(text)),
        ] {
            assert!(
                self.call(
                    "ltc-system",
                    ("PUT", &format!("/ltc/v1/caregivers/{wrong}")),
                    institution(text).to_string()
                )
                .await
                    >= 400
            );
            assert!(
                self.call(
                    "ltc-system",
                    ("GET", &format!("/ltc/v1/caregivers/{wrong}")),
                    ""
                )
                .await
                    >= 400
            );
        }
        let end = json!({ "version": 2, "reason": format!("{}，应家属要求", everybody()).chars().take(190).collect::<String>(), "on": "2026-06-15" });
        let by_query = format!(
            "{path}?version=2&on=2026-06-15&reason={}",
            in_path(&format!("负责人{text}, name: {text}"))
        );
        let ended = if at.is_multiple_of(2) {
            self.call("ltc-system", ("DELETE", &path), end.to_string())
                .await
        } else {
            self.call("ltc-system", ("DELETE", &by_query), "").await
        };
        assert_eq!(ended, 200);
    }
}

/// What pg_dump writes of the whole database: each column's values in their own words, bytes read as UTF-8 and as GBK.
fn dumped(place: &Place) -> Vec<(String, String)> {
    let dump = Command::new(pg_dump())
        .args(["-U", "postgres", "-d", "ltcgw", "-h"])
        .arg(place.dir.path().join("data/postgres/run"))
        .output()
        .unwrap();
    assert!(
        dump.status.success(),
        "{}",
        String::from_utf8_lossy(&dump.stderr)
    );
    let text = String::from_utf8(dump.stdout).unwrap();
    let (mut columns, mut found): (Option<Vec<String>>, Vec<(String, String)>) = (None, Vec::new());
    for line in text.lines() {
        if let Some(head) = line
            .strip_prefix("COPY ")
            .and_then(|rest| rest.strip_suffix(") FROM stdin;"))
        {
            let (table, names) = head.split_once(" (").unwrap();
            columns = Some(
                names
                    .split(", ")
                    .map(|name| format!("{}.{name}", table.trim_start_matches("public.")))
                    .collect(),
            );
        } else if line == "\\." {
            columns = None;
        } else if let Some(names) = &columns {
            found.extend(names.iter().cloned().zip(line.split('\t').map(readable)));
        } else {
            found.push(("statements".into(), line.to_string()));
        }
    }
    found
}

fn readable(value: &str) -> String {
    let Some(hex) = value.strip_prefix("\\\\x") else {
        return value.to_string();
    };
    let bytes: Vec<u8> = hex
        .as_bytes()
        .chunks(2)
        .filter_map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok())
        .collect();
    format!(
        "{}\n{}",
        String::from_utf8_lossy(&bytes),
        encoding_rs::GBK.decode(&bytes).0
    )
}

/// That of the server's own version.
fn pg_dump() -> PathBuf {
    if let Some(folder) = std::env::var_os("LTCGW_POSTGRES_BIN") {
        return PathBuf::from(folder).join("pg_dump");
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin/pg_dump"));
    versions
        .filter(|path| path.exists())
        .max()
        .unwrap_or_else(|| "pg_dump".into())
}

/// Pages that people look at, and what a puller and a scraper are given.
async fn pages(place: &Place, serving: &Serving) {
    let dead = place
        .value("SELECT min(delivery_id) FROM delivery WHERE state = 'dead'")
        .await;
    for arguments in [
        &["trace", "P1"][..],
        &["trace", "P17"],
        &["trace", "H0"],
        &["packets", "--today"],
        &["packets", "--refused"],
        &["waiting"],
        &["destinations", "list"],
        &["dead", "list"],
        &["dead", "show", &dead],
        &["approval", "list"],
        &[
            "deduct",
            "discrepancies",
            "--area",
            "450100",
            "--month",
            "202110",
        ],
    ] {
        let said = place.run(arguments).await;
        clean(
            &format!("ltcgw {}", arguments.join(" ")),
            &format!("{}{}", said.out, said.err),
        );
    }
    for path in ["/metrics", "/readyz", "/healthz"] {
        clean(path, &serving.operator(path).await.unwrap().1);
    }
    let province = place.stage.client("provincial-platform").unwrap();
    let url = format!(
        "https://localhost:{}/province/v1/institutions",
        serving.partner
    );
    let page = province
        .get(url)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(page.contains("\"delete\""), "{page}");
    clean("a province's page", &page);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_persons_planted_through_every_way_in_are_in_no_log_page_answer_to_others_or_table()
{
    let (mut place, core, ltc) = Place::with_partners(|scene| {
        scene.edit("requests_per_second = 50", "requests_per_second = 5000")
    });
    place.logging = Some("trace");
    // Whatever partners say, they say with everybody in it.
    ltc.otherwise(Some(Behaviour::Refuse(everybody())));
    core.stands_before(Some(Front {
        status: 502,
        content_type: "text/html".into(),
        body: format!("<html>{}</html>", everybody()).into(),
    }));
    let serving = place.serve().await;
    let ways = Ways {
        place: &place,
        serving: &serving,
    };
    ways.packets().await;
    ways.others().await;
    until("refusals of the LTC system", async || {
        (place
            .value("SELECT count(*) >= 40 FROM delivery WHERE state = 'dead'")
            .await
            == "t")
            .then_some(())
    })
    .await;
    // The core gives no answer of its own, so it is paused and what is for it waits.
    let waits = "SELECT max(delivery_id) FROM delivery WHERE state = 'ready' AND destination = 'medical-core' AND EXISTS
        (SELECT FROM dispatcher_lease WHERE destination = 'medical-core' AND pause_reason IS NOT NULL)";
    let ready = until("a delivery that waits", async || {
        Some(place.value(waits).await).filter(|id| id != "-")
    })
    .await;
    let reason = everybody();
    for arguments in [
        &["mark-delivered", &ready][..],
        &["destinations", "resume", "medical-core"],
    ] {
        let said = place
            .run(&[arguments, &["--by", "Li", "--reason", &reason]].concat())
            .await;
        assert_eq!(said.status.code(), Some(0), "{}", said.err);
    }
    for (text, _) in planted() {
        place.run(&["trace", &text]).await;
    }
    pages(&place, &serving).await;
    let log = serving.log();
    assert!(
        log.contains("DEBUG")
            && log.contains("packet refused whole")
            && log.contains("dead letter"),
        "the log says what it should: {log}"
    );
    clean("the log", &log);
    assert!(
        !log.contains("executing statement") && !log.contains("preparing query"),
        "libraries log what they carry, even where trace was asked for"
    );
    clean(
        "PostgreSQL's log",
        &std::fs::read_to_string(place.dir.path().join("data/postgres/server.log")).unwrap(),
    );
    let columns = dumped(&place);
    let mut rested = 0;
    for (column, value) in &columns {
        if IN_THE_CLEAR.contains(&column.as_str()) {
            rested += usize::from(planted().iter().any(|(_, needle)| value.contains(needle)));
        } else {
            clean(column, value);
        }
    }
    assert!(rested > 20, "people are stored where they rest: {rested}");
    for masked in [
        "line_refusal.content",
        "packet_refusal.reason",
        "packet.reply",
        "roster.reply",
        "delivery.answer",
        "approval.reason",
        "attempt.answer",
        "registry_change.reason",
        "deduction_discrepancy.told",
    ] {
        assert!(
            columns
                .iter()
                .any(|(column, value)| column == masked && value.len() > 2),
            "nothing is in {masked}, so nothing was shown"
        );
    }
}
