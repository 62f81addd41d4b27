//! XenStore, as dom0's kernel offers it to programs: messages are written to a file, and replies are
//! read from it (xen/include/public/io/xs_wire.h).

use std::fs::File;
use std::io::{self, Read, Write};

const READ: u32 = 2;
const WRITE: u32 = 11;
const REMOVE: u32 = 13;
const SET_PERMISSIONS: u32 = 14;
const ERROR: u32 = 16;

/// The connection.
pub struct Store(File);

impl Store {
    /// Opens it.
    pub fn open() -> io::Result<Self> {
        File::options().read(true).write(true).open("/dev/xen/xenbus").map(Self)
    }

    /// The value of a node, if it is there.
    pub fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.ask(READ, &[path.as_bytes(), b"\0"])
    }

    /// The value of a node as text, nothing if it is not there.
    pub fn text(&self, path: &str) -> io::Result<String> {
        let value = self.read(path)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&value).into_owned())
    }

    /// Sets the value of a node.
    pub fn write(&self, path: &str, value: &[u8]) -> io::Result<()> {
        self.change(WRITE, path, value)
    }

    /// Removes a node and all below it.
    pub fn remove(&self, path: &str) -> io::Result<()> {
        // That it is not there is no error here.
        self.ask(REMOVE, &[path.as_bytes(), b"\0"]).map(drop)
    }

    /// Says who may do what with a node, such as `n0` and `r5`: the first is the owner.
    pub fn permit(&self, path: &str, permissions: [&str; 2]) -> io::Result<()> {
        self.change(SET_PERMISSIONS, path, format!("{}\0", permissions.join("\0")).as_bytes())
    }

    fn change(&self, kind: u32, path: &str, rest: &[u8]) -> io::Result<()> {
        match self.ask(kind, &[path.as_bytes(), b"\0", rest])? {
            Some(_) => Ok(()),
            None => Err(io::Error::other(format!("XenStore refuses to change {path}"))),
        }
    }

    /// Sends a request. `None` if it comes to an error.
    fn ask(&self, kind: u32, parts: &[&[u8]]) -> io::Result<Option<Vec<u8>>> {
        let payload = parts.concat();
        let mut message: Vec<u8> =
            [kind, 1, 0, payload.len() as u32].into_iter().flat_map(u32::to_ne_bytes).collect();
        message.extend(payload);
        (&self.0).write_all(&message)?;
        let mut header = [0; 16];
        (&self.0).read_exact(&mut header)?;
        let word = |at: usize| u32::from_ne_bytes(std::array::from_fn(|byte| header[at + byte]));
        let mut reply = vec![0; word(12) as usize];
        (&self.0).read_exact(&mut reply)?;
        Ok((word(0) != ERROR).then_some(reply))
    }
}
