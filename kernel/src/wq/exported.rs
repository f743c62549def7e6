//! Attributes of exported queues, by name: what Linux shows under `sysfs` (F8, N1).
//!
//! A queue that is built with [`Builder::sysfs`] can be found by its name and changed by somebody who
//! has no handle: a shell, a page. No two of them have the same name at the same time.
//!
//! | Attribute | Queues | Takes |
//! | --- | --- | --- |
//! | `max_active` | per-CPU, unbound | 1 to 2048 (D1, D6) |
//! | `min_active` | unbound | 1 to 2048 (D4) |
//! | `nice` | unbound, ordered | -20 to 19 |
//! | `cpumask` | unbound, ordered | a list of cores such as `0-3,6` |
//! | `affinity_scope` | unbound | `default` or a scope's name (G2) |
//! | `affinity_strict` | unbound, ordered | 0 or 1 (G4) |
//!
//! `per_cpu` is only read: a queue's kind is its type.

use alloc::sync::Arc;

use machine::CpuMask;
use workqueue::{Attrs, MAX_ACTIVE, Scope};

use super::attrs;
#[cfg(doc)]
use super::builder::Builder;
use super::params::SetError;
use super::queue::{Class, Queue};
use super::registry;
use crate::thread::ThreadCx;

const LIMIT: &str = "1 to 2048";
const NICE: &str = "-20 to 19";
const CORES: &str = "a list of cores such as 0-3,6";
const SCOPE: &str = "default, cpu, smt, cache, cache_shard, numa or system";
const SWITCH: &str = "0 or 1";

/// Sets attribute `name` of the exported queue `queue` from text. May sleep.
///
/// # Errors
///
/// [`SetError`]; nothing has changed then.
pub fn set_attribute(
    cx: &ThreadCx<'_>,
    queue: &str,
    name: &str,
    value: &str,
) -> Result<(), SetError> {
    let q = registry::exported(queue).ok_or(SetError::UnknownQueue)?;
    let class = q.attributes.class;
    let unbound = class == Class::Unbound;
    let placed = unbound || class == Class::Ordered;
    let allowed = match name {
        "max_active" => unbound || class == Class::PerCpu,
        "min_active" | "affinity_scope" => unbound,
        "nice" | "cpumask" | "affinity_strict" => placed,
        "per_cpu" => false,
        _ => return Err(SetError::UnknownName),
    };
    if !allowed {
        return Err(SetError::ReadOnly);
    }
    match name {
        "max_active" => q.set_max_active(limit(value)?),
        "min_active" => q.set_min_active(limit(value)?),
        _ => return place(cx, &q, name, value),
    }
    Ok(())
}

fn limit(value: &str) -> Result<u32, SetError> {
    let n = value.parse().ok().filter(|n| (1..=MAX_ACTIVE).contains(n));
    n.ok_or(SetError::Value(LIMIT))
}

/// Changes one of the attributes that say where and how urgently items run.
fn place(cx: &ThreadCx<'_>, q: &Arc<Queue>, name: &str, value: &str) -> Result<(), SetError> {
    let change: &dyn Fn(&mut Attrs) = match name {
        "nice" => {
            let nice = value.parse().ok().filter(|n| (-20..=19).contains(n));
            let nice = nice.ok_or(SetError::Value(NICE))?;
            &move |a| a.nice = nice
        }
        "cpumask" => {
            let cpus: CpuMask = value.parse().map_err(|_| SetError::Value(CORES))?;
            &move |a| a.cpus = cpus
        }
        "affinity_scope" => {
            let scope = Scope::by_name(value).ok_or(SetError::Value(SCOPE))?;
            &move |a| a.scope = scope
        }
        _ => {
            let strict = match value {
                "0" => false,
                "1" => true,
                _ => return Err(SetError::Value(SWITCH)),
            };
            &move |a| a.strict = strict
        }
    };
    Ok(attrs::modify(cx, q, change)?)
}
