//! The end of an attempt: everything that it stands on is read again in one transaction, and both sides become one
//! account, or nothing changes and the proofs are burned.

use super::super::Broker;
use super::super::complete::{Further, Known, Proven, Way};
use super::super::error::FlowError;
use super::super::evidence::Event;
use super::super::sso::registration;
use super::super::visit::{Answer, CookieChange, Visit};
use super::confirm::accounts_of;
use crate::model::{
    Account, AccountId, Identity, LINK_LIFETIME, LinkAttempt, NamedSide, Organization, Proof, Secret, Side,
    Target,
};
use crate::policy::link::{LinkRefusal, Newcomer, Offer, begin_until};
use crate::store::links::{abandon_attempt, consume_attempt, has_ended_with_account};
use crate::store::{StoreError, Tx, accounts, connections, passwords, profiles, sessions};

/// What a link came to.
pub(super) struct Joined {
    /// The account that both sides are now.
    pub account: AccountId,
    /// By what the person is signed in to it.
    pub proof: Proof,
    /// The provider's ID token of a first side that was an identity.
    pub id_token: Option<Secret>,
}

/// Why an attempt did not come to an end.
pub(super) enum FinishError {
    /// It may not be; the proofs are burned.
    Refused(LinkRefusal),
    /// What it stands on is there no more: the public code, and the reason. The proofs are burned too.
    Gone(&'static str, &'static str),
    /// Another answer of the same person was first, and goes on.
    Overtaken,
    /// Something that is needed is down, or refused already.
    Flow(FlowError),
}

/// A profile that was proved was unlinked or merged since.
const PROFILE_GONE: FinishError = FinishError::Gone("link_profile_gone", "profile_gone");

impl From<FlowError> for FinishError {
    fn from(error: FlowError) -> Self {
        Self::Flow(error)
    }
}

impl From<StoreError> for FinishError {
    fn from(error: StoreError) -> Self {
        match error {
            // Something else was first: with this identity, or with the last free place.
            StoreError::Conflict => Self::Gone("link_taken", "link_taken"),
            error => Self::Flow(error.into()),
        }
    }
}

impl Broker {
    /// Links both sides of an attempt.
    pub(super) async fn finish_link(
        &self,
        visit: &Visit,
        attempt: LinkAttempt,
        keep: Option<AccountId>,
        local_of: Option<AccountId>,
    ) -> Result<Answer, FlowError> {
        let event = Self::link_event("link", &attempt);
        let Some(far) = attempt.state.far.clone() else {
            return Err(self.refuse(visit, event, "flow_expired", "link_not_proved").await);
        };
        if let Err(error) = self.check_ground(visit, &attempt, &far).await {
            return Err(self.link_failed(visit, &attempt, event, error).await);
        }
        let Some(sides) = self.name_sides(&attempt.state, &far).await? else {
            return Err(self.link_failed(visit, &attempt, event, PROFILE_GONE).await);
        };
        let (mut tx, known) = self.begin_completion(&attempt.state.target).await?;
        let linked = self.link_sides(&mut tx, &attempt, &far, (keep, local_of), &sides).await;
        let joined = match linked {
            Ok(joined) => joined,
            Err(error) => {
                drop(tx);
                return Err(self.link_failed(visit, &attempt, event, error).await);
            }
        };
        let clear = CookieChange::ClearFlow(attempt.id);
        match self.go_on_linked(tx, visit, &attempt, known, joined).await {
            Ok(answer) => Ok(answer.with(clear)),
            Err(FlowError::Unavailable(detail)) => Err(FlowError::Unavailable(detail)),
            Err(refused) => {
                // Nothing was linked, since the person may not go on; the record says why.
                let mut tx = self.database.write().await?;
                abandon_attempt(&mut tx, attempt.id, self.clock.now()).await?;
                tx.commit().await?;
                Err(refused)
            }
        }
    }

    /// Whether those who vouched still do, and the browser is signed in as it was.
    async fn check_ground(
        &self,
        visit: &Visit,
        attempt: &LinkAttempt,
        far: &Side,
    ) -> Result<(), FinishError> {
        for side in [&attempt.state.near, far] {
            if let Side::Identity(identity) = side {
                self.vouching_connection(identity).await?;
            }
        }
        // What a session needs to be noted as used, it is before: two transactions that write would wait for each other.
        if let Some(session) = attempt.state.session {
            let current = self.current_session(visit).await?;
            if current.is_none_or(|current| current.session.id != session) {
                return Err(FinishError::Gone("session_ended", "session_ended"));
            }
        }
        Ok(())
    }

