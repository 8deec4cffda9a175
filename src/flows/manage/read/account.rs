//! An account in a file of `apply`: its names, its password, and the identity that it is kept for.

use crate::crypto::password::check_phc;
use crate::flows::manage::document::{WantedAccount, WantedIdentity, WantedPassword, WantedSecret};
use crate::flows::manage::read::{Rules, not_an_id, secret};
use crate::model::{Contact, Email, Role, Username, is_like_an_id};
use crate::policy::account::link::EXPECTED_CLAIMS;
use crate::policy::account::password::broken_rules;
use crate::protocol::document::{Complaint, Table};

pub(super) fn account(table: Table<'_>, rules: Rules) -> Option<WantedAccount> {
    let password = password(&table, rules);
    let roles = roles(&table);
    let id = table.parsed("id");
    let username: Option<Username> = table.required_parsed("username");
    if username.as_ref().is_some_and(|name| is_like_an_id(name.as_str())) {
        table.refuse("username", not_an_id("username"));
    }
    let email = table.parsed("email");
    let email_verified = table.or("email_verified", false);
    let contact = Contact {
        name: table.optional("name"),
        given_name: table.optional("given_name"),
        family_name: table.optional("family_name"),
        phone: table.optional("phone"),
    };
    let enabled = table.or("enabled", true);
    let break_glass = table.or("break_glass", false);
    let expects = table.table("expects").and_then(expected_identity);
    if expects.is_some() && password.is_some() {
        let what = "who has a password can sign in already, so nobody is expected";
        table.refuse("expects", Complaint::with_remedy(what, "remove the password or expects"));
    }
    table.finish();
    Some(WantedAccount {
        id,
        username: username?,
        email,
        email_verified,
        contact,
        roles,
        enabled,
        break_glass,
        expects,
        password,
    })
}

/// The password of an account, or its hash.
fn password(table: &Table<'_>, rules: Rules) -> Option<WantedPassword> {
    let password = secret(table, ["password", "password_file", "password_hash"]);
    match password {
        Some(WantedSecret::Clear(password)) => {
            for rule in broken_rules(rules.passwords, password.expose()) {
                table.refuse("password", Complaint::new(rule.to_string()));
            }
            Some(WantedPassword::Clear(password))
        }
        Some(WantedSecret::Sealed(hash)) => {
            if check_phc(&hash).is_err() {
                table.refuse(
                    "password_hash",
                    Complaint::new("is not an Argon2id hash that the broker accepts"),
                );
            }
            Some(WantedPassword::Hash(hash))
        }
        None => None,
    }
}

/// The roles of an account in its organization, in their order.
fn roles(table: &Table<'_>) -> Vec<Role> {
    let mut roles: Vec<Role> = table.parsed_list("roles");
    if roles.is_empty() {
        roles.push(Role::Member);
    }
    if roles.contains(&Role::Operator) {
        let what = "operator is not a role in an organization";
        let remedy = "make the account with: countersign account create --operator";
        table.refuse("roles", Complaint::with_remedy(what, remedy));
    }
    roles.sort_unstable();
    roles.dedup();
    roles
}

/// The identity that an account is kept for.
fn expected_identity(table: Table<'_>) -> Option<WantedIdentity> {
    let connection = table.required_parsed("connection");
    let (claim, mut value) = (table.required::<String>("claim"), table.required::<String>("value"));
    if claim.as_ref().is_some_and(|claim| !EXPECTED_CLAIMS.contains(&claim.as_str())) {
        let what = "is not a claim that identifies a user permanently";
        table.refuse("claim", Complaint::with_remedy(what, "write \"sub\", \"oid\" or \"email\""));
    }
    if let (Some("email"), Some(text)) = (claim.as_deref(), &mut value) {
        match text.parse::<Email>() {
            Ok(email) => email.canonical().clone_into(text),
            Err(error) => table.refuse("value", Complaint::new(error.to_string())),
        }
    }
    if value.as_ref().is_some_and(|value| value.is_empty() || value.len() > 255) {
        table.refuse("value", Complaint::new("has 1 to 255 characters"));
    }
    table.finish();
    Some(WantedIdentity { connection: connection?, claim: claim?, value: value? })
}
