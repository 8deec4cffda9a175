//! Differences from the plainest good response that are not faults: it is accepted.

use serde_json::json;

use super::KEYS_OLD;
use crate::harness::beta::Beta;
use crate::harness::database::Kind;
use crate::harness::hostile::{CLIENT, Forgery, Reply, Signer};
use crate::harness::relying_app::claims;
use crate::on_both_databases;

type Neighbour = (&'static str, fn(&mut Forgery));

const NEIGHBOURS: &[Neighbour] = &[
    ("expired 59 s ago", |f| f.claims["exp"] = json!(f.now - 59)),
    ("issued in 60 s", |f| f.claims["iat"] = json!(f.now + 60)),
    ("issued ten minutes and 60 s ago", |f| f.claims["iat"] = json!(f.now - 660)),
    ("valid in 60 s", |f| f.claims["nbf"] = json!(f.now + 60)),
    ("fractions of a second", |f| {
        f.claims["exp"] = json!(f64::from(i32::try_from(f.now).unwrap()) + 300.9);
        f.claims["iat"] = json!(f64::from(i32::try_from(f.now).unwrap()) + 0.5);
    }),
    ("aud in a list", |f| f.claims["aud"] = json!([CLIENT])),
    ("aud with one that is trusted", |f| f.claims["aud"] = json!([CLIENT, "api"])),
    ("azp ours", |f| f.claims["azp"] = json!(CLIENT)),
    ("no kid, one key", |f| f.header = json!({ "alg": "RS256" })),
    ("no kid, one key that fits", |f| {
        f.header = json!({ "alg": "RS256" });
        let mut other = Signer::number(1).jwk("k2");
        other["use"] = json!("enc");
        f.keys.push(other);
    }),
    ("a key that nobody can use beside the good one", |f| {
        f.keys.push(json!({ "kty": "EC", "crv": "secp256k1", "x": "AAAA", "y": "AAAA", "kid": "k2" }));
    }),
    ("typ absent", |f| f.header = json!({ "alg": "RS256", "kid": "k1" })),
    ("typ in small letters", |f| f.header["typ"] = json!("jwt")),
    ("unknown members", |f| {
        f.header["rh"] = json!("0.AA");
        f.claims["https://beta.test/x"] = json!({ "a": [1, 2, { "b": null }] });
    }),
    ("acr and amr that nobody asked for", |f| {
        f.claims["acr"] = json!("gold");
        f.claims["amr"] = json!("pwd");
    }),
    ("an old auth_time that nobody minds", |f| f.claims["auth_time"] = json!(f.now - 999_999)),
    ("a subject of 255 characters", |f| f.claims["sub"] = json!("\u{e9}".repeat(255))),
    ("a media type with parameters", |f| {
        f.token_reply = Some(std::sync::Arc::new(|text| {
            Reply::of(200, &[("content-type", "Application/JSON; charset=utf-8")], text)
        }));
    }),
    ("a token_type in small letters, and members that nobody knows", |f| {
        f.answer = Some(|answer| {
            answer["token_type"] = json!("bearer");
            answer["x"] = json!({ "y": 1 });
        });
    }),
    ("a thin token", Forgery::thin),
];

on_both_databases! {
    async fn harmless_neighbours_sign_in(kind: Kind) {
        let beta = Beta::new(kind).await;
        for (name, change) in NEIGHBOURS {
            beta.idp.forge(change);
            beta.world.app.clock.advance(KEYS_OLD);
            beta.signs_in(name).await;
        }
        assert_eq!(beta.world.app.refusals().await, Vec::<String>::new());
    }
}

on_both_databases! {
    async fn two_people_of_one_provider_are_two_accounts(kind: Kind) {
        let beta = Beta::new(kind).await;
        let mut accounts = Vec::new();
        for sub in ["mallory", "Mallory", "mallory"] {
            beta.idp.forge(move |f| f.claims["sub"] = json!(sub));
            let end = beta.sign_in(&mut beta.browser()).await;
            let (_, tokens) = beta.board.redeem(&beta.board.code(&end)).await;
            accounts.push(claims(tokens["id_token"].as_str().unwrap())["sub"].clone());
        }
        assert_ne!(accounts[0], accounts[1]);
        assert_eq!(accounts[0], accounts[2]);
    }
}
