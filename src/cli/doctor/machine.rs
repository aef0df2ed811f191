//! This machine: addresses free, folders writable, room on the disks.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use super::sheet::DoctorSheet;
use crate::config::Config;

const GIB: u64 = 1 << 30;
/// Below this a month of a large city does not fit.
const DATA_BYTES_MIN: u64 = 10 * GIB;
/// How long a gateway that runs already may take to say so.
const ASK: Duration = Duration::from_secs(2);

pub(super) async fn look(sheet: &mut DoctorSheet, config: &Config) {
    let listen = &config.gateway.listen;
    let operator = listen.operator;
    let serving = tokio::task::spawn_blocking(move || serves(operator))
        .await
        .unwrap_or(false);
    address(sheet, "partner address", listen.partner, serving);
    address(sheet, "operator address", operator, serving);
    if !operator.ip().is_loopback() {
        let text =
            format!("{operator} is not on loopback, and whoever reaches it may read the metrics");
        sheet.note(
            "operator address",
            text,
            "keep [listen] operator on 127.0.0.1, or behind a firewall",
        );
    }
    let data = &config.gateway.data_dir;
    folder(sheet, "data folder", data);
    if config.gateway.database.url.is_none() {
        room(
            sheet,
            "data folder",
            data,
            DATA_BYTES_MIN,
            "the embedded database",
        );
    }
    let receive = &config.gateway.receive;
    let temporary = receive.spool_dir.clone().unwrap_or_else(std::env::temp_dir);
    // What is left free is not for packets.
    room(
        sheet,
        "temporary folder",
        &temporary,
        receive
            .body_bytes_max
            .saturating_add(receive.spool_free_bytes_min),
        "packets under way",
    );
}

fn address(sheet: &mut DoctorSheet, what: &str, address: SocketAddr, serving: bool) {
    match TcpListener::bind(address) {
        Ok(_) if address.port() == 0 => sheet.good(what, format!("{address}: any free port")),
        Ok(_) => sheet.good(what, format!("{address}: free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse && serving => sheet.note(
            what,
            format!("{address}: a gateway serves there already"),
            "",
        ),
        Err(error) => sheet.bad(
            what,
            format!("{address}: {error}"),
            "change [listen] in gateway.toml, or stop what uses the port (ss -ltnp)",
        ),
    }
}

/// Whether a gateway answers at its operator address.
fn serves(operator: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&operator, ASK)?;
        stream.set_read_timeout(Some(ASK))?;
        stream.write_all(
            format!("GET /healthz HTTP/1.1\r\nHost: {operator}\r\nConnection: close\r\n\r\n")
                .as_bytes(),
        )?;
        let mut answer = String::new();
        stream.take(4096).read_to_string(&mut answer)?;
        Ok(answer)
    };
    operator.port() != 0
        && ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"))
}

/// Whether files can be made in a folder, or the folder itself where it is not there yet.
fn folder(sheet: &mut DoctorSheet, what: &str, dir: &Path) {
    let Some(nearest) = nearest(dir) else {
        return sheet.bad(
            what,
            format!("{}: nothing of this path exists", dir.display()),
            "change data_dir in gateway.toml",
        );
    };
    match access(nearest, AccessFlags::W_OK | AccessFlags::X_OK) {
        Ok(()) if nearest == dir => sheet.good(what, format!("{}: can be written", dir.display())),
        Ok(()) => sheet.good(what, format!("{}: made at the first start", dir.display())),
        Err(errno) => sheet.bad(
            what,
            format!("{}: cannot be written: {errno}", nearest.display()),
            "change data_dir in gateway.toml, or the folder's owner",
        ),
    }
}

fn room(sheet: &mut DoctorSheet, what: &str, dir: &Path, bytes_min: u64, for_what: &str) {
    let Some(found) = nearest(dir).and_then(|nearest| statvfs(nearest).ok()) else {
        return;
    };
    let free = found
        .blocks_available()
        .saturating_mul(found.fragment_size());
    let gib = |bytes: u64| format!("{}.{} GiB", bytes / GIB, bytes % GIB * 10 / GIB);
    if free < bytes_min {
        let text = format!(
            "{} free on {} for {for_what}; expected {} at least",
            gib(free),
            dir.display(),
            gib(bytes_min)
        );
        sheet.note(what, text, "make room before large packets come");
    } else {
        sheet.good(what, format!("{} free for {for_what}", gib(free)));
    }
}

fn nearest(dir: &Path) -> Option<&Path> {
    dir.ancestors().find(|folder| folder.is_dir())
}
