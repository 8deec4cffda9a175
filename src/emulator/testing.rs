//! A clock that stands still, and servers that are reached without a network.

use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::fetch::{Fetch, FetchError, Fetched};
use crate::model::{Clock, Timestamp};

pub(super) struct StandingClock(AtomicI64);

impl StandingClock {
    pub(super) const fn at(seconds: i64) -> Self {
        Self(AtomicI64::new(seconds))
    }

    pub(super) fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_seconds(self.0.load(Ordering::Relaxed))
    }
}

/// Routers by the authority at which they are reached.
#[derive(Clone, Default)]
pub(super) struct Routers(Vec<(String, Router)>);

impl Routers {
    pub(super) fn with(mut self, authority: &str, router: Router) -> Self {
        self.0.push((authority.to_owned(), router));
        self
    }
}

impl Fetch for Routers {
    fn fetch(&self, request: Request<Bytes>) -> Fetched<'_> {
        Box::pin(async move {
            let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
            let found = self.0.iter().find(|(known, _)| *known == authority);
            let (_, router) = found.ok_or_else(|| FetchError(format!("nobody at {authority}")))?;
            let answer = router.clone().oneshot(request.map(Body::from)).await.unwrap();
            let (parts, body) = answer.into_parts();
            Ok(Response::from_parts(parts, body.collect().await.unwrap().to_bytes()))
        })
    }
}
