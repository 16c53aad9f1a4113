//! Arrays seen as matrices: real items, views for the linear algebra library, and tiles.

use std::ops::Range;

use faer::{MatMut, MatRef};

use crate::error::KernelError;
use crate::npy::{Array, DType, Element, Order, OutArray};
use crate::params::Params;

/// The item types of numeric kernels.
pub(crate) trait Real: Element + faer::traits::RealField + Copy {
    /// The nearest value of this type.
    fn of(value: f64) -> Self;
    /// The value, exactly.
    fn get(self) -> f64;
    /// e to this power, in this precision.
    fn exponential(self) -> Self;
}

impl Real for f32 {
    fn of(value: f64) -> Self {
        value as Self
    }
    fn get(self) -> f64 {
        f64::from(self)
    }
    fn exponential(self) -> Self {
        self.exp()
    }
}

impl Real for f64 {
    fn of(value: f64) -> Self {
        value
    }
    fn get(self) -> f64 {
        self
    }
    fn exponential(self) -> Self {
        self.exp()
    }
}

/// Which [`Real`] an array holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    Single,
    Double,
}

impl Precision {
    pub(crate) fn of(dtype: DType) -> Option<Self> {
        match dtype {
            DType::F32 => Some(Self::Single),
            DType::F64 => Some(Self::Double),
            DType::Bool
            | DType::I8
            | DType::I16
            | DType::I32
            | DType::I64
            | DType::U8
            | DType::U16
            | DType::U32
            | DType::U64
            | DType::F16 => None,
        }
    }
}

/// Runs `body::<f32>` or `body::<f64>`.
macro_rules! by_precision {
    ($precision:expr, $body:ident ( $($arg:expr),* $(,)? )) => {
        match $precision {
            $crate::matrix::Precision::Single => $body::<f32>($($arg),*),
            $crate::matrix::Precision::Double => $body::<f64>($($arg),*),
        }
    };
}
pub(crate) use by_precision;

/// The order in which linear algebra kernels write: columns, where there is more than one axis.
pub(crate) fn column_order(dims: &[usize]) -> Order {
    if dims.len() < 2 { Order::RowMajor } else { Order::ColMajor }
}

/// Rows and columns, a vector being one column; none above two axes.
pub(crate) fn matrix_dims(dims: &[usize]) -> Option<(usize, usize)> {
    match *dims {
        [] => Some((1, 1)),
        [n] => Some((n, 1)),
        [rows, cols] => Some((rows, cols)),
        _ => None,
    }
}

/// The array as a matrix; none where it is of another type or has more than two axes.
pub(crate) fn view<T: Real>(array: &Array) -> Option<MatRef<'_, T>> {
    let (rows, cols) = matrix_dims(array.dims())?;
    let items = array.slice::<T>()?;
    Some(match array.order() {
        Order::ColMajor => MatRef::from_column_major_slice(items, rows, cols),
        Order::RowMajor => MatRef::from_row_major_slice(items, rows, cols),
    })
}

/// An output of one or two axes as a matrix.
pub(crate) fn view_mut<T: Real>(array: &mut OutArray<T>) -> MatMut<'_, T> {
    let (rows, cols) = matrix_dims(array.dims()).unwrap_or((0, 0));
    let order = array.order();
    let items = &mut array.as_mut_slice()[..rows * cols];
    match order {
        // A vector is one column, whichever the order.
        Order::RowMajor if cols == 1 => MatMut::from_column_major_slice_mut(items, rows, cols),
        Order::ColMajor => MatMut::from_column_major_slice_mut(items, rows, cols),
        Order::RowMajor => MatMut::from_row_major_slice_mut(items, rows, cols),
    }
}

/// The part of `length` rows (or columns) that the parameters `tile` (its size) and `name` (its
/// index) choose; everything where `name` is left out.
pub(crate) fn tile_range(
    params: &Params<'_>,
    name: &str,
    length: usize,
) -> Result<Range<usize>, KernelError> {
    let Some(index) = params.count_if_given(name)? else {
        return Ok(0..length);
    };
    let size = params.count("tile")?;
    if size == 0 {
        return Err(params.error("tile", format!("0 is no size; `{name}` needs one")));
    }
    let start = index.saturating_mul(size);
    if start >= length {
        return Err(params.error(
            name,
            format!(
                "tile {index} of size {size} begins at {start} and there are only {length}; \
                 the last tile is {}",
                length.saturating_sub(1) / size
            ),
        ));
    }
    Ok(start..length.min(start.saturating_add(size)))
}
