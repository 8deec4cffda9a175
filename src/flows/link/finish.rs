//! The end of a link. One transaction reads again everything that the link depends on. Either both sides become one
//! account, or nothing changes and the proofs are burned.

use crate::flows::evidence::Event;
use crate::flows::interaction::{Answered, Claim, Known, sign_in_event_of};
use crate::flows::link::sides::accounts_of;
use crate::flows::link::{LinkAttempt, Links, burned};
use crate::flows::profile::{registration, vouching};
use crate::flows::refusal::{FlowError, PublicCode, Reason, Refusal, refused};
use crate::flows::visit::Visit;
use crate::model::{
    AccountId, Identity, InteractionEnd, Linking, NamedSide, Organization, OrganizationId, Proof, Secret,
    SessionStage, Subject, Wanted,
};
use crate::policy::account::link::LinkRefusal;
use crate::store::account::{accounts, passwords, profiles};
use crate::store::interaction::interactions::{End, find_end};
use crate::store::organization::connections;
use crate::store::session::sessions;
use crate::store::{StoreError, Tx};

/// The result of a link.
struct Joined {
    /// The account that both sides have become.
    pub account: AccountId,
    /// The proof by which the user is signed in to it.
    pub proof: Proof,
    /// The provider's ID token of an arriving side that was an identity.
    pub id_token: Option<Secret>,
}

/// Why a link failed.
pub(in crate::flows) enum FinishError {
    /// The link is not allowed; the proofs are burned.
    Refused(LinkRefusal),
    /// Something that the link depends on is gone: the public code, and the reason. The proofs are burned too.
    Gone(PublicCode, Reason),
    /// Another answer of the same user was first, and goes on; or everything of an account has ended.
    Overtaken(PublicCode, Reason),
    /// Something that is needed is down, or has refused already.
    Flow(FlowError),
}

/// A proved profile was unlinked or merged since.
const PROFILE_GONE: FinishError = FinishError::Gone(PublicCode::LinkProfileGone, Reason::ProfileGone);

impl From<FlowError> for FinishError {
    fn from(error: FlowError) -> Self {
        Self::Flow(error)
    }
}

impl From<StoreError> for FinishError {
    fn from(error: StoreError) -> Self {
        match error {
            // Another transaction was first to take this identity, or the last free place.
            StoreError::Conflict => Self::Gone(PublicCode::LinkTaken, Reason::LinkTaken),
            error => Self::Flow(error.into()),
        }
    }
}

/// The user's choices for a merge: which account stays, and whose username and password.
#[derive(Clone, Copy)]
pub(super) struct Kept {
    pub account: Option<AccountId>,
    pub local_of: Option<AccountId>,
}

impl Links {
    /// Links both sides.
    pub(super) async fn finish_link(
        &self,
        visit: &Visit,
        attempt: LinkAttempt,
        kept: Kept,
    ) -> Result<Answered, FlowError> {
        let event = Self::link_event("link", &attempt);
        let Some(chosen) = attempt.link.chosen.clone() else {
            return Err(refused(event, PublicCode::FlowExpired, Reason::LinkNotProved));
        };
        // This check may write that the session was used. Inside the transaction, the writes would wait for each other.
        if !self.is_of_session(visit, &attempt).await? {
            return Err(burned(&attempt, event, PublicCode::SessionEnded, Reason::SessionEnded).into());
        }
        if let Err((code, reason)) = self.check_vouching(&attempt, &chosen).await? {
            return Err(burned(&attempt, event, code, reason).into());
        }
        let Some(sides) = self.name_sides(&attempt, &chosen).await? else {
            return Err(self.link_failed(&attempt, event, PROFILE_GONE).await);
        };
        let (mut tx, known) = self.interactions.open_for(&attempt.interaction).await?;
        match self.link_sides(&mut tx, &attempt, &chosen, kept, &sides).await {
            Ok((joined, claim)) => self.go_on_linked((tx, known), (attempt, claim), joined, event).await,
            Err(error) => {
                drop(tx);
                Err(self.link_failed(&attempt, event, error).await)
            }
        }
    }

