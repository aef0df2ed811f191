//! `cainfo`: an SM2 signature over the sorted fields of an NHSA envelope.
//!
//! The signed text is every envelope field except `cainfo` and `input`, sorted by key in ASCII
//! order, `key=value` joined by `&`, null as empty, UTF-8. SM2 (GB/T 32918.2) over SM3 with user id
//! 1234567812345678; the result is raw r||s, upper-case hexadecimal or Base64 by the setting
//! `cainfo_encoding`. Signing is deterministic (RFC 6979), so a request rendered twice is the same.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use sm2::dsa::signature::{Signer, Verifier};
use sm2::dsa::{Signature, SigningKey, VerifyingKey};
use sm2::elliptic_curve::Generate;
use sm2::pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding};

use super::{Capability, CapabilityKind, SecretFile, Setting};

pub const CAPABILITY: Capability = Capability {
    name: "sm2_sorted_fields",
    kind: CapabilityKind::Signature,
    doc: "Fills cainfo of the nhsa envelope with an SM2 signature over its sorted fields.",
    settings: &[Setting {
        name: "cainfo_encoding",
        required: false,
        chars: (3, 6),
        doc: "hex (default) or base64",
    }],
    secrets: &[SecretFile {
        name: "sm2_key",
        doc: "our SM2 private key, PKCS#8 PEM or 64 hexadecimal digits",
    }],
};

/// The user id both sides use (GB/T 32918 default).
const USER_ID: &str = "1234567812345678";

/// Our private key; prints nothing.
pub struct PrivateKey(SigningKey);

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

impl PrivateKey {
    /// Reads PKCS#8 PEM or 64 hexadecimal digits; the error never shows the content.
    pub fn parse(text: &str) -> Result<PrivateKey, String> {
        let wrong = "secret `sm2_key` is not an SM2 private key; expected PKCS#8 PEM (BEGIN PRIVATE KEY) or 64 hexadecimal digits";
        let text = text.trim();
        let secret = if text.starts_with("-----BEGIN") {
            sm2::SecretKey::from_pkcs8_pem(text).map_err(|_| wrong)?
        } else {
            let bytes = HEXLOWER_PERMISSIVE
                .decode(text.as_bytes())
                .ok()
                .filter(|bytes| bytes.len() == 32)
                .ok_or(wrong)?;
            sm2::SecretKey::from_slice(&bytes).map_err(|_| wrong)?
        };
        SigningKey::new(USER_ID, &secret)
            .map(PrivateKey)
            .map_err(|_| wrong.to_owned())
    }

    /// The public key the partner needs: uncompressed point, 130 upper-case hexadecimal digits from `04`.
    pub fn public_hex(&self) -> String {
        HEXLOWER
            .encode(&self.0.verifying_key().to_sec1_bytes())
            .to_uppercase()
    }

    /// Signs envelope fields; `cainfo` and `input` among them are left out.
    pub fn sign<'a>(
        &self,
        fields: impl IntoIterator<Item = (&'a str, &'a str)>,
        encoding: SignatureForm,
    ) -> String {
        let signature: Signature = self.0.sign(signed_text(fields).as_bytes());
        let bytes = signature.to_bytes();
        match encoding {
            SignatureForm::Hex => HEXLOWER.encode(&bytes).to_uppercase(),
            SignatureForm::Base64 => BASE64.encode(bytes),
        }
    }
}

/// A new random private key as PKCS#8 PEM, for trials.
pub fn generate_pem() -> String {
    let key = sm2::SecretKey::generate();
    let pem = key
        .to_pkcs8_pem(LineEnding::LF)
        .expect("a fresh key always has a PKCS#8 form");
    pem.to_string()
}

/// How `cainfo` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureForm {
    Hex,
    Base64,
}

impl SignatureForm {
    /// The setting `cainfo_encoding`; hex when absent.
    pub fn of_setting(word: Option<&str>) -> Result<SignatureForm, String> {
        match word {
            None | Some("hex") => Ok(SignatureForm::Hex),
            Some("base64") => Ok(SignatureForm::Base64),
            Some(other) => Err(format!(
                "setting `cainfo_encoding` is `{other}`; expected hex or base64"
            )),
        }
    }
}

/// `a=1&b=&c=3`: the text that is signed.
fn signed_text<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut fields: Vec<(&str, &str)> = fields
        .into_iter()
        .filter(|(name, _)| !matches!(*name, "cainfo" | "input"))
        .collect();
    fields.sort_unstable();
    let pairs: Vec<String> = fields
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

