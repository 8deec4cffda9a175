//! Metrics in the text format that Prometheus reads (`OpenMetrics` 1.0).
//!
//! It uses `prometheus-client`, whose registry is a value that the broker owns; the `metrics` crate records into a
//! global.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper bounds in seconds: from a cached response to one that waited for an identity provider.
const SECONDS: [f64; 13] = [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The properties by which requests are counted. The route is the pattern that matched, never the path, so that
/// clients cannot create new series.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The method; `OTHER` if it is not one of HTTP's own.
    pub method: &'static str,
    /// The route, such as `/sso/{name}`.
    pub route: String,
    /// The status; 0 if the client went away before there was one.
    pub status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: String,
}

/// The broker's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabel, Histogram>,
    running: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("countersign");
        let requests = Family::default();
        let durations = Family::new_with_constructor(histogram as fn() -> Histogram);
        let running = Gauge::default();
        registry.register("http_requests", "Requests answered", Family::clone(&requests));
        registry.register(
            "http_request_duration_seconds",
            "Time to the head of the answer",
            Family::clone(&durations),
        );
        registry.register(
            "http_requests_running",
            "Requests that are being answered",
            Gauge::clone(&running),
        );
        Self { registry, requests, durations, running }
    }
}

fn histogram() -> Histogram {
    Histogram::new(SECONDS)
}

impl Metrics {
    /// The registry, in which `app` registers the metrics of other rooms before the metrics are shared.
    pub fn registry_mut(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Notes that a request has begun.
    pub(super) fn request_began(&self) {
        self.running.inc();
    }

    /// Notes that a request has ended, and how many seconds it took.
    pub(super) fn request_ended(&self, labels: &RequestLabels, seconds: f64) {
        self.running.dec();
        self.requests.get_or_create(labels).inc();
        self.durations.get_or_create(&RouteLabel { route: labels.route.clone() }).observe(seconds);
    }

    /// How many requests with these properties have ended.
    pub fn requests(&self, labels: &RequestLabels) -> u64 {
        self.requests.get(labels).map_or(0, |counter| counter.get())
    }

    /// All metrics as text.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string fails only if the encoding of a metric fails. Then the scrape shows what there is.
        if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            tracing::error!(%error, "metrics could not be rendered");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_method_route_and_status() {
        let metrics = Metrics::default();
        let labels = RequestLabels { method: "GET", route: "/sso/{name}".to_owned(), status: 303 };
        for _ in 0..2 {
            metrics.request_began();
            metrics.request_ended(&labels, 0.02);
        }
        assert_eq!(metrics.requests(&labels), 2);
        let text = metrics.render();
        for line in [
            r#"countersign_http_requests_total{method="GET",route="/sso/{name}",status="303"} 2"#,
            r#"countersign_http_request_duration_seconds_bucket{le="0.01",route="/sso/{name}"} 0"#,
            r#"countersign_http_request_duration_seconds_bucket{le="0.025",route="/sso/{name}"} 2"#,
            "countersign_http_requests_running 0",
            "# EOF",
        ] {
            assert!(text.lines().any(|given| given == line), "{line}\n{text}");
        }
    }

    #[test]
    fn what_others_count_is_rendered_too() {
        let mut metrics = Metrics::default();
        let waiting: Gauge = Gauge::default();
        metrics.registry_mut().register("passwords_waiting", "Passwords in the queue", waiting.clone());
        waiting.set(3);
        assert!(metrics.render().contains("countersign_passwords_waiting 3\n"));
    }
}
