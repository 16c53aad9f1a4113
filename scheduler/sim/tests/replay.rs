//! Traces as they are read, and what a replay makes of them.

use dunnage_model::{
    Attempt, Bytes, Code, Event, Fact, FunctionSpec, Graph, GraphId, GraphSpec, Limits, NodeSpec, Owner,
    Span, Time, Usage,
};
use dunnage_sim::{
    Recorded, ReplayOptions, Throughputs, Times, Work, read_gavel, read_journal, read_tiresias, replay,
};
use std::fmt::Write as _;
use std::sync::Arc;

const TABLE: &str = r#"{"v100": {
    "('Small', 1)": {"null": 2.0, "('Small', 1)": [1.0, 1.0]},
    "('Large', 4)": {"null": 0.5},
    "('Never', 1)": {"null": 0.0}}}"#;

fn speeds() -> Throughputs {
    Throughputs::read(TABLE, "v100").expect("the table is good")
}

#[test]
fn both_forms_of_a_gavel_trace_are_read() {
    let short = "Small\tcmd\t-step\t1\t100\t6.0\t1\nLarge\tcmd\t-step\t1\t10\t16.0\t4\n";
    let long = "Small\tcmd\tdir\t-step\t1\t100\t1\t1\t-1.0\t6\nLarge\tcmd\tdir\t-step\t1\t10\t4\t1\t-1\t16\n";
    for text in [short, long] {
        let trace = read_gavel("t", text, &speeds()).expect("it is good");
        let seen: Vec<(f64, u16, f64)> = trace
            .arrivals
            .iter()
            .map(|arrival| match &arrival.work {
                Work::Job(job) => (arrival.at_s, job.gpus, job.seconds),
                Work::Graph(..) => panic!("a trace holds jobs"),
            })
            .collect();
        assert_eq!(seen, [(0.0, 1, 50.0), (10.0, 4, 20.0)]);
        assert_eq!(trace.left_out, 0);
    }
}

#[test]
fn jobs_of_unknown_speed_are_left_out_and_counted() {
    let text = "Small\tc\t-s\t1\t100\t0\t1\nSmall\tc\t-s\t1\t100\t0\t8\nNever\tc\t-s\t1\t100\t0\t1\n";
    let trace = read_gavel("t", text, &speeds()).expect("it is good");
    assert_eq!((trace.arrivals.len(), trace.left_out), (1, 2));
    assert_eq!(trace.why.as_deref(), Some("line 2: no throughput of `Small` on 8 GPUs is known"));
}

#[test]
fn what_is_wrong_is_named_with_line_and_column() {
    let gavel = |text: &str| read_gavel("t", text, &speeds()).expect_err("it is bad").to_string();
    assert_eq!(gavel("a\tb"), "line 1: 2 cells separated by tabs, where a job has 7 or 10");
    assert_eq!(gavel("Small\tc\t-s\t1\tx\t0\t1"), "line 1, `steps`: `x` is not a number");
    assert_eq!(
        gavel("\nSmall\tc\t-s\t1\t1\tNaN\t1"),
        "line 2, `arrival`: NaN is not between 0 and 100000000000"
    );
    assert_eq!(gavel("Small\tc\t-s\t1\t1\t0\t1.5"), "line 1, `scale factor`: 1.5 GPUs are no whole number");
    let tiresias = |text: &str| read_tiresias("t", text).expect_err("it is bad").to_string();
    assert_eq!(tiresias(""), "the trace is empty");
    assert_eq!(
        tiresias("job_id,num_gpu,duration\n"),
        "line 1, `submit_time`: there is no such column, only job_id, num_gpu, duration"
    );
    let header = "num_gpu,submit_time,duration\n";
    assert_eq!(tiresias(&format!("{header}1,2\n")), "line 2: 2 cells, where the header has 3");
    assert_eq!(
        tiresias(&format!("{header}1,2,-1\n")),
        "line 2, `duration`: -1 is not between 0 and 100000000000"
    );
    assert_eq!(
        Throughputs::read(TABLE, "k80").expect_err("it is not there").to_string(),
        "the table of throughputs knows no `k80`, only v100"
    );
}

/// Four short jobs behind a long one on one GPU.
fn trace() -> dunnage_sim::Trace {
    let mut text = "num_gpu,submit_time,duration,model_name\n1,0,100,a\n1,1,50,b\n".to_owned();
    for _ in 0..4 {
        text.push_str("1,2,10,c\n");
    }
    read_tiresias("t", &text).expect("it is good")
}

fn options(gpus: usize) -> ReplayOptions {
    let node = NodeSpec::new(8, Bytes::gib(64));
    let node = (0..gpus).fold(node, |node, _| node.with_gpu("G", Bytes::gib(16), (8, 0)));
    ReplayOptions { node, times: Times::True, check: true, ..ReplayOptions::default() }
}

