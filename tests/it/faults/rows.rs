//! What must be true for the database after any fault.

use crate::harness::database::TestDatabase;

/// Pairs of things that are written in one transaction or not at all: their numbers are equal. (Codes that are not
/// redeemed are removed after a while, with their grants.)
const EQUAL: [(&str, &str); 7] = [
    ("sessions", "audit WHERE action = 'sign_in' AND outcome = 'success'"),
    (
        "audit WHERE action = 'authorize' AND outcome = 'success'",
        "audit WHERE action = 'sign_in' AND outcome = 'success'",
    ),
    ("codes", "grants"),
    ("codes WHERE used_at IS NOT NULL", "audit WHERE action = 'token.code' AND outcome = 'success'"),
    ("refresh_tokens", "audit WHERE action IN ('token.code', 'token.refresh') AND outcome = 'success'"),
    (
        "refresh_tokens WHERE used_at IS NOT NULL",
        "audit WHERE action = 'token.refresh' AND outcome = 'success'",
    ),
    ("profiles WHERE issuer <> 'local'", "audit WHERE action = 'account.create' AND outcome = 'success'"),
];

/// Things that must not be.
const NONE: [&str; 3] = [
    "(SELECT receipt FROM audit WHERE action = 'sign_in' AND outcome = 'success' GROUP BY receipt \
     HAVING COUNT(*) > 1) AS doubled",
    "(SELECT receipt FROM audit WHERE action = 'authorize' AND outcome = 'success' GROUP BY receipt \
     HAVING COUNT(*) > 1) AS doubled",
    "(SELECT account_id FROM profiles GROUP BY account_id, issuer, subject HAVING COUNT(*) > 1) AS doubled",
];

/// No half rows, nothing doubled, exactly one record for each decision.
pub async fn assert_whole(database: &TestDatabase) {
    for (left, right) in EQUAL {
        let counts = database.count_rows(&[left, right]).await;
        assert_eq!(counts[left], counts[right], "{left} and {right}");
    }
    let counts = database.count_rows(&NONE).await;
    assert!(counts.values().all(|count| *count == 0), "{counts:?}");
}
