//! `daemon`: in the foreground, until a signal or `daemon stop`.

use super::args::DaemonArgs;
use super::context::{Context, print};
use super::exit::{DONE, FAILED, Failure, USAGE};
use crate::api::{self, Shared};
use crate::front::Front;
use crate::shell::Input;
use dunnage_exporters::{BuildInfo, Exporter};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};

pub(crate) async fn daemon(context: &Context, args: &DaemonArgs) -> Result<i32, Failure> {
    let started = Instant::now();
    let address: Option<SocketAddr> = match &args.metrics {
        None => context.config.listen_metrics,
        Some(text) => Some(text.parse().map_err(|_| {
            Failure::new(USAGE, format!("--metrics: not an address: `{text}`"))
                .hint("for example --metrics 127.0.0.1:9400")
        })?),
    };
    // Before anybody can know of us, so that no signal meets the default.
    let listen = |kind| {
        signal(kind).map_err(|error| Failure::new(FAILED, format!("cannot listen for signals: {error}")))
    };
    let (terminate, interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let socket = context.config.socket.clone();
    let setup = context.setup(context.config.state_dir.clone())?;
    let ready = crate::setup::prepare(&setup).await?;
    let listener = api::bind(&socket).await.map_err(|why| Failure::new(FAILED, why))?;
    let front = Front {
        inputs: ready.sender.clone(),
        environments: ready.environments,
        ended_attempts: ready.shell.ended_attempts.clone(),
        rundir: ready.rundir,
        strategy: context.config.strategy.clone(),
        functions_max: context.config.functions_max,
    };
    let shared = Arc::new(Shared {
        front,
        exporter: Exporter::new(BuildInfo { version: env!("CARGO_PKG_VERSION").to_owned() }),
        graph_bytes_max: context.config.graph_bytes_max.0,
        state_dir: setup.state_dir.clone(),
        started,
        started_wall_s: super::run::now_s(),
        journal: ready.shell.journal_file(),
        clock: ready.shell.clock.clone(),
    });
    if let Some(address) = address {
        let bound = api::metrics_listener(address, Arc::clone(&shared))
            .await
            .map_err(|why| Failure::new(FAILED, why))?;
        eprintln!("dunnage: metrics at http://{bound}/metrics");
    }
    let found = ready.found;
    if found.graphs > 0 {
        eprintln!(
            "dunnage: {} graphs go on; {} tasks still run, {} ended meanwhile, {} never started, {} died",
            found.graphs, found.running, found.ended, found.never_started, found.died
        );
    }
    tokio::spawn(api::serve(listener, shared));
    tokio::spawn(signals(ready.sender, terminate, interrupt));
    eprintln!(
        "dunnage: ready in {:.0} ms, process {}, socket {}",
        started.elapsed().as_secs_f64() * 1e3,
        std::process::id(),
        socket.display()
    );
    notify_ready();
    let stopped = ready.shell.run().await;
    drop(std::fs::remove_file(&socket));
    Ok(if stopped.broken { FAILED } else { DONE })
}

/// The first signal stops; the tasks go on.
async fn signals(
    inputs: tokio::sync::mpsc::UnboundedSender<Input>,
    mut terminate: Signal,
    mut interrupt: Signal,
) {
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        drop(inputs.send(Input::Stop { kill: false }));
    }
}

/// Tells a service manager that waits for it.
fn notify_ready() {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Ok(socket) = std::os::unix::net::UnixDatagram::unbound() {
        drop(socket.send_to(b"READY=1", path));
    }
}

pub(crate) async fn stop(context: &Context, kill: bool) -> Result<i32, Failure> {
    let mut client = context.client().await?;
    client.post("/v1/stop", &json!({ "kill": kill })).await?;
    // It is gone when nobody listens any more.
    while tokio::net::UnixStream::connect(&context.config.socket).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    if context.common.json {
        print("{}\n");
    }
    Ok(DONE)
}
