//! The removal of expired rows, in bounded steps.

use std::time::Duration;

use crate::model::{Timestamp, UNDO_WINDOW};
use crate::store::engine::tx::{execute, execute_many, statements};
use crate::store::{StoreError, Tx};

/// The condition that a grant `g` ends with its session.
macro_rules! ends_with_its_session {
    () => {
        "(' ' || g.scopes || ' ') NOT LIKE '% offline_access %'"
    };
}

/// Up to a thousand ended sessions `s`. A statement that starts from these stays short, however many more there are.
macro_rules! sessions_that_are_over {
    () => {
        "(SELECT id FROM sessions WHERE idle_until < $1 ORDER BY idle_until LIMIT 1000) s"
    };
}

/// Selects `$row` for each grant that ends with an ended session, or for what `$further` joins to that grant. SQLite
/// keeps to the order of a CROSS JOIN: from the sessions to their grants, and from there on.
macro_rules! granted_in_sessions_that_are_over {
    ($row:literal, $further:literal, $which:literal) => {
        concat!(
            "(SELECT ",
            $row,
            " FROM ",
            sessions_that_are_over!(),
            " CROSS JOIN grants g ",
            $further,
            " WHERE g.session_id = s.id AND ",
            ends_with_its_session!(),
            $which,
            " LIMIT 1000)"
        )
    };
}

/// Deletes the rows of `$table` whose grant's last token has expired.
macro_rules! of_grants_that_are_over {
    ($table:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE hash IN (SELECT x.hash FROM \
             (SELECT id FROM grants WHERE expires_at < $1 ORDER BY expires_at LIMIT 1000) g \
             CROSS JOIN ",
            $table,
            " x WHERE x.grant_id = g.id LIMIT 1000)"
        )
    };
}

