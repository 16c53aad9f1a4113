//! What the writer promises: order, groups, syncs, and what it does after a failure.

use dunnage_model::GraphId;
use dunnage_store::{
    Batch, Class, Fault, Faulty, History, Journal, Loaded, MemoryDisk, MemoryJournal, Notice, StoreError,
    When, Write, Writer,
};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

fn batch(number: u64, class: Class) -> Batch {
    Batch { number, writes: vec![Write::Facts { graph: GraphId(1), seq: number, body: vec![1] }], class }
}

fn spawned(journal: impl Journal + 'static) -> (Writer, Receiver<Notice>) {
    let (tell, told) = channel();
    let notify = move |notice| drop(tell.send(notice));
    (Writer::spawn(Box::new(journal), Box::new(notify)), told)
}

fn committed(disk: &MemoryDisk) -> usize {
    MemoryJournal::open(disk.clone()).reader().unwrap().facts_since(0, usize::MAX).unwrap().len()
}

/// A journal that waits at each commit until the test lets it go on, and tells how many changes came.
struct Gated {
    inner: MemoryJournal,
    arrived: Sender<usize>,
    go: Receiver<()>,
}

impl Journal for Gated {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        self.inner.load()
    }
    fn commit(&mut self, batch: &[Write], sync: bool) -> Result<(), StoreError> {
        self.arrived.send(batch.len()).unwrap();
        self.go.recv().unwrap();
        self.inner.commit(batch, sync)
    }
    fn sync(&mut self) -> Result<(), StoreError> {
        self.inner.sync()
    }
    fn reader(&self) -> Result<Box<dyn History>, StoreError> {
        self.inner.reader()
    }
}

#[test]
fn what_waits_is_committed_as_one_group_and_answered_in_order() {
    let (arrived, arrivals) = channel();
    let (go, gate) = channel();
    let disk = MemoryDisk::new();
    let (writer, told) = spawned(Gated { inner: MemoryJournal::open(disk.clone()), arrived, go: gate });
    writer.send(batch(1, Class::Fact)).unwrap();
    assert_eq!(arrivals.recv().unwrap(), 1);
    // While the first is on its way these gather.
    writer.send(batch(2, Class::Fact)).unwrap();
    writer.send(batch(3, Class::Request)).unwrap();
    writer.send(batch(4, Class::Fact)).unwrap();
    go.send(()).unwrap();
    assert_eq!(arrivals.recv().unwrap(), 3, "the three that waited make one transaction");
    go.send(()).unwrap();
    drop(writer.stop().unwrap());
    let answers: Vec<Notice> =
        told.try_iter().filter(|notice| !matches!(notice, Notice::Synced { up_to: 1 })).collect();
    assert_eq!(
        answers,
        [
            Notice::Committed { number: 1, synced: false },
            Notice::Committed { number: 2, synced: false },
            Notice::Committed { number: 3, synced: true },
            Notice::Committed { number: 4, synced: true },
            Notice::Synced { up_to: 4 },
        ]
    );
    assert_eq!(committed(&disk), 4);
}

#[test]
fn facts_are_synced_soon_without_any_request() {
    let disk = MemoryDisk::that_may_lose_power();
    let (writer, told) = spawned(MemoryJournal::open(disk.clone()));
    writer.send(batch(1, Class::Fact)).unwrap();
    let wait = Duration::from_secs(30);
    assert_eq!(told.recv_timeout(wait).unwrap(), Notice::Committed { number: 1, synced: false });
    assert_eq!(told.recv_timeout(wait).unwrap(), Notice::Synced { up_to: 1 });
    disk.lose_power();
    assert_eq!(committed(&disk), 1);
    drop(writer);
}

#[test]
fn a_request_that_was_answered_survives_the_loss_of_power() {
    let disk = MemoryDisk::that_may_lose_power();
    let (writer, told) = spawned(MemoryJournal::open(disk.clone()));
    writer.send(batch(1, Class::Fact)).unwrap();
    writer.send(batch(2, Class::Request)).unwrap();
    while told.recv().unwrap() != (Notice::Committed { number: 2, synced: true }) {}
    disk.lose_power();
    assert_eq!(committed(&disk), 2);
    drop(writer);
}

#[test]
fn after_a_failed_commit_everything_is_answered_as_failed() {
    let disk = MemoryDisk::new();
    let journal = Faulty::new(MemoryJournal::open(disk.clone()), [(When::Commit(2), Fault::Enospc)]);
    let (writer, told) = spawned(journal);
    writer.send(batch(1, Class::Request)).unwrap();
    assert_eq!(told.recv().unwrap(), Notice::Committed { number: 1, synced: true });
    assert_eq!(told.recv().unwrap(), Notice::Synced { up_to: 1 });
    for number in 2..=4 {
        writer.send(batch(number, Class::Fact)).unwrap();
    }
    drop(writer.stop());
    let answers: Vec<Notice> = told.try_iter().collect();
    assert_eq!(answers.len(), 3);
    for (answer, expected) in answers.iter().zip(2..) {
        let Notice::Failed { number, error } = answer else { panic!("{answer:?}") };
        assert_eq!(*number, expected);
        assert!(error.contains("no room on the disk"), "{error}");
    }
    assert_eq!(committed(&disk), 1);
}

#[test]
fn a_failed_sync_of_facts_is_told_and_final() {
    let disk = MemoryDisk::that_may_lose_power();
    let journal = Faulty::new(MemoryJournal::open(disk.clone()), [(When::Sync(1), Fault::Eio)]);
    let (writer, told) = spawned(journal);
    writer.send(batch(1, Class::Fact)).unwrap();
    assert_eq!(told.recv().unwrap(), Notice::Committed { number: 1, synced: false });
    let lost = told.recv().unwrap();
    assert!(
        matches!(&lost, Notice::SyncFailed { synced: 0, error } if error.contains("Input/output")),
        "{lost:?}"
    );
    writer.send(batch(2, Class::Request)).unwrap();
    assert!(matches!(told.recv().unwrap(), Notice::Failed { number: 2, .. }));
    drop(writer.stop());
    assert_eq!(told.try_iter().count(), 0, "a failed sync is never tried again");
    disk.lose_power();
    assert_eq!(committed(&disk), 0);
}

#[test]
fn a_request_whose_sync_failed_is_not_answered_as_committed() {
    for nth in 1..=5 {
        let disk = MemoryDisk::that_may_lose_power();
        let (writer, told) =
            spawned(Faulty::new(MemoryJournal::open(disk.clone()), [(When::Sync(nth), Fault::Eio)]));
        for number in 1..=8 {
            writer.send(batch(number, Class::Request)).unwrap();
        }
        drop(writer.stop());
        disk.lose_power();
        let answered = told.try_iter().filter(|notice| matches!(notice, Notice::Committed { .. })).count();
        assert_eq!(committed(&disk), answered, "acknowledged is durable, at a failure of sync {nth}");
    }
}

#[test]
fn an_empty_request_is_answered_after_all_before_it() {
    let (writer, told) = spawned(MemoryJournal::open(MemoryDisk::new()));
    writer.send(batch(1, Class::Fact)).unwrap();
    writer.send(Batch { number: 2, writes: Vec::new(), class: Class::Request }).unwrap();
    drop(writer.stop());
    let answers: Vec<Notice> =
        told.try_iter().filter(|notice| matches!(notice, Notice::Committed { .. })).collect();
    assert_eq!(
        answers,
        [Notice::Committed { number: 1, synced: false }, Notice::Committed { number: 2, synced: true }]
    );
}
