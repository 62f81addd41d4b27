//! Connects its network card and its disk, at the same time unless told otherwise, and then answers at
//! TCP port 80. `cargo xtask bench boot --on xen --disk` measures it.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use mayfly::{Machine, alloc::rc::Rc, net::TcpListener};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

#[derive(mayfly::BootArguments)]
struct Arguments {
    /// Connect one after the other.
    in_turn: bool,
}

#[mayfly::main]
async fn main(machine: Machine) -> mayfly::Result<()> {
    let arguments: Arguments = machine.arguments()?;
    let machine = Rc::new(machine);
    let other = Rc::clone(&machine);
    let (network, _disk) = if arguments.in_turn {
        let disk = machine.disk(0).await?;
        (machine.network().await?, disk)
    } else {
        let disk = mayfly::spawn(async move { other.disk(0).await });
        (machine.network().await?, disk.await??)
    };
    let mut listener = TcpListener::bind(&network, 80).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        // Whoever asks for less, or goes away, is answered no better.
        let answered = stream.read(&mut [0; 512]).await.is_ok();
        if answered && stream.write_all(ANSWER).await.is_ok() {
            stream.close().await.ok();
        }
    }
}
