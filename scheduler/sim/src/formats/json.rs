//! JSON documents whose errors have a line, a column and a path.

use super::FormatError;
use serde::de::DeserializeOwned;

/// Reads a document.
///
/// # Errors
/// The first place that is not as it should be.
pub(super) fn read<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, FormatError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(FormatError::new(name, "", "the file is empty")
            .hint("a JSON document is wanted; was it written to the end?"));
    }
    let mut source = serde_json::Deserializer::from_slice(bytes);
    let doc = serde_path_to_error::deserialize(&mut source).map_err(|error| {
        let place = error.path().to_string();
        let place = if place == "." { String::new() } else { place };
        told(name, bytes, place, &error.into_inner())
    })?;
    source.end().map_err(|error| {
        let (begin, token) = token(bytes, error.line(), error.column());
        FormatError::new(name, "", "there is more after the document")
            .at(Some(position(bytes, begin)))
            .value(token)
    })?;
    Ok(doc)
}

/// An error of the JSON reader in our own words: with the token as written, no names of types of this
/// program, and what to do about what other programs write.
fn told(name: &str, bytes: &[u8], place: String, error: &serde_json::Error) -> FormatError {
    let text = error.to_string();
    // The position stands at its own place.
    let text = text.split(" at line ").next().unwrap_or_default();
    if error.is_eof() {
        return FormatError::new(name, place, format!("the document ends too early: {text}"))
            .at(Some((error.line(), error.column().max(1))))
            .hint("was the file written to the end?");
    }
    let (begin, token) = token(bytes, error.line(), error.column());
    let error_at = |message: &str| {
        let error = FormatError::new(name, place.as_str(), message);
        if token.is_empty() {
            error.at(Some(position(bytes, begin)))
        } else {
            error.at(Some(position(bytes, begin))).value(&token)
        }
    };
    let bare = token.trim_start_matches(['-', '+']);
    if ["NaN", "nan", "Infinity", "inf", "Inf"].contains(&bare) {
        return error_at("this is no number of JSON")
            .hint("JSON has neither NaN nor Infinity: write a finite number, or leave the entry out");
    }
    if text == "number out of range" {
        return error_at("number out of range").hint("the largest is about 1.8e308");
    }
    if let Some((what, wanted)) =
        text.strip_prefix("invalid type: ").and_then(|rest| rest.split_once(", expected "))
    {
        let what = what.split([' ', ',']).next().unwrap_or_default();
        return error_at(&format!("this is {}, and {} is wanted", a_kind(what), plain(wanted)));
    }
    if text.starts_with("invalid length") || text.starts_with("invalid value") {
        let wanted = text.split_once(", expected ").map_or("something else", |(_, wanted)| wanted);
        let length = text.strip_prefix("invalid length ").and_then(|rest| rest.split(',').next());
        let message = match length {
            Some(length) => format!("this has {length} elements, and {} is wanted", plain(wanted)),
            None => format!("{} is wanted", plain(wanted)),
        };
        // Such an error stands at the end of the list.
        return FormatError::new(name, place, message).at(Some((error.line(), error.column())));
    }
    error_at(text)
}

/// A kind of value with its article.
fn a_kind(what: &str) -> &str {
    match what {
        "null" => "`null`",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "floating" => "a number with a fraction",
        "string" => "a text",
        "sequence" => "a list",
        "map" => "an object",
        other => other,
    }
}

/// What is wanted, without a word of how this program keeps it.
fn plain(wanted: &str) -> String {
    if wanted.starts_with("struct ") || wanted.starts_with("a map") {
        return "an object `{..}`".to_owned();
    }
    if wanted.starts_with("a sequence") {
        return "a list `[..]`".to_owned();
    }
    if let Some(size) = wanted.strip_prefix("a tuple of size ") {
        return format!("a list of {size}");
    }
    match wanted {
        "f64" | "f32" => "a number".to_owned(),
        "u64" | "u32" | "usize" | "u16" | "u8" => "a whole number from 0".to_owned(),
        "a string" => "a text".to_owned(),
        other if other.starts_with("enum ") || other.starts_with("tuple ") => "another value".to_owned(),
        other => other.to_owned(),
    }
}

/// At most so much of a token is shown.
const TOKEN_MAX: usize = 60;

/// The token that an error at this line and column (counted from 1, of a byte in it or right after it) is
/// about, and where it begins.
fn token(bytes: &[u8], line: usize, column: usize) -> (usize, String) {
    let mut from = 0;
    for _ in 1..line {
        from += bytes[from..].iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    }
    let is_part = |byte: &u8| !byte.is_ascii_whitespace() && !b",:[]{}\"".contains(byte);
    let mut at = (from + column.max(1) - 1).min(bytes.len());
    // The end of a text: it begins at the quote before, where there is no escape in it.
    if bytes.get(at) == Some(&b'"')
        && let Some(begin) = bytes[from..at].iter().rposition(|byte| *byte == b'"')
    {
        return (from + begin, shown(&bytes[from + begin..=at]));
    }
    if at > from && !bytes.get(at).is_some_and(is_part) && bytes.get(at - 1).is_some_and(is_part) {
        at -= 1;
    }
    let mut begin = at;
    while begin > from && bytes.get(begin - 1).is_some_and(is_part) && at - begin < TOKEN_MAX {
        begin -= 1;
    }
    let length = bytes[begin..].iter().take(TOKEN_MAX).take_while(|byte| is_part(byte)).count();
    (begin, shown(&bytes[begin..begin + length]))
}

fn shown(token: &[u8]) -> String {
    String::from_utf8_lossy(&token[..token.len().min(TOKEN_MAX)]).into_owned()
}

/// Line and column of a byte, counted from 1.
fn position(bytes: &[u8], begin: usize) -> (usize, usize) {
    let line = super::text::lines_before(bytes, begin) + 1;
    let column = begin - bytes[..begin].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1) + 1;
    (line, column)
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
    let value = String::from_utf8_lossy(&bytes[begin..end]).into_owned();
    error.at(Some(position(bytes, begin))).value(value)
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
        assert_eq!((error.at, error.place.as_str()), (Some((2, 1)), "a[1]"));
        assert_eq!(
            (error.value.as_str(), error.message.as_str()),
            ("\"x\"", "this is a text, and a number is wanted")
        );
        for (text, column, value, hint) in [
            ("{\"a\":[1e999]}", 7, "1e999", "1.8e308"),
            ("{\"a\":[2, NaN, 1]}", 10, "NaN", "leave the entry out"),
            ("{\"a\":[-Infinity]}", 7, "-Infinity", "leave the entry out"),
            ("{\"a\":[]} x", 10, "x", ""),
            ("null", 1, "null", ""),
            ("[null]", 2, "null", ""),
            (" \n", 0, "", "written to the end"),
            ("{\"a\":[1", 0, "", "written to the end"),
            ("{\"a\":[nul]}", 7, "nul", ""),
        ] {
            let error = read::<Doc>("f", text.as_bytes()).expect_err(text);
            assert_eq!(error.value, value, "{text}: {error}");
            assert!(error.hint.contains(hint) && !error.to_string().contains("Doc"), "{text}: {error}");
            if column > 0 {
                assert_eq!(error.at, Some((1, column)), "{text}: {error}");
            }
        }
    }
}
