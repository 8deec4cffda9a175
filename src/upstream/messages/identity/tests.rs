use serde_json::{Value, json};

use super::*;
use crate::upstream::testing::{connection, now};

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(object) = value else { panic!("an object") };
    object
}

fn map_with(
    change: impl FnOnce(&mut Connection),
    id_token: Value,
    userinfo: Option<Value>,
) -> Result<VerifiedIdentity, IdentityError> {
    let mut connection = connection("https://idp.test");
    change(&mut connection);
    let claims = IdTokenClaims {
        shortened: false,
        issuer: "https://idp.test".to_owned(),
        subject: "bob".to_owned(),
        issued_at: now(),
        auth_time: None,
        acr: Some("urn:loa:3".to_owned()),
        amr: vec!["pwd".to_owned()],
        sid: None,
        all: object(id_token),
    };
    map(&connection, claims, userinfo.map(object).as_ref(), Secret::new("token"), &[], now())
}

fn email(
    change: impl FnOnce(&mut Connection),
    id_token: Value,
    userinfo: Option<Value>,
) -> Option<(String, bool, ClaimSource)> {
    let email = map_with(change, id_token, userinfo).unwrap().email?;
    Some((email.email.as_str().to_owned(), email.verified, email.source))
}

const BOB: &str = "bob@acme.test";

#[test]
fn only_the_boolean_true_of_the_same_document_proves_an_email() {
    let token = ClaimSource::IdToken;
    for (flag, verified) in [
        (json!(true), true),
        (json!(false), false),
        (json!("true"), false),
        (json!("yes"), false),
        (json!(1), false),
        (json!("1"), false),
        (json!([true]), false),
        (Value::Null, false),
    ] {
        let claims = json!({ "email": BOB, "email_verified": flag });
        assert_eq!(email(|_| {}, claims, None), Some((BOB.to_owned(), verified, token)), "{flag}");
    }
    assert_eq!(email(|_| {}, json!({ "email": BOB }), None), Some((BOB.to_owned(), false, token)));
    let flag_elsewhere = Some(json!({ "sub": "bob", "email_verified": true }));
    assert_eq!(email(|_| {}, json!({ "email": BOB }), flag_elsewhere), Some((BOB.to_owned(), false, token)));
}

#[test]
fn a_word_true_counts_only_under_a_waiver_that_has_not_ended() {
    let claims = || json!({ "email": BOB, "email_verified": "true" });
    let waive = |seconds: u64| {
        move |c: &mut Connection| {
            let until = now().after(std::time::Duration::from_secs(seconds));
            c.settings.waivers.insert(Waiver::StringEmailVerified, until);
        }
    };
    assert!(email(waive(1), claims(), None).unwrap().1);
    assert!(!email(waive(0), claims(), None).unwrap().1);
    for other in ["True", "TRUE", "1", "yes", ""] {
        let claims = json!({ "email": BOB, "email_verified": other });
        assert!(!email(waive(1), claims, None).unwrap().1, "{other}");
    }
}

#[test]
fn two_documents_that_disagree_prove_nothing() {
    let token = json!({ "email": BOB, "email_verified": true });
    let other =
        |email: &str, flag: Value| Some(json!({ "sub": "bob", "email": email, "email_verified": flag }));
    let verdict = |userinfo| email(|_| {}, token.clone(), userinfo);
    assert_eq!(
        verdict(other("victim@acme.test", json!(true))),
        Some((BOB.to_owned(), false, ClaimSource::IdToken))
    );
    assert_eq!(verdict(other(BOB, json!(false))), Some((BOB.to_owned(), false, ClaimSource::IdToken)));
    assert_eq!(
        verdict(other("BOB@ACME.test", json!(true))),
        Some((BOB.to_owned(), true, ClaimSource::IdToken))
    );
    let thin = email(|_| {}, json!({ "email": BOB }), other(BOB, json!(true)));
    assert_eq!(thin, Some((BOB.to_owned(), true, ClaimSource::UserInfo)));
    let denied = email(|_| {}, json!({ "email": BOB, "email_verified": false }), other(BOB, json!(true)));
    assert_eq!(denied, Some((BOB.to_owned(), false, ClaimSource::IdToken)));
}

#[test]
fn an_authoritative_provider_is_believed_unless_it_says_no() {
    let authoritative = |c: &mut Connection| {
        c.settings.email_trust = EmailTrust::Authoritative;
        "xms_edov".clone_into(&mut c.settings.claims.email_verified);
    };
    for (flag, verified) in [
        (Value::Null, true),
        (json!(true), true),
        (json!(false), false),
        (json!("false"), false),
        (json!(0), false),
    ] {
        let claims = json!({ "email": BOB, "xms_edov": flag });
        assert_eq!(email(authoritative, claims, None).unwrap().1, verified, "{flag}");
    }
}

#[test]
fn an_authority_of_several_tenants_is_believed_only_when_it_says_yes() {
    let several = |c: &mut Connection| {
        "https://login.test/{tenantid}/v2.0".clone_into(&mut c.issuer);
        c.settings.tenants = vec!["a".to_owned(), "b".to_owned()];
        c.settings.email_trust = EmailTrust::Authoritative;
    };
    for (flag, verified) in [(Value::Null, false), (json!(true), true), (json!(false), false)] {
        let claims = json!({ "email": BOB, "email_verified": flag });
        assert_eq!(email(several, claims, None).unwrap().1, verified, "{flag}");
    }
}

