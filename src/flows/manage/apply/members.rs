//! The apps and accounts of an [`apply`](super::apply).

use std::collections::HashMap;

use crate::flows::manage::Organizations;
use crate::flows::manage::accounts::merged_sentence;
use crate::flows::manage::apply::{Applied, ApplyError, Change, Line, check_room, compare, taken};
use crate::flows::manage::document::{WantedAccount, WantedApp};
use crate::model::{Account, AccountId, App, AppId, ConnectionId, Email, Organization};
use crate::store::account::{accounts, password_links};
use crate::store::link::merging;
use crate::store::organization::apps;
use crate::store::{StoreError, Tx};

impl Organizations {
    pub(super) async fn apply_app(
        &self,
        tx: &mut Tx,
        organization: &Organization,
        wanted: &WantedApp,
        report: &mut Applied,
    ) -> Result<(), ApplyError> {
        let now = self.core.clock.now();
        let name = format!("{}/{}", organization.handle, wanted.client_id);
        let existing = match wanted.id {
            Some(id) => apps::find_app_of_any_organization(tx, id).await?,
            None => apps::find_app_of_any_organization_by_client_id(tx, &wanted.client_id).await?,
        };
        let sentence = || format!("app {name}: the client id belongs to another organization");
        if existing.as_ref().is_some_and(|old| old.organization != organization.id) {
            return Err(ApplyError::Refused(sentence()));
        }
        let app = App {
            id: existing
                .as_ref()
                .map(|old| old.id)
                .or(wanted.id)
                .unwrap_or_else(|| AppId::new(now, &*self.core.random)),
            organization: organization.id,
            client_id: wanted.client_id.clone(),
            name: wanted.name.clone(),
            enabled: wanted.enabled,
            secret_hashes: wanted.secret_hashes.clone(),
            settings: wanted.settings.clone(),
            created_at: existing.as_ref().map_or(now, |old| old.created_at),
        };
        let change = compare(existing.as_ref(), &app);
        if change == Change::Created {
            let count = apps::count_apps(tx, organization.id).await?;
            check_room(organization, count, self.limits.apps, "apps")?;
        }
        match change {
            Change::Created => apps::insert_app(tx, &app).await,
            Change::Changed => apps::update_app(tx, &app, now).await,
            Change::Unchanged => Ok(()),
        }
        .map_err(|error| taken(error, sentence))?;
        let line = Line { kind: "app", name, id: app.id.to_string(), change, notes: String::new() };
        self.note(tx, organization.id, line, report).await
    }

    pub(super) async fn apply_account(
        &self,
        tx: &mut Tx,
        organization: &Organization,
        wanted: &WantedAccount,
        passwords: &HashMap<String, String>,
        report: &mut Applied,
    ) -> Result<(), ApplyError> {
        let now = self.core.clock.now();
        let name = format!("{}/{}", organization.handle, wanted.username);
        let sentence = || format!("account {name}: the username belongs to another account");
        let existing = lock_existing(tx, wanted).await?;
        if existing.as_ref().is_some_and(|old| old.organization != Some(organization.id)) {
            return Err(ApplyError::Refused(sentence()));
        }
        let account = self.wanted_account(organization, wanted, existing.as_ref());
        if let Some(into) = merging::find_merged_into(tx, account.id).await? {
            let notes = leave_merged(existing.as_ref(), wanted, &name, into)?;
            let line =
                Line { kind: "account", name, id: account.id.to_string(), change: Change::Unchanged, notes };
            return self.note(tx, organization.id, line, report).await;
        }
        let mut change = compare(existing.as_ref(), &account);
        let new_password = passwords.get(&wanted.username.key());
        match change {
            Change::Created => {
                let count = accounts::count_accounts(tx, organization.id).await?;
                let limit = usize::try_from(self.limits.accounts).unwrap_or(0);
                check_room(organization, count, limit, "accounts")?;
                accounts::insert_account(tx, &account).await
            }
            Change::Changed => accounts::update_account(tx, &account, now).await,
            Change::Unchanged => Ok(()),
        }
        .map_err(|error| taken(error, sentence))?;
        if existing.as_ref().is_some_and(|before| before.email != account.email) {
            // A link that was mailed to the old address must not set a password.
            password_links::consume_all_links(tx, account.id, now).await?;
        }
        if existing.as_ref().is_some_and(|before| before.enabled != account.enabled) {
            // This also ends what a sign-in under way opened during a disabling, so that nothing comes back with an
            // enabling.
            self.sessions.end_everything(tx, account.id, None).await?;
        }
        if let Some(hash) = new_password {
            self.profiles.set_password(tx, &account, hash).await?;
            // This signs out everyone who knew the old password.
            self.sessions.end_everything(tx, account.id, None).await?;
        }
        let expected = self.apply_expected(tx, organization, &account, wanted.expects.as_ref()).await?;
        if change == Change::Unchanged && (new_password.is_some() || expected) {
            change = Change::Changed;
        }
        let line = Line { kind: "account", name, id: account.id.to_string(), change, notes: String::new() };
        self.note(tx, organization.id, line, report).await
    }

