//! `check`: finds out what works and what does not. It changes nothing, and asks every provider for its metadata and
//! keys.

use std::fmt;
use std::time::Duration;

use crate::flows::manage::Health;
use crate::model::{ConnectionSettings, EmailTrust, Organization, Timestamp, UpstreamMfa};
use crate::policy::deadline::{Deadline, WARN_BEFORE, deadline};
use crate::store::StoreError;
use crate::store::organization::connections::{self, ConnectionRecord};
use crate::store::organization::organizations;

/// A job that has been due for this long is late: workers look each second.
const LATE: Duration = Duration::from_mins(5);

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Good,
    /// It works, but the operator should act soon, or expects more of it than it does.
    Warning,
    /// It does not work.
    Bad,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Good => "ok",
            Self::Warning => "warn",
            Self::Bad => "FAIL",
        })
    }
}

impl From<Deadline> for Verdict {
    fn from(deadline: Deadline) -> Self {
        match deadline {
            Deadline::Later => Self::Good,
            Deadline::Soon => Self::Warning,
            Deadline::Past => Self::Bad,
        }
    }
}

/// One object that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The object that was checked.
    pub what: String,
    /// The result.
    pub verdict: Verdict,
    /// The finding, in a sentence.
    pub finding: String,
}

impl Check {
    /// A finding.
    pub fn new(what: impl Into<String>, verdict: Verdict, finding: impl Into<String>) -> Self {
        Self { what: what.into(), verdict, finding: finding.into() }
    }
}

impl Health {
    /// Checks the keys, mail, the queue of jobs and every connection.
    pub async fn check(&self) -> Result<Vec<Check>, StoreError> {
        let mut checks = vec![self.check_keys().await];
        checks.push(match self.mails.probe_mail().await {
            Ok(finding) => Check::new("mail", Verdict::Good, finding),
            Err(finding) => Check::new("mail", Verdict::Bad, finding),
        });
        checks.extend(self.check_queue().await?);
        let mut after = String::new();
        loop {
            let page = {
                let mut tx = self.core.database.read().await?;
                organizations::list_organizations(&mut tx, &after, 100).await?
            };
            let Some(last) = page.last() else { return Ok(checks) };
            after = last.handle.to_string();
            for organization in &page {
                let records = {
                    let mut tx = self.core.database.read().await?;
                    connections::list_connections(&mut tx, organization.id).await?
                };
                for record in records {
                    checks.push(self.check_connection(organization, &record).await);
                }
            }
        }
    }

    /// Whether every signing key opens.
    async fn check_keys(&self) -> Check {
        if let Err(error) = self.keys.reload_signing_keys().await {
            return Check::new("keys", Verdict::Bad, error.to_string());
        }
        match self.keys.list_signing_keys().await {
            Ok(keys) if keys.is_empty() => {
                Check::new("keys", Verdict::Good, "none yet; the first start makes them")
            }
            Ok(keys) => Check::new("keys", Verdict::Good, format!("{} signing keys, all open", keys.len())),
            Err(error) => Check::new("keys", Verdict::Bad, error.to_string()),
        }
    }

    /// Whether queued jobs are done: a finding for each job that has a problem, else one for all.
    async fn check_queue(&self) -> Result<Vec<Check>, StoreError> {
        let now = self.core.clock.now();
        let mut checks = Vec::new();
        for state in self.core.queue.states().await? {
            let mut texts = Vec::new();
            if let Some(since) = state.due_since.filter(|since| now.since(*since) >= LATE) {
                texts.push(format!(
                    "{} are waiting, one of them since {since}: check whether a server runs, and what its log says about jobs",
                    state.waiting
                ));
            }
            if let Some(deaths) = state.deaths {
                texts.push(format!(
                    "{} were given up, the first at {}, the last at {} ({}): the audit log says which; their content is gone, \
                     they are not tried again, and each leaves this list after a week",
                    state.dead, deaths.first, deaths.last, deaths.last_error
                ));
            }
            if !texts.is_empty() {
                checks.push(Check::new(format!("jobs {}", state.name), Verdict::Warning, texts.join("; ")));
            }
        }
        if checks.is_empty() {
            checks.push(Check::new(
                "jobs",
                Verdict::Good,
                "none has been waiting for long, and none was given up",
            ));
        }
        Ok(checks)
    }

    async fn check_connection(&self, organization: &Organization, record: &ConnectionRecord) -> Check {
        let connection = &record.connection;
        let what = format!("connection {}/{}", organization.handle, connection.handle);
        if !connection.enabled || !organization.enabled {
            return Check::new(what, Verdict::Good, "disabled");
        }
        if let Err(error) = self.core.open_credential(connection.id, &record.credential) {
            return Check::new(what, Verdict::Bad, error.to_string());
        }
        let probe = self.upstream.probe(connection).await;
        let mut texts: Vec<String> = probe.findings.iter().map(|finding| finding.text.clone()).collect();
        let mut verdict = if probe.is_usable() { Verdict::Good } else { Verdict::Bad };
        let settings = &connection.settings;
        if settings.email_trust == EmailTrust::Authoritative && !settings.is_of_one_tenant(&connection.issuer)
        {
            let text =
                "email_trust = \"authoritative\" needs exactly one tenant; until then it counts as \"claim\"";
            texts.push(text.to_owned());
            verdict = Verdict::Bad;
        }
        if let Some(text) = setting_without_effect(settings) {
            texts.push(text.to_owned());
            verdict = if verdict == Verdict::Good { Verdict::Warning } else { verdict };
        }
        if let Some(end) = record.credential.secret_expires_at {
            match deadline(end, self.core.clock.now()) {
                Deadline::Later => {}
                Deadline::Soon => {
                    texts
                        .push(format!("its client secret expires on {end}: get a new one from the provider"));
                    verdict = if verdict == Verdict::Good { Verdict::Warning } else { verdict };
                }
                Deadline::Past => {
                    texts.push(format!("its client secret expired on {end}"));
                    verdict = Verdict::Bad;
                }
            }
        }
        if texts.is_empty() {
            texts.push("its provider answers as it should".to_owned());
        }
        Check::new(what, verdict, texts.join("; "))
    }

    /// Logs a warning for each connection whose client secret ends soon, or has ended.
    pub async fn warn_of_ending_secrets(&self) -> Result<(), StoreError> {
        let now = self.core.clock.now();
        let mut tx = self.core.database.read().await?;
        for record in
            connections::list_ending_secrets_of_all_organizations(&mut tx, now.after(WARN_BEFORE)).await?
        {
            let Some(end) = record.credential.secret_expires_at else { continue };
            warn_of(&record, end);
        }
        Ok(())
    }
}

/// The warning about a setting that the broker accepts but does not act on yet.
pub(super) fn setting_without_effect(settings: &ConnectionSettings) -> Option<&'static str> {
    (settings.mfa == UpstreamMfa::Attested)
        .then_some("mfa = \"attested\" has no effect yet: the broker does not ask for second factors")
}

fn warn_of(record: &ConnectionRecord, end: Timestamp) {
    let connection = &record.connection;
    tracing::warn!(
        organization = %connection.organization,
        connection = %connection.id,
        handle = %connection.handle,
        ends = %end,
        "a client secret ends; get a new one at the provider and apply it as next_client_secret"
    );
}
