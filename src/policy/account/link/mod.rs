//! The rules of linking: which accounts and identities may be linked, and which profiles a page offers. The
//! constraints of the database hold the same rules (`0002_accounts.sql`); here they have names, so that a refusal can
//! tell the user what to do.

pub mod merge;
pub mod replacement;

use serde_json::{Map, Value};

use crate::model::{
    AccountId, Identity, LedgerEntry, MAX_PROFILES, ProfileId, Timestamp, UNDO_WINDOW, Wanted,
};

/// Until when a user may undo an entry of the ledger; `None` if they may not.
pub fn undo_until(entry: &LedgerEntry, was_undone: bool, now: Timestamp) -> Option<Timestamp> {
    let until = entry.at.after(UNDO_WINDOW);
    (entry.kind.can_be_undone() && !was_undone && now < until).then_some(until)
}

/// An account as linking sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The account.
    pub account: AccountId,
    /// Whether it is enabled.
    pub enabled: bool,
    /// Its profiles.
    pub profiles: Vec<HeldProfile>,
}

/// One profile of a [`Holder`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldProfile {
    /// The profile.
    pub id: ProfileId,
    /// Its identity provider (the token's `iss`); `None` is username and password.
    pub issuer: Option<String>,
    /// Whether the user can sign in with it now: its connection is enabled, or its password is set and allowed.
    pub usable: bool,
}

impl HeldProfile {
    /// Whether it is a password that can be typed now.
    const fn is_password(&self) -> bool {
        self.issuer.is_none() && self.usable
    }
}

impl Holder {
    /// Whether the user could still sign in if the account lost `profile`.
    pub fn is_reachable_without(&self, profile: ProfileId) -> bool {
        self.profiles.iter().any(|other| other.id != profile && other.usable)
    }
}

/// The one to be joined with an account.
#[derive(Debug, Clone, Copy)]
pub enum Newcomer<'a> {
    /// An identity of this identity provider that belongs to no account.
    Identity(&'a str),
    /// Another account.
    Account(&'a Holder),
}

/// Why two sides are not linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkRefusal {
    /// The organization allows no new links.
    Off,
    /// Both sides are the same account already.
    SameAccount,
    /// The account is disabled.
    Disabled,
    /// Both sides have a profile of the same identity provider.
    SameProvider,
    /// There would be more profiles than an account may have.
    Full,
    /// Neither side is an account.
    NoAccount,
    /// The user proved another profile than the chosen one.
    WrongProfile,
    /// The account that would end is a break-glass account.
    Emergency,
}

/// Whether `newcomer` may become part of the account `holder`. Where both have a local profile, one of the two ends,
/// so they count as one.
pub fn may_join(newcomer: Newcomer<'_>, holder: &Holder) -> Result<(), LinkRefusal> {
    if !holder.enabled {
        return Err(LinkRefusal::Disabled);
    }
    let has = |issuer: &str| holder.profiles.iter().any(|held| held.issuer.as_deref() == Some(issuer));
    let has_local = |holder: &Holder| holder.profiles.iter().any(|held| held.issuer.is_none());
    let more = match newcomer {
        Newcomer::Identity(issuer) if has(issuer) => return Err(LinkRefusal::SameProvider),
        Newcomer::Identity(_) => 1,
        Newcomer::Account(other) if other.account == holder.account => return Err(LinkRefusal::SameAccount),
        Newcomer::Account(other) if !other.enabled => return Err(LinkRefusal::Disabled),
        Newcomer::Account(other) => {
            if other.profiles.iter().filter_map(|held| held.issuer.as_deref()).any(has) {
                return Err(LinkRefusal::SameProvider);
            }
            other.profiles.len() - usize::from(has_local(other) && has_local(holder))
        }
    };
    let most = usize::try_from(MAX_PROFILES).unwrap_or(0);
    if holder.profiles.len() + more > most { Err(LinkRefusal::Full) } else { Ok(()) }
}

/// An account that shares the newcomer's email.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharer {
    /// The account.
    pub holder: Holder,
    /// Whether the email is proven on its side too: the operator declared it, or an identity provider that vouches for
    /// its domain did.
    pub proven: bool,
}

/// The offer of the page to a user at their first sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer {
    /// Nothing: the sign-in goes on.
    Nothing,
    /// These profiles, of these accounts.
    Named(Vec<(AccountId, ProfileId)>),
    /// To sign in with an account that the user already has. The page names none, because the email is unproven on one
    /// of the two sides.
    Unnamed,
}

impl Offer {
    /// Whether a page is due.
    pub fn is_due(&self) -> bool {
        *self != Self::Nothing
    }
}

