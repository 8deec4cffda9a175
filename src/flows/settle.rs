//! The boundary of refusals: one place writes their records and marks, and says how they are told.

use std::time::Duration;

use super::Broker;
use super::error::FlowError;
use super::evidence::{Event, random_receipt};
use super::refusal::{Elsewhere, Mark, PublicCode, Reason, Refusal, RefusalView, Told, refused};
use super::visit::Visit;
use crate::model::InteractionEnd;
use crate::store::{StoreError, Tx, interactions, mail_codes};

impl Broker {
    /// Writes what stays of a refusal, its record and its marks together, and says how it is told. Whatever transaction
    /// the use case had open is rolled back by now.
    ///
    /// # Errors
    /// Something that is needed is down: then nothing was refused, and nothing is written.
    pub async fn settle(&self, visit: &Visit, error: FlowError) -> Result<Told, FlowError> {
        let refusal = match error {
            FlowError::Refused(refusal) => *refusal,
            FlowError::Unavailable(_) => return Err(error),
        };
        let Refusal { code, record, marks, to_app, app, receipt } = refusal;
        let record = record.map(|(event, reason)| match (&event.receipt, &to_app) {
            (None, None) => (Event { receipt: Some(random_receipt(&*self.random)), ..event }, reason),
            _ => (event, reason),
        });
        // What only notes that something is over stands apart, so that a flood of such refusals is counted like others.
        let is_expiry = marks.iter().all(|mark| mark.is_expiry());
        if !marks.is_empty() {
            let mut tx = self.database.write().await?;
            for mark in marks {
                self.leave_mark(&mut tx, mark).await?;
            }
            if let (Some((event, reason)), false) = (&record, is_expiry) {
                self.record_refusal(&mut tx, event, *reason).await?;
            }
            tx.commit().await?;
        }
        if let (Some((event, reason)), true) = (&record, is_expiry) {
            self.record_refusal_alone(&visit.network(), event, *reason).await?;
        }
        if let Some(address) = to_app {
            return Ok(Told::App(address));
        }
        let (known_receipt, known_app) = record.map_or((None, None), |(event, _)| (event.receipt, event.app));
        let app = match app.or(known_app) {
            Some(app) => self.app_link(app).await,
            None => None,
        };
        let code = match code {
            PublicCode::OtherConnection(Elsewhere { connection, .. }) => {
                // The refusal is recorded by now. Without the name, the page says the rest.
                let name = self.connection_name(connection).await.unwrap_or_default();
                PublicCode::OtherConnection(Elsewhere { connection, name })
            }
            code => code,
        };
        Ok(Told::Person(Box::new(RefusalView { code, receipt: receipt.or(known_receipt), app })))
    }

    async fn leave_mark(&self, tx: &mut Tx, mark: Mark) -> Result<(), StoreError> {
        let now = self.clock.now();
        match mark {
            Mark::EndInteraction(id) => {
                interactions::end_interaction(tx, id, InteractionEnd::Burned, now).await.map(drop)
            }
            Mark::ExpireInteraction(id) => {
                interactions::expire_interaction(tx, id, now, now.last_end(Duration::ZERO)).await
            }
            Mark::DeleteMailCode(session) => mail_codes::delete_code(tx, session).await,
            Mark::ExpireMailCode(session) => mail_codes::expire_code(tx, session, now).await,
        }
    }

    /// Refuses a form that another site sent.
    pub fn refuse_cross_site(&self) -> FlowError {
        refused(Event::new("form"), PublicCode::CrossSite, Reason::CrossSite)
    }

    /// Refuses a form that none of our pages sends.
    pub fn refuse_form(&self, reason: Reason) -> FlowError {
        refused(Event::new("form"), PublicCode::InvalidRequest, reason)
    }
}
