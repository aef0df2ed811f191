//! The systemd unit as shipped: what deploy/install.sh puts where is where the unit and the configuration look for it.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ltcgw::config::Config;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::support::{project, until};

/// A root into which the gateway is installed, as the administrator's page says.
struct Root(TempDir);

impl Root {
    fn new() -> Root {
        ltcgw::link::install_provider();
        let memory = Some(Path::new("/dev/shm"))
            .filter(|root| root.is_dir())
            .map_or_else(std::env::temp_dir, Path::to_path_buf);
        let root = Root(TempDir::with_prefix_in("ltcgw-root-", memory).unwrap());
        std::fs::set_permissions(root.0.path(), PermissionsExt::from_mode(0o755)).unwrap();
        root.install();
        root
    }

    fn install(&self) -> String {
        let mut command = Command::new(project().join("deploy/install.sh"));
        command
            .env("DESTDIR", self.0.path())
            .env("LTCGW_BINARY", env!("CARGO_BIN_EXE_ltcgw"));
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// A path of the installed machine in this root.
    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path.trim_start_matches('/'))
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Words of the unit's key, which must be there once.
    fn unit(&self, key: &str) -> Vec<String> {
        let unit = self.read("/etc/systemd/system/ltcgw.service");
        let found: Vec<&str> = unit
            .lines()
            .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .collect();
        assert_eq!(found.len(), 1, "{key} in {unit}");
        found[0].split_whitespace().map(str::to_owned).collect()
    }

    /// What the configuration says lies outside of its folder comes to lie in this root; ports are any free ones.
    fn mapped(&self) {
        let root = self.0.path().display();
        let text = self
            .read("/etc/ltcgw/gateway.toml")
            .replace("\"/var/", &format!("\"{root}/var/"))
            .replace("\"/usr/", &format!("\"{root}/usr/"));
        let text = text
            .replace("0.0.0.0:8443", "127.0.0.1:0")
            .replace("127.0.0.1:9464", "127.0.0.1:0");
        std::fs::write(self.at("/etc/ltcgw/gateway.toml"), text).unwrap();
    }
}

#[test]
fn the_unit_finds_program_configuration_and_data_where_the_installation_puts_them() {
    let root = Root::new();
    let start = root.unit("ExecStart");
    assert_eq!(start[1..3], ["serve", "--config"]);
    assert!(root.at(&start[0]).metadata().unwrap().permissions().mode() & 0o111 != 0);
    let config = Config::load(&root.at(&start[3])).unwrap_or_else(|found| panic!("{found:?}"));
    let gateway = &config.gateway;
    assert_eq!(
        gateway.data_dir,
        Path::new("/var/lib").join(&root.unit("StateDirectory")[0]),
        "the only folder the unit lets it write to"
    );
    assert!(
        root.at(gateway.adapters_dir.to_str().unwrap())
            .join("tax-bureau/adapter.toml")
            .is_file()
    );
    for path in [
        &gateway.rates_dir,
        &gateway.rules_dir,
        &gateway.tls.key,
        &gateway.privacy.key_file,
    ] {
        assert!(
            path.starts_with(root.at("/etc/ltcgw")),
            "{} is not below /etc/ltcgw",
            path.display()
        );
    }
    let stop: u64 = root.unit("TimeoutStopSec")[0].parse().unwrap();
    assert!(
        stop >= 2 * gateway.deliver.drain_seconds + 30,
        "listeners and deliveries drain one after the other, then PostgreSQL checkpoints"
    );
    assert_eq!(
        root.unit("StartLimitIntervalSec"),
        ["0"],
        "a database that is away for long does not leave the gateway dead"
    );
    assert_eq!(root.unit("KillSignal"), ["SIGTERM"]);
    for key in ["User", "Group"] {
        assert_eq!(root.unit(key), ["ltcgw"]);
    }
}

