//! Undoing a link or a merge, for thirty days: identities come back, authority does not.

use super::super::Broker;
use super::super::account::own_event;
use super::super::anew::Sensitive;
use super::super::error::{FlowError, private_detail};
use super::super::evidence::Event;
use super::super::manage::ManageError;
use super::super::sessions::CurrentSession;
use super::super::visit::{Answer, CookieChange, Go, Visit};
use super::join::NewEntry;
use super::own::LedgerView;
use crate::model::{
    Account, AccountId, Actor, ConnectionId, LedgerEntry, LedgerId, LedgerKind, Moved, NamedSide, OwnPlace,
    Profile, ProfileId, ProfileKind, UNDO_WINDOW,
};
use crate::policy::link::merge::roles_after_undo;
use crate::store::{StoreError, Tx, accounts, ledger, merging, passwords, profiles, replacing};

/// Why nothing was undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UndoRefusal {
    /// There is no such entry, or it is somebody else's.
    Unknown,
    /// It is nothing that can be undone.
    Kind,
    /// It is more than thirty days old.
    TooLate,
    /// It was undone before.
    Done,
    /// What was linked is there no more: it was unlinked.
    Gone,
    /// The account was merged once more since, or another one into it.
    LaterMergeFirst,
    /// The account that would lose its password is one for emergencies.
    Emergency,
    /// The account would have no way to sign in.
    Last,
    /// Whoever asks was signed out meanwhile.
    SignedOut,
}

impl UndoRefusal {
    /// The reason, as the audit log has it; also the public code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unknown | Self::Kind => "not_found",
            Self::TooLate => "undo_too_late",
            Self::Done => "undo_done",
            Self::Gone => "undo_gone",
            Self::LaterMergeFirst => "undo_later_first",
            Self::Emergency => "link_emergency",
            Self::Last => "undo_last",
            Self::SignedOut => "session_ended",
        }
    }

    /// The same for the operator's terminal.
    const fn sentence(self) -> &'static str {
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
            Self::SignedOut => "the session that asked has ended",
        }
    }
}

/// Where a profile goes back to that has moved with its identity provider.
struct PlaceBefore<'s> {
    connections: (ConnectionId, ConnectionId),
    identity: (&'s str, &'s str),
}

impl<'s> PlaceBefore<'s> {
    /// Read from the entry that tells of the move; `None` where nothing has moved.
    fn of(entry: &LedgerEntry, sides: &'s [NamedSide]) -> Result<Option<Self>, UndoRefusal> {
        if entry.kind != LedgerKind::Replaced {
            return Ok(None);
        }
        // What was erased cannot be given back.
        let [new, old] = sides else { return Err(UndoRefusal::Gone) };
        let (Some(now), Some(issuer), Some(subject)) = (&new.issuer, &old.issuer, &old.subject) else {
            return Err(UndoRefusal::Gone);
        };
        let (Some(from), Some(to)) = (entry.connection, old.connection) else {
            return Err(UndoRefusal::Gone);
        };
        Ok((now == issuer).then_some(Self { connections: (from, to), identity: (issuer, subject) }))
    }
}

/// What was undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// The entry.
    pub entry: LedgerEntry,
    /// The accounts whose local profiles came back, and to which no link could be mailed by which a password is set.
    pub without_password: Vec<AccountId>,
}

