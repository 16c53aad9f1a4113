//! What a kernel's body sees of its call: arguments, parameters and outputs.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use faer::MatRef;
use serde_json::Value;

use crate::error::KernelError;
use crate::invoke::{Argument, Invocation, Written};
use crate::kernel::{KernelInfo, OutputKind};
use crate::matrix::{Precision, Real, column_order, view, view_mut};
use crate::npy::{Array, Element, HeaderError, MapCache, MappedFile, Order, OutArray, write_file};
use crate::params::Params;

/// JSON values up to this size are also handed back in the reply.
const INLINE_BYTES_MAX: usize = 64 << 10;
/// JSON arguments above this are refused: they are results, not data.
const JSON_BYTES_MAX: usize = 64 << 20;

/// One call of a kernel.
#[derive(Debug)]
pub struct Call<'a> {
    info: &'static KernelInfo,
    invocation: &'a Invocation,
    params: Params<'a>,
    cache: &'a mut MapCache,
    written: Vec<Option<Written>>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(
        info: &'static KernelInfo,
        invocation: &'a Invocation,
        cache: &'a mut MapCache,
    ) -> Self {
        Self {
            info,
            invocation,
            params: Params::new(info, &invocation.params),
            cache,
            written: invocation.outputs.iter().map(|_| None).collect(),
        }
    }

    /// The parameters.
    pub fn params(&self) -> Params<'a> {
        self.params
    }

    /// How many arguments there are.
    pub fn args(&self) -> usize {
        self.invocation.args.len()
    }

    /// How many outputs are wanted.
    pub fn outputs(&self) -> usize {
        self.invocation.outputs.len()
    }

    /// How many threads the call may use, at least one.
    pub fn threads(&self) -> usize {
        self.invocation.threads.max(1)
    }

    /// The kind that output `index` shall have.
    pub(crate) fn output_kind(&self, index: usize) -> OutputKind {
        self.invocation.outputs.get(index).map_or(OutputKind::File, |slot| slot.kind)
    }

    /// An error about the numbers.
    pub(crate) fn numeric(&self, message: impl Into<String>) -> KernelError {
        KernelError::Numeric { kernel: self.info.name.to_owned(), message: message.into() }
    }

    /// The array that is argument `index`.
    pub(crate) fn array(&mut self, index: usize) -> Result<Input, KernelError> {
        let path = self.single(index)?;
        self.open(index, path)
    }

    /// The arrays of all arguments from `first` on, families taken apart.
    pub(crate) fn arrays_from(&mut self, first: usize) -> Result<Vec<Input>, KernelError> {
        let invocation = self.invocation;
        let mut inputs = Vec::new();
        for (index, arg) in invocation.args.iter().enumerate().skip(first) {
            for path in arg.paths() {
                inputs.push(self.open(index, path)?);
            }
        }
        Ok(inputs)
    }

    /// The bytes of argument `index`.
    pub(crate) fn bytes(&mut self, index: usize) -> Result<Arc<MappedFile>, KernelError> {
        let path = self.single(index)?;
        self.cache.get(path)
    }

    /// The JSON value that is argument `index`.
    pub(crate) fn json(&mut self, index: usize) -> Result<Value, KernelError> {
        let path = self.single(index)?;
        self.parse_json(index, path)
    }

    /// The JSON values of all arguments from `first` on, families taken apart.
    pub(crate) fn jsons_from(&mut self, first: usize) -> Result<Vec<Value>, KernelError> {
        let invocation = self.invocation;
        let mut values = Vec::new();
        for (index, arg) in invocation.args.iter().enumerate().skip(first) {
            for path in arg.paths() {
                values.push(self.parse_json(index, path)?);
            }
        }
        Ok(values)
    }

    /// An error about argument `index`.
    pub(crate) fn argument_error(&self, index: usize, message: impl Into<String>) -> KernelError {
        KernelError::Argument { kernel: self.info.name.to_owned(), index, message: message.into() }
    }

    /// A new array for output `index`; matrices column by column.
    pub(crate) fn create<T: Element>(
        &self,
        index: usize,
        dims: &[usize],
    ) -> Result<OutArray<T>, KernelError> {
        OutArray::create(self.output_path(index)?, dims, column_order(dims))
    }

    /// A new array for output `index`, row by row.
    pub(crate) fn create_rows<T: Element>(
        &self,
        index: usize,
        dims: &[usize],
    ) -> Result<OutArray<T>, KernelError> {
        OutArray::create(self.output_path(index)?, dims, Order::RowMajor)
    }

    /// An array for output `index` that begins as a copy of `input`, or as its very file where
    /// the call may take that over.
    pub(crate) fn begin_as<T: Real>(
        &mut self,
        index: usize,
        input: Input,
    ) -> Result<OutArray<T>, KernelError> {
        let path = self.output_path(index)?;
        let order = column_order(input.array.dims());
        if self.may_take_over(&input) && input.array.order() == order {
            self.cache.forget(input.array.path());
            // Held by this input alone, so no other argument of this call reads the file.
            if Arc::strong_count(input.array.file()) == 1
                && let Some(array) = OutArray::take_over(&input.array, path)?
            {
                return Ok(array);
            }
        }
        let mut array = OutArray::create(path, input.array.dims(), order)?;
        view_mut(&mut array).copy_from(input.matrix::<T>()?);
        Ok(array)
    }

    /// Makes an array visible as output `index`.
    pub(crate) fn finish<T: Element>(&mut self, index: usize, array: OutArray<T>) -> Result<(), KernelError> {
        let bytes = array.finish()?;
        self.record(index, bytes, None)
    }

    /// Writes output `index` as JSON.
    pub(crate) fn write_json(&mut self, index: usize, value: Value) -> Result<(), KernelError> {
        let text = value.to_string();
        let bytes = write_file(self.output_path(index)?, text.as_bytes())?;
        let inline = (text.len() <= INLINE_BYTES_MAX).then_some(value);
        self.record(index, bytes, inline)
    }

    /// Writes output `index` as bytes.
    pub(crate) fn write_bytes(&mut self, index: usize, content: &[u8]) -> Result<(), KernelError> {
        let bytes = write_file(self.output_path(index)?, content)?;
        self.record(index, bytes, None)
    }

    /// What has been written; an output that was not is a bug of the kernel.
    pub(crate) fn into_written(self) -> Result<Vec<Written>, KernelError> {
        let kernel = self.info.name;
        self.written
            .into_iter()
            .enumerate()
            .map(|(index, written)| {
                written.ok_or_else(|| KernelError::Bug {
                    kernel: kernel.to_owned(),
                    message: format!("it left output {index} unwritten"),
                })
            })
            .collect()
    }

    fn record(&mut self, index: usize, bytes: u64, json: Option<Value>) -> Result<(), KernelError> {
        let path = self.output_path(index)?;
        // An older file of that name may be mapped (a value made again).
        self.cache.forget(path);
        if let Some(slot) = self.written.get_mut(index) {
            *slot = Some(Written { bytes, json });
        }
        Ok(())
    }

    fn output_path(&self, index: usize) -> Result<&'a Path, KernelError> {
        let slot = self.invocation.outputs.get(index);
        slot.map(|slot| slot.path.as_path()).ok_or_else(|| KernelError::Bug {
            kernel: self.info.name.to_owned(),
            message: format!("it writes output {index}, which the call does not have"),
        })
    }

    /// The file of argument `index`, which must be one value.
    pub(crate) fn single(&self, index: usize) -> Result<&'a Path, KernelError> {
        match self.invocation.args.get(index) {
            Some(Argument::One(path)) => Ok(path),
            Some(Argument::Many(_)) => Err(self.argument_error(
                index,
                "must be one value and is a family; name a single instance instead of `[*]`",
            )),
            None => Err(self.argument_error(index, "is missing")),
        }
    }

    fn open(&mut self, index: usize, path: &Path) -> Result<Input, KernelError> {
        let file = self.cache.get(path)?;
        let array = Array::open(file, path).map_err(|error| match error {
            HeaderError::Short { .. } => {
                KernelError::ValueLost { path: path.to_owned(), message: error.to_string() }
            }
            HeaderError::Magic
            | HeaderError::Version(..)
            | HeaderError::Malformed(_)
            | HeaderError::Type(_) => self.argument_error(index, format!("`{}`: {error}", path.display())),
        })?;
        Ok(Input { array, kernel: self.info.name, index })
    }

    fn parse_json(&mut self, index: usize, path: &Path) -> Result<Value, KernelError> {
        let file = self.cache.get(path)?;
        if file.bytes().len() > JSON_BYTES_MAX {
            let message = format!("`{}` is larger than 64 MiB of JSON", path.display());
            return Err(self.argument_error(index, message));
        }
        serde_json::from_slice(file.bytes()).map_err(|error| {
            let mut message = format!("`{}` is not JSON: {error}", path.display());
            if file.bytes().starts_with(b"\x93NUMPY") {
                let _ = write!(message, "; it is an array, and a `json` value is wanted");
            }
            self.argument_error(index, message)
        })
    }

    fn may_take_over(&self, input: &Input) -> bool {
        let given = |path: &Path| {
            self.invocation
                .args
                .iter()
                .flat_map(Argument::paths)
                .filter(|other| other.as_path() == path)
                .count()
        };
        self.invocation.donated.contains(&input.index) && given(input.array.path()) == 1
    }
}

