//! `audit.keep`: whole days leave the audit log by way of a file, and nothing is lost on the way.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use countersign::flows::Broker;
use countersign::flows::housekeeping::audit_days::RemovedDay;
use countersign::flows::manage::AuditFilter;
use countersign::model::{Actor, AuditId, Clock as _, Day, IdSequence, Timestamp};
use countersign::store::audit::{AuditRecord, insert_audit};
use countersign::store::jobs::turns::{end_turn, take_turn};
use tempfile::TempDir;

use super::{Office, open_with};
use crate::harness::database::Kind;
use crate::harness::time::SeededRandom;
use crate::harness::watch::expect_errors;
use crate::on_both_databases;

const DAY: Duration = Duration::from_hours(24);

/// An office whose log has some days, and a broker that keeps it for thirty.
struct Archive {
    office: Office,
    folder: TempDir,
    broker: Arc<Broker>,
    first: Day,
}

impl Archive {
    /// With this many records on the first day, and ten on each of the next two.
    async fn new(kind: Kind, records: usize) -> Self {
        let office = Office::new(kind).await;
        let folder = tempfile::tempdir().unwrap();
        let broker = keeping(&office, 5, &folder.path().join("days")).await;
        let first = Day::of(office.clock.now());
        for (days, count) in [(0, records), (1, 10), (2, 10)] {
            write(&office, office.clock.now().after(DAY * days), count).await;
        }
        Self { office, folder, broker, first }
    }

    fn folder(&self) -> PathBuf {
        self.folder.path().join("days")
    }

    fn file(&self, day: Day) -> PathBuf {
        self.folder().join(format!("audit-{day}.jsonl"))
    }

