//! What the operator's commands print, write and leave behind.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use countersign::app::Environment;
use countersign::app::demo::{self, DemoSettings};
use countersign::flows::keys::Rotation;
use countersign::flows::manage::{AuditFilter, NewAccount};
use countersign::model::{Actor, Caller, Secret};
use serde_json::Value;

use super::globex;
use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::time::{ManualClock, SeededRandom};
use crate::harness::world::{ACME_IDP, PASSWORD, World};
use crate::on_both_databases;

on_both_databases! {
    async fn a_network_parks_only_so_many_large_requests_at_once(kind: Kind) {
        let world = World::new(kind).await;
        let state = "s".repeat(2_000);
        let large = world.notes.authorize_url(&[("state", &state)]);
        world.browser().open(&large).await.expect(200, "sign-in");
        // 198 more of the same network, and a few of others, which do not count.
        world
            .app
            .run_statement(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 208) \
                 INSERT INTO parked_flows (id, network, sealed, expires_at) \
                 SELECT 'more-' || i, CASE WHEN i > 198 THEN 'another' ELSE p.network END, p.sealed, p.expires_at \
                 FROM parked_flows p CROSS JOIN n",
            )
            .await;
        world.browser().open(&large).await.expect(200, "sign-in");
        let before = Evidence::now(&world.app).await;
        let mut browser = world.browser();
        let refused = browser.open(&large).await;
        assert_eq!(refused.error().as_deref(), Some("busy"), "{}", refused.body);
        before.assert_only_refused(&world.app, &["authorize refused too_many_large_requests"]).await;
        assert_eq!(world.app.count_rows(&["parked_flows"]).await["parked_flows"], 210);
        // What fits into a cookie is not parked, and what is over makes room.
        browser.open(&world.notes.authorize_url(&[])).await.expect(200, "sign-in");
        world.app.clock.advance(Duration::from_mins(31));
        browser.open(&large).await.expect(200, "sign-in");
    }
}

/// Runs a command of the program on the world's database; its standard output.
async fn command(world: &World, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(arguments).arg("--config").arg(world.app.config_file());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

on_both_databases! {
    async fn the_evidence_of_one_receipt_in_one_organization(kind: Kind) {
        let world = World::with(kind, "", "new_accounts = false").await;
        world.local(&mut world.browser()).await;
        let refused = world.brokered(&mut world.browser()).await;
        world.brokered(&mut world.browser()).await;
        let shown = refused.text("receipt").unwrap();
        let code = shown.split_whitespace().last().unwrap();
        // A person reads the code aloud, the administrator types it as they like.
        let typed = format!(" {} ", code.to_lowercase());
        for code in [code, typed.as_str()] {
            let lines = command(&world, &["audit", "export", "--organization", "acme", "--receipt", code]).await;
            let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert_eq!((&lines[0]["reason"], &lines[0]["outcome"]), (&"new_accounts_off".into(), &"failure".into()));
            assert_eq!(lines[0]["connection"], ACME_IDP);
        }
        // The same receipt is nothing in another organization's log, and that log holds nothing of acme's.
        assert_eq!(command(&world, &["audit", "export", "--organization", "globex", "--receipt", code]).await, "");
        let all = command(&world, &["audit", "export", "--organization", "globex"]).await;
        assert!(all.contains("sign_in") && !all.contains("new_accounts_off"), "{all}");
    }
}

on_both_databases! {
    async fn what_the_operators_commands_do_names_the_operator(kind: Kind) {
        let world = World::new(kind).await;
        let broker = &world.app.broker;
        world.local(&mut world.browser()).await;
        let seen = world.app.audit().await.len();
        let new = NewAccount {
            organization: Some("globex".parse().unwrap()),
            username: "dora".parse().unwrap(),
            email: None,
            administrator: false,
            password: Some(Secret::new(PASSWORD)),
        };
        broker.accounts.create_account(Caller::Operator(None), new).await.unwrap();
        let session = broker.accounts.list_account_sessions("gil").await.unwrap().remove(0).id;
        broker.accounts.end_any_session(Caller::Operator(None), session).await.unwrap();
        broker.accounts.set_account_enabled(Caller::Operator(None), "gil", false).await.unwrap();
        broker.accounts.set_account_enabled(Caller::Operator(None), "gil", true).await.unwrap();
        broker.keys.rotate_signing_keys(Caller::Operator(None), Rotation::All).await.unwrap();
        world
            .app
            .apply(&globex("domains = [{ name = \"globex.test\" }]\n[[organizations.accounts]]\nusername = \"eve\"\n"))
            .await;
        let records = world.app.audit().await.split_off(seen);
        let actions: Vec<&str> = records.iter().map(|record| record.action.as_str()).collect();
        assert_eq!(
            actions,
            [
                "account.create",
                "session.end",
                "account.disable",
                "account.enable",
                "keys.rotate",
                "apply.domain",
                "apply.account"
            ]
        );
        for record in &records {
            assert_eq!(record.actor, Some(Actor::Operator), "{}", record.action);
        }
        // A rotation that was due is not the operator's act, and neither is what a user does.
        world.app.clock.advance(Duration::from_hours(24 * 365));
        assert!(!broker.keys.rotate_signing_keys(Caller::Job, Rotation::Due).await.unwrap().is_empty());
        world.local(&mut world.browser()).await;
        for record in world.app.audit().await.split_off(seen + records.len()) {
            assert_ne!(record.actor, Some(Actor::Operator), "{}", record.action);
        }
        let mut lines = Vec::new();
        let write = |line: &_| lines.push(serde_json::to_value(line).unwrap());
        broker.accounts.export_audit(&AuditFilter { organization: Some("globex".parse().unwrap()), ..AuditFilter::default() }, write).await.unwrap();
        assert!(lines.iter().any(|line| line["action"] == "account.disable" && line["actor"] == "operator"));
    }
}

/// The file is written before anything listens, so it exists even if another program has the demo's ports.
#[tokio::test]
async fn the_demo_writes_urls_names_and_passwords_into_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("below").join("here");
    let settings = DemoSettings { data: data.clone(), tour: false };
    let environment =
        Environment { clock: Arc::new(ManualClock::new()), random: Arc::new(SeededRandom::new(11)) };
    let _ = demo::run(&settings, environment, async {}, &mut |_| ()).await;
    let file = data.join("demo.json");
    let summary: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let said =
        |pointer: &str| summary.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    for url in ["/broker", "/app/url"] {
        assert!(said(url).starts_with("https://localhost:"), "{url}: {summary}");
    }
    for person in ["/local", "/organizations/0/person", "/organizations/1/person"] {
        assert!(!said(&format!("{person}/username")).is_empty(), "{person}: {summary}");
        assert!(said(&format!("{person}/password")).len() >= 8, "{person}: {summary}");
    }
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}
