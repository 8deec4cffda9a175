//! `check`: what works and what does not, without changing anything.

use crate::flows::Broker;
use crate::store::{StoreError, connections, organizations};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub what: String,
    /// Whether it works.
    pub good: bool,
    /// What was found, in a sentence.
    pub finding: String,
}

impl Broker {
    /// Looks at the database, the keys, mail and every connection.
    pub async fn check(&self) -> Result<Vec<Check>, StoreError> {
        let check = |what: &str, good, finding: String| Check { what: what.to_owned(), good, finding };
        let mut checks = vec![check("database", true, format!("{} answers", self.database.engine_name()))];
        let keys = self.list_signing_keys().await;
        checks.push(match keys {
            Ok(keys) => check("keys", !keys.is_empty(), format!("{} signing keys, all open", keys.len())),
            Err(error) => check("keys", false, error.to_string()),
        });
        checks.push(check("mail", true, "not configured".to_owned()));
        let mut after = String::new();
        loop {
            let page = {
                let mut tx = self.database.read().await?;
                organizations::list_organizations(&mut tx, &after, 100).await?
            };
            let Some(last) = page.last() else { return Ok(checks) };
            after = last.handle.to_string();
            for organization in &page {
                let records = {
                    let mut tx = self.database.read().await?;
                    connections::list_connections(&mut tx, organization.id).await?
                };
                for record in records {
                    let connection = &record.connection;
                    let what = format!("connection {}/{}", organization.handle, connection.handle);
                    if !connection.enabled || !organization.enabled {
                        checks.push(check(&what, true, "disabled".to_owned()));
                        continue;
                    }
                    if let Err(error) = self.open_credential(connection.id, &record.credential) {
                        checks.push(check(&what, false, error.to_string()));
                        continue;
                    }
                    let probe = self.upstream.probe(connection).await;
                    let texts: Vec<String> =
                        probe.findings.iter().map(|finding| finding.text.clone()).collect();
                    let finding = if texts.is_empty() {
                        "its provider answers as it should".to_owned()
                    } else {
                        texts.join("; ")
                    };
                    checks.push(check(&what, probe.is_usable(), finding));
                }
            }
        }
    }
}
