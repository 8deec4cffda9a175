//! The facts that decide the next step: standing and consent as they are in this transaction, and the app as the
//! directory knew it when the transaction began.

use crate::flows::dispatch::Dispatcher;
use crate::flows::interaction::to_app::is_still_registered;
use crate::flows::interaction::{Answered, Known};
use crate::flows::refusal::FlowError;
use crate::model::{Account, AccountId, Interaction, Organization, Proof, Purpose, SessionStage, Subject};
use crate::policy::provider::access::{may_use, may_use_password, needs_consent};
use crate::policy::sign_in::context::is_accepted;
use crate::policy::sign_in::route::is_among;
use crate::policy::sign_in::step::{AccountFacts, Facts, SubjectFacts, Withdrawn};
use crate::store::Tx;
use crate::store::account::accounts::{self, read_standing};
use crate::store::organization::organizations;
use crate::store::provider::grants;

/// The account that was proved, as this transaction reads it.
pub struct Standing {
    pub account: Account,
    pub organization: Option<Organization>,
    withdrawn: Option<Withdrawn>,
    may_use_app: bool,
    needs_consent: bool,
}

impl Dispatcher {
    /// Gathers the facts about an interaction. It reads the account once, and keeps the result in `standing`.
    pub(in crate::flows) async fn facts(
        &self,
        answered: &mut Answered,
        standing: &mut Option<Standing>,
    ) -> Result<Facts, FlowError> {
        let Answered { tx, known, interaction, .. } = answered;
        let subject = match &interaction.subject {
            Subject::Identity(_) => SubjectFacts::Identity,
            Subject::Account { account, proof } => {
                let read = match standing.take() {
                    Some(read) => read,
                    None => {
                        let account = self.account_of(tx, *account, answered.account.take()).await?;
                        read_account(tx, known, &interaction.purpose, (account, proof)).await?
                    }
                };
                SubjectFacts::Account(account_facts(standing.insert(read), interaction, proof))
            }
        };
        let link = self.links.link_due(tx, interaction, known).await?;
        Ok(Facts { interaction: interaction.id, subject, link })
    }

    async fn account_of(
        &self,
        tx: &mut Tx,
        id: AccountId,
        read: Option<Account>,
    ) -> Result<Account, FlowError> {
        if let Some(account) = read.filter(|read| read.id == id) {
            return Ok(account);
        }
        let found = accounts::find_account(tx, id).await?;
        found.ok_or_else(|| FlowError::Unavailable("an account that was proved is gone".to_owned()))
    }
}

async fn read_account(
    tx: &mut Tx,
    known: &Known,
    purpose: &Purpose,
    (account, proof): (Account, &Proof),
) -> Result<Standing, FlowError> {
    // A code must not rest on a profile that was unlinked meanwhile.
    let profile = purpose.request().map(|_| proof.profile);
    let standing = read_standing(tx, account.id, proof.connection, purpose.app(), profile).await?;
    let organization = organizations::find_organization_of(tx, &account).await?;
    let app = known.app.as_deref();
    let belongs = organization.as_ref().map(Organization::membership);
    let (may_use_app, asks, still_registered) = match (app, purpose) {
        (Some(entry), Purpose::App(request)) => (
            may_use(&entry.app, belongs)
                && known.hints.as_ref().is_some_and(|hints| is_among(hints, proof.connection)),
            // The stored consent matters only where nothing else has decided.
            needs_consent(&entry.app, &request.scopes, None, &request.prompt),
            is_still_registered(entry, request),
        ),
        (Some(entry), _) => (may_use(&entry.app, belongs), false, true),
        (None, _) => (purpose.app().is_none(), false, true),
    };
    let needs_consent = match (app, purpose) {
        (Some(entry), Purpose::App(request)) if asks => {
            let consented = grants::find_consent(tx, account.id, request.app).await?;
            needs_consent(&entry.app, &request.scopes, consented.as_deref(), &request.prompt)
        }
        _ => false,
    };
    let may_stay = proof.connection.is_some() || may_use_password(&account, organization.as_ref());
    let withdrawn = match standing {
        None => Some(Withdrawn::Account),
        Some(standing) if !standing.account => Some(Withdrawn::Account),
        Some(standing) if !standing.organization => Some(Withdrawn::Organization),
        Some(standing) if !standing.connection => Some(Withdrawn::Connection),
        Some(standing) if !standing.app => Some(Withdrawn::App),
        Some(standing) if !standing.profile => Some(Withdrawn::Profile),
        // The broker sends nothing to an address that the app has lost meanwhile, not even a refusal.
        Some(_) if !still_registered => Some(Withdrawn::RedirectUri),
        Some(_) => (!may_stay).then_some(Withdrawn::LocalSignIn),
    };
    Ok(Standing { account, organization, withdrawn, may_use_app, needs_consent })
}

fn account_facts(standing: &Standing, interaction: &Interaction, proof: &Proof) -> AccountFacts {
    let purpose = &interaction.purpose;
    let expected = purpose.expected_account();
    AccountFacts {
        account: standing.account.id,
        withdrawn: standing.withdrawn,
        is_expected: expected.is_none_or(|expected| expected == standing.account.id),
        is_context_accepted: is_accepted(purpose.essential_acr(), proof.acr.as_deref()),
        may_use_app: standing.may_use_app,
        has_session: matches!(interaction.session, SessionStage::Open(_)),
        needs_consent: standing.needs_consent && !interaction.answered.consented,
    }
}
