//! A partner's connection over mutual TLS, as cheap as can be, since it works on the same processors.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Done;

/// One kept-alive HTTP/1.1 connection.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    read: Vec<u8>,
}

/// A partner's TLS identity.
pub fn identity(pki: &Path, partner: &str) -> Done<TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(pki.join("ca.pem"))? {
        roots.add(certificate?)?;
    }
    let chain =
        CertificateDer::pem_file_iter(pki.join("inbound").join(partner).with_extension("pem"))?
            .collect::<Result<Vec<_>, _>>()?;
    let key =
        PrivateKeyDer::from_pem_file(pki.join("inbound").join(partner).with_extension("key"))?;
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The request's head; the body follows.
pub fn head(length: u64) -> String {
    format!(
        "POST /tax/v1/packets HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/xml\r\ncontent-length: {length}\r\n\r\n"
    )
}

impl Connection {
    /// Connects and shakes hands.
    pub async fn open(identity: &TlsConnector, port: u16) -> Done<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let stream = identity
            .connect(ServerName::try_from("localhost")?, stream)
            .await?;
        Ok(Connection {
            stream,
            read: Vec::with_capacity(8192),
        })
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: &[u8]) -> Done {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Sends a file as a request of lines: `target` with its query; the answer is still to come.
    pub async fn send_lines(&mut self, target: &str, path: &Path) -> Done {
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        let head = format!(
            "POST {target} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ncontent-length: {length}\r\n\r\n"
        );
        self.send(head.as_bytes()).await?;
        let mut chunk = vec![0; 256 * 1024];
        loop {
            let count = file.read(&mut chunk)?;
            if count == 0 {
                return Ok(());
            }
            self.send(&chunk[..count]).await?;
        }
    }

    /// Waits for the answer: status and body.
    pub async fn answer(&mut self) -> Done<(u16, &[u8])> {
        self.stream.flush().await?;
        self.read.clear();
        let (status, start, end) = loop {
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err("the gateway closed the connection".into());
            }
            if let Some(answer) = complete(&self.read)? {
                break answer;
            }
        };
        Ok((status, &self.read[start..end]))
    }

    /// Reads a streamed (chunked) answer to its end, keeping none of it but the last few hundred bytes: status and those.
    pub async fn streamed(&mut self) -> Done<(u16, String)> {
        self.stream.flush().await?;
        self.read.clear();
        let mut status = None;
        loop {
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err("the gateway closed the connection".into());
            }
            if status.is_none() && self.read.len() >= 12 {
                status = Some(std::str::from_utf8(&self.read[9..12])?.parse()?);
            }
            if let (Some(status), true) = (status, self.read.ends_with(b"\r\n0\r\n\r\n")) {
                return Ok((status, String::from_utf8_lossy(&self.read).into_owned()));
            }
            let enough = self.read.len().saturating_sub(400);
            if enough > 60_000 {
                self.read.drain(..enough);
            }
        }
    }
}

/// Status and place of the body, once all of it is there.
fn complete(bytes: &[u8]) -> Done<Option<(u16, usize, usize)>> {
    let Some(end_of_head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end_of_head])?;
    let status = head.get(9..12).ok_or("not an HTTP answer")?.parse()?;
    let length = head.lines().find_map(|line| {
        line.split_once(':')
            .filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
    });
    let length: usize = length
        .ok_or("an answer without content-length")?
        .1
        .trim()
        .parse()?;
    let start = end_of_head + 4;
    Ok((bytes.len() >= start + length).then_some((status, start, start + length)))
}
