//! Broken answers of the token and userinfo endpoints.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{BREAKER_CLOSES, Mutant, assert_refusal, refuse_each, refuse_each_of};
use crate::harness::beta::Beta;
use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::hostile::{Forgery, Reply, Step, head};
use crate::harness::relying_app::claims;
use crate::on_both_databases;

/// What userinfo says otherwise than the ID token.
type Contradiction = fn(&mut Forgery);

/// A change of the token answer.
type Edit = fn(&mut Value);

const JSON: (&str, &str) = ("content-type", "application/json");

/// A response that announces a length of `length` bytes and sends none.
pub fn announcing(length: usize) -> Reply {
    Reply(vec![Step::Send(head(200, &[JSON, ("content-length", &length.to_string())])), Step::Hang])
}

/// An answer in chunks that never ends.
pub fn endless() -> Reply {
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x0001_0000)).into_bytes();
    Reply(vec![Step::Send(head(200, &[JSON, ("transfer-encoding", "chunked")])), Step::Endless(chunk)])
}

/// Every way in which an answer is none, given the honest text. `content` and `json` are the endpoint's reasons for
/// another media type and for what is no JSON.
fn broken(
    content: &'static str,
    json: &'static str,
) -> Vec<(&'static str, &'static str, &'static str, Wire)> {
    vec![
        ("media type", "HTML", content, |t| Reply::of(200, &[("content-type", "text/html")], t)),
        ("media type", "none", content, |t| Reply::of(200, &[], t)),
        ("media type", "nearly", content, |t| Reply::of(200, &[("content-type", "application/jsonp")], t)),
        ("media type", "form", content, |t| {
            Reply::of(200, &[("content-type", "application/x-www-form-urlencoded")], t)
        }),
        ("JSON", "empty", json, |_| Reply::json(200, "")),
        ("JSON", "a page", json, |_| Reply::json(200, "<!doctype html><title>Error</title>")),
        ("JSON", "a list", json, |t| Reply::json(200, format!("[{t}]"))),
        ("JSON", "cut off", json, |t| Reply::json(200, &t[..t.len() - 1])),
        ("JSON", "more after it", json, |t| Reply::json(200, format!("{t}{{}}"))),
        ("JSON", "no UTF-8", json, |t| Reply::json(200, [b"{\"x\":\"\xff\",", &t.as_bytes()[1..]].concat())),
        ("JSON", "a comment", json, |t| Reply::json(200, format!("/**/{t}"))),
        ("redirect", "302", "outbound_redirect", |t| {
            Reply::of(302, &[JSON, ("location", "https://id.test/")], t)
        }),
        ("redirect", "307", "outbound_redirect", |t| Reply::of(307, &[JSON, ("location", "/elsewhere")], t)),
        ("size", "2 MB", "outbound_too_large", |t| Reply::json(200, t + &" ".repeat(2 << 20))),
        ("encoding", "gzip", "outbound_encoded", |t| {
            Reply::of(200, &[JSON, ("content-encoding", "gzip")], t)
        }),
        ("HTTP", "closed at once", "outbound_broken_answer", |_| Reply(vec![Step::Cut])),
        ("HTTP", "no HTTP", "outbound_broken_answer", |_| Reply::raw("220 smtp.test ESMTP\r\n")),
        ("HTTP", "cut off in the body", "outbound_broken_answer", |t| {
            let length = (t.len() + 10).to_string();
            let head = head(200, &[JSON, ("content-length", &length)]);
            Reply::raw([head, t.into_bytes()].concat())
        }),
        ("HTTP", "cut off in a chunk", "outbound_broken_answer", |t| {
            let head = head(200, &[JSON, ("transfer-encoding", "chunked")]);
            Reply::raw([head, format!("ffff\r\n{t}").into_bytes()].concat())
        }),
        ("HTTP", "two lengths", "outbound_broken_answer", |t| {
            let length = t.len().to_string();
            let head = head(200, &[JSON, ("content-length", &length), ("content-length", "1")]);
            Reply::raw([head, t.into_bytes()].concat())
        }),
        ("HTTP", "a header of 100 KB", "outbound_broken_answer", |t| {
            Reply::of(200, &[JSON, ("x-long", &"x".repeat(100_000))], t)
        }),
        ("HTTP", "1,000 headers", "outbound_broken_answer", |t| {
            Reply::of(200, &[vec![JSON], vec![("x", "y"); 1_000]].concat(), t)
        }),
        ("status", "500", "idp_status", |t| Reply::json(500, t)),
        ("status", "503", "idp_status", |t| Reply::json(503, t)),
    ]
}

