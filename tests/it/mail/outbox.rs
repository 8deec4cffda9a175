//! The outbox: nothing is lost, nothing is sent twice, and one recipient delays no other.

use std::time::Duration;

use countersign::flows::mail::OutgoingMail;
use countersign::mail::Message;

use crate::harness::app::TestApp;
use crate::harness::database::Kind;
use crate::harness::mailbox::{MailServer, Mailbox, send_mails};
use crate::on_both_databases;

fn mail(to: &str, key: Option<&str>) -> OutgoingMail {
    OutgoingMail {
        to: to.parse().unwrap(),
        organization: None,
        account: None,
        message: Message::LinkUndone {
            organization: "Acme".to_owned(),
            what: "CANARY-what".to_owned(),
            account: "https://id.test/account".to_owned(),
        },
        dedup_key: key.map(str::to_owned),
    }
}

/// Keeps mails in one transaction, and ends it.
async fn queue(app: &TestApp, mails: Vec<OutgoingMail>, commit: bool) {
    let database = app.evidence().await;
    let mut tx = database.write().await.unwrap();
    for mail in mails {
        app.broker.mails.queue_mail(&mut tx, mail).await.unwrap();
    }
    if commit {
        tx.commit().await.unwrap();
    }
}

/// A broker that writes mails into a folder.
async fn with_mailbox(kind: Kind) -> (TestApp, Mailbox) {
    let mailbox = Mailbox::new();
    let folder = mailbox.folder().display().to_string();
    let settings = [("COUNTERSIGN__MAIL__TRANSPORT", "file"), ("COUNTERSIGN__MAIL__DIR", folder.as_str())];
    (TestApp::configured(kind, &settings).await, mailbox)
}

/// A broker that sends mails to a server on this port.
async fn with_server(kind: Kind, port: u16) -> TestApp {
    let port = port.to_string();
    let settings = [
        ("COUNTERSIGN__MAIL__TRANSPORT", "smtp"),
        ("COUNTERSIGN__MAIL__SMTP_HOST", "127.0.0.1"),
        ("COUNTERSIGN__MAIL__SMTP_PORT", port.as_str()),
        ("COUNTERSIGN__MAIL__SMTP_TLS", "none"),
    ];
    TestApp::configured(kind, &settings).await
}