enum UndoError {
    Refused(UndoRefusal),
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

impl From<UndoRefusal> for UndoError {
    fn from(refusal: UndoRefusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<FlowError> for UndoError {
    fn from(error: FlowError) -> Self {
        Self::Flow(error)
    }
}

/// What the page shows that asks before something is undone.
#[derive(Debug, Clone)]
pub struct UndoView {
    /// What its form proves.
    pub form_token: String,
    /// The entry.
    pub entry: LedgerView,
}

impl Broker {
    /// What the page shows, or the way to prove anew who one is.
    pub async fn view_undo(&self, visit: &Visit, id: LedgerId) -> Result<Sensitive<UndoView>, FlowError> {
        let current = match self.require_fresh(visit, OwnPlace::Undo(id), "link.undo").await? {
            Sensitive::Show(current) => current,
            Sensitive::Prove(answer) => return Ok(Sensitive::Prove(answer)),
        };
        let entries = self.own_ledger(&current).await?;
        let undone = entries.iter().any(|view| view.undoes == Some(id));
        let found = entries.into_iter().find(|view| view.id == id && view.kind.can_be_undone() && view.own);
        let event = own_event("link.undo", &current);
        let entry = match found {
            None => return Err(self.refuse(visit, event, "not_found", "entry_not_own").await),
            Some(entry) if entry.undo_until.is_some() => entry,
            Some(_) => {
                let refusal = if undone { UndoRefusal::Done } else { UndoRefusal::TooLate };
                return Err(self.refuse(visit, event, refusal.code(), refusal.code()).await);
            }
        };
        let form_token = self.form_token(&current.session.id.to_string());
        Ok(Sensitive::Show(UndoView { form_token, entry }))
    }

    /// Undoes a link or merge of one's own. What was opened since ends, this session included.
    pub async fn undo_own_link(&self, visit: &Visit, id: LedgerId) -> Result<Answer, FlowError> {
        let current = match self.require_fresh(visit, OwnPlace::Undo(id), "link.undo").await? {
            Sensitive::Show(current) => current,
            Sensitive::Prove(answer) => return Ok(answer),
        };
        match self.undo(id, current.account.id.into(), Some(&current)).await {
            Ok(_) => Ok(Answer::to(Go::SignedOut(None)).with(CookieChange::ClearSession)),
            Err(UndoError::Flow(error)) => Err(error),
            Err(UndoError::Refused(refusal)) => {
                let event = own_event("link.undo", &current);
                Err(self.refuse(visit, event, refusal.code(), refusal.code()).await)
            }
        }
    }

    /// Undoes a link or merge of anybody, for the operator.
    pub async fn undo_link(&self, id: LedgerId) -> Result<Undone, ManageError> {
        self.undo(id, Actor::Operator, None).await.map_err(|error| match error {
            UndoError::Refused(refusal) => ManageError::Refused(refusal.sentence().to_owned()),
            UndoError::Flow(error) => ManageError::Unavailable(private_detail(&error)),
        })
    }

    async fn undo(
        &self,
        id: LedgerId,
        actor: Actor,
        own: Option<&CurrentSession>,
    ) -> Result<Undone, UndoError> {
        let now = self.clock.now();
        let mut tx = self.database.write().await?;
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
        let mut both: Vec<AccountId> = [entry.account].into_iter().chain(entry.other).collect();
        both.sort_unstable();
        for account in both {
            accounts::hold_account(&mut tx, account).await?;
        }
        let sides = self.open_sides(&mut tx, &entry).await?;
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
            also: None,
        };
        // Order matters: whoever adds the entry undoes it, and nobody else.
        if self.write_entry(&mut tx, new, Event::new("link.undo")).await?.is_none() {
            return Err(UndoError::Refused(UndoRefusal::Done));
        }
        let without_password = match (entry.kind, entry.other, entry.profile) {
            (LedgerKind::Merged, Some(other), _) => self.split(&mut tx, &entry, other, own).await?,
            (_, _, Some(profile)) => {
                self.take_off(&mut tx, &entry, &sides, profile, own).await?;
                Vec::new()
            }
            _ => return Err(UndoError::Refused(UndoRefusal::Kind)),
        };
        tx.commit().await?;
        Ok(Undone { entry, without_password })
    }

    /// Takes a linked profile off its account; its identity is nobody's again. One that has moved to another connection
    /// goes back to the one from which it came.
    async fn take_off(
        &self,
        tx: &mut Tx,
        entry: &LedgerEntry,
        sides: &[NamedSide],
        profile: ProfileId,
        own: Option<&CurrentSession>,
    ) -> Result<(), UndoError> {
        let now = self.clock.now();
        let held = profiles::find_profile(tx, profile).await?;
        if held.is_none_or(|held| held.account != entry.account) {
            return Err(UndoError::Refused(UndoRefusal::Gone));
        }
        match PlaceBefore::of(entry, sides)? {
            Some(PlaceBefore { connections, identity }) => {
                if !replacing::move_to_connection(tx, profile, connections, identity).await? {
                    return Err(UndoError::Refused(UndoRefusal::Gone));
                }
            }
            None => {
                if !profiles::delete_profile(tx, entry.account, profile, 1).await? {
                    return Err(UndoError::Refused(UndoRefusal::Last));
                }
            }
        }
        self.end_own(tx, own).await?;
        merging::end_what_profile_opened(tx, entry.account, profile, now).await?;
        merging::end_what_was_opened_since(tx, entry.account, entry.at, now).await?;
        Ok(())
    }

    /// Ends the session of whoever asks; refused when it has ended meanwhile.
    async fn end_own(&self, tx: &mut Tx, own: Option<&CurrentSession>) -> Result<(), UndoError> {
        match own {
            Some(own) if !self.end_session(tx, &own.session).await? => {
                Err(UndoError::Refused(UndoRefusal::SignedOut))
            }
            _ => Ok(()),
        }
    }

    /// Brings a merged account back, with what is still there of what it had; gives the accounts that have a local
    /// profile again, and could be mailed no link to set its password.
    async fn split(
        &self,
        tx: &mut Tx,
        entry: &LedgerEntry,
        other: AccountId,
        own: Option<&CurrentSession>,
    ) -> Result<Vec<AccountId>, UndoError> {
        let now = self.clock.now();
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
        // Also a session that is older than the merge may have gone on by a profile that came with it.
        for profile in &moved.profiles {
            merging::end_what_profile_opened(tx, kept.id, *profile, now).await?;
        }
        merging::end_what_was_opened_since(tx, kept.id, entry.at, now).await?;
        merging::end_what_was_opened_since(tx, back.id, entry.at, now).await?;
        for app in &moved.subjects {
            // These name the account that comes back, whatever the clocks of other nodes say of when they were given.
            merging::revoke_grants_of_app(tx, kept.id, *app, now).await?;
        }
        self.give_back_names(tx, entry, &kept, &back).await?;
        if !kept.enabled {
            accounts::set_enabled(tx, back.id, false, now).await?;
        }
        let mut without_password = Vec::new();
        for id in restored {
            // Read again: it has its own username back.
            let account = accounts::find_account(tx, id).await?;
            let account = account.ok_or(UndoError::Refused(UndoRefusal::Gone))?;
            if !self.mail_password_link(tx, &account).await? {
                without_password.push(id);
            }
        }
        Ok(without_password)
    }

    /// Gives back roles, usernames, and what apps knew the merged account by.
    async fn give_back_names(
        &self,
        tx: &mut Tx,
        entry: &LedgerEntry,
        kept: &Account,
        back: &Account,
    ) -> Result<(), StoreError> {
        let moved = &entry.moved;
        let (left, given) = roles_after_undo(&kept.roles, moved);
        for role in kept.roles.iter().filter(|role| !left.contains(role)) {
            merging::take_role(tx, kept.id, *role).await?;
        }
        for role in given {
            merging::add_role(tx, entry.organization, back.id, role).await?;
        }
        if moved.swapped_usernames {
            // Order matters: after sessions, before subjects, as in a merge.
            let (one, two) = ((kept.id, kept.username.as_ref()), (back.id, back.username.as_ref()));
            merging::swap_usernames(tx, one, two, self.clock.now()).await?;
        }
        for app in &moved.subjects {
            merging::move_subject(tx, *app, kept.id, back.id).await?;
        }
        for app in &moved.consents {
            // What was consented to since is the kept account's.
            merging::move_consent(tx, *app, kept.id, back.id, entry.at).await?;
        }
        Ok(())
    }

    /// Whether a later merge into the same account, not undone yet, has dealt with usernames and passwords that this one
    /// had dealt with before: each takes back what it finds, so the later one comes first.
    async fn is_overlaid(&self, tx: &mut Tx, entry: &LedgerEntry) -> Result<bool, StoreError> {
        let touches = |moved: &Moved| moved.swapped_usernames || moved.ended_local.is_some();
        if !touches(&entry.moved) {
            return Ok(false);
        }
        let later = ledger::list_merges_since(tx, entry).await?;
        Ok(later.iter().any(|later| (later.at, later.id) > (entry.at, entry.id) && touches(&later.moved)))
    }

    /// Gives password and profiles back. A local profile that the merge ended comes back without its password; gives the
    /// accounts of those that did.
    async fn give_back_profiles(
        &self,
        tx: &mut Tx,
        kept: &Account,
        back: &Account,
        entry: &LedgerEntry,
    ) -> Result<Vec<AccountId>, UndoError> {
        let moved = &entry.moved;
        let mut came_back = 0;
        let held = profiles::list_profiles(tx, kept.id).await?;
        let local = held.iter().find(|held| held.kind == ProfileKind::Local).map(|local| local.id);
        // Order matters: passwords before profiles, as whoever signs in by one does.
        if local.is_some_and(|local| moved.profiles.contains(&local)) {
            if kept.break_glass {
                return Err(UndoError::Refused(UndoRefusal::Emergency));
            }
            passwords::move_password(tx, kept.id, back.id).await?;
        }
        let mut restored = Vec::new();
        for profile in &moved.profiles {
            if profiles::move_profile(tx, *profile, kept.id, back.id).await? {
                came_back += 1;
            } else if let Some(side) = self.find_unlinked(tx, entry, *profile).await? {
                let (came, anew) = self.bring_back(tx, back, *profile, &side).await?;
                came_back += usize::from(came);
                restored.extend(anew.then_some(back.id));
            }
        }
        if let Some(account) = moved.ended_local {
            let account = if account == kept.id { kept } else { back };
            restored.extend(self.restore_local(tx, account).await?.then_some(account.id));
            came_back += usize::from(account.id == back.id);
        }
        if came_back == 0 {
            return Err(UndoError::Refused(UndoRefusal::Gone));
        }
        if profiles::list_profiles(tx, kept.id).await?.is_empty() {
            return Err(UndoError::Refused(UndoRefusal::Last));
        }
        Ok(restored)
    }

    /// A profile that came with a merge, and was unlinked since, as the ledger has it: an unlinking is no way to keep
    /// somebody's identities from them.
    async fn find_unlinked(
        &self,
        tx: &mut Tx,
        merge: &LedgerEntry,
        profile: ProfileId,
    ) -> Result<Option<NamedSide>, StoreError> {
        let unlinked = ledger::find_unlinking(tx, merge.account, profile).await?;
        match unlinked.filter(|entry| (entry.at, entry.id) > (merge.at, merge.id)) {
            Some(entry) => Ok(self.open_sides(tx, &entry).await?.into_iter().next()),
            None => Ok(None),
        }
    }

    /// Makes a profile anew that was unlinked, unless its identity is somebody's by now: whether it is there, and whether
    /// it is a local one without a password.
    async fn bring_back(
        &self,
        tx: &mut Tx,
        back: &Account,
        id: ProfileId,
        side: &NamedSide,
    ) -> Result<(bool, bool), UndoError> {
        let (Some(connection), Some(issuer), Some(subject)) = (side.connection, &side.issuer, &side.subject)
        else {
            let is_local = side.username.is_some();
            let restored = is_local && self.restore_local(tx, back).await?;
            return Ok((restored, restored));
        };
        let Some(organization) = back.organization else { return Ok((false, false)) };
        if profiles::find_profile_in_organization(tx, organization, issuer, subject).await?.is_some() {
            return Ok((false, false));
        }
        let now = self.clock.now();
        let kind = ProfileKind::External {
            connection,
            issuer: issuer.clone(),
            subject: subject.clone(),
            // Its provider says it anew at the next sign-in.
            email: None,
            email_verified: false,
        };
        let profile = Profile { id, account: back.id, kind, created_at: now, last_used_at: None };
        profiles::insert_profile(tx, back.organization, &profile).await?;
        Ok((true, false))
    }

    /// Makes the local profile of an account anew, without a password; `false` when it has been given one since.
    async fn restore_local(&self, tx: &mut Tx, account: &Account) -> Result<bool, UndoError> {
        let now = self.clock.now();
        let held = profiles::list_profiles(tx, account.id).await?;
        if held.iter().any(|held| held.kind == ProfileKind::Local) {
            return Ok(false);
        }
        let profile = Profile {
            id: ProfileId::new(now, &*self.random),
            account: account.id,
            kind: ProfileKind::Local,
            created_at: now,
            last_used_at: None,
        };
        profiles::insert_profile(tx, account.organization, &profile).await?;
        Ok(true)
    }
}
