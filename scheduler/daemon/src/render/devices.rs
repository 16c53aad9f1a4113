//! `devices`: the machine as the scheduler sees it.

use super::format;
use super::page::{Line, Page};
use super::style::{Style, Tone};
use super::table::{Cell, Column, table};
use dunnage_wire::api::{DevicesDoc, GpuDoc, MigDoc};
use std::fmt::Write as _;

/// The cores, the memory, the GPUs with their MIG instances, and the resources that were declared.
pub(crate) fn devices(doc: &DevicesDoc, style: &Style) -> String {
    let mut page = Page::new(style);
    if !doc.node.is_empty() {
        page.line(&Line::new().add(Tone::Dim, "node    ").add(Tone::Strong, doc.node.as_str()));
    }
    let mut words = format!("{} cores", format::amount(doc.cpu.cores));
    if doc.cpu.allocated > 0.0 {
        let _ = write!(words, ", {} given away", format::amount(doc.cpu.allocated));
    }
    if doc.cpu.numa_nodes > 1 {
        let _ = write!(words, ", {}", format::counted(doc.cpu.numa_nodes, "NUMA node"));
    }
    let mut line = Line::new().add(Tone::Dim, "cpu     ").plain(words);
    if !doc.cpu.model.is_empty() {
        line.push(Tone::Dim, format!("  {}", doc.cpu.model));
    }
    page.line(&line);
    let mut words = format::bytes(doc.memory_bytes);
    if let Some(used) = doc.memory_used_bytes {
        let _ = write!(words, ", {} in use", format::bytes(used));
    }
    page.line(&Line::new().add(Tone::Dim, "memory  ").plain(words));
    for (name, amount) in &doc.custom {
        page.line(
            &Line::new().add(Tone::Dim, "custom  ").plain(format!("{name} = {}", format::count(*amount))),
        );
    }
    if doc.gpus.is_empty() {
        page.line(&Line::new().add(Tone::Dim, "gpus    ").plain("none"));
    } else {
        gpus(&mut page, &doc.gpus);
    }
    if !doc.notes.is_empty() {
        page.blank();
        for note in &doc.notes {
            page.wrapped(0, Tone::Warn, &format!("note: {note}"), usize::MAX);
        }
    }
    page.finish()
}

fn gpus(page: &mut Page<'_>, gpus: &[GpuDoc]) {
    let columns = [
        Column::left("GPU").shrinks(4),
        Column::left("NAME").shrinks(8),
        Column::right("MEMORY"),
        Column::right("USED"),
        Column::right("GIVEN"),
        Column::right("SHARE").expendable(5),
        Column::right("BUSY").expendable(4),
        Column::right("TEMP").expendable(7),
        Column::right("POWER").expendable(6),
        Column::left("HEALTH").shrinks(6),
        Column::left("CC").expendable(8),
        Column::left("UUID").expendable(9),
    ];
    let mut rows = Vec::new();
    for gpu in gpus {
        rows.push(row(gpu));
        rows.extend(gpu.mig.iter().map(mig_row));
    }
    page.blank();
    table(page, 0, &columns, rows);
    for gpu in gpus {
        if gpu.memory_foreign_bytes > 0 {
            let foreign = format::bytes(gpu.memory_foreign_bytes);
            page.wrapped(0, Tone::Dim, &format!("{}: processes of others hold {foreign}", name(gpu)), 2);
        }
        if let Some(why) = gpu.health_why.as_deref().filter(|why| !why.is_empty()) {
            page.wrapped(0, Tone::Warn, &format!("{}: {}: {why}", name(gpu), gpu.health), 4);
        }
    }
}

fn name(gpu: &GpuDoc) -> &str {
    if gpu.id.is_empty() { &gpu.uuid } else { &gpu.id }
}

fn row(gpu: &GpuDoc) -> Vec<Cell> {
    let given =
        |text: String| Cell::new(if gpu.memory_allocated_bytes > 0 { Tone::Warn } else { Tone::Dim }, text);
    let whole = |value: Option<f64>, unit: &str| {
        value.filter(|value| value.is_finite()).map(|value| format!("{value:.0} {unit}")).unwrap_or_default()
    };
    vec![
        Cell::new(Tone::Strong, name(gpu)),
        gpu.name.as_str().into(),
        format::bytes(gpu.memory_bytes).into(),
        gpu.memory_used_bytes.map_or_else(|| format::NONE.to_owned(), format::bytes).into(),
        given(format::bytes(gpu.memory_allocated_bytes)),
        Cell::new(Tone::Dim, format::percent(gpu.share_allocated)),
        gpu.busy_ratio.map(format::percent).unwrap_or_default().into(),
        whole(gpu.temperature_celsius.map(|value| value.clamp(-999.0, 9999.0)), "C").into(),
        whole(gpu.power_watts.map(|value| value.clamp(0.0, 99_999.0)), "W").into(),
        health(&gpu.health),
        Cell::new(Tone::Dim, gpu.compute_capability.as_deref().unwrap_or_default()),
        Cell::new(Tone::Dim, gpu.uuid.as_str()),
    ]
}

