//! A throwaway certificate authority for trials, the demo and tests.
//!
//! ECDSA P-256 keys, one authority, server and client certificates, revocation lists, and the bad
//! certificates tests need. Not for production: the authority's key lies unencrypted beside the
//! certificates. Never overwrites a file.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, RevocationReason,
    RevokedCertParams, SanType, SerialNumber,
};

use sha2::{Digest, Sha256};

use crate::config::Partner;
use crate::error::{Fault, Stage};
use crate::link::certificate::{CertificateFacts, certificate_facts};
use crate::store::sealed::Keys;

pub use rcgen::KeyUsagePurpose;

/// One day.
pub const DAY: Duration = Duration::from_secs(86_400);
/// Certificates begin a little in the past, so that a clock that lags takes them, too.
const BACKDATED: Duration = Duration::from_secs(3_600);

/// A certificate authority with its key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct IssuedCertificate {
    pub certificate_pem: String,
    pub key_pem: String,
    /// DER of the certificate.
    pub certificate_der: Vec<u8>,
    serial: Vec<u8>,
}

/// From when until when something is valid.
#[derive(Debug, Clone, Copy)]
pub struct Validity {
    pub from: SystemTime,
    pub until: SystemTime,
}

impl Validity {
    /// From now for so many days.
    pub fn days(count: u32) -> Validity {
        let now = SystemTime::now();
        Validity {
            from: now - BACKDATED,
            until: now + DAY * count,
        }
    }

    /// Ended yesterday.
    pub fn expired() -> Validity {
        let now = SystemTime::now();
        Validity {
            from: now - DAY * 30,
            until: now - DAY,
        }
    }

    /// Begins tomorrow.
    pub fn not_yet() -> Validity {
        let now = SystemTime::now();
        Validity {
            from: now + DAY,
            until: now + DAY * 30,
        }
    }
}

impl Authority {
    /// A new authority, valid for ten years.
    pub fn new(name: &str) -> Result<Authority, Fault> {
        let mut params = authority_params(name);
        let validity = Validity::days(3_650);
        params.not_before = validity.from.into();
        params.not_after = validity.until.into();
        let key = KeyPair::generate().map_err(failed)?;
        let certificate_pem = params.self_signed(&key).map_err(failed)?.pem();
        Ok(Authority {
            issuer: Issuer::new(params, key),
            certificate_pem,
        })
    }

    /// The authority that [`Authority::write_to`] wrote into `dir` before.
    ///
    /// # Errors
    /// A file cannot be read, or they are not what this program makes: a name of more than a common
    /// name, or a key of another certificate.
    pub fn open(dir: &Path) -> Result<Authority, Fault> {
        let (certificate, key) = (dir.join("ca.pem"), dir.join("ca.key"));
        let read = |path: &Path| {
            std::fs::read_to_string(path)
                .map_err(|error| unusable(path, &format!("cannot be read: {error}")))
        };
        let facts = certificate_facts(&certificate)?;
        let (certificate_pem, pair) = (
            read(&certificate)?,
            KeyPair::from_pem(&read(&key)?)
                .map_err(|_| unusable(&key, "is no private key in PEM"))?,
        );
        if HEXLOWER.encode(&Sha256::digest(
            rcgen::PublicKeyData::subject_public_key_info(&pair),
        )) != facts.spki_sha256
        {
            return Err(unusable(
                &key,
                &format!("is not the key of {}", certificate.display()),
            ));
        }
        let name = facts.subject.strip_prefix("CN=").unwrap_or_default();
        let authority = Authority {
            issuer: Issuer::new(authority_params(name), pair),
            certificate_pem,
        };
        // What it signs must name it exactly as its certificate does.
        let signed = CertificateFacts::of(&authority.client("check")?.certificate_der)
            .map_err(|error| unusable(&certificate, &error))?;
        if signed.issuer != facts.subject {
            return Err(unusable(
                &certificate,
                &format!(
                    "names `{}`, which is more than this program's authorities have",
                    facts.subject
                ),
            ));
        }
        Ok(authority)
    }

    /// Its certificate (PEM).
    pub fn certificate_pem(&self) -> String {
        self.certificate_pem.clone()
    }

