//! A URL as libpq's users write it: `sslmode=verify-full` is what we do anyway, `sslrootcert` has a
//! key of its own here, and without an authority nothing is encrypted that was not looked at.

use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

use crate::error::{Fault, Stage};
use crate::store::words::words;

const FORM: &str = "expected postgres://user@host:port/name, several hosts as one:port,other:port";

/// Reads `[database] url`; `ca` says whether an authority is given beside it.
///
/// # Errors
/// What cannot be used, and what to write.
pub(super) fn read(url: &str, ca: bool) -> Result<Config, Fault> {
    let bad = |text: String| Fault::operator(Stage::Config, format!("[database] url: {text}"));
    match url.split_once("://") {
        Some(("postgres" | "postgresql", _)) => {}
        Some((scheme, _)) => {
            return Err(bad(format!(
                "it begins with `{scheme}://`, and the gateway works with PostgreSQL only; {FORM}"
            )));
        }
        None if url.contains('=') => {}
        None => return Err(bad(format!("it does not begin with postgres://; {FORM}"))),
    }
    let mut asked: Option<&str> = None;
    let mut kept: Vec<&str> = Vec::new();
    let (base, parameters, separator) = match url.split_once('?') {
        Some((base, query)) if base.contains("://") => {
            (base, query.split('&').collect::<Vec<_>>(), "&")
        }
        _ if url.contains("://") => (url, Vec::new(), "&"),
        _ => ("", url.split_whitespace().collect(), " "),
    };
    for parameter in parameters {
        match parameter.split_once('=') {
            Some(("sslmode", mode)) => asked = Some(mode.trim_matches('\'')),
            Some(("sslrootcert", _)) => {
                return Err(bad(
                    "sslrootcert is not read; write that file as `ca` in [database]".into(),
                ));
            }
            Some((name @ ("sslcert" | "sslkey" | "sslpassword" | "passfile" | "service"), _)) => {
                return Err(bad(format!(
                    "{name} is not known here; the gateway gives a password (password_file) over TLS (ca)"
                )));
            }
            _ => kept.push(parameter),
        }
    }
    let rest = if base.is_empty() || kept.is_empty() {
        format!("{base}{}", kept.join(separator))
    } else {
        format!("{base}?{}", kept.join(separator))
    };
    let mut config: Config = rest
        .parse()
        .map_err(|error: tokio_postgres::Error| bad(format!("{}; {FORM}", words(&error))))?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(bad(format!("it names no host; {FORM}")));
    }
    let mode = match (asked, ca) {
        (Some("disable" | "allow"), true) => return Err(bad("sslmode would allow a connection without TLS, and `ca` wants one: leave one of them out".into())),
        (Some("disable"), false) => SslMode::Disable,
        (None | Some("prefer" | "allow"), false) => SslMode::Prefer,
        // Authority and name are always looked at: whoever names an authority wants nothing in the clear.
        (None | Some("prefer" | "require" | "verify-ca" | "verify-full"), true) => SslMode::Require,
        (Some(mode @ ("require" | "verify-ca" | "verify-full")), false) => {
            return Err(bad(format!("sslmode={mode} needs `ca` in [database]: the authority that signed the server's certificate, as PEM")));
        }
        (Some(other), _) => {
            let text = format!(
                "sslmode is `{other}`; expected disable, prefer, require, verify-ca or verify-full (with `ca`, all of the last four verify authority and name)"
            );
            return Err(bad(text));
        }
    };
    config.ssl_mode(mode);
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "postgres://ltcgw@db.example:5432/ltcgw";

    fn mode(url: &str, ca: bool) -> Result<SslMode, String> {
        read(url, ca)
            .map(|config| config.get_ssl_mode())
            .map_err(|fault| fault.text)
    }

    #[test]
    fn an_authority_means_tls_and_every_way_to_ask_for_it_is_understood() {
        for query in [
            "",
            "?sslmode=prefer",
            "?sslmode=require",
            "?sslmode=verify-ca",
            "?sslmode=verify-full",
            "?connect_timeout=5&sslmode=verify-full",
        ] {
            assert_eq!(
                mode(&format!("{URL}{query}"), true),
                Ok(SslMode::Require),
                "{query}"
            );
        }
        assert_eq!(
            mode("host=db.example user=ltcgw sslmode=verify-full", true),
            Ok(SslMode::Require)
        );
        assert_eq!(
            read(
                &format!("{URL}?connect_timeout=5&sslmode=verify-full"),
                true
            )
            .map(|config| config.get_connect_timeout().copied()),
            Ok(Some(std::time::Duration::from_secs(5)))
        );
        assert_eq!(mode(URL, false), Ok(SslMode::Prefer));
        assert_eq!(
            mode(&format!("{URL}?sslmode=disable"), false),
            Ok(SslMode::Disable)
        );
        assert_eq!(
            mode("host=/run/postgresql user=ltcgw", false),
            Ok(SslMode::Prefer)
        );
    }

    #[test]
    fn what_cannot_be_used_is_named_with_what_to_write() {
        for (query, ca, expected) in [
            (
                "?sslmode=verify-full&sslrootcert=/x.pem",
                true,
                ["sslrootcert", "`ca`"],
            ),
            ("?sslmode=require", false, ["sslmode=require", "`ca`"]),
            (
                "?sslmode=verify-full",
                false,
                ["sslmode=verify-full", "`ca`"],
            ),
            ("?sslmode=disable", true, ["sslmode", "`ca`"]),
            ("?sslmode=full", true, ["sslmode is `full`", "verify-full"]),
            ("?sslkey=/x.key", true, ["sslkey", "password_file"]),
            (
                "?unheard=1",
                false,
                ["unknown option `unheard`", "postgres://"],
            ),
            (
                "?connect_timeout=soon",
                false,
                ["connect_timeout", "postgres://"],
            ),
        ] {
            let text = mode(&format!("{URL}{query}"), ca).expect_err(query);
            assert!(
                expected.iter().all(|expected| text.contains(expected)),
                "{query}: {text}"
            );
        }
        assert!(mode("postgres:///ltcgw", false).is_err_and(|text| text.contains("names no host")));
        let secret =
            mode("postgres://ltcgw:geheim@db.example:port/ltcgw", false).expect_err("no port");
        assert!(!secret.contains("geheim"), "{secret}");
    }
}
