//! JSON documents whose errors have a line, a column and a path.

use super::FormatError;
use serde::de::DeserializeOwned;

/// Reads a document.
///
/// # Errors
/// The first place that is not as it should be.
pub(super) fn read<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, FormatError> {
    let mut source = serde_json::Deserializer::from_slice(bytes);
    let doc = serde_path_to_error::deserialize(&mut source).map_err(|error| {
        let place = error.path().to_string();
        let inner = error.into_inner();
        let at = (inner.line(), inner.column());
        let message = inner.to_string();
        // The position stands at its own place.
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        let place = if place == "." { String::new() } else { place };
        FormatError::new(name, place, message).at((at.0 > 0).then_some(at))
    })?;
    source.end().map_err(|error| {
        FormatError::new(name, "", "there is more after the document")
            .at(Some((error.line(), error.column())))
    })?;
    Ok(doc)
}

/// A step of a path in a document.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'k> {
    /// The value of a key.
    Key(&'k str),
    /// An element of a list.
    Index(usize),
}

/// An error at a path of a document that was read: with the line and column of the value there, and the
/// value itself as written.
pub(super) fn wrong(name: &str, bytes: &[u8], path: &[Step<'_>], message: impl Into<String>) -> FormatError {
    let mut place = String::new();
    for step in path {
        match step {
            Step::Key(key) if place.is_empty() => place.push_str(key),
            Step::Key(key) => {
                place.push('.');
                place.push_str(key);
            }
            Step::Index(at) => place.push_str(&format!("[{at}]")),
        }
    }
    let error = FormatError::new(name, place, message);
    let Some((begin, end)) = locate(bytes, path) else { return error };
    let line = super::text::lines_before(bytes, begin) + 1;
    let column = begin - bytes[..begin].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1) + 1;
    let value = String::from_utf8_lossy(&bytes[begin..end]).into_owned();
    error.at(Some((line, column))).value(value)
}

/// Where the value at a path begins and ends. The document was read before, so it is well-formed.
fn locate(bytes: &[u8], path: &[Step<'_>]) -> Option<(usize, usize)> {
    let mut scanner = Scanner { bytes, at: 0 };
    for step in path {
        scanner.blank();
        match step {
            Step::Index(wanted) => {
                scanner.expect(b'[')?;
                for _ in 0..*wanted {
                    scanner.skip()?;
                    scanner.expect(b',')?;
                }
            }
            Step::Key(wanted) => {
                scanner.expect(b'{')?;
                loop {
                    scanner.blank();
                    let begin = scanner.at;
                    scanner.skip()?;
                    let key = serde_json::from_slice::<String>(&bytes[begin..scanner.at]).ok()?;
                    scanner.expect(b':')?;
                    if key == *wanted {
                        break;
                    }
                    scanner.skip()?;
                    scanner.expect(b',')?;
                }
            }
        }
    }
    scanner.blank();
    let begin = scanner.at;
    scanner.skip()?;
    Some((begin, scanner.at))
}

struct Scanner<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Scanner<'_> {
    fn blank(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.blank();
        (self.bytes.get(self.at) == Some(&byte)).then(|| self.at += 1)
    }

    /// Passes over one value.
    fn skip(&mut self) -> Option<()> {
        self.blank();
        let mut depth = 0_usize;
        loop {
            match *self.bytes.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    while *self.bytes.get(self.at)? != b'"' {
                        self.at += if self.bytes[self.at] == b'\\' { 2 } else { 1 };
                    }
                    self.at += 1;
                }
                b'[' | b'{' => {
                    depth += 1;
                    self.at += 1;
                    continue;
                }
                b']' | b'}' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                byte if byte.is_ascii_whitespace() => {
                    self.at += 1;
                    continue;
                }
                _ => {
                    while self.bytes.get(self.at).is_some_and(|byte| !b",:]} \t\r\n".contains(byte)) {
                        self.at += 1;
                    }
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_path() {
        let text = b"{ \"a\": [1, {\"x,]\": \"}\\\"\"}, [2,\n -3.5e1]],\n \"b\" : {\"c\":null} }";
        let found = |path: &[Step<'_>]| {
            let error = wrong("f", text, path, "m");
            (error.at, error.place, error.value)
        };
        use Step::{Index, Key};
        assert_eq!(
            found(&[Key("a"), Index(2), Index(1)]),
            (Some((2, 2)), "a[2][1]".to_owned(), "-3.5e1".to_owned())
        );
        assert_eq!(found(&[Key("b"), Key("c")]), (Some((3, 13)), "b.c".to_owned(), "null".to_owned()));
        assert_eq!(found(&[Key("a"), Index(0)]).2, "1");
        assert_eq!(found(&[Key("z")]).0, None);
        assert_eq!(found(&[Key("a"), Index(9)]).0, None);
    }

    #[test]
    fn a_type_that_is_wrong_is_named_with_its_path() {
        #[derive(serde::Deserialize, Debug)]
        struct Doc {
            #[expect(dead_code, reason = "only its type matters here")]
            a: Vec<f64>,
        }
        let error = read::<Doc>("f", b"{\"a\":[1,\n\"x\"]}").expect_err("not a number");
        assert_eq!((error.at, error.place.as_str()), (Some((2, 3)), "a[1]"));
        assert!(read::<Doc>("f", b"{\"a\":[1e999]}").is_err());
        assert!(read::<Doc>("f", b"{\"a\":[NaN]}").is_err());
        assert!(read::<Doc>("f", b"{\"a\":[]} x").is_err());
    }
}