/// Checks the `cainfo` of a received envelope against the sender's public key (hexadecimal point);
/// hexadecimal and Base64 signatures are both taken. For simulated counterparts.
pub fn verify(
    public_hex: &str,
    envelope: &serde_json::Map<String, serde_json::Value>,
) -> Result<(), String> {
    let point = HEXLOWER_PERMISSIVE
        .decode(public_hex.as_bytes())
        .map_err(|_| "the public key is not hexadecimal")?;
    let key = VerifyingKey::from_sec1_bytes(USER_ID, &point)
        .map_err(|_| "the public key is not a point of the SM2 curve")?;
    let cainfo = envelope
        .get("cainfo")
        .and_then(serde_json::Value::as_str)
        .ok_or("the envelope has no cainfo")?;
    let bytes = HEXLOWER_PERMISSIVE
        .decode(cainfo.as_bytes())
        .ok()
        .or_else(|| BASE64.decode(cainfo).ok())
        .ok_or("cainfo is neither hexadecimal nor Base64")?;
    let signature = Signature::from_slice(&bytes).map_err(|_| "cainfo is not 64 bytes r||s")?;
    let texts: Vec<(&str, String)> = envelope
        .iter()
        .map(|(name, value)| (name.as_str(), plain(value)))
        .collect();
    let text = signed_text(texts.iter().map(|(name, value)| (*name, value.as_str())));
    key.verify(text.as_bytes(), &signature)
        .map_err(|_| "cainfo does not match the envelope".to_owned())
}

fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use sm3::{Digest, Sm3};

    // GB/T 32918.5-2017, annex A.2: signature on the recommended curve, user id 1234567812345678.
    const STANDARD_PRIVATE: &str =
        "3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8";
    const STANDARD_PUBLIC: &str = concat!(
        "0409F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020",
        "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13"
    );
    const STANDARD_SIGNATURE: &str = concat!(
        "F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3",
        "B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA"
    );

    #[test]
    fn sm3_and_sm2_give_the_answers_of_the_standard() {
        assert_eq!(
            HEXLOWER.encode(&Sm3::digest(b"abc")),
            "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
        );
        assert_eq!(
            PrivateKey::parse(STANDARD_PRIVATE).unwrap().public_hex(),
            STANDARD_PUBLIC
        );
        let key = VerifyingKey::from_sec1_bytes(
            USER_ID,
            &HEXLOWER_PERMISSIVE
                .decode(STANDARD_PUBLIC.as_bytes())
                .unwrap(),
        )
        .unwrap();
        let signature = Signature::from_slice(
            &HEXLOWER_PERMISSIVE
                .decode(STANDARD_SIGNATURE.as_bytes())
                .unwrap(),
        )
        .unwrap();
        assert!(key.verify(b"message digest", &signature).is_ok());
        assert!(key.verify(b"message digesT", &signature).is_err());
    }

    #[test]
    fn the_signed_text_is_sorted_and_leaves_out_cainfo_and_input() {
        let fields = [
            ("msgid", "m"),
            ("cainfo", "x"),
            ("infno", "L101"),
            ("dev_no", ""),
            ("input", "{}"),
            ("opter", "张三"),
        ];
        assert_eq!(signed_text(fields), "dev_no=&infno=L101&msgid=m&opter=张三");
    }

    #[test]
    fn a_signed_envelope_is_verified_and_a_changed_one_is_not() {
        let key = PrivateKey::parse(STANDARD_PRIVATE).unwrap();
        for encoding in [SignatureForm::Hex, SignatureForm::Base64] {
            let cainfo = key.sign([("infno", "L101"), ("dev_no", "")], encoding);
            let mut envelope =
                json!({"infno": "L101", "dev_no": null, "cainfo": cainfo, "input": {"a": 1}})
                    .as_object()
                    .unwrap()
                    .clone();
            assert_eq!(verify(STANDARD_PUBLIC, &envelope), Ok(()));
            envelope["infno"] = json!("L102");
            assert_eq!(
                verify(STANDARD_PUBLIC, &envelope),
                Err("cainfo does not match the envelope".into())
            );
        }
    }

    #[test]
    fn a_generated_key_is_read_back_and_rubbish_is_refused_without_showing_it() {
        let pem = generate_pem();
        let key = PrivateKey::parse(&pem).unwrap();
        assert_ne!(
            key.public_hex(),
            PrivateKey::parse(&generate_pem()).unwrap().public_hex()
        );
        assert_eq!(format!("{key:?}"), "PrivateKey(..)");
        for wrong in [
            "",
            "5eC7e7",
            &"0".repeat(64),
            &"f".repeat(64),
            "-----BEGIN PRIVATE KEY-----\n5eC7e7\n-----END PRIVATE KEY-----",
        ] {
            let text = PrivateKey::parse(wrong).unwrap_err();
            assert!(!text.contains("5eC7e7"), "{text}");
        }
    }
}
