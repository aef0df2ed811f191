//! The request envelope of the national medical insurance platform (NHSA).
//!
//! A flat JSON object of fixed fields in a fixed order, with the business data last in `input`. The
//! names, including the misspelt `mdtrtarea_admvs`, and the lengths are the interface's own. It
//! wraps what a template rendered and knows nothing of what is inside.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use super::{Capability, CapabilityKind, Setting};

pub const CAPABILITY: Capability = Capability {
    name: "nhsa",
    kind: CapabilityKind::Envelope,
    doc: "Wraps the rendered JSON as `input` of the NHSA request envelope and numbers it with a msgid.",
    settings: &[
        setting(
            "institution_code",
            true,
            (12, 12),
            "our institution code, first part of every msgid and fixmedins_code",
        ),
        setting(
            "institution_name",
            true,
            (1, 200),
            "our name, fixmedins_name",
        ),
        setting(
            "mdtrtarea_admvs",
            true,
            (6, 6),
            "division code of the place of service",
        ),
        setting(
            "recer_sys_code",
            true,
            (1, 10),
            "code of the receiving system",
        ),
        setting(
            "infver",
            true,
            (1, 6),
            "version of the interface, e.g. V1.0",
        ),
        setting(
            "opter_type",
            true,
            (1, 3),
            "kind of operator, e.g. 3 for a machine",
        ),
        setting("opter", true, (1, 30), "operator number"),
        setting("opter_name", true, (1, 50), "operator name"),
        setting(
            "insuplc_admdvs",
            false,
            (6, 6),
            "division code of the place of insurance",
        ),
        setting("dev_no", false, (0, 100), "device number"),
        setting(
            "dev_safe_info",
            false,
            (0, 2000),
            "device security information",
        ),
        setting(
            "signtype",
            false,
            (0, 10),
            "kind of signature; SM2 when cainfo is signed",
        ),
        setting("sign_no", false, (0, 30), "sign-in number"),
    ],
    secrets: &[],
};

const fn setting(
    name: &'static str,
    required: bool,
    chars: (usize, usize),
    doc: &'static str,
) -> Setting {
    Setting {
        name,
        required,
        chars,
        doc,
    }
}

/// Characters of a msgid.
pub const MSGID_CHARS: usize = 30;
/// How many serials a msgid can tell apart within one second.
pub const SERIALS: u64 = 10_000;

/// Beijing time, in which the platform writes every time; China has no daylight saving.
pub fn beijing() -> TimeZone {
    TimeZone::fixed(Offset::constant(8))
}

/// A msgid: institution code (12) + yyyyMMddHHmmss (Beijing) + serial modulo 10,000 (4).
///
/// Two msgids are equal only when 10,000 serials were drawn within one second, or within the time
/// by which two instances' clocks disagree; all instances therefore draw from one database sequence.
pub fn msgid(institution_code: &str, at: Timestamp, serial: u64) -> String {
    format!(
        "{institution_code}{}{:04}",
        at.to_zoned(beijing()).strftime("%Y%m%d%H%M%S"),
        serial % SERIALS
    )
}

