//! Where the broker goes, and for whom its proofs are: rows 23, 24 and 77.

use std::time::Duration;

use countersign::flows::manage::Verdict;
use countersign::model::Caller;
use serde_json::json;

use super::assert_refusal;
use crate::harness::app::TestApp;
use crate::harness::beta::Beta;
use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::hostile::{Forgery, Reply};
use crate::harness::relying_app::claims;
use crate::on_both_databases;

/// Points an endpoint of the metadata somewhere.
type Point = fn(&mut Forgery, &str);

/// Metadata stays fresh for an hour.
const METADATA_OLD: Duration = Duration::from_mins(61);

on_both_databases! {
    async fn row_23_metadata_that_names_another_issuer(kind: Kind) {
        let mut beta = Beta::new(kind).await;
        let canary = beta.world.app.hostile().await;
        let honest = beta.world.idp.as_str().trim_end_matches('/').to_owned();
        // Before any good metadata was read: no user signs in, and `check` says why.
        let before = Evidence::now(&beta.world.app).await;
        let spellings =
            [honest, format!("{}/", beta.idp.issuer), beta.idp.issuer.replace("localhost", "LOCALHOST"), String::new()];
        for issuer in spellings {
            beta.idp.forge(move |f| f.metadata["issuer"] = json!(issuer));
            let end = beta.browser().open(&beta.authorize_url(&[])).await;
            assert_eq!(end.error().as_deref(), Some("idp_answer_invalid"), "{}", end.body);
        }
        let checks = beta.world.app.broker.health.check().await.unwrap();
        let finding = checks.iter().find(|check| check.what == "connection beta/beta-idp").unwrap();
        assert!(finding.verdict == Verdict::Bad && finding.finding.contains("another issuer"), "{finding:?}");
        before.assert_only_refused(&beta.world.app, &["sign_in refused metadata_issuer_mismatch"; 4]).await;
        beta.idp.behave();
        beta.world.app.clock.advance(Duration::from_secs(10));
        beta.signs_in("honest metadata").await;
        // At a refresh an impostor changes nothing: the good metadata stays in use, and no user is sent where the
        // impostor points.
        let elsewhere = canary.issuer.clone();
        beta.idp.forge(move |f| {
            f.metadata = json!({
                "issuer": elsewhere,
                "authorization_endpoint": format!("{elsewhere}/authorize"),
                "token_endpoint": format!("{elsewhere}/token"),
                "jwks_uri": format!("{elsewhere}/keys"),
            });
        });
        let asked = beta.idp.seen("/.well-known/openid-configuration").len();
        beta.world.app.clock.advance(METADATA_OLD);
        beta.signs_in("impostor's metadata").await;
        assert_eq!(beta.idp.seen("/.well-known/openid-configuration").len(), asked + 1);
        assert_eq!(canary.connections(), 0);
    }
}

