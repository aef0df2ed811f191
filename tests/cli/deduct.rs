//! `deduct`: a month from plan to workbook, and what operators are told when it cannot be.

use std::io::Read;

use crate::support::{Place, Said};

const OF: [&str; 4] = ["--area", "450100", "--month", "2021-10"];

async fn deduct(place: &Place, command: &str, more: &[&str]) -> Said {
    place
        .run(&[&["deduct", command], &OF[..], more].concat())
        .await
}

fn done(said: &Said, expected: &[&str]) {
    assert_eq!(said.status.code(), Some(0), "{}", said.err);
    for text in expected {
        assert!(said.out.contains(text), "`{text}` is not in {}", said.out);
    }
}

fn refused(said: &Said, expected: &str) {
    assert_eq!(said.status.code(), Some(1), "{}", said.out);
    assert!(
        said.err.contains(expected),
        "`{expected}` is not in {}",
        said.err
    );
}

/// The medical core receives deductions as far as commands see; the gateway that serves was started before.
fn receives_deductions(place: &Place) {
    let path = place.config().join("partners.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    if !text.contains("\"deductions\"") {
        std::fs::write(
            &path,
            text.replacen(
                "receives = [\"contributions\"]",
                "receives = [\"contributions\", \"deductions\"]",
                1,
            ),
        )
        .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_goes_from_plan_to_workbook_by_two_people() {
    let place = Place::with(|scene| {
        scene
            .edit(", \"deductions\"]", "]")
            .edit("records_per_request = 2000 ", "records_per_request = 500 ")
    });
    let _serving = place.serve().await;
    refused(
        &deduct(&place, "plan", &["--by", "Li"]).await,
        "nobody deducts in pooling area 450100",
    );
    refused(
        &deduct(&place, "run", &["--by", "Wang"]).await,
        "\"deductions\" in `receives`",
    );
    receives_deductions(&place);
    refused(
        &deduct(&place, "plan", &["--by", "Li"]).await,
        "nobody is on a roster for 450100 2021-10",
    );
    place
        .value(
            "INSERT INTO roster_entry SELECT 450100, 'P' || lpad(n::text, 6, '0'), 202101, 1,
                (ARRAY['active', 'active', 'retired', 'flexible', 'unemployed'])[1 + n % 5]::insured_category,
                n % 50 > 0, NULL, (ARRAY[450102, 450103, 450105, 450107, 450108, 450110])[1 + n % 6], 300000 + n * 100
             FROM generate_series(1, 1200) n",
        )
        .await;
    let plan = deduct(&place, "plan", &["--by", "Li"]).await;
    done(
        &plan,
        &[
            "Deductions of 450100 for 2021-10: planned",
            "1,176 people",
            "no_account",
            "无个人账户",
            "ltcgw deduct approve --area 450100 --month 2021-10",
        ],
    );
    done(
        &plan,
        &[
            "active 在职",
            "flexible 灵活就业",
            "there is no cycle of the month before to compare with",
        ],
    );
    let digest = plan
        .out
        .split("--digest ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .expect("the next command names the digest")
        .to_owned();

    refused(
        &deduct(&place, "run", &["--by", "Wang"]).await,
        "is not approved",
    );
    refused(
        &deduct(&place, "approve", &["--by", "Li", "--digest", &digest]).await,
        "Li made the plan",
    );
    refused(
        &deduct(&place, "approve", &["--by", "Wang", "--digest", "00000000"]).await,
        "that is not the digest of the plan",
    );
    done(
        &deduct(&place, "approve", &["--by", "Wang", "--digest", &digest]).await,
        &[
            "approved by Wang",
            "ltcgw deduct run --area 450100 --month 2021-10",
        ],
    );
    done(
        &deduct(&place, "run", &["--by", "Wang", "--no-wait"]).await,
        &["1,176 people are queued to medical-core, in 3 requests"],
    );
    refused(
        &deduct(&place, "run", &["--by", "Wang"]).await,
        "a person is deducted from once a month",
    );

    place.value("UPDATE delivery SET state = 'dead', lease_token = NULL, leased_until = NULL, under_way = false, answer = 'refused', outcome = 'rejected', settled_at = now() WHERE subject_kind = 'batch'").await;
    done(
        &deduct(&place, "status", &[]).await,
        &[
            "running",
            "0 of 1,176 people answered, 0 of 3 requests",
            "3 need a person: ltcgw dead list",
        ],
    );
    // What the core would have answered.
    place
        .value(
            "INSERT INTO deduction_result SELECT d.cycle_id, d.person_no, 1, 1,
                    CASE WHEN d.person_no LIKE '%7' THEN 'insufficient_balance' ELSE 'deducted' END::deduction_outcome,
                    CASE WHEN d.person_no LIKE '%7' THEN 0 ELSE d.fen END, NULL, NULL, NULL, 1234 FROM deduction d;
             INSERT INTO shortfall SELECT 450100, d.person_no, d.cycle_id, d.fen, 'carry_over' FROM deduction d WHERE d.person_no LIKE '%7';
             INSERT INTO entry (entry_id, kind, cycle_id, batch_no, posted_at) SELECT 1, 'deduction', cycle_id, 1, now() FROM deduction_cycle;
             INSERT INTO posting (entry_id, account, district, contribution_month, fund, fen)
                SELECT 1, side.account, district, 202110, 'long_term_care', side.sign * sum(d.fen)
                FROM deduction d, (VALUES ('personal_account', 1), ('fund', -1)) AS side(account, sign) WHERE d.person_no NOT LIKE '%7' GROUP BY 2, 3, side.sign;
             UPDATE deduction_batch SET answered = people, answered_at = now();
             UPDATE deduction_cycle SET state = 'settled', settled_at = now()",
        )
        .await;
    done(
        &deduct(&place, "status", &[]).await,
        &[
            "settled",
            "1,176 of 1,176 people answered",
            "insufficient_balance",
            "余额不足",
            "carried over to the next month",
        ],
    );
    let out = place.dir.path().join("october.xlsx");
    // It lists people: only its owner reads it, also where a file of that name was open to others.
    std::fs::write(&out, "an earlier one").unwrap();
    std::fs::set_permissions(&out, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    done(
        &deduct(&place, "report", &["--out", &out.display().to_string()]).await,
        &["october.xlsx: 120 people short, 24 left out"],
    );
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&out).unwrap().permissions())
            & 0o777,
        0o600
    );
    let mut start = [0; 4];
    std::fs::File::open(&out)
        .unwrap()
        .read_exact(&mut start)
        .unwrap();
    assert_eq!(&start, b"PK\x03\x04", "a workbook is a ZIP archive");
    cross_foots(&place, &out).await;
    if let Ok(kept) = std::env::var("LTCGW_KEEP_WORKBOOK") {
        std::fs::copy(&out, kept).unwrap();
    }
    refused(
        &deduct(&place, "report", &["--out", "/nowhere/october.xlsx"]).await,
        "/nowhere/october.xlsx",
    );
    refused(
        &deduct(&place, "retry", &[]).await,
        "nobody of 450100 2021-10 is to be tried again",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_login_plans_and_approves_under_no_two_names() {
    let place = Place::with(|scene| scene.edit("same_login = true ", "same_login = false "));
    let _serving = place.serve().await;
    place.value("INSERT INTO roster_entry SELECT 450100, 'P' || n, 202101, 1, 'active', true, 'E1', 450102, 400000 FROM generate_series(1, 5) n").await;
    let plan = deduct(&place, "plan", &["--by", "Li"]).await;
    done(
        &plan,
        &[
            "login of who planned: ",
            "by somebody other than Li, under a login of their own",
        ],
    );
    let digest = plan
        .out
        .split("--digest ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .expect("the next command names the digest")
        .to_owned();
    let refusal = deduct(&place, "approve", &["--by", "Wang", "--digest", &digest]).await;
    refused(
        &refusal,
        "`[approval] same_login = true` in gateway.toml gives the second look up",
    );
    assert_eq!(
        place
            .value("SELECT state, approved_by FROM deduction_cycle")
            .await,
        "planned -"
    );
    for (name, expected) in [
        ("W\u{200b}ang", "U+200B"),
        ("\u{202e}gnaW", "U+202E"),
        (" ", "say who decides (--by NAME)"),
    ] {
        refused(
            &deduct(&place, "approve", &["--by", name, "--digest", &digest]).await,
            expected,
        );
    }
    // What is put in the place of another plan says so.
    place
        .value("UPDATE roster_entry SET base_fen = 500000 WHERE person_no = 'P1'")
        .await;
    refused(
        &deduct(&place, "plan", &["--by", "Zhao", "--replace", "00000000"]).await,
        "the one given is another",
    );
    done(
        &deduct(&place, "plan", &["--by", "Zhao"]).await,
        &[
            "planned by Zhao",
            "it takes the place of the plan by Li",
            &digest[..12],
        ],
    );
    assert_eq!(
        place
            .value("SELECT state, planned_by FROM deduction_cycle ORDER BY cycle_id")
            .await,
        "replaced Li; planned Zhao"
    );
}

/// Every sheet adds up, within itself and with the database.
async fn cross_foots(place: &Place, workbook: &std::path::Path) {
    let sheets: Vec<Vec<Vec<String>>> = (1..=5).map(|number| rows(workbook, number)).collect();
    let summary: Vec<&Vec<String>> = sheets[0]
        .iter()
        .skip_while(|row| !row[0].contains("district"))
        .take_while(|row| !row[0].contains("result"))
        .collect();
    // Whoever reads it by program looks for the word, and beside Chinese without a space it is none.
    for (column, word) in (2..).zip([
        "active",
        "retired",
        "flexible",
        "unemployed",
        "carried",
        "take",
    ]) {
        assert!(
            summary[0][column]
                .split(|c: char| !c.is_alphanumeric())
                .any(|part| part == word),
            "{word}: {}",
            summary[0][column]
        );
    }
    assert_eq!(summary[1][0], "450102 Xingning (兴宁区)");
    adds_up(&summary[1..], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    for row in &summary[1..] {
        let at = |column: usize| fen(&row[column]);
        assert_eq!(
            (2..=6).map(at).sum::<i64>(),
            at(7),
            "categories and what is carried make what is to be taken: {row:?}"
        );
        assert_eq!(
            at(9) + at(10),
            at(7),
            "what was taken and what was not: {row:?}"
        );
    }
    for (sheet, columns) in [
        (1, &[3, 4, 5][..]),
        (2, &[2]),
        (3, &[2, 3, 4, 5, 6, 7]),
        (4, &[4]),
    ] {
        adds_up(&sheets[sheet].iter().skip(1).collect::<Vec<_>>(), columns);
    }
    let taken = place.value("SELECT sum(fen) FROM deduction_result").await;
    let last = |sheet: usize, column: usize| {
        fen(&sheets[sheet].last().expect("a row")[column]).to_string()
    };
    assert_eq!(
        (
            fen(&summary.last().expect("a row")[9]).to_string(),
            last(2, 2)
        ),
        (taken.clone(), taken),
        "taken by district and posted are the same"
    );
    assert_eq!(
        last(4, 4),
        place
            .value("SELECT sum(due_fen) FROM deduction_left_out")
            .await
    );
}

/// The last row is the sums of all others, column by column.
fn adds_up(rows: &[&Vec<String>], columns: &[usize]) {
    let (sums, rows) = rows.split_last().expect("rows");
    assert!(
        sums.iter().take(2).any(|cell| cell.contains("合计")),
        "{sums:?}"
    );
    for column in columns {
        assert_eq!(
            rows.iter().map(|row| fen(&row[*column])).sum::<i64>(),
            fen(&sums[*column]),
            "column {column}"
        );
    }
}

/// A cell's number in hundredths.
fn fen(cell: &str) -> i64 {
    let (whole, part) = cell.split_once('.').unwrap_or((cell, ""));
    let sign = if cell.starts_with('-') { -1 } else { 1 };
    let number = |text: &str| {
        text.parse::<i64>()
            .unwrap_or_else(|_| panic!("no number: {cell}"))
    };
    sign * (number(whole).abs() * 100 + number(&format!("{part:0<2}")))
}

/// A sheet's rows from the XML in the archive; a row whose first cells are empty keeps their places.
fn rows(workbook: &std::path::Path, number: usize) -> Vec<Vec<String>> {
    let shared = part(workbook, "xl/sharedStrings.xml");
    let shared: Vec<String> = between(&shared, "<si>", "</si>")
        .iter()
        .map(|item| between(item, "<t", "</t>").concat())
        .map(|text| plain(&text))
        .collect();
    let sheet = part(workbook, &format!("xl/worksheets/sheet{number}.xml"));
    let row = |row: &String| {
        let mut found: Vec<String> = Vec::new();
        for cell in &between(row, "<c ", "<c ") {
            let value = between(cell, "<v>", "</v>").concat();
            let inline = between(cell, "<t", "</t>").concat();
            found.push(match (cell.contains("t=\"s\""), inline.is_empty()) {
                (true, _) => shared[value.parse::<usize>().expect("an index")].clone(),
                (false, false) => plain(&inline),
                (false, true) => value,
            });
        }
        found
    };
    between(&sheet, "<row ", "</row>")
        .iter()
        .map(row)
        .filter(|cells| !cells.is_empty())
        .collect()
}

/// What stands behind the end of a tag that began with `<t`.
fn plain(text: &str) -> String {
    text.split_once('>')
        .map_or(text, |(_, text)| text)
        .to_owned()
}

fn between(text: &str, start: &str, end: &str) -> Vec<String> {
    text.split(start)
        .skip(1)
        .map(|rest| {
            rest.split_once(end)
                .map_or(rest, |(inside, _)| inside)
                .to_owned()
        })
        .collect()
}

/// A file of the archive, found by its central directory.
fn part(archive: &std::path::Path, name: &str) -> String {
    let bytes = std::fs::read(archive).expect("an archive");
    let number = |at: usize, length: usize| {
        bytes[at..at + length]
            .iter()
            .rev()
            .fold(0_usize, |number, byte| number << 8 | usize::from(*byte))
    };
    let end = bytes
        .windows(4)
        .rposition(|four| four == b"PK\x05\x06")
        .expect("an end of the central directory");
    let mut at = number(end + 16, 4);
    while &bytes[at..at + 4] == b"PK\x01\x02" {
        let (size, local, names) = (number(at + 20, 4), number(at + 42, 4), number(at + 28, 2));
        if &bytes[at + 46..at + 46 + names] == name.as_bytes() {
            let data = local + 30 + number(local + 26, 2) + number(local + 28, 2);
            let mut text = String::new();
            flate2::read::DeflateDecoder::new(&bytes[data..data + size])
                .read_to_string(&mut text)
                .expect("a text");
            return text;
        }
        at += 46 + names + number(at + 30, 2) + number(at + 32, 2);
    }
    panic!("no {name}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discrepancy_is_listed_until_somebody_looked_at_it() {
    let place = Place::new();
    let _serving = place.serve().await;
    done(
        &deduct(&place, "discrepancies", &[]).await,
        &["no discrepancies"],
    );
    let sql = "INSERT INTO deduction_discrepancy (batch_no, person_no, kind, asked_fen, told_fen, told, sender, digest)
        VALUES (7, 'P7', 'other_amount', 600, 700, 'deducted 7.00', 'medical-core', sha256('x')) RETURNING discrepancy_id";
    let id = place.value(sql).await;
    done(
        &deduct(&place, "discrepancies", &[]).await,
        &[
            "other_amount",
            "P7",
            "6.00",
            "7.00",
            "nothing of these was posted",
        ],
    );
    let nothing_said = place
        .run(&["deduct", "resolve", &id, "--note", " ", "--by", "Li"])
        .await;
    refused(&nothing_said, "with a name and a note");
    let looked = place
        .run(&[
            "deduct",
            "resolve",
            &id,
            "--note",
            "the core mended it",
            "--by",
            "Li",
        ])
        .await;
    done(&looked, &["noted as looked at by Li"]);
    done(
        &deduct(&place, "discrepancies", &[]).await,
        &["no discrepancies"],
    );
    done(
        &deduct(&place, "discrepancies", &["--all"]).await,
        &["Li: the core mended it"],
    );
    refused(
        &place
            .run(&["deduct", "resolve", &id, "--note", "again", "--by", "Wang"])
            .await,
        "was looked at before, by Li",
    );
    refused(
        &place
            .run(&["deduct", "resolve", "999", "--note", "x", "--by", "Li"])
            .await,
        "there is no discrepancy 999",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn areas_and_months_that_are_none_are_told_apart_before_anything_is_done() {
    let place = Place::new();
    for (arguments, expected) in [
        (
            &["deduct", "plan", "--area", "45010", "--month", "2021-10"],
            "six digits such as 450100",
        ),
        (
            &["deduct", "plan", "--area", "450100", "--month", "202110"],
            "a contribution month such as 2021-10",
        ),
    ] {
        let said = place.run(arguments).await;
        assert_eq!(said.status.code(), Some(2));
        assert!(said.err.contains(expected), "{}", said.err);
    }
    refused(
        &deduct(&place, "status", &[]).await,
        "start the gateway first",
    );
}
