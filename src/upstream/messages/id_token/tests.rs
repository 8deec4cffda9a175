use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::model::{Freshness, Waiver};
use crate::upstream::testing::{Signer, connection, jwks, now};

const ISSUER: &str = "https://idp.test";
const NOW: i64 = 1_800_000_000;
const CODE: &str = "the code";
const ACCESS_TOKEN: &str = "the access token";

/// Everything that the result depends on. As it is, the token is good.
struct Case {
    signer: Signer,
    header: Value,
    claims: Value,
    connection: Connection,
    keys: Vec<Value>,
    fresh: Option<FreshSignIn>,
    acr: Option<&'static [&'static str]>,
    access_token: Option<&'static str>,
    text: Option<fn(String) -> String>,
}

impl Case {
    fn good() -> Self {
        let signer = Signer::new(1, Some("k1"));
        Self {
            header: signer.header(),
            claims: json!({
                "iss": ISSUER,
                "sub": "bob",
                "aud": "countersign",
                "exp": NOW + 300,
                "iat": NOW,
                "nonce": "the nonce",
            }),
            connection: connection(ISSUER),
            keys: vec![signer.jwk()],
            signer,
            fresh: None,
            acr: None,
            access_token: Some(ACCESS_TOKEN),
            text: None,
        }
    }

    fn run(&self) -> Result<IdTokenClaims, IdTokenError> {
        let token = self.signer.sign(&self.header, &self.claims);
        self.run_on(&self.text.map_or(token.clone(), |change| change(token)))
    }

    fn run_on(&self, token: &str) -> Result<IdTokenClaims, IdTokenError> {
        let jws = CompactJws::parse(token, MAX_TOKEN)?;
        let keys = JwkSet::parse(jwks(&self.keys).to_string().as_bytes()).unwrap();
        let expected = Expectation {
            now: now(),
            nonce: "the nonce",
            code: Some(CODE),
            access_token: self.access_token,
            fresh: self.fresh,
            acr: self.acr,
        };
        verify(&jws, &keys, &self.connection, &expected)
    }

    fn without(&mut self, claim: &str) {
        self.claims.as_object_mut().unwrap().remove(claim);
    }

    /// Changes the connection to one that serves several tenants, and the token to one of theirs.
    fn tenants(&mut self) {
        self.connection = connection("https://login.test/{tenantid}/v2.0");
        self.connection.settings.tenants = vec!["t-1".to_owned(), "t-2".to_owned()];
        self.claims["iss"] = "https://login.test/t-1/v2.0".into();
        self.claims["tid"] = "t-1".into();
    }

    fn fresh_since(&mut self, seconds: i64, forced: bool) {
        self.fresh = Some(FreshSignIn { not_before: Timestamp::from_unix_seconds(NOW + seconds), forced });
    }
}

type Change = fn(&mut Case);

fn flip(token: &str, part: usize) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let first = if parts[part].starts_with('A') { "B" } else { "A" };
    parts[part].replace_range(0..1, first);
    parts.join(".")
}

