//! config/partners.toml: who each partner is, what it may call, where and how we call it.
//!
//! Says *where*; the adapter says *what*. Secrets are files named here, never values.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::San;
use crate::error::{Finding, did_you_mean};
use crate::model::deduction;
use crate::model::division::is_code;
use crate::model::registry::EntityKind;

pub mod limits; // what a partner takes at most

pub use limits::{DayWindow, DestinationLimits};

/// An organisation with a certificate.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partner {
    /// Kebab-case, unique; used in the database, logs and metrics.
    pub name: String,
    /// Folder under adapters/; empty for a partner that uses only the gateway's own routes.
    #[serde(default)]
    pub adapter: String,
    /// What it may call; absent for partners that only we call.
    #[serde(default)]
    pub inbound: Option<InboundEntry>,
    /// Where we call it; absent for partners that only call us.
    #[serde(default)]
    pub outbound: Option<OutboundEntry>,
    /// What it is given of the registries when it pulls them.
    #[serde(default)]
    pub fields: Option<PullerFields>,
    /// Values the adapter's templates and envelope use (institution code, system code, ...).
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Files whose content the envelope or signature uses (SM2 key, gateway token), by name.
    #[serde(default)]
    pub secrets: BTreeMap<String, PathBuf>,
}

/// How a partner is recognised and what it may do.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InboundEntry {
    /// SHA-256 of the client certificate's SubjectPublicKeyInfo, hex.
    #[serde(default)]
    pub spki_sha256: Option<String>,
    /// DNS name or URI in the client certificate's subject alternative names.
    #[serde(default)]
    pub san: Option<San>,
    /// Routes it may call, each `METHOD /path`; the adapter's endpoint is the path's last segment.
    pub routes: Vec<String>,
    /// Requests per second it may send; 50 when absent.
    #[serde(default = "default_rate")]
    pub requests_per_second: u32,
    /// Requests it may send at once above that rate; equal to it when absent.
    #[serde(default)]
    pub burst: Option<u32>,
    /// Lowers the gateway's `body_bytes_max` for this partner.
    #[serde(default)]
    pub body_bytes_max: Option<u64>,
}

/// What a puller is given of the registries, and what for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PullerFields {
    /// Why it may know them, in a sentence; for the record.
    pub purpose: String,
    /// Of institutions; absent: it may not pull them.
    #[serde(default)]
    pub institution: Option<Vec<String>>,
    /// Of caregivers; absent: it may not pull them.
    #[serde(default)]
    pub caregiver: Option<Vec<String>>,
    /// Pooling areas it is given the entries of, six digits of GB/T 2260; absent: of all, as for a provincial platform.
    #[serde(default)]
    pub areas: Option<Vec<String>>,
}

impl PullerFields {
    /// The names listed for a kind.
    pub fn of(&self, kind: EntityKind) -> Option<&[String]> {
        match kind {
            EntityKind::Institution => self.institution.as_deref(),
            EntityKind::Caregiver => self.caregiver.as_deref(),
        }
    }
}

/// Where and how a partner is called.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutboundEntry {
    /// Base URL, https.
    pub url: String,
    /// Our client certificate and key for this partner, and the authority that signed its server certificate (PEM).
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub ca: PathBuf,
    /// Messages queued for it, by the adapter's outbound message names.
    pub receives: Vec<String>,
    /// Pooling areas it is told of, six digits of GB/T 2260; it hears of no other city's money, people or institutions.
    #[serde(default)]
    pub areas: Vec<String>,
    /// What it takes at most, over all instances together.
    pub limits: limits::DestinationLimits,
    /// Seconds from sending to the complete answer; after that the outcome is unknown.
    #[serde(default = "default_deadline")]
    pub deadline_seconds: u64,
}

fn default_rate() -> u32 {
    50
}

fn default_deadline() -> u64 {
    30
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    partner: Vec<Spanned<Partner>>,
}

