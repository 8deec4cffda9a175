//! Request parameters: a query or a form body as `application/x-www-form-urlencoded`.
//!
//! A parameter sent without a value counts as omitted, and none may be sent twice (RFC 6749, sections 3.1 and 3.2).

use url::form_urlencoded;

/// A parameter that stands twice in one request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is repeated")]
pub(super) struct Repeated(pub(super) String);

/// The parameters of one request, in their order.
#[derive(Debug, Clone, Default)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads a query or a form body.
    pub(super) fn parse(encoded: &[u8]) -> Self {
        Self(form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// The one value of `name`; `None` when it is absent or empty.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, Repeated> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Repeated(name.to_owned())),
            (value, None) => Ok(value.filter(|text| !text.is_empty())),
        }
    }

    /// Any parameter that is repeated.
    pub(super) fn repeated(&self) -> Option<Repeated> {
        self.0.iter().find_map(|(name, _)| self.one(name).err())
    }

    /// The parameters as they would be sent again.
    pub(super) fn encode(&self) -> String {
        encode(self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }
}

/// Writes a query or a form body.
pub(super) fn encode<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// `uri` with further query parameters, keeping those that it has (RFC 6749, section 3.1.2).
pub(super) fn with_query<'a>(uri: &str, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let query = encode(pairs);
    if query.is_empty() {
        return uri.to_owned();
    }
    let joint = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{joint}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_parameter_is_told_apart_from_an_absent_one() {
        let parameters = Parameters::parse(b"a=1&b=2&b=3&c=&d=%20%2B");
        assert_eq!(parameters.one("a"), Ok(Some("1")));
        assert_eq!(parameters.one("b"), Err(Repeated("b".to_owned())));
        assert_eq!(parameters.one("c"), Ok(None));
        assert_eq!(parameters.one("d"), Ok(Some(" +")));
        assert_eq!(parameters.one("e"), Ok(None));
        assert_eq!(parameters.repeated(), Some(Repeated("b".to_owned())));
    }

    #[test]
    fn what_was_read_is_written_back_with_the_same_meaning() {
        let text = "state=a%26b%3D+c&nonce=%C3%BC";
        assert_eq!(Parameters::parse(text.as_bytes()).encode(), text);
    }

    #[test]
    fn a_query_is_added_to_the_one_that_is_there() {
        assert_eq!(with_query("https://a.test/cb", [("x", "1")]), "https://a.test/cb?x=1");
        assert_eq!(with_query("https://a.test/cb?y=2", [("x", "&")]), "https://a.test/cb?y=2&x=%26");
        assert_eq!(with_query("https://a.test/cb", []), "https://a.test/cb");
    }
}
