//! The authorization response: a code or an error on its way back to the client (RFC 6749, section 4.1.2; RFC 9207).

use std::time::Duration;

use axum::response::Response;
use http::StatusCode;

use super::request::{AuthorizeRequest, Refusal, ResponseMode, Target};
use crate::emulator::html;
use crate::emulator::idp::pages::{Body, Page};
use crate::emulator::idp::{Grant, Idp, Session};
use crate::protocol::oauth::{OAuthError, add_to_query};

/// How long a code can be redeemed.
const CODE_LIFETIME: Duration = Duration::from_mins(1);

impl Idp {
    /// Sends the browser back with a code.
    pub(in crate::emulator::idp) fn grant(
        &self,
        request: &AuthorizeRequest,
        session: Session,
        cookies: &[String],
    ) -> Response {
        let code = self.token();
        let grant = Grant {
            client_id: request.client_id.clone(),
            redirect_uri: request.target.redirect_uri.clone(),
            nonce: request.nonce.clone(),
            scopes: request.scopes.clone(),
            code_challenge: request.code_challenge.clone(),
            session,
        };
        self.codes.put(code.clone(), grant, self.now(), CODE_LIFETIME);
        self.send(&request.target, &[("code", &code)], cookies)
    }

    /// Sends the browser back with an error.
    pub(super) fn deny(&self, target: &Target, error: &OAuthError) -> Response {
        self.send(target, &[("error", error.code.as_str()), ("error_description", &error.description)], &[])
    }

    /// Responds to a request that cannot be served.
    pub(super) fn refuse(&self, refusal: &Refusal) -> Response {
        match refusal {
            Refusal::Page(reason) => self.page(StatusCode::BAD_REQUEST, Body::Error { reason }),
            Refusal::Redirect(target, error) => self.deny(target, error),
        }
    }

    /// Shows one of the identity provider's own pages.
    pub(in crate::emulator::idp) fn page(&self, status: StatusCode, body: Body<'_>) -> Response {
        self.page_with(status, body, &[])
    }

    /// Shows one of the identity provider's own pages, and sets cookies.
    pub(in crate::emulator::idp) fn page_with(
        &self,
        status: StatusCode,
        body: Body<'_>,
        cookies: &[String],
    ) -> Response {
        html::page(status, &Page { name: self.habits.name, colour: self.habits.colour, body }, cookies)
    }

    fn send(&self, target: &Target, result: &[(&str, &str)], cookies: &[String]) -> Response {
        let issuer = self.issuer();
        let mut fields = result.to_vec();
        fields.extend(target.state.as_deref().map(|state| ("state", state)));
        fields.extend(self.response_iss.then_some(("iss", issuer.as_str())));
        match target.mode {
            ResponseMode::Query => html::see_other(&add_to_query(&target.redirect_uri, &fields), cookies),
            ResponseMode::FormPost => {
                let body = Body::FormPost { action: &target.redirect_uri, fields: &fields };
                self.page_with(StatusCode::OK, body, cookies)
            }
        }
    }
}
