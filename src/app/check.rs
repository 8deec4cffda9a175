//! `countersign check`: everything that a start needs, examined without changing anything.

use std::sync::Arc;

use super::{Config, Environment, first_certificate, flow_settings, store_settings};
use crate::crypto::MasterKey;
use crate::flows::Broker;
use crate::flows::manage::{Check, Verdict};
use crate::model::Timestamp;
use crate::net::Certificates;
use crate::policy::deadline::deadline;
use crate::store::Database;
use crate::store::provider::keys;

/// The findings of a start. `embedded` means a start without a configuration file.
pub async fn check(config: &Config, environment: &Environment, embedded: bool) -> Vec<Check> {
    let mut checks = if embedded && first_certificate::is_due(config) {
        vec![Check::new(
            "certificates",
            Verdict::Good,
            "none yet; the first start makes one for trying it out",
        )]
    } else {
        check_certificates(config, environment.clock.now())
    };
    match look(config, environment, &mut checks).await {
        Ok(()) => {}
        Err(error) => checks.push(Check::new("database", Verdict::Bad, format!("{error:#}"))),
    }
    checks
}

fn check_certificates(config: &Config, now: Timestamp) -> Vec<Check> {
    let certificates = match Certificates::load(&config.tls.certs_dir) {
        Ok(certificates) => certificates,
        Err(error) => return vec![Check::new("certificates", Verdict::Bad, error.to_string())],
    };
    let default =
        if certificates.has_default() { ", and a default for clients that name no host" } else { "" };
    let mut checks = vec![Check::new(
        "certificates",
        Verdict::Good,
        format!("for {}{default}", certificates.names().join(", ")),
    )];
    for (name, end) in certificates.ends() {
        let (verdict, finding) = match end {
            Some(end) => (deadline(end, now).into(), format!("ends on {end}")),
            None => (Verdict::Warning, "its expiry date cannot be read".to_owned()),
        };
        checks.push(Check::new(format!("certificate {name}"), verdict, finding));
    }
    checks
}

async fn look(config: &Config, environment: &Environment, checks: &mut Vec<Check>) -> anyhow::Result<()> {
    let Some(database) = Database::open_to_look(&store_settings(config)).await? else {
        checks.push(Check::new("database", Verdict::Good, "not there yet; the first start makes it"));
        return Ok(());
    };
    let engine = database.engine_name();
    let missing = database.count_missing_migrations().await?;
    if missing > 0 {
        let finding = format!("{engine} answers; the next start runs {missing} migrations");
        checks.push(Check::new("database", Verdict::Good, finding));
        return Ok(());
    }
    checks.push(Check::new("database", Verdict::Good, format!("{engine} answers")));
    let Some(master) = config.secrets.load()? else {
        let path = config.secrets.master_key_file.display();
        let has_keys = !keys::list_keys(&mut database.read().await?).await?.is_empty();
        checks.push(if has_keys {
            let finding = format!("there is no master key at {path}; put it back from your backup");
            Check::new("keys", Verdict::Bad, finding)
        } else {
            Check::new("keys", Verdict::Good, "none yet; the first start makes them")
        });
        return Ok(());
    };
    let (clock, random) = (Arc::clone(&environment.clock), Arc::clone(&environment.random));
    let settings = flow_settings(config)?;
    let broker = Broker::new(settings, Arc::new(database), &MasterKey::from_bytes(*master), clock, random)?;
    checks.extend(broker.health.check().await?);
    broker.housekeeping.close().await;
    Ok(())
}
