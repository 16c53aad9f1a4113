//! PSPLIB (Kolisch and Sprecher 1997), single-mode projects with renewable resources: `.sm`.
//!
//! The sections `RESOURCES`, `PRECEDENCE RELATIONS`, `REQUESTS/DURATIONS` and `RESOURCEAVAILABILITIES` are
//! read. Several modes, resources that are used up, several projects and release dates are refused, since
//! they are another problem. Due dates and tardiness costs do not matter for the makespan.

use super::FormatError;
use super::facts::{Demand, Facts, Machine, TaskNames};
use super::stg::TIME_MAX;
use super::text::{self, Words};

/// At most this many jobs and kinds of resources.
const JOBS_MAX: u64 = 1_000_000;
const RESOURCES_MAX: u64 = 1_000;

/// A line of a job has at least three numbers, and ends.
const LINE_BYTES: usize = 6;

type Lines<'t> = Vec<(usize, &'t str)>;

pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<Facts, FormatError> {
    let text = text::utf8(name, bytes)?;
    let lines: Lines<'_> = text
        .lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line))
        .filter(|(_, line)| !line.trim().is_empty())
        .collect();
    let header = |label: &str, most: u64| -> Result<Option<(usize, u64)>, FormatError> {
        let found = lines.iter().find(|(_, line)| {
            line.trim_start().trim_start_matches('-').trim_start().to_ascii_lowercase().starts_with(label)
                && line.contains(':')
        });
        let Some((at, line)) = found else { return Ok(None) };
        let rest = line.split_once(':').map_or("", |(_, rest)| rest);
        Words::new(name, *at, rest).number(label, most).map(|number| Some((*at, number)))
    };
    let missing = |what: &str| {
        FormatError::new(name, what, "the file does not say it").hint("is this a PSPLIB .sm file?")
    };
    let (jobs_at, jobs) = header("jobs", JOBS_MAX)?.ok_or_else(|| missing("jobs"))?;
    if jobs == 0 {
        return Err(FormatError::new(name, "jobs", "there is no job").line(jobs_at));
    }
    if jobs as usize > bytes.len() / LINE_BYTES + 1 {
        return Err(FormatError::new(name, "jobs", "the file is too short for so many")
            .line(jobs_at)
            .value(jobs));
    }
    let (renewable_at, renewable) =
        header("renewable", RESOURCES_MAX)?.ok_or_else(|| missing("renewable"))?;
    if renewable as usize > bytes.len() / 2 + 1 {
        return Err(FormatError::new(name, "renewable", "the file is too short for so many")
            .line(renewable_at)
            .value(renewable));
    }
    for (label, what) in [
        ("nonrenewable", "resources that are used up (nonrenewable) are another problem"),
        ("doubly constrained", "doubly constrained resources are another problem"),
    ] {
        if let Some((at, number)) = header(label, u64::MAX)?.filter(|(_, number)| *number > 0) {
            return Err(FormatError::new(name, label, what)
                .line(at)
                .value(number)
                .hint("only renewable resources are planned: single-mode sets such as j30, j60, j120"));
        }
    }
    if let Some((at, number)) = header("projects", u64::MAX)?.filter(|(_, number)| *number != 1) {
        return Err(FormatError::new(name, "projects", "one project a file is read").line(at).value(number));
    }
    check_release(name, &lines)?;

    let (jobs, resources) = (jobs as u32, renewable as usize);
    let edges = precedence(name, section(name, &lines, "PRECEDENCE RELATIONS", 1)?, jobs)?;
    let requests = section(name, &lines, "REQUESTS/DURATIONS", 1)?;
    let (durations, table, places) =
        durations_of(name, requests, jobs, resources).map_err(|error| match resources {
            // The columns do not fit what was said at the beginning.
            0 if error.hint.is_empty() => {
                error.hint(format!("`renewable` is 0 on line {renewable_at}, so a job asks for nothing"))
            }
            _ => error,
        })?;
    let available = section(name, &lines, "RESOURCEAVAILABILITIES", 1)?;
    let mut capacities = Vec::with_capacity(resources);
    if resources > 0 {
        let Some((at, line)) = available.first() else {
            return Err(FormatError::new(name, "RESOURCEAVAILABILITIES", "there are no numbers"));
        };
        let mut words = Words::new(name, *at, line);
        for resource in 1..=resources {
            capacities.push(words.number(&format!("availability of R{resource}"), u64::MAX >> 1)?);
        }
        words.end("resource availabilities")?;
    }
    for (job, line) in places.iter().enumerate() {
        for (resource, capacity) in capacities.iter().enumerate() {
            let asked = table[job * resources + resource];
            if asked > *capacity {
                return Err(FormatError::new(
                    name,
                    format!("job {}, R{}", job + 1, resource + 1),
                    format!("asks for more than there ever is ({capacity}), so it can never run"),
                )
                .line(*line)
                .value(asked)
                .hint(format!("ask for at most {capacity}, or make more of R{} available", resource + 1)));
            }
        }
    }
    Ok(Facts {
        names: TaskNames::Numbers { first: 1, count: jobs },
        tasks: jobs,
        edges,
        machine: Machine::Vector {
            durations,
            demands: Demand::Table(table),
            capacities,
            resources: (1..=resources).map(|at| format!("R{at}")).collect(),
            processors: false,
        },
    })
}

