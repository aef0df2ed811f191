//! The `x-tif-*` headers by which an NHSA gateway recognises a caller.
//!
//! `x-tif-signature` is the lower-case hexadecimal SHA-256 of timestamp + token + nonce + timestamp
//! (domain: one of two header families seen; which one a city uses is open).

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::{Capability, CapabilityKind, SecretFile, Secrets, Setting};

pub const CAPABILITY: Capability = Capability {
    name: "tif_sha256",
    kind: CapabilityKind::Signature,
    doc: "Headers x-tif-paasid, x-tif-timestamp, x-tif-nonce and x-tif-signature (SHA-256 over a shared token).",
    settings: &[Setting {
        name: "tif_paasid",
        required: true,
        chars: (1, 64),
        doc: "account the gateway gave us",
    }],
    secrets: &[SecretFile {
        name: "tif_token",
        doc: "token the gateway gave us",
    }],
};

/// The four headers for one request; `seconds` is Unix time, `nonce` must not repeat.
pub fn headers(
    settings: &BTreeMap<String, String>,
    secrets: &Secrets,
    seconds: i64,
    nonce: &str,
) -> Result<[(String, String); 4], String> {
    let token = secrets
        .text("tif_token")
        .ok_or("secret `tif_token` is missing")?;
    let paasid = settings
        .get("tif_paasid")
        .ok_or("setting `tif_paasid` is missing")?;
    let timestamp = seconds.to_string();
    let signature = signature(&timestamp, token, nonce);
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Ok([
        header("x-tif-paasid", paasid),
        header("x-tif-timestamp", &timestamp),
        header("x-tif-nonce", nonce),
        header("x-tif-signature", &signature),
    ])
}

/// SHA-256 of timestamp + token + nonce + timestamp, lower-case hexadecimal.
pub fn signature(timestamp: &str, token: &str, nonce: &str) -> String {
    let mut hash = Sha256::new();
    for part in [timestamp, token, nonce, timestamp] {
        hash.update(part.as_bytes());
    }
    HEXLOWER.encode(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    // printf '%s' 1635724800token0123456789abcdef1635724800 | sha256sum
    const KNOWN: &str = "cf8e4dc64d7a94c0ab9acf4889ce5a4a650b67dce9cd055239d104fd75fa4cd3";

    #[test]
    fn the_signature_is_the_one_sha256sum_computes() {
        assert_eq!(signature("1635724800", "token", "0123456789abcdef"), KNOWN);
    }

    #[test]
    fn headers_carry_account_time_nonce_and_signature_but_not_the_token() {
        let settings = BTreeMap::from([("tif_paasid".to_owned(), "ltcgw".to_owned())]);
        let secrets = Secrets::from_pairs([("tif_token", "token")]);
        let headers = headers(&settings, &secrets, 1_635_724_800, "0123456789abcdef").unwrap();
        assert_eq!(headers[3], ("x-tif-signature".to_owned(), KNOWN.to_owned()));
        assert!(headers.iter().all(|(_, value)| value != "token"));
        assert_eq!(
            super::headers(&BTreeMap::new(), &secrets, 0, "n"),
            Err("setting `tif_paasid` is missing".into())
        );
    }
}
