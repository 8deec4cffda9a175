//! Row 109 by instructions: what the largest inputs of strangers cost, counted by callgrind.
//!
//! The test starts this binary once more under valgrind, for a case that is ignored otherwise. That case serves each input
//! three times as long as before: n, 2n and 4n bytes. Callgrind counts the instructions of [`count_the_instructions`]
//! alone, on its own thread, so neither the machine's speed nor what else runs plays a part.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use countersign::model::{DomainName, Email};
use countersign::net::client_address;
use countersign::protocol::jose::CompactJws;
use countersign::protocol::oauth::{Parameters, split_words};
use countersign::protocol::{Peer, claims, json};
use countersign::web::browser::cookies::Cookies;
use countersign::web::headers::HeaderSettings;
use countersign::web::pages::Pages;
use countersign::web::state::Web;
use countersign::web::text::locale::Locale;
use http::{HeaderMap, HeaderValue, Request, header};
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

use crate::attacks::tools::FORM;
use crate::harness::app::TestApp;
use crate::harness::database::Kind;

/// The bytes of the shortest form, and of the shortest query or header. Four times as many is the most that is read.
const FORM_BYTES: usize = 16_384 - 64;
const HEAD_BYTES: usize = 3_500;

const WORLD: &str = r#"
[[organizations]]
handle = "acme"
name = "Acme"

[[organizations.connections]]
id = "con_019000000000700080000000000000a1"
handle = "acme-idp"
name = "Acme SSO"
issuer = "https://idp.test"
client_id = "countersign"
client_secret = "idp-secret-0123456789"

[[organizations.apps]]
client_id = "notes"
name = "Notes"
client_secret = "notes-secret-0123456789"
redirect_uris = ["https://notes.acme.test/callback"]
"#;

/// A good request but for what is added to it.
const AUTHORIZE: &str = "/oauth2/authorize?response_type=code&client_id=notes&state=s&redirect_uri=\
     https%3A%2F%2Fnotes.acme.test%2Fcallback&code_challenge_method=S256&code_challenge=\
     E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

type Work = Pin<Box<dyn Future<Output = ()>>>;

/// The only function whose instructions are counted. Its name occurs nowhere else.
#[inline(never)]
fn count_the_instructions(runtime: &Runtime, work: Work) {
    runtime.block_on(work);
}

/// Where callgrind writes its count, and starts again from zero.
#[inline(never)]
fn write_the_count_down() {
    black_box(());
}

/// Takes what was read, so that the compiler cannot leave the reading out.
fn spend<T>(read: T) {
    black_box(read);
}

/// Parts of at most `bytes` bytes together, each made from its number.
fn parts(bytes: usize, part: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for at in 0.. {
        let next = part(at);
        if text.len() + next.len() > bytes {
            return text;
        }
        text += &next;
    }
    text
}

fn distinct(bytes: usize) -> String {
    parts(bytes, |at| format!("{at:x}=&"))
}

fn words(bytes: usize) -> String {
    parts(bytes, |at| format!("{at:x}+"))
}

/// Everything that a stranger's bytes reach, by name; each makes its work from a number of bytes, outside of what is
/// counted.
struct Cases {
    router: Router,
    number: u32,
    list: Vec<Case>,
}

/// One input: its name, its smallest size, and how to make it at a given size in bytes.
struct Case {
    name: String,
    bytes: usize,
    make: Box<dyn Fn(usize) -> Input>,
}

enum Input {
    Request(Box<Request<Body>>),
    Call(Box<dyn FnOnce()>),
}

impl Cases {
    fn request(&mut self, name: &str, bytes: usize, make: impl Fn(usize) -> Request<Body> + 'static) {
        let make = Box::new(move |bytes| Input::Request(Box::new(make(bytes))));
        self.list.push(Case { name: name.to_owned(), bytes, make });
    }

    fn form(&mut self, path: &'static str, kind: &str, make: impl Fn(usize) -> String + 'static) {
        self.request(&format!("POST {path}: {kind}"), FORM_BYTES, move |bytes| {
            let request = Request::post(path).header(FORM.0, FORM.1).header("sec-fetch-site", "same-origin");
            request.body(Body::from(make(bytes))).unwrap()
        });
    }

    fn query(&mut self, path: &'static str, kind: &str, make: impl Fn(usize) -> String + 'static) {
        let separator = if path.contains('?') { "&" } else { "?" };
        let shown = path.split('?').next().unwrap();
        self.request(&format!("GET {shown}: {kind}"), HEAD_BYTES, move |bytes| {
            Request::get(format!("{path}{separator}{}", make(bytes))).body(Body::empty()).unwrap()
        });
    }

