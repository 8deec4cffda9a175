//! `countersign keys`.

use anyhow::Result;

use super::{OPERATOR, Shared, say};
use crate::flows::keys::Rotation;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the signing keys, and when each of them signs.
    List,
    /// Create a successor for every signing key. It is published now and signs later.
    Rotate,
}

pub(super) async fn run(shared: &Shared, command: Command) -> Result<()> {
    let broker = shared.broker().await?;
    match command {
        Command::List => {}
        Command::Rotate => {
            for key in broker.keys.rotate_signing_keys(OPERATOR, Rotation::All).await? {
                say(&format!("new: {} {} signs from {}", key.id, key.algorithm, key.times.signs_from));
            }
        }
    }
    for (key, state) in broker.keys.list_signing_keys().await? {
        let until = key.times.signs_until.map(|time| format!(", until {time}")).unwrap_or_default();
        say(&format!(
            "{} {:<5} {state:?}, signs from {}{until}",
            key.id, key.algorithm, key.times.signs_from
        ));
    }
    broker.housekeeping.close().await;
    Ok(())
}
