//! Cookies of programs that share the host `localhost`. Ports do not keep cookies apart (RFC 6265, section 8.5), so
//! each cookie's name contains its owner and port.

use http::HeaderMap;
use http::header::COOKIE;
use url::Url;

/// The name of a cookie of `owner`, which is served at `base_url`. The `__Host-` prefix prevents other hosts from
/// setting it.
pub(super) fn name(owner: &str, base_url: &Url) -> String {
    format!("__Host-{owner}-{}", base_url.port_or_known_default().unwrap_or(443))
}

/// The value of the cookie `name`, if the request has it.
pub(super) fn read<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name && !value.is_empty()).then_some(value))
}

/// A `Set-Cookie` value that lasts until the browser closes.
pub(super) fn set(name: &str, value: &str) -> String {
    format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax")
}

/// A `Set-Cookie` value that removes the cookie.
pub(super) fn clear(name: &str) -> String {
    format!("{name}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn two_providers_on_one_host_do_not_share_a_name() {
        let one = name("okta", &"https://localhost:9001".parse().unwrap());
        let two = name("okta", &"https://localhost:9002".parse().unwrap());
        assert_ne!(one, two);
        assert_eq!(name("okta", &"https://idp.test".parse().unwrap()), "__Host-okta-443");
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1; b=2"));
        headers.append(COOKIE, HeaderValue::from_static("c=3;d="));
        assert_eq!(read(&headers, "b"), Some("2"));
        assert_eq!(read(&headers, "c"), Some("3"));
        assert_eq!(read(&headers, "d"), None);
        assert_eq!(read(&headers, "e"), None);
    }
}
