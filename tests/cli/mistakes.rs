//! Mistakes people make in every file and argument, and the sentence each must get: where, what was found,
//! what is allowed, what to do.

use std::path::Path;

use crate::support::{Place, project, run};

/// A file below the scene, a text in it, what stands there by mistake, and what must be said.
type Mistake = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

const GATEWAY: &[Mistake] = &[
    (
        "gateway.toml",
        "[privacy]",
        "[privcy]",
        &[
            "gateway.toml:",
            "unknown key `privcy`",
            "did you mean `privacy`?",
        ],
    ),
    (
        "gateway.toml",
        "[privacy]",
        "# [privacy]",
        &[
            "unknown key `key_file`",
            "`key_file` is a key of [privacy]: is that line missing above it?",
        ],
    ),
    (
        "gateway.toml",
        "client_ca =",
        "clientca =",
        &[
            "unknown key `clientca`; expected one of certificate, key, client_ca, crl, tlcp (did you mean `client_ca`?)",
        ],
    ),
    (
        "gateway.toml",
        "[log]",
        "[log]\njson = \"yes\"",
        &["found the text \"yes\"; expected true or false, without quotes"],
    ),
    (
        "gateway.toml",
        "[receive]",
        "[receive]\nlines_max = \"5\"",
        &["found the text \"5\"; expected a whole number", "write 5"],
    ),
    (
        "gateway.toml",
        "[receive]",
        "[receive]\nidle_seconds = -30",
        &["found the number -30; expected a whole number, not below 0"],
    ),
    (
        "gateway.toml",
        "[receive]",
        "[receive]\nlines_max = 0",
        &[
            "[receive] lines_max is 0 or less; expected at least 1",
            "gateway.toml:",
        ],
    ),
    (
        "gateway.toml",
        "[deliver]",
        "[deliver]\npoll_milliseconds = 0",
        &["[deliver] poll_milliseconds is 0 or less"],
    ),
    (
        "gateway.toml",
        "[receive]",
        "[receive]\nearliest_month = \"201001\"",
        &["earliest_month is `201001`; expected a month such as 2010-01"],
    ),
    (
        "gateway.toml",
        "rates_dir =",
        "rates_dir = \"x\"\nrates_dir =",
        &["`rates_dir` stands here a second time; keep one of the two lines"],
    ),
    (
        "gateway.toml",
        "[database]",
        "[database]\npassword_file = \"x\"",
        &["[database] password_file is given, and `url` is not"],
    ),
    (
        "gateway.toml",
        "[listen]",
        "[listen]\npublic_url = \"http://x\"",
        &["public_url is `http://x`; expected https://host[:port] without a path"],
    ),
];

