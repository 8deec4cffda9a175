//! The user's own page: the profiles of their account, the ledger of their changes, and the way to add a profile. A
//! sensitive action needs a fresh proof from the user.

use crate::flows::account::OwnAccount;
use crate::flows::directory::{BrandView, ConnectionView};
use crate::flows::evidence::Event;
use crate::flows::interaction::{Answered, Handled};
use crate::flows::profile::holder::holders;
use crate::flows::refusal::{FlowError, PublicCode, Reason, refused};
use crate::flows::session::{CurrentSession, own_event};
use crate::flows::sign_in::reauthentication::Sensitive;
use crate::flows::visit::Visit;
use crate::model::{
    ConnectionId, FlowId, Interaction, LedgerId, LedgerKind, Linking, NamedSide, ProfileId, ProfileKind,
    Purpose, SensitiveAction, SessionStage, Subject, Timestamp, Wanted,
};
use crate::policy::account::link::undo_until;
use crate::store::account::profiles::{self, HeldProfile};
use crate::store::link::ledger;

/// One profile of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileView {
    /// The profile.
    pub profile: ProfileId,
    /// Its connection's name; `None` is username and password.
    pub provider: Option<String>,
    /// The identity provider (the token's `iss`).
    pub issuer: Option<String>,
    /// The email that the identity provider asserts, or the username.
    pub label: Option<String>,
    /// When it was linked.
    pub since: Timestamp,
    /// When it last signed the user in.
    pub last_used: Option<Timestamp>,
    /// Whether the user signed in to this session by it.
    pub current: bool,
    /// Whether the user may unlink it: another one stays.
    pub may_unlink: bool,
}

/// One entry of the ledger, for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerView {
    /// The entry.
    pub id: LedgerId,
    /// The time of the change.
    pub at: Timestamp,
    /// The kind of change.
    pub kind: LedgerKind,
    /// Whether it changed this account, and not one that was merged into it.
    pub own: bool,
    /// The entry that it undoes.
    pub undoes: Option<LedgerId>,
    /// The names of the profiles that came or went: connection, then email or username. A link's new identity is first.
    pub what: Vec<String>,
    /// The end of the time in which the user can undo it; `None` when they cannot.
    pub undo_until: Option<Timestamp>,
}

/// The contents of the page that adds another way to sign in.
#[derive(Debug, Clone)]
pub struct AddProfileView {
    /// The anti-forgery token of its form.
    pub form_token: String,
    /// The organization of the account, if it has one.
    pub brand: Option<BrandView>,
    /// The organization's connections, without those of identity providers that the account has already.
    pub connections: Vec<ConnectionView>,
}

/// How the user proves the second side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddWay {
    /// At the identity provider of this connection.
    Connection(ConnectionId),
    /// By the username and password of another account.
    Password,
}

impl OwnAccount {
    /// The profiles of the account, oldest first.
    pub(super) async fn own_profiles(&self, current: &CurrentSession) -> Result<Vec<ProfileView>, FlowError> {
        let account = &current.account;
        let held = profiles::list_held_profiles(&mut self.core.database.read().await?, account.id).await?;
        let organization = current.organization.as_ref();
        let holder = organization.and_then(|organization| holders(organization, held.clone()).pop());
        let mut views = Vec::with_capacity(held.len());
        for HeldProfile { profile, .. } in held {
            let provider = self.core.directory.connection_name(profile.kind.connection()).await?;
            let label = match &profile.kind {
                ProfileKind::Local => account.username.as_ref().map(ToString::to_string),
                ProfileKind::External { email, .. } => email.as_ref().map(ToString::to_string),
            };
            views.push(ProfileView {
                profile: profile.id,
                provider,
                issuer: profile.kind.issuer().map(str::to_owned),
                label,
                since: profile.created_at,
                last_used: profile.last_used_at,
                current: profile.id == current.session.proof.profile,
                may_unlink: holder.as_ref().is_some_and(|holder| holder.is_reachable_without(profile.id))
                    && !(profile.kind == ProfileKind::Local && account.break_glass),
            });
        }
        Ok(views)
    }