    /// Says why an attempt came to nothing, and burns it unless it goes on elsewhere.
    pub(super) async fn link_failed(
        &self,
        visit: &Visit,
        attempt: &LinkAttempt,
        event: Event,
        error: FinishError,
    ) -> FlowError {
        match error {
            FinishError::Refused(refusal) => self.burn(attempt, event, refusal).await,
            FinishError::Gone(code, reason) => self.burn_for(attempt, event, code, reason).await,
            FinishError::Overtaken => match self.has_ended_with_account(attempt).await {
                Ok(true) => self.refuse(visit, event, "session_ended", "account_ended").await,
                Ok(false) => self.refuse(visit, event, "flow_finished", "link_overtaken").await,
                Err(error) => error.into(),
            },
            FinishError::Flow(error) => error,
        }
    }

    async fn has_ended_with_account(&self, attempt: &LinkAttempt) -> Result<bool, StoreError> {
        // Not by a reader: what ended it may share a commit with what found it ended.
        has_ended_with_account(&mut self.database.write().await?, attempt.id).await
    }

    /// Joins or merges both sides, in the transaction that uses the attempt up.
    async fn link_sides(
        &self,
        tx: &mut Tx,
        attempt: &LinkAttempt,
        far: &Side,
        (keep, local_of): (Option<AccountId>, Option<AccountId>),
        sides: &[NamedSide; 2],
    ) -> Result<Joined, FinishError> {
        let state = &attempt.state;
        // Order matters, here and in what follows: accounts in one order, attempts to link, passwords, profiles, sessions,
        // grants, names. So does whoever signs in, merges, unlinks, undoes or disables: they wait for each other, and never
        // both.
        for account in accounts_of(&state.near, far) {
            accounts::hold_account(tx, account).await?;
        }
        if !consume_attempt(tx, attempt.id, attempt.revision, self.clock.now()).await? {
            return Err(FinishError::Overtaken);
        }
        let organization = self.organization_of(tx, attempt.organization).await?;
        if !organization.policy.linking {
            return Err(FinishError::Refused(LinkRefusal::Off));
        }
        match (&state.near, far) {
            (Side::Identity(identity), Side::Profile { account, proof }) => {
                self.check_profile(tx, &organization, *account, proof).await?;
                check_connection(tx, identity).await?;
                let identity = self.still_proven(tx, (**identity).clone(), organization.id).await?;
                let proof = self.join(tx, &organization, &identity, *account, (attempt, sides)).await?;
                Ok(Joined { account: *account, proof, id_token: identity.id_token })
            }
            (Side::Profile { account, proof }, Side::Identity(identity)) => {
                self.check_profile(tx, &organization, *account, proof).await?;
                check_connection(tx, identity).await?;
                let identity = self.still_proven(tx, (**identity).clone(), organization.id).await?;
                self.join(tx, &organization, &identity, *account, (attempt, sides)).await?;
                Ok(Joined { account: *account, proof: proof.clone(), id_token: None })
            }
            (Side::Profile { account: near, proof }, Side::Profile { account: other, proof: second }) => {
                self.check_profile(tx, &organization, *near, proof).await?;
                self.check_profile(tx, &organization, *other, second).await?;
                let kept = keep.unwrap_or(*near);
                let gone = match kept {
                    kept if kept == *near => *other,
                    kept if kept == *other => *near,
                    _ => return Err(FinishError::Refused(LinkRefusal::WrongProfile)),
                };
                let local_of = local_of.unwrap_or(kept);
                self.merge(tx, &organization, (kept, gone), local_of, (attempt, sides)).await?;
                let survives = profiles::find_profile(tx, proof.profile).await?.is_some();
                let proof = if survives { proof } else { second };
                Ok(Joined { account: kept, proof: proof.clone(), id_token: None })
            }
            (Side::Identity(_), Side::Identity(_)) => Err(FinishError::Refused(LinkRefusal::NoAccount)),
        }
    }

