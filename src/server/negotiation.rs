//! What of the forms we serve a caller likes best: `Accept`, `Accept-Encoding`, `If-None-Match` (RFC 9110, 12.5
//! and 13.1.2), read by actix's typed headers.
//!
//! An item that cannot be read is passed over; a header that is not there, or names nothing, takes anything.

use std::cmp::Reverse;

use actix_web::HttpRequest;
use actix_web::http::header::{
    Accept, AcceptEncoding, EntityTag, Header, IfNoneMatch, Preference, Quality,
};
use mime::Mime;

use crate::flow::pull::ContentCoding;

/// A form we serve.
pub struct Offer<T> {
    pub form: T,
    /// Media types that name it, without parameters, in lower case; what it is served as comes first.
    pub media: &'static [&'static str],
    /// Parameters that must have this value where the caller names them.
    pub parameters: &'static [(&'static str, &'static str)],
    /// Only for whom names it: `*/*` and the like do not.
    pub named_only: bool,
}

/// How well a range of `Accept` describes an offer; the best one decides (RFC 9110, 12.5.1).
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Any,
    Type,
    Named,
}

impl<T> Offer<T> {
    fn fit(&self, range: &Mime) -> Option<Fit> {
        if self.media.contains(&range.essence_str()) {
            let agrees = |(name, value): &(&str, &str)| {
                range
                    .get_param(*name)
                    .is_none_or(|wanted| wanted.as_str() == *value)
            };
            return self.parameters.iter().all(agrees).then_some(Fit::Named);
        }
        if self.named_only {
            return None;
        }
        match (range.type_().as_str(), range.subtype().as_str()) {
            ("*", "*") => Some(Fit::Any),
            (kind, "*") => {
                let served = self.media.first()?;
                (served.split('/').next() == Some(kind)).then_some(Fit::Type)
            }
            _ => None,
        }
    }

    /// How much the caller wants it; `None`: not at all.
    pub fn quality(&self, accept: &Accept) -> Option<Quality> {
        self.liking(accept).map(|(quality, _)| quality)
    }

    /// How much the caller wants it, and where in the header that stands.
    fn liking(&self, accept: &Accept) -> Option<(Quality, Reverse<usize>)> {
        let fits = accept.iter().enumerate().filter_map(|(at, range)| {
            let fit = self.fit(&range.item)?;
            Some((fit, range.quality, Reverse(at)))
        });
        let (_, quality, at) = fits.max()?;
        (quality > Quality::ZERO).then_some((quality, at))
    }
}

/// What the caller takes; `None` where it does not say.
pub fn accepted(request: &HttpRequest) -> Option<Accept> {
    let accept = Accept::parse(request).ok()?;
    (!accept.is_empty()).then_some(accept)
}

/// What of the offers the caller likes best; of equals what stands first in the header, then what is offered first.
/// `None`: it takes none of them.
pub fn preferred<T: Copy>(request: &HttpRequest, offers: &[Offer<T>]) -> Option<T> {
    let Some(accept) = accepted(request) else {
        return offers.first().map(|offer| offer.form);
    };
    let liked = offers.iter().rev().filter_map(|offer| {
        let liking = offer.liking(&accept)?;
        Some((liking, offer.form))
    });
    liked
        .max_by(|(one, _), (other, _)| one.cmp(other))
        .map(|(_, form)| form)
}

/// The coding a client likes best of those we have; of equals Zstandard.
pub fn encoding(request: &HttpRequest) -> ContentCoding {
    let accepted = AcceptEncoding::parse(request).unwrap_or(AcceptEncoding(Vec::new()));
    let best = accepted.iter().map(|item| item.quality).max();
    let likes = |encoding: ContentCoding| {
        accepted.iter().any(|item| {
            Some(item.quality) == best
                && item.quality > Quality::ZERO
                && matches!(&item.item, Preference::Specific(word) if word.to_string() == encoding.word())
        })
    };
    [ContentCoding::Zstd, ContentCoding::Gzip]
        .into_iter()
        .find(|encoding| likes(*encoding))
        .unwrap_or(ContentCoding::Identity)
}

/// Whether the client says it holds this already; `etag` with its quotes.
pub fn already_has(request: &HttpRequest, etag: &str) -> bool {
    let Ok(own) = etag.parse::<EntityTag>() else {
        return false;
    };
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(held)) => held.iter().any(|held| held.weak_eq(&own)),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{ACCEPT_ENCODING, HeaderName, IF_NONE_MATCH};
    use actix_web::test::TestRequest;

    use super::*;

    fn request(name: HeaderName, value: &str) -> HttpRequest {
        TestRequest::default()
            .insert_header((name, value))
            .to_http_request()
    }

    #[test]
    fn the_coding_a_client_likes_best_is_used() {
        for (accepted, expected) in [
            ("gzip", ContentCoding::Gzip),
            ("gzip, deflate, br, zstd", ContentCoding::Zstd),
            ("gzip;q=1.0, zstd;q=0.5", ContentCoding::Gzip),
            ("zstd;q=0, gzip;q=0", ContentCoding::Identity),
            ("identity", ContentCoding::Identity),
            ("br", ContentCoding::Identity),
            ("", ContentCoding::Identity),
        ] {
            assert_eq!(
                encoding(&request(ACCEPT_ENCODING, accepted)),
                expected,
                "{accepted}"
            );
        }
    }

    #[test]
    fn a_client_has_what_it_names_weakly_or_strongly_alone_or_among_others() {
        for (held, expected) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
            ("", false),
            // A comma may stand in a tag (RFC 9110, 8.8.3).
            ("\"x,y\"", false),
        ] {
            let request = request(IF_NONE_MATCH, held);
            assert_eq!(already_has(&request, "\"a\""), expected, "{held}");
        }
    }
}
