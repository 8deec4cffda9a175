//! The plain-HTTP listener, which only redirects to the public URL.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;

use super::{Handler, RequestBody};

/// Redirects reads to the same path under `issuer`, an origin such as `https://login.example.com`. The request's own
/// host is never used. A form or a token request that was sent here could be read on the way, so it is refused rather
/// than redirected.
pub fn to_public_url(issuer: &str) -> impl Handler + use<> {
    let issuer: Arc<str> = Arc::from(issuer);
    tower::service_fn(move |request: Request<RequestBody>| {
        let response = redirect(&issuer, &request);
        async move { Ok::<_, Infallible>(response) }
    })
}

fn redirect<B>(issuer: &str, request: &Request<B>) -> Response<Full<Bytes>> {
    let path = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let location = HeaderValue::try_from(format!("{issuer}{path}"));
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let mut response = Response::new(Full::default());
    match location {
        Ok(location) if is_read && path.starts_with('/') => {
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response.headers_mut().insert(LOCATION, location);
        }
        _ => {
            *response.status_mut() = StatusCode::FORBIDDEN;
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            *response.body_mut() = Full::from("Use https.\n");
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(method: Method, target: &str, host: &str) -> (StatusCode, Option<String>) {
        let request = Request::builder().method(method).uri(target).header("host", host).body(()).unwrap();
        let response = redirect("https://login.acme.test", &request);
        let location = response.headers().get(LOCATION).map(|value| value.to_str().unwrap().to_owned());
        (response.status(), location)
    }

    #[test]
    fn a_read_goes_to_the_public_url_whatever_host_it_names() {
        let cases = [
            ("/a?b=c", "https://login.acme.test/a?b=c"),
            ("http://evil.test/a", "https://login.acme.test/a"),
            ("//evil.test/a", "https://login.acme.test//evil.test/a"),
            ("/", "https://login.acme.test/"),
            ("/@evil.test", "https://login.acme.test/@evil.test"),
        ];
        for (target, location) in cases {
            let expected = (StatusCode::PERMANENT_REDIRECT, Some(location.to_owned()));
            assert_eq!(answer(Method::GET, target, "evil.test"), expected, "{target}");
            assert_eq!(answer(Method::HEAD, target, "evil.test"), expected, "{target}");
        }
    }

    #[test]
    fn anything_but_a_read_is_refused() {
        for method in [Method::POST, Method::PUT, Method::OPTIONS, Method::CONNECT] {
            assert_eq!(answer(method, "/oauth2/token", "login.acme.test"), (StatusCode::FORBIDDEN, None));
        }
        assert_eq!(answer(Method::GET, "*", "login.acme.test"), (StatusCode::FORBIDDEN, None));
    }
}
