//! Merges of two accounts: the plan for what moves and ends, and for what an undo gives back, which is identities and
//! never authority.

use super::LinkRefusal;
use crate::model::{AccountId, Moved, ProfileId, Role};

/// One of the two accounts of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// The account.
    pub account: AccountId,
    /// Its roles.
    pub roles: Vec<Role>,
    /// Its local profile.
    pub local: Option<ProfileId>,
    /// Its other profiles.
    pub external: Vec<ProfileId>,
    /// Whether it is a break-glass account.
    pub break_glass: bool,
}

/// The effect of a merge on profiles and roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Everything that moves and ends. Subjects and consents are added when the merge is carried out.
    pub moved: Moved,
    /// The local profile that ends, with its password.
    pub ended_local: Option<ProfileId>,
    /// Whether the password of the merged account moves together with its local profile.
    pub moves_password: bool,
}

/// Plans a merge of `other` into `kept`. Where both accounts have a username and password, those of the account
/// `local_of` stay. Where only one has them, they stay.
pub fn plan(kept: &Party, other: &Party, local_of: AccountId) -> Result<Plan, LinkRefusal> {
    // An organization counts the break-glass accounts that have a password, so a merge must not remove one unnoticed.
    if other.break_glass || (kept.break_glass && local_of != kept.account && other.local.is_some()) {
        return Err(LinkRefusal::Emergency);
    }
    let other_stays = other.local.is_some() && (kept.local.is_none() || local_of == other.account);
    let (ended_local, ended_of) = match (kept.local, other.local) {
        (Some(ended), Some(_)) if other_stays => (Some(ended), Some(kept.account)),
        (Some(_), Some(ended)) => (Some(ended), Some(other.account)),
        _ => (None, None),
    };
    let mut profiles = other.external.clone();
    profiles.extend(other.local.filter(|_| other_stays));
    let gained = other.roles.iter().copied().filter(|role| !kept.roles.contains(role)).collect();
    Ok(Plan {
        moved: Moved {
            profiles,
            subjects: Vec::new(),
            consents: Vec::new(),
            roles: other.roles.clone(),
            gained,
            ended_local: ended_of,
            swapped_usernames: other_stays,
        },
        ended_local,
        moves_password: other_stays,
    })
}

/// The roles of both accounts after a merge is undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolesAfterUndo {
    /// Those of the kept account.
    pub kept: Vec<Role>,
    /// Those of the account that comes back.
    pub returned: Vec<Role>,
}

/// The roles of both accounts after a merge is undone. `now` are those of the kept account before that; a role that it
/// has lost since the merge stays lost.
pub fn roles_after_undo(now: &[Role], moved: &Moved) -> RolesAfterUndo {
    let kept = now.iter().copied().filter(|role| !moved.gained.contains(role)).collect();
    let returned = moved.roles.iter().copied().filter(|role| now.contains(role)).collect();
    RolesAfterUndo { kept, returned }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party(number: u8, roles: &[Role], local: bool) -> Party {
        let profile = |index: u8| {
            let mut bytes = [number; 16];
            bytes[15] = index;
            ProfileId::from_bytes(bytes)
        };
        Party {
            account: AccountId::from_bytes([number; 16]),
            roles: roles.to_vec(),
            local: local.then(|| profile(0)),
            external: vec![profile(1)],
            break_glass: false,
        }
    }

    #[test]
    fn of_two_local_profiles_one_stays_as_the_person_chose() {
        let (kept, other) = (party(1, &[], true), party(2, &[], true));
        let keeps_own = plan(&kept, &other, kept.account).unwrap();
        assert_eq!(keeps_own.ended_local, other.local);
        assert_eq!(keeps_own.moved.ended_local, Some(other.account));
        assert_eq!(keeps_own.moved.profiles, other.external);
        assert!(!keeps_own.moves_password && !keeps_own.moved.swapped_usernames);
        let takes_other = plan(&kept, &other, other.account).unwrap();
        assert_eq!(takes_other.ended_local, kept.local);
        assert_eq!(takes_other.moved.ended_local, Some(kept.account));
        assert_eq!(takes_other.moved.profiles, [other.external[0], other.local.unwrap()]);
        assert!(takes_other.moves_password && takes_other.moved.swapped_usernames);
    }

    #[test]
    fn a_single_local_profile_stays_whatever_was_chosen() {
        for (kept_local, other_local) in [(true, false), (false, true), (false, false)] {
            let (kept, other) = (party(1, &[], kept_local), party(2, &[], other_local));
            for chosen in [kept.account, other.account] {
                let plan = plan(&kept, &other, chosen).unwrap();
                assert_eq!(plan.ended_local, None);
                assert_eq!(plan.moves_password, other_local);
                assert_eq!(plan.moved.profiles.len(), 1 + usize::from(other_local));
            }
        }
    }

    #[test]
    fn an_account_that_an_emergency_needs_does_not_go() {
        let (kept, mut other) = (party(1, &[], true), party(2, &[], true));
        other.break_glass = true;
        assert_eq!(plan(&kept, &other, kept.account), Err(LinkRefusal::Emergency));
        // Nor does a merge end the password of a break-glass account when that account stays.
        assert!(plan(&other, &kept, other.account).is_ok());
        assert_eq!(plan(&other, &kept, kept.account), Err(LinkRefusal::Emergency));
    }

    #[test]
    fn undoing_gives_no_authority_that_was_lost_meanwhile() {
        use Role::{Administrator, Auditor, Member, Owner};
        let (kept, other) = (party(1, &[Member, Auditor], false), party(2, &[Member, Administrator], false));
        let moved = plan(&kept, &other, kept.account).unwrap().moved;
        assert_eq!(moved.gained, [Administrator]);
        for (now, kept, returned) in [
            // No role changed in between: each account has its former roles.
            (vec![Member, Auditor, Administrator], vec![Member, Auditor], vec![Member, Administrator]),
            // A role that was taken from the merged account is gone for both.
            (vec![Member, Auditor], vec![Member, Auditor], vec![Member]),
            // A role that was added in between stays with the kept account, and the other account does not get it.
            (vec![Member, Owner, Administrator], vec![Member, Owner], vec![Member, Administrator]),
            (vec![], vec![], vec![]),
        ] {
            assert_eq!(roles_after_undo(&now, &moved), RolesAfterUndo { kept, returned }, "{now:?}");
        }
    }
}
