//! Talks with a Linux guest and with dom0: sends bytes to the former's port 7 and checks what comes
//! back; echoes itself at port 7, answers HTTP at port 80 and questions for names at port 53. A test
//! in the lab does the rest.
//@ machine: lab
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::{vec, vec::Vec};
use core::net::{Ipv4Addr, SocketAddr};

use mayfly::{
    Machine, Result,
    net::{Error, Network, TcpListener, TcpStream, UdpSocket},
    println,
};

/// The Linux guest.
const LINUX: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::new(10, 99, 0, 3)), 7);

/// Bytes that are sent to it, and how many are on their way at a time.
const BYTES: usize = 1 << 20;
const CHUNK: usize = 8 * 1024;

/// The address of every name.
const ANSWER: [u8; 4] = [192, 0, 2, 7];

const PAGE: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nneighbour\n";

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    let network = machine.network().await?;
    let datagrams = UdpSocket::bind(&network, 7).await?;
    mayfly::spawn(async move {
        while let Ok(datagram) = datagrams.recv().await {
            datagrams.reply(&datagram, datagram.payload()).await.ok();
        }
    })
    .detach();
    let questions = UdpSocket::bind(&network, 53).await?;
    mayfly::spawn(async move {
        while let Ok(datagram) = questions.recv().await {
            if let Some(answer) = answer(datagram.payload()) {
                questions.reply(&datagram, &answer).await.ok();
            }
        }
    })
    .detach();
    mayfly::spawn(serve(network.clone(), 7)).detach();
    mayfly::spawn(serve(network.clone(), 80)).detach();
    there_and_back(&network).await?;
    println!("{BYTES} bytes came back as they were");
    core::future::pending().await
}

/// Echoes, or answers every request with the same page.
async fn serve(network: Network, port: u16) {
    let Ok(mut listener) = TcpListener::bind(&network, port).await else { return };
    while let Ok((stream, _)) = listener.accept().await {
        mayfly::spawn(async move {
            let served = if port == 80 { page(stream).await } else { echo(stream).await };
            if let Err(error) = served {
                println!("port {port}: {error}");
            }
        })
        .detach();
    }
}

async fn echo(mut stream: TcpStream) -> core::result::Result<(), Error> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return stream.close().await,
            count => stream.write_all(buffer.get(..count).unwrap_or_default()).await?,
        }
    }
}

async fn page(mut stream: TcpStream) -> core::result::Result<(), Error> {
    let (mut request, mut part) = (Vec::new(), [0; 512]);
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut part).await? {
            0 => return Ok(()),
            count => request.extend_from_slice(part.get(..count).unwrap_or_default()),
        }
    }
    stream.write_all(PAGE).await?;
    stream.close().await
}

/// The answer to a question for an address (RFC 1035, section 4): the question itself, with one
/// record whose name is that of the question.
fn answer(question: &[u8]) -> Option<Vec<u8>> {
    let header = question.first_chunk::<12>()?;
    // The name ends with a label of no bytes; type and class of the question follow.
    let name = question.get(12..)?.iter().position(|&byte| byte == 0)?;
    let asked = question.get(12..12 + name + 5)?;
    let mut answer = vec![header[0], header[1], 0x84, 0x00, 0, 1, 0, 1, 0, 0, 0, 0];
    answer.extend_from_slice(asked);
    answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    answer.extend_from_slice(&ANSWER);
    Some(answer)
}

async fn there_and_back(network: &Network) -> Result {
    let mut stream = TcpStream::connect(network, LINUX).await?;
    let (mut sent, mut received) = (vec![0; CHUNK], vec![0; CHUNK]);
    for number in 0..BYTES / CHUNK {
        for (at, byte) in (0_u32..).zip(&mut sent) {
            *byte = ((at + number as u32 * 7919).wrapping_mul(0x9e37_79b1) >> 24) as u8;
        }
        stream.write_all(&sent).await?;
        let mut count = 0;
        while count < CHUNK {
            match stream.read(received.get_mut(count..).unwrap_or_default()).await? {
                0 => return guests::fail("Linux has closed the connection"),
                some => count += some,
            }
        }
        guests::check(sent == received, "what came back is not what was sent")?;
    }
    Ok(stream.close().await?)
}
