//! `countersign session`.

use anyhow::Result;

use super::{OPERATOR, Shared, say};
use crate::model::SessionId;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List an account's sessions that have not ended.
    List {
        /// Username or id of the account.
        account: String,
    },
    /// End a session.
    End {
        /// The session's id.
        session: SessionId,
    },
}

pub(super) async fn run(shared: &Shared, command: Command) -> Result<()> {
    let broker = shared.broker().await?;
    match command {
        Command::List { account } => {
            for session in broker.accounts.list_account_sessions(&account).await? {
                say(&format!(
                    "{} since {} last seen {}",
                    session.id, session.created_at, session.last_seen_at
                ));
            }
        }
        Command::End { session } => {
            broker.accounts.end_any_session(OPERATOR, session).await?;
            say(&format!("{session} ended"));
        }
    }
    broker.housekeeping.close().await;
    Ok(())
}
