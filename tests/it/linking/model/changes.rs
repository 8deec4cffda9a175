//! The reference, where accounts change: confirming, unlinking, undoing.

use super::{Account, Attempt, BEGIN, Entry, Ident, LINK, Model, Moved, Profile, Side, UNDO, What};

impl Model {
    /// Confirms; whether both sides are linked. If not, what was proved is burned.
    pub fn confirm(
        &mut self,
        at: usize,
        browser: usize,
        keep: Option<Account>,
        local_of: Option<Account>,
    ) -> bool {
        if !self.waits(at, browser) {
            return false;
        }
        let attempt = self.attempts[at].clone();
        let Some(far) = attempt.far.clone() else { return false };
        self.attempts[at].alive = false;
        if !self.stands(&attempt, &far) {
            return false;
        }
        let signed_in = match (&attempt.near, &far) {
            (Side::New { ident, email, proved }, Side::Of { account, .. }) => {
                let joined = self.join(*account, *ident, email.clone());
                joined.map(|profile| (*account, (*ident, profile), *proved))
            }
            (Side::Of { account, ident, profile, proved }, Side::New { ident: new, email, .. }) => {
                let joined = self.join(*account, *new, email.clone());
                joined.map(|_| (*account, (*ident, *profile), *proved))
            }
            (Side::Of { account: near, .. }, Side::Of { account: other, .. }) => {
                let kept = keep.unwrap_or(*near);
                let gone = if kept == *near { *other } else { *near };
                let one_of_both = kept == *near || kept == *other;
                if one_of_both && self.merge(kept, gone, local_of.unwrap_or(kept), attempt.session) {
                    let left = |side: &Side| match side {
                        Side::Of { ident, profile, proved, .. } => {
                            let held = self.people[kept].profiles.get(ident);
                            let left = held.is_some_and(|held| held.serial == *profile);
                            left.then_some((kept, (*ident, *profile), *proved))
                        }
                        Side::New { .. } => None,
                    };
                    left(&attempt.near).or_else(|| left(&far))
                } else {
                    None
                }
            }
            (Side::New { .. }, Side::New { .. }) => None,
        };
        let Some((account, by, proved)) = signed_in else { return false };
        self.open_session(browser, account, by, proved);
        self.go_on(browser, &attempt, Side::Of { account, ident: by.0, profile: by.1, proved });
        true
    }

    /// Offers the next account, or goes back to the app.
    fn go_on(&mut self, browser: usize, attempt: &Attempt, near: Side) {
        let Some(account) = near.account() else { return };
        let in_time = self.now - (attempt.expires - LINK) <= BEGIN;
        if let (Some(app), Some((email, true)), true) = (attempt.app, &attempt.email, in_time)
            && !self.named(attempt.organization, &near, email).is_empty()
        {
            let session = self.sessions[browser].as_ref().map(|session| session.serial);
            let until = (attempt.expires, Some(app));
            self.begin(browser, attempt.organization, near, session, attempt.email.clone(), until);
        } else {
            self.pin(attempt.app, account);
        }
    }

    /// Whether everything that an attempt depends on is still there.
    fn stands(&self, attempt: &Attempt, far: &Side) -> bool {
        let session = self.current(attempt.browser).map(|session| session.serial);
        let signed_in = attempt.session.is_none() || attempt.session == session;
        let sides = [&attempt.near, far].into_iter().all(|side| match side {
            Side::New { ident, .. } => self.is_open(*ident),
            Side::Of { account, ident, profile, .. } => {
                let person = &self.people[*account];
                let held = person.profiles.get(ident).is_some_and(|held| held.serial == *profile);
                let open =
                    if *ident == Ident::Local { person.password.is_some() } else { self.is_open(*ident) };
                person.organization == attempt.organization && person.enabled && held && open
            }
        });
        signed_in && sides && self.linking[attempt.organization]
    }

    fn join(&mut self, account: Account, ident: Ident, email: super::Email) -> Option<usize> {
        let organization = self.people[account].organization;
        let issuer = self.issuer(ident)?;
        let full = self.people[account].profiles.len() >= 25;
        if full || self.issuers_of(account).contains(&issuer) || self.is_known(organization, ident) {
            return None;
        }
        let serial = self.serial();
        self.people[account].profiles.insert(ident, Profile { serial, email });
        self.write("linked", account, None, What::Linked(serial));
        Some(serial)
    }