    fn header(
        &mut self,
        path: &'static str,
        name: header::HeaderName,
        kind: &str,
        make: impl Fn(usize) -> String + 'static,
    ) {
        self.request(&format!("GET {path}: {kind}"), HEAD_BYTES, move |bytes| {
            Request::get(path).header(&name, make(bytes)).body(Body::empty()).unwrap()
        });
    }

    fn call(&mut self, name: &str, bytes: usize, make: impl Fn(usize) -> Box<dyn FnOnce()> + 'static) {
        let make = Box::new(move |bytes| Input::Call(make(bytes)));
        self.list.push(Case { name: name.to_owned(), bytes, make });
    }

    /// The work of an input; each request comes from a network of its own.
    fn work(&mut self, input: Input) -> Work {
        match input {
            Input::Call(call) => Box::pin(async move { call() }),
            Input::Request(mut request) => {
                self.number += 1;
                let address = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + self.number));
                request.extensions_mut().insert(Peer { address, tls: true, sni: None });
                let router = self.router.clone();
                Box::pin(async move {
                    let response = router.oneshot(*request).await.unwrap();
                    assert!(!response.status().is_server_error(), "{response:?}");
                })
            }
        }
    }
}

fn forms(cases: &mut Cases) {
    for path in [
        "/oauth2/token",
        "/oauth2/revoke",
        "/oauth2/introspect",
        "/oauth2/userinfo",
        "/oauth2/authorize",
        "/oauth2/logout",
        "/signin",
        "/signin/domain",
        "/signin/connection",
        "/consent",
        "/link",
        "/link/confirm",
        "/sso/callback/con_019000000000700080000000000000a1",
        "/sso/backchannel-logout/con_019000000000700080000000000000a1",
        "/sso/initiate/con_019000000000700080000000000000a1",
    ] {
        cases.form(path, "distinct names", distinct);
    }
    let client = "client_id=notes&client_secret=notes-secret-0123456789";
    cases.form("/oauth2/token", "one name", |bytes| parts(bytes, |_| "a=&".to_owned()));
    cases.form("/oauth2/token", "separators", |bytes| "&".repeat(bytes));
    cases.form("/oauth2/token", "escapes", |bytes| format!("a={}", "%41".repeat(bytes / 3)));
    cases.form("/oauth2/token", "resources", |bytes| parts(bytes, |_| "resource=a&".to_owned()));
    cases.form("/oauth2/token", "scope", move |bytes| {
        format!("grant_type=client_credentials&{client}&scope={}", words(bytes))
    });
    cases.form("/oauth2/introspect", "a long token", move |bytes| {
        format!("{client}&token={}", "a.".repeat(bytes / 2))
    });
    cases
        .form("/oauth2/revoke", "a long token", move |bytes| format!("{client}&token={}", "a".repeat(bytes)));
    cases.form("/signin", "a long username", |bytes| format!("username={}", "a".repeat(bytes)));
    cases.form("/signin/domain", "a long name", |bytes| format!("domain={}", "a.".repeat(bytes / 2)));
    cases.form("/sso/callback/con_019000000000700080000000000000a1", "a long state", |bytes| {
        format!("state={}", "<".repeat(bytes))
    });
    for (kind, payload) in [("a deep token", "[".to_owned()), ("a wide token", "\"a\":1,".to_owned())] {
        let path = "/sso/backchannel-logout/con_019000000000700080000000000000a1";
        cases.form(path, kind, move |bytes| {
            let head =
                URL_SAFE_NO_PAD.encode(format!("{{\"a\":{}", payload.repeat(bytes / payload.len() / 2)));
            format!("logout_token={head}.e30.c2ln")
        });
    }
}

