//! Round trips of made-up facts, frozen bytes, and bytes that are no facts.

use super::{JournalError, decode_facts, encode_facts};
use dunnage_model::{
    Attempt, Basis, Bytes, Cause, DeviceId, Event, Fact, Failure, GpuGrant, GraphId, MemoryPlace, MilliCores,
    MilliShare, NodeId, Placement, Span, Time, Usage,
};
use std::sync::Arc;

/// A small generator of numbers (splitmix64), so that every run makes the same facts.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Small numbers, large ones, and the ends of the range.
    fn any(&mut self) -> u64 {
        match self.below(5) {
            0 => 0,
            1 => u64::MAX,
            2 => self.below(200),
            3 => self.below(1 << 33),
            _ => self.next(),
        }
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.below(2) == 0 { None } else { Some(make(self)) }
    }

    fn text(&mut self) -> String {
        let length = self.below(40);
        (0..length).map(|_| char::from_u32(self.below(0x3000) as u32).unwrap_or('x')).collect()
    }

    fn usage(&mut self) -> Usage {
        Usage {
            cpu_time: self.maybe(|n| Span(n.any())),
            peak_memory: self.maybe(|n| Bytes(n.any())),
            peak_gpu_memory: self.maybe(|n| Bytes(n.any())),
        }
    }

    fn placement(&mut self) -> Placement {
        let gpus = self.below(4);
        let custom = self.below(3);
        Placement {
            variant: self.any() as u8,
            node: NodeId(self.any() as u16),
            cpus: MilliCores(self.any() as u32),
            memory: Bytes(self.any()),
            memory_limit: self.maybe(|n| Bytes(n.any())),
            gpus: (0..gpus)
                .map(|_| GpuGrant {
                    device: DeviceId { node: NodeId(self.any() as u16), local: self.any() as u16 },
                    share: MilliShare(self.any() as u16),
                    memory: Bytes(self.any()),
                    exclusive: self.below(2) == 0,
                })
                .collect(),
            custom: (0..custom).map(|_| (Arc::from(self.text()), self.any())).collect(),
            predicted: self.maybe(|n| Span(n.any())),
            basis: [Basis::History, Basis::Declaration, Basis::Calibration, Basis::None]
                [self.below(4) as usize],
        }
    }

    fn failure(&mut self) -> Failure {
        Failure {
            cause: Cause::ALL[self.below(12) as usize],
            place: self.maybe(|n| [MemoryPlace::Host, MemoryPlace::Gpu][n.below(2) as usize]),
            message: self.text(),
            detail: self.text(),
            exit_code: self.maybe(|n| n.any() as i32),
            signal: self.maybe(|n| n.any() as i32),
        }
    }

    fn fact(&mut self) -> Fact {
        let graph = GraphId(self.any());
        let task = graph.task(self.any() as u32);
        let attempt = task.attempt(Attempt(self.any() as u32));
        let event = match self.below(10) {
            0 => Event::Placed { attempt, placement: Box::new(self.placement()) },
            1 => Event::Started { attempt },
            2 => Event::Finished { attempt, usage: self.usage() },
            3 => Event::Failed { attempt, failure: Box::new(self.failure()), usage: self.usage() },
            4 => Event::NeverStarted { attempt },
            5 => Event::ValueLost { task },
            6 => Event::Cancelled { graph, task: self.maybe(|n| n.any() as u32) },
            7 => Event::HeldBack { graph },
            8 => Event::Released { graph },
            _ => Event::Retried { graph, task: self.maybe(|n| n.any() as u32) },
        };
        Fact { at: Time(self.any()), event }
    }
}

fn decoded(bytes: &[u8]) -> Result<Vec<Fact>, JournalError> {
    let mut facts = Vec::new();
    decode_facts(bytes, &mut |fact| facts.push(fact))?;
    Ok(facts)
}

/// Facts cannot be compared with `==` (their graphs cannot), but they print in full.
fn told(facts: &[Fact]) -> Vec<String> {
    facts.iter().map(|fact| format!("{fact:?}")).collect()
}

/// One fact of every kind, with plain values.
fn one_of_each() -> Vec<Fact> {
    let graph = GraphId(7);
    let attempt = graph.task(3).attempt(Attempt(2));
    let usage = Usage {
        cpu_time: Some(Span::millis(1500)),
        peak_memory: Some(Bytes::mib(64)),
        peak_gpu_memory: None,
    };
    let placement = Placement {
        variant: 1,
        node: NodeId::LOCAL,
        cpus: MilliCores(1500),
        memory: Bytes::gib(2),
        memory_limit: Some(Bytes::gib(3)),
        gpus: vec![GpuGrant {
            device: DeviceId { node: NodeId::LOCAL, local: 1 },
            share: MilliShare(250),
            memory: Bytes::gib(4),
            exclusive: false,
        }],
        custom: vec![(Arc::from("licence"), 1)],
        predicted: Some(Span::secs(9)),
        basis: Basis::History,
    };
    let failure = Failure {
        cause: Cause::OutOfMemory,
        place: Some(MemoryPlace::Gpu),
        message: "no memory".into(),
        detail: "last line".into(),
        exit_code: Some(-1),
        signal: Some(9),
    };
    [
        Event::Placed { attempt, placement: Box::new(placement) },
        Event::Started { attempt },
        Event::Finished { attempt, usage },
        Event::Failed { attempt, failure: Box::new(failure), usage },
        Event::NeverStarted { attempt },
        Event::ValueLost { task: attempt.task },
        Event::Cancelled { graph, task: None },
        Event::HeldBack { graph },
        Event::Released { graph },
        Event::Retried { graph, task: Some(3) },
    ]
    .into_iter()
    .zip(0u64..)
    .map(|(event, n)| Fact { at: Time(5_000_000_000 + n * 1000), event })
    .collect()
}