type Wire = fn(String) -> Reply;

on_both_databases! {
    async fn every_broken_token_answer_is_refused_for_its_own_reason(kind: Kind) {
        let wire = broken("token_answer_content_type", "token_answer_json");
        let mut mutants: Vec<Mutant> = wire
            .into_iter()
            .map(|(kind, name, reason, reply)| {
                Mutant::new(kind, name, reason, move |f| f.token_reply = Some(Arc::new(reply)))
            })
            .collect();
        let errors: [(&'static str, &str, &'static str, Wire); 7] = [
            ("code", "refused", "idp_invalid_grant", |_| Reply::json(400, r#"{"error":"invalid_grant"}"#)),
            ("client", "refused", "idp_invalid_client", |_| Reply::json(401, r#"{"error":"invalid_client"}"#)),
            ("other error", "refused", "idp_other_error", |_| Reply::json(400, r#"{"error":"<script>"}"#)),
            ("error without a code", "400", "token_answer_status", |t| Reply::json(400, t)),
            ("error without a code", "401 and a page", "token_answer_status", |_| Reply::of(401, &[], "no")),
            ("error without a code", "404", "token_answer_status", |_| Reply::of(404, &[], "")),
            ("error without a code", "204", "token_answer_status", |_| Reply::of(204, &[JSON], "")),
        ];
        for (kind, name, reason, reply) in errors {
            mutants.push(Mutant::new(kind, name, reason, move |f| f.token_reply = Some(Arc::new(reply))));
        }
        let edits: [(&'static str, &str, &'static str, Edit); 10] = [
            ("id_token", "missing", "token_answer_no_id_token", |a| drop(a.as_object_mut().unwrap().remove("id_token"))),
            ("id_token", "null", "token_answer_no_id_token", |a| a["id_token"] = Value::Null),
            ("member", "id_token a number", "token_answer_member", |a| a["id_token"] = json!(7)),
            ("member", "id_token a list", "token_answer_member", |a| a["id_token"] = json!([a["id_token"]])),
            ("member", "no access_token", "token_answer_member", |a| drop(a.as_object_mut().unwrap().remove("access_token"))),
            ("member", "access_token null", "token_answer_member", |a| a["access_token"] = Value::Null),
            ("member", "no token_type", "token_answer_member", |a| drop(a.as_object_mut().unwrap().remove("token_type"))),
            ("member", "an error under 200", "token_answer_member", |a| *a = json!({ "error": "invalid_grant" })),
            ("token_type", "mac", "token_answer_token_type", |a| a["token_type"] = json!("mac")),
            ("token_type", "DPoP", "token_answer_token_type", |a| a["token_type"] = json!("DPoP")),
        ];
        for (kind, name, reason, edit) in edits {
            mutants.push(Mutant::new(kind, name, reason, move |f| f.answer = Some(edit)));
        }
        refuse_each(kind, "", mutants).await;
    }
}

on_both_databases! {
    async fn every_userinfo_that_contradicts_or_is_broken_is_refused(kind: Kind) {
        let wire = broken("userinfo_content_type", "userinfo_json");
        let mut mutants: Vec<Mutant> = wire
            .into_iter()
            .map(|(kind, name, reason, reply)| {
                Mutant::new(kind, name, reason, move |f| f.userinfo_reply = Some(Arc::new(reply)))
            })
            .collect();
        let replies: [(&'static str, &str, &'static str, Wire); 6] = [
            ("signature", "JWT", "userinfo_signed", |t| Reply::of(200, &[("content-type", "application/jwt")], t)),
            ("refusal", "401", "userinfo_status", |t| Reply::json(401, t)),
            ("refusal", "403", "userinfo_status", |t| Reply::json(403, t)),
            ("refusal", "204", "userinfo_status", |_| Reply::of(204, &[JSON], "")),
            ("JSON", "sub twice", "userinfo_json", |t| {
                Reply::json(200, t.replacen('{', r#"{"sub":"victim","#, 1))
            }),
            ("JSON", "email twice", "userinfo_json", |t| {
                Reply::json(200, t.replacen('{', r#"{"email":"bob@acme.test","#, 1))
            }),
        ];
        for (kind, name, reason, reply) in replies {
            mutants.push(Mutant::new(kind, name, reason, move |f| f.userinfo_reply = Some(Arc::new(reply))));
        }
        for sub in ["victim", "Mallory", "mallory ", ""] {
            mutants.push(Mutant::new("sub", sub, "userinfo_sub_mismatch", move |f| f.userinfo["sub"] = json!(sub)));
        }
        for sub in [Value::Null, json!(7), json!(["mallory"])] {
            let name = sub.to_string();
            mutants.push(Mutant::new("sub's type", name, "userinfo_sub_malformed", move |f| {
                f.userinfo["sub"] = sub.clone();
            }));
        }
        mutants.push(Mutant::new("sub's type", "missing", "userinfo_sub_malformed", |f| {
            f.userinfo.as_object_mut().unwrap().remove("sub");
        }));
        refuse_each_of(kind, "", Forgery::thin, mutants).await;
    }
}

on_both_databases! {
    async fn an_answer_that_is_too_slow_is_cut_off(kind: Kind) {
        let beta = Beta::new(kind).await;
        beta.signs_in("before").await;
        let ways: [Wire; 3] = [
            |_| Reply::hang(""),
            |t| Reply::hang([head(200, &[JSON, ("content-length", "9999")]), t.into_bytes()].concat()),
            |t| {
                let drip = t.into_bytes().into_iter().flat_map(|byte| {
                    [Step::Send(vec![byte]), Step::Pause(std::time::Duration::from_millis(100))]
                });
                let head = Step::Send(head(200, &[JSON, ("content-length", "4096")]));
                Reply(std::iter::once(head).chain(drip).chain([Step::Hang]).collect())
            },
        ];
        let before = Evidence::now(&beta.world.app).await;
        let turn = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        beta.idp.forge(move |f| {
            let turn = Arc::clone(&turn);
            f.token_reply = Some(Arc::new(move |text| {
                ways[turn.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % ways.len()](text)
            }));
        });
        let mut browsers = [beta.browser(), beta.browser(), beta.browser()];
        let [one, two, three] = &mut browsers;
        let ends = tokio::join!(beta.sign_in(one), beta.sign_in(two), beta.sign_in(three));
        for end in [ends.0, ends.1, ends.2] {
            assert_refusal(&end, "slow");
            assert_eq!((end.status.as_u16(), end.error().as_deref()), (502, Some("idp_unreachable")), "{}", end.body);
        }
        before.assert_only_refused(&beta.world.app, &["sign_in refused outbound_timeout"; 3]).await;
        beta.idp.behave();
        beta.world.app.clock.advance(BREAKER_CLOSES);
        beta.signs_in("after").await;
    }
}

on_both_databases! {
    async fn an_email_that_userinfo_contradicts_is_unproven(kind: Kind) {
        let beta = Beta::with(kind, "always_userinfo = true").await;
        let contradictions: [(&str, Contradiction); 4] = [
            ("another address", |f| f.userinfo["email"] = json!("someone.else@beta.test")),
            ("somebody else's address", |f| f.userinfo["email"] = json!("bob@acme.test")),
            ("called unproven there", |f| f.userinfo["email_verified"] = json!(false)),
            ("called unproven here", |f| f.claims["email_verified"] = json!(false)),
        ];
        for (number, (name, contradict)) in contradictions.into_iter().enumerate() {
            beta.idp.forge(move |f| {
                let sub = format!("person-{number}");
                f.claims["sub"] = json!(sub);
                f.userinfo["sub"] = json!(sub);
                contradict(f);
            });
            let mut browser = beta.browser();
            let end = beta.sign_in(&mut browser).await;
            let (_, tokens) = beta.board.redeem(&beta.board.code(&end)).await;
            let told = claims(tokens["id_token"].as_str().unwrap());
            let (_, person) = beta.board.userinfo(tokens["access_token"].as_str().unwrap()).await;
            for document in [told, person] {
                assert_ne!(document["email_verified"], true, "{name}: {document}");
                assert_ne!(document["email"], "bob@acme.test", "{name}: {document}");
            }
        }
    }
}
