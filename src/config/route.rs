//! Routes a partner may be allowed: how they are written, and which are the gateway's own.
//!
//! A route is a method and a path; a segment `*` stands for any one segment, a last segment `**`
//! for one or more. Routes outside the gateway's own belong to adapters, which say what they mean.

/// An interface of the gateway itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// Institutions and caregivers in.
    Registry,
    /// Institutions and caregivers out, page by page.
    Province,
    /// The same as FHIR resources.
    Fhir,
    /// Deductions and contributions, for the medical insurance core.
    Core,
    /// Whether a person has paid, for the LTC system.
    Standing,
}

/// Every route of the gateway's own, as an entry in partners.toml names it.
pub const BUILT_IN: &[(Api, &str)] = &[
    (Api::Registry, "GET /ltc/v1/institutions/*"),
    (Api::Registry, "PUT /ltc/v1/institutions/*"),
    (Api::Registry, "DELETE /ltc/v1/institutions/*"),
    (Api::Registry, "GET /ltc/v1/caregivers/*"),
    (Api::Registry, "PUT /ltc/v1/caregivers/*"),
    (Api::Registry, "DELETE /ltc/v1/caregivers/*"),
    (Api::Registry, "POST /ltc/v1/registry"),
    (Api::Province, "GET /province/v1/institutions"),
    (Api::Province, "GET /province/v1/caregivers"),
    (Api::Province, "GET /province/v1/snapshot"),
    (Api::Fhir, "GET /fhir/**"),
    (Api::Core, "POST /core/v1/deduction-cycles"),
    (Api::Core, "GET /core/v1/deduction-cycles/*"),
    (Api::Core, "GET /core/v1/persons/*/contributions"),
    (Api::Core, "GET /core/v1/employers/*/contributions"),
    (Api::Standing, "GET /ltc/v1/persons/*/standing"),
];

/// Routes under the gateway's own paths that are endpoints of adapters all the same: what is sent there is theirs to read.
const ENDPOINTS: &[(Api, &str)] = &[
    (Api::Core, "POST /core/v1/roster"),
    (Api::Core, "POST /core/v1/deduction-results"),
];

/// Where the gateway's own paths begin; the first that fits counts.
const PREFIXES: &[(Api, &str)] = &[
    (Api::Standing, "/ltc/v1/persons/"),
    (Api::Registry, "/ltc/v1/"),
    (Api::Province, "/province/v1/"),
    (Api::Fhir, "/fhir/"),
    (Api::Core, "/core/v1/"),
];

/// Which of the gateway's own interfaces an entry's route or a request (`PUT /ltc/v1/...`) means:
/// nothing when it is an adapter's, the known ones when it is under their paths but none of them.
pub fn built_in(route: &str) -> Option<Result<Api, Vec<&'static str>>> {
    let path = route.split_once(' ').map_or(route, |(_, path)| path);
    let api = api_of(path)?;
    let own = || {
        BUILT_IN
            .iter()
            .chain(ENDPOINTS)
            .filter(|(of, _)| *of == api)
            .map(|(_, known)| *known)
    };
    let known = own().any(|known| known == route || route_matches(known, route));
    Some(if known { Ok(api) } else { Err(own().collect()) })
}

/// The route a request needs: HEAD asks what GET asks, and so does a FHIR search that is posted.
pub fn asked(method: &str, path: &str) -> String {
    match (
        method,
        path.strip_prefix("/fhir/")
            .and_then(|_| path.strip_suffix("/_search")),
    ) {
        ("POST" | "GET" | "HEAD", Some(path)) => format!("GET {path}"),
        ("HEAD", _) => format!("GET {path}"),
        _ => format!("{method} {path}"),
    }
}

/// The interface of the gateway itself that a path belongs to.
pub fn api_of(path: &str) -> Option<Api> {
    let is_path = |(_, route): &(Api, &str)| {
        route
            .split_once(' ')
            .is_some_and(|(_, known)| known == path)
    };
    if ENDPOINTS.iter().any(is_path) {
        return None;
    }
    PREFIXES
        .iter()
        .find(|(_, prefix)| path.starts_with(prefix) || prefix.strip_suffix('/') == Some(path))
        .map(|(api, _)| *api)
}

