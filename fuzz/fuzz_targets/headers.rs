//! What a browser or a proxy says in headers: cookies, the language, the client's address.
#![no_main]

use countersign::net::client_address;
use countersign::web::browser::cookies::Cookies;
use countersign::web::text::locale::Locale;
use http::{HeaderMap, HeaderValue, header};
use std::net::{IpAddr, Ipv4Addr};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut headers = HeaderMap::new();
    for part in bytes.split(|byte| *byte == b'\n') {
        let Ok(value) = HeaderValue::from_bytes(part) else { continue };
        if let Ok(text) = value.to_str() {
            let _ = Locale::choose([text], Some(text));
        }
        headers.append(header::COOKIE, value.clone());
        headers.append("x-forwarded-for", value);
    }
    let _ = Cookies::read(&headers);
    let peer = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let trusted = ["10.0.0.0/8".parse().unwrap()];
    assert_eq!(client_address(peer, &headers, &[]), peer, "nobody is trusted");
    let _ = client_address(peer, &headers, &trusted);
});
