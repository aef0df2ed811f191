//! (to come)
#[derive(Debug, clap::Args)]
pub struct Options {}
pub(super) async fn run(_: &Options) -> super::Done {
    Ok(())
}
