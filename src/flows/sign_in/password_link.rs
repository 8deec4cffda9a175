//! Links by which a user sets a password. The broker mails one to a user who got a local profile back without a
//! password. A link works once and for an hour. Opening its page does not use it up. The database keeps the hash of the
//! token.

use crate::crypto::password::{PasswordError, Share};
use crate::crypto::random;
use crate::flows::evidence::Event;
use crate::flows::mail::OutgoingMail;
use crate::flows::profile::email::account_email_proof;
use crate::flows::refusal::{FlowError, PublicCode, Reason, Wait, refused};
use crate::flows::sign_in::SignIn;
use crate::flows::visit::Visit;
use crate::mail::Message;
use crate::model::{Account, AccountId, PASSWORD_LINK_LIFETIME, ProfileKind, Secret};
use crate::policy::account::password::{broken_rules, normalize};
use crate::policy::provider::access::may_use_password;
use crate::policy::sign_in::guesses::Scope;
use crate::store::account::password_links::{self, consume_all_links, consume_link, find_link, insert_link};
use crate::store::account::{accounts, passwords, profiles};
use crate::store::limits::guesses::forgive_guesses;
use crate::store::link::merging;
use crate::store::organization::organizations;
use crate::store::{StoreError, Tx};

pub use crate::policy::account::password::{BrokenRule, PasswordRules};

/// The facts that the page for a new password shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordLinkView {
    /// The token that its form sends back.
    pub form_token: String,
    /// The username whose password it is.
    pub username: String,
    /// The rules for the password.
    pub rules: PasswordRules,
}

/// The result of setting a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetPassword {
    /// The password is set.
    Done,
    /// The password breaks these rules. The link still works.
    Broken(Vec<BrokenRule>),
}

impl SignIn {
    /// Mails a link by which the user sets the account's password. `false` when none is mailed, so that the operator
    /// must set the password: the account has no proven address, it may not sign in by password, or no mail can be sent
    /// now.
    pub(in crate::flows) async fn mail_password_link(
        &self,
        tx: &mut Tx,
        account: &Account,
    ) -> Result<bool, FlowError> {
        let (Some(to), Some(username)) = (account.email.clone(), account.username.as_ref()) else {
            return Ok(false);
        };
        let now = self.core.clock.now();
        let organization = organizations::find_organization_of(tx, account).await?;
        let is_proven = account_email_proof(tx, account).await?.is_proven();
        if !is_proven || !may_use_password(account, organization.as_ref()) {
            return Ok(false);
        }
        let token = random::token(&*self.core.random);
        // Order matters: only the newest link works.
        consume_all_links(tx, account.id, now).await?;
        insert_link(tx, &random::hash_token(token.expose()), account.id, now.after(PASSWORD_LINK_LIFETIME))
            .await?;
        let mail = OutgoingMail {
            to,
            organization: account.organization,
            account: Some(account.id),
            message: Message::SetPassword {
                organization: organization.map_or_else(|| self.core.issuer().to_owned(), |found| found.name),
                what: username.to_string(),
                link: self.core.url(&format!("/reset/{}", token.expose())),
            },
            dedup_key: None,
        };
        self.mails.queue_mail(tx, mail).await
    }

    /// The page of a link.
    pub async fn view_password_link(&self, token: &str) -> Result<PasswordLinkView, FlowError> {
        let hash = random::hash_token(token);
        let account = self.require_password_link(&hash).await?;
        Ok(PasswordLinkView {
            form_token: self.interactions.form_token(token),
            username: account.username.map(|username| username.to_string()).unwrap_or_default(),
            rules: self.passwords.rules,
        })
    }

