//! The shared state of all handlers.

use std::sync::Arc;

use axum::extract::FromRef;

use super::headers::HeaderSettings;
use super::pages::Pages;
use crate::flows::Broker;

/// The shared state of all handlers; cheap to clone.
#[derive(Clone)]
pub struct Web {
    /// The use cases.
    pub broker: Arc<Broker>,
    /// Texts and assets.
    pub pages: Arc<Pages>,
    /// The settings of the security headers.
    pub headers: HeaderSettings,
}

impl FromRef<Web> for HeaderSettings {
    fn from_ref(web: &Web) -> Self {
        web.headers
    }
}
