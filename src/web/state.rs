//! What every handler has at hand.

use std::sync::Arc;

use axum::extract::FromRef;

use super::headers::HeaderSettings;
use super::pages::Pages;
use crate::flows::Broker;

/// What every handler has at hand; cheap to clone.
#[derive(Clone)]
pub struct Web {
    /// The use cases.
    pub broker: Arc<Broker>,
    /// Texts and assets.
    pub pages: Arc<Pages>,
    /// What the security headers depend on.
    pub headers: HeaderSettings,
}

impl FromRef<Web> for HeaderSettings {
    fn from_ref(web: &Web) -> Self {
        web.headers
    }
}
