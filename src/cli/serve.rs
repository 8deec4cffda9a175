//! `countersign serve`.

use anyhow::Result;

use super::{Shared, asked_to_stop, log_to_stderr, say};
use crate::app::{App, Environment, first_certificate, log_settings};

pub(super) async fn run(shared: &Shared) -> Result<()> {
    let config = shared.config()?;
    let (format, level) = log_settings(&config);
    log_to_stderr(format, level);
    if shared.config.is_none()
        && let Some(line) = first_certificate::make(&config)?
    {
        say(&line);
    }
    let app = App::bind(&config, Environment::of_this_machine()).await?;
    say(&format!(
        "Countersign serves {} on {}; health and metrics on {}",
        config.server.public_url.issuer(),
        app.public_addr(),
        app.management_addr()
    ));
    app.serve(asked_to_stop()).await;
    Ok(())
}
