//! The memory that this process used.

/// The most that it had resident until now, MiB; `None` where the system does not tell. Linux does, as `VmHWM` in
/// `/proc/self/status` (proc(5)), which Lambda's "Max Memory Used" is close to.
pub fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    high_water_mib(&status)
}

fn high_water_mib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kib.div_ceil(1_024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_water_mark_is_read_from_the_processes_status() {
        assert_eq!(high_water_mib("Name:\tx\nVmHWM:\t  205824 kB\nVmRSS:\t 1 kB\n"), Some(201));
        assert_eq!(high_water_mib("Name:\tx\n"), None);
        #[cfg(target_os = "linux")]
        assert!(peak_mib().is_some_and(|mib| mib > 0));
    }
}
