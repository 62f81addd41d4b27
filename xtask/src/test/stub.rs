//! QEMU's stub for debuggers, as far as tests need it to change what a loader has left in memory, and
//! to look at a machine from outside (the remote protocol of GDB's manual, appendix E).

mod registers;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Most bytes of memory in a packet: QEMU takes half as many as have room in 4096 digits.
const PIECE: usize = 1024;

/// What makes QEMU wait for a debugger at this socket before the machine does anything.
pub fn arguments(socket: &Path) -> Vec<String> {
    let mut words = later(socket);
    words.push("-S".into());
    words
}

/// What lets a debugger come to this socket at any time. The machine stops when it does.
pub fn later(socket: &Path) -> Vec<String> {
    // A comma ends a value on QEMU's command line, two are one comma.
    let path = socket.display().to_string().replace(',', ",,");
    vec!["-gdb".into(), format!("unix:{path},server=on,wait=off")]
}

/// A machine that waits. It goes on when this is dropped.
pub struct Stub(UnixStream);

impl Stub {
    /// Connects to QEMU's stub, which may still be starting.
    ///
    /// # Errors
    /// If there is none.
    pub fn connect(socket: &Path) -> Result<Self> {
        let start = Instant::now();
        loop {
            match UnixStream::connect(socket) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(PATIENCE))?;
                    return Ok(Self(stream));
                }
                Err(error) if start.elapsed() > PATIENCE => {
                    return Err(error).context("QEMU does not listen for a debugger");
                }
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// Takes addresses for physical ones from now on, whatever the processor's page tables say. To be
    /// asked first of a machine that was running.
    ///
    /// # Errors
    /// If QEMU cannot do that.
    pub fn use_physical_addresses(&mut self) -> Result<()> {
        let mut answer = self.ask("Qqemu.PhyMemMode:1")?;
        // A machine that ran until now has told that it has stopped.
        while answer.starts_with('T') {
            answer = self.receive()?;
        }
        ensure!(answer == "OK", "QEMU's debugger knows no physical addresses: `{answer}`");
        Ok(())
    }

    /// The bytes at an address, which is a physical one where addresses are not translated.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn read(&mut self, address: u64, length: usize) -> Result<Vec<u8>> {
        let mut all = Vec::with_capacity(length);
        while all.len() < length {
            let place = address + all.len() as u64;
            let piece = PIECE.min(length - all.len());
            let answer = self.ask(&format!("m{place:x},{piece:x}"))?;
            all.extend(
                bytes(&answer).with_context(|| format!("memory at {place:#x}: `{answer}`"))?,
            );
        }
        Ok(all)
    }

    /// The number of four bytes there.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn word(&mut self, address: u64) -> Result<[u8; 4]> {
        let word = self.read(address, 4)?;
        word.try_into().map_err(|_| anyhow::anyhow!("memory at {address:#x} has an end"))
    }

    /// Changes bytes.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<()> {
        for (place, piece) in (address..).step_by(PIECE).zip(bytes.chunks(PIECE)) {
            let packet = format!("M{place:x},{:x}:{}", piece.len(), digits(piece));
            let answer = self.ask(&packet)?;
            ensure!(answer == "OK", "memory at {place:#x} cannot be changed: `{answer}`");
        }
        Ok(())
    }

    /// Runs until the instruction at an address is next.
    ///
    /// # Errors
    /// If it does not come.
    pub fn run_to(&mut self, address: u64) -> Result<()> {
        for (command, expected) in [("Z1", "OK"), ("c", "T05"), ("z1", "OK")] {
            let place = if command == "c" { String::new() } else { format!(",{address:x},1") };
            let answer = self.ask(&format!("{command}{place}"))?;
            ensure!(answer.starts_with(expected), "the debugger's `{command}`: `{answer}`");
        }
        Ok(())
    }

    /// A register of 64 bits, by its place among all.
    ///
    /// # Errors
    /// If there are not so many.
    pub fn register(&mut self, place: usize) -> Result<u64> {
        let all = bytes(&self.ask("g")?).context("the registers")?;
        let value = all.chunks_exact(8).nth(place).and_then(|value| value.try_into().ok());
        Ok(u64::from_le_bytes(value.context("there are fewer registers")?))
    }

    /// Changes a register of 64 bits, by its place among all.
    ///
    /// # Errors
    /// If there are not so many, or it cannot be changed.
    pub fn set_register(&mut self, place: usize, value: u64) -> Result<()> {
        let mut all = bytes(&self.ask("g")?).context("the registers")?;
        let register = all.chunks_exact_mut(8).nth(place).context("there are fewer registers")?;
        register.copy_from_slice(&value.to_le_bytes());
        let answer = self.ask(&format!("G{}", digits(&all)))?;
        ensure!(answer == "OK", "the registers cannot be changed: `{answer}`");
        Ok(())
    }

    /// Lets the machine run.
    ///
    /// # Errors
    /// If the stub does not listen any more.
    pub fn go_on(mut self) -> Result<()> {
        self.send("D")?;
        // It may have no time to answer.
        let _ = self.receive();
        Ok(())
    }

    fn ask(&mut self, question: &str) -> Result<String> {
        self.send(question)?;
        self.receive()
    }

    fn send(&mut self, packet: &str) -> Result<()> {
        let sum = packet.bytes().fold(0_u8, u8::wrapping_add);
        Ok(self.0.write_all(format!("${packet}#{sum:02x}").as_bytes())?)
    }

    fn receive(&mut self) -> Result<String> {
        while self.byte()? != b'$' {}
        let mut packet = Vec::new();
        loop {
            match self.byte()? {
                b'#' => break,
                byte => packet.push(byte),
            }
        }
        // Its sum. Nothing gets lost on the way.
        self.byte()?;
        self.byte()?;
        self.0.write_all(b"+")?;
        Ok(String::from_utf8(packet)?)
    }

    fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.0.read_exact(&mut byte).context("QEMU's debugger says nothing")?;
        Ok(byte[0])
    }
}

/// Bytes as the protocol has them, two digits each.
fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that these digits stand for.
fn bytes(digits: &str) -> Result<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || digits.is_empty() {
        bail!("`{digits}` are no bytes");
    }
    let pair = |at: usize| u8::from_str_radix(digits.get(at..at + 2).unwrap_or_default(), 16);
    (0..digits.len()).step_by(2).map(|at| Ok(pair(at)?)).collect()
}