fn mig_row(mig: &MigDoc) -> Vec<Cell> {
    let mut row = vec![
        Cell::from(format!("  {}", mig.id)),
        format!("MIG {}", mig.name).into(),
        format::bytes(mig.memory_bytes).into(),
    ];
    row.resize(9, "".into());
    row.extend([health(&mig.health), "".into(), Cell::new(Tone::Dim, mig.uuid.as_str())]);
    row
}

fn health(word: &str) -> Cell {
    let tone = match word {
        "ok" => Tone::Good,
        "lost" => Tone::Bad,
        _ => Tone::Warn,
    };
    Cell::new(tone, word)
}

#[cfg(test)]
mod tests {
    use super::super::sample::{self, check_page};
    use super::*;
    use dunnage_wire::api::CpuDoc;

    fn machine() -> DevicesDoc {
        let gpu = GpuDoc {
            id: "gpu0".to_owned(),
            uuid: "GPU-5f1c0c3e-8a53-4b7b-9d3c-2f6f6f0f7a11".to_owned(),
            name: "NVIDIA H100 80GB HBM3".to_owned(),
            memory_bytes: 80 << 30,
            memory_used_bytes: Some(12 << 30),
            memory_allocated_bytes: 20 << 30,
            memory_foreign_bytes: 3 << 30,
            share_allocated: 0.5,
            compute_capability: Some("9.0".to_owned()),
            health: "ok".to_owned(),
            busy_ratio: Some(0.7),
            temperature_celsius: Some(41.0),
            power_watts: Some(312.0),
            ..GpuDoc::default()
        };
        let lost = GpuDoc {
            id: "gpu1".to_owned(),
            memory_used_bytes: None,
            health: "lost".to_owned(),
            health_why: Some("fell off the bus".to_owned()),
            temperature_celsius: Some(f64::NAN),
            busy_ratio: None,
            power_watts: None,
            mig: vec![MigDoc { id: "gpu2".to_owned(), name: "1g.10gb".to_owned(), ..MigDoc::default() }],
            ..gpu.clone()
        };
        DevicesDoc {
            node: "box".to_owned(),
            cpu: CpuDoc { cores: 16.0, model: "AMD EPYC 9654".to_owned(), numa_nodes: 2, allocated: 2.5 },
            memory_bytes: 128 << 30,
            memory_used_bytes: Some(9 << 30),
            gpus: vec![gpu, lost],
            custom: [("licence".to_owned(), 3)].into(),
            notes: vec!["the driver tells no power".to_owned()],
        }
    }

    #[test]
    fn a_machine_without_gpus_is_ordinary() {
        let doc = DevicesDoc { gpus: Vec::new(), ..machine() };
        let text = devices(&doc, &sample::plain(80));
        assert!(text.contains("16 cores, 2.5 given away, 2 NUMA nodes"), "{text}");
        assert!(text.contains("gpus    none\n"), "{text}");
    }

    #[test]
    fn gpus_are_rows_and_trouble_is_told() {
        let text = devices(&machine(), &sample::plain(80));
        for part in
            ["gpu0", "80 GiB", "12 GiB", "  gpu2", "gpu1: lost: fell off the bus", "others hold 3.0 GiB"]
        {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(
            devices(&machine(), &sample::plain(200)).contains("GPU-5f1c0c3e-8a53-4b7b-9d3c-2f6f6f0f7a11")
        );
    }

    #[test]
    fn every_width_holds() {
        let mut odd = machine();
        odd.cpu.cores = f64::NAN;
        odd.memory_bytes = u64::MAX;
        odd.notes = vec!["\x1b[2J 名".repeat(100), String::new()];
        odd.gpus[0].name = "長い".repeat(50);
        odd.gpus[0].temperature_celsius = Some(1e300);
        odd.gpus[0].share_allocated = f64::NAN;
        for style in sample::styles() {
            for doc in [&machine(), &odd, &DevicesDoc::default()] {
                check_page(&devices(doc, &style), &style);
            }
        }
    }
}