#[test]
fn a_text_that_is_not_an_address_is_not_an_email() {
    for text in ["bob", "bob@acme.test@evil.test", "bob@acme.test\r\n", "<bob@acme.test>", ""] {
        let claims = json!({ "email": text, "email_verified": true });
        assert_eq!(email(|_| {}, claims, None), None, "{text:?}");
    }
}

#[test]
fn claims_come_by_the_mapping_and_from_userinfo_where_the_token_is_thin() {
    let change = |c: &mut Connection| {
        "upn".clone_into(&mut c.settings.claims.email);
        c.settings.acr_values.insert("gold".to_owned(), "urn:loa:3".to_owned());
    };
    let userinfo =
        json!({ "sub": "bob", "upn": BOB, "name": "Other", "given_name": " B\u{7}ob ", "family_name": null });
    let identity = map_with(change, json!({ "name": "Bob B" }), Some(userinfo)).unwrap();
    assert_eq!(identity.email.unwrap().email.as_str(), BOB);
    assert_eq!(identity.contact.name.as_deref(), Some("Bob B"));
    assert_eq!(identity.contact.given_name.as_deref(), Some("Bob"));
    assert_eq!(identity.contact.family_name, None);
    assert_eq!(identity.mapped_acr.as_deref(), Some("gold"));
    let wrong = map_with(|_| {}, json!({ "name": 7 }), None);
    assert_eq!(wrong.unwrap_err().code(), "identity_name_malformed");
}

#[test]
fn a_required_claim_is_asked_of_userinfo_and_then_demanded() {
    let required = |c: &mut Connection| c.settings.claims.required = vec!["department".to_owned()];
    let missing = IdentityError::Missing("department".to_owned());
    assert_eq!(map_with(required, json!({}), None), Err(missing.clone()));
    assert_eq!(map_with(required, json!({ "department": null }), None), Err(missing));
    assert!(map_with(required, json!({}), Some(json!({ "department": "x" }))).is_ok());
}

#[test]
fn userinfo_is_asked_when_something_is_missing_or_always() {
    let full = object(json!({ "email": BOB, "given_name": "Bob" }));
    let asks = |change: fn(&mut Connection), claims: &Map<String, Value>, offered| {
        let mut connection = connection("https://idp.test");
        change(&mut connection);
        needs_userinfo(&connection, claims, offered)
    };
    assert!(!asks(|_| {}, &full, true));
    assert!(asks(|c| c.settings.always_userinfo = true, &full, false));
    assert!(asks(|c| c.settings.claims.required = vec!["oid".to_owned()], &full, false));
    assert!(asks(|c| c.settings.claims.groups = Some("groups".to_owned()), &full, true));
    let thin = object(json!({ "email": BOB }));
    assert!(asks(|_| {}, &thin, true) && !asks(|_| {}, &thin, false));
    assert!(asks(|_| {}, &object(json!({ "name": "Bob" })), true));
}

fn groups(id_token: Value) -> Result<Vec<String>, &'static str> {
    let mapped = |c: &mut Connection| c.settings.claims.groups = Some("groups".to_owned());
    map_with(mapped, id_token, None).map(|identity| identity.groups).map_err(|error| error.code())
}

#[test]
fn groups_come_as_array_text_or_comma_separated_list() {
    let two = vec!["a".to_owned(), "b c".to_owned()];
    assert_eq!(groups(json!({ "groups": ["a", "b c"] })), Ok(two.clone()));
    assert_eq!(groups(json!({ "groups": "a, b c,," })), Ok(two));
    assert_eq!(groups(json!({ "groups": "a" })), Ok(vec!["a".to_owned()]));
    assert_eq!(groups(json!({})), Ok(Vec::new()));
    for wrong in [json!(1), json!({}), json!(["a", 1])] {
        assert_eq!(groups(json!({ "groups": wrong })), Err("identity_groups_malformed"));
    }
    let unmapped = map_with(|_| {}, json!({ "groups": ["owner"] }), None).unwrap();
    assert!(unmapped.groups.is_empty());
}

#[test]
fn groups_that_were_left_out_fail_closed() {
    for claims in [
        json!({ "_claim_names": { "groups": "src1" } }),
        json!({ "_claim_names": { "groups": "src1" }, "groups": ["a"] }),
        json!({ "_claim_names": "groups" }),
        json!({ "hasgroups": true }),
        json!({ "hasgroups": "true" }),
    ] {
        assert_eq!(groups(claims.clone()), Err("identity_groups_overage"), "{claims}");
    }
    assert_eq!(groups(json!({ "_claim_names": { "address": "src1" }, "hasgroups": false })), Ok(Vec::new()));
}

#[test]
fn more_or_longer_groups_than_are_read_fail_closed() {
    let many = |count: usize, length: usize| {
        let names: Vec<String> = (0..count).map(|number| format!("{number:0length$}")).collect();
        groups(json!({ "groups": names })).map(|groups| groups.len())
    };
    assert_eq!((many(1_000, 256), many(1_001, 4)), (Ok(1_000), Err("identity_groups_overage")));
    assert_eq!(many(1, 257), Err("identity_groups_malformed"));
    let text = vec!["g"; 1_001].join(",");
    assert_eq!(groups(json!({ "groups": text })), Err("identity_groups_overage"));
}

#[test]
fn an_identity_does_not_print_its_token() {
    let identity = map_with(|_| {}, json!({}), None).unwrap();
    assert!(format!("{:?}", identity.id_token).contains("[secret]"));
}
