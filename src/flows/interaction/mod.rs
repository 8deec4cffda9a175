//! Interactions: everything that keeps one user here for more than one page.
//!
//! Until the user proves who they are, a flow travels sealed in a cookie (`sealed`). From then on an interaction has a
//! subject, and a row if it has to wait for the user (`rows`). This module holds the interaction, its rows, and its
//! transaction (`opening`). The steps live with their concerns. [`crate::policy::sign_in::step::next_step`] decides
//! which step is due, and only the dispatcher takes it.

pub(in crate::flows) mod brand;
pub mod opening;
mod rows;
pub mod sealed;
pub(in crate::flows) mod to_app;

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::crypto::mac::MacKey;
use crate::flows::core::Core;
use crate::flows::evidence::{Event, receipt_of};
use crate::flows::refusal::{PublicCode, Reason};
use crate::flows::visit::Answer;
use crate::model::{Account, ConnectionId, Flow, FlowId, Interaction, Subject};
use crate::policy::sign_in::step::Stage;
use crate::store::Tx;

pub(in crate::flows) use opening::Known;

/// An interaction that has a row: it waits for the user.
#[derive(Debug, Clone)]
pub(in crate::flows) struct Waiting {
    /// The interaction.
    pub interaction: Interaction,
    /// The page or trip at which it waits.
    pub stage: Stage,
    /// Counts its changes. A change names the revision that it follows.
    pub revision: i64,
}

/// A page at which interactions wait, as records and refusals name it.
#[derive(Clone)]
pub(in crate::flows) struct WaitingPage {
    /// The action that the audit log records.
    pub action: &'static str,
    /// The reason that the audit log records when another browser asks.
    pub foreign: Reason,
    /// Whether the browser must hold the cookie of the interaction. Otherwise the session binds the page.
    pub by_cookie: bool,
    /// The public code for a user who comes too late; `None` for the flow's own code.
    pub over: Option<PublicCode>,
}

/// The claim of a transaction on the row of an interaction. Of two answers that come at once, only one gets it.
pub(in crate::flows) struct Claim {
    revision: i64,
}

impl Claim {
    /// The revision of the row after the claim.
    pub(in crate::flows) const fn revision(&self) -> i64 {
        self.revision
    }
}

/// The result of a step's handler: an open transaction, and the interaction as that transaction leaves it. Only the
/// dispatcher goes on with it.
pub struct Answered {
    pub(in crate::flows) tx: Tx,
    pub(in crate::flows) known: Known,
    pub(in crate::flows) interaction: Interaction,
    /// The claim on its row, if it has one.
    pub(in crate::flows) claim: Option<Claim>,
    /// The subject's account, where the handler has just read it.
    pub(in crate::flows) account: Option<Account>,
    /// The event under which the audit log records a later refusal.
    pub(in crate::flows) event: Event,
    /// The claims of the ID token by which the subject has just arrived.
    pub(in crate::flows) claims: Option<Map<String, Value>>,
    /// The connection through which the user wants to prove the chosen side of a link.
    pub(in crate::flows) through: Option<ConnectionId>,
    /// The flow of the trip that has ended here.
    pub(in crate::flows) trip: Option<FlowId>,
    /// Whether a later refusal burns the proofs.
    pub(in crate::flows) burns: bool,
}

/// The result of a page's handler.
pub enum Handled {
    /// The answer to the browser.
    Next(Answer),
    /// The user has answered a step; the dispatcher goes on.
    Answered(Box<Answered>),
}

impl From<Answer> for Handled {
    fn from(answer: Answer) -> Self {
        Self::Next(answer)
    }
}

impl From<Answered> for Handled {
    fn from(answered: Answered) -> Self {
        Self::Answered(Box::new(answered))
    }
}

impl Answered {
    /// An interaction that goes on in this transaction. It has no row yet.
    pub(in crate::flows) fn new((tx, known): (Tx, Known), interaction: Interaction, event: Event) -> Self {
        Self {
            tx,
            known,
            interaction,
            claim: None,
            account: None,
            event,
            claims: None,
            through: None,
            trip: None,
            burns: false,
        }
    }
}

/// The event of a sign-in in which an account was proved.
pub(in crate::flows) fn sign_in_event_of(interaction: &Interaction, account: &Account) -> Event {
    let connection = match &interaction.subject {
        Subject::Identity(identity) => Some(identity.connection),
        Subject::Account { proof, .. } => proof.connection,
    };
    Event {
        organization: account.organization,
        actor: Some(account.id.into()),
        connection,
        app: interaction.purpose.app(),
        receipt: Some(receipt_of(interaction.id)),
        ..Event::new("sign_in")
    }
}

/// The event of a sign-in in which the user has proved nothing yet.
pub(in crate::flows) fn sign_in_event(flow: &Flow) -> Event {
    Event { app: flow.aim.app(), receipt: Some(receipt_of(flow.id)), ..Event::new("sign_in") }
}

/// Interactions and the flows that begin them.
pub struct Interactions {
    core: Arc<Core>,
    form_mac: MacKey,
}

impl Interactions {
    /// The service, on the shared core.
    pub(in crate::flows) fn new(core: &Arc<Core>, form_mac: MacKey) -> Self {
        Self { core: Arc::clone(core), form_mac }
    }
}