    fn merge(&mut self, kept: Account, gone: Account, local_of: Account, here: Option<usize>) -> bool {
        let issuers = self.issuers_of(gone);
        if kept == gone || self.issuers_of(kept).iter().any(|issuer| issuers.contains(issuer)) {
            return false;
        }
        let local = |account: Account| self.people[account].profiles.contains_key(&Ident::Local);
        let (kept_local, gone_local) = (local(kept), local(gone));
        let swapped = gone_local && (!kept_local || local_of == gone);
        let ended = (kept_local && gone_local).then_some(if swapped { kept } else { gone });
        if let Some(ended) = ended {
            self.people[ended].profiles.remove(&Ident::Local);
            self.people[ended].password = None;
        }
        let profiles = std::mem::take(&mut self.people[gone].profiles);
        let moved: Vec<usize> = profiles.values().map(|profile| profile.serial).collect();
        self.people[kept].profiles.extend(profiles);
        if swapped {
            self.people[kept].password = self.people[gone].password.take();
            self.swap_usernames(kept, gone);
        }
        let roles = std::mem::take(&mut self.people[gone].roles);
        let gained = roles.difference(&self.people[kept].roles).cloned().collect();
        self.people[kept].roles.extend(roles.clone());
        let apps: Vec<usize> = self.pins.keys().filter(|(_, of)| *of == gone).map(|(app, _)| *app).collect();
        let pins: Vec<usize> = apps.into_iter().filter(|app| self.move_pin(*app, gone, kept)).collect();
        self.people[gone].merged_into = Some(kept);
        self.end_attempts(gone);
        if here.is_none() {
            self.end_attempts(kept);
        }
        self.end_sessions(|session| session.account == gone);
        self.end_sessions(|session| session.account == kept && Some(session.serial) != here);
        let moved = Moved { profiles: moved, pins, roles, gained, ended, swapped };
        self.write("merged", kept, Some(gone), What::Merged(moved));
        true
    }

    fn swap_usernames(&mut self, one: Account, two: Account) {
        let name = self.people[one].username.take();
        self.people[one].username = self.people[two].username.take();
        self.people[two].username = name;
    }

    fn move_pin(&mut self, app: usize, from: Account, to: Account) -> bool {
        if self.pins.contains_key(&(app, to)) {
            return false;
        }
        match self.pins.remove(&(app, from)) {
            Some(subject) => self.pins.insert((app, to), subject).is_none(),
            None => false,
        }
    }

    /// Takes a profile away from the account that is signed in.
    pub fn unlink(&mut self, browser: usize, ident: Ident) -> bool {
        let Some(account) = self.current(browser).map(|session| session.account) else { return false };
        let is_reachable = self.usable(account).iter().any(|held| *held != ident);
        if !is_reachable {
            return false;
        }
        let person = &mut self.people[account];
        let Some(gone) = person.profiles.remove(&ident) else { return false };
        let serial = gone.serial;
        if ident == Ident::Local {
            person.password = None;
        }
        self.end_sessions(|session| session.account == account && session.profile == gone.serial);
        self.write("unlinked", account, None, What::Unlinked(ident, serial));
        true
    }

    /// Undoes an entry. `own` is the browser of the user who asks for it, if it is not the operator.
    pub fn undo(&mut self, at: usize, own: Option<usize>) -> bool {
        let entry = self.ledger[at].clone();
        let asks = own.map(|browser| self.current(browser).map(|session| session.account));
        let is_own = asks.is_none_or(|account| account == Some(entry.account));
        let undone = self.ledger.iter().any(|other| other.undoes == Some(at));
        if !is_own || undone || self.now >= entry.at + UNDO {
            return false;
        }
        let done = match &entry.what {
            What::Linked(serial) => self.take_off(entry.account, *serial),
            What::Merged(moved) => self.split(at, &entry, moved),
            What::Unlinked(..) | What::Other => false,
        };
        if done {
            let both = [Some(entry.account), entry.other];
            self.end_sessions(|session| {
                both.contains(&Some(session.account))
                    && (session.created >= entry.at || session.proved >= entry.at)
            });
            if let Some(browser) = own {
                self.sessions[browser] = None;
            }
            self.write("undone", entry.account, entry.other, What::Other);
            self.ledger.last_mut().unwrap().undoes = Some(at);
        }
        done
    }

