//! Accounts, sessions and evidence in the operator's hands.

use countersign::flows::manage::{AuditFilter, ManageError, NewAccount};
use countersign::model::{Caller, LedgerId, Role, Secret};

use super::apply::break_glass;
use super::{ACME, Office};
use crate::harness::database::Kind;
use crate::harness::world::World;
use crate::on_both_databases;

fn new_account(username: &str, password: Option<&str>) -> NewAccount {
    NewAccount {
        organization: Some("acme".parse().unwrap()),
        username: username.parse().unwrap(),
        email: None,
        administrator: false,
        password: password.map(Secret::new),
    }
}

on_both_databases! {
    async fn a_made_account_is_listed_once_and_its_name_is_taken(kind: Kind) {
        let office = Office::new(kind).await;
        office.apply(ACME).await;
        let (account, made) = office.broker.accounts.create_account(Caller::Operator(None), new_account("dora", None)).await.unwrap();
        assert!(made.is_some(), "a password was made");
        let all = office.broker.accounts.list_accounts(&"acme".parse().unwrap(), 100).await.unwrap();
        assert_eq!(all.iter().filter(|found| found.id == account.id).count(), 1);
        let error = office.broker.accounts.create_account(Caller::Operator(None), new_account("DORA", None)).await.unwrap_err();
        assert_eq!(error.to_string(), "the username is taken");
        let error = office.broker.accounts.create_account(Caller::Operator(None), new_account("eve", Some("short"))).await.unwrap_err();
        assert!(matches!(&error, ManageError::Refused(why) if why.starts_with("the password:")), "{error}");
    }
}

on_both_databases! {
    async fn an_organization_that_is_full_gets_no_further_account(kind: Kind) {
        let office = Office::new(kind).await;
        office.apply(ACME).await;
        for username in ["third", "fourth"] {
            office.broker.accounts.create_account(Caller::Operator(None), new_account(username, None)).await.unwrap();
        }
        let error = office.broker.accounts.create_account(Caller::Operator(None), new_account("fifth", None)).await.unwrap_err();
        assert_eq!(error.to_string(), "organization acme has as many accounts as it may");
    }
}

on_both_databases! {
    async fn a_disabled_account_loses_its_sessions_at_once(kind: Kind) {
        let world = World::new(kind).await;
        world.local(&mut world.browser()).await;
        let broker = &world.app.broker;
        assert_eq!(broker.accounts.list_account_sessions("gil").await.unwrap().len(), 1);
        let account = broker.accounts.set_account_enabled(Caller::Operator(None), "gil", false).await.unwrap();
        assert!(!account.enabled);
        assert!(broker.accounts.list_account_sessions("gil").await.unwrap().is_empty());
        let audit = world.app.audit().await;
        assert!(audit.iter().any(|record| record.action == "account.disable" && record.succeeded));
        assert!(broker.accounts.set_account_enabled(Caller::Operator(None), "gil", true).await.unwrap().enabled);
    }
}

on_both_databases! {
    async fn a_session_that_the_operator_ends_is_over_and_is_ended_once(kind: Kind) {
        let world = World::new(kind).await;
        world.local(&mut world.browser()).await;
        let broker = &world.app.broker;
        let session = broker.accounts.list_account_sessions("gil").await.unwrap().remove(0).id;
        broker.accounts.end_any_session(Caller::Operator(None), session).await.unwrap();
        assert!(broker.accounts.list_account_sessions("gil").await.unwrap().is_empty());
        let error = broker.accounts.end_any_session(Caller::Operator(None), session).await.unwrap_err();
        assert!(matches!(error, ManageError::NotFound(_)), "{error}");
    }
}

on_both_databases! {
    async fn the_evidence_has_the_promised_keys_and_only_the_wanted_organization(kind: Kind) {
        let office = Office::new(kind).await;
        office.apply(ACME).await;
        office.apply("[[organizations]]\nhandle = \"globex\"\nname = \"Globex\"\n").await;
        let mut lines = Vec::new();
        let globex = "globex".parse().unwrap();
        office
            .broker
            .accounts.export_audit(&AuditFilter { organization: Some(globex), ..AuditFilter::default() }, |line| lines.push(serde_json::to_value(line).unwrap()))
            .await
            .unwrap();
        assert_eq!(lines.len(), 1, "{lines:?}");
        let keys: Vec<&str> = lines[0].as_object().unwrap().keys().map(String::as_str).collect();
        for key in
            ["id", "time", "organization", "actor", "action", "outcome", "reason", "receipt", "connection", "app"]
        {
            assert!(keys.contains(&key), "{key} is missing");
        }
        assert_eq!((lines[0]["action"].as_str(), lines[0]["outcome"].as_str()), (Some("apply.organization"), Some("success")));
    }
}

