//! An identity becomes a profile of an account; and what every change of links writes besides: ledger and evidence.

use super::super::Broker;
use super::super::error::FlowError;
use super::super::evidence::{Event, receipt_of};
use super::LinkAttempt;
use super::finish::FinishError;
use crate::flows::email::account_email_proof;
use crate::flows::mail::OutgoingMail;
use crate::mail::Message;
use crate::model::{
    AccountId, Actor, ConnectionId, Email, Identity, LedgerEntry, LedgerId, LedgerKind, Moved, NamedSide,
    Organization, OrganizationId, ProfileId, Proof,
};
use crate::policy::link::{Newcomer, may_join};
use crate::store::{Tx, accounts, ledger, organizations, profiles};

/// What a new entry of the ledger is about.
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
    /// A proven address of an identity that has become part of the account, to be told too.
    pub also: Option<&'a Email>,
}

impl Broker {
    /// Makes an identity a profile of an account that was proved too.
    pub(super) async fn join(
        &self,
        tx: &mut Tx,
        organization: &Organization,
        identity: &Identity,
        account: AccountId,
        (attempt, sides): (&LinkAttempt, &[NamedSide; 2]),
    ) -> Result<Proof, FinishError> {
        let holder = self.holder(tx, organization, account).await?;
        may_join(Newcomer::Identity(&identity.issuer), &holder).map_err(FinishError::Refused)?;
        let profile = self.profile_of(account, identity);
        profiles::insert_profile(tx, Some(organization.id), &profile).await?;
        self.lock_arriving(tx, attempt).await?;
        let entry = NewEntry {
            kind: LedgerKind::Linked,
            organization: organization.id,
            account,
            other: None,
            profile: Some(profile.id),
            connection: Some(identity.connection),
            actor: account.into(),
            undoes: None,
            moved: Moved::default(),
            sides,
            also: identity.email.as_ref().filter(|_| identity.email_verified),
        };
        let receipt = Some(receipt_of(attempt.id()));
        self.write_entry(tx, entry, Event { receipt, ..Event::new("link") }).await?;
        Ok(identity.proof(profile.id))
    }

    /// Adds an entry to the ledger, with its audit record; `false` when it undoes what was undone before.
    pub(in crate::flows) async fn write_entry(
        &self,
        tx: &mut Tx,
        new: NewEntry<'_>,
        event: Event,
    ) -> Result<Option<LedgerId>, FlowError> {
        let now = self.clock.now();
        let id = LedgerId::new(now, &*self.random);
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
            ..event
        };
        self.record_success(tx, &event).await?;
        self.tell_of_entry(tx, &entry, new.sides, new.also).await?;
        Ok(Some(id))
    }

    /// Mails those whom an entry is about, at the addresses that their accounts have.
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
        let (organization, account) = (organization.name, self.url("/account"));
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
            // An address that a provider merely asserts may be a stranger's. Without a provider, the operator gave it.
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
            self.queue_mail(tx, mail).await?;
        }
        Ok(())
    }
}
