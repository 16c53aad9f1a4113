//! The header of a `.npy` file (formats 1.0, 2.0 and 3.0): parsed from untrusted bytes, written
//! so that numpy maps it.
//!
//! The parser takes exactly what numpy writes, a Python dictionary with the keys `descr`,
//! `fortran_order` and `shape`, in any order. It allocates nothing that the bytes themselves do
//! not pay for, and multiplies sizes with overflow checks. Object arrays are refused: reading
//! them would run pickles.

use std::fmt;

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Far above any header that numpy writes (it warns from 10,000 bytes on).
const HEADER_BYTES_MAX: usize = 1 << 16;
const AXES_MAX: usize = 32;
/// Data begin at a multiple of this, so that maps are aligned for every element and vector unit.
const ALIGNMENT: usize = 64;

/// The type of an array's items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum DType {
    Bool,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F16,
    F32,
    F64,
}

impl DType {
    /// Bytes of one item.
    pub const fn size(self) -> usize {
        match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 | Self::F16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }

    /// numpy's name of it, little-endian.
    pub const fn descr(self) -> &'static str {
        match self {
            Self::Bool => "|b1",
            Self::I8 => "|i1",
            Self::I16 => "<i2",
            Self::I32 => "<i4",
            Self::I64 => "<i8",
            Self::U8 => "|u1",
            Self::U16 => "<u2",
            Self::U32 => "<u4",
            Self::U64 => "<u8",
            Self::F16 => "<f2",
            Self::F32 => "<f4",
            Self::F64 => "<f8",
        }
    }

    fn parse(descr: &str) -> Result<Self, HeaderError> {
        let unsupported = || HeaderError::Type(descr.chars().take(40).collect());
        let mut chars = descr.chars();
        let order = chars.next().ok_or_else(unsupported)?;
        let dtype = match chars.as_str() {
            "b1" => Self::Bool,
            "i1" => Self::I8,
            "i2" => Self::I16,
            "i4" => Self::I32,
            "i8" => Self::I64,
            "u1" => Self::U8,
            "u2" => Self::U16,
            "u4" => Self::U32,
            "u8" => Self::U64,
            "f2" => Self::F16,
            "f4" => Self::F32,
            "f8" => Self::F64,
            _ => return Err(unsupported()),
        };
        match order {
            '<' => Ok(dtype),
            '|' | '=' | '>' if dtype.size() == 1 => Ok(dtype),
            _ => Err(unsupported()),
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::I8 => "int8",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::U8 => "uint8",
            Self::U16 => "uint16",
            Self::U32 => "uint32",
            Self::U64 => "uint64",
            Self::F16 => "float16",
            Self::F32 => "float32",
            Self::F64 => "float64",
        })
    }
}

/// A Rust type that stands for an item: every pattern of its bytes is a value of it.
pub trait Element: Copy + Send + Sync + 'static + sealed::Plain {
    /// The type in the header.
    const DTYPE: DType;
}

mod sealed {
    /// Closed, so that no type with invalid bit patterns can be read from a file.
    pub trait Plain {}
}

macro_rules! elements {
    ($($rust:ty => $dtype:ident),*) => {$(
        impl sealed::Plain for $rust {}
        impl Element for $rust {
            const DTYPE: DType = DType::$dtype;
        }
    )*};
}
elements!(i8 => I8, i16 => I16, i32 => I32, i64 => I64, u8 => U8, u16 => U16, u32 => U32,
    u64 => U64, f32 => F32, f64 => F64);

/// How items lie in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Row after row (C).
    RowMajor,
    /// Column after column (Fortran), as linear algebra likes it.
    ColMajor,
}

/// What a header says, and where the data begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The type of the items.
    pub dtype: DType,
    /// How they lie.
    pub order: Order,
    /// Length along each axis.
    pub dims: Vec<usize>,
    /// Where the data begin, in bytes.
    pub data_at: usize,
}

