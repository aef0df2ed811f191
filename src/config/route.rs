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

/// An interface of the gateway itself: where its paths begin, and every route under them.
struct Interface {
    api: Api,
    /// Of those that fit a path the first one counts.
    prefix: &'static str,
    /// As an entry in partners.toml names them.
    routes: &'static [&'static str],
    /// Routes that are endpoints of adapters all the same: what is sent there is theirs to read.
    endpoints: &'static [&'static str],
}

const INTERFACES: &[Interface] = &[
    Interface {
        api: Api::Standing,
        prefix: "/ltc/v1/persons/",
        routes: &["GET /ltc/v1/persons/*/standing"],
        endpoints: &[],
    },
    Interface {
        api: Api::Registry,
        prefix: "/ltc/v1/",
        routes: &[
            "GET /ltc/v1/institutions/*",
            "PUT /ltc/v1/institutions/*",
            "DELETE /ltc/v1/institutions/*",
            "GET /ltc/v1/caregivers/*",
            "PUT /ltc/v1/caregivers/*",
            "DELETE /ltc/v1/caregivers/*",
            "POST /ltc/v1/registry",
        ],
        endpoints: &[],
    },
    Interface {
        api: Api::Province,
        prefix: "/province/v1/",
        routes: &[
            "GET /province/v1/institutions",
            "GET /province/v1/caregivers",
            "GET /province/v1/snapshot",
        ],
        endpoints: &[],
    },
    Interface {
        api: Api::Fhir,
        prefix: "/fhir/",
        routes: &["GET /fhir/**"],
        endpoints: &[],
    },
    Interface {
        api: Api::Core,
        prefix: "/core/v1/",
        routes: &[
            "POST /core/v1/deduction-cycles",
            "GET /core/v1/deduction-cycles/*",
            "GET /core/v1/persons/*/contributions",
            "GET /core/v1/employers/*/contributions",
        ],
        endpoints: &["POST /core/v1/roster", "POST /core/v1/deduction-results"],
    },
];

/// Every route of the gateway's own, as an entry in partners.toml names it.
pub fn built_in_routes() -> impl Iterator<Item = &'static str> {
    INTERFACES
        .iter()
        .flat_map(|interface| interface.routes)
        .copied()
}

/// Words of the paths of these routes, the gateway's own and its endpoints; a FHIR path goes on with words of FHIR.
pub fn path_words() -> impl Iterator<Item = &'static str> {
    INTERFACES
        .iter()
        .flat_map(|interface| interface.routes.iter().chain(interface.endpoints))
        .filter_map(|route| route.split_once(' '))
        .flat_map(|(_, path)| path.split('/'))
        .filter(|word| !word.is_empty() && !word.starts_with('*'))
}

/// Which of the gateway's own interfaces an entry's route or a request (`PUT /ltc/v1/...`) means:
/// nothing when it is an adapter's, the known ones when it is under their paths but none of them.
pub fn built_in(route: &str) -> Option<Result<Api, Vec<&'static str>>> {
    let path = route.split_once(' ').map_or(route, |(_, path)| path);
    let api = api_of(path)?;
    let own = || {
        INTERFACES
            .iter()
            .filter(|interface| interface.api == api)
            .flat_map(|interface| interface.routes.iter().chain(interface.endpoints).copied())
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
    let is_path = |route: &&str| {
        route
            .split_once(' ')
            .is_some_and(|(_, known)| known == path)
    };
    let of_path = |interface: &&Interface| {
        path.starts_with(interface.prefix) || interface.prefix.strip_suffix('/') == Some(path)
    };
    let interface = INTERFACES.iter().find(of_path)?;
    (!interface.endpoints.iter().any(is_path)).then_some(interface.api)
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