on_both_databases! {
    async fn the_last_two_people_for_emergencies_cannot_be_disabled(kind: Kind) {
        let office = Office::new(kind).await;
        office.apply(&break_glass(&[("first", true), ("second", true), ("third", true)])).await;
        office.broker.accounts.set_account_enabled(Caller::Operator(None), "first", false).await.unwrap();
        let before = office.audit().await;
        let error = office.broker.accounts.set_account_enabled(Caller::Operator(None), "second", false).await.unwrap_err();
        assert!(matches!(&error, ManageError::Refused(why) if why.contains("needs two people")), "{error}");
        assert!(office.broker.accounts.find_account("second").await.unwrap().account.enabled);
        assert_eq!(office.audit().await, before);
        office.broker.accounts.set_account_enabled(Caller::Operator(None), "first", true).await.unwrap();
        office.broker.accounts.set_account_enabled(Caller::Operator(None), "second", false).await.unwrap();
    }
}

on_both_databases! {
    async fn an_operator_is_known_as_one_and_belongs_to_no_organization(kind: Kind) {
        let office = Office::new(kind).await;
        office.apply(ACME).await;
        let new = |username: &str, administrator| NewAccount {
            organization: None,
            administrator,
            ..new_account(username, None)
        };
        let (operator, _) = office.broker.accounts.create_account(Caller::Operator(None), new("ops", true)).await.unwrap();
        office.broker.accounts.create_account(Caller::Operator(None), new("nobody", false)).await.unwrap();
        let found = office.another(99).await.accounts.find_account("ops").await.unwrap().account;
        assert_eq!((found.id, found.organization, found.roles), (operator.id, None, vec![Role::Operator]));
        let listed = office.broker.accounts.list_unattached_accounts(100).await.unwrap();
        let listed: Vec<_> = listed.iter().map(|it| (it.username.as_ref().unwrap().as_str(), &it.roles[..])).collect();
        assert_eq!(listed, [("ops", &[Role::Operator][..]), ("nobody", &[])]);
        // An organization cannot give this role.
        let error = office.try_apply(&ACME.replace("\"auditor\"", "\"operator\"")).await.unwrap_err();
        assert!(error.to_string().contains("operator is not a role in an organization"), "{error}");
    }
}

on_both_databases! {
    async fn the_evidence_about_an_account_is_found_by_its_name(kind: Kind) {
        let office = Office::new(kind).await;
        office.apply(ACME).await;
        let operator = Caller::Operator(None);
        for username in ["dora", "emil"] {
            office.broker.accounts.create_account(operator, new_account(username, None)).await.unwrap();
        }
        let dora = office.broker.accounts.set_account_enabled(operator, "dora", false).await.unwrap();
        let about = |name: &str| AuditFilter { account: Some(name.to_owned()), ..AuditFilter::default() };
        let lines = office.audit_of(&about("dora")).await;
        let said = |key: &str| lines.iter().map(|line| line[key].as_str().unwrap().to_owned()).collect::<Vec<_>>();
        assert_eq!(said("action"), ["account.create", "account.disable"]);
        assert_eq!(said("actor"), ["operator", "operator"]);
        assert_eq!(said("target_kind"), ["account", "account"]);
        assert_eq!(said("target_id"), [dora.id.to_string(), dora.id.to_string()]);
        // What is wanted of several things must be true of all.
        let elsewhere = AuditFilter { organization: Some("acme".parse().unwrap()), ..about("dora") };
        assert_eq!(office.audit_of(&elsewhere).await.len(), 2);
        office.apply("[[organizations]]\nhandle = \"globex\"\nname = \"Globex\"\n").await;
        let elsewhere = AuditFilter { organization: Some("globex".parse().unwrap()), ..about("dora") };
        assert!(office.audit_of(&elsewhere).await.is_empty());
        let error = office.broker.accounts.export_audit(&about("nobody"), |_| ()).await.unwrap_err();
        assert!(matches!(error, ManageError::NotFound(_)), "{error}");
    }
}

on_both_databases! {
    async fn a_job_undoes_no_link(kind: Kind) {
        let office = Office::new(kind).await;
        let error = office.broker.accounts.undo_link(Caller::Job, LedgerId::from_bytes([7; 16])).await.unwrap_err();
        assert!(matches!(&error, ManageError::Refused(why) if why.contains("only the operator")), "{error}");
    }
}
