//! Copies of every small size, alignment and overlap come out right: on ARM, memcpy, memmove and
//! memset are our own.
//@ network: none
//@ machine: qemu xen
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::hint::black_box;

const SIZE: usize = 160;
const MOST: usize = 100;

/// A buffer in which every byte is different.
fn fresh() -> [u8; SIZE] {
    core::array::from_fn(|at| at as u8)
}

#[mayfly::main]
async fn main() -> mayfly::Result {
    for length in 0..=MOST {
        for from in 0..24 {
            for to in 0..24 {
                guests::check(copies(length, from, to), "memcpy")?;
                guests::check(moves(length, from, to), "memmove")?;
            }
            guests::check(sets(length, from), "memset")?;
        }
    }
    guests::pass()
}

/// What `change` does to the bytes `to..to + length`, and nothing else is changed.
fn is_right(result: &[u8; SIZE], length: usize, to: usize, expected: impl Fn(usize) -> u8) -> bool {
    (0..SIZE).all(|at| {
        let inside = to <= at && at < to + length;
        result[at] == if inside { expected(at - to) } else { at as u8 }
    })
}

fn copies(length: usize, from: usize, to: usize) -> bool {
    let source: [u8; SIZE] = core::array::from_fn(|at| !(at as u8));
    let mut target = fresh();
    black_box(&mut target)[to..to + length]
        .copy_from_slice(&black_box(&source)[from..from + length]);
    is_right(&target, length, to, |at| !((from + at) as u8))
}

fn moves(length: usize, from: usize, to: usize) -> bool {
    let mut both = fresh();
    black_box(&mut both).copy_within(from..from + length, to);
    is_right(&both, length, to, |at| (from + at) as u8)
}

fn sets(length: usize, to: usize) -> bool {
    let mut target = fresh();
    black_box(&mut target)[to..to + length].fill(black_box(0xa5));
    is_right(&target, length, to, |_| 0xa5)
}
