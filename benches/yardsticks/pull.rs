//! A registry page of 100 records over mutual TLS against nginx serving the same bytes over mutual TLS.
//!
//! Kept-alive connections, several clients, the same client on both sides, turn by turn. Every
//! request names the page by its cursor; nothing is asked conditionally and nothing is compressed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ltcgw::flow::clock::CityClock;
use ltcgw::sandbox::registries::Registries;

use crate::stand::{Stand, free_port};
use crate::{Done, Sizes, client, median, spread};

const CONNECTIONS: usize = 8;
const PAGE: &str = "/province/v1/caregivers?limit=100";
const NGINX: [&str; 3] = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"];

pub async fn run(stand: &Stand, sizes: &Sizes) -> Done {
    println!(
        "\npull: a page of 100 caregivers over mutual TLS, {CONNECTIONS} kept-alive connections, against nginx serving the same bytes"
    );
    let Some(program) = NGINX.iter().map(Path::new).find(|path| path.is_file()) else {
        println!(
            "  SKIPPED pull: there is no nginx here (looked at {}); install it to measure",
            NGINX.join(", ")
        );
        return Ok(());
    };
    drop(stand.gateway()?); // makes the tables
    stand.empty()?;
    let gateway = stand.gateway()?;
    fill(stand).await?;
    let page = get(stand, stand.partner_port(), PAGE).await?;
    println!("  {} bytes a page", page.len());
    let root = stand.file("nginx");
    std::fs::create_dir_all(&root)?;
    std::fs::write(root.join("page.json"), &page)?;
    let nginx = Nginx::start(program, stand, root)?;
    let served = get(stand, nginx.port, "/page.json").await?;
    if served != page {
        return Err("nginx does not serve the bytes of the page".into());
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=sizes.rounds {
        let before = gateway.processor_seconds()?;
        let own = load(
            stand,
            (stand.partner_port(), PAGE, page.len()),
            sizes.seconds,
        )
        .await?;
        let used = gateway.processor_seconds()? - before;
        let other = load(stand, (nginx.port, "/page.json", page.len()), sizes.seconds).await?;
        let kind = if round == 0 {
            "warm-up".to_string()
        } else {
            format!("round {round}")
        };
        println!(
            "  {kind}: gateway {own:.0}/s ({used:.1} processor seconds), nginx {other:.0}/s, ratio {:.2}",
            own / other
        );
        if round > 0 {
            ours.push(own);
            theirs.push(other);
        }
    }
    let ratio = median(
        &ours
            .iter()
            .zip(&theirs)
            .map(|(ours, theirs)| ours / theirs)
            .collect::<Vec<_>>(),
    );
    println!(
        "  gateway {:.0} pages/s ({}), nginx {:.0} pages/s ({})",
        median(&ours),
        spread(&ours),
        median(&theirs),
        spread(&theirs)
    );
    println!("  RATIO pull {ratio:.2} (wanted: at least 1.00)");
    Ok(())
}

/// Loads the registries of a city.
async fn fill(stand: &Stand) -> Done {
    let mut body = Vec::new();
    for submission in Registries::nanning(1, CityClock::default().today()).submissions() {
        serde_json::to_writer(&mut body, &submission)?;
        body.push(b'\n');
    }
    let mut connection = client::Connection::open(
        &client::identity(stand.pki(), "ltc-system")?,
        stand.partner_port(),
    )
    .await?;
    connection
        .send(
            format!(
                "POST /ltc/v1/registry HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
                body.len()
            )
            .as_bytes(),
        )
        .await?;
    connection.send(&body).await?;
    let (status, summary) = connection.streamed().await?;
    if status == 200 {
        Ok(())
    } else {
        Err(format!("the load was answered with {status}: {summary}").into())
    }
}

fn request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

async fn get(stand: &Stand, port: u16, path: &str) -> Done<Vec<u8>> {
    let mut connection =
        client::Connection::open(&client::identity(stand.pki(), "provincial-platform")?, port)
            .await?;
    connection.send(&request(path)).await?;
    match connection.answer().await? {
        (200, body) => Ok(body.to_vec()),
        (status, body) => Err(format!(
            "{path} was answered with {status}: {}",
            String::from_utf8_lossy(body)
        )
        .into()),
    }
}

/// Asks for the page over all connections for so long; pages a second.
async fn load(stand: &Stand, (port, path, length): (u16, &str, usize), seconds: u64) -> Done<f64> {
    let identity = client::identity(stand.pki(), "provincial-platform")?;
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(client::Connection::open(&identity, port).await?);
    }
    let start = Instant::now();
    let until = start + Duration::from_secs(seconds);
    let tasks: Vec<_> = connections
        .into_iter()
        .map(|connection| tokio::spawn(ask(connection, request(path), length, until)))
        .collect();
    let mut answered = 0;
    for task in tasks {
        answered += task.await??;
    }
    Ok(f64::from(answered) / start.elapsed().as_secs_f64())
}

async fn ask(
    mut connection: client::Connection,
    request: Vec<u8>,
    length: usize,
    until: Instant,
) -> Done<u32> {
    let mut answered = 0;
    while Instant::now() < until {
        connection.send(&request).await?;
        let (status, body) = connection.answer().await?;
        if status != 200 || body.len() != length {
            return Err(
                format!("a page was answered with {status} and {} bytes", body.len()).into(),
            );
        }
        answered += 1;
    }
    Ok(answered)
}

/// nginx with two workers, the stage's certificates and one file; ended when dropped.
struct Nginx {
    process: Child,
    port: u16,
}

impl Nginx {
    #[expect(
        clippy::disallowed_methods,
        reason = "another process's socket: there is no event to wait for but that it answers"
    )]
    fn start(program: &Path, stand: &Stand, root: PathBuf) -> Done<Nginx> {
        let port = free_port()?;
        let (dir, pki) = (root.display(), stand.pki().display());
        let config = format!(
            "daemon off; master_process on; worker_processes 2; user root; pid {dir}/pid; error_log {dir}/error.log;\n\
             events {{ worker_connections 256; }}\n\
             http {{ access_log off; sendfile on; output_buffers 2 128k; tcp_nodelay on; keepalive_requests 100000000; types {{ application/json json; }} open_file_cache max=10;\n\
             client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;\n\
             server {{ listen 127.0.0.1:{port} ssl; root {dir}; ssl_certificate {pki}/server.pem; ssl_certificate_key {pki}/server.key;\n\
             ssl_client_certificate {pki}/ca.pem; ssl_verify_client on; ssl_protocols TLSv1.3; }} }}\n"
        );
        std::fs::write(root.join("nginx.conf"), config)?;
        let log = std::fs::File::create(root.join("start.log"))?;
        let process = Command::new(program)
            .arg("-p")
            .arg(&root)
            .arg("-c")
            .arg(root.join("nginx.conf"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()?;
        let mut nginx = Nginx { process, port };
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if nginx.process.try_wait()?.is_some() || start.elapsed() > Duration::from_secs(10) {
                return Err(format!(
                    "nginx did not start: {}",
                    std::fs::read_to_string(root.join("start.log")).unwrap_or_default()
                )
                .into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.process.id().cast_signed());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.process.wait();
    }
}
