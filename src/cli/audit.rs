//! `countersign audit`.

use anyhow::Result;

use super::{Shared, say};
use crate::flows::manage::AuditFilter;
use crate::model::Handle;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print the audit log as JSON Lines, oldest first.
    Export {
        /// Only the records of this organization.
        #[arg(long)]
        organization: Option<Handle>,
        /// Only the records with this receipt: the code that a page showed to the user.
        #[arg(long)]
        receipt: Option<String>,
        /// Only what was done to an account, by its username or id.
        #[arg(long)]
        account: Option<String>,
    },
}

pub(super) async fn run(shared: &Shared, command: Command) -> Result<()> {
    let broker = shared.broker().await?;
    let Command::Export { organization, receipt, account } = command;
    let receipt = receipt.map(|code| code.trim().to_ascii_uppercase());
    let filter = AuditFilter { organization, receipt, account };
    broker
        .accounts
        .export_audit(&filter, |line| {
            if let Ok(text) = serde_json::to_string(line) {
                say(&text);
            }
        })
        .await?;
    broker.housekeeping.close().await;
    Ok(())
}
