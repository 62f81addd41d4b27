//! Which queues of a device are in use: the events that its back end in dom0 has got through each.

use anyhow::{Result, ensure};

use crate::lab::Session;

/// Queues that have to be in use when many connections or requests are under way at once. Chance has a
/// hand in which they are.
const USED: usize = 2;

/// Fails unless at least two of `count` queues have brought dom0 `least` events or more since their
/// back end has connected. `name` is a pattern for the names of their interrupts.
///
/// # Errors
/// If dom0 does not answer, too.
pub fn are_in_use(session: &mut Session, name: &str, count: usize, least: u64) -> Result<()> {
    let table = session.succeed(&format!("grep \"{name}\" /proc/interrupts"))?;
    let events = events(&table);
    let used = events.iter().filter(|&&events| events >= least).count();
    let is_so = events.len() == count && used >= USED;
    ensure!(is_so, "{used} of {count} queues have brought {least} events or more:\n{table}");
    Ok(())
}

/// The counts in lines of /proc/interrupts, where there is one processor.
fn events(table: &str) -> Vec<u64> {
    table.lines().filter_map(|line| line.split_whitespace().nth(1)?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_a_count() {
        let table =
            " 72:       1234  xen-dyn-lateeoi  vif1.0-q0-tx\n 74:  5  xen-dyn  vif1.0-q1-tx\n";
        assert_eq!(events(table), [1234, 5]);
        assert_eq!(events("\nERR: x\n"), [0; 0]);
    }
}
