//! The steps of a walk, drawn at random.

use proptest::prelude::*;

use super::super::direct::{LOCALS, ORGANIZATIONS};
use super::super::model::Email;
use super::super::providers::{Person, person};
use super::CONNECTIONS;

/// One step. Numbers index what exists at that time.
#[derive(Debug, Clone)]
pub(super) enum Action {
    SignIn {
        browser: usize,
        at: usize,
        subject: usize,
        mail: usize,
        app: usize,
    },
    SignInLocally {
        browser: usize,
        who: usize,
    },
    Ask {
        browser: usize,
        app: usize,
    },
    Answer {
        attempt: usize,
        choice: usize,
        stranger: bool,
    },
    Prove {
        attempt: usize,
        page: usize,
        at: usize,
        subject: usize,
        mail: usize,
        who: Option<usize>,
        stranger: bool,
        honest: bool,
    },
    Confirm {
        attempt: usize,
        keep: usize,
        local: usize,
        stranger: bool,
    },
    Cancel {
        attempt: usize,
    },
    Add {
        browser: usize,
        at: Option<usize>,
    },
    Unlink {
        browser: usize,
        profile: usize,
    },
    Undo {
        entry: usize,
        own: Option<usize>,
    },
    Enable {
        account: usize,
        enabled: bool,
    },
    Open {
        at: usize,
        open: bool,
    },
    Link {
        organization: usize,
        on: bool,
    },
    TakeRole {
        account: usize,
    },
    Wait {
        seconds: u64,
    },
}

pub(super) fn action() -> impl Strategy<Value = Action> {
    let rarely = || prop::bool::weighted(0.06);
    let mostly = || prop::bool::weighted(0.8);
    // What was begun last is continued most often.
    let late = || prop_oneof![6 => Just(0usize), 1 => 1..4usize];
    prop_oneof![
        8 => (0..2usize, 0..8usize, 0..3usize, 0..6usize, 0..4usize)
            .prop_map(|(browser, at, subject, mail, app)| Action::SignIn { browser, at, subject, mail, app }),
        5 => (0..2usize, 0..5usize).prop_map(|(browser, who)| Action::SignInLocally { browser, who }),
        4 => (0..2usize, 0..6usize).prop_map(|(browser, app)| Action::Ask { browser, app }),
        14 => (late(), 0..8usize, rarely())
            .prop_map(|(attempt, choice, stranger)| Action::Answer { attempt, choice, stranger }),
        24 => ((late(), late(), 0..8usize), 0..3usize, 0..6usize, prop::option::of(0..5usize), rarely(), mostly())
            .prop_map(|((attempt, page, at), subject, mail, who, stranger, honest)| {
                Action::Prove { attempt, page, at, subject, mail, who, stranger, honest }
            }),
        20 => (late(), 0..4usize, 0..4usize, rarely())
            .prop_map(|(attempt, keep, local, stranger)| Action::Confirm { attempt, keep, local, stranger }),
        1 => late().prop_map(|attempt| Action::Cancel { attempt }),
        14 => (0..2usize, prop::option::of(0..8usize)).prop_map(|(browser, at)| Action::Add { browser, at }),
        4 => (0..2usize, 0..5usize).prop_map(|(browser, profile)| Action::Unlink { browser, profile }),
        6 => (0..6usize, prop::option::of(0..2usize)).prop_map(|(entry, own)| Action::Undo { entry, own }),
        2 => (0..30usize, mostly()).prop_map(|(account, enabled)| Action::Enable { account, enabled }),
        2 => (0..8usize, mostly()).prop_map(|(at, open)| Action::Open { at, open }),
        2 => (0..2usize, mostly()).prop_map(|(organization, on)| Action::Link { organization, on }),
        1 => (0..30usize).prop_map(|account| Action::TakeRole { account }),
        3 => prop::sample::select(vec![30u64, 30, 30, 200, 200, 320, 620, 1_900, 90_000, 32 * 86_400])
            .prop_map(|seconds| Action::Wait { seconds }),
    ]
}

/// A connection of either organization, by one number.
pub(super) fn place_of(at: usize) -> (usize, usize) {
    if at < CONNECTIONS[0] { (0, at) } else { (1, (at - CONNECTIONS[0]) % CONNECTIONS[1]) }
}

/// A user at an identity provider, and how far their email counts.
pub(super) fn somebody(organization: usize, subject: usize, mail: usize) -> (Person, Email) {
    let who = person(&format!("s{subject}"));
    let handle = ORGANIZATIONS[organization];
    let (ann, team) = (format!("{}@{handle}.test", LOCALS[organization][0]), format!("team@{handle}.test"));
    let elsewhere = "x@elsewhere.test".to_owned();
    match mail {
        0 => (who, None),
        1 => (who.proven(&ann), Some((ann, true))),
        2 => (who.proven(&team), Some((team, true))),
        3 => (who.unproven(&elsewhere), Some((elsewhere, false))),
        // A domain that the organization does not own; an email that the provider has not verified.
        4 => (who.proven(&elsewhere), Some((elsewhere, false))),
        _ => (who.unproven(&ann), Some((ann, false))),
    }
}