/// Decides what to offer to `newcomer`. Its email is proven (`Some(true)`), unproven (`Some(false)`) or unknown
/// (`None`); `sharers` are the accounts with the same email. For an unproven email the answer must not depend on who
/// has it.
///
/// An account is named only if the email is proven on its own side too: anyone could have created an account with
/// somebody else's address. Where such an account has a password, the user may type it to show that the account is
/// theirs; the page does not tell them which account it is.
pub fn offer(linking: bool, email_proven: Option<bool>, newcomer: Newcomer<'_>, sharers: &[Sharer]) -> Offer {
    match (linking, email_proven) {
        (false, _) | (_, None) => Offer::Nothing,
        (true, Some(false)) => Offer::Unnamed,
        (true, Some(true)) => {
            let fitting = || sharers.iter().filter(|sharer| may_join(newcomer, &sharer.holder).is_ok());
            let named: Vec<_> = fitting()
                .filter(|sharer| sharer.proven)
                .flat_map(|Sharer { holder, .. }| {
                    let usable = holder.profiles.iter().filter(|held| held.usable);
                    usable.map(|held| (holder.account, held.id))
                })
                .collect();
            let has_password = |sharer: &Sharer| sharer.holder.profiles.iter().any(HeldProfile::is_password);
            match (named.is_empty(), fitting().any(has_password)) {
                (false, _) => Offer::Named(named),
                (true, true) => Offer::Unnamed,
                (true, false) => Offer::Nothing,
            }
        }
    }
}

/// Whether the user proved the side that was `wanted`. `proved` is `None` for an identity that belongs to no account.
pub fn fits(wanted: Wanted, proved: Option<ProfileId>) -> Result<(), LinkRefusal> {
    match (wanted, proved) {
        (Wanted::Any, _) => Ok(()),
        (Wanted::Profile(wanted), Some(proved)) if wanted == proved => Ok(()),
        (Wanted::Profile(_) | Wanted::Nothing, _) => Err(LinkRefusal::WrongProfile),
    }
}

/// The claims by which an identity may be expected: those that no user can change, and the email, if it is proven.
pub const EXPECTED_CLAIMS: [&str; 3] = ["sub", "oid", "email"];

