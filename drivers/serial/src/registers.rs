//! What every UART can do.

/// For what a UART interrupts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Causes {
    /// Bytes have come in.
    pub(crate) readable: bool,
    /// Bytes can go out.
    pub(crate) writable: bool,
}

/// The registers of a UART. Every function is a fixed number of register accesses, and none of
/// them reads, changes and writes back, so that task and interrupt handler do not disturb each
/// other.
pub(crate) trait Registers: Send + Sync + 'static {
    /// Prepares the device for use by interrupts, which are off afterwards.
    fn initialise(&self);

    /// Takes the next byte that came in.
    fn read(&self) -> Option<u8>;

    /// How many bytes can be written now without asking again.
    fn room(&self) -> usize;

    /// Writes a byte, of as many as `room` has said.
    fn write(&self, byte: u8);

    /// Interrupts for these causes from now on, also if they hold already.
    fn interrupt_for(&self, causes: Causes);
}
