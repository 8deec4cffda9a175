//! `countersign account`.

use std::path::PathBuf;

use anyhow::Result;

use super::{OPERATOR, Shared, read_file, say};
use crate::flows::manage::{AccountLinks, AccountView, LinkEntry, NewAccount};
use crate::flows::undo::Undone;
use crate::model::{Account, Email, Handle, LedgerId, Secret, Username};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List an organization's accounts, or the accounts outside all organizations, such as those of operators.
    List {
        /// The organization's handle. Without it, the accounts outside all organizations.
        #[arg(long)]
        organization: Option<Handle>,
        /// How many to list at most.
        #[arg(long, default_value_t = 1_000)]
        limit: i64,
    },
    /// Show one account.
    Show {
        /// Username or id.
        name: String,
    },
    /// Create an account with a password.
    Create(Create),
    /// Disable an account: its user can no longer sign in, and its sessions end.
    Disable {
        /// Username or id.
        name: String,
    },
    /// Enable an account again.
    Enable {
        /// Username or id.
        name: String,
    },
    /// Show what was linked to an account, merged into it and unlinked from it.
    Links {
        /// Username or id.
        name: String,
    },
    /// Undo a link or a merge of the last 30 days. Identities come back, but roles and other rights do not. Sessions
    /// that began since then end.
    UndoLink {
        /// The entry's id, as `account links` shows it.
        #[arg(value_name = "LEDGER_ID")]
        entry: LedgerId,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// The username.
    #[arg(long)]
    username: Username,
    /// The email address.
    #[arg(long)]
    email: Option<Email>,
    /// The organization's handle. Without it, the account belongs to no organization.
    #[arg(long)]
    organization: Option<Handle>,
    /// Make it an operator's account, which administers the deployment and belongs to no organization.
    #[arg(long, conflicts_with_all = ["organization", "administrator"])]
    operator: bool,
    /// Make it an administrator of its organization.
    #[arg(long, requires = "organization")]
    administrator: bool,
    /// A file with the password. Without it, the command creates a password and prints it once.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

pub(super) async fn run(shared: &Shared, command: Command) -> Result<()> {
    let broker = shared.broker().await?;
    match command {
        Command::List { organization, limit } => {
            let accounts = match &organization {
                Some(handle) => broker.accounts.list_accounts(handle, limit).await?,
                None => broker.accounts.list_unattached_accounts(limit).await?,
            };
            for account in &accounts {
                say(&line(account));
            }
        }
        Command::Show { name } => show(&broker.accounts.find_account(&name).await?),
        Command::Create(create) => {
            let password = match &create.password_file {
                Some(path) => Some(Secret::new(read_file(path)?.trim_end_matches(['\r', '\n']))),
                None => None,
            };
            let new = NewAccount {
                organization: create.organization,
                username: create.username,
                email: create.email,
                administrator: create.operator || create.administrator,
                password,
            };
            let (account, made) = broker.accounts.create_account(OPERATOR, new).await?;
            say(&line(&account));
            if let Some(password) = made {
                say(&format!("password {}", password.expose()));
            }
        }
        Command::Disable { name } => {
            say(&line(&broker.accounts.set_account_enabled(OPERATOR, &name, false).await?));
        }
        Command::Enable { name } => {
            say(&line(&broker.accounts.set_account_enabled(OPERATOR, &name, true).await?));
        }
        Command::Links { name } => show_links(&broker.accounts.list_links(&name).await?),
        Command::UndoLink { entry } => {
            show_undone(&broker.accounts.undo_link(OPERATOR, entry).await?);
        }
    }
    broker.housekeeping.close().await;
    Ok(())
}

fn line(account: &Account) -> String {
    let name = account.username.as_ref().map_or("-", Username::as_str);
    let email = account.email.as_ref().map_or("-", Email::as_str);
    let state = if account.enabled { "enabled" } else { "disabled" };
    format!("{} {name} {email} {state} {}", account.id, roles(account))
}

fn roles(account: &Account) -> String {
    let roles: Vec<&str> = account.roles.iter().map(|role| role.as_str()).collect();
    if roles.is_empty() { "-".to_owned() } else { roles.join(",") }
}

fn show(view: &AccountView) {
    say(&line(&view.account));
    let organization = view.organization.as_ref().map_or("none", Handle::as_str);
    say(&format!("organization {organization}"));
    say(&format!("roles {}", roles(&view.account)));
    if let Some(into) = view.merged_into {
        say(&format!("merged into {into}; nobody can sign in to this account"));
    }
    for profile in &view.profiles {
        say(&format!("signs in by {profile}"));
    }
}

fn show_undone(Undone { entry, without_password }: &Undone) {
    say(&format!("{} {} of {} undone", entry.id, entry.kind.as_str(), entry.account));
    for account in without_password {
        say(&format!(
            "{account} has its username back, but no password, and no link to set one was mailed: set a password with apply"
        ));
    }
}

fn show_links(links: &AccountLinks) {
    show(&links.view);
    for entry in &links.entries {
        say(&link_line(entry));
    }
    if links.entries.is_empty() {
        say("nothing was ever linked or merged");
    }
}

/// One entry: its id, time, kind and actor, its accounts and identities, and whether it can be undone.
fn link_line(entry: &LinkEntry) -> String {
    let mut line = format!("{} {} {} by {}", entry.id, entry.at, entry.kind.as_str(), entry.actor);
    let mut add = |text: String| {
        line.push(' ');
        line.push_str(&text);
    };
    add(format!("account {}", entry.account));
    if let Some(other) = entry.other {
        add(format!("with {other}"));
    }
    if let Some(undoes) = entry.undoes {
        add(format!("undoes {undoes}"));
    }
    for what in &entry.what {
        add(format!("[{what}]"));
    }
    match (entry.undone_by, entry.undo_until) {
        (Some(by), _) => add(format!("undone by {by}")),
        (None, Some(until)) => add(format!("can be undone until {until}")),
        (None, None) => {}
    }
    line
}
