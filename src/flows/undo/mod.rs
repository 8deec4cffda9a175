//! Undoing a link or a merge, within thirty days. Identities come back; lost roles, ended sessions and deleted
//! passwords do not. The user does so on their own page (`account`), and the operator by command (`manage`).

mod give_back;

use std::sync::Arc;

use crate::flows::core::Core;
use crate::flows::evidence::Event;
use crate::flows::profile::Profiles;
use crate::flows::profile::ledger::NewEntry;
use crate::flows::refusal::{FlowError, PublicCode, Reason};
use crate::flows::session::{CurrentSession, EndReason, Sessions};
use crate::flows::sign_in::SignIn;
use crate::model::{
    AccountId, Actor, Email, LedgerEntry, LedgerId, LedgerKind, Moved, NamedSide, ProfileId, UNDO_WINDOW,
};
use crate::store::account::{accounts, profiles};
use crate::store::link::{ledger, merging, replacing};
use crate::store::provider::grants;
use crate::store::session::session_ends::SessionsOf;
use crate::store::{StoreError, Tx};

/// Why an undoing is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UndoRefusal {
    /// The entry does not exist, or belongs to another account.
    Unknown,
    /// This kind of entry cannot be undone.
    Kind,
    /// It is more than thirty days old.
    TooLate,
    /// It was undone before.
    Done,
    /// The linked profile is gone: it was unlinked.
    Gone,
    /// The account was merged again since, or another one was merged into it.
    LaterMergeFirst,
    /// The account that would lose its password is one for emergencies.
    Emergency,
    /// The account would have no way to sign in.
    Last,
    /// The identity that would come back belongs to another account by now.
    Taken,
    /// The user was signed out meanwhile.
    SignedOut,
}

impl UndoRefusal {
    /// The public code that the user sees.
    pub(super) const fn public_code(self) -> PublicCode {
        match self {
            Self::Unknown | Self::Kind => PublicCode::NotFound,
            Self::TooLate => PublicCode::UndoTooLate,
            Self::Done => PublicCode::UndoDone,
            Self::Gone => PublicCode::UndoGone,
            Self::LaterMergeFirst => PublicCode::UndoLaterFirst,
            Self::Emergency => PublicCode::LinkEmergency,
            Self::Last => PublicCode::UndoLast,
            Self::Taken => PublicCode::UndoTaken,
            Self::SignedOut => PublicCode::SessionEnded,
        }
    }

    /// The reason that the audit log records.
    pub(super) const fn reason(self) -> Reason {
        match self {
            Self::Unknown | Self::Kind => Reason::NotFound,
            Self::TooLate => Reason::UndoTooLate,
            Self::Done => Reason::UndoDone,
            Self::Gone => Reason::UndoGone,
            Self::LaterMergeFirst => Reason::UndoLaterFirst,
            Self::Emergency => Reason::LinkEmergency,
            Self::Last => Reason::UndoLast,
            Self::Taken => Reason::UndoTaken,
            Self::SignedOut => Reason::SessionEnded,
        }
    }

    /// The sentence that the operator's terminal shows.
    pub(super) const fn sentence(self) -> &'static str {
        match self {
            Self::Unknown => "there is no such entry in the link ledger",
            Self::Kind => "only links and merges can be undone",
            Self::TooLate => "it is more than 30 days old, and can no longer be undone",
            Self::Done => "it was undone before",
            Self::Gone => "what was linked is there no more: it was unlinked since",
            Self::LaterMergeFirst => "the account was merged once more since; undo that merge first",
            Self::Emergency => {
                "the account that would lose its password is one for emergencies; name another one for that first"
            }
            Self::Last => "the account would have no way to sign in; link another one first",
            Self::Taken => {
                "the identity that would come back is another account's by now; disable that account, or let its person \
                 unlink it, first"
            }
            Self::SignedOut => "the session that asked has ended",
        }
    }
}

/// The result of an undoing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// The entry that was undone.
    pub entry: LedgerEntry,
    /// The accounts whose local profiles came back, and to which the broker could not mail a link to set a password.
    pub without_password: Vec<AccountId>,
}

/// Why an undoing failed.
pub(super) enum UndoError {
    /// It was refused.
    Refused(UndoRefusal),
    /// Something that is needed is down.
    Flow(FlowError),
}

