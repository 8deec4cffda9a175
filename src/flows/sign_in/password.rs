//! Signing in by username and password.

use crate::crypto::password::{MAX_PASSWORD_BYTES, PasswordError, Place, Share};
use crate::flows::directory::Name;
use crate::flows::evidence::Event;
use crate::flows::guessing::{Counted, Guess, count_guess, too_many};
use crate::flows::interaction::sealed::finish_mark;
use crate::flows::interaction::{Answered, Handled, sign_in_event, sign_in_event_of};
use crate::flows::refusal::{FlowError, PublicCode, Reason, Refusal, Wait, refused};
use crate::flows::sign_in::SignIn;
use crate::flows::visit::{Answer, Visit};
use crate::model::{
    Account, Aim, Email, Flow, Interaction, Profile, ProfileKind, Proof, Purpose, Secret, Subject, Username,
};
use crate::policy::account::password::normalize;
use crate::policy::provider::access::may_use_password;
use crate::policy::sign_in::route::NamedBy;
use crate::store::account::passwords::{self, StoredPassword};
use crate::store::account::{accounts, profiles};
use crate::store::interaction::flows;
use crate::store::limits::guesses::{forgive_guesses, return_guess};
use crate::store::organization::organizations;

impl SignIn {
    /// Signs in by username and password. An email address whose domain is routed leads to its identity provider,
    /// whatever the password field holds.
    pub async fn sign_in_with_password(
        &self,
        visit: &Visit,
        handle: &str,
        entered: &str,
        password: Secret,
    ) -> Result<Handled, FlowError> {
        let flow = self.interactions.require_flow(visit, handle).await?;
        let entered = entered.trim();
        let flow = match self.go_to_provider_of(visit, handle, flow, entered).await? {
            Ok(answer) => return Ok(answer.into()),
            Err(flow) => flow,
        };
        // Order matters: the answer to a flow that has ended must not depend on the password.
        if !self.is_waited_for(visit, &flow).await? {
            let event = sign_in_event(&flow);
            return Err(refused(event, PublicCode::FlowExpired, Reason::LinkNotWaiting));
        }
        let place = self.enter_queue(visit, &flow, &password)?;
        let found = self.find_local_account(entered).await?;
        let counters = self.counters(visit, entered, found.as_ref());
        let counted = match count_guess(&self.core.database, &*self.core.clock, counters).await? {
            Counted::Check(counted) => counted,
            Counted::Wait(scope, wait) => {
                // A refusal needs no hashing, so it gives its place in the queue back before it is recorded.
                drop(place);
                let about = self.named(entered, found.as_ref().map(|(account, _)| account.id));
                return Err(too_many(sign_in_event(&flow), Some(about), (scope, wait)));
            }
        };
        let (account, stored) = found.map_or((None, None), |(account, stored)| (Some(account), stored));
        let stored = stored.map(|stored| stored.hash);
        let normalized = Secret::new(normalize(password.expose()));
        let verdict = match self.passwords.hasher.verify_in(place, normalized, stored.clone()).await {
            Ok(verdict) => verdict,
            Err(error) => return Err(self.hashing_failed(&flow, &counted, error).await),
        };
        let account = match account {
            Some(account) if verdict.matches => account,
            refused => {
                return Err(self.refuse_password(visit, &flow, entered, refused.as_ref()).await?.into());
            }
        };
        let Some(mut checked) = stored else {
            return Err(FlowError::Unavailable("a password without a hash has matched".to_owned()));
        };
        if verdict.needs_rehash
            && let Some(stronger) = self.strengthen(&account, &checked, password).await?
        {
            checked = stronger;
        }
        let proved = Box::pin(self.complete_local(visit, &flow, account, &counted, &checked)).await?;
        Ok(proved.into())
    }

    /// Sends the user to the identity provider to which the entered address is routed. Gives the flow back where there
    /// is none, and where the user is to prove something by a password.
    async fn go_to_provider_of(
        &self,
        visit: &Visit,
        handle: &str,
        flow: Flow,
        entered: &str,
    ) -> Result<Result<Answer, Flow>, FlowError> {
        match &flow.aim {
            Aim::Begin(Purpose::App(_) | Purpose::Account | Purpose::Home(_)) => {}
            Aim::Begin(Purpose::Reauthenticate(..) | Purpose::AddProfile) | Aim::Prove(_) => {
                return Ok(Err(flow));
            }
        }
        let Ok(email) = entered.parse::<Email>() else { return Ok(Err(flow)) };
        let name = Name::Domain(email.domain().clone());
        let routed = self.core.directory.connections_for_name(&name, NamedBy::PersonByDomain).await?;
        match routed.as_slice() {
            [] => Ok(Err(flow)),
            [only] => Ok(Ok(self.begin_upstream(visit, flow, *only, Some(email.as_str())).await?)),
            _ => Ok(Ok(self.sign_in_by_name(visit, handle, entered).await?)),
        }
    }

    /// Takes a place in the queue for hashing, before anything is read or counted. A refusal for want of a place thus
    /// costs little.
    fn enter_queue(&self, visit: &Visit, flow: &Flow, password: &Secret) -> Result<Place, FlowError> {
        if password.expose().len() > MAX_PASSWORD_BYTES {
            let event = sign_in_event(flow);
            return Err(refused(event, PublicCode::PasswordTooLong, Reason::PasswordTooLong));
        }
        self.passwords
            .hasher
            .enter(self.sessions.hashing_share(visit))
            .map_err(|error| not_hashed(flow, error))
    }

