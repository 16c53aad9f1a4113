//! What tasks write of themselves: the only witness that does not belong to the program.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A line of a diary.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Whether it began or ended.
    pub begins: bool,
    /// Which function.
    pub function: String,
    /// Which attempt.
    pub attempt: u32,
    /// Its process.
    pub pid: u32,
    /// What `CUDA_VISIBLE_DEVICES` held.
    pub gpus: Vec<String>,
}

/// The lines in the order in which they were written. A task's lines lie within its life, so two that
/// overlap here have overlapped.
#[derive(Clone, Debug, Default)]
pub struct Diary {
    /// The lines.
    pub entries: Vec<Entry>,
}

impl Diary {
    pub(crate) fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_default();
        let entry = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            Some(Entry {
                begins: *words.first()? == "start",
                function: (*words.get(1)?).to_owned(),
                attempt: words.get(2)?.parse().ok()?,
                pid: words.get(3)?.parse().ok()?,
                gpus: words.get(4).map_or_else(Vec::new, |list| list.split(',').map(str::to_owned).collect()),
            })
        };
        // Of a line that is being written the end is missing.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let entries = whole.lines().map(|line| entry(line).unwrap_or_else(|| panic!("not a line: {line:?}")));
        Self { entries: entries.collect() }
    }

    /// How often each function began.
    pub fn starts(&self) -> BTreeMap<&str, usize> {
        let mut starts = BTreeMap::new();
        for entry in self.entries.iter().filter(|entry| entry.begins) {
            *starts.entry(entry.function.as_str()).or_default() += 1;
        }
        starts
    }

    /// The functions that ended, in order.
    pub fn ends(&self) -> Vec<&str> {
        self.entries.iter().filter(|entry| !entry.begins).map(|entry| entry.function.as_str()).collect()
    }

    /// The functions that began, in order.
    pub fn begins(&self) -> Vec<&str> {
        self.entries.iter().filter(|entry| entry.begins).map(|entry| entry.function.as_str()).collect()
    }

    /// The process in which a function began last.
    pub fn pid_of(&self, function: &str) -> Option<u32> {
        self.entries
            .iter()
            .rev()
            .find(|entry| entry.begins && entry.function == function)
            .map(|entry| entry.pid)
    }

    /// Makes sure that each of so many functions began once and ended once.
    ///
    /// # Panics
    /// One was lost or started twice.
    pub fn each_exactly_once(&self, functions: usize) {
        let starts = self.starts();
        let twice: Vec<_> = starts.iter().filter(|(_, times)| **times != 1).collect();
        assert!(twice.is_empty(), "started more than once: {twice:?}");
        assert_eq!(starts.len(), functions, "some never began: {starts:?}");
        let ends: BTreeSet<&str> = self.ends().into_iter().collect();
        assert_eq!((ends.len(), self.ends().len()), (functions, functions), "some did not end once");
    }

    /// The largest sum of what overlapping tasks need of one key.
    pub fn peak<K: Ord + Clone>(&self, mut needs: impl FnMut(&Entry) -> Vec<(K, u64)>) -> BTreeMap<K, u64> {
        let mut now: BTreeMap<K, u64> = BTreeMap::new();
        let mut most: BTreeMap<K, u64> = BTreeMap::new();
        for entry in &self.entries {
            for (key, need) in needs(entry) {
                let sum = now.entry(key.clone()).or_default();
                *sum = if entry.begins { *sum + need } else { sum.saturating_sub(need) };
                let peak = most.entry(key).or_default();
                *peak = (*peak).max(*sum);
            }
        }
        most
    }

    /// The most tasks that were there at once.
    pub fn most_at_once(&self) -> u64 {
        self.peak(|_| vec![((), 1)]).get(&()).copied().unwrap_or(0)
    }
}
