use serde_json::json;

use super::*;
use crate::upstream::messages::id_token::MAX_TOKEN;
use crate::upstream::testing::{Signer, connection, jwks, metadata, now};

const ISSUER: &str = "https://idp.test";
const NOW: i64 = 1_800_000_000;

struct Case {
    signer: Signer,
    header: Value,
    claims: Value,
}

impl Case {
    fn good() -> Self {
        let signer = Signer::new(1, Some("k1"));
        let mut header = signer.header();
        header["typ"] = "logout+jwt".into();
        let claims = json!({
            "iss": ISSUER, "aud": "countersign", "iat": NOW, "exp": NOW + 120, "jti": "j-1", "sub": "bob",
            "sid": "s-1", "events": { EVENT: {} },
        });
        Self { signer, header, claims }
    }

    fn run(&self) -> Result<LogoutTarget, LogoutTokenError> {
        let jws = CompactJws::parse(&self.signer.sign(&self.header, &self.claims), MAX_TOKEN).unwrap();
        let keys = jwks(&[Signer::new(1, Some("k1")).jwk()]);
        verify(&jws, &JwkSet::parse(keys.to_string().as_bytes()).unwrap(), &connection(ISSUER), now())
    }
}

type Change = fn(&mut Case);

fn without(case: &mut Case, claims: &[&str]) {
    for claim in claims {
        case.claims.as_object_mut().unwrap().remove(*claim);
    }
}

#[test]
fn a_good_token_names_whom_it_signs_out() {
    let target = Case::good().run().unwrap();
    assert_eq!((target.subject.as_deref(), target.sid.as_deref()), (Some("bob"), Some("s-1")));
    assert_eq!(
        (target.jti.as_str(), target.issued_at, target.replayable_until),
        ("j-1", Timestamp::from_unix_seconds(NOW), Timestamp::from_unix_seconds(NOW + 180))
    );
    let neighbours: [Change; 5] = [
        |c| c.header["typ"] = "JWT".into(),
        |c| c.header["typ"] = "application/logout+jwt".into(),
        |c| without(c, &["sid"]),
        |c| without(c, &["sub"]),
        |c| c.claims["events"][EVENT] = json!({ "x": 1 }),
    ];
    for (index, change) in neighbours.into_iter().enumerate() {
        let mut case = Case::good();
        change(&mut case);
        assert!(case.run().is_ok(), "{index}");
    }
}

#[test]
fn a_token_is_remembered_while_it_could_come_again_however_late_it_expires() {
    for (issued_at, expires_at, until) in [
        (NOW, NOW + 120, NOW + 180),
        (NOW, NOW + 600, NOW + 660),
        (NOW, NOW + 601, NOW + 660),
        (NOW, NOW + 9 * 365 * 86_400, NOW + 660),
        (NOW - 600, NOW + 86_400, NOW + 60),
        (NOW + 60, NOW + 86_400, NOW + 720),
    ] {
        let mut case = Case::good();
        case.claims["iat"] = json!(issued_at);
        case.claims["exp"] = json!(expires_at);
        let target = case.run().unwrap();
        assert_eq!(target.replayable_until, Timestamp::from_unix_seconds(until), "{issued_at} {expires_at}");
    }
}

#[test]
fn every_mutant_is_refused_for_its_own_reason() {
    let mutants: [(&str, Change); 23] = [
        ("id_token_type", |c| c.header["typ"] = "at+jwt".into()),
        ("signature_bad", |c| c.signer = Signer::new(2, Some("k1"))),
        ("signature_unknown_kid", |c| c.header["kid"] = "k2".into()),
        ("signature_alg_mismatch", |c| c.header["alg"] = "ES256".into()),
        ("id_token_iss_mismatch", |c| c.claims["iss"] = "https://other.test".into()),
        ("id_token_iss_missing", |c| without(c, &["iss"])),
        ("id_token_aud_mismatch", |c| c.claims["aud"] = "other".into()),
        ("id_token_iat_missing", |c| without(c, &["iat"])),
        ("id_token_iat_too_old", |c| c.claims["iat"] = json!(NOW - 700)),
        ("id_token_exp_missing", |c| without(c, &["exp"])),
        ("id_token_expired", |c| c.claims["exp"] = json!(NOW - 60)),
        ("logout_token_nonce", |c| c.claims["nonce"] = "n".into()),
        ("logout_token_nonce", |c| c.claims["nonce"] = Value::Null),
        ("logout_token_event", |c| without(c, &["events"])),
        ("logout_token_event", |c| c.claims["events"] = json!({})),
        ("logout_token_event", |c| c.claims["events"] = json!([EVENT])),
        ("logout_token_event", |c| c.claims["events"][EVENT] = json!(true)),
        ("id_token_jti_missing", |c| without(c, &["jti"])),
        ("logout_token_jti_length", |c| c.claims["jti"] = "".into()),
        ("logout_token_no_target", |c| without(c, &["sub", "sid"])),
        ("logout_token_no_target", |c| c.claims["sid"] = "".into()),
        ("id_token_sub_malformed", |c| c.claims["sub"] = 1.into()),
        ("id_token_sid_malformed", |c| c.claims["sid"] = json!([])),
    ];
    for (code, change) in mutants {
        let mut case = Case::good();
        change(&mut case);
        assert_eq!(case.run().unwrap_err().code(), code);
    }
}

#[test]
fn the_end_session_request_keeps_the_endpoints_own_parameters() {
    let mut metadata = metadata(ISSUER);
    metadata.end_session_endpoint = Some("https://idp.test/logout?realm=a".parse().unwrap());
    let hint = Secret::new("a.b.c");
    let request = EndSession {
        id_token_hint: Some(&hint),
        post_logout_redirect_uri: "https://id.test/sso/signed-out/con_1",
        state: "x&y",
    };
    let url = end_session_url(&connection(ISSUER), &metadata, request).unwrap();
    assert_eq!(
        url.as_str(),
        "https://idp.test/logout?realm=a&id_token_hint=a.b.c&client_id=countersign\
         &post_logout_redirect_uri=https%3A%2F%2Fid.test%2Fsso%2Fsigned-out%2Fcon_1&state=x%26y"
    );
    metadata.end_session_endpoint = None;
    assert_eq!(end_session_url(&connection(ISSUER), &metadata, request), None);
}