/// Each mutant, with the code of its refusal.
const MUTANTS: &[(&str, &str, Change)] = &[
    // Form.
    ("alg none", "token_alg_none", |c| c.header["alg"] = "none".into()),
    ("alg NoNe", "token_alg_none", |c| c.header["alg"] = "NoNe".into()),
    ("alg missing", "token_alg_missing", |c| c.header = json!({ "kid": "k1" })),
    ("alg number", "token_alg_missing", |c| c.header["alg"] = 1.into()),
    ("HMAC", "token_alg_symmetric", |c| c.header["alg"] = "HS256".into()),
    ("unknown alg", "token_alg_unsupported", |c| c.header["alg"] = "ES256K".into()),
    ("another alg", "signature_alg_mismatch", |c| c.header["alg"] = "RS256".into()),
    ("pinned to another alg", "signature_alg_mismatch", |c| {
        c.connection.settings.id_token_alg = SigningAlg::ES256;
    }),
    ("crit", "token_crit", |c| c.header["crit"] = json!(["exp"])),
    ("empty crit", "token_crit", |c| c.header["crit"] = json!([])),
    ("b64", "token_b64", |c| c.header["b64"] = false.into()),
    ("zip", "token_encryption_header", |c| c.header["zip"] = "DEF".into()),
    ("typ at+jwt", "id_token_type", |c| c.header["typ"] = "at+jwt".into()),
    ("typ logout+jwt", "id_token_type", |c| c.header["typ"] = "logout+jwt".into()),
    ("typ empty", "id_token_type", |c| c.header["typ"] = "".into()),
    ("typ number", "token_typ_malformed", |c| c.header["typ"] = 1.into()),
    ("too long", "token_too_long", |c| c.claims["x"] = "x".repeat(MAX_TOKEN).into()),
    ("two parts", "token_not_three_parts", |c| c.text = Some(|t| t.rsplit_once('.').unwrap().0.to_owned())),
    ("four parts", "token_not_three_parts", |c| c.text = Some(|t| t + ".a")),
    ("five parts", "token_encrypted", |c| c.text = Some(|t| t + ".a.a")),
    ("no signature", "token_signature_empty", |c| {
        c.text = Some(|t| format!("{}.", t.rsplit_once('.').unwrap().0));
    }),
    ("padding", "token_signature_encoding", |c| c.text = Some(|t| t + "=")),
    ("white space before", "token_header_encoding", |c| c.text = Some(|t| format!(" {t}"))),
    ("empty", "token_not_three_parts", |c| c.text = Some(|_| String::new())),
    // Signature.
    ("flipped claims", "signature_bad", |c| c.text = Some(|t| flip(&t, 1))),
    ("flipped signature", "signature_bad", |c| c.text = Some(|t| flip(&t, 2))),
    ("truncated signature", "signature_bad", |c| c.text = Some(|t| t[..t.len() - 2].to_owned())),
    ("another key", "signature_bad", |c| c.signer = Signer::new(2, Some("k1"))),
    ("a key in the header", "signature_bad", |c| {
        c.signer = Signer::new(2, Some("k1"));
        c.header["jwk"] = c.signer.jwk();
    }),
    ("unknown kid", "signature_unknown_kid", |c| c.header["kid"] = "k2".into()),
    ("kid of another case", "signature_unknown_kid", |c| c.header["kid"] = "K1".into()),
    ("kid with a path", "signature_unknown_kid", |c| c.header["kid"] = "../k1".into()),
    ("kid with a statement", "signature_unknown_kid", |c| c.header["kid"] = "k1' OR '1'='1".into()),
    ("kid of 10 KB", "token_kid_malformed", |c| c.header["kid"] = "k".repeat(10_000).into()),
    ("kid number", "token_kid_malformed", |c| c.header["kid"] = 1.into()),
    ("ambiguous kid", "signature_ambiguous_kid", |c| c.keys.push(Signer::new(2, Some("k1")).jwk())),
    ("no kid, two keys", "signature_kid_required", |c| {
        c.header = json!({ "alg": "EdDSA" });
        c.keys.push(Signer::new(2, Some("k2")).jwk());
    }),
    ("a key for encryption", "signature_no_fitting_key", |c| c.keys[0]["use"] = "enc".into()),
    ("a key for another alg", "signature_no_fitting_key", |c| c.keys[0]["alg"] = "RS256".into()),
    ("no keys", "signature_unknown_kid", |c| c.keys.clear()),
    ("key of another issuer", "id_token_key_issuer", |c| c.keys[0]["issuer"] = "https://other.test".into()),
    // Issuer.
    ("iss missing", "id_token_iss_missing", |c| c.without("iss")),
    ("iss null", "id_token_iss_malformed", |c| c.claims["iss"] = Value::Null),
    ("iss array", "id_token_iss_malformed", |c| c.claims["iss"] = json!([ISSUER])),
    ("iss with a slash", "id_token_iss_mismatch", |c| c.claims["iss"] = "https://idp.test/".into()),
    ("iss of another case", "id_token_iss_mismatch", |c| c.claims["iss"] = "https://IDP.test".into()),
    ("iss http", "id_token_iss_mismatch", |c| c.claims["iss"] = "http://idp.test".into()),
    ("iss of another tenant", "id_token_tenant_mismatch", |c| {
        c.tenants();
        c.claims["iss"] = "https://login.test/t-2/v2.0".into();
    }),
    ("tenant not listed", "id_token_tenant_not_allowed", |c| {
        c.tenants();
        c.claims["iss"] = "https://login.test/t-3/v2.0".into();
        c.claims["tid"] = "t-3".into();
    }),
    ("no tenant listed", "id_token_tenant_not_allowed", |c| {
        c.tenants();
        c.connection.settings.tenants.clear();
    }),
    ("tid missing", "id_token_tid_missing", |c| {
        c.tenants();
        c.without("tid");
    }),
    ("the template itself", "id_token_iss_mismatch", |c| {
        c.tenants();
        c.claims["iss"] = "https://login.test/{tenantid}/v2.0".into();
        c.claims["tid"] = "{tenantid}".into();
    }),
    ("a path for a tenant", "id_token_iss_mismatch", |c| {
        c.tenants();
        c.claims["iss"] = "https://login.test/t-1/x/v2.0".into();
    }),
    ("an empty tenant", "id_token_iss_mismatch", |c| {
        c.tenants();
        c.claims["iss"] = "https://login.test//v2.0".into();
        c.claims["tid"] = "".into();
    }),
    ("a key of another tenant", "id_token_key_issuer", |c| {
        c.tenants();
        c.keys[0]["issuer"] = "https://login.test/t-2/v2.0".into();
    }),
    // Subject.
    ("sub missing", "id_token_sub_missing", |c| c.without("sub")),
    ("sub empty", "id_token_sub_length", |c| c.claims["sub"] = "".into()),
    ("sub of 256", "id_token_sub_length", |c| c.claims["sub"] = "s".repeat(256).into()),
    ("sub number", "id_token_sub_malformed", |c| c.claims["sub"] = 7.into()),
    ("sub with NUL", "id_token_json", |c| c.claims["sub"] = "a\0b".into()),
    // Audience.
    ("aud missing", "id_token_aud_missing", |c| c.without("aud")),
    ("aud other", "id_token_aud_mismatch", |c| c.claims["aud"] = "other".into()),
    ("aud empty", "id_token_aud_mismatch", |c| c.claims["aud"] = json!([])),
    ("aud of another case", "id_token_aud_mismatch", |c| c.claims["aud"] = "Countersign".into()),
    ("aud object", "id_token_aud_malformed", |c| c.claims["aud"] = json!({ "countersign": 1 })),
    ("aud of mixed types", "id_token_aud_malformed", |c| c.claims["aud"] = json!(["countersign", 1])),
    ("aud with a stranger", "id_token_aud_untrusted", |c| c.claims["aud"] = json!(["countersign", "other"])),
    ("azp other", "id_token_azp_mismatch", |c| c.claims["azp"] = "other".into()),
    ("azp null", "id_token_azp_malformed", |c| c.claims["azp"] = Value::Null),
    // Times.
    ("exp missing", "id_token_exp_missing", |c| c.without("exp")),
    ("exp text", "id_token_exp_malformed", |c| c.claims["exp"] = "9999999999".into()),
    ("exp null", "id_token_exp_malformed", |c| c.claims["exp"] = Value::Null),
    ("exp negative", "id_token_exp_malformed", |c| c.claims["exp"] = json!(-1)),
    ("exp boolean", "id_token_exp_malformed", |c| c.claims["exp"] = true.into()),
    ("exp 60 s ago", "id_token_expired", |c| c.claims["exp"] = json!(NOW - 60)),
    ("exp in eleven years", "id_token_exp_too_late", |c| c.claims["exp"] = json!(NOW + 11 * 365 * 86_400)),
    ("iat missing", "id_token_iat_missing", |c| c.without("iat")),
    ("iat text", "id_token_iat_malformed", |c| c.claims["iat"] = "1".into()),
    ("iat in 61 s", "id_token_iat_in_future", |c| c.claims["iat"] = json!(NOW + 61)),
    ("iat 661 s ago", "id_token_iat_too_old", |c| c.claims["iat"] = json!(NOW - 661)),
    ("iat in milliseconds", "id_token_iat_in_future", |c| c.claims["iat"] = json!(NOW * 100)),
    ("nbf in 61 s", "id_token_nbf_in_future", |c| c.claims["nbf"] = json!(NOW + 61)),
    ("nbf text", "id_token_nbf_malformed", |c| c.claims["nbf"] = "1".into()),
    // Nonce and hashes.
    ("nonce missing", "id_token_nonce_missing", |c| c.without("nonce")),
    ("nonce other", "id_token_nonce_mismatch", |c| c.claims["nonce"] = "other".into()),
    ("nonce prefix", "id_token_nonce_mismatch", |c| c.claims["nonce"] = "the nonc".into()),
    ("nonce array", "id_token_nonce_malformed", |c| c.claims["nonce"] = json!(["the nonce"])),
    ("at_hash other", "id_token_at_hash_mismatch", |c| c.claims["at_hash"] = "AAAA".into()),
    ("at_hash number", "id_token_at_hash_malformed", |c| c.claims["at_hash"] = 1.into()),
    ("at_hash of a shorter hash", "id_token_at_hash_mismatch", |c| {
        c.claims["at_hash"] = half_hash(SigningAlg::RS256, ACCESS_TOKEN).into();
    }),
    ("at_hash without an access token", "id_token_at_hash_mismatch", |c| {
        c.claims["at_hash"] = half_hash(SigningAlg::EdDSA, ACCESS_TOKEN).into();
        c.access_token = None;
    }),
    ("c_hash other", "id_token_c_hash_mismatch", |c| c.claims["c_hash"] = "AAAA".into()),
    // The demands of the connection and the app.
    ("hd missing", "id_token_required_claim", |c| require(c, &["acme.test"])),
    ("hd other", "id_token_required_claim", |c| {
        require(c, &["acme.test"]);
        c.claims["hd"] = "evil.test".into();
    }),
    ("hd array", "id_token_required_claim", |c| {
        require(c, &["acme.test"]);
        c.claims["hd"] = json!(["acme.test"]);
    }),
    ("acr missing", "id_token_acr_missing", |c| c.acr = Some(&["gold"])),
    ("acr other", "id_token_acr_mismatch", |c| {
        c.acr = Some(&["gold"]);
        c.claims["acr"] = "silver".into();
    }),
    ("acr that nothing can meet", "id_token_acr_mismatch", |c| {
        c.acr = Some(&[]);
        c.claims["acr"] = "silver".into();
    }),
    ("acr number", "id_token_acr_malformed", |c| c.claims["acr"] = 1.into()),
    ("amr object", "id_token_amr_malformed", |c| c.claims["amr"] = json!({})),
    ("sid number", "id_token_sid_malformed", |c| c.claims["sid"] = 1.into()),
    ("auth_time text", "id_token_auth_time_malformed", |c| c.claims["auth_time"] = "1".into()),
    ("auth_time in 61 s", "id_token_auth_time_in_future", |c| c.claims["auth_time"] = json!(NOW + 61)),
    ("auth_time too old", "id_token_auth_time_too_old", |c| {
        c.fresh_since(-30, true);
        c.claims["auth_time"] = json!(NOW - 91);
    }),
    ("auth_time too old under a waiver", "id_token_auth_time_too_old", |c| {
        c.fresh_since(-30, true);
        waive(c, 1);
        c.claims["auth_time"] = json!(NOW - 91);
    }),
    ("no auth_time", "id_token_auth_time_unknown", |c| c.fresh_since(-30, true)),
    ("no auth_time, not forced", "id_token_auth_time_unknown", |c| {
        c.fresh_since(-30, false);
        c.connection.settings.capabilities.honours_prompt_login = true;
    }),
    ("iat too old where it counts", "id_token_auth_time_too_old", |c| {
        c.fresh_since(-30, true);
        c.connection.settings.capabilities.honours_prompt_login = true;
        c.claims["iat"] = json!(NOW - 91);
    }),
    ("a waiver that has ended", "id_token_auth_time_unknown", |c| {
        c.fresh_since(-30, true);
        waive(c, 0);
    }),
];

