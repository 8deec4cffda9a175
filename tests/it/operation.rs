//! What the operator sees: health, readiness, metrics, and the way out.

use countersign::flows::manage::AuditFilter;
use countersign::model::Caller;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::database::Kind;
use crate::harness::world::World;
use crate::on_both_databases;

/// A request to the management listener: status line and body together.
pub async fn ask(address: std::net::SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

on_both_databases! {
    async fn health_readiness_and_metrics_answer_on_their_own_listener(kind: Kind) {
        let mut world = World::new(kind).await;
        world.brokered(&mut world.browser()).await;
        let management = world.app.management;
        for path in ["/healthz", "/readyz"] {
            assert!(ask(management, path).await.starts_with("HTTP/1.1 200"), "{path}");
        }
        let metrics = ask(management, "/metrics").await;
        assert!(metrics.contains("/oauth2/authorize"), "{metrics}");
        assert!(!metrics.contains("code=") && !metrics.contains("state="), "{metrics}");
        world.app.stop().await;
        assert!(TcpStream::connect(management).await.is_err());
    }
}

on_both_databases! {
    async fn every_decision_of_a_sign_in_is_one_record(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let end = world.brokered(&mut browser).await;
        world.notes.redeem(&world.notes.code(&end)).await;
        let mut records = world.app.audit().await;
        records.retain(|record| !record.action.starts_with("apply."));
        let actions: Vec<&str> = records.iter().map(|record| record.action.as_str()).collect();
        assert_eq!(actions, ["account.create", "sign_in", "authorize", "token.code"]);
        assert!(records.iter().all(|record| record.succeeded && record.organization.is_some()));
        assert_eq!(records[1].receipt, records[2].receipt);
    }
}

on_both_databases! {
    async fn a_receipt_opens_what_truly_happened(kind: Kind) {
        let world = World::with(kind, "", "new_accounts = false").await;
        let end = world.brokered(&mut world.browser()).await;
        let shown = end.text("receipt").unwrap();
        let code = shown.split_whitespace().last().unwrap();
        let mut lines = Vec::new();
        world
            .app
            .broker
            .accounts.export_audit(&AuditFilter { receipt: Some(code.to_owned()), ..AuditFilter::default() }, |line| lines.push(serde_json::to_value(line).unwrap()))
            .await
            .unwrap();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lines[0]["reason"], "new_accounts_off");
        assert_eq!(lines[0]["receipt"], code);
        for key in ["id", "time", "organization", "actor", "action", "outcome", "connection", "app"] {
            assert!(lines[0].get(key).is_some(), "{key}");
        }
    }
}

on_both_databases! {
    async fn exporting_and_applying_again_changes_nothing(kind: Kind) {
        use countersign::flows::manage::Change;
        let world = World::new(kind).await;
        let exported = world.app.broker.organizations.export().await.unwrap();
        for secret in ["idp-secret-0123456789", "notes-secret-0123456789", "Correct7horse"] {
            assert!(!exported.contains(secret), "{secret} stands in clear in {exported}");
        }
        let files = [("export.toml".to_owned(), exported)];
        let report = world.app.broker.organizations.apply(Caller::Operator(None), &files, false).await.unwrap_or_else(|error| panic!("{error}"));
        let changed: Vec<String> = report
            .lines
            .iter()
            .filter(|line| line.change != Change::Unchanged)
            .map(ToString::to_string)
            .collect();
        assert!(report.lines.len() > 8 && changed.is_empty(), "{changed:?}");
    }
}

on_both_databases! {
    async fn what_has_expired_goes_however_much_it_is(kind: Kind) {
        let world = World::new(kind).await;
        world.app.run_statement(
            "INSERT INTO spent_flows (id, expires_at) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n \
             WHERE i < 3500) SELECT 'flow-' || CAST(i AS TEXT), 1 FROM n",
        ).await;
        assert!(world.app.broker.housekeeping.sweep().await.unwrap() >= 3_500);
        assert_eq!(world.app.count_rows(&["spent_flows"]).await["spent_flows"], 0);
    }
}