/// Reads and checks the file; adds a finding per problem.
pub(super) fn read(path: &Path, dir: &Path, findings: &mut Vec<Finding>) -> Vec<Partner> {
    let Some(file): Option<File> = super::read(path, findings) else {
        return Vec::new();
    };
    let source = std::fs::read_to_string(path).unwrap_or_default();
    let name = path.display().to_string();
    let mut partners: Vec<Partner> = Vec::new();
    for entry in file.partner {
        let offset = entry.span().start;
        let mut partner = entry.into_inner();
        let partner_name = partner.name.clone();
        let own = Finding::at_offset(&name, &source, offset, "").at;
        let mut problem = |about: &str, text: String| {
            // From this entry on: another may have the same name.
            let within = super::place::of_partner(
                &source[source.floor_char_boundary(offset)..],
                &partner_name,
                about,
            );
            let at = own.map(|(line, column)| {
                within.map_or((line, column), |(below, column)| (line + below - 1, column))
            });
            findings.push(Finding::new(&name, at, text));
        };
        check(&partner, &mut problem);
        if partners.iter().any(|earlier| earlier.name == partner.name) {
            problem(
                "name",
                format!(
                    "partner `{}` is defined twice; names must be unique",
                    partner.name
                ),
            );
        }
        if let Some(twin) = partners
            .iter()
            .find(|earlier| same_identity(earlier, &partner))
        {
            problem(
                "partner.inbound",
                format!(
                    "partner `{}` has the same certificate identity as `{}`; each needs its own",
                    partner.name, twin.name
                ),
            );
        }
        for (other, area) in second_cores(&partners, &partner) {
            problem(
                area,
                format!(
                    "partners `{other}` and `{}` both receive \"{}\" of pooling area {area}; a person is deducted from once, by one medical core: take the area out of \
                 one's `areas`, or the message out of its `receives`",
                    partner.name,
                    deduction::MESSAGE
                ),
            );
        }
        partner.resolve(dir);
        partners.push(partner);
    }
    partners
}

fn check(partner: &Partner, problem: &mut dyn FnMut(&str, String)) {
    let name = &partner.name;
    let kebab = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !kebab {
        problem(
            "name",
            format!("partner name `{name}`: expected lower-case letters, digits and hyphens"),
        );
    }
    if partner.inbound.is_none() && partner.outbound.is_none() {
        problem(
            "name",
            format!(
                "partner `{name}` has neither [partner.inbound] nor [partner.outbound]; add one"
            ),
        );
    }
    if let Some(inbound) = &partner.inbound {
        check_inbound(name, inbound, problem);
    }
    if let Some(fields) = &partner.fields {
        check_fields(name, fields, problem);
    }
    if partner.adapter.is_empty() && partner.outbound.is_some() {
        problem(
            "partner.outbound",
            format!(
                "partner `{name}` has [partner.outbound] but no `adapter`; name the folder under adapters/ that says what it speaks"
            ),
        );
    }
    if let Some(outbound) = &partner.outbound {
        if !outbound.url.starts_with("https://") {
            problem(
                "url",
                format!(
                    "partner `{name}`: url is `{}`; expected https://host[:port]",
                    outbound.url
                ),
            );
        }
        if outbound.areas.is_empty() {
            problem(
                "partner.outbound",
                format!(
                    "partner `{name}`: [partner.outbound] has no `areas`; list the pooling areas it is told of, such as areas = [\"450100\"]"
                ),
            );
        }
        check_areas(name, "outbound", &outbound.areas, problem);
        outbound.limits.check(name, problem);
    }
}

fn check_areas(name: &str, section: &str, areas: &[String], problem: &mut dyn FnMut(&str, String)) {
    for (at, area) in areas.iter().enumerate() {
        if !is_code(area) {
            problem(
                area,
                format!(
                    "partner `{name}`: [partner.{section}] areas has `{area}`; expected six digits of GB/T 2260, such as 450100"
                ),
            );
        }
        if areas[..at].contains(area) {
            problem(
                area,
                format!(
                    "partner `{name}`: [partner.{section}] areas has `{area}` twice; take one out"
                ),
            );
        }
    }
}

