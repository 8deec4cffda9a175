//! Audit records and receipts, as the use cases write them.

use aws_lc_rs::digest;

use super::Broker;
use super::refusal::{AppLink, AuditReason};
use crate::model::{AccountId, Actor, AppId, AuditId, ConnectionId, FlowId, OrganizationId, Random};
use crate::store::audit::{AuditRecord, insert_audit};
use crate::store::{StoreError, Tx};

/// A name that somebody guessed at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name as counters keep it: recognizable, not readable.
    pub tag: String,
    /// Its account, if it has one.
    pub account: Option<AccountId>,
}

/// What was to be done, and by whom.
#[derive(Debug, Clone, Default)]
pub struct Event {
    /// `sign_in`, `authorize`, `token.code`, ….
    pub action: &'static str,
    /// Whose log it stands in.
    pub organization: Option<OrganizationId>,
    /// Whose doing it was.
    pub actor: Option<Actor>,
    /// The name that was guessed at by somebody who has not proved to be its holder.
    pub about: Option<Named>,
    /// The connection that was involved.
    pub connection: Option<ConnectionId>,
    /// The app that was involved.
    pub app: Option<AppId>,
    /// The code that the person sees.
    pub receipt: Option<String>,
    /// What else is known, without personal data and secrets.
    pub detail: Option<String>,
}

impl Event {
    /// An event of which only the action is known.
    pub fn new(action: &'static str) -> Self {
        Self { action, ..Self::default() }
    }

    /// What the operator did to an organization's account.
    pub fn by_operator(
        action: &'static str,
        organization: Option<OrganizationId>,
        account: AccountId,
    ) -> Self {
        Self {
            organization,
            actor: Some(Actor::Operator),
            detail: Some(format!("account={account}")),
            ..Self::new(action)
        }
    }
}

impl Broker {
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
            detail: match (&event.detail, event.about.as_ref().and_then(|named| named.account)) {
                (detail, None) => detail.clone(),
                (None, Some(account)) => Some(format!("account={account}")),
                (Some(detail), Some(account)) => Some(format!("account={account} {detail}")),
            },
        }
    }

    /// Records that something was done, in the transaction that does it.
    pub(super) async fn record_success(&self, tx: &mut Tx, event: &Event) -> Result<(), StoreError> {
        insert_audit(tx, &self.audit_record(event, None)).await
    }

    /// Records that something was refused, in the transaction of what the refusal changes.
    pub(super) async fn record_refusal(
        &self,
        tx: &mut Tx,
        event: &Event,
        reason: impl Into<AuditReason>,
    ) -> Result<(), StoreError> {
        insert_audit(tx, &self.audit_record(event, Some(reason.into()))).await
    }

    /// Records a refusal that changes nothing else. Before anything was proven, a flood of them is counted.
    pub(super) async fn record_refusal_alone(
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

    /// Where the person can begin again, as far as it is known.
    pub(super) async fn app_link(&self, app: AppId) -> Option<AppLink> {
        let entry = self.directory.app_by_id(app).await.ok().flatten()?;
        Some(AppLink { name: entry.app.name.clone(), home: entry.app.settings.home_uri.clone() })
    }

    /// A network's address as audit and counters keep it: recognizable, not readable.
    pub(super) fn network_tag(&self, network: &str) -> String {
        self.network_mac.tag(&[network.as_bytes()])
    }
}

/// Crockford's base 32: no letters that look like digits.
const SYMBOLS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The receipt of a flow: the same on all its pages and records, and telling nothing about the flow.
pub fn receipt_of(flow: FlowId) -> String {
    let hash = digest::digest(&digest::SHA256, &flow.into_bytes());
    spell(hash.as_ref())
}

/// A receipt for what belongs to no flow.
pub(super) fn random_receipt(random: &dyn Random) -> String {
    let mut bytes = [0; 6];
    random.fill(&mut bytes);
    spell(&bytes)
}

/// Six symbols, as `7F3K-Q2`.
fn spell(bytes: &[u8]) -> String {
    let symbols =
        bytes.iter().take(6).map(|byte| SYMBOLS.get(usize::from(byte & 31)).copied().unwrap_or(b'0'));
    let mut text: String = symbols.map(char::from).collect();
    text.insert(4.min(text.len()), '-');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_has_six_symbols_that_are_read_aloud_easily() {
        let receipt = receipt_of(FlowId::from_bytes([7; 16]));
        assert_eq!(receipt.len(), 7);
        assert_eq!(receipt.as_bytes()[4], b'-');
        assert!(receipt.bytes().all(|b| b == b'-' || SYMBOLS.contains(&b)), "{receipt}");
        assert_eq!(receipt, receipt_of(FlowId::from_bytes([7; 16])));
        assert_ne!(receipt, receipt_of(FlowId::from_bytes([8; 16])));
    }
}
