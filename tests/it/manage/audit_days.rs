//! `audit.keep`: whole days leave the audit log by way of a file, and nothing is lost on the way.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use countersign::flows::Broker;
use countersign::flows::audit_days::RemovedDay;
use countersign::model::{Actor, AuditId, Clock as _, Day, IdSequence, Timestamp};
use countersign::store::audit::{AuditRecord, insert_audit};
use countersign::store::audit_days::delete_records;
use countersign::store::turns::{end_turn, take_turn};
use serde_json::Value;
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
    ids: Vec<AuditId>,
}

impl Archive {
    /// With so many records on the first day, and ten on each of the next two.
    async fn new(kind: Kind, records: usize) -> Self {
        let office = Office::new(kind).await;
        let folder = tempfile::tempdir().unwrap();
        let broker = keeping(&office, 5, &folder.path().join("days")).await;
        let first = Day::of(office.clock.now());
        let mut ids = Vec::new();
        for (days, count) in [(0, records), (1, 10), (2, 10)] {
            ids.extend(write(&office, office.clock.now().after(DAY * days), count).await);
        }
        Self { office, folder, broker, first, ids }
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
        shown(&self.broker.export_old_days().await.unwrap())
    }

    /// The records of a day as `audit export` writes them.
    async fn lines(&self, day: Day) -> Vec<String> {
        let mut lines = Vec::new();
        let write = |line: &_| lines.push(serde_json::to_string(line).unwrap());
        self.broker.export_audit(None, None, write).await.unwrap();
        lines.retain(|line| line.contains(&format!("\"time\":\"{day}")));
        lines
    }

    async fn removals(&self) -> Vec<Value> {
        let mut records = self.office.audit().await;
        records.retain(|record| record["action"] == "audit.remove_day");
        records
    }
}

fn shown(removed: &[RemovedDay]) -> Vec<(String, u64)> {
    removed.iter().map(|removed| (removed.day.to_string(), removed.records)).collect()
}

async fn keeping(office: &Office, seed: u64, folder: &Path) -> Arc<Broker> {
    let folder = folder.display().to_string();
    let settings = [("COUNTERSIGN__AUDIT__KEEP", "30d"), ("COUNTERSIGN__AUDIT__EXPORT_FOLDER", &*folder)];
    open_with(&office.database, &office.clock, seed, &settings).await
}

async fn write(office: &Office, at: Timestamp, count: usize) -> Vec<AuditId> {
    let (sequence, random) = (IdSequence::default(), SeededRandom::new(at.unix_micros().unsigned_abs()));
    let database = office.database.open().await;
    let mut ids = Vec::new();
    let mut tx = database.write().await.unwrap();
    for number in 0..count {
        let record = AuditRecord {
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
        ids.push(record.id);
    }
    tx.commit().await.unwrap();
    database.close().await;
    ids
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
        let removals = archive.removals().await;
        let hash = sha256sum(&archive.file(first));
        let detail = format!("day={first} records={records} sha256={hash}");
        assert_eq!(removals.len(), 1);
        assert_eq!((&removals[0]["detail"], &removals[0]["outcome"]), (&detail.into(), &"success".into()));
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
        assert_eq!(archive.office.broker.export_old_days().await.unwrap(), []);
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
            assert_eq!(broker.export_old_days().await.unwrap(), [], "{}", folder.display());
            assert_eq!(archive.office.audit().await, before);
        }
        // Once there is a place for it, it goes.
        assert_eq!(archive.run().await.len(), 1);
    }
}

on_both_databases! {
    async fn a_crash_between_any_two_steps_loses_nothing(kind: Kind) {
        let archive = Archive::new(kind, 1_500).await;
        let first = archive.first;
        let lines = archive.lines(first).await;
        let text = lines.join("\n") + "\n";
        archive.office.clock.advance(DAY * 31);
        // Half a file was written: it has no name of its own, and goes.
        fs::create_dir(archive.folder()).unwrap();
        fs::write(archive.folder().join(format!(".audit-{first}.jsonl.x.part")), &text[..500]).unwrap();
        // The file was whole, and nothing removed yet.
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("whole"), &text).unwrap();
        fs::rename(other.path().join("whole"), archive.file(first)).unwrap();
        // Some records were removed, and then the program ended.
        let database = archive.office.database.open().await;
        let mut tx = database.write().await.unwrap();
        assert_eq!(delete_records(&mut tx, archive.ids[0], archive.ids[699]).await.unwrap(), 700);
        tx.commit().await.unwrap();
        database.close().await;
        let records = u64::try_from(lines.len()).unwrap();
        assert_eq!(archive.run().await, [(first.to_string(), records)]);
        assert_eq!(fs::read_to_string(archive.file(first)).unwrap(), text, "the file stays as it was");
        assert_eq!((archive.lines(first).await.len(), archive.removals().await.len()), (0, 1));
    }
}

on_both_databases! {
    async fn half_a_file_from_before_a_crash_is_written_anew(kind: Kind) {
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
        let archive = Archive::new(kind, 30).await;
        let first = archive.first;
        let lines = archive.lines(first).await;
        archive.office.clock.advance(DAY * 32);
        fs::create_dir(archive.folder()).unwrap();
        let (last, but_last) = lines.split_last().unwrap();
        let changed = last.replace("number=29", "number=92");
        assert_ne!(&changed, last);
        for wrong in [but_last.join("\n"), format!("{}\n{changed}\n", but_last.join("\n")), String::new(), "rubbish\n".to_owned()] {
            fs::write(archive.file(first), &wrong).unwrap();
            let removed = archive.run().await;
            // The next day is another matter.
            assert!(removed.iter().all(|(day, _)| *day != first.to_string()), "{removed:?}");
            assert_eq!(archive.lines(first).await, lines);
            assert_eq!(fs::read_to_string(archive.file(first)).unwrap(), wrong);
        }
        assert_eq!(archive.lines(Day::of(first.ends())).await.len(), 0);
        fs::rename(archive.file(first), archive.folder().join("moved-away")).unwrap();
        assert_eq!(archive.run().await, [(first.to_string(), u64::try_from(lines.len()).unwrap())]);
        assert_eq!(fs::read_to_string(archive.file(first)).unwrap(), lines.join("\n") + "\n");
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
    }
}

on_both_databases! {
    async fn two_nodes_at_once_remove_a_day_once(kind: Kind) {
        let archive = Archive::new(kind, 2_500).await;
        let other = keeping(&archive.office, 7, &archive.folder()).await;
        let expected = archive.lines(archive.first).await.join("\n") + "\n";
        archive.office.clock.advance(DAY * 31);
        let (one, two) = tokio::join!(archive.broker.export_old_days(), other.export_old_days());
        let removed: Vec<_> = [one.unwrap(), two.unwrap()].concat();
        assert_eq!(removed.len(), 1, "{removed:?}");
        assert_eq!(fs::read_to_string(archive.file(archive.first)).unwrap(), expected);
        assert_eq!(archive.removals().await.len(), 1);
        assert_eq!(archive.lines(archive.first).await.len(), 0);
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
        // A turn from the future, before the clock was set back, is no turn.
        archive.office.clock.set_back(DAY);
        assert!(take("other").await && !take("gone").await);
        let mut tx = database.write().await.unwrap();
        end_turn(&mut tx, "export_audit", "gone").await.unwrap();
        tx.commit().await.unwrap();
        assert!(!take("gone").await, "nobody ends another's turn");
        database.close().await;
    }
}
