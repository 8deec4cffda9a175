//! `apply`: writes the objects of the files into the database, all of them or none. Objects that no file names stay.

pub(in crate::flows) mod connection;
pub(in crate::flows) mod expected;
pub(super) mod members;
pub(in crate::flows) mod replacing;

use std::collections::HashMap;
use std::fmt;

use crate::crypto::password::Share;
use crate::flows::directory::DIRECTORY_TOPIC;
use crate::flows::evidence::Event;
use crate::flows::manage::Organizations;
use crate::flows::manage::apply::connection::check_trusted_domains;
use crate::flows::manage::check::setting_without_effect;
use crate::flows::manage::document::{WantedDomain, WantedOrganization, WantedPassword};
use crate::flows::manage::read::{Rules, read_files};
use crate::flows::refusal::private_detail;
use crate::model::{
    AppId, Caller, ConnectionId, Handle, Organization, OrganizationId, Secret, SigningAlg, Target, Username,
};
use crate::policy::account::password::normalize;
use crate::policy::provider::access::has_enough_break_glass;
use crate::protocol::document::Errors;
use crate::store::account::{accounts, passwords};
use crate::store::jobs::changes;
use crate::store::organization::domains::{self, DomainRecord};
use crate::store::organization::{connections, looks, organizations};
use crate::store::{StoreError, Tx};

/// The change to an object, or the one that a dry run found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Created,
    /// It was different before.
    Changed,
    /// It was the same before.
    Unchanged,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
        })
    }
}

/// One object of the report; shown as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// `organization`, `domain`, `connection`, `app`, `account`.
    pub kind: &'static str,
    /// `ORG`, or `ORG/NAME`.
    pub name: String,
    /// Its id, where it has one.
    pub id: String,
    /// The change to it.
    pub change: Change,
    /// Addresses to register elsewhere, and other remarks.
    pub notes: String,
}

/// The name of the object and its notes; the change is shown apart from them.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [self.kind, &self.name, &self.id, &self.notes];
        let shown: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        f.write_str(&shown.join(" "))
    }
}

/// The numbers of objects that were created, changed and left unchanged.
impl fmt::Display for ApplyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |change| self.lines.iter().filter(|line| line.change == change).count();
        let (created, changed) = (count(Change::Created), count(Change::Changed));
        write!(f, "{created} created, {changed} changed, {} unchanged", count(Change::Unchanged))
    }
}

/// The changes that `apply` made, or would make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApplyReport {
    /// One line for each object, in the order of the files.
    pub lines: Vec<Line>,
    /// The settings in the files that have no effect, each in a sentence that names the object.
    pub warnings: Vec<String>,
}

/// The changes so far, and the caller who asked for them.
pub(super) struct Applied {
    caller: Caller,
    lines: Vec<Line>,
}

/// Why nothing was applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The files are wrong.
    #[error("{0}")]
    Document(#[from] Errors),
    /// The files do not fit the stored data.
    #[error("{0}")]
    Refused(String),
    /// Something that is needed is down.
    #[error("nothing was applied: {0}")]
    Unavailable(String),
}

impl From<StoreError> for ApplyError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(private_detail(&error))
    }
}

impl From<crate::crypto::CryptoError> for ApplyError {
    fn from(error: crate::crypto::CryptoError) -> Self {
        Self::Unavailable(private_detail(&error))
    }
}

/// Turns a lost race or a taken name into a sentence.
pub(in crate::flows) fn taken(error: StoreError, sentence: impl FnOnce() -> String) -> ApplyError {
    match error {
        StoreError::Conflict => ApplyError::Refused(sentence()),
        error => error.into(),
    }
}

impl Organizations {
    /// Applies files (name and text each). With `dry_run` nothing is written, and the report says what would change.
    pub async fn apply(
        &self,
        caller: Caller,
        files: &[(String, String)],
        dry_run: bool,
    ) -> Result<ApplyReport, ApplyError> {
        let rules = Rules { passwords: self.passwords.rules, limits: self.limits };
        let wanted = read_files(files, rules)?;
        let passwords = self.changed_passwords(&wanted).await?;
        let mut algorithms: Vec<SigningAlg> = Vec::new();
        for app in wanted.iter().flat_map(|organization| &organization.apps) {
            algorithms.extend([app.settings.id_token_alg, app.settings.access_token_alg]);
        }
        algorithms.sort_unstable();
        algorithms.dedup();
        if !dry_run {
            // This comes first, since nothing may fail after the files are applied. An additional key does no harm.
            self.keys
                .ensure_signing_keys(&algorithms)
                .await
                .map_err(|error| ApplyError::Unavailable(private_detail(&error)))?;
        }
        let mut report = Applied { caller, lines: Vec::new() };
        let mut tx = self.core.database.write().await?;
        for organization in &wanted {
            self.apply_organization(&mut tx, organization, &passwords, &mut report).await?;
        }
        // This comes after all files, because a later file may give one of these domains to another organization.
        for organization in &wanted {
            check_trusted_domains(&mut tx, organization).await?;
        }
        let warnings = wanted.iter().flat_map(warnings).collect();
        if dry_run {
            return Ok(ApplyReport { lines: report.lines, warnings });
        }
        if wanted.iter().any(|organization| !organization.apps.is_empty()) {
            self.keys.extend_retired_keys(&mut tx).await?;
        }
        changes::insert_change(&mut tx, DIRECTORY_TOPIC, self.core.clock.now()).await?;
        tx.commit().await?;
        self.core.directory.forget();
        Ok(ApplyReport { lines: report.lines, warnings })
    }

