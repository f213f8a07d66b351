//! Whether this processor runs what the program was built for.

/// The error of a processor that lacks what `.cargo/config.toml` builds for, as far as the system tells.
pub fn refusal() -> Option<String> {
    let asked = [("avx2", cfg!(target_feature = "avx2")), ("bmi2", cfg!(target_feature = "bmi2"))];
    let told = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let missing = missing(&told, asked.into_iter().filter(|(_, asked)| *asked).map(|(name, _)| name))?;
    Some(format!(
        "this program was built for processors with {missing}, which this one lacks: build it with \
         RUSTFLAGS=\"-C target-cpu=native\" set"
    ))
}

/// The first of `asked` that the processor's flags do not name; `None` where they name all, or are not told.
fn missing<'a>(told: &str, mut asked: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let flags = told.lines().find_map(|line| line.strip_prefix("flags")?.split_once(':'))?.1;
    asked.find(|name| !flags.split_ascii_whitespace().any(|flag| flag == *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "processor\t: 0\nflags\t\t: fpu sse4_2 avx\nbugs\t\t: none\n";

    #[test]
    fn a_processor_without_a_feature_is_told_which() {
        assert_eq!(missing(OLD, ["avx", "avx2", "bmi2"].into_iter()), Some("avx2"));
        assert_eq!(missing(OLD, ["avx"].into_iter()), None);
    }

    #[test]
    fn what_is_not_told_is_not_refused() {
        assert_eq!(missing("Features : neon\n", ["avx2"].into_iter()), None);
    }

    #[test]
    fn the_one_that_runs_this_test_is_not_refused() {
        assert_eq!(refusal(), None);
    }
}
