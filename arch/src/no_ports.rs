//! I/O ports where the machine has none: every read finds an empty bus, which reads as all ones.

/// All ones.
pub fn read_u8(_port: u16) -> u8 {
    u8::MAX
}

/// Does nothing.
pub fn write_u8(_port: u16, _value: u8) {}

/// All ones.
pub fn read_u32(_port: u16) -> u32 {
    u32::MAX
}

/// Does nothing.
pub fn write_u32(_port: u16, _value: u32) {}
