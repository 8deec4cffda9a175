//! Many requests at once, over two nodes if the database allows two: the limits hold at every instant, everything
//! single happens once, and no request waits for ever.

use std::pin::Pin;
use std::sync::Arc;

use countersign::flows::account::AddWay;
use countersign::flows::link::OfferAnswer;
use countersign::flows::manage::ManageError;
use countersign::model::{AccountId, Caller};

use super::direct::{Links, Outcome, Place, Switches, Tab, at_once, connection, password_of};
use super::providers::person;
use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::on_both_databases;

/// How often two concurrent actions are repeated, so that each is first now and then.
const ROUNDS: u64 = 8;

/// One of several things that are done at once.
type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;

fn done(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| outcome.is_ok()).count()
}

/// Every refusal has one of these codes.
#[track_caller]
fn assert_refused_by(outcomes: &[Outcome], codes: &[&str]) {
    for code in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert!(codes.contains(&code.as_str()), "{code}");
    }
}

/// A confirmation by each of these browsers.
async fn confirm_all(waiting: Vec<(Tab, Place)>) -> Vec<Outcome> {
    let tasks = waiting.into_iter().map(|(mut tab, page)| async move { tab.confirm(&page).await });
    at_once(tasks.collect()).await
}

on_both_databases! {
    async fn of_fifty_that_finish_at_once_one_takes_the_last_place(kind: Kind) {
        let links = Links::new(kind, 80).await;
        let ann = links.account("ann").await;
        let mut rows = links.rows().await;
        let mut first = links.signed_in("ann", 0).await;
        // Her password is one of the 24.
        for number in 3..26 {
            let added = first.add_profile(connection(0, number), &person("ann-at-work")).await;
            assert_eq!(added, Ok(Place::Account), "{number}");
        }
        assert_eq!(rows.profiles(ann).await.len(), 24);
        let (linked, begun) = (rows.ledger().await.len(), rows.count("interactions WHERE ended_at IS NULL").await);
        assert_eq!(begun, 0);
        let mut waiting = Vec::new();
        for number in 26..76 {
            let (node, connection) = (number % 2, connection(0, number));
            // Half of them come from her own page, half from a user who signs in for the first time.
            let (tab, page) = if number % 4 < 2 {
                let mut tab = links.signed_in("ann", node).await;
                let page = tab.add_until_confirmed(connection, &person(&format!("late-{number}"))).await;
                (tab, page)
            } else {
                let mut tab = links.tab_at(node);
                let late = person(&format!("late-{number}")).unproven("late@elsewhere.test");
                let page = tab.link_to(connection, &late, "ann").await;
                (tab, page)
            };
            waiting.push((tab, page.unwrap()));
        }
        assert_eq!(rows.count("interactions WHERE ended_at IS NULL").await, 50);
        let outcomes = confirm_all(waiting).await;
        assert_eq!(done(&outcomes), 1);
        assert_refused_by(&outcomes, &["link_full"]);
        assert_eq!(rows.profiles(ann).await.len(), 25);
        assert_eq!(rows.ledger().await.len(), linked + 1);
        assert_eq!(rows.count("interactions WHERE ended_at IS NULL").await, 0, "what failed is burned");
        assert_eq!(rows.count("accounts WHERE profile_count > 24").await, 1);
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn of_two_subjects_of_one_provider_at_once_one_is_linked(kind: Kind) {
        let links = Links::new(kind, 24).await;
        let (ann, mut rows) = (links.account("ann").await, links.rows().await);
        for round in 0..ROUNDS {
            let there = connection(0, 3 + usize::try_from(round).unwrap());
            let mut waiting = Vec::new();
            for node in 0..2 {
                let mut tab = links.signed_in("ann", node).await;
                let at_provider = tab.add(AddWay::Connection(there)).await.unwrap();
                waiting.push((tab, at_provider, person(&format!("subject-{node}"))));
            }
            // Both come back at once, and both confirm at once.
            let tasks = waiting.into_iter().map(|(mut tab, at_provider, person)| async move {
                let page = tab.vouched(&at_provider, &person).await?;
                tab.confirm(&page).await
            });
            let outcomes = at_once(tasks.collect()).await;
            assert_eq!(done(&outcomes), 1, "{outcomes:?}");
            assert_refused_by(&outcomes, &["link_same_provider"]);
            assert_eq!(rows.profiles(ann).await.len(), 2 + usize::try_from(round).unwrap());
        }
        assert_eq!(rows.ledger().await.len(), usize::try_from(ROUNDS).unwrap());
        assert_eq!(rows.count("interactions WHERE ended_at IS NULL").await, 0);
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn an_attempt_that_is_confirmed_twenty_times_at_once_links_once(kind: Kind) {
        let links = Links::new(kind, 6).await;
        let mut rows = links.rows().await;
        let mut tab = links.signed_in("ann", 0).await;
        let page = tab.add_until_confirmed(connection(0, 3), &person("ann-at-work")).await.unwrap();
        let before = Evidence::now(&links.app).await;
        let waiting = (0..20).map(|node| (tab.at(links.broker(node)), page.clone())).collect();
        let outcomes = confirm_all(waiting).await;
        assert_eq!(done(&outcomes), 1);
        // A later read finds the attempt gone, or the session with another token.
        assert_refused_by(&outcomes, &["flow_finished", "flow_expired", "session_ended"]);
        assert_eq!(rows.ledger().await, ["linked"]);
        assert_eq!(before.changes(&links.app).await.rows["profiles"], 1);
        rows.assert_sound().await;
    }
}

/// Signs ann and bob in, each in a browser of their own, and proves the other one there.
async fn opposite_merges(links: &Links, rounds: u64) -> [(Tab, Place); 2] {
    let node = usize::try_from(rounds).unwrap();
    let mut of_ann = links.signed_in("ann", node).await;
    let mut of_bob = links.signed_in("bob", node + 1).await;
    let to_bob = of_ann.add_account("bob").await.unwrap();
    let to_ann = of_bob.add_account("ann").await.unwrap();
    [(of_ann, to_bob), (of_bob, to_ann)]
}

/// Undoes the last merge, and gives the one whose password it ended that password again.
async fn apart_again(links: &Links, accounts: [AccountId; 2]) {
    let mut rows = links.rows().await;
    let entry = rows.entry("merged").await;
    links.app.broker.accounts.undo_link(Caller::Operator(None), entry).await.unwrap();
    for (account, name) in accounts.iter().zip(["ann", "bob"]) {
        let has = rows.count(&format!("passwords WHERE account_id = '{account}'")).await;
        if has == 0 {
            let document = format!(
                "[[organizations]]\nhandle = \"alpha\"\nname = \"alpha\"\nlinking = true\n\
                 [[organizations.accounts]]\nid = \"{account}\"\nusername = \"{name}\"\nemail = \"{name}@alpha.test\"\n\
                 email_verified = true\npassword = \"{}\"\nroles = [\"member\"]\n",
                password_of(name)
            );
            links.app.apply(&document).await;
        }
    }
    links.later(2);
}

on_both_databases! {
    async fn of_two_merges_in_opposite_directions_one_comes_about(kind: Kind) {
        let links = Links::new(kind, 4).await;
        let accounts = [links.account("ann").await, links.account("bob").await];
        let mut rows = links.rows().await;
        for round in 0..ROUNDS {
            let outcomes = confirm_all(opposite_merges(&links, round).await.into()).await;
            assert_eq!(done(&outcomes), 1, "{outcomes:?}");
            assert_refused_by(&outcomes, &["session_ended", "link_taken", "link_profile_gone"]);
            assert_eq!(rows.count("accounts WHERE merged_into IS NOT NULL").await, 1);
            assert_eq!(rows.count("passwords").await, 4, "one of the five ended");
            rows.assert_sound().await;
            apart_again(&links, accounts).await;
            assert_eq!(rows.count("passwords").await, 5);
            rows.assert_sound().await;
        }
        assert_eq!(rows.count("link_ledger").await, 2 * i64::try_from(ROUNDS).unwrap());
    }
}

on_both_databases! {
    async fn a_user_who_signs_in_beside_a_merge_is_signed_in_to_the_account_that_stays_or_not_at_all(kind: Kind) {
        let links = Links::new(kind, 6).await;
        let accounts = [links.account("ann").await, links.account("bob").await];
        let mut rows = links.rows().await;
        // Bob has a provider's profile besides, cyd has nothing else left.
        let mut bob = links.signed_in("bob", 0).await;
        bob.add_profile(connection(0, 3), &person("bob-at-work")).await.unwrap();
        for round in 0..ROUNDS {
            links.later(2);
            let keeps_password_of = accounts[usize::try_from(round % 2).unwrap()];
            let [(mut of_ann, page), _] = opposite_merges(&links, round).await;
            let merging = async move { of_ann.confirm_keeping(&page, None, Some(keeps_password_of)).await };
            let mut tasks: Vec<Task<Outcome>> = vec![Box::pin(merging)];
            for node in 0..4 {
                let mut local = links.tab_at(node);
                let name = if node < 2 { "bob" } else { "ann" };
                tasks.push(Box::pin(async move { local.sign_in_locally(name).await }));
                let mut brokered = links.tab_at(node);
                // A new name each time makes the sign-in write to the account where it may.
                let bob = person("bob-at-work").unproven(&format!("bob-{round}-{node}@elsewhere.test"));
                tasks.push(Box::pin(async move { brokered.sign_in(connection(0, 3), &bob).await }));
            }
            let outcomes = at_once(tasks).await;
            assert_eq!(outcomes[0], Ok(Place::Account), "the merge comes about");
            assert_refused_by(&outcomes, &["bad_credentials", "flow_finished"]);
            assert_eq!(rows.count("accounts WHERE merged_into IS NOT NULL").await, 1);
            rows.assert_sound().await;
            apart_again(&links, accounts).await;
            rows.assert_sound().await;
        }
    }
}

on_both_databases! {
    async fn a_sign_in_that_a_merge_overtakes_opens_nothing_at_the_merged_account(kind: Kind) {
        let links = Links::new(kind, 6).await;
        let mut rows = links.rows().await;
        let eve = person("eve");
        let mut tab = links.tab();
        assert_eq!(tab.sign_in(connection(0, 3), &eve).await, Ok(Place::Account));
        let before = tab.account().await.unwrap();
        let mut again = links.tab();
        let at_provider = again.begin(connection(0, 3)).await.unwrap();
        // What a merge into ann's account does, and then waits to commit.
        let mut held = links
            .app
            .hold(&[
                "UPDATE accounts SET updated_at = updated_at WHERE id IN \
                 (SELECT account_id FROM profiles WHERE subject = 'eve') OR username_key = 'ann'",
                "UPDATE sessions SET ended_at = 1 WHERE account_id IN \
                 (SELECT account_id FROM profiles WHERE subject = 'eve')",
                "UPDATE accounts SET profile_count = 0, merged_into = (SELECT b.id FROM accounts b WHERE b.username_key = 'ann') \
                 WHERE id IN (SELECT account_id FROM profiles WHERE subject = 'eve')",
                "DELETE FROM account_roles WHERE account_id IN (SELECT account_id FROM profiles WHERE subject = 'eve')",
                "UPDATE accounts SET profile_count = profile_count + 1 WHERE username_key = 'ann'",
                "UPDATE profiles SET account_id = (SELECT b.id FROM accounts b WHERE b.username_key = 'ann') WHERE subject = 'eve'",
            ])
            .await;
        let signing_in = tokio::spawn(async move { (again.vouched(&at_provider, &eve).await, again) });
        held.wait_for_the_broker().await;
        held.release().await;
        let (outcome, again) = signing_in.await.unwrap();
        assert_refused_by(&[outcome], &["flow_finished"]);
        assert_ne!(again.account().await, Some(before));
        rows.assert_sound().await;
        // The next one is hers who has it now.
        let mut later = links.tab();
        assert_eq!(later.sign_in(connection(0, 3), &person("eve")).await, Ok(Place::Account));
        assert_eq!(later.account().await, Some(links.account("ann").await));
    }
}

on_both_databases! {
    async fn a_sign_in_that_an_unlink_overtakes_opens_nothing(kind: Kind) {
        let links = Links::new(kind, 6).await;
        let mut rows = links.rows().await;
        let mut ann = links.signed_in("ann", 0).await;
        ann.add_profile(connection(0, 3), &person("ann-at-work")).await.unwrap();
        let mut again = links.tab();
        let at_provider = again.begin(connection(0, 3)).await.unwrap();
        let mut held = links
            .app
            .hold(&[
                "UPDATE accounts SET profile_count = profile_count - 1 WHERE username_key = 'ann'",
                "DELETE FROM profiles WHERE subject = 'ann-at-work'",
            ])
            .await;
        let ann_at_work = person("ann-at-work");
        let signing_in = tokio::spawn(async move { (again.vouched(&at_provider, &ann_at_work).await, again) });
        held.wait_for_the_broker().await;
        held.release().await;
        let (outcome, again) = signing_in.await.unwrap();
        // It belonged to no account by then: a new account, or nothing if the profile was found before it was removed.
        assert_refused_by(&[outcome], &["flow_finished"]);
        assert_ne!(again.account().await, Some(links.account("ann").await));
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn a_merge_beside_an_unlink_loses_nothing(kind: Kind) {
        let links = Links::new(kind, 24).await;
        let accounts = [links.account("ann").await, links.account("bob").await];
        let mut rows = links.rows().await;
        for round in 0..ROUNDS {
            links.later(2);
            let there = connection(0, 3 + usize::try_from(round).unwrap());
            let [(mut of_ann, page), (mut of_bob, _)] = opposite_merges(&links, round).await;
            of_bob.add_profile(there, &person("bob-at-work")).await.unwrap();
            let profile = rows.profile(there, "bob-at-work").await;
            let tasks: Vec<Task<Outcome>> = vec![
                Box::pin(async move { of_ann.confirm(&page).await }),
                Box::pin(async move { of_bob.unlink(profile).await }),
            ];
            let outcomes = at_once(tasks).await;
            assert_eq!(outcomes[0], Ok(Place::Account));
            assert_refused_by(&outcomes, &["session_ended", "not_found"]);
            // Unlinked first, it went; else it moved.
            let holds = rows.profiles(accounts[0]).await;
            let moved = holds.iter().filter(|held| held.contains(&there.to_string())).count();
            assert_eq!(moved, usize::from(outcomes[1].is_err()));
            rows.assert_sound().await;
            apart_again(&links, accounts).await;
            rows.assert_sound().await;
        }
    }
}

on_both_databases! {
    async fn a_merge_that_is_undone_twenty_times_at_once_is_undone_once(kind: Kind) {
        let links = Links::new(kind, 6).await;
        let (ann, bob) = (links.account("ann").await, links.account("bob").await);
        let mut rows = links.rows().await;
        let [(mut tab, page), _] = opposite_merges(&links, 0).await;
        assert_eq!(tab.confirm(&page).await, Ok(Place::Account));
        let entry = rows.entry("merged").await;
        links.later(1);
        let mut tasks: Vec<Task<bool>> = Vec::new();
        for node in 0..10 {
            let mut own = tab.at(links.broker(node));
            tasks.push(Box::pin(async move { own.undo(entry).await.is_ok() }));
            let operator = links.broker(node + 1);
            tasks.push(Box::pin(async move {
                let undone = operator.accounts.undo_link(Caller::Operator(None), entry).await;
                assert!(!matches!(undone, Err(ManageError::Unavailable(_))));
                undone.is_ok()
            }));
        }
        let undone = at_once(tasks).await;
        assert_eq!(undone.into_iter().filter(|done| *done).count(), 1);
        assert_eq!(rows.ledger().await, ["merged", "undone"]);
        assert_eq!(rows.profiles(ann).await, ["local"]);
        assert_eq!(rows.profiles(bob).await, ["local"]);
        rows.assert_sound().await;
    }
}

/// Something that ends what a link depends on.
#[derive(Debug, Clone, Copy)]
enum End {
    Linking,
    Connection,
    Account,
    Password,
}

impl End {
    /// Does it, as the operator would.
    async fn come(self, links: &Links) {
        match self {
            Self::Linking => {
                links.switch(&Switches { linking: [false, true], ..Switches::default() }).await;
            }
            Self::Connection => {
                let disabled = [(0, 3)].into();
                links.switch(&Switches { disabled, ..Switches::default() }).await;
            }
            Self::Account => {
                links
                    .app
                    .broker
                    .accounts
                    .set_account_enabled(Caller::Operator(None), "ann", false)
                    .await
                    .unwrap();
            }
            Self::Password => Self::set_password(links, "Another7horse").await,
        }
    }

    /// Takes it back.
    async fn go(self, links: &Links) {
        match self {
            Self::Linking | Self::Connection => links.switch(&Switches::default()).await,
            Self::Account => {
                links
                    .app
                    .broker
                    .accounts
                    .set_account_enabled(Caller::Operator(None), "ann", true)
                    .await
                    .unwrap();
            }
            Self::Password => Self::set_password(links, &password_of("ann")).await,
        }
    }

    async fn set_password(links: &Links, password: &str) {
        let document = format!(
            "[[organizations]]\nhandle = \"alpha\"\nname = \"alpha\"\nlinking = true\n\
             [[organizations.accounts]]\nusername = \"ann\"\nemail = \"ann@alpha.test\"\nemail_verified = true\n\
             password = \"{password}\"\nroles = [\"administrator\"]\n"
        );
        links.app.apply(&document).await;
    }

    /// What a link is refused with afterwards: from one's own page, and at a first sign-in.
    const fn codes(self) -> [&'static str; 2] {
        match self {
            Self::Linking => ["link_off", "link_off"],
            Self::Connection => ["connection_disabled", "connection_disabled"],
            Self::Account | Self::Password => ["session_ended", "session_ended"],
        }
    }
}

const ENDS: [End; 4] = [End::Linking, End::Connection, End::Account, End::Password];

on_both_databases! {
    async fn what_a_link_stands_on_is_there_when_it_is_confirmed_or_nothing_is_linked(kind: Kind) {
        let links = Links::new(kind, 6).await;
        let mut rows = links.rows().await;
        for end in ENDS {
            let late = person("late").unproven("late@elsewhere.test");
            let mut own = links.signed_in("ann", 0).await;
            let of_own = own.add_until_confirmed(connection(0, 3), &late).await.unwrap();
            let mut first = links.tab();
            let of_first = first.link_to(connection(0, 3), &late, "ann").await.unwrap();
            links.later(1);
            end.come(&links).await;
            let before = Evidence::now(&links.app).await;
            let outcomes = [own.confirm(&of_own).await, first.confirm(&of_first).await];
            assert_eq!(outcomes, end.codes().map(|code| Err(code.to_owned())), "{end:?}");
            let changes = before.changes(&links.app).await;
            assert!(changes.rows.is_empty(), "{end:?}: {:?}", changes.rows);
            assert_eq!(changes.audit.len(), 2, "{:?}", changes.audit);
            assert!(changes.audit.iter().all(|line| line.starts_with("link refused ")), "{:?}", changes.audit);
            // Taken back, what was refused stays so.
            end.go(&links).await;
            assert!(own.confirm(&of_own).await.is_err(), "{end:?}");
            assert!(first.confirm(&of_first).await.is_err(), "{end:?}");
            assert_eq!(rows.ledger().await, [""; 0], "{end:?}");
            rows.assert_sound().await;
            links.later(1);
        }
    }
}

on_both_databases! {
    async fn a_link_beside_the_end_of_what_it_stands_on_is_there_whole_or_not_at_all(kind: Kind) {
        let links = Links::new(kind, 6).await;
        let links = Arc::new(links);
        let (ann, mut rows) = (links.account("ann").await, links.rows().await);
        for end in ENDS {
            for round in 0..2 {
                let late = person(&format!("late-{end:?}-{round}"));
                let mut own = links.signed_in("ann", round).await;
                let page = own.add_until_confirmed(connection(0, 3), &late).await.unwrap();
                links.later(1);
                let world = Arc::clone(&links);
                let tasks: Vec<Task<Outcome>> = vec![
                    Box::pin(async move { own.confirm(&page).await }),
                    Box::pin(async move {
                        end.come(&world).await;
                        Ok(Place::Account)
                    }),
                ];
                let outcomes = at_once(tasks).await;
                assert_refused_by(&outcomes, &end.codes());
                let has = rows.profiles(ann).await.len();
                assert_eq!(has, 1 + usize::from(outcomes[0].is_ok()), "{end:?}");
                if matches!(end, End::Account) {
                    let living = format!("sessions WHERE account_id = '{ann}' AND ended_at IS NULL");
                    assert_eq!(rows.count(&living).await, 0, "nobody is signed in to a disabled account");
                }
                rows.assert_sound().await;
                end.go(&links).await;
                if outcomes[0].is_ok() {
                    let entry = rows.entry("linked").await;
                    links.app.broker.accounts.undo_link(Caller::Operator(None), entry).await.unwrap();
                }
                links.later(1);
            }
        }
    }
}

on_both_databases! {
    async fn a_first_sign_in_in_two_browsers_makes_an_account_or_a_link(kind: Kind) {
        let links = Links::new(kind, 24).await;
        let (ann, mut rows) = (links.account("ann").await, links.rows().await);
        for round in 0..usize::try_from(ROUNDS).unwrap() {
            let there = connection(0, 3 + round);
            let new = person("new").unproven("new@elsewhere.test");
            let mut links_it = links.tab_at(round);
            let page = links_it.link_to(there, &new, "ann").await.unwrap();
            let mut skips = links.tab_at(round + 1);
            let offer = skips.sign_in(there, &new).await.unwrap();
            let (before, accounts) = (rows.profiles(ann).await.len(), rows.count("accounts").await);
            let tasks: Vec<Task<Outcome>> = vec![
                Box::pin(async move { links_it.confirm(&page).await }),
                Box::pin(async move { skips.answer(&offer, OfferAnswer::Skip).await }),
            ];
            let outcomes = at_once(tasks).await;
            assert_eq!(done(&outcomes), 1);
            assert_refused_by(&outcomes, &["link_taken", "flow_finished", "other_connection"]);
            assert_eq!(rows.count(&format!("profiles WHERE connection_id = '{there}'")).await, 1);
            assert_eq!(rows.profiles(ann).await.len(), before + usize::from(outcomes[0].is_ok()));
            assert_eq!(rows.count("accounts").await, accounts + i64::from(outcomes[1].is_ok()));
            rows.assert_sound().await;
        }
    }
}
