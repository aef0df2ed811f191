//! What the tests share: a folder of certificates, the listener, a bare TLS client and a scripted TLS server.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::{HttpRequest, HttpResponse, web};
use ltcgw::config::{
    DestinationLimits, InboundEntry, Listen, OutboundEntry, Partner, San, Tlcp, TlsFiles,
};
use ltcgw::link::{self, Acceptor, PeerCertificate, TrustState};
use ltcgw::sandbox::pki::{Authority, IssuedCertificate};
use ltcgw::server::listener::{ListenerLimits, serve};
use ltcgw::telemetry::Metrics;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;

/// A folder with an authority and a server certificate for localhost.
pub struct World {
    pub dir: tempfile::TempDir,
    pub authority: Authority,
}

impl World {
    pub fn new() -> World {
        let world = World {
            dir: tempfile::tempdir().unwrap(),
            authority: Authority::new("Test CA").unwrap(),
        };
        world.put("ca.pem", &world.authority.certificate_pem());
        world.put_issued(
            "server",
            &world.authority.server(&["localhost", "127.0.0.1"]).unwrap(),
        );
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file, over an old one, too.
    pub fn put(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn put_issued(&self, name: &str, issued: &IssuedCertificate) {
        self.put(&format!("{name}.pem"), &issued.certificate_pem);
        self.put(&format!("{name}.key"), &issued.key_pem);
    }

    /// The listener's files, with a revocation list if `crl.pem` is there.
    pub fn tls(&self) -> TlsFiles {
        let crl = Some(self.path("crl.pem")).filter(|path| path.exists());
        TlsFiles {
            certificate: self.path("server.pem"),
            key: self.path("server.key"),
            client_ca: self.path("ca.pem"),
            crl,
            lists_taken: Some(self.path("taken/lists.pem")),
            tlcp: Tlcp::default(),
        }
    }

    /// A client's TLS that trusts our authority, with or without a certificate of its own.
    pub fn client_tls(
        &self,
        own: Option<&IssuedCertificate>,
        version: &'static SupportedProtocolVersion,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots
            .add(
                CertificateDer::from_pem_slice(self.authority.certificate_pem().as_bytes())
                    .unwrap(),
            )
            .unwrap();
        let builder = ClientConfig::builder_with_provider(link::provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots);
        match own {
            None => builder.with_no_client_auth(),
            Some(own) => builder.with_client_auth_cert(chain(own), key(own)).unwrap(),
        }
    }

    /// An entry for calling `port`, with the certificate `client.pem` in the folder.
    pub fn outbound(&self, port: u16) -> OutboundEntry {
        OutboundEntry {
            url: format!("https://localhost:{port}"),
            certificate: self.path("client.pem"),
            key: self.path("client.key"),
            ca: self.path("ca.pem"),
            receives: Vec::new(),
            areas: Vec::new(),
            limits: DestinationLimits::per_second(100),
            deadline_seconds: 2,
        }
    }
}

pub fn chain(issued: &IssuedCertificate) -> Vec<CertificateDer<'static>> {
    vec![CertificateDer::from(issued.certificate_der.clone())]
}

pub fn key(issued: &IssuedCertificate) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap()
}

/// A partner recognised by a name.
pub fn partner(name: &str, san: &str) -> Partner {
    let inbound = InboundEntry {
        spki_sha256: None,
        san: Some(San::parse(san).unwrap()),
        routes: Vec::new(),
        requests_per_second: 50,
        burst: None,
        body_bytes_max: None,
    };
    Partner {
        name: name.into(),
        adapter: "x".into(),
        inbound: Some(inbound),
        outbound: None,
        fields: None,
        settings: Default::default(),
        secrets: Default::default(),
    }
}

/// The partner listener: says who the caller is, or refuses with the fault's text.
pub async fn listen(state: Arc<TrustState>) -> u16 {
    listen_as(state, |listen| listen).await.0
}

/// The same with another `[listen]`; also the metrics its refusals are counted in.
pub async fn listen_as(
    state: Arc<TrustState>,
    change: impl FnOnce(Listen) -> Listen,
) -> (u16, Metrics) {
    let socket = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let any = "127.0.0.1:0".parse().unwrap();
    let metrics = Metrics::default();
    let acceptor =
        Arc::new(Acceptor::new(&state, &change(Listen::at(any, any)), metrics.clone()).unwrap());
    let state = web::Data::from(state);
    let second = std::time::Duration::from_secs(1);
    let manner = ListenerLimits {
        head: second * 10,
        keep_alive: second * 75,
        connections_max: 2_000,
        drain_seconds: 1,
        workers: Some(1),
    };
    let keep = |connection: &dyn std::any::Any, extensions: &mut actix_web::dev::Extensions| {
        if let Some(peer) = PeerCertificate::of_connection(connection) {
            extensions.insert(peer);
        }
    };
    let routes = move |app: &mut web::ServiceConfig| {
        app.app_data(state.clone()).default_service(web::to(who));
    };
    tokio::spawn(serve(socket, acceptor, manner, keep, routes).unwrap());
    (port, metrics)
}

