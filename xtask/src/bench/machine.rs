//! Which machine this is, in a line to stand beside the figures.

pub fn describe() -> String {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let cores = std::thread::available_parallelism().map(|cores| cores.get()).unwrap_or(1);
    let release = read("/proc/sys/kernel/osrelease");
    from(&read("/proc/cpuinfo"), &read("/proc/meminfo"), cores, release.trim())
}

fn from(cpuinfo: &str, meminfo: &str, cores: usize, release: &str) -> String {
    let value = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_string())
    };
    let model = value(cpuinfo, "model name").unwrap_or_else(|| std::env::consts::ARCH.into());
    let kibibytes: u64 = value(meminfo, "MemTotal")
        .and_then(|text| text.split_ascii_whitespace().next()?.parse().ok())
        .unwrap_or(0);
    format!("{model}, {cores} cores, {:.0} GiB, Linux {release}", kibibytes as f64 / 1_048_576.0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernels_files_are_read() {
        let text = super::from("model name\t: A CPU\n", "MemTotal:       25165824 kB\n", 2, "6.1");
        assert_eq!(text, "A CPU, 2 cores, 24 GiB, Linux 6.1");
    }
}