statements! {
    DELETE_SPENT_FLOWS = "DELETE FROM spent_flows WHERE id IN \
                          (SELECT id FROM spent_flows WHERE expires_at < $1 LIMIT 1000)";
    DELETE_PARKED_FLOWS = "DELETE FROM parked_flows WHERE id IN \
                           (SELECT id FROM parked_flows WHERE expires_at < $1 LIMIT 1000)";
    DELETE_PROVEN_FLOWS = "DELETE FROM proven_flows WHERE id IN \
                           (SELECT id FROM proven_flows WHERE expires_at < $1 LIMIT 1000)";
    DELETE_INTERACTIONS = "DELETE FROM interactions WHERE id IN \
                           (SELECT id FROM interactions WHERE expires_at < $1 LIMIT 1000)";
    DELETE_LINK_ATTEMPTS = "DELETE FROM link_attempts WHERE id IN \
                            (SELECT id FROM link_attempts WHERE expires_at < $1 LIMIT 1000)";
    DELETE_PASSWORD_LINKS = "DELETE FROM password_links WHERE hash IN \
                             (SELECT hash FROM password_links WHERE expires_at < $1 LIMIT 1000)";
    DELETE_MAIL_CODES = "DELETE FROM mail_codes WHERE session_id IN \
                         (SELECT session_id FROM mail_codes WHERE expires_at < $1 LIMIT 1000)";
    DELETE_CODES = "DELETE FROM codes WHERE hash IN (SELECT hash FROM codes WHERE expires_at < $1 AND names_grant LIMIT 1000)";
    DELETE_CODES_OF_GRANTS = of_grants_that_are_over!("codes");
    DELETE_REFRESH_TOKENS_OF_GRANTS = of_grants_that_are_over!("refresh_tokens");
    DELETE_CODES_OF_SESSIONS = concat!(
        "DELETE FROM codes WHERE hash IN ",
        granted_in_sessions_that_are_over!("c.hash", "CROSS JOIN codes c", " AND c.grant_id = g.id")
    );
    DELETE_REFRESH_TOKENS_OF_SESSIONS = concat!(
        "DELETE FROM refresh_tokens WHERE hash IN ",
        granted_in_sessions_that_are_over!("r.hash", "CROSS JOIN refresh_tokens r", " AND r.grant_id = g.id")
    );
    DELETE_GRANTS_OF_SESSIONS = concat!(
        "DELETE FROM grants WHERE id IN ",
        granted_in_sessions_that_are_over!(
            "g.id",
            "",
            " AND NOT EXISTS (SELECT 1 FROM codes c WHERE c.grant_id = g.id) \
              AND NOT EXISTS (SELECT 1 FROM refresh_tokens r WHERE r.grant_id = g.id)"
        )
    );
    DELETE_GRANTS = "DELETE FROM grants WHERE id IN (SELECT g.id FROM grants g WHERE g.expires_at < $1 \
                     AND NOT EXISTS (SELECT 1 FROM codes c WHERE c.grant_id = g.id) \
                     AND NOT EXISTS (SELECT 1 FROM refresh_tokens r WHERE r.grant_id = g.id) LIMIT 1000)";
    DELETE_DEAD_TOKENS = "DELETE FROM dead_tokens WHERE id IN \
                          (SELECT id FROM dead_tokens WHERE expires_at < $1 LIMIT 1000)";
    DELETE_SESSIONS = concat!(
        "DELETE FROM sessions WHERE id IN (SELECT s.id FROM ",
        sessions_that_are_over!(),
        " WHERE NOT EXISTS (SELECT 1 FROM grants g WHERE g.session_id = s.id AND ",
        ends_with_its_session!(),
        ") AND NOT EXISTS (SELECT 1 FROM proven_flows f WHERE f.session_id = s.id) \
         AND NOT EXISTS (SELECT 1 FROM mail_codes c WHERE c.session_id = s.id))"
    );
    DELETE_DONE_JOBS = "DELETE FROM jobs WHERE id IN \
                        (SELECT id FROM jobs WHERE outcome = 'done' AND finished_at < $1 LIMIT 1000)";
    DELETE_DEAD_JOBS = "DELETE FROM jobs WHERE id IN \
                        (SELECT id FROM jobs WHERE outcome = 'dead' AND finished_at < $1 LIMIT 1000)";
    DELETE_FORGOTTEN_JOBS = "DELETE FROM jobs WHERE id IN \
                             (SELECT id FROM jobs WHERE finished_at IS NULL AND useful_until < $1 LIMIT 1000)";
    DELETE_MAILS = "DELETE FROM mails WHERE id IN (SELECT id FROM mails WHERE finished_at < $1 LIMIT 1000)";
    DELETE_WAITING_MAILS = "DELETE FROM mails WHERE id IN \
                            (SELECT id FROM mails WHERE finished_at IS NULL AND next_attempt_at < $1 LIMIT 1000)";
    DELETE_MAIL_COUNTS = "DELETE FROM mail_counts WHERE (subject, span, began) IN \
                          (SELECT subject, span, began FROM mail_counts WHERE expires_at < $1 LIMIT 1000)";
    DELETE_GUESSES = "DELETE FROM guesses WHERE (scope, subject) IN (SELECT scope, subject FROM guesses \
                      WHERE updated_at < $1 AND blocked_until < $1 LIMIT 1000)";
    DELETE_FLOODS = "DELETE FROM audit_floods WHERE (reason, network, minute) IN \
                     (SELECT reason, network, minute FROM audit_floods WHERE minute < $1 LIMIT 1000)";
    DELETE_REPLACED = "DELETE FROM replaced_profiles WHERE (connection_id, old_profile_id) IN \
                       (SELECT connection_id, old_profile_id FROM replaced_profiles WHERE replaced_at < $1 LIMIT 1000)";
    INSERT_PROBE = "INSERT INTO spent_flows (id, expires_at) VALUES ($1, $2)";
    DELETE_PROBE = "DELETE FROM spent_flows WHERE id = $1";
    DELETE_CHANGES = "DELETE FROM changes WHERE seq IN (SELECT seq FROM changes WHERE at < $1 LIMIT 1000)";
}

