//! Broken ID tokens: rows 64, 65, 67 to 69, 75 and 76, and every other header and claim.

use std::sync::Arc;

use serde_json::{Value, json};

use super::answers::{announcing, endless};
use super::{Mutant, refuse_each, refuse_each_of};
use crate::harness::database::Kind;
use crate::harness::hostile::{CLIENT, Forgery, Reply, SECRET, Signer, sign_hmac};
use crate::on_both_databases;

/// Another text for an issuer.
type Spelling = fn(&str) -> String;

/// A mutant that sets one header.
fn header(kind: &'static str, value: Value, reason: &'static str) -> Mutant {
    let name = short(&value);
    Mutant::new(kind, name, reason, move |f| f.header[kind] = value.clone())
}

/// A mutant that sets one claim.
fn claim(kind: &'static str, value: Value, reason: &'static str) -> Mutant {
    let name = short(&value);
    Mutant::new(kind, name, reason, move |f| f.claims[kind] = value.clone())
}

/// A mutant that moves one point in time, in seconds from now.
fn time(kind: &'static str, seconds: i64, reason: &'static str) -> Mutant {
    Mutant::new(kind, format!("{seconds:+} s"), reason, move |f| f.claims[kind] = json!(f.now + seconds))
}

/// A mutant without one claim.
fn missing(kind: &'static str, reason: &'static str) -> Mutant {
    Mutant::new(kind, "missing", reason, move |f| f.without(kind))
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(60).collect()
}

/// What no text is.
fn no_texts() -> Vec<Value> {
    vec![Value::Null, json!(7), json!(true), json!({}), json!(["x"])]
}

on_both_databases! {
    async fn row_64_a_token_that_says_it_is_unsigned(kind: Kind) {
        let unsigned = |token: String| format!("{}.", token.rsplit_once('.').unwrap().0);
        let mut mutants = Vec::new();
        for alg in ["none", "None", "NONE", "nOnE", "noNe"] {
            mutants.push(header("alg", json!(alg), "token_alg_none"));
            mutants.push(Mutant::new("alg", format!("{alg} and no signature"), "token_alg_none", move |f| {
                f.header["alg"] = json!(alg);
                f.token_text = Some(unsigned);
            }));
        }
        mutants.extend([
            Mutant::new("signature", "empty", "token_signature_empty", move |f| f.token_text = Some(unsigned)),
            Mutant::new("form", "two parts", "token_not_three_parts", |f| {
                f.token_text = Some(|token| token.rsplit_once('.').unwrap().0.to_owned());
            }),
            Mutant::new("alg missing", "missing", "token_alg_missing", |f| f.header = json!({ "kid": "k1" })),
            Mutant::new("alg missing", "null", "token_alg_missing", |f| f.header["alg"] = Value::Null),
            Mutant::new("alg missing", "list", "token_alg_missing", |f| f.header["alg"] = json!(["none"])),
            Mutant::new("alg unknown", "empty", "token_alg_unsupported", |f| f.header["alg"] = json!("")),
            Mutant::new("alg unknown", "none ", "token_alg_unsupported", |f| f.header["alg"] = json!("none ")),
        ]);
        refuse_each(kind, "", mutants).await;
    }
}

on_both_databases! {
    async fn row_65_a_public_key_as_a_secret(kind: Kind) {
        let key = || Signer::number(0);
        let jwk = key().jwk("k1");
        let modulus = jwk["n"].as_str().unwrap().to_owned();
        let secrets: [(&str, Vec<u8>); 5] = [
            ("PEM", key().pem().into_bytes()),
            ("PEM without the last line break", key().pem().trim_end().as_bytes().to_vec()),
            ("JWK", jwk.to_string().into_bytes()),
            ("modulus", modulus.into_bytes()),
            ("client secret", SECRET.as_bytes().to_vec()),
        ];
        let mut mutants = Vec::new();
        for (name, secret) in secrets {
            for (alg, kind, reason) in [
                ("HS256", "alg", "token_alg_symmetric"),
                ("hs256", "alg", "token_alg_symmetric"),
                ("RS256", "signature", "signature_bad"),
            ] {
                let secret = secret.clone();
                mutants.push(Mutant::new(kind, format!("{alg} under {name}"), reason, move |f| {
                    f.header["alg"] = json!(alg);
                    let secret = secret.clone();
                    f.sign = Some(Arc::new(move |header, claims| sign_hmac(&secret, header, claims)));
                }));
            }
        }
        mutants.push(header("alg", json!("HS512"), "token_alg_symmetric"));
        // A symmetric key in the published set is none: the name finds nothing.
        mutants.push(Mutant::new("key", "symmetric, published", "signature_unknown_kid", |f| {
            f.keys = vec![json!({ "kty": "oct", "kid": "k1", "k": "c2VjcmV0" })];
        }));
        refuse_each(kind, "", mutants).await;
    }
}

