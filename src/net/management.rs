//! The responses of the management listener: `/healthz`, `/readyz`, `/metrics`.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;

use super::{Handler, RequestBody};

/// The format of `metrics` (`OpenMetrics` 1.0).
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// Serves `/healthz` while the program runs, `/readyz` with the result of `ready` (its error is the reason, shown to
/// the operator), and `/metrics` with the text of `metrics`.
pub fn management<R, F, M>(ready: R, metrics: M) -> impl Handler + use<R, F, M>
where
    R: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), String>> + Send + 'static,
    M: Fn() -> String + Send + Sync + 'static,
{
    let both = Arc::new((ready, metrics));
    tower::service_fn(move |request: Request<RequestBody>| {
        let both = Arc::clone(&both);
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        async move { Ok::<_, Infallible>(answer(&method, &path, &both.0, &both.1).await) }
    })
}

async fn answer<R, F, M>(method: &Method, path: &str, ready: &R, metrics: &M) -> Response<Full<Bytes>>
where
    R: Fn() -> F,
    F: Future<Output = Result<(), String>>,
    M: Fn() -> String,
{
    let known = matches!(path, "/healthz" | "/readyz" | "/metrics");
    if known && !matches!(*method, Method::GET | Method::HEAD) {
        let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "method not allowed\n".to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/healthz" => respond(StatusCode::OK, PLAIN, "ok\n".to_owned()),
        "/readyz" => match ready().await {
            Ok(()) => respond(StatusCode::OK, PLAIN, "ready\n".to_owned()),
            Err(reason) => respond(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("not ready: {reason}\n")),
        },
        "/metrics" => respond(StatusCode::OK, OPEN_METRICS, metrics()),
        _ => respond(StatusCode::NOT_FOUND, PLAIN, "not found\n".to_owned()),
    }
}

fn respond(status: StatusCode, content_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn ask(method: Method, path: &str, ready: Result<(), String>) -> (u16, String) {
        let response =
            answer(&method, path, &|| std::future::ready(ready.clone()), &|| "# EOF\n".to_owned()).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_broker_that_is_not_ready_is_healthy_and_says_why() {
        let draining = || Err("draining".to_owned());
        assert_eq!(ask(Method::GET, "/healthz", draining()).await, (200, "ok\n".to_owned()));
        assert_eq!(ask(Method::GET, "/readyz", draining()).await, (503, "not ready: draining\n".to_owned()));
        assert_eq!(ask(Method::GET, "/readyz", Ok(())).await, (200, "ready\n".to_owned()));
        assert_eq!(ask(Method::GET, "/metrics", Ok(())).await, (200, "# EOF\n".to_owned()));
    }

    #[tokio::test]
    async fn other_paths_and_methods_are_refused() {
        assert_eq!(ask(Method::GET, "/", Ok(())).await.0, 404);
        assert_eq!(ask(Method::GET, "/metrics/x", Ok(())).await.0, 404);
        assert_eq!(ask(Method::POST, "/healthz", Ok(())).await.0, 405);
    }
}
