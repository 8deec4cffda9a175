//! Flows in which the user has proved nothing yet. Each is sealed in its own cookie, or parked in the database when it
//! is too large for one.
//!
//! Pages name a flow by a *handle*, identity providers by a *state*. Both are sealed and carry the app's id, so that a
//! page can still send the user back to the app after the cookie is gone.

use crate::crypto::constant_time_eq;
use crate::crypto::seal::Purpose;
use crate::flows::evidence::{Event, receipt_of};
use crate::flows::interaction::Interactions;
use crate::flows::refusal::{FlowError, PublicCode, Reason, Refusal, Wait, refused};
use crate::flows::visit::{CookieChange, Visit};
use crate::model::{Aim, AppId, FLOW_LIFETIME, Flow, FlowId};
use crate::store::StoreError;
use crate::store::interaction::flows;

/// The most bytes in a cookie's value.
const MAX_COOKIE: usize = 1_024;

/// The most flows that a browser holds.
const MAX_FLOWS: usize = 5;

/// The most flows of a browser that one answer clears. Our own pages never leave more, and cookies from elsewhere must
/// not make the answer long.
const MAX_CLEARED: usize = 10;

/// The most parked flows that one network may have at once.
const MAX_PARKED: i64 = 200;

/// The format of sealed flows, as the first byte. The broker treats a flow of another format as over. A release reads a
/// new format before the next release writes it.
const FORMAT: u8 = 1;

/// The flow, and its app, that a page or an identity provider names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowName {
    /// The flow.
    pub id: FlowId,
    /// The app that began it.
    pub app: Option<AppId>,
}

impl Interactions {
    /// A new flow.
    pub(in crate::flows) fn new_flow(&self, aim: Aim) -> Flow {
        let now = self.core.clock.now();
        Flow { id: FlowId::new(now, &*self.core.random), started_at: now, aim, named: None, upstream: None }
    }

    /// The name of a flow in our own addresses.
    pub(in crate::flows) fn flow_handle(
        &self,
        flow: FlowId,
        app: Option<AppId>,
    ) -> Result<String, FlowError> {
        let text = [flow.into_bytes(), app.map_or([0; 16], AppId::into_bytes)].concat();
        Ok(self.core.sealer.seal_text(Purpose::FlowCookie, "handle", &text)?)
    }

    /// Reads the name of a flow back from one of our own addresses.
    pub fn read_handle(&self, handle: &str) -> Option<FlowName> {
        let text = self.core.sealer.open_text(Purpose::FlowCookie, "handle", handle).ok()?;
        let (id, rest) = text.split_first_chunk::<16>()?;
        let app = rest.first_chunk::<16>().filter(|bytes| **bytes != [0; 16]);
        Some(FlowName { id: FlowId::from_bytes(*id), app: app.map(|bytes| AppId::from_bytes(*bytes)) })
    }

    /// The changes of cookies that keep a flow in the browser. Of more than five flows, the oldest goes.
    pub(in crate::flows) async fn keep_flow(
        &self,
        visit: &Visit,
        flow: &Flow,
    ) -> Result<Vec<CookieChange>, FlowError> {
        let context = format!("flow:{}", flow.id);
        let text = postcard::to_extend(flow, vec![FORMAT])
            .map_err(|_| FlowError::Unavailable("the flow cannot be written".to_owned()))?;
        let sealed = self.core.sealer.seal_text(Purpose::FlowCookie, &context, &text)?;
        let value = if sealed.len() <= MAX_COOKIE {
            sealed
        } else {
            self.park(visit, flow, &sealed).await?;
            self.core.sealer.seal_text(Purpose::FlowCookie, &format!("parked:{}", flow.id), &[])?
        };
        Ok(keep_cookie(visit, flow.id, value))
    }

    async fn park(&self, visit: &Visit, flow: &Flow, sealed: &str) -> Result<(), FlowError> {
        let network = self.core.network_tag(&visit.customer_network());
        let now = self.core.clock.now();
        let mut tx = self.core.database.write().await?;
        if flows::count_parked_flows(&mut tx, &network, now).await? >= MAX_PARKED {
            let event = Event { app: flow.aim.app(), ..Event::new("authorize") };
            return Err(refused(event, PublicCode::Busy(Wait::default()), Reason::TooManyLargeRequests));
        }
        flows::park_flow(&mut tx, flow.id, &network, sealed, flow.started_at.after(FLOW_LIFETIME)).await?;
        Ok(tx.commit().await?)
    }

    /// The flow with this id, if this browser holds it and it is not over. The caller explains `None`.
    pub(in crate::flows) async fn find_flow(
        &self,
        visit: &Visit,
        id: FlowId,
    ) -> Result<Option<Flow>, FlowError> {
        let Some((_, value)) = visit.flows.iter().find(|(held, _)| *held == id) else { return Ok(None) };
        let context = format!("flow:{id}");
        let open = |text: &str| self.core.sealer.open_text(Purpose::FlowCookie, &context, text).ok();
        let text = match open(value) {
            Some(text) => Some(text),
            None if self.is_parked(id, value) => {
                let mut tx = self.core.database.read().await?;
                let sealed = flows::find_parked_flow(&mut tx, id, self.core.clock.now()).await?;
                sealed.and_then(|sealed| open(&sealed))
            }
            None => None,
        };
        let flow: Option<Flow> = text.and_then(|text| match text.split_first() {
            Some((&FORMAT, flow)) => postcard::from_bytes(flow).ok(),
            _ => None,
        });
        let Some(flow) = flow.filter(|flow| flow.id == id) else { return Ok(None) };
        if flow.is_over(self.core.clock.now()) {
            self.mark_over(&flow).await?;
            return Ok(None);
        }
        Ok(Some(flow))
    }

