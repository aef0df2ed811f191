//! Everything a puller is given, as it was right after one change, and where to go on from.
//!
//! Read page by page, each as of that same change, so neither a transaction nor a connection is
//! held while a slow puller reads, and memory stays constant. The log is never rewritten, hence all
//! pages show the same instant. Tombstones are included: who was behind learns who has left.

use std::sync::Arc;

use bytes::Bytes;
use data_encoding::HEXLOWER;

use super::cursor::Position;
use super::{ContentCoding, Encoder, PullRefusal, Pulls, RegistryPuller};
use crate::error::Fault;
use crate::model::registry::EntityKind;

/// Records of a page.
const PAGE: i64 = 500;

/// A snapshot being written.
pub struct Snapshot {
    pulls: Arc<Pulls>,
    puller: Arc<RegistryPuller>,
    /// The change it shows the registry after.
    at: i64,
    /// Where in the registry it is: after this entry.
    last: Option<(EntityKind, String)>,
    digests: Vec<(EntityKind, [u8; 32], u64)>,
    /// `None` once the end was written.
    encoder: Option<Encoder>,
}

impl Snapshot {
    /// Fixes the instant.
    ///
    /// # Errors
    /// The puller is given nothing, or the database does not answer.
    pub async fn begin(
        pulls: &Arc<Pulls>,
        puller: &str,
        encoding: ContentCoding,
    ) -> Result<Snapshot, PullRefusal> {
        let puller = pulls.puller(puller)?.clone();
        let at = pulls.registry.head().await?;
        let digests = puller
            .kinds()
            .into_iter()
            .map(|kind| (kind, [0; 32], 0))
            .collect();
        Ok(Snapshot {
            pulls: pulls.clone(),
            puller,
            at,
            last: None,
            digests,
            encoder: Some(Encoder::new(encoding)),
        })
    }

    /// The next piece; `None` after the last, which holds the trailer.
    ///
    /// # Errors
    /// The database does not answer, or a record cannot be opened: the snapshot ends without a trailer.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        let Some(mut encoder) = self.encoder.take() else {
            return Ok(None);
        };
        let after = self.last.as_ref().map(|(kind, id)| (*kind, id.as_str()));
        let page = self.pulls.as_of(&self.puller, self.at, after, PAGE).await?;
        let mut line = Vec::with_capacity(1024);
        for change in &page.changes {
            let Ok(fields) = self.puller.fields(change.kind) else {
                continue;
            };
            line.clear();
            fields.write(change, &self.pulls.keys, &mut line)?;
            for (kind, digest, count) in &mut self.digests {
                if *kind == change.kind {
                    *digest = Position {
                        sequence: 0,
                        digest: *digest,
                    }
                    .after(0, &line)
                    .digest;
                    *count += 1;
                }
            }
            line.push(b'\n');
            encoder.write(&line);
        }
        match page.last {
            Some(last) => {
                self.last = Some(last);
                let ready = encoder.take();
                self.encoder = Some(encoder);
                Ok(Some(ready))
            }
            None => {
                encoder.write(self.trailer().as_bytes());
                Ok(Some(encoder.finish()))
            }
        }
    }

    /// `{"trailer": {sequence, institutions: {items, cursor, digest}, caregivers: {…}}}`.
    fn trailer(&self) -> String {
        let mut text = format!("{{\"trailer\":{{\"sequence\":{}", self.at);
        for (kind, digest, count) in &self.digests {
            let at = Position {
                sequence: self.at,
                digest: *digest,
            };
            let cursor = self.pulls.signer.sign(self.puller.bearer(), *kind, &at);
            text += &format!(
                ",\"{}\":{{\"items\":{count},\"cursor\":\"{cursor}\",\"digest\":\"{}\"}}",
                kind.plural(),
                HEXLOWER.encode(digest)
            );
        }
        text + "}}\n"
    }
}
