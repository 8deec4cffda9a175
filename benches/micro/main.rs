//! What the parts of a sign-in cost, one by one (criterion): signatures, sealed flow state, the check of an ID token,
//! the decision where to sign in, a page; and what parsers cost for the largest input of a stranger beside a plain one.
//!
//! ```text
//! cargo bench --bench micro
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc, missing_docs)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use askama::Template as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign::crypto::MasterKey;
use countersign::crypto::jws::VerifyingKey;
use countersign::crypto::keys::SigningKey;
use countersign::crypto::random::{SystemRandom, hash_token, token};
use countersign::crypto::seal::{Purpose, Sealer};
use countersign::flows::sign_in::SignInPurpose;
use countersign::model::{
    self, Aim, AppId, AuthorizationRequest, Connection, ConnectionId, ConnectionSettings, Flow, FlowId,
    OrganizationId, SigningAlg, Timestamp, UpstreamRequest, Vendor,
};
use countersign::policy::sign_in::route::{Hints, decide};
use countersign::protocol::jose::{CompactJws, JwkSet};
use countersign::protocol::oauth::{Parameters, split_words};
use countersign::protocol::{claims as claims_parameter, json};
use countersign::upstream::messages::id_token::{self, Expectation};
use countersign::web::browser::cookies::Cookies;
use countersign::web::pages::{Form, Pages};
use countersign::web::sign_in::SignIn;
use countersign::web::text::locale::Locale;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const ISSUER: &str = "https://idp.example.com";

fn claims() -> Value {
    json!({
        "iss": ISSUER,
        "sub": "248289761001",
        "aud": "countersign",
        "nonce": "bm9uY2Utbm9uY2Utbm9uY2U",
        "iat": NOW.unix_seconds(),
        "exp": NOW.unix_seconds() + 300,
        "email": "bob@acme.example",
        "email_verified": true,
        "name": "Bob Berger",
    })
}

fn parse(token: &str) -> CompactJws {
    CompactJws::parse(token, 64 * 1_024).unwrap()
}

fn signatures(criterion: &mut Criterion) {
    let claims = claims();
    for alg in [SigningAlg::ES256, SigningAlg::RS256, SigningAlg::EdDSA] {
        let key = SigningKey::generate(alg, "key-1".to_owned()).unwrap();
        criterion.bench_function(&format!("sign a token {alg}"), |bencher| {
            bencher.iter(|| key.sign_jwt("JWT", None, black_box(&claims)).unwrap());
        });
        let token = parse(&key.sign_jwt("JWT", None, &claims).unwrap());
        let verifying = VerifyingKey::new(key.public_jwk(), alg).unwrap();
        criterion.bench_function(&format!("verify a token {alg}"), |bencher| {
            bencher.iter(|| verifying.verify(black_box(&token)).unwrap());
        });
    }
    criterion.bench_function("make a bearer token and hash it", |bencher| {
        bencher.iter(|| hash_token(token(&SystemRandom).expose()));
    });
}

fn connection() -> Connection {
    Connection {
        id: ConnectionId::from_bytes([1; 16]),
        organization: OrganizationId::from_bytes([2; 16]),
        handle: "sso".parse().unwrap(),
        name: "SSO".to_owned(),
        enabled: true,
        issuer: ISSUER.to_owned(),
        client_id: "countersign".to_owned(),
        settings: ConnectionSettings::for_vendor(Vendor::Generic),
        created_at: NOW,
    }
}

