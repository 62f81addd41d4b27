//! Moves bytes and checks them: what comes in at TCP port 9 must be the bytes of a generator of
//! pseudo-random numbers, and a line at the end says whether it was; port 19 sends these bytes
//! without end. `bulk-client` is the other side, in dom0 of the lab. Any number of connections go on
//! at the same time.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use mayfly::{
    Machine,
    alloc::{format, vec},
    log,
    net::{Error, TcpListener, TcpStream},
};

/// Bytes moved at a time; whole words of the generator.
const CHUNK: usize = 16 * 1024;

#[mayfly::main]
async fn main(machine: Machine) -> mayfly::Result<()> {
    let network = machine.network().await?;
    let mut taken = TcpListener::bind(&network, 9).await?;
    let mut given = TcpListener::bind(&network, 19).await?;
    mayfly::spawn_named("give", async move {
        while let Ok((stream, peer)) = given.accept().await {
            mayfly::spawn(async move {
                if let Err(error) = give(stream).await {
                    log::debug!("{peer}: {error}");
                }
            })
            .detach();
        }
    })
    .detach();
    loop {
        let (stream, peer) = taken.accept().await?;
        mayfly::spawn(async move {
            if let Err(error) = take(stream).await {
                log::error!("{peer}: {error}");
            }
        })
        .detach();
    }
}

/// Until the peer ends.
async fn take(mut stream: TcpStream) -> Result<(), Error> {
    let (mut pattern, mut buffer, mut expected) = (Pattern::new(), vec![0; CHUNK], vec![0; CHUNK]);
    let (mut total, mut wrong) = (0, None);
    loop {
        // The generator's chunks, however the bytes come.
        let at = total % CHUNK;
        if at == 0 {
            pattern.fill(&mut expected);
        }
        let room = buffer.get_mut(at..).unwrap_or_default();
        let count = stream.read(room).await?;
        if count == 0 {
            break;
        }
        if buffer.get(at..at + count) != expected.get(at..at + count) {
            wrong = wrong.or(Some(total));
        }
        total += count;
    }
    let verdict = match wrong {
        None => format!("{total} bytes are right\n"),
        Some(at) => format!("a byte from {at} on is wrong\n"),
    };
    stream.write_all(verdict.as_bytes()).await
}

/// Until the peer has had enough.
async fn give(mut stream: TcpStream) -> Result<(), Error> {
    let (mut pattern, mut buffer) = (Pattern::new(), vec![0; CHUNK]);
    loop {
        pattern.fill(&mut buffer);
        stream.write_all(&buffer).await?;
    }
}

/// The bytes: xorshift64 (George Marsaglia, "Xorshift RNGs", 2003).
struct Pattern(u64);

impl Pattern {
    fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    fn fill(&mut self, chunk: &mut [u8]) {
        for word in chunk.as_chunks_mut::<8>().0 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            *word = self.0.to_le_bytes();
        }
    }
}