    /// The account that the file asks for, based on the stored one.
    fn wanted_account(
        &self,
        organization: &Organization,
        wanted: &WantedAccount,
        old: Option<&Account>,
    ) -> Account {
        let now = self.core.clock.now();
        let (email_verified, email_from) = whose_email(wanted, old);
        Account {
            id: old
                .map(|old| old.id)
                .or(wanted.id)
                .unwrap_or_else(|| AccountId::new(now, &*self.core.random)),
            organization: Some(organization.id),
            username: Some(wanted.username.clone()),
            email: wanted.email.clone(),
            email_verified,
            email_from,
            contact: wanted.contact.clone(),
            roles: wanted.roles.clone(),
            enabled: wanted.enabled,
            break_glass: wanted.break_glass,
            created_at: old.map_or(now, |old| old.created_at),
            updated_at: old.map_or(now, |old| old.updated_at),
        }
    }
}

/// Whether an account's email is proven, and by which connection's provider. An address that a provider has asserted
/// stays proven by that provider only, unless the file says that it is proven.
fn whose_email(wanted: &WantedAccount, old: Option<&Account>) -> (bool, Option<ConnectionId>) {
    let canonical = |email: &Option<Email>| email.as_ref().map(|email| email.canonical().to_owned());
    match old {
        _ if wanted.email_verified && wanted.email.is_some() => (true, None),
        Some(old) if canonical(&old.email) == canonical(&wanted.email) && old.email_from.is_some() => {
            (old.email_verified, old.email_from)
        }
        _ => (false, None),
    }
}

/// Leaves a merged account as it is, since a change to it would have no effect. An attempt to disable it is refused,
/// with the right way to do so.
fn leave_merged(
    old: Option<&Account>,
    wanted: &WantedAccount,
    name: &str,
    into: AccountId,
) -> Result<String, ApplyError> {
    if old.is_some_and(|old| old.enabled) && !wanted.enabled {
        return Err(ApplyError::Refused(format!("account {name}: {}", merged_sentence(into))));
    }
    Ok(format!("merged into {into}: left as it is"))
}

/// The stored account, with its roles in the order of documents. It is locked before it is read, so that this does not
/// undo a disabling at the same time.
async fn lock_existing(tx: &mut Tx, wanted: &WantedAccount) -> Result<Option<Account>, StoreError> {
    let mut existing = match wanted.id {
        Some(id) => {
            accounts::lock_account(tx, id).await?;
            accounts::find_account(tx, id).await?
        }
        None => {
            accounts::lock_account_by_username(tx, &wanted.username).await?;
            accounts::find_account_by_username(tx, &wanted.username).await?
        }
    };
    if let Some(existing) = &mut existing {
        existing.roles.sort_unstable();
    }
    Ok(existing)
}
