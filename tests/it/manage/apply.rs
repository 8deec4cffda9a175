//! `apply`: the same files twice change nothing, and it is all of them or nothing.

use countersign::flows::manage::{ApplyError, Change};

use super::{ACME, Office, changes};
use crate::harness::database::Kind;
use crate::on_both_databases;

on_both_databases! {
    async fn the_same_file_twice_changes_nothing_the_second_time(kind: Kind) {
        let office = Office::new(kind).await;
        let first = office.apply(ACME).await;
        assert!(changes(&first).iter().all(|change| *change == Change::Created), "{first:?}");
        let before = (office.everything_stored().await.len(), office.audit().await.len(), office.export().await);
        let second = office.apply(ACME).await;
        assert!(changes(&second).iter().all(|change| *change == Change::Unchanged), "{second:?}");
        assert_eq!(office.audit().await.len(), before.1, "what changes nothing is no evidence");
        assert_eq!(office.export().await, before.2);
        let ids = |lines: &[countersign::flows::manage::Line]| lines.iter().map(|l| l.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&first.lines), ids(&second.lines));
    }
}

on_both_databases! {
    async fn a_dry_run_says_what_would_happen_and_keeps_nothing(kind: Kind) {
        let office = Office::new(kind).await;
        let (empty, silent) = (office.export().await, office.audit().await);
        let report = office.dry_run(ACME).await;
        assert!(changes(&report).iter().all(|change| *change == Change::Created), "{report:?}");
        assert_eq!((office.export().await, office.audit().await), (empty, silent));

        office.apply(ACME).await;
        let before = (office.export().await, office.audit().await);
        let renamed = ACME.replace("name = \"Notes\"", "name = \"Better notes\"");
        let report = office.dry_run(&renamed).await;
        let changed: Vec<_> =
            report.lines.iter().filter(|l| l.change == Change::Changed).map(|l| l.name.as_str()).collect();
        assert_eq!(changed, ["acme/notes"]);
        assert_eq!((office.export().await, office.audit().await), before);
    }
}

on_both_databases! {
    async fn a_setting_without_effect_is_told_by_the_connection_that_has_it(kind: Kind) {
        let office = Office::new(kind).await;
        let warnings = [
            "connection acme/okta: mfa = \"attested\" has no effect yet: the broker does not ask for second factors",
        ];
        assert_eq!(office.dry_run(ACME).await.warnings, warnings);
        assert_eq!(office.apply(ACME).await.warnings, warnings);
        assert_eq!(office.apply(ACME).await.warnings, warnings, "also where nothing changes");
        let claim = ACME.replace("mfa = \"attested\"", "mfa = \"claim\"");
        assert!(office.apply(&claim).await.warnings.is_empty());
    }
}

on_both_databases! {
    async fn each_changed_object_is_one_record_and_the_others_stay(kind: Kind) {
        let office = Office::new(kind).await;
        office.apply(ACME).await;
        let before = office.audit().await;
        let changed = ACME
            .replace("CANARYpassword1", "CANARYpassword2")
            .replace("CANARY-upstream-secret-1", "CANARY-upstream-secret-3");
        let report = office.apply(&changed).await;
        let names: Vec<_> =
            report.lines.iter().filter(|l| l.change == Change::Changed).map(|l| l.name.as_str()).collect();
        assert_eq!(names, ["acme/okta", "acme/Bob"]);
        let audit = office.audit().await;
        let new: Vec<_> = audit.iter().filter(|line| !before.contains(line)).collect();
        let mut actions: Vec<_> = new.iter().map(|line| line["action"].as_str().unwrap()).collect();
        actions.sort_unstable();
        assert_eq!(actions, ["apply.account", "apply.connection"]);
        let connections: Vec<_> = new.iter().filter_map(|line| line["connection"].as_str()).collect();
        assert!(connections.len() == 1 && connections[0].starts_with("con_"), "{connections:?}");
    }
}

on_both_databases! {
    async fn one_refused_object_leaves_nothing_of_the_others(kind: Kind) {
        let office = Office::new(kind).await;
        office.apply("[[organizations]]\nhandle = \"globex\"\nname = \"Globex\"\ndomains = [{ name = \"acme.test\" }]\n").await;
        let before = (office.export().await, office.audit().await);
        let error = office.try_apply(ACME).await.unwrap_err();
        assert!(matches!(error, ApplyError::Refused(_)), "{error:?}");
        assert_eq!(error.to_string(), "domain acme.test: it belongs to another organization");
        assert_eq!((office.export().await, office.audit().await), before);
    }
}

on_both_databases! {
    async fn what_the_files_do_not_name_stays(kind: Kind) {
        let office = Office::new(kind).await;
        office.apply(ACME).await;
        let before = office.export().await;
        let only_the_name = "[[organizations]]\nhandle = \"globex\"\nname = \"Globex\"\n";
        office.apply(only_the_name).await;
        let after = office.export().await;
        assert!(after.starts_with(before.trim_end()), "{after}");
        assert!(after.contains("globex"));
    }
}

on_both_databases! {
    async fn a_connection_prints_what_its_provider_must_know(kind: Kind) {
        let office = Office::new(kind).await;
        let report = office.apply(ACME).await;
        let line = report.lines.iter().find(|line| line.name == "acme/okta").unwrap();
        let id = &line.id;
        assert_eq!(
            line.to_string(),
            format!(
                "connection acme/okta {id} redirect_uri=https://id.test/sso/callback/{id} \
                 signed_out_uri=https://id.test/sso/signed-out/{id}"
            )
        );
        assert_eq!(report.to_string(), "9 created, 0 changed, 0 unchanged");
    }
}