on_both_databases! {
    async fn row_24_an_assertion_that_another_provider_would_take(kind: Kind) {
        let mut beta = Beta::with(kind, "auth = \"private_key_jwt\"").await;
        let victim = beta.world.app.hostile().await;
        // M publishes the victim's token endpoint as its own, and gets the broker's proof to it.
        let endpoint = format!("{}/token", victim.issuer);
        beta.idp.forge(move |f| f.metadata["token_endpoint"] = json!(endpoint));
        victim.forge(|f| f.token_reply = Some(std::sync::Arc::new(|_| Reply::json(400, r#"{"error":"invalid_client"}"#))));
        let before = Evidence::now(&beta.world.app).await;
        let end = beta.sign_in(&mut beta.browser()).await;
        assert_eq!(end.error().as_deref(), Some("idp_refused"), "{}", end.body);
        before.assert_only_refused(&beta.world.app, &["sign_in refused idp_invalid_client"]).await;
        let [request] = &victim.seen("/token")[..] else { panic!("one request") };
        let assertion = claims(&request.form["client_assertion"]);
        assert_eq!(assertion["aud"], json!(beta.idp.issuer), "one text, and it is M");
        assert!(!request.headers.contains_key("authorization") && !request.form.contains_key("client_secret"));
    }
}

on_both_databases! {
    async fn row_77_private_addresses_in_every_spelling(kind: Kind) {
        let mut app = TestApp::with_outbound(kind, "").await;
        let canary = app.hostile().await;
        let port = canary.port;
        let hosts = [
            format!("localhost:{port}"),
            format!("127.0.0.1:{port}"),
            format!("127.1:{port}"),
            format!("2130706433:{port}"),
            format!("0x7f000001:{port}"),
            format!("0177.0.0.1:{port}"),
            format!("0.0.0.0:{port}"),
            format!("[::1]:{port}"),
            format!("[::]:{port}"),
            format!("[::ffff:127.0.0.1]:{port}"),
            format!("[::127.0.0.1]:{port}"),
            format!("[64:ff9b::7f00:1]:{port}"),
            "169.254.169.254".to_owned(),
            "[fd00:ec2::254]".to_owned(),
            "10.0.0.1".to_owned(),
            "192.168.0.1".to_owned(),
        ];
        let mut document = String::new();
        for (number, host) in hosts.iter().enumerate() {
            document.push_str(&format!(
                "[[organizations]]\nhandle = \"org-{number}\"\nname = \"Org\"\n[[organizations.connections]]\n\
                 handle = \"idp-{number}\"\nname = \"IdP\"\nissuer = \"https://{host}\"\nclient_id = \"countersign\"\n\
                 client_secret = \"a-secret-0123456789\"\n"
            ));
        }
        app.apply(&document).await;
        let before = Evidence::now(&app).await;
        for (number, host) in hosts.iter().enumerate() {
            let end = app.browser().open(&format!("https://id.test/sso/org-{number}")).await;
            assert_eq!(end.error().as_deref(), Some("idp_unreachable"), "{host}: {}", end.body);
        }
        let expected = vec!["sign_in refused outbound_address_refused"; hosts.len()];
        before.assert_only_refused(&app, &expected).await;
        let checks = app.broker.health.check().await.unwrap();
        let connections = checks.iter().filter(|check| check.what.starts_with("connection "));
        assert!(connections.clone().all(|check| check.verdict == Verdict::Bad), "{checks:?}");
        assert_eq!(connections.count(), hosts.len());
        assert_eq!(canary.connections(), 0);
    }
}

on_both_databases! {
    async fn row_77_issuers_that_are_no_https_urls_are_not_registered(kind: Kind) {
        let app = TestApp::new(kind).await;
        let before = Evidence::now(&app).await;
        for issuer in [
            "http://idp.test",
            "ftp://idp.test",
            "file:///etc/passwd",
            "gopher://127.0.0.1:25/",
            "https://user:pass@idp.test",
            "https://idp.test?x=y",
            "https://idp.test#x",
            "idp.test",
            "",
        ] {
            for key in ["issuer", "discovery_url"] {
                let other = if key == "issuer" { "" } else { "issuer = \"https://idp.test\"\n" };
                let document = format!(
                    "[[organizations]]\nhandle = \"acme\"\nname = \"Acme\"\n[[organizations.connections]]\n\
                     handle = \"idp\"\nname = \"IdP\"\n{key} = \"{issuer}\"\n{other}client_id = \"countersign\"\n"
                );
                let files = [("test.toml".to_owned(), document)];
                assert!(app.broker.organizations.apply(Caller::Operator(None), &files, false).await.is_err(), "{key} {issuer}");
            }
        }
        assert_eq!(app.count_rows(&["connections", "organizations"]).await.into_values().sum::<i64>(), 0);
        before.assert_exactly(&app, &[], &[]).await;
    }
}

on_both_databases! {
    async fn row_77_metadata_that_points_inside(kind: Kind) {
        let beta = Beta::new(kind).await;
        let endpoints: [(&str, Point); 3] = [
            ("token", |f, url| f.metadata["token_endpoint"] = json!(url)),
            ("keys", |f, url| f.metadata["jwks_uri"] = json!(url)),
            ("userinfo", |f, url| {
                f.metadata["userinfo_endpoint"] = json!(url);
                f.thin();
            }),
        ];
        // Metadata that names such an address at all is refused whole.
        for (name, point) in &endpoints {
            for url in ["http://localhost/", "file:///etc/passwd", "https://user@localhost/"] {
                let point = *point;
                beta.idp.forge(move |f| point(f, url));
                refused_for(&beta, &format!("{name} {url}"), "metadata_endpoint").await;
            }
        }
        for (name, point) in &endpoints {
            for url in [
                "https://169.254.169.254/latest/meta-data/",
                "https://[::ffff:169.254.169.254]/",
                "https://2852039166/",
                "https://[fd00:ec2::254]/",
            ] {
                let point = *point;
                beta.idp.forge(move |f| point(f, url));
                refused_for(&beta, &format!("{name} {url}"), "outbound_address_refused").await;
            }
        }
    }
}

/// Metadata is fetched again, and the sign-in is refused for this reason.
async fn refused_for(beta: &Beta, name: &str, reason: &str) {
    beta.world.app.clock.advance(METADATA_OLD);
    let before = Evidence::now(&beta.world.app).await;
    let end = beta.sign_in(&mut beta.browser()).await;
    assert_refusal(&end, name);
    before.assert_only_refused(&beta.world.app, &[&format!("sign_in refused {reason}")]).await;
}

on_both_databases! {
    async fn row_77_redirects_are_followed_nowhere(kind: Kind) {
        let mut beta = Beta::new(kind).await;
        let canary = beta.world.app.hostile().await;
        let redirect = |status, path: &str| {
            let to = format!("{}/{path}", canary.issuer);
            Reply::of(status, &[("location", &to), ("content-type", "application/json")], "{}")
        };
        let before = Evidence::now(&beta.world.app).await;
        let away = redirect(302, ".well-known/openid-configuration");
        beta.idp.forge(move |f| f.metadata_reply = Some(away.clone()));
        let end = beta.sign_in(&mut beta.browser()).await;
        assert_eq!(end.error().as_deref(), Some("idp_unreachable"), "{}", end.body);
        let away = redirect(301, "keys");
        beta.idp.forge(move |f| f.keys_reply = Some(away.clone()));
        let end = beta.sign_in(&mut beta.browser()).await;
        assert_eq!(end.error().as_deref(), Some("idp_unreachable"), "{}", end.body);
        for status in [302, 307, 308] {
            let away = redirect(status, "token");
            beta.idp.forge(move |f| {
                let away = away.clone();
                f.token_reply = Some(std::sync::Arc::new(move |_| away.clone()));
            });
            let end = beta.sign_in(&mut beta.browser()).await;
            assert_eq!(end.error().as_deref(), Some("idp_unreachable"), "{}", end.body);
        }
        before.assert_only_refused(&beta.world.app, &["sign_in refused outbound_redirect"; 5]).await;
        assert_eq!(canary.connections(), 0);
    }
}
