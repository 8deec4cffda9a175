//! `countersign check`.

use anyhow::{Result, bail};

use super::{Shared, say};
use crate::app::certificate_names;

pub(super) async fn run(shared: &Shared) -> Result<()> {
    let config = shared.config()?;
    let mut failed = 0;
    let mut tell = |what: &str, good: bool, finding: &str| {
        failed += usize::from(!good);
        say(&format!("{:<4} {what}: {finding}", if good { "ok" } else { "FAIL" }));
    };
    tell("configuration", true, "has no errors");
    match certificate_names(&config) {
        Ok(names) => tell("certificates", true, &names),
        Err(error) => tell("certificates", false, &error.to_string()),
    }
    match shared.broker().await {
        Ok(broker) => {
            for check in broker.check().await? {
                tell(&check.what, check.good, &check.finding);
            }
            broker.close().await;
        }
        Err(error) => tell("database", false, &format!("{error:#}")),
    }
    if failed > 0 {
        bail!("{failed} of the checks failed");
    }
    Ok(())
}
