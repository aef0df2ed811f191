//! How taking a message ends before its reply: one vocabulary for every story.

use tokio::task::JoinError;

use crate::adapter::{HeadSeen, PacketRefusal, RefusalKind};
use crate::error::{Fault, Origin, Stage};
use crate::model::Story;
use crate::store::collect::PostError;

/// Why there is no reply yet.
#[derive(Debug)]
pub enum IntakeEnding {
    /// The sender must mend it.
    Refused(WholeRefusal),
    /// We could not; the sender may send it again.
    Failed(Fault),
    /// Its number was taken at this instant: look again at what is stored.
    NumberTaken,
    /// A line takes another back, or a number of a line is taken: its lines are to be compared with what is stored.
    NeedsComparison,
    /// Nobody takes its rows any more; whoever took them knows why.
    RowsNotTaken,
}

/// Why a message is refused whole.
#[derive(Debug)]
pub struct WholeRefusal {
    /// HTTP status.
    pub status: u16,
    pub reason: String,
    /// What was read of its head, as far as it was read.
    pub head: Option<HeadSeen>,
}

impl IntakeEnding {
    /// Refuses the message whole.
    pub fn refused(status: u16, reason: impl Into<String>) -> IntakeEnding {
        IntakeEnding::Refused(WholeRefusal {
            status,
            reason: reason.into(),
            head: None,
        })
    }

    /// The thread that read it ended.
    pub fn thread(story: Story, error: &JoinError) -> IntakeEnding {
        let text = format!(
            "reading the {} ended unexpectedly: {error}; send again",
            story.message()
        );
        IntakeEnding::Failed(Fault::later(Stage::Decode, text))
    }

    /// The same, with the head of the message where a refusal has none.
    pub fn of(self, head: impl FnOnce() -> HeadSeen) -> IntakeEnding {
        match self {
            IntakeEnding::Refused(refusal) => IntakeEnding::Refused(WholeRefusal {
                head: Some(refusal.head.unwrap_or_else(head)),
                ..refusal
            }),
            other => other,
        }
    }

    /// What the log says where nothing was taken.
    pub fn fault(self, story: Story) -> Fault {
        let text = match self {
            IntakeEnding::Failed(fault) => return fault,
            IntakeEnding::Refused(refusal) => return Fault::partner(Stage::Decode, refusal.reason),
            IntakeEnding::NumberTaken | IntakeEnding::NeedsComparison => format!(
                "others with the same numbers as the {} are being stored at this instant; send again",
                story.message()
            ),
            IntakeEnding::RowsNotTaken => "the database took no more rows; send again".to_string(),
        };
        Fault::later(Stage::Store, text)
    }
}

/// A fault that is the sender's is a refusal.
impl From<Fault> for IntakeEnding {
    fn from(fault: Fault) -> IntakeEnding {
        if fault.origin == Origin::Partner {
            IntakeEnding::refused(400, fault.text)
        } else {
            IntakeEnding::Failed(fault)
        }
    }
}

/// The body was complete and digested before: what cannot be read now is our own disk.
impl From<PacketRefusal> for IntakeEnding {
    fn from(refusal: PacketRefusal) -> IntakeEnding {
        let status = match refusal.kind {
            RefusalKind::TooManyLines => 413,
            RefusalKind::Unreadable => {
                return IntakeEnding::Failed(Fault::later(Stage::Decode, refusal.reason));
            }
            _ => 400,
        };
        let element = refusal
            .element
            .map_or_else(String::new, |element| format!("{element}: "));
        IntakeEnding::Refused(WholeRefusal {
            status,
            reason: format!("{element}{}", refusal.reason),
            head: Some(refusal.head),
        })
    }
}

impl From<PostError> for IntakeEnding {
    fn from(error: PostError) -> IntakeEnding {
        match error {
            PostError::NumberTaken => IntakeEnding::NumberTaken,
            PostError::DetailTaken | PostError::HistoryTaken => IntakeEnding::NeedsComparison,
            PostError::Failed(fault) => IntakeEnding::Failed(fault),
        }
    }
}