    /// Whether the connections that vouched for the identities still do.
    async fn check_vouching(
        &self,
        attempt: &LinkAttempt,
        chosen: &Subject,
    ) -> Result<Result<(), (PublicCode, Reason)>, FlowError> {
        for side in [&attempt.interaction.subject, chosen] {
            if let Subject::Identity(identity) = side {
                let entry = self.core.directory.connection(identity.connection).await?;
                if let Err(refusal) = vouching(entry.as_deref(), identity) {
                    return Ok(Err(refusal));
                }
            }
        }
        Ok(Ok(()))
    }

    /// Says why a link failed, and burns the proofs unless another answer goes on with them.
    async fn link_failed(&self, attempt: &LinkAttempt, event: Event, error: FinishError) -> FlowError {
        match error {
            FinishError::Refused(refusal) => self.burn(attempt, event, refusal).await,
            FinishError::Gone(code, reason) => burned(attempt, event, code, reason).into(),
            FinishError::Overtaken(code, reason) => Refusal::new(event, code, reason).into(),
            FinishError::Flow(error) => error,
        }
    }

    /// Joins or merges both sides, in the transaction that claims the interaction.
    async fn link_sides(
        &self,
        tx: &mut Tx,
        attempt: &LinkAttempt,
        chosen: &Subject,
        kept: Kept,
        sides: &[NamedSide; 2],
    ) -> Result<(Joined, Claim), FinishError> {
        let arriving = &attempt.interaction.subject;
        // Order matters, here and in what follows: accounts in one order, interactions, passwords, profiles, sessions,
        // grants, names. Every sign-in, merge, unlinking, undoing and disabling locks in this order, so that no two of
        // them deadlock.
        for account in accounts_of(arriving, chosen) {
            accounts::lock_account(tx, account).await?;
        }
        let claim = self.claim_link(tx, attempt).await?;
        let organization = self.profiles.organization_of(tx, attempt.link.organization).await?;
        if !organization.policy.linking {
            return Err(FinishError::Refused(LinkRefusal::Off));
        }
        let joined = match (arriving, chosen) {
            (Subject::Identity(identity), Subject::Account { account, proof }) => {
                self.check_profile(tx, &organization, *account, proof).await?;
                check_connection(tx, organization.id, identity).await?;
                let identity = self.profiles.still_proven(tx, (**identity).clone(), organization.id).await?;
                let proof = self.join(tx, &organization, &identity, *account, (attempt, sides)).await?;
                Joined { account: *account, proof, id_token: identity.id_token }
            }
            (Subject::Account { account, proof }, Subject::Identity(identity)) => {
                self.check_profile(tx, &organization, *account, proof).await?;
                check_connection(tx, organization.id, identity).await?;
                let identity = self.profiles.still_proven(tx, (**identity).clone(), organization.id).await?;
                self.join(tx, &organization, &identity, *account, (attempt, sides)).await?;
                Joined { account: *account, proof: proof.clone(), id_token: None }
            }
            (
                Subject::Account { account: one, proof },
                Subject::Account { account: other, proof: second },
            ) => {
                self.check_profile(tx, &organization, *one, proof).await?;
                self.check_profile(tx, &organization, *other, second).await?;
                let stays = kept.account.unwrap_or(*one);
                let gone = match stays {
                    stays if stays == *one => *other,
                    stays if stays == *other => *one,
                    _ => return Err(FinishError::Refused(LinkRefusal::WrongProfile)),
                };
                let local_of = kept.local_of.unwrap_or(stays);
                self.merge(tx, &organization, (stays, gone), local_of, (attempt, sides)).await?;
                let survives = profiles::find_profile(tx, proof.profile).await?.is_some();
                let proof = if survives { proof } else { second };
                Joined { account: stays, proof: proof.clone(), id_token: None }
            }
            (Subject::Identity(_), Subject::Identity(_)) => {
                return Err(FinishError::Refused(LinkRefusal::NoAccount));
            }
        };
        Ok((joined, claim))
    }

