//! The stylesheet and the script. They are embedded in the binary and served under names that contain the hash of their
//! content, so that browsers may keep them without limit (RFC 8246, `immutable`).
//!
//! They are compressed once, not for each request as a layer of `tower-http` would do. Nothing else is compressed,
//! because the length of a compressed page would reveal facts about the secrets in it (BREACH).

use std::io::Write as _;
use std::sync::Arc;

use aws_lc_rs::digest;
use axum::body::{Body, Bytes};
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use headers::{ETag, HeaderMapExt as _, IfNoneMatch};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use moka::future::Cache;

use crate::model::{Accent, Look, OrganizationId};
use crate::protocol::weighted::weighted;

/// Where the assets are served.
pub const ASSETS_PATH: &str = "/assets/";

/// A file that pages refer to.
#[derive(Debug)]
struct Asset {
    path: String,
    /// The hash in the path. Hexadecimal digits always make a tag.
    etag: Option<ETag>,
    content_type: HeaderValue,
    body: Bytes,
    /// The same, compressed (gzip, RFC 1952). The content is public, so its length reveals nothing.
    packed: Bytes,
}

/// The embedded files, named by their content when the program starts.
#[derive(Debug)]
pub struct Assets {
    style: Asset,
    script: Asset,
    /// Organizations' stylesheets by their paths, so that each is compressed once, not for every request.
    styled: Cache<String, Arc<Asset>>,
}

/// How many organizations' stylesheets are kept, of some 25 KiB each.
const STYLED: u64 = 200;

impl Assets {
    /// Names the files that were built into the binary.
    pub fn embedded() -> Self {
        Self {
            style: asset("countersign", "css", CSS, lean(include_str!("assets/countersign.css"))),
            script: asset(
                "countersign",
                "js",
                "text/javascript; charset=utf-8",
                include_str!("assets/countersign.js").to_owned(),
            ),
            styled: Cache::new(STYLED),
        }
    }

    /// The path of the stylesheet.
    pub fn style(&self) -> &str {
        &self.style.path
    }

    /// The path of the script, which no page needs.
    pub fn script(&self) -> &str {
        &self.script.path
    }

    /// The path of the stylesheet with an organization's look in it; `None` if the organization has no look of its own.
    pub fn style_of(&self, organization: OrganizationId, look: &Look) -> Option<String> {
        (!look.is_plain()).then(|| self.path_of(organization, &rules(look)))
    }

    /// The path contains the hash of both parts: the rules, and the name of the stylesheet that they are appended to.
    fn path_of(&self, organization: OrganizationId, rules: &str) -> String {
        let hash = short_hash(format!("{}{rules}", self.style.path).as_bytes());
        format!("{ASSETS_PATH}{organization}.{hash}.css")
    }