/// Why bytes are not a usable `.npy` header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The file does not begin as a `.npy` file does.
    #[error("it is not a .npy file")]
    Magic,
    /// A format that is not known here.
    #[error("its .npy format {0}.{1} is unknown; known are 1.0, 2.0 and 3.0")]
    Version(u8, u8),
    /// The file ends before what it promises.
    #[error("it has {found} bytes and its header promises {promised}")]
    Short {
        /// The length of the file.
        found: u64,
        /// The length it should have.
        promised: u64,
    },
    /// The dictionary is malformed.
    #[error("its .npy header is malformed: {0}")]
    Malformed(&'static str),
    /// Items of a type that is not read here.
    #[error(
        "items of type `{0}` are not supported; save it as little-endian float64 or float32, \
         for example with `numpy.save(path, a.astype('<f8'))`"
    )]
    Type(String),
}

impl Header {
    /// How many items.
    pub fn items(&self) -> usize {
        self.dims.iter().product()
    }

    /// Reads the header from the first bytes of a file of `file_bytes` bytes and checks that the
    /// file has the length it promises.
    pub fn parse(start: &[u8], file_bytes: u64) -> Result<Self, HeaderError> {
        let short = |promised: usize| HeaderError::Short { found: file_bytes, promised: promised as u64 };
        if !start.starts_with(&MAGIC[..start.len().min(MAGIC.len())]) || start.is_empty() {
            return Err(HeaderError::Magic);
        }
        let (length, text_at) = match *start.get(6..).unwrap_or_default() {
            [1, 0, a, b, ..] => (usize::from(u16::from_le_bytes([a, b])), 10),
            [2 | 3, 0, a, b, c, d, ..] => (u32::from_le_bytes([a, b, c, d]) as usize, 12),
            [1, 0, ..] => return Err(short(10)),
            [2 | 3, 0, ..] => return Err(short(12)),
            [major, minor, ..] => return Err(HeaderError::Version(major, minor)),
            _ => return Err(short(10)),
        };
        if length > HEADER_BYTES_MAX {
            return Err(HeaderError::Malformed("it is longer than 64 KiB"));
        }
        let data_at = text_at + length;
        let text = start.get(text_at..data_at).ok_or_else(|| short(data_at))?;
        let text =
            std::str::from_utf8(text).map_err(|_| HeaderError::Malformed("it is not readable text"))?;
        let (dtype, order, dims) = parse_dictionary(text)?;
        let data_bytes = dims
            .iter()
            .try_fold(dtype.size(), |n, d| n.checked_mul(*d))
            .filter(|n| isize::try_from(*n).is_ok())
            .ok_or(HeaderError::Malformed("its shape is larger than memory"))?;
        // A zero among the axes hides the others from the product above.
        if dims.iter().any(|d| isize::try_from(*d).is_err()) {
            return Err(HeaderError::Malformed("its shape is larger than memory"));
        }
        let promised = data_at
            .checked_add(data_bytes)
            .ok_or(HeaderError::Malformed("its shape is larger than memory"))?;
        if file_bytes < promised as u64 {
            return Err(short(promised));
        }
        Ok(Self { dtype, order, dims, data_at })
    }

    /// The bytes of a header for such an array, padded so that the data are aligned.
    pub fn encode(dtype: DType, order: Order, dims: &[usize]) -> Vec<u8> {
        let fortran = match order {
            Order::RowMajor => "False",
            Order::ColMajor => "True",
        };
        let shape = match dims {
            [] => "()".to_owned(),
            [one] => format!("({one},)"),
            many => {
                let words: Vec<String> = many.iter().map(ToString::to_string).collect();
                format!("({})", words.join(", "))
            }
        };
        let text =
            format!("{{'descr': '{}', 'fortran_order': {fortran}, 'shape': {shape}, }}", dtype.descr());
        // 10 bytes before the text and one line feed after it.
        let total = (10 + text.len() + 1).next_multiple_of(ALIGNMENT);
        let mut bytes = Vec::with_capacity(total);
        bytes.extend_from_slice(MAGIC);
        // 32 axes of 20 digits fit in 1 KiB: the length always fits in 16 bits.
        let length = (total - 10) as u16;
        bytes.extend_from_slice(&[1, 0]);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
        bytes.resize(total - 1, b' ');
        bytes.push(b'\n');
        bytes
    }
}