impl From<StoreError> for UndoError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict => Self::Refused(UndoRefusal::Gone),
            error => Self::Flow(error.into()),
        }
    }
}

impl From<FlowError> for UndoError {
    fn from(error: FlowError) -> Self {
        Self::Flow(error)
    }
}

/// Undoing of links and merges.
pub struct Undos {
    core: Arc<Core>,
    sessions: Arc<Sessions>,
    profiles: Arc<Profiles>,
    sign_in: Arc<SignIn>,
}

impl Undos {
    /// The service, on the shared core and the services that it calls.
    pub(in crate::flows) fn new(
        core: &Arc<Core>,
        sessions: &Arc<Sessions>,
        profiles: &Arc<Profiles>,
        sign_in: &Arc<SignIn>,
    ) -> Self {
        Self {
            core: Arc::clone(core),
            sessions: Arc::clone(sessions),
            profiles: Arc::clone(profiles),
            sign_in: Arc::clone(sign_in),
        }
    }

    /// Undoes a link or merge, and records `actor` as the one who did it. With `own`, the entry must belong to the
    /// account of that session, and the session ends.
    pub(super) async fn undo(
        &self,
        id: LedgerId,
        actor: Actor,
        own: Option<&CurrentSession>,
    ) -> Result<Undone, UndoError> {
        let now = self.core.clock.now();
        let mut tx = self.core.database.write().await?;
        let found = ledger::find_entry(&mut tx, id).await?;
        let Some(entry) = found.filter(|entry| own.is_none_or(|own| own.account.id == entry.account)) else {
            return Err(UndoError::Refused(UndoRefusal::Unknown));
        };
        if !entry.kind.can_be_undone() {
            return Err(UndoError::Refused(UndoRefusal::Kind));
        }
        if now >= entry.at.after(UNDO_WINDOW) {
            return Err(UndoError::Refused(UndoRefusal::TooLate));
        }
        lock_accounts(&mut tx, &entry).await?;
        let sides = self.profiles.open_sides(&mut tx, &entry).await?;
        let replaced = replaced_email(&entry, &sides);
        let new = NewEntry {
            kind: LedgerKind::Undone,
            organization: entry.organization,
            account: entry.account,
            other: entry.other,
            profile: entry.profile,
            connection: entry.connection,
            actor,
            undoes: Some(id),
            moved: Moved::default(),
            sides: &sides,
            also: replaced.as_ref(),
        };
        // Order matters: only the transaction that adds the entry may undo it.
        if self.profiles.write_entry(&mut tx, new, Event::new("link.undo")).await?.is_none() {
            return Err(UndoError::Refused(UndoRefusal::Done));
        }
        let without_password = match (entry.kind, entry.other, entry.profile) {
            (LedgerKind::Merged, Some(other), _) => self.split(&mut tx, &entry, other, own).await?,
            (_, _, Some(profile)) => {
                if entry.kind == LedgerKind::Replaced {
                    self.give_place_back(&mut tx, &entry, &sides, profile, own).await?;
                } else {
                    self.take_off(&mut tx, &entry, profile, own).await?;
                }
                Vec::new()
            }
            _ => return Err(UndoError::Refused(UndoRefusal::Kind)),
        };
        tx.commit().await?;
        Ok(Undone { entry, without_password })
    }

    /// Takes a linked profile, or its replacement since, off its account. Its identity then has no account.
    async fn take_off(
        &self,
        tx: &mut Tx,
        entry: &LedgerEntry,
        profile: ProfileId,
        own: Option<&CurrentSession>,
    ) -> Result<(), UndoError> {
        let held = replacing::find_here_or_successor(tx, entry.organization, profile).await?;
        let Some(held) = held.filter(|held| held.account == entry.account) else {
            return Err(UndoError::Refused(UndoRefusal::Gone));
        };
        if !profiles::delete_profile(tx, entry.account, held.id, 1).await? {
            return Err(UndoError::Refused(UndoRefusal::Last));
        }
        self.end_own(tx, own).await?;
        let (account, since) = (entry.account, entry.at);
        self.sessions
            .end_sessions(tx, SessionsOf::Profile { account, profile: held.id }, EndReason::Withdrawn)
            .await?;
        self.sessions.end_sessions(tx, SessionsOf::Since { account, since }, EndReason::Withdrawn).await?;
        Ok(())
    }

