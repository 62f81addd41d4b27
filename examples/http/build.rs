//! Turns the files of `site/` into a table for the image.
//!
//! For each file, the answer to a plain GET is put together here, head and body in one piece, so
//! that the server has nothing to do but to send it. The table is sorted by the length of
//! the path and then by the path.

use std::{
    env,
    error::Error,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

fn main() -> Result<(), Box<dyn Error>> {
    let site = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("site");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed={}", site.display());

    let mut files = Vec::new();
    collect(&site, &mut files)?;
    let mut assets = Vec::new();
    for file in files {
        let name = file.strip_prefix(&site)?.to_str().ok_or("a file's name is not UTF-8")?;
        // A directory is served by its index.
        let path = format!("/{}", name.strip_suffix("index.html").unwrap_or(name));
        assets.push((path, file));
    }
    assets.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));

    let mut table = String::from("[\n");
    for (index, (path, file)) in assets.iter().enumerate() {
        let body = fs::read(file)?;
        let content_type = content_type(file)?;
        let etag = format!("\"{:016x}\"", fnv1a(&body));
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
             ETag: {etag}\r\nAccept-Ranges: bytes\r\n\r\n",
            body.len(),
        );
        let response = out.join(format!("{index}.response"));
        fs::write(&response, [head.as_bytes(), &body].concat())?;
        writeln!(
            table,
            "Asset {{ path: {path:?}, content_type: {content_type:?}, etag: {etag:?}, \
             response: include_bytes!({response:?}), head: {} }},",
            head.len(),
        )?;
    }
    table.push(']');
    fs::write(out.join("site.rs"), table)?;
    Ok(())
}

/// All files below `directory`.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// The media type that a file's name stands for.
fn content_type(file: &Path) -> Result<&'static str, Box<dyn Error>> {
    let extension = file.extension().and_then(|extension| extension.to_str());
    Ok(match extension.unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "txt" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" => "image/jpeg",
        "ico" => "image/x-icon",
        _ => return Err(format!("add the media type of {} to build.rs", file.display()).into()),
    })
}

/// A hash that changes when the file does, for its entity tag.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}
