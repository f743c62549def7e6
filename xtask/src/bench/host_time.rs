//! What a process uses of the host's processors.

/// What a process has used of the host's processors; no number where nobody tells.
pub fn processor_seconds(pid: u32) -> f64 {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => ticks(&stat) as f64 / ticks_per_second(),
        Err(_) => f64::NAN,
    }
}

/// User and system time of a line of `/proc/PID/stat` (proc_pid_stat(5), fields 14 and 15).
fn ticks(stat: &str) -> u64 {
    // The name, in parentheses, may hold anything.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields = rest.split_whitespace().skip(11).take(2);
    fields.filter_map(|f| f.parse::<u64>().ok()).sum()
}

#[cfg(unix)]
fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

#[cfg(not(unix))]
fn ticks_per_second() -> f64 {
    100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_time_is_of_two_fields_behind_the_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4 9 0 0 0 30 12 5 5 20 0 3 0";
        assert_eq!(ticks(stat), 42);
        assert_eq!(ticks(""), 0);
    }
}