const PARTNERS: &[Mistake] = &[
    (
        "partners.toml",
        "requests_per_second = 200\nburst",
        "request_per_second = 200\nburst",
        &["partners.toml:", "did you mean `requests_per_second`?"],
    ),
    (
        "partners.toml",
        "[partner.inbound]\nsan = \"tax.",
        "[partner.inbond]\nsan = \"tax.",
        &["unknown key `inbond`", "did you mean `inbound`?"],
    ),
    (
        "partners.toml",
        "[[partner]]\nname = \"ltc-system\"",
        "name = \"ltc-system\"",
        &["stands here a second time", "is that line missing"],
    ),
    (
        "partners.toml",
        "adapter = \"tax-bureau\"\n",
        "adapter = \"tax-burau\"\n",
        &[
            "partners.toml:6:",
            "no adapter `tax-burau`",
            "did you mean `tax-bureau`?",
        ],
    ),
    (
        "partners.toml",
        "POST /tax/v1/packets",
        "POST /tax/v1/packet",
        &[
            "partners.toml:10:",
            "no endpoint `packet`",
            "did you mean `packets`?",
        ],
    ),
    (
        "partners.toml",
        "POST /tax/v1/packets",
        "/tax/v1/packets",
        &["expected a method and a path such as `POST /tax/v1/packets`"],
    ),
    (
        "partners.toml",
        "PUT /ltc/v1/caregivers",
        "PUT /ltc/v1/caregiver",
        &["none of the gateway's own (did you mean `PUT /ltc/v1/caregivers/*`?)"],
    ),
    (
        "partners.toml",
        "[\"contributions\", \"deductions\"]",
        "[\"contribution\", \"deductions\"]",
        &["no outbound message `contribution`", "did you mean"],
    ),
    (
        "partners.toml",
        "areas = [\"450100\"]",
        "areas = [450100]",
        &["found the number 450100; expected a text in quotes: write \"450100\""],
    ),
    (
        "partners.toml",
        "areas = [\"450100\"]",
        "areas = [\"4501\"]",
        &["areas has `4501`; expected six digits of GB/T 2260"],
    ),
    (
        "partners.toml",
        "requests_per_second = 200\nburst",
        "requests_per_second = \"200\"\nburst",
        &["found the text \"200\"", "without quotes: write 200"],
    ),
    (
        "partners.toml",
        "requests_per_second = 200\nburst",
        "requests_per_second = 0\nburst",
        &["partners.toml:11:", "must be at least 1"],
    ),
    (
        "partners.toml",
        "# window = \"01:00-05:00\"",
        "window = \"1-5\"",
        &["`1-5` is not a window of the day; expected two different times such as"],
    ),
    (
        "partners.toml",
        "name = \"nanning-tax-native\"",
        "name = \"nanning-tax\"",
        &["partner `nanning-tax` is defined twice; names must be unique"],
    ),
    (
        "partners.toml",
        "name = \"nanning-tax\"\n",
        "name = \"Nanning Tax\"\n",
        &["partner name `Nanning Tax`: expected lower-case letters, digits and hyphens"],
    ),
    (
        "partners.toml",
        "infver = \"V1.0\"\n",
        "",
        &[
            "partners.toml:",
            "setting `infver` is missing; nhsa needs it",
        ],
    ),
    (
        "partners.toml",
        "sm2_key = \"secrets/",
        "sm2_key = \"secret/",
        &[
            "secret `sm2_key` cannot be read",
            "expected a key or token file here",
        ],
    ),
    (
        "partners.toml",
        "certificate = \"pki/outbound/medical-core.pem\"",
        "certificate = \"pki/x.pem\"",
        &["partners.toml:", "x.pem: cannot be read"],
    ),
];

const RATES_AND_RULES: &[Mistake] = &[
    (
        "rates/450100-nanning.toml",
        "payer = \"employer\"",
        "payer = \"employr\"",
        &[
            "`employr` is not known here; expected one of",
            "did you mean `employer`?",
        ],
    ),
    (
        "rates/450100-nanning.toml",
        "\"6.95 %\"",
        "0.0695",
        &["found the number 0.0695; expected a text in quotes"],
    ),
    (
        "rates/450100-nanning.toml",
        "\"6.95 %\"",
        "\"6.95\"",
        &["`rate` is `6.95`; expected a percentage"],
    ),
    (
        "rates/450100-nanning.toml",
        "from = \"2021-03\"",
        "from = 2021-03",
        &["this is not TOML", "write it in quotes"],
    ),
    (
        "rates/450100-nanning.toml",
        "from = \"2021-03\"",
        "from = \"2021-3\"",
        &["`from` is `2021-3`; expected a month such as `2021-03`"],
    ),
    (
        "rates/450100-nanning.toml",
        "\"6.80 %\"",
        "\"6.81 %\"",
        &["the parts add up to 6.96 %, but `rate` is 6.95 %; they must be equal"],
    ),
    (
        "rates/450100-nanning.toml",
        "area = \"450100\"",
        "area = 450100",
        &["found the number 450100; expected a text in quotes"],
    ),
    (
        "rules/450100-nanning.toml",
        "check = \"beds\"",
        "check = \"bed\"",
        &["`bed` is not known here", "did you mean `beds`?"],
    ),
    (
        "rules/450100-nanning.toml",
        "\"450102\"",
        "\"45010\"",
        &["division `45010`; expected six digits (GB/T 2260)"],
    ),
];

