//! Black-box tests of the service, from outside the guest: `net::event::hello`.
//!
//! One guest per configuration, shared by its tests, which therefore run side by side as clients
//! of one service do. Only the standard library's sockets are used.

mod control;
mod demos;
mod documents;
mod echo;
mod events;
mod example;
mod latency;
mod load;
mod memory;
mod metrics;
mod protocol;
mod raw;
mod restart;
mod timeouts;
mod trace;
mod within;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use qemu_tests::service::{Address, Service};

/// A test of the service.
type Body = fn(Address) -> Result<(), String>;

/// What runs where.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    /// In every configuration.
    Everywhere,
    /// In every configuration, while no other test uses the service.
    EverywhereAlone,
    /// In one: the subject does not depend on it.
    Once,
    /// In one, while no other test uses the service.
    OnceAlone,
    /// In the configuration with few connections ([`SMALL`]) and nowhere else.
    SmallAlone,
    /// In the configuration with little patience ([`HASTY`]) and nowhere else.
    Hasty,
}

/// Name of the configuration that holds few connections.
const SMALL: &str = "small";
/// Names of configurations whose only question is whether they hold many connections.
const CROWDED: [&str; 2] = ["blocking-unbound", "thread-unbound"];
/// Name of the configuration that waits for nobody for long, and lets nobody change anything.
const HASTY: &str = "hasty";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let services = [
        Service::new("event", ""),
        Service::new("blocking", "http.mode=blocking"),
        Service::new("thread", "http.mode=thread"),
        Service::new("unbound", "http.wq=unbound"),
        Service::new(CROWDED[0], "http.mode=blocking http.wq=unbound"),
        Service::new(CROWDED[1], "http.mode=thread http.wq=unbound"),
        Service::new(SMALL, "net.connections=64"),
        Service::new(
            HASTY,
            "http.head_ms=1000 http.body_ms=4000 http.idle_ms=3000 echo.idle_ms=3000 control=off",
        ),
    ];
    let tests: Vec<(&str, Where, Body)> = [
        protocol::TESTS,
        control::TESTS,
        latency::TESTS,
        events::TESTS,
        demos::TESTS,
        metrics::TESTS,
        documents::TESTS,
        trace::TESTS,
        timeouts::TESTS,
        echo::TESTS,
        load::TESTS,
        memory::TESTS,
    ]
    .concat();
    let mut trials = Vec::new();
    for (i, service) in services.iter().enumerate() {
        for &(name, whereabouts, body) in &tests {
            let wanted = match whereabouts {
                _ if CROWDED.contains(&service.name()) => name == load::CROWD,
                Where::Everywhere | Where::EverywhereAlone => {
                    ![SMALL, HASTY].contains(&service.name())
                }
                Where::Once | Where::OnceAlone => i == 0,
                Where::SmallAlone => service.name() == SMALL,
                Where::Hasty => service.name() == HASTY,
            };
            if !wanted {
                continue;
            }
            let name = format!("net::{}::{name}", service.name());
            if is_selected(&arguments, &name) {
                service.announce();
            }
            let service = Arc::clone(service);
            let alone = matches!(
                whereabouts,
                Where::EverywhereAlone | Where::OnceAlone | Where::SmallAlone
            );
            trials.push(Trial::test(name, move || {
                let result = match alone {
                    true => service.test_alone(body),
                    false => service.test(body),
                };
                result.map_err(Failed::from)
            }));
        }
    }
    for &(name, body) in raw::TESTS {
        trials.push(Trial::test(format!("net::raw::{name}"), move || {
            body().map_err(Failed::from)
        }));
    }
    let own: [(&str, raw::Raw); 7] = [
        ("net::restart::under_load", restart::under_load),
        (
            "net::restart::while_cores_come_and_go",
            restart::while_cores_come_and_go,
        ),
        ("net::within::stop_is_refused", within::stop_is_refused),
        ("net::within::handler_panics", within::handler_panics),
        (
            "net::within::requests_are_traced",
            within::requests_are_traced,
        ),
        ("net::within::without_memory", within::without_memory),
        ("net::example::answers", example::answers),
    ];
    for (name, body) in own {
        trials.push(Trial::test(name, move || body().map_err(Failed::from)));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The standard harness's filter rules: a guest ends after the last selected test.
fn is_selected(arguments: &Arguments, name: &str) -> bool {
    let matches = |filter: &str| match arguments.exact {
        true => name == filter,
        false => name.contains(filter),
    };
    arguments.filter.as_deref().is_none_or(matches) && !arguments.skip.iter().any(|s| matches(s))
}
