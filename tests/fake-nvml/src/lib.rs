//! A `libnvidia-ml.so` of our own, for tests on machines without a GPU.
//!
//! It exports the C symbols that `nvml-wrapper` looks up, with the struct layouts of
//! `nvml-wrapper-sys`, so that the production NVML path runs unchanged. What it answers comes from
//! - `FAKE_NVML_SCENARIO`: a TOML file with devices and faults (`scenario.rs`), read again whenever it
//!   changes, so that a test can make a GPU be lost or come back;
//! - `FAKE_NVML_CLAIMS`: a directory in which fake tasks say what they use (`claims.rs`), so that used
//!   memory and process lists react to what a scheduler really started.
//!
//! Without a scenario every call says "driver not loaded". The entry points are in `ffi.rs`, the
//! behaviour in `world.rs`.

mod claims;
mod ffi;
mod scenario;
mod world;
