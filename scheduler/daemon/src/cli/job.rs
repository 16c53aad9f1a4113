//! A command on the command line as a graph of one function.
//!
//! It takes the same way as a graph file: it becomes the JSON of one, is decoded, checked, journalled
//! and run. Words after `--` are meant literally, but for `{gpus}`, `{port}` and `{out.N}`.

use super::args::Request;
use super::exit::{Failure, USAGE};
use dunnage_model::{Bytes, Span, expand};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Names that are placeholders in a graph file and must stay as written in a command.
const LITERAL: [&str; 4] = ["graph", "id", "attempt", "cpus"];

/// The graph of one function that runs this command.
pub(crate) fn graph_json(request: &Request, words: &[String]) -> Result<String, Failure> {
    let program = Path::new(&words[0])
        .file_name()
        .map_or_else(|| words[0].clone(), |name| name.to_string_lossy().into_owned());
    let name = request.name.clone().unwrap_or(program);
    let mut function = Map::new();
    function.insert("id".to_owned(), json!("job"));
    function.insert("command".to_owned(), json!(words.iter().map(|word| escape(word)).collect::<Vec<_>>()));
    let cost = cost(request)?;
    if !cost.is_empty() {
        function.insert("cost".to_owned(), Value::Object(cost));
    }
    if let Some(time) = &request.time {
        function.insert("timeout".to_owned(), json!(format!("{}us", slurm_time(time)?.0)));
    }
    if let Some(dir) = &request.chdir {
        function.insert("dir".to_owned(), json!(dir));
    }
    let mut graph = Map::new();
    graph.insert("name".to_owned(), json!(name));
    if let Some(priority) = request.priority {
        graph.insert("priority".to_owned(), json!(priority));
    }
    if let Some(strategy) = &request.strategy {
        graph.insert("strategy".to_owned(), json!(strategy));
    }
    Ok(json!({ "graph": graph, "function": [function] }).to_string())
}

/// The environment that a submission takes along.
pub(crate) fn environment(request: &Request) -> Result<Vec<(String, String)>, Failure> {
    let keep =
        |name: &str| !request.clean_env || matches!(name, "PATH" | "HOME" | "USER" | "LOGNAME" | "SHELL");
    let mut vars: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| keep(name) && !name.starts_with("DUNNAGE_"))
        .collect();
    for pair in &request.env {
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => (pair.as_str(), std::env::var(pair).unwrap_or_default()),
        };
        if name.is_empty() {
            return Err(
                Failure::new(USAGE, format!("--env: no name in `{pair}`")).hint("write --env NAME=VALUE")
            );
        }
        vars.retain(|(known, _)| known != name);
        vars.push((name.to_owned(), value));
    }
    vars.sort();
    Ok(vars)
}

/// Doubles the braces of names that would be replaced.
fn escape(word: &str) -> String {
    expand(word, |name| {
        let ours = LITERAL.contains(&name) || name.starts_with("arg.") || name.starts_with("input.");
        ours.then(|| format!("{{{{{name}}}}}"))
    })
}

