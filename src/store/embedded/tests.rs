//! Real servers in throwaway folders: what survives, what is refused, who ends with whom.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::*;

/// A folder the account `postgres` can reach, too.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix("pg").tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

async fn client(config: &tokio_postgres::Config) -> tokio_postgres::Client {
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn postmaster(dir: &Path) -> String {
    let text = std::fs::read_to_string(dir.join("cluster/postmaster.pid")).unwrap();
    text.lines().next().unwrap().to_string()
}

#[tokio::test]
async fn committed_data_survive_a_restart_and_a_killed_server() {
    let dir = folder();
    let options = EmbeddedOptions::durable(dir.path().join("pg"));
    let server = EmbeddedPostgres::start(&options).unwrap();
    let config = server.database("ltcgw").await.unwrap();
    client(&config)
        .await
        .batch_execute("CREATE TABLE t (x int); INSERT INTO t VALUES (42)")
        .await
        .unwrap();
    assert_eq!(
        client(&config)
            .await
            .query_one("SHOW fsync", &[])
            .await
            .unwrap()
            .get::<_, &str>(0),
        "on"
    );
    server.stop();
    assert!(
        !options.dir.join("cluster/postmaster.pid").exists(),
        "a clean stop leaves no lock file"
    );

    let server = EmbeddedPostgres::start(&options).unwrap();
    let config = server.database("ltcgw").await.unwrap();
    assert_eq!(
        client(&config)
            .await
            .query_one("SELECT x FROM t", &[])
            .await
            .unwrap()
            .get::<_, i32>(0),
        42
    );

    let old = postmaster(&options.dir);
    assert!(
        Command::new("kill")
            .args(["-KILL", &old])
            .status()
            .unwrap()
            .success()
    );
    let deadline = Instant::now() + Duration::from_secs(30);
    let x = loop {
        if let Ok((client, connection)) = config.connect(tokio_postgres::NoTls).await {
            tokio::spawn(connection);
            if let Ok(row) = client.query_one("SELECT x FROM t", &[]).await {
                break row.get::<_, i32>(0);
            }
        }
        assert!(
            Instant::now() < deadline,
            "the server was not started again"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(x, 42);
    assert_ne!(postmaster(&options.dir), old);
}

#[test]
fn a_stale_lock_that_names_a_living_process_is_seen_through() {
    let dir = folder();
    let options = EmbeddedOptions::throwaway(dir.path().join("pg"));
    EmbeddedPostgres::start(&options).unwrap().stop();
    // As after a container's restart: the number now belongs to somebody else, here to this test.
    let stale = format!(
        "{}\n{}\n1\n5432\n\n*\n\nready\n",
        std::process::id(),
        options.dir.join("cluster").display()
    );
    std::fs::write(options.dir.join("cluster/postmaster.pid"), stale).unwrap();
    EmbeddedPostgres::start(&options).unwrap().stop();
}

#[test]
fn a_second_gateway_on_the_same_folder_is_refused_at_once() {
    let dir = folder();
    let options = EmbeddedOptions::throwaway(dir.path().join("pg"));
    let _first = EmbeddedPostgres::start(&options).unwrap();
    let fault = EmbeddedPostgres::start(&options).unwrap_err();
    assert!(fault.text.contains("another gateway uses"), "{fault}");
}

#[test]
fn a_folder_is_free_again_even_while_a_forked_child_still_holds_a_copy_of_its_lock() {
    let dir = folder();
    let held = lock(dir.path()).unwrap();
    let of_a_child = held.0.try_clone().unwrap();
    assert!(lock(dir.path()).is_err());
    drop(held);
    assert!(lock(dir.path()).is_ok(), "the copy kept the lock");
    drop(of_a_child);
}

#[test]
fn a_path_too_long_for_a_socket_is_refused_with_its_length() {
    let dir = folder();
    let fault = EmbeddedPostgres::start(&EmbeddedOptions::throwaway(
        dir.path().join("x".repeat(100)),
    ))
    .unwrap_err();
    assert!(
        fault.text.contains("Unix allows 107") && fault.text.contains("shorter data_dir"),
        "{fault}"
    );
}

#[test]
fn a_file_in_the_folders_place_is_refused() {
    let dir = folder();
    std::fs::write(dir.path().join("pg"), "").unwrap();
    let fault =
        EmbeddedPostgres::start(&EmbeddedOptions::throwaway(dir.path().join("pg"))).unwrap_err();
    assert!(fault.text.contains("is not a folder"), "{fault}");
}

#[test]
fn a_wrong_setting_is_reported_in_the_servers_words() {
    let dir = folder();
    let mut options = EmbeddedOptions::throwaway(dir.path().join("pg"));
    options
        .settings
        .push(("shared_bufers".into(), "1GB".into()));
    let fault = EmbeddedPostgres::start(&options).unwrap_err();
    assert!(fault.text.contains("shared_bufers"), "{fault}");
}

#[test]
fn a_prospect_makes_nothing_and_sees_the_cluster_once_there_is_one() {
    let dir = folder();
    let options = EmbeddedOptions::throwaway(dir.path().join("deep/pg"));
    assert!(
        !EmbeddedPostgres::prospect(&options.dir)
            .unwrap()
            .has_cluster
    );
    assert!(!dir.path().join("deep").exists());
    EmbeddedPostgres::start(&options).unwrap().stop();
    let prospect = EmbeddedPostgres::prospect(&options.dir).unwrap();
    assert!(
        prospect.has_cluster && prospect.major >= 15 && prospect.binaries.join("initdb").is_file()
    );
}

#[test]
fn half_a_cluster_left_by_a_killed_initdb_is_made_anew() {
    let dir = folder();
    let options = EmbeddedOptions::throwaway(dir.path().join("pg"));
    std::fs::create_dir_all(options.dir.join("cluster.new/base")).unwrap();
    EmbeddedPostgres::start(&options).unwrap().stop();
    assert!(
        options.dir.join("cluster/PG_VERSION").exists()
            && !options.dir.join("cluster.new").exists()
    );
}

#[test]
fn as_root_a_folder_under_a_closed_home_is_refused_by_name() {
    if !nix::unistd::Uid::effective().is_root() {
        return; // An ordinary user's server runs as himself: there is nothing to refuse.
    }
    let home = tempfile::tempdir().unwrap();
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let fault =
        EmbeddedPostgres::start(&EmbeddedOptions::throwaway(home.path().join("pg"))).unwrap_err();
    assert!(
        fault.text.contains(&format!(
            "because {} is closed to it",
            home.path().display()
        )),
        "{fault}"
    );
}

/// The other process's half of the next two tests; does nothing when run by itself.
#[test]
fn start_where_told() {
    let Some(dir) = std::env::var_os("LTCGW_TEST_EMBEDDED_DIR") else {
        return;
    };
    let server = EmbeddedPostgres::start(&EmbeddedOptions::throwaway(Path::new(&dir))).unwrap();
    if std::env::var_os("LTCGW_TEST_EMBEDDED_STAY").is_some() {
        loop {
            std::thread::park();
        }
    }
    assert!(!nix::unistd::Uid::effective().is_root());
    server.stop();
}

#[test]
fn a_killed_gateway_takes_its_server_with_it_and_the_next_one_starts() {
    let dir = folder();
    let options = EmbeddedOptions::throwaway(dir.path().join("pg"));
    let mut gateway = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::embedded::tests::start_where_told"])
        .env("LTCGW_TEST_EMBEDDED_DIR", &options.dir)
        .env("LTCGW_TEST_EMBEDDED_STAY", "1")
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let pid_file = options.dir.join("cluster/postmaster.pid");
    while !std::fs::read_to_string(&pid_file).is_ok_and(|text| text.contains("ready")) {
        assert!(
            Instant::now() < deadline,
            "the other process's server did not start"
        );
        std::thread::yield_now();
    }
    let orphan = postmaster(&options.dir);
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    let server = EmbeddedPostgres::start(&options).unwrap();
    assert_ne!(postmaster(&options.dir), orphan);
    assert!(
        !Path::new("/proc").join(&orphan).join("cwd").exists(),
        "the old server has ended"
    );
    server.stop();
}

#[test]
fn an_ordinary_user_runs_the_server_as_himself() {
    if !nix::unistd::Uid::effective().is_root() {
        return; // Then every other test here shows it.
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    // The build folder may be closed to other accounts: run a copy of this test binary.
    let binary = dir.path().join("tests");
    std::fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&binary)
        .args([
            "--exact",
            "store::embedded::tests::start_where_told",
            "--nocapture",
        ])
        .env("LTCGW_TEST_EMBEDDED_DIR", dir.path().join("pg"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(dir.path().join("pg/cluster/PG_VERSION").exists());
    assert_eq!(
        std::os::unix::fs::MetadataExt::uid(
            &std::fs::metadata(dir.path().join("pg/cluster")).unwrap()
        ),
        65534
    );
}
