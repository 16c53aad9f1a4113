//! The command line of a benchmark: `--NAME NUMBER` for each of its numbers, and `--json`.

use crate::Failure;

/// A number that a benchmark takes.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    /// `tasks` is given as `--tasks N`.
    pub name: &'static str,
    /// Where it is not given.
    pub default: usize,
    /// For the help.
    pub about: &'static str,
}

/// What was given.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether to print one JSON document instead of a table.
    pub json: bool,
    numbers: Vec<(&'static str, usize)>,
}

impl Options {
    /// Reads the command line; `--help` prints what there is and ends the process.
    pub fn read(about: &str, known: &[Number]) -> Result<Self, Failure> {
        Self::parse(std::env::args().skip(1), about, known)
    }

    fn parse(words: impl Iterator<Item = String>, about: &str, known: &[Number]) -> Result<Self, Failure> {
        let numbers = known.iter().map(|number| (number.name, number.default)).collect();
        let mut options = Self { json: false, numbers };
        let mut words = words;
        while let Some(word) = words.next() {
            match word.as_str() {
                "--json" => options.json = true,
                "--help" | "-h" => {
                    println!("{about}\n\n  --json  one JSON document instead of a table");
                    for number in known {
                        println!("  --{} N  {} (default {})", number.name, number.about, number.default);
                    }
                    std::process::exit(0);
                }
                flag => {
                    let name = flag.trim_start_matches('-');
                    let Some(at) = options.numbers.iter_mut().find(|(known, _)| *known == name) else {
                        return Err(format!("there is no flag `{flag}`; `--help` lists them").into());
                    };
                    let value = words.next().ok_or_else(|| format!("`{flag}` takes a number"))?;
                    at.1 = value.parse().map_err(|_| format!("{flag}: not a number: `{value}`"))?;
                }
            }
        }
        Ok(options)
    }

    /// A number by its name; at least 1.
    pub fn number(&self, name: &str) -> usize {
        self.numbers.iter().find(|(known, _)| *known == name).map_or(1, |(_, value)| (*value).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Number; 1] = [Number { name: "tasks", default: 7, about: "" }];

    fn parse(text: &str) -> Result<Options, Failure> {
        Options::parse(text.split_whitespace().map(str::to_owned), "", &KNOWN)
    }

    #[test]
    fn numbers_have_defaults_and_unknown_flags_are_refused() {
        assert_eq!(parse("").expect("nothing given").number("tasks"), 7);
        let given = parse("--json --tasks 9").expect("both known");
        assert_eq!((given.json, given.number("tasks")), (true, 9));
        assert!(parse("--task 9").is_err());
        assert!(parse("--tasks many").is_err());
        assert!(parse("--tasks").is_err());
    }
}
