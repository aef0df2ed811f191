//! How many files this process may have open: a connection is one, a body on the disk another.
//!
//! Out of files, a listener accepts nobody, the operator's neither; so the limit is raised as far as it may be, and it is said
//! when that is not enough for what the configuration allows.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::config::GatewayConfig;

/// Database connections, certificates read anew, requests to partners, the log.
const OTHERS: u64 = 512;

/// Raises the limit to what the system allows.
pub(super) fn raise(gateway: &GatewayConfig) {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return;
    };
    let allowed = if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        hard
    } else {
        soft
    };
    let needed = needed(gateway);
    if allowed < needed {
        tracing::warn!(
            allowed,
            needed,
            "fewer files may be open than [listen] connections_max and [receive] requests_max allow; raise the limit (LimitNOFILE of systemd, ulimit -n) or lower them"
        );
    }
}

/// At most open at once: connections, those being closed or in their handshake, bodies on the disk.
fn needed(gateway: &GatewayConfig) -> u64 {
    let listen = &gateway.listen;
    (listen.connections_max as u64)
        .saturating_add(listen.handshakes_max as u64)
        .saturating_add(gateway.receive.requests_max)
        .saturating_add(OTHERS)
}
