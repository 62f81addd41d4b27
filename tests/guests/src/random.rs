//! Randomness, for guests that have it from one source each.

use mayfly::{Result, random};

/// Checks that there is randomness for who waits for it, and that it does not repeat itself.
pub async fn check() -> Result {
    random::ready().await?;
    crate::check(random::is_seeded(), "there is no entropy")?;
    let (mut first, mut second) = ([0; 32], [0; 32]);
    random::fill(&mut first)?;
    random::fill(&mut second)?;
    crate::check(first != second, "random bytes repeat themselves")?;
    crate::pass()
}
