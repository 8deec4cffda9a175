//! Redirect URIs: which ones an app may register, and which ones match (RFC 6749, section 3.1.2; RFC 8252, section
//! 7.3).

use url::{Host, Url};

use crate::model::ApplicationType;

/// Why a URI may not be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RedirectUriError {
    /// Not an absolute URI.
    #[error("is not an absolute URI; write it in full, like `https://app.example.com/callback`")]
    Malformed,
    /// Has a fragment.
    #[error("has a fragment (`#…`), which never reaches the app; leave it out")]
    Fragment,
    /// Carries a user name or password.
    #[error("carries a user name; leave it out")]
    UserInfo,
    /// `http` to another machine.
    #[error("is not encrypted; use https (http is for native apps on the same device)")]
    Insecure,
    /// A scheme that browsers execute, or that does not name an app.
    #[error(
        "has a scheme that no app may use; use https, or a scheme of the app's own domain like `com.example.app:`"
    )]
    Scheme,
    /// The URI changes when it is parsed and written again.
    #[error(
        "is ambiguous: browsers would read it differently; write it exactly as browsers do, without backslashes, dot segments or spaces"
    )]
    Ambiguous,
}

/// Whether a URI may be registered by an app of this type.
pub fn check_redirect_uri(uri: &str, application: ApplicationType) -> Result<(), RedirectUriError> {
    let url = Url::parse(uri).map_err(|_| RedirectUriError::Malformed)?;
    if url.fragment().is_some() || uri.contains('#') {
        return Err(RedirectUriError::Fragment);
    }
    if !url.username().is_empty() || url.password().is_some() || authority(uri).contains('@') {
        return Err(RedirectUriError::UserInfo);
    }
    match url.scheme() {
        "https" => {}
        "http" if application == ApplicationType::Native && is_loopback(&url) => {}
        "http" => return Err(RedirectUriError::Insecure),
        // RFC 8252, section 7.1: private schemes are reversed domain names.
        scheme if application == ApplicationType::Native && scheme.contains('.') => return Ok(()),
        _ => return Err(RedirectUriError::Scheme),
    }
    let same = url.as_str() == uri || url.as_str().strip_suffix('/') == Some(uri);
    if same { Ok(()) } else { Err(RedirectUriError::Ambiguous) }
}

fn authority(uri: &str) -> &str {
    let rest = uri.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?', '\\']).next().unwrap_or("")
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Whether the response for an app that registered `registered` may go to `requested`. They must be equal byte for
/// byte, except for the port of a native app's loopback address.
pub fn matches(requested: &str, registered: &[String], application: ApplicationType) -> bool {
    let exact = registered.iter().any(|uri| uri == requested);
    exact
        || (application == ApplicationType::Native
            && registered.iter().any(|uri| same_but_port(requested, uri)))
}

/// Only literal loopback addresses: `localhost` may resolve to something else (RFC 8252, section 8.3).
fn same_but_port(requested: &str, registered: &str) -> bool {
    let (Some(requested), Some(registered)) = (split_loopback(requested), split_loopback(registered)) else {
        return false;
    };
    requested == registered
}

/// Splits `http://127.0.0.1:PORT/REST` into host and rest.
fn split_loopback(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("http://")?;
    let host = ["127.0.0.1", "[::1]"].into_iter().find(|host| rest.starts_with(host))?;
    let after = rest.get(host.len()..)?;
    let path_at = after.find('/').unwrap_or(after.len());
    let (port, path) = after.split_at_checked(path_at)?;
    let port_is_good = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|port| port.parse::<u16>().is_ok_and(|_| !port.starts_with('+')));
    (port_is_good && !path.contains('#')).then_some((host, path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ApplicationType::{Native, Web};

    #[test]
    fn what_may_be_registered() {
        use RedirectUriError::{Ambiguous, Fragment, Insecure, Malformed, Scheme, UserInfo};
        for (uri, application, verdict) in [
            ("https://app.test/cb", Web, Ok(())),
            ("https://app.test", Web, Ok(())),
            ("https://app.test/cb?x=1", Web, Ok(())),
            ("http://127.0.0.1/cb", Native, Ok(())),
            ("http://[::1]:4000/cb", Native, Ok(())),
            ("com.example.app:/cb", Native, Ok(())),
            ("http://127.0.0.1/cb", Web, Err(Insecure)),
            ("http://app.test/cb", Native, Err(Insecure)),
            ("javascript:alert(1)", Web, Err(Scheme)),
            ("javascript:alert(1)", Native, Err(Scheme)),
            ("com.example.app:/cb", Web, Err(Scheme)),
            ("https://app.test/cb#x", Web, Err(Fragment)),
            ("https://user@app.test/cb", Web, Err(UserInfo)),
            ("https://@app.test/cb", Web, Err(UserInfo)),
            ("https://app.test/a/../cb", Web, Err(Ambiguous)),
            ("https://app.test\\cb", Web, Err(Ambiguous)),
            ("https://APP.test/cb", Web, Err(Ambiguous)),
            ("/cb", Web, Err(Malformed)),
            ("", Web, Err(Malformed)),
        ] {
            assert_eq!(check_redirect_uri(uri, application), verdict, "{uri}");
        }
    }

    #[test]
    fn only_the_very_same_uri_matches() {
        let registered = ["https://app.test/cb".to_owned()];
        assert!(matches("https://app.test/cb", &registered, Web));
        for other in [
            "https://app.test/cb/",
            "https://app.test/cb?x",
            "https://app.test:443/cb",
            "https://APP.test/cb",
            "https://app.test/cb#f",
            "https://fooapp.test/cb",
            "https://app.test/c%62",
            "https://app.test/x/../cb",
            "https://app.test\\@evil.test/cb",
            "",
        ] {
            assert!(!matches(other, &registered, Web), "{other}");
        }
    }

    #[test]
    fn a_native_app_may_use_any_loopback_port() {
        let registered = ["http://127.0.0.1/cb".to_owned(), "http://[::1]:1/cb".to_owned()];
        for good in ["http://127.0.0.1:4321/cb", "http://127.0.0.1/cb", "http://[::1]:65535/cb"] {
            assert!(matches(good, &registered, Native), "{good}");
        }
        for bad in [
            "http://127.0.0.1.evil.test/cb",
            "http://127.0.0.1:99999/cb",
            "http://127.0.0.1:1@evil.test/cb",
            "http://127.0.0.1:/cb",
            "http://127.0.0.1:1/cb2",
            "http://localhost:1/cb",
            "https://127.0.0.1:1/cb",
        ] {
            assert!(!matches(bad, &registered, Native), "{bad}");
        }
        assert!(!matches("http://127.0.0.1:4321/cb", &registered, Web));
    }
}
