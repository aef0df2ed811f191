//! Packet heads and bytes of the tax bureau's exchange format.
//!
//! Writes XML by hand, independent of the gateway's adapters, so that a mistake there shows.

use std::io::{self, Write};

/// How a packet is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketCharset {
    Utf8,
    Gbk,
}

impl PacketCharset {
    /// The name in the XML declaration.
    pub fn name(self) -> &'static str {
        match self {
            PacketCharset::Utf8 => "UTF-8",
            PacketCharset::Gbk => "GBK",
        }
    }

    fn encode(self, text: &str) -> Vec<u8> {
        match self {
            PacketCharset::Utf8 => text.as_bytes().to_vec(),
            PacketCharset::Gbk => encoding_rs::GBK.encode(text).0.into_owned(),
        }
    }
}

/// What a packet's head says.
#[derive(Debug, Clone)]
pub(super) struct Head<'a> {
    pub packet_no: &'a str,
    /// `JFXX101` or `JFXX102`.
    pub packet_type: &'a str,
    pub replaces: bool,
    /// The stated record count.
    pub lines: u64,
    /// `yyyyMMdd`.
    pub made_on: &'a str,
    pub charset: PacketCharset,
}

/// Writes everything before the first record.
pub(super) fn open(out: &mut dyn Write, head: &Head<'_>) -> io::Result<()> {
    let Head {
        packet_no,
        packet_type,
        lines,
        made_on,
        charset,
        ..
    } = head;
    let replaces = u8::from(head.replaces);
    let encoding = charset.name();
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"{encoding}\"?>\n<Package><PackageHead><SJBBH>{packet_no}</SJBBH><SJBLX>{packet_type}</SJBLX>\
         <SFCF>{replaces}</SFCF><JGBS>1450100000</JGBS><DWDM>14501000000</DWDM><DWMC>国家税务总局南宁市税务局</DWMC><JLS>{lines}</JLS>\
         <SCRQ>{made_on}</SCRQ></PackageHead><Data>\n"
    );
    out.write_all(&charset.encode(&text))
}

/// Writes everything after the last record.
pub(super) fn close(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"</Data></Package>\n")
}

/// A fraction as the tax bureau writes rates: `0.0695` for 69 500 millionths.
pub(super) fn fraction(millionths: i64) -> String {
    let decimals = format!("{:06}", millionths % 1_000_000);
    let shown = decimals.trim_end_matches('0').len().max(4);
    format!("{}.{}", millionths / 1_000_000, &decimals[..shown])
}
