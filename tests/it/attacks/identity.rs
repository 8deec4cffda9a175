//! Linking and identity: rows 1 to 17, as far as they exist.

use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::world::World;
use crate::on_both_databases;

on_both_databases! {
    async fn row_13_a_connection_disabled_between_start_and_finish(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let page = browser.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
        world.apply_with("", "enabled = false").await;
        let before = Evidence::now(&world.app).await;
        let end = world.sign_in_at_provider(&mut browser, &page).await;
        assert_eq!(end.location_parameter("code"), None);
        before.assert_only_refused(&world.app, &["sign_in refused connection_disabled"]).await;
    }
}