on_both_databases! {
    async fn row_67_a_key_id_that_is_more_than_a_name(kind: Kind) {
        let mut mutants = vec![];
        for kid in [
            "../../../../dev/null",
            "/dev/null",
            "k1' OR '1'='1",
            "k1; DROP TABLE accounts",
            "https://localhost/keys",
            "",
            "K1",
            "k1 ",
            "k1\u{200b}",
            "${jndi:ldap://localhost}",
        ] {
            mutants.push(header("kid", json!(kid), "signature_unknown_kid"));
        }
        for kid in [json!("k".repeat(10_000)), json!(1), Value::Null, json!(["k1"]), json!({ "k1": 1 })] {
            let name = short(&kid);
            mutants.push(Mutant::new("kid's form", name, "token_kid_malformed", move |f| {
                f.header["kid"] = kid.clone();
            }));
        }
        mutants.push(Mutant::new("header", "NUL in kid", "token_header_json", |f| f.header["kid"] = json!("k1\0")));
        mutants.push(Mutant::new("keys of one name", "two", "signature_ambiguous_kid", |f| {
            f.keys.push(Signer::number(1).jwk("k1"));
        }));
        mutants.push(Mutant::new("no kid", "two keys", "signature_kid_required", |f| {
            f.header = json!({ "alg": "RS256" });
            f.keys.push(Signer::number(1).jwk("k2"));
        }));
        for (name, member, value) in
            [("for encryption", "use", "enc"), ("for another algorithm", "alg", "PS256")]
        {
            mutants.push(Mutant::new("key", name, "signature_no_fitting_key", move |f| f.keys[0][member] = json!(value)));
        }
        mutants.push(Mutant::new("key's issuer", "another", "id_token_key_issuer", |f| {
            f.keys[0]["issuer"] = json!("https://localhost:1");
        }));
        refuse_each(kind, "", mutants).await;
    }
}

on_both_databases! {
    async fn row_68_claims_of_another_type(kind: Kind) {
        let mut mutants = vec![missing("exp", "id_token_exp_missing"), missing("iat", "id_token_iat_missing")];
        // Kinds are named after the claim; a missing claim and a malformed one have reasons of their own.
        for (name, reason) in [
            ("exp", "id_token_exp_malformed"),
            ("iat", "id_token_iat_malformed"),
            ("nbf", "id_token_nbf_malformed"),
            ("auth_time", "id_token_auth_time_malformed"),
        ] {
            for value in [
                json!("9999999999"), json!(""), Value::Null, json!(true), json!(-1), json!(1e300), json!([]), json!({}),
            ] {
                mutants.push(claim(name, value, reason));
            }
        }
        for (name, reason) in [
            ("sub", "id_token_sub_malformed"),
            ("nonce", "id_token_nonce_malformed"),
            ("at_hash", "id_token_at_hash_malformed"),
            ("c_hash", "id_token_c_hash_malformed"),
            ("acr", "id_token_acr_malformed"),
            ("sid", "id_token_sid_malformed"),
        ] {
            mutants.extend(no_texts().into_iter().map(|value| claim(name, value, reason)));
        }
        for value in [json!({}), json!(7), json!([7])] {
            mutants.push(claim("amr", value, "id_token_amr_malformed"));
        }
        for value in no_texts().into_iter().filter(|value| !value.is_null()) {
            mutants.push(claim("name", value, "identity_name_malformed"));
        }
        refuse_each(kind, "", mutants).await;
    }
}

fn of_another_issuer() -> Vec<Mutant> {
    let mut mutants: Vec<Mutant> =
        no_texts().into_iter().map(|value| claim("iss", value, "id_token_iss_malformed")).collect();
    mutants.push(missing("iss", "id_token_iss_missing"));
    let spellings: [(&str, Spelling); 11] = [
        ("empty", |_| String::new()),
        ("with a slash", |issuer| format!("{issuer}/")),
        ("in capitals", |issuer| issuer.replace("localhost", "LOCALHOST")),
        ("over http", |issuer| issuer.replace("https", "http")),
        ("with a path", |issuer| format!("{issuer}/v2.0")),
        ("with a query", |issuer| format!("{issuer}?x")),
        ("with a user", |issuer| issuer.replace("https://", "https://x@")),
        ("with white space", |issuer| format!(" {issuer}")),
        ("by address", |issuer| issuer.replace("localhost", "127.0.0.1")),
        ("of the broker", |_| "https://id.test".to_owned()),
        ("another's", |_| "https://localhost:1".to_owned()),
    ];
    for (name, spell) in spellings {
        mutants.push(Mutant::new("iss", name, "id_token_iss_mismatch", move |f| {
            f.claims["iss"] = json!(spell(&f.issuer));
        }));
    }
    mutants
}