    /// Answers a GET or HEAD for an organization's stylesheet. A request by an older name gets the current stylesheet,
    /// which must not be cached. If the organization no longer has a look, `None`.
    pub async fn respond_styled(
        &self,
        (organization, look): (OrganizationId, &Look),
        file: &str,
        request: &HeaderMap,
    ) -> Option<Response> {
        if look.is_plain() {
            return None;
        }
        let rules = rules(look);
        let path = self.path_of(organization, &rules);
        let is_named_so = path.strip_prefix(ASSETS_PATH) == Some(file);
        let make = async {
            // One sheet, so that a page stays at three requests.
            let body = [&self.style.body, rules.as_bytes()].concat();
            Arc::new(named(path.clone(), CSS, body.into()))
        };
        let asset = self.styled.get_with_by_ref(&path, make).await;
        let mut response = answer(&asset, request);
        if !is_named_so {
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        Some(response)
    }

    /// Answers a GET or HEAD for `file`, the path below [`ASSETS_PATH`]; `None` when there is no such file.
    pub fn respond(&self, file: &str, request: &HeaderMap) -> Option<Response> {
        let asset = [&self.style, &self.script]
            .into_iter()
            .find(|asset| asset.path.strip_prefix(ASSETS_PATH) == Some(file))?;
        Some(answer(asset, request))
    }
}

/// The rules of a look. Colours and logo write themselves as hexadecimal digits and base64, which end no CSS value.
fn rules(look: &Look) -> String {
    let accent = look.accent.map(|Accent { light, dark }| {
        format!(
            "\n@media screen{{:root{{--accent:{light}}}}}\
             \n@media screen and (prefers-color-scheme:dark){{:root{{--accent:{dark}}}}}"
        )
    });
    let logo = look.logo.as_ref().map(|logo| format!("\n.logo{{background-image:url({logo})}}"));
    [accent, logo].into_iter().flatten().collect()
}

/// The organization that the name of a stylesheet contains; `None` if it contains none.
pub fn organization_of(file: &str) -> Option<OrganizationId> {
    file.split_once('.').and_then(|(name, _)| name.parse().ok())
}

fn answer(asset: &Asset, request: &HeaderMap) -> Response {
    let condition = request.typed_get::<IfNoneMatch>();
    let known = condition
        .zip(asset.etag.as_ref())
        .is_some_and(|(condition, etag)| !condition.precondition_passes(etag));
    let is_packed = takes_gzip(request) && !asset.packed.is_empty();
    let body = if is_packed { &asset.packed } else { &asset.body };
    let mut response = Response::new(if known { Body::empty() } else { Body::from(body.clone()) });
    let headers = response.headers_mut();
    if !known {
        headers.insert(header::CONTENT_TYPE, asset.content_type.clone());
        if is_packed {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
    }
    if let Some(etag) = &asset.etag {
        headers.typed_insert(etag.clone());
    }
    headers.extend::<[(HeaderName, HeaderValue); 3]>([
        (header::VARY, HeaderValue::from_static("accept-encoding")),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    ]);
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    response
}

/// A stylesheet without indentation, comments, and spaces beside punctuation.
fn lean(style: &str) -> String {
    let lines = style.lines().map(str::trim);
    let needed = lines.filter(|line| !(line.is_empty() || line.starts_with("/*") && line.ends_with("*/")));
    let text = needed.collect::<Vec<_>>().join("\n");
    SPACED.into_iter().fold(text, |text, (spaced, close)| text.replace(spaced, close))
}

/// Spaces beside a stylesheet's punctuation. The stylesheet's quoted texts contain none of these.
const SPACED: [(&str, &str); 6] =
    [("; }", "}"), (" { ", "{"), (" {\n", "{"), (": ", ":"), ("; ", ";"), (", ", ",")];

const CSS: &str = "text/css; charset=utf-8";

fn asset(name: &str, extension: &str, content_type: &'static str, body: String) -> Asset {
    let hash = short_hash(body.as_bytes());
    named(format!("{ASSETS_PATH}{name}.{hash}.{extension}"), content_type, body.into())
}

/// A file whose path has a hash before its ending.
fn named(path: String, content_type: &'static str, body: Bytes) -> Asset {
    let hash = path.rsplit('.').nth(1).unwrap_or_default();
    Asset {
        etag: format!("W/\"{hash}\"").parse().ok(),
        content_type: HeaderValue::from_static(content_type),
        packed: packed(&body),
        body,
        path,
    }
}

fn packed(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing into memory does not fail. An empty result is not sent.
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    written.unwrap_or_default().into()
}

/// Whether a browser takes gzip (RFC 9110, section 12.5.3).
fn takes_gzip(request: &HeaderMap) -> bool {
    let lists = request.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(weighted).any(|(name, weight)| name.eq_ignore_ascii_case("gzip") && weight > 0)
}

/// The first 64 bits of a SHA-256, in hexadecimal.
fn short_hash(bytes: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest.as_ref().iter().take(8).fold(String::new(), |hash, byte| hash + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str, if_none_match: Option<&str>) -> Option<Response> {
        let mut headers = HeaderMap::new();
        if let Some(value) = if_none_match {
            headers.insert(header::IF_NONE_MATCH, value.parse().unwrap());
        }
        Assets::embedded().respond(path.strip_prefix(ASSETS_PATH)?, &headers)
    }

    #[test]
    fn an_asset_is_named_by_its_content_and_kept_for_good() {
        let assets = Assets::embedded();
        for (path, content_type) in
            [(assets.style(), "text/css; charset=utf-8"), (assets.script(), "text/javascript; charset=utf-8")]
        {
            let response = get(path, None).unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()[header::CONTENT_TYPE], content_type);
            assert_eq!(response.headers()[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
            let hash = path.split('.').nth(1).unwrap();
            assert_eq!(response.headers()[header::ETAG], format!("W/\"{hash}\""));
        }
        assert_ne!(
            asset("a", "css", "text/css", "a".into()).path,
            asset("a", "css", "text/css", "b".into()).path
        );
    }

    #[test]
    fn what_a_browser_has_already_is_not_sent_again() {
        let path = Assets::embedded().style().to_owned();
        let etag = get(&path, None).unwrap().headers()[header::ETAG].to_str().unwrap().to_owned();
        for condition in [etag.clone(), format!("\"x\", {}", &etag[2..]), "*".to_owned()] {
            let response = get(&path, Some(&condition)).unwrap();
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{condition}");
            assert!(!response.headers().contains_key(header::CONTENT_TYPE));
        }
        assert_eq!(get(&path, Some("\"x\"")).unwrap().status(), StatusCode::OK);
    }

    #[test]
    fn a_stylesheet_travels_without_what_only_its_writers_need() {
        assert_eq!(
            lean("/* Why. */\na, b {\n  color: red;\n}\n\nc { top: 0; left: 0; }\n"),
            "a,b{color:red;\n}\nc{top:0;left:0}"
        );
        let quoted = include_str!("assets/countersign.css").split('"').skip(1).step_by(2);
        for text in quoted {
            assert!(SPACED.iter().all(|(spaced, _)| !text.contains(spaced)), "{text}");
        }
    }

    #[test]
    fn a_browser_that_takes_gzip_gets_the_same_in_a_third() {
        let assets = Assets::embedded();
        let plain = assets.style.body.clone();
        for (accepted, packed) in [
            ("gzip, deflate, br", true),
            ("br;q=1, gzip;q=0.8", true),
            ("identity", false),
            ("xgzip", false),
            ("gzip;q=0, br", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted));
            let file = assets.style().strip_prefix(ASSETS_PATH).unwrap();
            let response = assets.respond(file, &headers).unwrap();
            assert_eq!(response.headers().contains_key(header::CONTENT_ENCODING), packed, "{accepted}");
            assert_eq!(response.headers()[header::VARY], "accept-encoding");
        }
        let mut unpacked = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(&assets.style.packed[..]);
        std::io::Read::read_to_end(&mut decoder, &mut unpacked).unwrap();
        assert_eq!(unpacked, plain);
        assert!(assets.style.packed.len() * 3 < plain.len(), "{}", assets.style.packed.len());
    }

    #[test]
    fn no_other_file_is_served() {
        for path in
            ["/assets/", "/assets/countersign.css", "/assets/../locale.rs", "/assets/countersign.00.css"]
        {
            assert!(get(path, None).is_none(), "{path}");
        }
    }
}