    /// A server certificate for DNS names and IP addresses, valid for a year.
    pub fn server(&self, names: &[impl AsRef<str>]) -> Result<IssuedCertificate, Fault> {
        self.server_valid(names, Validity::days(365))
    }

    /// A server certificate with a validity of your own.
    pub fn server_valid(
        &self,
        names: &[impl AsRef<str>],
        validity: Validity,
    ) -> Result<IssuedCertificate, Fault> {
        let names: Vec<String> = names.iter().map(|name| name.as_ref().to_string()).collect();
        let common = names.first().cloned().unwrap_or_default();
        self.issue(
            CertificateParams::new(names).map_err(failed)?,
            &common,
            ExtendedKeyUsagePurpose::ServerAuth,
            validity,
        )
    }

    /// A client certificate recognised by `san` (a DNS name, or a URI when it has a colon), valid for a year.
    pub fn client(&self, san: &str) -> Result<IssuedCertificate, Fault> {
        self.client_valid(san, Validity::days(365))
    }

    /// A client certificate with a validity of your own.
    pub fn client_valid(&self, san: &str, validity: Validity) -> Result<IssuedCertificate, Fault> {
        let mut params = CertificateParams::default();
        let name = san.try_into().map_err(failed)?;
        params.subject_alt_names = vec![if san.contains(':') {
            SanType::URI(name)
        } else {
            SanType::DnsName(name)
        }];
        self.issue(params, san, ExtendedKeyUsagePurpose::ClientAuth, validity)
    }

    /// A client certificate whose key may be used for these things only.
    pub fn client_used_for(
        &self,
        san: &str,
        usages: &[KeyUsagePurpose],
    ) -> Result<IssuedCertificate, Fault> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::DnsName(san.try_into().map_err(failed)?)];
        params.key_usages = usages.to_vec();
        self.issue(
            params,
            san,
            ExtendedKeyUsagePurpose::ClientAuth,
            Validity::days(365),
        )
    }

    /// A revocation list (PEM) that names `revoked` and is valid for thirty days.
    pub fn revocation_list(&self, revoked: &[&IssuedCertificate]) -> Result<String, Fault> {
        self.revocation_list_valid(revoked, Validity::days(30))
    }

    /// A revocation list (PEM) with a validity of your own.
    pub fn revocation_list_valid(
        &self,
        revoked: &[&IssuedCertificate],
        validity: Validity,
    ) -> Result<String, Fault> {
        let number = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        self.revocation_list_numbered(revoked, validity, number.as_secs())
    }

    /// A revocation list (PEM) with a validity and a number of your own.
    pub fn revocation_list_numbered(
        &self,
        revoked: &[&IssuedCertificate],
        validity: Validity,
        number: u64,
    ) -> Result<String, Fault> {
        let entry = |issued: &&IssuedCertificate| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&issued.serial),
            revocation_time: validity.from.into(),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: validity.from.into(),
            next_update: validity.until.into(),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer)
            .and_then(|list| list.pem())
            .map_err(failed)
    }

    /// Writes `ca.pem`, `ca.key` and an empty `crl.pem` into `dir`; returns their paths.
    pub fn write_to(&self, dir: &Path) -> Result<Vec<PathBuf>, Fault> {
        let (certificate, key, crl) = (dir.join("ca.pem"), dir.join("ca.key"), dir.join("crl.pem"));
        write_new(&certificate, &self.certificate_pem(), Secret::No)?;
        write_new(&key, &self.issuer.key().serialize_pem(), Secret::Yes)?;
        write_new(
            &crl,
            &self.revocation_list_valid(&[], Validity::days(365))?,
            Secret::No,
        )?;
        Ok(vec![certificate, key, crl])
    }

    fn issue(
        &self,
        mut params: CertificateParams,
        common: &str,
        usage: ExtendedKeyUsagePurpose,
        validity: Validity,
    ) -> Result<IssuedCertificate, Fault> {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common);
        if params.key_usages.is_empty() {
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        }
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        params.not_before = validity.from.into();
        params.not_after = validity.until.into();
        let mut serial = uuid::Uuid::new_v4().into_bytes().to_vec();
        serial[0] = serial[0] & 0x3f | 0x40; // positive and without leading zeros in DER
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(IssuedCertificate {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            certificate_der: certificate.der().to_vec(),
            serial,
        })
    }
}

