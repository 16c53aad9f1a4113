//! `submit`: a graph, a command or a script to the daemon.

use super::args::SubmitArgs;
use super::context::{Context, print};
use super::exit::{DONE, FAILED, Failure, INTERRUPTED, USAGE};
use super::{job, queries, run};
use crate::link::{Link, Outgoing};
use crate::render::summary;
use dunnage_wire::api::SubmittedDoc;
use std::io::Read;
use std::path::Path;

pub(crate) async fn submit(context: &Context, args: SubmitArgs) -> Result<i32, Failure> {
    let out = outgoing(context, &args)?;
    let mut link = Link::Remote(context.client().await?);
    let id = link.submit(out).await?;
    if !args.wait {
        let doc = SubmittedDoc { id: id.clone() };
        context.print(&doc, |_| if args.parsable { id.clone() } else { format!("submitted graph {id}") });
        return Ok(DONE);
    }
    if run::watch(context, &mut link, &id, false, run::Interrupts::new()?).await? {
        // The id is what goes on without us.
        context.print(&SubmittedDoc { id: id.clone() }, |_| format!("graph {id} goes on"));
        return Ok(INTERRUPTED);
    }
    let doc = link.status(&id).await?;
    if args.parsable && !context.common.json {
        print(&format!("{id}\n"));
    } else {
        context.print(&doc, |style| summary::summary(&doc, style));
    }
    Ok(queries::code_of(&doc))
}

fn outgoing(context: &Context, args: &SubmitArgs) -> Result<Outgoing, Failure> {
    let environment = job::environment(&args.request)?;
    let here = std::env::current_dir()
        .map_err(|error| Failure::new(FAILED, format!("the working directory is gone: {error}")))?;
    let words = match (&args.file, args.command.as_slice()) {
        (Some(_), [_, ..]) => {
            return Err(Failure::new(USAGE, "a file and a command cannot both be submitted")
                .hint("leave one of them out"));
        }
        (None, []) => {
            return Err(Failure::new(USAGE, "nothing to submit")
                .hint("give a graph file, or a command after `--`: dunnage submit -- python train.py"));
        }
        (Some(file), []) if !is_script(file) => {
            return run::graph_file_outgoing(context, file, environment, args.hold);
        }
        (Some(script), []) => {
            let path = script.canonicalize().map_err(|error| {
                Failure::new(USAGE, format!("cannot find `{}`: {error}", script.display()))
            })?;
            vec![path.display().to_string()]
        }
        (None, words) => words.to_vec(),
    };
    let json = job::graph_json(&args.request, &words)?;
    Ok(Outgoing {
        decoded: run::decode(json, "the command line")?,
        file: "the command line".to_owned(),
        name: String::new(),
        dir: here,
        environment,
        held: args.hold,
        id: None,
    })
}

/// A script begins with `#!`; a graph never does.
fn is_script(path: &Path) -> bool {
    let mut head = [0_u8; 2];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok() && &head == b"#!"
}
