//! What the kernels' tests share: a folder, a cache, calls by name, and random matrices.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::KernelError;
use crate::invoke::{Argument, Invocation, OutputSlot, invoke};
use crate::kernel::OutputKind;
use crate::npy::{Array, MapCache, Order, write_npy};
use crate::rng::Rng;

/// A place to call kernels at.
pub(crate) struct Desk {
    folder: tempfile::TempDir,
    cache: MapCache,
    count: usize,
    rng: Rng,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            cache: MapCache::default(),
            count: 0,
            rng: Rng::new(1),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Items between -1 and 1.
    pub(crate) fn random(&mut self, count: usize) -> Vec<f64> {
        (0..count).map(|_| 2.0 * self.rng.uniform() - 1.0).collect()
    }

    /// A matrix from items row after row, stored column after column as kernels store it.
    pub(crate) fn matrix(&mut self, name: &str, rows: usize, cols: usize, items: &[f64]) -> PathBuf {
        let path = self.path(&format!("{name}.npy"));
        let columns = transpose(rows, cols, items);
        write_npy(&path, &[rows, cols], Order::ColMajor, &columns).expect("written");
        path
    }

    /// The same in single precision, stored row after row.
    pub(crate) fn matrix_f32(&mut self, name: &str, dims: &[usize], items: &[f64]) -> PathBuf {
        let path = self.path(&format!("{name}.npy"));
        let items: Vec<f32> = items.iter().map(|x| *x as f32).collect();
        write_npy(&path, dims, Order::RowMajor, &items).expect("written");
        path
    }

    /// An array of any shape, stored row after row.
    pub(crate) fn array(&mut self, name: &str, dims: &[usize], items: &[f64]) -> PathBuf {
        let path = self.path(&format!("{name}.npy"));
        write_npy(&path, dims, Order::RowMajor, items).expect("written");
        path
    }

    pub(crate) fn json(&mut self, name: &str, value: &Value) -> PathBuf {
        let path = self.path(&format!("{name}.json"));
        std::fs::write(&path, value.to_string()).expect("written");
        path
    }

    /// Runs a kernel; the paths of its outputs.
    pub(crate) fn run(
        &mut self,
        kernel: &str,
        params: Value,
        args: Vec<Argument>,
        kinds: &[OutputKind],
    ) -> Vec<PathBuf> {
        self.run_donating(kernel, params, args, kinds, &[])
    }

    pub(crate) fn run_donating(
        &mut self,
        kernel: &str,
        params: Value,
        args: Vec<Argument>,
        kinds: &[OutputKind],
        donated: &[usize],
    ) -> Vec<PathBuf> {
        self.attempt(kernel, params, args, kinds, donated).unwrap_or_else(|error| panic!("{kernel}: {error}"))
    }

    /// Runs a kernel that must fail.
    pub(crate) fn fail(
        &mut self,
        kernel: &str,
        params: Value,
        args: Vec<Argument>,
        kinds: &[OutputKind],
    ) -> KernelError {
        self.attempt(kernel, params, args, kinds, &[]).expect_err("the call is wrong")
    }

    /// Runs a kernel on single values with one array as output; shape and items row after row.
    pub(crate) fn compute(
        &mut self,
        kernel: &str,
        params: Value,
        args: &[&PathBuf],
    ) -> (Vec<usize>, Vec<f64>) {
        let args = args.iter().map(|path| Argument::One((*path).clone())).collect();
        let out = self.run(kernel, params, args, &[OutputKind::Npy]);
        self.read(&out[0])
    }

    /// Runs a kernel with one JSON output.
    pub(crate) fn compute_json(&mut self, kernel: &str, params: Value, args: Vec<Argument>) -> Value {
        let out = self.run(kernel, params, args, &[OutputKind::Json]);
        serde_json::from_slice(&std::fs::read(&out[0]).expect("read")).expect("JSON")
    }

    /// Shape and items row after row.
    pub(crate) fn read(&mut self, path: &Path) -> (Vec<usize>, Vec<f64>) {
        let file = self.cache.get(path).expect("mapped");
        let array = Array::open(file, path).expect("an array");
        (array.dims().to_vec(), array.to_f64().expect("numbers"))
    }

    fn attempt(
        &mut self,
        kernel: &str,
        params: Value,
        args: Vec<Argument>,
        kinds: &[OutputKind],
        donated: &[usize],
    ) -> Result<Vec<PathBuf>, KernelError> {
        self.count += 1;
        let outputs: Vec<OutputSlot> = kinds
            .iter()
            .enumerate()
            .map(|(index, kind)| OutputSlot {
                path: self.path(&format!("out-{}-{index}", self.count)),
                kind: *kind,
            })
            .collect();
        let invocation = Invocation {
            kernel: kernel.to_owned(),
            params: params.as_object().cloned().expect("a table"),
            args,
            outputs,
            threads: 1,
            donated: donated.to_vec(),
        };
        let done = invoke(&invocation, &mut self.cache)?;
        let paths: Vec<PathBuf> = invocation.outputs.into_iter().map(|slot| slot.path).collect();
        for (path, written) in paths.iter().zip(&done.outputs) {
            let bytes = std::fs::metadata(path).expect("written").len();
            assert_eq!(bytes, written.bytes, "{kernel} says how much it wrote");
        }
        Ok(paths)
    }
}

/// Turns items row after row into column after column.
pub(crate) fn transpose(rows: usize, cols: usize, items: &[f64]) -> Vec<f64> {
    (0..rows * cols).map(|at| items[(at % rows) * cols + at / rows]).collect()
}

/// The product of two matrices by the definition.
pub(crate) fn product(m: usize, k: usize, n: usize, a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut c = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            c[i * n + j] = (0..k).map(|p| a[i * k + p] * b[p * n + j]).sum();
        }
    }
    c
}

/// A random lower triangle with a strong diagonal, row after row.
pub(crate) fn lower(desk: &mut Desk, n: usize) -> Vec<f64> {
    let mut items = desk.random(n * n);
    for i in 0..n {
        for j in 0..n {
            if j > i {
                items[i * n + j] = 0.0;
            } else if i == j {
                items[i * n + j] = 2.0 + items[i * n + j].abs();
            }
        }
    }
    items
}

#[track_caller]
pub(crate) fn assert_close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (at, (x, y)) in found.iter().zip(expected).enumerate() {
        let close = (x - y).abs() <= tolerance * y.abs().max(1.0);
        // A NaN, as of an item never written, is never close.
        assert!(close, "item {at}: {x} and should be {y}");
    }
}
