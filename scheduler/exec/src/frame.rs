//! Frames: a length (u32, little endian) and that many bytes of MessagePack, at most [`MAX_FRAME`].
//!
//! The reader's buffer grows only by what has really arrived, and a length above the limit is refused
//! as soon as its four bytes are there, so that a stranger's bytes cannot make us allocate.

use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::io::{self, Read};

/// The largest frame, without its length.
pub const MAX_FRAME: usize = 8 << 20;

/// Why a frame cannot be written or read. The connection is of no more use after it.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length is above the limit.
    #[error("a frame of {length} bytes is above the limit of {MAX_FRAME}")]
    TooLarge {
        /// What it says.
        length: usize,
    },
    /// A value that MessagePack cannot hold.
    #[error("a message cannot be encoded")]
    Encode(#[from] rmp_serde::encode::Error),
    /// Not what we expect.
    #[error("a message cannot be decoded")]
    Decode(#[from] rmp_serde::decode::Error),
}

/// Appends one frame to `out`. After an error `out` is as it was.
pub fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), FrameError> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    // Names are written so that a launcher and a daemon of neighbouring versions understand each other.
    let written = rmp_serde::encode::write_named(out, value);
    let length = out.len() - start - 4;
    let problem = match (written, u32::try_from(length)) {
        (Ok(()), Ok(prefix)) if length <= MAX_FRAME => {
            out[start..start + 4].copy_from_slice(&prefix.to_le_bytes());
            return Ok(());
        }
        (Ok(()), _) => FrameError::TooLarge { length },
        (Err(error), _) => error.into(),
    };
    out.truncate(start);
    Err(problem)
}

/// Takes a stream of bytes apart into frames.
#[derive(Default, Debug)]
pub struct FrameReader {
    buffer: Vec<u8>,
    start: usize,
}

impl FrameReader {
    /// Adds bytes that have arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.make_room();
        self.buffer.extend_from_slice(bytes);
    }

    /// Reads once from `source`. 0 means its end.
    pub fn fill(&mut self, source: &mut impl Read) -> io::Result<usize> {
        const STEP: usize = 16 << 10;
        self.make_room();
        let filled = self.buffer.len();
        self.buffer.resize(filled + STEP, 0);
        let result = source.read(&mut self.buffer[filled..]);
        self.buffer.truncate(filled + result.as_ref().map_or(0, |n| *n));
        result
    }

    /// The next whole frame's bytes.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let rest = &self.buffer[self.start..];
        let Some((prefix, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*prefix) as usize;
        if length > MAX_FRAME {
            return Err(FrameError::TooLarge { length });
        }
        if rest.len() < length {
            return Ok(None);
        }
        let begin = self.start + 4;
        self.start = begin + length;
        Ok(Some(&self.buffer[begin..begin + length]))
    }

    /// The next whole message.
    pub fn next_message<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        match self.next_frame()? {
            Some(bytes) => Ok(Some(rmp_serde::from_slice(bytes)?)),
            None => Ok(None),
        }
    }

    fn make_room(&mut self) {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
            // A rare large frame does not keep its memory.
            if self.buffer.capacity() > 1 << 20 {
                self.buffer = Vec::new();
            }
        } else if self.start > 64 << 10 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
    }
}

/// Bytes that are written as bytes, not as a list of numbers.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Blob(pub Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Blob;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(bytes.to_vec()))
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Blob, E> {
                Ok(Blob(bytes))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Blob, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                Ok(Blob(bytes))
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let mut bytes = Vec::new();
        for n in 0..100_u32 {
            encode(&(n, Blob(vec![7; n as usize * 37])), &mut bytes).expect("encodes");
        }
        for step in [1, 3, 1000, bytes.len()] {
            let mut reader = FrameReader::default();
            let mut seen = 0;
            for chunk in bytes.chunks(step) {
                reader.push(chunk);
                while let Some((n, blob)) = reader.next_message::<(u32, Blob)>().expect("decodes") {
                    assert_eq!((n, blob.0.len()), (seen, seen as usize * 37));
                    seen += 1;
                }
            }
            assert_eq!(seen, 100, "in steps of {step}");
        }
    }

    #[test]
    fn an_oversized_frame_is_refused_by_its_length_alone() {
        let mut reader = FrameReader::default();
        reader.push(&(MAX_FRAME as u32 + 1).to_le_bytes());
        assert!(matches!(reader.next_frame(), Err(FrameError::TooLarge { .. })));
        let mut out = vec![1, 2, 3];
        assert!(encode(&Blob(vec![0; MAX_FRAME + 1]), &mut out).is_err());
        assert_eq!(out, [1, 2, 3], "nothing is left behind");
    }

    #[test]
    fn garbage_is_an_error_and_no_panic() {
        let mut reader = FrameReader::default();
        reader.push(&[3, 0, 0, 0, 0xc1, 0xff, 0x00]);
        assert!(matches!(reader.next_message::<(u32, Blob)>(), Err(FrameError::Decode(_))));
    }
}
