//! `countersign serve`.

use anyhow::Result;

use super::{Shared, asked_to_stop, environment, log_as_configured, say};
use crate::app::App;

pub(super) async fn run(shared: &Shared) -> Result<()> {
    let config = shared.config()?;
    log_as_configured(&config);
    let app = App::bind(&config, environment()).await?;
    say(&format!(
        "Countersign serves {} on {}; health and metrics on {}",
        config.server.public_url.issuer(),
        app.public_addr(),
        app.management_addr()
    ));
    app.serve(asked_to_stop()).await;
    Ok(())
}
