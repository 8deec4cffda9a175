//! The transaction in which an interaction goes on, and the entries of the directory that it needs.

use std::sync::Arc;

use crate::flows::directory::{AppEntry, ConnectionEntry};
use crate::flows::interaction::Interactions;
use crate::flows::refusal::FlowError;
use crate::model::{Aim, ConnectionId, Flow, Interaction, Organization, Purpose, Subject};
use crate::policy::provider::access::may_use;
use crate::policy::sign_in::route::{Hints, is_among};
use crate::store::Tx;

/// The most times that the broker reads the directory because it changed meanwhile.
const ATTEMPTS: usize = 3;

/// The entries of the directory that an interaction needs.
#[derive(Default)]
pub struct Known {
    /// The app that is waiting.
    pub(in crate::flows) app: Option<Arc<AppEntry>>,
    /// The connections to which the app's request may lead.
    pub(in crate::flows) hints: Option<Hints>,
    /// The connection through which the identity has come.
    pub(in crate::flows) connection: Option<Arc<ConnectionEntry>>,
}

impl Known {
    /// Whether a user of this organization who came through this connection may use the app that is waiting.
    pub(in crate::flows) fn admits(&self, organization: &Organization, connection: ConnectionId) -> bool {
        let Some(entry) = &self.app else { return true };
        may_use(&entry.app, Some(organization.membership()))
            && self.hints.as_ref().is_none_or(|hints| is_among(hints, Some(connection)))
    }
}

impl Interactions {
    /// Opens the transaction in which an interaction goes on. It reads the directory first: such transactions could
    /// hold all database connections, and then none would be left to load the directory. If the directory changes
    /// before the transaction is open, it reads again.
    async fn open_completion(
        &self,
        purpose: Option<&Purpose>,
        connection: Option<ConnectionId>,
    ) -> Result<(Tx, Known), FlowError> {
        for _ in 0..ATTEMPTS {
            let generation = self.core.directory.generation();
            let known = self.known(purpose, connection).await?;
            let tx = self.core.database.write().await?;
            if self.core.directory.generation() == generation {
                return Ok((tx, known));
            }
        }
        Err(FlowError::Unavailable("the directory changes faster than it can be read".to_owned()))
    }

    /// Opens the transaction for an interaction.
    pub(in crate::flows) async fn open_for(
        &self,
        interaction: &Interaction,
    ) -> Result<(Tx, Known), FlowError> {
        let connection = match &interaction.subject {
            Subject::Identity(identity) => Some(identity.connection),
            Subject::Account { .. } => None,
        };
        self.open_completion(Some(&interaction.purpose), connection).await
    }

    /// Opens the transaction for a proof in a sealed flow. Where the flow proves a side of a link, the waiting
    /// interaction says what is needed.
    pub(in crate::flows) async fn open_for_flow(
        &self,
        flow: &Flow,
        connection: Option<ConnectionId>,
    ) -> Result<(Tx, Known), FlowError> {
        match &flow.aim {
            Aim::Begin(purpose) => self.open_completion(Some(purpose), connection).await,
            Aim::Prove(trip) => {
                let waiting =
                    self.find_waiting(&mut self.core.database.read().await?, trip.interaction).await?;
                let purpose = waiting.map(|waiting| waiting.interaction.purpose);
                self.open_completion(purpose.as_ref(), connection).await
            }
        }
    }

    async fn known(
        &self,
        purpose: Option<&Purpose>,
        connection: Option<ConnectionId>,
    ) -> Result<Known, FlowError> {
        let app = match purpose.and_then(Purpose::app) {
            Some(id) => self.core.directory.app_by_id(id).await?,
            None => None,
        };
        let hints = match (&app, purpose.and_then(Purpose::request)) {
            (Some(entry), Some(request)) => Some(self.core.directory.hints(&entry.app, request).await?),
            _ => None,
        };
        let connection = match connection {
            Some(id) => self.core.directory.connection(id).await?,
            None => None,
        };
        Ok(Known { app, hints, connection })
    }
}
