//! Captured environments: each stored once, in a file for its owner alone, outside the journal.
//!
//! An environment may hold secrets, so it is never in the journal, in logs or in an answer; there it
//! has a name, made of a hash of its content. Two environments of one hash get two names, because what
//! is there is compared: nobody can be given the environment of somebody else.

use crate::StoreError;
use crate::dir::{make_dir, write_durably};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The folder of environments.
#[derive(Clone, Debug)]
pub struct EnvStore {
    folder: PathBuf,
}

impl EnvStore {
    /// The environments of a state directory: `StateDir::folder("env")`.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        make_dir(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Stores an environment, if it is not there yet, and gives its name. It survives the loss of power.
    ///
    /// # Errors
    ///
    /// When a name is empty or has `=` in it, or anything has a zero byte in it; or when it cannot be
    /// written.
    pub fn put(&self, variables: &[(String, String)]) -> Result<String, StoreError> {
        self.put_as(hash(&encode(variables)?), variables)
    }

    /// An environment by its name; none if it was never stored or is already removed.
    pub fn get(&self, name: &str) -> Result<Option<Vec<(String, String)>>, StoreError> {
        if !is_name(name) {
            return Ok(None);
        }
        let path = self.folder.join(name);
        match fs::read(&path) {
            Ok(bytes) => decode(&bytes)
                .map(Some)
                .ok_or_else(|| StoreError::Damaged { path, detail: "it does not hold variables".to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::io("read", &path, source)),
        }
    }

    /// Removes every environment but these, and says how many.
    pub fn retain(&self, in_use: &BTreeSet<String>) -> Result<usize, StoreError> {
        let mut removed = 0;
        for entry in
            fs::read_dir(&self.folder).map_err(|source| StoreError::io("list", &self.folder, source))?
        {
            let entry = entry.map_err(|source| StoreError::io("list", &self.folder, source))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_name(&name) && !in_use.contains(&name) {
                fs::remove_file(entry.path())
                    .map_err(|source| StoreError::io("remove", &entry.path(), source))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn put_as(&self, hash: u128, variables: &[(String, String)]) -> Result<String, StoreError> {
        let bytes = encode(variables)?;
        let mut name = format!("{hash:032x}");
        for twin in 1u32.. {
            match fs::read(self.folder.join(&name)) {
                Ok(found) if found == bytes => return Ok(name),
                Ok(_) => name = format!("{hash:032x}-{twin}"),
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(source) => return Err(StoreError::io("read", &self.folder.join(&name), source)),
            }
        }
        write_durably(&self.folder, &name, &bytes)?;
        Ok(name)
    }
}

/// Variables as `NAME=value` with a zero byte after each, sorted, so that order makes no difference.
fn encode(variables: &[(String, String)]) -> Result<Vec<u8>, StoreError> {
    let mut sorted: Vec<&(String, String)> = variables.iter().collect();
    sorted.sort();
    let mut bytes = Vec::new();
    for (name, value) in sorted {
        let why = if name.is_empty() {
            "the name is empty"
        } else if name.contains('=') {
            "the name has `=` in it"
        } else if name.contains('\0') || value.contains('\0') {
            "it has a zero byte in it"
        } else {
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(b'=');
            bytes.extend_from_slice(value.as_bytes());
            bytes.push(0);
            continue;
        };
        // The value may be a secret and is not told.
        return Err(StoreError::BadValue {
            what: "the environment variable",
            value: name.replace('\0', "\\0"),
            why,
        });
    }
    Ok(bytes)
}

fn decode(bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let text = std::str::from_utf8(bytes).ok()?;
    if text.is_empty() {
        return Some(Vec::new());
    }
    text.strip_suffix('\0')?
        .split('\0')
        .map(|variable| variable.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect()
}

/// FNV-1a of 128 bits: the same in every version and on every machine.
fn hash(bytes: &[u8]) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(BASIS, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

/// Whether a word can be the name of an environment, and so no path to anywhere else.
fn is_name(name: &str) -> bool {
    let (hash, twin) = name.split_once('-').unwrap_or((name, "0"));
    hash.len() == 32
        && hash.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        && !twin.is_empty()
        && twin.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{EnvStore, hash};
    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn an_environment_comes_back_and_is_stored_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = EnvStore::open(&dir.path().join("env")).unwrap();
        let name = store.put(&variables(&[("B", "x=y\nz"), ("A", "")])).unwrap();
        assert_eq!(store.put(&variables(&[("A", ""), ("B", "x=y\nz")])).unwrap(), name);
        assert_eq!(store.get(&name).unwrap().unwrap(), variables(&[("A", ""), ("B", "x=y\nz")]));
        let files: Vec<_> = fs::read_dir(dir.path().join("env")).unwrap().map(Result::unwrap).collect();
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let empty = store.put(&[]).unwrap();
        assert_eq!(store.get(&empty).unwrap().unwrap(), []);
    }

    #[test]
    fn two_environments_of_one_hash_stay_two() {
        let dir = tempfile::tempdir().unwrap();
        let store = EnvStore::open(dir.path()).unwrap();
        let (mine, yours) = (variables(&[("KEY", "mine")]), variables(&[("KEY", "yours")]));
        let first = store.put_as(1, &mine).unwrap();
        let second = store.put_as(1, &yours).unwrap();
        assert_ne!(first, second);
        assert_eq!(store.put_as(1, &yours).unwrap(), second);
        assert_eq!(store.get(&first).unwrap().unwrap(), mine);
        assert_eq!(store.get(&second).unwrap().unwrap(), yours);
    }

    #[test]
    fn the_hash_never_changes() {
        assert_eq!(hash(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(hash(b"foobar"), 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
    }

    #[test]
    fn names_that_are_paths_find_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = EnvStore::open(dir.path()).unwrap();
        for name in ["../lock", "", "/etc/passwd", "0123", "0123456789abcdef0123456789abcdef-../x"] {
            assert_eq!(store.get(name).unwrap(), None, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_a_variable_is_refused_without_telling_its_value() {
        let dir = tempfile::tempdir().unwrap();
        let store = EnvStore::open(dir.path()).unwrap();
        for pair in [("", "secret"), ("A=B", "secret"), ("A", "secret\0"), ("A\0", "secret")] {
            let error = store.put(&variables(&[pair])).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn what_is_not_in_use_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let store = EnvStore::open(dir.path()).unwrap();
        let kept = store.put(&variables(&[("A", "1")])).unwrap();
        let gone = store.put(&variables(&[("A", "2")])).unwrap();
        assert_eq!(store.retain(&BTreeSet::from([kept.clone()])).unwrap(), 1);
        assert!(store.get(&kept).unwrap().is_some());
        assert_eq!(store.get(&gone).unwrap(), None);
    }
}
