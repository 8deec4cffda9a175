//! Keeping both apart, and going on: with a new account where the connection makes one, or with the one that is signed in.

use super::super::Broker;
use super::super::complete::{Known, Proven, Way};
use super::super::error::FlowError;
use super::super::evidence::Event;
use super::super::visit::{Answer, CookieChange, Visit};
use crate::model::{Identity, LinkAttempt, Proof, Side};
use crate::store::links::consume_attempt;
use crate::store::{Tx, sessions};

impl Broker {
    /// Keeps both sides of an attempt apart, and goes on.
    pub(super) async fn skip_link(&self, visit: &Visit, attempt: LinkAttempt) -> Result<Answer, FlowError> {
        let clear = CookieChange::ClearFlow(attempt.id);
        let next = match attempt.state.near.clone() {
            Side::Identity(identity) => self.skip_as_new(visit, &attempt, *identity).await?,
            Side::Profile { proof, .. } => self.skip_signed_in(visit, &attempt, &proof).await?,
        };
        Ok(next.with(clear))
    }

    /// Uses the attempt up, in a transaction that goes on.
    async fn begin_skip(
        &self,
        visit: &Visit,
        attempt: &LinkAttempt,
        event: &Event,
    ) -> Result<(Tx, Known), FlowError> {
        let (mut tx, known) = self.begin_completion(&attempt.state.target).await?;
        if !consume_attempt(&mut tx, attempt.id, attempt.revision, self.clock.now()).await? {
            drop(tx);
            return Err(self.refuse(visit, event.clone(), "flow_finished", "link_overtaken").await);
        }
        Ok((tx, known))
    }

    /// Makes a new account of the identity that came, where its connection allows.
    async fn skip_as_new(
        &self,
        visit: &Visit,
        attempt: &LinkAttempt,
        identity: Identity,
    ) -> Result<Answer, FlowError> {
        let event = Self::link_event("link.skip", attempt);
        let entry = match self.vouching_connection(&identity).await {
            Ok(entry) => entry,
            Err(error) => return Err(self.link_failed(visit, attempt, event, error).await),
        };
        let (mut tx, known) = self.begin_skip(visit, attempt, &event).await?;
        let identity = self.still_proven(&mut tx, identity, attempt.organization).await?;
        let (account, profile) = match self.new_person(&mut tx, &entry, &identity).await {
            Ok(made) => made,
            Err(error) => return Err(self.refuse_new_person(tx, visit, event, error).await),
        };
        self.record_success(&mut tx, &event).await?;
        let proof = identity.proof(profile);
        let proven = Proven { account, proof, upstream_id_token: identity.id_token };
        self.complete_sign_in(tx, visit, &attempt.flow(), proven, known).await
    }

    /// Goes on as the account that is signed in since an earlier link of this visit.
    async fn skip_signed_in(
        &self,
        visit: &Visit,
        attempt: &LinkAttempt,
        proof: &Proof,
    ) -> Result<Answer, FlowError> {
        let event = Self::link_event("link.skip", attempt);
        let current = self.current_session(visit).await?;
        let current = current.filter(|current| Some(current.session.id) == attempt.state.session);
        let (mut tx, known) = self.begin_skip(visit, attempt, &event).await?;
        let held = match &current {
            Some(current) => sessions::hold_session(&mut tx, current.session.id).await?,
            None => false,
        };
        let (Some(current), true) = (current, held) else {
            drop(tx);
            return Err(self.refuse(visit, event, "session_ended", "session_ended").await);
        };
        let target = &attempt.state.target;
        let ground = self.ground(&mut tx, &current.account, proof, target, known).await?;
        if !ground.goes_on() {
            drop(tx);
            return Err(self.refuse_step(visit, event, ground.step, target).await);
        }
        self.record_success(&mut tx, &event).await?;
        let way = Way { flow: attempt.state.origin, target };
        let next = self.go_on(&mut tx, visit, way, &current.account, &current.session, &ground).await?;
        tx.commit().await?;
        Ok(next)
    }
}
