//! Arrays as `.npy` files: the header, mapped reading, mapped writing, and the cache of maps.

mod array;
mod cache;
mod header;
mod writer;

pub use array::{Array, shape_of};
pub use cache::{MapCache, MappedFile};
pub use header::{DType, Element, Header, HeaderError, Order};
pub use writer::{OutArray, write_npy};

pub(crate) use writer::write_file;
