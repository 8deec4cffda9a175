//! `countersign migrate`.

use anyhow::Result;

use super::{Shared, say};
use crate::app::open_database;

pub(super) async fn run(shared: &Shared) -> Result<()> {
    let config = shared.config()?;
    let database = open_database(&config).await?;
    database.close().await;
    say(&format!("the {} database is up to date", database.engine_name()));
    Ok(())
}