impl IssuedCertificate {
    /// Writes `<name>.pem` and `<name>.key` (0600) into `dir`; returns both paths.
    pub fn write_to(&self, dir: &Path, name: &str) -> Result<(PathBuf, PathBuf), Fault> {
        let (certificate, key) = (
            dir.join(format!("{name}.pem")),
            dir.join(format!("{name}.key")),
        );
        write_new(&certificate, &self.certificate_pem, Secret::No)?;
        write_new(&key, &self.key_pem, Secret::Yes)?;
        Ok((certificate, key))
    }
}

/// What a trial needs certificates for.
#[derive(Debug, Clone, Default)]
pub struct PkiPlan {
    /// DNS names and IP addresses of the gateway's server certificate.
    pub server_names: Vec<String>,
    /// Partners that call us: name, and the SAN their configuration entry names.
    pub inbound: Vec<(String, String)>,
    /// Partners that we call, by name.
    pub outbound: Vec<String>,
}

impl PkiPlan {
    /// What the partners of a configuration need; those recognised by their key's pin bring their own.
    pub fn of(partners: &[Partner], server_names: &[impl AsRef<str>]) -> PkiPlan {
        let san = |partner: &Partner| {
            Some((
                partner.name.clone(),
                partner.inbound.as_ref()?.san.as_ref()?.text().to_owned(),
            ))
        };
        PkiPlan {
            server_names: server_names
                .iter()
                .map(|name| name.as_ref().to_string())
                .collect(),
            inbound: partners.iter().filter_map(san).collect(),
            outbound: partners
                .iter()
                .filter(|partner| partner.outbound.is_some())
                .map(|partner| partner.name.clone())
                .collect(),
        }
    }
}

/// What became of the files of a trial.
#[derive(Debug, Default)]
pub struct PkiFiles {
    pub written: Vec<PathBuf>,
    /// There already, and left as they were.
    pub kept: Vec<PathBuf>,
}

/// Makes everything for a trial in `out` that is not there yet:
///
/// `ca.pem`, `ca.key`, `crl.pem`; `privacy.key`, which seals personal data; `server.pem`, `server.key` for the partner listener;
/// `inbound/<partner>.pem`, `.key` to hand to a partner; `outbound/<partner>.pem`, `.key` with
/// which we call a partner. With an authority in `out` it signs what is missing.
///
/// # Errors
/// A file exists without the one that belongs to it, or without an authority (nothing is written
/// then); the authority cannot be used; a file cannot be written.
pub fn init(out: &Path, plan: &PkiPlan) -> Result<PkiFiles, Fault> {
    if !(out.join("ca.pem").exists() && out.join("ca.key").exists()) {
        return Ok(PkiFiles {
            written: init_by(&Authority::new("ltcgw trial CA")?, out, plan)?,
            kept: Vec::new(),
        });
    }
    let authority = Authority::open(out)?;
    for stem in stems(out, plan) {
        let halves = ["pem", "key"].map(|ending| stem.with_extension(ending));
        if let [(there, true), (lacks, false)] | [(lacks, false), (there, true)] =
            halves.each_ref().map(|path| (path, path.exists()))
        {
            return Err(unusable(
                there,
                &format!(
                    "is there without {}: move it away, or put the other back",
                    lacks.display()
                ),
            ));
        }
    }
    let mut made = PkiFiles {
        kept: vec![out.join("ca.pem"), out.join("ca.key")],
        ..PkiFiles::default()
    };
    fill(&authority, out, plan, &mut made)?;
    Ok(made)
}

/// Everything of a trial in a folder that has nothing of it, with an authority made before; returns the files written.
pub fn init_by(authority: &Authority, out: &Path, plan: &PkiPlan) -> Result<Vec<PathBuf>, Fault> {
    refuse_existing(out, plan)?;
    std::fs::create_dir_all(out).map_err(|error| cannot_write(out, &error))?;
    let mut made = PkiFiles {
        written: authority.write_to(out)?,
        ..PkiFiles::default()
    };
    fill(authority, out, plan, &mut made)?;
    Ok(made.written)
}