/// An array argument, with what an error about it has to name.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) array: Array,
    kernel: &'static str,
    index: usize,
}

impl Input {
    /// Length along each axis.
    pub(crate) fn dims(&self) -> &[usize] {
        self.array.dims()
    }

    /// Single or double; an error for other types.
    pub(crate) fn precision(&self) -> Result<Precision, KernelError> {
        Precision::of(self.array.dtype()).ok_or_else(|| {
            self.error(format!(
                "is {}, and float32 or float64 is wanted; convert it with `elementwise` and \
                 `op = \"cast\"`",
                self.array.dtype()
            ))
        })
    }

    /// The array as a matrix, a vector being one column.
    pub(crate) fn matrix<T: Real>(&self) -> Result<MatRef<'_, T>, KernelError> {
        view(&self.array).ok_or_else(|| self.unusable::<T>("at most two axes"))
    }

    /// The items row after row.
    pub(crate) fn rows<T: Element>(&self) -> Result<std::borrow::Cow<'_, [T]>, KernelError> {
        self.array.row_major::<T>().ok_or_else(|| self.unusable::<T>("any shape"))
    }

    /// An error about this argument.
    pub(crate) fn error(&self, message: impl Into<String>) -> KernelError {
        KernelError::Argument { kernel: self.kernel.to_owned(), index: self.index, message: message.into() }
    }

    fn unusable<T: Element>(&self, axes: &str) -> KernelError {
        self.error(format!(
            "is {}, and {} with {axes}, aligned as `numpy.save` does it, is wanted",
            self.array.describe(),
            T::DTYPE
        ))
    }
}