on_both_databases! {
    async fn names_that_others_have_are_refused(kind: Kind) {
        let office = Office::new(kind).await;
        office.apply(ACME).await;
        let globex = "[[organizations]]\nhandle = \"globex\"\nname = \"Globex\"\n";
        for (object, sentence) in [
            (
                "[[organizations.apps]]\nclient_id = \"notes\"\nname = \"N\"\nredirect_uris = [\"https://n.test/\"]\n",
                "app globex/notes: the client id belongs to another organization",
            ),
            (
                "[[organizations.accounts]]\nusername = \"BOB\"\n",
                "account globex/BOB: the username belongs to another account",
            ),
        ] {
            let error = office.try_apply(&format!("{globex}{object}")).await.unwrap_err();
            assert_eq!(error.to_string(), sentence);
        }
        assert!(!office.export().await.contains("globex\"\nname"));
    }
}

/// An organization that keeps passwords for emergencies, with these people; `true` has a password.
pub(super) fn break_glass(people: &[(&str, bool)]) -> String {
    let mut document =
        "[[organizations]]\nhandle = \"a\"\nname = \"A\"\nlocal_sign_in = \"break_glass\"\n".to_owned();
    for (name, has_password) in people {
        document
            .push_str(&format!("[[organizations.accounts]]\nusername = \"{name}\"\nbreak_glass = true\n"));
        if *has_password {
            document.push_str("password = \"Correct7horse\"\n");
        }
    }
    document
}

on_both_databases! {
    async fn an_organization_that_keeps_passwords_for_emergencies_names_two_people_who_have_one(kind: Kind) {
        let office = Office::new(kind).await;
        for people in [&[("first", true)][..], &[("first", true), ("second", false)]] {
            let error = office.try_apply(&break_glass(people)).await.unwrap_err();
            assert!(error.to_string().contains("needs two enabled accounts"), "{error}");
        }
        office.apply(&break_glass(&[("first", true), ("second", true)])).await;
        let disabled = format!("{}enabled = false\n", break_glass(&[("first", true), ("second", true)]));
        let error = office.try_apply(&disabled).await.unwrap_err();
        assert!(error.to_string().contains("needs two enabled accounts"), "{error}");
    }
}

on_both_databases! {
    async fn an_organization_has_no_more_accounts_than_it_may(kind: Kind) {
        let office = Office::new(kind).await;
        let mut document = "[[organizations]]\nhandle = \"a\"\nname = \"A\"\n".to_owned();
        for number in 0..5 {
            document.push_str(&format!("[[organizations.accounts]]\nusername = \"person-{number}\"\n"));
        }
        let error = office.try_apply(&document).await.unwrap_err();
        assert_eq!(error.to_string(), "organization a: it has as many accounts as it may");
        assert!(!office.export().await.contains("handle"));
    }
}

on_both_databases! {
    async fn limits_hold_for_the_organization_however_many_files_it_comes_in(kind: Kind) {
        let office = Office::new(kind).await;
        let organization = "[[organizations]]\nhandle = \"a\"\nname = \"A\"\n";
        let connection = |name: &str| {
            format!(
                "[[organizations.connections]]\nhandle = \"{name}\"\nname = \"C\"\nissuer = \"https://c.test\"\n\
                 client_id = \"x\"\n"
            )
        };
        let app = |name: &str| {
            format!(
                "[[organizations.apps]]\nclient_id = \"{name}\"\nname = \"N\"\nredirect_uris = [\"https://n.test/\"]\n"
            )
        };
        let domain = |name: &str| format!("domains = [{{ name = \"{name}.test\" }}]\n");
        for (what, limit, object) in [
            ("connections", 3, &connection as &dyn Fn(&str) -> String),
            ("apps", 2, &app),
            ("domains", 2, &domain),
        ] {
            for number in 0..limit {
                office.apply(&format!("{organization}{}", object(&format!("n{number}")))).await;
            }
            let before = office.export().await;
            let error = office.try_apply(&format!("{organization}{}", object("more"))).await.unwrap_err();
            assert_eq!(error.to_string(), format!("organization a: it has as many {what} as it may"));
            assert_eq!(office.export().await, before);
            // What is there may still be changed.
            office.apply(&format!("{organization}{}", object("n0"))).await;
        }
    }
}

on_both_databases! {
    async fn a_secret_for_the_change_over_goes_when_the_file_names_none(kind: Kind) {
        let office = Office::new(kind).await;
        office.apply(ACME).await;
        let export = office.export().await;
        assert!(export.contains("next_client_secret_sealed") && export.contains("next_client_secret_hash"), "{export}");
        let lines: Vec<&str> =
            ACME.lines().filter(|line| !line.starts_with("next_client_secret")).collect();
        let without = lines.join("\n");
        let report = office.apply(&without).await;
        let changed: Vec<_> =
            report.lines.iter().filter(|l| l.change == Change::Changed).map(|l| l.name.as_str()).collect();
        assert_eq!(changed, ["acme/okta", "acme/notes"]);
        let export = office.export().await;
        assert!(!export.contains("next_client_secret"), "{export}");
        assert!(export.contains("client_secret_sealed") && export.contains("client_secret_hash"));
    }
}
