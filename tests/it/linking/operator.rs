//! Links as the operator sees and undoes them in a terminal.

use super::pages::{linked, linking, own_page};
use countersign::model::SystemClock;

use crate::harness::database::Kind;
use crate::harness::world::World;
use crate::on_both_databases;

/// Runs `countersign account …` on the world's database; its standard output, or its standard error.
async fn account(world: &World, arguments: &[&str]) -> Result<String, String> {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.arg("account").args(arguments).arg("--config").arg(world.app.config_file());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

on_both_databases! {
    async fn the_operator_sees_a_members_links_and_undoes_them(kind: Kind) {
        let world = linking(kind, "").await;
        // The commands have a clock of their own.
        world.app.clock.set_to(&SystemClock);
        let before = account(&world, &["links", "bobby"]).await.unwrap();
        assert!(before.contains("signs in by password"), "{before}");
        assert!(before.ends_with("nothing was ever linked or merged\n"), "{before}");
        let mut browser = world.browser();
        linked(&world, &mut browser).await;
        own_page(&mut browser).await;
        let shown = account(&world, &["links", "bobby"]).await.unwrap();
        let line = shown.lines().last().unwrap();
        for part in [" linked by acc_", "[Acme SSO · bob@acme.test]", "[bobby · Bob@acme.test]", "can be undone until "] {
            assert!(line.contains(part), "{part} in {shown}");
        }
        let id = line.split(' ').next().unwrap();
        let undone = account(&world, &["undo-link", id]).await.unwrap();
        assert!(undone.contains(&format!("{id} linked of acc_")) && undone.contains("undone"), "{undone}");
        browser.open("https://id.test/account").await.expect(200, "sign-in");
        let shown = account(&world, &["links", "bobby"]).await.unwrap();
        assert!(shown.contains(" undone by operator account acc_"), "{shown}");
        assert!(shown.contains(&format!("undoes {id}")), "{shown}");
        let twice = account(&world, &["undo-link", id]).await.unwrap_err();
        assert!(twice.contains("it was undone before"), "{twice}");
        let record = world.app.audit().await.pop().unwrap();
        assert_eq!((record.action.as_str(), record.actor), ("link.undo", Some(countersign::model::Actor::Operator)));
        let nobody = account(&world, &["links", "nobody"]).await.unwrap_err();
        assert!(nobody.contains("there is no account nobody"), "{nobody}");
    }
}

on_both_databases! {
    async fn what_was_linked_cannot_be_read_once_the_accounts_key_is_gone(kind: Kind) {
        let world = linking(kind, "").await;
        world.app.clock.set_to(&SystemClock);
        let mut browser = world.browser();
        linked(&world, &mut browser).await;
        world.app.run_statement("UPDATE accounts SET data_key_sealed = NULL").await;
        let shown = account(&world, &["links", "bobby"]).await.unwrap();
        let line = shown.lines().last().unwrap();
        assert!(line.contains(" linked by acc_") && !line.contains("bob@acme.test"), "{shown}");
        // What can still be done needs no names.
        let page = own_page(&mut browser).await;
        let page = browser.click(&page, "undo-1").await;
        browser.press(page.expect(200, "undo-confirm"), "undo-confirm", &[]).await.expect(200, "signed-out");
        let shown = account(&world, &["links", "bobby"]).await.unwrap();
        assert!(shown.contains(" undone by acc_"), "{shown}");
    }
}