fn id_tokens(criterion: &mut Criterion) {
    let key = SigningKey::generate(SigningAlg::RS256, "key-1".to_owned()).unwrap();
    let other = SigningKey::generate(SigningAlg::RS256, "key-2".to_owned()).unwrap();
    let keys = JwkSet { keys: vec![other.public_jwk().clone(), key.public_jwk().clone()] };
    let text = key.sign_jwt("JWT", None, &claims()).unwrap();
    let connection = connection();
    let expected = Expectation {
        now: NOW.after(Duration::from_secs(1)),
        nonce: "bm9uY2Utbm9uY2Utbm9uY2U",
        code: Some("code"),
        access_token: Some("access token"),
        fresh: None,
        acr: None,
    };
    // Catalogue row 75: neither unpacked nor derived, whatever its header asks for.
    let header = json!({ "alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "zip": "DEF", "p2c": 1_000_000_000 });
    let header = URL_SAFE_NO_PAD.encode(header.to_string());
    let bomb = format!("{header}.AAAA.AAAA.{}.AAAA", "A".repeat(48 * 1_024));
    criterion.bench_function("refuse an encrypted ID token of 48 KiB", |bencher| {
        bencher.iter(|| CompactJws::parse(black_box(&bomb), 64 * 1_024).unwrap_err());
    });
    criterion.bench_function("check an ID token RS256, from its text", |bencher| {
        bencher.iter(|| id_token::verify(&parse(black_box(&text)), &keys, &connection, &expected).unwrap());
    });
}

fn flow() -> Flow {
    let request = AuthorizationRequest {
        app: AppId::from_bytes([3; 16]),
        redirect_uri: "https://notes.acme.example/callback".to_owned(),
        scopes: ["openid", "profile", "email"].map(str::to_owned).to_vec(),
        state: Some("a-state-of-some-length-as-libraries-make-it".to_owned()),
        nonce: Some("a-nonce-of-some-length-as-libraries-make-it".to_owned()),
        code_challenge: Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".to_owned()),
        prompt: Vec::new(),
        max_age: None,
        acr_values: Vec::new(),
        essential_acr: Vec::new(),
        login_hint: None,
        hinted_account: None,
        domain_hint: Some("acme.example".to_owned()),
        idp_hint: None,
        resources: Vec::new(),
        ui_locales: None,
    };
    let upstream = UpstreamRequest {
        connection: ConnectionId::from_bytes([1; 16]),
        registration: [4; 16],
        state: [5; 16],
        nonce: [6; 16],
        verifier: [7; 32],
        sent_at: NOW,
        not_before: None,
        forced: false,
    };
    let aim = Aim::Begin(model::Purpose::App(Box::new(request)));
    Flow { id: FlowId::from_bytes([8; 16]), started_at: NOW, aim, named: None, upstream: Some(upstream) }
}

fn flow_state(criterion: &mut Criterion) {
    let sealer = Sealer::new(&MasterKey::generate(&SystemRandom), &[], Arc::new(SystemRandom)).unwrap();
    let flow = flow();
    let seal = |flow: &Flow| {
        let text = postcard::to_allocvec(flow).unwrap();
        sealer.seal_text(Purpose::FlowCookie, &format!("flow:{}", flow.id), &text).unwrap()
    };
    criterion.bench_function("seal a flow", |bencher| bencher.iter(|| seal(black_box(&flow))));
    let sealed = seal(&flow);
    criterion.bench_function("open a flow", |bencher| {
        bencher.iter(|| {
            let context = format!("flow:{}", flow.id);
            let text = sealer.open_text(Purpose::FlowCookie, &context, black_box(&sealed)).unwrap();
            postcard::from_bytes::<Flow>(&text).unwrap()
        });
    });
}

fn decisions(criterion: &mut Criterion) {
    let one = ConnectionId::from_bytes([1; 16]);
    let hints = Hints {
        domain: Some(vec![one]),
        app: Some(vec![ConnectionId::from_bytes([9; 16]), one]),
        ..Hints::default()
    };
    criterion.bench_function("decide where to sign in", |bencher| bencher.iter(|| decide(black_box(&hints))));
}

fn pages(criterion: &mut Criterion) {
    let pages = Pages::embedded().unwrap();
    criterion.bench_function("render the sign-in page", |bencher| {
        bencher.iter(|| {
            let page = SignIn {
                frame: pages.frame(Locale::English, black_box("/signin?flow=abc")),
                form: Form { token: "token".to_owned(), flow: Some("flow".to_owned()) },
                username: None,
                connections: Vec::new(),
                failure: None,
                purpose: SignInPurpose::SignIn,
            };
            page.render().unwrap()
        });
    });
}

/// Parts, each made from its number, as many as fit into `bytes`.
fn many(bytes: usize, part: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for at in 0.. {
        let next = part(at);
        if text.len() + next.len() > bytes {
            break;
        }
        text += &next;
    }
    text
}

/// The most that a form, a head or the parameter `claims` may have.
const FORM: usize = 65_536;
const HEAD: usize = 16_000;
const CLAIMS: usize = 2_048;

/// The largest input that a stranger can send to each parser, beside a plain one.
fn largest_inputs(criterion: &mut Criterion) {
    let plain =
        "grant_type=authorization_code&code=abc&redirect_uri=https%3A%2F%2Fa.example%2Fcb&code_verifier=xyz";
    let hundred = (0..100).map(|at| format!("n{at}={}&", "v".repeat(640))).collect::<Vec<_>>().concat();
    let distinct = many(FORM, |at| format!("{at:x}=&"));
    for (name, text) in
        [("plain", plain), ("100 parameters, 64 KiB", &hundred), ("distinct names, 64 KiB", &distinct)]
    {
        criterion.bench_function(&format!("read a form, {name}"), |bencher| {
            bencher.iter(|| {
                let read = Parameters::parse(black_box(text));
                read.is_ok_and(|read| read.first_repeated().is_none())
            });
        });
    }
    let words = many(FORM, |at| format!("{at:x} "));
    for (name, text) in [("plain", "openid profile email"), ("64 KiB", &words)] {
        criterion.bench_function(&format!("read words, {name}"), |bencher| {
            bencher.iter(|| split_words(black_box(text)));
        });
    }
    let list = |bytes| {
        format!(r#"{{"id_token":{{"acr":{{"values":["a"{}]}}}}}}"#, many(bytes, |at| format!(",\"{at}\"")))
    };
    for (name, text) in [("plain", list(4)), ("2 KiB", list(CLAIMS - 50))] {
        criterion.bench_function(&format!("read the parameter claims, {name}"), |bencher| {
            bencher.iter(|| claims_parameter::parse(black_box(&text), CLAIMS));
        });
    }
    let object = |bytes| format!("{{\"a\":1{}}}", many(bytes, |at| format!(",\"{at}\":1")));
    for (name, text) in [("plain", object(200)), ("64 KiB", object(FORM - 10))] {
        criterion.bench_function(&format!("read JSON, {name}"), |bencher| {
            bencher.iter(|| json::parse_object(black_box(text.as_bytes()), FORM));
        });
    }
    let ours =
        "__Host-session=abc; __Host-known=def; __Host-flow-00000000000000000000000000000001=ghi".to_owned();
    let flows = many(HEAD, |at| format!("__Host-flow-{at:032x}=a; "));
    for (name, text) in [("plain", ours), ("16 KiB of flows", flows)] {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_str(&text).unwrap());
        criterion.bench_function(&format!("read cookies, {name}"), |bencher| {
            bencher.iter(|| Cookies::read(black_box(&headers)));
        });
    }
}

criterion_group!(parts, signatures, id_tokens, flow_state, decisions, pages, largest_inputs);
criterion_main!(parts);
