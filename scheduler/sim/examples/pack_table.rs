//! A table of packing policies over seeds and node orders: `pack_table NODES PODS POLICY[,POLICY..] A-B
//! TIE ORDER[,ORDER..] [learned]`. Times are CPU time of this thread.

use dunnage_sim::openb::{Knowledge, NodeOrder, PackOptions, read_nodes, read_pods, replay};
use dunnage_strategies::packing::{Policy, Tie};
use std::path::Path;

fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [nodes, pods, policies, seeds, tie, orders, rest @ ..] = args.as_slice() else {
        return Err("NODES PODS POLICIES A-B TIE ORDERS [learned]".into());
    };
    let (nodes, pods) = (read_nodes(Path::new(nodes))?, read_pods(Path::new(pods))?);
    let (from, to) = seeds.split_once('-').unwrap_or((seeds, seeds));
    let (from, to): (u64, u64) = (from.parse()?, to.parse()?);
    let tie = Tie::named(tie).ok_or("no such tie rule")?;
    println!(
        "policy          order       100 %  130 % (sd)         frag  fails cpu/shared/whole/multi    us   s"
    );
    for policy in policies.split(',') {
        let policy = Policy::named(policy).ok_or("no such policy")?;
        for order in orders.split(',') {
            let node_order = NodeOrder::named(order).ok_or("no such order")?;
            let knowledge = if rest.is_empty() { Knowledge::List } else { Knowledge::Learned };
            let start = now();
            let mut found = Vec::new();
            for seed in from..=to {
                let options = PackOptions { tie, node_order, knowledge, ..PackOptions::new(policy, seed) };
                found.push(replay(&nodes, &pods, &options, &mut now)?);
            }
            let n = found.len() as f64;
            let mean =
                |of: &dyn Fn(&dunnage_sim::openb::PackReport) -> f64| found.iter().map(of).sum::<f64>() / n;
            let alloc = mean(&|report| report.alloc_130);
            let sd = (mean(&|report| (report.alloc_130 - alloc).powi(2)) * n / (n - 1.0).max(1.0)).sqrt();
            println!(
                "{:<15} {order:<10} {:6.2} {alloc:6.2} ({sd:.2}) {:12.2}  {:.0}/{:.0}/{:.0}/{:.0} of {:.0} {:14.2} {:5.2}",
                policy.name(),
                mean(&|report| report.alloc_100.unwrap_or(0.0)),
                mean(&|report| report.frag_130),
                mean(&|report| report.failures.cpu_only as f64),
                mean(&|report| report.failures.shared as f64),
                mean(&|report| report.failures.whole as f64),
                mean(&|report| report.failures.multi as f64),
                mean(&|report| report.arrivals as f64),
                mean(&|report| report.median_place_us),
                (now() - start) as f64 / 1e9 / n,
            );
        }
    }
    Ok(())
}