fn heads(cases: &mut Cases) {
    for path in [
        AUTHORIZE,
        "/oauth2/userinfo",
        "/oauth2/logout",
        "/signin",
        "/signin/domain",
        "/account",
        "/nothing",
        "/sso/acme",
        "/sso/callback/con_019000000000700080000000000000a1",
        "/sso/frontchannel-logout/con_019000000000700080000000000000a1",
        "/sso/signed-out/con_019000000000700080000000000000a1",
        "/sso/initiate/con_019000000000700080000000000000a1",
        "/oauth2/jwks",
    ] {
        cases.query(path, "distinct names", distinct);
    }
    for name in ["scope", "prompt", "acr_values", "ui_locales"] {
        cases.query(AUTHORIZE, name, move |bytes| format!("{name}={}", words(bytes)));
    }
    cases.query(AUTHORIZE, "claims", |bytes| {
        let values = parts(bytes / 4, |at| format!("\"{at:x}\","));
        let claims = format!("{{\"id_token\":{{\"acr\":{{\"values\":[{values}\"\"]}}}}}}");
        url::form_urlencoded::Serializer::new(String::new()).append_pair("claims", &claims).finish()
    });
    cases.query(AUTHORIZE, "login_hint", |bytes| format!("login_hint={}@a.test", "a".repeat(bytes)));
    cases.query(AUTHORIZE, "domain_hint", |bytes| format!("domain_hint={}test", "a.".repeat(bytes / 2)));
    cases.query(AUTHORIZE, "resource", |bytes| parts(bytes, |_| "resource=a&".to_owned()));
    cases.query(AUTHORIZE, "id_token_hint", |bytes| format!("id_token_hint={}", "a.".repeat(bytes / 2)));
    cases.request("GET /sso/{name}: a long name", HEAD_BYTES, |bytes| {
        Request::get(format!("/sso/{}", "a.".repeat(bytes / 2))).body(Body::empty()).unwrap()
    });
    cases.header("/signin", header::COOKIE, "cookies", |bytes| parts(bytes, |at| format!("{at:x}=; ")));
    cases.header("/signin", header::COOKIE, "cookies like ours", |bytes| {
        parts(bytes, |at| format!("__Host-{at:x}=; "))
    });
    cases.header("/signin", header::COOKIE, "flows", |bytes| {
        parts(bytes, |at| format!("__Host-flow-{at:032x}=a; "))
    });
    cases.header("/signin", header::COOKIE, "flows and others", |bytes| {
        let flows = parts(bytes / 2, |at| format!("__Host-flow-{at:032x}=a; "));
        flows + &parts(bytes / 2, |at| format!("__Host-{at:x}=; "))
    });
    cases.header("/signin", header::ACCEPT_LANGUAGE, "languages", |bytes| {
        parts(bytes, |at| format!("x{at:x};q=0.{},", at % 1_000))
    });
    cases.header("/signin", header::USER_AGENT, "a long agent", |bytes| "a".repeat(bytes));
    cases.header("/oauth2/userinfo", header::AUTHORIZATION, "a long token", |bytes| {
        format!("Bearer {}", "a.".repeat(bytes / 2))
    });
    cases.request("POST /oauth2/token: a long secret", HEAD_BYTES, |bytes| {
        let secret = STANDARD.encode(format!("notes:{}", "%41".repeat(bytes / 4)));
        let request = Request::post("/oauth2/token").header(FORM.0, FORM.1);
        request.header(header::AUTHORIZATION, format!("Basic {secret}")).body(Body::empty()).unwrap()
    });
}

fn headers_of(name: header::HeaderName, text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(name, HeaderValue::from_str(text).unwrap());
    headers
}

/// The parsers alone.
fn parsers(cases: &mut Cases) {
    cases.call("Parameters::parse", FORM_BYTES, |bytes| {
        let text = distinct(bytes);
        Box::new(move || spend(Parameters::parse(black_box(&text))))
    });
    cases.call("Parameters::parse and first_repeated, long values", FORM_BYTES, |bytes| {
        let text =
            (0..100).map(|at| format!("{at}={}&", "a".repeat(bytes / 100 - 5))).collect::<Vec<_>>().concat();
        Box::new(move || {
            assert!(black_box(Parameters::parse(black_box(&text)).unwrap().first_repeated()).is_none());
        })
    });
    cases.call("split_words", FORM_BYTES, |bytes| {
        let text = words(bytes).replace('+', " ");
        Box::new(move || spend(split_words(black_box(&text))))
    });
    cases.call("claims::parse", 512, |bytes| {
        let values = parts(bytes - 40, |at| format!("\"{at:x}\","));
        let text = format!("{{\"id_token\":{{\"acr\":{{\"values\":[{values}\"\"]}}}}}}");
        Box::new(move || spend(claims::parse(black_box(&text), 2_048)))
    });
    for (kind, part) in [("members", "distinct"), ("one member again", "same"), ("depth", "deep")] {
        cases.call(&format!("json::parse_object, {kind}"), FORM_BYTES, move |bytes| {
            let text = match part {
                "distinct" => format!("{{{}\"\":1}}", parts(bytes, |at| format!("\"{at:x}\":1,"))),
                "same" => format!("{{{}\"\":1}}", parts(bytes, |_| "\"a\":1,".to_owned())),
                _ => "{\"a\":".repeat(bytes / 5),
            };
            Box::new(move || spend(json::parse_object(black_box(text.as_bytes()), 65_536)))
        });
    }
    for (kind, part) in [("parts", "a."), ("one part", "a")] {
        cases.call(&format!("CompactJws::parse, {kind}"), FORM_BYTES, move |bytes| {
            let text = part.repeat(bytes / part.len());
            Box::new(move || spend(CompactJws::parse(black_box(&text), 65_536)))
        });
    }
    cases.call("Cookies::read", HEAD_BYTES, |bytes| {
        let flows = parts(bytes / 2, |at| format!("__Host-flow-{at:032x}=a; "));
        let text = flows + &parts(bytes / 2, |at| format!("__Host-{at:x}=; "));
        let headers = headers_of(header::COOKIE, &text);
        Box::new(move || spend(Cookies::read(black_box(&headers))))
    });
    cases.call("Locale::choose", HEAD_BYTES, |bytes| {
        let (wish, accepted) = (words(bytes).replace('+', " "), parts(bytes, |at| format!("x{at:x},")));
        Box::new(move || spend(Locale::choose([wish.as_str()], Some(&accepted))))
    });
    cases.call("client_address", HEAD_BYTES, |bytes| {
        let name = header::HeaderName::from_static("x-forwarded-for");
        let headers = headers_of(name, &("10.0.0.1, ".repeat(bytes / 10) + "10.0.0.1"));
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        Box::new(move || spend(client_address([10, 0, 0, 1].into(), black_box(&headers), &trusted)))
    });
    for (kind, part) in [("labels", "a."), ("one label", "a"), ("letters", "\u{e4}")] {
        cases.call(&format!("DomainName and Email, {kind}"), FORM_BYTES, move |bytes| {
            let text = part.repeat(bytes / part.len()) + "test";
            let email = format!("a@{text}");
            Box::new(move || {
                spend(black_box(&text).parse::<DomainName>());
                spend(black_box(&email).parse::<Email>());
            })
        });
    }
}

