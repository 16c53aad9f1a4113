//! What tells functions apart in the history.
//!
//! A signature is what a function *runs*, not what its graph is called: the words of a command before the
//! first placeholder, or the name of a kernel or a Python call, and the family. So a graph that is renamed,
//! submitted from another file or generated anew keeps its history; a function whose command begins with
//! other words, or whose family has another name, begins a new one. Two graphs with the same family and the
//! same first words share theirs; where they behave differently, the buckets of input size and of declared
//! work tell them apart, or the spread of the band tells that they are not.
//!
//! Where a daemon serves several users, each has a history of his own (`Graph::history`), so that nobody's
//! runs mislead another's. The folder of a graph file does not count: what is generated into a new folder each
//! time keeps its history, and of two projects that run `python3 train.py` in families of the same name the
//! runs are taken together, so such families are better named apart.
//!
//! Hashes are our own and fixed, since they are kept on disk. They are no defence: who finds two texts with
//! the same hash may mislead an estimate, and an estimate is never more than an expectation.

use dunnage_model::{Arg, Code, DeviceKind, Graph, HistoryKey, Literal};

/// So many bytes of a command's words count; a script within a word may be long.
const WORD_BYTES_MAX: usize = 512;

/// So many arguments are looked at for their sizes.
const ARGS_MAX: usize = 64;

/// The key of a variant of a task on a class of device.
pub(crate) fn key(graph: &Graph, task: u32, variant: u8, class: &str) -> HistoryKey {
    HistoryKey {
        function: function(graph, task),
        kind: graph.variant(task, variant).kind,
        class: text(class),
        size: size(graph, task, variant),
    }
}

/// The hash of a class of device.
pub(crate) fn text(text: &str) -> u64 {
    let mut hash = Hash::new();
    hash.text(text);
    hash.finish()
}

/// The hash of what a task runs and of its family.
pub(crate) fn function(graph: &Graph, task: u32) -> u64 {
    let mut hash = Hash::new();
    if graph.history != 0 {
        hash.word(graph.history);
    }
    hash.text(graph.family(task));
    match &graph.function(task).code {
        Code::Command(words) => {
            hash.word(1);
            let mut left = WORD_BYTES_MAX;
            for word in words {
                let (fixed, open) = fixed_part(word);
                let part = cut(fixed, left);
                hash.text(part);
                left -= part.len();
                if open || left == 0 {
                    break;
                }
            }
        }
        Code::Kernel { name, .. } => {
            hash.word(2);
            hash.text(name);
        }
        Code::Python { call, .. } => {
            hash.word(3);
            hash.text(call);
        }
    }
    hash.finish()
}

/// What a task runs, for people.
pub(crate) fn label(graph: &Graph, task: u32) -> String {
    let what = match &graph.function(task).code {
        Code::Command(words) => {
            // The program and the first word; later ones may hold what is nobody's business.
            let words = words.iter().map(|word| (word, fixed_part(word)));
            let shown: Vec<&str> = words
                .take_while(|(_, (fixed, open))| !open && !fixed.is_empty())
                .take(2)
                .map(|(_, (fixed, _))| cut(fixed, 40))
                .collect();
            shown.join(" ")
        }
        Code::Kernel { name, .. } => name.clone(),
        Code::Python { call, .. } => call.clone(),
    };
    let family = graph.family(task);
    let label = if what.is_empty() { family.to_owned() } else { format!("{family}: {what}") };
    let label: String = label.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    label.chars().take(dunnage_model::HISTORY_LABEL_MAX).collect()
}

/// The bucket of a task's input: see [`HistoryKey::size`].
fn size(graph: &Graph, task: u32, variant: u8) -> u16 {
    let mut bytes = 0_u64;
    for arg in graph.args(task).iter().take(ARGS_MAX) {
        let (producer, index, count) = match arg {
            Arg::Value { task, index } => (*task, *index, 1),
            Arg::Family { group, index, .. } => {
                let members = graph.members(*group);
                if members.is_empty() {
                    continue;
                }
                (members.start, *index, u64::from(members.end - members.start))
            }
        };
        let output = graph.function(producer).outputs.get(usize::from(index));
        let size = output.and_then(|output| output.size).map_or(0, |size| size.0);
        bytes = bytes.saturating_add(size.saturating_mul(count));
    }
    let work = declared_work(graph, task, variant).saturating_add(power(largest_parameter(graph, task)));
    u16::from(power(bytes)) << 8 | u16::from(work)
}

