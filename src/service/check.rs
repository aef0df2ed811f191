//! A partner's entry held against its adapter, secrets and certificate files, before anything starts.
//!
//! Reads files only; whether anybody answers is `link::probe`'s business.

use std::collections::BTreeMap;

use crate::adapter::{self, Adapter, Catalog, Endpoint, Secrets};
use crate::config::{Api, Config, OutboundEntry, Partner, built_in, of_partner_in};
use crate::error::{Finding, did_you_mean};
use crate::flow::tell::SubjectKind;
use crate::flow::transfer;
use crate::ledger::Fund;
use crate::link::Client;
use crate::model::records::deduction_result;

/// Why a partner's entry cannot work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnerProblem {
    /// The value, key or section of the entry that is to be mended, as `config::of_partner_in` looks for it.
    pub about: String,
    /// A safe sentence.
    pub text: String,
}

impl PartnerProblem {
    fn new(about: &str, text: String) -> PartnerProblem {
        PartnerProblem {
            about: about.to_owned(),
            text,
        }
    }

    /// With file and line.
    pub fn finding(&self, config: &Config, partner: &Partner) -> Finding {
        let file = config.dir.join("partners.toml").display().to_string();
        Finding::new(
            file,
            of_partner_in(&config.dir, &partner.name, &self.about),
            format!("partner `{}`: {}", partner.name, self.text),
        )
    }
}

/// Why a partner's entry cannot work; empty when it can.
pub fn problems(partner: &Partner, catalog: &Catalog) -> Vec<PartnerProblem> {
    let routes = || partner.inbound.iter().flat_map(|inbound| &inbound.routes);
    let mut problems = Vec::new();
    let mut others = Vec::new();
    for route in routes() {
        match built_in(route) {
            Some(Ok(Api::Province | Api::Fhir)) if partner.fields.is_none() => {
                let text = format!(
                    "route `{route}` gives it nothing without [partner.fields]; list there the fields it may know, and why"
                );
                problems.push(PartnerProblem::new(route, text));
            }
            Some(Ok(_)) => problems.extend(hidden(route, partner, catalog)),
            Some(Err(known)) => {
                let near = did_you_mean(route, known.iter().copied());
                problems.push(PartnerProblem::new(
                    route,
                    format!(
                        "route `{route}` is none of the gateway's own{near}; it has {}",
                        known.join(", ")
                    ),
                ));
            }
            None => others.push(route),
        }
    }
    if partner.adapter.is_empty() {
        let text = |route: &str| {
            format!(
                "route `{route}` needs an adapter that reads what is sent there, and no `adapter` is named; name one"
            )
        };
        problems.extend(
            others
                .iter()
                .map(|route| PartnerProblem::new(route, text(route))),
        );
        return problems;
    }
    let Some(adapter) = catalog.get(&partner.adapter) else {
        return vec![PartnerProblem::new(
            &partner.adapter,
            catalog.unknown(&partner.adapter),
        )];
    };
    for route in others {
        let endpoint = route.rsplit('/').next().unwrap_or_default();
        if let Some(endpoint) = adapter.endpoint(endpoint) {
            problems.extend(unservable(route, endpoint));
        } else {
            let known: Vec<&str> = adapter
                .endpoints()
                .iter()
                .map(|endpoint| endpoint.name())
                .collect();
            let text = format!(
                "route `{route}`: adapter {} has {}{}",
                adapter.name(),
                one_of(endpoint, "endpoint", &known),
                did_you_mean(endpoint, known)
            );
            problems.push(PartnerProblem::new(route, text));
        }
    }
    if let Some(outbound) = &partner.outbound {
        problems.extend(outbound_problems(partner, outbound, adapter));
    }
    problems
}

/// Why an adapter's endpoint is never reached: the only path of its name is one of the gateway's own.
fn hidden(route: &str, partner: &Partner, catalog: &Catalog) -> Option<PartnerProblem> {
    let name = route.rsplit('/').next()?;
    let endpoint = catalog.get(&partner.adapter)?.endpoint(name)?;
    let leads_there =
        |other: &String| other.rsplit('/').next() == Some(name) && built_in(other).is_none();
    let mut routes = partner.inbound.iter().flat_map(|inbound| &inbound.routes);
    if routes.any(leads_there) {
        return None;
    }
    let text = format!(
        "route `{route}` is one of the gateway's own, which cannot take {}: endpoint `{name}` of adapter {} is never reached by it; give the route another path, such as `POST /{}/v1/{name}`",
        endpoint.story().messages(),
        partner.adapter,
        partner.name
    );
    Some(PartnerProblem::new(route, text))
}