fn cost(request: &Request) -> Result<Map<String, Value>, Failure> {
    let mut cost = Map::new();
    let number = |flag: &str, text: &str| {
        text.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0).ok_or_else(|| {
            Failure::new(USAGE, format!("{flag}: not a number: `{text}`"))
                .hint(format!("for example {flag} 1"))
        })
    };
    if let Some(cpus) = &request.cpus {
        cost.insert("cpus".to_owned(), json!(number("-c", cpus)?));
    }
    for (key, flag, text) in
        [("memory", "--mem", &request.mem), ("gpu_memory", "--gpu-memory", &request.gpu_memory)]
    {
        let Some(text) = text else { continue };
        // As in Slurm, a bare number is MiB.
        let bytes = match text.parse::<u64>() {
            Ok(mib) => Bytes::mib(mib),
            Err(_) => Bytes::parse(text).map_err(|_| {
                Failure::new(USAGE, format!("{flag}: not a size: `{text}`"))
                    .hint(format!("for example {flag} 20G; units are K, M, G, T or KiB, MiB, GiB, TiB"))
            })?,
        };
        cost.insert(key.to_owned(), json!(format!("{}B", bytes.0)));
    }
    let mut gpus = request.gpus.clone();
    if let Some(gres) = &request.gres {
        let wrong = || {
            Failure::new(USAGE, format!("--gres: not understood: `{gres}`"))
                .hint("write --gres gpu:2 or --gres gpu:a100:2")
        };
        let parts: Vec<&str> = gres.split(':').collect();
        match parts.as_slice() {
            ["gpu"] => gpus = Some("1".to_owned()),
            ["gpu", n] if n.parse::<u16>().is_ok() => gpus = Some((*n).to_owned()),
            ["gpu", model] => {
                gpus = Some("1".to_owned());
                cost.insert("gpu_model".to_owned(), json!(model));
            }
            ["gpu", model, n] if n.parse::<u16>().is_ok() => {
                gpus = Some((*n).to_owned());
                cost.insert("gpu_model".to_owned(), json!(model));
            }
            _ => return Err(wrong()),
        }
    }
    if let Some(gpus) = gpus {
        let whole: u16 = gpus.parse().map_err(|_| {
            Failure::new(USAGE, format!("-G: not a whole number: `{gpus}`"))
                .hint("for a part of a GPU use --gpu-share 0.5 or --gpu-memory 8G")
        })?;
        cost.insert("gpus".to_owned(), json!(whole));
    }
    if let Some(share) = &request.gpu_share {
        cost.insert("gpu_share".to_owned(), json!(number("--gpu-share", share)?));
    }
    Ok(cost)
}

/// Slurm's words for a time: minutes, M:S, H:M:S, D-H, D-H:M, D-H:M:S; and ours with units.
pub(crate) fn slurm_time(text: &str) -> Result<Span, Failure> {
    let wrong = || {
        Failure::new(USAGE, format!("-t: not a time: `{text}`"))
            .hint("write minutes (30), M:S, H:M:S, D-H, D-H:M:S, or with units 90s, 2h30m")
    };
    let (days, rest) = match text.split_once('-') {
        Some((days, rest)) => (Some(days.parse::<u64>().map_err(|_| wrong())?), rest),
        None => (None, text),
    };
    let parts: Option<Vec<u64>> = rest.split(':').map(|part| part.parse().ok()).collect();
    let seconds = match (days, parts.as_deref()) {
        (None, Some([minutes])) => minutes.checked_mul(60),
        (None, Some([minutes, seconds])) => minutes.checked_mul(60).and_then(|s| s.checked_add(*seconds)),
        (None, Some([h, m, s])) => h.checked_mul(3600).and_then(|t| t.checked_add(m * 60)?.checked_add(*s)),
        (Some(d), Some([h])) => d.checked_mul(86_400).and_then(|t| t.checked_add(h * 3600)),
        (Some(d), Some([h, m])) => d.checked_mul(86_400).and_then(|t| t.checked_add(h * 3600 + m * 60)),
        (Some(d), Some([h, m, s])) => {
            d.checked_mul(86_400).and_then(|t| t.checked_add(h * 3600 + m * 60 + s))
        }
        (None, None) => return Span::parse(text).map_err(|_| wrong()),
        _ => return Err(wrong()),
    };
    seconds.filter(|s| *s > 0 && *s < 1 << 40).map(Span::secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_slurm_reads_them() {
        for (text, seconds) in [
            ("30", 1800),
            ("1:30", 90),
            ("2:00:00", 7200),
            ("1-0", 86_400),
            ("1-2:30", 95_400),
            ("90s", 90),
            ("2h30m", 9000),
        ] {
            assert_eq!(slurm_time(text).unwrap(), Span::secs(seconds), "{text}");
        }
        for text in ["", "x", "1:x", "-5", "1-2-3", "0", "99999999999999999"] {
            assert!(slurm_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn words_of_a_command_stay_as_written() {
        assert_eq!(escape("{id} {gpus} {out.0} {x} {arg.0}"), "{{id}} {gpus} {out.0} {x} {{arg.0}}");
    }
}
