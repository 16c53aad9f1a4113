//! `devices`.

use super::args::DeviceChange;
use super::context::{Context, print};
use super::exit::{DONE, Failure, USAGE};
use crate::client::{Client, encode};
use crate::render::devices as render_devices;
use dunnage_core::Scheduler;
use dunnage_model::{Event, Time};
use dunnage_wire::api::DevicesDoc;
use std::sync::Arc;

pub(crate) async fn devices(
    context: &Context,
    change: Option<DeviceChange>,
    local: bool,
) -> Result<i32, Failure> {
    if let Some(change) = change {
        let (verb, id) = match &change {
            DeviceChange::Drain { id } => ("drain", id),
            DeviceChange::Resume { id } => ("resume", id),
        };
        let path = format!("/v1/devices/{}/{verb}", encode(id));
        context.client().await?.post(&path, &serde_json::json!({})).await?;
        if context.common.json {
            print("{}\n");
        }
        return Ok(DONE);
    }
    let doc = match Client::connect(&context.config.socket).await {
        Ok(mut client) if !local && !context.wants_local() => client.get("/v1/devices").await?,
        _ => look(context)?,
    };
    context.print(&doc, |style| render_devices::devices(&doc, style));
    Ok(DONE)
}

/// The machine as this process sees it.
fn look(context: &Context) -> Result<DevicesDoc, Failure> {
    let look = crate::setup::look(&context.selection()?, &context.config)
        .map_err(|error| Failure::new(USAGE, error.to_string()))?;
    let mut core = Scheduler::new(dunnage_strategies::strategies());
    core.replay(Time::ZERO, Event::NodeSeen(Arc::new(look.node)));
    for sample in look.samples {
        let foreign = dunnage_devices::foreign_memory(
            &sample,
            &|_| false,
            dunnage_model::Bytes::ZERO,
            context.config.ignore_foreign_below,
        )
        .unwrap_or_default();
        core.replay(Time::ZERO, Event::DeviceSampled { sample: Box::new(sample), foreign });
    }
    Ok(crate::shell::devices(core.ledger(), &look.notes))
}