/// The most rows that one statement deletes, so that no transaction takes long.
const STEP: u64 = 1_000;

/// How long a job that was given up stays as a dead letter, so that `check` reports it.
const DEAD_JOBS_STAY: Duration = Duration::from_hours(24 * 7);

/// The result of one step of the clean-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// The number of deleted rows.
    pub deleted: u64,
    /// Whether there may be more rows to delete.
    pub is_more: bool,
}

/// Everything that expires by itself, children before parents.
const SWEEPS: &[&str] = &[
    DELETE_PARKED_FLOWS,
    // Nodes of the previous release still write these two.
    DELETE_PROVEN_FLOWS,
    DELETE_LINK_ATTEMPTS,
    DELETE_PASSWORD_LINKS,
    DELETE_MAIL_CODES,
    DELETE_CODES_OF_GRANTS,
    DELETE_REFRESH_TOKENS_OF_GRANTS,
    DELETE_GRANTS,
    DELETE_MAIL_COUNTS,
];

/// Rows that are deleted an hour after their end, children before parents. The delay means that a clock that runs an
/// hour ahead for a while neither ends what is still in use nor revives what was used. Sessions are deleted once they
/// have been unused for longer than they may idle, together with their grants without `offline_access`, which end with
/// them.
const LATER: &[&str] = &[
    DELETE_SPENT_FLOWS,
    DELETE_INTERACTIONS,
    DELETE_DEAD_TOKENS,
    DELETE_CODES,
    DELETE_CODES_OF_SESSIONS,
    DELETE_REFRESH_TOKENS_OF_SESSIONS,
    DELETE_GRANTS_OF_SESSIONS,
    DELETE_SESSIONS,
    DELETE_CHANGES,
];

/// Deletes up to a thousand rows of each kind that expired before `now`. Some rows are kept longer: sessions, codes,
/// interactions, changes, counted refusals and the marks of used or revoked things for an hour; guess counters and
/// finished jobs for two days after their last change; jobs that were given up for a week; jobs that no worker claimed for two
/// days after they stopped being useful; replaced profiles for sixty days, which is twice as long as they can be given
/// back. The table `mails` belongs to an earlier version, and nothing reads it any more.
pub async fn sweep(tx: &mut Tx, now: Timestamp) -> Result<Swept, StoreError> {
    let week = now.before(DEAD_JOBS_STAY).unix_micros();
    let days = now.before(Duration::from_hours(48)).unix_micros();
    let hour = now.before(Duration::from_hours(1));
    let sixty_days = now.before(UNDO_WINDOW * 2).unix_micros();
    let now = now.unix_micros();
    let expired = SWEEPS.iter().map(|statement| (*statement, now));
    let later = LATER.iter().map(|statement| (*statement, hour.unix_micros()));
    let kept_longer = [
        (DELETE_GUESSES, days),
        (DELETE_DONE_JOBS, days),
        (DELETE_DEAD_JOBS, week),
        (DELETE_FORGOTTEN_JOBS, days),
        (DELETE_MAILS, days),
        (DELETE_WAITING_MAILS, days),
        (DELETE_FLOODS, hour.unix_seconds().div_euclid(60)),
        (DELETE_REPLACED, sixty_days),
    ];
    let mut swept = Swept { deleted: 0, is_more: false };
    for (statement, before) in expired.chain(later).chain(kept_longer) {
        let deleted = execute_many!(tx, statement, before)?;
        swept.deleted += deleted;
        swept.is_more |= deleted >= STEP;
    }
    Ok(swept)
}

/// Writes a row and removes it again, in the caller's transaction: the commit shows whether the database accepts
/// writes. `mark` must be random, so that two nodes never wait for each other.
pub async fn probe_write(tx: &mut Tx, mark: &str, now: Timestamp) -> Result<(), StoreError> {
    execute!(tx, INSERT_PROBE, mark, now.unix_micros())?;
    execute!(tx, DELETE_PROBE, mark).map(drop)
}
