//! A PostgreSQL of one's own: over TCP and TLS, with the authority named in the configuration.

use ltcgw::config::DatabaseConfig;
use ltcgw::sandbox::pki::Authority;
use ltcgw::store::embedded::{EmbeddedOptions, EmbeddedPostgres};
use ltcgw::store::{DatabaseAccess, Store};
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn a_database_url_is_used_over_tls_and_only_with_the_right_authority() {
    ltcgw::link::install_provider();
    let dir = TempDir::with_prefix_in("ltcgw-tls-", "/tmp").expect("a temporary folder");
    std::fs::set_permissions(
        dir.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .expect("readable for the server");
    let authority = Authority::new("database CA").expect("an authority");
    let server = authority.server(&["localhost"]).expect("a certificate");
    let (certificate, key) = server.write_to(dir.path(), "server").expect("written");
    give_to_postgres(&key);
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .expect("a free port")
        .port();
    let mut options = EmbeddedOptions::throwaway(dir.path().join("data"));
    for (name, value) in [
        ("listen_addresses", "127.0.0.1".to_string()),
        ("port", port.to_string()),
        ("ssl", "on".to_string()),
        ("ssl_cert_file", certificate.display().to_string()),
        ("ssl_key_file", key.display().to_string()),
    ] {
        options.settings.push((name.into(), value));
    }
    let embedded = tokio::task::spawn_blocking(move || EmbeddedPostgres::start(&options))
        .await
        .expect("not cancelled")
        .expect("PostgreSQL starts");
    let other = Authority::new("another CA").expect("an authority");
    std::fs::write(dir.path().join("right.pem"), authority.certificate_pem()).expect("written");
    std::fs::write(dir.path().join("wrong.pem"), other.certificate_pem()).expect("written");
    let open = async |ca: &str| {
        let url = format!(
            "postgres://postgres@localhost:{port}/postgres?sslmode=require&connect_timeout=5"
        );
        let database = DatabaseConfig {
            url: Some(url),
            ca: Some(dir.path().join(ca)),
            ..DatabaseConfig::default()
        };
        let connection = DatabaseAccess::configured(&database)
            .expect("a usable entry")
            .expect("a URL is given");
        Store::open(connection, &["nanning-tax".to_string()]).await
    };
    let store = open("right.pem")
        .await
        .map_err(|fault| fault.to_string())
        .expect("connected over TLS");
    assert_eq!(store.sender_id("nanning-tax"), Some(1));
    let ssl: bool = store
        .client()
        .await
        .expect("a connection")
        .query_one(
            "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
            &[],
        )
        .await
        .expect("a row")
        .get(0);
    assert!(ssl, "the connection is encrypted");
    let cause = async |port: u16, host: &str, ca: &str| {
        let database = DatabaseConfig {
            url: Some(format!("postgres://postgres@{host}:{port}/postgres")),
            ca: Some(dir.path().join(ca)),
            ..DatabaseConfig::default()
        };
        let connection = DatabaseAccess::configured(&database)
            .expect("a usable entry")
            .expect("a URL is given");
        Store::open(connection, &[])
            .await
            .map(drop)
            .expect_err("refused")
            .text
    };
    assert!(
        cause(port, "localhost", "wrong.pem")
            .await
            .contains("UnknownIssuer"),
        "a server of another authority is not trusted"
    );
    let other_name = cause(port, "127.0.0.1", "right.pem").await;
    assert!(
        other_name.contains(&format!("127.0.0.1:{port}"))
            && other_name.contains("not valid for name"),
        "a certificate of another host: {other_name}"
    );
    drop(store);
    // Whoever names an authority wants TLS: a server without it is refused, and no password goes out in the clear.
    let plain_port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .expect("a free port")
        .port();
    let mut options = EmbeddedOptions::throwaway(dir.path().join("plain"));
    options.settings.extend([
        ("listen_addresses".into(), "127.0.0.1".into()),
        ("port".into(), plain_port.to_string()),
    ]);
    let plain = tokio::task::spawn_blocking(move || EmbeddedPostgres::start(&options))
        .await
        .expect("not cancelled")
        .expect("PostgreSQL starts");
    let without = cause(plain_port, "localhost", "right.pem").await;
    assert!(without.contains("does not support TLS"), "{without}");
    tokio::task::spawn_blocking(move || plain.stop())
        .await
        .expect("stopped");
    tokio::task::spawn_blocking(move || embedded.stop())
        .await
        .expect("stopped");
}

/// PostgreSQL takes a key only if it belongs to it or to root, closed to others; as root it runs as `postgres`.
fn give_to_postgres(key: &std::path::Path) {
    if nix::unistd::Uid::effective().is_root() {
        let account = nix::unistd::User::from_name("postgres")
            .expect("readable accounts")
            .expect("the account PostgreSQL runs as");
        nix::unistd::chown(key, Some(account.uid), Some(account.gid)).expect("given away");
    }
}
