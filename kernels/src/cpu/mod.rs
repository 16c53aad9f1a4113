//! The kernels' bodies for the CPU, one file each, with its description and its cost.

pub(crate) mod copy;
pub(crate) mod elementwise;
pub(crate) mod gemm;
pub(crate) mod load_csv;
pub(crate) mod log_marginal_likelihood;
pub(crate) mod logdet;
pub(crate) mod noop;
pub(crate) mod potrf;
pub(crate) mod random_fill;
pub(crate) mod rbf_covariance;
pub(crate) mod record;
pub(crate) mod reduce;
pub(crate) mod rmse;
pub(crate) mod select_best;
pub(crate) mod sleep;
pub(crate) mod slice;
pub(crate) mod softmax;
pub(crate) mod syrk;
pub(crate) mod transpose;
pub(crate) mod trsm;
pub(crate) mod trsv;