fn parse_dictionary(text: &str) -> Result<(DType, Order, Vec<usize>), HeaderError> {
    let mut rest = Cursor(text.trim_end());
    let (mut dtype, mut order, mut dims) = (None, None, None);
    rest.expect('{', "it does not begin with a brace")?;
    while !rest.take('}') {
        let key = rest.quoted()?;
        rest.expect(':', "a key is not followed by a colon")?;
        match key {
            "descr" if dtype.is_none() => {
                // A structured type is a list, not a word.
                if rest.peek('[') {
                    return Err(HeaderError::Type("a structured type".to_owned()));
                }
                dtype = Some(DType::parse(rest.quoted()?)?);
            }
            "fortran_order" if order.is_none() => order = Some(rest.order()?),
            "shape" if dims.is_none() => dims = Some(rest.tuple()?),
            _ => return Err(HeaderError::Malformed("a key is unknown or given twice")),
        }
        if !rest.take(',') && !rest.peek('}') {
            return Err(HeaderError::Malformed("entries are not separated by commas"));
        }
    }
    if !rest.0.trim().is_empty() {
        return Err(HeaderError::Malformed("text follows the dictionary"));
    }
    match (dtype, order, dims) {
        (Some(dtype), Some(order), Some(dims)) => Ok((dtype, order, dims)),
        _ => Err(HeaderError::Malformed("one of descr, fortran_order and shape is missing")),
    }
}

