//! Who comes back from an identity provider: a person who is known here, one who is expected or moves in from another
//! provider, one who may link an account, or a new one.

use serde_json::{Map, Value};

use super::super::Broker;
use super::super::complete::{Known, Proven};
use super::super::directory::ConnectionEntry;
use super::super::error::FlowError;
use super::super::evidence::Event;
use super::super::visit::{Answer, Visit};
use super::provision::NewPersonError;
use crate::model::{
    Account, Email, Flow, Identity, Profile, ProfileId, Side, Target, UpstreamLeg, UpstreamLogout,
};
use crate::policy::logout::keeps_hint;
use crate::store::{Tx, profiles};
use crate::upstream::VerifiedIdentity;

/// Whose an identity is.
enum Whose {
    /// This account's, by this profile.
    Account(Box<Account>, ProfileId),
    /// Nobody's yet: the person is asked whether an account that they have is to be linked.
    Asked,
}

/// An identity as it came: through which connection, and with which claims of the ID token.
#[derive(Clone, Copy)]
struct Found<'a> {
    entry: &'a ConnectionEntry,
    identity: &'a Identity,
    claims: &'a Map<String, Value>,
}

impl Broker {
    /// Signs in the account that an identity belongs to; where there is none, offers to link one, or makes one if the
    /// connection allows.
    pub(super) async fn sign_in_as(
        &self,
        visit: &Visit,
        flow: &Flow,
        leg: &UpstreamLeg,
        entry: &ConnectionEntry,
        mut verified: VerifiedIdentity,
        event: Event,
    ) -> Result<Answer, FlowError> {
        let (mut tx, known) = self.begin_completion(&flow.target).await?;
        let email = self.trusted_email(&mut tx, entry.organization.id, &verified).await?;
        let claims = std::mem::take(&mut verified.claims);
        let identity = vouched(leg, entry.connection.settings.upstream_logout, verified, email);
        let (connection, issuer, subject) = (entry.connection.id, &identity.issuer, &identity.subject);
        let profile = profiles::find_external_profile(&mut tx, connection, issuer, subject).await?;
        if let Target::Link(attempt, revision) = flow.target {
            let side = profile.map_or_else(
                || Side::Identity(Box::new(identity.clone())),
                |profile| Side::Profile { account: profile.account, proof: identity.proof(profile.id) },
            );
            let proved = (side, Some(entry.organization.id));
            return self.prove_second_side(tx, visit, flow, (attempt, revision), proved, event).await;
        }
        if let Target::Near(attempt, revision) = flow.target {
            let proved = (identity, profile);
            let again = self.prove_near_side(tx, visit, flow, (attempt, revision), proved, event);
            return Box::pin(again).await;
        }
        let found = Found { entry, identity: &identity, claims: &claims };
        let (account, profile) = match self.whose(&mut tx, flow, found, profile, &known).await {
            Ok(Whose::Account(account, profile)) => (*account, profile),
            Ok(Whose::Asked) => return self.offer_link(tx, visit, flow, identity, event).await,
            Err(error) => return Err(self.refuse_new_person(tx, visit, event, error).await),
        };
        let proof = identity.proof(profile);
        let proven = Proven { account, proof, upstream_id_token: identity.id_token };
        self.complete_sign_in(tx, visit, flow, proven, known).await
    }

    /// Whose an identity is. Order matters: what is a profile already is asked first, and only an identity that nobody
    /// claims may be linked, or becomes an account of its own.
    async fn whose(
        &self,
        tx: &mut Tx,
        flow: &Flow,
        found: Found<'_>,
        profile: Option<Profile>,
        known: &Known,
    ) -> Result<Whose, NewPersonError> {
        let Found { entry, identity, claims } = found;
        let profile = match profile {
            Some(profile) => Some(profile),
            None => self.replace_predecessor(tx, entry, identity, claims).await?,
        };
        let (account, profile) = if let Some(profile) = profile {
            (self.known_person(tx, &profile, identity).await?, profile.id)
        } else if let Some(expected) = self.claim_expected(tx, entry, identity, claims).await? {
            expected
        } else if self.offers_link(tx, flow, entry, identity, known).await? {
            return Ok(Whose::Asked);
        } else {
            self.new_person(tx, entry, identity).await?
        };
        self.keep_claims(tx, entry, profile, claims).await?;
        Ok(Whose::Account(Box::new(account), profile))
    }
}

/// What a provider has vouched for, with the email as far as the organization's word goes.
fn vouched(
    leg: &UpstreamLeg,
    wish: UpstreamLogout,
    verified: VerifiedIdentity,
    email: Option<(Email, bool)>,
) -> Identity {
    let (email, email_verified) = email.map_or((None, false), |(email, proven)| (Some(email), proven));
    let signed_in = if leg.forced { verified.issued_at } else { leg.sent_at };
    Identity {
        connection: leg.connection,
        registration: leg.registration,
        issuer: verified.issuer,
        subject: verified.subject,
        email,
        email_verified,
        contact: verified.contact,
        authenticated_at: verified.auth_time.unwrap_or(signed_in),
        witnessed: leg.forced || verified.auth_time.is_some(),
        amr: if verified.amr.is_empty() { vec!["fed".to_owned()] } else { verified.amr },
        acr: verified.mapped_acr,
        upstream_sid: verified.upstream_sid,
        id_token: keeps_hint(wish, verified.has_end_session).then_some(verified.id_token.0),
    }
}