/// Issues what is missing.
fn fill(
    authority: &Authority,
    out: &Path,
    plan: &PkiPlan,
    made: &mut PkiFiles,
) -> Result<(), Fault> {
    let (inbound, outbound) = (out.join("inbound"), out.join("outbound"));
    for dir in [&inbound, &outbound] {
        std::fs::create_dir_all(dir).map_err(|error| cannot_write(dir, &error))?;
    }
    let privacy = out.join("privacy.key");
    if privacy.exists() {
        made.kept.push(privacy);
    } else {
        write_new(&privacy, &Keys::generate_line(), Secret::Yes)?;
        made.written.push(privacy);
    }
    let mut issue =
        |dir: &Path, name: &str, issued: &dyn Fn() -> Result<IssuedCertificate, Fault>| {
            let certificate = dir.join(format!("{name}.pem"));
            if certificate.exists() {
                made.kept.push(certificate);
                return Ok(());
            }
            let (certificate, key) = issued()?.write_to(dir, name)?;
            made.written.extend([certificate, key]);
            Ok::<(), Fault>(())
        };
    issue(out, "server", &|| authority.server(&plan.server_names))?;
    for (name, san) in &plan.inbound {
        issue(&inbound, name, &|| authority.client(san))?;
    }
    for name in &plan.outbound {
        issue(&outbound, name, &|| {
            authority.client(&format!("ltcgw-to-{name}"))
        })?;
    }
    Ok(())
}

/// Certificates and keys of a plan, without their endings.
fn stems(out: &Path, plan: &PkiPlan) -> Vec<PathBuf> {
    let mut stems: Vec<PathBuf> = vec![out.join("server")];
    stems.extend(
        plan.inbound
            .iter()
            .map(|(name, _)| out.join("inbound").join(name)),
    );
    stems.extend(
        plan.outbound
            .iter()
            .map(|name| out.join("outbound").join(name)),
    );
    stems
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn unusable(path: &Path, text: &str) -> Fault {
    Fault::operator(Stage::Config, format!("{} {text}", path.display()))
}

fn refuse_existing(out: &Path, plan: &PkiPlan) -> Result<(), Fault> {
    let stems = [
        stems(out, plan),
        ["ca", "crl", "privacy"].map(|name| out.join(name)).to_vec(),
    ]
    .concat();
    let existing = stems
        .iter()
        .flat_map(|stem| ["pem", "key"].map(|ending| stem.with_extension(ending)))
        .find(|path| path.exists());
    existing.map_or(Ok(()), |path| Err(exists(&path)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Secret {
    Yes,
    No,
}

/// Writes a secret (0600) to a path of its own, making its folder.
///
/// # Errors
/// The file exists already, or cannot be written.
pub fn write_secret(path: &Path, text: &str) -> Result<(), Fault> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(|error| cannot_write(dir, &error))?;
    }
    write_new(path, text, Secret::Yes)
}

fn write_new(path: &Path, text: &str, secret: Secret) -> Result<(), Fault> {
    let mode = if secret == Secret::Yes { 0o600 } else { 0o644 };
    let written = std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            exists(path)
        } else {
            cannot_write(path, &error)
        }
    })
}