async fn who(request: HttpRequest, state: web::Data<TrustState>) -> HttpResponse {
    let peer = request
        .conn_data::<PeerCertificate>()
        .expect("on_connect keeps it");
    match state.still_good(peer) {
        Ok(partner) => HttpResponse::Ok().body(partner.to_string()),
        Err(fault) => HttpResponse::Forbidden().force_close().body(fault.text),
    }
}

/// A connection over which requests are sent by hand.
pub struct Connection {
    pub stream: TlsStream<TcpStream>,
}

impl Connection {
    pub async fn open(tls: &Arc<ClientConfig>, port: u16) -> std::io::Result<Connection> {
        let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
        let stream = tokio_rustls::TlsConnector::from(tls.clone())
            .connect(ServerName::try_from("localhost").unwrap(), tcp)
            .await?;
        Ok(Connection { stream })
    }

    /// `GET /`: status and body. With TLS 1.3 a refused certificate shows here first.
    pub async fn get(&mut self) -> std::io::Result<(u16, String)> {
        self.stream
            .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await?;
        let mut read = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&read);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length: usize = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "))
                    .unwrap()
                    .parse()
                    .unwrap();
                if body.len() >= length {
                    return Ok((head[9..12].parse().unwrap(), body.to_string()));
                }
            }
            if self.stream.read_buf(&mut read).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Connects and asks; the error of whichever step failed.
pub async fn ask(tls: ClientConfig, port: u16) -> std::io::Result<(u16, String)> {
    Connection::open(&Arc::new(tls), port).await?.get().await
}

/// What a scripted server does after it has read a request.
#[derive(Clone)]
pub enum Script {
    /// Sends these bytes and waits for the next request.
    Say(Vec<u8>),
    /// Sends these bytes and closes.
    SayAndClose(Vec<u8>),
    /// Answers with the number of the request, and a second time up to so many milliseconds later.
    Number(u64),
    /// Keeps quiet.
    Hang,
}

/// A TLS server that demands a client certificate and follows a script.
pub struct Scripted {
    pub port: u16,
    pub connections: Arc<AtomicUsize>,
    pub requests: Arc<AtomicUsize>,
    /// Subject names of the client certificates seen, in order of requests.
    pub callers: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Scripted {
    pub async fn start(world: &World, script: Script) -> Scripted {
        let server = load(&world.path("server"));
        Scripted::with(&server, &world.authority, script, &rustls::version::TLS13).await
    }

    /// With a certificate, an authority for clients and a TLS version of your own.
    pub async fn with(
        server: &(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
        clients: &Authority,
        script: Script,
        version: &'static SupportedProtocolVersion,
    ) -> Scripted {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(clients.certificate_pem().as_bytes()).unwrap())
            .unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            link::provider(),
        )
        .build()
        .unwrap();
        let tls = ServerConfig::builder_with_provider(link::provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(server.0.clone(), server.1.clone_key())
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scripted = Scripted {
            port: listener.local_addr().unwrap().port(),
            connections: Arc::default(),
            requests: Arc::default(),
            callers: Arc::default(),
        };
        let (connections, requests, callers) = (
            scripted.connections.clone(),
            scripted.requests.clone(),
            scripted.callers.clone(),
        );
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (acceptor, script, requests, callers) = (
                    acceptor.clone(),
                    script.clone(),
                    requests.clone(),
                    callers.clone(),
                );
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(tcp).await else {
                        return;
                    };
                    while read_request(&mut stream).await {
                        let number = requests.fetch_add(1, Ordering::SeqCst) + 1;
                        let own = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
                        callers
                            .lock()
                            .unwrap()
                            .push(link::CertificateFacts::of(&own).unwrap().subject);
                        match &script {
                            Script::Say(bytes) => stream.write_all(bytes).await.unwrap(),
                            Script::SayAndClose(bytes) => {
                                stream.write_all(bytes).await.unwrap();
                                stream.shutdown().await.ok();
                                return;
                            }
                            Script::Number(later) => {
                                let body = number.to_string();
                                let answer = format!(
                                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                                    body.len()
                                );
                                for pause in [0, number as u64 * 7 % (later + 1)] {
                                    tokio::time::sleep(std::time::Duration::from_millis(pause))
                                        .await;
                                    if stream.write_all(answer.as_bytes()).await.is_err() {
                                        break;
                                    }
                                }
                            }
                            Script::Hang => std::future::pending::<()>().await,
                        }
                    }
                });
            }
        });
        scripted
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// `<stem>.pem` and `<stem>.key`.
pub fn load(stem: &Path) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let certificate = CertificateDer::from_pem_file(stem.with_extension("pem")).unwrap();
    (
        vec![certificate],
        PrivateKeyDer::from_pem_file(stem.with_extension("key")).unwrap(),
    )
}

/// Reads one request with its body; false when the client has closed.
async fn read_request(stream: &mut tokio_rustls::server::TlsStream<TcpStream>) -> bool {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")
                    .map(|n| n.parse().unwrap())
            });
            if body.len() >= length.unwrap_or(0) {
                return true;
            }
        }
        if !matches!(stream.read_buf(&mut read).await, Ok(1..)) {
            return false;
        }
    }
}