fn require(case: &mut Case, values: &[&str]) {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    case.connection.settings.required_claims = BTreeMap::from([("hd".to_owned(), values)]);
}

fn waive(case: &mut Case, until: i64) {
    case.connection.settings.freshness = Freshness::RoundTrip;
    let until = Timestamp::from_unix_seconds(NOW + until);
    case.connection.settings.waivers.insert(Waiver::RoundTripFreshness, until);
}

#[test]
fn every_mutant_is_refused_for_its_own_reason() {
    for (name, code, change) in MUTANTS {
        let mut case = Case::good();
        change(&mut case);
        let error = case.run().expect_err(name);
        assert_eq!(error.code(), *code, "{name}: {error}");
    }
}

/// Differences from the good token that are not faults.
const NEIGHBOURS: &[(&str, Change)] = &[
    ("as it is", |_| {}),
    ("typ absent", |c| c.header = json!({ "alg": "EdDSA", "kid": "k1" })),
    ("typ jwt", |c| c.header["typ"] = "jwt".into()),
    ("foreign keys in the header", |c| {
        c.header["jwk"] = Signer::new(9, None).jwk();
        c.header["jku"] = "https://evil.test/jwks".into();
        c.header["x5u"] = "https://evil.test/x5u".into();
        c.header["x5c"] = json!(["AAAA"]);
    }),
    ("unknown header members", |c| c.header["rh"] = "0.AA".into()),
    ("no kid, one key", |c| c.header = json!({ "alg": "EdDSA" })),
    ("no kid, one fitting key", |c| {
        c.header = json!({ "alg": "EdDSA" });
        let mut other = Signer::new(2, Some("k2")).jwk();
        other["use"] = "enc".into();
        c.keys.push(other);
    }),
    ("a key with this issuer", |c| c.keys[0]["issuer"] = ISSUER.into()),
    ("aud as a list", |c| c.claims["aud"] = json!(["countersign"])),
    ("aud with a trusted one", |c| {
        c.claims["aud"] = json!(["api", "countersign"]);
        c.connection.settings.trusted_audiences = vec!["api".to_owned()];
    }),
    ("azp ours", |c| c.claims["azp"] = "countersign".into()),
    ("sub of 255", |c| c.claims["sub"] = "\u{e9}".repeat(255).into()),
    ("exp 59 s ago", |c| c.claims["exp"] = json!(NOW - 59)),
    ("exp with a fraction", |c| c.claims["exp"] = json!(1_800_000_300.9)),
    ("exp in ten years", |c| c.claims["exp"] = json!(NOW + 10 * 365 * 86_400)),
    ("iat in 60 s", |c| c.claims["iat"] = json!(NOW + 60)),
    ("iat 660 s ago", |c| c.claims["iat"] = json!(NOW - 660)),
    ("nbf in 60 s", |c| c.claims["nbf"] = json!(NOW + 60)),
    ("at_hash right", |c| c.claims["at_hash"] = half_hash(SigningAlg::EdDSA, ACCESS_TOKEN).into()),
    ("c_hash right", |c| c.claims["c_hash"] = half_hash(SigningAlg::EdDSA, CODE).into()),
    ("a listed tenant", Case::tenants),
    ("a key with the tenant template", |c| {
        c.tenants();
        c.keys[0]["issuer"] = "https://login.test/{tenantid}/v2.0".into();
    }),
    ("hd right", |c| {
        require(c, &["acme.test", "acme.example"]);
        c.claims["hd"] = "acme.example".into();
    }),
    ("acr right", |c| {
        c.acr = Some(&["gold", "silver"]);
        c.claims["acr"] = "silver".into();
    }),
    ("amr as one text", |c| c.claims["amr"] = "pwd".into()),
    ("auth_time within the skew", |c| {
        c.fresh_since(-30, true);
        c.claims["auth_time"] = json!(NOW - 90);
    }),
    ("an old auth_time that nobody minds", |c| c.claims["auth_time"] = json!(NOW - 999_999)),
];