    /// The hashes of the passwords that differ from the stored ones. Hashing is slow, so it happens before the
    /// transaction.
    async fn changed_passwords(
        &self,
        wanted: &[WantedOrganization],
    ) -> Result<HashMap<String, String>, ApplyError> {
        let unavailable =
            |error: crate::crypto::password::PasswordError| ApplyError::Unavailable(error.to_string());
        let mut hashes = HashMap::new();
        for account in wanted.iter().flat_map(|organization| &organization.accounts) {
            let stored = self.stored_password(&account.username).await?;
            let new = match &account.password {
                None => None,
                Some(WantedPassword::Hash(hash)) => (stored.as_ref() != Some(hash)).then(|| hash.clone()),
                Some(WantedPassword::Clear(password)) => {
                    let password = Secret::new(normalize(password.expose()));
                    let same = match stored {
                        Some(stored) => {
                            self.passwords
                                .hasher
                                .verify(Share::Operator, password.clone(), Some(stored))
                                .await
                                .map_err(unavailable)?
                                .matches
                        }
                        None => false,
                    };
                    if same {
                        None
                    } else {
                        Some(
                            self.passwords
                                .hasher
                                .hash(Share::Operator, password)
                                .await
                                .map_err(unavailable)?,
                        )
                    }
                }
            };
            if let Some(new) = new {
                hashes.insert(account.username.key(), new);
            }
        }
        Ok(hashes)
    }

    async fn stored_password(&self, username: &Username) -> Result<Option<String>, StoreError> {
        let mut tx = self.core.database.read().await?;
        let Some(account) = accounts::find_account_by_username(&mut tx, username).await? else {
            return Ok(None);
        };
        Ok(passwords::find_password(&mut tx, account.id).await?.map(|stored| stored.hash))
    }

    async fn apply_organization(
        &self,
        tx: &mut Tx,
        wanted: &WantedOrganization,
        passwords: &HashMap<String, String>,
        report: &mut Applied,
    ) -> Result<(), ApplyError> {
        let organization = self.apply_organization_itself(tx, wanted, report).await?;
        // The connections that others may replace come first.
        for replaces in [false, true] {
            for connection in wanted.connections.iter().filter(|it| it.replaces.is_some() == replaces) {
                self.apply_connection(tx, &organization, connection, report).await?;
            }
        }
        for domain in &wanted.domains {
            self.apply_domain(tx, &organization, domain, report).await?;
        }
        for app in &wanted.apps {
            self.apply_app(tx, &organization, app, report).await?;
        }
        for account in &wanted.accounts {
            self.apply_account(tx, &organization, account, passwords, report).await?;
        }
        self.settle_replacements(tx, &organization).await?;
        self.check_break_glass(tx, &organization).await
    }

    /// The organization without what it owns.
    async fn apply_organization_itself(
        &self,
        tx: &mut Tx,
        wanted: &WantedOrganization,
        report: &mut Applied,
    ) -> Result<Organization, ApplyError> {
        let now = self.core.clock.now();
        // It is locked before it is read, so that two operators change it one after the other.
        let existing = match wanted.id {
            Some(id) => {
                organizations::lock_organization(tx, id).await?;
                organizations::find_organization(tx, id).await?
            }
            None => {
                organizations::lock_organization_by_handle(tx, &wanted.handle).await?;
                organizations::find_organization_by_handle(tx, &wanted.handle).await?
            }
        };
        let old = existing.as_ref();
        let new_id = || OrganizationId::new(now, &*self.core.random);
        let organization = Organization {
            id: old.map(|old| old.id).or(wanted.id).unwrap_or_else(new_id),
            handle: wanted.handle.clone(),
            name: wanted.name.clone(),
            plan: wanted.plan,
            enabled: wanted.enabled,
            policy: wanted.policy.clone(),
            created_at: old.map_or(now, |old| old.created_at),
        };
        let mut change = compare(old, &organization);
        let (id, name) = (organization.id, wanted.handle.to_string());
        let sentence = || format!("organization {name}: the handle belongs to another organization");
        match change {
            Change::Created => organizations::insert_organization(tx, &organization).await,
            Change::Changed => organizations::update_organization(tx, &organization, now).await,
            Change::Unchanged => Ok(()),
        }
        .map_err(|error| taken(error, sentence))?;
        if looks::find_look(tx, id).await? != wanted.look {
            looks::save_look(tx, id, &wanted.look).await?;
            change = if change == Change::Created { change } else { Change::Changed };
        }
        let line = Line { kind: "organization", name, id: id.to_string(), change, notes: String::new() };
        self.note(tx, id, line, report).await?;
        Ok(organization)
    }

