//! Interactions: whatever keeps one person here for more than one page.
//!
//! Until somebody proves who they are, a flow travels sealed in a cookie (`sealed`). From then on an interaction has a
//! subject, and a row if it has to wait for the person (`rows`). Here live the noun, its rows, and what its transaction
//! needs (`opening`). The steps live with their concerns. [`crate::policy::sign_in::step::next_step`] decides which one is due,
//! and the dispatcher alone does it.

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

/// An interaction that has a row: it waits for the person.
#[derive(Debug, Clone)]
pub(in crate::flows) struct Waiting {
    /// The interaction.
    pub interaction: Interaction,
    /// The page or trip at which it waits.
    pub stage: Stage,
    /// Counts its changes; each stands on the one before.
    pub revision: i64,
}

/// A page at which interactions wait, as records and refusals name it.
#[derive(Clone)]
pub(in crate::flows) struct WaitingPage {
    /// What the page is for.
    pub action: &'static str,
    /// The reason that is recorded where another browser asks.
    pub foreign: Reason,
    /// Whether the browser must hold the cookie of the interaction; otherwise the page is bound by its session.
    pub by_cookie: bool,
    /// The public code where the person comes too late; `None` says what the flow says.
    pub over: Option<PublicCode>,
}

/// The claim of a transaction on the row of an interaction: of two answers that come at once, one has it.
pub(in crate::flows) struct Claim {
    revision: i64,
}

impl Claim {
    /// The revision to which the row has come by the claim.
    pub(in crate::flows) const fn revision(&self) -> i64 {
        self.revision
    }
}

/// What the handler of a step has done: an open transaction, and the interaction as it stands in it. Only
/// the dispatcher goes on with it.
pub struct Answered {
    pub(in crate::flows) tx: Tx,
    pub(in crate::flows) known: Known,
    pub(in crate::flows) interaction: Interaction,
    /// The claim on its row, if it has one.
    pub(in crate::flows) claim: Option<Claim>,
    /// The subject's account, where the handler has read it a moment ago.
    pub(in crate::flows) account: Option<Account>,
    /// Under which event a refusal of what follows is recorded.
    pub(in crate::flows) event: Event,
    /// The claims of the ID token by which the subject has just arrived.
    pub(in crate::flows) claims: Option<Map<String, Value>>,
    /// The connection through which the person wants to prove the chosen side of a link.
    pub(in crate::flows) through: Option<ConnectionId>,
    /// The flow of the trip that has ended here.
    pub(in crate::flows) trip: Option<FlowId>,
    /// Whether a refusal of what follows burns what was proved.
    pub(in crate::flows) burns: bool,
}

/// What the handler of a page came to.
pub enum Handled {
    /// The browser goes there next.
    Next(Answer),
    /// A step was answered: the dispatcher goes on.
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
    /// Goes on with an interaction in this transaction.
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

/// The record of a sign-in of somebody who has proved nothing yet.
pub(in crate::flows) fn sign_in_event(flow: &Flow) -> Event {
    Event { app: flow.aim.app(), receipt: Some(receipt_of(flow.id)), ..Event::new("sign_in") }
}

/// Interactions and the flows that begin them.
pub struct Interactions {
    core: Arc<Core>,
    form_mac: MacKey,
}

impl Interactions {
    /// The service, on the shared core and the services that it calls.
    pub(in crate::flows) fn new(core: &Arc<Core>, form_mac: MacKey) -> Self {
        Self { core: Arc::clone(core), form_mac }
    }
}
