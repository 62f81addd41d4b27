//! The site that the example http serves, where a command says that it is.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::typed::{INTERRUPTED, Typed};
use crate::paths;
use crate::test::examples::client;

/// A page of it, and where it is served.
pub const PAGE: &str = "examples/http/site/how.html";
pub const PATH: &str = "how.html";

/// Waits until `run` says where it serves; gives the URL, with a slash at its end.
///
/// # Errors
/// If it does not.
pub fn url(run: &mut Typed) -> Result<String> {
    run.until("URL", |text, _| url_in(text))
}

/// The URL in a complete line that says where it serves.
fn url_in(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("Serving http://")?;
    let (address, _) = rest.split_once('\n')?;
    Some(format!("http://{}/", address.trim_end_matches('/')))
}

/// Gets the page with curl, which `inside` puts where it reaches the guest.
///
/// # Errors
/// If curl fails, or what it gets is not the page.
pub fn get(url: &str, inside: impl Fn(&Command) -> Command) -> Result<()> {
    let page = client::run(&mut inside(&curl(&format!("{url}{PATH}"), "30")), &[])?.stdout;
    client::same_as_file(&page, &paths::repository().join(PAGE))
}

/// Gets what is at the top with curl, which has to end as said.
///
/// # Errors
/// If curl fails, or gets something else.
pub fn get_top(url: &str, end: &str) -> Result<()> {
    let page = client::run(&mut curl(url, "30"), &[])?;
    let page = String::from_utf8_lossy(&page.stdout);
    ensure!(page.ends_with(end), "{url} is `{page}`");
    Ok(())
}

fn curl(url: &str, seconds: &str) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", seconds, url]);
    curl
}

/// Sees `run` end after Ctrl-C: with the status that says so, and nothing is served any more.
///
/// # Errors
/// If it is not so.
pub fn ends(run: Typed, url: &str) -> Result<()> {
    run.end()?.with(INTERRUPTED).context("after Ctrl-C")?;
    let again = client::run(&mut curl(url, "1"), &[]);
    ensure!(again.is_err(), "it still answers");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_says_no_url() {
        let url = Some("http://127.0.0.1:8080/".to_owned());
        assert_eq!(url_in("x\n     Serving http://127.0.0.1:8080/\n"), url);
        assert_eq!(url_in("     Serving http://127.0.0.1:8080\nmore"), url);
        assert_eq!(url_in("     Serving http://127.0.0.1:80"), None);
    }
}