/// The power of two of what its author says it computes, moves or takes. Two graphs that run the same script
/// with very different work are told apart by it, where it is declared.
fn declared_work(graph: &Graph, task: u32, variant: u8) -> u8 {
    let cost = &graph.variant(task, variant).cost;
    // What is no number or below one counts as nothing.
    match (cost.flops, cost.bytes, cost.declared_duration()) {
        (Some(flops), ..) => power(flops as u64),
        (None, Some(bytes), _) => power(bytes.0),
        (None, None, Some(duration)) => power(duration.0),
        (None, None, None) => 0,
    }
}

/// The largest whole number among a kernel's parameters: the side of a matrix, the count of rows. A seed is
/// no size.
fn largest_parameter(graph: &Graph, task: u32) -> u64 {
    let Code::Kernel { params, .. } = &graph.function(task).code else { return 0 };
    let mut largest = 0;
    for (name, value) in params.iter().take(ARGS_MAX) {
        if name.contains("seed") {
            continue;
        }
        let found = match value {
            Literal::Int(n) => u64::try_from(*n).unwrap_or(0),
            Literal::Text(text) => bound(graph, task, text),
            Literal::List(items) => items.iter().take(ARGS_MAX).fold(0, |most, item| match item {
                Literal::Int(n) => most.max(u64::try_from(*n).unwrap_or(0)),
                _ => most,
            }),
            Literal::Null | Literal::Bool(_) | Literal::Float(_) | Literal::Table(_) => 0,
        };
        largest = largest.max(found);
    }
    largest
}

/// The number that a placeholder of the sweep stands for.
fn bound(graph: &Graph, task: u32, text: &str) -> u64 {
    let Some(name) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) else {
        return text.parse().unwrap_or(0);
    };
    let bindings = graph.bindings(task);
    bindings.iter().find(|(known, _)| *known == name).and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

/// 0 for nothing, else one more than the power of two below.
const fn power(n: u64) -> u8 {
    (u64::BITS - n.leading_zeros()) as u8
}

/// How far apart two buckets of size are.
pub(crate) fn distance(a: u16, b: u16) -> u32 {
    u32::from((a >> 8).abs_diff(b >> 8)) + u32::from((a & 0xff).abs_diff(b & 0xff))
}

/// A word up to its first placeholder, and whether there is one.
fn fixed_part(word: &str) -> (&str, bool) {
    let bytes = word.as_bytes();
    let mut at = 0;
    while let Some(found) = word[at..].find('{') {
        let open = at + found;
        // `{{` stands for a brace; a script's own braces hold more than a name.
        if bytes.get(open + 1) == Some(&b'{') {
            at = open + 2;
            continue;
        }
        let name = &word[open + 1..];
        let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')));
        if let Some(end) = end
            && end > 0
            && name.as_bytes()[end] == b'}'
        {
            return (&word[..open], true);
        }
        at = open + 1;
    }
    (word, false)
}

fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Sixty-four bits, eight bytes at a time: multiply and fold, as in wyhash (Wang Yi 2019).
struct Hash(u64);

impl Hash {
    const fn new() -> Self {
        Self(0x243f_6a88_85a3_08d3)
    }

    fn word(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(0x9e37_79b9_7f4a_7c15_u64);
        self.0 = (product as u64) ^ ((product >> 64) as u64) ^ 0xa076_1d64_78bd_642f;
    }

    /// A text, so that what follows cannot be taken for a part of it.
    fn text(&mut self, text: &str) {
        self.word(text.len() as u64);
        for chunk in text.as_bytes().chunks(8) {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(bytes));
        }
    }

    fn finish(mut self) -> u64 {
        self.word(0x5851_f42d_4c95_7f2d);
        self.0
    }
}

