//! The nearest known name to one that is not known.

/// The name among `known` that a person most likely meant, if any is near enough: at most a third of
/// its letters differ, by Damerau's count of insertions, deletions, changes and swaps of neighbours.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Names are short; longer ones are not worth the quadratic cost.
    if wrong.len() > 128 {
        return None;
    }
    let wrong: Vec<char> = wrong.to_lowercase().replace('-', "_").chars().collect();
    known
        .into_iter()
        .filter(|name| name.len() <= 128)
        .map(|name| {
            let other: Vec<char> = name.to_lowercase().replace('-', "_").chars().collect();
            (distance(&wrong, &other), other.len(), name)
        })
        .filter(|(distance, length, _)| *distance <= (length.max(&wrong.len()) / 3).max(1))
        .min()
        .map(|(_, _, name)| name)
}

fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let known = ["memory", "gpu_memory", "cpus", "timeout"];
        assert_eq!(nearest("memroy", known), Some("memory"));
        assert_eq!(nearest("gpu-memory", known), Some("gpu_memory"));
        assert_eq!(nearest("cpu", known), Some("cpus"));
        assert_eq!(nearest("elephant", known), None);
    }
}
