//! Interleaving points per second: five threads that yield and sleep on two virtual cores.

use std::time::Instant;

use kernel::mutex::Mutex;
use kernel::thread::{Builder, ThreadCx, yield_now};
use sim::{Options, Scenario, run};
use std::sync::Arc;

fn busy(cx: &ThreadCx<'_>) {
    let lock = Arc::new(Mutex::new(0u64));
    let start = |_| {
        let lock = Arc::clone(&lock);
        let body = move |cx: &ThreadCx<'_>| {
            for _ in 0..20_000 {
                if let Ok(mut n) = lock.lock(cx) {
                    *n += 1;
                }
                yield_now(cx);
            }
        };
        Builder::new("busy").spawn(body)
    };
    let threads: Vec<_> = (0..5).map(start).collect();
    threads.iter().flatten().for_each(|t| t.join(cx));
}

fn main() {
    for cpus in [1, 2, 4, 8] {
        let scenario = Scenario::new("speed", cpus, busy);
        let options = Options {
            max_steps: Some(u64::MAX),
            ..Options::default()
        };
        let start = Instant::now();
        let (mut steps, mut choices) = (0, 0);
        for seed in 0..6 {
            let outcome = run(&scenario, seed, options).expect_ok();
            steps += outcome.steps;
            choices += outcome.choices;
        }
        let s = start.elapsed().as_secs_f64();
        let (all, real) = (steps as f64 / s / 1e6, choices as f64 / s / 1e6);
        println!("{cpus} cores: {all:.2} M points/s, {real:.2} M with a choice, one host core");
    }
}
