//! Adapters: documents of partners <-> canonical records, driven by the folders under adapters/.
//!
//! Pure: bytes in, records out. No network, no database, no clock; it reads its folders when they
//! are loaded and nothing afterwards. An adapter folder is data; everything it can name is a closed
//! list implemented here. Partners' secrets and addresses never come here.

pub mod capability; // the closed list TOML can name: envelopes, signatures
mod catalog; // the loaded folders
mod check; // `ltcgw adapter check`, `test`
mod codes; // codes/*.csv
mod compile; // manifest -> endpoints, or findings
pub mod decode; // a document -> head and records
mod inbound; // endpoints and their messages, compiled
mod kind; // texts -> slots
mod manifest; // adapter.toml as written
pub mod outbound; // what we send: render, sign, judge
pub mod reply; // what an answer means
mod sample; // documents beside what must come of them

pub use catalog::{Adapter, Catalog};
pub use check::{check, test};
pub use decode::{EncodingRule, HeadSeen, Kind as RefusalKind, Line, PacketHead, PacketReader, PacketRefusal, Refusal};
pub use inbound::{Endpoint, Format, Inbound};
pub use sample::Report;

pub use capability::secrets::Secrets;
pub use outbound::{Document, Outbound, RenderContext};
pub mod template; // outbound documents that values cannot break