    /// Sets a password by a link, and uses the link up. Everything that is open in the account ends.
    pub async fn set_password_by_link(
        &self,
        visit: &Visit,
        token: &str,
        new: &Secret,
    ) -> Result<SetPassword, FlowError> {
        let hash = random::hash_token(token);
        let account = self.require_password_link(&hash).await?;
        let broken = broken_rules(self.passwords.rules, new.expose());
        if !broken.is_empty() {
            return Ok(SetPassword::Broken(broken));
        }
        let new = Secret::new(normalize(new.expose()));
        let hashed =
            match self.hash_unless_recent(self.sessions.hashing_share(visit), account.id, new).await? {
                Ok(Some(hashed)) => hashed,
                Ok(None) => return Ok(SetPassword::Broken(vec![BrokenRule::Recent])),
                Err(error) => return Err(Self::link_not_hashed(&account, error)),
            };
        let now = self.core.clock.now();
        let mut tx = self.core.database.write().await?;
        accounts::lock_account(&mut tx, account.id).await?;
        let used = consume_link(&mut tx, &hash, now).await?;
        let standing = self.password_standing(&mut tx, account.id).await?;
        let (Some(used), Ok(account)) = (used, standing) else {
            return Err(refused(event(Some(&account)), PublicCode::PasswordLinkUsed, Reason::LinkLost));
        };
        if used != account.id {
            return Err(StoreError::inconsistent("password_links", "account_id", account.id).into());
        }
        passwords::save_password(&mut tx, account.id, &hashed, now).await?;
        consume_all_links(&mut tx, account.id, now).await?;
        self.sessions.end_everything(&mut tx, account.id, None).await?;
        // The user has proved to hold the address, which outweighs the wrong guesses.
        if let Some(username) = &account.username {
            let subject = self.guesses_of(username.as_str());
            forgive_guesses(&mut tx, Scope::Account.as_str(), &subject).await?;
        }
        self.core.record_success(&mut tx, &event(Some(&account))).await?;
        tx.commit().await?;
        Ok(SetPassword::Done)
    }

    /// The hash of a new password; `None` when it is one of the account's last ones and the rules forbid that. Another
    /// change of the password by a link uses up this link too, so the answer holds as long as the link does.
    async fn hash_unless_recent(
        &self,
        share: Share,
        account: AccountId,
        new: Secret,
    ) -> Result<Result<Option<String>, PasswordError>, FlowError> {
        let past = if self.passwords.rules.forbids_recent() {
            passwords::list_past_passwords(&mut self.core.database.read().await?, account).await?
        } else {
            Vec::new()
        };
        for hash in past {
            match self.passwords.hasher.verify(share.clone(), new.clone(), Some(hash)).await {
                Ok(verdict) if verdict.matches => return Ok(Ok(None)),
                Ok(_) => (),
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(self.passwords.hasher.hash(share, new).await.map(Some))
    }

    /// The account of a link that works now. Every other link is refused.
    async fn require_password_link(&self, hash: &str) -> Result<Account, FlowError> {
        let mut tx = self.core.database.read().await?;
        let found = find_link(&mut tx, hash, self.core.clock.now()).await?;
        let standing = match found {
            Some(account) => self.password_standing(&mut tx, account).await?,
            None => Err(Reason::LinkUnknown),
        };
        let is_over =
            found.is_none() && password_links::is_over(&mut tx, hash, self.core.clock.now()).await?;
        drop(tx);
        if is_over {
            let mut tx = self.core.database.write().await?;
            password_links::expire_link(&mut tx, hash, self.core.clock.now()).await?;
            tx.commit().await?;
        }
        match standing {
            Ok(account) => Ok(account),
            Err(reason) => Err(refused(event(None), PublicCode::PasswordLinkUsed, reason)),
        }
    }

    /// The account, if its password may be set now; else the reason why not.
    async fn password_standing(
        &self,
        tx: &mut Tx,
        id: AccountId,
    ) -> Result<Result<Account, Reason>, StoreError> {
        let Some(account) = accounts::find_account(tx, id).await? else {
            return Ok(Err(Reason::AccountGone));
        };
        let organization = organizations::find_organization_of(tx, &account).await?;
        if !account.enabled || merging::find_merged_into(tx, id).await?.is_some() {
            return Ok(Err(Reason::AccountDisabled));
        }
        if organization.as_ref().is_some_and(|organization| !organization.enabled) {
            return Ok(Err(Reason::OrganizationDisabled));
        }
        let held = profiles::list_profiles(tx, id).await?;
        if !held.iter().any(|profile| profile.kind == ProfileKind::Local) {
            return Ok(Err(Reason::NoLocalProfile));
        }
        if !may_use_password(&account, organization.as_ref()) {
            return Ok(Err(Reason::LocalSignInOff));
        }
        Ok(Ok(account))
    }

    fn link_not_hashed(account: &Account, error: PasswordError) -> FlowError {
        match error {
            PasswordError::Busy { retry_after } => {
                let busy = PublicCode::Busy(Wait(Some(retry_after)));
                refused(event(Some(account)), busy, Reason::HashingBusy)
            }
            error => FlowError::Unavailable(error.to_string()),
        }
    }
}

/// The event of setting a password by a link.
fn event(account: Option<&Account>) -> Event {
    Event {
        organization: account.and_then(|account| account.organization),
        actor: account.map(|account| account.id.into()),
        ..Event::new("password.set")
    }
}
