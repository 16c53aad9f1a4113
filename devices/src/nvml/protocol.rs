//! What is said between the source and its probe process: a u32 length, little-endian, then
//! MessagePack.
//!
//! Both ends are the same binary, so there are no versions to bridge. Lengths are checked before
//! anything is allocated.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

/// No frame is larger.
pub(crate) const MAX_FRAME: usize = 8 << 20;

/// From the source to the probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// What is this GPU? The first such question starts its threads.
    Describe {
        /// Driver index.
        index: u32,
    },
    /// How is this GPU?
    Sample {
        /// Driver index.
        index: u32,
    },
}

/// From the probe to the source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Say {
    /// The library is loaded; it counts so many GPUs.
    Ready {
        /// Driver version, where told.
        driver: Option<String>,
        /// GPUs have the indices below this.
        count: u32,
    },
    /// The library cannot be used. Nothing follows.
    Unusable {
        /// What was seen.
        why: String,
    },
    /// The answer to [`Ask::Describe`].
    Gpu {
        /// Driver index.
        index: u32,
        /// The GPU and its instances, or why it cannot be told.
        gpu: Result<Card, Fault>,
    },
    /// The answer to [`Ask::Sample`].
    Sample {
        /// Driver index.
        index: u32,
        /// The GPU and its instances, or why it cannot be told.
        sample: Result<Vec<Reading>, Fault>,
    },
    /// The driver reports an error of a GPU.
    Xid {
        /// Driver index.
        index: u32,
        /// Its number.
        xid: u64,
    },
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fault {
    /// The GPU is gone, rather than silent for now.
    pub(crate) lost: bool,
    /// What was seen.
    pub(crate) why: String,
}

/// A GPU as the driver describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Card {
    pub(crate) uuid: String,
    pub(crate) name: String,
    /// Not told by a GPU that has none of its own.
    pub(crate) memory: Option<u64>,
    pub(crate) pci_bus_id: String,
    pub(crate) compute_capability: Option<(u16, u16)>,
    pub(crate) near_cpus: Vec<u32>,
    /// Cut into instances, perhaps none yet: no work goes onto the whole of it.
    pub(crate) mig: bool,
    pub(crate) instances: Vec<Instance>,
}

/// A MIG instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Instance {
    pub(crate) uuid: String,
    pub(crate) name: String,
    pub(crate) memory: u64,
}

/// What was read of a GPU or an instance. What the driver does not tell is `None`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Reading {
    pub(crate) uuid: String,
    pub(crate) memory_used: Option<u64>,
    pub(crate) busy: Option<f64>,
    pub(crate) memory_busy: Option<f64>,
    pub(crate) energy_joules: Option<f64>,
    pub(crate) power_watts: Option<f64>,
    pub(crate) temperature_celsius: Option<f64>,
    /// Uncorrected ECC errors since the driver was loaded.
    pub(crate) ecc_uncorrected: Option<u64>,
    /// Process, its memory, its share of the multiprocessors.
    pub(crate) processes: Vec<(u32, Option<u64>, Option<f64>)>,
}

/// Writes one frame.
pub(crate) fn write<T: Serialize>(out: &mut impl Write, message: &T) -> io::Result<()> {
    let body = rmp_serde::to_vec(message).map_err(io::Error::other)?;
    if body.len() > MAX_FRAME {
        return Err(io::Error::other(format!("a frame of {} bytes; at most {MAX_FRAME}", body.len())));
    }
    let mut frame = Vec::with_capacity(body.len() + 4);
    frame.extend_from_slice(&(body.len() as u32).to_le_bytes());
    frame.extend_from_slice(&body);
    // One write, so that frames of several threads that share a lock stay whole even at an exit.
    out.write_all(&frame)?;
    out.flush()
}

/// Reads one frame; `None` at a clean end.
pub(crate) fn read<T: DeserializeOwned>(input: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    let first = loop {
        match input.read(&mut length) {
            Ok(count) => break count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    };
    if first == 0 {
        return Ok(None);
    }
    input.read_exact(&mut length[first..])?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_FRAME {
        let why = format!("a frame of {length} bytes; at most {MAX_FRAME}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    rmp_serde::from_slice(&body).map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_the_round_trip() {
        let reading = Reading {
            uuid: "GPU-a".to_owned(),
            busy: Some(0.5),
            processes: vec![(7, None, Some(0.25))],
            ..Reading::default()
        };
        let said = [
            Say::Ready { driver: None, count: 2 },
            Say::Sample { index: 1, sample: Ok(vec![reading]) },
            Say::Gpu { index: 0, gpu: Err(Fault { lost: true, why: "gone".to_owned() }) },
            Say::Xid { index: 0, xid: 79 },
        ];
        let mut bytes = Vec::new();
        for message in &said {
            write(&mut bytes, message).expect("written");
        }
        let mut input = bytes.as_slice();
        for message in said {
            assert_eq!(read(&mut input).expect("read"), Some(message));
        }
        assert_eq!(read::<Say>(&mut input).expect("a clean end"), None);
    }

    #[test]
    fn broken_frames_are_errors_and_no_allocation() {
        for bytes in [&u32::MAX.to_le_bytes()[..], &[1, 0], &[4, 0, 0, 0, 1], &[1, 0, 0, 0, 0xc1]] {
            let mut input = bytes;
            assert!(read::<Say>(&mut input).is_err(), "{bytes:?}");
        }
    }
}