    async fn claim_link(&self, tx: &mut Tx, attempt: &LinkAttempt) -> Result<Claim, FinishError> {
        if let Some(claim) = self.interactions.claim(tx, attempt.id(), attempt.revision).await? {
            return Ok(claim);
        }
        Err(match find_end(tx, attempt.id()).await? {
            Some(End::Noted(InteractionEnd::Account)) => {
                FinishError::Overtaken(PublicCode::SessionEnded, Reason::AccountEnded)
            }
            Some(End::Noted(_) | End::Over) | None => {
                FinishError::Overtaken(PublicCode::FlowFinished, Reason::LinkOvertaken)
            }
        })
    }

    /// Locks the session of the arriving side, if it has one, for the rest of the transaction. Fails when the session
    /// has ended.
    pub(super) async fn lock_arriving(&self, tx: &mut Tx, attempt: &LinkAttempt) -> Result<(), FinishError> {
        match attempt.interaction.session.id() {
            Some(session) if !sessions::lock_session(tx, session, self.core.clock.now()).await? => {
                Err(FinishError::Gone(PublicCode::SessionEnded, Reason::SessionEnded))
            }
            _ => Ok(()),
        }
    }

    /// Whether a profile's proof still holds: the profile exists, can sign in, and its password was not changed since
    /// the user entered it.
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
        let holder = self.profiles.holder(tx, organization, account).await?;
        let Some(held) = holder.profiles.iter().find(|held| held.id == proof.profile) else {
            return Err(PROFILE_GONE);
        };
        if !holder.enabled || !organization.enabled {
            return Err(FinishError::Refused(LinkRefusal::Disabled));
        }
        if !held.usable {
            return Err(FinishError::Gone(PublicCode::ConnectionDisabled, Reason::ConnectionDisabled));
        }
        if held.issuer.is_none() {
            let stored = passwords::find_password(tx, account).await?;
            if stored.is_none_or(|stored| stored.changed_at > proof.authenticated_at) {
                return Err(FinishError::Gone(PublicCode::SessionEnded, Reason::PasswordChanged));
            }
        }
        Ok(())
    }

    /// Goes on with the account that both sides have become: to the next offer, consent, the app, or the own page.
    async fn go_on_linked(
        &self,
        (mut tx, known): (Tx, Known),
        (attempt, claim): (LinkAttempt, Claim),
        joined: Joined,
        event: Event,
    ) -> Result<Answered, FlowError> {
        let Joined { account, proof, id_token } = joined;
        let Some(account) = accounts::find_account(&mut tx, account).await? else {
            return Err(FlowError::Unavailable("a linked account is gone".to_owned()));
        };
        let link = Linking { wanted: Wanted::Nothing, chosen: None, ..attempt.link.clone() };
        let mut interaction = attempt.with(Some(link));
        interaction.subject = Subject::Account { account: account.id, proof };
        interaction.upstream_id_token = id_token;
        interaction.confirmed_at = None;
        let event = match interaction.session.id() {
            Some(session) => {
                interaction.session = SessionStage::Outdated(session);
                event
            }
            None => sign_in_event_of(&interaction, &account),
        };
        let answered = Answered::new((tx, known), interaction, event);
        Ok(Answered { claim: Some(claim), account: Some(account), burns: true, ..answered })
    }
}

/// Whether the connection that vouched for an identity is still enabled, with the same registration. Reads the database
/// in this transaction, not this node's cache.
async fn check_connection(
    tx: &mut Tx,
    organization: OrganizationId,
    identity: &Identity,
) -> Result<(), FinishError> {
    let found = connections::find_connection(tx, organization, identity.connection).await?;
    let Some(record) = found.filter(|record| record.connection.enabled) else {
        return Err(FinishError::Gone(PublicCode::ConnectionDisabled, Reason::ConnectionDisabled));
    };
    if registration(&record.connection) != identity.registration {
        return Err(FinishError::Gone(PublicCode::IdpAnswerInvalid, Reason::ConnectionChanged));
    }
    Ok(())
}