    /// Refuses an organization that keeps passwords for emergencies only, unless at least two users have one.
    async fn check_break_glass(&self, tx: &mut Tx, organization: &Organization) -> Result<(), ApplyError> {
        let people = accounts::count_break_glass(tx, organization.id).await?;
        if has_enough_break_glass(organization.policy.local_sign_in, people) {
            return Ok(());
        }
        let handle = &organization.handle;
        Err(ApplyError::Refused(format!(
            "organization {handle}: local_sign_in = \"break_glass\" needs two enabled accounts with \
             break_glass = true and a password at least"
        )))
    }

    /// Writes the record of a change and the line of the report.
    async fn note(
        &self,
        tx: &mut Tx,
        organization: OrganizationId,
        line: Line,
        report: &mut Applied,
    ) -> Result<(), ApplyError> {
        if line.change != Change::Unchanged {
            let action = match line.kind {
                "organization" => "apply.organization",
                "domain" => "apply.domain",
                "connection" => "apply.connection",
                "app" => "apply.app",
                _ => "apply.account",
            };
            let event = Event {
                organization: Some(organization),
                actor: report.caller.actor(),
                target: Target::parse(line.kind, &line.id).ok(),
                connection: line.id.parse::<ConnectionId>().ok(),
                app: line.id.parse::<AppId>().ok(),
                detail: Some(format!("{} {} {}", line.kind, line.id, line.change)),
                ..Event::new(action)
            };
            self.core.record_success(tx, &event).await?;
        }
        report.lines.push(line);
        Ok(())
    }

    async fn apply_domain(
        &self,
        tx: &mut Tx,
        organization: &Organization,
        wanted: &WantedDomain,
        report: &mut Applied,
    ) -> Result<(), ApplyError> {
        let name = wanted.domain.to_string();
        let mut ids = Vec::new();
        for handle in &wanted.connections {
            ids.push(self.connection_of(tx, organization, handle, &name).await?);
        }
        let owner = domains::find_owner(tx, std::slice::from_ref(&name)).await?;
        let before = domains::list_domain_connections(tx, organization.id, &wanted.domain).await?;
        if owner.is_none() {
            let count = domains::count_domains(tx, organization.id).await?;
            check_room(organization, count, self.limits.domains, "domains")?;
        }
        let record = DomainRecord {
            domain: wanted.domain.clone(),
            organization: organization.id,
            proven_by: "operator".to_owned(),
            proven_at: self.core.clock.now(),
        };
        domains::insert_domain(tx, &record)
            .await
            .map_err(|error| taken(error, || format!("domain {name}: it belongs to another organization")))?;
        let change = match owner {
            None => Change::Created,
            Some(_) if before != ids => Change::Changed,
            Some(_) => Change::Unchanged,
        };
        if change != Change::Unchanged {
            domains::replace_domain_connections(tx, organization.id, &wanted.domain, &ids).await?;
        }
        let name = format!("{}/{name}", organization.handle);
        let line = Line { kind: "domain", name, id: String::new(), change, notes: String::new() };
        self.note(tx, organization.id, line, report).await
    }

    async fn connection_of(
        &self,
        tx: &mut Tx,
        organization: &Organization,
        handle: &Handle,
        domain: &str,
    ) -> Result<ConnectionId, ApplyError> {
        let found = connections::find_connection_by_handle(tx, organization.id, handle).await?;
        found.map(|record| record.connection.id).ok_or_else(|| {
            let org = &organization.handle;
            ApplyError::Refused(format!("domain {domain}: the organization {org} has no connection {handle}"))
        })
    }
}

/// The settings of an organization's connections that have no effect yet, each as a warning.
fn warnings(organization: &WantedOrganization) -> impl Iterator<Item = String> {
    organization.connections.iter().filter_map(|connection| {
        let text = setting_without_effect(&connection.settings)?;
        Some(format!("connection {}/{}: {text}", organization.handle, connection.handle))
    })
}

/// Refuses another object if the organization has as many as it may have.
pub(super) fn check_room(
    organization: &Organization,
    count: i64,
    limit: usize,
    what: &str,
) -> Result<(), ApplyError> {
    if usize::try_from(count).is_ok_and(|count| count < limit) {
        return Ok(());
    }
    Err(ApplyError::Refused(format!("organization {}: it has as many {what} as it may", organization.handle)))
}

pub(in crate::flows) fn compare<T: PartialEq>(old: Option<&T>, new: &T) -> Change {
    match old {
        None => Change::Created,
        Some(old) if old == new => Change::Unchanged,
        Some(_) => Change::Changed,
    }
}