    /// Ends the user's session. Refuses when it has ended meanwhile.
    async fn end_own(&self, tx: &mut Tx, own: Option<&CurrentSession>) -> Result<(), UndoError> {
        match own {
            Some(own) if !self.sessions.end_session(tx, &own.session).await? => {
                Err(UndoError::Refused(UndoRefusal::SignedOut))
            }
            _ => Ok(()),
        }
    }

    /// Brings a merged account back, with everything of it that still exists. Returns the accounts whose local profile
    /// came back, and to which the broker could not mail a link to set its password.
    async fn split(
        &self,
        tx: &mut Tx,
        entry: &LedgerEntry,
        other: AccountId,
        own: Option<&CurrentSession>,
    ) -> Result<Vec<AccountId>, UndoError> {
        let now = self.core.clock.now();
        let (kept, moved) = (entry.account, &entry.moved);
        if !merging::unmark_merged(tx, other, kept, now).await? {
            return Err(UndoError::Refused(UndoRefusal::Gone));
        }
        let (Some(kept), Some(back)) =
            (accounts::find_account(tx, kept).await?, accounts::find_account(tx, other).await?)
        else {
            return Err(UndoError::Refused(UndoRefusal::Gone));
        };
        if merging::find_merged_into(tx, kept.id).await?.is_some() || self.is_overlaid(tx, entry).await? {
            return Err(UndoError::Refused(UndoRefusal::LaterMergeFirst));
        }
        let restored = self.give_back_profiles(tx, &kept, &back, entry).await?;
        self.end_own(tx, own).await?;
        // A session older than the merge may also have gone on by a profile that came with the merge.
        for profile in &moved.profiles {
            let opened = SessionsOf::Profile { account: kept.id, profile: *profile };
            self.sessions.end_sessions(tx, opened, EndReason::Withdrawn).await?;
        }
        for account in [kept.id, back.id] {
            let since = SessionsOf::Since { account, since: entry.at };
            self.sessions.end_sessions(tx, since, EndReason::Withdrawn).await?;
        }
        for app in &moved.subjects {
            // These grants name the account that comes back, even if another node's clock dates them before the merge.
            grants::revoke_grants_of_app(tx, kept.id, *app, now).await?;
        }
        self.give_back_names(tx, entry, &kept, &back).await?;
        if !kept.enabled {
            accounts::set_enabled(tx, back.id, false, now).await?;
        }
        let mut without_password = Vec::new();
        for id in restored {
            // Read again, since it has its own username back.
            let account = accounts::find_account(tx, id).await?;
            let account = account.ok_or(UndoError::Refused(UndoRefusal::Gone))?;
            if !self.sign_in.mail_password_link(tx, &account).await? {
                without_password.push(id);
            }
        }
        Ok(without_password)
    }

    /// Whether a later merge into the same account has also changed usernames or passwords, and is not undone yet. The
    /// user must undo the later one first, since each undoing takes back what it finds.
    async fn is_overlaid(&self, tx: &mut Tx, entry: &LedgerEntry) -> Result<bool, StoreError> {
        let touches = |moved: &Moved| moved.swapped_usernames || moved.ended_local.is_some();
        if !touches(&entry.moved) {
            return Ok(false);
        }
        let later = ledger::list_merges_since(tx, entry).await?;
        Ok(later.iter().any(|later| (later.at, later.id) > (entry.at, entry.id) && touches(&later.moved)))
    }
}

/// Locks the accounts of an entry, in one order.
async fn lock_accounts(tx: &mut Tx, entry: &LedgerEntry) -> Result<(), StoreError> {
    let mut both: Vec<AccountId> = [entry.account].into_iter().chain(entry.other).collect();
    both.sort_unstable();
    for account in both {
        accounts::lock_account(tx, account).await?;
    }
    Ok(())
}

/// A second address that is told that the former identity has its place back. The account's own address may be that of
/// the user who had taken the place.
fn replaced_email(entry: &LedgerEntry, sides: &[NamedSide]) -> Option<Email> {
    let old = sides.get(1).filter(|_| entry.kind == LedgerKind::Replaced)?;
    old.email.as_deref()?.parse().ok()
}