#[test]
fn harmless_neighbours_pass() {
    for (name, change) in NEIGHBOURS {
        let mut case = Case::good();
        change(&mut case);
        let verdict = case.run();
        assert!(verdict.is_ok(), "{name}: {verdict:?}");
    }
}

#[test]
fn a_repeated_claim_is_refused_wherever_it_stands() {
    let case = Case::good();
    let (header, claims) = (case.header.to_string(), case.claims.to_string());
    for name in ["iss", "sub", "aud", "exp", "nonce"] {
        let twice = claims.replacen('{', &format!(r#"{{"{name}":"x","#), 1);
        let error = case.run_on(&case.signer.sign_text(&header, &twice)).unwrap_err();
        assert_eq!(error, JsonError::DuplicateKey.into(), "{name}");
    }
    let twice = header.replacen('{', r#"{"alg":"none","#, 1);
    assert_eq!(case.run_on(&case.signer.sign_text(&twice, &claims)).unwrap_err().code(), "token_header_json");
    for claims in ["[]", "null", "", "{}x", "{"] {
        let error = case.run_on(&case.signer.sign_text(&header, claims)).unwrap_err();
        assert_eq!(error.code(), "id_token_json", "{claims}: {error}");
    }
}

#[test]
fn every_shortened_token_is_refused() {
    let case = Case::good();
    let token = case.signer.sign(&case.header, &case.claims);
    for end in 0..token.len() {
        assert!(case.run_on(&token[..end]).is_err(), "{end}");
    }
}

#[test]
fn what_was_verified_is_what_is_given_back() {
    let mut case = Case::good();
    case.claims["auth_time"] = json!(NOW - 7);
    case.claims["acr"] = "gold".into();
    case.claims["amr"] = json!(["pwd", "otp"]);
    case.claims["sid"] = "s-1".into();
    let claims = case.run().unwrap();
    assert_eq!((claims.issuer.as_str(), claims.subject.as_str()), (ISSUER, "bob"));
    assert_eq!(claims.auth_time, Some(Timestamp::from_unix_seconds(NOW - 7)));
    assert_eq!((claims.acr.as_deref(), claims.sid.as_deref()), (Some("gold"), Some("s-1")));
    assert_eq!(claims.amr, ["pwd", "otp"]);
}

#[test]
fn of_many_or_long_methods_the_first_twenty_that_are_short_are_kept() {
    let mut case = Case::good();
    let mut methods = vec!["x".repeat(65), "a\nb".to_owned(), "y".repeat(64)];
    methods.extend((0..600).map(|number| format!("m{number}")));
    case.claims["amr"] = json!(methods);
    case.claims["sid"] = "s".repeat(256).into();
    let claims = case.run().unwrap();
    assert_eq!((claims.amr.len(), claims.amr[0].len(), claims.amr[19].as_str()), (20, 64, "m18"));
    assert_eq!((claims.sid, claims.shortened), (None, true));
    case.claims["amr"] = json!(vec!["m"; 20]);
    case.claims["sid"] = "s".repeat(255).into();
    let claims = case.run().unwrap();
    assert_eq!((claims.amr.len(), claims.sid.map(|sid| sid.len()), claims.shortened), (20, Some(255), false));
}

#[test]
fn without_auth_time_the_sign_in_is_dated_by_what_the_connection_allows() {
    let mut case = Case::good();
    case.fresh_since(-30, true);
    case.connection.settings.capabilities.honours_prompt_login = true;
    assert_eq!(case.run().unwrap().auth_time, Some(Timestamp::from_unix_seconds(NOW)));
    let mut case = Case::good();
    case.fresh_since(-1, false);
    waive(&mut case, 1);
    assert_eq!(
        case.run().unwrap().auth_time,
        None,
        "it is accepted, and nothing says when the user signed in"
    );
    assert_eq!(Case::good().run().unwrap().auth_time, None);
}