const ADAPTER: &[Mistake] = &[
    (
        "adapter.toml",
        "accepted = [{ status = 200,",
        "accepted = [{ status = \"200\",",
        &["found `\"200\"`; expected a status of HTTP without quotes, such as 200"],
    ),
    (
        "adapter.toml",
        "code_at = [\"/infcode\", \"/code\"]",
        "code_at = 1",
        &["found `1`; expected a text in quotes, or a list of such texts"],
    ),
    (
        "adapter.toml",
        "accepted = [{ status = 200,",
        "accepted = [{ stats = 200,",
        &["unknown key `stats`", "did you mean `status`?"],
    ),
    (
        "adapter.toml",
        "inquiry = \"contributions_inquiry\"",
        "inquiry = \"contributions_inquiery\"",
        &["did you mean `contributions_inquiry`?"],
    ),
    (
        "adapter.toml",
        "{ from = \"psn_no\", max = 30 }",
        "{ from = \"psn_no\", agrees_with = \"psn_number\", max = 30 }",
        &["no sample of roster_person has"],
    ),
    (
        "adapter.toml",
        "{ from = \"psn_no\", max = 30 }",
        "{ from = \"psn_no\", agrees_with = \"psn_no\", max = 30 }",
        &["expected another element that says the same"],
    ),
    (
        "adapter.toml",
        "{ from = \"psn_no\", max = 30 }",
        "{ from = [\"psn_no\"], max = 30 }",
        &["adapter.toml:", "found a list; expected a text in quotes"],
    ),
    (
        "adapter.toml",
        "path = \"/fsi/api/ltc/contributions\"",
        "path = \"/{{ setting.x }}/c\"",
        &[
            "path: `setting` is in no sample",
            "did you mean `settings`?",
        ],
    ),
    (
        "templates/contributions.json",
        "line.receipt_no ",
        "line.receipt_nummer ",
        &[
            "contributions.json:13:",
            "`line.receipt_nummer` is in no sample of `contributions`",
        ],
    ),
    (
        "templates/contributions.json",
        "delivery.pooling_area",
        "dlivery.pooling_area",
        &["contributions.json:3:", "did you mean `delivery`?"],
    ),
    (
        "templates/contributions.json",
        "yuan_number",
        "yuan_nummber",
        &[
            "there is no filter `yuan_nummber`",
            "did you mean `yuan_number`?",
        ],
    ),
    (
        "templates/contributions.json",
        "code(\"payment_kind\")",
        "code(\"payment_kinds\")",
        &["no codes/payment_kinds.csv (did you mean `payment_kind`?)"],
    ),
    (
        "templates/contributions.json",
        "endfor %}",
        "endfr %}",
        &["contributions.json:19:", "not a template"],
    ),
    (
        "codes/person_type.csv",
        ",active,",
        ",activ,",
        &[
            "person_type.csv:2:",
            "`ours` is `activ`; expected one of",
            "did you mean `active`?",
        ],
    ),
    (
        "codes/person_type.csv",
        "theirs,ours,meaning",
        "theirs;ours;meaning",
        &["person_type.csv:1:1: the first line is `theirs;ours;meaning`; expected"],
    ),
];

fn change(file: &Path, (name, from, to, _): &Mistake) {
    let text =
        std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    assert!(text.contains(from), "{name} has no `{from}`");
    std::fs::write(file, text.replacen(from, to, 1)).unwrap();
}