    fn names(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.folder()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    async fn run(&self) -> Vec<(String, u64)> {
        shown(&self.broker.housekeeping.export_old_days().await.unwrap())
    }

    /// The records of a day as `audit export` writes them.
    async fn lines(&self, day: Day) -> Vec<String> {
        let mut lines = Vec::new();
        let write = |line: &_| lines.push(serde_json::to_string(line).unwrap());
        self.broker.accounts.export_audit(&AuditFilter::default(), write).await.unwrap();
        lines.retain(|line| line.contains(&format!("\"time\":\"{day}")));
        lines
    }

    /// What the records of removals say.
    async fn removals(&self) -> Vec<String> {
        let mut records = self.office.audit().await;
        records.retain(|record| record["action"] == "audit.remove_day");
        assert!(records.iter().all(|record| record["outcome"] == "success"));
        records.iter().map(|record| record["detail"].as_str().unwrap().to_owned()).collect()
    }

    fn part(&self, part: u32) -> PathBuf {
        self.folder().join(format!("audit-{}.{part}.jsonl", self.first))
    }

    /// Moves a file out of the folder.
    fn move_away(&self, file: &Path) {
        let aside = self.folder.path().join("aside");
        fs::create_dir_all(&aside).unwrap();
        fs::rename(file, aside.join(file.file_name().unwrap())).unwrap();
    }

    /// Runs, and ends where the second thousand of the first day is removed, as in a crash.
    async fn crash_between_two_removals(&self, kind: Kind) {
        let database = &self.office.database;
        if kind == Kind::Postgres {
            let raise = "CREATE FUNCTION crash() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'crash'; END $$";
            database.run(raise).await;
        }
        database
            .run(match kind {
                Kind::Sqlite => "CREATE TRIGGER crash BEFORE DELETE ON audit WHEN OLD.detail = 'number=1400' BEGIN SELECT RAISE(ABORT, 'crash'); END",
                Kind::Postgres => "CREATE TRIGGER crash BEFORE DELETE ON audit FOR EACH ROW WHEN (OLD.detail = 'number=1400') EXECUTE FUNCTION crash()",
            })
            .await;
        self.broker.housekeeping.export_old_days().await.unwrap_err();
        database
            .run(match kind {
                Kind::Sqlite => "DROP TRIGGER crash",
                Kind::Postgres => "DROP TRIGGER crash ON audit",
            })
            .await;
    }
}

/// What the record of a removal says of a file.
fn sealed(day: Day, part: u32, file: &Path) -> String {
    let records = fs::read_to_string(file).unwrap().lines().count();
    format!("day={day} part={part} records={records} sha256={}", sha256sum(file))
}

fn shown(removed: &[RemovedDay]) -> Vec<(String, u64)> {
    removed.iter().map(|removed| (removed.day.to_string(), removed.records)).collect()
}

async fn keeping(office: &Office, seed: u64, folder: &Path) -> Arc<Broker> {
    let folder = folder.display().to_string();
    let settings = [("COUNTERSIGN__AUDIT__KEEP", "30d"), ("COUNTERSIGN__AUDIT__EXPORT_FOLDER", &*folder)];
    open_with(&office.database, &office.clock, seed, &settings).await
}

async fn write(office: &Office, at: Timestamp, count: usize) {
    let (sequence, random) = (IdSequence::default(), SeededRandom::new(at.unix_micros().unsigned_abs()));
    let database = office.database.open().await;
    let mut tx = database.write().await.unwrap();
    for number in 0..count {
        let record = AuditRecord {
            target: None,
            id: AuditId::in_sequence(&sequence, at, &random),
            organization: None,
            at,
            actor: Some(Actor::Operator),
            action: "test".to_owned(),
            succeeded: number % 2 == 0,
            reason: (number % 2 == 1).then(|| "no \"reason\" – é\n".to_owned()),
            receipt: None,
            connection: None,
            app: None,
            detail: Some(format!("number={number}")),
        };
        insert_audit(&mut tx, &record).await.unwrap();
    }
    tx.commit().await.unwrap();
    database.close().await;
}

on_both_databases! {
    async fn a_day_that_is_old_enough_leaves_by_way_of_a_file(kind: Kind) {
        let archive = Archive::new(kind, 2_300).await;
        let (first, second) = (archive.first, Day::of(archive.first.ends()));
        let expected = archive.lines(first).await;
        assert!(expected.len() >= 2_300);
        archive.office.clock.advance(DAY * 30);
        assert_eq!(archive.run().await, [], "the first day has not been over for thirty days");
        archive.office.clock.advance(DAY);
        let records = u64::try_from(expected.len()).unwrap();
        assert_eq!(archive.run().await, [(first.to_string(), records)]);
        let written = fs::read_to_string(archive.file(first)).unwrap();
        assert_eq!(written, expected.join("\n") + "\n");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&archive.folder()), mode(&archive.file(first))), (0o700, 0o600));
        assert_eq!(archive.names(), BTreeSet::from([format!("audit-{first}.jsonl")]));
        assert_eq!((archive.lines(first).await.len(), archive.lines(second).await.len()), (0, 10));
        assert_eq!(archive.removals().await, [sealed(first, 1, &archive.file(first))]);
        assert_eq!(archive.run().await, [], "there is nothing more to do");
        archive.office.clock.advance(DAY * 2);
        assert_eq!(archive.run().await.len(), 2);
    }
}