#[test]
fn completion_times_are_those_of_the_rules() {
    let report = replay(&trace(), &options(1)).expect("it runs");
    let of = |name: &str| report.rows.iter().find(|row| row.policy == name).expect("it is there");
    // 100; then 150 - 1; then 160, 170, 180, 190 less 2.
    assert_eq!(of("fifo").mean_jct_s, (100.0 + 149.0 + 158.0 + 168.0 + 178.0 + 188.0) / 6.0);
    assert_eq!(of("fifo").max_wait_s, 178.0);
    // The short ones first: 110 to 140 less 2, and the other at 190 less 1.
    let sjf = (100.0 + 108.0 + 118.0 + 128.0 + 138.0 + 189.0) / 6.0;
    assert_eq!(of("sjf").mean_jct_s, sjf);
    assert_eq!(of("default").mean_jct_s, sjf);
    assert_eq!((of("sjf").regret, of("sjf").to_sjf), (0.0, 0.0));
    for row in &report.rows {
        // Means over parts of the time are the mean over all of it.
        let mean = |of: fn(&dunnage_sim::Moment) -> f64| {
            row.moments.iter().map(of).sum::<f64>() / row.moments.len() as f64
        };
        assert!((mean(|moment| moment.used) - row.utilisation).abs() < 1e-9);
        assert!((mean(|moment| moment.waiting) * row.makespan_s - 6.0 * row.mean_wait_s).abs() < 1e-6);
        assert_eq!((row.makespan_s, row.succeeded), (190.0, 6));
        assert!((row.utilisation - 1.0).abs() < 1e-9);
        assert!((row.energy_j - 190.0 * 300.0).abs() < 1e-6);
    }
}

#[test]
fn arrivals_are_stretched_to_the_load_that_is_asked_for() {
    let report = replay(&trace(), &ReplayOptions { load: Some(0.5), ..options(2) }).expect("it runs");
    assert!((report.load - 0.5).abs() < 1e-9, "{}", report.load);
    assert!(replay(&trace(), &ReplayOptions { load: Some(f64::NAN), ..options(2) }).is_err());
    for load in [-1.0, 1e-300, 1e4] {
        assert!(replay(&trace(), &ReplayOptions { load: Some(load), ..options(2) }).is_err(), "{load}");
    }
}

#[test]
fn the_same_seed_errs_alike_and_another_does_not() {
    let with = |seed| {
        let options = ReplayOptions { times: Times::Error { s: 2.0 }, seed, ..options(1) };
        replay(&trace(), &options).expect("it runs")
    };
    assert_eq!(with(1), with(1));
    assert!((2..20).any(|seed| with(seed).rows != with(1).rows));
}

#[test]
fn what_cannot_be_replayed_is_said() {
    let options = ReplayOptions { policies: vec!["best".to_owned()], ..options(1) };
    assert_eq!(
        replay(&trace(), &options).expect_err("there is none").to_string(),
        "there is no policy `best`, only default, fifo, first-fit, sjf, easy"
    );
    let wide = read_tiresias("t", "num_gpu,submit_time,duration\n4,0,1\n").expect("it is good");
    let error = replay(&wide, &self::options(2)).expect_err("it does not fit").to_string();
    assert_eq!(error, "line 2: the job asks for 4 GPUs and the machine has 2");
}

#[test]
fn first_fit_skips_and_fifo_does_not() {
    // Two of two GPUs are wanted behind one that runs: another may go before, or not.
    let text = "num_gpu,submit_time,duration\n1,0,100\n2,1,10\n1,2,10\n";
    let trace = read_tiresias("t", text).expect("it is good");
    let report = replay(&trace, &options(2)).expect("it runs");
    let of = |name: &str| report.rows.iter().find(|row| row.policy == name).expect("it is there");
    assert_eq!(of("fifo").mean_jct_s, (100.0 + 109.0 + 118.0) / 3.0);
    assert_eq!(of("first-fit").mean_jct_s, (100.0 + 109.0 + 10.0) / 3.0);
    assert_eq!(of("easy").mean_jct_s, (100.0 + 109.0 + 10.0) / 3.0);
}

#[test]
fn a_journal_is_a_trace() {
    let mut commands = String::new();
    write!(commands, "true").expect("it is a text");
    let function =
        FunctionSpec { id: "one".to_owned(), code: Code::Command(vec![commands]), ..FunctionSpec::default() };
    let spec = GraphSpec {
        name: Some("g".to_owned()),
        strategy: Some("first-available".to_owned()),
        functions: vec![function],
        ..GraphSpec::default()
    };
    let graph = Arc::new(Graph::build(spec, &Limits::default()).expect("it is good"));
    let recorded = |id: u64, at: u64, seconds: u64| {
        let attempt = GraphId(id).task(0).attempt(Attempt(1));
        let began = Time::ZERO.after(Span::secs(at + 5));
        Recorded {
            graph: Arc::clone(&graph),
            owner: Owner(1),
            at: Time::ZERO.after(Span::secs(at)),
            facts: vec![
                Fact { at: began, event: Event::Started { attempt } },
                Fact {
                    at: began.after(Span::secs(seconds)),
                    event: Event::Finished { attempt, usage: Usage::default() },
                },
            ],
        }
    };
    let trace = read_journal("j", vec![recorded(2, 30, 7), recorded(1, 10, 20)]);
    assert_eq!(trace.arrivals[0].at_s, 0.0);
    assert_eq!(trace.arrivals[1].at_s, 20.0);
    let report = replay(&trace, &options(0)).expect("it runs");
    for row in &report.rows {
        // On eight cores nobody waits, whenever it began in its day.
        assert_eq!((row.mean_jct_s, row.max_wait_s), (13.5, 0.0), "{}", row.policy);
    }
}