    fn take_off(&mut self, account: Account, serial: usize) -> bool {
        let person = &mut self.people[account];
        let has = person.profiles.values().any(|profile| profile.serial == serial);
        if !has || person.profiles.len() < 2 {
            return false;
        }
        person.profiles.retain(|_, profile| profile.serial != serial);
        self.end_sessions(|session| session.account == account && session.profile == serial);
        true
    }

    /// What came with a merge, was unlinked since, and belongs to no account: the identities, and whether a password's
    /// profile is among them.
    fn unlinked_since(&self, at: usize, entry: &Entry, moved: &Moved) -> (Vec<(Ident, usize)>, bool) {
        let since = self.ledger.iter().skip(at + 1).filter(|later| later.account == entry.account);
        let gone: Vec<(Ident, usize)> = since
            .filter_map(|later| match later.what {
                What::Unlinked(ident, serial) if moved.profiles.contains(&serial) => Some((ident, serial)),
                _ => None,
            })
            .collect();
        let local = gone.iter().any(|(ident, _)| *ident == Ident::Local);
        let organization = self.people[entry.account].organization;
        let free = |ident: Ident| ident != Ident::Local && !self.is_known(organization, ident);
        (gone.into_iter().filter(|(ident, _)| free(*ident)).collect(), local)
    }

    fn split(&mut self, at: usize, entry: &Entry, moved: &Moved) -> bool {
        let (kept, Some(back)) = (entry.account, entry.other) else { return false };
        let names = |moved: &Moved| moved.swapped || moved.ended.is_some();
        let overlaid = self.ledger.iter().enumerate().skip(at + 1).any(|(number, later)| {
            let undone = self.ledger.iter().any(|other| other.undoes == Some(number));
            later.account == kept && !undone && matches!(&later.what, What::Merged(later) if names(later))
        });
        let comes_back = |profile: &Profile| moved.profiles.contains(&profile.serial);
        let here = &self.people[kept].profiles;
        let coming = here.values().filter(|profile| comes_back(profile)).count();
        let (restored_at, restores_local) = self.unlinked_since(at, entry, moved);
        let restored =
            moved.ended.into_iter().filter(|ended| *ended == back || !has_local(here, moved)).count();
        let stays = here.len() - coming + usize::from(moved.ended == Some(kept)).min(restored);
        let gone = self.people[back].merged_into != Some(kept) || self.people[kept].merged_into.is_some();
        if gone
            || (names(moved) && overlaid)
            || coming + restored_at.len() + usize::from(restores_local || moved.ended == Some(back)) == 0
            || stays == 0
        {
            return false;
        }
        self.people[back].merged_into = None;
        let all = std::mem::take(&mut self.people[kept].profiles);
        let (coming, staying): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(_, profile)| comes_back(profile));
        if coming.iter().any(|(ident, _)| *ident == Ident::Local) {
            self.people[back].password = self.people[kept].password.take();
        }
        self.people[back].profiles = coming.into_iter().collect();
        for (ident, serial) in restored_at {
            self.people[back].profiles.insert(ident, Profile { serial, email: None });
        }
        if restores_local {
            let serial = self.serial();
            self.people[back].profiles.insert(Ident::Local, Profile { serial, email: None });
        }
        if !self.people[kept].enabled {
            self.people[back].enabled = false;
        }
        self.people[kept].profiles = staying.into_iter().collect();
        self.end_sessions(|session| session.account == kept && moved.profiles.contains(&session.profile));
        if let Some(ended) = moved.ended {
            let serial = self.serial();
            let restored = Profile { serial, email: None };
            self.people[ended].profiles.entry(Ident::Local).or_insert(restored);
        }
        if moved.swapped {
            self.swap_usernames(kept, back);
        }
        for app in &moved.pins {
            self.move_pin(*app, kept, back);
        }
        // Authority comes back only where it is still there.
        let given = moved.roles.intersection(&self.people[kept].roles).cloned().collect::<Vec<_>>();
        self.people[back].roles.extend(given);
        self.people[kept].roles.retain(|role| !moved.gained.contains(role));
        true
    }
}

/// Whether a local profile stays at the account when what was moved goes.
fn has_local(held: &std::collections::BTreeMap<Ident, Profile>, moved: &Moved) -> bool {
    held.get(&Ident::Local).is_some_and(|local| !moved.profiles.contains(&local.serial))
}