/// Waits until the broker's own worker has sent what it is at.
async fn settled(app: &TestApp) {
    for _ in 0..200 {
        if waiting(app).await == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("mails wait");
}

/// How many mails wait.
async fn waiting(app: &TestApp) -> i64 {
    app.count_rows(&["jobs WHERE finished_at IS NULL"]).await["jobs WHERE finished_at IS NULL"]
}

on_both_databases! {
    async fn what_was_rolled_back_is_told_to_nobody_and_the_rest_once(kind: Kind) {
        let (app, mailbox) = with_mailbox(kind).await;
        queue(&app, vec![mail("ann@acme.test", None)], false).await;
        send_mails(&app.broker).await;
        assert!(mailbox.mails().is_empty());
        let twice = vec![mail("bob@acme.test", Some("one")), mail("bob@acme.test", Some("one"))];
        queue(&app, twice, true).await;
        queue(&app, vec![mail("bob@acme.test", Some("one"))], true).await;
        assert!(!String::from_utf8_lossy(&app.everything_stored().await).contains("CANARY-what"));
        send_mails(&app.broker).await;
        let mails = mailbox.mails();
        assert_eq!(mails.len(), 1, "{mails:?}");
        assert_eq!(mails[0].to, "bob@acme.test");
        assert!(mails[0].text.contains("CANARY-what") && mails[0].text.contains("rückgängig"), "{mails:?}");
        assert_eq!(waiting(&app).await, 0);
    }
}

on_both_databases! {
    async fn a_mail_that_was_sent_and_not_noted_is_the_same_mail_when_it_is_sent_again(kind: Kind) {
        let (app, mailbox) = with_mailbox(kind).await;
        queue(&app, vec![mail("ann@acme.test", None)], true).await;
        app.run_statement("CREATE TABLE before AS SELECT * FROM jobs").await;
        send_mails(&app.broker).await;
        settled(&app).await;
        let first = mailbox.mails();
        assert_eq!(first.len(), 1);
        // As if the node had died before it could say so; its lease is over.
        let payload = "UPDATE jobs SET payload_sealed = (SELECT b.payload_sealed FROM before b WHERE b.id = jobs.id), \
                       due_at = 0, finished_at = NULL, outcome = NULL";
        app.run_statement(payload).await;
        send_mails(&app.broker).await;
        settled(&app).await;
        assert_eq!(mailbox.mails().len(), 1, "one file a mail, however often it is sent");
        let again = "jobs WHERE outcome = 'done' AND attempts >= 2";
        assert_eq!(app.count_rows(&[again]).await[again], 1);
    }
}

on_both_databases! {
    async fn of_many_workers_one_sends_each_mail(kind: Kind) {
        let (app, mailbox) = with_mailbox(kind).await;
        let second = app.second_node().await;
        let mails = (0..40).map(|number| mail(&format!("person{number}@acme.test"), None));
        queue(&app, mails.collect(), true).await;
        let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(8));
        let mut workers = tokio::task::JoinSet::new();
        for number in 0..8 {
            let broker = if number % 2 == 0 { app.broker.clone() } else { second.broker.clone() };
            let barrier = barrier.clone();
            workers.spawn(async move {
                barrier.wait().await;
                send_mails(&broker).await;
            });
        }
        workers.join_all().await;
        // The broker's own job may still be at it.
        for _ in 0..100 {
            if waiting(&app).await == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mails = mailbox.mails();
        let mut recipients: Vec<_> = mails.iter().map(|mail| mail.to.as_str()).collect();
        recipients.sort_unstable();
        recipients.dedup();
        assert_eq!((mails.len(), recipients.len()), (40, 40));
    }
}

on_both_databases! {
    async fn a_recipient_who_is_refused_holds_nobody_up(kind: Kind) {
        let server = MailServer::default();
        let app = with_server(kind, server.listen(0).await).await;
        server.answer("gone@acme.test", 550);
        server.answer("full@acme.test", 452);
        let all = ["gone@acme.test", "full@acme.test", "ann@acme.test", "bob@acme.test"];
        queue(&app, all.map(|to| mail(to, None)).into(), true).await;
        send_mails(&app.broker).await;
        settle(&server, 2).await;
        assert_eq!(waiting(&app).await, 1, "the one for whom there is no room waits");
        assert_eq!(app.refusals().await, ["mail_given_up"]);
        // It is tried again later each time, and the one that was refused for good never.
        send_mails(&app.broker).await;
        assert_eq!(server.tries("full@acme.test"), 1);
        app.clock.advance(Duration::from_secs(31));
        send_mails(&app.broker).await;
        tries(&server, 2).await;
        app.clock.advance(Duration::from_secs(31));
        send_mails(&app.broker).await;
        assert_eq!(server.tries("full@acme.test"), 2);
        server.answer("full@acme.test", 250);
        app.clock.advance(Duration::from_secs(30));
        send_mails(&app.broker).await;
        settle(&server, 3).await;
        assert_eq!(waiting(&app).await, 0);
        assert_eq!(server.tries("gone@acme.test"), 1);
        assert_eq!(app.refusals().await, ["mail_given_up"]);
    }
}

/// Waits until the server has taken this many mails; the broker's own job sends, too.
async fn settle(server: &MailServer, count: usize) {
    for _ in 0..200 {
        if server.taken().len() >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(server.taken().len(), count);
}

async fn tries(server: &MailServer, count: usize) {
    for _ in 0..200 {
        if server.tries("full@acme.test") >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(server.tries("full@acme.test"), count);
}

on_both_databases! {
    async fn while_the_mail_server_is_down_mails_wait_and_after_two_days_they_are_given_up(kind: Kind) {
        let server = MailServer::default();
        // A port that is not served yet.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let app = with_server(kind, free).await;
        queue(&app, vec![mail("ann@acme.test", None)], true).await;
        send_mails(&app.broker).await;
        assert_eq!(waiting(&app).await, 1);
        assert!(app.refusals().await.is_empty());
        server.listen(free).await;
        app.clock.advance(Duration::from_mins(1));
        send_mails(&app.broker).await;
        settle(&server, 1).await;
        assert_eq!(server.taken()[0].to, "ann@acme.test");
        server.answer("bob@acme.test", 451);
        queue(&app, vec![mail("bob@acme.test", None)], true).await;
        send_mails(&app.broker).await;
        app.clock.advance(Duration::from_hours(49));
        send_mails(&app.broker).await;
        for _ in 0..200 {
            if waiting(&app).await == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(app.refusals().await, ["mail_given_up"]);
        assert_eq!(server.taken().len(), 1);
    }
}

on_both_databases! {
    async fn an_address_gets_five_mails_an_hour_and_twenty_a_day_for_one_purpose(kind: Kind) {
        let (app, mailbox) = with_mailbox(kind).await;
        for hour in 0..5 {
            for _ in 0..7 {
                // Another spelling of the address is the same address.
                queue(&app, vec![mail(if hour % 2 == 0 { "Bob@ACME.test" } else { "bob@acme.test" }, None)], true).await;
            }
            queue(&app, vec![mail("carol@acme.test", None)], true).await;
            app.clock.advance(Duration::from_hours(1));
        }
        send_mails(&app.broker).await;
        for _ in 0..200 {
            if waiting(&app).await == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let to = |name: &str| {
            let mails = mailbox.mails();
            mails.iter().filter(|mail| mail.to.to_lowercase().starts_with(name)).count()
        };
        assert_eq!((to("bob"), to("carol")), (20, 5));
        let refusals = app.refusals().await;
        assert_eq!(refusals.len(), 15, "{refusals:?}");
        assert!(refusals.iter().all(|reason| reason == "mail_limit"), "{refusals:?}");
    }
}

on_both_databases! {
    async fn what_the_operator_has_to_mend_loses_no_mail(kind: Kind) {
        let server = MailServer::default();
        let app = with_server(kind, server.listen(0).await).await;
        // A password that was changed, a sender that is not allowed, TLS that is missing, a server that is shut.
        let all = [("a@acme.test", 535), ("b@acme.test", 501), ("c@acme.test", 530), ("d@acme.test", 554)];
        for (to, code) in all {
            server.answer(to, code);
        }
        queue(&app, all.map(|(to, _)| mail(to, None)).into(), true).await;
        send_mails(&app.broker).await;
        assert_eq!(waiting(&app).await, 4);
        assert!(app.refusals().await.is_empty());
        for (to, _) in all {
            server.answer(to, 250);
        }
        app.clock.advance(Duration::from_secs(31));
        send_mails(&app.broker).await;
        settle(&server, 4).await;
        assert_eq!(waiting(&app).await, 0);
    }
}

on_both_databases! {
    async fn what_works_no_longer_is_not_sent_any_more(kind: Kind) {
        let server = MailServer::default();
        let app = with_server(kind, server.listen(0).await).await;
        let link = |to: &str| OutgoingMail {
            message: Message::SetPassword {
                organization: "Acme".to_owned(),
                what: "bob".to_owned(),
                link: "https://id.test/reset/x".to_owned(),
            },
            ..mail(to, None)
        };
        server.answer("bob@acme.test", 452);
        queue(&app, vec![link("bob@acme.test"), link("ann@acme.test")], true).await;
        send_mails(&app.broker).await;
        settle(&server, 1).await;
        assert_eq!(waiting(&app).await, 1);
        server.answer("bob@acme.test", 250);
        app.clock.advance(Duration::from_hours(1));
        send_mails(&app.broker).await;
        for _ in 0..100 {
            if waiting(&app).await == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(waiting(&app).await, 0, "a link that is over waits");
        assert_eq!(server.tries("bob@acme.test"), 1);
        assert_eq!(app.refusals().await, ["mail_given_up"]);
    }
}

on_both_databases! {
    async fn no_organization_uses_up_what_another_has_to_say(kind: Kind) {
        let (app, mailbox) = with_mailbox(kind).await;
        let about = |organization: u8| OutgoingMail {
            organization: Some(countersign::model::OrganizationId::from_bytes([organization; 16])),
            ..mail("bob@acme.test", None)
        };
        let mails = (0..8).map(|_| about(1)).chain([about(2)]);
        queue(&app, mails.collect(), true).await;
        send_mails(&app.broker).await;
        for _ in 0..100 {
            if waiting(&app).await == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(mailbox.mails().len(), 6, "five of one, and the one of the other");
        assert_eq!(app.refusals().await, ["mail_limit"; 3]);
    }
}