fn for_somebody_else() -> Vec<Mutant> {
    let other = "id_token_aud_mismatch";
    let mut mutants = vec![
        missing("aud", "id_token_aud_missing"),
        claim("aud", json!("countersign"), other),
        claim("aud", json!("https://id.test"), other),
        claim("aud", json!(CLIENT.to_uppercase()), other),
        claim("aud", json!(format!("{CLIENT} ")), other),
        claim("aud", json!(format!("{CLIENT},api")), other),
        claim("aud", json!("*"), other),
        claim("aud", json!(""), other),
        claim("aud", json!([]), other),
        claim("aud", json!(["api"]), other),
        claim("aud", json!([CLIENT, "board"]), "id_token_aud_untrusted"),
        claim("aud", json!([CLIENT, "api", "*"]), "id_token_aud_untrusted"),
    ];
    for value in
        [Value::Null, json!(7), json!(true), json!({ CLIENT: 1 }), json!([CLIENT, 7]), json!([[CLIENT]])]
    {
        mutants.push(claim("aud", value, "id_token_aud_malformed"));
    }
    for party in ["api", "countersign", "", "COUNTERSIGN-M"] {
        mutants.push(claim("azp", json!(party), "id_token_azp_mismatch"));
    }
    mutants.extend(no_texts().into_iter().map(|value| claim("azp", value, "id_token_azp_malformed")));
    mutants
}

fn out_of_time() -> Vec<Mutant> {
    let (year, day) = (365 * 86_400, 86_400);
    vec![
        time("exp", -60, "id_token_expired"),
        time("exp", -day, "id_token_expired"),
        claim("exp", json!(0), "id_token_expired"),
        claim("exp", json!(1.9), "id_token_expired"),
        time("exp", 11 * year, "id_token_exp_too_late"),
        claim("exp", json!(253_402_300_800_i64), "id_token_exp_malformed"),
        time("iat", 61, "id_token_iat_in_future"),
        time("iat", 3_600, "id_token_iat_in_future"),
        Mutant::new("iat", "in milliseconds", "id_token_iat_malformed", |f| {
            f.claims["iat"] = json!(f.now * 1_000);
        }),
        time("iat", -661, "id_token_iat_too_old"),
        time("iat", -day, "id_token_iat_too_old"),
        claim("iat", json!(0), "id_token_iat_too_old"),
        time("nbf", 61, "id_token_nbf_in_future"),
        time("nbf", day, "id_token_nbf_in_future"),
    ]
}

on_both_databases! {
    async fn row_69_another_issuer_audience_party_or_time(kind: Kind) {
        let mutants: Vec<Mutant> =
            [of_another_issuer(), for_somebody_else(), out_of_time()].into_iter().flatten().collect();
        assert!(mutants.len() >= 40, "{}", mutants.len());
        refuse_each(kind, "", mutants).await;
    }
}