/// What is not said of it.
fn unsaid(said: &str, mistake: &Mistake) -> Option<String> {
    let missing: Vec<&&str> = mistake
        .3
        .iter()
        .filter(|part| !said.contains(**part))
        .collect();
    (!missing.is_empty()).then(|| {
        format!(
            "{} `{}`: {missing:?} is not said:\n{said}\n",
            mistake.0, mistake.2
        )
    })
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_in_the_configuration_is_told_with_its_place_and_what_to_do() {
    let place = Place::new();
    for folder in ["rates", "rules"] {
        copy(
            &project().join("config").join(folder),
            &place.dir.path().join(folder),
        );
    }
    let gateway = place.config().join("gateway.toml");
    let text = std::fs::read_to_string(&gateway).unwrap();
    let own = |line: &str| match line.split_once("_dir = ") {
        Some((folder @ ("rates" | "rules"), _)) => format!("{folder}_dir = \"../{folder}\""),
        _ => line.to_owned(),
    };
    std::fs::write(
        &gateway,
        text.lines()
            .map(|line| own(line) + "\n")
            .collect::<String>(),
    )
    .unwrap();
    let mut wrong = String::new();
    for mistake in GATEWAY.iter().chain(PARTNERS).chain(RATES_AND_RULES) {
        let file = place.config().join(mistake.0);
        let file = if file.exists() {
            file
        } else {
            place.dir.path().join(mistake.0)
        };
        let sound = std::fs::read_to_string(&file).unwrap();
        change(&file, mistake);
        let said = place.run(&["serve"]).await;
        std::fs::write(&file, sound).unwrap();
        assert_eq!(said.status.code(), Some(1), "{mistake:?}: {}", said.err);
        wrong.extend(unsaid(&said.err, mistake));
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_in_an_adapter_is_told_by_its_check() {
    let dir = tempfile::tempdir().unwrap();
    let mut wrong = String::new();
    for mistake in ADAPTER {
        let folder = dir.path().join("medical-core");
        copy(&project().join("adapters/medical-core"), &folder);
        change(&folder.join(mistake.0), mistake);
        let said = run(&[
            "adapter",
            "check",
            "--dir",
            &dir.path().display().to_string(),
        ])
        .await;
        assert_eq!(said.status.code(), Some(1), "{mistake:?}: {}", said.out);
        wrong.extend(unsaid(&said.err, mistake));
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_in_the_databases_address_is_told_with_host_port_and_cause() {
    let place = Place::new();
    let file = place.config().join("gateway.toml");
    let sound = std::fs::read_to_string(&file).unwrap();
    let mut wrong = String::new();
    for (url, expected) in [
        (
            "postgres://ltcgw@127.0.0.1:1/ltcgw",
            &["127.0.0.1:1: Connection refused", "nothing listens there"][..],
        ),
        (
            "postgres://ltcgw@nowhere.invalid:5432/ltcgw",
            &[
                "nowhere.invalid:5432: failed to lookup address",
                "name is not known",
            ],
        ),
        (
            "mysql://ltcgw@127.0.0.1/ltcgw",
            &[
                "gateway.toml:",
                "[database] url: it begins with `mysql://`",
                "PostgreSQL only",
            ],
        ),
        (
            "ltcgw@127.0.0.1:5432/ltcgw",
            &[
                "gateway.toml:",
                "it does not begin with postgres://",
                "expected postgres://user@host:port/name",
            ],
        ),
        (
            "postgres://ltcgw@127.0.0.1/ltcgw?sslmode=require",
            &["gateway.toml:", "sslmode=require needs `ca` in [database]"],
        ),
    ] {
        std::fs::write(
            &file,
            sound.replace("[database]", &format!("[database]\nurl = \"{url}\"")),
        )
        .unwrap();
        let said = place.run(&["migrate"]).await;
        assert_eq!(said.status.code(), Some(1), "{url}: {}", said.out);
        wrong.extend(
            expected
                .iter()
                .filter(|part| !said.err.contains(**part))
                .map(|part| format!("{url}: {part} is not in {}\n", said.err)),
        );
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_in_an_argument_says_what_is_expected() {
    let mut wrong = String::new();
    for (arguments, expected) in [
        (
            &["deduct", "status", "--area", "45", "--month", "2021-10"][..],
            "expected a pooling area of six digits such as 450100",
        ),
        (
            &["deduct", "status", "--area", "450100", "--month", "202110"],
            "expected a contribution month such as 2021-10",
        ),
        (
            &["demo", "--month", "2021-13"],
            "expected one such as 2021-10",
        ),
        (
            &["demo", "--month", "2031-01"],
            "the demo cannot play 2031-01; it can play 2010-04 to 20",
        ),
        (&["serv"], "a similar subcommand exists: 'serve'"),
        (
            &["serve", "--config", "/nowhere"],
            "/nowhere/gateway.toml: cannot be read",
        ),
        (
            &["adapter", "new", "Foo", "--dir", "/nowhere"],
            "expected lower-case letters, digits and hyphens",
        ),
    ] {
        let said = run(arguments).await;
        assert!(!said.status.success(), "{arguments:?}");
        if !said.err.contains(expected) {
            wrong += &format!("{arguments:?}: `{expected}` is not in {}\n", said.err);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn trial_certificates_go_beside_the_configuration_when_nobody_says_where() {
    let place = Place::new();
    std::fs::remove_dir_all(place.config().join("pki")).ok();
    let said = place.run(&["pki", "init"]).await;
    assert_eq!(said.status.code(), Some(0), "{}", said.err);
    assert!(
        place.config().join("pki/ca.pem").is_file()
            && place.config().join("pki/server.key").is_file(),
        "{}",
        said.out
    );
}
