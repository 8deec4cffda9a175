//! Audit records and receipts, as the use cases write them.

use aws_lc_rs::digest;
use serde::Serialize;

use crate::model::{AccountId, Actor, AppId, Caller, ConnectionId, FlowId, OrganizationId, Random, Target};
use crate::store::audit::AuditRecord;

/// A name whose secret was guessed at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name as a keyed tag, as the counters keep it. It can be recognized but not read.
    pub tag: String,
    /// Its account, if it has one.
    pub account: Option<AccountId>,
}

/// An action, and the facts about it for the audit log.
#[derive(Debug, Clone, Default)]
pub struct Event {
    /// `sign_in`, `authorize`, `token.code`, ….
    pub action: &'static str,
    /// The organization in whose log it is recorded.
    pub organization: Option<OrganizationId>,
    /// The actor who did it.
    pub actor: Option<Actor>,
    /// The name whose secret was guessed at by a visitor who has not proved to hold it.
    pub about: Option<Named>,
    /// The connection that was involved.
    pub connection: Option<ConnectionId>,
    /// The app that was involved.
    pub app: Option<AppId>,
    /// The receipt that the user sees.
    pub receipt: Option<String>,
    /// Other facts, without personal data and secrets.
    pub detail: Option<String>,
    /// The target of the action, if it is not the actor, connection or app.
    pub target: Option<Target>,
}

impl Event {
    /// An event of which only the action is known.
    pub fn new(action: &'static str) -> Self {
        Self { action, ..Self::default() }
    }

    /// An action on a target of an organization, at this caller's request.
    pub fn by(
        caller: Caller,
        action: &'static str,
        organization: Option<OrganizationId>,
        target: Target,
    ) -> Self {
        Self { organization, actor: caller.actor(), target: Some(target), ..Self::new(action) }
    }
}

/// One record, as it is exported.
#[derive(Debug, Clone, Serialize)]
pub struct AuditLine {
    id: String,
    time: String,
    organization: Option<String>,
    actor: Option<String>,
    action: String,
    outcome: &'static str,
    reason: Option<String>,
    receipt: Option<String>,
    connection: Option<String>,
    app: Option<String>,
    detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_id: Option<String>,
}

impl From<AuditRecord> for AuditLine {
    fn from(record: AuditRecord) -> Self {
        Self {
            id: record.id.to_string(),
            time: record.at.to_string(),
            organization: record.organization.map(|id| id.to_string()),
            actor: record.actor.map(|id| id.to_string()),
            action: record.action,
            outcome: if record.succeeded { "success" } else { "failure" },
            reason: record.reason,
            receipt: record.receipt,
            connection: record.connection.map(|id| id.to_string()),
            app: record.app.map(|id| id.to_string()),
            detail: record.detail,
            target_kind: record.target.as_ref().map(Target::kind),
            target_id: record.target.as_ref().map(Target::id),
        }
    }
}

/// Crockford's base 32: no letters that look like digits.
const SYMBOLS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The receipt of a flow. It is the same on all its pages and records, and reveals nothing about the flow.
pub fn receipt_of(flow: FlowId) -> String {
    let hash = digest::digest(&digest::SHA256, &flow.into_bytes());
    spell(hash.as_ref())
}

/// A receipt for a refusal outside a flow.
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
