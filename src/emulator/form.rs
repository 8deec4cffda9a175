//! Parameters in queries and form bodies (`application/x-www-form-urlencoded`).

use http::Uri;
use url::form_urlencoded;

use crate::protocol::oauth::Parameters;

/// The parameters of a form body. Bytes that are no UTF-8 become replacement characters, which match nothing.
pub(super) fn read(body: &[u8]) -> Parameters {
    Parameters::parse(&String::from_utf8_lossy(body))
}

/// The parameters of an address.
pub(super) fn of_query(uri: &Uri) -> Parameters {
    Parameters::parse(uri.query().unwrap_or_default())
}

/// Writes a form body.
pub(super) fn write<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}