fn cases(router: Router) -> Cases {
    let mut cases = Cases { router, number: 0, list: Vec::new() };
    forms(&mut cases);
    heads(&mut cases);
    parsers(&mut cases);
    assert!(cases.list.iter().all(|case| !case.name.contains('\t')));
    cases
}

#[test]
#[ignore = "row_109_the_largest_inputs_cost_in_proportion_to_their_length starts it under valgrind"]
fn the_largest_inputs_are_served() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let app = runtime.block_on(async {
        let app = TestApp::new(Kind::Sqlite).await;
        app.apply(WORLD).await;
        app
    });
    let pages = Arc::new(Pages::embedded().unwrap());
    let headers = HeaderSettings::for_host("id.test");
    let web = Web { broker: Arc::clone(&app.broker), pages, headers };
    let mut cases = cases(countersign::web::router(web));
    for Case { name, bytes, make } in std::mem::take(&mut cases.list) {
        // What is done once is done before.
        runtime.block_on(cases.work(make(bytes)));
        for times in [1, 2, 4] {
            let work = cases.work(make(bytes * times));
            println!("\tcounted\t{name}\t{}", bytes * times);
            count_the_instructions(&runtime, work);
            write_the_count_down();
        }
    }
    runtime.block_on(async move { drop(app) });
}

/// The instructions that callgrind has written down, one dump for each time that something was counted.
fn dumps(folder: &std::path::Path) -> Vec<u64> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // The last file has no number and holds what came after.
        let Some(number) = path.extension().and_then(|number| number.to_str()?.parse::<u32>().ok()) else {
            continue;
        };
        let text = std::fs::read_to_string(&path).unwrap();
        let total = text.lines().find_map(|line| line.strip_prefix("totals: ")).unwrap();
        found.insert(number, total.trim().parse().unwrap());
    }
    found.into_values().collect()
}

#[test]
fn row_109_the_largest_inputs_cost_in_proportion_to_their_length() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*count_the_instructions*"])
        .args(["--dump-before=*write_the_count_down*", "--dump-line=no", "--fair-sched=yes"])
        .arg(format!("--callgrind-out-file={}/out", folder.path().display()))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "attacks::exhaustion::steps::the_largest_inputs_are_served"])
        .args(["--ignored", "--nocapture", "--test-threads=1"])
        .output()
        .expect("valgrind; scripts/test installs it");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complaint}");
    let counted: Vec<(&str, &str)> = said
        .lines()
        .filter_map(|line| line.split_once("\tcounted\t").and_then(|(_, rest)| rest.split_once('\t')))
        .collect();
    let costs = dumps(folder.path());
    assert_eq!(costs.len(), counted.len(), "{complaint}");
    assert!(counted.len() > 150, "only {} inputs were counted", counted.len());
    let mut steep = Vec::new();
    for (inputs, costs) in counted.chunks(3).zip(costs.chunks(3)) {
        let [(name, bytes), ..] = inputs else { panic!("{inputs:?}") };
        let [one, two, four] = *costs else { panic!("{costs:?}") };
        println!("{name}, {bytes} bytes and more: {one}, {two}, {four} instructions");
        // Twice the step costs twice as much, and a little is lost in between.
        let slack = one / 10 + 300_000;
        if four.saturating_sub(two) * 10 > two.saturating_sub(one) * 26 + slack * 10 {
            steep.push(format!("{name}: {one}, {two}, {four}"));
        }
    }
    assert!(steep.is_empty(), "more than in proportion: {steep:#?}");
}
