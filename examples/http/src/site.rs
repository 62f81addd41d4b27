//! The site: a table in the image, made by `build.rs` from the files of `site/`.

/// One file of the site.
#[derive(Debug)]
pub struct Asset {
    /// Its path, as in a URL.
    pub path: &'static str,
    /// Its media type.
    pub content_type: &'static str,
    /// Its entity tag, with the quotes: RFC 9110, section 8.8.3.
    pub etag: &'static str,
    /// The whole answer to a plain GET.
    pub response: &'static [u8],
    /// Length of that answer's head, which is the answer to a HEAD.
    pub head: usize,
}

/// All files, sorted by the length of the path, and by the path where lengths are the same: most
/// steps of a search compare two numbers.
pub static SITE: &[Asset] = &include!(concat!(env!("OUT_DIR"), "/site.rs"));

/// The page that goes with a "404 Not Found".
const NOT_FOUND: &str = "/404.html";

impl Asset {
    /// The file itself.
    pub fn body(&self) -> &'static [u8] {
        self.response.get(self.head..).unwrap_or_default()
    }

    /// The head of the answer to a GET.
    pub fn head(&self) -> &'static [u8] {
        self.response.get(..self.head).unwrap_or_default()
    }
}

/// The file that a request's target stands for.
///
/// The target is the path and the query of a URL, RFC 9112 section 3.2.1, or a whole URL, section
/// 3.2.2. Nothing is resolved in it: what is not in the table is not there, so `..` leads nowhere.
pub fn find(target: &str) -> Option<&'static Asset> {
    let at = |path: &str| {
        let wanted = (path.len(), path);
        SITE.binary_search_by(|asset| (asset.path.len(), asset.path).cmp(&wanted)).ok()
    };
    // Most targets are a path and nothing else.
    let index = at(target).or_else(|| {
        let path = path_of(target);
        match path.contains('%') {
            true => SITE.iter().position(|asset| decoded(path.as_bytes()).eq(asset.path.bytes())),
            false => at(path),
        }
    });
    SITE.get(index?)
}

/// The page that goes with a "404 Not Found", if the site has one.
pub fn not_found() -> Option<&'static Asset> {
    find(NOT_FOUND)
}

/// The target without scheme, authority and query.
fn path_of(target: &str) -> &str {
    let target = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').and_then(|slash| rest.get(slash..)).unwrap_or("/"),
        None => target,
    };
    target.split_once('?').map_or(target, |(path, _query)| path)
}

/// The bytes that a path stands for: `%41` is an A, RFC 3986 section 2.1. A `%` that is not
/// followed by two hexadecimal digits stands for itself, and then for no file.
fn decoded(path: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = path;
    core::iter::from_fn(move || {
        let (first, tail) = rest.split_first()?;
        rest = tail;
        if *first == b'%'
            && let Some(([high, low], tail)) = tail.split_first_chunk()
            && let Some(byte) = hex(*high).zip(hex(*low))
        {
            rest = tail;
            return Some(byte.0 << 4 | byte.1);
        }
        Some(*first)
    })
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_found_and_its_head_fits_it() {
        assert!(SITE.len() > 5);
        assert!(SITE.is_sorted_by_key(|asset| (asset.path.len(), asset.path)));
        for asset in SITE {
            assert_eq!(find(asset.path).map(|found| found.path), Some(asset.path));
            assert!(asset.head().ends_with(b"\r\n\r\n"));
            let length = format!("Content-Length: {}\r\n", asset.body().len());
            assert!(String::from_utf8_lossy(asset.head()).contains(&length));
        }
    }

    #[test]
    fn forms_of_a_target() {
        for target in ["/", "/?query=1", "http://host", "http://host:80/", "http://host/?q"] {
            assert_eq!(find(target).map(|asset| asset.path), Some("/"), "{target}");
        }
        assert!(find("/%73tyle.css").is_some_and(|asset| asset.path == "/style.css"));
    }

    #[test]
    fn there_is_nothing_beside_the_table() {
        for target in [
            "",
            "*",
            "/..",
            "/../",
            "//",
            "/./",
            "/index.html/",
            "/images",
            "/images/",
            "/%2e%2e/Cargo.toml",
            "/..%2fCargo.toml",
            "/images/../style.css",
            "/style.css%00",
            "/%",
            "/%s",
            "/%2",
            "/style.css#top",
            "style.css",
            "https://host/",
        ] {
            assert!(find(target).is_none(), "{target}");
        }
    }
}
