//! Parameters in queries and form bodies (`application/x-www-form-urlencoded`).

use http::Uri;
use url::form_urlencoded;

use crate::protocol::oauth::Parameters;

/// The parameters of a form body; none if there are too many. Bytes that are not UTF-8 become replacement characters,
/// which match nothing.
pub(super) fn read(body: &[u8]) -> Parameters {
    Parameters::parse(&String::from_utf8_lossy(body)).unwrap_or_default()
}

/// The parameters of an address; none if there are too many.
pub(super) fn of_query(uri: &Uri) -> Parameters {
    Parameters::parse(uri.query().unwrap_or_default()).unwrap_or_default()
}

/// Writes a form body.
pub(super) fn write<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}