/// Why a route brings nothing to an adapter's endpoint.
fn unservable(route: &str, endpoint: &Endpoint) -> Option<PartnerProblem> {
    let (method, path) = route.split_once(' ')?;
    if matches!(method, "POST" | "PUT") {
        return None;
    }
    let text = format!(
        "route `{route}`: endpoint `{}` takes {}, and a {method} request brings none; expected `POST {path}`",
        endpoint.name(),
        endpoint.story().messages()
    );
    Some(PartnerProblem::new(route, text))
}

fn outbound_problems(
    partner: &Partner,
    outbound: &OutboundEntry,
    adapter: &Adapter,
) -> Vec<PartnerProblem> {
    let mut problems = Vec::new();
    let secrets = match Secrets::load(&partner.secrets) {
        Ok(secrets) => Some(secrets),
        Err(findings) => {
            problems.extend(
                findings
                    .iter()
                    .map(|finding| PartnerProblem::new("partner.secrets", finding.to_string())),
            );
            None
        }
    };
    for message in &outbound.receives {
        let found = message_problems(message, adapter, &partner.settings, secrets.as_ref());
        problems.extend(found.into_iter().map(|text| {
            PartnerProblem::new(
                if text.starts_with("setting ") {
                    "partner.settings"
                } else {
                    message
                },
                text,
            )
        }));
    }
    problems.extend(
        Client::new(outbound)
            .err()
            .map(|fault| PartnerProblem::new("partner.outbound", fault.text)),
    );
    let mut seen = std::collections::HashSet::new();
    problems.retain(|problem| seen.insert(problem.text.clone()));
    problems
}

/// What a message lacks; with it the message that asks about its outcome.
fn message_problems(
    message: &str,
    adapter: &Adapter,
    settings: &BTreeMap<String, String>,
    secrets: Option<&Secrets>,
) -> Vec<String> {
    let Some(outbound) = adapter.outbound(message) else {
        let known: Vec<&str> = adapter
            .outbounds()
            .iter()
            .map(|outbound| outbound.message())
            .collect();
        return vec![format!(
            "receives: adapter {} has {}{}",
            adapter.name(),
            one_of(message, "outbound message", &known),
            did_you_mean(message, known)
        )];
    };
    let mut problems = Vec::new();
    problems.extend(without_results(outbound, adapter));
    if SubjectKind::of(outbound) == SubjectKind::Records
        && outbound.fund().and_then(Fund::of_word).is_none()
    {
        let funds: Vec<&str> = Fund::ALL.into_iter().map(Fund::word).collect();
        problems.push(format!(
            "receives `{message}`, but adapter {} does not say whose money it is about; add `fund`: one of {}",
            adapter.name(),
            funds.join(", ")
        ));
    }
    let inquiry = outbound
        .inquiry()
        .and_then(|inquiry| adapter.outbound(inquiry));
    if let Some(secrets) = secrets {
        problems.extend(
            std::iter::once(outbound)
                .chain(inquiry)
                .flat_map(|outbound| outbound.check(settings, secrets)),
        );
    }
    problems
}

/// Why what the core does with deductions would never be known.
fn without_results(outbound: &adapter::OutboundMessage, adapter: &Adapter) -> Option<String> {
    let wanted = deduction_result::SPEC.name;
    if outbound.message() != transfer::DEDUCTIONS
        || outbound
            .results()
            .is_some_and(|results| results.record() == wanted)
    {
        return None;
    }
    let text = "receives `deductions`, but adapter";
    Some(format!(
        "{text} {} does not say where an answer has the results; add `results = {{ record = \"{wanted}\", at = ... }}`",
        adapter.name()
    ))
}