/// What [`one_of_each`] was written as by the first release of format 1. Never edit it: stores in the
/// field look like this.
const FORMAT_1: &str = "\
    01019dcf000000012a05f2000703020100cd05dcce80000000cec000000091950001ccfacf0000000100000000c29192\
    a76c6963656e636501ce00895440010294cd03e80703020397cd03e8070302ce0016e360ce04000000c0049dcd03e807\
    0302ce0016e360ce04000000c00302a96e6f206d656d6f7279a96c617374206c696e65ff090594cd03e80703020693cd\
    03e807030793cd03e807c00892cd03e8070992cd03e8070a93cd03e80703";

fn from_hex(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn facts_come_back_as_they_were() {
    let mut numbers = Numbers(1);
    for _ in 0..500 {
        let length = numbers.below(12);
        let facts: Vec<Fact> = (0..length).map(|_| numbers.fact()).collect();
        assert_eq!(told(&decoded(&encode_facts(&facts)).unwrap()), told(&facts));
    }
}

#[test]
fn format_1_is_read_and_still_written() {
    assert_eq!(encode_facts(&one_of_each()), from_hex(FORMAT_1));
    assert_eq!(told(&decoded(&from_hex(FORMAT_1)).unwrap()), told(&one_of_each()));
}

#[test]
fn what_is_not_a_record_leaves_no_trace() {
    let with = [
        Fact { at: Time(10), event: Event::TimerFired },
        Fact { at: Time(20), event: Event::HeldBack { graph: GraphId(1) } },
        Fact { at: Time(30), event: Event::NodeLost { node: NodeId(1) } },
        Fact { at: Time(40), event: Event::Released { graph: GraphId(1) } },
    ];
    let facts = decoded(&encode_facts(&with)).unwrap();
    assert_eq!(facts.iter().map(|fact| fact.at.0).collect::<Vec<_>>(), [20, 40]);
}

#[test]
fn an_ordinary_end_takes_about_twenty_bytes() {
    let facts: Vec<Fact> = (0..100)
        .map(|n| Fact {
            at: Time(90_000_000_000 + u64::from(n) * 700),
            event: Event::Finished {
                attempt: GraphId(12_345).task(n).attempt(Attempt::FIRST),
                usage: Usage {
                    cpu_time: Some(Span::millis(80)),
                    peak_memory: Some(Bytes::mib(30)),
                    peak_gpu_memory: None,
                },
            },
        })
        .collect();
    let length = encode_facts(&facts).len();
    assert!(length <= 100 * 22, "100 facts took {length} bytes");
}

#[test]
fn every_cut_is_an_error_or_a_shorter_batch() {
    let whole = encode_facts(&one_of_each());
    assert!(matches!(decoded(&[]), Err(JournalError::Empty)));
    let mut shorter = 0;
    for end in 1..whole.len() {
        match decoded(&whole[..end]) {
            Ok(facts) => {
                assert_eq!(told(&facts), told(&one_of_each()[..facts.len()]));
                shorter += 1;
            }
            Err(JournalError::Damaged { offset, .. }) => assert!(offset <= end as u64),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(shorter, 10, "a batch may end between two facts and nowhere else");
}

#[test]
fn hostile_bytes_are_errors_and_never_panics() {
    let whole = encode_facts(&one_of_each());
    let mut numbers = Numbers(2);
    for _ in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..=numbers.below(4) {
            let place = numbers.below(bytes.len() as u64) as usize;
            bytes[place] = numbers.next() as u8;
        }
        drop(decoded(&bytes));
        let noise: Vec<u8> =
            std::iter::once(1).chain((0..numbers.below(64)).map(|_| numbers.next() as u8)).collect();
        drop(decoded(&noise));
    }
    // A placement that claims four thousand million GPUs, and a message of four GiB.
    for claim in [
        vec![1, 1, 0x9d, 0, 1, 1, 1, 0, 0, 0, 0, 0xc0, 0xdd, 0xff, 0xff, 0xff, 0xff],
        vec![1, 4, 0x9d, 0, 1, 1, 1, 0xc0, 0xc0, 0xc0, 1, 0xc0, 0xdb, 0xff, 0xff, 0xff, 0xff, b'x'],
    ] {
        assert!(matches!(decoded(&claim), Err(JournalError::Damaged { .. })));
    }
}

#[test]
fn errors_name_the_place_and_the_reason() {
    assert_eq!(
        decoded(&[9]).unwrap_err().to_string(),
        "a batch of facts has format 9, and this version reads up to 1; use the version of dunnage that wrote it"
    );
    assert_eq!(decoded(&[1, 77]).unwrap_err().to_string(), "the fact at byte 1 is of unknown kind 77");
    let bad_cause = [1, 4, 0x9d, 0, 1, 1, 1, 0xc0, 0xc0, 0xc0, 99, 0xc0, 0xa0, 0xa0, 0xc0, 0xc0];
    assert_eq!(
        decoded(&bad_cause).unwrap_err().to_string(),
        "the fact at byte 1 cannot be read: its cause has the unknown number 99"
    );
}