    /// Whether the session of the first side, where it is signed in, lives: it is held for the rest of the transaction.
    pub(super) async fn hold_near(&self, tx: &mut Tx, attempt: &LinkAttempt) -> Result<(), FinishError> {
        match attempt.state.session {
            Some(session) if !sessions::hold_session(tx, session).await? => {
                Err(FinishError::Gone("session_ended", "session_ended"))
            }
            _ => Ok(()),
        }
    }

    /// Whether what a profile proved still proves it: the profile is there, can sign in, and its password is the one
    /// that was entered.
    async fn check_profile(
        &self,
        tx: &mut Tx,
        organization: &Organization,
        account: AccountId,
        proof: &Proof,
    ) -> Result<(), FinishError> {
        let found = accounts::find_account(tx, account).await?;
        if found.as_ref().is_none_or(|found| found.organization != Some(organization.id)) {
            return Err(FinishError::Refused(LinkRefusal::WrongProfile));
        }
        let holder = self.holder(tx, organization, account).await?;
        let Some(held) = holder.profiles.iter().find(|held| held.id == proof.profile) else {
            return Err(PROFILE_GONE);
        };
        if !holder.enabled || !organization.enabled {
            return Err(FinishError::Refused(LinkRefusal::Disabled));
        }
        if !held.usable {
            return Err(FinishError::Gone("connection_disabled", "connection_disabled"));
        }
        if held.issuer.is_none() {
            let stored = passwords::find_password(tx, account).await?;
            if stored.is_none_or(|stored| stored.changed_at > proof.authenticated_at) {
                return Err(FinishError::Gone("session_ended", "password_changed"));
            }
        }
        Ok(())
    }

    /// Leads on whoever is one account now: to the next offer, consent, the app, or their own page.
    async fn go_on_linked(
        &self,
        mut tx: Tx,
        visit: &Visit,
        attempt: &LinkAttempt,
        mut known: Known,
        joined: Joined,
    ) -> Result<Answer, FlowError> {
        let Joined { account, proof, id_token } = joined;
        let Some(account) = accounts::find_account(&mut tx, account).await? else {
            return Err(FlowError::Unavailable("a linked account is gone".to_owned()));
        };
        known.offer = self.further_offer(&mut tx, attempt, &account).await?;
        let proven = Proven { account, proof, upstream_id_token: id_token };
        let flow = attempt.flow();
        if attempt.state.session.is_none() {
            return self.complete_sign_in(tx, visit, &flow, proven, known).await;
        }
        let ground = self.ground(&mut tx, &proven.account, &proven.proof, &flow.target, known).await?;
        if !ground.goes_on() {
            drop(tx);
            let event = Self::link_event("link", attempt);
            return Err(self.refuse_step(visit, event, ground.step, &flow.target).await);
        }
        let way = Way { flow: flow.id, target: &flow.target };
        self.admit(tx, visit, way, proven, &ground).await
    }

    /// The further account that is offered, while an app is waiting, there is one, and time is left to prove it.
    async fn further_offer(
        &self,
        tx: &mut Tx,
        attempt: &LinkAttempt,
        account: &Account,
    ) -> Result<Option<Further>, FlowError> {
        let until = attempt.expires_at;
        let waits = matches!(attempt.state.target, Target::App(_) | Target::Home(_));
        if !waits || begin_until(until.before(LINK_LIFETIME), self.clock.now()).is_none() {
            return Ok(None);
        }
        let organization = self.organization_of(tx, attempt.organization).await?;
        let holder = self.holder(tx, &organization, account.id).await?;
        let email = attempt.state.email.as_ref();
        let offered = self.offer_to(tx, &organization, email, Newcomer::Account(&holder)).await?;
        Ok(match offered {
            Offer::Named(_) => email.cloned().map(|email| Further { email, until }),
            Offer::Nothing | Offer::Unnamed => None,
        })
    }
}

/// Whether the connection that has vouched for an identity is still enabled, and the one that it was: as the database has
/// it in this transaction, whatever this node remembers.
async fn check_connection(tx: &mut Tx, identity: &Identity) -> Result<(), FinishError> {
    let found = connections::find_connection(tx, identity.connection).await?;
    let Some(record) = found.filter(|record| record.connection.enabled) else {
        return Err(FinishError::Gone("connection_disabled", "connection_disabled"));
    };
    if registration(&record.connection) != identity.registration {
        return Err(FinishError::Gone("idp_answer_invalid", "connection_changed"));
    }
    Ok(())
}
