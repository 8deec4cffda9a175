//! Which claims about a person an app gets (`OpenID` Connect Core, sections 5.1 and 5.4).

use serde_json::{Map, Value};

use crate::model::{Account, App};

/// The claims that `scopes` stand for. An email that is not proven for the app is left out, unless the app has opted
/// in to unproven emails; then `email_verified` is false.
pub fn claims_for(account: &Account, app: &App, scopes: &[String], email_proven: bool) -> Map<String, Value> {
    let has = |scope: &str| scopes.iter().any(|granted| granted == scope);
    let mut claims = Map::new();
    let mut put = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            claims.insert(name.to_owned(), value.into());
        }
    };
    let contact = &account.contact;
    if has("profile") {
        put("name", contact.name.as_deref());
        put("given_name", contact.given_name.as_deref());
        put("family_name", contact.family_name.as_deref());
        put("preferred_username", account.username.as_ref().map(crate::model::Username::as_str));
    }
    if has("phone") {
        put("phone_number", contact.phone.as_deref());
    }
    let email = account.email.as_ref().filter(|_| email_proven || app.settings.unproven_email);
    if has("email")
        && let Some(email) = email
    {
        put("email", Some(email.as_str()));
        claims.insert("email_verified".to_owned(), email_proven.into());
    }
    if has("profile") {
        claims.insert("updated_at".to_owned(), account.updated_at.unix_seconds().into());
    }
    claims
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AccountId, Contact, Timestamp};
    use crate::policy::provider::request::tests::app;

    fn bob() -> Account {
        let now = Timestamp::from_unix_seconds(1_700_000_000);
        Account {
            id: AccountId::from_bytes([1; 16]),
            organization: None,
            username: Some("bob".parse().unwrap()),
            email: Some("bob@acme.test".parse().unwrap()),
            email_verified: true,
            email_from: None,
            contact: Contact { name: Some("Bob".into()), phone: Some("+49 1".into()), ..Contact::default() },
            roles: Vec::new(),
            enabled: true,
            break_glass: false,
            created_at: now,
            updated_at: now,
        }
    }

    fn names(scopes: &[&str], verified: bool, unproven: bool) -> Vec<String> {
        let app = app(|settings| settings.unproven_email = unproven);
        let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        claims_for(&bob(), &app, &scopes, verified).keys().cloned().collect()
    }

    #[test]
    fn each_scope_stands_for_its_claims() {
        assert!(names(&["openid"], true, false).is_empty());
        assert_eq!(names(&["profile"], true, false), ["name", "preferred_username", "updated_at"]);
        assert_eq!(names(&["email"], true, false), ["email", "email_verified"]);
        assert_eq!(names(&["phone"], true, false), ["phone_number"]);
    }

    #[test]
    fn an_unproven_email_needs_the_apps_word() {
        assert!(names(&["email"], false, false).is_empty());
        assert_eq!(names(&["email"], false, true), ["email", "email_verified"]);
        let opted_in = app(|settings| settings.unproven_email = true);
        let claims = claims_for(&bob(), &opted_in, &["email".to_owned()], false);
        assert_eq!(claims.get("email_verified"), Some(&Value::Bool(false)));
    }
}
