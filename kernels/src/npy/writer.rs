//! Writing values: under another name in the same folder, then renamed, so that a reader sees the
//! whole value or none.
//!
//! Blocks are reserved before they are mapped: a full disk is an error here and not a SIGBUS in
//! the middle of a kernel. In debug builds a new array of floats begins as NaN, so that a kernel
//! that leaves an item unwritten, or reads one before writing it, is found by its test.
#![expect(unsafe_code, reason = "maps files and views their bytes as items")]

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::marker::PhantomData;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapMut, MmapOptions};

use super::array::Array;
use super::header::{DType, Element, Header, Order};
use crate::error::KernelError;

/// An array being written; it becomes visible with [`OutArray::finish`] and is removed if dropped
/// before that.
#[derive(Debug)]
pub struct OutArray<T> {
    map: MmapMut,
    dims: Vec<usize>,
    order: Order,
    data_at: usize,
    temporary: Temporary,
    path: PathBuf,
    items: PhantomData<T>,
}

/// A file that is removed when dropped.
#[derive(Debug)]
struct Temporary(Option<PathBuf>);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Nothing can be done about a failure; `clean` finds left-overs by their name.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl<T: Element> OutArray<T> {
    /// A new array that will be `path`.
    pub fn create(path: &Path, dims: &[usize], order: Order) -> Result<Self, KernelError> {
        let header = Header::encode(T::DTYPE, order, dims);
        let too_large =
            || KernelError::OutOfMemory { bytes: u64::MAX, purpose: format!("an array of shape {dims:?}") };
        let data_bytes = dims
            .iter()
            .try_fold(size_of::<T>(), |n, d| n.checked_mul(*d))
            .filter(|n| isize::try_from(*n).is_ok())
            .ok_or_else(too_large)?;
        let total = header.len().checked_add(data_bytes).ok_or_else(too_large)?;
        let (file, temporary) = create_beside(path)?;
        reserve(&file, path, total as u64)?;
        let mut map = map_mut(&file, path)?;
        map[..header.len()].copy_from_slice(&header);
        let mut array = Self {
            map,
            dims: dims.to_vec(),
            order,
            data_at: header.len(),
            temporary,
            path: path.to_owned(),
            items: PhantomData,
        };
        if cfg!(debug_assertions) {
            array.poison();
        }
        Ok(array)
    }

    /// Takes over the file of `input` as the array that will be `path`. `Ok(None)` where it
    /// cannot be taken over (another type, another folder's file system, more than one name).
    pub(crate) fn take_over(input: &Array, path: &Path) -> Result<Option<Self>, KernelError> {
        if input.slice::<T>().is_none() {
            return Ok(None);
        }
        let file =
            OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(input.path());
        let Ok(file) = file else { return Ok(None) };
        // Of more than one name, the others would change with this one.
        if file.metadata().map_or(0, |metadata| metadata.nlink()) != 1 {
            return Ok(None);
        }
        let temporary = temporary_name(path);
        if std::fs::rename(input.path(), &temporary).is_err() {
            return Ok(None);
        }
        let temporary = Temporary(Some(temporary));
        let map = map_mut(&file, path)?;
        Ok(Some(Self {
            map,
            dims: input.dims().to_vec(),
            order: input.order(),
            data_at: input.header().data_at,
            temporary,
            path: path.to_owned(),
            items: PhantomData,
        }))
    }

    /// Length along each axis.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// How the items lie.
    pub fn order(&self) -> Order {
        self.order
    }

    /// The items as they lie.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        let items = self.dims.iter().product::<usize>();
        let bytes = &mut self.map[self.data_at..self.data_at + items * size_of::<T>()];
        let pointer = bytes.as_mut_ptr().cast::<T>();
        assert!(pointer.is_aligned(), "arrays are written and taken over aligned");
        // SAFETY: `bytes` is exactly `items` items long, aligned (checked), borrowed mutably from
        // a map that is ours alone until the rename, and every bit pattern is a value.
        unsafe { std::slice::from_raw_parts_mut(pointer, items) }
    }

    /// Makes the array visible; its length in bytes.
    pub fn finish(mut self) -> Result<u64, KernelError> {
        let bytes = self.map.len() as u64;
        if let Some(temporary) = self.temporary.0.take() {
            publish(&temporary, &self.path)?;
        }
        Ok(bytes)
    }

    fn poison(&mut self) {
        if matches!(T::DTYPE, DType::F32 | DType::F64) {
            let at = self.data_at;
            // All bits set is a NaN in every float type.
            self.map[at..].fill(0xff);
        }
    }
}