    async fn find_local_account(
        &self,
        entered: &str,
    ) -> Result<Option<(Account, Option<StoredPassword>)>, FlowError> {
        let Ok(username) = entered.parse::<Username>() else { return Ok(None) };
        let mut tx = self.core.database.read().await?;
        let Some(account) = accounts::find_account_by_username(&mut tx, &username).await? else {
            return Ok(None);
        };
        let stored = passwords::find_password(&mut tx, account.id).await?;
        Ok(Some((account, stored)))
    }

    /// Refuses a password. The answer is the same whether the username or the password was wrong; the organization's
    /// log has the reason.
    async fn refuse_password(
        &self,
        visit: &Visit,
        flow: &Flow,
        entered: &str,
        account: Option<&Account>,
    ) -> Result<Refusal, FlowError> {
        let reason = if account.is_some() { Reason::WrongPassword } else { Reason::UnknownUsername };
        let event = self.event_of_app(flow).await?;
        let organization = account.and_then(|account| account.organization).or(event.organization);
        // Another answer may have ended the flow while this password was checked. The right password would get this
        // code too.
        let code = if flows::is_spent(&mut self.core.database.read().await?, &finish_mark(flow.id)).await? {
            PublicCode::FlowFinished
        } else if self.is_waited_for(visit, flow).await? {
            PublicCode::BadCredentials
        } else {
            PublicCode::FlowExpired
        };
        let about = Some(self.named(entered, account.map(|account| account.id)));
        Ok(Refusal::new(Event { organization, about, ..event }, code, reason))
    }

    /// Takes a guess back whose password could not be checked, and says why it could not.
    async fn hashing_failed(&self, flow: &Flow, counted: &[Guess; 2], error: PasswordError) -> FlowError {
        let returned = async {
            let mut tx = self.core.database.write().await?;
            for guess in counted {
                return_guess(&mut tx, guess.scope.as_str(), &guess.subject, guess.blocked_until).await?;
            }
            tx.commit().await
        };
        if let Err(error) = returned.await {
            return error.into();
        }
        not_hashed(flow, error)
    }

    /// Hashes the same password again with stronger parameters. Gives the new hash if it replaced the old one.
    async fn strengthen(
        &self,
        account: &Account,
        old: &str,
        password: Secret,
    ) -> Result<Option<String>, FlowError> {
        let normalized = Secret::new(normalize(password.expose()));
        // A full queue must not refuse a user whose password was right. The next sign-in tries again.
        let Ok(new) = self.passwords.hasher.hash(Share::Known(account.id.to_string()), normalized).await
        else {
            return Ok(None);
        };
        let mut tx = self.core.database.write().await?;
        passwords::replace_password_hash(&mut tx, account.id, old, &new).await?;
        let kept = passwords::find_password(&mut tx, account.id).await?;
        tx.commit().await?;
        Ok(kept.map(|kept| kept.hash).filter(|kept| *kept == new))
    }

    /// Completes a sign-in whose password matched the hash `checked`.
    async fn complete_local(
        &self,
        visit: &Visit,
        flow: &Flow,
        account: Account,
        [of_account, of_network]: &[Guess; 2],
        checked: &str,
    ) -> Result<Answered, FlowError> {
        let now = self.core.clock.now();
        let (mut tx, known) = self.interactions.open_for_flow(flow, None).await?;
        let profile = local_profile(profiles::list_profiles(&mut tx, account.id).await?);
        let organization = organizations::find_organization_of(&mut tx, &account).await?;
        let allowed = may_use_password(&account, organization.as_ref());
        // A password that was changed while it was checked signs nobody in.
        let current = passwords::lock_password(&mut tx, account.id, checked).await?;
        let (Some(profile), true) = (profile, allowed && current) else {
            let reason = if current { Reason::LocalSignInOff } else { Reason::PasswordChanged };
            let event = Event {
                organization: account.organization,
                actor: Some(account.id.into()),
                ..sign_in_event(flow)
            };
            return Err(refused(event, PublicCode::BadCredentials, reason));
        };
        forgive_guesses(&mut tx, of_account.scope.as_str(), &of_account.subject).await?;
        let Guess { scope, subject, blocked_until } = of_network;
        return_guess(&mut tx, scope.as_str(), subject, *blocked_until).await?;
        profiles::touch_profile(&mut tx, profile.id, now).await?;
        let proof = Proof {
            profile: profile.id,
            connection: None,
            authenticated_at: now,
            witnessed: true,
            amr: vec!["pwd".to_owned()],
            acr: None,
            upstream_sid: None,
        };
        let organization = account.organization;
        let subject = Subject::Account { account: account.id, proof };
        match &flow.aim {
            Aim::Prove(trip) => {
                let event = sign_in_event(flow);
                let opened = (tx, known);
                Box::pin(self.links.prove_chosen(opened, visit, flow, *trip, (subject, organization), event))
                    .await
            }
            Aim::Begin(purpose) => {
                let interaction = Interaction::new(flow.id, purpose.clone(), subject);
                let event = sign_in_event_of(&interaction, &account);
                Ok(Answered { account: Some(account), ..Answered::new((tx, known), interaction, event) })
            }
        }
    }
}

/// The error for a password that could not be hashed.
fn not_hashed(flow: &Flow, error: PasswordError) -> FlowError {
    let event = sign_in_event(flow);
    match error {
        PasswordError::TooLong => refused(event, PublicCode::PasswordTooLong, Reason::PasswordTooLong),
        PasswordError::Busy { retry_after } => {
            refused(event, PublicCode::Busy(Wait(Some(retry_after))), Reason::HashingBusy)
        }
        PasswordError::Phc(_) | PasswordError::Unavailable => FlowError::Unavailable(error.to_string()),
    }
}

fn local_profile(profiles: Vec<Profile>) -> Option<Profile> {
    profiles.into_iter().find(|profile| profile.kind == ProfileKind::Local)
}
