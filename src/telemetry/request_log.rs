//! The one log line of each request, and its metrics.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::extract::MatchedPath;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use tower::{Layer, Service};
use tracing::Instrument as _;

use super::{Metrics, RequestLabels};
use crate::model::Random;

/// The response header with the request's id. The broker does not adopt an id that the request brings, because any
/// client could choose it.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The route of requests that match no route.
const UNMATCHED: &str = "unmatched";

/// A layer for a router (added by `Router::layer`, so that the matched route is known). It gives each request an id,
/// which all its log lines carry, counts the request, and logs one line when there is a response. The line contains
/// the route's pattern, never the path: the paths of mailed links are secret.
#[derive(Clone)]
pub struct RequestLog {
    metrics: Arc<Metrics>,
    random: Arc<dyn Random>,
}

impl RequestLog {
    /// A layer that counts into `metrics`.
    pub fn new(metrics: Arc<Metrics>, random: Arc<dyn Random>) -> Self {
        Self { metrics, random }
    }

    fn id(&self) -> String {
        let mut bytes = [0; 8];
        self.random.fill(&mut bytes);
        format!("{:016x}", u64::from_be_bytes(bytes))
    }
}

impl<S> Layer<S> for RequestLog {
    type Service = RequestLogService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequestLogService { inner, log: self.clone() }
    }
}

/// A service that logs one line for each request.
#[derive(Clone)]
pub struct RequestLogService<S> {
    inner: S,
    log: RequestLog,
}

impl<S, B, R> Service<Request<B>> for RequestLogService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let id = self.log.id();
        let route = request.extensions().get::<MatchedPath>().map_or(UNMATCHED, MatchedPath::as_str);
        let labels =
            RequestLabels { method: method_name(request.method()), route: route.to_owned(), status: 0 };
        let span = tracing::info_span!("request", %id);
        let mut line = Line::begin(Arc::clone(&self.log.metrics), labels);
        let answer = span.in_scope(|| self.inner.call(request));
        let logged = async move {
            let mut response = answer.await?;
            line.labels.status = response.status().as_u16();
            drop(line);
            if let Ok(id) = HeaderValue::try_from(id) {
                response.headers_mut().insert(REQUEST_ID, id);
            }
            Ok(response)
        };
        Box::pin(logged.instrument(span))
    }
}

/// The log line of a request, written when there is a response or the client has gone.
struct Line {
    metrics: Arc<Metrics>,
    labels: RequestLabels,
    began: Instant,
}

impl Line {
    fn begin(metrics: Arc<Metrics>, labels: RequestLabels) -> Self {
        metrics.request_began();
        Self { metrics, labels, began: Instant::now() }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        self.metrics.request_ended(&self.labels, took.as_secs_f64());
        let RequestLabels { method, route, status } = &self.labels;
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        tracing::info!(method, route, status, micros, "request");
    }
}

/// The method's name, from a fixed set, because it is a label.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt as _;
    use tracing::level_filters::LevelFilter;

    use super::super::testing::Lines;
    use super::super::{Format, subscriber};
    use super::*;
    use crate::model::value::random::CountingRandom;

    fn router(metrics: &Arc<Metrics>) -> Router {
        let log = RequestLog::new(Arc::clone(metrics), Arc::new(CountingRandom::default()));
        let hello = get(|| async {
            tracing::info!("inside");
            "hello"
        });
        let forever = get(|| async { std::future::pending::<&str>().await });
        Router::new().route("/reset/{token}", hello).route("/forever", forever).layer(log)
    }

    fn ask(method: &str, uri: &str) -> Request<Body> {
        Request::builder()
            .method(method)
            .uri(uri)
            .header("cookie", "session=hunter2")
            .body(Body::empty())
            .unwrap()
    }

    #[test]
    fn a_request_leaves_one_line_with_its_route_and_no_secret() {
        let lines = Lines::default();
        let metrics = Arc::new(Metrics::default());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let dispatch = subscriber(Format::Json, LevelFilter::INFO, lines.clone());
        let response = tracing::dispatcher::with_default(&dispatch, || {
            runtime.block_on(router(&metrics).oneshot(ask("GET", "/reset/hunter2?token=hunter2"))).unwrap()
        });
        let lines = lines.all();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(!lines.join("").contains("hunter2"), "{lines:?}");
        let inside: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        let line: serde_json::Value = serde_json::from_str(&lines[1]).unwrap();
        assert_eq!(
            (&line["method"], &line["route"], &line["status"]),
            (&"GET".into(), &"/reset/{token}".into(), &200.into())
        );
        assert!(line["micros"].is_u64(), "{line}");
        let id = response.headers()[REQUEST_ID].to_str().unwrap();
        assert_eq!(id, "0001020304050607");
        assert_eq!((&line["span"]["id"], &inside["span"]["id"]), (&id.into(), &id.into()));
    }

    #[tokio::test]
    async fn unknown_paths_and_methods_make_no_series_of_their_own() {
        let metrics = Arc::new(Metrics::default());
        for (method, uri) in [("GET", "/a"), ("GET", "/b"), ("BREW", "/c")] {
            router(&metrics).oneshot(ask(method, uri)).await.unwrap();
        }
        let count =
            |method| metrics.requests(&RequestLabels { method, route: UNMATCHED.to_owned(), status: 404 });
        assert_eq!((count("GET"), count("OTHER")), (2, 1));
    }

    #[tokio::test]
    async fn a_client_that_goes_away_is_counted_and_no_longer_running() {
        let metrics = Arc::new(Metrics::default());
        let mut answer = Box::pin(router(&metrics).oneshot(ask("GET", "/forever")));
        let poll = std::future::poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx).is_pending()));
        assert!(poll.await);
        assert!(metrics.render().contains("http_requests_running 1"));
        drop(answer);
        assert!(metrics.render().contains("http_requests_running 0"));
        let gone = RequestLabels { method: "GET", route: "/forever".to_owned(), status: 0 };
        assert_eq!(metrics.requests(&gone), 1);
    }
}