/// What `sha256sum` says of a file.
fn sha256sum(path: &Path) -> String {
    let said = std::process::Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(said.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

on_both_databases! {
    async fn without_a_term_nothing_leaves(kind: Kind) {
        let archive = Archive::new(kind, 5).await;
        archive.office.clock.advance(DAY * 4_000);
        assert_eq!(archive.office.broker.housekeeping.export_old_days().await.unwrap(), []);
        assert!(archive.lines(archive.first).await.len() >= 5 && !archive.folder().exists());
    }
}

on_both_databases! {
    async fn a_day_that_cannot_be_written_stays(kind: Kind) {
        expect_errors();
        let archive = Archive::new(kind, 5).await;
        archive.office.clock.advance(DAY * 31);
        let before = archive.office.audit().await;
        // Neither of these takes a file, not even from root: a folder of the kernel's, and one below a file.
        fs::write(archive.folder.path().join("file"), "").unwrap();
        for folder in [PathBuf::from("/proc/self"), archive.folder.path().join("file/days")] {
            let broker = keeping(&archive.office, 6, &folder).await;
            assert_eq!(broker.housekeeping.export_old_days().await.unwrap(), [], "{}", folder.display());
            assert_eq!(archive.office.audit().await, before);
        }
        // Once there is a place for it, it goes.
        assert_eq!(archive.run().await.len(), 1);
    }
}

on_both_databases! {
    async fn a_crash_between_any_two_steps_loses_nothing(kind: Kind) {
        let archive = Archive::new(kind, 2_500).await;
        let first = archive.first;
        let lines = archive.lines(first).await;
        let text = lines.join("\n") + "\n";
        archive.office.clock.advance(DAY * 31);
        // A file was half written. Another was whole and had its name, and still had the other name too.
        fs::create_dir(archive.folder()).unwrap();
        let draft = |id: &str| archive.folder().join(format!(".audit-{first}.jsonl.{id}.part"));
        fs::write(draft("x"), &text[..500]).unwrap();
        fs::write(draft("y"), &text).unwrap();
        fs::hard_link(draft("y"), archive.file(first)).unwrap();
        // Some records were removed, and then the program ended.
        archive.crash_between_two_removals(kind).await;
        let names = BTreeSet::from([format!("audit-{first}.jsonl")]);
        assert_eq!(archive.names(), names);
        assert_eq!(archive.lines(first).await, lines[1_000..]);
        let removals = [sealed(first, 1, &archive.file(first))];
        assert_eq!(archive.removals().await, removals, "the first removal records the file");
        // The next run goes on.
        let records = u64::try_from(lines.len()).unwrap();
        assert_eq!(archive.run().await, [(first.to_string(), records)]);
        assert_eq!(fs::read_to_string(archive.file(first)).unwrap(), text, "the file stays as it was");
        assert_eq!((archive.lines(first).await.len(), archive.names()), (0, names));
        assert_eq!(archive.removals().await, removals);
    }
}

on_both_databases! {
    async fn after_a_crash_only_the_file_as_it_was_lets_the_rest_go(kind: Kind) {
        expect_errors();
        let archive = Archive::new(kind, 2_500).await;
        let first = archive.first;
        let file = archive.file(first);
        archive.office.clock.advance(DAY * 31);
        archive.crash_between_two_removals(kind).await;
        let (left, text) = (archive.lines(first).await, fs::read_to_string(&file).unwrap());
        let removals = archive.removals().await;
        let (start, rest) = text.split_once('\n').unwrap();
        // Every remaining record is in one of these word for word; no removed record is.
        for wrong in [rest.to_owned(), format!("{start} \n{rest}"), format!("{text}{start}\n")] {
            fs::write(&file, wrong).unwrap();
            assert_eq!(archive.run().await, []);
            assert_eq!((archive.lines(first).await, archive.removals().await), (left.clone(), removals.clone()));
        }
        fs::write(&file, &text).unwrap();
        assert_eq!(archive.run().await.len(), 1);
        assert_eq!((archive.lines(first).await.len(), archive.removals().await), (0, removals));
    }
}

on_both_databases! {
    async fn after_its_file_was_moved_away_the_rest_of_a_day_goes_to_another(kind: Kind) {
        expect_errors();
        let archive = Archive::new(kind, 2_500).await;
        let first = archive.first;
        archive.office.clock.advance(DAY * 31);
        archive.crash_between_two_removals(kind).await;
        let left = archive.lines(first).await;
        let mut removals = archive.removals().await;
        archive.move_away(&archive.file(first));
        // The other file was whole, and then the program ended before it removed anything.
        fs::write(archive.part(2), left.join("\n") + "\n").unwrap();
        assert_eq!(archive.run().await, [(first.to_string(), u64::try_from(left.len()).unwrap())]);
        removals.push(sealed(first, 2, &archive.part(2)));
        assert_eq!((archive.lines(first).await.len(), archive.removals().await), (0, removals));
        assert_eq!(archive.names(), BTreeSet::from([format!("audit-{first}.2.jsonl")]));
    }
}

on_both_databases! {
    async fn half_a_file_from_before_a_crash_is_written_again(kind: Kind) {
        let archive = Archive::new(kind, 20).await;
        archive.office.clock.advance(DAY * 31);
        let expected = archive.lines(archive.first).await.join("\n") + "\n";
        fs::create_dir(archive.folder()).unwrap();
        fs::write(archive.folder().join(format!(".audit-{}.jsonl.x.part", archive.first)), &expected[..100]).unwrap();
        assert_eq!(archive.run().await.len(), 1);
        assert_eq!(archive.names(), BTreeSet::from([format!("audit-{}.jsonl", archive.first)]));
        assert_eq!(fs::read_to_string(archive.file(archive.first)).unwrap(), expected);
    }
}

on_both_databases! {
    async fn what_its_file_does_not_hold_word_for_word_is_never_removed(kind: Kind) {
        expect_errors();
        // The last record would be removed with the second thousand.
        let archive = Archive::new(kind, 1_500).await;
        let first = archive.first;
        let lines = archive.lines(first).await;
        archive.office.clock.advance(DAY * 32);
        fs::create_dir(archive.folder()).unwrap();
        let (last, but_last) = lines.split_last().unwrap();
        let changed = last.replace("number=1499", "number=1498");
        assert_ne!(&changed, last);
        let (whole, but_last) = (lines.join("\n") + "\n", but_last.join("\n") + "\n");
        let wrong_files = [
            but_last.clone().into_bytes(),
            format!("{but_last}{changed}\n").into_bytes(),
            format!("{}\n{whole}", lines[0]).into_bytes(),
            format!("{whole}{last}\n").into_bytes(),
            [but_last.as_bytes(), b"\xff\n"].concat(),
            Vec::new(),
            b"rubbish\n".to_vec(),
        ];
        for wrong in wrong_files {
            fs::write(archive.file(first), &wrong).unwrap();
            let removed = archive.run().await;
            // The next day is another matter.
            assert!(removed.iter().all(|(day, _)| *day != first.to_string()), "{removed:?}");
            assert_eq!(archive.lines(first).await, lines);
            assert_eq!(fs::read(archive.file(first)).unwrap(), wrong);
            assert!(archive.removals().await.iter().all(|detail| !detail.contains(&first.to_string())));
        }
        assert_eq!(archive.lines(Day::of(first.ends())).await.len(), 0);
        fs::rename(archive.file(first), archive.folder().join("moved-away")).unwrap();
        assert_eq!(archive.run().await, [(first.to_string(), u64::try_from(lines.len()).unwrap())]);
        assert_eq!(fs::read_to_string(archive.file(first)).unwrap(), whole);
    }
}

on_both_databases! {
    async fn only_a_regular_file_counts_as_exported(kind: Kind) {
        expect_errors();
        let archive = Archive::new(kind, 5).await;
        let (first, second) = (archive.first, Day::of(archive.first.ends()));
        let lines = archive.lines(first).await;
        archive.office.clock.advance(DAY * 32);
        fs::create_dir(archive.folder()).unwrap();
        let file = archive.file(first);
        let elsewhere = archive.folder.path().join("elsewhere");
        // A dangling link, one that leads to all of the day's records, and a folder.
        symlink(&elsewhere, &file).unwrap();
        assert_eq!(archive.run().await, [(second.to_string(), 10)], "the next day goes");
        fs::write(&elsewhere, lines.join("\n") + "\n").unwrap();
        assert_eq!(archive.run().await, []);
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert_eq!(archive.run().await, []);
        assert_eq!(archive.lines(first).await, lines);
        fs::remove_dir(&file).unwrap();
        assert_eq!(archive.run().await.len(), 1);
        assert_eq!(archive.removals().await[1..], [sealed(first, 1, &file)]);
    }
}

on_both_databases! {
    async fn what_a_clock_that_was_set_back_writes_into_a_removed_day_stays(kind: Kind) {
        expect_errors();
        let archive = Archive::new(kind, 5).await;
        archive.office.clock.advance(DAY * 31);
        assert_eq!(archive.run().await.len(), 1);
        let file = fs::read(archive.file(archive.first)).unwrap();
        write(&archive.office, archive.first.begins().after(DAY / 2), 3).await;
        assert_eq!(archive.run().await, []);
        assert_eq!(archive.lines(archive.first).await.len(), 3);
        assert_eq!(fs::read(archive.file(archive.first)).unwrap(), file);
        // Once the file was moved away, they go to a file of their own, and so do later ones.
        let mut removals = archive.removals().await;
        archive.move_away(&archive.file(archive.first));
        for part in [2, 3] {
            let lines = archive.lines(archive.first).await;
            assert_eq!(archive.run().await, [(archive.first.to_string(), 3)]);
            assert_eq!(fs::read_to_string(archive.part(part)).unwrap(), lines.join("\n") + "\n");
            removals.push(sealed(archive.first, part, &archive.part(part)));
            assert_eq!(archive.removals().await, removals);
            write(&archive.office, archive.first.begins().after(DAY / 2 * part / 4), 3).await;
            assert_eq!(archive.run().await, []);
            archive.move_away(&archive.part(part));
        }
    }
}

on_both_databases! {
    async fn two_nodes_at_once_remove_a_day_once(kind: Kind) {
        let archive = Archive::new(kind, 2_500).await;
        let other = keeping(&archive.office, 7, &archive.folder()).await;
        let expected = archive.lines(archive.first).await.join("\n") + "\n";
        archive.office.clock.advance(DAY * 31);
        let (one, two) = tokio::join!(archive.broker.housekeeping.export_old_days(), other.housekeeping.export_old_days());
        let removed: Vec<_> = [one.unwrap(), two.unwrap()].concat();
        assert_eq!(removed.len(), 1, "{removed:?}");
        assert_eq!(fs::read_to_string(archive.file(archive.first)).unwrap(), expected);
        assert_eq!(archive.removals().await.len(), 1);
        assert_eq!(archive.lines(archive.first).await.len(), 0);
    }
}

on_both_databases! {
    async fn a_day_that_another_node_removes_meanwhile_leaves_no_file(kind: Kind) {
        let archive = Archive::new(kind, 5).await;
        archive.office.clock.advance(DAY * 31);
        // Another node has the turn, and removes the day before it gives the turn back.
        let mut held = archive
            .office
            .database
            .hold(&["INSERT INTO turns (job, holder, held_until) VALUES ('export_audit', 'other', 0)", "DELETE FROM audit"])
            .await;
        let meanwhile = async {
            held.wait_for_the_broker().await;
            held.release().await;
        };
        let (removed, ()) = tokio::join!(archive.broker.housekeeping.export_old_days(), meanwhile);
        assert_eq!(removed.unwrap(), []);
        assert!(!archive.folder().exists() && archive.removals().await.is_empty());
    }
}

on_both_databases! {
    async fn a_node_that_went_away_in_its_turn_holds_nobody_up_for_long(kind: Kind) {
        let archive = Archive::new(kind, 5).await;
        archive.office.clock.advance(DAY * 31);
        let database = archive.office.database.open().await;
        let take = async |holder: &str| {
            let mut tx = database.write().await.unwrap();
            let now = archive.office.clock.now();
            let taken = take_turn(&mut tx, "export_audit", holder, now, Duration::from_mins(10)).await.unwrap();
            tx.commit().await.unwrap();
            taken
        };
        assert!(take("gone").await && take("gone").await && !take("other").await);
        assert_eq!(archive.run().await, []);
        archive.office.clock.advance(Duration::from_mins(10));
        assert_eq!(archive.run().await.len(), 1);
        assert!(take("gone").await, "the turn was given back");
        // A turn from the future, from before the clock was set back, does not count.
        archive.office.clock.set_back(DAY);
        assert!(take("other").await && !take("gone").await);
        let mut tx = database.write().await.unwrap();
        end_turn(&mut tx, "export_audit", "gone").await.unwrap();
        tx.commit().await.unwrap();
        assert!(!take("gone").await, "nobody ends another's turn");
        database.close().await;
    }
}