/// The lines of a section after so many lines of headings, up to the next line of stars.
fn section<'l, 't>(
    name: &str,
    lines: &'l [(usize, &'t str)],
    title: &str,
    headings: usize,
) -> Result<&'l [(usize, &'t str)], FormatError> {
    let Some(at) = lines.iter().position(|(_, line)| line.trim_start().starts_with(title)) else {
        return Err(
            FormatError::new(name, title, "this section is missing").hint("is this a PSPLIB .sm file?")
        );
    };
    let mut begin = (at + 1 + headings).min(lines.len());
    while lines.get(begin).is_some_and(|(_, line)| line.trim_start().starts_with('-')) {
        begin += 1;
    }
    let length = lines[begin..].iter().take_while(|(_, line)| !line.trim_start().starts_with('*')).count();
    Ok(&lines[begin..begin + length])
}

/// Release dates would be ignored, so there may be none.
fn check_release(name: &str, lines: &[(usize, &str)]) -> Result<(), FormatError> {
    let Some(at) = lines.iter().position(|(_, line)| line.trim_start().starts_with("pronr.")) else {
        return Ok(());
    };
    let Some((line, text)) = lines.get(at + 1) else { return Ok(()) };
    let mut words = Words::new(name, *line, text);
    words.number("pronr.", u64::MAX)?;
    words.number("#jobs", u64::MAX)?;
    let release = words.number("rel.date", u64::MAX)?;
    if release != 0 {
        return Err(words.wrong("rel.date", "release dates are another problem").value(release));
    }
    Ok(())
}

/// The job that a line is about: they are numbered in order.
fn job_of(words: &mut Words<'_>, wanted: usize, jobs: u32) -> Result<(), FormatError> {
    let job = words.number("jobnr.", u64::from(jobs))?;
    if job != wanted as u64 {
        return Err(words
            .wrong("jobnr.", format!("jobs are numbered in order: {wanted} comes next"))
            .value(job));
    }
    Ok(())
}

fn too_few(name: &str, section: &str, lines: &[(usize, &str)], jobs: u32) -> FormatError {
    let error = FormatError::new(name, section, format!("there are {} of {jobs} jobs", lines.len()));
    match lines.last() {
        Some((at, _)) => error.line(*at),
        None => error,
    }
}

fn precedence(name: &str, lines: &[(usize, &str)], jobs: u32) -> Result<Vec<(u32, u32, f64)>, FormatError> {
    if lines.len() != jobs as usize {
        return Err(too_few(name, "PRECEDENCE RELATIONS", lines, jobs));
    }
    let mut edges = Vec::new();
    for (job, (at, line)) in lines.iter().enumerate() {
        let mut words = Words::new(name, *at, line);
        job_of(&mut words, job + 1, jobs)?;
        let field = |what: &str| format!("job {}, {what}", job + 1);
        let modes = words.number(&field("#modes"), u64::MAX)?;
        if modes != 1 {
            return Err(words
                .wrong(&field("#modes"), "jobs with several modes are another problem")
                .value(modes)
                .hint("only single-mode sets are read: j30, j60, j90, j120 (.sm)"));
        }
        let successors = words.number(&field("#successors"), u64::from(jobs))?;
        for place in 1..=successors {
            let field = field(&format!("successor {place}"));
            let successor = words.number(&field, u64::MAX)?;
            if successor == 0 || successor > u64::from(jobs) {
                return Err(words
                    .wrong(&field, "there is no such job")
                    .value(successor)
                    .hint(format!("jobs are 1 to {jobs}")));
            }
            edges.push((job as u32, successor as u32 - 1, 0.0));
        }
        words.end(&field("successors"))?;
    }
    Ok(edges)
}

/// Times, demands by job and resource, and the line of each job.
type Requests = (Vec<u64>, Vec<u64>, Vec<usize>);

fn durations_of(
    name: &str,
    lines: &[(usize, &str)],
    jobs: u32,
    resources: usize,
) -> Result<Requests, FormatError> {
    if lines.len() != jobs as usize {
        return Err(too_few(name, "REQUESTS/DURATIONS", lines, jobs)
            .hint("one line a job: several modes are another problem"));
    }
    let mut durations = Vec::with_capacity(lines.len());
    // Each line is as long as its numbers, so this grows with the file.
    let mut table = Vec::new();
    let mut places = Vec::with_capacity(lines.len());
    let mut total = 0_u64;
    for (job, (at, line)) in lines.iter().enumerate() {
        let mut words = Words::new(name, *at, line);
        job_of(&mut words, job + 1, jobs)?;
        let field = |what: &str| format!("job {}, {what}", job + 1);
        let mode = words.number(&field("mode"), u64::MAX)?;
        if mode != 1 {
            return Err(words
                .wrong(&field("mode"), "jobs with several modes are another problem")
                .value(mode));
        }
        let duration = words.number(&field("duration"), TIME_MAX)?;
        total = total.saturating_add(duration);
        if total > TIME_MAX {
            return Err(words
                .wrong(&field("duration"), format!("all durations together exceed {TIME_MAX}"))
                .value(duration));
        }
        for resource in 1..=resources {
            table.push(words.number(&field(&format!("R{resource}")), u64::MAX >> 1)?);
        }
        words.end(&field("requests"))?;
        durations.push(duration);
        places.push(words.line());
    }
    Ok((durations, table, places))
}
