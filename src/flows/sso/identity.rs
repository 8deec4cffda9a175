//! The identity that comes back from an identity provider: it belongs to a known user, it is expected, it replaces one
//! of another provider, or it belongs to no account yet.

use serde_json::{Map, Value};

use crate::flows::directory::ConnectionEntry;
use crate::flows::evidence::Event;
use crate::flows::interaction::{Answered, sign_in_event_of};
use crate::flows::refusal::FlowError;
use crate::flows::sso::Sso;
use crate::flows::sso::provision::NewPersonError;
use crate::flows::visit::Visit;
use crate::model::{
    Account, Aim, CheckedEmail, Flow, Identity, Interaction, LinkSide, Profile, ProfileId, Subject,
    UpstreamLogout, UpstreamRequest,
};
use crate::policy::provider::logout::keeps_hint;
use crate::store::Tx;
use crate::store::account::{accounts, profiles};
use crate::upstream::VerifiedIdentity;

/// An identity as it arrived, with its connection and the claims of its ID token.
#[derive(Clone, Copy)]
struct Arrived<'a> {
    entry: &'a ConnectionEntry,
    identity: &'a Identity,
    claims: &'a Map<String, Value>,
}

impl Sso {
    /// Takes a verified identity as the proof that its flow asks for. For an identity without an account, the
    /// dispatcher decides whether it is linked or becomes a new account.
    pub(super) async fn sign_in_as(
        &self,
        visit: &Visit,
        flow: &Flow,
        sent: &UpstreamRequest,
        entry: &ConnectionEntry,
        mut verified: VerifiedIdentity,
        event: Event,
    ) -> Result<Answered, FlowError> {
        let (mut tx, known) = self.interactions.open_for_flow(flow, Some(entry.connection.id)).await?;
        let email = self.trusted_email(&mut tx, entry.organization.id, &verified).await?;
        let claims = std::mem::take(&mut verified.claims);
        let identity = vouched(sent, entry.connection.settings.upstream_logout, verified, email);
        let (connection, issuer, subject) = (entry.connection.id, &identity.issuer, &identity.subject);
        let profile = profiles::find_external_profile(&mut tx, connection, issuer, subject).await?;
        let purpose = match &flow.aim {
            Aim::Begin(purpose) => purpose.clone(),
            Aim::Prove(trip) => {
                // Order matters: accounts before interactions. A change that ends everything of this account waits for
                // the proof.
                if let (LinkSide::Chosen, Some(profile)) = (trip.side, &profile) {
                    accounts::lock_account(&mut tx, profile.account).await?;
                }
                let opened = (tx, known);
                return match trip.side {
                    LinkSide::Arriving => {
                        let proved = (identity, profile);
                        Box::pin(self.links.prove_arriving(opened, visit, flow, *trip, proved, event)).await
                    }
                    LinkSide::Chosen => {
                        let proved = (subject_of(identity, profile), Some(entry.organization.id));
                        self.links.prove_chosen(opened, visit, flow, *trip, proved, event).await
                    }
                };
            }
        };
        let arrived = Arrived { entry, identity: &identity, claims: &claims };
        match self.whose(&mut tx, arrived, profile).await {
            Err(error) => Err(error.refuse(event)),
            Ok(Some((account, profile))) => {
                let subject = Subject::Account { account: account.id, proof: identity.proof(profile) };
                let interaction = Interaction {
                    upstream_id_token: identity.id_token,
                    ..Interaction::new(flow.id, purpose, subject)
                };
                let event = sign_in_event_of(&interaction, &account);
                Ok(Answered { account: Some(account), ..Answered::new((tx, known), interaction, event) })
            }
            Ok(None) => {
                let interaction = Interaction::new(flow.id, purpose, Subject::Identity(Box::new(identity)));
                Ok(Answered { claims: Some(claims), ..Answered::new((tx, known), interaction, event) })
            }
        }
    }

    /// The account and profile of an identity; `None` where it has none. Order matters: first the profile that it
    /// already is, then the profile that it replaces, then the account that expects it.
    async fn whose(
        &self,
        tx: &mut Tx,
        Arrived { entry, identity, claims }: Arrived<'_>,
        profile: Option<Profile>,
    ) -> Result<Option<(Account, ProfileId)>, NewPersonError> {
        let profile = match profile {
            Some(profile) => Some(profile),
            None => self.replace_predecessor(tx, entry, identity, claims).await?,
        };
        let found = match profile {
            Some(profile) => Some((self.known_person(tx, &profile, identity).await?, profile.id)),
            None => self.claim_expected(tx, entry, identity, claims).await?,
        };
        if let Some((_, profile)) = &found {
            self.keep_claims(tx, entry, *profile, claims).await?;
        }
        Ok(found)
    }
}

/// The subject that an identity proves: the account whose profile it is, else the identity itself.
fn subject_of(identity: Identity, profile: Option<Profile>) -> Subject {
    match profile {
        Some(profile) => Subject::Account { account: profile.account, proof: identity.proof(profile.id) },
        None => Subject::Identity(Box::new(identity)),
    }
}

/// The identity that a provider vouches for, with the email that the organization trusts.
fn vouched(
    sent: &UpstreamRequest,
    wish: UpstreamLogout,
    verified: VerifiedIdentity,
    email: Option<CheckedEmail>,
) -> Identity {
    let (email, email_verified) =
        email.map_or((None, false), |checked| (Some(checked.email), checked.is_proven));
    Identity {
        connection: sent.connection,
        registration: sent.registration,
        issuer: verified.issuer,
        subject: verified.subject,
        email,
        email_verified,
        contact: verified.contact,
        authenticated_at: verified.auth_time.unwrap_or(sent.sent_at),
        witnessed: verified.auth_time.is_some(),
        amr: if verified.amr.is_empty() { vec!["fed".to_owned()] } else { verified.amr },
        acr: verified.mapped_acr,
        upstream_sid: verified.upstream_sid,
        id_token: keeps_hint(wish, verified.has_end_session).then_some(verified.id_token.0),
    }
}
