//! Compares the database with the reference.

use countersign::model::AccountId;

use super::super::model::{Email, Ident};
use super::{Walk, client_of};

/// What the database has, by the same names as the reference.
const DUMP: [&str; 5] = [
    "SELECT 'account|' || a.id || '|' || CASE WHEN a.enabled THEN '1' ELSE '0' END || '|' || COALESCE(a.merged_into, '') \
     || '|' || CAST(a.profile_count AS TEXT) || '|' || COALESCE(a.username, '') || '|' || COALESCE(a.email, '') || '|' \
     || CASE WHEN a.email_verified THEN '1' ELSE '0' END || '|' \
     || CASE WHEN EXISTS (SELECT 1 FROM passwords w WHERE w.account_id = a.id) THEN '1' ELSE '0' END || '|' \
     || COALESCE((SELECT string_agg(r.role, ' ' ORDER BY r.role) FROM account_roles r WHERE r.account_id = a.id), '') \
     FROM accounts a",
    "SELECT 'profile|' || account_id || '|' || COALESCE(connection_id, 'local') || '|' \
     || CASE WHEN connection_id IS NULL THEN '' ELSE subject END || '|' || COALESCE(email, '') || '|' \
     || CASE WHEN email_verified THEN '1' ELSE '0' END FROM profiles",
    "SELECT 'session|' || s.account_id || '|' || COALESCE(p.connection_id, 'local') || '|' \
     || CASE WHEN p.connection_id IS NULL THEN '' ELSE p.subject END \
     FROM sessions s LEFT JOIN profiles p ON p.id = s.profile_id WHERE s.ended_at IS NULL",
    "SELECT 'subject|' || p.client_id || '|' || s.account_id || '|' || s.subject FROM subjects s JOIN apps p ON p.id = s.app_id",
    "SELECT 'ledger|' || id || '|' || kind || '|' || account_id || '|' || COALESCE(other_account_id, '') || '|' \
     || COALESCE(undoes, '') FROM link_ledger",
];

impl Walk {
    /// What is in the database, and what the reference has, by the same names.
    pub(super) async fn compare(&mut self, after: &str) {
        let order = "SELECT id FROM accounts ORDER BY created_at, id";
        for id in self.rows.texts(order).await {
            let id: AccountId = id.parse().unwrap();
            if !self.accounts.contains(&id) {
                self.accounts.push(id);
            }
        }
        for (number, id) in self.accounts.iter().enumerate() {
            self.names.insert(id.to_string(), format!("a{number}"));
        }
        let all = "SELECT id FROM link_ledger ORDER BY at, id";
        self.entries = self.rows.texts(all).await.iter().map(|id| id.parse().unwrap()).collect();
        for (number, id) in self.entries.iter().enumerate() {
            self.names.insert(id.to_string(), format!("e{number}"));
        }
        let mut found = Vec::new();
        for sql in DUMP {
            let mut lines = self.rows.texts(sql).await;
            for line in &mut lines {
                let words = line.split('|').map(|word| self.names.get(word).map_or(word, String::as_str));
                *line = words.collect::<Vec<_>>().join("|");
            }
            found.extend(lines);
        }
        let (mut expected, mut known) = (self.expected(), found.clone());
        expected.sort();
        known.sort();
        let missing: Vec<_> = expected.iter().filter(|line| !known.contains(line)).collect();
        let surplus: Vec<_> = known.iter().filter(|line| !expected.contains(line)).collect();
        assert!(expected == known, "after {after}: the database lacks {missing:#?} and has {surplus:#?}");
        self.rows.assert_sound().await;
        self.assert_names_stay();
        let profiles = "SELECT id || '|' || account_id || '|' || COALESCE(connection_id, '') || '|' || subject FROM profiles";
        self.profiles.clear();
        for line in self.rows.texts(profiles).await {
            let words: Vec<&str> = line.split('|').collect();
            let account = self.accounts.iter().position(|id| id.to_string() == words[1]).unwrap();
            let ident = match self.names.get(words[2]).and_then(|name| name.split_once('.')) {
                Some((organization, at)) => {
                    let subject = words[3].strip_prefix('s').unwrap();
                    Ident::At(organization.parse().unwrap(), at.parse().unwrap(), subject.parse().unwrap())
                }
                None => Ident::Local,
            };
            self.profiles.insert((account, ident), words[0].parse().unwrap());
        }
    }

    /// The rows that the reference expects.
    pub(super) fn expected(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let ident = |ident: Ident| match ident {
            Ident::Local => "local|".to_owned(),
            Ident::At(organization, at, subject) => format!("{organization}.{at}|s{subject}"),
        };
        let mail = |email: &Email| match email {
            Some((email, proven)) => format!("{email}|{}", u8::from(*proven)),
            None => "|0".to_owned(),
        };
        for (number, person) in self.model.people.iter().enumerate() {
            let merged = person.merged_into.map(|into| format!("a{into}")).unwrap_or_default();
            let roles: Vec<&str> = person.roles.iter().map(String::as_str).collect();
            lines.push(format!(
                "account|a{number}|{}|{merged}|{}|{}|{}|{}|{}",
                u8::from(person.enabled),
                person.profiles.len(),
                person.username.as_deref().unwrap_or_default(),
                mail(&person.email),
                u8::from(person.password.is_some()),
                roles.join(" "),
            ));
            for (held, profile) in &person.profiles {
                lines.push(format!("profile|a{number}|{}|{}", ident(*held), mail(&profile.email)));
            }
        }
        for session in self.model.sessions.iter().flatten() {
            lines.push(format!("session|a{}|{}", session.account, ident(session.by)));
        }
        for ((app, account), subject) in &self.model.pins {
            lines.push(format!("subject|{}|a{account}|a{subject}", client_of(*app)));
        }
        for (number, entry) in self.model.ledger.iter().enumerate() {
            let other = entry.other.map(|other| format!("a{other}")).unwrap_or_default();
            let undoes = entry.undoes.map(|undoes| format!("e{undoes}")).unwrap_or_default();
            lines.push(format!("ledger|e{number}|{}|a{}|{other}|{undoes}", entry.kind, entry.account));
        }
        lines
    }

    /// The subject under which an app knows an account is that account's id, or that of an account that was merged
    /// into it: no other account ever has it.
    pub(super) fn assert_names_stay(&self) {
        let stands_for = |mut account: usize| {
            while let Some(into) = self.model.people[account].merged_into {
                account = into;
            }
            account
        };
        for ((app, account), subject) in &self.model.pins {
            assert_eq!(
                stands_for(*account),
                stands_for(*subject),
                "{} has somebody else's name",
                client_of(*app)
            );
        }
    }
}