    /// Notes that the browser learned that a flow is over, so that it stays over even when the clock is set back.
    async fn mark_over(&self, flow: &Flow) -> Result<(), FlowError> {
        let mark = over_mark(flow.id);
        if flows::is_spent(&mut self.core.database.read().await?, &mark).await? {
            return Ok(());
        }
        let until = flow.started_at.max(self.core.clock.now()).after(FLOW_LIFETIME);
        let mut tx = self.core.database.write().await?;
        flows::spend(&mut tx, &mark, until).await?;
        Ok(tx.commit().await?)
    }

    fn is_parked(&self, id: FlowId, value: &str) -> bool {
        self.core.sealer.open_text(Purpose::FlowCookie, &format!("parked:{id}"), value).is_ok()
    }

    /// The flow that a page's handle names. If it is gone, the refusal says so and leads back to the app.
    pub(in crate::flows) async fn require_flow(
        &self,
        visit: &Visit,
        handle: &str,
    ) -> Result<Flow, FlowError> {
        let Some(name) = self.read_handle(handle) else {
            return Err(refused(Event::new("sign_in"), PublicCode::FlowExpired, Reason::FlowHandleInvalid));
        };
        let Some(flow) = self.find_flow(visit, name.id).await? else {
            return Err(self.lost_flow(name).await?.into());
        };
        let marks = (finish_mark(flow.id), over_mark(flow.id));
        let spent = flows::is_either_spent(&mut self.core.database.read().await?, &marks.0, &marks.1).await?;
        if spent { Err(self.lost_flow(name).await?.into()) } else { Ok(flow) }
    }

    /// The refusal for a flow that this browser no longer holds. A reload or the back button is not a security
    /// decision, and leaves no record.
    pub(super) async fn lost_flow(&self, name: FlowName) -> Result<Refusal, StoreError> {
        let code = if self.has_finished(name.id).await? {
            PublicCode::FlowFinished
        } else {
            PublicCode::FlowExpired
        };
        Ok(lost(code, name))
    }

    /// Whether a user has signed in through this flow.
    pub(in crate::flows) async fn has_finished(&self, flow: FlowId) -> Result<bool, StoreError> {
        flows::is_spent(&mut self.core.database.read().await?, &finish_mark(flow)).await
    }

    /// The anti-forgery token of the forms of `subject`.
    pub fn form_token(&self, subject: &str) -> String {
        self.form_mac.tag(&[subject.as_bytes()])
    }

    /// Whether a form's token is the one for `subject`.
    pub fn is_form_token(&self, subject: &str, token: &str) -> bool {
        self.form_mac.verify(&[subject.as_bytes()], token)
    }

    /// The `state` of a request to an identity provider.
    pub(in crate::flows) fn upstream_state(
        &self,
        flow: &Flow,
        random: [u8; 16],
    ) -> Result<String, FlowError> {
        let app = flow.aim.app().map_or([0; 16], AppId::into_bytes);
        let text = [flow.id.into_bytes(), app, random].concat();
        Ok(self.core.sealer.seal_text(Purpose::UpstreamState, "state", &text)?)
    }

    /// Reads [`upstream_state`](Self::upstream_state): the flow, and the random part to compare.
    pub(in crate::flows) fn read_upstream_state(&self, state: &str) -> Option<(FlowName, StateProof)> {
        let text = self.core.sealer.open_text(Purpose::UpstreamState, "state", state).ok()?;
        let (id, rest) = text.split_first_chunk::<16>()?;
        let (app, rest) = rest.split_first_chunk::<16>()?;
        let random = rest.first_chunk::<16>()?;
        let app = (*app != [0; 16]).then(|| AppId::from_bytes(*app));
        Some((FlowName { id: FlowId::from_bytes(*id), app }, StateProof(*random)))
    }
}

/// The refusal for a flow that is over. It is not a security decision, and leaves no record.
pub(in crate::flows) fn lost(code: PublicCode, name: FlowName) -> Refusal {
    Refusal { receipt: Some(receipt_of(name.id)), app: name.app, ..Refusal::unrecorded(code) }
}

/// The changes of cookies that keep a flow's cookie in the browser. Of more than five flows, the oldest goes.
pub(super) fn keep_cookie(visit: &Visit, flow: FlowId, value: String) -> Vec<CookieChange> {
    let mut others: Vec<FlowId> = visit.flows.iter().map(|(id, _)| *id).filter(|id| *id != flow).collect();
    others.sort_unstable();
    let excess = (others.len() + 1).saturating_sub(MAX_FLOWS).min(MAX_CLEARED);
    let cleared = others.into_iter().take(excess).map(CookieChange::ClearFlow);
    cleared.chain([CookieChange::SetFlow(flow, value)]).collect()
}

/// The random part of a `state` that came back.
pub(in crate::flows) struct StateProof([u8; 16]);

impl StateProof {
    /// Whether it is the random part that was sent.
    pub(in crate::flows) fn is(&self, sent: [u8; 16]) -> bool {
        constant_time_eq(&self.0, &sent)
    }
}

/// The mark that spends a flow which had expired when the user came back to it.
pub(in crate::flows) fn over_mark(flow: FlowId) -> String {
    format!("{flow}:over")
}

/// The mark that spends a flow's end: a flow ends once.
pub(in crate::flows) fn finish_mark(flow: FlowId) -> String {
    format!("{flow}:end")
}