fn check_inbound(name: &str, inbound: &InboundEntry, problem: &mut dyn FnMut(&str, String)) {
    match (&inbound.spki_sha256, &inbound.san) {
        (None, None) => problem(
            "partner.inbound",
            format!(
                "partner `{name}`: [partner.inbound] needs `spki_sha256` or `san` to recognise its certificate"
            ),
        ),
        (Some(pin), _) if pin.len() != 64 || !pin.bytes().all(|b| b.is_ascii_hexdigit()) => {
            problem(
                "spki_sha256",
                format!(
                    "partner `{name}`: spki_sha256 has {} characters; expected 64 hexadecimal digits",
                    pin.len()
                ),
            );
        }
        _ => {}
    }
    if inbound.requests_per_second == 0 || inbound.burst == Some(0) {
        problem(
            "requests_per_second",
            format!("partner `{name}`: requests_per_second and burst must be at least 1"),
        );
    }
    for route in &inbound.routes {
        if let Some(text) = super::route::problem(route) {
            problem(route, format!("partner `{name}`: route `{route}`{text}"));
        }
    }
}

fn check_fields(name: &str, fields: &PullerFields, problem: &mut dyn FnMut(&str, String)) {
    if fields.purpose.trim().is_empty() {
        problem(
            "purpose",
            format!(
                "partner `{name}`: [partner.fields] purpose is empty; say why it may know what it is given"
            ),
        );
    }
    if fields.institution.is_none() && fields.caregiver.is_none() {
        problem(
            "partner.fields",
            format!(
                "partner `{name}`: [partner.fields] lists neither `institution` nor `caregiver` fields; list some or take it out"
            ),
        );
    }
    if fields.areas.as_ref().is_some_and(Vec::is_empty) {
        problem(
            "areas",
            format!(
                "partner `{name}`: [partner.fields] areas is empty; list the pooling areas it is given, or take the key out to give it all"
            ),
        );
    }
    check_areas(
        name,
        "fields",
        fields.areas.as_deref().unwrap_or_default(),
        problem,
    );
    for kind in EntityKind::ALL {
        let known = kind.fields();
        for field in fields
            .of(kind)
            .unwrap_or_default()
            .iter()
            .filter(|field| !known.contains(&field.as_str()))
        {
            let near = did_you_mean(field, known.iter().copied());
            problem(
                field,
                format!(
                    "partner `{name}`: [partner.fields] {kind} has no field `{field}`{near}; it has {}",
                    known.join(", ")
                ),
            );
        }
    }
}

fn same_identity(a: &Partner, b: &Partner) -> bool {
    let (Some(a), Some(b)) = (&a.inbound, &b.inbound) else {
        return false;
    };
    let same_pin =
        matches!((&a.spki_sha256, &b.spki_sha256), (Some(x), Some(y)) if x.eq_ignore_ascii_case(y));
    let same_san =
        a.spki_sha256.is_none() && b.spki_sha256.is_none() && a.san.is_some() && a.san == b.san;
    same_pin || same_san
}

/// Partners before this one that are asked to deduct in an area where it is asked as well, with the area.
fn second_cores<'a>(
    earlier: &'a [Partner],
    partner: &'a Partner,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let core = |partner: &'a Partner| {
        partner
            .outbound
            .as_ref()
            .filter(|entry| entry.is_told(deduction::MESSAGE))
    };
    let areas = core(partner)
        .map(|entry| entry.areas.as_slice())
        .unwrap_or_default();
    let cores = earlier
        .iter()
        .filter_map(move |other| Some((other, core(other)?)));
    cores.flat_map(move |(other, entry)| {
        areas
            .iter()
            .filter(|area| entry.areas.contains(area))
            .map(|area| (other.name.as_str(), area.as_str()))
    })
}

impl OutboundEntry {
    /// Its pooling areas as numbers.
    pub fn area_numbers(&self) -> Vec<i32> {
        self.areas
            .iter()
            .filter_map(|area| area.parse().ok())
            .collect()
    }

    /// Whether it is told by that message.
    pub fn is_told(&self, message: &str) -> bool {
        self.receives.iter().any(|received| received == message)
    }
}

