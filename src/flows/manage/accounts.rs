//! The operator's work on accounts and sessions.

use crate::crypto::password::Share;
use crate::crypto::random;
use crate::flows::directory::DIRECTORY_TOPIC;
use crate::flows::evidence::Event;
use crate::flows::manage::Accounts;
use crate::flows::refusal::private_detail;
use crate::model::{
    Account, AccountId, Caller, Contact, Email, Handle, OrganizationId, ProfileKind, Role, Secret, Session,
    SessionId, Target, Username, is_like_an_id,
};
use crate::policy::account::password::{broken_rules, normalize};
use crate::policy::provider::access::has_enough_break_glass;
use crate::store::account::{accounts, profiles};
use crate::store::jobs::changes;
use crate::store::link::merging;
use crate::store::organization::organizations;
use crate::store::session::sessions;
use crate::store::{StoreError, Tx};

/// Why a command did nothing.
#[derive(Debug, thiserror::Error)]
pub enum ManageError {
    /// The named object does not exist.
    #[error("there is no {0}")]
    NotFound(String),
    /// The command is not allowed.
    #[error("{0}")]
    Refused(String),
    /// Something that is needed is down.
    #[error("nothing was done: {0}")]
    Unavailable(String),
}

impl From<StoreError> for ManageError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict => {
                Self::Refused("another change was first, or the name is taken".to_owned())
            }
            error => Self::Unavailable(private_detail(&error)),
        }
    }
}

/// An account with what belongs to it.
#[derive(Debug, Clone)]
pub struct AccountView {
    /// The account.
    pub account: Account,
    /// The organization's handle.
    pub organization: Option<Handle>,
    /// The account that it was merged into. No user signs in to this one any more.
    pub merged_into: Option<AccountId>,
    /// The ways in which it can sign in: `password`, or the connection's id with issuer and subject.
    pub profiles: Vec<String>,
}

/// An account to create.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// The organization that it belongs to; `None` makes an unattached account.
    pub organization: Option<Handle>,
    /// The username.
    pub username: Username,
    /// The email, which counts as proven.
    pub email: Option<Email>,
    /// Whether it administers its organization; without an organization, the deployment, as the operator's account.
    pub administrator: bool,
    /// The password; with `None` the broker makes one.
    pub password: Option<Secret>,
}

/// Refuses a username that has the form of an id, since a command could take it for that id.
fn check_username(username: &Username) -> Result<(), ManageError> {
    if is_like_an_id(username.as_str()) {
        return Err(ManageError::Refused("a username cannot have the form of an id".to_owned()));
    }
    Ok(())
}

impl Accounts {
    /// The account with this username or id.
    pub async fn find_account(&self, name: &str) -> Result<AccountView, ManageError> {
        let mut tx = self.core.database.read().await?;
        let found = match (name.parse::<AccountId>(), name.parse::<Username>()) {
            (Ok(id), _) => accounts::find_account(&mut tx, id).await?,
            (_, Ok(username)) => accounts::find_account_by_username(&mut tx, &username).await?,
            _ => None,
        };
        let account = found.ok_or_else(|| ManageError::NotFound(format!("account {name}")))?;
        let organization =
            organizations::find_organization_of(&mut tx, &account).await?.map(|found| found.handle);
        let profiles = profiles::list_profiles(&mut tx, account.id).await?.into_iter().map(|profile| {
            match profile.kind {
                ProfileKind::Local => "password".to_owned(),
                ProfileKind::External { connection, issuer, subject, .. } => {
                    format!("{connection} {issuer} {subject}")
                }
            }
        });
        let profiles = profiles.collect();
        drop(tx);
        let merged_into = self.merged_into(account.id).await?;
        Ok(AccountView { account, organization, merged_into, profiles })
    }

    /// An organization's accounts, up to `limit`.
    pub async fn list_accounts(&self, handle: &Handle, limit: i64) -> Result<Vec<Account>, ManageError> {
        let mut tx = self.core.database.read().await?;
        let organization = organizations::find_organization_by_handle(&mut tx, handle)
            .await?
            .ok_or_else(|| ManageError::NotFound(format!("organization {handle}")))?;
        Ok(accounts::list_accounts(&mut tx, organization.id, "", limit).await?)
    }

    /// The accounts that belong to no organization, including the operators', up to `limit`.
    pub async fn list_unattached_accounts(&self, limit: i64) -> Result<Vec<Account>, ManageError> {
        let mut tx = self.core.database.read().await?;
        Ok(accounts::list_unattached_accounts(&mut tx, "", limit).await?)
    }

    /// Makes an account with a password, and gives the password if it was made here.
    pub async fn create_account(
        &self,
        caller: Caller,
        new: NewAccount,
    ) -> Result<(Account, Option<Secret>), ManageError> {
        check_username(&new.username)?;
        let (password, made) = match new.password {
            Some(password) => (password, None),
            None => {
                let made = Secret::new(format!("{}Aa1", random::token(&*self.core.random).expose()));
                (made.clone(), Some(made))
            }
        };
        let broken = broken_rules(self.passwords.rules, password.expose());
        if let Some(rule) = broken.first() {
            return Err(ManageError::Refused(format!("the password: {rule}")));
        }
        let normalized = Secret::new(normalize(password.expose()));
        let hash = self.passwords.hasher.hash(Share::Operator, normalized).await;
        let hash = hash.map_err(|error| ManageError::Unavailable(error.to_string()))?;
        let now = self.core.clock.now();
        let mut tx = self.core.database.write().await?;
        let organization = match &new.organization {
            None => None,
            Some(handle) => Some(self.organization_with_room(&mut tx, handle).await?),
        };
        let account = Account {
            id: AccountId::new(now, &*self.core.random),
            organization,
            username: Some(new.username),
            email_verified: new.email.is_some(),
            email_from: None,
            email: new.email,
            contact: Contact::default(),
            roles: first_roles(new.administrator, organization.is_some()),
            enabled: true,
            break_glass: false,
            created_at: now,
            updated_at: now,
        };
        accounts::insert_account(&mut tx, &account).await.map_err(|error| match error {
            StoreError::Conflict => ManageError::Refused("the username is taken".to_owned()),
            error => error.into(),
        })?;
        self.profiles.set_password(&mut tx, &account, &hash).await?;
        let event = about_account(caller, "account.create", organization, account.id);
        self.core.record_success(&mut tx, &event).await?;
        tx.commit().await?;
        Ok((account, made))
    }

