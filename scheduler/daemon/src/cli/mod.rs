//! The command line: one file a command.

pub(crate) mod args;
pub(crate) mod exit;

mod bench;
mod completions;
mod config_show;
mod context;
mod daemon;
mod devices;
mod doctor;
mod job;
mod logs;
mod plan;
mod plan_doc;
mod queries;
mod run;
mod schema;
mod submit;

use args::{Cli, DaemonVerb, Verb};
use clap::Parser;
use context::Context;
use exit::{DONE, FAILED, Failure, USAGE};

/// Parses the command line, carries the command out, and returns its exit code.
pub(crate) fn main() -> i32 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { USAGE } else { DONE };
            // A closed pipe is no reason to fail.
            let _ = error.print();
            return code;
        }
    };
    let common = cli.common.clone();
    let mut context = match Context::new(&common) {
        Ok(context) => context,
        Err(failure) => return context::tell_early(&common, &failure),
    };
    match dispatch(&mut context, cli.verb) {
        Ok(code) => code,
        Err(failure) => context.tell(&failure),
    }
}

fn dispatch(context: &mut Context, verb: Verb) -> Result<i32, Failure> {
    match verb {
        Verb::Bench { what } => bench::bench(context, what),
        Verb::Schema => schema::schema(context),
        Verb::Completions { shell } => completions::completions(shell),
        Verb::Config { what: args::ConfigVerb::Show } => config_show::show(context),
        Verb::Plan(args) => plan::plan(context, args),
        other => runtime()?.block_on(async {
            match other {
                Verb::Run(args) => run::run(context, args).await,
                Verb::Daemon(args) => match &args.verb {
                    None => daemon::daemon(context, &args).await,
                    Some(DaemonVerb::Stop { kill }) => daemon::stop(context, *kill).await,
                },
                Verb::Submit(args) => submit::submit(context, args).await,
                Verb::Queue { start } => queries::queue(context, start).await,
                Verb::Status { id, all, gantt, trace } => {
                    queries::status(context, &id, all, gantt, trace.as_deref()).await
                }
                Verb::Wait { id } => queries::wait(context, &id).await,
                Verb::Logs { target, follow, attempt } => logs::logs(context, &target, follow, attempt).await,
                Verb::Cancel { target } => queries::change(context, "cancel", &target).await,
                Verb::Hold { id } => queries::change(context, "hold", &id).await,
                Verb::Release { id } => queries::change(context, "release", &id).await,
                Verb::Retry { target } => queries::change(context, "retry", &target).await,
                Verb::Explain { target } => queries::explain(context, &target).await,
                Verb::Devices { change, local } => devices::devices(context, change, local).await,
                Verb::Doctor => doctor::doctor(context).await,
                Verb::Bench { .. }
                | Verb::Schema
                | Verb::Completions { .. }
                | Verb::Config { .. }
                | Verb::Plan(_) => Ok(DONE),
            }
        }),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(FAILED, format!("cannot start: {error}")))
}