/// The value of a claim by which an identity may be expected; `None` if the identity does not have it.
pub fn expected_value(claim: &str, identity: &Identity, claims: &Map<String, Value>) -> Option<String> {
    match claim {
        "sub" => Some(identity.subject.clone()),
        "email" => {
            let proven = identity.email.as_ref().filter(|_| identity.email_verified);
            proven.map(|email| email.canonical().to_owned())
        }
        "oid" => claims.get("oid").and_then(Value::as_str).map(str::to_owned),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn account(number: u8) -> AccountId {
        AccountId::from_bytes([number; 16])
    }

    fn profile(number: u8, index: u8) -> ProfileId {
        let mut bytes = [number; 16];
        bytes[15] = index;
        ProfileId::from_bytes(bytes)
    }

    /// An account with these profiles; `-` stands for the local one.
    fn holder(number: u8, issuers: &[&str]) -> Holder {
        let profiles = (0..).zip(issuers).map(|(index, issuer)| HeldProfile {
            id: profile(number, index),
            issuer: (*issuer != "-").then(|| (*issuer).to_owned()),
            usable: true,
        });
        Holder { account: account(number), enabled: true, profiles: profiles.collect() }
    }

    fn sharer(holder: Holder, proven: bool) -> Sharer {
        Sharer { holder, proven }
    }

    fn many(number: u8, prefix: &str, amount: usize) -> Holder {
        let issuers: Vec<String> = (0..amount).map(|n| format!("{prefix}{n}")).collect();
        holder(number, &issuers.iter().map(String::as_str).collect::<Vec<_>>())
    }

    #[test]
    fn an_identity_joins_what_has_room_and_none_of_its_provider() {
        let disabled = Holder { enabled: false, ..holder(1, &["-"]) };
        for (issuer, holder, expected) in [
            ("okta", holder(1, &["-"]), Ok(())),
            ("okta", holder(1, &["-", "entra"]), Ok(())),
            ("okta", holder(1, &["entra", "okta"]), Err(LinkRefusal::SameProvider)),
            ("okta", many(1, "i", 24), Ok(())),
            ("okta", many(1, "i", 25), Err(LinkRefusal::Full)),
            ("i3", many(1, "i", 25), Err(LinkRefusal::SameProvider)),
            ("okta", disabled, Err(LinkRefusal::Disabled)),
        ] {
            assert_eq!(may_join(Newcomer::Identity(issuer), &holder), expected, "{issuer} {holder:?}");
        }
    }

    #[test]
    fn accounts_join_when_no_provider_is_in_both_and_25_hold_them() {
        let disabled = Holder { enabled: false, ..holder(2, &["-"]) };
        for (other, kept, expected) in [
            (holder(2, &["okta"]), holder(1, &["-"]), Ok(())),
            (holder(2, &["okta"]), holder(1, &["okta"]), Err(LinkRefusal::SameProvider)),
            // One of the two passwords ends.
            (holder(2, &["-"]), holder(1, &["-"]), Ok(())),
            (holder(1, &["-"]), holder(1, &["-"]), Err(LinkRefusal::SameAccount)),
            (disabled, holder(1, &["-"]), Err(LinkRefusal::Disabled)),
            (many(2, "a", 12), many(1, "b", 13), Ok(())),
            (many(2, "a", 13), many(1, "b", 13), Err(LinkRefusal::Full)),
        ] {
            assert_eq!(may_join(Newcomer::Account(&other), &kept), expected, "{other:?} {kept:?}");
        }
        // 13 and 13 profiles, of which two are local, make 25.
        let mut one = many(1, "a", 12);
        let mut two = many(2, "b", 12);
        one.profiles.push(HeldProfile { id: profile(1, 99), issuer: None, usable: true });
        two.profiles.push(HeldProfile { id: profile(2, 99), issuer: None, usable: true });
        assert_eq!(may_join(Newcomer::Account(&two), &one), Ok(()));
    }

    #[test]
    fn only_a_proven_email_learns_who_shares_it() {
        let okta = Newcomer::Identity("okta");
        let carol = [sharer(holder(1, &["-", "entra"]), true)];
        let named = Offer::Named(vec![(account(1), profile(1, 0)), (account(1), profile(1, 1))]);
        for (linking, proven, sharers, expected) in [
            (true, Some(true), carol.as_slice(), named),
            (true, Some(true), &[], Offer::Nothing),
            (false, Some(true), &carol, Offer::Nothing),
            // The answer is the same whether or not an account has the email.
            (true, Some(false), &carol, Offer::Unnamed),
            (true, Some(false), &[], Offer::Unnamed),
            (false, Some(false), &carol, Offer::Nothing),
            (true, None, &carol, Offer::Nothing),
        ] {
            assert_eq!(offer(linking, proven, okta, sharers), expected, "{linking} {proven:?}");
        }
    }

    #[test]
    fn what_cannot_be_linked_or_cannot_sign_in_is_not_offered() {
        let mut unusable = holder(1, &["-", "entra"]);
        unusable.profiles[0].usable = false;
        let sharers =
            [unusable, holder(2, &["okta", "-"]), many(3, "x", 25)].map(|holder| sharer(holder, true));
        let offered = offer(true, Some(true), Newcomer::Identity("okta"), &sharers);
        assert_eq!(offered, Offer::Named(vec![(account(1), profile(1, 1))]));
    }

    #[test]
    fn an_account_whose_own_side_proves_nothing_is_never_named() {
        let okta = Newcomer::Identity("okta");
        let mut no_password = holder(4, &["-", "entra"]);
        no_password.profiles[0].usable = false;
        let with_password = || sharer(holder(1, &["-", "entra"]), false);
        let without = || sharer(holder(2, &["entra"]), false);
        let proven = || sharer(holder(3, &["entra"]), true);
        let named = || Offer::Named(vec![(account(3), profile(3, 0))]);
        for (name, sharers, expected) in [
            ("nothing proves it, and nothing can be typed", vec![without()], Offer::Nothing),
            ("a password can be typed", vec![with_password()], Offer::Unnamed),
            ("a password that does not work", vec![sharer(no_password, false)], Offer::Nothing),
            ("both", vec![without(), with_password()], Offer::Unnamed),
            ("beside one that is proven", vec![with_password(), proven(), without()], named()),
            ("one of the same provider", vec![sharer(holder(5, &["-", "okta"]), false)], Offer::Nothing),
        ] {
            assert_eq!(offer(true, Some(true), okta, &sharers), expected, "{name}");
        }
    }

    #[test]
    fn only_a_way_that_works_keeps_an_account_reachable() {
        let mut half = holder(1, &["-", "entra"]);
        half.profiles[1].usable = false;
        for (holder, without, expected) in [
            (holder(1, &["-"]), 0, false),
            (holder(1, &["-", "entra"]), 0, true),
            (holder(1, &["-", "entra"]), 1, true),
            (half.clone(), 0, false),
            (half, 1, true),
        ] {
            assert_eq!(holder.is_reachable_without(profile(1, without)), expected, "{holder:?} {without}");
        }
    }

    #[test]
    fn another_profile_than_the_chosen_one_proves_nothing() {
        let (chosen, other) = (profile(1, 0), profile(1, 1));
        for (wanted, proved, fit) in [
            (Wanted::Profile(chosen), Some(chosen), true),
            (Wanted::Profile(chosen), Some(other), false),
            (Wanted::Profile(chosen), None, false),
            (Wanted::Any, Some(other), true),
            (Wanted::Any, None, true),
            (Wanted::Nothing, Some(chosen), false),
            (Wanted::Nothing, None, false),
        ] {
            assert_eq!(fits(wanted, proved).is_ok(), fit, "{wanted:?} {proved:?}");
        }
    }
}
