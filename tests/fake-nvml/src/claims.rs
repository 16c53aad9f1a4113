//! Claims: one small file per fake task, saying what it uses of which GPU.
//!
//! ```text
//! pid = 4711
//! gpu = GPU-a
//! bytes = 4GiB
//! sm = 0.5
//! ```
//! Values may be quoted, so that TOML does as well. Write the file under another name and rename it:
//! a half-written claim is skipped. A claim whose process has ended counts no longer.

use crate::scenario::parse_size;
use std::fs;
use std::path::Path;

/// What a live process says it uses.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Claim {
    pub(crate) pid: u32,
    pub(crate) gpu: String,
    pub(crate) bytes: u64,
    pub(crate) sm: f64,
}

/// The claims of live processes in this directory, in order of pid.
pub(crate) fn live(directory: &Path) -> Vec<Claim> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut claims: Vec<Claim> = entries
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .filter_map(|text| parse(&text))
        .filter(|claim| alive(claim.pid))
        .collect();
    claims.sort_by(|a, b| (a.pid, &a.gpu).cmp(&(b.pid, &b.gpu)));
    claims
}

fn parse(text: &str) -> Option<Claim> {
    let value = |key: &str| {
        text.lines().filter_map(|line| line.split_once('=')).find_map(|(name, value)| {
            (name.trim() == key).then(|| value.trim().trim_matches(|c| c == '"' || c == '\'').to_owned())
        })
    };
    Some(Claim {
        pid: value("pid")?.parse().ok()?,
        gpu: value("gpu")?,
        bytes: parse_size(&value("bytes")?)?,
        sm: value("sm").and_then(|sm| sm.parse().ok()).unwrap_or(0.0),
    })
}

/// A zombie has given back its memory, so it counts as ended.
fn alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        // The state follows the command's name, which may itself hold spaces and parentheses.
        stat.rsplit_once(')')
            .is_some_and(|(_, rest)| !matches!(rest.trim_start().chars().next(), Some('Z' | 'X')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_read_with_and_without_quotes() {
        let expected = Claim { pid: 7, gpu: "GPU-a".to_owned(), bytes: 4 << 30, sm: 0.5 };
        assert_eq!(parse("pid=7\ngpu=GPU-a\nbytes=4GiB\nsm=0.5\n"), Some(expected.clone()));
        assert_eq!(parse("pid = 7\ngpu = \"GPU-a\"\nbytes = \"4GiB\"\nsm = 0.5\n"), Some(expected));
        assert_eq!(parse("pid = 7\ngpu = GP"), None, "half written");
    }

    #[test]
    fn only_the_living_count() {
        assert!(alive(std::process::id()));
        assert!(!alive(u32::MAX));
    }
}
