//! Consent: the user decides what an app may know.

use crate::flows::directory::BrandView;
use crate::flows::evidence::{Event, receipt_of};
use crate::flows::interaction::to_app::is_still_registered;
use crate::flows::interaction::{Answered, Handled, Waiting, WaitingPage};
use crate::flows::provider::Authorization;
use crate::flows::refusal::{FlowError, PublicCode, Reason, Refusal, refused};
use crate::flows::visit::{Answer, CookieChange, NextPage, Visit};
use crate::model::{
    AccountId, AuthorizationRequest, Interaction, InteractionEnd, Purpose, SessionId, Subject,
};
use crate::policy::sign_in::step::Stage;
use crate::protocol::oauth::{ErrorCode, OAuthError};
use crate::store::account::accounts;
use crate::store::interaction::interactions::end_interaction;
use crate::store::organization::organizations;
use crate::store::provider::grants;
use crate::store::session::sessions;

/// The data of the consent page.
#[derive(Debug, Clone)]
pub struct ConsentView {
    /// The flow's handle.
    pub handle: String,
    /// The token that its form sends back.
    pub form_token: String,
    /// The organization that the page belongs to, if any.
    pub brand: Option<BrandView>,
    /// The app's name.
    pub app: String,
    /// The name of the organization behind the app.
    pub app_organization: String,
    /// The user's email address, else their username.
    pub person: String,
    /// The scopes that the app asks for.
    pub scopes: Vec<String>,
    /// The code under which the operator can look up the attempt.
    pub receipt: String,
    /// The page languages that the app asked for (`ui_locales`).
    pub locale: Option<String>,
}

/// The consent page.
const PAGE: WaitingPage =
    WaitingPage { action: "consent", foreign: Reason::FlowOfAnotherBrowser, by_cookie: false, over: None };

/// An interaction that waits for consent.
struct AwaitingConsent {
    interaction: Interaction,
    revision: i64,
    request: AuthorizationRequest,
    account: AccountId,
    session: SessionId,
}

impl Authorization {
    /// The data of an interaction's consent page.
    pub async fn view_consent(&self, visit: &Visit, handle: &str) -> Result<ConsentView, FlowError> {
        let AwaitingConsent { interaction, request, account, .. } =
            self.require_consent(visit, handle).await?;
        let entry = self.core.directory.app_by_id(request.app).await?;
        let mut tx = self.core.database.read().await?;
        let account = accounts::find_account(&mut tx, account).await?;
        let organization = match &account {
            Some(account) => organizations::find_organization_of(&mut tx, account).await?,
            None => None,
        };
        drop(tx);
        let (Some(entry), Some(account)) = (entry, account) else {
            return Err(refused(consent_event(&interaction), PublicCode::FlowExpired, Reason::AppUnknown));
        };
        let person = account.email.as_ref().map(ToString::to_string);
        let username = account.username.as_ref().map(ToString::to_string);
        Ok(ConsentView {
            handle: handle.to_owned(),
            form_token: self.interactions.form_token(&interaction.id.to_string()),
            brand: self.core.directory.brand_of(organization.as_ref()).await?,
            app: entry.app.name.clone(),
            app_organization: entry.organization.name.clone(),
            person: person.or(username).or(account.contact.name).unwrap_or_default(),
            scopes: request.scopes,
            locale: request.ui_locales,
            receipt: receipt_of(interaction.id),
        })
    }

    /// Takes the user's answer: the sign-in continues, or the app gets `access_denied`. Either ends the wait.
    pub async fn answer_consent(
        &self,
        visit: &Visit,
        handle: &str,
        allowed: bool,
    ) -> Result<Handled, FlowError> {
        let waiting = self.require_consent(visit, handle).await?;
        let AwaitingConsent { interaction, revision, request, account, session } = waiting;
        let (mut tx, known) = self.interactions.open_for(&interaction).await?;
        let event = consent_event(&interaction);
        let Some(organization) = known.app.as_ref().map(|entry| entry.organization.id) else {
            return Err(refused(event, PublicCode::FlowExpired, Reason::AppUnknown));
        };
        let event = Event { organization: Some(organization), ..event };
        if !known.app.as_ref().is_some_and(|entry| is_still_registered(entry, &request)) {
            return Err(refused(event, PublicCode::RedirectUriMismatch, Reason::RedirectUriWithdrawn));
        }
        let Some(claim) = self.interactions.claim(&mut tx, interaction.id, revision).await? else {
            let (app, receipt) = (interaction.purpose.app(), Some(receipt_of(interaction.id)));
            return Err(Refusal { app, receipt, ..Refusal::unrecorded(PublicCode::FlowFinished) }.into());
        };
        if !allowed {
            self.core.record_refusal(&mut tx, &event, Reason::ConsentDenied).await?;
            let by = InteractionEnd::Answered;
            end_interaction(&mut tx, interaction.id, by, self.core.clock.now()).await?;
            tx.commit().await?;
            let error = OAuthError::new(ErrorCode::AccessDenied, "the user did not consent");
            let url =
                self.interactions.error_address(&request.redirect_uri, request.state.as_deref(), &error);
            let clear = CookieChange::ClearFlow(interaction.id);
            return Ok(Answer::to(NextPage::App(url)).with(clear).into());
        }
        if !sessions::lock_session(&mut tx, session, self.core.clock.now()).await? {
            return Err(refused(event, PublicCode::SessionEnded, Reason::SessionEnded));
        }
        let now = self.core.clock.now();
        let given = grants::find_consent(&mut tx, account, request.app).await?.unwrap_or_default();
        let mut scopes = request.scopes.clone();
        scopes.extend(given.into_iter().filter(|scope| !request.scopes.contains(scope)));
        grants::save_consent(&mut tx, organization, account, request.app, &scopes, now).await?;
        self.core.record_success(&mut tx, &event).await?;
        let mut interaction = interaction;
        interaction.answered.consented = true;
        let answered = Answered::new((tx, known), interaction, event);
        Ok(Answered { claim: Some(claim), ..answered }.into())
    }

    /// The interaction that waits for consent, in the browser whose session it opened.
    async fn require_consent(&self, visit: &Visit, handle: &str) -> Result<AwaitingConsent, FlowError> {
        let waiting = self.interactions.require_waiting(visit, handle, PAGE).await?;
        let Waiting { interaction, stage, revision } = waiting;
        let event = consent_event(&interaction);
        let session = interaction.session.id();
        let current = self.sessions.current_session(visit).await?;
        if current.is_none_or(|current| Some(current.session.id) != session) {
            return Err(refused(event, PublicCode::SessionEnded, PAGE.foreign));
        }
        match (stage, &interaction.purpose, &interaction.subject, session) {
            (Stage::Consent, Purpose::App(request), Subject::Account { account, .. }, Some(session)) => {
                let (request, account) = ((**request).clone(), *account);
                Ok(AwaitingConsent { interaction, revision, request, account, session })
            }
            _ => Err(refused(event, PublicCode::FlowExpired, Reason::FlowNotWaiting)),
        }
    }
}

/// An event of the consent step.
fn consent_event(interaction: &Interaction) -> Event {
    let proof = match &interaction.subject {
        Subject::Account { account, proof } => Some((*account, proof.connection)),
        Subject::Identity(_) => None,
    };
    Event {
        actor: proof.map(|(account, _)| account.into()),
        connection: proof.and_then(|(_, connection)| connection),
        app: interaction.purpose.app(),
        receipt: Some(receipt_of(interaction.id)),
        ..Event::new(PAGE.action)
    }
}