/// What is left to read.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn peek(&mut self, wanted: char) -> bool {
        self.0 = self.0.trim_start();
        self.0.starts_with(wanted)
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek(wanted);
        if found {
            self.0 = &self.0[wanted.len_utf8()..];
        }
        found
    }

    fn expect(&mut self, wanted: char, message: &'static str) -> Result<(), HeaderError> {
        if self.take(wanted) { Ok(()) } else { Err(HeaderError::Malformed(message)) }
    }

    fn quoted(&mut self) -> Result<&'a str, HeaderError> {
        let quote = if self.take('\'') {
            '\''
        } else if self.take('"') {
            '"'
        } else {
            return Err(HeaderError::Malformed("a word is not quoted"));
        };
        let (word, rest) = self.0.split_once(quote).ok_or(HeaderError::Malformed("a quote is not closed"))?;
        self.0 = rest;
        Ok(word)
    }

    fn order(&mut self) -> Result<Order, HeaderError> {
        let text = self.0.trim_start();
        if let Some(rest) = text.strip_prefix("False") {
            self.0 = rest;
            Ok(Order::RowMajor)
        } else if let Some(rest) = text.strip_prefix("True") {
            self.0 = rest;
            Ok(Order::ColMajor)
        } else {
            Err(HeaderError::Malformed("fortran_order is neither True nor False"))
        }
    }

    fn tuple(&mut self) -> Result<Vec<usize>, HeaderError> {
        self.expect('(', "the shape is not a tuple")?;
        let mut dims = Vec::new();
        while !self.take(')') {
            if dims.len() == AXES_MAX {
                return Err(HeaderError::Malformed("it has more than 32 axes"));
            }
            let end = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
            let (digits, rest) = self.0.split_at(end);
            dims.push(
                digits
                    .parse()
                    .map_err(|_| HeaderError::Malformed("a length in the shape is not a number"))?,
            );
            // Python 2 wrote long integers as `3L`.
            self.0 = rest.strip_prefix('L').unwrap_or(rest);
            if !self.take(',') && !self.peek(')') {
                return Err(HeaderError::Malformed("the shape's lengths lack commas"));
            }
            self.peek(')');
        }
        Ok(dims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with_text(text: &str) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend_from_slice(&(text.len() as u16).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }

    #[test]
    fn what_is_written_is_read_back() {
        for dims in [vec![], vec![0], vec![7], vec![3, 4], vec![2, 0, 5]] {
            for order in [Order::RowMajor, Order::ColMajor] {
                let bytes = Header::encode(DType::F32, order, &dims);
                assert_eq!(bytes.len() % ALIGNMENT, 0);
                let data = dims.iter().product::<usize>() * 4;
                let header = Header::parse(&bytes, (bytes.len() + data) as u64).expect("valid");
                assert_eq!((header.dtype, header.order), (DType::F32, order));
                assert_eq!((header.dims, header.data_at), (dims.clone(), bytes.len()));
            }
        }
    }

    #[test]
    fn headers_of_numpy_are_read() {
        let text = "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }      \n";
        let header = Header::parse(&with_text(text), 1000).expect("valid");
        assert_eq!(header.dims, [2, 3]);
        let text = "{\"shape\": (3L,), \"descr\": \"|u1\", \"fortran_order\": True}";
        let header = Header::parse(&with_text(text), 1000).expect("valid");
        assert_eq!((header.dtype, header.order), (DType::U8, Order::ColMajor));
        let mut bytes = b"\x93NUMPY\x02\x00".to_vec();
        let text = "{'descr': '<i8', 'fortran_order': False, 'shape': (), }\n";
        bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
        let header = Header::parse(&bytes, 1000).expect("valid");
        assert_eq!((header.items(), header.dtype), (1, DType::I64));
    }

    #[test]
    fn hostile_headers_are_errors() {
        let wrong = |text: &str| Header::parse(&with_text(text), 1 << 20).expect_err(text);
        let shape = |shape: &str| format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}");
        assert!(matches!(wrong(&shape("(4294967296, 4294967296)")), HeaderError::Malformed(_)));
        assert!(matches!(wrong(&shape("(0, 18446744073709551615)")), HeaderError::Malformed(_)));
        assert!(matches!(wrong(&shape("(1099511627776,)")), HeaderError::Short { .. }));
        for bad in ["(-1,)", "(1 2)", "(,)", "5", "(1,", "(99999999999999999999999,)"] {
            assert!(matches!(wrong(&shape(bad)), HeaderError::Malformed(_)));
        }
        let many = format!("({})", "1,".repeat(33));
        assert!(matches!(wrong(&shape(&many)), HeaderError::Malformed(_)));
        for descr in ["|O", ">f8", "<U3", "", "<c16"] {
            let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (1,), }}");
            assert!(matches!(wrong(&text), HeaderError::Type(_)), "{descr}");
        }
        assert!(matches!(wrong("{'descr': '<f8'}"), HeaderError::Malformed(_)));
        assert!(matches!(wrong("{'descr"), HeaderError::Malformed(_)));
        assert_eq!(Header::parse(b"PK\x03\x04", 4), Err(HeaderError::Magic));
        assert_eq!(Header::parse(b"", 0), Err(HeaderError::Magic));
        assert!(matches!(Header::parse(b"\x93NUM", 4), Err(HeaderError::Short { .. })));
        assert_eq!(Header::parse(b"\x93NUMPY\x09\x00\x00\x00", 10), Err(HeaderError::Version(9, 0)));
        assert!(matches!(
            Header::parse(b"\x93NUMPY\x02\x00\xff\xff\xff\xff", 12),
            Err(HeaderError::Malformed(_))
        ));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Header::parse(&bytes, bytes.len() as u64);
        }

        #[test]
        fn damaged_headers_never_panic(at in 0_usize..128, byte in any::<u8>(), cut in 0_usize..128) {
            let mut bytes = Header::encode(DType::F64, Order::ColMajor, &[12, 34]);
            bytes[at] = byte;
            bytes.truncate(cut);
            let _ = Header::parse(&bytes, u64::MAX);
        }

        #[test]
        fn random_text_never_panics(text in "[{}(),:'0-9a-z< ]{0,80}") {
            let _ = Header::parse(&with_text(&text), u64::MAX);
        }
    }
}