#[test]
fn systemd_takes_the_unit_without_a_word() {
    if Command::new("systemd-analyze")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        return; // nothing to check it with
    }
    let root = Root::new();
    let unit = root.read("/etc/systemd/system/ltcgw.service").replace(
        "/usr/local/bin/ltcgw",
        &root.at("/usr/local/bin/ltcgw").display().to_string(),
    );
    let file = root.at("/ltcgw.service");
    std::fs::write(&file, unit).unwrap();
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !said.contains("ltcgw.service"),
        "{said}"
    );
}

#[test]
fn an_update_takes_the_new_program_and_leaves_the_configuration_and_keys_as_they_are() {
    let root = Root::new();
    let text = format!("{}\n# ours\n", root.read("/etc/ltcgw/gateway.toml"));
    std::fs::write(root.at("/etc/ltcgw/gateway.toml"), &text).unwrap();
    std::fs::write(root.at("/etc/ltcgw/pki/server.key"), "secret").unwrap();
    std::fs::set_permissions(
        root.at("/etc/ltcgw/pki/server.key"),
        PermissionsExt::from_mode(0o644),
    )
    .unwrap();
    std::fs::write(root.at("/usr/local/share/ltcgw/adapters/gone"), "").unwrap();
    let said = root.install();
    assert!(
        said.contains("/etc/ltcgw/gateway.toml stays as it is"),
        "{said}"
    );
    assert_eq!(
        (
            root.read("/etc/ltcgw/gateway.toml"),
            root.read("/etc/ltcgw/pki/server.key")
        ),
        (text, "secret".into())
    );
    assert_eq!(
        root.at("/etc/ltcgw/pki/server.key")
            .metadata()
            .unwrap()
            .mode()
            & 0o777,
        0o640,
        "nobody else reads it"
    );
    assert!(!root.at("/usr/local/share/ltcgw/adapters/gone").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn installed_as_the_page_says_it_serves_and_drains_when_it_is_to_quit() {
    let page = std::fs::read_to_string(project().join("docs/administrator.md")).unwrap();
    for step in [
        "sudo deploy/install.sh",
        "ltcgw pki init --config /etc/ltcgw",
        "ltcgw doctor --config /etc/ltcgw",
        "systemctl enable --now ltcgw",
    ] {
        assert!(
            page.contains(step),
            "the administrator's page has no `{step}`"
        );
    }
    let root = Root::new();
    root.mapped();
    let start = root.unit("ExecStart");
    let config = root.at(&start[3]);
    let made = Command::new(root.at(&start[0]))
        .args(["pki", "init", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    root.install(); // again, which gives the keys their modes
    let keys = [
        config.join("pki/server.key"),
        config.join("pki/privacy.key"),
        config.join("pki/outbound/medical-core.key"),
        config.join("secrets/medical-core-sm2.key"),
    ];
    for key in keys {
        assert_eq!(
            key.metadata().unwrap().mode() & 0o777,
            0o640,
            "{}",
            key.display()
        );
    }
    std::fs::create_dir_all(root.at("/var/lib")).unwrap();
    let log = root.at("/log");
    let mut command = Command::new(root.at(&start[0]));
    command
        .arg(&start[1])
        .arg(&start[2])
        .arg(&config)
        .current_dir("/")
        .env_clear()
        .env("PATH", "/usr/bin:/bin");
    let mut child = command
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    until("the gateway to serve", async || {
        let said = std::fs::read_to_string(&log).unwrap();
        assert!(
            child.try_wait().unwrap().is_none(),
            "the gateway ended: {said}"
        );
        said.contains(" serving ").then_some(())
    })
    .await;
    assert!(root.at("/var/lib/ltcgw/postgres/cluster").is_dir());
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGQUIT).unwrap();
    let status = until("its end", async || child.try_wait().unwrap()).await;
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(
        status.success() && said.contains("stopped") && !said.contains("ended at once"),
        "{said}"
    );
}
