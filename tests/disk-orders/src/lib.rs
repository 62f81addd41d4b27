//! What guests are told to do with their disks while they are measured, so that those of Mayfly and of
//! Linux do the same: a line `read|write sequential|random BLOCK DEPTH COUNT` on TCP port 5 moves so
//! many blocks of so many bytes, with so many requests in flight. The answer is a line when all of it
//! is done.
#![no_std]
#![forbid(unsafe_code)]

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Whether blocks are written, or else read.
    pub writes: bool,
    /// Whether they are anywhere, or else one after the other.
    pub random: bool,
    /// Bytes of a block, at least one.
    pub block: usize,
    /// Requests in flight, at least one: as many workers do one at a time.
    pub depth: u64,
    /// Blocks in all.
    pub count: u64,
}

impl Order {
    /// Reads a line. `None` if it is no order.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let order = Self {
            writes: is_second(words.next()?, ["read", "write"])?,
            random: is_second(words.next()?, ["sequential", "random"])?,
            block: words.next()?.parse().ok()?,
            depth: words.next()?.parse().ok()?,
            count: words.next()?.parse().ok()?,
        };
        let is_whole = words.next().is_none() && order.block > 0 && order.depth > 0;
        is_whole.then_some(order)
    }

    /// Where the blocks of a worker, of which the first has number 0, begin on a disk of `size` bytes:
    /// each does every `depth`th.
    pub fn offsets(self, worker: u64, size: u64) -> impl Iterator<Item = u64> {
        let block = self.block as u64;
        let (blocks, mut state) = ((size / block).max(1), worker + 1);
        let step = usize::try_from(self.depth).unwrap_or(usize::MAX);
        (worker..self.count).step_by(step).map(move |number| {
            // George Marsaglia, "Xorshift RNGs", 2003.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (if self.random { state } else { number }) % blocks * block
        })
    }
}

/// Which of two words it is.
fn is_second(word: &str, words: [&str; 2]) -> Option<bool> {
    words.iter().position(|other| *other == word).map(|place| place == 1)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    #[test]
    fn lines_are_orders_or_not() {
        let order = Order { writes: true, random: false, block: 4096, depth: 8, count: 100 };
        assert_eq!(Order::parse("write sequential 4096 8 100\n"), Some(order));
        let order = Order { writes: false, random: true, ..order };
        assert_eq!(Order::parse("read random 4096 8 100"), Some(order));
        for line in [
            "",
            "write sequential 4096 8",
            "write sequential 4096 8 100 1",
            "erase sequential 4096 8 100",
            "write backwards 4096 8 100",
            "write sequential 0 8 100",
            "write sequential 4096 0 100",
            "write sequential 4096 8 -1",
        ] {
            assert_eq!(Order::parse(line), None, "{line}");
        }
    }

    #[test]
    fn workers_share_the_blocks() {
        let order = Order { writes: false, random: false, block: 10, depth: 3, count: 7 };
        let mut all: Vec<u64> = (0..3).flat_map(|worker| order.offsets(worker, 55)).collect();
        all.sort_unstable();
        // The disk has five whole blocks.
        assert_eq!(all, [0, 0, 10, 10, 20, 30, 40]);
        let order = Order { random: true, count: 3000, ..order };
        let mut seen = [0; 5];
        for offset in (0..3).flat_map(|worker| order.offsets(worker, 55)) {
            assert_eq!(offset % 10, 0);
            seen[offset as usize / 10] += 1;
        }
        assert!(seen.iter().all(|count| (500..700).contains(count)), "{seen:?}");
    }
}
