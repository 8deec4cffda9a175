//! Migrations, numbered once across `migrations/common`, `migrations/sqlite` and `migrations/postgres`.
//!
//! A released file never changes. A change is expanded in one release and contracted in a later one.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Common,
    Sqlite,
    Postgres,
}

/// Which database the migrations are for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Dialect {
    Sqlite,
    Postgres,
}

type File = (i64, Scope, &'static str, &'static str);

macro_rules! file {
    ($version:literal, $scope:ident, $folder:literal, $name:literal) => {
        (
            $version,
            Scope::$scope,
            concat!($folder, "/", $name),
            include_str!(concat!("../../../migrations/", $folder, "/", $name)),
        )
    };
}

const FILES: &[File] = &[
    file!(1, Common, "common", "0001_directory.sql"),
    file!(2, Common, "common", "0002_accounts.sql"),
    file!(3, Common, "common", "0003_flows_and_grants.sql"),
    file!(4, Common, "common", "0004_evidence_and_keys.sql"),
    file!(5, Sqlite, "sqlite", "0005_changes.sql"),
    file!(5, Postgres, "postgres", "0005_changes.sql"),
    file!(6, Common, "common", "0006_one_successor.sql"),
    file!(7, Common, "common", "0007_operators.sql"),
    file!(8, Common, "common", "0008_indexes_for_deletion.sql"),
    file!(9, Common, "common", "0009_mail.sql"),
    file!(13, Common, "common", "0013_linking.sql"),
    file!(14, Sqlite, "sqlite", "0014_ledger_is_append_only.sql"),
    file!(14, Postgres, "postgres", "0014_ledger_is_append_only.sql"),
    file!(15, Common, "common", "0015_connection_of_a_grant.sql"),
    file!(16, Common, "common", "0016_proof_by_mail.sql"),
    file!(17, Common, "common", "0017_data_keys.sql"),
    file!(18, Common, "common", "0018_past_passwords.sql"),
    file!(19, Common, "common", "0019_replacing.sql"),
    file!(20, Common, "common", "0020_looks.sql"),
    file!(21, Common, "common", "0021_whose_word_proves_an_email.sql"),
    file!(22, Common, "common", "0022_counted_refusals.sql"),
    file!(23, Common, "common", "0023_what_is_over_goes.sql"),
    file!(24, Common, "common", "0024_turns.sql"),
    file!(25, Common, "common", "0025_interactions.sql"),
    file!(26, Common, "common", "0026_jobs.sql"),
    file!(27, Common, "common", "0027_target_of_a_record.sql"),
];

/// The migrations for one database, in order.
pub(super) fn migrator(dialect: Dialect) -> Migrator {
    let wanted = |scope: Scope| match scope {
        Scope::Common => true,
        Scope::Sqlite => dialect == Dialect::Sqlite,
        Scope::Postgres => dialect == Dialect::Postgres,
    };
    let migrations = FILES.iter().filter(|(_, scope, ..)| wanted(*scope)).map(|(version, _, name, text)| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, text.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_listed_once_under_its_own_number() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let mut on_disk = Vec::new();
        for folder in ["common", "sqlite", "postgres"] {
            for entry in std::fs::read_dir(root.join(folder)).unwrap() {
                on_disk.push(format!("{folder}/{}", entry.unwrap().file_name().into_string().unwrap()));
            }
        }
        on_disk.sort();
        let mut listed: Vec<String> = FILES.iter().map(|(_, _, name, _)| (*name).to_owned()).collect();
        listed.sort();
        assert_eq!(on_disk, listed);
        for (version, _, name, _) in FILES {
            let digits: i64 = name.split('/').nth(1).unwrap()[..4].parse().unwrap();
            assert_eq!(digits, *version, "{name}");
        }
    }
}
