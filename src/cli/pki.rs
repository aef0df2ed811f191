//! `ltcgw pki init`: certificates for trials.

use std::path::PathBuf;

use super::Done;
use crate::adapter::capability::sm2_sorted_fields;
use crate::config::Config;
use crate::sandbox::pki::{self, PkiPlan};

/// The secret that signs requests in the NHSA envelope.
const SM2_KEY: &str = "sm2_key";

/// Certificates for trials; a real installation gets them from its partners' authorities.
#[derive(Debug, clap::Subcommand)]
pub enum PkiCommand {
    /// Make a CA, a server certificate, one client certificate for each partner of the configuration, and the SM2 keys it names.
    Init {
        /// Folder to write to, by default `pki` in the configuration's folder, where the shipped gateway.toml looks for
        /// it; what is there is kept, and an authority in it issues what is missing.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Folder with gateway.toml and partners.toml.
        #[arg(
            long,
            value_name = "DIR",
            default_value = "config",
            env = "LTCGW_CONFIG"
        )]
        config: PathBuf,
        /// DNS name or IP address of the partner listener; may be given several times.
        #[arg(long = "name", value_name = "NAME", default_values = ["localhost", "127.0.0.1"])]
        names: Vec<String>,
    },
}

pub(super) fn run(command: &PkiCommand) -> Done {
    let PkiCommand::Init { out, config, names } = command;
    let out = out.clone().unwrap_or_else(|| config.join("pki"));
    let config = Config::load(config)?;
    let plan = PkiPlan::of(&config.partners, names);
    let made = pki::init(&out, &plan)?;
    for path in &made.written {
        println!("{}", path.display());
    }
    for path in &made.kept {
        println!("{} (kept as it was)", path.display());
    }
    for path in config
        .partners
        .iter()
        .filter_map(|partner| partner.secrets.get(SM2_KEY))
        .filter(|path| !path.exists())
    {
        pki::write_secret(path, &sm2_sorted_fields::generate_pem())?;
        println!("{}", path.display());
    }
    for partner in config.partners.iter().filter(|partner| {
        partner
            .inbound
            .as_ref()
            .is_some_and(|inbound| inbound.san.is_none())
    }) {
        eprintln!(
            "note: partner {} is recognised by its key's pin; it gets no trial certificate",
            partner.name
        );
    }
    Ok(())
}