impl Partner {
    /// Whether it may send and ask about what belongs to a pooling area as a whole: rosters, cycles, results. Its `areas`
    /// say so; a partner that only calls us has none, and speaks for every area.
    pub fn speaks_for(&self, area: i32) -> bool {
        self.outbound
            .as_ref()
            .is_none_or(|entry| entry.area_numbers().contains(&area))
    }

    /// Why it is refused what belongs to a pooling area it does not speak for.
    pub fn not_its_own(&self, area: i32) -> String {
        let own = self
            .outbound
            .as_ref()
            .map(|entry| entry.areas.join(", "))
            .unwrap_or_default();
        format!(
            "partner {} does not speak for pooling area {area:06}; expected one of its `areas`: {own}. If the area is its own, the gateway's operator adds it there, \
             in partners.toml",
            self.name
        )
    }

    fn resolve(&mut self, dir: &Path) {
        if let Some(outbound) = &mut self.outbound {
            for path in [
                &mut outbound.certificate,
                &mut outbound.key,
                &mut outbound.ca,
            ] {
                *path = dir.join(&path);
            }
        }
        for path in self.secrets.values_mut() {
            *path = dir.join(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partner(name: &str, receives: &str, areas: &[&str]) -> Partner {
        let text = format!(
            "name = \"{name}\"\n[outbound]\nurl = \"https://x\"\ncertificate = \"c\"\nkey = \"k\"\nca = \"a\"\nreceives = [{receives:?}]\nareas = {areas:?}\n\
             limits.requests_per_second = 1"
        );
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn a_second_core_of_an_area_is_found_with_the_area_and_one_of_another_is_none() {
        let first = partner("one", "deductions", &["450100", "460000"]);
        let second = |receives, areas: &[&str]| {
            let other = partner("other", receives, areas);
            second_cores(std::slice::from_ref(&first), &other)
                .map(|(name, area)| format!("{name} {area}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(second("deductions", &["500100", "460000"]), ["one 460000"]);
        assert_eq!(second("deductions", &["500100"]), [""; 0]);
        assert_eq!(second("deduction_results", &["460000"]), [""; 0]);
    }

    #[test]
    fn a_partner_speaks_for_its_areas_and_one_that_only_calls_for_all() {
        let core = partner("core", "deductions", &["450100", "460000"]);
        assert_eq!(
            [450_100, 460_000, 500_100].map(|area| core.speaks_for(area)),
            [true, true, false]
        );
        let text = core.not_its_own(500_100);
        assert!(
            text.contains("pooling area 500100") && text.contains("`areas`: 450100, 460000"),
            "{text}"
        );
        let caller: Partner =
            toml::from_str("name = \"office\"\n[inbound]\nsan = \"office.example\"\nroutes = []")
                .unwrap();
        assert!(caller.speaks_for(500_100));
    }

    fn found(areas: &str) -> Vec<String> {
        let entry = format!(
            "name = \"p\"\n[inbound]\nsan = \"p.example\"\nroutes = []\n[fields]\npurpose = \"a city's platform\"\ninstitution = [\"name\"]\n{areas}"
        );
        let mut found = Vec::new();
        check(
            &toml::from_str(&entry).expect("a partner"),
            &mut |_, text| found.push(text),
        );
        found
    }

    #[test]
    fn a_puller_has_no_areas_or_some_that_can_be() {
        for sound in [
            "",
            "areas = [\"450100\"]",
            "areas = [\"450100\", \"460000\"]",
        ] {
            assert_eq!(found(sound), Vec::<String>::new(), "{sound}");
        }
        for (areas, text) in [
            (
                "areas = []",
                "areas is empty; list the pooling areas it is given, or take the key out to give it all",
            ),
            (
                "areas = [\"4501\"]",
                "areas has `4501`; expected six digits of GB/T 2260, such as 450100",
            ),
            (
                "areas = [\"450100\", \"450100\"]",
                "areas has `450100` twice; take one out",
            ),
        ] {
            assert_eq!(
                found(areas),
                [format!("partner `p`: [partner.fields] {text}")]
            );
        }
    }
}
