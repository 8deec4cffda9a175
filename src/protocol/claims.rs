//! The `claims` parameter of an authorization request (`OpenID` Connect Core, section 5.5), as far as it makes demands
//! on the sign-in itself.

use serde_json::{Map, Value};

use super::count::counted;
use super::json::parse_object;

/// The demands of the parameter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demanded {
    /// The authentication contexts (`acr`) of which one must be reached (section 5.5.1.1). Empty demands none.
    pub essential_acr: Vec<String>,
    /// The authentication contexts that are only preferred, best first.
    pub voluntary_acr: Vec<String>,
    /// The only account that the response may be about (`sub`; section 3.1.2.2).
    pub subject: Option<String>,
}

/// Reads the parameter, of at most `longest` bytes. `None` if it does not follow section 5.5. It is also `None`, more
/// strictly, if `values` is empty or occurs beside `value`, because an app that wrote this meant to demand something.
/// An essential `acr` with neither demands nothing. More than [`MOST`](super::count::MOST) claims or values are
/// refused, too.
///
/// The requests for `userinfo` and for other claims are checked for their form only.
pub fn parse(text: &str, longest: usize) -> Option<Demanded> {
    let request = parse_object(text.as_bytes(), longest).ok()?;
    requests(&request, "userinfo")?;
    let Some(of_id_token) = requests(&request, "id_token")? else { return Some(Demanded::default()) };
    let mut demanded = Demanded::default();
    if let Some(Value::Object(acr)) = of_id_token.get("acr") {
        let wanted = words(acr)?;
        if is_essential(acr)? {
            demanded.essential_acr = wanted;
        } else {
            demanded.voluntary_acr = wanted;
        }
    }
    if let Some(Value::Object(subject)) = of_id_token.get("sub") {
        let mut wanted = words(subject)?;
        demanded.subject = wanted.pop();
        // An ID token has one subject.
        if !wanted.is_empty() {
            return None;
        }
    }
    Some(demanded)
}

/// The member `name`: `Some(None)` if it is absent, `None` if it is malformed.
#[expect(clippy::option_option, reason = "absent and malformed are two things")]
fn requests<'a>(request: &'a Map<String, Value>, name: &str) -> Option<Option<&'a Map<String, Value>>> {
    let Some(member) = request.get(name) else { return Some(None) };
    let requests = member.as_object()?;
    let well_formed = counted(requests.values()).ok()?.into_iter().all(|it| match it {
        Value::Null => true,
        Value::Object(it) => is_essential(it).is_some() && it.get("values").is_none_or(is_list),
        _ => false,
    });
    well_formed.then_some(Some(requests))
}

fn is_list(value: &Value) -> bool {
    value.as_array().is_some_and(|items| counted(items).is_ok())
}

fn is_essential(request: &Map<String, Value>) -> Option<bool> {
    request.get("essential").map_or(Some(false), Value::as_bool)
}

/// The text of `value`, or the texts of `values`, which must not be empty.
fn words(request: &Map<String, Value>) -> Option<Vec<String>> {
    let text = |word: &Value| word.as_str().map(str::to_owned);
    match (request.get("value"), request.get("values")) {
        (None, None) => Some(Vec::new()),
        (Some(word), None) => Some(vec![text(word)?]),
        (None, Some(words)) => {
            let words = counted(words.as_array()?).ok()?;
            if words.is_empty() { None } else { words.into_iter().map(text).collect() }
        }
        (Some(_), Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demanded(text: &str) -> Option<(Vec<String>, Vec<String>, Option<String>)> {
        parse(text, 2_048).map(|it| (it.essential_acr, it.voluntary_acr, it.subject))
    }

    #[test]
    fn only_what_is_essential_is_demanded() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        for (text, essential, voluntary, subject) in [
            ("{}", &[][..], &[][..], None),
            (r#"{"id_token":{}}"#, &[], &[], None),
            (r#"{"id_token":{"acr":null,"sub":null,"auth_time":{"essential":true}}}"#, &[], &[], None),
            (r#"{"id_token":{"acr":{"essential":true}}}"#, &[], &[], None),
            (r#"{"id_token":{"acr":{"essential":true,"value":"gold"}}}"#, &["gold"], &[], None),
            (r#"{"id_token":{"acr":{"essential":true,"values":["a","b"]}}}"#, &["a", "b"], &[], None),
            (r#"{"id_token":{"acr":{"essential":false,"values":["a","b"]}}}"#, &[], &["a", "b"], None),
            (r#"{"id_token":{"acr":{"values":["a"]}}}"#, &[], &["a"], None),
            (r#"{"id_token":{"sub":{"value":"s1"}}}"#, &[], &[], Some("s1")),
            (r#"{"userinfo":{"acr":{"essential":true,"value":"gold"},"name":null}}"#, &[], &[], None),
            (r#"{"id_token":{"email":{"value":7,"essential":true,"other":[]}},"more":1}"#, &[], &[], None),
        ] {
            let expected = (words(essential), words(voluntary), subject.map(str::to_owned));
            assert_eq!(demanded(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_list_has_a_hundred_members_at_most() {
        let list = |count: usize| vec!["\"a\""; count].join(",");
        let acr = |count| format!(r#"{{"id_token":{{"acr":{{"values":[{}]}}}}}}"#, list(count));
        let other = |count| format!(r#"{{"userinfo":{{"name":{{"values":[{}]}}}}}}"#, list(count));
        let members = |count| {
            let names: Vec<String> = (0..count).map(|at| format!("\"n{at}\":null")).collect();
            format!(r#"{{"id_token":{{{}}}}}"#, names.join(","))
        };
        for text in [&acr as &dyn Fn(usize) -> String, &other] {
            assert!(demanded(&text(100)).is_some() && demanded(&text(101)).is_none(), "{}", text(101));
        }
        assert!(demanded(&members(100)).is_some() && demanded(&members(101)).is_none());
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for text in [
            "",
            "[]",
            "null",
            "{",
            r#"{"id_token":null}"#,
            r#"{"id_token":[]}"#,
            r#"{"userinfo":1}"#,
            r#"{"userinfo":{"name":true}}"#,
            r#"{"id_token":{"acr":"gold"}}"#,
            r#"{"id_token":{"acr":{"essential":"true","value":"gold"}}}"#,
            r#"{"id_token":{"acr":{"essential":true,"value":1}}}"#,
            r#"{"id_token":{"acr":{"essential":true,"value":null}}}"#,
            r#"{"id_token":{"acr":{"essential":true,"values":"gold"}}}"#,
            r#"{"id_token":{"acr":{"essential":true,"values":["gold",1]}}}"#,
            r#"{"id_token":{"acr":{"essential":true,"values":[]}}}"#,
            r#"{"id_token":{"acr":{"essential":true,"value":"gold","values":["silver"]}}}"#,
            r#"{"id_token":{"sub":{"values":["a","b"]}}}"#,
            r#"{"id_token":{},"id_token":{"acr":{"essential":true,"value":"gold"}}}"#,
        ] {
            assert_eq!(demanded(text), None, "{text}");
        }
        let long = format!(r#"{{"more":"{}"}}"#, "a".repeat(2_048));
        assert_eq!(demanded(&long), None);
    }
}
