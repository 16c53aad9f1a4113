//! Placeholders: `{name}` of a known name is replaced, `{{name}}` of a known name gives `{name}`, and
//! every other brace stays as written, so that shell, awk and JSON in a command are left alone.

/// A piece of a text with placeholders.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece<'a> {
    /// To be taken as it is.
    Text(&'a str),
    /// The name between the braces.
    Name(&'a str),
}

/// Cuts a text into its pieces; only names for which `known` holds are placeholders.
pub fn pieces(text: &str, known: impl Fn(&str) -> bool) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut taken = 0;
    let mut at = 0;
    while let Some(open) = text[at..].find('{').map(|n| n + at) {
        let doubled = text[open + 1..].starts_with('{');
        let start = if doubled { open + 2 } else { open + 1 };
        let end = text[start..].find(['{', '}']).map(|n| n + start);
        match end {
            Some(end) if text.as_bytes()[end] == b'}' && known(&text[start..end]) => {
                if doubled && text[end + 1..].starts_with('}') {
                    pieces.push(Piece::Text(&text[taken..open]));
                    pieces.push(Piece::Text(&text[open + 1..=end]));
                    at = end + 2;
                } else {
                    // With only one closing brace, `{{name}` is a brace and a placeholder.
                    pieces.push(Piece::Text(&text[taken..start - 1]));
                    pieces.push(Piece::Name(&text[start..end]));
                    at = end + 1;
                }
                taken = at;
            }
            _ => at = open + 1,
        }
    }
    pieces.push(Piece::Text(&text[taken..]));
    pieces.retain(|piece| *piece != Piece::Text(""));
    pieces
}

/// Replaces the placeholders of a text; `value` returns `None` for names that are not known. The names of
/// arguments, outputs and inputs are known as names wherever they stand, so that doubled braces make them
/// literal also where there is none of that number.
pub fn expand(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    if !text.contains('{') {
        return text.to_owned();
    }
    let numbered = |name: &str| ["arg.", "out.", "input."].iter().any(|start| name.starts_with(start));
    let mut out = String::with_capacity(text.len() + 16);
    for piece in pieces(text, |name| numbered(name) || value(name).is_some()) {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Name(name) => match value(name) {
                Some(value) => out.push_str(&value),
                None => {
                    out.push('{');
                    out.push_str(name);
                    out.push('}');
                }
            },
        }
    }
    out
}

/// The names between braces that look like placeholders of ours: letters, digits, `_`, `-` and dots.
pub fn names(text: &str) -> Vec<&str> {
    pieces(text, |name| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
    })
    .into_iter()
    .filter_map(|piece| match piece {
        Piece::Name(name) => Some(name),
        Piece::Text(_) => None,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let value = |name: &str| match name {
            "lr" => Some("0.1".to_owned()),
            "out.0" => Some("/o".to_owned()),
            _ => None,
        };
        assert_eq!(expand(text, value), expected, "{text}");
    }

    #[test]
    fn only_known_names_are_replaced() {
        check("train-{lr}", "train-0.1");
        check("{out.0}{lr}", "/o0.1");
        check("awk '{print $1}' {lr}", "awk '{print $1}' 0.1");
        check("{\"a\": {\"lr\": {lr}}}", "{\"a\": {\"lr\": 0.1}}");
        check("{unknown} {", "{unknown} {");
    }

    #[test]
    fn doubled_braces_of_a_known_name_are_literal() {
        check("{{lr}}", "{lr}");
        check("{{unknown}}", "{{unknown}}");
        check("{{lr}", "{0.1");
        check("{{arg.0}} {arg.0}", "{arg.0} {arg.0}");
    }
}
