//! Printing figures.

use serde_json::{Value, json};

use crate::arch::Arch;

/// A figure: of what, on which architecture, and how much.
pub struct Figure {
    /// Of what.
    pub name: &'static str,
    /// On which architecture.
    pub arch: Arch,
    /// How much; `None` if it could not be reached.
    pub value: Option<u64>,
    /// Of what the value is a number.
    pub unit: &'static str,
}

impl Figure {
    /// For those who print JSON.
    pub fn to_json(&self) -> Value {
        let Self { name, arch, value, unit } = self;
        json!({ "name": name, "arch": arch.name(), "value": value, "unit": unit })
    }
}

/// Prints figures as a table, or as JSON.
pub fn print(figures: &[Figure], as_json: bool) {
    if as_json {
        println!("{}", figures.iter().map(Figure::to_json).collect::<Value>());
        return;
    }
    for Figure { name, arch, value, unit } in figures {
        let value = value.map_or_else(|| "-".into(), thousands);
        println!("{arch:<8} {name:<24} {value:>12} {unit}");
    }
}

/// A number with commas between groups of three digits.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_in_threes() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(thousands(12_345_678), "12,345,678");
    }
}
