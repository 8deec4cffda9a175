//! The links of an account, for the operator, who may undo them.

use crate::flows::manage::Accounts;
use crate::flows::manage::accounts::{AccountView, ManageError};
use crate::flows::refusal::private_detail;
use crate::flows::undo::{UndoError, Undone};
use crate::model::{AccountId, Actor, Caller, LedgerId, LedgerKind, NamedSide, Timestamp};
use crate::policy::account::link::undo_until;
use crate::store::link::{ledger, merging};

/// An account with its entries of the ledger.
#[derive(Debug, Clone)]
pub struct AccountLinks {
    /// The account.
    pub view: AccountView,
    /// The entries, newest first, 500 at most.
    pub entries: Vec<LinkEntry>,
}

/// One entry of the ledger.
#[derive(Debug, Clone)]
pub struct LinkEntry {
    /// The entry.
    pub id: LedgerId,
    /// When it was written.
    pub at: Timestamp,
    /// The kind of change.
    pub kind: LedgerKind,
    /// The one who made the change.
    pub actor: Actor,
    /// The account that it is about.
    pub account: AccountId,
    /// The account that was merged into it.
    pub other: Option<AccountId>,
    /// The identities, by names that the operator can read.
    pub what: Vec<String>,
    /// The entry that it undoes.
    pub undoes: Option<LedgerId>,
    /// The entry that undid it.
    pub undone_by: Option<LedgerId>,
    /// The end of the time in which it can be undone, if it can.
    pub undo_until: Option<Timestamp>,
}

impl Accounts {
    /// The links of the account with this username or id.
    pub async fn list_links(&self, name: &str) -> Result<AccountLinks, ManageError> {
        let view = self.find_account(name).await?;
        let now = self.core.clock.now();
        let mut tx = self.core.database.read().await?;
        let stored = ledger::list_entries(&mut tx, view.account.id).await?;
        let mut entries = Vec::with_capacity(stored.len());
        for entry in &stored {
            let undone_by = stored.iter().find(|later| later.undoes == Some(entry.id)).map(|later| later.id);
            entries.push(LinkEntry {
                id: entry.id,
                at: entry.at,
                kind: entry.kind,
                actor: entry.actor,
                account: entry.account,
                other: entry.other,
                what: self.profiles.open_sides(&mut tx, entry).await?.iter().map(NamedSide::label).collect(),
                undoes: entry.undoes,
                undone_by,
                undo_until: undo_until(entry, undone_by.is_some(), now),
            });
        }
        Ok(AccountLinks { view, entries })
    }

    /// Undoes a link or merge of any account.
    pub async fn undo_link(&self, caller: Caller, id: LedgerId) -> Result<Undone, ManageError> {
        let (Caller::Operator(_), Some(actor)) = (caller, caller.actor()) else {
            return Err(ManageError::Refused("only the operator undoes other people's links".to_owned()));
        };
        self.undos.undo(id, actor, None).await.map_err(|error| match error {
            UndoError::Refused(refusal) => ManageError::Refused(refusal.sentence().to_owned()),
            UndoError::Flow(error) => ManageError::Unavailable(private_detail(&error)),
        })
    }

    /// The account into which this account was merged, if it was.
    pub(super) async fn merged_into(&self, account: AccountId) -> Result<Option<AccountId>, ManageError> {
        Ok(merging::find_merged_into(&mut self.core.database.read().await?, account).await?)
    }
}
