//! An array that is read from a mapped `.npy` file.
#![expect(unsafe_code, reason = "views mapped bytes as items")]

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cache::MappedFile;
use super::header::{DType, Element, Header, HeaderError, Order};
use crate::kernel::Shape;

/// A mapped array whose header has been checked against the length of its file.
#[derive(Clone, Debug)]
pub struct Array {
    file: Arc<MappedFile>,
    header: Header,
    path: PathBuf,
}

impl Array {
    /// Reads the header of a mapped file.
    pub(crate) fn open(file: Arc<MappedFile>, path: &Path) -> Result<Self, HeaderError> {
        let bytes = file.bytes();
        let header = Header::parse(bytes, bytes.len() as u64)?;
        Ok(Self { file, header, path: path.to_owned() })
    }

    /// Length along each axis.
    pub fn dims(&self) -> &[usize] {
        &self.header.dims
    }

    /// How many items.
    pub fn items(&self) -> usize {
        self.header.items()
    }

    /// The type of the items.
    pub fn dtype(&self) -> DType {
        self.header.dtype
    }

    /// How the items lie; of less than two axes both orders are the same, and it is row-major.
    pub fn order(&self) -> Order {
        if self.header.dims.len() < 2 { Order::RowMajor } else { self.header.order }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> &Arc<MappedFile> {
        &self.file
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// The shape in words: `3x4 float64`.
    pub fn describe(&self) -> String {
        let dims: Vec<String> = self.dims().iter().map(ToString::to_string).collect();
        if dims.is_empty() {
            format!("single {}", self.dtype())
        } else {
            format!("{} {}", dims.join("x"), self.dtype())
        }
    }

    /// The items as they lie; none where they are of another type or not aligned for it.
    pub fn slice<T: Element>(&self) -> Option<&[T]> {
        if self.header.dtype != T::DTYPE {
            return None;
        }
        let items = self.items();
        let at = self.header.data_at;
        let bytes = self.file.bytes().get(at..at + items * size_of::<T>())?;
        let pointer = bytes.as_ptr().cast::<T>();
        if !pointer.is_aligned() {
            return None;
        }
        // SAFETY: `bytes` is exactly `items` items long and aligned; `Element` is closed over
        // types of which every bit pattern is a value; the bytes live as long as `self.file`.
        Some(unsafe { std::slice::from_raw_parts(pointer, items) })
    }

    /// The items row after row, copied only where they lie otherwise; none as for [`Self::slice`].
    pub fn row_major<T: Element>(&self) -> Option<Cow<'_, [T]>> {
        let slice = self.slice::<T>()?;
        if self.order() == Order::RowMajor {
            return Some(Cow::Borrowed(slice));
        }
        let dims = self.dims();
        let mut items = Vec::new();
        items.try_reserve_exact(slice.len()).ok()?;
        let mut index = vec![0_usize; dims.len()];
        for _ in 0..slice.len() {
            let at = index.iter().zip(dims).rev().fold(0, |at, (i, d)| at * d + i);
            items.push(slice[at]);
            for (i, d) in index.iter_mut().zip(dims).rev() {
                *i += 1;
                if *i < *d {
                    break;
                }
                *i = 0;
            }
        }
        Some(Cow::Owned(items))
    }

    /// The items as f64, row after row, from any numeric type.
    pub fn to_f64(&self) -> Option<Vec<f64>> {
        fn convert<T: Element>(array: &Array, f: impl Fn(T) -> f64) -> Option<Vec<f64>> {
            let items = array.row_major::<T>()?;
            let mut out = Vec::new();
            out.try_reserve_exact(items.len()).ok()?;
            out.extend(items.iter().map(|item| f(*item)));
            Some(out)
        }
        match self.dtype() {
            DType::I8 => convert(self, |x: i8| f64::from(x)),
            DType::I16 => convert(self, |x: i16| f64::from(x)),
            DType::I32 => convert(self, |x: i32| f64::from(x)),
            DType::I64 => convert(self, |x: i64| x as f64),
            DType::U8 => convert(self, |x: u8| f64::from(x)),
            DType::U16 => convert(self, |x: u16| f64::from(x)),
            DType::U32 => convert(self, |x: u32| f64::from(x)),
            DType::U64 => convert(self, |x: u64| x as f64),
            DType::F32 => convert(self, |x: f32| f64::from(x)),
            DType::F64 => convert(self, |x: f64| x),
            DType::Bool | DType::F16 => None,
        }
    }
}

/// The shape of a value's file without mapping it: of a `.npy` from its header, of anything else
/// its length; none where it cannot be read.
pub fn shape_of(path: &Path) -> Option<Shape> {
    let mut file = File::open(path).ok()?;
    let bytes = file.metadata().ok().filter(|m| m.is_file())?.len();
    let mut start = Vec::new();
    // Every header that we write, and nearly every one of numpy's, is within the first read.
    file.by_ref().take(256).read_to_end(&mut start).ok()?;
    let mut parsed = Header::parse(&start, bytes);
    if matches!(parsed, Err(HeaderError::Short { .. })) {
        file.take(1 << 17).read_to_end(&mut start).ok()?;
        parsed = Header::parse(&start, bytes);
    }
    Some(match parsed {
        Ok(header) => Shape {
            dims: header.dims.iter().map(|d| *d as u64).collect(),
            item_bytes: header.dtype.size() as u64,
        },
        Err(_) => Shape { dims: vec![bytes], item_bytes: 1 },
    })
}

#[cfg(test)]
mod tests {
    use super::super::{MapCache, write_npy};
    use super::*;