/// Whether a request, `PUT /ltc/v1/caregivers/C1`, is covered by an entry's route.
pub fn route_matches(route: &str, request: &str) -> bool {
    let (mut wanted, mut found) = (route.split('/'), request.split('/'));
    loop {
        match (wanted.next(), found.next()) {
            (Some("**"), Some(first)) => return !first.is_empty() || found.next().is_some(),
            (Some("*"), Some(segment)) if !segment.is_empty() => {}
            (Some(word), Some(segment)) if word == segment => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// What is wrong with the form of a route; goes on from its name.
pub(super) fn problem(route: &str) -> Option<&'static str> {
    let path = match route.split_once(" /") {
        Some(("GET" | "POST" | "PUT" | "DELETE", path)) if !path.is_empty() => path,
        _ => return Some("; expected a method and a path such as `POST /tax/v1/packets`"),
    };
    let start = path.strip_suffix("/**").unwrap_or(path);
    start
        .split('/')
        .any(|segment| segment.contains('*') && segment != "*")
        .then_some("; `*` may only be a whole segment, `**` only the whole last one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_segment_and_nothing_else() {
        let route = "PUT /ltc/v1/caregivers/*";
        assert!(route_matches(route, "PUT /ltc/v1/caregivers/C1"));
        for other in [
            "PUT /ltc/v1/caregivers",
            "PUT /ltc/v1/caregivers/",
            "PUT /ltc/v1/caregivers/C1/x",
            "GET /ltc/v1/caregivers/C1",
            "PUT /ltc/v1/caregiversX/C1",
        ] {
            assert!(!route_matches(route, other), "{other}");
        }
        assert!(route_matches("POST /a", "POST /a") && !route_matches("POST /a", "POST /a/b"));
        let inside = "GET /core/v1/persons/*/contributions";
        assert!(route_matches(
            inside,
            "GET /core/v1/persons/P1/contributions"
        ));
        for other in [
            "GET /core/v1/persons//contributions",
            "GET /core/v1/persons/P1/x/contributions",
            "GET /core/v1/persons/P1",
        ] {
            assert!(!route_matches(inside, other), "{other}");
        }
    }

    #[test]
    fn what_reads_needs_the_route_of_get() {
        assert_eq!(
            asked("HEAD", "/province/v1/snapshot"),
            "GET /province/v1/snapshot"
        );
        assert_eq!(
            asked("POST", "/fhir/Organization/_search"),
            "GET /fhir/Organization"
        );
        assert_eq!(
            asked("POST", "/fhir/Organization"),
            "POST /fhir/Organization"
        );
        assert_eq!(asked("POST", "/tax/v1/_search"), "POST /tax/v1/_search");
        assert_eq!((api_of("/fhir"), api_of("/fhirx")), (Some(Api::Fhir), None));
    }

    #[test]
    fn two_stars_stand_for_everything_below() {
        for request in ["GET /fhir/metadata", "GET /fhir/Organization/I1/_history"] {
            assert!(route_matches("GET /fhir/**", request), "{request}");
        }
        for request in [
            "GET /fhir",
            "GET /fhir/",
            "POST /fhir/metadata",
            "GET /fhirx/metadata",
        ] {
            assert!(!route_matches("GET /fhir/**", request), "{request}");
        }
        assert_eq!(built_in("GET /fhir/Organization/**"), Some(Ok(Api::Fhir)));
    }

    #[test]
    fn routes_of_the_gateway_itself_are_told_from_adapters_and_from_mistakes() {
        assert_eq!(
            built_in("PUT /ltc/v1/caregivers/*"),
            Some(Ok(Api::Registry))
        );
        assert_eq!(
            built_in("PUT /ltc/v1/caregivers/C1"),
            Some(Ok(Api::Registry))
        );
        assert_eq!(built_in("POST /tax/v1/packets"), None);
        assert_eq!(
            built_in("GET /ltc/v1/persons/*/standing"),
            Some(Ok(Api::Standing))
        );
        assert_eq!(
            built_in("GET /core/v1/persons/P1/contributions"),
            Some(Ok(Api::Core))
        );
        assert!(built_in("PUT /ltc/v1/caregiver/*").is_some_and(|found| {
            found.is_err_and(|known| known.contains(&"PUT /ltc/v1/caregivers/*"))
        }));
    }

    #[test]
    fn a_star_elsewhere_is_a_mistake() {
        assert_eq!(
            (problem("PUT /ltc/v1/caregivers/*"), problem("GET /fhir/**")),
            (None, None)
        );
        assert_eq!(problem("GET /core/v1/persons/*/contributions"), None);
        for route in ["PUT /ltc/a*", "PUT /**/caregivers", "GET /a/***"] {
            assert!(
                problem(route).is_some_and(|text| text.contains("whole segment")),
                "{route}"
            );
        }
        assert!(problem("FETCH /a").is_some() && problem("PUT a").is_some());
    }
}