fn one_of(wanted: &str, what: &str, known: &[&str]) -> String {
    if known.is_empty() {
        format!("no {what} at all, so no `{wanted}`")
    } else {
        format!("no {what} `{wanted}`; it has {}", known.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// What is wrong with an entry for the shipped LTC system's adapter, changed.
    fn problems_of(entry: &str, change: impl FnOnce(String) -> String) -> Vec<String> {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("adapters/ltc-system");
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("ltc-system");
        copy(&shipped, &folder);
        let manifest = change(std::fs::read_to_string(shipped.join("adapter.toml")).unwrap());
        std::fs::write(folder.join("adapter.toml"), manifest).unwrap();
        let catalog = Catalog::load(dir.path()).unwrap();
        let partner: Partner = toml::from_str(&format!("name = \"ltc\"\n{entry}")).unwrap();
        // Its certificate files are not there, which other tests look at.
        problems(&partner, &catalog)
            .into_iter()
            .map(|problem| problem.text)
            .filter(|text| !text.contains("cannot be read"))
            .collect()
    }

    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().flatten() {
            let target = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy(&entry.path(), &target);
            } else {
                std::fs::copy(entry.path(), target).unwrap();
            }
        }
    }

    fn outbound(receives: &str) -> String {
        format!(
            "adapter = \"ltc-system\"\n[outbound]\nurl = \"https://x\"\ncertificate = \"c\"\nkey = \"k\"\nca = \"a\"\nreceives = [\"{receives}\"]\nareas = [\"450100\"]\n[outbound.limits]\nrequests_per_second = 1"
        )
    }

    #[test]
    fn an_entry_that_fits_has_no_problems() {
        assert_eq!(
            problems_of(&outbound("contributions"), |manifest| manifest),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_message_that_does_not_say_whose_money_it_is_about_cannot_be_received() {
        let found = problems_of(&outbound("contributions"), |manifest| {
            manifest.replace("fund = \"long_term_care\"\n", "")
        });
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("add `fund`: one of medical, long_term_care"),
            "{found:?}"
        );
    }

    #[test]
    fn unknown_messages_endpoints_and_adapters_are_named_with_their_neighbours() {
        let found = problems_of(&outbound("contribution"), |manifest| manifest);
        assert!(
            found[0].contains("no outbound message `contribution`")
                && found[0].contains("did you mean `contributions`?"),
            "{found:?}"
        );
        let found = problems_of(
            "adapter = \"ltc-system\"\n[inbound]\nsan = \"x\"\nroutes = [\"POST /packets\"]",
            |manifest| manifest,
        );
        assert!(
            found[0].contains("no endpoint at all, so no `packets`"),
            "{found:?}"
        );
        let found = problems_of(
            "adapter = \"ltc-system\"\n[inbound]\nsan = \"x\"\nroutes = [\"POST /core/v1/roster\"]",
            |manifest| manifest,
        );
        assert!(
            found[0].contains("no endpoint at all, so no `roster`"),
            "{found:?}"
        );
        let found = problems_of(
            "adapter = \"ltc-sistem\"\n[inbound]\nsan = \"x\"\nroutes = []",
            |manifest| manifest,
        );
        assert!(found[0].contains("did you mean `ltc-system`?"), "{found:?}");
    }

    /// What is wrong with a route of a partner whose adapter reads packets.
    fn problems_of_route(adapter: &str, route: &str) -> Vec<String> {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("adapters");
        let catalog = Catalog::load(&shipped).expect("the shipped adapters");
        let entry = format!(
            "name = \"p\"\nadapter = \"{adapter}\"\n[inbound]\nsan = \"x\"\nroutes = [\"{route}\"]"
        );
        let partner: Partner = toml::from_str(&entry).expect("an entry");
        problems(&partner, &catalog)
            .into_iter()
            .map(|problem| problem.text)
            .collect()
    }

    #[test]
    fn any_path_may_lead_to_an_endpoint_and_its_story_is_done_there() {
        for route in [
            "POST /core/v1/roster",
            "POST /nanning/roster",
            "POST /core/v1/deduction-results",
            "PUT /nanning/deduction-results",
        ] {
            assert_eq!(
                problems_of_route("medical-core", route),
                Vec::<String>::new(),
                "{route}"
            );
        }
    }

    #[test]
    fn a_route_that_brings_no_body_to_an_endpoint_is_a_mistake() {
        for (adapter, route, takes) in [
            (
                "tax-bureau",
                "GET /tax/v1/packets",
                "packets of collected money",
            ),
            ("medical-core", "DELETE /core/v1/roster", "rosters"),
        ] {
            let found = problems_of_route(adapter, route);
            let path = route.split_once(' ').expect("a path").1;
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(
                found[0].contains(takes) && found[0].ends_with(&format!("expected `POST {path}`")),
                "{found:?}"
            );
        }
    }

    #[test]
    fn an_endpoint_hidden_behind_a_route_of_the_gateway_itself_is_a_mistake() {
        let dir = tempfile::tempdir().unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("adapters/tax-bureau");
        let folder = dir.path().join("tax-bureau");
        copy(&shipped, &folder);
        let manifest = std::fs::read_to_string(shipped.join("adapter.toml")).unwrap();
        let manifest = manifest.replace("endpoint = \"packets\"", "endpoint = \"registry\"");
        std::fs::write(folder.join("adapter.toml"), manifest).unwrap();
        let catalog = Catalog::load(dir.path()).expect("an adapter that works");
        let found_of = |routes: &str| {
            let entry = format!(
                "name = \"bureau\"\nadapter = \"tax-bureau\"\n[inbound]\nsan = \"x\"\nroutes = [{routes}]"
            );
            let partner: Partner = toml::from_str(&entry).expect("an entry");
            problems(&partner, &catalog)
        };
        let both = found_of("\"POST /ltc/v1/registry\", \"POST /bureau/registry\"");
        assert!(both.is_empty(), "another path leads there");
        let found = found_of("\"POST /ltc/v1/registry\"");
        assert_eq!(found.len(), 1);
        assert!(
            found[0]
                .text
                .contains("cannot take packets of collected money")
                && found[0]
                    .text
                    .ends_with("such as `POST /bureau/v1/registry`"),
            "{}",
            found[0].text
        );
    }
}