    fn open(path: &Path) -> Result<Array, HeaderError> {
        Array::open(MapCache::default().get(path).expect("mapped"), path)
    }

    #[test]
    fn both_orders_read_as_rows() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.npy");
        let rows: Vec<f64> = (0..24).map(f64::from).collect();
        write_npy(&path, &[2, 3, 4], Order::RowMajor, &rows).expect("written");
        assert_eq!(open(&path).expect("read").row_major::<f64>().expect("f64"), rows);
        // The same array column after column.
        let mut columns = vec![0.0; 24];
        for (i, value) in rows.iter().enumerate() {
            let (a, b, c) = (i / 12, i / 4 % 3, i % 4);
            columns[a + 2 * b + 6 * c] = *value;
        }
        write_npy(&path, &[2, 3, 4], Order::ColMajor, &columns).expect("written");
        let array = open(&path).expect("read");
        assert_eq!(array.row_major::<f64>().expect("f64"), rows);
        assert_eq!(array.to_f64().expect("numbers"), rows);
        assert_eq!(array.slice::<f32>(), None);
        assert_eq!(array.describe(), "2x3x4 float64");
    }

    #[test]
    fn torn_files_are_told_from_others() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.npy");
        write_npy(&path, &[100], Order::RowMajor, &[1.0_f64; 100]).expect("written");
        let bytes = std::fs::read(&path).expect("read");
        for cut in [3, 9, 60, 128, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..cut]).expect("written");
            let error = open(&path).expect_err("torn");
            assert!(matches!(error, HeaderError::Short { .. }), "cut at {cut}: {error}");
        }
        std::fs::write(&path, "a,b\n1,2\n").expect("written");
        assert_eq!(open(&path).expect_err("no array"), HeaderError::Magic);
    }

    #[test]
    fn shapes_come_from_the_header_alone() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.npy");
        write_npy(&path, &[3, 5], Order::ColMajor, &[0.0_f32; 15]).expect("written");
        let shape = shape_of(&path).expect("readable");
        assert_eq!((shape.dims, shape.item_bytes), (vec![3, 5], 4));
        std::fs::write(&path, "hello").expect("written");
        assert_eq!(shape_of(&path).expect("readable").bytes(), 5);
        assert_eq!(shape_of(&folder.path().join("none")), None);
    }
}