/// Writes a whole array from items that lie in `order`.
pub fn write_npy<T: Element>(
    path: &Path,
    dims: &[usize],
    order: Order,
    items: &[T],
) -> Result<u64, KernelError> {
    let mut array = OutArray::create(path, dims, order)?;
    let slots = array.as_mut_slice();
    if slots.len() != items.len() {
        return Err(KernelError::Io {
            doing: "write",
            path: path.to_owned(),
            source: io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} items do not fill the shape {dims:?}", items.len()),
            ),
        });
    }
    slots.copy_from_slice(items);
    array.finish()
}

/// Writes a whole file of bytes.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<u64, KernelError> {
    let (mut file, mut temporary) = create_beside(path)?;
    file.write_all(bytes)
        .map_err(|source| storage_error("write", path, bytes.len() as u64, &file, source))?;
    if let Some(name) = temporary.0.take() {
        publish(&name, path)?;
    }
    Ok(bytes.len() as u64)
}

/// A hidden name beside `path` that no other call uses.
fn temporary_name(path: &Path) -> PathBuf {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    path.with_file_name(format!(".{name}.{}-{count}.part", std::process::id()))
}

/// Gives `file` this length with all its blocks.
fn reserve(file: &File, path: &Path, bytes: u64) -> Result<(), KernelError> {
    let length = libc::off_t::try_from(bytes).unwrap_or(libc::off_t::MAX);
    let code = loop {
        // SAFETY: the descriptor is open as long as `file` lives.
        let code = unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, length) };
        if code != libc::EINTR {
            break code;
        }
    };
    let result = match code {
        0 => Ok(()),
        // A file system that cannot reserve: the length alone has to do.
        libc::EOPNOTSUPP => file.set_len(bytes),
        code => Err(io::Error::from_raw_os_error(code)),
    };
    result.map_err(|source| storage_error("reserve room for", path, bytes, file, source))
}

fn create_beside(path: &Path) -> Result<(File, Temporary), KernelError> {
    let temporary = temporary_name(path);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&temporary)
        .map_err(|source| KernelError::Io { doing: "create", path: path.to_owned(), source })?;
    Ok((file, Temporary(Some(temporary))))
}

fn publish(temporary: &Path, path: &Path) -> Result<(), KernelError> {
    std::fs::rename(temporary, path).map_err(|source| {
        let _ = std::fs::remove_file(temporary);
        KernelError::Io { doing: "rename into place", path: path.to_owned(), source }
    })
}

fn map_mut(file: &File, path: &Path) -> Result<MmapMut, KernelError> {
    // SAFETY: the file has a name that only this call knows, so nobody else maps or cuts it.
    unsafe { MmapOptions::new().populate().map_mut(file) }.map_err(|source| KernelError::Io {
        doing: "map",
        path: path.to_owned(),
        source,
    })
}

/// A failed reservation or write: no room on a file system in memory is lack of memory.
fn storage_error(
    doing: &'static str,
    path: &Path,
    bytes: u64,
    file: &File,
    source: io::Error,
) -> KernelError {
    let full = matches!(source.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT | libc::ENOMEM));
    if full && in_memory(file) {
        KernelError::OutOfMemory {
            bytes,
            purpose: format!("output `{}` on a file system in memory", path.display()),
        }
    } else {
        KernelError::Io { doing, path: path.to_owned(), source }
    }
}

fn in_memory(file: &File) -> bool {
    let mut status = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the descriptor is open and `status` has room for the answer.
    let code = unsafe { libc::fstatfs(file.as_raw_fd(), status.as_mut_ptr()) };
    // SAFETY: read only after the call said that it filled it.
    code == 0 && unsafe { status.assume_init() }.f_type == libc::TMPFS_MAGIC
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Cause;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .expect("folder")
            .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn an_array_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.npy");
        let mut array = OutArray::<f64>::create(&path, &[3], Order::RowMajor).expect("created");
        assert!(array.as_mut_slice().iter().all(|x| x.is_nan()), "poisoned");
        assert!(!path.exists());
        drop(array);
        assert_eq!(names(folder.path()), Vec::<String>::new());
        let bytes = write_npy(&path, &[3], Order::RowMajor, &[1.0_f64, 2.0, 3.0]).expect("written");
        assert_eq!(bytes, std::fs::metadata(&path).expect("there").len());
        assert_eq!(names(folder.path()), ["a.npy"]);
    }

    #[test]
    fn impossible_sizes_are_errors() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.npy");
        let huge = OutArray::<f64>::create(&path, &[usize::MAX, 2], Order::RowMajor);
        assert_eq!(huge.expect_err("too large").cause(), Cause::OutOfMemory);
        // Fits in an address, but on no disk.
        let huge = OutArray::<u8>::create(&path, &[1 << 60], Order::RowMajor);
        assert!(huge.is_err());
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = write_file(Path::new("/nonexistent/x.json"), b"{}").expect_err("no folder");
        assert!(error.to_string().contains("`/nonexistent/x.json`"), "{error}");
    }
}
