//! `make bench-dispatch`: what the dispatcher costs, each figure beside what limits it, measured in the same run.
//!
//! claim       a claim of 100 with 1,000 and with 1,000,000 entries, nine tenths of them behind dead heads
//! throughput  `dropwire serve` over 100 tenants, beside the same POSTs without a database and the same SQL without POSTs
//! latency     from commit to receipt at 100 events/s, beside a bare commit followed by a bare POST
//! snapshot    throughput while an idle transaction holds an old snapshot, beside throughput without
//!
//! Arguments choose sections; without any, all run. `ENTRIES`, `SECONDS` and `SNAPSHOT_SECONDS` change the load. PostgreSQL is
//! the embedded one, with fsync on; the sink is a process of its own.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot go on fails"
)]

mod claim;
mod latency;
mod sink;
mod stage;
mod throughput;

use stage::Stage;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    if arguments.first().is_some_and(|it| it == "sink") {
        return sink::run();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|it| it == name);
        let stage = Stage::set().await;
        if wanted("claim") {
            claim::measure(&stage).await;
        }
        if wanted("throughput") {
            throughput::measure(&stage).await;
        }
        if wanted("latency") {
            latency::measure(&stage).await;
        }
        if wanted("snapshot") {
            throughput::measure_with_snapshot(&stage).await;
        }
        stage.strike().await;
    });
}

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

/// The value below which `share` of the sorted values lie.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let at = ((sorted.len() - 1) as f64 * share).round() as usize;
    sorted[at]
}