    /// The changes of the account's links, newest first.
    pub(super) async fn own_ledger(&self, current: &CurrentSession) -> Result<Vec<LedgerView>, FlowError> {
        let now = self.core.clock.now();
        let mut tx = self.core.database.read().await?;
        let entries = ledger::list_entries(&mut tx, current.account.id).await?;
        let undone: Vec<LedgerId> = entries.iter().filter_map(|entry| entry.undoes).collect();
        let mut views = Vec::with_capacity(entries.len());
        for entry in entries {
            let mut sides = self.profiles.open_sides(&mut tx, &entry).await?;
            // A side that had no account before comes first.
            sides.sort_by_key(|side| side.account.is_some());
            let what = sides.iter().map(NamedSide::label);
            let until = undo_until(&entry, undone.contains(&entry.id), now);
            views.push(LedgerView {
                id: entry.id,
                at: entry.at,
                kind: entry.kind,
                own: entry.account == current.account.id,
                undoes: entry.undoes,
                what: what.collect(),
                undo_until: until.filter(|_| entry.account == current.account.id),
            });
        }
        Ok(views)
    }

    /// The contents of the page that adds another way to sign in, or the answer that makes the user prove again who
    /// they are.
    pub async fn view_add_profile(&self, visit: &Visit) -> Result<Sensitive<AddProfileView>, FlowError> {
        let current = match self.sign_in.require_fresh(visit, SensitiveAction::AddProfile, "link").await? {
            Sensitive::Show(current) => current,
            Sensitive::Prove(answer) => return Ok(Sensitive::Prove(answer)),
        };
        let Some(organization) = current.organization.as_ref().filter(|own| own.policy.linking) else {
            let event = own_event("link", &current);
            return Err(refused(event, PublicCode::LinkOff, Reason::LinkOff));
        };
        let has = profiles::list_profiles(&mut self.core.database.read().await?, current.account.id).await?;
        let has: Vec<&str> = has.iter().filter_map(|profile| profile.kind.issuer()).collect();
        let open = self.links.connections_but(organization.id, &has).await?;
        Ok(Sensitive::Show(AddProfileView {
            form_token: self.interactions.form_token(&current.session.id.to_string()),
            brand: self.core.directory.brand_of(current.organization.as_ref()).await?,
            connections: self.core.directory.connection_views(&open).await?,
        }))
    }

    /// Begins to add another way to sign in, or another account. The user proves it in the way that they chose.
    pub async fn begin_add_profile(&self, visit: &Visit, way: AddWay) -> Result<Handled, FlowError> {
        let current = match self.sign_in.require_fresh(visit, SensitiveAction::AddProfile, "link").await? {
            Sensitive::Show(current) => current,
            Sensitive::Prove(answer) => return Ok(answer.into()),
        };
        let event = own_event("link", &current);
        let organization = current.organization.as_ref().filter(|own| own.policy.linking);
        let until = self.sign_in.fresh_until(&current, SensitiveAction::AddProfile);
        let (Some(organization), Some(until)) = (organization, until) else {
            return Err(refused(event, PublicCode::LinkOff, Reason::LinkOff));
        };
        let link = Linking {
            organization: organization.id,
            until,
            email: None,
            wanted: Wanted::Any,
            arrival_settled: true,
            chosen: None,
        };
        let CurrentSession { session, account, .. } = &current;
        let subject = Subject::Account { account: account.id, proof: session.proof.clone() };
        let id = FlowId::new(self.core.clock.now(), &*self.core.random);
        let interaction = Interaction {
            session: SessionStage::Open(session.id),
            confirmed_at: session.confirmed_at,
            link: Some(link),
            ..Interaction::new(id, Purpose::AddProfile, subject)
        };
        let (mut tx, known) = self.interactions.open_for(&interaction).await?;
        let event = Event { action: "link.begin", ..event };
        self.core.record_success(&mut tx, &event).await?;
        let through = match way {
            AddWay::Connection(connection) => Some(connection),
            AddWay::Password => None,
        };
        Ok(Answered { through, ..Answered::new((tx, known), interaction, event) }.into())
    }
}
