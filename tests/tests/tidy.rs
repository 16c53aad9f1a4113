//! The laws of the layout, checked over `cargo metadata` and the sources: who may depend on whom, where
//! `unsafe` may stand, and what the core must not know.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests lie in the workspace").to_owned()
}

struct Package {
    dir: PathBuf,
    /// Dependencies of the build, not those of tests.
    normal: BTreeSet<String>,
    all: BTreeSet<String>,
}

fn packages() -> BTreeMap<String, Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo speaks JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    metadata["packages"]
        .as_array()
        .expect("a list of packages")
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("a list of dependencies");
            let names = |wanted: &dyn Fn(&Value) -> bool| {
                dependencies.iter().filter(|d| wanted(d)).map(|d| text(&d["name"])).collect()
            };
            let manifest = PathBuf::from(text(&package["manifest_path"]));
            let dir = manifest.parent().expect("a manifest lies in a folder").to_owned();
            let package_names = Package {
                dir,
                normal: names(&|dependency| dependency["kind"].is_null()),
                all: names(&|_| true),
            };
            (text(&package["name"]), package_names)
        })
        .collect()
}

/// The import law: which crates of ours each may know. `None` may know every one.
const LAW: [(&str, Option<&[&str]>); 13] = [
    ("dunnage-model", Some(&[])),
    ("dunnage-core", Some(&["dunnage-model"])),
    ("dunnage-strategies", Some(&["dunnage-model", "dunnage-core"])),
    ("dunnage-wire", Some(&["dunnage-model"])),
    ("dunnage-sim", Some(&["dunnage-model", "dunnage-core", "dunnage-strategies", "dunnage-wire"])),
    ("dunnage-store", Some(&["dunnage-model", "dunnage-wire"])),
    ("dunnage-exec", Some(&["dunnage-model", "dunnage-wire"])),
    ("dunnage-devices", Some(&["dunnage-model"])),
    ("dunnage-kernels", Some(&["dunnage-model"])),
    ("dunnage-exporters", Some(&["dunnage-model"])),
    ("dunnage-daemon", None),
    ("dunnage-tests", None),
    ("dunnage-benches", None),
];

fn may_know(name: &str) -> Option<&'static [&'static str]> {
    if let Some((_, allowed)) = LAW.iter().find(|(known, _)| *known == name) {
        return *allowed;
    }
    // Fake libraries stand for somebody else's and know nothing of ours.
    let stands_apart = name.contains("fake");
    assert!(stands_apart, "`{name}` is not in the import law: add it to the table");
    Some(&[])
}

#[test]
fn every_crate_keeps_the_import_law() {
    let mut broken = Vec::new();
    for (name, package) in packages() {
        let Some(allowed) = may_know(&name) else { continue };
        for dependency in package.all.iter().filter(|dependency| dependency.starts_with("dunnage-")) {
            if !allowed.contains(&dependency.as_str()) {
                broken.push(format!("{name} may not know {dependency}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_pure_crates_depend_on_nothing_that_is_impure() {
    let packages = packages();
    let outside = |name: &str| -> Vec<&str> {
        let normal = packages[name].normal.iter();
        normal.map(String::as_str).filter(|dependency| !dependency.starts_with("dunnage-")).collect()
    };
    assert_eq!(outside("dunnage-model"), ["petgraph"]);
    assert_eq!(outside("dunnage-core"), Vec::<&str>::new());
    for name in ["dunnage-strategies", "dunnage-sim"] {
        for banned in ["tokio", "rand", "sysinfo", "rusqlite", "rustix", "libc"] {
            assert!(!packages[name].all.contains(banned), "{name} depends on {banned}");
        }
    }
}

/// All files of a kind below a folder, without build output and without folders of other packages.
fn files(dir: &Path, ends: &[&str], found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    let mut entries: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') && !path.join("Cargo.toml").exists() {
                files(&path, ends, found);
            }
        } else if ends.iter().any(|end| name.ends_with(end)) {
            found.push(path);
        }
    }
}

/// The code of a line, without its comment and without texts in quotes.
fn code(line: &str) -> String {
    let line = line.split("//").next().unwrap_or_default();
    line.split('"').step_by(2).collect::<Vec<_>>().join("\"\"")
}

#[test]
fn unsafe_stands_only_where_it_may() {
    let mut broken = Vec::new();
    for (name, package) in packages() {
        if ["dunnage-devices", "dunnage-kernels", "dunnage-exec"].contains(&name.as_str())
            || name.contains("fake")
        {
            continue;
        }
        let mut sources = Vec::new();
        files(&package.dir, &[".rs"], &mut sources);
        for source in sources {
            let text = std::fs::read_to_string(&source).expect("a source is text");
            for (n, line) in text.lines().enumerate() {
                let code = code(line);
                let words: Vec<&str> = code
                    .split(|c: char| !c.is_alphanumeric() && c != '_')
                    .filter(|word| !word.is_empty())
                    .collect();
                if words.contains(&"unsafe") {
                    broken.push(format!("{}:{}", source.display(), n + 1));
                }
            }
        }
    }
    assert!(broken.is_empty(), "`unsafe` may not stand in\n{}", broken.join("\n"));
}

#[test]
fn the_core_has_its_own_bans() {
    let text = std::fs::read_to_string(root().join("scheduler/core/clippy.toml"))
        .expect("the core has a clippy.toml");
    for ban in [
        "std::time::Instant::now",
        "std::time::SystemTime::now",
        "std::thread::spawn",
        "std::thread::sleep",
        "std::env::var",
        "std::fs::File::open",
        "std::collections::HashMap",
        "std::collections::HashSet",
    ] {
        assert!(text.contains(&format!("path = \"{ban}\"")), "`{ban}` is not banned");
    }
}

/// What a lint cannot see in a dependency-free crate, by its words.
#[test]
fn the_core_names_no_clock_no_thread_no_file_and_no_hash_order() {
    let mut sources = Vec::new();
    files(&root().join("scheduler/core/src"), &[".rs"], &mut sources);
    files(&root().join("scheduler/strategies/src"), &[".rs"], &mut sources);
    assert!(sources.len() > 15, "the sources are where they were");
    for source in sources {
        let text = std::fs::read_to_string(&source).expect("a source is text");
        for (n, line) in text.lines().enumerate() {
            let code = code(line);
            for banned in [
                "HashMap",
                "HashSet",
                "std::time",
                "std::thread",
                "std::fs",
                "std::env",
                "std::net",
                "println!",
                "eprintln!",
            ] {
                assert!(!code.contains(banned), "{}:{}: {banned}", source.display(), n + 1);
            }
        }
    }
}

#[test]
fn no_file_says_where_its_author_keeps_it() {
    let mut all = Vec::new();
    for (_, package) in packages() {
        files(&package.dir, &[".rs", ".toml", ".md", ".sh", ".py"], &mut all);
    }
    for dir in ["docs", "examples"] {
        files(&root().join(dir), &[".md", ".toml", ".py", ".sh"], &mut all);
    }
    files(&root().join(".ci"), &["run"], &mut all);
    // Wherever the sources lie on the machine that runs this: no file may say so.
    let banned = root().display().to_string();
    let mut broken = Vec::new();
    for file in all {
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        for (n, line) in text.lines().enumerate() {
            if line.contains(&banned) {
                broken.push(format!("{}:{}: {}", file.display(), n + 1, line.trim()));
            }
        }
    }
    assert!(broken.is_empty(), "the path of these sources stands in\n{}", broken.join("\n"));
}
