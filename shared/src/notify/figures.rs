//! Figures as people write them.

/// `1,048,576`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 part`, `2 parts`.
pub fn plural(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// `1.5 MB`: decimal units.
pub fn bytes(number: u64) -> String {
    let mut value = float(number);
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.5 {
            return if unit == "B" { format!("{number} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1_000.0;
    }
    format!("{value:.1} TB")
}

/// `4.2 s`, `3 min 20 s`, `2 h 5 min`.
pub fn duration(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0..60 => format!("{:.1} s", float(ms) / 1_000.0),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// A share in percent, with as many digits as it takes to see that it is not 0 or 100.
pub fn percent(part: u64, whole: u64) -> String {
    let share = 100.0 * float(part) / float(whole.max(1));
    match share {
        _ if part == 0 => "0 %".to_owned(),
        _ if part == whole => "100 %".to_owned(),
        _ if share < 0.1 => "under 0.1 %".to_owned(),
        _ if share > 99.9 => "over 99.9 %".to_owned(),
        _ => format!("{share:.1} %"),
    }
}

/// `$0.0042`: two digits that tell something.
pub fn dollars(amount: f64) -> String {
    match amount {
        _ if amount >= 1.0 => format!("${amount:.2}"),
        _ if amount >= 0.01 => format!("${amount:.3}"),
        _ if amount >= 0.000_1 => format!("${amount:.5}"),
        _ => "under $0.0001".to_owned(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!([count(0), count(999), count(1_048_576)], ["0", "999", "1,048,576"]);
        assert_eq!([bytes(999), bytes(1_500), bytes(2_000_000_000)], ["999 B", "1.5 kB", "2.0 GB"]);
        assert_eq!([duration(4_230), duration(200_000), duration(7_500_000)], ["4.2 s", "3 min 20 s", "2 h 5 min"]);
        let shares = [percent(0, 9), percent(1, 1_000_000), percent(1, 3), percent(999_999, 1_000_000), percent(9, 9)];
        assert_eq!(shares, ["0 %", "under 0.1 %", "33.3 %", "over 99.9 %", "100 %"]);
        assert_eq!(
            [dollars(1.5), dollars(0.0123), dollars(0.00391), dollars(0.0)],
            ["$1.50", "$0.012", "$0.00391", "under $0.0001"]
        );
    }
}