fn exists(path: &Path) -> Fault {
    Fault::operator(
        Stage::Config,
        format!(
            "{} exists already and is not overwritten: choose another folder, or move it away",
            path.display()
        ),
    )
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Fault {
    Fault::operator(
        Stage::Config,
        format!("{} cannot be written: {error}", path.display()),
    )
}

fn failed(error: rcgen::Error) -> Fault {
    Fault::operator(
        Stage::Config,
        format!("a certificate cannot be made: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn plan() -> PkiPlan {
        PkiPlan {
            server_names: vec!["localhost".into(), "127.0.0.1".into()],
            inbound: vec![
                ("tax-bureau".into(), "tax.nanning.example".into()),
                ("civil".into(), "urn:partner:civil".into()),
            ],
            outbound: vec!["medical-core".into()],
        }
    }

    #[test]
    fn a_trial_gets_a_certificate_for_every_partner_and_direction() {
        let dir = tempfile::tempdir().unwrap();
        let written = init(dir.path(), &plan()).unwrap().written;
        let names: Vec<String> = written
            .iter()
            .map(|path| path.strip_prefix(dir.path()).unwrap().display().to_string())
            .collect();
        let expected = [
            "ca.pem",
            "ca.key",
            "crl.pem",
            "privacy.key",
            "server.pem",
            "server.key",
            "inbound/tax-bureau.pem",
        ];
        assert_eq!(names[..7], expected);
        assert!(
            names.contains(&"inbound/civil.pem".into())
                && names.contains(&"outbound/medical-core.key".into())
        );
    }

    #[test]
    fn keys_are_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let written = init(dir.path(), &plan()).unwrap().written;
        let keys: Vec<_> = written
            .iter()
            .filter(|path| path.extension().is_some_and(|ending| ending == "key"))
            .collect();
        assert_eq!(keys.len(), 6);
        for key in keys {
            assert_eq!(
                std::fs::metadata(key).unwrap().permissions().mode() & 0o777,
                0o600,
                "{}",
                key.display()
            );
        }
    }

    #[test]
    fn a_partner_added_later_gets_its_certificate_from_the_authority_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
        init(dir.path(), &plan()).unwrap();
        let before = [
            "ca.pem",
            "ca.key",
            "crl.pem",
            "privacy.key",
            "server.key",
            "inbound/civil.key",
        ]
        .map(|name| (name, read(name)));
        let mut more = plan();
        more.inbound
            .push(("health".into(), "health.nanning.example".into()));
        let made = init(dir.path(), &more).unwrap();
        assert_eq!(
            made.written,
            ["inbound/health.pem", "inbound/health.key"].map(|name| dir.path().join(name))
        );
        assert!(
            made.kept.contains(&dir.path().join("ca.key"))
                && made.kept.contains(&dir.path().join("inbound/civil.pem"))
        );
        for (name, content) in before {
            assert_eq!(read(name), content, "{name}");
        }
        let facts = certificate_facts(&dir.path().join("inbound/health.pem")).unwrap();
        assert_eq!(facts.issuer, "CN=ltcgw trial CA");
        let mut roots = rustls::RootCertStore::empty();
        use rustls::pki_types::{CertificateDer, UnixTime, pem::PemObject};
        roots
            .add(CertificateDer::from_pem_slice(&read("ca.pem")).unwrap())
            .unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            roots.into(),
            crate::link::provider(),
        )
        .build()
        .unwrap();
        verifier
            .verify_client_cert(
                &CertificateDer::from_pem_slice(&read("inbound/health.pem")).unwrap(),
                &[],
                UnixTime::now(),
            )
            .unwrap();
    }

    #[test]
    fn an_authority_whose_key_is_another_ones_and_half_a_pair_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        init(dir.path(), &plan()).unwrap();
        std::fs::remove_file(dir.path().join("inbound/civil.pem")).unwrap();
        let fault = init(dir.path(), &plan()).unwrap_err();
        assert!(
            fault.text.contains("inbound/civil.key is there without"),
            "{fault}"
        );
        std::fs::copy(dir.path().join("server.key"), dir.path().join("ca.key")).unwrap();
        let fault = init(dir.path(), &plan()).unwrap_err();
        assert!(fault.text.contains("ca.key is not the key of"), "{fault}");
    }

    #[test]
    fn an_existing_file_is_named_and_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("inbound")).unwrap();
        std::fs::write(dir.path().join("inbound/civil.key"), "precious").unwrap();
        let fault = init(dir.path(), &plan()).unwrap_err();
        assert!(
            fault.text.contains("inbound/civil.key exists already"),
            "{fault}"
        );
        assert!(!dir.path().join("ca.pem").exists());
        assert_eq!(
            std::fs::read_to_string(dir.path().join("inbound/civil.key")).unwrap(),
            "precious"
        );
    }
}
