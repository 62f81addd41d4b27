//! Goes over page tables as a processor does, and tells what they map. Shares no code with the kernel
//! that made them, on purpose.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Result, ensure};

/// Entries of a table, and logarithms of the bytes that an entry covers: those of all levels that
/// there are, which x86-64 and ARM's long descriptors have in common.
pub const ENTRIES: usize = 512;
const SHIFTS: [u32; 4] = [39, 30, 21, 12];
const LAST: u32 = 12;

/// Most mappings: more are a mistake in the tables, or in this.
const MOST: usize = 1 << 20;

/// What may be done with memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    pub write: bool,
    pub execute: bool,
}

impl Rights {
    /// What both allow.
    fn and(self, other: Self) -> Self {
        Self { write: self.write && other.write, execute: self.execute && other.execute }
    }
}

/// What an entry of a table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Nothing is there.
    Invalid,
    /// A table of the next level, at this address; all below it has these rights at most.
    Table(u64, Rights),
    /// Memory at this address.
    Memory(u64, Rights),
}

/// How tables are to be understood.
pub trait Format {
    /// Bits of an address that are translated. All tables of the first level fit a page.
    fn bits(&self) -> u32;
    /// The address that has these bits.
    fn address(&self, bits: u64) -> u64;
    /// What an entry says that covers 2 to the power of `shift` bytes; `is_last` if it has to be
    /// memory.
    fn entry(&self, entry: u64, shift: u32, is_last: bool) -> Entry;
}

/// Memory that is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The first address.
    pub address: u64,
    /// The first physical address.
    pub physical: u64,
    /// Bytes.
    pub size: u64,
    pub rights: Rights,
}

/// What tables map.
#[derive(Debug, Default)]
pub struct Mapped {
    /// All mappings, by address.
    pub mappings: Vec<Mapping>,
    /// The physical addresses of all tables.
    pub tables: BTreeSet<u64>,
}

/// Reads a table by its physical address.
pub type Read<'r> = dyn FnMut(u64) -> Result<[u64; ENTRIES]> + 'r;

/// Goes over all tables below the one at `root`.
///
/// # Errors
/// If one cannot be read, or there is no end of them.
pub fn walk(format: &dyn Format, root: u64, read: &mut Read<'_>) -> Result<Mapped> {
    let mut walk = Walk { format, read, known: HashMap::new(), mapped: Mapped::default() };
    let levels = SHIFTS.iter().position(|&shift| shift < format.bits()).unwrap_or_default();
    walk.table(root, &SHIFTS[levels..], 0, Rights { write: true, execute: true })?;
    walk.mapped.mappings.sort_by_key(|mapping| mapping.address);
    Ok(walk.mapped)
}

struct Walk<'w, 'r> {
    format: &'w dyn Format,
    read: &'w mut Read<'r>,
    /// Tables that have been read: several entries may lead to one.
    known: HashMap<u64, [u64; ENTRIES]>,
    mapped: Mapped,
}

impl Walk<'_, '_> {
    /// Goes over the table at `table`, whose levels down to the last are `shifts`.
    fn table(&mut self, table: u64, shifts: &[u32], start: u64, rights: Rights) -> Result<()> {
        let Some((&shift, below)) = shifts.split_first() else { return Ok(()) };
        self.mapped.tables.insert(table);
        let entries = match self.known.get(&table) {
            Some(entries) => *entries,
            None => *self.known.entry(table).or_insert((self.read)(table)?),
        };
        let count = 1_u64 << (self.format.bits() - shift).min(ENTRIES.ilog2());
        for (index, entry) in (0..count).zip(entries) {
            let bits = start | index << shift;
            match self.format.entry(entry, shift, shift == LAST) {
                Entry::Invalid => {}
                Entry::Table(next, more) => self.table(next, below, bits, rights.and(more))?,
                Entry::Memory(physical, more) => {
                    self.add(bits, physical, shift, rights.and(more))?
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, bits: u64, physical: u64, shift: u32, rights: Rights) -> Result<()> {
        ensure!(self.mapped.mappings.len() < MOST, "the tables have no end");
        let address = self.format.address(bits);
        self.mapped.mappings.push(Mapping { address, physical, size: 1 << shift, rights });
        Ok(())
    }
}
