//! The ledger: every change of an account's profiles, with its audit record and the mails to the users whom it is
//! about.

use crate::flows::evidence::Event;
use crate::flows::mail::OutgoingMail;
use crate::flows::profile::Profiles;
use crate::flows::profile::email::account_email_proof;
use crate::flows::refusal::FlowError;
use crate::mail::Message;
use crate::model::{
    AccountId, Actor, ConnectionId, Email, LedgerEntry, LedgerId, LedgerKind, Moved, NamedSide,
    OrganizationId, ProfileId, Target,
};
use crate::store::Tx;
use crate::store::account::accounts;
use crate::store::link::ledger;
use crate::store::organization::organizations;

/// The content of a new entry of the ledger.
pub(in crate::flows) struct NewEntry<'a> {
    pub kind: LedgerKind,
    pub organization: OrganizationId,
    pub account: AccountId,
    pub other: Option<AccountId>,
    pub profile: Option<ProfileId>,
    pub connection: Option<ConnectionId>,
    pub actor: Actor,
    pub undoes: Option<LedgerId>,
    pub moved: Moved,
    pub sides: &'a [NamedSide],
    /// A proven address of an identity that has become part of the account; it is mailed too.
    pub also: Option<&'a Email>,
}

impl Profiles {
    /// Adds an entry to the ledger, with its audit record; `None` if the change that it undoes was undone before.
    pub(in crate::flows) async fn write_entry(
        &self,
        tx: &mut Tx,
        new: NewEntry<'_>,
        event: Event,
    ) -> Result<Option<LedgerId>, FlowError> {
        let now = self.core.clock.now();
        let id = LedgerId::new(now, &*self.core.random);
        let mut entry = LedgerEntry {
            id,
            organization: new.organization,
            at: now,
            kind: new.kind,
            account: new.account,
            other: new.other,
            profile: new.profile,
            connection: new.connection,
            actor: new.actor,
            undoes: new.undoes,
            moved: new.moved,
            sides_sealed: String::new(),
        };
        entry.sides_sealed = self.seal_sides(tx, &entry, new.sides).await?;
        if !ledger::insert_entry(tx, &entry).await? {
            return Ok(None);
        }
        let other = entry.other.map(|other| format!(" other={other}")).unwrap_or_default();
        let event = Event {
            organization: Some(entry.organization),
            actor: Some(entry.actor),
            connection: entry.connection,
            detail: Some(format!("entry={id} account={}{other}", entry.account)),
            target: Some(Target::Account(entry.account)),
            ..event
        };
        self.core.record_success(tx, &event).await?;
        self.tell_of_entry(tx, &entry, new.sides, new.also).await?;
        Ok(Some(id))
    }

    /// Mails the users whom an entry is about, at the addresses of their accounts.
    async fn tell_of_entry(
        &self,
        tx: &mut Tx,
        entry: &LedgerEntry,
        sides: &[NamedSide],
        also: Option<&Email>,
    ) -> Result<(), FlowError> {
        let Some(organization) = organizations::find_organization(tx, entry.organization).await? else {
            return Ok(());
        };
        let (organization, account) = (organization.name, self.core.url("/account"));
        let told = sides.iter().filter(|side| !entry.kind.adds_identity() || side.account.is_none());
        let what: Vec<String> = told.map(NamedSide::label).collect();
        let what = what.join(", ");
        let message = match entry.kind {
            LedgerKind::Linked => Message::ProfileLinked { organization, what, account },
            LedgerKind::Replaced => Message::ProfileReplaced { organization, what, account },
            LedgerKind::Merged => Message::AccountsMerged { organization, what, account },
            LedgerKind::Unlinked => Message::ProfileUnlinked { organization, what, account },
            LedgerKind::Undone => Message::LinkUndone { organization, what, account },
            LedgerKind::Expected => return Ok(()),
        };
        let mut told: Vec<(Email, AccountId)> = Vec::new();
        for id in [Some(entry.account), entry.other].into_iter().flatten() {
            let found = accounts::find_account(tx, id).await?;
            let Some(found) = found else { continue };
            // An address that a provider only asserts may be another user's. Without a provider, the operator gave it.
            let is_given = found.email_from.is_none() && found.username.is_some();
            if is_given || account_email_proof(tx, &found).await?.is_proven() {
                told.extend(found.email.map(|to| (to, id)));
            }
        }
        told.extend(also.map(|to| (to.clone(), entry.account)));
        let mut known: Vec<&str> = Vec::new();
        for (number, (to, account)) in told.iter().enumerate() {
            if known.contains(&to.canonical()) {
                continue;
            }
            known.push(to.canonical());
            let mail = OutgoingMail {
                to: to.clone(),
                organization: Some(entry.organization),
                account: Some(*account),
                message: message.clone(),
                dedup_key: Some(format!("{}:{number}", entry.id)),
            };
            self.mails.queue_mail(tx, mail).await?;
        }
        Ok(())
    }
}
