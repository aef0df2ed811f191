//! `doctor`: what is wrong is named before anybody serves, and looking changes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ltcgw::sandbox::pki::{Authority, Validity};
use ltcgw::sandbox::stage::Scene;

use crate::support::{Place, Said, project};

/// What doctor says, in one line: wrapping depends on the length of paths.
async fn doctor(place: &Place) -> (Said, String) {
    let said = place.run(&["doctor"]).await;
    let text = said.out.split_whitespace().collect::<Vec<_>>().join(" ");
    (said, text)
}

/// Doctor fails and says all of these.
async fn finds(place: &Place, expected: &[&str]) {
    let (said, text) = doctor(place).await;
    assert_eq!(said.status.code(), Some(1), "{}", said.out);
    for expected in expected {
        assert!(text.contains(expected), "{expected} is not in {}", said.out);
    }
}

/// Every file below a folder.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()))
        } else {
            found.push(entry.path())
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(&file, target).unwrap();
    }
}

fn put(place: &Place, name: &str, issued: &ltcgw::sandbox::pki::IssuedCertificate) {
    std::fs::write(
        place.stage.pki.join(format!("{name}.pem")),
        &issued.certificate_pem,
    )
    .unwrap();
    std::fs::write(place.stage.pki.join(format!("{name}.key")), &issued.key_pem).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_configuration_is_ready_to_serve_and_left_as_it_was() {
    let (place, _core, _ltc) = Place::with_partners(|scene| scene);
    let before = files(place.dir.path());
    let (said, text) = doctor(&place).await;
    assert_eq!(said.status.code(), Some(0), "{}", said.out);
    for expected in [
        "ready to serve",
        "takes our certificate",
        "embedded PostgreSQL",
        "450100",
        "samples pass",
        "needs the city_average_base of 20",
        "privacy key",
        "450100 (medical-core; told: ltc-system); in no partner's `areas`: 460000, 500100, 510100",
        "server certificate for localhost, 127.0.0.1: good for 36",
    ] {
        assert!(text.contains(expected), "{expected} is not in {}", said.out);
    }
    assert_eq!(files(place.dir.path()), before, "nothing was made");
    assert!(
        said.out.lines().count() < 64,
        "seven partners on one screen: {}",
        said.out
    );

    let _serving = place.serve().await;
    let (said, text) = doctor(&place).await;
    assert_eq!(said.status.code(), Some(0), "{}", said.out);
    assert!(
        text.contains("the embedded server of a gateway that runs now: schema ")
            && text.contains(", up to date"),
        "{}",
        said.out
    );
    place
        .value(
            "INSERT INTO deduction_cycle (cycle_id, pooling_area, month, state, digest, people, fen, planned_by) VALUES (1, 510100, 202510, 'planned', sha256('x'), 0, 0, 'a');
             INSERT INTO deduction_left_out SELECT 1, 'P' || n, 510104, 'retired', 'no_account_credit_base', 0 FROM generate_series(1, 2) n;
             INSERT INTO deduction_left_out VALUES (1, 'P3', 510104, 'retired', 'no_account', 5)",
        )
        .await;
    let (said, text) = doctor(&place).await;
    let expected =
        "the deductions of 510100 for 2025-10 leave out 2 people (no_account_credit_base)";
    assert!(
        text.contains(expected) && !text.contains("(no_account)"),
        "{}",
        said.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_partner_and_a_missing_secret_are_named() {
    let place = Place::new();
    std::fs::remove_file(place.config().join("secrets/medical-core-sm2.key")).unwrap();
    finds(
        &place,
        &[
            "partner medical-core",
            "secret `sm2_key` cannot be read",
            "127.0.0.1:1 cannot be reached",
            "partner ltc-system",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_others_than_their_owner_can_reach_are_named_with_their_mode() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let privacy = &place.stage.pki.parent().unwrap().to_path_buf();
    let key_file = ltcgw::config::Config::load(place.config())
        .expect("a configuration")
        .gateway
        .privacy
        .key_file;
    assert!(key_file.starts_with(privacy), "{}", key_file.display());
    let mode = |path: &std::path::Path, mode: u32| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap()
    };
    mode(&key_file, 0o644);
    mode(&place.stage.pki.join("server.key"), 0o640);
    mode(&place.config().join("secrets/medical-core-sm2.key"), 0o604);
    let (said, text) = doctor(&place).await;
    assert_eq!(said.status.code(), Some(1), "{}", said.out);
    let names: Vec<&str> = [
        "has mode 0644: every account",
        "has mode 0640: its group has access",
        "has mode 0604: every account",
        "expected 0600",
        "chmod 600 ",
    ]
    .to_vec();
    for expected in names {
        assert!(text.contains(expected), "{expected} is not in {}", said.out);
    }
    for path in [
        &key_file,
        &place.stage.pki.join("server.key"),
        &place.config().join("secrets/medical-core-sm2.key"),
    ] {
        mode(path, 0o600);
    }
    let (_, text) = doctor(&place).await;
    assert!(!text.contains("has mode"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sm2_key_that_is_none_is_named_without_showing_it() {
    let place = Place::new();
    std::fs::write(
        place.config().join("secrets/medical-core-sm2.key"),
        "open sesame",
    )
    .unwrap();
    let (said, text) = doctor(&place).await;
    assert_eq!(said.status.code(), Some(1));
    assert!(
        text.contains("sm2_key") && !text.contains("open sesame"),
        "{}",
        said.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_ended_end_soon_or_do_not_fit_are_named() {
    let place = Place::new();
    let authority = &place.stage.authority;
    put(
        &place,
        "server",
        &authority
            .server_valid(&["localhost"], Validity::expired())
            .unwrap(),
    );
    put(
        &place,
        "outbound/ltc-system",
        &authority
            .client_valid("gateway", Validity::days(12))
            .unwrap(),
    );
    let other = authority.client("gateway").unwrap();
    std::fs::write(
        place.stage.pki.join("outbound/medical-core.key"),
        &other.key_pem,
    )
    .unwrap();
    finds(
        &place,
        &[
            "server certificate for localhost: expired",
            "expires in 1",
            "outbound/medical-core.key: cannot be used with",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_revocation_list_is_named() {
    let place = Place::new();
    std::fs::write(
        place.stage.pki.join("crl.pem"),
        place
            .stage
            .authority
            .revocation_list_valid(&[], Validity::expired())
            .unwrap(),
    )
    .unwrap();
    finds(
        &place,
        &[
            "crl.pem",
            "should have been replaced",
            "fetch the current one",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_older_than_the_one_taken_before_is_named_by_log_and_doctor() {
    let place = Place::new();
    let mut serving = place.serve().await;
    serving.signal(nix::sys::signal::Signal::SIGTERM);
    serving.ended().await;
    let older = place
        .stage
        .authority
        .revocation_list_numbered(&[], Validity::days(30), 1)
        .unwrap();
    std::fs::write(place.stage.pki.join("crl.pem"), older).unwrap();
    let (_, text) = doctor(&place).await;
    for expected in [
        "(number 1, of ",
        "is older than the one taken before",
        "revocation-lists.pem, then restart the gateway",
    ] {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }
    let serving = place.serve().await;
    crate::support::until("the log to say so", async || {
        serving
            .log()
            .contains("is older than the one taken before")
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_refuses_our_certificate_is_named() {
    let (place, _core, _ltc) = Place::with_partners(|scene| scene);
    let stranger = Authority::new("somebody else").unwrap();
    put(
        &place,
        "outbound/medical-core",
        &stranger.client("gateway").unwrap(),
    );
    finds(&place, &["partner medical-core", "refuses our certificate"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_of_another_authority_is_not_trusted() {
    let (place, _core, _ltc) = Place::with_partners(|scene| Scene {
        authority: Arc::new(Authority::new("our CA").unwrap()),
        ..scene
    });
    finds(&place, &["partner medical-core", "is not trusted"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_rate_file_is_named_with_its_line() {
    let shipped = project().join("config/rates").display().to_string();
    let place = Place::with(|scene| {
        let own = scene.dir.join("rates");
        copy(&project().join("config/rates"), &own);
        let nanning = own.join("450100-nanning.toml");
        let text = std::fs::read_to_string(&nanning).unwrap();
        std::fs::write(
            &nanning,
            text.replacen("long_term_care", "long_term_car", 1),
        )
        .unwrap();
        scene.edit(&shipped, &own.display().to_string())
    });
    finds(&place, &["450100-nanning.toml:", "long_term_car"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_that_fails_a_sample_is_named() {
    let shipped = project().join("adapters").display().to_string();
    let place = Place::with(|scene| {
        let own = scene.dir.join("adapters");
        copy(&project().join("adapters"), &own);
        std::fs::write(
            own.join("tax-bureau/samples/employer_collection/dtd.expected.txt"),
            "taken\n",
        )
        .unwrap();
        scene.edit(&shipped, &own.display().to_string())
    });
    finds(&place, &["dtd.expected.txt"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_area_of_the_code_tables_without_rates_or_of_which_nobody_is_told_is_named() {
    let shipped = project().join("adapters").display().to_string();
    let place = Place::with(|scene| {
        let own = scene.dir.join("adapters");
        copy(&project().join("adapters"), &own);
        let codes = own.join("tax-bureau/codes/pooling_area.csv");
        let text = std::fs::read_to_string(&codes).unwrap();
        std::fs::remove_file(own.join("tax-bureau/samples/employer_collection/unknown-area.xml"))
            .unwrap();
        std::fs::remove_file(
            own.join("tax-bureau/samples/employer_collection/unknown-area.expected.json"),
        )
        .unwrap();
        std::fs::write(
            &codes,
            text + "500100,500100,Chongqing\n440100,440100,Guangzhou\n",
        )
        .unwrap();
        scene.edit(&shipped, &own.display().to_string())
    });
    let without_rates = "pooling area 440100, known to tax-bureau: has no rate of employers; every line of it is refused";
    let untold = "pooling area 500100, known to tax-bureau: nobody is told of its medical and its long_term_care fund";
    finds(
        &place,
        &[
            without_rates,
            "write config/rates/440100-<city>.toml",
            untold,
            "450100: rates, and somebody is told of each fund",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn areas_whose_accounts_pay_without_a_core_or_without_anybody_told_are_named() {
    let core = "receives = [\"contributions\", \"deductions\"]\nareas = [\"450100\"]";
    let place = Place::with(|scene| scene.edit(core, &core.replace("450100", "510100")));
    finds(
        &place,
        &[
            "pooling area 450100: ltc-system is told of results, but nobody is asked to deduct there",
            "pooling area 510100: medical-core is asked to deduct there, but nobody is told of results",
            "add it to `areas` of its LTC system in partners.toml, with \"deduction_results\" in `receives`",
        ],
    )
    .await;
    let neither = Place::with(|scene| {
        scene
            .edit(", \"deductions\"]", "]")
            .edit(", \"deduction_results\"]", "]")
    });
    let (_, text) = doctor(&neither).await;
    assert!(text.contains("! deductions pooling area 450100: accounts pay by its rates, but nobody is asked to deduct there and nobody is told"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_core_of_an_area_is_named_with_its_line() {
    let place = Place::new();
    let file = place.config().join("partners.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        text.replace(
            "\"contributions\", \"deduction_results\"",
            "\"contributions\", \"deductions\"",
        ),
    )
    .unwrap();
    finds(&place, &["partners.toml:", "partners `medical-core` and `ltc-system` both receive \"deductions\" of pooling area 450100"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_address_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let place = Place::with(|scene| {
        scene.edit(
            "partner = \"127.0.0.1:0\"",
            &format!("partner = \"{address}\""),
        )
    });
    finds(
        &place,
        &[
            &format!("partner address {address}:"),
            "[listen] in gateway.toml",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_cannot_be_read_is_said_with_its_line() {
    let place = Place::new();
    let file = place.config().join("partners.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        text.replace("requests_per_second = 200", "requests_per_sekond = 200"),
    )
    .unwrap();
    finds(&place, &["partners.toml:", "requests_per_sekond"]).await;
}
