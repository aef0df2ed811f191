//! Clients that are refused in the handshake, made by openssl: what the log says of each, and how much.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Place, Serving, until};

/// Runs openssl in a folder; panics when it fails.
fn openssl(dir: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .expect("openssl is there");
    assert!(
        output.status.success(),
        "openssl {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A client certificate of the stage's authority, by openssl; `key` and `extensions` as openssl wants them.
fn issue(place: &Place, name: &str, key: &str, extensions: Option<&str>) {
    let pki = &place.stage.pki;
    openssl(
        pki,
        &format!("req -newkey {key} -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"),
    );
    let with = match extensions {
        Some(text) => {
            std::fs::write(pki.join(format!("{name}.cnf")), text).expect("written");
            format!("-extfile {name}.cnf")
        }
        None => String::new(),
    };
    openssl(
        pki,
        &format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 9 {with} -out {name}.pem"
        ),
    );
}

/// Tries a handshake with a certificate; what comes of it is in the gateway's log.
async fn connect(place: &Place, serving: &Serving, arguments: &str) {
    let arguments = format!(
        "s_client -connect 127.0.0.1:{} -CAfile ca.pem {arguments}",
        serving.partner
    );
    let pki = place.stage.pki.clone();
    let mut command = Command::new("openssl");
    command
        .args(arguments.split_whitespace())
        .current_dir(pki)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    tokio::task::spawn_blocking(move || command.status())
        .await
        .expect("no panic")
        .expect("openssl is there");
}

/// The log's line with a reason.
async fn line(serving: &Serving, reason: &str) -> String {
    let word = format!("reason=\"{reason}\"");
    until(&word, async || {
        serving
            .log()
            .lines()
            .find(|line| line.contains(&word))
            .map(str::to_string)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_handshake_is_one_line_with_address_subject_and_what_to_change() {
    let place = Place::new();
    let serving = place.serve().await;
    let client = "extendedKeyUsage = clientAuth\nsubjectAltName = DNS:tax.nanning.example\n";
    let p256 = "ec -pkeyopt ec_paramgen_curve:P-256";
    issue(
        &place,
        "on-p521",
        "ec -pkeyopt ec_paramgen_curve:P-521",
        Some(client),
    );
    issue(
        &place,
        "for-servers",
        p256,
        Some("extendedKeyUsage = serverAuth\n"),
    );
    let many: Vec<String> = (0..500).map(|n| format!("DNS:n{n}.example")).collect();
    issue(
        &place,
        "of-many",
        p256,
        Some(&format!(
            "extendedKeyUsage = serverAuth\nsubjectAltName = {}\n",
            many.join(",")
        )),
    );
    let cases = [
        (
            "no_certificate",
            "-cert on-p521.pem -key on-p521.key",
            "P-521",
        ),
        (
            "wrong_use",
            "-cert for-servers.pem -key for-servers.key",
            "clientAuth",
        ),
        ("no_common_cipher", "-tls1_2 -cipher AES128-SHA", "ECDHE"),
        (
            "no_common_version",
            "-tls1_1 -cipher ALL:@SECLEVEL=0",
            "TLS 1.3",
        ),
    ];
    for (reason, arguments, what_to_change) in cases {
        connect(&place, &serving, arguments).await;
        let line = line(&serving, reason).await;
        assert!(
            line.contains("peer=127.0.0.1:") && line.contains(what_to_change),
            "{line}"
        );
    }
    let line = line(&serving, "wrong_use").await;
    assert!(line.contains("CN=for-servers"), "{line}");
    connect(&place, &serving, "-cert of-many.pem -key of-many.key").await;
    let metrics = until("the refusal to be counted", async || {
        serving.operator("/metrics").await.filter(|(_, text)| {
            text.contains("ltcgw_handshakes_refused_total{reason=\"wrong_use\"} 2")
        })
    });
    assert_eq!(metrics.await.0, 200);
    assert!(
        serving.log().lines().all(|line| line.len() < 2_000),
        "{}",
        serving.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_1_certificate_is_told_that_it_is_one() {
    let place = Place::new();
    let serving = place.serve().await;
    let pki = &place.stage.pki;
    issue(&place, "old", "ec -pkeyopt ec_paramgen_curve:P-256", None);
    let text = Command::new("openssl")
        .args(["x509", "-in", "old.pem", "-noout", "-text"])
        .current_dir(pki)
        .output()
        .expect("openssl is there");
    assert!(
        String::from_utf8_lossy(&text.stdout).contains("Version: 1 "),
        "this openssl adds extensions by itself: the case needs one that does not (3.0, 3.1)"
    );
    connect(&place, &serving, "-cert old.pem -key old.key").await;
    let line = line(&serving, "old_version").await;
    assert!(
        line.contains("CN=old") && line.contains("version 3"),
        "{line}"
    );
}

/// A revocation list of the stage's authority with an issuing distribution point, by openssl.
fn list_with_point(place: &Place, point: &str) {
    let pki = &place.stage.pki;
    let config = format!(
        "[ca]\ndefault_ca = here\n[here]\ndatabase = index.txt\ncrlnumber = number\ndefault_md = sha256\ndefault_crl_days = 9\n[list]\nissuingDistributionPoint = critical, @point\n[point]\n{point}"
    );
    for (name, text) in [
        ("list.cnf", config.as_str()),
        ("index.txt", ""),
        ("number", "01\n"),
    ] {
        std::fs::write(pki.join(name), text).expect("written");
    }
    openssl(
        pki,
        "ca -config list.cnf -gencrl -crlexts list -keyfile ca.key -cert ca.pem -out crl.pem",
    );
}

/// What doctor and a start say, in one line each.
async fn doctor_and_start(place: &Place) -> [String; 2] {
    let mut said = Vec::new();
    for command in ["doctor", "serve"] {
        let ended = place.run(&[command]).await;
        assert_ne!(ended.status.code(), Some(0), "{command}: {}", ended.out);
        said.push(
            format!("{} {}", ended.out, ended.err)
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" "),
        );
    }
    said.try_into().expect("two")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_whose_key_verifies_nobody_is_found_by_doctor_and_at_the_start() {
    let place = Place::new();
    let p521 = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-521 -nodes -keyout p521.key -out p521.pem -subj /CN=strong -days 9";
    openssl(&place.stage.pki, p521);
    openssl(
        &place.stage.pki,
        "req -x509 -newkey rsa:1024 -nodes -keyout weak.key -out weak.pem -subj /CN=weak -days 9",
    );
    for (file, subject, key) in [
        ("p521.pem", "CN=strong", "P-521"),
        ("weak.pem", "CN=weak", "RSA key of 1024 bits"),
    ] {
        std::fs::copy(place.stage.pki.join(file), place.stage.pki.join("ca.pem")).expect("copied");
        for said in doctor_and_start(&place).await {
            assert!(
                said.contains(subject) && said.contains(key) && said.contains("P-256"),
                "{said}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_list_that_covers_nobody_is_found_by_doctor_and_at_the_start() {
    let place = Place::new();
    for (point, found) in [
        (
            "fullname = URI:http://ca.example/a.crl\nonlyCA = TRUE\n",
            "certificates of authorities only",
        ),
        (
            "fullname = URI:http://ca.example/a.crl\nindirectCRL = TRUE\n",
            "indirect",
        ),
        ("onlyuser = TRUE\n", "without an address"),
    ] {
        list_with_point(&place, point);
        for said in doctor_and_start(&place).await {
            assert!(
                said.contains(found) && said.contains("covers no client"),
                "{point}: {said}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_list_for_one_distribution_point_serves_and_says_for_which() {
    let place = Place::new();
    list_with_point(&place, "fullname = URI:http://ca.example/a.crl\n");
    let said = place.run(&["doctor"]).await;
    let text = said.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("http://ca.example/a.crl"), "{}", said.out);
    let serving = place.serve().await;
    until(
        "the log to name the list's distribution point",
        async || {
            serving
                .log()
                .contains("http://ca.example/a.crl")
                .then_some(())
        },
    )
    .await;
    issue(
        &place,
        "elsewhere",
        "ec -pkeyopt ec_paramgen_curve:P-256",
        Some(
            "extendedKeyUsage = clientAuth\ncrlDistributionPoints = URI:http://ca.example/b.crl\n",
        ),
    );
    connect(&place, &serving, "-cert elsewhere.pem -key elsewhere.key").await;
    let line = line(&serving, "no_revocation_list").await;
    assert!(
        line.contains("CN=elsewhere") && line.contains("[tls] crl"),
        "{line}"
    );
}
