//! The refusal of a user who has proved who they are and may not go on. The app learns of a user who may not use it or
//! does not meet its demands, and of every refusal of a silent request; every other refusal is a page.

use crate::flows::dispatch::Dispatcher;
use crate::flows::evidence::Event;
use crate::flows::interaction::Answered;
use crate::flows::interaction::to_app::{LOGIN_REQUIRED, UNMET_CONTEXT, refuse_withdrawn};
use crate::flows::refusal::{FlowError, PublicCode, Reason, refused};
use crate::model::Purpose;
use crate::policy::sign_in::step::{StepRefusal, Withdrawn};
use crate::protocol::oauth::{ErrorCode, OAuthError};

impl Dispatcher {
    pub(super) fn refuse_step(&self, answered: Answered, refusal: StepRefusal) -> FlowError {
        let Answered { interaction, event, .. } = answered;
        let Purpose::App(request) = &interaction.purpose else { return refuse_person(event, refusal) };
        match refusal {
            StepRefusal::OtherAccount => {
                let description = "another user signed in than the one that id_token_hint or claims names";
                let error = OAuthError::new(ErrorCode::LoginRequired, description);
                self.interactions.refuse_to_app(event, request, &error, Reason::OtherAccount)
            }
            StepRefusal::Access => {
                let error = OAuthError::new(ErrorCode::AccessDenied, "this account may not use this app");
                self.interactions.refuse_to_app(event, request, &error, Reason::AppNotForAccount)
            }
            StepRefusal::Context => {
                self.interactions.refuse_to_app(event, request, &UNMET_CONTEXT, Reason::AcrNotReached)
            }
            // The broker sends nothing to an address that the app has given up.
            StepRefusal::Withdrawn(what)
                if interaction.purpose.is_silent() && what != Withdrawn::RedirectUri =>
            {
                self.interactions.refuse_to_app(event, request, &LOGIN_REQUIRED, Reason::from(what))
            }
            StepRefusal::Withdrawn(_) => refuse_person(event, refusal),
        }
    }
}

fn refuse_person(event: Event, refusal: StepRefusal) -> FlowError {
    match refusal {
        StepRefusal::Withdrawn(what) => refuse_withdrawn(event, what),
        StepRefusal::OtherAccount => refused(event, PublicCode::OtherAccount, Reason::OtherAccount),
        StepRefusal::Access | StepRefusal::Context => {
            refused(event, PublicCode::NotAllowed, Reason::AppNotForAccount)
        }
    }
}
