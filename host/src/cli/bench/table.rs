//! Prints the result of a run, for people or as JSON.

use std::io::Write;

use serde_json::{Value, json};

use super::{load::Measured, report::Report};

/// Prints a table for people.
pub fn print(report: &Report) {
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let mut lines = vec![format!(
        "{} connections that stay open, load, host and endpoints in one process on {processors} processors; store in {}",
        report.connections,
        report.data.display()
    )];
    lines.push(format!("\n{:<33}{:>10}{:>11}{:>11}{:>11}{:>10}{:>9}", "", "per second", "p50", "p99", "p99.9", "CPU each", "of bare"));
    let ceiling = report.measured.first().map_or(0.0, Measured::per_second);
    for one in &report.measured {
        let share = if one.over_http { format!("{:.3}", one.per_second() / ceiling) } else { String::new() };
        let at = |quantile| time(one.histogram.value_at_quantile(quantile));
        let (rate, cpu) = (one.per_second(), format!("{:.0} µs", one.cpu_us_each()));
        lines.push(format!("{:<33}{rate:>10.0}{:>11}{:>11}{:>11}{cpu:>10}{share:>9}", one.name, at(0.5), at(0.99), at(0.999)));
    }
    let Report { arrived, repeated, .. } = report;
    lines.push(format!(
        "\nEvery accepted event arrived: {arrived} deliveries, each signature verified by the endpoint; {repeated} arrived twice."
    ));
    lines.push(
        "Delivered: from the request to the endpoint having it, one under way per connection. Sandbox: one call at a time.\n\
         CPU: processor time of this process for each, load, host, store and endpoints together."
            .to_owned(),
    );
    write(&lines.join("\n"));
}

/// Prints JSON for programs.
pub fn print_json(report: &Report) -> anyhow::Result<()> {
    let ceiling = report.measured.first().map_or(0.0, Measured::per_second);
    let stage = |one: &Measured| -> Value {
        let at = |quantile| one.histogram.value_at_quantile(quantile);
        json!({
            "name": one.name, "count": one.count, "seconds": one.elapsed.as_secs_f64(), "per_second": one.per_second(),
            "p50_us": at(0.5), "p99_us": at(0.99), "p999_us": at(0.999),
            "cpu_us_each": one.cpu_us_each(),
            "of_bare": one.over_http.then(|| one.per_second() / ceiling),
        })
    };
    let document = json!({
        "connections": report.connections, "processors": std::thread::available_parallelism().map_or(0, usize::from), "data": report.data,
        "stages": report.measured.iter().map(stage).collect::<Vec<_>>(),
        "deliveries": { "arrived": report.arrived, "repeated": report.repeated },
    });
    write(&serde_json::to_string_pretty(&document)?);
    Ok(())
}

fn write(text: &str) {
    // A closed standard output is no error.
    drop(writeln!(std::io::stdout().lock(), "{text}"));
}

fn time(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..100_000 => format!("{:.2} ms", micros as f64 / 1e3),
        _ => format!("{:.0} ms", micros as f64 / 1e3),
    }
}