/// The first and the last key of a function on a kind of device.
pub(crate) const fn range(function: u64, kind: DeviceKind) -> std::ops::RangeInclusive<HistoryKey> {
    HistoryKey { function, kind, class: 0, size: 0 }..=HistoryKey {
        function,
        kind,
        class: u64::MAX,
        size: u16::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunnage_model::{ArgSpec, Axis, Bytes, FunctionSpec, GraphSpec, Limits, OutputKind, OutputSpec};

    fn graph(name: &str, functions: Vec<FunctionSpec>) -> Graph {
        Graph::build(
            GraphSpec { name: Some(name.to_owned()), functions, ..GraphSpec::default() },
            &Limits::default(),
        )
        .unwrap()
    }

    fn command(id: &str, words: &[&str]) -> FunctionSpec {
        FunctionSpec {
            id: id.to_owned(),
            code: Code::Command(words.iter().map(|word| (*word).to_owned()).collect()),
            ..FunctionSpec::default()
        }
    }

    fn of(words: &[&str]) -> u64 {
        function(&graph("g", vec![command("train", words)]), 0)
    }

    #[test]
    fn the_name_of_the_graph_does_not_matter_and_the_code_does() {
        let words = ["python3", "train.py", "{id}", "--fast"];
        let a = graph("monday", vec![command("train", &words)]);
        let b = graph("tuesday", vec![command("other", &["true"]), command("train", &words)]);
        assert_eq!(function(&a, 0), function(&b, 1));
        assert_eq!(of(&words), of(&["python3", "train.py", "{id}", "--slow"]), "words behind a placeholder");
        assert_ne!(of(&words), of(&["python3", "test.py", "{id}"]));
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_eq!(label(&a, 0), "train: python3 train.py");
    }

    #[test]
    fn users_have_histories_of_their_own() {
        let of = |history| {
            let mut graph = graph("g", vec![command("train", &["train"])]);
            graph.history = history;
            function(&graph, 0)
        };
        assert!(of(0) != of(1001) && of(1001) != of(1002));
        assert_eq!(of(1001), of(1001));
    }

    #[test]
    fn braces_of_a_script_are_no_placeholders() {
        assert_eq!(fixed_part("a{id}b"), ("a", true));
        for text in ["awk '{print $1}'", "{{id}}", "{", "{}", "a{", "é{ é}"] {
            assert_eq!(fixed_part(text), (text, false));
        }
    }

    #[test]
    fn hashes_are_those_on_disk() {
        // Kept in histories: another value would make all of them worthless.
        assert_eq!(text(""), 3_305_829_163_737_664_810);
        assert_eq!(text("NVIDIA H200"), 8_347_094_420_545_522_682);
    }

    #[test]
    fn sizes_come_from_inputs_and_parameters() {
        let output = OutputSpec { kind: OutputKind::File, size: Some(Bytes(1000)) };
        let mut make = command("make", &["true"]);
        make.outputs = vec![output];
        let mut read = command("read", &["true"]);
        read.args = vec![ArgSpec { producer: "make".to_owned(), index: 0, succeeded: false }];
        let mut sweep = FunctionSpec {
            id: "fill-{n}".to_owned(),
            code: Code::Kernel {
                name: "random_fill".to_owned(),
                params: vec![
                    ("n".to_owned(), Literal::Text("{n}".to_owned())),
                    ("seed".to_owned(), Literal::Int(i64::MAX)),
                ],
            },
            ..FunctionSpec::default()
        };
        sweep.foreach = vec![Axis { name: "n".to_owned(), values: vec!["3".to_owned(), "1024".to_owned()] }];
        let mut long = command("long", &["true"]);
        long.cost.duration = Some(dunnage_model::Span::secs(1));
        let graph = graph("g", vec![make, read, sweep, long]);
        assert_eq!(size(&graph, 4, 0), 20, "2^19 microseconds and more");
        assert_eq!([0, 1, 2, 3].map(|task| size(&graph, task, 0)), [0, 10 << 8, 2, 11]);
        assert_eq!(distance(10 << 8 | 3, 8 << 8 | 4), 3);
    }
}
