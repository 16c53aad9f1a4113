//! What the committer promises: order, syncs, and what it does after a failure.

use dunnage_model::GraphId;
use dunnage_store::{
    Batch, Class, Committer, Fault, Faulty, Journal, MemoryDisk, MemoryJournal, Notice, StoreError, When,
    Write,
};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

fn batch(number: u64, class: Class) -> Batch {
    Batch { number, writes: vec![Write::Facts { graph: GraphId(1), seq: number, body: vec![1] }], class }
}

fn taken(journal: impl Journal + 'static) -> (Committer, Receiver<Notice>) {
    let (tell, told) = channel();
    let notify = move |notice| drop(tell.send(notice));
    (Committer::new(Box::new(journal), Box::new(notify)).unwrap(), told)
}

fn committed(disk: &MemoryDisk) -> usize {
    MemoryJournal::open(disk.clone()).reader().unwrap().facts_since(0, usize::MAX).unwrap().len()
}

#[test]
fn facts_are_committed_at_once_and_synced_soon() {
    let disk = MemoryDisk::that_may_lose_power();
    let (mut journal, told) = taken(MemoryJournal::open(disk.clone()));
    journal.commit(&batch(1, Class::Fact)).unwrap();
    journal.commit(&batch(2, Class::Fact)).unwrap();
    assert_eq!(committed(&disk), 2);
    let mut synced = 0;
    while synced < 2 {
        match told.recv_timeout(Duration::from_secs(30)).unwrap() {
            Notice::Synced { up_to } => synced = up_to,
            other => panic!("{other:?}"),
        }
    }
    disk.lose_power();
    assert_eq!(committed(&disk), 2);
}

#[test]
fn facts_after_a_sync_are_synced_as_well() {
    let disk = MemoryDisk::that_may_lose_power();
    let (mut journal, told) = taken(MemoryJournal::open(disk.clone()));
    for number in 1..=20 {
        journal.commit(&batch(number, Class::Fact)).unwrap();
        if number % 5 == 0 {
            while !matches!(told.recv_timeout(Duration::from_secs(30)).unwrap(), Notice::Synced { up_to } if up_to == number)
            {
            }
        }
    }
    disk.lose_power();
    assert_eq!(committed(&disk), 20);
}

#[test]
fn a_request_that_was_answered_survives_the_loss_of_power() {
    let disk = MemoryDisk::that_may_lose_power();
    let (mut journal, told) = taken(MemoryJournal::open(disk.clone()));
    journal.commit(&batch(1, Class::Fact)).unwrap();
    journal.commit(&batch(2, Class::Request)).unwrap();
    while told.recv().unwrap() != (Notice::Committed { number: 2 }) {}
    disk.lose_power();
    assert_eq!(committed(&disk), 2);
}

#[test]
fn an_empty_request_is_answered_after_all_before_it() {
    let disk = MemoryDisk::that_may_lose_power();
    let (mut journal, told) = taken(MemoryJournal::open(disk.clone()));
    journal.commit(&batch(1, Class::Fact)).unwrap();
    journal.commit(&Batch { number: 2, writes: Vec::new(), class: Class::Request }).unwrap();
    while told.recv().unwrap() != (Notice::Committed { number: 2 }) {}
    disk.lose_power();
    assert_eq!(committed(&disk), 1);
}

#[test]
fn after_a_failed_commit_nothing_more_is_taken() {
    let disk = MemoryDisk::new();
    let journal = Faulty::new(MemoryJournal::open(disk.clone()), [(When::Commit(2), Fault::Enospc)]);
    let (mut journal, _told) = taken(journal);
    journal.commit(&batch(1, Class::Fact)).unwrap();
    assert!(matches!(journal.commit(&batch(2, Class::Fact)), Err(StoreError::Full { .. })));
    assert!(matches!(journal.commit(&batch(3, Class::Request)), Err(StoreError::Stopped { .. })));
    assert_eq!(committed(&disk), 1);
}

#[test]
fn a_failed_sync_of_facts_is_told_and_final() {
    let disk = MemoryDisk::that_may_lose_power();
    let journal = Faulty::new(MemoryJournal::open(disk.clone()), [(When::Sync(1), Fault::Eio)]);
    let (mut journal, told) = taken(journal);
    journal.commit(&batch(1, Class::Fact)).unwrap();
    let lost = told.recv().unwrap();
    assert!(
        matches!(&lost, Notice::SyncFailed { synced: 0, error } if error.contains("Input/output")),
        "{lost:?}"
    );
    assert!(matches!(journal.commit(&batch(2, Class::Request)), Err(StoreError::Stopped { .. })));
    assert!(journal.stop().is_err(), "a failed sync is never tried again");
    disk.lose_power();
    assert_eq!(committed(&disk), 0);
}

#[test]
fn a_request_whose_sync_failed_is_not_answered_as_committed() {
    for nth in 1..=5 {
        let disk = MemoryDisk::that_may_lose_power();
        let (mut journal, told) =
            taken(Faulty::new(MemoryJournal::open(disk.clone()), [(When::Sync(nth), Fault::Eio)]));
        let mut sent = 0;
        for number in 1..=8 {
            sent += usize::from(journal.commit(&batch(number, Class::Request)).is_ok());
        }
        drop(journal.stop());
        disk.lose_power();
        let answered = told.try_iter().filter(|notice| matches!(notice, Notice::Committed { .. })).count();
        assert!(answered <= sent);
        assert!(answered <= committed(&disk), "acknowledged is durable, at a failure of sync {nth}");
    }
}