    /// The organization with this handle, if it may have another account.
    async fn organization_with_room(
        &self,
        tx: &mut Tx,
        handle: &Handle,
    ) -> Result<OrganizationId, ManageError> {
        let found = organizations::find_organization_by_handle(tx, handle).await?;
        let id = found.ok_or_else(|| ManageError::NotFound(format!("organization {handle}")))?.id;
        organizations::lock_organization(tx, id).await?;
        if accounts::count_accounts(tx, id).await? >= self.limit {
            return Err(ManageError::Refused(format!(
                "organization {handle} has as many accounts as it may"
            )));
        }
        Ok(id)
    }

    /// Enables or disables an account. A disabled account cannot sign in, and its sessions and tokens end at once.
    pub async fn set_account_enabled(
        &self,
        caller: Caller,
        name: &str,
        enabled: bool,
    ) -> Result<Account, ManageError> {
        let view = self.find_account(name).await?;
        let now = self.core.clock.now();
        let mut tx = self.core.database.write().await?;
        // Order matters: locked first, so that two operators who each disable an account are counted one after the
        // other.
        if let Some(organization) = view.account.organization {
            organizations::lock_organization(&mut tx, organization).await?;
        }
        accounts::lock_account(&mut tx, view.account.id).await?;
        if let Some(into) = merging::find_merged_into(&mut tx, view.account.id).await? {
            return Err(ManageError::Refused(format!("account {name}: {}", merged_sentence(into))));
        }
        accounts::set_enabled(&mut tx, view.account.id, enabled, now).await?;
        let account = accounts::find_account(&mut tx, view.account.id)
            .await?
            .ok_or_else(|| ManageError::NotFound(format!("account {name}")))?;
        if !enabled {
            check_emergency(&mut tx, &account).await?;
        }
        // This also ends what a sign-in under way opened during a disabling, so that nothing comes back with an
        // enabling.
        self.sessions.end_everything(&mut tx, account.id, None).await?;
        let action = if enabled { "account.enable" } else { "account.disable" };
        let event = about_account(caller, action, account.organization, account.id);
        self.core.record_success(&mut tx, &event).await?;
        changes::insert_change(&mut tx, DIRECTORY_TOPIC, now).await?;
        tx.commit().await?;
        Ok(account)
    }

    /// The sessions of an account that have not ended.
    pub async fn list_account_sessions(&self, name: &str) -> Result<Vec<Session>, ManageError> {
        let view = self.find_account(name).await?;
        let mut tx = self.core.database.read().await?;
        Ok(sessions::list_sessions(&mut tx, view.account.id, self.core.clock.now()).await?)
    }

    /// Ends a session of any account.
    pub async fn end_any_session(&self, caller: Caller, id: SessionId) -> Result<(), ManageError> {
        let mut tx = self.core.database.write().await?;
        let session = sessions::find_session(&mut tx, id)
            .await?
            .ok_or_else(|| ManageError::NotFound(format!("living session {id}")))?;
        self.sessions.end_session(&mut tx, &session).await?;
        let target = Target::Session(session.id);
        let event = Event {
            detail: Some(format!("account={}", session.account)),
            ..Event::by(caller, "session.end", session.organization, target)
        };
        self.core.record_success(&mut tx, &event).await?;
        Ok(tx.commit().await?)
    }
}

/// The event of a change to an account.
fn about_account(
    caller: Caller,
    action: &'static str,
    organization: Option<OrganizationId>,
    account: AccountId,
) -> Event {
    let detail = Some(format!("account={account}"));
    Event { detail, ..Event::by(caller, action, organization, Target::Account(account)) }
}

/// Refuses to disable an account if too few users would be left who can sign in by password in an emergency.
async fn check_emergency(tx: &mut Tx, disabled: &Account) -> Result<(), ManageError> {
    let (Some(id), true) = (disabled.organization, disabled.break_glass) else { return Ok(()) };
    let Some(organization) = organizations::find_organization(tx, id).await? else { return Ok(()) };
    let people = accounts::count_break_glass(tx, id).await?;
    if has_enough_break_glass(organization.policy.local_sign_in, people) {
        return Ok(());
    }
    Err(ManageError::Refused(format!(
        "organization {} keeps passwords for emergencies, and needs two people who have one; apply a file that gives \
         break_glass = true and a password to somebody else, or that changes local_sign_in, first",
        organization.handle
    )))
}

/// The sentence that refuses to disable or enable an account that was merged into another one.
pub(super) fn merged_sentence(into: AccountId) -> String {
    format!(
        "it was merged into {into}, so this would change nothing for its person; disable that one, or undo the merge first: \
         countersign account links {into}"
    )
}

/// The roles of a new account: in an organization or in none, with authority or without.
fn first_roles(has_authority: bool, in_organization: bool) -> Vec<Role> {
    match (has_authority, in_organization) {
        (true, true) => vec![Role::Administrator],
        (true, false) => vec![Role::Operator],
        (false, true) => vec![Role::Member],
        (false, false) => Vec::new(),
    }
}
