//! Adapters: documents of partners <-> canonical records, driven by the folders under adapters/.
//!
//! Pure: bytes in, records out, and back. No network, no database; it reads its folders when they
//! are loaded and nothing afterwards. An adapter folder is data; everything it can name is a closed
//! list implemented here. Partners' addresses never come here.

// what we take
mod codes; // codes/*.csv, theirs -> ours
mod compile; // [[inbound]] -> endpoints, or findings
pub mod decode; // a document -> head and records
mod inbound; // endpoints and their messages, compiled
mod kind; // texts -> slots
mod manifest; // [[inbound]] as written
mod xml; // what is well-formed

// what we send
pub mod capability; // the closed list TOML can name: envelopes, signatures
pub mod outbound; // render, sign, judge
pub mod reply; // what an answer means
pub mod template; // documents that values cannot break

// folders
mod catalog; // the loaded adapters
mod check; // `ltcgw adapter check`, `test`, `list`
mod sample; // documents beside what must come of them
mod scaffold; // `ltcgw adapter new`

pub use catalog::{Adapter, Catalog};
pub use check::{check, list, test};
pub use decode::{
    DecodeErrorKind as RefusalKind, DecodedLine, EncodingRule, HeadSeen, PacketHead, PacketReader,
    PacketRefusal, RecordRefusal,
};
pub use inbound::{DocumentFormat, Endpoint, InboundMessage};
pub use outbound::{Disclosure, Document, OutboundMessage, RenderContext, Secrets};
pub use sample::{BlessedFile, SampleReport};
pub use scaffold::scaffold;
