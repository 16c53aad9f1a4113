//! Random damage to a valid document: whatever comes out, decoding ends with a spec or with problems.

use dunnage_model::Problem;
use dunnage_wire::graph_file::{Limits, decode_json, decode_text, decode_toml, render};

const DESIGN: &str = include_str!("graphs/design.toml");

/// Pieces that are likely to get past the parser and into the readers.
const PIECES: [&str; 28] = [
    "-1",
    "1e400",
    "nan",
    "inf",
    "99999999999999999999999",
    "0-999999999999",
    "\"\"",
    "null",
    "true",
    "[]",
    "{}",
    "[",
    "}",
    "\"",
    "\\u0000",
    "=",
    ",",
    ".",
    "\n",
    "[[function]]",
    "cost",
    "retry",
    "foreach",
    "graph",
    "{lr}",
    "5-1",
    "GiB",
    "\u{1f600}",
];

struct XorShift(u64);

impl XorShift {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

fn damage(text: &str, random: &mut XorShift) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        let end = (at + random.below(12)).min(bytes.len());
        let piece = PIECES[random.below(PIECES.len())].as_bytes();
        match random.below(6) {
            0 => bytes[at] = (random.next() % 128) as u8,
            1 => drop(bytes.drain(at..end)),
            2 => drop(bytes.splice(at..at, piece.iter().copied())),
            3 => drop(bytes.splice(at..end, piece.iter().copied())),
            // Swaps a whole value for another one, which nearly always parses.
            4 => {
                let value = |from: usize| {
                    let begin =
                        bytes[from..].iter().position(|b| matches!(b, b'=' | b':')).map(|n| from + n + 1)?;
                    let end = bytes[begin..].iter().position(|b| matches!(b, b',' | b'\n' | b'}' | b']'))?;
                    Some(begin..begin + end)
                };
                if let Some(range) = value(at) {
                    drop(bytes.splice(range, piece.iter().copied()));
                }
            }
            _ => {
                let copy = bytes[at..end].to_vec();
                let to = random.below(bytes.len());
                drop(bytes.splice(to..to, copy));
            }
        }
        if bytes.is_empty() {
            bytes.push(b'{');
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn no_damage_makes_it_panic() {
    let json = decode_toml(DESIGN, &Limits::default()).unwrap().json;
    let limits = Limits { functions: 10_000, ..Limits::default() };
    let mut random = XorShift(0x9e37_79b9_7f4a_7c15);
    let mut decoded = 0;
    let mut deep = 0;
    for round in 0..20_000 {
        let (text, extension) = if round % 2 == 0 { (DESIGN, "toml") } else { (json.as_str(), "json") };
        let text = damage(text, &mut random);
        let streamed = (extension == "json").then(|| decode_json(text.as_bytes(), &limits).map(|d| d.spec));
        let whole = decode_text(text, extension, &limits);
        match &whole {
            Ok(_) => decoded += 1,
            Err((problems, places)) => {
                assert!(!problems.is_empty());
                deep += usize::from(!problems[0].place.starts_with("line "));
                assert!(!render(problems, "graph", places).is_empty());
            }
        }
        match (streamed, whole) {
            (Some(Ok(streamed)), Ok(whole)) => assert_eq!(streamed, whole.spec, "round {round}"),
            (Some(Err(streamed)), Err((whole, _))) => {
                // The two ways of reading differ by a column in where they see bad syntax.
                let without_places = |problems: Vec<Problem>| -> Vec<String> {
                    problems.into_iter().map(|problem| problem.message).collect()
                };
                assert_eq!(without_places(streamed), without_places(whole), "round {round}");
            }
            (Some(streamed), whole) => panic!("round {round}: {streamed:?} or {whole:?}"),
            (None, _) => {}
        }
    }
    // The damage is of use only where it gets past the parser.
    assert!(decoded > 1000 && deep > 1000, "{decoded} decoded, {deep} refused by the readers");
}