/// The envelope fields in their order, without `cainfo` (empty here) filled in and without `input`.
pub fn fields(
    infno: &str,
    msgid: &str,
    settings: &BTreeMap<String, String>,
    at: Timestamp,
) -> Result<Vec<(&'static str, String)>, String> {
    if msgid.chars().count() != MSGID_CHARS {
        return Err(format!(
            "the msgid has {} characters; expected {MSGID_CHARS}: check the setting `institution_code`",
            msgid.chars().count()
        ));
    }
    let optional = |name: &str| settings.get(name).cloned().unwrap_or_default();
    let required = |name: &str| {
        settings
            .get(name)
            .cloned()
            .ok_or_else(|| format!("setting `{name}` is missing; the nhsa envelope needs it"))
    };
    Ok(vec![
        ("infno", infno.to_owned()),
        ("msgid", msgid.to_owned()),
        ("mdtrtarea_admvs", required("mdtrtarea_admvs")?),
        ("insuplc_admdvs", optional("insuplc_admdvs")),
        ("recer_sys_code", required("recer_sys_code")?),
        ("dev_no", optional("dev_no")),
        ("dev_safe_info", optional("dev_safe_info")),
        ("cainfo", String::new()),
        ("signtype", optional("signtype")),
        ("infver", required("infver")?),
        ("opter_type", required("opter_type")?),
        ("opter", required("opter")?),
        ("opter_name", required("opter_name")?),
        (
            "inf_time",
            at.to_zoned(beijing())
                .strftime("%Y-%m-%d %H:%M:%S")
                .to_string(),
        ),
        ("fixmedins_code", required("institution_code")?),
        ("fixmedins_name", required("institution_name")?),
        ("sign_no", optional("sign_no")),
    ])
}

/// The envelope as JSON text: the fields in their order, then `input` as it was rendered.
pub fn wrap(fields: &[(&'static str, String)], input: &str) -> String {
    let mut text = String::with_capacity(input.len() + 1024);
    text.push('{');
    for (name, value) in fields {
        text.push_str(&format!(
            "\"{name}\":{},",
            serde_json::Value::from(value.as_str())
        ));
    }
    text.push_str("\"input\":");
    text.push_str(input.trim());
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> BTreeMap<String, String> {
        let pairs = [
            ("institution_code", "H45010000001"),
            ("institution_name", "长护\"网关\""),
            ("mdtrtarea_admvs", "450100"),
            ("recer_sys_code", "LTC"),
            ("infver", "V1.0"),
            ("opter_type", "3"),
            ("opter", "ltcgw"),
            ("opter_name", "网关"),
        ];
        pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn a_msgid_is_thirty_characters_in_beijing_time() {
        let at: Timestamp = "2021-10-31T16:00:01Z".parse().unwrap();
        assert_eq!(
            msgid("H45010000001", at, 7),
            "H45010000001202111010000010007"
        );
        assert_eq!(
            msgid("H45010000001", at, 120_007),
            msgid("H45010000001", at, 7)
        );
        assert_eq!(msgid("H45010000001", at, 9_999).len(), MSGID_CHARS);
    }

    #[test]
    fn the_envelope_has_every_field_in_order_and_input_last() {
        let at: Timestamp = "2021-11-01T00:00:00Z".parse().unwrap();
        let fields = fields("L101", &msgid("H45010000001", at, 1), &settings(), at).unwrap();
        let parsed: serde_json::Value =
            serde_json::from_str(&wrap(&fields, " {\"lines\": []}\n")).unwrap();
        let names: Vec<&str> = parsed
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let expected = "infno msgid mdtrtarea_admvs insuplc_admdvs recer_sys_code dev_no dev_safe_info cainfo signtype infver opter_type opter opter_name \
                        inf_time fixmedins_code fixmedins_name sign_no input";
        assert_eq!(names, expected.split_whitespace().collect::<Vec<_>>());
        assert_eq!(parsed["inf_time"], "2021-11-01 08:00:00");
        assert_eq!(parsed["fixmedins_name"], "长护\"网关\"");
    }

    #[test]
    fn missing_settings_and_a_short_msgid_are_refused_by_name() {
        let at = Timestamp::UNIX_EPOCH;
        let mut settings = settings();
        assert!(
            fields("L101", "short", &settings, at)
                .unwrap_err()
                .contains("5 characters; expected 30")
        );
        settings.remove("opter");
        assert!(
            fields("L101", &msgid("H45010000001", at, 1), &settings, at)
                .unwrap_err()
                .contains("`opter` is missing")
        );
        let problems = CAPABILITY.check(&settings, &super::super::Secrets::default());
        assert_eq!(
            problems,
            ["setting `opter` is missing; nhsa needs it: operator number"]
        );
    }
}