on_both_databases! {
    async fn row_75_an_encrypted_token_costs_nothing(kind: Kind) {
        let bomb = |header: Value| {
            Mutant::new("encryption", short(&header), "token_encrypted", move |f| {
                f.header = header.clone();
                f.token_text = Some(|token| format!("{token}.AAAA.AAAA"));
            })
        };
        let mut mutants = vec![
            bomb(json!({ "alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 1_000_000_000, "p2s": "AAAA" })),
            bomb(json!({ "alg": "dir", "enc": "A256GCM", "zip": "DEF" })),
            bomb(json!({ "alg": "RSA-OAEP", "enc": "A256GCM", "kid": "k1" })),
        ];
        // The same headers on a token of three parts.
        for (name, value) in [("zip", json!("DEF")), ("enc", json!("A256GCM"))] {
            mutants.push(Mutant::new("encryption header", name, "token_encryption_header", move |f| {
                f.header[name] = value.clone();
            }));
        }
        refuse_each(kind, "", mutants).await;
    }
}

on_both_databases! {
    async fn row_76_json_that_is_deep_repeated_or_huge(kind: Kind) {
        let deep = |text: String| text.replacen('{', &format!("{{\"x\":{}{},", "[".repeat(10_000), "]".repeat(10_000)), 1);
        let twice = |text: String| text.replacen('{', r#"{"sub":"victim","#, 1);
        let mutants = vec![
            Mutant::new("claims", "deep", "id_token_json", move |f| f.claims_text = Some(deep)),
            Mutant::new("claims", "repeated", "id_token_json", move |f| f.claims_text = Some(twice)),
            Mutant::new("claims", "repeated deeper", "id_token_json", |f| {
                f.claims_text = Some(|text| text.replacen('{', r#"{"x":{"y":1,"y":1},"#, 1));
            }),
            Mutant::new("claims", "a list", "id_token_json", |f| f.claims_text = Some(|text| format!("[{text}]"))),
            Mutant::new("claims", "none", "id_token_json", |f| f.claims_text = Some(|_| String::new())),
            Mutant::new("claims", "cut off", "id_token_json", |f| f.claims_text = Some(|t| t[..t.len() - 1].to_owned())),
            Mutant::new("claims", "more after it", "id_token_json", |f| f.claims_text = Some(|text| text + "{}")),
            Mutant::new("claims", "NUL", "id_token_json", |f| f.claims["sub"] = json!("mallory\0")),
            Mutant::new("header", "deep", "token_header_json", move |f| f.header_text = Some(deep)),
            Mutant::new("header", "repeated", "token_header_json", |f| {
                f.header_text = Some(|text| text.replacen('{', r#"{"alg":"none","#, 1));
            }),
            Mutant::new("header", "no JSON", "token_header_json", |f| f.header_text = Some(|_| "alg=RS256".to_owned())),
            Mutant::new("token's size", "100 KB", "token_too_long", |f| f.claims["x"] = json!("x".repeat(100_000))),
            Mutant::new("answer", "deep", "token_answer_json", |f| {
                f.token_reply = Some(Arc::new(|text| {
                    let nested = format!("{{\"x\":{}{},", "[".repeat(10_000), "]".repeat(10_000));
                    Reply::json(200, text.replacen('{', &nested, 1))
                }));
            }),
            Mutant::new("answer", "repeated", "token_answer_json", |f| {
                f.token_reply = Some(Arc::new(|text| {
                    let twice = text.replacen('{', r#"{"id_token":"a.b.c","#, 1);
                    Reply::json(200, twice)
                }));
            }),
            Mutant::new("answer's size", "100 MB announced", "outbound_too_large", |f| {
                f.token_reply = Some(Arc::new(|_| announcing(100_000_000)));
            }),
            Mutant::new("answer's size", "without end", "outbound_too_large", |f| {
                f.token_reply = Some(Arc::new(|_| endless()));
            }),
        ];
        refuse_each(kind, "", mutants).await;
    }
}

fn of_the_form() -> Vec<Mutant> {
    type Text = fn(String) -> String;
    let forms: [(&'static str, &str, &'static str, Text); 9] = [
        ("form", "four parts", "token_not_three_parts", |t| t + ".AAAA"),
        ("form", "empty", "token_not_three_parts", |_| String::new()),
        ("signature's encoding", "padded", "token_signature_encoding", |t| t + "="),
        ("signature's encoding", "line break", "token_signature_encoding", |t| t + "\n"),
        ("header's encoding", "white space before", "token_header_encoding", |t| format!(" {t}")),
        ("claims' encoding", "no base64url", "token_payload_encoding", |t| t.replacen('.', ".+", 1)),
        ("signature", "shortened", "signature_bad", |t| t[..t.len() - 2].to_owned()),
        ("signature", "of zeros", "signature_bad", |t| {
            format!("{}.{}", t.rsplit_once('.').unwrap().0, "A".repeat(342))
        }),
        ("signature", "over other claims", "signature_bad", |t| {
            let parts: Vec<&str> = t.split('.').collect();
            format!("{}.{}.{}", parts[0], "eyJzdWIiOiJ2aWN0aW0ifQ", parts[2])
        }),
    ];
    let mut mutants: Vec<Mutant> = forms
        .into_iter()
        .map(|(kind, name, reason, text)| Mutant::new(kind, name, reason, move |f| f.token_text = Some(text)))
        .collect();
    mutants.extend([
        Mutant::new("signature", "by another key", "signature_bad", |f| f.signer = Signer::number(1)),
        header("crit", json!(["exp"]), "token_crit"),
        header("crit", json!([]), "token_crit"),
        header("b64", json!(false), "token_b64"),
        header("typ", json!("at+jwt"), "id_token_type"),
        header("typ", json!("logout+jwt"), "id_token_type"),
        header("typ", json!(""), "id_token_type"),
    ]);
    for (name, value) in [("number", json!(1)), ("null", Value::Null), ("long", json!("t".repeat(500)))] {
        mutants.push(Mutant::new("typ's form", name, "token_typ_malformed", move |f| {
            f.header["typ"] = value.clone();
        }));
    }
    for alg in ["PS256", "RS384", "RS512", "ES256", "EdDSA"] {
        let another = move |f: &mut Forgery| f.header["alg"] = json!(alg);
        mutants.push(Mutant::new("another alg", alg, "signature_alg_mismatch", another));
    }
    for alg in ["ES256K", "rs256", "RS1", "RSA1_5"] {
        let unknown = move |f: &mut Forgery| f.header["alg"] = json!(alg);
        mutants.push(Mutant::new("alg unknown", alg, "token_alg_unsupported", unknown));
    }
    mutants
}

fn of_the_person_and_the_flow() -> Vec<Mutant> {
    vec![
        missing("sub", "id_token_sub_missing"),
        claim("sub", json!(""), "id_token_sub_length"),
        claim("sub", json!("s".repeat(256)), "id_token_sub_length"),
        missing("nonce", "id_token_nonce_missing"),
        claim("nonce", json!(""), "id_token_nonce_mismatch"),
        claim("nonce", json!("chosen-by-somebody-else"), "id_token_nonce_mismatch"),
        Mutant::new("nonce", "and more", "id_token_nonce_mismatch", |f| {
            f.claims["nonce"] = json!(format!("{}x", f.claims["nonce"].as_str().unwrap()));
        }),
        Mutant::new("nonce", "shortened", "id_token_nonce_mismatch", |f| {
            let nonce = f.claims["nonce"].as_str().unwrap();
            f.claims["nonce"] = json!(nonce.get(1..).unwrap_or_default());
        }),
        claim("at_hash", json!("AAAAAAAAAAAAAAAAAAAAAA"), "id_token_at_hash_mismatch"),
        claim("at_hash", json!(""), "id_token_at_hash_mismatch"),
        claim("c_hash", json!("AAAAAAAAAAAAAAAAAAAAAA"), "id_token_c_hash_mismatch"),
        time("auth_time", 61, "id_token_auth_time_in_future"),
        missing("auth_time", "id_token_auth_time_unknown").asking(&[("max_age", "30")]),
        time("auth_time", -91, "id_token_auth_time_too_old").asking(&[("max_age", "30")]),
        missing("auth_time", "id_token_auth_time_unknown").asking(&[("prompt", "login")]),
        time("auth_time", -3_600, "id_token_auth_time_too_old").asking(&[("prompt", "login")]),
    ]
}

on_both_databases! {
    async fn every_other_header_and_claim_is_refused_for_its_own_reason(kind: Kind) {
        let mutants = [of_the_form(), of_the_person_and_the_flow()].into_iter().flatten().collect();
        refuse_each(kind, "", mutants).await;
    }
}

on_both_databases! {
    async fn what_a_connection_demands_is_demanded_of_every_token(kind: Kind) {
        let demanded = "required_claims = { hd = [\"beta.test\"] }\n\
                        claims = { groups = \"groups\", required = [\"name\"] }";
        let mut mutants = vec![missing("hd", "id_token_required_claim")];
        for value in [json!("evil.test"), json!("BETA.test"), json!(["beta.test"]), Value::Null] {
            mutants.push(claim("hd", value, "id_token_required_claim"));
        }
        for value in [json!([1]), json!({ "staff": true }), json!(7)] {
            mutants.push(claim("groups", value, "identity_groups_malformed"));
        }
        for (name, value) in [("hasgroups", json!(true)), ("_claim_names", json!({ "groups": "src1" }))] {
            mutants.push(Mutant::new("groups elsewhere", name, "identity_groups_overage", move |f| {
                f.claims[name] = value.clone();
            }));
        }
        mutants.extend([
            Mutant::new("groups elsewhere", "1,001 of them", "identity_groups_overage", |f| {
                f.claims["groups"] = json!(vec!["a"; 1_001]);
            }),
            Mutant::new("required claim", "missing everywhere", "identity_claim_missing", |f| {
                f.without("name");
                f.userinfo["name"] = Value::Null;
            }),
            claim("phone_number", json!(7), "identity_phone_malformed"),
            claim("given_name", json!([]), "identity_given_name_malformed"),
            claim("family_name", json!({}), "identity_family_name_malformed"),
            claim("name", json!(true), "identity_name_malformed"),
        ]);
        let base = |f: &mut Forgery| {
            f.claims["hd"] = json!("beta.test");
            f.claims["groups"] = json!(["staff"]);
        };
        refuse_each_of(kind, demanded, base, mutants).await;
    }
}
