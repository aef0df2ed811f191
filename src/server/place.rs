//! A place for a request, from its head until its answer has been taken: so many per partner, so many in all.
//!
//! Knows nothing of what is asked. Answers go out in pieces, so that one who takes them slowly keeps its own places, and
//! nobody's memory but what its share allows.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::HttpResponse;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use bytes::Bytes;

use crate::flow::shares::ShareHold;
use crate::link::UnderWay;

/// Bytes of an answer handed to a connection at once.
const PIECE: usize = 64 << 10;

/// What a request holds until its answer has been taken, and a load of the registries beyond it.
#[derive(Debug, Clone)]
pub struct RequestPlace(
    #[expect(dead_code, reason = "held, not read")] Arc<(ShareHold, Option<UnderWay>)>,
);

impl RequestPlace {
    /// Of a share of requests, on a connection.
    pub fn new(held: ShareHold, under_way: Option<UnderWay>) -> RequestPlace {
        RequestPlace(Arc::new((held, under_way)))
    }

    /// Keeps the place until the answer has gone out.
    pub fn until_taken(self, answer: HttpResponse) -> HttpResponse {
        answer.map_body(|_, body| {
            let size = body.size();
            match size {
                BodySize::None => body,
                BodySize::Sized(length) if length <= PIECE as u64 => body,
                _ => BoxBody::new(Slowly {
                    size,
                    body: body
                        .try_into_bytes()
                        .map_or_else(Answer::Stream, Answer::Bytes),
                    _place: self,
                }),
            }
        })
    }
}

enum Answer {
    Bytes(Bytes),
    Stream(BoxBody),
}

/// An answer in pieces, with the place of its request.
struct Slowly {
    size: BodySize,
    body: Answer,
    _place: RequestPlace,
}

impl MessageBody for Slowly {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        match &mut self.body {
            Answer::Bytes(left) if left.is_empty() => Poll::Ready(None),
            Answer::Bytes(left) => {
                let piece = left.len().min(PIECE);
                Poll::Ready(Some(Ok(left.split_to(piece))))
            }
            Answer::Stream(body) => Pin::new(body).poll_next(cx),
        }
    }
}
