//! The audit log, as use cases write it.

use crate::flows::core::Core;
use crate::flows::evidence::Event;
use crate::flows::refusal::AuditReason;
use crate::model::{AuditId, Target};
use crate::store::audit::{AuditRecord, insert_audit};
use crate::store::{StoreError, Tx};

impl Core {
    fn audit_record(&self, event: &Event, reason: Option<AuditReason>) -> AuditRecord {
        let at = self.clock.now();
        AuditRecord {
            id: AuditId::in_sequence(&self.audit_ids, at, &*self.random),
            organization: event.organization,
            at,
            actor: event.actor,
            action: event.action.to_owned(),
            succeeded: reason.is_none(),
            reason: reason.map(|reason| reason.as_str().to_owned()),
            receipt: event.receipt.clone(),
            connection: event.connection,
            app: event.app,
            target: event
                .target
                .clone()
                .or_else(|| event.about.as_ref().and_then(|named| named.account).map(Target::Account)),
            detail: match (&event.detail, event.about.as_ref().and_then(|named| named.account)) {
                (detail, None) => detail.clone(),
                (None, Some(account)) => Some(format!("account={account}")),
                (Some(detail), Some(account)) => Some(format!("account={account} {detail}")),
            },
        }
    }

    /// Records that something was done, in the transaction that does it.
    pub(in crate::flows) async fn record_success(
        &self,
        tx: &mut Tx,
        event: &Event,
    ) -> Result<(), StoreError> {
        insert_audit(tx, &self.audit_record(event, None)).await
    }

    /// Records that something was refused, in the transaction of what the refusal changes.
    pub(in crate::flows) async fn record_refusal(
        &self,
        tx: &mut Tx,
        event: &Event,
        reason: impl Into<AuditReason>,
    ) -> Result<(), StoreError> {
        insert_audit(tx, &self.audit_record(event, Some(reason.into()))).await
    }

    /// Records a refusal that changes nothing else. If it comes before anything was proven, a flood of them is only
    /// counted.
    pub(in crate::flows) async fn record_refusal_alone(
        &self,
        network: &str,
        event: &Event,
        reason: impl Into<AuditReason>,
    ) -> Result<(), StoreError> {
        let record = self.audit_record(event, Some(reason.into()));
        if event.actor.is_none() {
            return self.record_anonymous_refusal(network, event.about.as_ref(), record).await;
        }
        let mut tx = self.database.write().await?;
        insert_audit(&mut tx, &record).await?;
        tx.commit().await
    }

    /// A network's address as the audit log and the counters keep it: it can be recognized, but not read.
    pub(in crate::flows) fn network_tag(&self, network: &str) -> String {
        self.network_mac.tag(&[network.as_bytes()])
    }
}
