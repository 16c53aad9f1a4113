//! Where the program and the fake libraries are: beside the test, built by cargo where they are missing.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The variable that names another program to test than the one beside the tests.
const OTHER: &str = "TEST_DUNNAGE";

/// The program.
pub fn dunnage() -> PathBuf {
    match std::env::var_os(OTHER) {
        Some(path) => path.into(),
        None => built("dunnage", "dunnage-daemon"),
    }
}

/// The library that stands for the driver's `libnvidia-ml.so`.
pub fn fake_nvml() -> PathBuf {
    built("libfake_nvml.so", "fake-nvml")
}

/// The folder of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the workspace")
}

fn built(file: &str, package: &str) -> PathBuf {
    let test = std::env::current_exe().expect("our own path");
    // target/PROFILE/deps/run-HASH
    let profile = test.parent().and_then(Path::parent).expect("a profile's folder");
    let path = profile.join(file);
    if path.exists() {
        return path;
    }
    let target = profile.parent().expect("a target folder");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--offline", "--quiet", "--package", package, "--target-dir"]).arg(target);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
    assert!(status.success() && path.exists(), "`{}` does not build", path.display());
    path
}
