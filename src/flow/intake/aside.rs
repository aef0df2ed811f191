//! Reading on a thread of its own: bodies may be long, and the disk slow.
//!
//! Knows the order of things, not what a record means.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Arrival, IntakeEnding};
use crate::model::Story;
use crate::store::collect::PostError;

/// Chunks of rows between the reading thread and the database.
const CHUNKS_AHEAD: usize = 4;

/// Reads on a thread of its own while the rows it makes flow to whoever copies them.
///
/// # Errors
/// What the reader says, unless the rows were not taken: then what the copier says.
pub async fn alongside<T: Send + 'static>(
    story: Story,
    read: impl FnOnce(mpsc::Sender<Bytes>) -> Result<T, IntakeEnding> + Send + 'static,
    copy: impl AsyncFnOnce(mpsc::Receiver<Bytes>) -> Result<(), PostError>,
) -> Result<T, IntakeEnding> {
    let (chunks, rows) = mpsc::channel(CHUNKS_AHEAD);
    let reading = tokio::task::spawn_blocking(move || read(chunks));
    let copied = copy(rows).await;
    let read = reading
        .await
        .map_err(|error| IntakeEnding::thread(story, &error))?;
    match (read, copied) {
        (Ok(read), Ok(())) => Ok(read),
        (Ok(_) | Err(IntakeEnding::RowsNotTaken), Err(error)) => Err(error.into()),
        (Err(ending), _) => Err(ending),
    }
}

impl Arrival {
    /// Reads the whole body, after what stands `before` it, for nothing but the digest of what it says.
    pub(in crate::flow) async fn content(
        &self,
        lines_max: u64,
        before: String,
    ) -> Result<[u8; 32], IntakeEnding> {
        let arrival = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let mut reader = arrival.open_after(lines_max, before)?;
            let mut record = reader.new_record();
            while reader.next(&mut record)?.is_some() {}
            Ok(reader.content())
        });
        reading
            .await
            .map_err(|error| IntakeEnding::thread(self.endpoint.story(), &error))?
    }
}
