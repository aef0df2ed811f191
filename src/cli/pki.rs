//! `ltcgw pki init`: certificates for trials.

use std::path::PathBuf;

use super::Done;
use crate::config::Config;
use crate::sandbox::pki::{self, Plan};

/// Certificates for trials; a real installation gets them from its partners' authorities.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make a CA, a server certificate and one client certificate for each partner of the configuration.
    Init {
        /// Folder to write to; nothing in it is overwritten.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Folder with gateway.toml and partners.toml.
        #[arg(long, value_name = "DIR", default_value = "config", env = "LTCGW_CONFIG")]
        config: PathBuf,
        /// DNS name or IP address of the partner listener; may be given several times.
        #[arg(long = "name", value_name = "NAME", default_values = ["localhost", "127.0.0.1"])]
        names: Vec<String>,
    },
}

pub(super) fn run(command: &Command) -> Done {
    let Command::Init { out, config, names } = command;
    let config = Config::load(config)?;
    let plan = Plan::of(&config.partners, names);
    for path in pki::init(out, &plan)? {
        println!("{}", path.display());
    }
    for partner in config.partners.iter().filter(|partner| partner.inbound.as_ref().is_some_and(|inbound| inbound.san.is_none())) {
        eprintln!("note: partner {} is recognised by its key's pin; it gets no trial certificate", partner.name);
    }
    Ok(())
}
