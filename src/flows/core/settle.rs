//! The boundary of refusals: one place writes their records and marks, and decides how they are shown.

use std::time::Duration;

use crate::flows::core::Core;
use crate::flows::evidence::{Event, random_receipt};
use crate::flows::refusal::{
    AuditReason, Elsewhere, EndpointError, EndpointRefusal, FlowError, Mark, PublicCode, Reason, Refusal,
    RefusalView, Told, ToldApp, private_detail, refused,
};
use crate::flows::visit::Visit;
use crate::model::InteractionEnd;
use crate::store::account::mail_codes;
use crate::store::interaction::interactions;
use crate::store::provider::grants;
use crate::store::provider::standing::{use_code, use_refresh_token};
use crate::store::{StoreError, Tx};

impl Core {
    /// Writes the record and the marks of a refusal together, and decides how it is shown. Any transaction that the use
    /// case had open is rolled back by now.
    ///
    /// # Errors
    /// Something that is needed is down. Then nothing is refused, and nothing is written.
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
        self.write(&visit.network(), marks, record.as_ref()).await?;
        if let Some(address) = to_app {
            return Ok(Told::App(address));
        }
        let (known_receipt, known_app) = record.map_or((None, None), |(event, _)| (event.receipt, event.app));
        let app = match app.or(known_app) {
            Some(app) => self.directory.app_link(app).await,
            None => None,
        };
        let code = match code {
            PublicCode::OtherConnection(Elsewhere { connection, .. }) => {
                // The refusal is recorded by now. If the name cannot be read, the page shows the rest.
                let name = self.directory.connection_name(connection).await.unwrap_or_default();
                PublicCode::OtherConnection(Elsewhere { connection, name })
            }
            code => code,
        };
        Ok(Told::Person(Box::new(RefusalView { code, receipt: receipt.or(known_receipt), app })))
    }

    /// The same for an endpoint for apps. `network` is where the request came from.
    ///
    /// # Errors
    /// Something that is needed is down; the text says what, for the log. Then nothing is refused, and nothing is
    /// written.
    pub async fn settle_endpoint(&self, network: &str, error: EndpointError) -> Result<ToldApp, String> {
        let refusal = match error {
            EndpointError::Refused(refusal) => *refusal,
            EndpointError::Unavailable(detail) => return Err(detail),
        };
        let EndpointRefusal { told, record, marks } = refusal;
        let written = self.write(network, marks, Some(&record)).await;
        written.map(|()| told).map_err(|error| private_detail(&error))
    }

    /// Writes marks and record together. If the marks only note that something has expired, they are written apart from
    /// the record, so that a flood of such refusals is counted like others.
    async fn write(
        &self,
        network: &str,
        marks: Vec<Mark>,
        record: Option<&(Event, AuditReason)>,
    ) -> Result<(), StoreError> {
        let is_expiry = marks.iter().all(Mark::is_expiry);
        if !marks.is_empty() {
            let mut tx = self.database.write().await?;
            for mark in marks {
                self.leave_mark(&mut tx, mark).await?;
            }
            if let (Some((event, reason)), false) = (record, is_expiry) {
                self.record_refusal(&mut tx, event, *reason).await?;
            }
            tx.commit().await?;
        }
        if let (Some((event, reason)), true) = (record, is_expiry) {
            self.record_refusal_alone(network, event, *reason).await?;
        }
        Ok(())
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
            Mark::RevokeGrant(grant) => grants::revoke_grant(tx, grant, now).await.map(drop),
            Mark::UseCode(hash) => use_code(tx, &hash, now).await,
            Mark::ExpireCode(hash, from) => grants::expire_code(tx, &hash, from).await,
            Mark::UseRefreshToken(hash) => use_refresh_token(tx, &hash, now).await,
            Mark::ExpireRefreshToken(hash) => grants::expire_refresh_token(tx, &hash, now).await,
        }
    }

    /// Refuses a form that another site sent.
    pub fn refuse_cross_site(&self) -> FlowError {
        refused(Event::new("form"), PublicCode::CrossSite, Reason::CrossSite)
    }

    /// Refuses a form that none of the broker's pages sends.
    pub fn refuse_form(&self, reason: Reason) -> FlowError {
        refused(Event::new("form"), PublicCode::InvalidRequest, reason)
    }
}
